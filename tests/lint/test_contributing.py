# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What somebody finds who begins to work on the collection is right: the targets of make, the hooks, the container,
the pages for developers.
"""

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


@pytest.mark.parametrize(
    ("hook", "ending", "bad"), [("ruff", ".py", "import os\n"), ("yamllint", ".yml", "a:  [ b ]\n")]
)
def test_a_hook_refuses_what_make_check_refuses(hook: str, ending: str, bad: str, tmp_path: Path) -> None:
    (entry,) = (each["entry"] for each in HOOKS if each["id"] == hook)
    words = shlex.split(entry)
    assert words[0] == f".venv/bin/{hook}"
    command = [program(hook), *words[1:]]
    for content, refused in ((bad, True), ("a: b\n" if ending == ".yml" else "A = 1\n", False)):
        file = tmp_path / f"example{ending}"
        file.write_text(content, encoding="utf-8")
        assert (
            bool(subprocess.run([*command, str(file)], cwd=ROOT, check=False, capture_output=True).returncode)
            is refused
        )


def test_hooks_need_nothing_from_elsewhere() -> None:
    """They run what the virtual environment of the tests has, or a target of make."""
    programs = {shlex.split(hook["entry"])[0] for hook in HOOKS}
    assert {hook["language"] for hook in HOOKS} == {"system"} and programs == {
        ".venv/bin/ruff",
        ".venv/bin/yamllint",
        "make",
    }
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


PAGES = sorted((ROOT / "docs" / "dev").glob("*.md"))
TOP = tuple(path.name + "/" for path in ROOT.iterdir() if path.is_dir())


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CONTRIBUTING.md"], ids=lambda page: page.name)
def test_what_a_page_names_is_there(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    named = {word for word in re.findall(r"`([\w./-]+/[\w./-]*)`", text) if word.startswith(TOP)}
    links = {link.partition("#")[0] for link in re.findall(r"\]\((?!https?:)([^)]+)\)", text)}
    missing = [word for word in named if not (ROOT / word).exists()] + [
        link for link in links if not (page.parent / link).exists()
    ]
    assert missing == []
    targets = set(re.findall(r"`make ([a-z-]+)`", text))
    assert targets <= TARGETS


def test_contributing_leads_to_every_page() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert [page.name for page in PAGES if f"(docs/dev/{page.name})" not in text] == []


def walks() -> list[tuple[str, str]]:
    """The options that add-an-option.md walks through, and the files that it names for each."""
    text = (ROOT / "docs" / "dev" / "add-an-option.md").read_text(encoding="utf-8")
    found = []
    for part in text.split("\n### ")[1:]:
        option = re.findall(r"`(\w+)`", part.partition("\n")[0])[0]
        found += [(option, file) for file in re.findall(r"^\| `([^`]+)` \|", part, re.MULTILINE)]
    return found


def test_the_walk_through_an_option_leads_past_it() -> None:
    """In each file that is named, the option is met."""
    assert (
        len({file.split("/")[3] for _option, file in walks() if "/backends/" in file and file.startswith("plugins/")})
        == 3
    )
    assert [
        file
        for option, file in walks()
        if not re.search(rf"\b(\w+_)?{option}\b", (ROOT / file).read_text(encoding="utf-8"))
    ] == []


def test_the_glossary_has_each_word_once_and_in_order() -> None:
    text = (ROOT / "docs" / "dev" / "glossary.md").read_text(encoding="utf-8")
    words = [word for word in re.findall(r"^\| ([^|]+?) \|", text, re.MULTILINE) if word not in ("word", "---")]
    assert words == sorted(set(words)) and len(words) > 40
