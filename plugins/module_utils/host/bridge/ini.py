# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The form of systemd-networkd's files and of NetworkManager's keyfiles: sections and keys, either more than once.

Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import chain

from .manager import FileState

Sections = list[tuple[str, list[tuple[str, str]]]]


def parse(text: str) -> Sections:
    """Sections in their order, each with its assignments in their order; both may come more than once."""
    sections: Sections = []
    # A backslash at the end joins lines.
    for raw in re.sub(r"\\\n\s*", " ", text).splitlines():
        line = raw.strip()
        if not line or line[0] in "#;":
            continue
        if line.startswith("[") and line.endswith("]"):
            sections.append((line[1:-1], []))
        elif "=" in line and sections:
            key, dummy, value = line.partition("=")
            sections[-1][1].append((key.strip(), value.strip()))
    return sections


def write(sections: Iterable[tuple[str, Sequence[tuple[str, str]]]], note: str, mode: int = 0o644) -> FileState:
    """The opposite."""
    parts = [[f"\n[{name}]", *map("=".join, pairs)] for name, pairs in sections if pairs]
    return FileState("\n".join([f"# {note}", *chain(*parts), ""]).encode(), mode)
