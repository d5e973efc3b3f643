# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A backend that lives in memory: boxes with a size, a set of tags and a lid.

What the engine does with it is what it does with every backend.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.kraal.virt.plugins.module_utils.engine.action import Action, Disruption
from ansible_collections.kraal.virt.plugins.module_utils.engine.compare import differences, written
from ansible_collections.kraal.virt.plugins.module_utils.engine.errors import BackendError
from ansible_collections.kraal.virt.plugins.module_utils.engine.kinds import Members, Size, Text
from ansible_collections.kraal.virt.plugins.module_utils.engine.plan import Step, creation
from ansible_collections.kraal.virt.plugins.module_utils.engine.resource import Guests
from ansible_collections.kraal.virt.plugins.module_utils.engine.result import Guest, foreseen
from ansible_collections.kraal.virt.plugins.module_utils.engine.spec import Option, Spec, Table

Box = Mapping[str, Any]

TABLE = Table(
    backend="boxes",
    kind="box",
    options=(
        Option("memory", Size(), lambda box: box.get("memory"), Disruption.LIVE),
        Option("tags", Members(), lambda box: box.get("tags"), Disruption.LIVE),
        Option("lid", Text(), lambda box: box.get("lid"), Disruption.RECREATE),
        Option("shelf", Text(), lambda box: box.get("shelf"), Disruption.RESTART),
    ),
    waits=("none", "running"),
)


def arguments(name: str, **values: Any) -> dict[str, Any]:
    """A task's arguments as Ansible hands them over: complete, type-checked, with their defaults."""
    every = {key: spec.get("default") for key, spec in TABLE.argument_spec().items()}
    return {**every, "name": name, **values}


def want(name: str, **values: Any) -> Spec:
    """The specification in a task's arguments."""
    return TABLE.read(arguments(name, **values))


@dataclass
class Boxes(Guests[dict[str, Box]]):
    """The backend.

    ``refuses`` names boxes whose steps fail with ``words``, ``forgets`` options that it does not keep.
    """

    boxes: dict[str, dict[str, Any]] = field(default_factory=dict)
    refuses: Collection[str] = ()
    words: str = "the box is nailed shut"
    forgets: Collection[str] = ()
    #: Options whose values are stored whatever the box does, and only come into effect by the restart.
    defers: Collection[str] = ()
    unreachable: bool = False
    table: Table = TABLE
    place: str = ""
    observed: int = 0
    applied: list[tuple[str, str]] = field(default_factory=list)
    waited: list[str] = field(default_factory=list)
    guard: Any = field(default_factory=threading.Lock)

    def observe(self, wants: Sequence[Spec] | None) -> dict[str, Box]:
        self.observed += 1
        if self.unreachable:
            raise BackendError("the shelf is gone", remedy="Bring a shelf")
        return {name: dict(box) for name, box in self.boxes.items()}

    def names(self, seen: dict[str, Box]) -> list[str]:
        return sorted(seen)

    def plan(self, want: Spec, seen: dict[str, Box]) -> list[Step]:
        box = seen.get(want.name)
        if want.state == "absent":
            return [Step(want.name, Action.REMOVE, "", dict(box), None, Disruption.DESTROY)] if box is not None else []
        if box is None:
            return list(creation(want.name, self.table.shown(want), "running", written(self.table, want)))
        return [
            Step(
                want.name,
                Action.SET,
                key,
                each.shown("before").get(key),
                each.shown("after")[key],
                each.option.change,
                key in self.defers,
                (each,),
            )
            for each in differences(self.table, want, box)
            for key in [each.option.name]
        ]

    def apply(self, want: Spec, step: Step, seen: dict[str, Box]) -> None:
        with self.guard:
            self.applied.append((want.name, step.action))
            if want.name in self.refuses:
                raise BackendError(self.words)
            super().apply(want, step, seen)

    def do_remove(self, spec: Spec, _step: Step, _seen: dict[str, Box]) -> None:
        del self.boxes[spec.name]

    def do_create(self, spec: Spec, step: Step, seen: dict[str, Box]) -> None:
        self.boxes.setdefault(spec.name, {"state": "stopped"})
        self.do_set(spec, step, seen)

    def do_start(self, spec: Spec, _step: Step, _seen: dict[str, Box]) -> None:
        self.boxes[spec.name]["state"] = "running"

    def do_set(self, spec: Spec, step: Step, _seen: dict[str, Box]) -> None:
        self.boxes[spec.name].update(
            {each.option.name: each.value for each in step.changes if each.option.name not in self.forgets}
        )

    def labels(self, name: str, seen: dict[str, Box]) -> Mapping[str, str]:
        return {}

    def wait(self, want: Spec) -> None:
        with self.guard:
            self.waited.append(want.name)

    def wait_for(self, want: Spec) -> None:
        raise NotImplementedError

    def describe(self, name: str, seen: dict[str, Box]) -> dict[str, Any] | None:
        box = seen.get(name)
        return (
            None
            if box is None
            else Guest(name, "boxes", state=box["state"], memory=str(box.get("memory", ""))).as_dict()
        )

    def foresee(self, want: Spec, steps: Sequence[Step], seen: dict[str, Box]) -> dict[str, Any] | None:
        box = seen.get(want.name)
        now = None if box is None else Guest(want.name, "boxes", state=box["state"])
        guest = foreseen(now, Guest(want.name, "boxes"), self.table.shown(want), steps)
        return guest.as_dict() if guest else None
