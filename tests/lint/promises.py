# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which test shows which promise of which option: read from the tests themselves, and held against the tables of the
resources.

What a test shows is what it has the drivers do (`VERBS`), itself or through functions of the tests that it names; the
options it shows it of are those of its parameters and those that it writes down itself. A file or its directory is
called after the module that its tests are of.
"""

from __future__ import annotations

import ast
import functools
import importlib
import inspect
import pkgutil
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.kraal.virt.plugins.module_utils import backends, host, images
from ansible_collections.kraal.virt.plugins.module_utils.engine.spec import Table
from tests.support.paths import ROOT

#: What holds for each option.
CHANGE = "it is created, not touched again, changed, not touched again"
CHECK = "check mode foretells and touches nothing"
CRASH = "a run after a crash ends the work"
REFUSED = "bad input is refused before anything is touched"

#: The methods of drivers that assert it, one of each set. `crash=` is an argument.
VERBS: dict[str, tuple[frozenset[str], ...]] = {
    CHANGE: (frozenset({"do", "do_noting", "change"}), frozenset({"again", "change"})),
    CHECK: (frozenset({"do", "do_noting", "change", "check"}),),
    CRASH: (frozenset({"crashes", "fail_after", "moments", "crash="}),),
    REFUSED: (frozenset({"refused"}),),
}

#: A test that goes another way says what it shows: @pytest.mark.shows("crashed").
WORDS = {"changed": CHANGE, "checked": CHECK, "crashed": CRASH, "refused": REFUSED}


@dataclass(frozen=True)
class Shown:
    """What one test shows, and of what."""

    test: str
    resource: str
    promises: frozenset[str]
    #: Options, and states as state=absent.
    options: frozenset[str]
    #: Why it runs in make test-all alone; empty: it runs in make test.
    only_all: str = ""


@dataclass(frozen=True)
class Resource:
    """What the promises are of: the options of a table with the cost of a change, and its states."""

    #: The module's.
    name: str
    options: Mapping[str, str]
    states: tuple[str, ...]
    #: The state of who names none.
    state: str
    #: Options for which Ansible itself refuses what is wrong: yes or no, or one of a list.
    typed: frozenset[str]


def tables() -> list[Resource]:
    """Every table of options that a module has."""
    found: dict[str, Resource] = {}
    names = {path.stem for path in (ROOT / "plugins" / "modules").glob("*.py")}
    for package in (backends, host, images):
        for info in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            for value in vars(importlib.import_module(info.name)).values():
                if isinstance(value, Table) and value.options:
                    # What libvirt calls a domain, its users call a virtual machine.
                    kind = "vm" if value.kind == "domain" else value.kind
                    (name,) = names & {kind, f"{value.backend}_{kind}"}
                    found[name] = _resource(name, value)
    return [found[name] for name in sorted(found)]


def _resource(name: str, table: Table) -> Resource:
    typed = {
        option.name
        for option in table.options
        if option.kind.argument["type"] == "bool" or "choices" in option.kind.argument
    }
    costs = {option.name: option.change.label for option in table.options}
    asked = table.argument_spec()
    if not {*costs} & {*asked}:
        # Nobody writes such an option down: it follows from those that steer the task.
        (cost,) = costs.values()
        costs = dict.fromkeys(table.steering, cost)
    return Resource(name, costs, table.states, table.state, frozenset(typed))


# What a test names


def options_in(value: object) -> Iterator[str]:
    """The options that a parameter of a test stands for: a row's own, the wanted ones of a plan, the keys of
    arguments; states as state=absent.
    """
    if hasattr(value, "option"):
        yield str(value.option)
    elif hasattr(value, "wanted"):
        yield from options_in(value.wanted)
    elif isinstance(value, Mapping):
        for key, given in value.items():
            yield f"state={given}" if key == "state" else str(key)
    elif isinstance(value, (tuple, list)):
        for each in value:
            yield from options_in(each)


class _Reader(ast.NodeVisitor):
    """Collects the methods that are called, the arguments that are given, and the names that are used."""

    def __init__(self) -> None:
        self.methods: set[str] = set()
        self.options: set[str] = set()
        self.names: set[str] = set()
        #: Where a state is not a word but a name, it is one of the words that the function has.
        self.words: set[str] = set()

    def visit_Call(self, node: ast.Call) -> None:
        if isinstance(node.func, ast.Attribute):
            self.methods.add(node.func.attr)
        elif isinstance(node.func, ast.Name):
            self.methods.add(node.func.id)
        for keyword in node.keywords:
            self._given(keyword.arg, keyword.value)
            self.methods |= {"crash="} & {f"{keyword.arg}="}
        self.generic_visit(node)

    def visit_Dict(self, node: ast.Dict) -> None:
        for key, value in zip(node.keys, node.values, strict=True):
            if isinstance(key, ast.Constant):
                self._given(str(key.value), value)
        self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, str):
            self.words.add(node.value)

    def visit_Name(self, node: ast.Name) -> None:
        self.names.add(node.id)

    def _given(self, name: str | None, value: ast.expr) -> None:
        if name == "state":
            self.options.add(f"state={value.value!s}" if isinstance(value, ast.Constant) else "state")
        elif name is not None:
            self.options.add(name)


@functools.cache
def read(function: Callable[..., Any]) -> tuple[frozenset[str], frozenset[str]]:
    """The methods that a test calls, and the options that it writes down: itself, or through functions and values of
    tests that it names.
    """
    reader, seen, todo = _Reader(), {function}, [function]
    while todo:
        each = todo.pop()
        before = reader.names.copy()
        reader.visit(ast.parse(textwrap.dedent(inspect.getsource(each))))
        for name in reader.names - before:
            used = each.__globals__.get(name)
            if inspect.isfunction(used) and used.__module__.startswith("tests.") and used not in seen:
                seen.add(used)
                todo.append(used)
            elif isinstance(used, Mapping):
                reader.options |= {*options_in(used)}
    if "state" in reader.options:
        reader.options |= {f"state={word}" for word in reader.words}
    return frozenset(reader.methods), frozenset(reader.options)


def module_of(path: Path, names: Sequence[str]) -> str | None:
    """The module that a file's tests are of: docker_container/test_x.py, test_docker_network.py or
    kvm/test_network_x.py.
    """
    said = (path.parent.name, path.stem.removeprefix("test_"), f"{path.parent.name}_{path.stem.removeprefix('test_')}")
    return next((name for name in names if any(f"{each}_".startswith(f"{name}_") for each in said)), None)


def shown(
    test: str,
    resource: str,
    function: Callable[..., Any],
    parameters: Iterable[object],
    says: Iterable[str],
    only_all: str = "",
) -> Shown:
    """What a test shows; `says`: what it says so itself, in `WORDS`."""
    methods, written = read(function)
    promises = frozenset(name for name, verbs in VERBS.items() if all(methods & verb for verb in verbs)) | {
        WORDS[word] for word in says
    }
    return Shown(
        test, resource, promises, written | {option for value in parameters for option in options_in(value)}, only_all
    )


# What is missing


def missing(
    resources: Sequence[Resource], tests: Iterable[Shown], exempt: Mapping[tuple[str, str, str], str]
) -> list[str]:
    """Each promise of an option that no test of `make test` shows and that has no exemption, and each exemption that is
    none. Pure.

    A crash is shown of each cost that a change has, by any option of that cost: it is the steps that a run can die
    between. What Ansible itself refuses by an option's type is refused for all of them alike.
    """
    tests = [test for test in tests if not test.only_all]
    lacking: set[tuple[str, str, str]] = set()
    for resource in resources:
        mine = [test for test in tests if test.resource == resource.name]
        for promise in VERBS:
            there = {option for test in mine if promise in test.promises for option in test.options}
            # Who names no state means the usual one.
            there |= {f"state={resource.state}" for test in mine if promise in test.promises}
            if promise == CRASH:
                costs = {resource.options[option] for option in there if option in resource.options}
                lacking |= {
                    (resource.name, option, promise) for option, cost in resource.options.items() if cost not in costs
                }
            else:
                typed = resource.typed if promise == REFUSED else frozenset()
                lacking |= {(resource.name, option, promise) for option in {*resource.options} - there - typed}
            if promise != REFUSED:
                # Present is any of the others, and asks for no step of its own.
                states = {*resource.states} - (
                    {"present"} if promise == CRASH and resource.state != "present" else set()
                )
                lacking |= {
                    (resource.name, f"state={state}", promise) for state in states if f"state={state}" not in there
                }
    named = [
        f"{resource}, {option}: no test shows that {promise}"
        for resource, option, promise in sorted(lacking - {*exempt})
    ]
    return named + [
        f"{resource}, {option}: is exempt from '{promise}' for nothing"
        for resource, option, promise in sorted({*exempt} - lacking)
    ]
