# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each answer is what `COPY .

/` had in it, built by Docker's own client 20.10.24, without BuildKit, with this .dockerignore.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.kraal.virt.plugins.module_utils.backends.docker.image.ignore_file import files_of
from ansible_collections.kraal.virt.plugins.module_utils.engine.errors import InvalidOption

FILES = ("!.key", "README", "^.key", "a.key", "b.key", "keep", "sub/deep/x.key", "sub/k")
KEYS = {"!.key", "^.key", "a.key", "b.key"}
SUB = {"sub", "sub/deep", "sub/deep/x.key", "sub/k"}
ALL = {*FILES, *SUB}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in (*FILES, "Dockerfile"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    return tmp_path


@pytest.mark.parametrize(
    ("lines", "left"),
    [
        (["[^a].key"], ALL - KEYS | {"a.key"}),
        (["[!a].key"], ALL - {"a.key", "!.key"}),
        (["[a-b].key"], ALL - {"a.key", "b.key"}),
        (["KEEP", "readme"], ALL),
        (["*.KEY"], ALL),
        (["  keep  "], ALL - {"keep"}),
        (["sub/../keep"], ALL - {"keep"}),
        (["sub", "!sub/k"], ALL - SUB | {"sub", "sub/k"}),
        (["*", "!sub/k"], {"sub", "sub/k"}),
        (["sub/**", "!sub/deep/x.key"], ALL - {"sub/k"}),
        (["!keep", "*"], set()),
        (["# keep", "", "/sub/"], ALL - SUB),
        (["**/*.key"], ALL - KEYS - {"sub/deep/x.key"}),
        (["?.key"], ALL - KEYS),
        (["\\?.key", "\\!.key"], ALL - {"!.key"}),
        (["\ufeffkeep", "README"], ALL - {"keep", "README"}),
    ],
    ids=lambda value: " ".join(sorted(value)),
)
def test_what_belongs_to_a_build(root: Path, lines: list[str], left: set[str]) -> None:
    (root / ".dockerignore").write_text("\n".join(lines), encoding="utf-8")
    assert set(files_of(root, "Dockerfile")) == left | {"Dockerfile", ".dockerignore"}


def test_an_exception_with_a_wildcard_brings_back_what_lies_deeper(root: Path) -> None:
    """As its documentation says; the client without BuildKit does not look into a directory that is left out, unless
    an exception begins with its name.
    """
    (root / ".dockerignore").write_text("*\n!**/x.key\n")
    assert set(files_of(root, "Dockerfile")) == {"Dockerfile", ".dockerignore", "sub", "sub/deep", "sub/deep/x.key"}


def test_without_rules_everything_does(root: Path) -> None:
    assert set(files_of(root, "Dockerfile")) == ALL | {"Dockerfile"}


@pytest.mark.parametrize("line", ["[a", "[]", "a\\", "!", "[b-a]", "[a-]"])
def test_a_line_that_cannot_be_read_is_named(root: Path, line: str) -> None:
    (root / ".dockerignore").write_text(f"keep\n{line}\n")
    with pytest.raises(InvalidOption, match=r"in \.dockerignore .*Mend that line"):
        files_of(root, "Dockerfile")
