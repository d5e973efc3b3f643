# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a network's DHCP says beside addresses: for how long, and what guests boot from the network. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from ....engine.errors import InvalidOption
from ....engine.kinds import Kind, Text
from ....engine.units import format_duration, parse_duration
from ..names import Path
from ..xml import Element, attribute, drop, make

#: The server's own choice, and no end at all.
DEFAULT, UNLIMITED = 0, -1
_WORDS = {"default": DEFAULT, "unlimited": UNLIMITED}
_UNITS = {"hours": 3600, "minutes": 60, "seconds": 1}
#: Libvirt takes no less (9.0).
_LEAST = 120
_LEASE = "Write a duration of 2 minutes or more, like 12h, or unlimited, or default for the server's own"


class Lease(Kind):
    """Whole seconds, or one of the two numbers that stand for words."""

    argument = {"type": "str"}

    def parse(self, value: Any, option: str) -> int:
        if str(value) in _WORDS:
            return _WORDS[str(value)]
        try:
            seconds = parse_duration(value, option)
        except InvalidOption as error:
            raise InvalidOption(option, value, "is not a duration", remedy=_LEASE) from error
        if seconds < _LEAST or seconds != int(seconds):
            raise InvalidOption(option, value, "is no time that libvirt gives an address for", remedy=_LEASE)
        return int(seconds)

    def show(self, value: int) -> str:
        words = {number: word for word, number in _WORDS.items()}
        return words.get(value) or format_duration(Decimal(value))


def _lease_of(entry: Element) -> int:
    lease = entry.find("lease")
    if lease is None:
        return DEFAULT
    # Of libvirt's 0 there is no end.
    return int(lease.get("expiry", "0")) * _UNITS[lease.get("unit", "minutes")] or UNLIMITED


def read_lease(definition: Element) -> int | None:
    """That of all ranges; None where it is not the same for all."""
    found = {_lease_of(each) for each in definition.findall("ip/dhcp/range")} or {DEFAULT}
    return found.pop() if len(found) == 1 else None


def lease_element(seconds: int) -> Element | None:
    """The element of such a lease, in the largest unit; none for the server's own."""
    if seconds == DEFAULT:
        return None
    if seconds == UNLIMITED:
        return make("lease", {"expiry": 0})
    unit = next(unit for unit, length in _UNITS.items() if seconds % length == 0)
    return make("lease", {"expiry": seconds // _UNITS[unit], "unit": unit})


def write_lease(network: Element, seconds: int) -> None:
    """For all ranges."""
    for each in network.findall("ip/dhcp/range"):
        drop(each, "lease")
        lease = lease_element(seconds)
        if lease is not None:
            each.append(lease)


class OptionalPath(Path):
    """An absolute path; nothing stands for none."""

    def parse(self, value: object, option: str) -> str:
        return super().parse(value, option) if value else ""


class Server(Text):
    """An address of IPv4; nothing stands for the host itself. Libvirt looks up no name."""

    def parse(self, value: Any, option: str) -> str:
        try:
            return str(ipaddress.IPv4Address(str(value))) if value else ""
        except ValueError as error:
            raise InvalidOption(option, value, f"is no address ({error})", remedy=_SERVER) from error


_SERVER = "Write an address of IPv4, or nothing for the host itself"
BOOT_FILE = Text(pattern=r"[^<>&\"']*", remedy="Write a path below tftp_root, or nothing for none")


def _first(network: Element) -> list[Element]:
    """The subnets of IPv4: libvirt has booting for these alone."""
    return [ip for ip in network.findall("ip") if ip.get("family", "ipv4") == "ipv4"]


def read_tftp(definition: Element) -> str:
    """The directory that is served."""
    return attribute(definition, "ip/tftp", "root") or ""


def write_tftp(network: Element, root: str) -> None:
    """In the first subnet, or nowhere."""
    drop(network, "ip/tftp")
    for ip in _first(network)[:1] if root else ():
        ip.insert(0, make("tftp", {"root": root}))


def read_boot(name: str) -> Callable[[Element], str]:
    """Reads what is said of the file or the server."""
    return lambda definition: attribute(definition, "ip/dhcp/bootp", name) or ""


def write_boot_file(network: Element, file: str) -> None:
    """Where DHCP gives addresses."""
    if not file:
        drop(network, "ip/dhcp/bootp")
        return
    if network.find("ip/dhcp/bootp") is None:
        for dhcp in [ip.find("dhcp") for ip in _first(network)]:
            if dhcp is not None and len(dhcp):
                dhcp.append(make("bootp"))
                break
    for bootp in network.findall("ip/dhcp/bootp"):
        bootp.set("file", file)


def write_boot_server(network: Element, server: str) -> None:
    """The server that has the file, if it is not this host."""
    for bootp in network.findall("ip/dhcp/bootp"):
        bootp.attrib.pop("server", None)
        if server:
            bootp.set("server", server)


def gives_addresses(network: Element) -> bool:
    """Whether DHCP has a range or a host of IPv4, without which there is no booting."""
    return any(ip.find(f"dhcp/{tag}") is not None for ip in _first(network) for tag in ("range", "host"))
