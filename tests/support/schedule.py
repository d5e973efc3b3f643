# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Shares the tests out to the workers of pytest-xdist: in groups, the longest first, by the figures of earlier runs.

A file is one group, so that what it sets up is set up once and its tests keep their order. A file says otherwise
itself, with a constant:

- `SPREAD = True`: its tests need nothing of each other, no fixture of the file that is expensive, and no name that
  all of them use on one engine (a fleet is pruned wherever its guests are); it becomes groups of about `TARGET`
  seconds.
- `WAITS = True`: it mostly waits. The last worker runs such files first and one after the other, as they keep no core
  from the others, and then helps those.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling
from xdist.workermanage import WorkerController

from .durations import NAMED, Duration
from .paths import ROOT

#: Seconds of a group of a file that is spread: long against what a file's fixtures cost anew, short against the whole
#: run.
TARGET = 45.0


@dataclass(frozen=True)
class Group:
    """Tests that one worker runs one after the other."""

    name: str
    seconds: float
    waits: bool
    tests: tuple[str, ...]


def says(name: str, constant: str, root: Path = ROOT) -> bool:
    """Whether a file of tests has the constant."""
    return re.search(rf"^{constant} = True$", (root / name).read_text(encoding="utf-8"), re.MULTILINE) is not None


def seconds_of(tests: Sequence[str], total: float, last: Mapping[str, Duration]) -> list[float]:
    """What each test of one file will take: as last time, or the mean of those, or its share of the file's total."""
    known = [last[test].seconds for test in tests if test in last]
    other = sum(known) / len(known) if known else total / len(tests)
    return [last[test].seconds if test in last else other for test in tests]


def groups(
    nodeids: Iterable[str],
    last: Mapping[str, Duration],
    committed: Mapping[str, float],
    said: Callable[[str, str], bool] = says,
) -> list[Group]:
    """The groups of a run, the longest first. `said` tells whether a file has one of the constants."""
    files: dict[str, list[str]] = {}
    for nodeid in nodeids:
        files.setdefault(nodeid.partition("::")[0], []).append(nodeid)
    made = []
    for name, tests in files.items():
        seconds = seconds_of(tests, committed.get(name, NAMED), last)
        number = max(1, round(sum(seconds) / TARGET)) if said(name, "SPREAD") else 1
        parts: list[list[int]] = [[] for _part in range(number)]
        past = 0.0
        for index, each in enumerate(seconds):
            # By the middle of each, so that no part is empty for the length of one.
            parts[min(number - 1, int((past + each / 2) / (sum(seconds) / number or 1)))].append(index)
            past += each
        for part, indexes in enumerate(parts, 1):
            if indexes:
                label = f"{name} {part}/{number}" if number > 1 else name
                waits = said(name, "WAITS")
                made.append(
                    Group(
                        label, sum(seconds[index] for index in indexes), waits, tuple(tests[index] for index in indexes)
                    )
                )
    return sorted(made, key=lambda group: -group.seconds)


class Scheduler(LoadScopeScheduling):
    """The scheduler of pytest-xdist that keeps the tests of a scope together, with our groups as scopes."""

    def __init__(
        self, config: pytest.Config, log: Producer, last: Mapping[str, Duration], committed: Mapping[str, float]
    ) -> None:
        super().__init__(config, log)
        self._figures = last, committed
        self._groups: dict[str, Group] = {}
        self._of: dict[str, str] = {}
        self._waiter: WorkerController | None = None

    def schedule(self) -> None:
        if self.collection is None:
            made = groups(next(iter(self.registered_collections.values())), *self._figures)
            self._groups = {group.name: group for group in made}
            self._of = {test: group.name for group in made for test in group.tests}
            # More workers than groups are sent home, from the end.
            workers = self.nodes[: len(made)]
            if len(workers) > 1 and any(group.waits for group in made):
                self._waiter = workers[-1]
        super().schedule()

    def _split_scope(self, nodeid: str) -> str:
        return self._of[nodeid]

    def _next(self, node: WorkerController) -> str | None:
        """What this worker begins next: the longest that is left for it."""
        for wanted in (True, False) if node is self._waiter else (False, True):
            left = [name for name in self.workqueue if self._groups[name].waits == wanted]
            if left:
                return max(left, key=lambda name: self._groups[name].seconds)
        return None

    def _assign_work_unit(self, node: WorkerController) -> None:
        name = self._next(node)
        assert name is not None
        self.workqueue.move_to_end(name, last=False)
        super()._assign_work_unit(node)

    def _reschedule(self, node: WorkerController) -> None:
        if not node.shutting_down and self._next(node) is None:
            node.shutdown()
        else:
            super()._reschedule(node)
