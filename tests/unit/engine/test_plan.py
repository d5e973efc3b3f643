# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What may be done of a plan, and how it is shown."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.kraal.virt.plugins.module_utils.engine.action import STATE_ACTIONS, Action, Disruption
from ansible_collections.kraal.virt.plugins.module_utils.engine.errors import Refused
from ansible_collections.kraal.virt.plugins.module_utils.engine.plan import Step, diff_of, keys_of, permitted, power

NONE, LIVE, RESTART, RECREATE, DESTROY = Disruption

CREATE = Step("a", Action.CREATE, "", None, {"image": "x", "state": "stopped"})
START = Step("a", Action.START, "state", "stopped", "running")
STOP = Step("a", Action.STOP, "state", "running", "stopped", RESTART)
SET = Step("a", Action.SET, "memory", "1MiB", "2MiB", LIVE)
REBOOT = Step("a", Action.RESTART, "firmware", "bios", "efi", RESTART, deferred=True)
LOCKED = Step("a", Action.SET, "vram", "8MiB", "16MiB", RESTART)
ANEW = Step("a", Action.RECREATE, "", {"env[A]": "1", "user": "x"}, {"env[A]": "2", "env[B]": "3"}, RECREATE)
REMOVE = Step("a", Action.REMOVE, "", {"image": "x", "state": "stopped"}, None, DESTROY)

STEPS = st.lists(st.sampled_from([CREATE, START, STOP, SET, REBOOT, LOCKED, ANEW, REMOVE]), max_size=5)


def test_disruptions_are_ordered_words() -> None:
    assert Disruption.names() == ["none", "live", "restart", "recreate", "destroy"]
    assert [Disruption.parse(word) for word in Disruption.names()] == sorted(Disruption)
    assert all(Disruption.parse(each.label) is each for each in Disruption)


def test_a_step_is_public_as_plain_data() -> None:
    assert SET.as_dict() == {
        "guest": "a",
        "action": "set",
        "key": "memory",
        "before": "1MiB",
        "after": "2MiB",
        "disruption": "live",
    }


def test_the_keys_of_a_step() -> None:
    assert keys_of(SET) == ["memory"]
    assert keys_of(ANEW) == ["env[A]", "env[B]", "user"]
    assert keys_of(Step("a", "wake")) == []


@pytest.mark.parametrize("step", [CREATE, START, STOP, REMOVE], ids=lambda step: step.action)
def test_what_the_state_asks_for_needs_no_permission(step: Step) -> None:
    assert permitted([step], NONE) == [step]


def test_a_recreation_that_is_not_allowed_names_the_keys_and_the_remedy() -> None:
    with pytest.raises(Refused) as caught:
        permitted([SET, ANEW], LIVE)
    assert str(caught.value) == (
        "env[A], env[B], user cannot change without disruption 'recreate', and this task allows 'live' at most. "
        "Allow it with disruption=recreate, or leave these options as they are."
    )


def test_a_restart_that_is_not_allowed_is_left_pending() -> None:
    assert permitted([SET, REBOOT], LIVE) == [SET]
    assert permitted([SET, REBOOT], RESTART) == [SET, REBOOT]


def test_a_restart_of_what_cannot_be_stored_is_refused_with_its_keys() -> None:
    with pytest.raises(
        Refused, match="^vram cannot change without disruption 'restart', and this task allows 'live' at most"
    ):
        permitted([SET, LOCKED, REBOOT], LIVE)
    assert permitted([SET, LOCKED, REBOOT], RESTART) == [SET, LOCKED, REBOOT]


def test_a_live_change_that_is_not_allowed_is_refused_too() -> None:
    with pytest.raises(Refused, match="memory cannot change without disruption 'live'"):
        permitted([SET, START], NONE)


@given(STEPS, st.sampled_from(list(Disruption)))
def test_nothing_beyond_what_is_allowed_is_done(steps: list[Step], allow: Disruption) -> None:
    try:
        done = permitted(steps, allow)
    except Refused:
        assert any(step.disruption > allow and not step.deferred and step.action not in STATE_ACTIONS for step in steps)
        return
    assert all(step.disruption <= allow or step.action in STATE_ACTIONS for step in done)
    assert done == [step for step in steps if step in done], "in their order"


@given(STEPS)
def test_everything_is_allowed_to_whoever_allows_everything(steps: list[Step]) -> None:
    assert permitted(steps, DESTROY) == steps


def test_a_diff_has_the_changed_keys_only() -> None:
    assert diff_of([SET]) == {"before": {"memory": "1MiB"}, "after": {"memory": "2MiB"}}
    assert diff_of([ANEW], "docker a") == {
        "before": {"env[A]": "1", "user": "x"},
        "after": {"env[A]": "2", "env[B]": "3"},
        "before_header": "docker a",
        "after_header": "docker a",
    }
    assert diff_of([]) == {"before": {}, "after": {}}


def test_a_diff_goes_from_the_first_value_to_the_last() -> None:
    pause = Step("a", Action.PAUSE, "state", "running", "paused")
    assert diff_of([START, pause]) == {"before": {"state": "stopped"}, "after": {"state": "paused"}}


def test_what_is_created_was_nothing_before() -> None:
    assert diff_of([CREATE, START]) == {"before": {}, "after": {"image": "x", "state": "running"}}


def test_what_is_removed_is_nothing_after() -> None:
    assert diff_of([STOP, REMOVE]) == {"before": {"state": "running", "image": "x"}, "after": {}}


def test_the_way_from_one_power_state_to_another() -> None:
    steps = list(power("a", "stopped", "paused"))
    assert [(step.action, step.before, step.after, step.disruption) for step in steps] == [
        ("start", "stopped", "running", Disruption.NONE),
        ("pause", "running", "paused", Disruption.LIVE),
    ]
    assert [step.disruption for step in power("a", "paused", "stopped")] == [Disruption.RESTART]
    assert list(power("a", "running", "running")) == []
