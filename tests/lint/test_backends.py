# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A backend says itself what it is: nothing else asks for its name, and what is written by hand names all of them."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from ansible_collections.kraal.virt.plugins.module_utils.backends import every
from ansible_collections.kraal.virt.plugins.module_utils.backends.registry import BACKENDS, NAMES
from ansible_collections.kraal.virt.plugins.plugin_utils.hosts import ENDPOINTS
from ansible_collections.kraal.virt.plugins.plugin_utils.ways import WAYS
from tests.lint.documents import options_of
from tests.support.paths import ROOT

PLUGINS = ROOT / "plugins"
#: Each backend's own room, and what a host has and can do, which knows the engines by their programs.
ROOMS = tuple(PLUGINS / "module_utils" / "backends" / name for name in NAMES)
APART = (*ROOMS, PLUGINS / "module_utils" / "host")
#: The tables that name every backend.
TABLES = {
    PLUGINS / "module_utils" / "backends" / "registry.py",
    PLUGINS / "module_utils" / "backends" / "every.py",
    PLUGINS / "plugin_utils" / "ways.py",
}
#: What a host could have is more than what can be managed on it.
MORE = {"host_info"}


def asked(source: str) -> list[int]:
    """The lines in which something is compared with the name of a backend, or looked up by it."""
    found = []
    for node in ast.walk(ast.parse(source)):
        parts: list[ast.expr] = []
        if isinstance(node, ast.Compare):
            parts = [node.left, *node.comparators]
        elif isinstance(node, ast.Dict):
            parts = [key for key in node.keys if key is not None]
        elif (
            isinstance(node, ast.Assign)
            and isinstance(node.value, (ast.Tuple, ast.List, ast.Set))
            or isinstance(node, ast.MatchValue)
        ):
            parts = [node.value]
        words = [
            word
            for part in parts
            for word in (part.elts if isinstance(part, (ast.Tuple, ast.List, ast.Set)) else [part])
        ]
        found += [word.lineno for word in words if isinstance(word, ast.Constant) and word.value in NAMES]
    return found


@pytest.mark.parametrize(
    "source",
    [
        'kind == "docker"',
        '"lxc" != kind',
        'kind in ("kvm", "docker")',
        '"kvm" in backends',
        'TABLE = {"lxc": 1}',
        'MACHINES = ("kvm",)',
        'match kind:\n    case "lxc":\n        pass',
    ],
)
def test_what_asks_for_a_name(source: str) -> None:
    assert asked(source) != []


def test_nothing_but_a_backends_own_room_asks_for_its_name() -> None:
    found = {}
    for path in sorted(PLUGINS.rglob("*.py")):
        if path not in TABLES and not any(room in path.parents for room in APART):
            lines = asked(path.read_text(encoding="utf-8"))
            if lines:
                found[str(path.relative_to(ROOT))] = lines
    assert found == {}, "ask the backend instead: see module_utils/backends/backend.py"


def options(documented: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """All options and suboptions, by their paths."""
    for name, option in (documented or {}).items():
        yield above + name, option
        yield from options(option.get("suboptions") or {}, f"{above}{name}.")


WITH_CHOICES = [
    pytest.param(option, id=f"{path.stem}-{name}")
    for kind in ("modules", "inventory", "connection", "doc_fragments")
    for path in sorted((PLUGINS / kind).glob("*.py"))
    for name, option in options(options_of(path))
    if name in ("backend", "backends") and "choices" in option and path.stem not in MORE
]


@pytest.mark.parametrize("option", WITH_CHOICES)
def test_documented_choices_are_all_backends(option: Mapping[str, Any]) -> None:
    assert option["choices"] == list(NAMES)
    assert option.get("default") in (None, *NAMES)


def test_some_choices_are_documented() -> None:
    assert len(WITH_CHOICES) >= 2


def test_documented_endpoints_are_those_that_can_be_asked_from_here() -> None:
    found = dict(options(options_of(PLUGINS / "inventory" / "guests.py")))
    assert (found["endpoints.backend"]["choices"], found["endpoints.backend"]["default"]) == (ENDPOINTS, ENDPOINTS[0])
    ways = {key for each in BACKENDS.values() for key in each.endpoint}
    assert {name.rpartition(".")[2] for name in found if name.startswith("endpoints.")} == {"name", "backend", *ways}


@pytest.mark.parametrize("name", NAMES)
def test_what_the_discovery_can_be_told_is_an_option_of_the_inventory(name: str) -> None:
    """Of guests_info too, where Ansible's own checks compare what is documented with what is declared."""
    documented = options_of(PLUGINS / "inventory" / "guests.py")
    for option, declared in BACKENDS[name].discovery.items():
        assert {key: documented[option].get(key) for key in declared} == declared


@pytest.mark.parametrize("name", NAMES)
def test_each_is_in_every_table(name: str) -> None:
    assert BACKENDS[name].name == name and ROOMS[NAMES.index(name)].is_dir()
    assert {name, f"discover_{name}"} <= set(every.__all__) and name in WAYS
    fleet = options_of(PLUGINS / "modules" / "fleet.py")
    assert f"for C({name})" in " ".join(fleet["guests"]["description"])


def test_no_table_has_another() -> None:
    assert set(WAYS) == set(NAMES) and len(every.__all__) == 2 * len(NAMES)
