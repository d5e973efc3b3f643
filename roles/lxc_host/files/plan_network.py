# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Says what the host's network for guests is, and what its files would have to say: /etc/default/lxc-net and /etc/lxc/default.conf. Changes nothing.

Prints one JSON object: `errors` (what was asked for and cannot be), `files` (path, text before and after, the keys that differ), `state` of the bridge that
the file names, whether it is as the file says (`good`), and what it `takes` to be as asked for: nothing, start or restart.
"""

from __future__ import annotations

import argparse
import fcntl
import ipaddress
import json
import re
import shlex
import socket
import struct
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict

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
#: Taken where nobody has asked for an address or given the bridge one, and the host is in that network already. The first that is free.
OTHERS = ("10.0.4.1/24", "10.103.3.1/24", "192.168.203.1/24", "172.30.3.1/24")
NET = Path("/usr/libexec/lxc/lxc-net")
#: Options of the role stand for these.
OWN = {
    "LXC_BRIDGE": "lxc_host_bridge",
    "LXC_ADDR": "lxc_host_address",
    "LXC_NETMASK": "lxc_host_address",
    "LXC_NETWORK": "lxc_host_address",
    "LXC_DHCP_RANGE": "lxc_host_dhcp_range",
    "LXC_DHCP_MAX": "lxc_host_dhcp_range",
}
#: The file is read by a shell: nothing that means something to one may stand in a value.
PLAIN = re.compile(r"[A-Za-z0-9.,:/_@%+ -]*")
NAME = re.compile(r"USE_LXC_BRIDGE|LXC_[A-Z0-9_]+")
#: What the kernel takes for an interface, less what would need care elsewhere.
BRIDGE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,14}")
SIOCGIFADDR = 0x8915
ROUTES = Path("/proc/net/route")
IPV6 = Path("/proc/sys/net/ipv6/conf/default/disable_ipv6")


class Refused(Exception):
    """Something that was asked for and cannot be: option, value, why, and what to do."""


class Change(TypedDict):
    path: str
    exists: bool
    before: str
    after: str
    keys: list[str]


def assignments(text: str) -> dict[str, str]:
    """What the shell would make of KEY=value lines; the last one counts."""
    found = {}
    for line in text.splitlines():
        key, equals, value = line.strip().partition("=")
        if equals and NAME.fullmatch(key):
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
    """The text with that one line where the key's last one was, or at the end; None removes the key. All else stays, byte for byte."""
    lines = text.splitlines(keepends=True)
    at = [number for number, each in enumerate(lines) if key.match(each)]
    if line is None:
        return "".join(each for number, each in enumerate(lines) if number not in at)
    if not at:
        return text + ("" if not text or text.endswith("\n") else "\n") + line + "\n"
    lines[at[-1]] = line + "\n"
    return "".join(each for number, each in enumerate(lines) if number not in at[:-1])


def network_file(text: str, wanted: Mapping[str, str | None]) -> tuple[str, list[str]]:
    """The file of lxc-net with these values (None: without that key), and the keys whose value differs."""
    found, differs = assignments(text), []
    for key, value in wanted.items():
        if found.get(key) == value:
            continue
        differs.append(key)
        text = edited(text, re.compile(rf"\s*{key}="), None if value is None else f'{key}="{value}"')
    return text, differs


def default_file(text: str, wanted: Mapping[str, str]) -> tuple[str, list[str]]:
    """The configuration of new containers with these values, and the keys that differ."""
    differs = []
    for key, value in wanted.items():
        pattern = re.compile(rf"\s*{re.escape(key)}\s*=\s*(.*?)\s*$")
        matches = [match[1] for match in map(pattern.match, text.splitlines()) if match]
        if matches and matches[-1] == value:
            continue
        differs.append(key)
        text = edited(text, re.compile(rf"\s*{re.escape(key)}\s*="), f"{key} = {value}")
    return text, differs


def interface(value: str) -> ipaddress.IPv4Interface:
    try:
        found = ipaddress.IPv4Interface(value)
    except ValueError as error:
        raise Refused(f"lxc_host_address is {value}: {error}. Write the host's address on the bridge with its prefix, like 10.0.3.1/24.") from error
    if "/" not in value or not 8 <= found.network.prefixlen <= 29 or found.ip in (found.network.network_address, found.network.broadcast_address):
        raise Refused(f"lxc_host_address is {value}, which is no host's address in a network of /8 to /29. Write it with its prefix, like 10.0.3.1/24.")
    return found


def dhcp_range(value: str, host: ipaddress.IPv4Interface) -> tuple[str, int]:
    """First and last address, and how many that are. Nothing: the larger side of the host's own address."""
    if not value:
        below = (host.network.network_address + 1, host.ip - 1)
        above = (host.ip + 1, host.network.broadcast_address - 1)
        first, last = max(below, above, key=lambda side: int(side[1]) - int(side[0]))
    else:
        try:
            first, last = (ipaddress.IPv4Address(word.strip()) for word in value.split(","))
        except ValueError as error:
            raise Refused(f"lxc_host_dhcp_range is {value}: {error}. Write the first and the last address, like 10.0.3.100,10.0.3.254.") from error
        if not (first <= last and first in host.network and last in host.network):
            raise Refused(f"lxc_host_dhcp_range is {value}, which is no range in {host.network}. Write its first and last address, or change lxc_host_address.")
        if first <= host.ip <= last:
            raise Refused(f"lxc_host_dhcp_range is {value}, and the host's own address {host.ip} lies in it. Leave that out.")
    return f"{first},{last}", int(last) - int(first) + 1


def wanted_network(options: argparse.Namespace, found: Mapping[str, str], default: Mapping[str, str]) -> dict[str, str | None]:
    """The keys of lxc-net's file that the role's options stand for. Raises Refused."""
    more: dict[str, Any] = json.loads(options.options)
    for key, value in more.items():
        if not NAME.fullmatch(key):
            raise Refused(f"lxc_host_net_options names {key}, which is no variable of lxc-net. They are called LXC_..., and USE_LXC_BRIDGE.")
        if key in OWN:
            raise Refused(f"lxc_host_net_options names {key}. Set {OWN[key]} instead.")
        if value is not None and not PLAIN.fullmatch(str(value)):
            raise Refused(f"lxc_host_net_options gives {key} a value with characters that a shell would read: {value!r}. Take them out.")
    extra = {key: None if value is None else str(value).lower() if isinstance(value, bool) else str(value) for key, value in more.items()}
    if options.network == "existing":
        if options.address or options.dhcp_range:
            raise Refused("lxc_host_address and lxc_host_dhcp_range are for the bridge of lxc-net. Leave them out with lxc_host_network: existing.")
        return {**extra, "USE_LXC_BRIDGE": "false"}
    wanted: dict[str, str | None] = {"USE_LXC_BRIDGE": "true", "LXC_BRIDGE": options.bridge}
    if wanted["LXC_BRIDGE"] == default["LXC_BRIDGE"] and "LXC_BRIDGE" not in found:
        del wanted["LXC_BRIDGE"]
    effective = {**default, **found}
    host = interface(options.address or f"{effective['LXC_ADDR']}/{effective['LXC_NETMASK']}")
    if options.address:
        wanted.update({"LXC_ADDR": str(host.ip), "LXC_NETMASK": str(host.netmask), "LXC_NETWORK": str(host.network)})
    if options.address or options.dhcp_range:
        scope, size = dhcp_range(options.dhcp_range, host)
        wanted.update({"LXC_DHCP_RANGE": scope, "LXC_DHCP_MAX": str(size)})
    if not ipv6():
        if extra.get("LXC_IPV6_ADDR"):
            raise Refused("lxc_host_net_options sets LXC_IPV6_ADDR, but IPv6 is off on this host. Switch it on (`sysctl net.ipv6.conf.all.disable_ipv6=0`).")
        # Since Debian 13, lxc-net gives the bridge an IPv6 address unless told not to, and fails where it cannot.
        wanted["LXC_IPV6_ADDR"] = ""
    # nft's accept does not overrule a drop that iptables says, and docker's policy for what is forwarded is to drop.
    return {**wanted, "LXC_USE_NFT": "false", **extra}


def ipv6() -> bool:
    """Whether a new interface of this host can have an IPv6 address."""
    return IPV6.exists() and IPV6.read_text(encoding="ascii").strip() == "0"


def attached(routes: str, bridges: Sequence[str]) -> list[tuple[ipaddress.IPv4Network, str]]:
    """The networks that this host has a leg in, but for those bridges. `routes` is the text of /proc/net/route."""
    found = []
    for line in routes.splitlines()[1:]:
        fields = line.split()
        if len(fields) < 8 or fields[0] in bridges or fields[2] != "00000000" or fields[7] == "00000000":
            continue
        address, mask = (socket.inet_ntoa(struct.pack("<L", int(fields[column], 16))) for column in (1, 7))
        found.append((ipaddress.IPv4Network(f"{address}/{mask}"), fields[0]))
    return found


def free_address(routes: str, bridges: Sequence[str], usual: str) -> str:
    """An address for the bridge where the usual one's network is another's; nothing where that is free, or none is. Pure."""
    taken = [network for network, _device in attached(routes, bridges)]
    if not any(network.overlaps(ipaddress.IPv4Interface(usual).network) for network in taken):
        return ""
    return next((other for other in OTHERS if not any(network.overlaps(ipaddress.IPv4Interface(other).network) for network in taken)), "")


def address_of(device: str) -> str:
    """The first IPv4 address of an interface, or nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        try:
            answer = fcntl.ioctl(asking.fileno(), SIOCGIFADDR, struct.pack("256s", device.encode()))
        except OSError:
            return ""
    return socket.inet_ntoa(answer[20:24])


def alive(pidfile: Path, name: str) -> bool:
    try:
        number = pidfile.read_text(encoding="ascii", errors="replace").strip()
        # "PID (NAME) STATE ...". A zombie has ended; only its parent has not taken note of it.
        found, _bracket, rest = Path("/proc", number, "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")
    except OSError:
        return False
    return number.isdigit() and found.partition("(")[2] == name and rest.split()[0] not in "ZX"


class State(TypedDict):
    bridge: str
    there: bool
    mac: str
    address: str
    ports: list[str]
    up: bool
    served: bool


def state(bridge: str) -> State:
    """What there is of a bridge: its guests' ends, and whether lxc-net says that it is up and serves it."""
    device, run = Path("/sys/class/net", bridge), Path("/run/lxc")
    there = (device / "bridge").is_dir()
    return {
        "bridge": bridge,
        "there": there,
        "mac": (device / "address").read_text(encoding="ascii").strip() if there else "",
        "address": address_of(bridge) if there else "",
        "ports": sorted(port.name for port in (device / "brif").iterdir()) if there else [],
        "up": (run / "network_up").exists(),
        "served": alive(run / "dnsmasq.pid", "dnsmasq"),
    }


def check(options: argparse.Namespace, before: Mapping[str, str], after: Mapping[str, str]) -> None:
    """Raises Refused for what would harm the host or cannot work."""
    device = Path("/sys/class/net", options.bridge)
    if device.exists() and not (device / "bridge").is_dir():
        raise Refused(f"lxc_host_bridge is {options.bridge}, which is an interface of this host and no bridge. Choose another name.")
    if options.network == "existing":
        if not device.exists():
            raise Refused(
                f"lxc_host_network is existing, but there is no bridge {options.bridge} on this host. Make it first"
                f" (`ip link add {options.bridge} type bridge`, or in the host's network configuration), or set lxc_host_network: lxc-net."
            )
        return
    # lxc-net takes the addresses off a bridge that it finds, and a host that is reached through it would be lost.
    now = state(options.bridge)
    if now["there"] and now["mac"] not in (before["LXC_BRIDGE_MAC"], after["LXC_BRIDGE_MAC"]):
        raise Refused(
            f"lxc_host_bridge is {options.bridge}, a bridge that lxc-net has not made and whose addresses it would take away."
            " Set lxc_host_network: existing to use it as it is, or choose another name."
        )
    network = ipaddress.IPv4Network(after["LXC_NETWORK"], strict=False)
    for other, where in attached(ROUTES.read_text(encoding="ascii"), (options.bridge, before["LXC_BRIDGE"])):
        if other.overlaps(network):
            raise Refused(
                f"the guests' network {network} overlaps with {other}, which this host is in by {where}."
                " Set lxc_host_address to a free one, and the guests' addresses with it."
            )


def plan(options: argparse.Namespace) -> dict[str, Any]:
    network, guests = Path("/etc/default/lxc-net"), Path("/etc/lxc/default.conf")
    texts = {path: path.read_text(encoding="utf-8", errors="surrogateescape") if path.exists() else "" for path in (network, guests)}
    if not BRIDGE.fullmatch(options.bridge):
        raise Refused(f"lxc_host_bridge is {options.bridge!r}. The name of a bridge has at most 15 letters, digits, dots, hyphens and underscores.")
    default = defaults(NET.read_text(encoding="utf-8") if NET.exists() else "")
    found = assignments(texts[network])
    if options.network == "lxc-net" and not options.address and not options.dhcp_range and "LXC_ADDR" not in found:
        usual = f"{default['LXC_ADDR']}/{default['LXC_NETMASK']}"
        options.address = free_address(ROUTES.read_text(encoding="ascii"), (options.bridge, default["LXC_BRIDGE"]), usual)
    wanted = wanted_network(options, found, default)
    text, keys = network_file(texts[network], wanted)
    before, after = {**default, **found}, {**default, **assignments(text)}
    check(options, before, after)
    net = {"lxc.net.0.type": "veth", "lxc.net.0.link": options.bridge, "lxc.net.0.flags": "up"}
    line, lines = default_file(texts[guests], net)
    now = state(before["LXC_BRIDGE"])
    runs = now["there"] and now["up"] and now["served"]
    on = after["USE_LXC_BRIDGE"] == "true"
    as_said = now["address"] == before["LXC_ADDR"]
    takes = ("restart" if keys or (on and not as_said) else "nothing") if runs else ("restart" if now["up"] else "start") if on else "nothing"
    files: dict[str, Change] = {
        "network": {"path": str(network), "exists": network.exists(), "before": texts[network], "after": text, "keys": keys},
        "default": {"path": str(guests), "exists": guests.exists(), "before": texts[guests], "after": line, "keys": lines},
    }
    iptables = on and after.get("LXC_USE_NFT", "true") != "true"
    good = runs and as_said if before["USE_LXC_BRIDGE"] == "true" else not runs
    return {"errors": [], "files": files, "state": now, "runs": runs, "good": good, "takes": takes, "iptables": iptables}


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--network", choices=("lxc-net", "existing"), required=True)
    parser.add_argument("--bridge", required=True)
    parser.add_argument("--address", default="")
    parser.add_argument("--dhcp-range", default="")
    parser.add_argument("--options", default="{}", help="more variables of lxc-net, as JSON")
    try:
        result = plan(parser.parse_args(arguments))
    except Refused as refused:
        result = {"errors": [str(refused)]}
    print(json.dumps(result))


if __name__ == "__main__":
    main(sys.argv[1:])
