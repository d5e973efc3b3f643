# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The device of KVM as a part of a host's setup: who may open it, where no udev sees to that."""

from __future__ import annotations

import grp
import os
import shutil
import stat
from collections.abc import Sequence
from dataclasses import dataclass

from ....engine.action import Action
from ....engine.errors import os_errors
from ....engine.plan import Step
from ....host.setup import HOST

#: As udev's own rule has it (rules.d/50-udev-default.rules of systemd 252 and 257).
GROUP, MODE = "kvm", 0o660
UDEV = "/run/udev/control"


@dataclass(frozen=True)
class Device:
    """A device that QEMU's user, who is in the group kvm, cannot open.

    Libvirt asks QEMU what it can do, and hears that KVM is there. It then sees that QEMU's user cannot open the
    device, discards the answer, and asks again at each definition and start (libvirt 9.0: seven seconds each).
    """

    path: str
    #: Whose it is now, like "root 0600".
    now: str

    def faults(self) -> Sequence[str]:
        """None."""
        return []

    def plan(self) -> Sequence[Step]:
        """One step."""
        return [Step(HOST, Action.SET, f"device[{self.path}]", self.now, shown(GROUP, MODE))]

    def apply(self, step: Step) -> None:
        """Raises BackendError."""
        remedy = f"Give it to this host with the group {GROUP} and the mode {MODE:04o}, or take it away"
        with os_errors(f"{self.path} cannot be given to the group {GROUP}", remedy):
            shutil.chown(self.path, group=GROUP)
            os.chmod(self.path, MODE)


def shown(group: str, mode: int) -> str:
    """The group and the mode, in the words of a plan. Pure."""
    return f"{group} {mode:04o}"


def device(path: str, udev: str, comes: bool) -> Device | None:
    """What is to be done about the device; None where nothing is.

    ``udev``: the socket of its daemon, whose business devices are where it runs. ``comes``: packages are to be
    installed, and the group with them.
    """
    try:
        found = os.stat(path)
    except OSError:
        return None
    if os.path.exists(udev) or not stat.S_ISCHR(found.st_mode) or found.st_mode & 0o006 == 0o006:
        return None
    try:
        wanted = grp.getgrnam(GROUP).gr_gid
    except KeyError:
        wanted = None
    if (wanted is None and not comes) or (found.st_gid == wanted and found.st_mode & 0o060 == 0o060):
        return None
    return Device(path, shown(_name(found.st_gid), stat.S_IMODE(found.st_mode)))


def _name(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)
