# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What plugins say of themselves, read from their source."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

from ansible.module_utils.common.yaml import yaml_load

from tests.support.paths import ROOT

PLUGINS = ROOT / "plugins"


def text_of(path: Path, name: str) -> str:
    """The text that a module, a plugin or a fragment's class gives this name; empty without one."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Assign) and [name] == [each.id for each in node.targets if isinstance(each, ast.Name)]:
            return str(ast.literal_eval(node.value))
    return ""


def options_of(path: Path) -> dict[str, dict[str, Any]]:
    """A plugin's options, with those of the collection's own fragments that it extends; what comes first wins."""
    document = yaml_load(text_of(path, "DOCUMENTATION")) or {}
    found: dict[str, dict[str, Any]] = document.get("options") or {}
    for fragment in document.get("extends_documentation_fragment", []):
        if fragment.startswith("kraal.virt."):
            file, _, name = fragment.removeprefix("kraal.virt.").partition(".")
            text = text_of(PLUGINS / "doc_fragments" / f"{file}.py", name.upper() or "DOCUMENTATION")
            for option, said in (yaml_load(text).get("options") or {}).items():
                found[option] = said | found.get(option, {})
    return found
