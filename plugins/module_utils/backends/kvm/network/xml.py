# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How the values of a network's options are written into its definition. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Any

from ..xml import Element, attribute, child, drop, make, yes
from .dns import write_dnsmasq
from .fields import ISOLATED, OF_FUNCTIONS, OF_THE_HOST, interface_of

#: Of an entry of DHCP: a range's, and a host's.
_ADDRESSES = ("start", "end", "ip")


def forward(network: Element, mode: str) -> None:
    """How it forwards, and what goes with that."""
    if mode == ISOLATED:
        drop(network, "forward")
        return
    forward = child(network, "forward")
    old = forward.get("mode")
    if old == mode:
        return
    forward.set("mode", mode)
    if mode != "nat":
        drop(forward, "nat")
    if mode in ("open", "hostdev") or (mode in OF_THE_HOST) is not (old in OF_THE_HOST):
        # An interface of the host is where packets go, or where guests are.
        forward_dev(network, "")
    if mode not in OF_FUNCTIONS:
        drop(forward, "pf")
    for tag in ("address", "driver"):
        drop(forward, tag)
    forward.attrib.pop("managed", None)
    if mode == "hostdev":
        # Libvirt takes the function from the host's driver, and gives it back.
        forward.set("managed", yes(True))
    if mode in OF_THE_HOST:
        _leave_to_host(network, mode)


def _leave_to_host(network: Element, mode: str) -> None:
    """These are properties of a bridge that libvirt makes, which there is none of any more."""
    for tag in ("mac", "domain", "dns", "ip", "route", "mtu"):
        drop(network, tag)
    write_dnsmasq(network, ())
    for key in ("stp", "delay"):
        child(network, "bridge").attrib.pop(key, None)
    if mode != "bridge":
        drop(network, "bridge")


def physical_function(network: Element, device: str) -> None:
    """The device whose functions guests get, in the place of what there was."""
    drop(network, "forward/pf")
    if device:
        forward = child(network, "forward")
        forward_dev(network, "")
        drop(forward, "address")
        forward.append(make("pf", {"dev": device}))


def forward_dev(network: Element, device: str) -> None:
    """The device that it forwards to."""
    if not device and network.find("forward") is None:
        return
    forward = child(network, "forward")
    drop(forward, "interface")
    forward.attrib.pop("dev", None)
    if device:
        forward.set("dev", device)


def _written(network: Element, tag: str, key: str, value: str) -> None:
    """An element that is there for this attribute, or is not there at all."""
    if value:
        child(network, tag).set(key, value)
    else:
        drop(network, tag)


def bridge(network: Element, name: str) -> None:
    """The name of its bridge. One of the host's is in the place of the host's interfaces that there were."""
    if attribute(network, "forward", "mode") == "bridge":
        drop(network, "forward/interface")
        child(network, "forward").attrib.pop("dev", None)
    child(network, "bridge").set("name", name)


def dns(network: Element, value: bool) -> None:
    """Whether it answers questions about names."""
    child(network, "dns").set("enable", yes(value))


def domain(network: Element, name: str) -> None:
    """Its domain, or none."""
    _written(network, "domain", "name", name)


def mtu(network: Element, size: int) -> None:
    """Its bridge's, or libvirt's own choice."""
    _written(network, "mtu", "size", str(size or ""))


def domain_local_only(network: Element, value: bool) -> None:
    """Whether questions about its domain stay here. Libvirt's schema (9.0) knows no domain without a name."""
    if network.find("domain") is not None:
        child(network, "domain").set("localOnly", yes(value))


def subnets(network: Element, value: Mapping[str, Any]) -> None:
    """Its own address in each of them.

    One that takes the place of another keeps what else is said of that, and what of its DHCP fits.
    """
    left, gone = dict(value), []
    for ip in network.findall("ip"):
        interface = interface_of(ip)
        record = left.pop(str(interface.network), None)
        if record is None:
            gone.append(ip)
            network.remove(ip)
        elif record.get("address", str(interface.ip)) != str(interface.ip):
            ip.set("address", record["address"])
    for subnet, record in sorted(left.items()):
        net = ipaddress.ip_network(subnet)
        address = record.get("address") or str(net[1])
        fresh = make(
            "ip", {"family": "ipv6" if net.version == 6 else None, "address": address, "prefix": net.prefixlen}
        )
        for old in gone:
            if _overlap(net, interface_of(old).network):
                _inherit(fresh, old, net)
        network.append(fresh)


def _overlap(one: Any, other: Any) -> bool:
    return bool(one.version == other.version and one.overlaps(other))


def _inherit(fresh: Element, old: Element, net: Any) -> None:
    """What of a subnet that goes fits into the one in its place."""
    # Libvirt makes no domain of another length for it, and does not start.
    if "localPtr" in old.attrib and net.prefixlen % (8 if net.version == 4 else 4) == 0:
        fresh.set("localPtr", old.attrib["localPtr"])
    for part in old:
        if part.tag == "dhcp":
            for entry in part:
                if all(ipaddress.ip_address(entry.attrib[key]) in net for key in _ADDRESSES if key in entry.attrib):
                    child(fresh, "dhcp").append(entry)
        elif fresh.find(part.tag) is None:
            fresh.append(part)
