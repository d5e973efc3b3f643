# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Volumes as a resource. A volume is somebody's data: nothing but an express word removes one."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ...engine.compare import differences
from ...engine.errors import InvalidOption, Refused
from ...engine.kinds import Text, Texts
from ...engine.plan import Disruption, Step
from ...engine.spec import Option, Spec, Table
from .client import Engine
from .container_observe import name_of

DESTROY = Disruption.DESTROY

VOLUME_OPTIONS: tuple[Option, ...] = (
    Option("driver", Text(pattern=r"[a-z0-9][a-z0-9_./:-]*", remedy="Write local, or another driver's name"), lambda data: data["Driver"], DESTROY),
    Option("driver_options", Texts(guarded=True), lambda data: data.get("Options") or {}, DESTROY),
    Option("labels", Texts(), lambda data: data.get("Labels") or {}, DESTROY),
)


def _check_name(name: str) -> None:
    if not re.fullmatch(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+", name):
        raise InvalidOption("name", name, "is no name for a volume", remedy="Use two or more letters, digits, dots, dashes and underscores")


VOLUMES_TABLE = Table(
    backend="docker",
    kind="volume",
    options=VOLUME_OPTIONS,
    states=("present", "absent"),
    state="present",
    allow=Disruption.LIVE,
    check_name=_check_name,
)


@dataclass
class Seen:
    """The volumes by name, and which containers, running or not, use them."""

    volumes: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    users: dict[str, list[str]] = field(default_factory=dict)


class Volumes:
    """All volumes of one engine."""

    table = VOLUMES_TABLE

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def observe(self, wants: Sequence[Spec] | None) -> Seen:
        """Two lists: volumes, and containers."""
        seen = Seen({volume["Name"]: volume for volume in self.engine.get("/volumes").get("Volumes") or ()})
        for summary in self.engine.get("/containers/json", all="1"):
            for mount in summary.get("Mounts") or ():
                if mount.get("Type") == "volume":
                    seen.users.setdefault(mount["Name"], []).append(name_of(summary))
        return seen

    def names(self, seen: Seen) -> list[str]:
        """All of them."""
        return sorted(seen.volumes)

    def plan(self, want: Spec, seen: Seen) -> list[Step]:
        """Pure."""
        have = seen.volumes.get(want.name)
        users = sorted(seen.users.get(want.name, []))
        if want.state == "absent":
            if have is not None and users:
                raise Refused("it is in use by: %s" % ", ".join(users), remedy="Remove these containers first")
            return [Step(want.name, "remove", "", {"driver": have["Driver"]}, None, DESTROY)] if have else []
        if have is None:
            return [Step(want.name, "create", "", None, self.table.shown(want))]
        changes = differences(self.table, want, have)
        if not changes:
            return []
        if users and want.allow >= DESTROY:
            raise Refused(
                "%s can only change by destroying its data, and it is in use by: %s" % (", ".join(each.option.name for each in changes), ", ".join(users)),
                remedy="Remove these containers first, or make another volume",
            )
        before = {key: value for each in changes for key, value in each.shown("before").items()}
        after = {key: value for each in changes for key, value in each.shown("after").items()}
        return [Step(want.name, "recreate", "", before, after, DESTROY)]

    def apply(self, want: Spec, step: Step, seen: Seen) -> None:
        """Perform one step."""
        have = seen.volumes.get(want.name, {})
        if step.action in ("remove", "recreate"):
            self.engine.delete("/volumes/%s" % want.name)
        if step.action in ("create", "recreate"):
            values = {option.name: option.read(have) for option in VOLUME_OPTIONS} if have else {"driver": "local"}
            for option in VOLUME_OPTIONS:
                if option.name in want.values:
                    values[option.name] = option.kind.merge(want.values[option.name], values.get(option.name), option.name in want.purge)
            body = {"Name": want.name, "Driver": values["driver"], "DriverOpts": values.get("driver_options") or {}, "Labels": values.get("labels") or {}}
            self.engine.post("/volumes/create", body)

    def wait(self, want: Spec) -> None:
        """A volume is there as soon as it is made."""

    def describe(self, name: str, seen: Seen) -> Mapping[str, Any] | None:
        """The volume as it was seen."""
        have = seen.volumes.get(name)
        if have is None:
            return None
        return {
            "name": name,
            "backend": "docker",
            "driver": have["Driver"],
            "mountpoint": have.get("Mountpoint", ""),
            "labels": dict(have.get("Labels") or {}),
            "containers": sorted(seen.users.get(name, [])),
        }

    def foresee(self, want: Spec, steps: Sequence[Step], seen: Seen) -> Mapping[str, Any] | None:
        """The volume as it will be."""
        if want.state == "absent":
            return None
        now = self.describe(want.name, seen) or {"name": want.name, "backend": "docker", "driver": "local", "mountpoint": "", "labels": {}, "containers": []}
        shown = self.table.shown(want) if steps else {}
        return {**now, "driver": shown.get("driver", now["driver"]), "labels": {**now["labels"], **shown.get("labels", {})}}
