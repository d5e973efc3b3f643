# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The words of plans and results: what the code says, what the guide tells, and what the modules take are one set."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
import yaml

from ansible_collections.kraal.virt.plugins.module_utils.engine.action import Action, Disruption, PowerState
from tests.support.paths import ROOT

PLUGINS = ROOT / "plugins"
GUIDE = ROOT / "docs" / "docsite" / "rst" / "guide_plans.rst"


@cache
def trees() -> list[tuple[Path, ast.Module]]:
    return [
        (path.relative_to(ROOT), ast.parse(path.read_text(encoding="utf-8"))) for path in sorted(PLUGINS.rglob("*.py"))
    ]


def told(heading: str) -> list[str]:
    """The words in the first column of the table below a heading of the guide."""
    section = GUIDE.read_text(encoding="utf-8").split(f"\n{heading}\n---")[1].split("\n---")[0]
    return re.findall(r"^   \* - ``(\w+)``$", section, re.MULTILINE)


@pytest.mark.parametrize(
    ("heading", "words"),
    [("Actions", Action.words()), ("Disruption", Disruption.names()), ("States of a guest", PowerState.words())],
    ids=["actions", "disruptions", "states"],
)
def test_the_guide_has_every_word_and_no_other(heading: str, words: list[str]) -> None:
    assert told(heading) == words


def test_no_step_has_a_word_of_its_own() -> None:
    """What is no constant is typed: mypy sees to it that it is an Action."""
    own = [
        f"{path}:{call.lineno}"
        for path, tree in trees()
        for call in ast.walk(tree)
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "Step"
        for word in (*call.args[1:2], *(each.value for each in call.keywords if each.arg == "action"))
        if isinstance(word, ast.Constant)
    ]
    assert own == []


def test_every_action_is_planned_somewhere() -> None:
    """The sources of an image are actions too, which the user names."""
    used = {
        node.attr
        for _path, tree in trees()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and _is_action(node.value)
    }
    sources = {"BUILD", "IMPORT", "LOAD", "TAG"}
    assert {each.name for each in Action} - used <= sources


def _is_action(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id == "Action"


def test_a_module_names_the_actions_that_there_are() -> None:
    """The documentation of what a module returns, wherever it lists or shows an action."""
    wrong = []
    for path in sorted((PLUGINS / "modules").glob("*.py")):
        returned = yaml.safe_load(_text(path, "RETURN") or "{}") or {}
        for field in _fields(returned, "action"):
            listed = " ".join([field["description"]] if isinstance(field["description"], str) else field["description"])
            wrong += [
                f"{path.name}: {word}"
                for word in [*re.findall(r"C\((\w+)\)", listed), field["sample"]]
                if word not in Action.words()
            ]
        wrong += [
            f"{path.name}: {step['action']}" for step in _samples(returned) if step["action"] not in Action.words()
        ]
    assert wrong == []


def _text(path: Path, name: str) -> str:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found = [
        node.value
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == name
    ]
    return str(ast.literal_eval(found[0])) if found else ""


def _fields(node: object, name: str) -> Iterator[dict[str, str]]:
    if isinstance(node, dict):
        for key, value in node.items():
            if key == name and isinstance(value, dict) and "description" in value:
                yield value
            yield from _fields(value, name)


def _samples(node: object) -> Iterator[dict[str, str]]:
    """All steps of a plan that samples show."""
    if isinstance(node, dict):
        if {"guest", "action", "key"} <= set(node) and isinstance(node["action"], str):
            yield node
        for value in node.values():
            yield from _samples(value)
    elif isinstance(node, list):
        for value in node:
            yield from _samples(value)


@pytest.mark.parametrize("name", ["modules/guests_info", "inventory/guests"])
def test_guests_are_taken_by_every_state(name: str) -> None:
    options = yaml.safe_load(_text(PLUGINS / f"{name}.py", "DOCUMENTATION"))["options"]
    assert options["states"]["choices"] == PowerState.words()
