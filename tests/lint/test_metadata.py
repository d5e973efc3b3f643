# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the collection says of itself is what is there."""

from __future__ import annotations

import ast
import graphlib
import json
import os
import re
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement

from ansible_collections.kraal.virt.plugins.module_utils.backends.registry import NAMES
from tests.lint import tree
from tests.support.paths import COLLECTIONS, ROOT, program

#: An engine's modules are named after it and share the options that say where it is.
ENGINES = NAMES

HEADER = (
    "Copyright (c) 2026 the kraal.virt contributors",
    "GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)",
    "SPDX-License-Identifier: GPL-3.0-or-later",
)

#: Written by a tool, or with a text of its own, or in a format without comments.
WITHOUT_HEADER = (
    ".gitignore",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "LICENSE",
    "README.md",
    "ansible.cfg",
    "changelogs/changelog.yaml",
)

LINES_OF_CODE = 450
LINES_OF_A_FUNCTION = 50

ARTEFACT = {
    *("CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "README.md", "FILES.json", "MANIFEST.json"),
    *("changelogs", "docs", "meta", "playbooks", "plugins", "roles"),
}


def modules() -> list[str]:
    return sorted(path.stem for path in (ROOT / "plugins" / "modules").glob("*.py") if path.stem != "__init__")


@cache
def action_groups() -> dict[str, list[str]]:
    runtime = yaml.safe_load((ROOT / "meta" / "runtime.yml").read_text(encoding="utf-8"))
    groups: dict[str, list[str]] = runtime["action_groups"]
    return groups


@cache
def documentation() -> dict[str, Any]:
    """Every module's documentation with its fragments merged in."""
    names = [f"kraal.virt.{name}" for name in modules()]
    environment = dict(os.environ, ANSIBLE_COLLECTIONS_PATH=str(COLLECTIONS))
    command = [program("ansible-doc"), "--type", "module", "--json", *names]
    result = subprocess.run(command, check=True, cwd=ROOT, env=environment, capture_output=True, text=True)
    docs: dict[str, Any] = json.loads(result.stdout)
    return docs


def test_every_module_is_in_the_group_of_all() -> None:
    assert action_groups()["kraal"] == modules()


@pytest.mark.parametrize("engine", ENGINES)
def test_every_module_of_an_engine_is_in_its_group(engine: str) -> None:
    """But for the setups, which connect to no engine."""
    assert action_groups()[engine] == [
        name for name in modules() if name.startswith(f"{engine}_") and not name.endswith("_setup")
    ]


def test_there_is_no_other_group() -> None:
    assert set(action_groups()) == {"kraal", *ENGINES}


@pytest.mark.parametrize("module", modules())
def test_documentation_names_the_groups(module: str) -> None:
    """Each module extends the fragments that tell its reader which group sets its defaults."""
    groups = sorted(f"kraal.virt.{group}" for group, members in action_groups().items() if module in members)
    attribute = documentation()[f"kraal.virt.{module}"]["doc"].get("attributes", {}).get("action_group", {})
    assert sorted(attribute.get("membership", [])) == groups


@pytest.mark.parametrize("module", modules())
def test_documentation_says_what_check_and_diff_do(module: str) -> None:
    attributes = documentation()[f"kraal.virt.{module}"]["doc"].get("attributes", {})
    assert {"check_mode", "diff_mode"} <= set(attributes)


def test_every_module_documents_its_trace_alike() -> None:
    """All answers leave through KraalModule, which adds it at -vvv; host_info is a plain module that only looks at
    files and programs.
    """
    found = {name: json.dumps(doc["return"].get("trace"), sort_keys=True) for name, doc in documentation().items()}
    assert found.pop("kraal.virt.host_info") == "null"
    assert len(set(found.values())) == 1 and "null" not in found.values(), found


def test_version_added_is_not_of_the_future() -> None:
    now = version(yaml.safe_load((ROOT / "galaxy.yml").read_text(encoding="utf-8"))["version"])
    added = {name: doc["doc"].get("version_added") for name, doc in documentation().items()}
    assert {name: value for name, value in added.items() if value is None or version(value) > now} == {}


def version(text: object) -> tuple[int, ...]:
    return tuple(int(part) for part in str(text).split("."))


def test_every_file_has_the_header() -> None:
    missing = []
    for name in tree.files():
        path = ROOT / name
        if name in WITHOUT_HEADER or path.is_symlink() or path.suffix in (".json", ".md"):
            continue
        text = path.read_text(encoding="utf-8")
        if text and not all(line in text[:1000] for line in HEADER):
            missing.append(name)
    assert missing == []


def test_lines_and_functions_fit_on_a_screen() -> None:
    """The formatter wraps at 120; what it cannot wrap, patterns and lines of tables, is not more than a line in 200."""
    lines, wide, long = 0, 0, {}
    for name in tree.files():
        if name.startswith("plugins/module_utils/") and name.endswith(".py"):
            text = (ROOT / name).read_text(encoding="utf-8")
            lines += text.count("\n")
            wide += sum(len(line) > 120 for line in text.splitlines())
            for node in ast.walk(ast.parse(text)):
                if isinstance(node, ast.FunctionDef) and (node.end_lineno or 0) - node.lineno >= LINES_OF_A_FUNCTION:
                    long[f"{name}: {node.name}"] = (node.end_lineno or 0) - node.lineno + 1
    assert long == {}
    assert wide * 200 <= lines, f"{wide} of {lines} lines are longer than 120"


def test_no_import_goes_in_a_circle() -> None:
    """What a module imports when it is imported: a circle works or not by who comes first."""
    imports: dict[str, set[str]] = {}
    names = {name[:-3] for name in tree.files() if name.startswith("plugins/module_utils/") and name.endswith(".py")}
    for name in names:
        base = name.split("/")[:-1]
        for node in ast.parse((ROOT / f"{name}.py").read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ImportFrom) and node.level:
                where = "/".join([*base[: len(base) - node.level + 1], *(node.module or "").split(".")]).rstrip("/")
                imports.setdefault(name, set()).update(
                    {where, *(f"{where}/{each.name}" for each in node.names)} & names
                )
    try:
        graphlib.TopologicalSorter(imports).prepare()
    except graphlib.CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))
    assert imports


def test_what_make_installs_for_a_fleet_has_an_upper_bound() -> None:
    """A next version is tried by the tests before a user's run takes it; README tells the lines of ansible-core."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    lines = [
        Requirement(line)
        for name in ("scripts/requirements.txt", "meta/ee-requirements.txt")
        for line in (ROOT / name).read_text(encoding="utf-8").splitlines()
        if not line.startswith("#")
    ]
    assert [str(line) for line in lines if not {each.operator for each in line.specifier} & {"<", "=="}] == []
    for python, release in (("3.11", "Debian 12"), ("3.13", "Debian 13")):
        (core,) = [
            line.specifier
            for line in lines
            if line.name == "ansible-core"
            and line.marker is not None
            and line.marker.evaluate({"python_version": python})
        ]
        assert re.search(rf"{str(core)[2:-2]} on {release} \(Python {python}\)", readme), f"{python}: {core}"


def test_no_file_grows_too_long() -> None:
    """A file that does not fit into a head is two files; documentation, comments and blank lines do not count."""
    long = {}
    for name in tree.files():
        if Path(name).suffix == ".py":
            code = [line for line in code_of(ROOT / name) if line.strip() and not line.strip().startswith("#")]
            if len(code) > LINES_OF_CODE:
                long[name] = len(code)
    assert long == {}


def code_of(path: Path) -> list[str]:
    """A file's lines without the module's documentation blocks and without the docstrings that span lines."""
    kept, inside = [], ""
    for line in path.read_text(encoding="utf-8").splitlines():
        if inside:
            inside = "" if line.rstrip().endswith(inside) else inside
            continue
        for quotes in ('"""', "'''"):
            if line.count(quotes) == 1:
                inside = quotes
        if not inside:
            kept.append(line)
    return kept


def test_the_artefact_holds_what_runs_and_nothing_else(tmp_path: Path) -> None:
    """Builds the collection, installs it, and lets Ansible read every module from there."""
    collection = tree.copy_to(tmp_path / "source", tree.files())
    galaxy = program("ansible-galaxy")
    subprocess.run(
        [galaxy, "collection", "build", "--output-path", str(tmp_path)], check=True, cwd=collection, capture_output=True
    )
    (artefact,) = tmp_path.glob("kraal-virt-*.tar.gz")
    install = [
        galaxy,
        "collection",
        "install",
        "--offline",
        "--no-deps",
        "-p",
        str(tmp_path / "installed"),
        str(artefact),
    ]
    settings = tmp_path / "ansible.cfg"
    settings.touch()
    environment = dict(os.environ, ANSIBLE_CONFIG=str(settings), ANSIBLE_COLLECTIONS_PATH=str(tmp_path / "installed"))
    subprocess.run(install, check=True, cwd=tmp_path, env=environment, capture_output=True)
    installed = tmp_path / "installed" / "ansible_collections" / "kraal" / "virt"
    top = {path.name for path in installed.iterdir()}
    assert top <= ARTEFACT
    command = [program("ansible-doc"), "--type", "module", "--json", *(f"kraal.virt.{name}" for name in modules())]
    result = subprocess.run(command, check=True, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert sorted(json.loads(result.stdout)) == [f"kraal.virt.{name}" for name in modules()]


def test_the_role_fleet_knows_every_option() -> None:
    """It tells of one that nobody knows before anything is touched."""
    variables = yaml.safe_load((ROOT / "roles" / "fleet" / "vars" / "main.yml").read_text(encoding="utf-8"))
    for variable, module, own in (
        ("__fleet_network_options", "docker_network", set()),
        # What it builds is not removed by it.
        ("__fleet_image_options", "base_image", {"name", "directory", "state"}),
    ):
        options = set(documentation()[f"kraal.virt.{module}"]["doc"]["options"]) - own
        assert set(variables[variable]) == options
