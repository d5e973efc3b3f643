# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Starts daemons, and stays to take note of those of their processes that end, as long as one is there.

A daemon waits for a guest's process to be gone, and the first process of a container often takes no note of its dead:
no guest could be stopped there.
It is given to an interpreter of its own as a text (see daemon.py), and so imports nothing of the collection. What it
is to start comes as one argument in
JSON, its answer goes to its standard output: {"error": "..."}.
"""

from __future__ import annotations

import ctypes
import json
import os
import select
import socket
import struct
import subprocess
import sys
import tempfile
import time
from typing import Any

#: From the kernel's include/uapi/linux/prctl.h.
PR_SET_CHILD_SUBREAPER = 36
#: struct ucred: pid, uid, gid; see unix(7).
CREDENTIALS = struct.Struct("=iII")


def run(argv: list[str], seconds: float) -> str:
    """A daemon that goes into the background when it is ready, and not before.

    Its return code tells. Gives what went wrong.
    """
    try:
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=seconds, check=False)  # pylint: disable=ansible-bad-function
    except subprocess.TimeoutExpired:
        return f"it did not go into the background within {seconds:g} s"
    if not done.returncode:
        return ""
    return done.stderr.decode("utf-8", "replace").strip() or "it ended with %d" % done.returncode


def launch(argv: list[str], pidfile: str, log: str, seconds: float) -> str:
    """A daemon that stays, and says when it is ready as it says it to systemd; see sd_notify(3).

    Gives what went wrong.
    """
    with tempfile.TemporaryDirectory() as directory, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ready:
        ready.bind(directory + "/notify")
        ready.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        with open(log or os.devnull, "ab") as output:
            environment = {**os.environ, "NOTIFY_SOCKET": directory + "/notify"}
            daemon = subprocess.Popen(  # pylint: disable=ansible-bad-function
                argv, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environment, start_new_session=True
            )
        if pidfile:
            with open(pidfile, "w", encoding="ascii") as file:
                file.write("%d\n" % daemon.pid)
        ended = os.pidfd_open(daemon.pid)
        deadline = time.monotonic() + seconds
        while True:
            heard = select.select([ready.fileno(), ended], [], [], max(0.0, deadline - time.monotonic()))[0]
            if ready.fileno() in heard and is_ready(ready, daemon.pid):
                return ""
            if ended in heard:
                return "it ended with %d" % daemon.wait()
            if not heard:
                return f"it did not say within {seconds:g} s that it is ready"


def is_ready(socket_: socket.socket, pid: int) -> bool:
    """Whether the daemon itself says so: what it starts may use the same socket."""
    data, ancillary = socket_.recvmsg(4096, socket.CMSG_SPACE(CREDENTIALS.size))[:2]
    parts = [part for _level, kind, part in ancillary if kind == socket.SCM_CREDENTIALS]
    senders = [CREDENTIALS.unpack(part[: CREDENTIALS.size])[0] for part in parts]
    return senders == [pid] and b"READY=1" in data.split(b"\n")


def start(daemons: list[dict[str, Any]], seconds: float) -> str:
    """One after the other; the first that fails is the last."""
    for daemon in daemons:
        argv = daemon["argv"]
        try:
            error = run(argv, seconds) if daemon["forks"] else launch(argv, daemon["pidfile"], daemon["log"], seconds)
        except OSError as exc:
            error = str(exc)
        if error:
            return f"{argv[0]}: {error}"
    return ""


def main(argument: str) -> None:
    if os.fork():
        # Who asked has the answer when the other one has let go of the standard output.
        return
    os.setsid()
    os.chdir("/")
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    given = json.loads(argument)
    answer = json.dumps({"error": start(given["daemons"], given["seconds"])})
    os.write(1, answer.encode())
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nothing, descriptor)
    try:
        while True:
            os.waitpid(-1, 0)
    except ChildProcessError:
        return


if __name__ == "__main__":
    main(sys.argv[1])
