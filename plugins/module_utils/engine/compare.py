# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where what is wanted and what was observed differ. Pure, and the same for every backend."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from .kinds import Part
from .spec import Option, Spec, Table


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


def before_after(changes: Iterable[Difference]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The keys of these differences with their values before, and with those after."""
    changes = list(changes)
    before, after = ({key: value for each in changes for key, value in each.shown(side).items()} for side in ("before", "after"))
    return before, after


def key_of(option: str, entry: str) -> str:
    """The key as a plan names it: memory, or env[PATH]."""
    return "%s[%s]" % (option, entry) if entry else option


def differences(table: Table, want: Spec, have: Any) -> list[Difference]:
    """All options that are set and differ from what was observed of one guest, in the table's order."""
    return compared(table, want, {option.name: option.read(have) for option in table.options if option.name in want.values})


def compared(table: Table, want: Spec, have: Mapping[str, Any]) -> list[Difference]:
    """The same, with the observed values already in their canonical forms, by option name."""
    found = []
    for option in table.options:
        if option.name not in want.values:
            continue
        value, seen, exact = want.values[option.name], have.get(option.name), option.name in want.purge
        parts = option.kind.parts(value, seen, exact)
        if parts:
            found.append(Difference(option, tuple(parts), option.kind.merge(value, seen, exact)))
    return found


def written(table: Table, want: Spec) -> tuple[Difference, ...]:
    """All options that are set, for a thing that is not there yet and starts with nothing of its own."""
    return tuple(Difference(option, (), want.values[option.name]) for option in table.options if option.name in want.values)
