# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a network's DNS server is told beside names: whom it asks, and options of dnsmasq's own. Pure."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping
from typing import Any

from ....engine.errors import InvalidOption
from ..xml import Element, child, make
from .fields import HOSTNAME, address_of, fields_of

_FORWARDER = "Write an address, or a mapping with address, domain or both"
_SRV = "Write a mapping with service and protocol (tcp or udp), and with target, port, domain, priority and weight if wanted"
DNSMASQ = "{http://libvirt.org/schemas/network/dnsmasq/1.0}"


def read_forwarder(entry: Any, option: str) -> Iterable[tuple[str, Any]]:
    """A server that is asked, for all names or for those of a domain; a domain alone is asked of nobody."""
    fields = (
        {"address": entry} if isinstance(entry, str) else fields_of(entry, option, ("address", "domain"), _FORWARDER)
    )
    if not fields:
        raise InvalidOption(option, entry, "is not understood", remedy=_FORWARDER)
    if "address" in fields:
        fields["address"] = address_of(fields["address"], option, entry, _FORWARDER)
    if "domain" in fields:
        fields["domain"] = HOSTNAME.parse(fields["domain"], f"{option}.domain")
    yield _named(fields), fields


def _named(fields: Mapping[str, str]) -> str:
    return " ".join(fields[key] for key in ("domain", "address") if fields.get(key))


def write_forwarder(_key: str, fields: Mapping[str, str]) -> dict[str, str]:
    """As a user would write it."""
    return dict(fields)


def read_forwarders(definition: Element) -> dict[str, Any]:
    """All of them."""
    found = {}
    for each in definition.findall("dns/forwarder"):
        fields = {}
        if each.get("addr"):
            fields["address"] = str(ipaddress.ip_address(each.get("addr", "")))
        if each.get("domain"):
            fields["domain"] = each.get("domain", "").lower()
        found[_named(fields)] = fields
    return found


def write_forwarders(network: Element, value: Mapping[str, Mapping[str, str]]) -> None:
    """All of them; those that are there keep their place."""
    dns = child(network, "dns")
    have = {_named(fields): each for fields, each in zip(read_forwarders(network).values(), dns.findall("forwarder"))}
    for key, each in have.items():
        if key not in value:
            dns.remove(each)
    place = len(dns.findall("forwarder"))
    for key in sorted(set(value) - set(have), reverse=True):
        dns.insert(place, make("forwarder", {"domain": value[key].get("domain"), "addr": value[key].get("address")}))


def read_srv(entry: Any, option: str) -> Iterable[tuple[str, Any]]:
    """A service: its key has what it is known by."""
    known = ("service", "protocol", "domain", "target", "port", "priority", "weight")
    fields = fields_of(entry, option, known, _SRV)
    good = re.fullmatch(r"[A-Za-z0-9_-]{1,62}", str(fields.get("service", "")), re.ASCII) and fields.get(
        "protocol"
    ) in ("tcp", "udp")
    numbers = {key: str(fields[key]) for key in ("port", "priority", "weight") if key in fields}
    if not good or not all(re.fullmatch(r"[0-9]{1,5}", each) and int(each) < 65536 for each in numbers.values()):
        raise InvalidOption(option, entry, "is not understood", remedy=_SRV)
    # A target that is a dot says that there is no such service.
    for key in [key for key in ("domain", "target") if fields.get(key, ".") != "."]:
        fields[key] = HOSTNAME.parse(fields[key], f"{option}.{key}")
    fields.update({key: int(each) for key, each in numbers.items()})
    yield srv_key(fields), fields


def srv_key(fields: Mapping[str, Any]) -> str:
    """As it stands in a zone, with the target and the port behind it."""
    domain = f".{fields['domain']}" if fields.get("domain") else ""
    port = f":{fields['port']}" if fields.get("port") else ""
    return f"_{fields['service']}._{fields['protocol']}{domain} {fields.get('target', '.')}{port}"


def srv_of(element: Element) -> dict[str, Any]:
    """The fields of such an element."""
    texts = {key: element.get(key, "") for key in ("service", "protocol")}
    names = {key: element.get(key, "").lower() for key in ("domain", "target") if element.get(key)}
    numbers = {key: int(element.get(key, "0")) for key in ("port", "priority", "weight") if element.get(key)}
    return {**texts, **names, **numbers}


def write_srv(_key: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    """As a user would write it."""
    return dict(fields)


def read_srvs(definition: Element) -> dict[str, Any]:
    """All of them."""
    return {srv_key(fields): fields for fields in map(srv_of, definition.findall("dns/srv"))}


def read_dnsmasq(definition: Element) -> tuple[str, ...]:
    """The lines that dnsmasq is given."""
    return tuple(each.get("value", "") for each in definition.findall(f"{DNSMASQ}options/{DNSMASQ}option"))


def write_dnsmasq(network: Element, lines: tuple[str, ...]) -> None:
    """All of them, in their order."""
    for each in network.findall(f"{DNSMASQ}options"):
        network.remove(each)
    if lines:
        network.append(make(f"{DNSMASQ}options", None, *(make(f"{DNSMASQ}option", {"value": line}) for line in lines)))
