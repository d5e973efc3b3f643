# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The commands and the YAML of the README and the guides, as they stand there."""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass
from pathlib import Path

MARKDOWN = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
RST = re.compile(r"^\.\. code-block:: (\S+)\n\n((?:(?:    .*)?\n)+)", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """One block of a document; `heading` is the last one before it."""

    language: str
    text: str
    heading: str


def blocks(path: Path) -> list[Block]:
    """All blocks of a Markdown or reStructuredText file, in their order."""
    text = path.read_text(encoding="utf-8")
    pattern, headings = (MARKDOWN, r"^#+ (.*)$") if path.suffix == ".md" else (RST, r"^(\S.*)\n[-=~]{3,}$")
    found = []
    for match in pattern.finditer(text):
        before = re.findall(headings, pattern.sub("", text[: match.start()]), re.MULTILINE)
        found.append(Block(match[1], textwrap.dedent(match[2]).strip() + "\n", before[-1] if before else ""))
    return found
