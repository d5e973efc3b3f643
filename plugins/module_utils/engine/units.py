# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Sizes, processors and durations, in one grammar for every backend. Pure."""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation

from .errors import InvalidOption

_BINARY = {unit: 1024**power for power, unit in enumerate(("", "k", "m", "g", "t", "p", "e"))}
_UNITS: dict[str, int] = {"": 1, "b": 1}
for _unit, _factor in _BINARY.items():
    if _unit:
        _UNITS[_unit] = _factor
        _UNITS[_unit + "i"] = _factor
        _UNITS[_unit + "ib"] = _factor
        # 512MB is a decimal size for libvirt, LXD and the SI, a binary one for Docker: here it is what it says.
        _UNITS[_unit + "b"] = 1000 ** list(_BINARY).index(_unit)

_NUMBER = re.compile(r"(?P<number>[0-9]+(?:\.[0-9]+)?)\s*(?P<unit>[A-Za-z]*)", re.ASCII)
_SPANS = (("", "1"), ("s", "1"), ("m", "60"), ("h", "3600"), ("d", "86400"), ("ms", "0.001"), ("us", "0.000001"))
_SECONDS = {unit: Decimal(seconds) for unit, seconds in _SPANS}
_SPAN = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|us|s|m|h|d)?", re.ASCII)

SIZE_REMEDY = "Write a number and a unit, like 512MiB, 1.5GiB, 2G (binary) or 500MB (decimal); a bare number is bytes"
DURATION_REMEDY = "Write seconds, or a number and a unit, like 30s, 1m30s, 500ms or 2h"


def unquoted(number: object, parts: int) -> tuple[int, ...]:
    """What somebody wrote with colons between so many numbers, and without quotes, where this whole number came of it.

    YAML 1.1, which PyYAML reads, has numbers to the base of 60: 22:22 is 1342, 52:54:00:12:34:56 is 41135085296.
    Nothing where such a text cannot have been it.
    """
    text = str(number)
    if not re.fullmatch("[1-9][0-9]{0,17}", text, re.ASCII):
        return ()
    numbers = [int(text)]
    for _part in range(parts - 1):
        numbers[:1] = divmod(numbers[0], 60)
    return tuple(numbers) if numbers[0] else ()


def parse_size(value: object, option: str = "size") -> int:
    """Bytes of a size as a user writes it: an integer, or a number with a unit. Fractions of a byte are refused."""
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        raise InvalidOption(option, value, "is not a size", remedy=SIZE_REMEDY)
    match = _NUMBER.fullmatch(str(value).strip())
    factor = _UNITS.get(match["unit"].lower()) if match else None
    if match is None or factor is None:
        raise InvalidOption(option, value, "is not a size", remedy=SIZE_REMEDY)
    amount = Decimal(match["number"]) * factor
    if amount != amount.to_integral_value():
        raise InvalidOption(option, value, "is not a whole number of bytes", remedy=SIZE_REMEDY)
    if amount >= 2**63:
        raise InvalidOption(option, value, "is more than 8EiB, the largest size there is", remedy=SIZE_REMEDY)
    return int(amount)


def meant_size(number: int) -> str:
    """What was probably meant by a bare number that is too small for so many bytes. Libvirt's XML counts in KiB."""
    return "{}{}".format(number, "GiB" if number < 64 else "MiB" if number < 1 << 20 else "KiB")


def format_size(size: int) -> str:
    """The shortest exact way to write so many bytes: 536870912 is 512MiB, 1000 is 1000B."""
    for unit in ("e", "p", "t", "g", "m", "k"):
        if size and size % _BINARY[unit] == 0:
            return "%d%siB" % (size // _BINARY[unit], unit.upper())
    return "%dB" % size


def parse_cpus(value: object, option: str = "cpus") -> Decimal:
    """Processors, as an exact decimal with at most nine places (a billionth of one is the finest share)."""
    try:
        cpus = Decimal(str(value).strip())
    except InvalidOperation:
        cpus = Decimal("NaN")
    if isinstance(value, bool) or not cpus.is_finite() or cpus < 0 or cpus > 1 << 20:
        raise InvalidOption(option, value, "is not a number of processors", remedy="Write a number like 2 or 0.5")
    if cpus != cpus.quantize(Decimal("1e-9")):
        raise InvalidOption(option, value, "is finer than a billionth of a processor", remedy="Write fewer digits")
    return cpus.normalize()


def format_cpus(cpus: Decimal) -> float | int:
    """The number a user would write: 2 rather than 2.0."""
    return int(cpus) if cpus == cpus.to_integral_value() else float(cpus)


def parse_duration(value: object, option: str = "duration") -> Decimal:
    """Seconds of a duration as a user writes it: a number, or parts with units (1m30s)."""
    text = str(value).strip().replace(" ", "")
    parts = _SPAN.findall(text)
    whole = "".join(number + unit for number, unit in parts) == text
    bare = [unit for number, unit in parts if not unit]
    if isinstance(value, bool) or not parts or not whole or (bare and len(parts) > 1):
        raise InvalidOption(option, value, "is not a duration", remedy=DURATION_REMEDY)
    return sum((Decimal(number) * _SECONDS[unit] for number, unit in parts), Decimal(0))


def format_duration(seconds: Decimal) -> str:
    """90 is 1m30s, 0.5 is 500ms: what parse_duration() reads back to the same."""
    if seconds == 0:
        return "0s"
    if seconds != seconds.to_integral_value():
        millis = seconds * 1000
        if millis == millis.to_integral_value():
            return "%dms" % millis
        return "{}us".format(format(seconds * 1000000, "f").rstrip("0").rstrip("."))
    text, rest = "", int(seconds)
    for unit, length in (("h", 3600), ("m", 60), ("s", 1)):
        if rest >= length:
            text += "%d%s" % (rest // length, unit)
            rest %= length
    return text


def parse_cpuset(value: object, option: str = "cpuset") -> tuple[int, ...]:
    """The processors or memory nodes of a list like 0-2,4; sorted, without repetition. An empty list is none."""
    numbers: set[int] = set()
    for part in str(value).replace(" ", "").split(","):
        if not part:
            continue
        match = re.fullmatch(r"([0-9]{1,5})(?:-([0-9]{1,5}))?", part, re.ASCII)
        if match is None or int(match[2] or match[1]) < int(match[1]):
            raise InvalidOption(option, value, "is not a list of processors", remedy="Write a list like 0-2,4")
        numbers.update(range(int(match[1]), int(match[2] or match[1]) + 1))
    return tuple(sorted(numbers))


def format_cpuset(numbers: tuple[int, ...]) -> str:
    """0-2,4 for (0, 1, 2, 4): the kernel's own way to write it."""
    spans: list[list[int]] = []
    for number in numbers:
        if spans and spans[-1][1] == number - 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    return ",".join(str(a) if a == b else "%d-%d" % (a, b) for a, b in spans)
