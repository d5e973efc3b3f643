# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The addresses of domains that run: from the DHCP leases of libvirt's networks, the guest agent, and the host's
neighbours. Reads only.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, MutableMapping, Sequence
from dataclasses import replace
from typing import Any

from ....engine.addresses import reachable
from ....engine.reading import as_list, as_mapping, as_number, as_text
from ....engine.result import Address
from ....host.own_addresses import own_addresses
from ..backend import SOURCES
from ..client import Host, LibvirtError
from ..constants import constant
from .model import Domain
from .xml import Element, get

AGENT = "org.qemu.guest_agent.0"


def agent_connected(live: Element) -> bool:
    """Whether the guest's agent listens, which the live XML knows without asking it."""
    return any(
        get(channel, "target@name") == AGENT and get(channel, "target@state") == "connected"
        for channel in live.findall("devices/channel")
    )


def has_agent_channel(live: Element) -> bool:
    """Whether it has the channel that an agent would listen on."""
    return any(get(channel, "target@name") == AGENT for channel in live.findall("devices/channel"))


def networks_by_mac(live: Element) -> dict[str, str]:
    """What each interface is connected to, by its MAC, in the domain's order."""
    found = {}
    for interface in live.findall("devices/interface"):
        source = interface.find("source")
        name = "" if source is None else source.get("network") or source.get("bridge") or source.get("dev") or ""
        found[(get(interface, "mac@address") or "").lower()] = name or interface.get("type", "")
    return found


def find(
    host: Host,
    domains: MutableMapping[str, Domain],
    handles: Mapping[str, Any],
    orders: Mapping[str, Sequence[str]],
    otherwise: Sequence[str] = SOURCES,
) -> None:
    """Fill in the addresses of all domains that run, each from the first of its sources that knows any; those
    without an order have the other.
    """
    running = {name: have for name, have in domains.items() if have.live is not None}
    leases: dict[str, list[tuple[str, str]]] | None = None
    # Only where libvirt runs here are these the addresses of its host.
    own = own_addresses() if running and host.local else ()
    for name, have in running.items():
        live = have.live
        if live is None:
            continue
        macs = networks_by_mac(live.root)
        for source in orders.get(name) or otherwise:
            if source == "lease":
                if leases is None and any(
                    each.get("type") == "network" for each in live.root.findall("devices/interface")
                ):
                    leases = _leases(host)
                pairs = [(mac, address) for mac in macs for address in (leases or {}).get(mac, ())]
                found = [(mac, pair[1]) for mac, pair in pairs]
            elif source == "agent":
                found = _asked(host, handles[name], "AGENT") if agent_connected(live.root) else []
            else:
                found = _asked(host, handles[name], "ARP") if macs else []
            addresses = _reachable(found, macs, own)
            if addresses:
                domains[name] = replace(have, addresses=addresses)
                break


def _leases(host: Host) -> dict[str, list[tuple[str, str]]]:
    """All leases of all networks: one call for each network."""
    found: dict[str, list[tuple[str, str]]] = {}
    for network in host.ask(host.conn.listAllNetworks, constant("CONNECT_LIST_NETWORKS_ACTIVE")):
        try:
            leases = host.ask(network.DHCPLeases)
        except LibvirtError:
            # A network without DHCP, or one that went down in this moment.
            continue
        # The newest first, and before it what never expires: a guest that was made anew leaves the lease of the one
        # before.
        there = list(map(as_mapping, as_list(leases)))
        for lease in sorted(there, key=lambda each: as_number(each.get("expirytime")) or math.inf, reverse=True):
            mac, address = (as_text(lease.get(key)) for key in ("mac", "ipaddr"))
            found.setdefault(mac.lower(), []).append((network.name(), address))
    return found


def _asked(host: Host, handle: Any, source: str) -> list[tuple[str, str]]:
    """What libvirt hears of one domain's addresses: pairs of MAC and address."""
    question = (handle.interfaceAddresses, constant("DOMAIN_INTERFACE_ADDRESSES_SRC_" + source), 0)
    try:
        interfaces = host.ask_guest(handle, *question) if source == "AGENT" else host.ask(*question)
    except LibvirtError:
        # The guest ended in this moment, or its agent hangs, or cannot say.
        return []
    return [
        (as_text(each.get("hwaddr")).lower(), as_text(address.get("addr")))
        for each in map(as_mapping, as_mapping(interfaces).values())
        for address in map(as_mapping, as_list(each.get("addrs")))
    ]


def _reachable(pairs: Sequence[tuple[str, str]], macs: Mapping[str, str], own: Collection[str]) -> tuple[Address, ...]:
    """The addresses under which the guest can be reached, of all that was said: of the domain's own interfaces, in
    their order, IPv4 first.

    What the agent says is the guest's own word. A bridge that the guest has made, like the docker0 of a Docker in
    there, leads to nobody from outside, or to this host's own; its MAC is none of the domain's.
    """
    order = {mac: place for place, mac in enumerate(macs)}
    found = []
    for mac, text in pairs:
        address = reachable(text)
        if mac and mac in order and address is not None and str(address) not in own:
            found.append(Address(str(address), "ipv%d" % address.version, macs[mac], mac))
    # Of one interface the first is what it was given first, not a virtual address that moves from guest to guest.
    return tuple(sorted(dict.fromkeys(found), key=lambda each: (order[each.mac], each.family)))
