# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one form of a guest, and what it will be."""

from __future__ import annotations

import json
from dataclasses import replace

from ansible_collections.kraal.virt.plugins.module_utils.engine.action import Action, Disruption
from ansible_collections.kraal.virt.plugins.module_utils.engine.plan import Step
from ansible_collections.kraal.virt.plugins.module_utils.engine.result import Address, Guest, foreseen

FRESH = Guest("a", "boxes")
NOW = Guest(
    "a",
    "boxes",
    id="1f",
    state="running",
    image="old",
    memory="1GiB",
    addresses=(Address("192.0.2.5", "ipv4", "front"),),
    labels={"role": "web"},
)
SET = Step("a", Action.SET, "memory", "1GiB", "2GiB", Disruption.LIVE)


def test_a_guest_is_plain_data() -> None:
    data = NOW.as_dict()
    assert json.loads(json.dumps(data)) == data
    first = ["name", "backend", "id", "state", "raw_state", "image", "cpus", "memory"]
    assert list(data) == [*first, "addresses", "labels", "autostart", "pending_restart", "place"]
    assert data["addresses"] == [{"address": "192.0.2.5", "family": "ipv4", "network": "front", "mac": ""}]


def test_without_steps_nothing_changes() -> None:
    assert foreseen(NOW, FRESH, {"memory": "1GiB"}, []) is NOW


def test_what_is_set_is_foreseen_and_the_rest_stays() -> None:
    guest = foreseen(NOW, FRESH, {"memory": "2GiB", "cpus": 2, "labels": {"tier": "1"}, "env": {"A": "1"}}, [SET])
    assert guest is not None
    assert (guest.memory, guest.cpus, guest.labels) == ("2GiB", 2, {"role": "web", "tier": "1"})
    assert (guest.id, guest.state, guest.image, guest.addresses) == (NOW.id, NOW.state, NOW.image, NOW.addresses)


def test_a_guest_that_is_created_starts_from_nothing() -> None:
    steps = [
        Step("a", Action.CREATE, "", None, {"image": "new"}),
        Step("a", Action.START, "state", "stopped", "running"),
    ]
    guest = foreseen(None, FRESH, {"image": "new"}, steps)
    assert guest == Guest("a", "boxes", state="running", image="new")


def test_the_last_word_on_the_state_counts() -> None:
    steps = [
        Step("a", Action.START, "state", "stopped", "running"),
        Step("a", Action.PAUSE, "state", "running", "paused"),
    ]
    guest = foreseen(NOW, FRESH, {}, steps)
    assert guest is not None and guest.state == "paused"


def test_the_backends_own_word_stays_until_the_state_changes() -> None:
    now = replace(NOW, raw_state="up")
    stop = Step("a", Action.STOP, "state", "running", "stopped")
    again = Step("a", Action.RECREATE, "", {"memory": "1GiB"}, {"memory": "2GiB"})
    words = [guest.raw_state for guest in (foreseen(now, FRESH, {}, [step]) for step in (SET, stop, again)) if guest]
    assert words == ["up", "", ""]


def test_what_is_removed_is_no_guest() -> None:
    assert foreseen(NOW, FRESH, {}, [Step("a", Action.REMOVE, "", {}, None)]) is None


def test_a_label_that_is_purged_is_not_foreseen() -> None:
    both = Step(
        "a", Action.RECREATE, "", {"labels[role]": "web", "memory": "1GiB"}, {"labels[tier]": "1", "memory": "2GiB"}
    )
    single = Step("a", Action.SET, "labels[role]", "web", None)
    for step in (both, single):
        guest = foreseen(NOW, FRESH, {"labels": {"tier": "1"}}, [step])
        assert guest is not None and guest.labels == {"tier": "1"}
