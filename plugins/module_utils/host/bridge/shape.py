# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a bridge is to be: its options, and what a network manager is asked for. Pure."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ...engine.action import Disruption
from ...engine.errors import InvalidOption
from ...engine.kinds import Flag, Integer, Kind, Sequence, Text
from ...engine.network_kinds import mac
from ...engine.spec import Option, Table

SOURCES = ("uplink", "static", "dhcp", "none")
IPV6 = ("auto", "static", "disabled")
MANAGERS = {
    "networkmanager": "NetworkManager",
    "networkd": "systemd-networkd",
    "netplan": "netplan",
    "ifupdown": "ifupdown",
}
_LINK = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,14}")


class Address(Kind):
    """An address of a host with its network's prefix."""

    argument = {"type": "str"}

    def parse(self, value: Any, option: str) -> str:
        try:
            if "/" not in str(value):
                raise ValueError
            return str(ipaddress.ip_interface(str(value)))
        except ValueError as error:
            raise InvalidOption(
                option,
                value,
                "is not a valid address with a prefix",
                remedy="Write it like 192.0.2.10/24 or 2001:db8::10/64",
            ) from error


class Router(Kind):
    """An address without a prefix."""

    argument = {"type": "str"}

    def parse(self, value: Any, option: str) -> str:
        try:
            return str(ipaddress.ip_address(str(value)))
        except ValueError as error:
            remedy = "Write it like 192.0.2.1 or 2001:db8::1"
            raise InvalidOption(option, value, "is not a valid address", remedy=remedy) from error


def check_link(value: str, option: str) -> None:
    """Raises InvalidOption for what the kernel or a configuration file would not take as a link's name."""
    if not _LINK.fullmatch(value) or ".." in value:
        remedy = "Use at most 15 letters, digits, dots, dashes and underscores, a letter or digit first"
        raise InvalidOption(option, value, "is not a valid name for a link", remedy=remedy)


def _check_name(name: str) -> None:
    check_link(name, "name")
    if name in ("lo", "auto", "all", "default", "none"):
        raise InvalidOption("name", name, "means something else already", remedy="Call the bridge br0, say")


class Link(Text):
    """The name of a link."""

    def parse(self, value: Any, option: str) -> str:
        text = super().parse(value, option)
        check_link(text, option)
        return text


def _option(name: str, kind: Kind) -> Option:
    return Option(name, kind, lambda values: values.get(name), Disruption.LIVE)


OPTIONS: tuple[Option, ...] = (
    _option("uplink", Link()),
    _option("vlan", Integer(1, 4094)),
    _option("addresses_from", Text(choices=SOURCES)),
    _option("addresses", Sequence(Address())),
    _option("gateway", Sequence(Router())),
    _option("dns", Sequence(Router())),
    _option("ipv6", Text(choices=IPV6)),
    _option("mac", mac("52:54:00:12:34:56")),
    _option("stp", Flag()),
    _option("forward_delay", Integer(0, 30)),
    _option("mtu", Integer(576, 65535)),
)

STEERING: dict[str, Any] = {
    "manager": {"type": "str", "choices": ["auto", *MANAGERS], "default": "auto"},
    "timeout": {"type": "int", "default": 90},
    "check_gateway": {"type": "bool", "default": True},
    "check_names": {"type": "list", "elements": "str", "default": []},
    "connect_address": {"type": "str"},
    "confirm": {"type": "str"},
}

TABLE = Table(
    backend="host",
    kind="bridge",
    options=OPTIONS,
    states=("present", "absent"),
    state="present",
    allow=None,
    steering=STEERING,
    check_name=_check_name,
)

#: What an option is where nobody set it.
DEFAULTS: dict[str, Any] = {
    "uplink": None,
    "vlan": None,
    "addresses": (),
    "gateway": (),
    "dns": (),
    "ipv6": "auto",
    "mac": None,
    "stp": False,
    "forward_delay": 0,
    "mtu": None,
}


@dataclass(frozen=True)
class Uplink:
    """A link as it was when a bridge was put over it."""

    interface: str
    mac: str = ""
    manager: str = ""
    #: The file that the manager works by.
    profile: str = ""
    #: What the manager calls it: the UUID of a connection of NetworkManager, the key in a file of netplan.
    identity: str = ""
    #: The content of that file, where it is none that stays: a profile in memory.
    text: str = ""
    #: The IAID under which the uplink got its address by DHCP, where networkd asked: another one would get another
    #: address.
    iaid: str = ""
    #: Whom netplan writes for: networkd or NetworkManager.
    backend: str = ""
    #: Whether it had an address at all.
    addressed: bool = False
    mtu: int = 0


@dataclass(frozen=True)
class Shape:
    """A bridge in full: every option has a value."""

    name: str
    values: Mapping[str, Any]
    link: Uplink | None = None

    def __getattr__(self, key: str) -> Any:
        # The options by their names; dataclass fields are found before this is asked.
        try:
            return self.values[key]
        except KeyError as error:
            raise AttributeError(key) from error

    @property
    def uplink_name(self) -> str:
        return self.link.interface if self.link else ""

    @property
    def port(self) -> str:
        """The link that becomes the bridge's port; empty where it has none."""
        return "%s.%d" % (self.uplink_name, self.vlan) if self.link and self.vlan else self.uplink_name

    @property
    def takes_over(self) -> bool:
        """Whether the uplink is left without addresses of its own."""
        return bool(self.link) and (not self.vlan or self.addresses_from == "uplink")

    @property
    def hardware(self) -> str:
        """The bridge's MAC address; empty leaves it to the kernel."""
        return str(self.mac or (self.link.mac if self.link else ""))

    def of_family(self, option: str, version: int) -> list[str]:
        """The addresses of one version of IP among an option's."""
        return [each for each in self.values[option] if ipaddress.ip_interface(each).version == version]


def shape_of(name: str, values: Mapping[str, Any], link: Uplink | None) -> Shape:
    """Fill in what is not set, and refuse what does not go together. Raises InvalidOption."""
    full = {**DEFAULTS, **values}
    if full.get("addresses_from") is None:
        full["addresses_from"] = "static" if full["addresses"] else "uplink" if link and not full["vlan"] else "none"
    source = full["addresses_from"]
    if source == "static" and not full["addresses"]:
        raise InvalidOption("addresses_from", source, "needs addresses", remedy="Name them in addresses")
    if source not in ("static", "dhcp") and full["addresses"]:
        raise InvalidOption(
            "addresses", list(full["addresses"]), "are only given with addresses_from=static or dhcp", remedy="Write []"
        )
    if source not in ("static", "dhcp"):
        for option in ("gateway", "dns"):
            if full[option]:
                raise InvalidOption(
                    option, list(full[option]), "is only given with addresses_from=static or dhcp", remedy="Write []"
                )
    if source in ("uplink", "dhcp") and link is None:
        raise InvalidOption(
            "addresses_from",
            source,
            "needs an uplink",
            remedy="Name the uplink, or give the bridge addresses of its own",
        )
    if source == "uplink" and full["ipv6"] != "auto":
        raise InvalidOption(
            "ipv6",
            full["ipv6"],
            "is the uplink's own affair with addresses_from=uplink",
            remedy="Leave it out, or use static or dhcp",
        )
    if full["vlan"] and link is None:
        raise InvalidOption("vlan", full["vlan"], "needs an uplink", remedy="Name the uplink that carries it")
    if full["vlan"]:
        check_link("%s.%d" % (link.interface if link else "", full["vlan"]), "vlan")
    if full["stp"] and full["forward_delay"] == 1:
        raise InvalidOption("forward_delay", 1, "is too short for STP", remedy="Write 2 to 30 seconds")
    if full["ipv6"] == "disabled" and any(ipaddress.ip_interface(each).version == 6 for each in full["addresses"]):
        raise InvalidOption("ipv6", "disabled", "contradicts the addresses", remedy="Leave one of the two out")
    _check_gateways(full)
    if full["mac"] and int(full["mac"][:2], 16) & 1:
        raise InvalidOption(
            "mac",
            full["mac"],
            "is not a valid address of one host (its lowest bit marks a group)",
            remedy="Write another one",
        )
    return Shape(name, full, link)


def _check_gateways(values: Mapping[str, Any]) -> None:
    networks = [ipaddress.ip_interface(each).network for each in values["addresses"]]
    seen = set()
    for each in values["gateway"]:
        router = ipaddress.ip_address(each)
        if router.version in seen:
            raise InvalidOption("gateway", each, "is the second one of its version of IP", remedy="Give one for each")
        seen.add(router.version)
        mine = [network for network in networks if network.version == router.version]
        if mine and not router.is_link_local and not any(router in network for network in mine):
            raise InvalidOption(
                "gateway",
                each,
                "is in none of the bridge's networks ({})".format(", ".join(map(str, mine))),
                remedy="Give one of the network's",
            )
