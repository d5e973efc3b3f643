# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The ports of a container that are published. Pure."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from typing import Any

from ....engine.errors import InvalidOption
from ....engine.kinds import Entries, Members
from ....engine.units import unquoted

_PORT = re.compile(
    r"(?:(?P<ip>[0-9]+(?:\.[0-9]+){3}|\[[0-9A-Fa-f:.]+\]|):)?(?:(?P<host>[0-9]*(?:-[0-9]+)?):)?(?P<inside>[0-9]+(?:-[0-9]+)?)(?:/(?P<protocol>[A-Za-z]+))?",
    re.ASCII,
)
PORT_REMEDY = "Write 8080:80, 127.0.0.1:8080:80/udp, 8000-8003:80-83, or 80 for a host port of the engine's choice"


def _span(text: str, option: str, value: object) -> range:
    first, _dash, last = text.partition("-")
    span = range(int(first), int(last or first) + 1)
    if not span or span[0] < 1 or span[-1] > 65535:
        remedy = _quote(value) or PORT_REMEDY
        raise InvalidOption(option, value, "is not a port, or a range of ports, from 1 to 65535", remedy=remedy)
    return span


#: Ports below 60 that are published: YAML takes HOST:PORT for a number where such a one is the second.
_LOW_PORTS = (20, 21, 22, 23, 25, 37, 43, 49, 53)


def _quote(number: object) -> str:
    """What to do about a number that two ports without quotes may have become; nothing for another one."""
    ports = unquoted(number, 2)
    return (
        'YAML reads {}:{} as this number where it is not quoted: write "{}:{}"'.format(*ports, *ports) if ports else ""
    )


def _is_two_ports(number: str) -> bool:
    """Whether a number is surely two ports: the same one twice, or beside a number of hundreds, like 22:22 or 222:22."""
    host, inside = unquoted(number, 2) or (0, 0)
    return inside in _LOW_PORTS and host % 100 == inside


class Ports(Entries):
    """Published ports: from 80/tcp to the sorted pairs of host address and host port.

    An empty host port: any free one.
    """

    argument = {"type": "list", "elements": "str"}

    def parse(self, value: Any, option: str) -> dict[str, tuple[tuple[str, str], ...]]:
        found: dict[str, set[tuple[str, str]]] = {}
        taken: dict[tuple[str, str, str], str] = {}
        for entry in value:
            text = str(entry).strip()
            match = _PORT.fullmatch(text)
            if match is None or (match["protocol"] or "tcp").lower() not in ("tcp", "udp", "sctp"):
                raise InvalidOption(option, text, "is not a published port", remedy=PORT_REMEDY)
            if _is_two_ports(text):
                remedy = f"{_quote(text)}. For one port of the container write {text}/tcp"
                raise InvalidOption(option, text, "may be two ports that YAML has read as a number", remedy=remedy)
            inside = _span(match["inside"], option, text)
            host = [str(port) for port in _span(match["host"], option, text)] if match["host"] else [""] * len(inside)
            if len(inside) == 1 and len(host) > 1:
                # One port inside and a range outside: the engine takes the first free one of the range.
                host = [str(match["host"])]
            if len(host) != len(inside):
                raise InvalidOption(option, text, "has ranges of different lengths", remedy=PORT_REMEDY)
            address = (match["ip"] or "").strip("[]")
            try:
                address = str(ipaddress.ip_address(address)) if address else ""
            except ValueError as error:
                raise InvalidOption(option, text, "has no valid host address", remedy=PORT_REMEDY) from error
            for one, other in zip(inside, host):
                protocol = (match["protocol"] or "tcp").lower()
                key = "%d/%s" % (one, protocol)
                if other.isdigit() and taken.setdefault((protocol, address, other), key) != key:
                    why = f"gives host port {other} to a second port of the container"
                    raise InvalidOption(option, text, why, remedy="Choose another host port for one of the two")
                found.setdefault(key, set()).add((address, other))
        return {key: tuple(sorted(bindings)) for key, bindings in found.items()}

    def show_entry(self, key: str, value: Any) -> list[str]:
        return [
            ":".join(([(f"[{ip}]") if ":" in ip else ip] if ip else []) + ([port] if port or ip else []) + [key])
            for ip, port in value
        ]

    def show(self, value: Mapping[str, Any]) -> list[str]:
        return [text for key in sorted(value) for text in self.show_entry(key, value[key])]


_EXPOSED = re.compile(r"([0-9]+(?:-[0-9]+)?)(?:/(tcp|udp|sctp))?", re.ASCII | re.IGNORECASE)


class ExposedPorts(Members):
    """Ports that a container is said to serve, whether they are published or not: 80/tcp."""

    def parse(self, value: Any, option: str) -> frozenset[str]:
        found: set[str] = set()
        for entry in value:
            match = _EXPOSED.fullmatch(str(entry).strip())
            if match is None:
                raise InvalidOption(option, entry, "is not a port", remedy="Write 80, 53/udp or 8000-8003")
            found.update(f"{port}/{(match[2] or 'tcp').lower()}" for port in _span(match[1], option, entry))
        return frozenset(found)


def read_ports(bindings: Mapping[str, Any] | None) -> dict[str, tuple[tuple[str, str], ...]]:
    """HostConfig.PortBindings in the canonical form; some engines write "0" for a port of their choice."""

    def pair(entry: Mapping[str, str]) -> tuple[str, str]:
        port = entry.get("HostPort") or ""
        return entry.get("HostIp") or "", "" if port == "0" else port

    return {key: tuple(sorted(map(pair, found or ()))) for key, found in (bindings or {}).items()}


def encode_ports(value: Mapping[str, Any]) -> dict[str, list[dict[str, str]]]:
    """HostConfig.PortBindings."""
    return {key: [{"HostIp": ip, "HostPort": port} for ip, port in bindings] for key, bindings in value.items()}
