# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What was measured, against what was asked for: as a table for people, as JSON for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any


@dataclass
class Series:
    """The repetitions of one measurement."""

    case: str
    what: str
    unit: str = "s"
    values: list[float] = field(default_factory=list)
    #: Seconds of processor time in this machine's own processes, without the engine's.
    cpu: list[float] = field(default_factory=list)

    def add(self, value: float, cpu: float | None = None) -> None:
        self.values.append(value)
        if cpu is not None:
            self.cpu.append(cpu)

    @property
    def median(self) -> float:
        return median(self.values)

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "median": self.median, "min": min(self.values), "max": max(self.values)}


@dataclass(frozen=True)
class Verdict:
    """A bound, and whether it was kept. At least where `least`, at most otherwise."""

    case: str
    what: str
    value: float
    bound: float
    unit: str
    least: bool = False

    @property
    def kept(self) -> bool:
        return self.value >= self.bound if self.least else self.value <= self.bound

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "kept": self.kept}


@dataclass
class Report:
    """One run."""

    machine: dict[str, Any]
    series: list[Series] = field(default_factory=list)
    verdicts: list[Verdict] = field(default_factory=list)

    def start(self, case: str, *names: str, unit: str = "s") -> list[Series]:
        """A new series for each name."""
        print(f"measuring: {case}", file=sys.stderr, flush=True)
        fresh = [Series(case, name, unit) for name in names]
        self.series += fresh
        return fresh

    def write(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        data = {
            "machine": self.machine,
            "series": [series.as_dict() for series in self.series if series.values],
            "verdicts": [verdict.as_dict() for verdict in self.verdicts],
        }
        path.write_text(json.dumps(data, indent=2) + "\n", encoding="utf-8")

    def lines(self) -> Iterator[str]:
        yield ", ".join(f"{key} {value}" for key, value in self.machine.items())
        yield ""
        rows: list[tuple[str, ...]] = [("case", "what", "runs", "median", "min", "max", "cpu")]
        for series in self.series:
            if series.values:
                numbers = [
                    _number(value, series.unit) for value in (series.median, min(series.values), max(series.values))
                ]
                rows.append(
                    (
                        series.case,
                        series.what,
                        str(len(series.values)),
                        *numbers,
                        _number(median(series.cpu), "s") if series.cpu else "",
                    )
                )
        yield from _table(rows, left=2)
        yield ""
        bounds = [("case", "required", "measured", "bound", "verdict")]
        for verdict in self.verdicts:
            bound = ("at least " if verdict.least else "at most ") + _number(verdict.bound, verdict.unit)
            bounds.append(
                (
                    verdict.case,
                    verdict.what,
                    _number(verdict.value, verdict.unit),
                    bound,
                    "kept" if verdict.kept else "NOT KEPT",
                )
            )
        yield from _table(bounds, left=2)


def _number(value: float, unit: str) -> str:
    return f"{value:.0f} {unit}" if unit == "MB" else f"{value:.2f} {unit}"


def _table(rows: Sequence[tuple[str, ...]], left: int) -> Iterator[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        cells = [
            cell.ljust(width) if column < left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        yield "  ".join(cells).rstrip()
