# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One run at a time works on what the containers of a directory have in common, and nobody else can keep it waiting."""

from __future__ import annotations

import fcntl
import os
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ansible_collections.kraal.virt.plugins.module_utils.backends.lxc.container.make import Maker
from ansible_collections.kraal.virt.plugins.module_utils.engine import lock


@pytest.fixture
def maker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Maker:
    monkeypatch.setattr(lock, "directory", lambda: str(tmp_path / "locks"))
    lxc: Any = SimpleNamespace(path=str(tmp_path / "lxc"))
    (tmp_path / "lxc").mkdir()
    return Maker(lxc)


def goes_on(maker: Maker) -> bool:
    other = threading.Thread(target=maker.free_bases, daemon=True)
    other.start()
    other.join(0.5)
    return not other.is_alive()


def test_two_wait_for_each_other(maker: Maker) -> None:
    with maker._locked():
        assert not goes_on(maker)
    assert goes_on(maker)


def test_whoever_may_read_the_directory_keeps_nobody_waiting(maker: Maker) -> None:
    directory = os.open(maker.root, os.O_RDONLY)
    try:
        fcntl.flock(directory, fcntl.LOCK_EX)
        assert goes_on(maker)
    finally:
        os.close(directory)
