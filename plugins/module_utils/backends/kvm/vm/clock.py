# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The clock of a domain, and its timers. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ....engine.errors import InvalidOption
from ....engine.kinds import Flag, Integer, Text
from .fields import Field, FieldSet, NamedSets, read_fields, stored_waits, word, write_fields
from .model import View
from .xml import ET, Element, put

#: By the field: the ``offset`` with which it says something, and the other ones with which ``reset`` does.
_OFFSETS = {"timezone": "timezone", "basis": "variable", "adjustment": "variable"}
_RESET = ("utc", "localtime")
CLOCK_FIELDS = (
    Field("offset", word("utc", "localtime", "timezone", "variable"), "clock@offset"),
    Field("timezone", Text(pattern=r"[A-Za-z0-9_+/-]+", remedy="Write a zone like Europe/Berlin"), "clock@timezone"),
    Field("basis", word("utc", "localtime"), "clock@basis"),
    Field(
        "adjustment",
        Text(pattern=r"reset|-?[0-9]{1,9}", remedy="Write seconds, or reset"),
        "clock@adjustment",
    ),
)
TIMER_FIELDS = (
    Field("present", Flag(), "@present", style="yes"),
    Field("tickpolicy", word("delay", "catchup", "merge", "discard"), "@tickpolicy"),
    Field("track", word("boot", "guest", "wall", "realtime"), "@track"),
    Field("frequency", Integer(1), "@frequency"),
    Field("mode", word("auto", "native", "emulate", "paravirt", "smpsafe"), "@mode"),
)


class Clock(FieldSet):
    """What a guest's clock shows."""

    def parse(self, value: Any, option: str) -> dict[str, Any]:
        record = super().parse(value, option)
        for field in sorted(_OFFSETS.keys() & record.keys()):
            if record.get("offset") not in _offsets_of(field, record[field]):
                offset = _offsets_of(field, record[field])[0]
                raise InvalidOption(
                    f"{option}.{field}", record[field], f"requires offset: {offset}", remedy=f"Write offset: {offset}"
                )
        return record


def _offsets_of(field: str, value: Any) -> tuple[str, ...]:
    return _RESET if value == "reset" else (_OFFSETS[field],)


CLOCK = Clock(CLOCK_FIELDS)


def write_clock(root: Element, before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    """With another offset goes what was said of the old one."""
    offset = after.get("offset")
    stale = _OFFSETS.keys() if offset != before.get("offset") else ()
    gone = {field for field in stale if field in after and offset not in _offsets_of(field, after[field])}
    for field in CLOCK_FIELDS:
        field.write(root, None if field.name in gone else after.get(field.name))


def clock_waits(live: Mapping[str, Any], stored: Mapping[str, Any], view: View) -> Iterable[str]:
    """A variable clock is adjusted by the guest as it runs."""
    return [key for key in stored_waits(live, stored, view) if key != "adjustment"]


TIMERS = NamedSets(
    word("platform", "pit", "rtc", "hpet", "tsc", "kvmclock", "hypervclock", "armvtimer"), TIMER_FIELDS, "present"
)


def read_timers(root: Element) -> dict[str, dict[str, Any]]:
    """By their names."""
    return {each.get("name", ""): read_fields(TIMER_FIELDS, each) for each in root.findall("clock/timer")}


def write_timers(root: Element, before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    """Bring them to ``after``."""
    if root.find("clock") is None:
        put(root, "clock@offset", "utc")
    clock = root.find("clock")
    there = {each.get("name", ""): each for each in root.findall("clock/timer")}
    for name in set(before) - set(after):
        clock.remove(there[name])  # type: ignore[union-attr]
    for name, record in after.items():
        if name not in there:
            there[name] = ET.SubElement(clock, "timer", {"name": name})  # type: ignore[arg-type]
        write_fields(TIMER_FIELDS, there[name], record, before.get(name, {}))
