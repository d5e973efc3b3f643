# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a change costs, a change as data, and what may be done of a plan. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from .errors import Refused

#: What a task's state asks for by itself: it needs no further permission.
STATE_ACTIONS = frozenset(("create", "start", "stop", "pause", "resume", "remove"))


class Disruption(IntEnum):
    """How much a step disturbs a running guest; the order is what ``disruption`` allows."""

    NONE = 0
    LIVE = 1
    RESTART = 2
    RECREATE = 3
    DESTROY = 4

    @property
    def label(self) -> str:
        """The word that users read and write."""
        return self.name.lower()

    @classmethod
    def parse(cls, label: str) -> Disruption:
        """The disruption of that word."""
        return cls[label.upper()]

    @classmethod
    def names(cls) -> list[str]:
        """All words, from the mildest."""
        return [each.label for each in cls]


@dataclass(frozen=True)
class Step:
    """One change as the user reads it: data, no behaviour, the same in check and in real mode.

    ``before`` and ``after`` are plain data in the user's units; None means that there is none. A step that changes
    several keys at once (create, recreate, remove) has no key of its own, and mappings of keys as before and after.
    """

    guest: str
    action: str
    key: str = ""
    before: Any = None
    after: Any = None
    disruption: Disruption = Disruption.NONE
    #: What the step brings into effect is stored already: it may be left out where it is not allowed, and stays pending.
    deferred: bool = False

    def as_dict(self) -> dict[str, Any]:
        """The public form."""
        return {
            "guest": self.guest,
            "action": self.action,
            "key": self.key,
            "before": self.before,
            "after": self.after,
            "disruption": self.disruption.label,
        }


#: What brings a guest from one power state to another, where each action leads, and what it costs.
_POWER = {
    ("stopped", "running"): ("start",),
    ("stopped", "paused"): ("start", "pause"),
    ("running", "paused"): ("pause",),
    ("paused", "running"): ("resume",),
    ("running", "stopped"): ("stop",),
    ("paused", "stopped"): ("stop",),
}
_REACHES = {"start": "running", "pause": "paused", "resume": "running", "stop": "stopped"}
_COST = {"start": Disruption.NONE, "resume": Disruption.NONE, "pause": Disruption.LIVE, "stop": Disruption.RESTART}


def power(name: str, now: str, target: str) -> Iterator[Step]:
    """The steps from one power state to another; none where they are the same."""
    for action in _POWER.get((now, target), ()):
        yield Step(name, action, "state", now, _REACHES[action], _COST[action])
        now = _REACHES[action]


def keys_of(step: Step) -> list[str]:
    """The keys that a step changes."""
    if step.key:
        return [step.key]
    return sorted({*(step.before or {}), *(step.after or {})})


def permitted(steps: Sequence[Step], allow: Disruption) -> list[Step]:
    """The steps that may be done.

    A deferred step that is not allowed is left out. Any other is refused with its keys: left out, it would be a difference that nobody is told of.
    """
    beyond = [step for step in steps if step.disruption > allow and step.action not in STATE_ACTIONS]
    refused = [step for step in beyond if not step.deferred]
    if refused:
        need = max(step.disruption for step in refused).label
        raise Refused(
            "%s cannot change without disruption %r, and this task allows %r at most"
            % (", ".join(sorted({key for step in refused for key in keys_of(step)})), need, allow.label),
            remedy="Allow it with disruption=%s, or leave these options as they are" % need,
        )
    return [step for step in steps if step not in beyond]


def diff_of(steps: Iterable[Step], title: str = "") -> dict[str, Any]:
    """What Ansible shows under --diff: the changed keys only, before and after."""
    before: dict[str, Any] = {}
    after: dict[str, Any] = {}
    fresh = False
    for step in steps:
        if step.action == "remove":
            after.clear()
        old, new = ({step.key: value} if step.key else value or {} for value in (step.before, step.after))
        # The first word on a key is what it was before, the last one what it is after.
        before.update({key: value for key, value in old.items() if value is not None and key not in before and not fresh})
        after.update({key: value for key, value in new.items() if value is not None})
        # What has a key is made as a part of something that is there.
        fresh = fresh or (step.action == "create" and not step.key)
    header = {"before_header": title, "after_header": title} if title else {}
    return {"before": before, "after": after, **header}
