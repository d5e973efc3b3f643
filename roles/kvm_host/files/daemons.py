# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""libvirt's daemons where no service manager knows them: which run, their start, and the end of one.

`running NAME...` prints the names that run. `start NAME...` starts them. `stop NAME PIDFILE SECONDS` ends the process of the file and waits.
Prints one JSON object.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
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


def ours(number: str) -> bool:
    """Not one of a container on this host, whose processes are seen from here too."""
    try:
        return os.readlink(f"/proc/{number}/ns/pid") == os.readlink("/proc/self/ns/pid")
    except OSError:
        # It has ended meanwhile.
        return False


def running(names: Sequence[str]) -> list[str]:
    numbers = [entry.name for entry in Path("/proc").iterdir() if entry.name.isdigit() and ours(entry.name)]
    return [name for name in names if any(alive(number, name) for number in numbers)]


#: From the kernel's include/uapi/linux/prctl.h.
PR_SET_CHILD_SUBREAPER = 36


def start(names: Sequence[str]) -> dict[str, object]:
    """Each goes into the background when it listens, and not before, so its return code tells.

    They are started below a process that stays and buries the guests' processes that end. libvirt waits for a process to be gone, and the first process of a
    container often takes no note of its dead: no guest could be stopped there.
    """
    answer, question = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(answer)
        os.setsid()
        if os.fork() == 0:
            keep(names, question)
        os._exit(0)
    os.close(question)
    os.waitpid(child, 0)
    with os.fdopen(answer, encoding="utf-8") as pipe:
        said = pipe.read()
    result: dict[str, object] = json.loads(said) if said else {"error": "the process that starts the daemons died"}
    return result


def keep(names: Sequence[str], question: int) -> None:
    """Start, answer, and wait for whatever is or becomes a child, until there is none."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nothing, descriptor)
    os.chdir("/")
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    error = ""
    for name in names:
        try:
            done = subprocess.run([name, "--daemon"], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        except OSError as exc:
            error = str(exc)
        else:
            error = (done.stderr.strip() or f"it ended with {done.returncode}") if done.returncode else ""
        if error:
            error = f"{name}: {error}"
            break
    with os.fdopen(question, "w", encoding="utf-8") as pipe:
        pipe.write(json.dumps({"error": error}))
    try:
        while True:
            os.waitpid(-1, 0)
    except ChildProcessError:
        os._exit(0)


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
    elif arguments[0] == "start":
        print(json.dumps(start(arguments[1:])))
    else:
        print(json.dumps(stop(arguments[1], Path(arguments[2]), float(arguments[3]))))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
