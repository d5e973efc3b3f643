# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What LXC's files say of the network for guests, and what they would have to say. Pure.

/etc/default/lxc-net makes the bridge, /etc/lxc/default.conf connects new guests to it, and /etc/lxc/lxc-usernet lets
users do so (see lxc-net(5) of the Debian package, lxc.container.conf(5) and lxc-usernet(5); LXC 5.0 and 6.0).
"""

from __future__ import annotations

import ipaddress
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from . import subnets

#: What differs in a file, by key: the value there, and the one that is wanted; None where there is none.
Changes = dict[str, tuple[object, object]]

#: What lxc-net takes where its file is silent, if it is not there yet to say so itself.
DEFAULTS = {
    "USE_LXC_BRIDGE": "true",
    "LXC_BRIDGE": "lxcbr0",
    "LXC_BRIDGE_MAC": "00:16:3e:00:00:00",
    "LXC_ADDR": "10.0.3.1",
    "LXC_NETMASK": "255.255.255.0",
    "LXC_NETWORK": "10.0.3.0/24",
    "LXC_DHCP_RANGE": "10.0.3.2,10.0.3.254",
    "LXC_DHCP_MAX": "253",
}
#: Taken where nobody has asked for an address or given the bridge one, and the host is in that network already.
OTHERS = ("10.0.4.1/24", "10.103.3.1/24", "192.168.203.1/24", "172.30.3.1/24")
#: Options stand for these.
OWN = {
    "LXC_BRIDGE": "lxc_host_bridge",
    "LXC_ADDR": "lxc_host_address",
    "LXC_NETMASK": "lxc_host_address",
    "LXC_NETWORK": "lxc_host_address",
    "LXC_DHCP_RANGE": "lxc_host_dhcp_range",
    "LXC_DHCP_MAX": "lxc_host_dhcp_range",
}
#: How many guests a user may connect to the bridge.
GUESTS = 10

#: The file is read by a shell: nothing that means something to one may stand in a value.
_PLAIN = re.compile(r"[A-Za-z0-9.,:/_@%+ -]*")
_NAME = re.compile(r"USE_LXC_BRIDGE|LXC_[A-Z0-9_]+")
#: What the kernel takes for an interface, less what would need care elsewhere.
_BRIDGE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,14}")


class Unfit(Exception):
    """Something that was asked for and cannot be: option, value, why, and what to do."""


@dataclass(frozen=True)
class Wish:
    """What is asked for. ``network``: lxc-net, or existing for a bridge of the user's own."""

    network: str = "lxc-net"
    bridge: str = "lxcbr0"
    address: str = ""
    dhcp_range: str = ""
    options: Mapping[str, Any] | None = None


# The files


def assignments(text: str) -> dict[str, str]:
    """What the shell would make of KEY=value lines; the last one counts."""
    found = {}
    for line in text.splitlines():
        key, equals, value = line.strip().partition("=")
        if equals and _NAME.fullmatch(key):
            try:
                words = shlex.split(value, comments=True)
            except ValueError:
                words = [value]
            found[key] = words[0] if words else ""
    return found


def defaults(script: str) -> dict[str, str]:
    """What lxc-net takes where its file is silent, by the head of its own text: it differs between releases."""
    return {**DEFAULTS, **assignments(script.partition("()")[0])}


def edited(text: str, key: re.Pattern[str], line: str | None) -> str:
    """The text with that one line where the key's last one was, or at the end; None removes the key.

    All else stays, byte for byte.
    """
    lines = text.splitlines(keepends=True)
    at = [number for number, each in enumerate(lines) if key.match(each)]
    if line is None:
        return "".join(each for number, each in enumerate(lines) if number not in at)
    if not at:
        return text + ("" if not text or text.endswith("\n") else "\n") + line + "\n"
    lines[at[-1]] = line + "\n"
    return "".join(each for number, each in enumerate(lines) if number not in at[:-1])


def network_file(text: str, wanted: Mapping[str, str | None]) -> tuple[str, Changes]:
    """The file of lxc-net with these values (None: without that key), and what differs."""
    found, changes = assignments(text), Changes()
    for key, value in wanted.items():
        if found.get(key) != value:
            changes[key] = (found.get(key), value)
            text = edited(text, re.compile(rf"\s*{key}="), None if value is None else f'{key}="{value}"')
    return text, changes


def default_file(text: str, bridge: str) -> tuple[str, Changes]:
    """The configuration of new containers with the bridge as their network, and what differs."""
    changes = Changes()
    for key, value in {"lxc.net.0.type": "veth", "lxc.net.0.link": bridge, "lxc.net.0.flags": "up"}.items():
        pattern = re.compile(rf"\s*{re.escape(key)}\s*=\s*(.*?)\s*$")
        there = [match[1] for match in map(pattern.match, text.splitlines()) if match]
        if not there or there[-1] != value:
            changes[key] = (there[-1] if there else None, value)
            text = edited(text, re.compile(rf"\s*{re.escape(key)}\s*="), f"{key} = {value}")
    return text, changes


def usernet_file(text: str, users: Sequence[str], bridge: str) -> tuple[str, Changes]:
    """The file of who may connect guests to bridges with these users in it, and what differs. Root needs no leave.

    Who may connect more guests than GUESTS keeps that.
    """
    changes = Changes()
    for user in users:
        pattern = re.compile(rf"\s*{re.escape(user)}\s+veth\s+{re.escape(bridge)}\s+(\d+)\s*$")
        there = [int(match[1]) for match in map(pattern.match, text.splitlines()) if match]
        if user != "root" and (not there or there[-1] < GUESTS):
            changes[user] = ("veth %s %d" % (bridge, there[-1]) if there else None, "veth %s %d" % (bridge, GUESTS))
            text = edited(text, pattern, "%s veth %s %d" % (user, bridge, GUESTS))
    return text, changes


# What the file of lxc-net has to say


def _address(value: str) -> ipaddress.IPv4Interface:
    try:
        return subnets.host_address(value)
    except ValueError as error:
        raise Unfit(
            f"lxc_host_address is {value}: {error}. Write the host's address on the bridge with its prefix, like "
            "10.0.3.1/24."
        ) from error


def scope(value: str, host: ipaddress.IPv4Interface) -> tuple[str, int]:
    """First and last address for DHCP, and how many that are. Nothing: the larger side of the host's own address.

    Raises Unfit.
    """
    if not value:
        first, last = subnets.dhcp_range(host)
    else:
        try:
            first, last = (ipaddress.IPv4Address(word.strip()) for word in value.split(","))
        except ValueError as error:
            raise Unfit(
                f"lxc_host_dhcp_range is {value}: {error}. Write the first and the last address, like "
                "10.0.3.100,10.0.3.254."
            ) from error
        if not (first <= last and first in host.network and last in host.network):
            raise Unfit(
                f"lxc_host_dhcp_range is {value}, which is no range in {host.network}."
                " Write its first and last address, or change lxc_host_address."
            )
        if first <= host.ip <= last:
            raise Unfit(
                f"lxc_host_dhcp_range is {value}, and the host's own address {host.ip} lies in it. Leave that out."
            )
    return f"{first},{last}", int(last) - int(first) + 1


def _more(options: Mapping[str, Any]) -> dict[str, str | None]:
    """Variables that are given by their names, as the file has them. Raises Unfit."""
    for key, value in options.items():
        if not _NAME.fullmatch(key):
            raise Unfit(
                f"lxc_host_net_options names {key}, which is no variable of lxc-net. They are called LXC_..., and "
                "USE_LXC_BRIDGE."
            )
        if key in OWN:
            raise Unfit(f"lxc_host_net_options names {key}. Set {OWN[key]} instead.")
        if value is not None and not _PLAIN.fullmatch(str(value)):
            raise Unfit(
                f"lxc_host_net_options gives {key} a value with characters that a shell would read: {value!r}. Take "
                "them out."
            )
    return {
        key: None if value is None else str(value).lower() if isinstance(value, bool) else str(value)
        for key, value in options.items()
    }


def wanted_network(wish: Wish, text: str, script: str, routes: str, ipv6: bool) -> dict[str, str | None]:
    """The variables of lxc-net's file that the options stand for. Raises Unfit.

    ``text``: the file. ``script``: lxc-net itself. ``routes``: /proc/net/route. ``ipv6``: whether a new interface of
    this host can have an IPv6 address.
    """
    if not _BRIDGE.fullmatch(wish.bridge):
        raise Unfit(
            f"lxc_host_bridge is {wish.bridge!r}. The name of a bridge has at most 15 letters, digits, dots, hyphens "
            "and underscores."
        )
    extra = _more(wish.options or {})
    if wish.network == "existing":
        if wish.address or wish.dhcp_range:
            raise Unfit(
                "lxc_host_address and lxc_host_dhcp_range are for the bridge of lxc-net."
                " Leave them out with lxc_host_network: existing."
            )
        return {**extra, "USE_LXC_BRIDGE": "false"}
    default, found = defaults(script), assignments(text)
    wanted: dict[str, str | None] = {"USE_LXC_BRIDGE": "true", "LXC_BRIDGE": wish.bridge}
    if wish.bridge == default["LXC_BRIDGE"] and "LXC_BRIDGE" not in found:
        del wanted["LXC_BRIDGE"]
    effective = {**default, **found}
    address = wish.address
    if not address and not wish.dhcp_range and "LXC_ADDR" not in found:
        address = _free_address(routes, (wish.bridge, default["LXC_BRIDGE"]), default)
    host = _address(address or "{}/{}".format(effective["LXC_ADDR"], effective["LXC_NETMASK"]))
    if address:
        wanted.update(LXC_ADDR=str(host.ip), LXC_NETMASK=str(host.netmask), LXC_NETWORK=str(host.network))
    if address or wish.dhcp_range:
        span, size = scope(wish.dhcp_range, host)
        wanted.update(LXC_DHCP_RANGE=span, LXC_DHCP_MAX=str(size))
    if not ipv6:
        if extra.get("LXC_IPV6_ADDR"):
            raise Unfit(
                "lxc_host_net_options sets LXC_IPV6_ADDR, but IPv6 is off on this host."
                " Switch it on (`sysctl net.ipv6.conf.all.disable_ipv6=0`)."
            )
        # Since Debian 13, lxc-net gives the bridge an IPv6 address unless told not to, and fails where it cannot.
        wanted["LXC_IPV6_ADDR"] = ""
    # nft's accept does not overrule a drop that iptables says, and docker's policy for what is forwarded is to drop.
    return {**wanted, "LXC_USE_NFT": "false", **extra}


def _free_address(routes: str, bridges: Sequence[str], default: Mapping[str, str]) -> str:
    """An address for the bridge where the usual one's network is another's; nothing where that is free, or none is."""
    there = [(link, network) for link, network in subnets.networks(routes, direct=True) if link not in bridges]
    usual = "{}/{}".format(default["LXC_ADDR"], default["LXC_NETMASK"])
    return "" if subnets.first_free([usual], there) else subnets.first_free(OTHERS, there)


# What would harm the host


@dataclass(frozen=True)
class Links:
    """The host's links, as far as they matter. ``bridges``: see host.network.bridges."""

    bridges: Mapping[str, Mapping[str, Any]]
    #: Whether there is a link of the wished bridge's name.
    taken: bool
    #: /proc/net/route.
    routes: str


def harm(wish: Wish, before: Mapping[str, str], after: Mapping[str, str], links: Links) -> str:
    """What would harm the host or cannot work, with what to do; nothing where all is well.

    ``before`` and ``after``: what lxc-net takes for its variables now and then.
    """
    bridge = links.bridges.get(wish.bridge)
    if links.taken and bridge is None:
        return (
            f"lxc_host_bridge is {wish.bridge}, which is an interface of this host and no bridge. Choose another name."
        )
    if wish.network == "existing":
        if bridge is not None:
            return ""
        return (
            f"lxc_host_network is existing, but there is no bridge {wish.bridge} on this host. Make it first (`ip "
            f"link add {wish.bridge} type bridge`, or in the host's network configuration), or set lxc_host_network: "
            "lxc-net."
        )
    # lxc-net takes the addresses off a bridge that it finds, and a host that is reached through it would be lost.
    if bridge is not None and bridge["mac"] not in (before["LXC_BRIDGE_MAC"], after["LXC_BRIDGE_MAC"]):
        return (
            f"lxc_host_bridge is {wish.bridge}, a bridge that lxc-net has not made and whose addresses it would take "
            "away. Set lxc_host_network: existing to use it as it is, or choose another name."
        )
    try:
        network = ipaddress.IPv4Network(after["LXC_NETWORK"], strict=False)
    except ValueError as error:
        return "LXC_NETWORK of lxc-net is {}: {}. Set lxc_host_address.".format(after["LXC_NETWORK"], error)
    own = (wish.bridge, before["LXC_BRIDGE"])
    there = [(link, other) for link, other in subnets.networks(links.routes, direct=True) if link not in own]
    for link, other in subnets.overlapping(network, there)[:1]:
        return (
            f"the guests' network {network} overlaps with {other}, which this host is in by {link}."
            " Set lxc_host_address to a free one, and the guests' addresses with it."
        )
    return ""


def forwarding(rules: str, bridge: str, filtered: bool) -> str:
    """What would keep guests of that bridge from the world outside, or nothing.

    ``rules``: what `iptables -S FORWARD` says. ``filtered``: whether the kernel shows iptables what bridges pass on.
    """
    lines = rules.splitlines()
    if "-P FORWARD DROP" not in lines:
        return ""
    flags = (f"-i {bridge} ", f"-o {bridge} ")
    if all(any(flag in line and line.endswith("-j ACCEPT") for line in lines) for flag in flags):
        return ""
    among = ", nor each other (net.bridge.bridge-nf-call-iptables is 1)" if filtered else ""
    return (
        f"This host drops what it forwards (iptables' policy, as docker sets it), so guests on {bridge} do not reach "
        f"other networks{among}. Remedy: `iptables -I DOCKER-USER -i {bridge} -j ACCEPT` and `iptables -I DOCKER-USER "
        f"-o {bridge} -j ACCEPT` (the chain FORWARD where there is no docker)."
    )
