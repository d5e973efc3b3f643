# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which programs the collection starts, read from its sources.

A program is what stands first in an argument vector that is handed to subprocess or to one of the collection's own
functions that do that, or what is looked for by which(). What cannot be told is `Unknown`, and not passed over.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from tests.support.paths import ROOT

#: Where programs are started from. What runs in a guest is not among them: see IN_IMAGES of the test.
SOURCES = ("plugins/**/*.py",)
#: The position of a program, or of an argument vector, among the arguments of what starts it. A function of ours that
#: hands one on has to stand here.
_PLACES = {
    0: (
        "subprocess.run",
        "subprocess.Popen",
        "shutil.which",
        "host.run",
        "host.which",
        "self.which",
        "log.run",
        "self.run",
        "run",
        "tool",
        "_tool",
        "which",
    )
    + ("_said", "command"),
    1: ("call", "run_tool", "run_held", "_attempt", "_first", "_version", "_run"),
    4: ("_in_own_network",),
}
STARTS = {name: place for place, names in _PLACES.items() for name in names}
#: What starts what stands behind its own options.
WRAPPERS = ("setpriv", "timeout", "unshare")

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Unknown:
    """A place where something is started that the reader cannot tell."""

    where: str


@dataclass(frozen=True)
class Parameter:
    """The program is the caller's to say."""

    name: str


Found = str | Unknown | Parameter


@dataclass
class Source:
    """One file, and for each node the function that it is in."""

    name: str
    tree: ast.Module
    inside: dict[ast.AST, Function] = field(default_factory=dict)
    functions: dict[str, Function] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path, root: Path) -> Source:
        source = cls(str(path.relative_to(root)), ast.parse(path.read_text(encoding="utf-8")))
        for function in ast.walk(source.tree):
            if isinstance(function, Function):
                source.functions[function.name] = function
                source.inside.update(dict.fromkeys(ast.walk(function), function))
        return source

    def scope(self, node: ast.AST) -> Iterator[ast.AST]:
        function = self.inside.get(node)
        if function is not None:
            yield from ast.walk(function)
        yield from self.tree.body

    def assigned(self, name: str, node: ast.AST) -> Iterator[tuple[ast.expr, bool]]:
        """What a name stands for there: the values given to it, and whether it is each element of that."""
        for other in self.scope(node):
            if isinstance(other, ast.Assign | ast.AnnAssign) and other.value is not None:
                targets = other.targets if isinstance(other, ast.Assign) else [other.target]
                for target in targets:
                    names = target.elts if isinstance(target, ast.Tuple) else [target]
                    values = (
                        other.value.elts
                        if isinstance(target, ast.Tuple) and isinstance(other.value, ast.Tuple)
                        else [other.value]
                    )
                    yield from (
                        (value, False)
                        for each, value in zip(names, values, strict=False)
                        if isinstance(each, ast.Name) and each.id == name
                    )
            elif (
                isinstance(other, ast.For | ast.comprehension)
                and isinstance(other.target, ast.Name)
                and other.target.id == name
            ):
                yield other.iter, True

    def programs(self, node: ast.expr, seen: tuple[str, ...] = ()) -> Iterator[Found]:
        """What stands first in an argument vector, or is a program's name itself."""
        match node:
            case ast.Constant(value=str(text)):
                yield text
            case ast.List(elts=[first, *rest]) | ast.Tuple(elts=[first, *rest]):
                begins = list(self.programs(first.value if isinstance(first, ast.Starred) else first, seen))
                yield from begins
                if any(program in WRAPPERS for program in begins):
                    yield from (
                        found
                        for each in rest
                        if isinstance(each, ast.Starred)
                        for found in self.programs(each.value, seen)
                    )
            case ast.Name(id=name):
                yield from self.named(name, node, seen)
            case (
                ast.Subscript(value=value)
                | ast.BinOp(left=value)
                | ast.Call(func=ast.Attribute(attr="rpartition", value=value))
            ):
                yield from self.programs(value, seen)
            case ast.IfExp(body=one, orelse=other):
                yield from (found for each in (one, other) for found in self.programs(each, seen))
            case ast.BoolOp(values=values):
                yield from (found for each in values for found in self.programs(each, seen))
            case (
                ast.Call(func=ast.Name(id="list" | "tuple" | "str" | "tool"), args=[value])
                | ast.Call(func=ast.Attribute(attr="which"), args=[value, *_])
            ):
                yield from self.programs(value, seen)
            case ast.Call(func=ast.Name(id=name)) if name in self.functions:
                yield from (found for each in ast.walk(self.functions[name]) if isinstance(each, ast.Return) and each.value is not None
                            for found in self.programs(each.value, seen))  # fmt: skip
            case _:
                yield self.unknown(node)

    def named(self, name: str, node: ast.AST, seen: tuple[str, ...]) -> Iterator[Found]:
        function = self.inside.get(node)
        parameters = function.args if function else None
        values = [] if name in seen else list(self.assigned(name, node))
        if parameters and name in [
            each.arg for each in (*parameters.args, *parameters.kwonlyargs, *filter(None, [parameters.vararg]))
        ]:
            yield Parameter(name)
        elif not values and name not in seen:
            yield self.unknown(node)
        for value, each in values:
            if not each:
                yield from self.programs(value, (*seen, name))
            elif isinstance(value, ast.List | ast.Tuple):
                yield from (found for element in value.elts for found in self.programs(element, (*seen, name)))
            else:
                yield from self.programs(value, (*seen, name))

    def unknown(self, node: ast.AST) -> Unknown:
        function = self.inside.get(node)
        return Unknown(f"{self.name}:{function.name if function else ''}")


def in_python(
    root: Path = ROOT, patterns: Iterable[str] = SOURCES, ignored: Iterable[str] = ()
) -> dict[str | Unknown, set[str]]:
    """Every program, or place that cannot be told, with the files that it is in."""
    found: dict[str | Unknown, set[str]] = {}
    for path in sorted(path for pattern in patterns for path in root.glob(pattern)):
        source = Source.read(path, root)
        for node, program in started(source) if source.name not in ignored else ():
            if (
                isinstance(program, str)
                and isinstance(node, ast.Call)
                and ast.unparse(node.func).endswith((".tool", "._tool"))
            ):
                program = "lxc-" + program
            if isinstance(program, Parameter):
                if source.inside[node].name in {name.rpartition(".")[2] for name in STARTS}:
                    continue
                program = source.unknown(node)
            found.setdefault(program, set()).add(source.name)
    return found


def started(source: Source) -> Iterator[tuple[ast.AST, Found]]:
    """What is started in a file, and where."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Dict):
            values = [
                value
                for key, value in zip(node.keys, node.values, strict=True)
                if isinstance(key, ast.Constant) and key.value == "argv"
            ]
        elif isinstance(node, ast.Call) and not (ast.unparse(node.func) == "_said" and "mmdebstrap" not in source.name):
            # Elsewhere, that is what an error has said.
            values = arguments(node)
        else:
            continue
        for value in values:
            yield from ((node, program) for program in source.programs(value))


def arguments(node: ast.Call) -> list[ast.expr]:
    """The arguments of a call that are programs or argument vectors."""
    text = ast.unparse(node.func)
    if text == "map" and ast.unparse(node.args[0]).endswith("which"):
        each = node.args[1]
        return each.elts if isinstance(each, ast.Tuple | ast.List) else [each]
    for name, position in STARTS.items():
        if text == name or ("." in name or name in ("tool", "_tool", "which")) and text.endswith("." + name):
            return node.args[position : position + 1] if name != "_first" else node.args[position:]
    return []


def in_tasks(root: Path = ROOT) -> dict[str | Unknown, set[str]]:
    """The same of what the tasks of roles and playbooks start."""
    found: dict[str | Unknown, set[str]] = {}
    for path in sorted([*root.glob("roles/*/tasks/*.yml"), *root.glob("playbooks/*.yml")]):
        name = str(path.relative_to(root))
        for task in tasks(yaml.safe_load(path.read_text(encoding="utf-8"))):
            for module in ("ansible.builtin.command", "ansible.builtin.shell", "ansible.builtin.raw"):
                if module not in task:
                    continue
                given = task[module]
                argv = given.get("argv") if isinstance(given, dict) else None
                first = argv[0] if isinstance(argv, list) and argv else argv
                literal = re.match(r"\s*{{\s*\[\s*'([^']+)'", first) if isinstance(first, str) else None
                plain = isinstance(argv, list) and isinstance(first, str) and "{{" not in first
                program: str | Unknown = (
                    literal[1] if literal else str(first) if plain else Unknown(f"{name}:{task['name']}")
                )
                found.setdefault(program, set()).add(name)
                if program == "timeout" and isinstance(argv, list):
                    found.setdefault(str(argv[2]), set()).add(name)
    return found


def tasks(nodes: object) -> Iterator[dict[str, object]]:
    """All tasks of a file, of blocks too."""
    for node in nodes if isinstance(nodes, list) else []:
        if isinstance(node, dict):
            yield node
            for part in ("block", "rescue", "always", "tasks", "pre_tasks", "post_tasks"):
                yield from tasks(node.get(part))
