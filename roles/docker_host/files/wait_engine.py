# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Waits until the engine answers on its socket, or has died, or the time is over; with `--gone`, until it has ended.

Prints one JSON object: `ok` and, if not, `said`.
"""

from __future__ import annotations

import argparse
import http.client
import json
import socket
import sys
import time
from collections.abc import Sequence
from pathlib import Path


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


def answers(path: str, timeout: float) -> str:
    """Nothing if the engine answers, else what happened instead."""
    connection = UnixConnection(path, timeout)
    try:
        connection.request("GET", "/_ping")
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as exc:
        return f"{path}: {exc}"
    finally:
        connection.close()
    return "" if status == 200 else f"{path} answers with status {status}"


def alive(pidfile: Path) -> bool:
    if not pidfile.exists():
        return False
    number = pidfile.read_text(encoding="ascii", errors="replace").strip()
    try:
        # "PID (NAME) STATE ...". A zombie has ended; only its parent has not taken note of it.
        state = Path("/proc", number, "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[0]
    except OSError:
        return False
    return number.isdigit() and state not in "ZX"


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--socket")
    parser.add_argument("--timeout", type=float, required=True)
    parser.add_argument("--pidfile", type=Path, help="of the engine, to see that it died")
    parser.add_argument("--gone", action="store_true", help="wait until the process of --pidfile has ended")
    options = parser.parse_args(arguments)
    deadline = time.monotonic() + options.timeout
    while True:
        dead = options.pidfile is not None and not alive(options.pidfile)
        if options.gone:
            if dead or time.monotonic() >= deadline:
                said = "" if dead else f"its process has not ended within {options.timeout:g} s"
                break
            # The process is not a child of this one, so there is nothing to wait for but its absence.
            time.sleep(0.1)
            continue
        said = answers(options.socket, max(1.0, deadline - time.monotonic()))
        if not said or dead or time.monotonic() >= deadline:
            break
        # Outside systemd the engine tells nobody when it is ready, so it has to be asked again until the deadline.
        time.sleep(0.1)
    if said and not options.gone:
        said = ("it ended by itself" if dead else f"it does not answer within {options.timeout:g} s") + f" ({said})"
    print(json.dumps({"ok": not said, "said": said}))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
