# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What somebody finds who begins to work on the collection is right: the targets of make, the hooks, the container, the pages for developers."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.paths import ROOT, program

MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
TARGETS = set(re.findall(r"^([a-z][a-z-]*):(?!=)", MAKEFILE, re.MULTILINE))
HOOKS: list[dict[str, Any]] = [
    hook
    for repository in yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"]
    for hook in repository["hooks"]
]


def test_make_help_lists_all_targets() -> None:
    shown = subprocess.run(["make", "help"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    assert {line.split()[0] for line in shown.splitlines()} == TARGETS
    assert set(re.findall(r"^\.PHONY: (.*)$", MAKEFILE, re.MULTILINE)[0].split()) == TARGETS


@pytest.mark.parametrize(("hook", "ending", "bad"), [("ruff", ".py", "import os\n"), ("yamllint", ".yml", "a:  [ b ]\n")])
def test_a_hook_refuses_what_make_check_refuses(hook: str, ending: str, bad: str, tmp_path: Path) -> None:
    (entry,) = (each["entry"] for each in HOOKS if each["id"] == hook)
    words = shlex.split(entry)
    assert words[0] == f".venv/bin/{hook}"
    command = [program(hook), *words[1:]]
    for content, refused in ((bad, True), ("a: b\n" if ending == ".yml" else "A = 1\n", False)):
        file = tmp_path / f"example{ending}"
        file.write_text(content, encoding="utf-8")
        assert bool(subprocess.run([*command, str(file)], cwd=ROOT, check=False, capture_output=True).returncode) is refused


def test_hooks_need_nothing_from_elsewhere() -> None:
    """They run what the virtual environment of the tests has, or a target of make."""
    programs = {shlex.split(hook["entry"])[0] for hook in HOOKS}
    assert {hook["language"] for hook in HOOKS} == {"system"} and programs == {".venv/bin/ruff", ".venv/bin/yamllint", "make"}
    assert {shlex.split(hook["entry"])[1] for hook in HOOKS if hook["entry"].startswith("make ")} <= TARGETS


def test_the_container_is_a_host_as_the_readme_wants_one() -> None:
    """A minimal Debian with what the README names; test_pristine.py types the same on one."""
    container = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text(encoding="utf-8"))
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert container["image"] in ("debian:12", "debian:13") and "Debian 12 or 13" in readme
    packages = re.findall(r"`apt install ([a-z ]+)`", readme)[0]
    assert container["onCreateCommand"] == f"apt-get update && apt-get install --yes {packages}"
    make, target = container["postCreateCommand"].split()
    assert make == "make" and target in TARGETS
