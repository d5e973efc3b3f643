# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A backend that lives in memory: boxes with a size, a set of tags and a lid. What the engine does with it is what it does with every backend."""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.kraal.virt.plugins.module_utils.engine.compare import differences
from ansible_collections.kraal.virt.plugins.module_utils.engine.errors import BackendError
from ansible_collections.kraal.virt.plugins.module_utils.engine.kinds import Members, Size, Text
from ansible_collections.kraal.virt.plugins.module_utils.engine.plan import Disruption, Step
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
class Boxes:
    """The backend. ``refuses`` names boxes whose steps fail with ``words``, ``forgets`` options that it does not keep."""

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

    def plan(self, spec: Spec, seen: dict[str, Box]) -> list[Step]:
        box = seen.get(spec.name)
        if spec.state == "absent":
            return [Step(spec.name, "remove", "", dict(box), None, Disruption.DESTROY)] if box is not None else []
        if box is None:
            created = Step(spec.name, "create", "", None, {**self.table.shown(spec), "state": "stopped"})
            return [created, Step(spec.name, "start", "state", "stopped", "running")]
        return [
            Step(spec.name, "set", key, each.shown("before").get(key), each.shown("after")[key], each.option.change, key in self.defers)
            for each in differences(self.table, spec, box)
            for key in [each.option.name]
        ]

    def apply(self, spec: Spec, step: Step, seen: dict[str, Box]) -> None:
        with self.guard:
            self.applied.append((spec.name, step.action))
            if spec.name in self.refuses:
                raise BackendError(self.words)
            if step.action == "remove":
                del self.boxes[spec.name]
                return
            box = self.boxes.setdefault(spec.name, {"state": "stopped"})
            if step.action == "start":
                box["state"] = "running"
            keys = spec.values if step.action == "create" else [step.key]
            box.update({key: spec.values[key] for key in keys if key in spec.values and key not in self.forgets})

    def wait(self, spec: Spec) -> None:
        with self.guard:
            self.waited.append(spec.name)

    def describe(self, name: str, seen: dict[str, Box]) -> dict[str, Any] | None:
        box = seen.get(name)
        return None if box is None else Guest(name, "boxes", state=box["state"], memory=str(box.get("memory", ""))).as_dict()

    def foresee(self, spec: Spec, steps: Sequence[Step], seen: dict[str, Box]) -> dict[str, Any] | None:
        box = seen.get(spec.name)
        now = None if box is None else Guest(spec.name, "boxes", state=box["state"])
        guest = foreseen(now, Guest(spec.name, "boxes"), self.table.shown(spec), steps)
        return guest.as_dict() if guest else None
