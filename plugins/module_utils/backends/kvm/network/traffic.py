# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How guests are connected: how fast, with which VLANs and virtual port, and groups of ports of all these. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from ....engine.errors import InvalidOption
from ....engine.kinds import Flag, Kind, Text
from ....engine.units import format_size, parse_size
from ..xml import Element, flag, make, replace, yes
from .fields import fields_of

_SIDES = ("inbound", "outbound")
_RATES = ("average", "peak", "burst")
_BANDWIDTH = (
    "Write a mapping with inbound, outbound or both, each a mapping with average, and with peak and burst if wanted"
)
_VLAN = "Write numbers from 0 to 4095, or mappings with id and with native (tagged or untagged)"
_PORT = "Write a mapping with type (openvswitch, midonet, 802.1Qbg or 802.1Qbh) and its parameters"
_GROUP = "Write a mapping with name, and with default, bandwidth, vlans and virtualport if wanted"
OPENVSWITCH = "openvswitch"
#: The parameters of each type of virtual port (libvirt's schema, 9.0).
PARAMETERS: Mapping[str, tuple[str, ...]] = {
    OPENVSWITCH: ("profileid", "interfaceid"),
    "midonet": ("interfaceid",),
    "802.1Qbg": ("managerid", "typeid", "typeidversion", "instanceid"),
    "802.1Qbh": ("profileid",),
}


class Bandwidth(Kind):
    """Bytes, for each second and at once, for each direction; nothing stands for no limit."""

    argument = {"type": "dict"}

    def parse(self, value: Any, option: str) -> dict[str, dict[str, int]]:
        sides = fields_of(value, option, _SIDES, _BANDWIDTH)
        found = {}
        for side, given in sides.items():
            rates = fields_of(given, f"{option}.{side}", _RATES, _BANDWIDTH)
            if "average" not in rates:
                raise InvalidOption(f"{option}.{side}", given, "has no average", remedy=_BANDWIDTH)
            found[side] = {key: _kib(rate, f"{option}.{side}.{key}") for key, rate in rates.items()}
        return found

    def show(self, value: Mapping[str, Mapping[str, int]]) -> dict[str, dict[str, str]]:
        return {side: {key: format_size(rate) for key, rate in rates.items()} for side, rates in value.items()}


def _kib(value: Any, option: str) -> int:
    """Libvirt counts in KiB, in 32 bits."""
    size = parse_size(value, option)
    if size % 1024 or not 0 < size < 1 << 42:
        raise InvalidOption(
            option, value, "is no whole number of KiB", remedy="Write a size like 10MiB, of 1KiB at least"
        )
    return size


def read_bandwidth(parent: Element) -> dict[str, dict[str, int]]:
    """The limits below a network or a group."""
    return {
        side: {key: int(found.get(key, "0")) * 1024 for key in _RATES if found.get(key)}
        for side in _SIDES
        for found in parent.findall(f"bandwidth/{side}")
    }


def write_bandwidth(parent: Element, value: Mapping[str, Mapping[str, int]]) -> None:
    """All of them."""
    sides = [make(side, {key: rate // 1024 for key, rate in value[side].items()}) for side in _SIDES if side in value]
    replace(parent, "bandwidth", make("bandwidth", None, *sides) if sides else None)


Tag = tuple[int, str]


class Vlans(Kind):
    """Tags and whether they are the native one; the list is complete, and its order says nothing."""

    argument = {"type": "list", "elements": "raw"}

    def parse(self, value: Any, option: str) -> tuple[Tag, ...]:
        if not isinstance(value, (list, tuple)):
            raise InvalidOption(option, value, "is no list", remedy=_VLAN)
        return tuple(sorted({_tag(entry, option) for entry in value}))

    def show(self, value: tuple[Tag, ...]) -> list[Any]:
        return [{"id": number, "native": native} if native else number for number, native in value]


def _tag(entry: Any, option: str) -> Tag:
    fields = fields_of(entry, option, ("id", "native"), _VLAN) if isinstance(entry, Mapping) else {"id": entry}
    number, native = str(fields.get("id", "")), str(fields.get("native", ""))
    if (
        not re.fullmatch(r"[0-9]{1,4}", number, re.ASCII)
        or int(number) > 4095
        or native not in ("", "tagged", "untagged")
    ):
        raise InvalidOption(option, entry, "is no tag of a VLAN", remedy=_VLAN)
    return int(number), native


def read_vlans(parent: Element) -> tuple[Tag, ...]:
    """The tags of a network or a group."""
    return tuple(sorted((int(each.get("id", "0")), each.get("nativeMode", "")) for each in parent.findall("vlan/tag")))


def write_vlans(parent: Element, value: tuple[Tag, ...]) -> None:
    """All of them. One that is a trunk is one by what it has, or stays one."""
    old = parent.find("vlan")
    if value == read_vlans(parent):
        return
    trunk = len(value) > 1 or any(native for _number, native in value) or (old is not None and flag(old.get("trunk")))
    tags = [make("tag", {"id": number, "nativeMode": native or None}) for number, native in value]
    replace(parent, "vlan", make("vlan", {"trunk": "yes" if trunk else None}, *tags) if tags else None)


class VirtualPort(Kind):
    """A type and its parameters, all of them; nothing stands for none."""

    argument = {"type": "dict"}

    def parse(self, value: Any, option: str) -> dict[str, str]:
        if not value:
            return {}
        kind = str(value.get("type") or "") if isinstance(value, Mapping) else "-"
        if kind and kind not in PARAMETERS:
            raise InvalidOption(option, value, "has no such type", remedy=_PORT)
        # A group may leave the type to its network.
        fields = fields_of(value, option, ("type", *(PARAMETERS[kind] if kind else _PARTS)), _PORT)
        return {key: _PARTS[key].parse(text, f"{option}.{key}") for key, text in fields.items()}


_ID = Text(pattern=r"(?i)[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", remedy="Write a UUID", fold=True)
_PROFILE = Text(pattern=r"[^<>&\"']{1,39}", remedy="Write a profile's name, of 39 characters at most")
_NUMBER = Text(pattern=r"[0-9]{1,8}", remedy="Write a number")


_PARTS: Mapping[str, Text] = {
    "type": Text(),
    "profileid": _PROFILE,
    **dict.fromkeys(("interfaceid", "instanceid"), _ID),
    **dict.fromkeys(("managerid", "typeid", "typeidversion"), _NUMBER),
}


def read_virtualport(parent: Element) -> dict[str, str]:
    """That of a network or a group."""
    port = parent.find("virtualport")
    if port is None:
        return {}
    parameters = port.find("parameters")
    return {**port.attrib, **({} if parameters is None else parameters.attrib)}


def write_virtualport(parent: Element, value: Mapping[str, str]) -> None:
    """All of it."""
    given = dict(value)
    kind = given.pop("type", None)
    parameters = make("parameters", given) if given else None
    replace(parent, "virtualport", make("virtualport", {"type": kind}, parameters) if value else None)


BANDWIDTH, VLANS, VIRTUALPORT = Bandwidth(), Vlans(), VirtualPort()
_GROUP_NAME = Text(pattern=r"[A-Za-z0-9_.:-]+", remedy="Write letters, digits, dots, dashes and underscores")
_GROUP_KINDS: Mapping[str, Kind] = {
    "default": Flag(),
    "bandwidth": BANDWIDTH,
    "vlans": VLANS,
    "virtualport": VIRTUALPORT,
}


def read_group(entry: Any, option: str) -> Iterable[tuple[str, Any]]:
    """A group of ports, by its name."""
    fields = fields_of(entry, option, ("name", *_GROUP_KINDS), _GROUP)
    if "name" not in fields:
        raise InvalidOption(option, entry, "has no name", remedy=_GROUP)
    name = _GROUP_NAME.parse(fields["name"], f"{option}.name")
    yield (
        name,
        {
            key: kind.parse(fields[key], f"{option}[{name}].{key}")
            for key, kind in _GROUP_KINDS.items()
            if key in fields
        },
    )


def write_group(name: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    """As a user would write it."""
    return {"name": name, **{key: _GROUP_KINDS[key].show(value) for key, value in fields.items() if value}}


def group_of(element: Element) -> dict[str, Any]:
    """All that a group says."""
    return {
        "default": flag(element.get("default")),
        "bandwidth": read_bandwidth(element),
        "vlans": read_vlans(element),
        "virtualport": read_virtualport(element),
    }


def read_groups(definition: Element) -> dict[str, Any]:
    """All groups."""
    return {each.get("name", ""): group_of(each) for each in definition.findall("portgroup")}


def write_fields(group: Element, fields: Mapping[str, Any]) -> None:
    """What is said of a group; what is not stays."""
    if "default" in fields:
        group.attrib.pop("default", None)
        if fields["default"]:
            group.set("default", yes(True))
    for key, write in (("virtualport", write_virtualport), ("bandwidth", write_bandwidth), ("vlans", write_vlans)):
        if key in fields:
            write(group, fields[key])
