# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""LXC for the tests: a directory and a bridge of their own, tiny root file systems, and a look at what is there
beside the modules.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import io
import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .images import root_tar
from .session import LOCKS

#: The files of version 1 in which limits are.
LIMITS = (
    *(
        "cpu.cfs_period_us",
        "cpu.cfs_quota_us",
        "cpu.shares",
        "cpuset.cpus",
        "memory.limit_in_bytes",
        "memory.memsw.limit_in_bytes",
        "pids.max",
    ),
    *(
        "blkio.weight",
        "blkio.bfq.weight",
        "blkio.throttle.read_bps_device",
        "blkio.throttle.write_bps_device",
        "blkio.throttle.write_iops_device",
    ),
)

#: Where the collection notes directories of containers that are not the standard one.
KNOWN = Path("/var/lib/kraal.virt/lxc-paths")
DIRECTORY = "kt-lxc-"
BRIDGE = "ktb"

#: A guest's first process: it ends at once when it is told to halt, unless it is to be stubborn.
INIT = """#!/bin/sh
if [ -e /etc/kt-stubborn ]; then trap '' PWR TERM INT; else trap 'exit 0' PWR TERM INT; fi
if [ -e /etc/kt-fail ]; then exit 3; fi
while :; do sleep 3600 & wait $!; done
"""


def system_tar(release: str) -> bytes:
    """A root file system of 2 MB that can be started, told from others by /etc/kt-release."""
    out = io.BytesIO(root_tar(release))
    with tarfile.open(fileobj=out, mode="a") as tar:
        for name in ("sbin", "mnt", "run", "var"):
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(entry)
        entry = tarfile.TarInfo("sbin/init")
        entry.size, entry.mode = len(INIT), 0o755
        tar.addfile(entry, io.BytesIO(INIT.encode()))
    return out.getvalue()


def run(*command: str, check: bool = True) -> str:
    """A program's output."""
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    if check and done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


@dataclass(frozen=True)
class LxcLab:
    """A directory of containers, a bridge that they may use, and archives to make them of."""

    root: Path
    bridge: str
    network: str

    @classmethod
    def create(cls, run_name: str) -> LxcLab:
        for path in Path(tempfile.gettempdir()).glob(DIRECTORY + "*"):
            if not _alive(path.name.removeprefix(DIRECTORY)):
                cls._of(path.name.removeprefix(DIRECTORY)).remove()
        lab = cls._of(run_name)
        lab.path.mkdir(parents=True)
        # A guest's root that is nobody on the host has to get through.
        lab.root.chmod(0o755)
        lab.path.chmod(0o755)
        for release in ("1", "2"):
            lab.image(release).write_bytes(system_tar(release))
            # As base_image leaves it.
            lab.image(release).chmod(0o600)
        run("ip", "link", "add", lab.bridge, "type", "bridge")
        run("ip", "address", "add", f"{lab.network}.1/24", "dev", lab.bridge)
        run("ip", "link", "set", lab.bridge, "up")
        return lab

    @classmethod
    def _of(cls, run_name: str) -> LxcLab:
        digest = hashlib.sha256(run_name.encode()).digest()
        return cls(
            Path(tempfile.gettempdir(), DIRECTORY + run_name),
            BRIDGE + digest.hex()[:8],
            f"10.{200 + digest[0] % 13}.{digest[1]}",
        )

    @property
    def path(self) -> Path:
        """The containers' directory."""
        return self.root / "lxc"

    def image(self, release: str) -> Path:
        """An archive."""
        return self.root / f"base-{release}.tar"

    def states(self) -> dict[str, str]:
        """The state of each container, as lxc-ls says it; one that a killed lxc-freeze has begun to freeze will be
        frozen.
        """
        lines = run("lxc-ls", "-P", str(self.path), "-f", "-F", "NAME,STATE").splitlines()[1:]
        return {words[0]: words[1].replace("FREEZING", "FROZEN") for words in map(str.split, lines)}

    def pid(self, name: str) -> int:
        """The first process of a container that runs; 0 of one that does not."""
        return int(run("lxc-info", "-P", str(self.path), "-n", name, "-pH", check=False).strip() or 0)

    def asked(self, name: str, *keys: str) -> list[str]:
        """What liblxc reads in a container's configuration: the values of these keys, one a line."""
        words = [word for key in keys for word in ("-c", key)]
        config = self.path / name / "config"
        lines = run("lxc-info", "-P", "/nonexistent", "-n", "kt-none", "--rcfile", str(config), *words).splitlines()
        return [
            value
            for value in (line.split(" = ", 1)[-1].removesuffix(" =").strip() for line in lines)
            if value and value not in keys
        ]

    def group(self, name: str, *files: str) -> list[str]:
        """What stands in a running container's control group, by the names of version 1."""
        places = self.groups(name)
        return [(places[file.partition(".")[0]] / file).read_text(encoding="ascii").strip() for file in files]

    def groups(self, name: str) -> dict[str, Path]:
        """The control groups of a container that runs, by their controllers: below those in which this program is,
        or not.
        """
        pid = self.pid(name)
        lines = Path(f"/proc/{pid}/cgroup").read_text(encoding="utf-8").splitlines() if pid else []
        found = {}
        for line in lines:
            _number, controllers, path = line.split(":", 2)
            found.update(
                {
                    controller: Path("/sys/fs/cgroup", controller, path.strip("/"))
                    for controller in controllers.split(",")
                    if controller
                }
            )
        return found

    def inside(self, name: str, *command: str) -> str:
        """What a command in the guest prints."""
        return run(
            "lxc-attach", "-P", str(self.path), "-n", name, "--clear-env", "-v", "PATH=/bin:/sbin", "--", *command
        ).strip()

    def clear(self) -> None:
        """Remove all containers."""
        for name, state in self.states().items():
            if state != "STOPPED":
                run("lxc-stop", "-P", str(self.path), "-n", name, "-k", check=False)
        for place in self.path.iterdir():
            if place.is_dir():
                shutil.rmtree(place)
            else:
                place.unlink()

    def remove(self) -> None:
        """Leave nothing."""
        if self.path.is_dir():
            self.clear()
        shutil.rmtree(self.root, ignore_errors=True)
        run("ip", "link", "delete", self.bridge, check=False)
        for link in known(self.root):
            link.unlink(missing_ok=True)


def known(root: Path) -> list[Path]:
    """The links by which the discovery knows directories below that one; other runs beside this one have directories
    of their own.
    """
    found = []
    for link in KNOWN.iterdir() if KNOWN.is_dir() else ():
        with contextlib.suppress(FileNotFoundError):  # another run's, which went while this looked
            if os.readlink(link).startswith(str(root)):
                found.append(link)
    return sorted(found)


def _alive(run_name: str) -> bool:
    """Whether the run of that name holds its lock."""
    try:
        with (LOCKS / run_name).open("r") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def tree(root: Path) -> dict[str, Any]:
    """All below a directory: kind, owner, times, and the content of what is small."""
    found: dict[str, Any] = {}
    for directory, names, files in os.walk(root):
        for name in (*names, *files):
            path = Path(directory, name)
            at = path.lstat()
            content: Any = None
            if path.is_symlink():
                content = os.readlink(path)
            elif path.is_file() and at.st_size < 1 << 16:
                content = path.read_bytes()
            found[str(path.relative_to(root))] = (
                at.st_mode,
                at.st_uid,
                at.st_gid,
                at.st_size,
                at.st_mtime_ns,
                at.st_ctime_ns,
                content,
            )
    return found


def limits(lab: LxcLab, names: Sequence[str]) -> dict[str, str]:
    """What can be set in the control groups of these containers."""
    found = {}
    for name in names:
        places = lab.groups(name)
        for place in (places[file.partition(".")[0]] / file for file in LIMITS if file.partition(".")[0] in places):
            if place.exists():
                found[str(place)] = place.read_text(encoding="ascii")
    return found
