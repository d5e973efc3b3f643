# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""For the unit tests: no daemon, no network; a slow machine is not a failure."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("kraal", deadline=None, max_examples=50)
settings.load_profile("kraal")


@pytest.fixture
def moves(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is written to the disk for good, and what is given its name, in their order."""
    told: list[str] = []
    fsync, replace, rename = os.fsync, os.replace, os.rename

    def synced(handle: int) -> None:
        told.append(f"sync {Path(os.readlink(f'/proc/self/fd/{handle}')).name}")
        fsync(handle)

    def moved(way: Callable[[str | Path, str | Path], None]) -> Callable[[str | Path, str | Path], None]:
        def move(old: str | Path, new: str | Path) -> None:
            told.append(f"move {Path(old).name}")
            way(old, new)

        return move

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", moved(replace))
    monkeypatch.setattr(os, "rename", moved(rename))
    return told


@pytest.fixture
def cases(pytestconfig: pytest.Config) -> Callable[[int], int]:
    """How many mutants of an answer a reader is given: as few as the test says, with --all ten thousand."""
    return (lambda few: 10_000) if pytestconfig.getoption("--all") else (lambda few: few)
