# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A file system that is full, or that cannot be written: what was begun is gone, what was there is as it was."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.lxc import LxcLab, run, tree

from .driver import Driver


@pytest.fixture
def small(lxc: LxcLab, driver: Driver) -> Iterator[Path]:
    """A directory for containers on a file system of its own."""
    place = lxc.root / "small"
    place.mkdir()
    run("mount", "-t", "tmpfs", "-o", "size=32m,mode=755", "kt-small", str(place))
    yield place
    run("mount", "-o", "remount,rw", str(place))
    (place / "filler").unlink(missing_ok=True)
    driver.run(state="absent", lxc_path=str(place))
    run("umount", "-l", str(place))
    place.rmdir()


def fill(place: Path, left: int) -> None:
    """Leave so many bytes free."""
    found = os.statvfs(place)
    with (place / "filler").open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, max(found.f_bavail * found.f_frsize - left, 1))


def contents(place: Path, name: str) -> dict[str, Any]:
    """All that belongs to the container, but for its log and times."""
    return {path: (at[:4], at[-1]) for path, at in tree(place / name).items() if not path.endswith(".log")}


@pytest.mark.parametrize("state", ["running", "paused", "stopped"])
def test_a_recreation_without_room_leaves_all_as_it_was(driver: Driver, small: Path, state: str) -> None:
    where = {"lxc_path": str(small), "state": state}
    driver.make(**where)
    before = contents(small, driver.name)
    fill(small, 600 << 10)
    for _time in range(2):
        result = driver.run(**where, image="<two>", disruption="recreate")
        assert result.failed and "No space left on device" in result.msg, result.msg
        assert contents(small, driver.name) == before
        assert driver.run(**where).changed is False
    (small / "filler").unlink()
    assert driver.run(**where, image="<two>", disruption="recreate").changed


def test_a_change_without_room_leaves_nothing_begun(driver: Driver, small: Path) -> None:
    where = {"lxc_path": str(small), "state": "stopped"}
    driver.make(**where)
    before = contents(small, driver.name)
    fill(small, 0)
    result = driver.run(**where, labels={"note": "x" * 20000})
    assert result.failed and "No space left on device" in result.msg and "space" in result.msg.split(". ")[1], (
        result.msg
    )
    assert contents(small, driver.name) == before


def test_a_start_that_cannot_write_its_log_says_so(driver: Driver, small: Path) -> None:
    where = {"lxc_path": str(small)}
    driver.make(**where, state="stopped")
    run("mount", "-o", "remount,ro", str(small))
    result = driver.run(**where)
    assert result.failed and "Read-only file system" in result.msg and "for writing" in result.msg, result.msg
    assert "cleared up" not in result.msg and "No such file" not in result.msg, result.msg
