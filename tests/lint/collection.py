# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests show (`promises.Shown`), as pytest collects them: `--shown FILE` has it written there.

`python -m tests.lint.collection` lists what runs in make test-all alone, by the reason.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from tests.lint import promises
from tests.support.paths import ROOT


class Collector:
    """The plugin."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        names = [resource.name for resource in promises.tables()]
        found = []
        for item in session.items:
            mark = item.get_closest_marker("only_all")
            reason = str(mark.args[0]) if mark else ""
            resource = promises.module_of(item.path, names) if "integration" in item.path.parts else None
            if resource is not None and isinstance(item, pytest.Function):
                says = [word for mark in item.iter_markers("shows") for word in mark.args]
                parameters = item.callspec.params.values() if hasattr(item, "callspec") else ()
                found.append(promises.shown(item.nodeid, resource, item.function, parameters, says, reason))
            elif reason:
                found.append(promises.Shown(item.nodeid, "", frozenset(), frozenset(), reason))
        text = json.dumps(
            [
                {key: sorted(value) if isinstance(value, frozenset) else value for key, value in asdict(one).items()}
                for one in found
            ]
        )
        self._path.write_text(text, encoding="utf-8")


def collected(*options: str) -> list[promises.Shown]:
    """What the tests show, as pytest collects them with these options."""
    with tempfile.TemporaryDirectory(prefix="kt-shown-") as directory:
        path = Path(directory, "shown.json")
        command = [
            sys.executable,
            "-m",
            "pytest",
            "--collect-only",
            "-q",
            "-p",
            "no:cacheprovider",
            "--shown",
            str(path),
            *options,
        ]
        done = subprocess.run(command, check=False, cwd=ROOT, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"pytest could not collect the tests\n{done.stdout[-3000:]}{done.stderr}")
        entries: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
    return [
        promises.Shown(
            one["test"], one["resource"], frozenset(one["promises"]), frozenset(one["options"]), one["only_all"]
        )
        for one in entries
    ]


def only_all() -> str:
    """What runs in make test-all alone, each test with the number of its cases, below the reason for it."""
    reasons: dict[str, Counter[str]] = {}
    for test in collected("--all"):
        if test.only_all:
            reasons.setdefault(test.only_all, Counter())[test.test.partition("[")[0]] += 1
    lines = []
    for reason, tests in sorted(reasons.items()):
        lines += [f"{reason}:", *(f"  {name} ({number})" for name, number in tests.items())]
    return "\n".join(lines)


if __name__ == "__main__":
    print(only_all())  # noqa: T201
