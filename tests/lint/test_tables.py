# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What there is to say of an option stands on its line of the table: no other file asks which option it has before
it.
"""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator

import pytest

from ansible_collections.kraal.virt.plugins.module_utils.backends.docker.container.options import (
    CONTAINERS as DOCKER,
)
from ansible_collections.kraal.virt.plugins.module_utils.backends.docker.network import (
    NETWORKS_TABLE as DOCKER_NETWORKS,
)
from ansible_collections.kraal.virt.plugins.module_utils.backends.docker.volume import VOLUMES_TABLE as DOCKER_VOLUMES
from ansible_collections.kraal.virt.plugins.module_utils.backends.kvm.network.options import NETWORKS_TABLE
from ansible_collections.kraal.virt.plugins.module_utils.backends.kvm.storage.pool_options import POOLS_TABLE
from ansible_collections.kraal.virt.plugins.module_utils.backends.kvm.storage.volume_options import VOLUMES_TABLE
from ansible_collections.kraal.virt.plugins.module_utils.backends.kvm.vm.options import OPTIONS, VMS
from ansible_collections.kraal.virt.plugins.module_utils.backends.lxc.container.options import (
    CONTAINERS as LXC,
)
from ansible_collections.kraal.virt.plugins.module_utils.engine.spec import Table
from tests.support.paths import ROOT

BACKENDS = ROOT / "plugins" / "module_utils" / "backends"
TABLES: dict[str, tuple[Table, ...]] = {
    "docker": (DOCKER, DOCKER_NETWORKS, DOCKER_VOLUMES),
    "kvm": (VMS, NETWORKS_TABLE, POOLS_TABLE, VOLUMES_TABLE),
    "lxc": (LXC,),
}
#: What a variable or attribute is called that holds an option's name, or several.
HOLDERS = {"name", "names", "option", "options", "key", "keys"}
#: The comparisons that are left, by file: each with its reason.
REASONS: dict[str, str] = {}


def _texts(node: ast.expr) -> list[object]:
    if isinstance(node, (ast.Tuple, ast.List, ast.Set)):
        return [each.value for each in node.elts if isinstance(each, ast.Constant)]
    return [node.value] if isinstance(node, ast.Constant) else []


def _holds(node: ast.expr) -> bool:
    last = node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
    return last in HOLDERS


def by_name(tree: ast.AST, names: Collection[str]) -> Iterator[str]:
    """Where an option's name is compared with a variable, or what is done with options is looked up by their names.

    Whether a task has set an option ("cpus" in want.values), and its value, are no such comparisons.
    """
    functions = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
            if any(text in names for side in sides for text in _texts(side)) and any(map(_holds, sides)):
                yield ast.unparse(node)
        elif isinstance(node, ast.Dict) and len(node.keys) > 1:
            keys = [each.value if isinstance(each, ast.Constant) else None for each in node.keys]
            done = [
                isinstance(each, ast.Lambda) or ast.unparse(each).removeprefix("self.") in functions
                for each in node.values
            ]
            if all(key in names for key in keys) and any(done):
                yield f"{{{keys[0]!r}: ...}}"


@pytest.mark.parametrize("backend", TABLES)
def test_no_option_is_told_by_its_name(backend: str) -> None:
    names = {option.name for table in TABLES[backend] for option in table.options}
    found = {}
    for path in sorted((BACKENDS / backend).rglob("*.py")):
        if not path.name.endswith("options.py"):
            where = sorted(by_name(ast.parse(path.read_text(encoding="utf-8")), names))
            found.update({str(path.relative_to(BACKENDS)): where} if where else {})
    assert {path: where for path, where in found.items() if path not in REASONS} == {}
    assert sorted(set(REASONS) - set(found)) == []


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("if option.name == 'memory': pass", 1),
        ("if option in ('disks', 'networks'): pass", 1),
        ("if 'labels' in keys: pass", 1),
        ("if step.key != 'autostart': pass", 1),
        ("writers = {'memory': _memory, 'cpus': 1}\ndef _memory(): pass", 1),
        ("writers = {'memory': lambda tree: None, 'cpus': 1}", 1),
        ("values = {'memory': 1, 'cpus': count}", 0),
        ("if 'cpus' in want.values or want.values['cpus'] == 2: pass", 0),
        ("if mode == 'disks': pass", 0),
    ],
)
def test_it_would_be_noticed(text: str, count: int) -> None:
    assert len(list(by_name(ast.parse(text), {"memory", "cpus", "disks", "networks", "labels", "autostart"}))) == count


def test_what_costs_a_live_change_is_changed_live() -> None:
    """A price that nothing stands behind would be a restart that nobody has foretold, and the other way round."""
    assert [option.name for option in OPTIONS if (option.change.label == "live") is not (option.live is not None)] == []
    assert [
        option.name
        for option in NETWORKS_TABLE.options
        if (option.change.label == "live") is not (getattr(option, "pieces", None) is not None)
    ] == []
