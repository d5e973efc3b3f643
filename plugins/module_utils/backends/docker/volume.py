# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Volumes as a resource. A volume is somebody's data: nothing but an express word removes one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ...engine.action import Action, Disruption
from ...engine.compare import Difference, before_after, differences, written
from ...engine.errors import InvalidOption, Refused
from ...engine.kinds import Part, Text, Texts
from ...engine.plan import Step
from ...engine.resource import Resource
from ...engine.secrets import HIDDEN, hide
from ...engine.spec import Option, Spec, Table, name_check
from .client import Engine
from .container.observe import drivers_of, summaries_of, volumes_of

DESTROY = Disruption.DESTROY


class DriverOptions(Texts):
    """A driver's options. Mount options stand in one of them, separated by commas, and a password may be among them."""

    def __init__(self) -> None:
        super().__init__(guarded=True)

    def show_entry(self, key: str, value: Any) -> Any:
        shown = super().show_entry(key, value)
        return shown if shown == HIDDEN else hide(value)

    def parts(self, want: Mapping[str, Any], have: Mapping[str, Any] | None, exact: bool) -> list[Part]:
        now = (have or {}).get("o")
        if now is not None and "o" in want and _mount_options(want["o"]) == _mount_options(now):
            want = {**want, "o": now}
        # Two different secrets look the same when hidden; the plan has to show that something changes.
        return [
            part._replace(after=f"{part.after} (new)") if part.before == part.after else part
            for part in super().parts(want, have, exact)
        ]


def _mount_options(text: str) -> list[str]:
    """They mean the same in any order, but for one that is given twice."""
    return sorted(text.split(","), key=lambda word: word.partition("=")[0])


VOLUME_OPTIONS: tuple[Option, ...] = (
    Option(
        "driver",
        Text(pattern=r"[a-z0-9][a-z0-9_./:-]*", remedy="Write local, or another driver's name"),
        lambda data: data["Driver"],
        DESTROY,
    ),
    Option("driver_options", DriverOptions(), lambda data: data.get("Options") or {}, DESTROY),
    Option("labels", Texts(), lambda data: data.get("Labels") or {}, DESTROY),
)


VOLUMES_TABLE = Table(
    backend="docker",
    kind="volume",
    options=VOLUME_OPTIONS,
    states=("present", "absent"),
    state="present",
    allow=Disruption.LIVE,
    check_name=name_check(
        r"[a-zA-Z0-9][a-zA-Z0-9_.-]+", "a volume", "Use two or more letters, digits, dots, dashes and underscores"
    ),
)


@dataclass
class Seen:
    """The volumes by name, and which containers, running or not, use them."""

    volumes: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    users: dict[str, list[str]] = field(default_factory=dict)
    #: The volume drivers that the engine has; None where nobody asks for one.
    drivers: list[str] | None = None


class Volumes(Resource[Seen]):
    """All volumes of one engine."""

    table = VOLUMES_TABLE

    def __init__(self, engine: Engine) -> None:
        self.engine, self.place = engine, engine.place

    def observe(self, wants: Sequence[Spec] | None) -> Seen:
        """Two lists: volumes, and containers."""
        seen = Seen(dict(volumes_of(self.engine)))
        for summary in summaries_of(self.engine):
            for volume in summary.volumes:
                seen.users.setdefault(volume, []).append(summary.name)
        if any("driver" in want.values for want in wants or ()):
            seen.drivers = drivers_of(self.engine, "Volume")
        return seen

    def plan(self, want: Spec, seen: Seen) -> list[Step]:
        """Pure."""
        have = seen.volumes.get(want.name)
        users = sorted(seen.users.get(want.name, []))
        if want.state == "absent":
            if have is not None and users:
                raise Refused("it is in use by: {}".format(", ".join(users)), remedy="Remove these containers first")
            return [Step(want.name, Action.REMOVE, "", {"driver": have.get("Driver")}, None, DESTROY)] if have else []
        driver = want.values.get("driver")
        if seen.drivers is not None and driver not in (None, *seen.drivers):
            raise InvalidOption(
                "driver",
                driver,
                "is not a volume driver of this engine",
                remedy="It has: {}".format(", ".join(seen.drivers)),
            )
        if have is None:
            return [Step(want.name, Action.CREATE, "", None, self.table.shown(want), changes=written(self.table, want))]
        changes = differences(self.table, want, have)
        if not changes:
            return []
        if users and want.allow >= DESTROY:
            raise Refused(
                "{} can only change by destroying its data, and it is in use by: {}".format(
                    ", ".join(each.option.name for each in changes), ", ".join(users)
                ),
                remedy="Remove these containers first, or make another volume",
            )
        before, after = before_after(changes)
        return [Step(want.name, Action.RECREATE, "", before, after, DESTROY, changes=tuple(changes))]

    def do_create(self, want: Spec, step: Step, seen: Seen) -> None:
        """Make it."""
        self.engine.post("/volumes/create", _body(want.name, step.changes, seen.volumes.get(want.name, {})))

    def do_remove(self, want: Spec, _step: Step, _seen: Seen) -> None:
        """Remove it, with its data."""
        self.engine.delete(f"/volumes/{want.name}")

    def do_recreate(self, want: Spec, step: Step, seen: Seen) -> None:
        """Another one in its place, which is empty."""
        self.do_remove(want, step, seen)
        self.do_create(want, step, seen)

    def describe(self, name: str, seen: Seen) -> Mapping[str, Any] | None:
        """The volume as it was seen."""
        have = seen.volumes.get(name)
        if have is None:
            return None
        return {
            "name": name,
            "backend": "docker",
            "driver": have["Driver"],
            "driver_options": VOLUMES_TABLE["driver_options"].kind.show(have.get("Options") or {}),
            "mountpoint": have.get("Mountpoint", ""),
            "labels": dict(have.get("Labels") or {}),
            "containers": sorted(seen.users.get(name, [])),
        }

    def ahead(self, want: Spec, steps: Sequence[Step], seen: Seen) -> Seen:
        """With the volume as it will be."""
        have = seen.volumes.get(want.name, {})
        body = _body(want.name, steps[-1].changes, have)
        made = {**body, "Options": body["DriverOpts"], "Mountpoint": have.get("Mountpoint", "")}
        return Seen({want.name: made}, seen.users)


def _body(name: str, changes: Iterable[Difference], have: Mapping[str, Any]) -> dict[str, Any]:
    """The body of a creation: what changes over what was there."""
    values: dict[str, Any] = (
        {option.name: option.read(have) for option in VOLUME_OPTIONS} if have else {"driver": "local"}
    )
    values.update((change.option.name, change.value) for change in changes)
    return {
        "Name": name,
        "Driver": values["driver"],
        "DriverOpts": values.get("driver_options") or {},
        "Labels": values.get("labels") or {},
    }
