# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The IPv4 networks that a host is in, and addresses for a network of guests. Pure: who asks reads /proc/net/route."""

from __future__ import annotations

import ipaddress
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass

#: A link of the host, and a network that is reached by it.
There = tuple[str, ipaddress.IPv4Network]

#: The widest and the narrowest network that has room for guests and is not a whole class of addresses, as prefixes.
WIDEST, NARROWEST = 8, 29


@dataclass(frozen=True)
class Route:
    """One line of /proc/net/route. ``gateway`` is empty where the network is reached without a router."""

    link: str
    network: ipaddress.IPv4Network
    gateway: str
    metric: int


def _address(field: str) -> ipaddress.IPv4Address:
    """The kernel prints addresses as numbers in the machine's own order of bytes (net/ipv4/fib_trie.c)."""
    return ipaddress.IPv4Address(int(field, 16).to_bytes(4, sys.byteorder))


def routes(text: str) -> list[Route]:
    """All of /proc/net/route, the default routes included, in its order."""
    found = []
    for line in text.splitlines()[1:]:
        fields = line.split()
        # What is no route is none.
        with suppress(IndexError, ValueError, OverflowError):
            network = ipaddress.IPv4Network(f"{_address(fields[1])}/{_address(fields[7])}")
            gateway = "" if int(fields[2], 16) == 0 else str(_address(fields[2]))
            found.append(Route(fields[0], network, gateway, int(fields[6])))
    return found


def networks(text: str, *, direct: bool = False) -> list[There]:
    """The networks of /proc/net/route without the default routes; ``direct``: those that the host has a leg in."""
    found = [route for route in routes(text) if route.network.prefixlen and not (direct and route.gateway)]
    return [(route.link, route.network) for route in found]


def overlapping(network: ipaddress.IPv4Network, there: Iterable[There]) -> list[There]:
    """Those that have a part of the network already."""
    return [(link, other) for link, other in there if other.overlaps(network)]


def first_free(addresses: Iterable[str], there: Sequence[There]) -> str:
    """The first of these addresses, each with its prefix, whose network nobody has a part of; empty where there is
    none.
    """
    free = (each for each in addresses if not overlapping(ipaddress.IPv4Interface(each).network, there))
    return next(free, "")


def host_address(text: str) -> ipaddress.IPv4Interface:
    """A host's address with its prefix, in a network that has room for guests.

    Raises ValueError, whose text says what is wrong.
    """
    found = ipaddress.IPv4Interface(text)
    network = found.network
    if (
        "/" not in text
        or not WIDEST <= network.prefixlen <= NARROWEST
        or found.ip in (network.network_address, network.broadcast_address)
    ):
        raise ValueError("it is not a host's address in a network of /%d to /%d, with its prefix" % (WIDEST, NARROWEST))
    return found


def dhcp_range(host: ipaddress.IPv4Interface) -> tuple[ipaddress.IPv4Address, ipaddress.IPv4Address]:
    """The first and the last address of the larger free part beside the host's own."""
    below = (host.network.network_address + 1, host.ip - 1)
    above = (host.ip + 1, host.network.broadcast_address - 1)
    return max(below, above, key=lambda part: int(part[1]) - int(part[0]))
