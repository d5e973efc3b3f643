# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Observe all, plan all, apply side by side, verify: with a backend in memory."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ansible_collections.kraal.virt.plugins.module_utils.engine import lock
from ansible_collections.kraal.virt.plugins.module_utils.engine.errors import InvalidOption, NotKept, Refused
from ansible_collections.kraal.virt.plugins.module_utils.engine.reconcile import Job, Outcome, reconcile
from tests.unit.engine.boxes import Boxes, want

NAMES = ["a", "b", "c", "d"]
WANTS = st.dictionaries(
    st.sampled_from(NAMES),
    st.fixed_dictionaries(
        {"state": st.sampled_from(["running", "absent"])},
        optional={
            "memory": st.sampled_from(["1KiB", "2KiB"]),
            "tags": st.lists(st.sampled_from("xyz")),
            "purge": st.just(["tags"]),
        },
    ),
)


@pytest.fixture(autouse=True)
def locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(lock, "directory", lambda: str(tmp_path / "locks"))
    return tmp_path


def run(boxes: Boxes, *specs: Any, check: bool = False, **options: Any) -> list[Outcome]:
    return reconcile([Job(boxes, list(specs))], check=check, **options)


def test_a_check_ends_before_anything_is_done(locks: Path) -> None:
    boxes = Boxes({"b": {"state": "running", "memory": 1}})
    outcomes = run(boxes, want("a", memory="1KiB"), want("b", memory="2KiB"), check=True)
    assert [outcome.changed for outcome in outcomes] == [True, True]
    assert (boxes.applied, boxes.waited, boxes.observed) == ([], [], 1)
    assert list(locks.iterdir()) == [], "not even the lock's file is made"


def test_the_plan_is_the_same_under_check_and_for_real() -> None:
    specs = [want("a", memory="1KiB", tags=["x"]), want("b", memory="2KiB"), want("c", state="absent")]

    def scene() -> Boxes:
        return Boxes({"b": {"state": "running", "memory": 1}, "c": {"state": "running"}})

    checked, done = run(scene(), *specs, check=True), run(scene(), *specs)
    assert [outcome.steps for outcome in checked] == [outcome.steps for outcome in done]
    assert [outcome.changed for outcome in checked] == [outcome.changed for outcome in done] == [True, True, True]
    assert [outcome.described and outcome.described["state"] for outcome in checked] == ["running", "running", None]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(WANTS, WANTS)
def test_a_second_run_changes_nothing(before: dict[str, Any], after: dict[str, Any]) -> None:
    boxes = Boxes()
    for wanted in (before, after):
        specs = [want(name, **options) for name, options in wanted.items()]
        assert all(outcome.error is None for outcome in run(boxes, *specs))
        again = run(boxes, *specs)
        assert [(outcome.changed, outcome.steps, outcome.error) for outcome in again] == [(False, [], None)] * len(
            specs
        )


def test_what_the_backend_does_not_keep_is_an_error() -> None:
    (outcome,) = run(Boxes(forgets=["memory"]), want("a", memory="1KiB"))
    assert isinstance(outcome.error, NotKept)
    assert str(outcome.error) == (
        "boxes a: the plan was performed, but boxes did not keep: memory is None, wanted '1KiB'. "
        "Look at what boxes has logged, or write these options the way it keeps them."
    )
    assert outcome.changed


def test_one_failure_stops_nobody_else_and_hides_nothing() -> None:
    boxes = Boxes(refuses=["b"])
    outcomes = run(boxes, want("a"), want("b"), want("c"))
    assert [str(outcome.error) if outcome.error else None for outcome in outcomes] == [
        None,
        "boxes b: the box is nailed shut",
        None,
    ]
    assert sorted(boxes.boxes) == ["a", "c"]
    assert outcomes[1].changed, "a step that failed half-way may have changed something"


def test_no_more_is_begun_than_failures_are_allowed() -> None:
    boxes = Boxes(refuses=["a", "b"])
    outcomes = run(boxes, *map(want, "abcd"), concurrency=1, max_failures=1)
    assert sorted(boxes.boxes) == []
    assert [outcome.changed for outcome in outcomes] == [True, True, False, False]
    assert "not begun, because 2 others had failed" in str(outcomes[3].error)


def test_what_is_refused_is_refused_before_anything_is_touched() -> None:
    boxes = Boxes({"a": {"state": "running", "lid": "oak"}})
    (outcome,) = run(boxes, want("a", lid="pine", memory="1KiB"))
    assert isinstance(outcome.error, Refused)
    assert (boxes.applied, outcome.changed, outcome.steps) == ([], False, [])
    assert outcome.described is not None and outcome.described["state"] == "running"


def test_a_restart_that_is_not_allowed_is_refused_with_its_keys() -> None:
    """A backend that can store nothing while its guest runs: left out, the difference would be told to nobody."""
    boxes = Boxes({"a": {"state": "running", "shelf": "1"}})
    for check in (True, False):
        (outcome,) = reconcile([Job(boxes, [want("a", shelf="2", memory="1KiB")])], check=check)
        assert str(outcome.error) == (
            "boxes a: shelf cannot change without disruption 'restart', and this task allows 'live' at most. "
            "Allow it with disruption=restart, or leave these options as they are."
        )
        assert not outcome.changed and not outcome.steps and not boxes.applied
    (outcome,) = run(boxes, want("a", shelf="2", memory="1KiB", disruption="restart"))
    assert outcome.error is None and outcome.changed
    assert boxes.boxes["a"] == {"state": "running", "shelf": "2", "memory": 1024}


def test_a_restart_whose_values_are_stored_already_is_left_out() -> None:
    boxes = Boxes({"a": {"state": "running", "shelf": "1"}}, defers=["shelf"])
    (outcome,) = run(boxes, want("a", shelf="2", memory="1KiB"))
    assert outcome.error is None
    assert [step.key for step in outcome.steps] == ["memory"]
    assert boxes.boxes["a"] == {"state": "running", "shelf": "1", "memory": 1024}


def test_each_guest_of_a_backend_that_is_gone_fails_by_itself() -> None:
    gone, there = Boxes(unreachable=True), Boxes()
    there.table = type(there.table)("crates", "crate", there.table.options, waits=there.table.waits)
    outcomes = reconcile([Job(gone, [want("a"), want("b")]), Job(there, [want("a")])], check=False)
    assert [str(outcome.error) if outcome.error else None for outcome in outcomes] == [
        "boxes a: the shelf is gone. Bring a shelf.",
        "boxes b: the shelf is gone. Bring a shelf.",
        None,
    ]
    assert [outcome.seen for outcome in outcomes] == [False, False, True]
    assert sorted(there.boxes) == ["a"]


def test_all_guests_are_looked_at_in_one_go() -> None:
    boxes = Boxes({name: {"state": "running"} for name in NAMES})
    assert not any(outcome.changed for outcome in run(boxes, *map(want, NAMES)))
    assert boxes.observed == 1
    run(boxes, *[want(name, memory="1KiB") for name in NAMES])
    assert boxes.observed == 3, "once to plan, once to verify"


def test_waiting_comes_after_the_work_and_without_work() -> None:
    boxes = Boxes()
    run(boxes, want("a", wait_for="running"))
    run(boxes, want("a", wait_for="running"))
    assert boxes.waited == ["a", "a"]


def test_outcomes_come_in_the_order_of_the_specifications() -> None:
    names = [f"box-{number}" for number in range(20)]
    assert [outcome.name for outcome in run(Boxes(), *map(want, names), concurrency=8)] == names


def test_two_guests_of_one_name_are_refused() -> None:
    boxes = Boxes()
    with pytest.raises(InvalidOption, match="two boxes guests"):
        run(boxes, want("a"), want("a"))
    assert boxes.observed == 0


def test_an_address_that_was_waited_for_is_told() -> None:
    """Of a guest that nothing else was done to, too; one that has its address already is not looked at twice."""

    class Leases(Boxes):
        def wait(self, spec: Any) -> None:
            self.boxes[spec.name]["addresses"] = [{"address": "192.0.2.1"}]

        def describe(self, name: str, seen: Any) -> dict[str, Any] | None:
            return {**(super().describe(name, seen) or {}), "addresses": seen[name].get("addresses", [])}

        def foresee(self, spec: Any, steps: Any, seen: Any) -> dict[str, Any] | None:
            return self.describe(spec.name, seen)

    boxes = Leases({"a": {"state": "running"}})
    (first,) = run(boxes, replace(want("a"), wait_for="address"))
    assert (first.changed, first.described and first.described["addresses"], boxes.observed) == (
        False,
        [{"address": "192.0.2.1"}],
        2,
    )
    (again,) = run(boxes, replace(want("a"), wait_for="address"))
    assert (again.changed, again.described, boxes.observed) == (False, first.described, 3)
    boxes = Leases({"a": {"state": "running"}})
    run(boxes, replace(want("a"), wait_for="address"), check=True)
    assert boxes.observed == 1
