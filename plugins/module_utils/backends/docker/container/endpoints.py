# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The networks that a container is connected to. Pure."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ....engine.errors import InvalidOption
from ....engine.kinds import Integer, Records, Texts, as_read
from ....engine.network_kinds import mac
from .kinds import parse_address

NETWORK_REMEDY = "Write a network's name, or a mapping with name, ipv4_address, ipv6_address, aliases, links, driver_options, mac_address and gw_priority"


def _address(version: int) -> Callable[[Any, str], str]:
    def parse(value: Any, option: str) -> str:
        try:
            address = ipaddress.ip_address(str(value))
        except ValueError:
            address = None
        if address is None or address.version != version:
            raise InvalidOption(option, value, "is not such an address", remedy=NETWORK_REMEDY)
        return str(address)

    return parse


def _names(value: Any, option: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(re.fullmatch(r"[A-Za-z0-9_.-]+", str(alias)) for alias in value):
        raise InvalidOption(option, value, "is not a list of names", remedy=NETWORK_REMEDY)
    return tuple(sorted(map(str, value)))


def _links(value: Any, option: str) -> tuple[str, ...]:
    """Containers, each with the name that it shall have here, which is its own unless it is said."""
    texts = [str(link) for link in value] if isinstance(value, list) else [""]
    if not all(re.fullmatch(r"[A-Za-z0-9_.-]+(:[A-Za-z0-9_.-]+)?", text) for text in texts):
        raise InvalidOption(option, value, "is not a list of links", remedy="Write a list like [db, postgres-1:db]")
    return tuple(sorted(text if ":" in text else f"{text}:{text}" for text in texts))


def _options(value: Any, option: str) -> dict[str, str]:
    if not isinstance(value, Mapping):
        raise InvalidOption(option, value, "is not a mapping", remedy=NETWORK_REMEDY)
    return Texts().parse(value, option)


#: What a task can say of an endpoint.
_FIELDS: dict[str, Callable[[Any, str], Any]] = {
    "ipv4_address": _address(4),
    "ipv6_address": _address(6),
    "aliases": _names,
    "links": _links,
    "driver_options": _options,
    "mac_address": mac("02:42:ac:11:00:02").parse,
    "gw_priority": Integer(-(2**31), 2**31 - 1).parse,
}
#: What has several entries, which are merged unless the networks are exact.
_MANY = ("aliases", "links", "driver_options")


def _read_network(entry: Any, option: str) -> Iterable[tuple[str, Any]]:
    fields = {"name": entry} if isinstance(entry, str) else entry
    if (
        not isinstance(fields, Mapping)
        or set(fields) - {"name", *_FIELDS}
        or not re.fullmatch(r"(?!\.{1,2}$)[^\s/-][^\s/]*", str(fields.get("name") or ""))
    ):
        raise InvalidOption(option, entry, "is not a network", remedy=NETWORK_REMEDY)
    name = str(fields["name"])
    yield (
        name,
        {
            key: parse(fields[key], f"{option}[{name}].{key}")
            for key, parse in _FIELDS.items()
            if fields.get(key) not in (None, "")
        },
    )


class _Networks(Records):
    """Endpoints, of which lists and mappings are merged in their turn."""

    def merge_entry(self, want: Any, have: Any, exact: bool) -> Any:
        merged = {**have, **want}
        for field in () if exact else _MANY:
            if field in want and field in have:
                merged[field] = _both(want[field], have[field])
        # To want none where there are none is not a difference.
        return {field: value for field, value in merged.items() if value or field in have}


def _both(want: Any, have: Any) -> Any:
    return {**have, **want} if isinstance(want, Mapping) else tuple(sorted({*want, *have}))


def _write_network(name: str, record: Mapping[str, Any]) -> dict[str, Any]:
    shown = {key: record[key] for key in _FIELDS if key in record}
    return {"name": name, **{key: list(value) if isinstance(value, tuple) else value for key, value in shown.items()}}


NETWORKS = _Networks(_read_network, _write_network)


def read_networks(inspect: Mapping[str, Any]) -> dict[str, Any]:
    """The networks that a container is connected to, with what was asked for of each, and what else the engine knows
    that goes with an endpoint, in its own words.

    The engine adds the container's short id and its hostname to the aliases by itself. A MAC address may be its own
    choice as well: it does not tell.
    """
    own = {str(inspect.get("Id", ""))[:12], str(inspect.get("Config", {}).get("Hostname", ""))}
    ends = (inspect.get("NetworkSettings", {}).get("Networks") or {}).items()
    return {name: _read_endpoint(end, own) for name, end in ends if name not in ("host", "none")}


def _read_endpoint(end: Mapping[str, Any], own: set[str]) -> dict[str, Any]:
    config = end.get("IPAMConfig") or {}
    found = {
        "ipv4_address": as_read(parse_address, config["IPv4Address"]) if config.get("IPv4Address") else None,
        "ipv6_address": as_read(parse_address, config["IPv6Address"]) if config.get("IPv6Address") else None,
        "aliases": tuple(sorted(set(end.get("Aliases") or ()) - own)),
        "links": tuple(sorted(end.get("Links") or ())),
        "driver_options": dict(end.get("DriverOpts") or {}),
        "gw_priority": end.get("GwPriority"),
        "LinkLocalIPs": config.get("LinkLocalIPs"),
        "MacAddress": end.get("MacAddress"),
    }
    return {key: value for key, value in found.items() if value}


def encode_endpoint(record: Mapping[str, Any]) -> dict[str, Any]:
    """The body of an endpoint, for a creation or a connection."""
    addresses = {
        "IPv4Address": record.get("ipv4_address"),
        "IPv6Address": record.get("ipv6_address"),
        "LinkLocalIPs": record.get("LinkLocalIPs"),
    }
    endpoint = {
        "IPAMConfig": {key: value for key, value in addresses.items() if value},
        "Aliases": list(record.get("aliases", ())),
        "Links": list(record.get("links", ())),
        "DriverOpts": record.get("driver_options"),
        "MacAddress": record.get("mac_address") or record.get("MacAddress"),
        "GwPriority": record.get("gw_priority"),
    }
    return {key: value for key, value in endpoint.items() if value}
