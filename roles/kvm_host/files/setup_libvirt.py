# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The network and the storage pool that guests are put into.

`address`: whether the network's address is one, and with `--fresh` whether the host's routes leave room for it; needs no libvirt.
`make`: makes, starts and autostarts both; with `--check` says what it would do. Prints one JSON object: `error`, and for `make` also `done`.
"""

from __future__ import annotations

import argparse
import ipaddress
import json
import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

SMALLEST = 29


class Refused(Exception):
    """What cannot be done, why, and what to do."""


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


def refuse_collisions(network: ipaddress.IPv4Network, own: str) -> None:
    found = collisions(network, own, Path("/proc/net/route").read_text(encoding="ascii"))
    if found:
        raise Refused(
            f"the network {network} for guests is in use on this host: {', '.join(found)}."
            " Set kvm_host_network_address to one that is free, such as 192.168.150.1/24, or kvm_host_network to an empty string to have no network."
        )


def ip_element(address: ipaddress.IPv4Interface) -> ET.Element:
    """The host takes its address, DHCP gives out the larger free part beside it."""
    element = ET.Element("ip", address=str(address.ip), netmask=str(address.netmask))
    first, last = int(address.network.network_address) + 1, int(address.network.broadcast_address) - 1
    below, above = (first, int(address.ip) - 1), (int(address.ip) + 1, last)
    start, end = max(below, above, key=lambda part: part[1] - part[0])
    ET.SubElement(ET.SubElement(element, "dhcp"), "range", start=str(ipaddress.IPv4Address(start)), end=str(ipaddress.IPv4Address(end)))
    return element


def network_xml(name: str, address: ipaddress.IPv4Interface) -> str:
    root = ET.Element("network")
    ET.SubElement(root, "name").text = name
    ET.SubElement(root, "forward", mode="nat")
    # libvirt chooses the bridge's name.
    ET.SubElement(root, "bridge", stp="on", delay="0")
    root.append(ip_element(address))
    return ET.tostring(root, encoding="unicode")


def address_of(xml: str) -> ipaddress.IPv4Interface | None:
    for element in ET.fromstring(xml).iterfind("ip"):
        if element.get("family", "ipv4") == "ipv4" and element.get("address"):
            return ipaddress.IPv4Interface(f"{element.get('address')}/{element.get('prefix') or element.get('netmask')}")
    return None


def bridge_of(xml: str) -> str:
    bridge = ET.fromstring(xml).find("bridge")
    return "" if bridge is None else bridge.get("name", "")


def with_address(xml: str, address: ipaddress.IPv4Interface) -> str:
    """The definition with its IPv4 address exchanged; all else stays."""
    root = ET.fromstring(xml)
    for element in [element for element in root.iterfind("ip") if element.get("family", "ipv4") == "ipv4"]:
        root.remove(element)
    root.append(ip_element(address))
    return ET.tostring(root, encoding="unicode")


def pool_xml(name: str, path: str) -> str:
    root = ET.Element("pool", type="dir")
    ET.SubElement(root, "name").text = name
    ET.SubElement(ET.SubElement(root, "target"), "path").text = path
    return ET.tostring(root, encoding="unicode")


class Setup:
    """What is missing, one step after the other; under check only their names are kept."""

    def __init__(self, connection: Any, check: bool) -> None:
        self.connection, self.check = connection, check
        self.done: list[str] = []

    def will(self, what: str) -> bool:
        """Note the step; whether it is to be done."""
        self.done.append(what)
        return not self.check

    def network(self, name: str, address: ipaddress.IPv4Interface, asked: bool) -> None:
        found = next((each for each in self.connection.listAllNetworks() if each.name() == name), None)
        if found is None:
            refuse_collisions(address.network, "")
            if not self.will(f"define the network {name} ({address})"):
                self.done += [f"start the network {name}", f"start the network {name} at boot"]
                return
            found = self.connection.networkDefineXML(network_xml(name, address))
        elif not found.isPersistent():
            raise Refused(
                f"the network {name} runs, but has no definition that outlives it. End it (virsh net-destroy {name}), or name another kvm_host_network."
            )
        has = address_of(found.XMLDesc(0))
        if asked and has is not None and has != address:
            if found.isActive():
                raise Refused(
                    f"the network {name} runs with the address {has}, not {address}: to change it would cut its guests off."
                    f" Stop them, end it (virsh net-destroy {name}) and run the role again, or take kvm_host_network_address out."
                )
            refuse_collisions(address.network, "")
            has = address
            if self.will(f"give the network {name} the address {address}"):
                found = self.connection.networkDefineXML(with_address(found.XMLDesc(0), address))
        if not found.isActive():
            if has is not None:
                refuse_collisions(has.network, bridge_of(found.XMLDesc(0)))
            if self.will(f"start the network {name}"):
                found.create()
        if not found.autostart() and self.will(f"start the network {name} at boot"):
            found.setAutostart(True)

    def pool(self, name: str, path: str, asked: bool) -> None:
        found = next((each for each in self.connection.listAllStoragePools() if each.name() == name), None)
        if found is None:
            if not self.will(f"define the storage pool {name} ({path})"):
                self.done += [f"start the storage pool {name}", f"start the storage pool {name} at boot"]
                return
            found = self.connection.storagePoolDefineXML(pool_xml(name, path), 0)
            # For a directory it makes the directory, and is content when there is one.
            found.build(0)
        elif not found.isPersistent():
            raise Refused(
                f"the storage pool {name} runs, but has no definition that outlives it. End it (virsh pool-destroy {name}), or name another kvm_host_pool."
            )
        has = ET.fromstring(found.XMLDesc(0)).findtext("target/path") or ""
        if asked and has.rstrip("/") != path.rstrip("/"):
            raise Refused(f"the storage pool {name} is in {has}, not in {path}. Name another kvm_host_pool, or take kvm_host_pool_path out.")
        if not found.isActive() and self.will(f"start the storage pool {name}"):
            found.create()
        if not found.autostart() and self.will(f"start the storage pool {name} at boot"):
            found.setAutostart(True)


def make(options: argparse.Namespace) -> list[str]:
    import libvirt

    # Its own printing of errors; they are raised as well.
    libvirt.registerErrorHandler(lambda _context, _error: None, None)
    try:
        connection = libvirt.open(options.uri)
        try:
            setup = Setup(connection, options.check)
            if options.network:
                setup.network(options.network, interface(options.address), options.asked)
            if options.pool:
                setup.pool(options.pool, options.path, options.path_asked)
        finally:
            connection.close()
    except libvirt.libvirtError as exc:
        raise Refused(f"libvirt said: {exc}") from exc
    return setup.done


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("command", choices=["address", "make"])
    parser.add_argument("--uri")
    parser.add_argument("--network", default="")
    parser.add_argument("--address", required=True)
    parser.add_argument("--asked", action="store_true", help="the address was set by the user")
    parser.add_argument("--pool", default="")
    parser.add_argument("--path", default="")
    parser.add_argument("--path-asked", action="store_true")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--fresh", action="store_true", help="libvirt does not run yet, so the network does not either")
    options = parser.parse_args(arguments)
    result: dict[str, Any] = {"error": "", "done": []}
    try:
        if options.command == "address":
            address = interface(options.address)
            if options.fresh:
                # A bridge of libvirt's own that is left over from an earlier day is no rival.
                refuse_collisions(address.network, "virbr")
        else:
            result["done"] = make(options)
    except Refused as refused:
        result["error"] = str(refused)
    print(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
