# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The image that a Dockerfile builds on. Pure.

As much of a Dockerfile as that needs: FROM with its aliases, and the arguments before the first FROM.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

_VARIABLE = re.compile(
    r"\$(?:(?P<bare>[A-Za-z_][A-Za-z0-9_]*)|\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::(?P<sign>[-+])(?P<word>[^}]*))?\})"
)


def base_of(text: str, arguments: Mapping[str, str], target: str = "") -> str:
    """The name of the image below the wanted stage (the last one unless named); nothing where that is scratch or
    cannot be told.
    """
    known: dict[str, str] = {}
    bases: list[str] = []
    names: dict[str, int] = {}
    for word, rest in _instructions(text):
        if word == "ARG" and not bases:
            for definition in rest.split():
                name, equals, value = definition.partition("=")
                known[name] = arguments.get(name, _filled(value.strip("\"'"), known) if equals else "")
        elif word == "FROM":
            words = [part for part in rest.split() if not part.startswith("--")]
            base = _filled(words[0], known) if words else ""
            # A stage that builds on another one builds on that one's image.
            bases.append(bases[names[base.lower()]] if base.lower() in names else base)
            if len(words) == 3 and words[1].upper() == "AS":
                names[words[2].lower()] = len(bases) - 1
    if not bases:
        return ""
    if not target:
        found = bases[-1]
    elif target.lower() in names:
        found = bases[names[target.lower()]]
    else:
        found = bases[int(target)] if target.isdigit() and int(target) < len(bases) else ""
    return "" if found == "scratch" or "$" in found else found


def _instructions(text: str) -> Iterator[tuple[str, str]]:
    """Instructions in capitals with what follows; comments left out, continued lines joined."""
    escape = re.match(r"\s*#\s*escape\s*=\s*`", text)
    mark = "`" if escape else "\\"
    joined = ""
    for line in text.splitlines():
        stripped = line.strip()
        if stripped.startswith("#") or (not stripped and not joined):
            continue
        if stripped.endswith(mark):
            joined += stripped[:-1] + " "
            continue
        word, _space, rest = (joined + stripped).strip().partition(" ")
        joined = ""
        yield word.upper(), rest.strip()


def _filled(text: str, known: Mapping[str, str]) -> str:
    """The text with its variables replaced."""

    def value(match: re.Match[str]) -> str:
        found = known.get(match["bare"] or match["name"], "")
        if match["sign"] == "-":
            return found or match["word"]
        return (match["word"] if found else "") if match["sign"] == "+" else found

    return _VARIABLE.sub(value, text)
