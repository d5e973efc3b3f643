# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a host or an engine answers to the question for its guests, read strictly. For the controller. Pure.

The answer decides whom ssh reaches, and with which variables. Whoever manages a host, or breaks into it, writes it. So
nothing is taken that is not of the form that discovery.py gives it.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Collection, Mapping
from typing import Any, cast

from ansible_collections.kraal.virt.plugins.module_utils.backends.registry import NAMES, backend
from ansible_collections.kraal.virt.plugins.module_utils.discovery import MARK
from ansible_collections.kraal.virt.plugins.module_utils.engine.action import PowerState
from ansible_collections.kraal.virt.plugins.module_utils.engine.addresses import address_of
from ansible_collections.kraal.virt.plugins.module_utils.engine.errors import KraalError
from ansible_collections.kraal.virt.plugins.module_utils.engine.printable import printable

#: Bounds, in characters or entries, well above what any backend has.
LONGEST_NAME, LONGEST_TEXT, LONGEST_LABEL, MOST_ENTRIES = 255, 4096, 1 << 16, 4096
#: So much of what a host says is told, and so many of its warnings.
LONGEST_WARNING, MOST_WARNINGS = 500, 20

_REMEDY = "Look at what runs on the host"


class _Wrong(ValueError):
    """Why a value is not taken, as the rest of a sentence."""


def document_in(output: str) -> Any:
    """The document in what the discovery printed.

    Raises ValueError where there is none, and KraalError for one that is not whole.
    """
    for line in output.splitlines():
        if line.startswith(MARK):
            try:
                return json.loads(line[len(MARK) :])
            except (ValueError, RecursionError) as error:
                raise KraalError("its answer is no JSON", remedy=_REMEDY) from error
    raise ValueError("no answer in its output")


def read(document: Any, backends: Collection[str]) -> tuple[list[dict[str, Any]], list[str]]:
    """The guests of an answer that was asked for these backends, and what is to be warned of, fit to be shown.

    A guest that is not of the right form is left out, and a warning says why. Raises KraalError for what is no answer
    at all.
    """
    if (
        not isinstance(document, Mapping)
        or not isinstance(document.get("guests"), list)
        or not isinstance(document.get("warnings"), list)
    ):
        raise KraalError("its answer is none: it has no list of guests and of warnings", remedy=_REMEDY)
    guests: list[dict[str, Any]] = []
    warnings = [printable(warning, LONGEST_WARNING) for warning in document["warnings"]]
    there = set()
    for entry in document["guests"]:
        try:
            guest = _guest(entry, backends)
            if (guest["backend"], guest["id"]) in there:
                raise _Wrong("another one has its id")
            there.add((guest["backend"], guest["id"]))
        except _Wrong as error:
            warnings.append(f"{_called(entry)} is left out: {error}")
            continue
        guests.append(guest)
    more = len(warnings) - MOST_WARNINGS
    return guests, warnings if more <= 0 else [*warnings[:MOST_WARNINGS], "and %d warnings more" % more]


def _called(entry: Any) -> str:
    """What to call a guest of which nothing is certain."""
    if not isinstance(entry, Mapping):
        return "a guest"
    kind = entry.get("backend") if entry.get("backend") in NAMES else "a"
    return "{} guest {}".format(kind, printable(entry.get("name"), 80))


def _guest(entry: Any, backends: Collection[str]) -> dict[str, Any]:
    """A guest with its own fields and no others. Raises _Wrong."""
    if not isinstance(entry, Mapping):
        raise _Wrong("it is not a mapping")
    guest = {}
    for name, read_field in FIELDS.items():
        if name not in entry:
            raise _Wrong(f"it has no {name}")
        try:
            guest[name] = read_field(entry[name])
        except (_Wrong, UnicodeEncodeError) as error:
            raise _Wrong("its {} is {}".format(name, error if isinstance(error, _Wrong) else "no text")) from error
    if guest["backend"] not in backends:
        raise _Wrong("its backend was not asked for")
    if not backend(guest["backend"]).is_id(guest["id"], guest["name"]):
        raise _Wrong("its id is none that the backend gives")
    return guest


# Fields: each gives the value, or raises _Wrong or UnicodeEncodeError.


def _text(value: Any, longest: int = LONGEST_TEXT) -> str:
    """Any text that can be written as UTF-8."""
    if not isinstance(value, str):
        raise _Wrong("no text")
    if len(value) > longest:
        raise _Wrong("longer than %d characters" % longest)
    value.encode()
    return value


def _word(value: Any, longest: int = LONGEST_TEXT) -> str:
    """A text that prints, and is not empty."""
    text = _text(value, longest)
    if not text or not text.isprintable():
        raise _Wrong("empty, or does not print")
    return text


def _name(value: Any) -> str:
    name = _word(value, LONGEST_NAME)
    if "/" in name or name in (".", ".."):
        raise _Wrong("no name of a guest")
    return name


def _place(value: Any) -> str:
    return _word(value) if value != "" else ""


def _one_of(choices: Collection[str]) -> Callable[[Any], str]:
    def choose(value: Any) -> str:
        if not isinstance(value, str) or value not in choices:
            raise _Wrong("none of {}".format(", ".join(choices)))
        return value

    return choose


def _raw_state(value: Any) -> str:
    return "" if value == "" else _word(value, LONGEST_NAME)


def _cpus(value: Any) -> float | int | None:
    if value is None:
        return None
    if (
        isinstance(value, bool)
        or not isinstance(value, (int, float))
        or not math.isfinite(value)
        or not 0 <= value <= 1 << 20
    ):
        raise _Wrong("no number of processors")
    return value


def _memory(value: Any) -> str:
    if not re.fullmatch(r"([0-9]{1,20}([KMGTPE]i)?B)?", _text(value)):
        raise _Wrong("no size")
    return cast(str, value)


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise _Wrong("neither true nor false")
    return value


def _entries(value: Any) -> list[Any]:
    if not isinstance(value, list) or len(value) > MOST_ENTRIES:
        raise _Wrong("no list, or one of more than %d entries" % MOST_ENTRIES)
    return value


def _words(value: Any) -> list[str]:
    return [_word(each) for each in _entries(value)]


def _addresses(value: Any) -> list[dict[str, str]]:
    return [_address(each) for each in _entries(value)]


def _address(value: Any) -> dict[str, str]:
    if not isinstance(value, Mapping):
        raise _Wrong("a list of something else than mappings")
    found = address_of(value.get("address"))
    if found is None:
        raise _Wrong("a list in which {} is not a valid address".format(printable(value.get("address"), 80)))
    mac = value.get("mac")
    # 20 octets have those of InfiniBand.
    if not isinstance(mac, str) or not re.fullmatch(r"([0-9a-f]{2}(:[0-9a-f]{2}){1,19})?", mac):
        raise _Wrong(f"a list in which {printable(mac, 80)} is no MAC")
    return {
        "address": str(found),
        "family": "ipv%d" % found.version,
        "network": _text(value.get("network"), LONGEST_NAME),
        "mac": mac,
    }


def _labels(value: Any) -> dict[str, str]:
    if not isinstance(value, Mapping) or len(value) > MOST_ENTRIES:
        raise _Wrong("no mapping, or one of more than %d entries" % MOST_ENTRIES)
    return {_text(key): _text(text, LONGEST_LABEL) for key, text in value.items()}


#: Every field of engine.result.Guest.
FIELDS: Mapping[str, Callable[[Any], Any]] = {
    "name": _name,
    "backend": _one_of(NAMES),
    "id": _word,
    "state": _one_of(PowerState.words()),
    "raw_state": _raw_state,
    "image": _text,
    "cpus": _cpus,
    "memory": _memory,
    "addresses": _addresses,
    "labels": _labels,
    "autostart": _flag,
    "pending_restart": _words,
    "place": _place,
}
