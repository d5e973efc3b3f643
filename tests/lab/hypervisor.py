# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Boots a Debian whose processor can run virtual machines: QEMU emulates one with AMD-V, whatever this machine's can
do. Reached over ssh on loopback.

with Hypervisor("kt-hypervisor", HypervisorImage("bookworm")) as host:
    subprocess.run([*host.ssh_args, "virt-host-validate"])

The first one of its kind boots, and its state is saved; the next ones resume that.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import platform
import re
import runpy
import select
import shutil
import signal
import socket
import subprocess
import threading
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from tests.support.daemons import DIES_WITH_US
from tests.support.paths import ROOT

from . import images, keys, machine
from .hosts import LabHost, tar_of
from .saved_state import Monitor, SavedState, overlay

CUSTOMIZE = Path(__file__).with_name("customize_hypervisor.py")
QEMU = "qemu-system-x86_64"
PROGRAMS = {QEMU: "qemu-system-x86", "qemu-img": "qemu-utils", "mmdebstrap": "mmdebstrap", "mke2fs": "e2fsprogs"}
#: Its contents are one to two GB; the file has holes.
DISK = "8G"
#: Emulated, and perhaps beside other work.
BOOT = 600
#: The first answer of one that was resumed.
RESUME = 120
STOP = 30
#: Seconds between two looks whether it still answers, and those that one answer may take.
LOOK, ANSWER = 10, 30
#: Where QEMU's user network has this machine's loopback.
LOOPBACK = re.compile(r"(?<=://)(?:127\.0\.0\.1|localhost|\[::1\])(?=[:/])")

#: All have one name inside, as they may be one another's state.
HOSTNAME = "kt-hypervisor"
HOST_KEY, AUTHORIZED = "/etc/ssh/ssh_host_ed25519_key", "/root/.ssh/authorized_keys"


def unusable() -> str:
    """Why no hypervisor can be had on this machine; nothing if one can."""
    if platform.machine() != "x86_64":
        return f"the hypervisor is an x86_64 machine, and its image cannot be built on {platform.machine()}"
    missing = sorted(
        package
        for program, package in PROGRAMS.items()
        if shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin") is None
    )
    return f"the hypervisor needs the packages {', '.join(missing)}" if missing else ""


def kvm_packages() -> tuple[str, ...]:
    """What the role kvm_host would install: installing is slow on an emulated processor."""
    # By its path: `python -m tests.lab` has no collections on its import path.
    packages = runpy.run_path(str(ROOT / "plugins" / "module_utils" / "host" / "packages.py"))
    return tuple(packages["packages_of"]([*packages["KVM_NEEDS"], "qemu-system-x86_64", "python:libvirt"], ["Debian"]))


@dataclass(frozen=True)
class HypervisorImage:
    """A Debian on a disk, with its kernel and initramfs beside it: QEMU boots them, so there is no boot loader.

    Without packages of its own, KVM's.
    """

    suite: str = "bookworm"
    packages: tuple[str, ...] = ()
    kernel: str = "linux-image-cloud-amd64"

    def __post_init__(self) -> None:
        if self.suite not in images.RELEASES:
            raise ValueError(f"no hypervisor of {self.suite}: choose one of {', '.join(images.RELEASES)}")

    @property
    def _argv(self) -> list[str]:
        hooks = [
            f"--essential-hook={images.hook(CUSTOMIZE, 'before')}",
            f"--customize-hook={images.hook(CUSTOMIZE, 'after')}",
        ]
        # What nobody reads in there.
        hooks += [f"--dpkgopt=path-exclude=/usr/share/{place}/*" for place in ("doc", "info", "locale", "man")]
        return images.bootstrap(
            (*images.PACKAGES, self.kernel, "initramfs-tools", *(self.packages or kvm_packages())), *hooks
        )

    @property
    def directory(self) -> Path:
        digest = images.digest(f"{self.suite} {DISK}", self._argv, images.CUSTOMIZE, CUSTOMIZE)
        return images.LAB / f"hypervisor-{self.suite}-{digest}"

    @property
    def disk(self) -> Path:
        return self.directory / "disk.img"

    @property
    def vmlinuz(self) -> Path:
        return self.directory / "vmlinuz"

    @property
    def initrd(self) -> Path:
        return self.directory / "initrd.img"

    def build(self) -> Path:
        """The directory of the three files; built unless it is there, and a half-built one never counts."""
        with images.locked(f"build-hypervisor-{self.suite}"):
            if not self.directory.exists():
                partial = self.directory.with_suffix(".partial")
                shutil.rmtree(partial, ignore_errors=True)
                partial.mkdir()
                try:
                    self._build(partial)
                except BaseException:
                    shutil.rmtree(partial)
                    raise
                partial.rename(self.directory)
        return self.directory

    def _build(self, place: Path) -> None:
        root = place / "root"
        images.make_root(self.suite, self._argv, root)
        for name in ("vmlinuz", "initrd.img"):
            (found,) = (root / "boot").glob(f"{name}-*")
            shutil.copy(found, place / name)
        path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
        argv = [
            "mke2fs",
            "-q",
            "-t",
            "ext4",
            "-E",
            "lazy_itable_init=0",
            "-d",
            str(root),
            str(place / "disk.img"),
            DISK,
        ]
        done = subprocess.run(argv, env={**os.environ, "PATH": path}, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"the disk of the hypervisor could not be made: {done.stderr.strip()}")
        shutil.rmtree(root)


class Hypervisor:
    """One such machine. It lives as long as this object's `with`, and never longer than this process; what it writes to
    its disk is forgotten with it.

    `files` are put into it by absolute path before it starts anything.

    Where its sshd has greeted nobody for `deaf` seconds it has locked up, as QEMU's emulated AMD-V (7.2) does now and
    then, and is ended: who waits for it would wait for ever. A test that cuts it off has to be done within that time.
    """

    def __init__(
        self,
        name: str,
        image: HypervisorImage | None = None,
        files: Mapping[str, bytes] | None = None,
        memory: int = 2048,
    ) -> None:
        self.name = name
        self.image = image or HypervisorImage()
        self.directory = images.LAB / name
        #: How it is reached, once it is up.
        self.host: LabHost | None = None
        self.deaf, self.answer = 300, ANSWER
        self._files = dict(files or {})
        self._memory = memory
        self._process: subprocess.Popen[bytes] | None = None
        self._watch: threading.Thread | None = None
        self._over = threading.Event()
        self._open = ExitStack()

    def __enter__(self) -> LabHost:
        try:
            return self.up()
        except BaseException:
            self.down()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.down()

    def up(self) -> LabHost:
        """Boot it, or resume one that was; returns when systemd has started all of it."""
        reason = unusable()
        if reason:
            raise RuntimeError(reason)
        self.image.build()
        saved = SavedState(images.LAB / f"state-{self._kind()}")
        if saved.exists:
            try:
                return self._up(saved)
            except (RuntimeError, OSError, subprocess.SubprocessError) as error:
                self.down()
                warnings.warn(f"a saved hypervisor is thrown away, as it does not resume: {error}", stacklevel=2)
                saved.discard()
        return self._up(saved)

    def _up(self, saved: SavedState) -> LabHost:
        self._claim()
        resumes = saved.exists
        known_hosts, disk, mine = (
            self.directory / "known_hosts",
            self.directory / "disk.qcow2",
            (self.directory / "seed.tar", self.directory / "host.pub"),
        )
        if resumes:
            saved.lay(disk, *mine)
        else:
            self._seed()
            overlay(disk, self.image.disk, "raw")
        ready, ready_end = socket.socketpair()
        monitor_socket, monitor_end = socket.socketpair()
        self._open.enter_context(ready)
        self._open.enter_context(monitor_socket)
        with ready_end, monitor_end, (self.directory / "qemu.log").open("wb") as log:
            argv = [*DIES_WITH_US, QEMU, *self._arguments(self.directory, ready_end.fileno(), monitor_end.fileno())]
            argv += ["-incoming", "defer"] if resumes else []
            fds = (ready_end.fileno(), monitor_end.fileno())
            self._process = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, pass_fds=fds, start_new_session=True
            )
        with Monitor(monitor_socket) as monitor:
            if resumes:
                saved.resume(monitor)
            port = monitor.forwarded_port()
            known_hosts.write_text(f"[127.0.0.1]:{port} {mine[1].read_text(encoding='ascii')}", encoding="ascii")
            host = LabHost(self.name, "127.0.0.1", self.image.suite, images.LAB / "id_ed25519", known_hosts, port)
            if resumes:
                # Its clock has stood still.
                command = [*host.ssh_args, "date", "--set", f"@{time.time():.0f}"]
                subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=RESUME, check=True)
            else:
                self._wait_until_up(ready)
                saved.save(monitor, disk, *mine)
        self._over.clear()
        self._watch = threading.Thread(target=self._end_if_deaf, args=(self._process, port), daemon=True)
        self._watch.start()
        self.host = host
        return host

    def down(self) -> None:
        """End it, as pulling the plug would."""
        self._over.set()
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(STOP)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None
        if self._watch is not None:
            self._watch.join()
            self._watch = None
        self._open.close()
        if self.directory.exists() and holder(self.directory) is None:
            shutil.rmtree(self.directory)

    def died(self, within: float = 0) -> str:
        """What the console said last, where it has ended without being told to, or does within so many seconds;
        nothing as long as it runs.
        """
        if self._process is None:
            return ""
        try:
            self._process.wait(within)
        except subprocess.TimeoutExpired:
            return ""
        return self._said("console.log") or "it ended without a word"

    def freeze(self) -> None:
        """Stop it: its port goes on to take connections, and nobody answers."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def wait(self) -> int:
        """Until it ends by itself."""
        if self._process is None:
            raise RuntimeError(f"{self.name} does not run")
        return self._process.wait()

    # The inside

    def _claim(self) -> None:
        """The name is this process's as long as it runs: whoever asks finds its number in a file that it has locked."""
        self.directory.mkdir(parents=True, exist_ok=True)
        lock = self._open.enter_context((self.directory / "lock").open("a"))
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise RuntimeError(f"there is a hypervisor {self.name} already") from error
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()

    def _kind(self) -> str:
        """The same for all that are built, started and equipped alike: any of them can go on from the state of
        another.
        """
        version = subprocess.run([QEMU, "--version"], capture_output=True, text=True, check=True).stdout
        config = sorted((path, hashlib.sha256(data).hexdigest()) for path, data in self._given().items())
        made_of = [version, self.image.directory.name, *self._arguments(Path(), 0, 0), config]
        return hashlib.sha256(json.dumps(made_of).encode()).hexdigest()[:12]

    def _given(self) -> dict[str, bytes]:
        """What a lab host gets from this machine, with loopback where it is found from in there, the controller's
        key, and the caller's files.
        """
        config = {
            path: LOOPBACK.sub("10.0.2.2", text.decode()).encode()
            for path, text in machine.files(self.image.suite).items()
        }
        return {
            **config,
            AUTHORIZED: images.controller_key(),
            "/etc/hostname": HOSTNAME.encode() + b"\n",
            **self._files,
        }

    def _seed(self) -> None:
        """Write the second disk, with a host key of its own."""
        private, public = keys.new_key()
        files = {**self._given(), HOST_KEY: private, f"{HOST_KEY}.pub": public}
        (self.directory / "seed.tar").write_bytes(tar_of(files, 0o644, private=(HOST_KEY, AUTHORIZED)))
        (self.directory / "host.pub").write_bytes(public)

    def _arguments(self, place: Path, ready: int, monitor: int) -> Iterator[str]:
        yield from ("-name", place.name, "-nodefaults", "-no-user-config", "-display", "none")
        # One processor: with two that are emulated, a nested guest had the kernel panic or lock up (QEMU 7.2), and
        # nothing was quicker.
        yield from (
            "-machine",
            "q35",
            "-accel",
            "tcg",
            "-cpu",
            "qemu64,+svm,+npt",
            "-smp",
            "1",
            "-m",
            str(self._memory),
        )
        yield from ("-kernel", str(self.image.vmlinuz), "-initrd", str(self.image.initrd))
        # A kernel that panics ends QEMU, and with it every connection: who waits for an answer of a dead machine waits
        # for ever.
        yield from (
            "-append",
            (
                "root=/dev/vda rw console=ttyS0 loglevel=5 net.ifnames=0 mitigations=off oops=panic panic=-1 "
                f"systemd.hostname={HOSTNAME}"
            ),
        )
        yield "-no-reboot"
        yield from ("-drive", f"file={_value(place / 'disk.qcow2')},if=virtio,format=qcow2,cache=unsafe")
        yield from ("-drive", f"file={_value(place / 'seed.tar')},if=virtio,format=raw,readonly=on")
        # Of loopback, a port that is free. The card's own boot code is a package more, and not needed.
        yield from (
            "-netdev",
            "user,id=net,ipv6=off,hostfwd=tcp:127.0.0.1:0-:22",
            "-device",
            "virtio-net-pci,netdev=net,romfile=",
        )
        yield from ("-device", "virtio-rng-pci")
        yield from ("-chardev", f"file,id=console,path={_value(place / 'console.log')}", "-serial", "chardev:console")
        yield from ("-chardev", f"socket,id=ready,fd={ready}", "-serial", "chardev:ready")
        yield from ("-chardev", f"socket,id=monitor,fd={monitor}", "-mon", "chardev=monitor,mode=control")

    def _wait_until_up(self, ready: socket.socket) -> None:
        assert self._process is not None
        deadline, said = time.monotonic() + BOOT, b""
        ended = os.pidfd_open(self._process.pid)
        try:
            while b"\n" not in said and (left := deadline - time.monotonic()) > 0:
                readable = select.select([ready, ended], [], [], left)[0]
                if ended in readable:
                    break
                if readable:
                    said += ready.recv(4096)
        finally:
            os.close(ended)
        if said.strip() != b"running":
            state = (
                f"says that it is {said.decode(errors='replace').strip()}" if said else f"did not boot within {BOOT} s"
            )
            raise RuntimeError(f"{self.name} {state}:\n{self._said('qemu.log')}\n{self._said('console.log')}")

    def _end_if_deaf(self, process: subprocess.Popen[bytes], port: int) -> None:
        heard = time.monotonic()
        while process.poll() is None and not self._over.wait(LOOK):
            if greets(port, self.answer):
                heard = time.monotonic()
            elif time.monotonic() - heard > self.deaf:
                process.kill()

    def _said(self, log: str) -> str:
        path = self.directory / log
        return path.read_text(encoding="utf-8", errors="replace")[-4000:] if path.exists() else ""


def greets(port: int, within: float) -> bool:
    """Whether an sshd answers on a port of loopback. QEMU itself takes the connection, so that alone says nothing."""
    try:
        with socket.create_connection(("127.0.0.1", port), within) as connection:
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False


def _value(path: Path) -> str:
    """A path as a value among QEMU's options, where a comma ends a value."""
    return str(path).replace(",", ",,")


def holder(directory: Path) -> int | None:
    """The process that runs the hypervisor of a directory; None where none does."""
    path = directory / "lock"
    if not path.exists():
        return None
    with path.open() as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return int(lock.read())
    return None


def running() -> list[tuple[str, int]]:
    """(name, process) of the hypervisors of this checkout."""
    found = ((lock.parent.name, holder(lock.parent)) for lock in sorted(images.LAB.glob("*/lock")))
    return [(name, process) for name, process in found if process is not None]


def end(name: str) -> None:
    """End the hypervisor of that name, whoever runs it, and remove what one that was killed has left."""
    process = holder(images.LAB / name)
    if process is not None:
        descriptor = os.pidfd_open(process)
        try:
            signal.pidfd_send_signal(descriptor, signal.SIGTERM)
            if not select.select([descriptor], [], [], 2 * STOP)[0]:
                raise RuntimeError(f"process {process}, which runs {name}, does not end")
        finally:
            os.close(descriptor)
    Hypervisor(name).down()
