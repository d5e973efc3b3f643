# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which values and which parts of texts are secret, how they are hidden, and in which forms a message may carry them.

Pure.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import quote

from .printable import printable

HIDDEN = "(hidden)"
#: A key (of an option, a variable, a label) whose value is a secret.
SECRET_KEY = re.compile(
    # What libvirt keeps as a secret is known by a UUID and a usage, which are none.
    r"pass(word|wd|phrase|code)|(^|[_.-])pass([_.-]|$)|[_-]pwd$|secret(?!_(uuid|usage)$)|token|credential"
    r"|(^|[_.-])psk([_.-]|$)|(api|access|private|auth|encryption|signing|shared)[_-]?key",
    re.IGNORECASE,
)
#: Too short or too common to be a secret: hiding them everywhere would only garble the output.
SHORTEST = 4
_COMMON = frozenset(("true", "false", "none", "null"))
#: A text without any of these has no secret part.
_HINT = re.compile(r"pass|pwd|secret|token|credential|psk|key|://|\$|authorization", re.IGNORECASE)

#: How the name of a secret ends where its value follows.
_NAME = r"[\w.-]*(?:pass(?:word|wd|phrase|code)?|[_-]pwd|secret|token|credentials?|psk|(?:api|access|private|auth|encryption|signing|shared)[_-]?key)"
_VALUE = r"""(?P<value>"[^"\n]*"|'[^'\n]*'|%s)"""
#: password=... in a command, among mount options, in the query of an address, among the attributes of XML.
_ASSIGNED = re.compile(r"""(?<![\w.-])(?P<key>{})={}""".format(_NAME, _VALUE % r"[^,;\s]+"), re.IGNORECASE)
#: --password ... in a command.
_OPTION = re.compile(r"""(?<![^\s"'])--?{}[ \t]+{}""".format(_NAME, _VALUE % r"[^\s-]\S*"), re.IGNORECASE)
_OPTION_WORD = re.compile("--?" + _NAME, re.IGNORECASE)
#: <password>...</password>
_ELEMENT = re.compile(rf"<(?:[\w.-]+:)?{_NAME}(?:\s[^<>]*)?>(?P<value>[^<]+)", re.IGNORECASE)
#: The password in an address like https://user:password@host/: up to the first @, and to the last one before the path.
_USERINFO = re.compile(r"://[^/\s:@]*:(?P<value>(?P<short>[^/\s@]+)(?:@(?:[^/\s]*@)?))")
#: The header of HTTP.
_BEARER = re.compile(r"authorization\W{1,4}(?:bearer|basic|token)\s+(?P<value>[^\s\"']+)", re.IGNORECASE)
#: What crypt(3) makes of a password.
_CRYPTED = re.compile(r"(?P<value>\$(?:1|2[abxy]?|5|6|7|y|gy|md5|sha1|apr1|argon2\w*)\$[./A-Za-z0-9$=,+-]{8,})")
_PEM = re.compile(r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----(?P<block>.*?)(?:-----END|\Z)", re.DOTALL)

#: A key of YAML or JSON with the rest of its line, at the line's beginning or in a mapping on one line.
_KEY = re.compile(
    r"""(?:(?P<flow>[{,])\s*|(?<=["'])|^[ \t]*(?:-[ \t]+)*)(?:\\*["'])?(?P<key>[\w.-]+)(?:\\*["'][ \t]*:[ \t]*|[ \t]*:[ \t]+)(?=\S)""",
    re.MULTILINE,
)
#: A text on the lines below its key, and the lines below ``chpasswd`` of cloud-init, in both cases with what follows
#: that is indented more.
_BELOW = r"[^\n]*\n(?P<block>(?:(?P=indent)[ \t]+[^\n]*(?:\n|$)|[ \t]*\n)*)"
_BLOCK = re.compile(
    r"""^(?P<indent>[ \t]*)(?:-[ \t]+)*["']?(?P<key>[\w.-]+)["']?[ \t]*:[ \t]+[|>]""" + _BELOW, re.MULTILINE
)
_CHPASSWD = re.compile(r"""^(?P<indent>[ \t]*)["']?chpasswd["']?[ \t]*:""" + _BELOW, re.MULTILINE)
_CHPASSWD_FLOW = re.compile(r"""["']?chpasswd["']?[ \t]*:(?P<block>[^\n]+)""")
#: The program of that name, and what is given to it on the same line.
_CHPASSWD_PROGRAM = re.compile(r"""^(?P<block>[^\n]*\bchpasswd\b(?!["']?[ \t]*:)[^\n]*)""", re.MULTILINE)
#: What is in there: ``user:password``, one on a line or several in a list.
_LOGIN = re.compile(
    r"""^[ \t]*(?:-[ \t]+)?["']?[\w.-]+:(?P<value>[^\s"'](?:[^\n]*?[^\s"'])?)["']?[ \t]*$""", re.MULTILINE
)
_LOGIN_FLOW = re.compile(r"""(?<![\w.-])[\w.-]+:(?P<value>[^\s,\]}"'\\]+)""")

Span = tuple[int, int]


def secrets_in(value: Any, key: str = "") -> Iterator[str]:
    """The texts below keys that speak of a secret, and the secret parts of other texts (of commands, mount options,
    addresses, user-data).
    """
    if isinstance(value, Mapping):
        for inner, content in value.items():
            if inner == "chpasswd":
                yield from _long_enough(match["value"] for text in _texts(content) for match in _LOGIN.finditer(text))
            yield from secrets_in(content, str(inner))
    elif isinstance(value, (list, tuple)):
        for before, content in zip([None, *value], value):
            yield from secrets_in(content, before if _is_option(before, content) else key)
    elif isinstance(value, (str, int, float)) and not isinstance(value, bool):
        text = str(value)
        yield from _long_enough([text] if _speaks(key) else _parts(text))


def secrets_of_steps(steps: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """The secrets in a public plan, those that go included. A step has its key beside its values, or keys in them."""
    for step in steps:
        for side in ("before", "after"):
            yield from secrets_in(step.get(side), str(step.get("key") or ""))


def hidden(value: Any, key: str = "") -> Any:
    """Plain data as it may be shown: what is secret in it is hidden at its place."""
    if isinstance(value, Mapping):
        return {inner: hidden(content, str(inner)) for inner, content in value.items()}
    if isinstance(value, (list, tuple)):
        return [
            hidden(content, before if _is_option(before, content) else key)
            for before, content in zip([None, *value], value)
        ]
    if _speaks(key) and value is not None and not isinstance(value, bool):
        return HIDDEN
    return hide(value) if isinstance(value, str) else value


def hidden_steps(steps: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """A public plan as it may be shown. A text of which only the secret changes says that it is a new one."""
    shown = []
    for step in steps:
        before, after = (hidden(step.get(side), str(step.get("key") or "")) for side in ("before", "after"))
        if before == after != step.get("after") and step.get("before") != step.get("after") and isinstance(after, str):
            after += " (new)"
        shown.append({**step, "before": before, "after": after})
    return shown


def hide(text: str) -> str:
    """A text with its secret parts hidden."""
    shown, end = [], 0
    for start, stop in sorted(_spans(text)):
        if stop > end:
            shown += [text[end:start], HIDDEN] if start >= end else []
            end = stop
    return "".join([*shown, text[end:]])


def without(text: str, secrets: Iterable[str]) -> str:
    """A text in which these secrets, in whatever form it has them, and those that show themselves are hidden."""
    for form in sorted({form for secret in secrets for form in forms_of(secret)}, key=len, reverse=True):
        text = text.replace(form, HIDDEN)
    return hide(text)


def forms_of(secret: str) -> Iterator[str]:
    """A secret as messages may carry it: as it is, without the blanks around it, line by line, and as Python, JSON,
    XML, addresses and shells write it.
    """
    for text in dict.fromkeys((secret, secret.strip(), *map(str.strip, secret.splitlines()))):
        if len(text) < SHORTEST and text != secret:
            continue
        # In a longer text Python chooses its quotes by what else is in there.
        yield from (text, repr(text)[1:-1], ascii(text)[1:-1], repr(text + "\"'")[1:-4], ascii(text + "\"'")[1:-4])
        yield from (
            json.dumps(text)[1:-1],
            json.dumps(text, ensure_ascii=False)[1:-1],
            printable(text),
            printable(text, keep="\n"),
        )
        markup = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        yield from (
            markup,
            markup.replace('"', "&quot;"),
            quote(text, safe="", errors="replace"),
            text.replace("'", "'\"'\"'"),
        )


def _speaks(key: str) -> bool:
    """Whether a key, or what a key like labels[api_token] has in its brackets, is that of a secret. A path is none."""
    own = key[key.index("[") + 1 : -1] if key.endswith("]") and "[" in key else key
    return not own.startswith("/") and SECRET_KEY.search(own) is not None


def _is_option(before: Any, content: Any) -> bool:
    """Whether a word of a command is the value of the word before it."""
    if not isinstance(before, str) or not isinstance(content, str):
        return False
    return _OPTION_WORD.fullmatch(before) is not None and not content.startswith("-")


def _long_enough(found: Iterable[str]) -> Iterator[str]:
    # What is hidden already hides nothing: with it, every other hidden part would be starred out.
    long = (each for each in found if len(each) >= SHORTEST and not each.startswith(HIDDEN.rstrip(")")))
    return (each for each in long if each.lower() not in _COMMON)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, (list, tuple, Mapping)):
        for inner in value.values() if isinstance(value, Mapping) else value:
            yield from _texts(inner)


def _parts(text: str) -> Iterator[str]:
    """The secrets in a text of which only a part is secret, in their order."""
    return (text[start:stop] for start, stop in dict.fromkeys(sorted(_spans(text))))


def _spans(text: str) -> Iterator[Span]:
    """Where its secrets stand. Some overlap: where a value ends cannot always be told, and then each end is given."""
    if _HINT.search(text):
        yield from _spans_of_words(text)
        yield from _spans_of_documents(text)


def _spans_of_words(text: str) -> Iterator[Span]:
    """In commands, options, addresses and markup."""
    for match in _ASSIGNED.finditer(text):
        start, stop = _unquoted(text, *match.span("value"))
        yield start, stop
        value = text[start:stop]
        # Inside of a quoted command, or of the query of an address, the value ends earlier.
        for end in (
            len(value.rstrip("\"')>}]/")),
            value.find("&") if text[match.start("key") - 1 : match.start("key")] in ("?", "&") else -1,
        ):
            if 0 < end < len(value):
                yield start, start + end
    for match in _OPTION.finditer(text):
        start, stop = _unquoted(text, *match.span("value"))
        yield start, stop
        yield start, start + len(text[start:stop].rstrip("\"')"))
    for match in _USERINFO.finditer(text):
        yield match.span("short")
        yield match.start("value"), match.end("value") - 1
    for pattern in (_ELEMENT, _BEARER, _CRYPTED):
        yield from (match.span("value") for match in pattern.finditer(text))
    for match in _PEM.finditer(text):
        yield from _lines(text, *match.span("block"))


def _spans_of_documents(text: str) -> Iterator[Span]:
    """In YAML and JSON: the user-data of cloud-init, configuration files."""
    for match in _KEY.finditer(text):
        start = match.end()
        if not SECRET_KEY.search(match["key"]) or text[start] in "|>{[&*!":
            # No scalar: its parts have keys of their own.
            continue
        rest = text[start:].partition("\n")[0]
        opening = re.match(r"""\\*["']""", rest)
        if opening:
            end = rest.find(opening[0], len(opening[0]))
            yield start + len(opening[0]), start + (end if end >= 0 else len(rest))
        else:
            yield start, start + len(re.split(r"[,}\]]" if match["flow"] else r"\s#|,?\s*$", rest)[0])
    for match in _BLOCK.finditer(text):
        if SECRET_KEY.search(match["key"]) and match["key"] != "chpasswd":
            yield from _lines(text, *match.span("block"))
    for pattern, login in ((_CHPASSWD, _LOGIN), (_CHPASSWD_FLOW, _LOGIN_FLOW), (_CHPASSWD_PROGRAM, _LOGIN_FLOW)):
        for match in pattern.finditer(text):
            yield from (found.span("value") for found in login.finditer(text, *match.span("block")))


def _unquoted(text: str, start: int, stop: int) -> Span:
    return (
        (start + 1, stop - 1)
        if stop - start > 1 and text[start] in "\"'" and text[start] == text[stop - 1]
        else (start, stop)
    )


def _lines(text: str, start: int, stop: int) -> Iterator[Span]:
    """The lines of a part, without the blanks around them."""
    return (match.span() for match in re.compile(r"\S(?:[^\n]*\S)?").finditer(text, start, stop))
