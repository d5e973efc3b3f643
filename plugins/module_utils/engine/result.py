# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The one form in which every backend describes a guest, and what will become of it. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from .action import Action, PowerState
from .plan import Step


@dataclass(frozen=True)
class Address:
    """One address of a guest. ``family`` is ipv4 or ipv6; ``mac`` is in lower case, empty where unknown."""

    address: str
    family: str
    network: str
    mac: str = ""


@dataclass(frozen=True)
class Guest:
    """One guest as modules, guests_info, fleet and the inventory show it.

    ``raw_state`` is the backend's own word for the state, empty where nobody can know it. ``memory`` as a size
    (512MiB), empty: no limit.
    """

    name: str
    backend: str
    id: str = ""
    state: str = PowerState.STOPPED
    raw_state: str = ""
    image: str = ""
    cpus: float | int | None = None
    memory: str = ""
    addresses: tuple[Address, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    autostart: bool = False
    pending_restart: tuple[str, ...] = ()
    #: Where it is, if that is not the host's own default: see GuestId.
    place: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Plain data, lists rather than tuples."""
        lists = {"addresses": [asdict(each) for each in self.addresses], "pending_restart": [*self.pending_restart]}
        return {**asdict(self), **lists, "state": str(self.state)}


def foreseen(now: Guest | None, fresh: Guest, shown: Mapping[str, Any], steps: Sequence[Step]) -> Guest | None:
    """The guest after these steps, as far as it can be known before them: what --check returns.

    ``fresh`` is what a guest that is created starts as; ``shown`` the options that are set, as a user would write them.
    What only the backend can say (an id, an address) stays as it is now.
    """
    if any(step.action == Action.REMOVE for step in steps):
        return None
    guest = now or fresh
    if not steps:
        return guest
    plain = {key: shown[key] for key in ("image", "cpus", "memory", "autostart") if key in shown}
    labels = {
        key: text
        for key, text in guest.labels.items()
        if not any(_key_is_removed(f"labels[{key}]", step) for step in steps)
    }
    labels.update(shown.get("labels", {}))
    states = [step.after for step in steps if step.key == "state"]
    made = any(step.action in (Action.CREATE, Action.RECREATE) for step in steps)
    guest = replace(guest, **plain, labels=labels, raw_state="" if made else guest.raw_state)
    return in_state(guest, states[-1]) if states else guest


def in_state(guest: Guest, state: str) -> Guest:
    """The guest in that power state, whose own word in the backend only the backend can say unless it is in it
    already.
    """
    return guest if guest.state == state else replace(guest, state=state, raw_state="")


def _key_is_removed(key: str, step: Step) -> bool:
    """Whether the guest has that key before the step and not after it."""
    before, after = ({step.key: value} if step.key else value or {} for value in (step.before, step.after))
    return before.get(key) is not None and after.get(key) is None
