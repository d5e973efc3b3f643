# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The linters, each a test; what one has to say is the test's failure.

With --changed each reads what was changed since main, or all if it has to.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests.lint import sanity, tree
from tests.support.paths import COLLECTIONS, ROOT, program

SPREAD = True

MODULE_UTILS = "ansible_collections.kraal.virt.plugins.module_utils"


def run(command: Sequence[str], cwd: Path = ROOT, **environment: str) -> None:
    result = subprocess.run(
        command,
        check=False,
        cwd=cwd,
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if result.returncode:
        pytest.fail(f"{' '.join(command)}\n{result.stdout}", pytrace=False)


@pytest.fixture
def among(request: pytest.FixtureRequest) -> Callable[..., list[str]]:
    """The changed files below a directory with one of these endings, for --changed; otherwise what stands for all.

    Skips where none was changed.
    """

    def paths(*everything: str, below: str | tuple[str, ...] = "", endings: tuple[str, ...] = ("",)) -> list[str]:
        if not request.config.getoption("--changed"):
            return list(everything)
        found = [name for name in tree.changed() if name.startswith(below) and name.endswith(endings)]
        if not found:
            pytest.skip("nothing of it was changed")
        return found

    return paths


@pytest.fixture
def slow(request: pytest.FixtureRequest) -> None:
    """For what reads the whole collection, a minute long."""
    if request.config.getoption("--changed"):
        pytest.skip("reads the whole collection: see make lint")


def plugin_packages() -> list[str]:
    """The packages of the controller's side: module_utils are checked by themselves, strictly."""
    directories = {Path(name).parent for name in tree.files() if name.startswith("plugins/") and name.endswith(".py")}
    return sorted(str(path) for path in directories if "module_utils" not in path.parts)


def test_ruff(among: Callable[..., list[str]]) -> None:
    run([program("ruff"), "check", "--no-fix", "--force-exclude", *among(".", endings=(".py",))])


# Two runs, because module_utils promises an older Python than the rest: one run has one version, and a newer one knows
# what the older lacks.


def test_mypy_strict_on_module_utils(among: Callable[..., list[str]]) -> None:
    among(below="plugins/module_utils/", endings=(".py",))
    run(
        [
            program("mypy"),
            "--strict",
            "--python-version",
            "3.10",
            "--cache-dir",
            ".cache/mypy/strict",
            "-p",
            MODULE_UTILS,
        ]
    )


def test_mypy_on_plugins_and_tests(among: Callable[..., list[str]]) -> None:
    among(endings=(".py",))
    names = [f"ansible_collections.kraal.virt.{path.replace('/', '.')}" for path in plugin_packages()]
    packages = [word for name in names for word in ("-p", name)]
    command = [
        program("mypy"),
        "--python-version",
        "3.11",
        "--cache-dir",
        ".cache/mypy/rest",
        "--follow-imports",
        "silent",
    ]
    run([*command, *packages, "-p", "tests.support", "-p", "tests.lint"])


def test_yamllint(among: Callable[..., list[str]]) -> None:
    run([program("yamllint"), "--strict", *among(".", endings=(".yml", ".yaml"))])


def test_ansible_lint(among: Callable[..., list[str]]) -> None:
    paths = among(below=("playbooks/", "roles/"), endings=(".yml", ".yaml"))
    # The checkout's own inventory would ask this machine for its guests, for each playbook.
    path = f"{Path(program('ansible-lint')).parent}:{os.environ['PATH']}"
    run(
        [program("ansible-lint"), "--offline", "--strict", "--nocolor", *paths],
        PATH=path,
        ANSIBLE_INVENTORY="/etc/ansible/hosts",
    )


def test_changelog() -> None:
    run([program("antsibull-changelog"), "lint"])


#: antsibull-docs (2.28) writes the name of its temporary directory into each page's link for edits, where a name that
#: ends in an underscore, as one in 37 does, is a reference to nothing.
ANTSIBULL_DOCS = """
import sys, tempfile
from antsibull_docs.cli.antsibull_docs import main
tempfile._RandomNameSequence.characters = "abcdefghijklmnopqrstuvwxyz0123456789"
sys.exit(main())
"""


def test_documentation(slow: None) -> None:
    command = [
        sys.executable,
        "-c",
        ANTSIBULL_DOCS,
        "lint-collection-docs",
        "--plugin-docs",
        "--validate-collection-refs",
        "all",
        "--check-extra-docs-refs",
    ]
    root = COLLECTIONS / "ansible_collections" / "kraal" / "virt"
    run(
        [*command, str(root)],
        PATH=f"{Path(program('antsibull-docs')).parent}:{os.environ['PATH']}",
        ANSIBLE_COLLECTIONS_PATH=str(COLLECTIONS),
    )


def test_ansible_test_sanity(slow: None, tmp_path: Path) -> None:
    result = sanity.run(tree.copy_to(tmp_path, tree.delivered()), sanity.ends())
    if result.returncode:
        pytest.fail(result.stdout, pytrace=False)


@pytest.mark.only_all(
    "a Python between the oldest and the newest, which make test tries, refuses what neither of them does only by a "
    "fault of its own"
)
def test_every_python_compiles_and_imports(tmp_path: Path) -> None:
    result = sanity.run(tree.copy_to(tmp_path, tree.delivered()), sanity.TARGETS, "compile", "import")
    if result.returncode:
        pytest.fail(result.stdout, pytrace=False)


def test_no_sanity_test_is_ignored() -> None:
    ignored = [
        name
        for name in tree.files()
        if name.startswith("tests/sanity/") and (ROOT / name).read_text(encoding="utf-8").strip()
    ]
    assert not ignored
