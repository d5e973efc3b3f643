# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is answered to options of other collections' modules."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.kraal.virt.plugins.module_utils.engine.entries import checked
from ansible_collections.kraal.virt.plugins.module_utils.engine.errors import KraalError
from ansible_collections.kraal.virt.plugins.module_utils.engine.peers import Other, Peer, advice

SPEC: dict[str, Any] = {
    "name": {"type": "str"},
    "memory": {"type": "str"},
    "state": {"type": "str", "choices": ["running", "absent"]},
}
PEERS = (
    Peer(
        "a.b.box",
        "1.0.0",
        (Other("ram mem", "memory"), Other("lid", "", "Close it by hand"), Other("size", "memory", "With a unit")),
        (Other("started", "state=running"),),
    ),
    Peer("a.b.crate", "1.0.0", (Other("mem", "name"), Other("lid", "", "Close it by hand"))),
)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"name": "x", "memory": 1, "state": "running"}, []),
        ({"name": "x"}, []),
        ({"ram": 1}, ["ram of a.b.box is memory here."]),
        ({"mem": 1}, ["mem of a.b.box is memory here. mem of a.b.crate is name here."]),
        ({"lid": 1}, ["lid of a.b.box and a.b.crate has no equivalent here: Close it by hand."]),
        ({"size": 1, "ram": 2}, ["ram of a.b.box is memory here.", "size of a.b.box is memory here: With a unit."]),
        ({"memry": 1}, ["Did you mean memory?"]),
        ({"nonsense": 1, "state": "nonsense"}, []),
        ({"state": "started"}, ["state=started of a.b.box is state=running here."]),
        ({"state": ["started"]}, []),
    ],
)
def test_advice(given: dict[str, Any], told: list[str]) -> None:
    assert [each for each in advice(PEERS, SPEC, given) if each] == told


def test_an_entry_of_a_list_gets_it_too() -> None:
    with pytest.raises(KraalError) as caught:
        checked(SPEC, {"ram": 1, "state": "started"}, set(), "boxes", PEERS)
    assert str(caught.value) == (
        "ram: no such option. ram of a.b.box is memory here. state=started of a.b.box is state=running here. "
        "The options are those of boxes."
    )
    with pytest.raises(KraalError, match=r"state=started of a\.b\.box is state=running here\. See the options"):
        checked(SPEC, {"state": "started"}, set(), "boxes", PEERS)
