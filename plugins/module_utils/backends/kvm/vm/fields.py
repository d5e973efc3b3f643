# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The fields of a domain's devices, one on a line: what a user may write, and where it stands in the device's XML.

Pure.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ....engine.errors import InvalidOption
from ....engine.kinds import Entries, Flag, Foreign, Integer, Kind, Part, Records, Size, Text, as_read
from ....engine.network_kinds import mac
from ....engine.secrets import HIDDEN
from ....engine.units import format_cpuset, parse_cpuset
from .model import Edit, View
from .xml import Element, drop, get, put, truth

PATH = Text(pattern=r"/[^\n]*", remedy="Write an absolute path")


@dataclass(frozen=True)
class Field:
    """One field of a device.

    ``place`` is in the device's element; empty where the device's own code reads and writes it.
    """

    name: str
    kind: Kind
    place: str
    #: What it is where nothing stands there; a value that means so is not written.
    absent: Any = None
    #: How a flag is written: as yes or no, as on or off, or as an element that is there or not.
    style: str = "text"
    #: Whether it can change while the guest runs.
    live: bool = False
    secret: bool = False

    @property
    def places(self) -> tuple[str, ...]:
        """All places that it writes to."""
        return (self.place,) if self.place else ()

    def read(self, element: Element) -> Any:
        """The canonical value in a device's element."""
        found = get(element, self.place)
        if self.style == "element":
            return found is not None
        if found is None or (found == "" and not isinstance(self.absent, str)):
            return self.absent
        if self.style in ("yes", "on"):
            return truth(found)
        # Libvirt knows more words than a task may write.
        return as_read(lambda text: self.kind.parse(text, self.name), found)

    def write(self, element: Element, value: Any) -> None:
        """Put a canonical value there."""
        if value is None or (value == self.absent and self.style != "yes"):
            put(element, self.place, None)
            if self.style == "element":
                drop(element, self.place)
        elif self.style == "element":
            put(element, self.place, "")
        elif self.style in ("yes", "on"):
            words = {"yes": ("no", "yes"), "on": ("off", "on")}[self.style]
            put(element, self.place, words[bool(value)])
        else:
            put(element, self.place, str(value))


def word(*choices: str) -> Text:
    """One of these words; in a device's own mapping, so that the argument spec of the module says no more than raw."""
    return Text(pattern="|".join(map(re.escape, choices)), remedy="Write one of: " + ", ".join(choices))


def parse_fields(
    fields: Sequence[Field], given: Mapping[str, Any], option: str, more: Sequence[str] = ()
) -> dict[str, Any]:
    """The canonical record of what a user wrote.

    Raises InvalidOption for fields that are not there, naming those that are.
    """
    known = {field.name: field for field in fields}
    unknown = sorted(str(key) for key in given if key not in known and key not in more)
    if unknown:
        raise InvalidOption(
            option, unknown[0], "is no such field", remedy="The fields are: " + ", ".join([*more, *sorted(known)])
        )
    record = {}
    for key, value in given.items():
        # A secret as it is shown is none: it stays as it is.
        if key in known and value is not None and not (known[key].secret and value == HIDDEN):
            record[key] = _parse(known[key], value, f"{option}.{key}")
    return record


def _parse(field: Field, value: Any, option: str) -> Any:
    kind = field.kind
    if isinstance(kind, Flag):
        text = str(value).lower()
        if text not in ("true", "false", "yes", "no", "on", "off", "1", "0"):
            raise InvalidOption(option, value, "is neither yes nor no", remedy="Write true or false")
        return truth(text)
    if isinstance(kind, Integer) and not re.fullmatch(r"-?[0-9]{1,18}", str(value).strip()):
        raise InvalidOption(option, value, "is not a whole number", remedy="Write a number")
    if isinstance(kind, Text) and isinstance(value, (dict, list)):
        raise InvalidOption(option, value, "is not a text", remedy="Write a text")
    if isinstance(kind, Text) and isinstance(value, bool):
        value = "yes" if value else "no"
    return kind.parse(value, option)


def show_fields(fields: Sequence[Field], record: Mapping[str, Any]) -> dict[str, Any]:
    """The record as a user would write it, secrets hidden.

    Fields that are as they would be anyway are left out, and those with a word that no user can write: what is not
    set is not managed.
    """
    known = {field.name: field for field in fields}
    shown = {}
    for key, value in record.items():
        field = known.get(key)
        if isinstance(value, Foreign):
            continue
        if field is None:
            shown[key] = value
        elif value is not None and value != field.absent:
            shown[key] = HIDDEN if field.secret else field.kind.shown(value)
    return shown


def read_fields(fields: Sequence[Field], element: Element) -> dict[str, Any]:
    """The record of a device's element; fields of which nothing stands there have their ``absent`` value, or are
    left out.
    """
    values = {field.name: field.read(element) for field in fields if field.place}
    return {name: value for name, value in values.items() if value is not None}


def write_fields(
    fields: Sequence[Field], element: Element, record: Mapping[str, Any], before: Mapping[str, Any]
) -> None:
    """Write the fields that differ."""
    for field in fields:
        if field.place and field.name in record and record[field.name] != before.get(field.name):
            field.write(element, record[field.name])


def only_live(fields: Sequence[Field], edit: Edit) -> bool:
    """Whether a device that stays differs in nothing but fields that can change while the guest runs."""
    live = {field.name for field in fields if field.live}
    return edit.before is not None and edit.after is not None and live.issuperset(edit.fields)


def set_waits(live: Mapping[str, Any], stored: Mapping[str, Any], _view: View) -> Iterable[str]:
    """The fields of a mapping that are stored and not in effect, of those that both sides say."""
    return [key for key in sorted(live) if key in stored and live[key] != stored[key]]


def stored_waits(live: Mapping[str, Any], stored: Mapping[str, Any], _view: View) -> Iterable[str]:
    """The fields that are stored and not in effect. What libvirt adds to a guest as it starts waits for nothing."""
    return [key for key in sorted(stored) if live.get(key) != stored[key]]


class FieldSet(Entries):
    """One mapping of fields, compared field by field: cpu, tpm, watchdog."""

    merges = False

    def __init__(self, fields: Sequence[Field]) -> None:
        self.fields = {field.name: field for field in fields}
        self.argument = {"type": "dict", "options": {field.name: dict(field.kind.argument) for field in fields}}
        for field in fields:
            if field.secret:
                self.argument["options"][field.name]["no_log"] = True

    def parse(self, value: Any, option: str) -> dict[str, Any]:
        return parse_fields(list(self.fields.values()), value, option)

    def show_entry(self, key: str, value: Any) -> Any:
        return self.fields[key].kind.shown(value)

    def show(self, value: Mapping[str, Any]) -> dict[str, Any]:
        return dict(super().show({key: each for key, each in value.items() if not isinstance(each, Foreign)}))


def never_kept(_key: str, _record: Any) -> bool:
    """For devices all of which can be made here."""
    return False


class OneDevice(FieldSet):
    """The fields of a device that a guest has one of, or none (model=none)."""

    def __init__(self, name: str, fields: Sequence[Field]) -> None:
        super().__init__(fields)
        self.name = name

    def parts(self, want: Mapping[str, Any], have: Mapping[str, Any] | None, exact: bool) -> list[Part]:
        """Raises InvalidOption for fields of a device that is not there and whose model nobody says."""
        there = have or {}
        others = sorted(key for key in want if key != "model" and (key not in there or want[key] != there[key]))
        if others and want.get("model", there.get("model")) == "none":
            raise InvalidOption(
                f"{self.name}.{others[0]}",
                want[others[0]],
                "is of a device that is not there",
                remedy="Write its model",
            )
        return super().parts(want, have, exact)


class NamedSets(Entries):
    """Mappings of fields by their names: the timers of a clock. ``short``: the field that yes or no alone stand for."""

    def __init__(self, name: Text, fields: Sequence[Field], short: str = "") -> None:
        self.name, self.fields, self.short = name, tuple(fields), short

    def parse(self, value: Any, option: str) -> dict[str, Any]:
        return {self.name.parse(key, option): self._entry(each, f"{option}[{key}]") for key, each in value.items()}

    def _entry(self, given: Any, option: str) -> dict[str, Any]:
        if self.short and not isinstance(given, Mapping):
            given = {self.short: given}
        if not isinstance(given, Mapping):
            raise InvalidOption(option, given, "is not a mapping", remedy="Write the fields that it has")
        return parse_fields(self.fields, given, option)

    def show_entry(self, key: str, value: Any) -> Any:
        return show_fields(self.fields, value)


class DeviceSet(Records):
    """A list of devices, each found again by its key; a field that is a secret shows that it changes, and not how.

    ``kept``: whether an entry is of a kind that is not made here: such a device is found again, and left as it is.
    """

    def __init__(
        self,
        fields: Sequence[Field],
        key: Callable[[Any, str], tuple[str, dict[str, Any]]],
        key_field: str,
        argument: Mapping[str, Any],
        kept: Callable[[str, Any], bool] = never_kept,
    ) -> None:
        super().__init__(lambda entry, option: [key(entry, option)], self._write, argument)
        self.fields, self.key_field, self.kept = tuple(fields), key_field, kept

    def _write(self, key: str, record: Mapping[str, Any]) -> dict[str, Any]:
        return {self.key_field: key, **show_fields(self.fields, record)}

    def parts(self, want: Mapping[str, Any], have: Mapping[str, Any] | None, exact: bool) -> list[Part]:
        return [self._told(part, want, have or {}) for part in super().parts(want, have, exact)]

    def _told(self, part: Part, want: Mapping[str, Any], have: Mapping[str, Any]) -> Part:
        """With the secrets that change, and the words that go and that no user could write."""
        if not part.before:
            return part
        new, old = want.get(part.key) or {}, have.get(part.key) or {}
        gone = {
            name: str(word)
            for name, word in old.items()
            if isinstance(word, Foreign) and (not part.after or new.get(name, word) != word)
        }
        secrets = [field.name for field in self.fields if field.secret]
        after = {**part.after, **_new_secrets(secrets, new, old)} if part.after else part.after
        return part._replace(before={**part.before, **gone}, after=after)


def _new_secrets(secrets: Sequence[str], want: Any, have: Any) -> dict[str, str]:
    """The secrets that change, as far as that is told."""
    return {
        name: HIDDEN + " (new)" for name in secrets if (want or {}).get(name) and want[name] != (have or {}).get(name)
    }


class Line(Text):
    """The text of an element, where blanks around it are none of it."""

    def parse(self, value: Any, option: str) -> str:
        return super().parse(str(value).strip(), option)


class CpuSet(Text):
    """A set of processors or of nodes, as libvirt writes it: 0-3,7."""

    def parse(self, value: Any, option: str) -> str:
        numbers = parse_cpuset(value, option)
        if not numbers:
            raise InvalidOption(option, value, "names no processor", remedy="Write a list like 0-2,4")
        return format_cpuset(numbers)


class Lines(Text):
    """A text of one line or several, where blanks around it are none of it."""

    def parse(self, value: Any, option: str) -> str:
        lines = re.split(r"\r\n|\r|\n", str(value).strip())
        return "\n".join(super(Lines, self).parse(line, option) for line in lines)


MAC = mac("52:54:00:12:34:56")
ORDER = Integer(0, 4096)
#: Of a disk.
SIZE = Size(bare=1 << 20)
