# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Libvirt's daemons as parts of a host's setup.

The units of systemd, the daemons themselves where it does not run, and who may use them then.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ....engine.action import Action
from ....engine.errors import BackendError
from ....engine.plan import Step
from ....host import daemon
from ....host.reader import Host
from ....host.replace import replace_file
from ....host.service import Service, service
from ....host.setup import HOST
from .. import client

#: What each kind listens with; of these, the ones that the packages brought are switched on.
SOCKETS: Mapping[str, tuple[str, ...]] = {
    "monolithic": ("libvirtd.socket", "libvirtd-ro.socket", "libvirtd-admin.socket"),
    "modular": (
        "virtqemud.socket",
        "virtinterfaced.socket",
        "virtnetworkd.socket",
        "virtnodedevd.socket",
        "virtnwfilterd.socket",
        "virtproxyd.socket",
        "virtsecretd.socket",
        "virtstoraged.socket",
    ),
}
SERVICES: Mapping[str, tuple[str, ...]] = {
    "monolithic": ("libvirtd.service",),
    "modular": tuple(each.replace(".socket", ".service") for each in SOCKETS["modular"]),
}
#: A socket alone starts nothing at boot; these start what is set to start with the host: guests, networks, pools.
AT_BOOT: Mapping[str, tuple[str, ...]] = {
    "monolithic": ("libvirtd.service",),
    "modular": ("virtqemud.service", "virtnetworkd.service", "virtstoraged.service"),
}
#: Both kinds need it.
LOGS = "virtlogd.socket"

#: Without systemd, in the order in which they start.
DAEMONS = ("virtlogd", "libvirtd")
PIDFILE, CONFIG = "/run/libvirtd.pid", "/etc/libvirt/libvirtd.conf"
#: Seconds that a daemon may take to start or to end.
PATIENCE = 60

#: What lets the group in by the rights of libvirtd's socket.
ACCESS = {"unix_sock_group": "libvirt", "unix_sock_rw_perms": "0770", "auth_unix_rw": "none"}

START = Step(HOST, Action.START, "service", "stopped", "running")


class Libvirt:
    """The connection to the libvirt of this host.

    Opened when it is needed, and anew after a daemon was started or stopped.
    """

    def __init__(self, uri: str, seconds: int) -> None:
        self.uri, self.seconds = uri, seconds
        self._host: client.Host | None = None

    def host(self) -> client.Host:
        """The connection. Raises BackendError."""
        if self._host is None:
            self._host = client.connect({"uri": self.uri, "connect_timeout": self.seconds})
        return self._host

    def drop(self) -> None:
        """Let go of it."""
        if self._host is not None:
            # It may have broken off with its daemon.
            with suppress(BackendError):
                self._host.close()
            self._host = None

    def started(self, log: str) -> None:
        """Raise BackendError if it does not answer now that it was started."""
        self.drop()
        try:
            self.host()
        except BackendError as error:
            raise BackendError(
                f"libvirt was started, but {self.uri} does not answer: {error.message}",
                remedy=f"See its log ({log})",
            ) from error


@dataclass(frozen=True)
class Units:
    """Libvirt under systemd.

    The units of one kind of daemons start at boot and listen, those of the other kind do neither.
    """

    host: Host
    libvirt: Libvirt
    #: The kind that was asked for, or auto, and the one that it comes to.
    wanted: str
    kind: str
    #: The units that are installed, and whether they are enabled, in systemd's words.
    states: Mapping[str, str]
    active: Collection[str]
    answers: bool
    #: Whether packages are to come, and the units with them.
    comes: bool

    def faults(self) -> Sequence[str]:
        """That there are no such daemons."""
        first = SOCKETS[self.kind][0]
        if self.comes or first in self.states:
            return []
        return [
            (
                f"kvm_host_daemons is {self.wanted}, but this host has no {first}. Set kvm_host_daemons to auto, or "
                "name the package that has it in kvm_host_packages."
            )
        ]

    def plan(self) -> Sequence[Step]:
        """Switch off, switch on at boot, listen, and start."""
        other = "modular" if self.kind == "monolithic" else "monolithic"
        off = [unit for unit in SOCKETS[other] + SERVICES[other] if self.states.get(unit) == "enabled"]
        wanted = [*SOCKETS[self.kind], *AT_BOOT[self.kind], LOGS]
        return [
            *(Step(HOST, Action.STOP, f"service[{unit}]", "enabled", "disabled") for unit in off),
            *(
                Step(HOST, Action.SET, f"autostart[{unit}]", False, True)
                for unit in wanted
                if self.states.get(unit) == "disabled"
            ),
            *(Step(HOST, Action.START, f"service[{unit}]", "inactive", "active") for unit in self._silent()),
            *([] if self.answers else [START]),
        ]

    def _silent(self) -> list[str]:
        """The sockets that do not listen. A daemon that runs holds its own, which systemd would refuse to start."""
        listeners = [unit for unit in (*SOCKETS[self.kind], LOGS) if "-" not in unit and unit in self.states]
        return [unit for unit in listeners if not {unit, unit.replace(".socket", ".service")} & set(self.active)]

    def apply(self, step: Step) -> None:
        """Raises BackendError."""
        if step == START:
            units = [unit for unit in AT_BOOT[self.kind] if self._manage(unit).exists()]
            for unit in units:
                self._manage(unit).start()
            self.libvirt.started("journalctl {}".format(" ".join("--unit " + unit for unit in units)))
            return
        managed = self._manage(step.key.partition("[")[2].partition("]")[0])
        if step.action == Action.STOP:
            managed.disable()
        elif step.action == Action.SET:
            managed.enable()
        else:
            managed.start()
        self.libvirt.drop()

    @staticmethod
    def _manage(unit: str) -> Service:
        return service(unit, "systemd")


def units(host: Host, libvirt: Libvirt, wanted: str, family: str, answers: bool, comes: bool) -> Units:
    """The part, from what systemd says. ``family``: of the distribution, see packages.FAMILIES."""
    every = [unit for kind in SOCKETS for unit in SOCKETS[kind] + SERVICES[kind]] + [LOGS]
    listed = host.run(["systemctl", "list-unit-files", "--no-legend", "--no-pager", "--plain", *every])
    states = dict(line.split()[:2] for line in (listed.out if listed else "").splitlines() if len(line.split()) > 1)
    asked = [*states, LOGS.replace(".socket", ".service")]
    said = host.run(["systemctl", "is-active", *asked])
    # One word a unit, in the order in which they were asked for.
    active = [unit for unit, word in zip(asked, (said.out if said else "").split()) if word == "active"]
    return Units(host, libvirt, wanted, kind_of(wanted, states, family), states, active, answers, comes)


def kind_of(wanted: str, states: Mapping[str, str], family: str) -> str:
    """One daemon, or many: as it is wanted, or what is enabled, or else the distribution's own. Pure."""
    if wanted != "auto":
        return wanted
    on = [kind for kind in SOCKETS if states.get(SOCKETS[kind][0]) == "enabled"]
    return on[0] if len(on) == 1 else "modular" if family in ("RedHat", "Suse") else "monolithic"


@dataclass(frozen=True)
class Daemons:
    """Libvirt where nothing starts services: its daemons, started by hand."""

    libvirt: Libvirt
    #: Those that run, with their processes.
    running: Mapping[str, int]
    answers: bool
    comes: bool
    error: str = ""

    def faults(self) -> Sequence[str]:
        """That the daemon runs and does not answer: it is started once."""
        if self.answers or self.comes or "libvirtd" not in self.running:
            return []
        return [
            "libvirtd runs (process %d), but %s does not answer: %s. See its log (/var/log/syslog or"
            " /var/log/messages)." % (self.running["libvirtd"], self.libvirt.uri, self.error)
        ]

    def plan(self) -> Sequence[Step]:
        """One step for both."""
        return [] if self.answers else [START]

    def apply(self, step: Step) -> None:
        """Raises BackendError."""
        launch([name for name in DAEMONS if name not in self.running], self.libvirt)


def launch(names: Sequence[str], libvirt: Libvirt) -> None:
    """Start daemons. Each goes into the background when it listens, and not before. Raises BackendError."""
    daemon.start([daemon.Daemon((name, "--daemon"), forks=True) for name in names], PATIENCE)
    libvirt.started("/var/log/syslog or /var/log/messages")


@dataclass(frozen=True)
class Access:
    """The group libvirt, where no polkit answers.

    Libvirtd asks polkit about everybody but root, and polkit is reached through the system bus. Without one, the
    rights of the socket have to do.
    """

    libvirt: Libvirt
    #: libvirtd's configuration; empty where there is none yet.
    text: str
    #: The daemon that has read it.
    pid: int | None
    path: Path = Path(CONFIG)

    def faults(self) -> Sequence[str]:
        """None."""
        return []

    def plan(self) -> Sequence[Step]:
        """Write what is missing, and have the daemon read it: guests go on running without it."""
        found = {key: value_of(self.text, key) for key in ACCESS}
        steps = [
            Step(HOST, Action.SET, f"libvirtd.conf[{key}]", found[key], ACCESS[key])
            for key in ACCESS
            if found[key] != ACCESS[key]
        ]
        return [*steps, Step(HOST, Action.RESTART, "service", "running", "running")] if steps and self.pid else steps

    def apply(self, step: Step) -> None:
        """Raises BackendError."""
        if step.action == Action.SET:
            text = self.path.read_text(encoding="utf-8", errors="surrogateescape") if self.path.exists() else ""
            replace_file(self.path, with_value(text, step.key.partition("[")[2][:-1], step.after), 0o644)
        elif self.pid is not None:
            self.libvirt.drop()
            daemon.stop(self.pid, "libvirtd", PATIENCE)
            launch(["libvirtd"], self.libvirt)


def value_of(text: str, key: str) -> str | None:
    """What a line of libvirtd.conf says, the last one if there are several. Pure."""
    found = re.findall(rf"^[ \t]*{re.escape(key)}[ \t]*=[ \t]*(.*?)[ \t]*$", text, re.MULTILINE)
    return found[-1].strip("\"'") if found else None


def with_value(text: str, key: str, value: str) -> str:
    """The text with that line.

    In the place of the last one that sets the key, behind the last comment that shows it, or at the end. Pure.
    """
    lines, fresh = text.splitlines(), f'{key} = "{value}"'
    for pattern, behind in ((r"\s*%s\s*=", 0), (r"\s*#\s*%s\s*=", 1)):
        places = [number for number, line in enumerate(lines) if re.match(pattern % re.escape(key), line)]
        if places:
            lines[places[-1] + behind : places[-1] + 1] = [fresh]
            break
    else:
        lines.append(fresh)
    return "\n".join(lines) + "\n"
