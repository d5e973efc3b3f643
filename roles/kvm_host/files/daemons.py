# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which of libvirt's daemons run, where no service manager knows; and the end of one.

`running NAME...` prints the names that run. `stop NAME PIDFILE SECONDS` ends the process of the file and waits. Prints one JSON object.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path


def process(number: str) -> tuple[str, str]:
    """Name and state, or nothing. "PID (NAME) STATE ...": the name may have brackets and blanks in it."""
    try:
        head, _bracket, rest = Path("/proc", number, "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")
    except OSError:
        return "", ""
    return head.partition("(")[2], rest.split()[0]


def alive(number: str, name: str) -> bool:
    """A zombie has ended; only its parent has not taken note of it, and not every first process of a container does."""
    found, state = process(number)
    return found == name and state not in "ZX"


def running(names: Sequence[str]) -> list[str]:
    numbers = [entry.name for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    return [name for name in names if any(alive(number, name) for number in numbers)]


def stop(name: str, pidfile: Path, seconds: float) -> dict[str, object]:
    number = pidfile.read_text(encoding="ascii", errors="replace").strip() if pidfile.exists() else ""
    if not number.isdigit() or not alive(number, name):
        return {"stopped": False, "error": ""}
    os.kill(int(number), signal.SIGTERM)
    deadline = time.monotonic() + seconds
    while alive(number, name):
        if time.monotonic() >= deadline:
            return {"stopped": False, "error": f"{name} was told to stop and has not ended within {seconds:g} s"}
        # It is not a child of this process, so there is nothing to wait for but its absence.
        time.sleep(0.1)
    return {"stopped": True, "error": ""}


def main(arguments: Sequence[str]) -> int:
    if arguments[0] == "running":
        print(json.dumps({"running": running(arguments[1:])}))
    else:
        print(json.dumps(stop(arguments[1], Path(arguments[2]), float(arguments[3]))))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
