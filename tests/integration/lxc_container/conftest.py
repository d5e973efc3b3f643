# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.lxc import LxcLab
from tests.support.module_process import module_environment
from tests.support.paths import ROOT
from tests.support.warm_module import WarmModule

from .driver import MODULE, Driver


@pytest.fixture(scope="session")
def module(lxc: LxcLab) -> Iterator[WarmModule]:
    """The module, imported once under the distribution's Python, with the hook that can kill it."""
    crash = lxc.root / "crash.json"
    crash.write_text(json.dumps({"roots": [], "log": os.devnull, "at": 0, "how": ""}), encoding="utf-8")
    path = os.pathsep.join([str(ROOT / "tests" / "support" / "crash_hook"), module_environment()["PYTHONPATH"]])
    with WarmModule(MODULE, env={"PYTHONPATH": path, "KT_CRASH": str(crash)}) as warm:
        yield warm


@pytest.fixture
def driver(lxc: LxcLab, module: WarmModule, tmp_path: Path) -> Iterator[Driver]:
    """One guest of the test's own; all guests are gone after the test."""
    yield Driver(lxc, module, tmp_path)
    lxc.clear()
