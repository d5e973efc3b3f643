# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A container's configuration file: what it says together with what it includes, and the edits that leave the rest as
it is. Pure.

liblxc reads it line by line: a later value replaces an earlier one, a list's values add up, and an empty value forgets
all before it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

#: Keys whose values add up, line by line.
_LISTS = re.compile(
    r"lxc\.(idmap|cap\.(drop|keep)|mount\.(entry|auto)|group|environment(\.\w+)?|hook\.(?!version)[a-z-]+"
    r"|include|apparmor\.raw"
    r"|cgroup2?\.(devices\.(allow|deny)|blkio\.throttle\.\w+_device|blkio\.weight_device|io\.(max|weight|latency))"
    r"|net\.\d+\.(ipv[46]\.address|veth\.ipv[46]\.route|veth\.vlan\.tagged\.id))"
)
#: Lists whose lines hold several words each.
_WORDS = re.compile(r"lxc\.(cap\.(drop|keep)|mount\.auto|group)")
#: Keys under which an empty value forgets a whole family.
_FAMILIES = re.compile(r"lxc\.(net(\.\d+)?|cgroup2?|hook|prlimit|sysctl|proc)")

#: Files that a configuration includes, by path, with their text: a directory stands for its *.conf files.
Includes = Callable[[str], Iterable[str]]


def is_list(key: str) -> bool:
    """Whether the values of this key add up."""
    return _LISTS.fullmatch(key) is not None


def words_of(key: str, values: Iterable[str]) -> tuple[str, ...]:
    """The values of a list, one each, where a line may hold several."""
    return tuple(word for value in values for word in value.split()) if _WORDS.fullmatch(key) else tuple(values)


@dataclass(frozen=True)
class Entry:
    """One line that sets something."""

    key: str
    value: str
    #: Its line in the container's own file; -1: it came from an included one.
    line: int = -1


def parse_line(line: str) -> tuple[str, str] | None:
    """Key and value; None for a comment, an empty line, and what is none of liblxc's keys (which it skips too)."""
    key, equals, value = line.strip().partition("=")
    key, value = key.strip(), value.strip()
    if not key.startswith("lxc.") or not equals:
        return None
    if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"":
        value = value[1:-1]
    return key, value


def write_line(key: str, value: str) -> str:
    """The line that liblxc reads this value from; quoted where it would strip something."""
    bare = value == value.strip() and not (len(value) > 1 and value[0] == value[-1] and value[0] in "'\"")
    return ("{} = {}".format(key, value if bare else f'"{value}"')).rstrip()


def read_entries(text: str, includes: Includes, depth: int = 0) -> Iterator[Entry]:
    """All that is set, in the order in which liblxc reads it."""
    for number, line in enumerate(text.split("\n")):
        parsed = parse_line(line)
        if parsed is None:
            continue
        key, value = parsed
        yield Entry(key, value, number if depth == 0 else -1)
        if key == "lxc.include" and value and depth < 16:
            for included in includes(value):
                yield from read_entries(included, includes, depth + 1)


def effective(entries: Iterable[Entry]) -> dict[str, tuple[str, ...]]:
    """What is in effect: each key with its values, of which a key that is no list has one."""
    found: dict[str, tuple[str, ...]] = {}
    for entry in entries:
        if not entry.value:
            family = entry.key + "." if _FAMILIES.fullmatch(entry.key) else None
            for key in [key for key in found if key == entry.key or (family and key.startswith(family))]:
                del found[key]
        elif is_list(entry.key):
            found[entry.key] = found.get(entry.key, ()) + words_of(entry.key, (entry.value,))
        else:
            found[entry.key] = (entry.value,)
    return found


@dataclass(frozen=True)
class Config:
    """A container's own file, with what it includes."""

    text: str
    includes: Includes = lambda path: ()

    @cached_property
    def entries(self) -> tuple[Entry, ...]:
        """All lines that set something, included ones as well."""
        return tuple(read_entries(self.text, self.includes))

    @cached_property
    def values(self) -> dict[str, tuple[str, ...]]:
        """What is in effect."""
        return effective(self.entries)

    @cached_property
    def own(self) -> dict[str, tuple[str, ...]]:
        """What the container's own file sets, whatever it includes."""
        return effective(entry for entry in self.entries if entry.line >= 0)

    def get(self, key: str, default: str = "") -> str:
        """The one value of a key that is no list."""
        return self.values.get(key, (default,))[-1]

    def assigned(self, changes: Mapping[str, Sequence[str]]) -> Config:
        """The file with these keys set to exactly these values (none: without the key), and every other line as it
        was.
        """
        config = self
        for key, values in changes.items():
            config = config._assign(key, tuple(values))
        return config

    def _assign(self, key: str, values: tuple[str, ...]) -> Config:
        target = self.own if key == "lxc.include" else self.values
        if target.get(key, ()) == values:
            return self
        for lines in self._ways(key, values):
            for place in (self._place(key), None):
                candidate = self._written(key, lines, place)
                if (candidate.own if key == "lxc.include" else candidate.values).get(key, ()) == values:
                    return candidate
        return candidate

    def _ways(self, key: str, values: tuple[str, ...]) -> Iterator[list[str]]:
        """The lines to try: the values; those that the included files do not give already; all of them, and nothing
        of before.
        """
        lines = [" ".join(values)] if values and _WORDS.fullmatch(key) else list(values)
        yield lines
        inherited = effective(entry for entry in self.entries if entry.line < 0).get(key, ())
        if inherited and values[: len(inherited)] == inherited:
            rest = values[len(inherited) :]
            yield [" ".join(rest)] if rest and _WORDS.fullmatch(key) else list(rest)
        yield ["", *lines]

    def _place(self, key: str) -> int | None:
        return next((entry.line for entry in self.entries if entry.key == key and entry.line >= 0), None)

    def _written(self, key: str, lines: Sequence[str], place: int | None) -> Config:
        """Without this key's lines, and with the new ones at that line; at the end where there is none."""
        old = {entry.line for entry in self.entries if entry.key == key and entry.line >= 0}
        fresh = [write_line(key, value) for value in lines]
        kept: list[str] = []
        for number, line in enumerate(self.text.split("\n")):
            if number == place:
                kept += fresh
            if number not in old:
                kept.append(line)
        if place is None:
            while kept and not kept[-1].strip():
                kept.pop()
            kept += [*fresh, ""]
        return Config("\n".join(kept), self.includes)

    def nets(self) -> list[int]:
        """The numbers of the network devices, in order."""
        found = {int(match[1]) for match in (re.match(r"lxc\.net\.(\d+)\.", key) for key in self.values) if match}
        return sorted(found)


# lxc.mount.entry: a line of fstab(5) ---------------------------------------------------------------------------------

_ESCAPES = {" ": "\\040", "\t": "\\011", "\n": "\\012", "\\": "\\134"}


def escape_field(text: str) -> str:
    """One field of an fstab line, as getmntent(3) reads it back."""
    return "".join(_ESCAPES.get(letter, letter) for letter in text)


def unescape_field(text: str) -> str:
    """The reverse."""
    return re.sub(r"\\(040|011|012|134)", lambda match: chr(int(match[1], 8)), text)


def write_mount(source: str, target: str, kind: str, options: Iterable[str]) -> str:
    """The value of lxc.mount.entry; the target is absolute in the guest, and written without its slash as liblxc
    wants it.
    """
    return " ".join(
        (
            escape_field(source),
            escape_field(target.lstrip("/")),
            kind,
            escape_field(",".join(options)) or "defaults",
            "0",
            "0",
        )
    )


def read_mount(value: str) -> tuple[str, str, str, tuple[str, ...]]:
    """Source, target (absolute in the guest), type and options of an entry."""
    fields = [unescape_field(field) for field in value.split()]
    source, target, kind, options = (fields + [""] * 4)[:4]
    return source, "/" + target.lstrip("/"), kind, tuple(filter(None, options.split(",")))
