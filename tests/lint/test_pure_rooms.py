# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A file whose docstring says that it is pure reads no file and no clock, starts no process and talks to nobody."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.paths import ROOT

MODULE_UTILS = ROOT / "plugins" / "module_utils"
#: Modules that are there for nothing else than what a pure file does not do, and the clients of the backends.
OUTSIDE = {
    *(
        "asyncio",
        "ctypes",
        "fcntl",
        "glob",
        "http",
        "pathlib",
        "platform",
        "pwd",
        "grp",
        "random",
        "requests",
        "select",
        "shutil",
    ),
    *("signal", "socket", "ssl", "subprocess", "tempfile", "threading", "time", "urllib", "docker", "libvirt"),
    *("client", "reader", "monitor", "command"),
}
#: What only works on texts.
OF_PATHS = {"basename", "commonpath", "dirname", "isabs", "join", "normpath", "relpath", "split", "splitext"}
#: Of these modules, the functions that ask the system.
ASK = {"datetime": {"now", "today", "utcnow"}, "uuid": {"uuid1", "uuid4", "getnode"}}
#: The rooms that plan, compare and write in every backend: these have to say that they are pure.
ROOMS = (
    *("plan.py", "target.py", "compare.py", "storage.py", "model.py", "fields.py", "xml.py", "pieces.py"),
    *("options.py", "body.py", "write.py", "limits.py"),
)


def says_pure(tree: ast.Module) -> bool:
    return re.search(r"\bPure[.;]", ast.get_docstring(tree) or "") is not None


def pure() -> list[Path]:
    texts = {path: path.read_text(encoding="utf-8") for path in sorted(MODULE_UTILS.rglob("*.py"))}
    return [path for path, text in texts.items() if "Pure" in text and says_pure(ast.parse(text))]


def outside(tree: ast.Module) -> Iterator[str]:
    """What of a file does more than compute."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.partition(".")[0] in OUTSIDE)
        elif isinstance(node, ast.ImportFrom):
            # urllib.parse only computes.
            module = "" if node.module == "urllib.parse" else node.module
            named = (
                [alias.name for alias in node.names]
                if module is None
                else [module.rpartition(".")[2], module.partition(".")[0]]
            )
            yield from (name for name in sorted(set(named)) if name in OUTSIDE)
        elif (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id in ("open", "input", "print")
        ):
            yield f"{node.func.id}()"
        elif isinstance(node, ast.Attribute):
            text = ast.unparse(node)
            words = text.split(".")
            if text.startswith("os.") and len(words) == 2 and words[1] not in ("path", "sep", "fspath"):
                yield text
            if text.startswith("os.path.") and len(words) == 3 and words[2].isidentifier() and words[2] not in OF_PATHS:
                yield text
            if len(words) == 2 and words[1] in ASK.get(words[0], ()):
                yield text


@pytest.mark.parametrize("path", pure(), ids=lambda path: str(path.relative_to(MODULE_UTILS)))
def test_a_pure_room_only_computes(path: Path) -> None:
    assert sorted(outside(ast.parse(path.read_text(encoding="utf-8")))) == []


def test_the_rooms_that_plan_are_pure() -> None:
    rooms = {path for path in (MODULE_UTILS / "backends").rglob("*.py") if path.name.endswith(ROOMS)}
    assert rooms and sorted(str(path) for path in rooms - set(pure())) == []


@pytest.mark.parametrize(
    "text",
    ["import os\nos.path.exists('x')", "import os\nos.stat('x')", "from pathlib import Path", "import time", "open('x')", "from .client import Host",
     "from ..client import Host", "from . import client", "from urllib.request import urlopen", "import uuid\nuuid.uuid4()"],
)  # fmt: skip
def test_it_would_be_noticed(text: str) -> None:
    assert list(outside(ast.parse(text)))


@pytest.mark.parametrize(
    "text", ["import os\nos.path.basename('x')", "import re", "from .xml import parse", "import uuid\nuuid.UUID('x')"]
)
def test_what_computes_is_let_pass(text: str) -> None:
    assert list(outside(ast.parse(text))) == []
