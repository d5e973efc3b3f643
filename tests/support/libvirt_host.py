# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The libvirtd of a lab host in the place of the tests' own: another release of libvirt and QEMU, under systemd. The
modules run on the host, with its Python.

Its socket and a directory for pools and files are shared with the host, at the same paths in there and out here, so
tests need not know which one they have.
"""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path
from types import TracebackType

import ansible

from tests.lab.hosts import Lab, LabHost
from tests.lab.hypervisor import kvm_packages
from tests.lab.images import HostImage

from .libvirt_daemon import LIBVIRTD_CONF, QEMU_CONF, LibvirtDaemon
from .paths import COLLECTIONS, ROOT, SYSTEM_PYTHON

#: Beside what the role installs: what options of the tests' tables need. Since Debian 13 each kind of pool has a
#: package of its own.
MORE = (
    "genisoimage",
    "libvirt-daemon-driver-storage-rbd",
    "libvirt-daemon-driver-storage-zfs",
    "lvm2",
    "ovmf",
    "swtpm",
    "swtpm-tools",
)
_SINCE_13 = ("libvirt-daemon-driver-storage-iscsi", "libvirt-daemon-driver-storage-logical", "virtiofsd")
KINDS = {"trixie": _SINCE_13, "sid": _SINCE_13}

UNITS = ("libvirtd.service", "libvirtd.socket", "libvirtd-ro.socket", "libvirtd-admin.socket")


class LibvirtHost(LibvirtDaemon):
    """The libvirtd of a host that is booted for it. `directory` is short, and not below /tmp, which systemd clears."""

    def __init__(self, directory: Path, suite: str, lab: Lab) -> None:
        super().__init__(directory)
        self.suite = suite
        self.lab = lab
        self.host: LabHost | None = None

    @property
    def python(self) -> list[str]:
        return self.command(SYSTEM_PYTHON)

    @property
    def scratch(self) -> Path:
        return self.directory / "scratch"

    @property
    def import_path(self) -> list[str]:
        """Of ansible-core nothing but itself: the environment's other packages are for another Python."""
        return [str(self.directory / "core"), str(COLLECTIONS)]

    def command(self, *command: str) -> list[str]:
        return ["nsenter", "--target", str(self._init), "--mount", "--uts", "--ipc", "--net", "--pid", "--", *command]

    def __enter__(self) -> LibvirtHost:
        core = Path(ansible.__file__).parent.resolve()
        for name in ("core", "run", "run/libvirt", "scratch"):
            (self.directory / name).mkdir()
        (self.directory / "core" / "ansible").symlink_to(core)
        binds = [
            f"{self.directory}:{self.directory}",
            f"{self.directory}/run/libvirt:/run/libvirt",
            f"{ROOT}:{ROOT}:ro",
        ]
        binds += [] if core.is_relative_to(ROOT) else [f"{core}:{core}:ro"]
        packages = (*kvm_packages(), *MORE, *KINDS.get(self.suite, ()))
        (self.host,) = self.lab.up(HostImage(self.suite, packages), binds=binds)
        self._init = self.lab.process(self.host)
        for name, place in (("etc", "/etc/libvirt"), ("lib", "/var/lib/libvirt")):
            # Its first process sees its files by these paths, and so does who looks from here.
            (self.directory / name).symlink_to(f"/proc/{self._init}/root{place}")
        self.lab.copy(
            self.host,
            {"/etc/libvirt/libvirtd.conf": LIBVIRTD_CONF.encode(), "/etc/libvirt/qemu.conf": QEMU_CONF.encode()},
        )
        self.restart()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def start(self) -> None:
        self.inside("systemctl", "start", *UNITS)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """End libvirtd alone, and the sockets at which systemd would start it again."""
        if number is not signal.SIGTERM:
            self.inside("systemctl", "kill", f"--signal={number.name}", UNITS[0], check=False)
        self.inside("systemctl", "stop", *UNITS)

    def close(self) -> None:
        self.lab.down()

    def ssh_uri(self) -> str:
        """How it is reached over ssh with an ssh that knows the host (`lab.ssh_program()`)."""
        assert self.host is not None
        return f"qemu+ssh://root@{self.host.address}/system?command={self.lab.ssh_program()}/ssh"

    def versions(self) -> str:
        """Of libvirt and QEMU."""
        done = subprocess.run(
            ["virsh", "-c", self.uri, "version", "--daemon"],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "LC_ALL": "C"},
        )
        return done.stdout
