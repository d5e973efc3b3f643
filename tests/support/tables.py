# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tables of options, whose rows share a guest where they do not touch each other, and crashes that are one and the
same.

A run of a module costs the same for one option as for thirty. Each row is asserted singly all the same: its key stands
in the plan with its before and after, and no other row's does. With `--all` each row has a guest of its own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

import pytest


class Row(Protocol):
    """One option's way from its first value to its second."""

    @property
    def id(self) -> str: ...
    @property
    def option(self) -> str: ...
    @property
    def extra(self) -> Mapping[str, Any]: ...
    @property
    def alone(self) -> str:
        """Why it needs a guest of its own; empty: it shares one."""
        ...

    @property
    def apart(self) -> Mapping[str, str]:
        """The options that it does not share a guest with, each with the reason."""
        ...


R = TypeVar("R", bound=Row)
Rows = tuple[R, ...]


def _together(one: Row, other: Row) -> bool:
    if one.alone or other.alone or one.option == other.option:
        return False
    if other.option in one.apart or one.option in other.apart or one.option in other.extra or other.option in one.extra:
        return False
    return all(one.extra[key] == other.extra[key] for key in {*one.extra} & {*other.extra}) and one.extra.get(
        "state"
    ) == other.extra.get("state")


def bundles(rows: Sequence[R], kind: Callable[[R], object] = lambda row: None) -> list[tuple[R, ...]]:
    """The rows that share a guest: each goes to the first bundle of its kind in which no row keeps it out."""
    found: list[tuple[object, list[R]]] = []
    for row in rows:
        for its_kind, bundle in found:
            if its_kind == kind(row) and all(_together(row, other) for other in bundle):
                bundle.append(row)
                break
        else:
            found.append((kind(row), [row]))
    return [tuple(bundle) for _kind, bundle in found]


def parametrize(
    metafunc: pytest.Metafunc,
    rows: Sequence[R],
    kind: Callable[[R], object] = lambda row: None,
    only_all: Callable[[R], str] = lambda row: "",
) -> None:
    """Give a test its argument `rows`: a bundle of them, or with --all each row alone.

    `only_all`: why a row is run with --all alone.
    """
    every = metafunc.config.getoption("--all")
    given = [(row,) for row in rows] if every else bundles(rows, lambda row: (kind(row), only_all(row)))
    cases = []
    for bundle in given:
        reason = only_all(bundle[0])
        marks = [pytest.mark.only_all(reason)] if reason else []
        cases.append(pytest.param(bundle, id="+".join(row.id for row in bundle), marks=marks))
    metafunc.parametrize("rows", cases)


def ride(rows: tuple[R, ...], run: Callable[[tuple[R, ...]], None], clear: Callable[[], None]) -> None:
    """Run a bundle; where it is red, each of its rows alone, so that the message names the row."""
    try:
        run(rows)
    except AssertionError as error:
        if len(rows) == 1:
            raise
        red = []
        for row in rows:
            clear()
            try:
                run((row,))
            except AssertionError as own:
                red.append(f"{row.id}: {own}")
        if not red:
            red = [f"each row alone is green, but not all of {', '.join(row.id for row in rows)} together: {error}"]
        raise AssertionError("\n\n".join(red)) from error


def keyed(plan: Sequence[Mapping[str, Any]]) -> dict[str, tuple[Any, Any]]:
    """Each key of a plan with its before and after. A key has its place in one step alone."""
    found: dict[str, tuple[Any, Any]] = {}
    for step in plan:
        before, after = (
            {step["key"]: value} if step["key"] else value or {} for value in (step["before"], step["after"])
        )
        for key in {*before, *after}:
            assert key not in found, f"{key} is in two steps: {plan}"
            found[key] = before.get(key), after.get(key)
    return found


def option_of(key: str) -> str:
    """The option that a key of a plan belongs to: networks[eth0] is one of networks."""
    return key.partition("[")[0]


def assert_named(
    rows: Sequence[Row],
    plan: Sequence[Mapping[str, Any]],
    made: Mapping[str, tuple[Any, Any]],
    *,
    along: Mapping[str, set[str]] | None = None,
) -> None:
    """Each row's option stands in the plan of a change, with the value that it was made with before and another one
    after; nothing else stands there.

    `made`: the keys of the plan that made the guest. `along`: what changes with an option.
    """
    found = keyed(plan)
    for row in rows:
        mine = {key: values for key, values in found.items() if option_of(key) == row.option}
        assert mine, f"{row.id}: {row.option} is not in the plan {sorted(found)}"
        for key, (before, after) in mine.items():
            assert before != after, f"{row.id}: {key} changes from {before!r} to the same"
            # What has parts is told with those that the backend has added.
            if key in made and isinstance(made[key][1], (bool, int, float, str)):
                assert before == made[key][1], f"{row.id}: {key} was made {made[key][1]!r} and changes from {before!r}"
    named = {row.option for row in rows}.union(*((along or {}).get(row.option, ()) for row in rows))
    others = {key for key in found if option_of(key) not in named}
    assert not others, f"in the plan, but of none of {', '.join(row.id for row in rows)}: {sorted(others)}"


def rounds(rows: Sequence[Any]) -> Iterator[dict[str, Any]]:
    """The second values, and then the other ways to write them: each way of each row is in one round at least."""
    for number in range(1 + max(len(row.same) for row in rows)):
        yield {row.option: row.same[number - 1] if 0 < number <= len(row.same) else row.second for row in rows}


@dataclass
class Explored:
    """The crashes of a run that were tried. Two are one where what was there before and the calls made until then are
    equal: the host is then the same.

    `directory` is where the processes of a run tell each other; `covered` has those that another one stands for, each
    with its name.
    """

    every: bool = False
    directory: Path | None = None
    tried: dict[str, str] = field(default_factory=dict)
    covered: dict[str, str] = field(default_factory=dict)

    def new(self, name: str, key: object) -> bool:
        """Whether this crash has to be tried; with --all each has.

        Two keys are equal where they are written the same.
        """
        if self.every:
            return True
        first = self._first(name, hashlib.sha256(repr(key).encode()).hexdigest())
        if first is not None:
            self.covered[name] = first
        return first is None

    def _first(self, name: str, digest: str) -> str | None:
        """Who has tried it; nobody before."""
        if self.directory is None:
            first = self.tried.get(digest)
            self.tried.setdefault(digest, name)
            return first
        path = self.directory / digest
        try:
            with path.open("x", encoding="utf-8") as file:
                file.write(name)
        except FileExistsError:
            return path.read_text(encoding="utf-8")
        return None
