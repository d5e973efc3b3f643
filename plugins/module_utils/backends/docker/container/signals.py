# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Signals: what a user may write for one, and the one name that it has here. Pure.

Names and numbers are those of the engine (moby/sys/signal for Linux), whatever host asks it.
"""

from __future__ import annotations

import re
from typing import Any

from ....engine.errors import InvalidOption
from ....engine.kinds import Text

#: By their numbers, from 1 on, and the second names that some have.
_NAMES = (
    *("HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE", "ALRM"),
    *("TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ", "VTALRM", "PROF"),
    *("WINCH", "IO", "PWR", "SYS"),
)
_NUMBERS = {**{name: number for number, name in enumerate(_NAMES, 1)}, "IOT": 6, "CLD": 17, "POLL": 29}
#: The ends of the real-time signals.
_REAL_TIME = {"RTMIN": 34, "RTMAX": 64}


class Signal(Text):
    """A signal's name with SIG; the number of one that has no name here."""

    def parse(self, value: Any, option: str) -> str:
        name = super().parse(value, option).upper()
        if not re.fullmatch(r"(SIG)?[A-Z][A-Z0-9+-]*|[0-9]{1,2}", name, re.ASCII):
            raise InvalidOption(option, value, "is not a signal", remedy="Write SIGTERM, TERM or 15")
        return signal_name(name)


def _number(name: str) -> int:
    """The number of a signal by its name without SIG; 0 for one that is none."""
    real = re.fullmatch(r"(RTMIN|RTMAX)([+-][0-9]+)?", name, re.ASCII)
    return _REAL_TIME[real[1]] + int(real[2] or 0) if real else _NUMBERS.get(name, 0)


def signal_name(text: str) -> str:
    """The one name of a signal, which has several, and a number; what is none stays as it is."""
    name = text.upper()
    name = name[3:] if name.startswith("SIG") else name
    number = int(name) if name.isdigit() else _number(name)
    if 34 <= number <= 64:
        # The engine names those in the middle by their distance from the nearer end.
        end, distance = ("RTMIN", number - 34) if number < 50 else ("RTMAX", number - 64)
        return f"SIG{end}{distance:+d}" if distance else "SIG" + end
    if 1 <= number <= len(_NAMES):
        return "SIG" + _NAMES[number - 1]
    return name if name.isdigit() else "SIG" + name
