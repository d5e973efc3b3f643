# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A change as data, the steps that all backends plan, and what may be done of a plan. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .action import STATE_ACTIONS, Action, Disruption, PowerState
from .compare import Difference, before_after
from .errors import Refused


@dataclass(frozen=True)
class Step:
    """One change as the user reads it: data, no behaviour, the same in check and in real mode.

    ``before`` and ``after`` are plain data in the user's units; None means that there is none. A step that changes
    several keys at once (create, recreate, remove) has no key of its own, and mappings of keys as before and after.

    ``changes`` and ``subject`` are for the backend that planned the step, and leave the engine nowhere: what the step
    is performed from.
    """

    guest: str
    action: Action
    key: str = ""
    before: Any = None
    after: Any = None
    disruption: Disruption = Disruption.NONE
    #: What the step brings into effect is stored already: it may be left out where it is not allowed, and stays
    #: pending.
    deferred: bool = False
    #: The differences that the step makes up for.
    changes: tuple[Difference, ...] = field(default=(), compare=False, repr=False)
    #: The thing that the step changes, as it was observed.
    subject: Any = field(default=None, compare=False, repr=False)

    def as_dict(self) -> dict[str, Any]:
        """The public form."""
        what = {"guest": self.guest, "action": str(self.action), "key": self.key}
        return {**what, "before": self.before, "after": self.after, "disruption": self.disruption.label}


#: What brings a guest from one power state to another, where each action leads, and what it costs.
_POWER: dict[tuple[str, str], tuple[Action, ...]] = {
    (PowerState.STOPPED, PowerState.RUNNING): (Action.START,),
    (PowerState.STOPPED, PowerState.PAUSED): (Action.START, Action.PAUSE),
    (PowerState.RUNNING, PowerState.PAUSED): (Action.PAUSE,),
    (PowerState.PAUSED, PowerState.RUNNING): (Action.RESUME,),
    (PowerState.RUNNING, PowerState.STOPPED): (Action.STOP,),
    (PowerState.PAUSED, PowerState.STOPPED): (Action.STOP,),
}
_REACHES = {
    Action.START: PowerState.RUNNING,
    Action.PAUSE: PowerState.PAUSED,
    Action.RESUME: PowerState.RUNNING,
    Action.STOP: PowerState.STOPPED,
}
_COST = {Action.PAUSE: Disruption.LIVE, Action.STOP: Disruption.RESTART}


def power(name: str, now: str, target: str, subject: Any = None) -> Iterator[Step]:
    """The steps from one power state to another; none where they are the same."""
    for action in _POWER.get((now, target), ()):
        reached = str(_REACHES[action])
        yield Step(name, action, "state", str(now), reached, _COST.get(action, Disruption.NONE), subject=subject)
        now = reached


def creation(name: str, shown: Mapping[str, Any], target: str, changes: Sequence[Difference] = ()) -> Iterator[Step]:
    """A guest that is not there yet: made, and brought from there to the power state that it shall have."""
    stopped = str(PowerState.STOPPED)
    yield Step(name, Action.CREATE, "", None, {**shown, "state": stopped}, changes=tuple(changes))
    yield from power(name, stopped, target)


def set_step(
    name: str, before: Mapping[str, Any], after: Mapping[str, Any], disruption: Disruption = Disruption.NONE
) -> Step:
    """What changes in one go, one key or many."""
    keys = {**before, **after}
    if len(keys) == 1:
        (key,) = keys
        return Step(name, Action.SET, key, before.get(key), after.get(key), disruption)
    return Step(name, Action.SET, "", before, after, disruption)


def recreation(name: str, changes: Sequence[Difference], now: str, target: str, subject: Any = None) -> Step:
    """The guest made anew, with all that is wanted and in the power state that it shall have."""
    before, after = before_after(changes)
    if now != target:
        before["state"], after["state"] = str(now), str(target)
    return Step(name, Action.RECREATE, "", before, after, Disruption.RECREATE, changes=tuple(changes), subject=subject)


def restart(name: str, waiting: Sequence[str]) -> Step:
    """What is stored already takes effect: whether now is the user's to allow."""
    return Step(name, Action.RESTART, "pending_restart", list(waiting), [], Disruption.RESTART, deferred=True)


def removal(name: str, now: str, before: Mapping[str, Any], subject: Any = None) -> Iterator[Step]:
    """A guest stopped, if it is not, and removed; ``before``: what is said of it beside its state."""
    stopped = str(PowerState.STOPPED)
    yield from power(name, now, stopped, subject)
    yield Step(name, Action.REMOVE, "", {"state": stopped, **before}, None, Disruption.DESTROY, subject=subject)


def keys_of(step: Step) -> list[str]:
    """The keys that a step changes."""
    if step.key:
        return [step.key]
    return sorted({*(step.before or {}), *(step.after or {})})


def permitted(steps: Sequence[Step], allow: Disruption) -> list[Step]:
    """The steps that may be done.

    A deferred step that is not allowed is left out. Any other is refused with its keys: left out, it would be a
    difference that nobody is told of.
    """
    beyond = [step for step in steps if step.disruption > allow and step.action not in STATE_ACTIONS]
    refused = [step for step in beyond if not step.deferred]
    if refused:
        need = max(step.disruption for step in refused).label
        raise Refused(
            "{} cannot change without disruption {!r}, and this task allows {!r} at most".format(
                ", ".join(sorted({key for step in refused for key in keys_of(step)})), need, allow.label
            ),
            remedy=f"Allow it with disruption={need}, or leave these options as they are",
        )
    return [step for step in steps if step not in beyond]


def diff_of(steps: Iterable[Step], title: str = "") -> dict[str, Any]:
    """What Ansible shows under --diff: the changed keys only, before and after."""
    before: dict[str, Any] = {}
    after: dict[str, Any] = {}
    fresh = False
    for step in steps:
        if step.action == Action.REMOVE:
            after.clear()
        old, new = ({step.key: value} if step.key else value or {} for value in (step.before, step.after))
        # The first word on a key is what it was before, the last one what it is after.
        before.update(
            {key: value for key, value in old.items() if value is not None and key not in before and not fresh}
        )
        after.update({key: value for key, value in new.items() if value is not None})
        # What has a key is made as a part of something that is there.
        fresh = fresh or (step.action == Action.CREATE and not step.key)
    header = {"before_header": title, "after_header": title} if title else {}
    return {"before": before, "after": after, **header}
