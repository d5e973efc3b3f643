# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests are shared out by what they took: nothing is lost, the longest comes first, and a file is torn apart only
where it says so.
"""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from xdist.remote import Producer

from tests.support.durations import Duration
from tests.support.schedule import TARGET, Scheduler, groups, says, seconds_of

TESTS = [f"{name}.py::test_{number}" for name in ("short", "table", "days") for number in range(10)]
COMMITTED = {"table.py": 180.0, "days.py": 400.0}


def saying(**files: str) -> Callable[[str, str], bool]:
    return lambda name, constant: files.get(name.removesuffix(".py")) == constant


def test_the_longest_group_is_first_and_no_test_is_lost() -> None:
    made = groups(TESTS, {}, COMMITTED, saying())
    assert [group.name for group in made] == ["days.py", "table.py", "short.py"]
    assert sorted(test for group in made for test in group.tests) == sorted(TESTS)


def test_a_file_is_spread_where_it_says_so_and_keeps_its_order() -> None:
    made = groups(TESTS, {}, COMMITTED, saying(table="SPREAD"))
    parts = sorted(group.name for group in made if group.name.startswith("table.py"))
    assert parts == [f"table.py {part}/4" for part in (1, 2, 3, 4)]
    pieces = [group for part in parts for group in made if group.name == part]
    assert [test for group in pieces for test in group.tests] == [test for test in TESTS if test.startswith("table")]
    assert all(TARGET / 2 <= group.seconds <= TARGET * 1.5 for group in pieces)
    assert [group.tests for group in made if group.name == "days.py"] == [
        tuple(test for test in TESTS if test.startswith("days"))
    ]


def test_last_figures_go_before_committed_ones() -> None:
    last = {"short.py::test_0": Duration(setup=1, call=500, teardown=2)}
    assert groups(TESTS, last, COMMITTED, saying())[0].name == "short.py"
    assert seconds_of(["a", "b", "c"], 99.0, {"a": Duration(call=4), "b": Duration(call=2)}) == [4, 2, 3]
    assert seconds_of(["a", "b", "c"], 99.0, {}) == [33, 33, 33]


def test_a_file_says_it_by_a_constant() -> None:
    assert says("tests/integration/kvm_vm/test_plans.py", "SPREAD")
    assert not says("tests/integration/kvm_vm/test_plans.py", "WAITS")
    assert says("tests/integration/test_host_bridge.py", "WAITS")
    assert not says("tests/unit/support/test_schedule.py", "SPREAD")


class Worker:
    """What the scheduler uses of a worker of pytest-xdist."""

    def __init__(self, name: str) -> None:
        self.gateway = SimpleNamespace(id=name)
        self.todo: list[int] = []
        self.shutting_down = False

    def send_runtest_some(self, indexes: list[int]) -> None:
        self.todo += indexes

    def shutdown(self) -> None:
        self.shutting_down = True


@pytest.mark.parametrize("number", [1, 2, 3, 5])
@pytest.mark.parametrize("said", [{}, {"days": "WAITS"}, {"short": "WAITS", "days": "WAITS", "table": "SPREAD"}])
def test_every_test_is_run_once(monkeypatch: pytest.MonkeyPatch, number: int, said: dict[str, str]) -> None:
    """By any number of workers, and the last of several runs what waits, before anything else."""
    monkeypatch.setattr("tests.support.schedule.groups", lambda *args: groups(*args, saying(**said)))
    config: Any = SimpleNamespace(
        option=SimpleNamespace(loadscopereorder=True),
        getvalue=lambda name: [f"{number}*popen"],
        hook=None,
        rootpath=None,
    )
    scheduler = Scheduler(config, Producer("test", enabled=False), {}, COMMITTED)
    workers: list[Any] = [Worker(f"gw{each}") for each in range(number)]
    for worker in workers:
        scheduler.add_node(worker)
        scheduler.add_node_collection(worker, TESTS)
    scheduler.schedule()
    ran: dict[str, list[str]] = {worker.gateway.id: [] for worker in workers}
    while any(worker.todo for worker in workers):
        for worker in workers:
            # The last test that it knows of is not begun before it knows of the next, or that there is none.
            if len(worker.todo) > 1 or (worker.todo and worker.shutting_down):
                index = worker.todo.pop(0)
                ran[worker.gateway.id].append(TESTS[index])
                scheduler.mark_test_complete(worker, index)
    assert sorted(test for tests in ran.values() for test in tests) == sorted(TESTS)
    waiting = {test for test in TESTS if said.get(test.partition(".")[0]) == "WAITS"}
    if 1 < number < 4 and waiting:
        waits = [test in waiting for test in ran[f"gw{number - 1}"]]
        assert waits[0] and waits == sorted(waits, reverse=True)
    assert scheduler.tests_finished and not scheduler.has_pending
