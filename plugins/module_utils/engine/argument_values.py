# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Values that no option of any module can have: texts that no file or engine takes, and what Ansible's own check of
arguments (ansible-core 2.17 to 2.21) breaks off at, or is busy with for ever. Pure.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from .errors import InvalidOption, KraalError

#: Three weeks: poll(2) takes no more milliseconds than an int has.
SECONDS = 2_000_000
#: Powers of ten that no number of any option has.
_GREAT = re.compile(r"[eE]\+?0*[0-9]{3,}\s*$")


def check_values(spec: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    """Raise KraalError for the first value that cannot be meant. ``spec``: Ansible's declaration of the options."""
    for name, value in given.items():
        _check(spec.get(name) or {}, value, str(name))


def _check(declared: Mapping[str, Any], value: Any, option: str) -> None:
    if isinstance(value, str):
        _check_text(value, option)
    if isinstance(value, Mapping):
        _check_mapping(declared.get("options"), value, option)
    elif isinstance(value, list) and declared.get("type", "list") in ("list", "raw"):
        # Whole things, such as the guests of a fleet, are checked one by one where they are read.
        apart = declared.get("elements") == "dict" and "options" not in declared
        for entry in () if apart else value:
            _check({**declared, "type": declared.get("elements", "raw")}, entry, option)
    elif "options" in declared and value is not None and not isinstance(value, str):
        raise InvalidOption(option, value, "is not a mapping", remedy=_remedy(declared, option))
    _check_number(declared.get("type"), value, option)


def _check_mapping(options: Mapping[str, Any] | None, value: Mapping[Any, Any], option: str) -> None:
    for key, each in value.items():
        if options and not isinstance(key, str):
            raise InvalidOption(option, key, "is not a key of it", remedy="Name its options as texts")
        _check_text(str(key), option)
        _check((options or {}).get(key) or {}, each, f"{option}.{key}" if options else f"{option}[{key}]")


def _remedy(declared: Mapping[str, Any], option: str) -> str:
    first = next(iter(declared["options"]))
    return f"Write its options below it, such as {option}: {{{first}: ...}}, or leave it out"


def _check_text(text: str, option: str) -> None:
    """Nothing of it is shown: it may be a secret, or long."""
    if "\0" in text:
        raise KraalError(f"{option}: it contains a NUL", remedy="Remove it")
    if any("\ud800" <= letter <= "\udfff" for letter in text):
        raise KraalError(f"{option}: it contains half of a character (a lone surrogate)", remedy="Write it in UTF-8")


def _check_number(kind: object, value: Any, option: str) -> None:
    """An infinite number ends Ansible's check with an error of Python's, and a power of ten may keep it for ever. Of
    seconds, the system waits for so many at most.
    """
    if kind not in ("int", "float"):
        return
    most = SECONDS if option.endswith("timeout") else 1 << 64
    if not -most <= _number(value) <= most:
        remedy = f"Write {most} at most" if most == SECONDS else "Write a smaller one"
        raise InvalidOption(option, value, "is not a number that can be meant", remedy=remedy)


def _number(value: Any) -> float:
    """What a number is, or one that is written as a text; 0 for all else, which is not to be judged here."""
    if isinstance(value, (int, float)):
        return value
    text = value.strip() if isinstance(value, str) else ""
    if _GREAT.search(text):
        return math.inf
    if re.fullmatch("[+-]?[0-9]+", text, re.ASCII):
        return int(text) if len(text) < 30 else math.inf
    return 0
