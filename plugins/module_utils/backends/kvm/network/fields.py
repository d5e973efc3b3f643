# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The values of a network's options: how a user's are understood, and how they are read from a definition. Pure."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any

from ....engine.errors import InvalidOption
from ....engine.kinds import Integer, Text
from ....engine.network_kinds import Subnets, check_quoted, is_mac
from ..names import LINK
from ..xml import Element, attribute

ISOLATED = "isolated"
#: The modes without a bridge of libvirt's own: what it does for its own bridges does not go with them.
OF_THE_HOST = ("bridge", "private", "vepa", "passthrough", "hostdev")
#: Libvirt's forward modes that have a bridge of their own, no forwarding among them, and those that use what the host
#: has.
FORWARDS = ("nat", "route", "open", ISOLATED, *OF_THE_HOST)
#: The modes that can take the functions of a device.
OF_FUNCTIONS = ("passthrough", "hostdev")
_SUBNET = "Write the host's own address in it, like 192.168.100.1/24, a subnet like 192.168.100.0/24, or a mapping with subnet and address"
_RANGE = "Write the first and the last address, like 192.168.100.10-192.168.100.99"
_HOST = "Write a mapping with mac (for IPv6, id) and address, and with name if wanted"
_ENTRY = "Write a mapping with address and names"


def address_of(value: Any, option: str, shown: Any, remedy: str) -> str:
    """An address in its one form."""
    try:
        return str(ipaddress.ip_address(str(value)))
    except ValueError as error:
        raise InvalidOption(option, shown, f"has no address there ({error})", remedy=remedy) from error


def fields_of(entry: Any, option: str, known: tuple[str, ...], remedy: str) -> dict[str, Any]:
    """The fields of an entry that are set, of those that are known. Raises InvalidOption."""
    if not isinstance(entry, Mapping) or set(entry) - set(known):
        raise InvalidOption(option, entry, "is not understood", remedy=remedy)
    return {key: entry[key] for key in known if entry.get(key) is not None}


def _read_subnet(entry: Any, option: str) -> Iterable[tuple[str, Any]]:
    fields = {"subnet": entry} if isinstance(entry, str) else fields_of(entry, option, ("subnet", "address"), _SUBNET)
    try:
        interface = ipaddress.ip_interface(str(fields.get("subnet")))
    except ValueError as error:
        raise InvalidOption(option, entry, f"is not a subnet ({error})", remedy=_SUBNET) from error
    subnet = interface.network
    if subnet.num_addresses < 4:
        raise InvalidOption(option, entry, "is too small for a network", remedy=_SUBNET)
    record = {"address": str(interface.ip)} if interface.ip != subnet.network_address else {}
    if "address" in fields:
        record["address"] = address_of(fields["address"], option, entry, _SUBNET)
    if record and ipaddress.ip_address(record["address"]) not in subnet:
        raise InvalidOption(option, entry, "does not contain {}".format(record["address"]), remedy=_SUBNET)
    yield str(subnet), record


class _Subnets(Subnets):
    """An empty list means none at all."""

    emptied = frozenset((4, 6))


class Range(Text):
    """Two addresses, first and last."""

    def parse(self, value: Any, option: str) -> str:
        ends = re.split(r"\s*-\s*", str(value).strip())
        if len(ends) != 2:
            raise InvalidOption(option, value, "is not a valid range of addresses", remedy=_RANGE)
        first, last = (ipaddress.ip_address(address_of(end, option, value, _RANGE)) for end in ends)
        if first.version != last.version or int(first) > int(last):
            raise InvalidOption(option, value, "does not go from a lower address to a higher one", remedy=_RANGE)
        return f"{first}-{last}"


def read_dhcp_host(entry: Any, option: str) -> Iterable[tuple[str, Any]]:
    fields = fields_of(entry, option, ("mac", "id", "address", "name"), _HOST)
    check_quoted(fields.get("mac", ""), f"{option}.mac")
    key = str(fields.pop("mac", "")).lower()
    if key and not is_mac(key):
        raise InvalidOption(option, entry, "has no MAC address in mac", remedy="Write it like 52:54:00:12:34:56")
    if bool(key) == ("id" in fields) or not fields:
        raise InvalidOption(option, entry, "is not understood", remedy=_HOST)
    if not key:
        key = str(fields.pop("id")).lower()
        if not re.fullmatch(r"[0-9a-f]{1,2}(:[0-9a-f]{1,2}){9,129}", key):
            raise InvalidOption(
                option,
                entry,
                "has no DHCP unique identifier in id",
                remedy="Write it like 0:1:0:1:18:aa:62:fe:0:16:3e:44:55:66",
            )
    if "address" in fields:
        fields["address"] = address_of(fields["address"], option, entry, _HOST)
    if "name" in fields:
        fields["name"] = HOSTNAME.parse(fields["name"], f"{option}.name")
    yield key, fields


def write_dhcp_host(key: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    return {"mac" if is_mac(key) else "id": key, **fields}


def read_dns_host(entry: Any, option: str) -> Iterable[tuple[str, Any]]:
    fields = fields_of(entry, option, ("address", "names"), _ENTRY)
    names = fields.get("names")
    names = [names] if isinstance(names, str) else names
    if not isinstance(names, list) or not names or "address" not in fields:
        raise InvalidOption(option, entry, "is not understood", remedy=_ENTRY)
    parsed = frozenset(HOSTNAME.parse(name, f"{option}.names") for name in names)
    yield address_of(fields["address"], option, entry, _ENTRY), parsed


_HOST_NAME = r"[A-Za-z0-9_]([A-Za-z0-9_.-]{0,251}[A-Za-z0-9_])?"
HOSTNAME = Text(pattern=_HOST_NAME, remedy="Write a host's name, like web1 or web1.example.org", fold=True)

#: Nothing stands for none.
DOMAIN = Text(pattern=f"({_HOST_NAME})?", remedy="Write a domain, like lab.example.org, or nothing for none", fold=True)
FUNCTION = Text(pattern=f"({LINK})?", remedy="Write the name of a link of the host, or nothing for none")
FORWARD_DEV = Text(pattern=f"({LINK})?", remedy="Write the name of a link of the host, or nothing for any")

SUBNETS = _Subnets(_read_subnet, lambda subnet, record: {"subnet": subnet, **record})


def read_subnets(definition: Element) -> dict[str, Any]:
    """The subnets of a definition, each with the host's own address in it."""
    return {
        str(interface.network): {"address": str(interface.ip)}
        for interface in (interface_of(ip) for ip in definition.findall("ip"))
    }


def known_subnets(definition: Element) -> Iterator[str]:
    """The subnets of another network, as far as they are any."""
    for ip in definition.findall("ip"):
        with suppress(ValueError):
            yield str(interface_of(ip).network)


def interface_of(ip: Element) -> ipaddress.IPv4Interface | ipaddress.IPv6Interface:
    """The address and the subnet of an <ip>."""
    length = ip.get("netmask") or ip.get("prefix")
    if length is None:
        # Libvirt's own default, by the class of the address.
        first = int(ip.get("address", "0").partition(".")[0] or 0) if ip.get("family", "ipv4") == "ipv4" else 0
        length = ("8" if first < 128 else "16" if first < 192 else "24") if first else "64"
    return ipaddress.ip_interface("{}/{}".format(ip.get("address"), length))


def read_ranges(definition: Element) -> frozenset[str]:
    """The ranges of all subnets."""
    return frozenset(range_of(each) for each in definition.findall("ip/dhcp/range"))


def range_of(element: Element) -> str:
    """A <range> as it is written in an option."""
    return "{}-{}".format(*tuple(ipaddress.ip_address(element.get(end, "")) for end in ("start", "end")))


def read_dhcp_hosts(definition: Element) -> dict[str, Any]:
    """The hosts with an address or a name of their own."""
    return {key: fields for key, fields in (dhcp_host_of(each) for each in definition.findall("ip/dhcp/host")) if key}


def dhcp_host_of(element: Element) -> tuple[str, dict[str, str]]:
    """A <host> of DHCP: its key, which is empty where it has only a name, and its fields."""
    fields = {}
    if element.get("ip"):
        fields["address"] = str(ipaddress.ip_address(element.get("ip", "")))
    if element.get("name"):
        fields["name"] = element.get("name", "").lower()
    return (element.get("mac") or element.get("id") or "").lower(), fields


def read_dns_hosts(definition: Element) -> dict[str, Any]:
    """The names that the network's DNS knows beside those from DHCP."""
    return {
        str(ipaddress.ip_address(each.get("ip", ""))): frozenset(
            (name.text or "").strip().lower() for name in each.findall("hostname")
        )
        for each in definition.findall("dns/host")
    }


def write_dns_host(address: str, names: Iterable[str]) -> dict[str, Any]:
    """Such an entry, as a user would write it."""
    return {"address": address, "names": sorted(names)}


def read_dns_txt(definition: Element) -> dict[str, str]:
    """The texts that the network's DNS gives out, by their names."""
    return {each.get("name", ""): each.get("value", "") for each in definition.findall("dns/txt")}


def read_forward(definition: Element) -> str:
    """The mode; a definition without <forward> is isolated."""
    return ISOLATED if definition.find("forward") is None else attribute(definition, "forward", "mode") or "nat"


def read_interfaces(definition: Element) -> frozenset[str]:
    """The interfaces of the host that guests are put on; those that are functions of a device are libvirt's to find."""
    if read_forward(definition) not in OF_THE_HOST or definition.find("forward/pf") is not None:
        return frozenset()
    return frozenset(each.get("dev", "") for each in definition.findall("forward/interface"))


class Mtu(Integer):
    """Bytes, or 0 for libvirt's own."""

    def __init__(self) -> None:
        super().__init__(68, 65535)

    def parse(self, value: Any, option: str) -> int:
        return 0 if int(value) == 0 else super().parse(value, option)
