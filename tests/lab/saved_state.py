# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""QEMU's monitor, and the state of a machine that is up: saved once with the disk that belongs to it, and resumed
instead of booting.
"""

from __future__ import annotations

import json
import re
import shlex
import shutil
import socket
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Any

#: Seconds that writing or reading the memory may take.
PATIENCE = 300
#: Bytes a second, or QEMU takes a network's speed for the disk's.
FAST = 10 << 30
DAY = 86400


class Monitor:
    """The control mode of a QEMU at the other end of a socket; RuntimeError where it ends or refuses."""

    def __init__(self, end: socket.socket) -> None:
        end.settimeout(PATIENCE)
        self._end = end
        self._lines = end.makefile("r", encoding="utf-8")
        self.ask("qmp_capabilities")

    def __enter__(self) -> Monitor:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._lines.close()

    def ask(self, command: str, **arguments: Any) -> Any:
        self._end.sendall(json.dumps({"execute": command, "arguments": arguments}).encode())
        return self._until("return")["return"]

    def wait_for(self, event: str, **data: Any) -> None:
        """Until it has told of an event with this data."""
        while True:
            told = self._until("event")
            if told["event"] == event and all(told.get("data", {}).get(key) == value for key, value in data.items()):
                return
            if told.get("data", {}).get("status") == "failed":
                raise RuntimeError(f"QEMU failed: {told}")

    def forwarded_port(self) -> int:
        """That of loopback behind which the machine's sshd is."""
        said = self.ask("human-monitor-command", **{"command-line": "info usernet"})
        found = re.search(r"HOST_FORWARD\]\s+\d+\s+127\.0\.0\.1\s+(\d+)", said)
        if found is None:
            raise RuntimeError(f"QEMU forwards no port: {said}")
        return int(found[1])

    def _until(self, kind: str) -> dict[str, Any]:
        for line in self._lines:
            answer: dict[str, Any] = json.loads(line)
            if "error" in answer:
                raise RuntimeError(f"QEMU refuses: {answer['error']['desc']}")
            if kind in answer:
                return answer
        raise RuntimeError("QEMU ended")


class SavedState:
    """In a directory: the memory, the machine's disk as it was then, and whatever else of its directory belongs to
    it.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    @property
    def exists(self) -> bool:
        return self.directory.exists()

    def save(self, monitor: Monitor, disk: Path, *files: Path) -> None:
        """Of a machine that goes on then.

        Whoever is first saves it; of other machines, those that nobody has used for a day go.
        """
        partial = self.directory.with_name(f"{self.directory.name}.{disk.parent.name}.partial")
        if partial.exists():
            shutil.rmtree(partial)
        partial.mkdir()
        monitor.ask("migrate-set-parameters", **{"max-bandwidth": FAST})
        monitor.ask("stop")
        self._move(monitor, "migrate", f"cat > {shlex.quote(str(partial / 'memory'))}")
        for file in (disk, *files):
            shutil.copy(file, partial / file.name)
        monitor.ask("cont")
        if self.exists:
            shutil.rmtree(partial)
        else:
            partial.rename(self.directory)
        for other in self.directory.parent.glob("state-*"):
            if other.stat().st_mtime < time.time() - DAY:
                shutil.rmtree(other)

    def lay(self, disk: Path, *files: Path) -> None:
        """Put its files where a machine that resumes finds them; the disk is one over the saved one."""
        self.directory.touch()
        for file in files:
            shutil.copy(self.directory / file.name, file)
        overlay(disk, self.directory / disk.name, "qcow2")

    def resume(self, monitor: Monitor) -> None:
        """In a QEMU that was started with -incoming defer; returns when the machine runs."""
        self._move(monitor, "migrate-incoming", f"cat {shlex.quote(str(self.directory / 'memory'))}")
        monitor.ask("cont")

    @staticmethod
    def _move(monitor: Monitor, command: str, through: str) -> None:
        monitor.ask("migrate-set-capabilities", capabilities=[{"capability": "events", "state": True}])
        monitor.ask(command, uri=f"exec:{through}")
        monitor.wait_for("MIGRATION", status="completed")

    def discard(self) -> None:
        shutil.rmtree(self.directory)


def overlay(disk: Path, base: Path, form: str) -> None:
    """A disk that has what another one has, and keeps what is written to itself."""
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-b", str(base), "-F", form, str(disk)], check=True)
