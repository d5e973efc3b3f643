# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long tests took: written by each run of make, read by the next one to share the tests out, and told at the end.

`python -m tests.support.durations` writes the sums of the files into tests/durations.json, for checkouts that have run
nothing yet.
"""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import pytest

from .paths import CACHE, ROOT

#: Each test's figures, of its last run.
LAST = CACHE / "durations.json"

#: Seconds by file, of a whole run.
COMMITTED = ROOT / "tests" / "durations.json"

#: A file that took less is not worth a line.
NAMED = 5


@dataclass
class Duration:
    """One test: the seconds of its parts, where it ran, and from when to when (seconds since the epoch)."""

    setup: float = 0.0
    call: float = 0.0
    teardown: float = 0.0
    worker: str = "main"
    start: float = 0.0
    end: float = 0.0

    @property
    def seconds(self) -> float:
        return self.setup + self.call + self.teardown


def last(path: Path = LAST) -> dict[str, Duration]:
    """What runs on this machine took, by test."""
    if not path.exists():
        return {}
    read: dict[str, dict[str, float | str]] = json.loads(path.read_text(encoding="utf-8"))
    return {nodeid: Duration(**entry) for nodeid, entry in read.items()}  # type: ignore[arg-type]


def committed(path: Path = COMMITTED) -> dict[str, float]:
    """Seconds by file, as committed."""
    read: dict[str, float] = json.loads(path.read_text(encoding="utf-8"))
    return read


def by_file(durations: Mapping[str, Duration]) -> dict[str, float]:
    """The sums of files, the longest first."""
    sums: dict[str, float] = defaultdict(float)
    for nodeid, duration in durations.items():
        sums[nodeid.partition("::")[0]] += duration.seconds
    return dict(sorted(sums.items(), key=lambda item: (-item[1], item[0])))


def merged(old: Mapping[str, Duration], new: Mapping[str, Duration], root: Path = ROOT) -> dict[str, Duration]:
    """The figures of both, without those of files that are gone; a file that has run keeps no test that did not."""
    ran = {nodeid.partition("::")[0] for nodeid in new}
    files = {name: (root / name).exists() for name in {nodeid.partition("::")[0] for nodeid in old}}
    kept = {
        nodeid: entry for nodeid, entry in old.items() if files[file := nodeid.partition("::")[0]] and file not in ran
    }
    return {**kept, **new}


def summary(durations: Mapping[str, Duration]) -> Iterator[str]:
    """Where a run's time went, in a few lines: nothing, if nothing ran."""
    if not durations:
        return
    begin, end = min(one.start for one in durations.values()), max(one.end for one in durations.values())
    workers: dict[str, dict[str, Duration]] = defaultdict(dict)
    for nodeid, one in durations.items():
        workers[one.worker][nodeid] = one
    busy = {worker: sum(one.seconds for one in ran.values()) for worker, ran in sorted(workers.items())}
    idle = ", ".join(f"{worker} {max(0.0, end - begin - seconds):.0f}" for worker, seconds in busy.items())
    yield f"{end - begin:.0f} s from the first test's start to the last one's end, {sum(busy.values()):.0f} s of tests; seconds idle: {idle}"
    worst = max(workers, key=lambda worker: max(one.end for one in workers[worker].values()))
    yield f"{worst} ended last; it ran {_listed(by_file(workers[worst]))}"
    yield f"the longest files: {_listed(by_file(durations))}"


def processors() -> tuple[float, float]:
    """What the processors have been idle since the machine was started, and all they could have done: proc_stat(5)."""
    times = [float(word) for word in Path("/proc/stat").read_text(encoding="ascii").splitlines()[0].split()[1:9]]
    return times[3] + times[4], sum(times)


def _listed(sums: Mapping[str, float]) -> str:
    return ", ".join(
        f"{name.removeprefix('tests/').removeprefix('integration/')} {seconds:.0f}"
        for name, seconds in list(sums.items())[:10]
    )


class Recorder:
    """The plugin: on the controller, which sees the reports of all workers."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: dict[str, Duration] = {}
        self._failed: set[str] = set()
        self._processors = processors()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        one = self._seen.setdefault(
            report.nodeid, Duration(worker=getattr(report, "worker_id", "main"), start=report.start)
        )
        setattr(one, report.when, round(report.duration, 3))
        one.end = report.stop
        if report.failed:
            self._failed.add(report.nodeid)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        lines = list(summary(self._seen))
        if lines:
            terminalreporter.section("where the time went")
            idle, all_time = (now - then for now, then in zip(processors(), self._processors, strict=True))
            lines.append(f"the processors were idle for {idle / max(1.0, all_time):.0%} of the run")
        for line in lines:
            terminalreporter.write_line(line)

    def pytest_sessionfinish(self) -> None:
        # What failed may have ended early, or late.
        good = {nodeid: one for nodeid, one in self._seen.items() if nodeid not in self._failed}
        self._path.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps(
            {nodeid: asdict(one) for nodeid, one in sorted(merged(last(self._path), good).items())}, indent=0
        )
        new = self._path.with_name(f"{self._path.name}.{os.getpid()}")
        new.write_text(f"{text}\n", encoding="utf-8")
        new.replace(self._path)


def commit(durations: Mapping[str, Duration], path: Path = COMMITTED) -> None:
    """Write tests/durations.json: rounded, so that it changes where a file's time has changed."""
    sums = {
        name: float(f"{seconds:.1g}" if seconds < 10 else f"{seconds:.2g}")
        for name, seconds in by_file(durations).items()
        if seconds >= NAMED
    }
    path.write_text(
        json.dumps({name: int(seconds) for name, seconds in sorted(sums.items())}, indent=2) + "\n", encoding="utf-8"
    )


if __name__ == "__main__":
    commit(last())
