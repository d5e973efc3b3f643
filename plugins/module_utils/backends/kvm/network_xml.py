# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A network's definition, and the pieces of it that libvirt changes while the network is active. Pure."""

from __future__ import annotations

import copy
import ipaddress
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from ...engine.errors import InvalidOption
from .network_options import ISOLATED, dhcp_host_of, interface_of, is_mac, range_of
from .xml import Element, child, drop, make, yes

#: Options that libvirt changes in an active network, entry by entry.
PIECES = ("dhcp_ranges", "dhcp_hosts", "dns_hosts", "dns_txt")


class Update(NamedTuple):
    """One call of virNetworkUpdate: ``command`` and ``section`` are the ends of libvirt's names for them."""

    command: str
    section: str
    #: Which <ip> of the network it is about, -1 where it is about none.
    parent: int
    element: Element


_SECTIONS = {"dhcp_ranges": "IP_DHCP_RANGE", "dhcp_hosts": "IP_DHCP_HOST", "dns_hosts": "DNS_HOST", "dns_txt": "DNS_TXT"}


def defined(name: str, values: Mapping[str, Any], have: Element | None) -> Element:
    """The definition with these options' values (canonical forms, as merged) in it; everything else of it stays."""
    network = make("network", None, make("name", text=name)) if have is None else copy.deepcopy(have)
    drop(network, "forward/pf")
    writers = {
        "forward": _forward,
        "forward_dev": _forward_dev,
        "bridge": lambda tree, value: child(tree, "bridge").set("name", value),
        "dns": lambda tree, value: child(tree, "dns").set("enable", yes(value)),
        "domain": lambda tree, value: _written(tree, "domain", "name", value),
        "domain_local_only": _domain_local_only,
        "mtu": lambda tree, value: _written(tree, "mtu", "size", str(value or "")),
        "subnets": _subnets,
    }
    for option, write in writers.items():
        if option in values and values[option] is not None:
            write(network, values[option])
    for option in PIECES:
        if option in values:
            _rewrite(network, option, values[option])
    for ip in network.findall("ip"):
        for empty in [each for each in ip.findall("dhcp") if not len(each)]:
            ip.remove(empty)
    return network


def _forward(network: Element, mode: str) -> None:
    if mode == ISOLATED:
        drop(network, "forward")
        return
    forward = child(network, "forward")
    forward.set("mode", mode)
    if mode != "nat":
        drop(forward, "nat")
    if mode in ("open", "bridge"):
        _forward_dev(network, "")
    if mode == "bridge":
        # These are properties of a bridge that libvirt makes, which this one is not any more.
        for tag in ("mac", "domain", "dns", "ip"):
            drop(network, tag)
        for key in ("stp", "delay"):
            child(network, "bridge").attrib.pop(key, None)


def _forward_dev(network: Element, device: str) -> None:
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


def _domain_local_only(network: Element, value: bool) -> None:
    # Libvirt's schema (9.0) knows no domain without a name.
    if network.find("domain") is not None:
        child(network, "domain").set("localOnly", yes(value))


def _subnets(network: Element, subnets: Mapping[str, Any]) -> None:
    left = dict(subnets)
    for ip in network.findall("ip"):
        interface = interface_of(ip)
        record = left.pop(str(interface.network), None)
        if record is None:
            network.remove(ip)
        elif record.get("address", str(interface.ip)) != str(interface.ip):
            ip.set("address", record["address"])
    for subnet, record in sorted(left.items()):
        net = ipaddress.ip_network(subnet)
        address = record.get("address") or str(net[1])
        network.append(
            make("ip", {"family": "ipv6" if net.version == 6 else None, "address": address, "prefix": net.prefixlen}),
        )


def _holder(network: Element, address: str, option: str, shown: Any) -> int:
    """Which <ip> an address belongs to."""
    for number, ip in enumerate(network.findall("ip")):
        if ipaddress.ip_address(address) in interface_of(ip).network:
            return number
    raise InvalidOption(option, shown, "is in none of the network's subnets", remedy="Write an address in one of them, or add its subnet to subnets")


def _holder_of_host(network: Element, key: str, fields: Mapping[str, Any]) -> int:
    shown = {"mac/id": key, **fields}
    if not fields.get("address"):
        raise InvalidOption("dhcp_hosts", shown, "has no address, and had none before", remedy="Give it an address in one of the network's subnets")
    return _holder(network, fields["address"], "dhcp_hosts", shown)


def _entry(option: str, key: str, fields: Any) -> Element:
    """The element of one entry."""
    if option == "dhcp_ranges":
        first, _dash, last = key.partition("-")
        return make("range", {"start": first, "end": last})
    if option == "dhcp_hosts":
        return make("host", {"mac" if is_mac(key) else "id": key, "name": fields.get("name"), "ip": fields.get("address")})
    if option == "dns_hosts":
        return make("host", {"ip": key}, *(make("hostname", text=name) for name in sorted(fields)))
    return make("txt", {"name": key, "value": fields})


def _place(network: Element, option: str, key: str, fields: Any) -> int:
    """Which <ip> an entry belongs to; -1 for none."""
    if option == "dhcp_ranges":
        first, _dash, last = key.partition("-")
        number = _holder(network, first, option, key)
        if _holder(network, last, option, key) != number:
            raise InvalidOption(option, key, "goes from one subnet to another", remedy="Write a range for each")
        return number
    if option == "dhcp_hosts":
        return _holder_of_host(network, key, fields)
    return -1


def entries(option: str, value: Any) -> dict[str, Any]:
    """The entries of an option by their keys; the members of a set are keys without fields."""
    if not value:
        return {}
    return dict(value) if isinstance(value, Mapping) else dict.fromkeys(value)


def told_apart(option: str, have: Mapping[str, Any], keys: Iterable[str], want: Mapping[str, Any]) -> bool:
    """Whether libvirt can tell the entries apart while those of these keys are brought from what there is to what is wanted, one by one.

    It refuses to delete a DNS host that has a name in common with another, and to add a DHCP host that has a name or an address in
    common with another; of two DHCP hosts with one name it modifies the first, whatever their addresses (virNetworkDefUpdateDNSHost
    and virNetworkDefUpdateIPDHCPHost, seen with libvirt 9.0).
    """
    now = {key: _signs(option, key, fields) for key, fields in have.items()}
    for key in keys:
        if key in have and have[key] == want.get(key):
            continue
        old, new = now.pop(key, frozenset()), _signs(option, key, want[key]) if key in want else frozenset()
        asked = old if option == "dns_hosts" else {sign for sign in new if not old or sign[0] != "address"}
        if any(asked & other for other in now.values()):
            return False
        now[key] = new
    return True


def _signs(option: str, key: str, fields: Any) -> frozenset[tuple[str, ...]]:
    """What libvirt knows an entry by."""
    if option == "dns_hosts":
        return frozenset([("address", key), *(("name", name) for name in fields)])
    if option == "dhcp_hosts":
        address = fields.get("address", "")
        # Each family has hosts of its own.
        family = "6" if ":" in address else "4"
        return frozenset([("key", family, key), ("address", address), *([("name", family, fields["name"])] if fields.get("name") else [])])
    return frozenset([("key", key)])


def _found(network: Element, option: str) -> list[tuple[Element, Element, str]]:
    """The elements of an option that are there: what each is in, itself, and its key."""
    if option in ("dhcp_ranges", "dhcp_hosts"):
        tag = "range" if option == "dhcp_ranges" else "host"
        holders = network.findall("ip/dhcp")
    else:
        tag, holders = ("host" if option == "dns_hosts" else "txt"), network.findall("dns")
    found = []
    for holder in holders:
        for each in holder.findall(tag):
            if option == "dhcp_ranges":
                key = range_of(each)
            elif option == "dhcp_hosts":
                key = dhcp_host_of(each)[0]
            else:
                key = str(ipaddress.ip_address(each.get("ip", ""))) if option == "dns_hosts" else each.get("name", "")
            found.append((holder, each, key))
    return found


def _rewrite(network: Element, option: str, value: Any) -> None:
    """Bring the elements of an option to that value; elements that stay the same keep what else they have in them."""
    wanted = entries(option, value)
    for holder, each, key in _found(network, option):
        if not key:
            continue
        if key in wanted and _same(option, each, key, wanted[key]):
            del wanted[key]
        else:
            holder.remove(each)
    for key in sorted(wanted):
        fields = wanted[key]
        number = _place(network, option, key, fields)
        parent = child(network, "dns") if number < 0 else child(network.findall("ip")[number], "dhcp")
        element = _entry(option, key, fields)
        # The schema wants ranges before hosts, and texts before hosts.
        first = option in ("dhcp_ranges", "dns_txt")
        parent.insert(len(parent.findall(element.tag)) if first else len(parent) - len(parent.findall("bootp")), element)


def _same(option: str, element: Element, key: str, fields: Any) -> bool:
    if option == "dhcp_ranges":
        return True
    if option == "dhcp_hosts":
        return dhcp_host_of(element)[1] == dict(fields)
    if option == "dns_hosts":
        return bool(frozenset((name.text or "").strip().lower() for name in element.findall("hostname")) == fields)
    return bool(element.get("value") == fields)


def updates(network: Element, option: str, key: str, fields: Any, there: bool) -> list[Update]:
    """The calls that bring one entry of one side of a network to these fields, or, with ``there`` false, remove it."""
    section = _SECTIONS[option]
    old = [(holder, each) for holder, each, found in _found(network, option) if found == key]
    if there and old and _same(option, old[0][1], key, fields):
        return []
    calls = []
    fresh = _place(network, option, key, fields) if there else -1
    for holder, each in old:
        before = next((number for number, ip in enumerate(network.findall("ip")) if ip.find("dhcp") is holder), -1)
        if there and option == "dhcp_hosts" and before == fresh:
            # One call, and no moment without the entry. Libvirt has it for the hosts of DHCP only.
            return [Update("MODIFY", section, fresh, _entry(option, key, fields))]
        calls.append(Update("DELETE", section, before, each))
    if there:
        calls.append(Update("ADD_LAST", section, fresh, _entry(option, key, fields)))
    return calls
