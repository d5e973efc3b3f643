# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Test runs beside each other do not touch each other's objects, and a killed one is cleaned up after by the next."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.support import session


@pytest.fixture(autouse=True)
def own_directory(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(session, "LOCKS", tmp_path)


def test_a_living_run_is_not_abandoned() -> None:
    with session.claimed("one"):
        assert session.abandoned() == []
    assert session.abandoned() == []


def test_a_killed_run_is_given_out_once(tmp_path) -> None:
    code = (
        "import os, pathlib, signal, sys; from tests.support import session; session.LOCKS = "
        "pathlib.Path(sys.argv[1]); claim = session.claimed('two'); claim.__enter__(); os.kill(os.getpid(), "
        "signal.SIGKILL)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False).returncode == -9
    assert session.abandoned() == ["two"]
    assert session.abandoned() == []


def test_names_differ_without_xdist(monkeypatch) -> None:
    monkeypatch.delenv("PYTEST_XDIST_TESTRUNUID", raising=False)
    assert session.new_name() != session.new_name()
