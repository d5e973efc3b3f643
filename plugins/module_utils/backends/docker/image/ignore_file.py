# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The rules of .dockerignore, as Docker's own client reads them. Pure, but for files_of().

The SDK has rules of its own (docker-py 7.2.0, docker.utils.build): its patterns match whatever the case, ``[^a]`` means
an ``a`` or a ``^`` there, and ``[!a]`` anything but an ``a``. Compared with `docker build` of 20.10.24, without
BuildKit.
"""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ....engine.errors import InvalidOption

NAME = ".dockerignore"


@dataclass(frozen=True)
class Pattern:
    """One line: what it matches, and whether that is left out or kept."""

    expression: re.Pattern[str]
    keeps: bool


def patterns(text: str) -> list[Pattern]:
    """The patterns of a file, in order. Raises InvalidOption."""
    found = []
    for line in text.lstrip("\ufeff").splitlines():
        pattern = line.strip()
        if not pattern or line.startswith("#"):
            continue
        keeps = pattern.startswith("!")
        pattern = pattern[keeps:].strip()
        if not pattern:
            raise _wrong(line, "excepts nothing")
        # A leading slash is the directory itself; "." is all of it, which the client takes for no pattern.
        pattern = posixpath.normpath(pattern).lstrip("/")
        if pattern not in ("", "."):
            found.append(Pattern(_compiled(pattern, line), keeps))
    return found


def left_out(path: str, ignored: Sequence[Pattern]) -> bool:
    """Whether a path, relative to the directory, is left out: the last pattern that matches it, or a directory above
    it, decides.
    """
    parts = path.split("/")
    paths = ["/".join(parts[: count + 1]) for count in range(len(parts))]
    for pattern in reversed(ignored):
        if any(pattern.expression.fullmatch(each) for each in paths):
            return not pattern.keeps
    return False


def files_of(root: Path, dockerfile: str) -> list[str]:
    """What belongs to a build in this directory, relative to it, directories included, sorted.

    The Dockerfile and the .dockerignore always do: the engine reads them, and leaves out itself what they say of
    themselves.
    """
    ignore = root / NAME
    always = [dockerfile, *([NAME] if ignore.is_file() else [])]
    ignored = patterns(ignore.read_text(encoding="utf-8-sig")) if ignore.is_file() else []
    files = {path for path in _walk(root) if path in always or not left_out(path, ignored)}
    # A file that is kept in a directory that is left out brings that directory along.
    above = {os.path.dirname(path) for path in files}
    while above - files - {""}:
        files |= above - {""}
        above = {os.path.dirname(path) for path in above}
    return sorted(files)


def _walk(root: Path) -> Iterator[str]:
    for directory, directories, names in os.walk(root):
        for name in (*directories, *names):
            yield os.path.relpath(os.path.join(directory, name), root)


def _compiled(pattern: str, line: str) -> re.Pattern[str]:
    """A pattern as a regular expression: a star stops at a slash, two of them do not."""
    out, at = "", 0
    while at < len(pattern):
        char = pattern[at]
        if pattern.startswith("**", at):
            at += 2
            if pattern.startswith("/", at):
                at += 1
            out += ".*" if at == len(pattern) else "(?:.*/)?"
            continue
        if char == "[":
            part, at = _characters(pattern, at, line)
            out += part
            continue
        if char == "\\":
            at += 1
            if at == len(pattern):
                raise _wrong(line, "ends with a backslash")
            char = pattern[at]
            out += re.escape(char)
        else:
            out += {"*": "[^/]*", "?": "[^/]"}.get(char) or re.escape(char)
        at += 1
    return re.compile(out, re.DOTALL)


def _characters(pattern: str, begin: int, line: str) -> tuple[str, int]:
    """The regular expression of what stands in brackets, and where it ends. Only ``^`` negates."""
    at = begin + 1
    negated = pattern.startswith("^", at)
    at += negated
    members = []
    while at < len(pattern) and pattern[at] != "]":
        low, at = _character(pattern, at, line)
        high = low
        if pattern.startswith("-", at):
            high, at = _character(pattern, at + 1, line)
        if high < low:
            raise _wrong(line, "has a range that ends before it begins")
        members.append(f"{re.escape(low)}-{re.escape(high)}")
    if at >= len(pattern) or not members:
        raise _wrong(line, "has brackets that do not end, or have nothing in them")
    return "[{}{}]".format("^" if negated else "", "".join(members)), at + 1


def _character(pattern: str, at: int, line: str) -> tuple[str, int]:
    at += pattern.startswith("\\", at)
    if at >= len(pattern) or (pattern[at] in "-]" and not pattern.startswith("\\", at - 1)):
        raise _wrong(line, "has brackets that cannot be read")
    return pattern[at], at + 1


def _wrong(line: str, why: str) -> InvalidOption:
    return InvalidOption("build.path", line.strip(), f"in {NAME} {why}", remedy="Mend that line, or take it away")
