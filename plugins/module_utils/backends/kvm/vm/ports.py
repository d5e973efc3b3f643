# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What an interface's port of a network or a switch is told: its group, VLANs, bandwidth, and profile. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ....engine.errors import InvalidOption
from ....engine.kinds import Integer, Kind, Text
from .fields import Field, word
from .xml import ET, Element, drop

NAME = Text(pattern=r"[^\s/<>\"'&]*", remedy="Write the name of a port group of the network, or nothing")
NO_PORT = "none"


class VlanTags(Kind):
    """The numbers of VLANs: one, or those of a trunk; 0 for none."""

    def parse(self, value: Any, option: str) -> tuple[int, ...]:
        tags = value if isinstance(value, (list, tuple)) else [value]
        for tag in tags:
            if not str(tag).isdigit() or int(tag) > 4095:
                raise InvalidOption(option, tag, "is not the number of a VLAN", remedy="Write 1 to 4095, or a list")
        return tuple(sorted({int(tag) for tag in tags} - {0}))

    def show(self, value: tuple[int, ...]) -> Any:
        return value[0] if len(value) == 1 else list(value)


@dataclass(frozen=True)
class Vlan(Field):
    """The tags, each an element."""

    def read(self, element: Element) -> Any:
        numbers = [each.get("id", "") for each in element.findall("vlan/tag")]
        return tuple(sorted(int(number) for number in numbers if number.isdigit()))

    def write(self, element: Element, value: Any) -> None:
        drop(element, "vlan")
        if value:
            vlan = ET.SubElement(element, "vlan", {"trunk": "yes"} if len(value) > 1 else {})
            for number in value:
                ET.SubElement(vlan, "tag", {"id": str(number)})


@dataclass(frozen=True)
class VirtualPort(Field):
    """The kind of a switch; without it there are no parameters either."""

    def write(self, element: Element, value: Any) -> None:
        if value == NO_PORT:
            drop(element, "virtualport")
        else:
            super().write(element, value)


PORT_FIELDS = (
    Field("portgroup", NAME, "source@portgroup", ""),
    Vlan("vlan", VlanTags(), "vlan", ()),
    VirtualPort(
        "virtualport", word("openvswitch", "midonet", "802.1Qbg", "802.1Qbh", NO_PORT), "virtualport@type", NO_PORT
    ),
    Field("interfaceid", Text(), "virtualport/parameters@interfaceid"),
    Field("profileid", Text(), "virtualport/parameters@profileid"),
    *(
        Field(f"{way}_{rate}", Integer(0, 2**32 - 1), f"bandwidth/{way}@{rate}", 0)
        for way in ("inbound", "outbound")
        for rate in ("average", "peak", "burst")
    ),
)
