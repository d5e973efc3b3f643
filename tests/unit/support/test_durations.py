# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A run's figures are kept, joined with those of earlier runs, and told."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from tests.support.durations import Duration, Recorder, commit, committed, last, merged, summary


def report(nodeid: str, when: str, start: float, stop: float, worker: str, failed: bool = False) -> Any:
    return SimpleNamespace(
        nodeid=nodeid, when=when, start=start, stop=stop, duration=stop - start, worker_id=worker, failed=failed
    )


def test_a_run_is_written_and_read(tmp_path: Path) -> None:
    path = tmp_path / "cache" / "durations.json"
    recorder = Recorder(path)
    for when, start, stop in (("setup", 100, 101), ("call", 101, 104), ("teardown", 104, 104.5)):
        recorder.pytest_runtest_logreport(report("tests/README.md::test_a", when, start, stop, "gw1"))
    recorder.pytest_runtest_logreport(report("tests/README.md::test_b", "call", 105, 109, "gw1", failed=True))
    recorder.pytest_sessionfinish()
    assert last(path) == {"tests/README.md::test_a": Duration(1, 3, 0.5, "gw1", 100, 104.5)}
    assert [entry.name for entry in path.parent.iterdir()] == ["durations.json"]


def test_figures_of_files_that_did_not_run_stay_and_of_files_that_are_gone_do_not(tmp_path: Path) -> None:
    (tmp_path / "one.py").touch()
    (tmp_path / "two.py").touch()
    old = {
        "one.py::a": Duration(call=1),
        "one.py::gone": Duration(call=1),
        "two.py::a": Duration(call=2),
        "three.py::a": Duration(call=3),
    }
    assert merged(old, {"one.py::a": Duration(call=9)}, tmp_path) == {
        "one.py::a": Duration(call=9),
        "two.py::a": Duration(call=2),
    }


def test_the_summary_names_who_ended_last_and_who_was_idle() -> None:
    ran = {
        "tests/integration/test_a.py::a": Duration(call=60, worker="gw0", start=0, end=60),
        "tests/integration/test_a.py::b": Duration(setup=5, call=30, worker="gw0", start=60, end=95),
        "tests/unit/test_b.py::a": Duration(call=40, worker="gw1", start=1, end=41),
    }
    total, worst, longest = summary(ran)
    assert (
        total == "95 s from the first test's start to the last one's end, 135 s of tests; seconds idle: gw0 0, gw1 55"
    )
    assert worst == "gw0 ended last; it ran test_a.py 95"
    assert longest == "the longest files: test_a.py 95, unit/test_b.py 40"
    assert list(summary({})) == []


def test_what_is_committed_is_rounded(tmp_path: Path) -> None:
    path = tmp_path / "durations.json"
    commit(
        {
            "a.py::a": Duration(call=748.4),
            "a.py::b": Duration(call=1),
            "b.py::a": Duration(call=7.4),
            "c.py::a": Duration(call=2),
        },
        path,
    )
    assert committed(path) == {"a.py": 750, "b.py": 7}
