# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A service of this host under systemd or the init scripts of System V: what becomes of it, and what it said.

A daemon on a host where neither runs is started directly, which is not the matter of this file.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..engine.errors import BackendError
from .reader import Host, Said

#: What starts services. direct: nothing does, and the daemon itself is started.
MANAGERS = ("auto", "systemd", "sysvinit", "direct")

#: Seconds that a start or a stop may take: a service that stops may wait for guests.
PATIENCE = 300

_STARTS_AT_BOOT = re.compile(r"S\d\d(.+)")


def manager_of(wanted: str, init: Mapping[str, Any]) -> str:
    """The manager that is meant. ``init``: see host.kernel.init. Pure."""
    if wanted != "auto":
        return wanted
    return "systemd" if init["systemd"] else "sysvinit" if init["name"] == "init" else "direct"


def manager_faults(
    manager: str, init: Mapping[str, Any], what: str, option: str, others: str = "auto, sysvinit or direct"
) -> list[str]:
    """That a manager is asked for which is not at work.

    ``what`` it would start. ``others``: what the option takes instead. Pure.
    """
    if manager != "systemd" or init["systemd"]:
        return []
    return [f"systemd does not run on this host, so it cannot start {what}. Set {option} to {others}."]


@dataclass
class Service:
    """One service by its name, with a host whose programs may take their time. ``manager``: systemd or sysvinit."""

    host: Host
    name: str
    manager: str

    def exists(self) -> bool:
        """Whether there is a unit or an init script of that name."""
        if self.manager == "sysvinit":
            return self.host.exists("/etc/init.d/" + self.name)
        said = self.host.run(["systemctl", "show", "--property", "LoadState", "--value", self.name])
        return said is not None and said.out.strip() not in ("", "not-found")

    def enabled(self) -> bool:
        """Whether it starts at boot, or is not the kind that somebody could make to."""
        if self.manager == "systemd":
            said = self.host.run(["systemctl", "is-enabled", self.name])
            return said is not None and said.out.strip() not in ("disabled", "")
        found = (_STARTS_AT_BOOT.fullmatch(link) for level in "2345" for link in self.host.names(f"/etc/rc{level}.d"))
        return any(link is not None and link[1] == self.name for link in found)

    def enable(self) -> None:
        """Let it start at boot. Raises BackendError."""
        script = [["update-rc.d", self.name, "defaults"], ["update-rc.d", self.name, "enable"]]
        for argv in [["systemctl", "enable", self.name]] if self.manager == "systemd" else script:
            self._must("enabled", self.host.run(argv))

    def disable(self) -> None:
        """Stop it, and let it not start at boot: one of systemd's. Raises BackendError."""
        self._must("disabled", self.host.run(["systemctl", "disable", "--now", self.name]))

    def start(self) -> None:
        """Start it, even if it failed a few times in a row, after which systemd would not. Raises BackendError."""
        self.forget_failures()
        self._act("start", "started")

    def restart(self) -> None:
        """Stop it and start it. Raises BackendError."""
        self.forget_failures()
        self._act("restart", "restarted")

    def reload(self) -> None:
        """Let it read its configuration again. Raises BackendError."""
        self._act("reload", "reloaded")

    def stop(self) -> None:
        """Stop it. Raises BackendError."""
        self._act("stop", "stopped")

    def forget_failures(self) -> None:
        """Let systemd forget how often it failed. Nothing where it did not."""
        if self.manager == "systemd":
            self.host.run(["systemctl", "reset-failed", self.name])

    def said(self, program: str = "", lines: int = 5) -> str:
        """The last of it in systemd's journal: what a program told, or all, what systemd says included; nothing
        without a journal.
        """
        if self.manager != "systemd":
            return ""
        about = ["--unit", self.name, *(["--identifier", program] if program else [])]
        said = self.host.run(["journalctl", *about, "--lines", str(lines), "--no-pager", "--output", "cat"])
        return said.out.strip() if said else ""

    def _act(self, action: str, done: str) -> None:
        if self.manager == "systemd":
            self._must(done, self.host.run(["systemctl", action, self.name]))
        else:
            self._must(done, self.host.run(["service", self.name, action]))

    def _must(self, done: str, said: Said | None) -> None:
        if said is None:
            raise BackendError(
                f"the service {self.name} cannot be {done}: there is no {self.manager}",
                remedy="Choose another service manager",
            )
        if said.rc:
            # systemctl says what happened first, and then where to look.
            why = said.err.partition("\n")[0] if self.manager == "systemd" else said.error
            raise BackendError(
                "the service {} cannot be {}: {}".format(self.name, done, (why or said.error).rstrip("."))
            )


def service(name: str, manager: str) -> Service:
    """A service of this host."""
    return Service(Host(timeout=PATIENCE), name, manager)
