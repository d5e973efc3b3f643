# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What there is to read and to try on a host, and nothing of what it means.

Files holds what is only text: the tree may be another host's, recorded. Host adds what needs a live kernel: devices,
ioctls, programs, sockets. Nothing here raises for what a host does not have or does not let its user see.
"""

from __future__ import annotations

import errno
import fcntl
import gzip
import http.client
import json
import os
import pwd
import shutil
import socket
import stat
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..engine import trace

#: As a login of root has it; that of a remote shell often lacks the sbin directories.
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/snap/bin"

#: From the kernel's include/uapi/linux/kvm.h.
_KVM_GET_API_VERSION, _KVM_CREATE_VM, _KVM_CHECK_EXTENSION = 0xAE00, 0xAE01, 0xAE03
_KVM_CAP_ARM_VM_IPA_SIZE = 165


@dataclass(frozen=True)
class Said:
    """What a program gave; ``rc`` is -1 where it did not end in time (``late``) or could not be run."""

    rc: int
    out: str = ""
    err: str = ""
    late: bool = False

    @property
    def error(self) -> str:
        """Nothing if it went well, else the last thing it said."""
        if self.rc == 0:
            return ""
        lines = (self.err.strip() or self.out.strip()).splitlines()
        return lines[-1].strip() if lines else "it ended with %d" % self.rc


@dataclass(frozen=True)
class Device:
    """A device node, or what is there in its place; ``opens`` is for reading and writing, by this user."""

    kind: str
    major: int = 0
    minor: int = 0
    opens: bool = False
    error: str = ""


@dataclass(frozen=True)
class KvmTrial:
    """What /dev/kvm answered; None where it was not come to."""

    api_version: int | None = None
    creates_vm: bool | None = None
    error: str = ""


@dataclass(frozen=True)
class Answer:
    """What a daemon said on its socket; ``denied`` where this user may not ask, ``late`` where there is a daemon that
    did not answer in time.
    """

    document: dict[str, Any] | None = None
    error: str = ""
    denied: bool = False
    late: bool = False


@dataclass(frozen=True)
class Space:
    """Bytes; ``device`` tells file systems apart."""

    total: int
    free: int
    device: int


class Files:
    """The texts of a host. Paths are absolute, as the host has them."""

    def __init__(self, root: str | Path = "/") -> None:
        self.root = Path(root)

    def _at(self, path: str) -> Path:
        return self.root / path.lstrip("/")

    def octets(self, path: str) -> bytes | None:
        """The content, or None where the file is not there or may not be read."""
        try:
            return self._at(path).read_bytes()
        except OSError:
            return None

    def text(self, path: str) -> str | None:
        content = self.octets(path)
        return None if content is None else content.decode("utf-8", "replace")

    def word(self, path: str) -> str:
        """A file of one line without its end; nothing where there is none.

        The device tree ends its texts with a NUL.
        """
        return (self.text(path) or "").strip("\0 \t\n")

    def names(self, path: str) -> list[str]:
        """What is in the directory, sorted."""
        try:
            return sorted(entry.name for entry in self._at(path).iterdir())
        except OSError:
            return []

    def exists(self, path: str) -> bool:
        return os.path.lexists(self._at(path))

    def target(self, path: str) -> str:
        """Where a symbolic link points, as it is written."""
        try:
            return os.readlink(self._at(path))
        except OSError:
            return ""

    def unpacked(self, path: str) -> str | None:
        """The text of a file packed with gzip."""
        content = self.octets(path)
        with suppress(OSError, EOFError):
            return None if content is None else gzip.decompress(content).decode("utf-8", "replace")
        return None


class Host(Files):
    """This host.

    ``timeout``: seconds that a program or a daemon may take for its answer. ``docker_socket``: where Docker's engine
    listens, if not as usual.
    """

    def __init__(self, root: str | Path = "/", timeout: float = 10, docker_socket: str = "") -> None:
        super().__init__(root)
        self.timeout = timeout
        self.docker_socket = docker_socket

    def user(self) -> int:
        """The effective user id."""
        return os.geteuid()

    def machine(self) -> str:
        """The architecture, in the kernel's term."""
        return os.uname().machine

    def which(self, program: str) -> str:
        return shutil.which(program, path=PATH) or ""

    def run(self, argv: Sequence[str]) -> Said | None:
        """None where the program is not installed."""
        program = self.which(argv[0])
        if not program:
            return None
        environment = {"PATH": PATH, "LC_ALL": "C", "HOME": os.environ.get("HOME", "/")}
        try:
            with trace.command(argv) as call:
                done = subprocess.run(  # pylint: disable=ansible-bad-function
                    [program, *argv[1:]],
                    stdin=subprocess.DEVNULL,
                    capture_output=True,
                    timeout=self.timeout,
                    check=False,
                    env=environment,
                )
                call.status = str(done.returncode)
        except subprocess.TimeoutExpired:
            return Said(-1, "", f"{argv[0]} did not end within {self.timeout:g} s", late=True)
        except OSError as error:
            return Said(-1, "", str(error))
        return Said(done.returncode, done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace"))

    def device(self, path: str) -> Device | None:
        """None where there is nothing at that path."""
        try:
            found = os.stat(self._at(path))
        except OSError:
            return None
        kind = "character" if stat.S_ISCHR(found.st_mode) else "block" if stat.S_ISBLK(found.st_mode) else "other"
        error = ""
        # Only a device: to open a file or a pipe for writing proves nothing, and may hang.
        if kind != "other":
            try:
                os.close(os.open(self._at(path), os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC))
            except OSError as exc:
                error = exc.strerror or str(exc)
        return Device(kind, os.major(found.st_rdev), os.minor(found.st_rdev), kind != "other" and not error, error)

    def kvm(self) -> KvmTrial:
        """Ask /dev/kvm for its version, and for a virtual machine that is gone at once."""
        try:
            device = os.open(self._at("/dev/kvm"), os.O_RDWR | os.O_CLOEXEC)
        except OSError as exc:
            return KvmTrial(error=exc.strerror or str(exc))
        version = None
        try:
            version = fcntl.ioctl(device, _KVM_GET_API_VERSION, 0)
            os.close(self._create_vm(device))
        except OSError as exc:
            return KvmTrial(version, None if version is None else False, exc.strerror or str(exc))
        finally:
            os.close(device)
        return KvmTrial(version, True)

    def _create_vm(self, device: int) -> int:
        try:
            return fcntl.ioctl(device, _KVM_CREATE_VM, 0)
        except OSError:
            if self.machine() != "aarch64":
                raise
            # 0 stands for 40 bits of guest addresses there, which some processors do not have.
            return fcntl.ioctl(
                device, _KVM_CREATE_VM, fcntl.ioctl(device, _KVM_CHECK_EXTENSION, _KVM_CAP_ARM_VM_IPA_SIZE)
            )

    def msr(self, register: int) -> tuple[int | None, str]:
        """A model-specific register of the first processor, or why it cannot be read. Loads no module for it."""
        try:
            device = os.open(self._at("/dev/cpu/0/msr"), os.O_RDONLY | os.O_CLOEXEC)
        except OSError as exc:
            return None, f"/dev/cpu/0/msr: {exc.strerror}"
        try:
            return int.from_bytes(os.pread(device, 8, register), "little"), ""
        except OSError as exc:
            return None, f"register 0x{register:x}: {exc.strerror}"
        finally:
            os.close(device)

    def space(self, path: str) -> Space | None:
        """Of the file system that the path is on; ``free`` is what an ordinary user may still take."""
        with suppress(OSError):
            seen, found = os.stat(self._at(path)), os.statvfs(self._at(path))
            return Space(found.f_frsize * found.f_blocks, found.f_frsize * found.f_bavail, seen.st_dev)
        return None

    def knows(self, user: str) -> bool:
        """Whether there is such a user, in whatever directory this host looks for them."""
        with suppress(KeyError):
            return bool(pwd.getpwnam(user))
        return False

    def environment(self) -> Mapping[str, str]:
        """That of this process."""
        return os.environ

    def binds(self, port: int) -> bool:
        """Whether a server could have the port on an address that no other has, as dnsmasq tries it: on one of
        loopback's. True where nobody knows.
        """
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
            with socket.socket(socket.AF_INET, kind) as trial:
                trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    trial.bind(("127.83.53.67", port))
                except OSError as error:
                    if error.errno == errno.EADDRINUSE:
                        return False
        return True

    def reach(self, places: Sequence[tuple[str, int]], seconds: float = 5) -> list[str]:
        """For each host and port what went wrong with connecting to it, or nothing; all at once, within so many
        seconds.
        """
        found = {place: f"{place[0]} does not answer" for place in places}

        def connect(place: tuple[str, int]) -> None:
            try:
                socket.create_connection(place, seconds).close()
                found[place] = ""
            except OSError as error:
                found[place] = f"{place[0]}: {error.strerror or error}"

        # The resolver may take longer than anybody wants to wait, and cannot be told to stop.
        threads = [threading.Thread(target=connect, args=(place,), daemon=True) for place in places]
        for thread in threads:
            thread.start()
        deadline = time.monotonic() + seconds
        for thread in threads:
            thread.join(max(0, deadline - time.monotonic()))
        return list(found.values())

    def ask(self, path: str, request: str) -> Answer:
        """GET a JSON document over a unix socket."""
        connection = UnixConnection(str(self._at(path)), self.timeout)
        try:
            with trace.call(lambda: "GET " + request) as call:
                connection.request("GET", request)
                response = connection.getresponse()
                call.status = str(response.status)
            content = json.loads(response.read())
        except PermissionError as exc:
            return Answer(error=f"{path}: {exc.strerror}", denied=True)
        except TimeoutError:
            return Answer(error=f"{path}: no answer within {self.timeout:g} s", late=True)
        except (OSError, http.client.HTTPException, ValueError) as exc:
            return Answer(error=f"{path}: {exc}")
        finally:
            connection.close()
        if response.status != 200 or not isinstance(content, dict):
            return Answer(error="%s answers with status %d" % (path, response.status), denied=response.status == 403)
        return Answer(content)


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)
