# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who performs the steps of a plan can perform all of them and no other, and works from what was planned."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from ansible_collections.kraal.virt.plugins.module_utils.engine.action import Action
from tests.support.paths import ROOT

UTILS = ROOT / "plugins" / "module_utils"

#: Where steps are performed, and what may still be derived there: what nobody could know before.
PERFORM = {
    "docker/container/resource.py": set(),
    "docker/network.py": {"plan"},
    "docker/volume.py": {"plan"},
    "lxc/container/resource.py": {"do_create"},
}
DERIVES = {"between", "changes_of", "compared", "differences", "wanted"}

#: Only what looks like it is parsed.
PERFORMS = re.compile(r"^ +(def )?do_", re.MULTILINE)

#: Where a resource plans beside its own folder: what it is the base of.
BESIDE = {"backends/kvm/definition.py": ("backends/kvm/network/resource.py", "backends/kvm/storage/pool.py")}

#: The actions of the steps that the engine plans for a backend, by its function.
IMPLIED = {
    "creation": (Action.CREATE, Action.START, Action.PAUSE),
    "power": (Action.START, Action.STOP, Action.PAUSE, Action.RESUME),
    "recreation": (Action.RECREATE,),
    "removal": (Action.REMOVE, Action.STOP),
    "restart": (Action.RESTART,),
    "set_step": (Action.SET,),
}


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("room", PERFORM)
def test_who_performs_a_step_derives_nothing(room: str) -> None:
    found = {
        function.name
        for function in ast.walk(tree(UTILS / "backends" / room))
        if isinstance(function, ast.FunctionDef)
        for call in ast.walk(function)
        if isinstance(call, ast.Call)
        and (call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")) in DERIVES
    }
    assert found == PERFORM[room]


def _resources() -> dict[str, tuple[set[str], set[str]]]:
    """For each resource that performs steps by their actions: its methods, and the actions that it plans."""
    found = {}
    for path in (each for each in sorted(UTILS.rglob("*.py")) if PERFORMS.search(each.read_text(encoding="utf-8"))):
        for node in tree(path).body:
            if isinstance(node, ast.ClassDef):
                done = {name for part in node.body for name in _defined(part) if name.startswith("do_")}
                if done:
                    beside = sorted(path.parent.glob("*.py" if path.stem == "resource" else f"{path.stem}_*.py"))
                    also = [UTILS / each for each in BESIDE.get(str(path.relative_to(UTILS)), ())]
                    rooms = [
                        path,
                        *also,
                        *(each for each in beside if "    def do_" not in each.read_text(encoding="utf-8")),
                    ]
                    found[f"{path.relative_to(UTILS)}:{node.name}"] = (
                        done,
                        {f"do_{each}" for room in rooms for each in _planned(tree(room))},
                    )
    return found


def _defined(part: ast.stmt) -> Iterator[str]:
    if isinstance(part, ast.FunctionDef):
        yield part.name
    elif isinstance(part, ast.Assign):
        yield from (target.id for target in part.targets if isinstance(target, ast.Name))


def _planned(module: ast.Module) -> Iterator[Action]:
    for node in ast.walk(module):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            if node.func.id == "Action":
                # A word of the user's: the sources of an image.
                yield from (Action.BUILD, Action.IMPORT, Action.LOAD, Action.TAG)
            yield from IMPLIED.get(node.func.id, ())
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "Action":
            yield Action[node.attr]


RESOURCES = _resources()


@pytest.mark.parametrize("name", RESOURCES)
def test_what_is_planned_is_what_can_be_performed(name: str) -> None:
    done, planned = RESOURCES[name]
    assert done == planned
