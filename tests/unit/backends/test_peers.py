# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the options of other collections are here: held against what they have, and against what we have."""

from __future__ import annotations

from collections import Counter
from functools import cache
from typing import Any

import pytest

from ansible_collections.kraal.virt.plugins.module_utils.engine.peers import Peer
from tests.lint.documents import options_of
from tests.support import peers
from tests.support.paths import ROOT

PAIRS = [
    pytest.param(module, peer, id=f"{module}-{peer.module}")
    for module, found in peers.MODULES.items()
    for peer in found
]
#: What their elements go into that we have no option for.
OVERLAY = "xml"


@cache
def ours(module: str) -> dict[str, Any]:
    return options_of(ROOT / "plugins" / "modules" / f"{module}.py")


@cache
def recorded() -> dict[str, Any]:
    return peers.recorded()


def theirs(peer: Peer) -> list[str]:
    """All names of all options of theirs."""
    return [name for names in recorded()[peer.module]["options"] for name in names.split()]


def listed(peer: Peer) -> list[str]:
    return [name for other in peer.options for name in other.theirs.split()]


@pytest.mark.parametrize(("module", "peer"), PAIRS)
def test_each_of_their_options_is_told_or_has_the_same_name(module: str, peer: Peer) -> None:
    assert recorded()[peer.module]["version"] == peer.version
    assert sorted({*theirs(peer)} - {*listed(peer)} - {*ours(module)}) == []


@pytest.mark.parametrize(("module", "peer"), PAIRS)
def test_nothing_is_told_of_what_they_do_not_have(module: str, peer: Peer) -> None:
    assert sorted({*listed(peer)} - {*theirs(peer)}) == []
    assert [name for name, count in Counter(listed(peer)).items() if count > 1] == []


@pytest.mark.parametrize(("module", "peer"), PAIRS)
def test_what_it_is_here_is_here(module: str, peer: Peer) -> None:
    assert sorted({name for other in peer.options for name in other.ours.split()} - {*ours(module)}) == []
    # What has no equivalent must not have got one meanwhile.
    lacking = {
        name for other in peer.options if other.ours.split() in ([], [OVERLAY]) for name in other.theirs.split()
    } - {OVERLAY}
    found = sorted(lacking & {*ours(module)})
    assert found == [], f"take {found} out of its line in backends/*/peers.py: there is an option of that name now"


@pytest.mark.parametrize(("module", "peer"), PAIRS)
def test_each_of_their_states_is_told_or_the_same(module: str, peer: Peer) -> None:
    states = set(ours(module)["state"]["choices"])
    assert {*recorded()[peer.module]["states"]} - states == {other.theirs for other in peer.states}
    for words in (other.ours.split() for other in peer.states):
        for name, _equals, value in (word.partition("=") for word in words):
            assert name in ours(module)
            assert not value or value in ours(module)[name].get("choices", [value])


def test_the_guide_has_all_of_it() -> None:
    guide = peers.GUIDE.read_text(encoding="utf-8")
    assert guide == peers.written(guide), "write it anew: python -m tests.support.peers"


@pytest.mark.only_all("it fetches 50 MB; what is recorded of the modules is compared in every run")
def test_they_have_what_is_recorded_of_them() -> None:
    assert peers.read(peers.fetched()) == recorded()
