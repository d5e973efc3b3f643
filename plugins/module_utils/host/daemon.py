# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Daemons where no service manager knows them.

Which run, their start, their end, and what they left behind when they died.

A process is asked for by its name as the kernel has it (/proc/PID/comm, 15 characters): a number in a file may be
another program's by now.
A zombie does not live: only its parent has not taken note of its end, and not every first process of a container does.
"""

from __future__ import annotations

import inspect
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass

from ..engine.errors import BackendError
from . import daemon_keeper
from .reader import PATH


@dataclass(frozen=True)
class Daemon:
    """One to start.

    ``forks``: it goes into the background by itself when it is ready, and writes its pid file and its log itself.

    One that does not is ready when it says so as to systemd (sd_notify, as dockerd and libvirtd do); ``pidfile`` is
    then written for it, and what it says
    goes to the end of ``log``.
    """

    argv: tuple[str, ...]
    forks: bool = False
    pidfile: str = ""
    log: str = ""


def process(pid: int) -> tuple[str, str]:
    """Name and state, or nothing. "PID (NAME) STATE ...": the name may have brackets and blanks in it; see proc(5)."""
    try:
        with open("/proc/%d/stat" % pid, encoding="utf-8", errors="replace") as file:
            head, _bracket, rest = file.read().rpartition(")")
    except OSError:
        return "", ""
    return head.partition("(")[2], rest.split()[0]


def alive(pid: int, names: Iterable[str] = ()) -> bool:
    """Whether a process of that number lives, and is one of these programs where any are named."""
    name, state = process(pid)
    return state not in ("", "Z", "X") and (name in names if names else True)


def pid_in(pidfile: str, names: Iterable[str] = ()) -> int | None:
    """The process of a pid file, if it lives and is one of these programs."""
    try:
        with open(pidfile, encoding="ascii", errors="replace") as file:
            text = file.read().strip()
    except OSError:
        return None
    return int(text) if text.isdigit() and alive(int(text), names) else None


def stale(pidfiles: Iterable[tuple[str, Sequence[str]]]) -> list[str]:
    """The pid files, each with its programs, that were left behind.

    A daemon that finds one of its own may not start.
    """
    return [path for path, names in pidfiles if os.path.exists(path) and pid_in(path, names) is None]


def _of_this_host(pid: int) -> bool:
    """Not one of a container on this host, whose processes are seen from here too."""
    # Nor one that has ended meanwhile.
    with suppress(OSError):
        return os.readlink("/proc/%d/ns/pid" % pid) == os.readlink("/proc/self/ns/pid")
    return False


def running(names: Iterable[str]) -> dict[str, int]:
    """Which of these programs run on this host, each with its process; of several, one of them."""
    wanted = set(names)
    found = {
        process(pid)[0]: pid
        for pid in map(int, filter(str.isdigit, os.listdir("/proc")))
        if alive(pid, wanted) and _of_this_host(pid)
    }
    return {name: pid for name, pid in found.items() if name}


def start(daemons: Sequence[Daemon], seconds: float) -> None:
    """Start them one after the other, each when the one before it is ready, and return when all are.

    Raises BackendError.

    They outlive this run, below a process that takes note of their processes that end. ``seconds``: what each may take.
    """
    environment = {**os.environ, "PATH": PATH, "LC_ALL": "C"}
    argument = json.dumps({"daemons": [asdict(daemon) for daemon in daemons], "seconds": seconds})
    # An interpreter of its own: a copy of this process would hold its connections and locks, and all its memory.
    keeper = [sys.executable, "-I", "-S", "-", argument]
    done = subprocess.run(  # pylint: disable=ansible-bad-function
        keeper, input=inspect.getsource(daemon_keeper).encode(), capture_output=True, check=False, env=environment
    )
    if not done.stdout:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise BackendError(
            "the process that starts the daemons died: %s"
            % (said[-1] if said else "it ended with %d" % done.returncode)
        )
    error = json.loads(done.stdout)["error"]
    if error:
        raise BackendError(error)


def stop(pid: int, name: str, seconds: float) -> None:
    """Tell a process to end, and wait until it has. Raises BackendError; one that has ended already is no error."""
    ended = _ended(pid)
    if ended is None:
        return
    try:
        signal.pidfd_send_signal(ended, signal.SIGTERM)
        if not select.select([ended], [], [], seconds)[0]:
            raise BackendError(
                "%s (process %d) was told to stop and has not ended within %g s" % (name, pid, seconds),
                remedy="See its log, end it, and run again",
            )
    except ProcessLookupError:
        return
    finally:
        os.close(ended)


def _ended(pid: int) -> int | None:
    """A descriptor that can be read when the process ends; None where it has."""
    try:
        return os.pidfd_open(pid)
    except ProcessLookupError:
        return None


def wait_for_socket(path: str, pid: int | None, seconds: float) -> None:
    """Return when somebody listens on a unix socket.

    Raises BackendError when that has not come true in time, or its process, if it is known, has ended.

    For daemons that something else has started. What they do next, nobody tells: a first question to them is answered
    when they can.
    """
    deadline = time.monotonic() + seconds
    ended = None if pid is None else _ended(pid)
    try:
        while True:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as link:
                try:
                    link.connect(path)
                    return
                except OSError as error:
                    why = f"{path}: {error.strerror or error}"
            if pid is not None and (ended is None or not alive(pid)):
                raise BackendError(f"it ended by itself ({why})")
            if time.monotonic() >= deadline:
                raise BackendError(f"it does not answer within {seconds:g} s ({why})")
            # Nothing tells when a socket begins to listen; the end of the process cuts the wait short.
            select.select([] if ended is None else [ended], [], [], 0.05)
    finally:
        if ended is not None:
            os.close(ended)
