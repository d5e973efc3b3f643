# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What libvirt would refuse of a network, or take and then not start: known before anything is touched. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from typing import Any

from ....engine.errors import InvalidOption, Refused
from ....engine.spec import Spec
from ..definition import Definition, Seen
from ..xml import attribute
from .fields import ISOLATED, OF_FUNCTIONS, OF_THE_HOST, known_subnets, read_forward
from .options import NAT, NETWORK_OPTIONS, NETWORKS_TABLE, OWN, merged_value
from .traffic import OPENVSWITCH


def check_options(want: Spec, seen: Seen, have: Definition | None) -> None:
    """Raises InvalidOption for what libvirt would refuse, or take and then not start, before anything is touched."""
    values = {
        option.name: merged_value(want, option.name, have.view()) if have else want.values.get(option.name)
        for option in NETWORK_OPTIONS
    }
    forward = values["forward"] or "nat"
    _check_host(want, forward, values, have)
    if forward in OF_THE_HOST:
        for name in OWN:
            if want.values.get(name):
                raise InvalidOption(
                    name,
                    want.name,
                    "is not libvirt's to give on a bridge of the host"
                    if forward == "bridge"
                    else f"is not libvirt's to give with the forward mode {forward}",
                    remedy=f"Leave it out with forward={forward}",
                )
    _check_dns(values, have)
    if forward in (ISOLATED, "open") and want.values.get("forward_dev"):
        raise InvalidOption(
            "forward_dev", want.values["forward_dev"], f"means nothing with forward={forward}", remedy="Leave it out"
        )
    if (
        forward in ("nat", "route", "open")
        and not values["subnets"]
        and (have is None or "forward" in want.values or "subnets" in want.values)
    ):
        raise InvalidOption(
            "subnets",
            want.values.get("subnets"),
            f"is needed with forward={forward}",
            remedy="Give the network a subnet",
        )
    if want.values.get("domain_local_only") and not values["domain"]:
        raise InvalidOption("domain_local_only", True, "needs a domain", remedy="Set domain")
    _check_nat(want, forward)
    _check_dhcp(want, values)
    _check_routes(want, values)
    _check_traffic(want, forward, values, seen.version)
    _check_addresses(want)
    _check_rivals(want, seen, values, have)


#: What the modes that use what the host has can use of it.
_USE: Mapping[str, tuple[str, ...]] = {
    "bridge": ("bridge", "interfaces"),
    "private": ("interfaces",),
    "vepa": ("interfaces",),
    "passthrough": ("interfaces", "physical_function"),
    "hostdev": ("physical_function",),
}


def _check_host(want: Spec, forward: str, values: Mapping[str, Any], have: Definition | None) -> None:
    """One thing of the host, and of a kind that the mode has."""
    use = _USE.get(forward, ("bridge",))
    given = [name for name in ("bridge", "interfaces", "physical_function") if want.values.get(name)]
    for name in given:
        if name not in use:
            raise InvalidOption(
                name,
                NETWORKS_TABLE[name].kind.show(want.values[name]),
                f"means nothing with forward={forward}",
                remedy="Leave it out, and set {}".format(" or ".join(use)),
            )
    if len(given) > 1:
        raise InvalidOption(given[1], want.name, f"cannot be beside {given[0]}", remedy="Set one of the two")
    before = read_forward(have.config) if have else ""
    if forward in _USE and not any(values[name] for name in use) and before != forward:
        raise InvalidOption(use[0], None, f"is needed with forward={forward}", remedy=_NEEDED[use[0]])
    rivals = [name for name in use if name not in given and values[name]]
    if rivals and before == forward and {"interfaces", "physical_function"} & set(given):
        raise InvalidOption(
            given[0],
            NETWORKS_TABLE[given[0]].kind.show(want.values[given[0]]),
            f"cannot be beside the {rivals[0]} of this network",
            remedy="Remove the network and make it anew",
        )
    _check_connected(want, values, have)


_NEEDED = {
    "bridge": "Name a bridge of the host, or interfaces",
    "interfaces": "Name interfaces of the host",
    "physical_function": "Name the device whose functions guests get",
}


def _check_connected(want: Spec, values: Mapping[str, Any], have: Definition | None) -> None:
    """Libvirt takes no interface out of an active network that a guest is on."""
    if have is None or have.live is None or "interfaces" not in want.values:
        return
    for each in have.live.findall("forward/interface"):
        if each.get("dev") not in values["interfaces"] and each.get("connections", "0") != "0":
            raise Refused(
                "interfaces: {} is in use by guests that run".format(each.get("dev")),
                remedy="Stop the guests that are on it first, or leave it in interfaces",
            )


def _check_dns(values: Mapping[str, Any], have: Definition | None) -> None:
    """Libvirt takes no names for a DNS that does not answer."""
    if values["dns"] is not False:
        return
    for name in ("dns_hosts", "dns_txt", "dns_srv", "dns_forwarders"):
        if values[name]:
            raise InvalidOption(
                name,
                sorted(values[name]),
                "is for a DNS that is off",
                remedy=f"Set dns=true, or leave nothing in {name} (an empty value, with {name} in purge)",
            )
    others = {each.tag for each in (have.config.findall("dns/*") if have else ())} - {"host", "txt", "srv", "forwarder"}
    if others:
        raise InvalidOption(
            "dns",
            False,
            "is not possible, as its DNS has {}".format(", ".join(f"<{tag}>" for tag in sorted(others))),
            remedy="Take these out of the network first (virsh net-edit), or set dns=true",
        )


def _check_nat(want: Spec, forward: str) -> None:
    for name in NAT:
        if want.values.get(name) and forward != "nat":
            raise InvalidOption(name, want.values[name], f"means nothing with forward={forward}", remedy="Leave it out")


def _check_dhcp(want: Spec, values: Mapping[str, Any]) -> None:
    """What DHCP says needs somebody to say it to. Libvirt has booting over IPv4 alone."""
    given = {
        name: want.values[name]
        for name in ("dhcp_lease", "boot_file", "boot_server", "tftp_root")
        if want.values.get(name)
    }
    if "dhcp_lease" in given and not values["dhcp_ranges"]:
        raise InvalidOption("dhcp_lease", want.name, "is for ranges, and there are none", remedy="Set dhcp_ranges")
    if "boot_server" in given and not values["boot_file"]:
        raise InvalidOption("boot_server", given["boot_server"], "needs a file", remedy="Set boot_file")
    if "tftp_root" in given and not any(":" not in subnet for subnet in values["subnets"] or ()):
        raise InvalidOption("tftp_root", given["tftp_root"], "needs a subnet of IPv4", remedy="Add one to subnets")
    addresses = [
        *(values["dhcp_ranges"] or ()),
        *(each.get("address", "") for each in (values["dhcp_hosts"] or {}).values()),
    ]
    if "boot_file" in given and not any(each and ":" not in each for each in addresses):
        raise InvalidOption(
            "boot_file",
            given["boot_file"],
            "needs addresses of IPv4 that DHCP gives away",
            remedy="Set dhcp_ranges or dhcp_hosts",
        )


def _check_routes(want: Spec, values: Mapping[str, Any]) -> None:
    """A gateway has to be in the network."""
    nets = [ipaddress.ip_network(subnet) for subnet in values["subnets"] or ()]
    for subnet, fields in (want.values.get("routes") or {}).items():
        if not any(ipaddress.ip_address(fields["gateway"]) in net for net in nets):
            raise InvalidOption(
                "routes",
                {"subnet": subnet, **fields},
                "has a gateway in none of the network's subnets",
                remedy="Write a gateway that is in one of them",
            )


def _check_traffic(want: Spec, forward: str, values: Mapping[str, Any], version: int) -> None:
    """Limits are for bridges, and tags for what takes them (networkValidate of libvirt 9.0)."""
    groups = (values["portgroups"] or {}) if "portgroups" in want.values else {}
    defaults = sorted(name for name, group in groups.items() if group.get("default"))
    if len(defaults) > 1:
        raise InvalidOption("portgroups", defaults, "are both the default", remedy="Say default=false of all but one")
    shaped = [name for name, group in groups.items() if group.get("bandwidth")]
    bridged = forward not in OF_THE_HOST or (forward == "bridge" and values["bridge"] and not values["interfaces"])
    limited = "bandwidth" if want.values.get("bandwidth") else "portgroups" if shaped else ""
    if limited and not bridged:
        raise InvalidOption(limited, want.name, "is limited on bridges alone", remedy="Leave the bandwidth out")
    own = values["virtualport"] or {}
    tagged = {"vlans": own} if want.values.get("vlans") else {}
    tagged.update(
        {f"portgroups[{name}]": group.get("virtualport") or own for name, group in groups.items() if group.get("vlans")}
    )
    for option, port in tagged.items():
        switched = forward == "bridge" and port.get("type") == OPENVSWITCH
        if not switched and forward not in OF_FUNCTIONS and not (bridged and version >= _BRIDGE_VLANS):
            raise InvalidOption(
                option,
                want.name,
                "is not possible: this libvirt has no VLANs there, but for Open vSwitch and for functions of a device",
                remedy="Set virtualport to {type: openvswitch} if that is what the bridge is, or leave the VLANs out",
            )


#: Since when libvirt tags on bridges of Linux: which of them is left to it, and told before anything is changed.
_BRIDGE_VLANS = 11_000_000


def _check_addresses(want: Spec) -> None:
    taken: dict[str, str] = {}
    for key, fields in (want.values.get("dhcp_hosts") or {}).items():
        address = fields.get("address")
        if address and taken.setdefault(address, key) != key:
            raise InvalidOption(
                "dhcp_hosts",
                address,
                f"is given to two hosts, {taken[address]} and {key}",
                remedy="Give each an address of its own",
            )


def _check_rivals(want: Spec, seen: Seen, values: Mapping[str, Any], have: Definition | None) -> None:
    """No two networks have one bridge, and no two active ones a subnet in common."""
    active = want.state == "active" or (want.state == "present" and have is not None and have.active)
    for name, other in seen.defined.items():
        if name == want.name:
            continue
        tree = other.live if other.live is not None else other.config
        bridge = want.values.get("bridge")
        if (
            bridge
            and values["forward"] != "bridge"
            and read_forward(tree) != "bridge"
            and bridge == attribute(tree, "bridge", "name")
        ):
            raise InvalidOption("bridge", bridge, f"is the bridge of the network {name}", remedy="Choose another name")
        if not active or not other.active:
            continue
        for taken in known_subnets(tree):
            for subnet in _overlapping(taken, want.values.get("subnets") or ()):
                raise InvalidOption(
                    "subnets",
                    subnet,
                    f"overlaps with {taken} of the network {name}",
                    remedy="Choose a subnet that is free",
                )


def _overlapping(taken: str, subnets: Iterable[str]) -> list[str]:
    net: Any = ipaddress.ip_network(taken)
    same = [each for each in subnets if ipaddress.ip_network(each).version == net.version]
    return [each for each in same if ipaddress.ip_network(each).overlaps(net)]
