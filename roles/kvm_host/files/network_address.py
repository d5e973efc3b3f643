# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a network for guests can have an address, or a subnet. Needs no libvirt.

Prints one JSON object. `error` says why the address cannot be one, `in_use` who on this host has a part of the subnet; empty where all is well.
`subnet` and `dhcp_range` are the address as the module kvm_network takes it, and what it has to give to guests.
"""

from __future__ import annotations

import argparse
import ipaddress
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

SMALLEST = 29


class Refused(Exception):
    """What cannot be, why, and what to do."""


def interface(address: str) -> ipaddress.IPv4Interface:
    try:
        found = ipaddress.IPv4Interface(address)
    except ValueError as exc:
        raise Refused(f"kvm_host_network_address: {exc}. Give an IPv4 address with its prefix, such as 192.168.150.1/24.") from exc
    if "/" not in address or found.network.prefixlen > SMALLEST or found.ip in (found.network.network_address, found.network.broadcast_address):
        raise Refused(
            f"kvm_host_network_address: {address} leaves no room for guests, or is not the address of a host."
            f" Give an address of a network of at most /{SMALLEST} with its prefix, such as 192.168.150.1/24."
        )
    return found


def dhcp_range(address: ipaddress.IPv4Interface) -> str:
    """The larger free part beside the host's address."""
    first, last = int(address.network.network_address) + 1, int(address.network.broadcast_address) - 1
    below, above = (first, int(address.ip) - 1), (int(address.ip) + 1, last)
    start, end = max(below, above, key=lambda part: part[1] - part[0])
    return f"{ipaddress.IPv4Address(start)}-{ipaddress.IPv4Address(end)}"


def routes(text: str) -> Iterator[tuple[str, ipaddress.IPv4Network]]:
    """Interfaces and networks of /proc/net/route, whose addresses are hexadecimal in this machine's byte order; without the default route."""
    for line in text.splitlines()[1:]:
        fields = line.split()
        if len(fields) < 8 or fields[7] == "00000000":
            continue
        address, mask = (int.from_bytes(int(fields[at], 16).to_bytes(4, sys.byteorder), "big") for at in (1, 7))
        yield fields[0], ipaddress.IPv4Network((address, str(ipaddress.IPv4Address(mask))))


def collisions(network: ipaddress.IPv4Network, own: str, text: str) -> list[str]:
    """Which links have a part of the network already, but those whose name begins with `own`."""
    return [f"{link} ({there})" for link, there in routes(text) if not (own and link.startswith(own)) and there.overlaps(network)]


def in_use(network: ipaddress.IPv4Network, own: str) -> str:
    found = collisions(network, own, Path("/proc/net/route").read_text(encoding="ascii"))
    if not found:
        return ""
    return (
        f"the network {network} for guests is in use on this host: {', '.join(found)}."
        " Set kvm_host_network_address to one that is free, such as 192.168.150.1/24, or kvm_host_network to an empty string to have no network."
    )


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser()
    asked = parser.add_mutually_exclusive_group(required=True)
    asked.add_argument("--address", nargs="+", help="the host's, with its prefix; of several, the first that is free, or else the first")
    asked.add_argument("--subnet", type=ipaddress.IPv4Network)
    parser.add_argument("--own", default="", help="links whose names begin so are the network's own")
    options = parser.parse_args(arguments)
    result: dict[str, Any] = {"error": "", "in_use": ""}
    try:
        if options.subnet is None:
            addresses = [interface(address) for address in options.address]
            address = next((address for address in addresses if not in_use(address.network, options.own)), addresses[0])
            result.update(subnet={"subnet": str(address.network), "address": str(address.ip)}, dhcp_range=dhcp_range(address))
        result["in_use"] = in_use(options.subnet or address.network, options.own)
    except Refused as refused:
        result["error"] = str(refused)
    print(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
