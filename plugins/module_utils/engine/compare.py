# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where what is wanted and what was observed differ. Pure, and the same for every backend."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from .kinds import Part
from .spec import Option, Spec, Table


class Sides(NamedTuple):
    """What is wanted and what is there of one option, in its canonical form; ``exact``: there may be nothing beyond
    what is wanted.
    """

    want: Any
    have: Any
    exact: bool


@dataclass(frozen=True)
class Difference:
    """One option that has to change: where it differs, and the canonical value that the guest shall have."""

    option: Option
    parts: tuple[Part, ...]
    value: Any

    def shown(self, side: str) -> dict[str, Any]:
        """The keys of this difference with their values ``before`` or ``after``, those that have one."""
        values = {key_of(self.option.name, part.key): getattr(part, side) for part in self.parts}
        return {key: value for key, value in values.items() if value is not None}

    def of(self, part: Part) -> Difference:
        """One entry of it."""
        return replace(self, parts=(part,))


def before_after(changes: Sequence[Difference]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The keys of these differences with their values before, and with those after."""
    before, after = (
        {key: value for each in changes for key, value in each.shown(side).items()} for side in ("before", "after")
    )
    return before, after


def key_of(option: str, entry: str) -> str:
    """The key as a plan names it: memory, or env[PATH]."""
    return f"{option}[{entry}]" if entry else option


def differences(table: Table, want: Spec, have: Any) -> list[Difference]:
    """All options that are set and differ from what was observed of one guest, in the table's order."""
    return compared(
        table, want, {option.name: option.read(have) for option in table.options if option.name in want.values}
    )


def compared(table: Table, want: Spec, have: Mapping[str, Any]) -> list[Difference]:
    """The same, with the observed values already in their canonical forms, by option name."""
    options = (each for each in table.options if each.name in want.values)
    sides = ((each, Sides(want.values[each.name], have.get(each.name), each.name in want.purge)) for each in options)
    return [found for each, both in sides if (found := between(each, both)) is not None]


def between(option: Option, sides: Sides) -> Difference | None:
    """How both sides of one option differ, if they do."""
    parts = option.kind.parts(*sides)
    return Difference(option, tuple(parts), option.kind.merge(*sides)) if parts else None


def written(table: Table, want: Spec) -> tuple[Difference, ...]:
    """All options that are set, for a thing that is not there yet and starts with nothing of its own."""
    return tuple(
        Difference(option, (), want.values[option.name]) for option in table.options if option.name in want.values
    )
