# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may open /dev/kvm where no udev sees to that: planned, done, and left alone."""

from __future__ import annotations

import grp
import os
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.kraal.virt.plugins.module_utils.backends.kvm.setup import device as setup_device


@pytest.mark.parametrize(
    ("mode", "mine", "udev", "group", "comes", "planned"),
    [
        (0o600, True, False, True, False, True),
        (0o660, True, False, True, False, False),
        (0o660, False, False, True, False, True),
        (0o666, False, False, True, False, False),
        (0o600, True, True, True, False, False),
        (0o600, True, False, False, False, False),
        (0o600, True, False, False, True, True),
    ],
)
def test_the_device_is_for_qemus_user_where_udev_does_not_see_to_it(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    mode: int,
    mine: bool,
    udev: bool,
    group: bool,
    comes: bool,
    planned: bool,
) -> None:
    """A terminal of our own stands for it: a device, whose group and mode we may change."""
    ours, other = os.openpty()
    path = os.ttyname(other)
    os.chmod(path, mode)
    found = os.stat(path)

    def getgrnam(_name: str) -> Any:
        if not group:
            raise KeyError
        return grp.struct_group(("kvm", "x", found.st_gid if mine else found.st_gid + 1, []))

    monkeypatch.setattr(setup_device.grp, "getgrnam", getgrnam)
    if udev:
        (tmp_path / "control").touch()
    node = setup_device.device(path, str(tmp_path / "control"), comes)
    assert (node is not None) == planned
    if node is not None and mine and group:
        (step,) = node.plan()
        assert (step.key, step.after) == (f"device[{path}]", "kvm 0660") and step.before.endswith(f" {mode:04o}")
        monkeypatch.setattr(setup_device.shutil, "chown", lambda path, group: os.chown(path, -1, found.st_gid))
        node.apply(step)
        assert setup_device.device(path, str(tmp_path / "control"), comes) is None
    os.close(ours)
    os.close(other)


def test_what_is_no_device_is_left() -> None:
    assert setup_device.device("/dev/kt-none", "/nowhere", True) is None
    assert setup_device.device("/etc/passwd", "/nowhere", True) is None
