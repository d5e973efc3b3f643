# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Hides the secrets in the files of network managers, which a diff shows: netplan's YAML, the INI of networkd and
NetworkManager, ifupdown's lines. Pure.

Line by line and without a parser: comments and files that nobody can parse have secrets too. In doubt too much is
hidden.
"""

from __future__ import annotations

import re

from ...engine.secrets import HIDDEN, SECRET_KEY, hide

#: Names of secrets in these files, in lower case and with dashes: psk, wep-key0, mka-cak, pin, WireGuard's key and
#: keys.
_SECRET_NAME = re.compile(
    r"(?!.*public)(?:.*(?:psk|key\d*|keys|[ck]ak)|(?:.*-)?(?:pin|private|shared|pre-?shared|leap))"
)
_NOT_SECRET = re.compile(r".*(?:-flags|-type|key-mgmt|key-management|keyidx)")
#: Sections of which all is secret.
_SECRET_SECTION = re.compile(r"\s*\[vpn-secrets\]")
#: What stands before a key, and a key.
_START = re.compile(r"[\s#;]*(?P<marks>(?:[-?]\s+)*)")
_WORD = r"(?P<quote>[\"']?)(?P<word>[A-Za-z][\w.-]*)(?P=quote)"
_KEY = re.compile(_WORD + r"(?P<sign>\s*=\s*|\s*:(?=\s|$)\s*|[ \t]+|$)")
#: A key anywhere else: in a mapping on one line, after other words of a command.
_INNER = re.compile(r"(?P<before>[{,]\s*|\s-{0,2})" + _WORD + r"(?P<sign>\s*[:=](?=\s*\S)|(?=[ \t]+\S))")
_QUOTED = r""""(?:[^"\\]|\\.)*"|'(?:[^']|'')*'"""
_FLOW_VALUE = re.compile(
    rf"(?:[&!]\S+\s+)*(?:{_QUOTED}|\{{[^{{}}\"']*\}}|\[[^\[\]\"']*\]|[^,{{}}\[\]\"'][^,{{}}\[\]]*?)(?=\s*[,}}\]])"
)


def masked(text: str) -> str:
    """A configuration file's text with its secrets hidden; all other lines as they are."""
    return _Masker().text(text)


def _indent(line: str) -> int:
    """Where a line's text begins, behind the sign of a comment too."""
    return len(line) - len(line.lstrip(" \t#;"))


def _is_secret(word: str) -> bool:
    """Whether that is the name of a secret."""
    # PrivateKey of networkd, WPA_PSK of a shell's file.
    name = re.sub(r"(?<=[a-z])(?=[A-Z])", "-", word).replace("_", "-").lower().lstrip("-")
    return not _NOT_SECRET.fullmatch(name) and bool(SECRET_KEY.search(name) or _SECRET_NAME.fullmatch(name))


class _Masker:
    """Goes through the lines of one file, and knows in which section, mapping and value of YAML it is."""

    def __init__(self) -> None:
        self.section = False
        #: How many brackets of YAML are open, and the indent of what they belong to.
        self.depth, self.outside = 0, 0
        #: While lines may belong to a secret's value: the indent that they are beyond (that of its key, or of its
        #: brackets), and what else lets them.
        self.indent: int | None = None
        self.yaml = self.listed = self.explicit = self.continued = False
        self.quote = ""

    def text(self, text: str) -> str:
        """The whole of it."""
        shown = []
        for line in text.splitlines(keepends=True):
            body = line.rstrip("\r\n")
            shown.append(self._line(body) + line[len(body) :])
        return "".join(shown)

    def _line(self, line: str) -> str:
        if self._holds(line):
            return line[: _indent(line)] + HIDDEN if line.strip() else line
        if line.lstrip().startswith("[") and not self.depth:
            self.section = _SECRET_SECTION.match(line) is not None
        elif self.section and line.strip():
            return "{}{}".format(line.partition("=")[0] + "=" if "=" in line else "", HIDDEN)
        if not self.depth:
            self.outside = _indent(line) if line.lstrip()[:1] not in ("{", "[") else -1
        shown = self._masked(line)
        bare = re.sub(_QUOTED, "", line)
        self.depth = max(0, self.depth + sum(map(bare.count, "{[")) - sum(map(bare.count, "}]")))
        return shown

    def _masked(self, line: str) -> str:
        """A line that begins outside of a secret's value."""
        start = _START.match(line)
        place, marks = (start.end(), start["marks"]) if start else (0, "")
        key = _KEY.match(line, place)
        shown, end = "", 0
        if key and _is_secret(key["word"]):
            value = _FLOW_VALUE.match(line, key.end()) if self.depth else None
            if value is None:
                explicit = "?" in marks
                indent = min(place, self.outside) if self.depth else _indent(line) if explicit else place
                self._begin(indent, line[key.end() :], explicit or ":" in key["sign"], explicit)
                return line[: key.end()] + (HIDDEN if line[key.end() :].strip() else "")
            shown, end = line[: key.end()] + HIDDEN, value.end()
        for inner in _INNER.finditer(line):
            if inner.start() < end or not _is_secret(inner["word"]):
                continue
            begin = len(line) - len(line[inner.end() :].lstrip())
            shown += line[end:begin] + HIDDEN
            value = _FLOW_VALUE.match(line, begin) if inner["before"][0] in "{," and ":" in inner["sign"] else None
            if value is None:
                # In a command, or a value that goes on on the next line.
                self._begin(min(_indent(line), self.outside), line[begin:], ":" in inner["sign"])
                return hide(shown)
            end = value.end()
        return hide(shown + line[end:])

    def _begin(self, indent: int, value: str, yaml: bool, explicit: bool = False) -> None:
        """Remember a key at that indent, with what stands behind it on its line.

        ``explicit``: it is written with a question mark.
        """
        value = value.strip()
        self.indent, self.yaml, self.explicit, self.continued = indent, yaml, explicit, value.endswith("\\")
        self.listed = not value
        self.quote = value[:1] if value[:1] in ("'", '"') and value[:1] not in value[1:] else ""

    def _holds(self, line: str) -> bool:
        """Whether a line belongs to the secret's value: in YAML if it is indented more than its key or in quotes,
        else after a backslash.
        """
        if self.indent is None:
            return False
        bare, deeper = line.strip(), _indent(line) - self.indent
        more = self.continued or (self.yaml and (deeper > 0 or not bare or bool(self.quote)))
        more = more or (
            self.yaml
            and deeper == 0
            and ((self.listed and bare.startswith("-")) or (self.explicit and bare.startswith(":")))
        )
        self.continued = self.continued and bare.endswith("\\")
        if self.quote and self.quote in bare:
            self.quote = ""
        if not more:
            self.indent, self.depth = None, 0
        return more
