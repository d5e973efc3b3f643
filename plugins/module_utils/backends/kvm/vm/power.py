# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A domain's power, and waiting for what it becomes."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from ....engine.errors import BackendError
from ....engine.spec import Spec
from ..client import Host, LibvirtError, NotThere, code
from ..constants import constant
from ..xml import Element, parse
from .addresses import agent_connected, find, has_agent_channel
from .observe import STATES, look

#: Libvirt tells of some changes by no event at all (an address, a balloon), so they are all looked for; each look is
#: one short call.
PAUSE = 0.2


def until(reached: Callable[[], bool], seconds: float) -> bool:
    """Whether it comes true within that time. It is looked at again and again: see PAUSE."""
    deadline = time.monotonic() + seconds
    while True:
        if reached():
            return True
        left = deadline - time.monotonic()
        if left <= 0:
            return False
        time.sleep(min(PAUSE, left))


def state_of(host: Host, domain: Any) -> str:
    """The power state, in the words of all backends.

    A domain that libvirt did not keep (a transient one) is gone when it has stopped.
    """
    try:
        return STATES.get(host.ask(domain.state, 0)[0], "stopped")
    except NotThere:
        return "stopped"


def start(host: Host, domain: Any) -> None:
    """Start it, and see that it runs."""
    try:
        host.ask(domain.create)
    except LibvirtError as error:
        if error.code == code("OPERATION_INVALID") and state_of(host, domain) != "stopped":
            return
        raise
    if state_of(host, domain) == "stopped":
        raise BackendError(
            "it ended right after its start", remedy="Look at its log below /var/log/libvirt/qemu on the host"
        )


def stop(host: Host, want: Spec, domain: Any) -> None:
    """Shut it down, through its agent where that listens, else by the power button; by force only where the task
    says so.
    """
    patience, force = int(want.steering.get("stop_timeout") or 0), bool(want.steering.get("force_stop"))
    if state_of(host, domain) == "stopped":
        return
    if patience:
        if state_of(host, domain) == "paused":
            # One that is frozen cannot follow.
            host.ask(domain.resume)
        _ask_to_stop(host, domain)
        if until(lambda: state_of(host, domain) == "stopped", patience):
            return
    if not force:
        raise BackendError(
            "it did not shut down within %d seconds" % patience,
            remedy="Let its system follow the power button (acpid, systemd-logind) or run the guest agent, allow a "
            "longer stop_timeout, or set force_stop=true",
        )
    try:
        host.ask(domain.destroy)
    except LibvirtError as error:
        if error.code != code("OPERATION_INVALID"):
            raise


def _ask_to_stop(host: Host, domain: Any) -> None:
    ways = [constant("DOMAIN_SHUTDOWN_ACPI_POWER_BTN")]
    if agent_connected(parse(host.ask(domain.XMLDesc, 0))):
        ways.insert(0, constant("DOMAIN_SHUTDOWN_GUEST_AGENT"))
    for number, way in enumerate(ways):
        try:
            host.ask(domain.shutdownFlags, way)
            return
        except LibvirtError as error:
            if error.code == code("OPERATION_INVALID"):
                # It has ended by itself.
                return
            if number == len(ways) - 1 and error.code not in (
                code("OPERATION_UNSUPPORTED"),
                code("NO_SUPPORT"),
                code("AGENT_UNRESPONSIVE"),
            ):
                raise


#: What a guest was not when the wait was over, and what to look at.
_WAITS = {
    "running": ("running", "Start it, or allow a longer timeout"),
    "address": ("given an address", "Look at its networks and their DHCP, or allow a longer timeout"),
    "agent": (
        "answered for by a guest agent",
        "Give it the channel org.qemu.guest_agent.0, and install qemu-guest-agent in it",
    ),
}


def wait(host: Host, want: Spec) -> None:
    """Return when what ``wait_for`` names has come true.

    Raises BackendError when it has not in time, or the guest has ended.
    """
    domain = host.ask(host.conn.lookupByName, want.name)

    def reached() -> bool:
        state = state_of(host, domain)
        if state == "stopped":
            if want.state == "running":
                raise BackendError(
                    "it ended while it was waited for",
                    remedy="Look at its log below /var/log/libvirt/qemu on the host, and at its console",
                )
            return False
        if want.wait_for == "running":
            return True
        if want.wait_for == "agent":
            return agent_connected(parse(host.ask(domain.XMLDesc, 0))) and _answers(host, domain)
        have = look(host, domain, state, False, {}, secure=False)
        domains = {want.name: have} if have is not None else {}
        find(host, domains, {want.name: domain}, {want.name: want.steering.get("address_sources") or ()})
        return any(each.addresses for each in domains.values())

    if not until(reached, want.timeout):
        raise unmet(
            want.wait_for,
            want.timeout,
            parse(host.ask(domain.XMLDesc, 0)) if state_of(host, domain) == "running" else None,
        )


def unmet(wait_for: str, seconds: int, live: Element | None) -> BackendError:
    """What a guest was not when the wait was over; ``live`` is the XML of one that runs. Pure.

    An emulated guest boots for minutes, and without an agent that answers it is not known to have booted: that is no
    fault of its network.
    """
    what, remedy = _WAITS[wait_for]
    why = ""
    if live is not None and live.get("type") == "qemu" and not agent_connected(live):
        if has_agent_channel(live):
            why = ": it is emulated, and still booting"
        elif wait_for == "address":
            why = ": it is emulated, and may still be booting"
    if why:
        remedy = "It goes on booting: run this again in some minutes, or allow a longer timeout"
    return BackendError("it was not %s within %d seconds%s" % (what, seconds, why), remedy=remedy)


def _answers(host: Host, domain: Any) -> bool:
    try:
        host.ask_guest(domain, domain.guestInfo, constant("DOMAIN_GUEST_INFO_HOSTNAME"), 0)
    except LibvirtError as error:
        # An agent that does not know this command has answered.
        return error.code not in (code("AGENT_UNRESPONSIVE"), code("AGENT_UNSYNCED"), code("OPERATION_TIMEOUT"))
    return True


def wait_gone(host: Host, domain: Any, there: Callable[[Any], bool], what: str, seconds: float = 20) -> None:
    """Until the live XML has a device no more: a guest lets go of one in its own time."""
    if not until(lambda: not there(parse(host.ask(domain.XMLDesc, 0))), seconds):
        why = "the guest did not let go of %s within %d seconds" % (what, seconds)
        raise BackendError(why, remedy="See that it is not in use in the guest, and run again")
