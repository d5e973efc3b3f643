# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the options of other collections' modules are here, for who comes from them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any


@dataclass(frozen=True)
class Other:
    """Options of another module that have another name here, mean something else here, or are not here."""

    #: Their names, with the other ones that they have there, and blanks between them.
    theirs: str
    #: The options that say so here, with blanks between them. Empty: there is none.
    ours: str = ""
    #: How it is written here, or what to do instead. No full stop at its end.
    note: str = ""

    def told(self, name: str, modules: Iterable[str]) -> str:
        """One of its names in these modules, and what it is here: a sentence."""
        here = "is {} here".format(", ".join(self.ours.split())) if self.ours else "has no equivalent here"
        return "{} of {} {}{}.".format(name, " and ".join(modules), here, f": {self.note}" if self.note else "")


@dataclass(frozen=True)
class Peer:
    """A module of another collection: all of its options that are not the same here, and its states."""

    #: Its full name.
    module: str
    #: The version of its collection that was read.
    version: str
    options: tuple[Other, ...]
    #: As options; what they are here is written like state=running.
    states: tuple[Other, ...] = ()


def told(peers: Iterable[Peer], option: str) -> str:
    """What an option of these modules is here; empty where none of them has it."""
    found: dict[Other, list[str]] = {}
    for peer in peers:
        for other in peer.options:
            if option in other.theirs.split():
                found.setdefault(other, []).append(peer.module)
    return " ".join(other.told(option, modules) for other, modules in found.items())


def state_told(peers: Iterable[Peer], state: Any) -> str:
    """The same for a state."""
    for peer in peers:
        for other in peer.states:
            if state == other.theirs:
                return other.told(f"state={state}", [peer.module])
    return ""


def advice(peers: Iterable[Peer], spec: Mapping[str, Any], given: Mapping[str, Any]) -> Iterator[str]:
    """What was probably meant by the options that are not there, and by a state that is none: sentences.

    ``spec``: Ansible's declaration of the options. ``given``: what a task has set.
    """
    peers = tuple(peers)
    for option in sorted(str(key) for key in given if key not in spec):
        near = get_close_matches(option, spec, 1, 0.7)
        yield told(peers, option) or (f"Did you mean {near[0]}?" if near else "")
    if given.get("state") not in spec.get("state", {}).get("choices", ()):
        yield state_told(peers, given.get("state"))
