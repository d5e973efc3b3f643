# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The kinds of option value: how each is declared, understood, compared and shown. Pure.

A kind turns what a user wrote into one canonical form, in which two values that mean the same are equal. What a backend
reports is read into the same form, so that a rewritten size, a reordered list or an upper-case MAC is not a difference.
"""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import Any, NamedTuple

from .errors import InvalidOption
from .secrets import HIDDEN, SECRET_KEY
from .units import (
    format_cpus,
    format_cpuset,
    format_duration,
    format_size,
    meant_size,
    parse_cpus,
    parse_cpuset,
    parse_duration,
    parse_size,
)

_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


class Foreign(str):
    """What a backend shows and no user could write: kept and shown as it is, and equal to nothing that is wanted."""


def as_read(parse: Callable[[Any], Any], value: Any) -> Any:
    """The canonical form of what a backend shows, which stays as it is where our own grammar does not know it."""
    try:
        return parse(value)
    except (InvalidOption, ValueError, ArithmeticError):
        return Foreign(value)


class Part(NamedTuple):
    """One entry of an option in which the wanted and the observed value differ; ``key`` is empty for the whole value.

    ``before`` and ``after`` are shown values: what a user would write, secrets hidden. None means that there is none.
    """

    key: str
    before: Any
    after: Any


class Kind:
    """One kind of value. The base class is a value that stands for itself and is compared as a whole."""

    #: What Ansible's argument spec says of such an option.
    argument: dict[str, Any] = {"type": "raw"}
    #: Whether ``purge`` may name an option of this kind: its entries are merged otherwise.
    merges = False

    def parse(self, value: Any, option: str) -> Any:
        """The canonical form of what the user wrote. Raises InvalidOption."""
        return value

    def show(self, value: Any) -> Any:
        """The canonical form as a user would write it; plain data."""
        return value

    def parts(self, want: Any, have: Any, exact: bool) -> list[Part]:
        """Where the two canonical forms differ. ``exact``: an entry that is not wanted is a difference too."""
        return [] if want == have else [Part("", self.shown(have), self.shown(want))]

    def merge(self, want: Any, have: Any, exact: bool) -> Any:
        """The canonical form that the guest shall have."""
        return want

    def shown(self, value: Any) -> Any:
        """show(), with nothing shown as nothing, and what is not ours as it is."""
        return None if value is None else str(value) if isinstance(value, Foreign) else self.show(value)


def _written_by_python(text: str) -> bool:
    """Whether a text is what Ansible makes of a list or a mapping where it wants a text: ['a'] of [a]."""
    if text[:1] + text[-1:] not in ("[]", "{}") or len(text) == 2:
        return False
    try:
        return repr(ast.literal_eval(text)) == text
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return False


class Text(Kind):
    """A text without control characters."""

    def __init__(
        self, *, choices: tuple[str, ...] = (), pattern: str = "", remedy: str = "", fold: bool = False
    ) -> None:
        self.argument = {"type": "str"}
        if choices:
            self.argument["choices"] = list(choices)
        self.pattern = re.compile(pattern) if pattern else None
        self.remedy = remedy
        self.fold = fold

    def parse(self, value: Any, option: str) -> str:
        text = str(value)
        if _CONTROL.search(text):
            raise InvalidOption(option, text, "contains a control character", remedy="Write it on one line")
        if _written_by_python(text):
            raise InvalidOption(option, text, "is a list or a mapping, and not a text", remedy="Write one text")
        if self.pattern is not None and not self.pattern.fullmatch(text):
            raise InvalidOption(option, text, "is not understood", remedy=self.remedy)
        return text.lower() if self.fold else text


#: The words that Ansible takes for true and false (ansible.module_utils.parsing.convert_bool of 2.19): hosts on which
#: guests are discovered have no Ansible.
_YES = frozenset(["y", "yes", "on", "1", "true", "t", "1.0"])
_NO = frozenset(["n", "no", "off", "0", "false", "f", "0.0"])


class Flag(Kind):
    """Yes or no, in the words that Ansible has for them. It has no look itself at what is in the entries of a list."""

    argument = {"type": "bool"}

    def parse(self, value: Any, option: str) -> bool:
        if not isinstance(value, str):
            return bool(value)
        word = value.strip().lower()
        if word not in _YES | _NO:
            raise InvalidOption(option, value, "is neither yes nor no", remedy="Write true or false")
        return word in _YES


class Integer(Kind):
    """A whole number within bounds."""

    def __init__(self, least: int = 0, most: int = 2**63 - 1) -> None:
        self.argument = {"type": "int"}
        self.least, self.most = least, most

    def parse(self, value: Any, option: str) -> int:
        try:
            number = int(value)
        except (TypeError, ValueError):
            number = None
        if number is None or (isinstance(value, float) and number != value):
            raise InvalidOption(
                option, value, "is not a whole number", remedy=f"Write a number like {max(self.least, 1)}"
            )
        if not self.least <= number <= self.most:
            raise InvalidOption(
                option, value, "is out of bounds", remedy=f"Write a number from {self.least} to {self.most}"
            )
        return number


class Size(Kind):
    """Bytes.

    ``unlimited``: the number that stands for no limit at all, written as that word (or as -1). ``bare``: the least that
    a number without a unit is taken for bytes from; what is less was meant in another unit.
    """

    argument = {"type": "str"}

    def __init__(self, *, unlimited: int | None = None, least: int = 0, bare: int = 0) -> None:
        self.unlimited = unlimited
        self.least, self.bare = least, max(least, bare)

    def parse(self, value: Any, option: str) -> int:
        if self.unlimited is not None and str(value) in ("unlimited", "-1"):
            return self.unlimited
        size = parse_size(value, option)
        bare = str(value).strip().isdigit()
        if 0 < size < (self.bare if bare else self.least):
            remedies = [f"Write {format_size(self.least)} or more"] if self.least else []
            if bare:
                remedies.append(f"A bare number is bytes: write {meant_size(size)} if you mean that")
            raise InvalidOption(option, value, "is too small", remedy=". ".join(remedies))
        return size

    def show(self, value: int) -> str:
        return "unlimited" if self.unlimited is not None and value == self.unlimited else format_size(value)


class Cpus(Kind):
    """A number of processors, shares of one included."""

    argument = {"type": "float"}

    def parse(self, value: Any, option: str) -> Decimal:
        return parse_cpus(value, option)

    def show(self, value: Decimal) -> float | int:
        return format_cpus(value)


class Duration(Kind):
    """Seconds, as an exact decimal."""

    argument = {"type": "str"}

    def parse(self, value: Any, option: str) -> Decimal:
        return parse_duration(value, option)

    def show(self, value: Decimal) -> str:
        return format_duration(value)


class Cpuset(Kind):
    """A set of processor or memory node numbers."""

    argument = {"type": "str"}

    def parse(self, value: Any, option: str) -> tuple[int, ...]:
        return parse_cpuset(value, option)

    def show(self, value: tuple[int, ...]) -> str:
        return format_cpuset(value)


class Words(Kind):
    """A command: a list of words, or one text that is split as a shell splits words (and never given to one)."""

    argument = {"type": "raw"}

    def parse(self, value: Any, option: str) -> tuple[str, ...]:
        if isinstance(value, str):
            try:
                words = shlex.split(value)
            except ValueError as error:
                raise InvalidOption(
                    option, value, f"cannot be split into words: {error}", remedy="Write a list of words"
                ) from error
        elif isinstance(value, (list, tuple)):
            words = [str(word) for word in value]
        else:
            raise InvalidOption(option, value, "is not a command", remedy="Write a list of words, or one text")
        if any("\0" in word for word in words):
            raise InvalidOption(option, value, "contains a NUL", remedy="Remove it")
        return tuple(words)

    def show(self, value: tuple[str, ...]) -> list[str]:
        return list(value)


class Sequence(Kind):
    """A list whose order counts, and which is therefore managed as a whole."""

    def __init__(self, item: Kind | None = None) -> None:
        self.item = item or Text()
        self.argument = {"type": "list", "elements": self.item.argument["type"]}

    def parse(self, value: Any, option: str) -> tuple[Any, ...]:
        return tuple(self.item.parse(entry, option) for entry in value)

    def show(self, value: tuple[Any, ...]) -> list[Any]:
        return [self.item.shown(entry) for entry in value]


class Members(Kind):
    """A list whose order does not count; merged with what is there unless it is exact."""

    merges = True

    def __init__(self, item: Kind | None = None) -> None:
        self.item = item or Text()
        self.argument = {"type": "list", "elements": self.item.argument["type"]}

    def parse(self, value: Any, option: str) -> frozenset[Any]:
        return frozenset(self.item.parse(entry, option) for entry in value)

    def show(self, value: frozenset[Any]) -> list[Any]:
        return [self.item.shown(entry) for entry in sorted(value)]

    def parts(self, want: Any, have: Any, exact: bool) -> list[Part]:
        merged = self.merge(want, have, exact)
        return [] if merged == (have or frozenset()) else [Part("", self.shown(have), self.show(merged))]

    def merge(self, want: Any, have: Any, exact: bool) -> frozenset[Any]:
        return frozenset(want) if exact else frozenset(want) | frozenset(have or ())


class Entries(Kind):
    """Entries with a key each; merged with what is there, key by key, unless it is exact.

    The canonical form is a mapping of keys to values; an entry whose value is a mapping is compared field by field, and
    a field that was not set is not managed.
    """

    merges = True
    argument = {"type": "dict"}

    def show_entry(self, key: str, value: Any) -> Any:
        """One entry's value, as a user would write it."""
        return value

    def show(self, value: Mapping[str, Any]) -> Any:
        return {key: self.show_entry(key, value[key]) for key in sorted(value)}

    def merge_entry(self, want: Any, have: Any, exact: bool) -> Any:
        """What an entry shall be that is there already."""
        return {**have, **want} if isinstance(want, Mapping) and isinstance(have, Mapping) else want

    def parts(self, want: Mapping[str, Any], have: Mapping[str, Any] | None, exact: bool) -> list[Part]:
        have = have or {}
        found = []
        for key in sorted(set(want) | (set(have) if exact else set())):
            if key not in have:
                found.append(Part(key, None, self.show_entry(key, want[key])))
            elif key not in want:
                found.append(Part(key, self.show_entry(key, have[key]), None))
            else:
                merged = self.merge_entry(want[key], have[key], exact)
                if merged != have[key]:
                    found.append(Part(key, self.show_entry(key, have[key]), self.show_entry(key, merged)))
        return found

    def merge(self, want: Mapping[str, Any], have: Mapping[str, Any] | None, exact: bool) -> dict[str, Any]:
        have = have or {}
        merged = {
            key: self.merge_entry(value, have[key], exact) if key in have else value for key, value in want.items()
        }
        return merged if exact else {**have, **merged}


class Texts(Entries):
    """A mapping of texts to texts, like labels or environment variables.

    ``guarded``: the value of a key that speaks of a secret (a password, a token) is hidden wherever it is shown.
    """

    def __init__(self, *, guarded: bool = False, key_pattern: str = r"[^=\x00-\x20][^=\x00-\x1f]*") -> None:
        self.guarded = guarded
        self.key_pattern = re.compile(key_pattern)

    def parse(self, value: Any, option: str) -> dict[str, str]:
        texts = {}
        for key, text in value.items():
            if not self.key_pattern.fullmatch(str(key)):
                raise InvalidOption(
                    option, str(key), "is not a usable key", remedy="Write it without spaces, = and control characters"
                )
            shown = HIDDEN if self.guarded else text
            if isinstance(text, (dict, list)):
                raise InvalidOption(
                    f"{option}[{key}]", shown, "is not a text", remedy="Quote it, or write a number or a text"
                )
            # Ansible hands over YAML's yes and no as booleans; what was meant is the text that JSON and YAML write.
            texts[str(key)] = str(text).lower() if isinstance(text, bool) else "" if text is None else str(text)
            if "\0" in texts[str(key)]:
                raise InvalidOption(f"{option}[{key}]", shown, "contains a NUL", remedy="Remove it")
        return texts

    def show_entry(self, key: str, value: Any) -> Any:
        return HIDDEN if self.guarded and SECRET_KEY.search(key) else value

    def parts(self, want: Mapping[str, Any], have: Mapping[str, Any] | None, exact: bool) -> list[Part]:
        # Two different secrets look the same when hidden; the plan has to show that something changes.
        return [
            part._replace(after=HIDDEN + " (new)") if part.before == part.after == HIDDEN else part
            for part in super().parts(want, have, exact)
        ]


class Records(Entries):
    """A list of entries that the user writes as mappings or short texts, each found again by a key of its own.

    ``read`` turns what the user wrote into (key, fields); ``write`` does the opposite, for showing.
    """

    def __init__(
        self,
        read: Callable[[Any, str], Iterable[tuple[str, Any]]],
        write: Callable[[str, Any], Any],
        argument: Mapping[str, Any] | None = None,
    ) -> None:
        self.read, self.write = read, write
        self.argument = {"type": "list", **(argument or {"elements": "raw"})}

    def parse(self, value: Any, option: str) -> dict[str, Any]:
        records: dict[str, Any] = {}
        for entry in value:
            for key, fields in self.read(entry, option):
                if key in records and records[key] != fields:
                    raise InvalidOption(option, key, "is given twice, and not the same", remedy="Keep one of the two")
                records[key] = fields
        return records

    def show_entry(self, key: str, value: Any) -> Any:
        return self.write(key, value)

    def show(self, value: Mapping[str, Any]) -> list[Any]:
        return [self.show_entry(key, value[key]) for key in sorted(value)]
