# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The bridges of a host, and the link through which it reaches the rest of the world: what has to be known before
either is touched.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from ..engine.reading import as_list, as_mapping, as_number, as_text
from . import subnets
from .reader import Files, Host, Said

_NETPLAN = ("/etc/netplan", "/run/netplan", "/usr/lib/netplan")


def _json(said: Said | None) -> list[dict[str, Any]]:
    """What ip prints; an empty list where it could not be asked."""
    if said is not None and not said.rc:
        with suppress(ValueError, RecursionError):
            return [entry for entry in as_list(json.loads(said.out or "[]")) if isinstance(entry, dict) and entry]
    return []


def bridges(files: Files, addresses: dict[str, list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """The kernel's own; those of Open vSwitch are not among them."""
    found = []
    for name in files.names("/sys/class/net"):
        below = "/sys/class/net/" + name
        if not files.exists(below + "/bridge"):
            continue
        found.append(
            {
                "name": name,
                "ports": files.names(below + "/brif"),
                "addresses": addresses.get(name, []),
                "mac": files.word(below + "/address"),
                "mtu": _number(files.word(below + "/mtu")),
                "stp": files.word(below + "/bridge/stp_state") not in ("", "0"),
                "vlan_filtering": files.word(below + "/bridge/vlan_filtering") == "1",
            }
        )
    return found


def _number(text: str) -> int | None:
    return int(text) if text.isdigit() else None


def kind_of(files: Files, name: str) -> str:
    """What a link is, as far as it matters to who wants to move it under a bridge."""
    below = "/sys/class/net/" + name
    for marker, kind in (
        ("bridge", "bridge"),
        ("bonding", "bond"),
        ("wireless", "wlan"),
        ("phy80211", "wlan"),
        ("tun_flags", "tun"),
    ):
        if files.exists(below + "/" + marker):
            return kind
    if files.exists("/proc/net/vlan/" + name):
        return "vlan"
    told = re.search(r"^DEVTYPE=(\S+)$", files.text(below + "/uevent") or "", re.MULTILINE)
    if told:
        return told[1]
    return "physical" if files.exists(below + "/device") else "virtual"


def parse_addresses(links: Sequence[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """From `ip -json address`, by link. Without link-local ones, which say nothing about a network."""
    found: dict[str, list[dict[str, Any]]] = {}
    for link in links:
        for address in map(as_mapping, as_list(link.get("addr_info"))):
            if address.get("scope") == "global" and as_text(address.get("local")):
                found.setdefault(as_text(link.get("ifname")), []).append(
                    {
                        "address": address["local"],
                        "prefix": as_number(address.get("prefixlen")),
                        "family": {"inet": "ipv4", "inet6": "ipv6"}.get(as_text(address.get("family")), ""),
                        "dynamic": bool(address.get("dynamic", False)),
                    }
                )
    return found


def default_routes(host: Host) -> list[dict[str, Any]]:
    """``interface``, ``gateway``, ``family``, ``metric``: IPv4 first, the preferred one of each family first."""
    found = []
    for family, option in (("ipv4", "-4"), ("ipv6", "-6")):
        routes = []
        for route in _json(host.run(["ip", "-json", option, "route", "show", "default"])):
            hops = [route, *map(as_mapping, as_list(route.get("nexthops")))]
            routes += [
                {
                    "interface": hop["dev"],
                    "gateway": as_text(hop.get("gateway")),
                    "family": family,
                    "metric": as_number(route.get("metric")),
                }
                for hop in hops
                if as_text(hop.get("dev"))
            ]
        found += sorted(routes, key=lambda route: int(route["metric"]))
    return found or _routes_of_the_kernel(host)


def _routes_of_the_kernel(files: Files) -> list[dict[str, Any]]:
    """IPv4's, for a host without iproute2."""
    found = [
        {"interface": route.link, "gateway": route.gateway, "family": "ipv4", "metric": route.metric}
        for route in subnets.routes(files.text("/proc/net/route") or "")
        if not route.network.prefixlen
    ]
    return sorted(found, key=lambda route: int(str(route["metric"])))


def manager_of(host: Host, name: str) -> tuple[str, str]:
    """Who configures the link (NetworkManager, systemd-networkd, netplan, ifupdown or unknown), and what told.

    netplan only writes what the first two then do, so where one of them works by a file of netplan's, netplan is who
    has to be asked.
    """
    said = host.run(["nmcli", "--terse", "--fields", "DEVICE,STATE,CONNECTION", "device", "status"])
    for line in (said.out if said and said.rc == 0 else "").splitlines():
        device, dummy, rest = line.partition(":")
        state, dummy, connection = rest.partition(":")
        if device == name and state and state != "unmanaged" and "externally" not in state:
            if connection.startswith("netplan-"):
                return "netplan", f"NetworkManager runs its connection {connection}"
            return "NetworkManager", "nmcli: {} is {} by {}".format(name, state, connection or "no connection")
    index = host.word(f"/sys/class/net/{name}/ifindex")
    link = host.text("/run/systemd/netif/links/" + index) if index else None
    admin = re.search(r"^ADMIN_STATE=(\S+)$", link or "", re.MULTILINE)
    if admin and admin[1] in ("configured", "configuring", "pending", "failed"):
        told = re.search(r"^NETWORK_FILE=(\S+)$", link or "", re.MULTILINE)
        by = told[1] if told else "no file"
        if re.search(r"/\d+-netplan-[^/]*$", by):
            return "netplan", f"systemd-networkd works by its file {by}"
        return "systemd-networkd", f"systemd-networkd: {name} is {admin[1]} by {by}"
    for file in [
        "/etc/network/interfaces",
        *("/etc/network/interfaces.d/" + entry for entry in host.names("/etc/network/interfaces.d")),
    ]:
        if re.search(rf"^\s*iface\s+{re.escape(name)}\s", host.text(file) or "", re.MULTILINE):
            return "ifupdown", f"{file} describes it"
    for directory in _NETPLAN:
        for entry in host.names(directory):
            if entry.endswith(".yaml") and re.search(
                rf"^\s+[\"']?{re.escape(name)}[\"']?\s*:", host.text(directory + "/" + entry) or "", re.MULTILINE
            ):
                return "netplan", f"{directory}/{entry} describes it"
    return (
        "unknown",
        "neither NetworkManager nor systemd-networkd manages it, and no file of ifupdown or netplan names it",
    )


def addresses_of(host: Host) -> dict[str, list[dict[str, Any]]]:
    """See parse_addresses; nothing on a host without iproute2."""
    return parse_addresses(_json(host.run(["ip", "-json", "address", "show"])))


def network(host: Host) -> dict[str, Any]:
    """``uplink`` is None where there is no default route."""
    addresses = addresses_of(host)
    routes = default_routes(host)
    return {"bridges": bridges(host, addresses), "uplink": _uplink(host, routes, addresses), "default_routes": routes}


def _uplink(
    host: Host, routes: Sequence[dict[str, Any]], addresses: dict[str, list[dict[str, Any]]]
) -> dict[str, Any] | None:
    if not routes:
        return None
    name = str(routes[0]["interface"])
    below = "/sys/class/net/" + name
    manager, evidence = manager_of(host, name)
    return {
        "interface": name,
        "kind": kind_of(host, name),
        "mac": host.word(below + "/address"),
        "mtu": _number(host.word(below + "/mtu")),
        "bridge": host.target(below + "/master").rpartition("/")[2],
        "addresses": addresses.get(name, []),
        "gateways": [route["gateway"] for route in routes if route["interface"] == name and route["gateway"]],
        "manager": manager,
        "manager_evidence": evidence,
    }
