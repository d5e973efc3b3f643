# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""scripts/new-backend does what docs/dev/add-a-backend.md says, in a copy of the checkout."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.lint import tree
from tests.support.paths import ROOT

SCRIPT = "scripts/new-backend"
NEW = {"demo": "container", "zoo": "vm"}
#: So many files outside its room may one more backend touch.
MOST = 14


def content(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def rows(heading: str, name: str, kind: str) -> list[str]:
    """The first column of the table below a heading of the page."""
    text = (ROOT / "docs" / "dev" / "add-a-backend.md").read_text(encoding="utf-8")
    section = text.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    found = re.findall(r"^\| `([^`]+)` \|", section, re.MULTILINE)
    return [path.replace("<name>", name).replace("<kind>", kind) for path in found]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, list[str]]]:
    """A copy of the checkout with two new backends, and which files each has touched."""
    copy = tree.copy_to(tmp_path_factory.mktemp("new"), tree.files())
    link = copy / ".collections" / "ansible_collections" / "kraal" / "virt"
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to("../../..")
    touched = {}
    for name, kind in NEW.items():
        before = content(copy)
        done = subprocess.run([copy / SCRIPT, name, kind], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        touched[name] = sorted(path for path, text in content(copy).items() if before.get(path) != text)
        assert touched[name] == done.stdout.split()
    return copy, touched


def outcome_of(copy: Path, *tests: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests]
    return subprocess.run(command, cwd=copy, capture_output=True, text=True, check=False, timeout=300)


@pytest.mark.parametrize(("name", "kind"), NEW.items())
def test_the_page_names_what_is_touched_and_nothing_else(
    name: str, kind: str, made: tuple[Path, dict[str, list[str]]]
) -> None:
    touched = made[1][name]
    room = f"plugins/module_utils/backends/{name}/"
    own = {path.removeprefix(room) for path in touched if path.startswith(room) and not path.endswith("__init__.py")}
    assert own == set(rows("The room", name, kind))
    outside = rows("Outside of the room", name, kind)
    elsewhere = [path for path in touched if not path.startswith(room)]
    places = {
        path: [row for row in outside if path == row or (row.endswith("/") and path.startswith(row))]
        for path in elsewhere
    }
    assert [path for path, where in places.items() if len(where) != 1] == []
    assert {where[0] for where in places.values()} == set(outside) and len(outside) == len(set(outside)) <= MOST


def test_it_is_named_wherever_it_has_to_be(made: tuple[Path, dict[str, list[str]]]) -> None:
    """And its discovery runs on a host that does not have it."""
    isolated = "tests/unit/plugin_utils/test_hosts.py::test_each_backends_discovery_runs_isolated"
    done = outcome_of(made[0], "tests/lint/test_backends.py", *(f"{isolated}[{name}]" for name in NEW))
    assert done.returncode == 0, done.stdout


def test_what_it_is_to_do_is_red(made: tuple[Path, dict[str, list[str]]]) -> None:
    done = outcome_of(made[0], *(f"tests/unit/backends/{name}" for name in NEW))
    summary = done.stdout.strip().splitlines()[-1]
    assert done.returncode == 1 and re.search(r"\d+ failed", summary) and "passed" not in summary, done.stdout


def test_what_is_there_is_not_overwritten(made: tuple[Path, dict[str, list[str]]]) -> None:
    before = content(made[0])
    done = subprocess.run([made[0] / SCRIPT, "lxc", "container"], capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "is there already" in done.stderr and content(made[0]) == before


@pytest.mark.parametrize("arguments", [[], ["Demo"], ["a-b"], ["demo", "pod"], ["demo", "vm", "more"]])
def test_what_is_no_backend(arguments: list[str]) -> None:
    done = subprocess.run([ROOT / SCRIPT, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "NAME [container|vm]" in done.stderr
