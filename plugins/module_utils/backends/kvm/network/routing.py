# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The ways out of a network of libvirt's own: what addresses and ports are hidden behind, and routes. Pure."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ....engine.errors import InvalidOption
from ....engine.kinds import Text
from ..xml import Element, attribute, child, drop, flag, make, yes
from .fields import Range, address_of, fields_of, interface_of

_ROUTE = "Write a mapping with subnet and gateway, and with metric if wanted"
#: What libvirt takes where nothing is said, and shows of an active network.
_OWN_PORTS = "1024-65535"
_PORTS = f"Write the first and the last port, like {_OWN_PORTS}, or nothing for libvirt's own"


class NatAddresses(Range):
    """Two addresses of IPv4, first and last; nothing stands for the host's own."""

    def parse(self, value: Any, option: str) -> str:
        text = super().parse(value, option) if value else ""
        if ":" in text:
            raise InvalidOption(option, value, "is not of IPv4", remedy="Write addresses of IPv4, or nothing")
        return text


class NatPorts(Text):
    """Two ports, first and last; nothing stands for libvirt's own."""

    def parse(self, value: Any, option: str) -> str:
        match = re.fullmatch(r"\s*([0-9]{1,5})\s*-\s*([0-9]{1,5})\s*", str(value), re.ASCII)
        if value == "":
            return ""
        if match is None or not 0 < int(match[1]) <= int(match[2]) < 65536:
            raise InvalidOption(option, value, "is not a range of ports", remedy=_PORTS)
        ports = "%d-%d" % (int(match[1]), int(match[2]))
        return "" if ports == _OWN_PORTS else ports


def read_nat(tag: str) -> Callable[[Element], str]:
    """Reads a range of ports or addresses."""

    def read(definition: Element) -> str:
        found = definition.find(f"forward/nat/{tag}")
        text = "" if found is None else "{}-{}".format(found.get("start"), found.get("end"))
        return "" if text == _OWN_PORTS else text

    return read


def write_nat(tag: str) -> Callable[[Element, str], None]:
    """Writes one."""

    def write(network: Element, text: str) -> None:
        if text:
            first, _dash, last = text.partition("-")
            found = child(network, f"forward/nat/{tag}")
            found.attrib.update(start=first, end=last)
        else:
            drop(network, f"forward/nat/{tag}")
            _tidy(network)

    return write


def read_nat_ipv6(definition: Element) -> bool:
    """Whether addresses of IPv6 are hidden too."""
    return flag(attribute(definition, "forward/nat", "ipv6"))


def write_nat_ipv6(network: Element, value: bool) -> None:
    """Libvirt has it off where nothing is said."""
    if value:
        child(network, "forward/nat").set("ipv6", yes(value))
    elif network.find("forward/nat") is not None:
        child(network, "forward/nat").attrib.pop("ipv6", None)
        _tidy(network)


def _tidy(network: Element) -> None:
    """An empty element says nothing."""
    nat = network.find("forward/nat")
    if nat is not None and not len(nat) and not nat.attrib:
        drop(network, "forward/nat")


def read_route(entry: Any, option: str) -> Iterable[tuple[str, Any]]:
    """A subnet behind a gateway in the network."""
    fields = fields_of(entry, option, ("subnet", "gateway", "metric"), _ROUTE)
    try:
        subnet = ipaddress.ip_network(str(fields.pop("subnet", "")))
    except ValueError as error:
        raise InvalidOption(option, entry, f"has no subnet there ({error})", remedy=_ROUTE) from error
    if "gateway" not in fields:
        raise InvalidOption(option, entry, "has no gateway", remedy=_ROUTE)
    fields["gateway"] = address_of(fields["gateway"], option, entry, _ROUTE)
    if ipaddress.ip_address(fields["gateway"]).version != subnet.version:
        raise InvalidOption(option, entry, "has a gateway of another family", remedy=_ROUTE)
    if "metric" in fields:
        if not re.fullmatch(r"[1-9][0-9]{0,8}", str(fields["metric"]), re.ASCII):
            raise InvalidOption(option, entry, "has no number above 0 in metric", remedy=_ROUTE)
        fields["metric"] = int(fields["metric"])
    yield str(subnet), fields


def write_route(subnet: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    """As a user would write it."""
    return {"subnet": subnet, **fields}


def _subnet_of(route: Element) -> str:
    if route.get("address") == "0.0.0.0" and not {"netmask", "prefix"} & set(route.attrib):
        return "0.0.0.0/0"
    return str(interface_of(route).network)


def read_routes(definition: Element) -> dict[str, Any]:
    """All of them."""
    found: dict[str, Any] = {}
    for each in definition.findall("route"):
        found[_subnet_of(each)] = {"gateway": str(ipaddress.ip_address(each.get("gateway", "")))}
        if each.get("metric"):
            found[_subnet_of(each)]["metric"] = int(each.get("metric", "0"))
    return found


def write_routes(network: Element, value: Mapping[str, Mapping[str, Any]]) -> None:
    """All of them; those that stay the same keep their place."""
    have = read_routes(network)
    for each in network.findall("route"):
        key = _subnet_of(each)
        if have[key] != value.get(key):
            network.remove(each)
    for key in sorted(value):
        if have.get(key) != value[key]:
            net = ipaddress.ip_network(key)
            given = {"family": "ipv6" if net.version == 6 else None, "address": net.network_address}
            network.append(make("route", {**given, "prefix": net.prefixlen, **value[key]}))
