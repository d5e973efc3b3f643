# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The words of plans and results: what the code says, what the guide tells, and what the modules take are one set."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterator
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.kraal.virt.plugins.module_utils.engine.action import Action, Disruption, PowerState
from ansible_collections.kraal.virt.plugins.module_utils.engine.resource import Resource
from ansible_collections.kraal.virt.plugins.module_utils.engine.result import Guest
from tests.lint.documents import options_of, text_of
from tests.support.paths import ROOT

PLUGINS = ROOT / "plugins"
MODULES = sorted(path for path in (PLUGINS / "modules").glob("*.py") if path.stem != "__init__")
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
    [
        ("Actions", Action.words()),
        ("Disruption", Disruption.names()),
        ("States of a guest", PowerState.words()),
        ("What is returned of a guest", [each.name for each in fields(Guest)]),
    ],
    ids=["actions", "disruptions", "states", "guest"],
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


def returned(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(text_of(path, "RETURN")) or {}
    return found


def listed(path: Path) -> list[str]:
    """The actions that a module's documentation says its plan can have."""
    description = returned(path).get("plan", {}).get("description", "")
    text = description if isinstance(description, str) else " ".join(description)
    found = re.search(r"The C\(action\) is ((?:C\(\w+\)(?:, | or )?)+)", text)
    return re.findall(r"C\((\w+)\)", found[1]) if found else []


def resource_of(path: Path) -> type[Resource[Any]] | None:
    """The resource that a module, or the action plugin that does its work, hands to the engine."""
    for file in (path, PLUGINS / "action" / path.name):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))) if file.exists() else ():
            if isinstance(node, ast.ImportFrom) and ".module_utils." in str(node.module):
                for name in node.names:
                    found = getattr(importlib.import_module(str(node.module)), name.name, None)
                    if isinstance(found, type) and issubclass(found, Resource) and performed(found):
                        return found
    return None


def performed(resource: type) -> list[str]:
    return [word for word in Action.words() if hasattr(resource, f"do_{word}")]


RESOURCES = {path.stem: resource for path in MODULES for resource in [resource_of(path)] if resource is not None}


@pytest.mark.parametrize("module", RESOURCES)
def test_a_module_lists_the_actions_that_its_plan_can_have(module: str) -> None:
    assert listed(PLUGINS / "modules" / f"{module}.py") == performed(RESOURCES[module])


def test_most_modules_list_them() -> None:
    """The others hand several resources to the engine, or hosts, or only look."""
    without = {path.stem for path in MODULES if path.stem.endswith("_setup")}
    without |= {"fleet", "fleet_resources", "guests_info", "host_bridge", "host_info"}
    assert {path.stem for path in MODULES} - set(RESOURCES) == without


def test_a_module_shows_the_actions_that_there_are() -> None:
    """The documentation of what a module returns, wherever it lists or shows an action."""
    shown = {
        path.stem: [*listed(path), *(step["action"] for step in _samples(returned(path)))]
        for path in MODULES
        if "plan" in returned(path)
    }
    assert all(shown.values())
    assert {word for words in shown.values() for word in words} <= set(Action.words())


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
    assert options_of(PLUGINS / f"{name}.py")["states"]["choices"] == PowerState.words()
