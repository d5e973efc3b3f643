# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The bridge of lxc-net as a part of LXC's setup: its file, and lxc-net itself, which takes a new file over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ....engine.action import Action, Disruption
from ....engine.errors import BackendError, KraalError
from ....engine.plan import Step
from ....host.daemon import pid_in
from ....host.lxc_network import Links, Unfit, Wish, assignments, defaults, harm, network_file, wanted_network
from ....host.network import addresses_of, bridges
from ....host.reader import Host, Said
from ....host.service import Service
from ....host.setup import HOST
from .files import NETWORK, Edit, text_of

#: The program itself, which the unit and the init script start.
NET = "/usr/libexec/lxc/lxc-net"
_ROUTES = "/proc/net/route"
_IPV6 = "/proc/sys/net/ipv6/conf/default/disable_ipv6"
#: What it says of its clearing up, which finds less than it looks for.
_NOISE = "Bad rule"


@dataclass(frozen=True)
class Bridge:
    """What there is of lxc-net's bridge."""

    name: str
    there: bool = False
    addresses: Sequence[str] = ()
    #: The guests' ends.
    ports: Sequence[str] = ()
    #: Whether lxc-net says that it is up, and whether its DHCP server lives.
    up: bool = False
    served: bool = False

    @property
    def runs(self) -> bool:
        """Whether guests have what they need of it."""
        return self.there and self.up and self.served


def bridge_of(host: Host, name: str, found: Sequence[Mapping[str, Any]]) -> Bridge:
    """The bridge of that name. ``found``: see host.network.bridges."""
    there = next((each for each in found if each["name"] == name), None)
    return Bridge(
        name,
        there is not None,
        [address["address"] for address in there["addresses"] if address["family"] == "ipv4"] if there else [],
        there["ports"] if there else [],
        host.exists("/run/lxc/network_up"),
        pid_in("/run/lxc/dnsmasq.pid", ["dnsmasq"]) is not None,
    )


@dataclass(frozen=True)
class Planned:
    """What lxc-net goes by now and then, and the file in between."""

    before: Mapping[str, str]
    after: Mapping[str, str]
    edit: Edit

    @property
    def on(self) -> bool:
        """Whether lxc-net is to make a bridge."""
        return self.after["USE_LXC_BRIDGE"] == "true"

    @property
    def iptables(self) -> bool:
        """Whether it is to write its rules with iptables."""
        return self.on and self.after.get("LXC_USE_NFT", "true") != "true"


def planned(host: Host, wish: Wish) -> Planned:
    """From the files of this host. Raises Unfit."""
    text, script = text_of(host, NETWORK), host.text(NET) or ""
    wanted = wanted_network(wish, text or "", script, host.text(_ROUTES) or "", host.word(_IPV6) == "0")
    after, changes = network_file(text or "", wanted)
    default = defaults(script)
    edit = Edit(NETWORK, text, after, changes)
    return Planned({**default, **assignments(text or "")}, {**default, **assignments(after)}, edit)


class LxcNet:
    """The part. ``interrupt``: whether guests may be cut off for a while."""

    def __init__(
        self, host: Host, wish: Wish, plan: Planned, links: Links, bridge: Bridge, manager: str, interrupt: bool
    ) -> None:
        self.host, self.wish, self.planned, self.links, self.bridge = host, wish, plan, links, bridge
        self.manager, self.interrupt = manager, interrupt
        self._written = False

    @property
    def takes(self) -> Action | None:
        """What lxc-net takes to be as asked for: nothing, or an action. Pure."""
        plan, bridge = self.planned, self.bridge
        as_said = plan.before["LXC_ADDR"] in bridge.addresses
        if bridge.runs:
            return (
                (Action.RESTART if plan.on else Action.STOP) if plan.edit.changes or (plan.on and not as_said) else None
            )
        return (Action.RESTART if bridge.up else Action.START) if plan.on else None

    def faults(self) -> Sequence[str]:
        """What would harm the host, and guests that would be cut off."""
        found = [harm(self.wish, self.planned.before, self.planned.after, self.links)]
        if (
            self.takes in (Action.RESTART, Action.STOP)
            and self.bridge.runs
            and self.bridge.ports
            and not self.interrupt
        ):
            found.append(
                "%s in %s would take the bridge %s down, to which %d guests are connected. Stop them first, or set "
                "lxc_host_interrupt_guests: true; guests keep their addresses, which may then be the wrong ones, "
                "until they are restarted."
                % (
                    ", ".join(self.planned.edit.changes) or "The address of the bridge",
                    NETWORK,
                    self.bridge.name,
                    len(self.bridge.ports),
                )
            )
        return [fault for fault in found if fault]

    def plan(self) -> Sequence[Step]:
        """The file, and lxc-net with it."""
        cost = Disruption.LIVE if self.takes and self.bridge.ports else Disruption.NONE
        found = [self.planned.edit.step(cost)] if self.planned.edit.changes else []
        if self.takes:
            now, then = "running" if self.bridge.runs else "stopped", "running" if self.planned.on else "stopped"
            found.append(Step(HOST, self.takes, "service", now, then, cost))
        return found

    def apply(self, step: Step) -> None:
        """Perform one of the two. Raises BackendError, with the file and the bridge as they were."""
        try:
            if step.action == Action.SET:
                self._write()
            else:
                if not self._written and step.action != Action.START:
                    self._stop()
                if self.planned.on:
                    self._start(self.planned.after)
        except KraalError as error:
            raise self._taken_back(error) from error

    def _write(self) -> None:
        # Down as the file says it was made: with another one lxc-net would not find what to take away.
        if self.takes in (Action.RESTART, Action.STOP):
            self._stop()
        self.planned.edit.write()
        self._written = True

    def _taken_back(self, error: KraalError) -> BackendError:
        """The error, after the host was made as it was."""
        path, keys = self.planned.edit.path, ""
        if self._written:
            keys = "{} in ".format(", ".join(self.planned.edit.changes))
            self._stop()
            self.planned.edit.take_back()
            what = "which is again as it was before"
        else:
            what = "which was not touched"
        if self.bridge.runs:
            try:
                self._start(self.planned.before)
            except KraalError as again:
                what += f", but with which the bridge could not be made again either ({again.message})"
        said = error.message
        return BackendError(
            "lxc-net did not {} with {}{}, {}. It said: {}".format(self.takes or "go on", keys, path, what, said),
            remedy=(
                "Another program has the port 53 or 67 on all addresses: let it bind to its own interfaces only "
                "(dnsmasq: bind-dynamic)"
                if "Address already in use" in said
                else "Mend what it says, and run again"
            ),
        )

    # lxc-net, whoever starts it.

    def _service(self) -> Service:
        return Service(self.host, "lxc-net", self.manager)

    def _stop(self) -> None:
        if self.manager == "systemd":
            self._service().stop()
        # However it was started. It says with 1 that there is nothing to take down, which is fine.
        said = self.host.run([NET, "stop"])
        if said is None or said.rc not in (0, 1):
            raise BackendError(_words(said))

    def _start(self, variables: Mapping[str, str]) -> None:
        """Start it, and see that the bridge is there as these variables say."""
        if self.manager == "systemd":
            try:
                # It counts as active for as long as nobody stops it, whatever has become of the bridge.
                self._service().restart()
            except BackendError as error:
                # What it said at earlier starts stands before.
                journal = self._service().said(lines=40).rpartition("Starting lxc-net.service")[2]
                raise BackendError(_plain(journal) or error.message) from error
        elif self.manager == "sysvinit":
            self._service().start()
        else:
            said = self.host.run([NET, "start"])
            if said is None or said.rc:
                raise BackendError(_words(said))
        now = bridge_of(self.host, variables["LXC_BRIDGE"], bridges(self.host, addresses_of(self.host)))
        on = variables["USE_LXC_BRIDGE"] == "true"
        if now.runs != on or (on and variables["LXC_ADDR"] not in now.addresses):
            raise BackendError(f"it was started, but the bridge is not as it should be: {now}")


def _words(said: Said | None) -> str:
    return _plain(f"{said.out}\n{said.err}") or said.error if said else f"{NET} is not there"


def _plain(text: str) -> str:
    return " ".join(line.strip() for line in text.splitlines() if line.strip() and _NOISE not in line)


@dataclass(frozen=True)
class Unmade:
    """In the place of the bridge where it cannot be as it is asked for."""

    why: Unfit

    def faults(self) -> Sequence[str]:
        """Why."""
        return [str(self.why)]

    def plan(self) -> Sequence[Step]:
        """Nothing."""
        return []

    def apply(self, step: Step) -> None:
        """There is nothing to do."""


@dataclass(frozen=True)
class AtBoot:
    """A service that has to start at boot. ``enabled``: whether it does."""

    service: Service
    enabled: bool

    def faults(self) -> Sequence[str]:
        """There is nothing in the way of it."""
        return []

    def plan(self) -> Sequence[Step]:
        """To enable it."""
        return [] if self.enabled else [Step(HOST, Action.SET, f"autostart[{self.service.name}]", False, True)]

    def apply(self, step: Step) -> None:
        """Enable it. Raises BackendError."""
        self.service.enable()
