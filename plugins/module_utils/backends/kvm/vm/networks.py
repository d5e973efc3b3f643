# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A domain's network interfaces: their fields, how a user's entry is read, and how the interfaces of a tree are read
and written. Pure.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from itertools import chain, count
from typing import Any

from ....engine.errors import InvalidOption
from ....engine.kinds import Foreign, Integer, Text
from .devices import add, devices, remove
from .fields import MAC, ORDER, DeviceSet, Field, only_live, parse_fields, read_fields, show_fields, word, write_fields
from .model import Edit, View
from .xml import ET, Element, get, put

NETWORK_REMEDY = "Write a network's name, or a mapping with one of network, bridge, macvtap or type: user; or with the mac of one that is there"
#: In our words, and in libvirt's.
NETWORK_TYPES = {"network": "network", "bridge": "bridge", "macvtap": "direct", "user": "user"}
_OURS = {value: key for key, value in NETWORK_TYPES.items()}
#: Libvirt's other kinds (9.0 to 12.8), which are found again and not made.
_KEPT_TYPES = (
    "client",
    "ethernet",
    "hostdev",
    "internal",
    "mcast",
    "null",
    "server",
    "udp",
    "vdpa",
    "vds",
    "vhostuser",
)
NETWORK_FIELDS = (
    Field("type", word(*NETWORK_TYPES, *_KEPT_TYPES), "", live=True),
    Field("source", Text(), "", live=True),
    Field("mac", MAC, "mac@address"),
    Field("model", Text(pattern=r"[A-Za-z0-9_-]+", remedy="Write a model like virtio or e1000e"), "model@type"),
    Field("filter", Text(), "filterref@filter", "", live=True),
    Field("link", word("up", "down"), "link@state", "up", live=True),
    Field("mtu", Integer(0, 65535), "mtu@size", 0),
    Field("mode", word("bridge", "vepa", "private", "passthrough"), ""),
    Field("boot_order", ORDER, "boot@order", 0),
)


def _read_network(entry: Any, option: str) -> tuple[str, dict[str, Any]]:
    fields = {"network": entry} if isinstance(entry, str) else entry
    if not isinstance(fields, Mapping):
        raise InvalidOption(option, entry, "is not a network", remedy=NETWORK_REMEDY)
    given = dict(fields)
    ways = [key for key in ("network", "bridge", "macvtap") if given.get(key)]
    kind = ways[0] if ways else str(given.get("type") or "")
    alone = kind in ("user", *_KEPT_TYPES) or (not kind and bool(given.get("mac")))
    if len(ways) > 1 or (not ways and not alone) or (ways and given.get("type") not in (None, kind)):
        raise InvalidOption(option, entry, "does not say what the guest is connected to", remedy=NETWORK_REMEDY)
    source = str(given.pop(kind)) if ways else ""
    for key in ("network", "bridge", "macvtap", "source"):
        given.pop(key, None)
    key = source or kind or str(given["mac"]).lower()
    if source and not re.fullmatch(r"[^\s/<>\"'&-][^\s/<>\"'&]*", source):
        raise InvalidOption(option, source, "is not a valid name of a network or device", remedy=NETWORK_REMEDY)
    connection = {"type": kind, "source": source} if kind else {}
    record = parse_fields(NETWORK_FIELDS, {**given, **connection}, f"{option}[{key}]")
    if "mac" in record and int(record["mac"][:2], 16) & 1:
        raise InvalidOption(
            f"{option}[{key}].mac",
            record["mac"],
            "is a multicast address",
            remedy="Write one like 52:54:00:12:34:56",
        )
    return key, record


def is_kept(_key: str, record: Mapping[str, Any]) -> bool:
    """Whether an entry is for an interface that is there, and says nothing that one could be made of."""
    return record.get("type") not in NETWORK_TYPES


class Networks(DeviceSet):
    """The interfaces of a guest, by what they are connected to; a second one to the same is NAME#2."""

    def __init__(self) -> None:
        super().__init__(NETWORK_FIELDS, _read_network, "name", {"elements": "raw"}, is_kept)

    def parse(self, value: Any, option: str) -> dict[str, Any]:
        records: dict[str, Any] = {}
        for entry in value:
            key, record = _read_network(entry, option)
            records[numbered(key, records)] = record
        macs = [record["mac"] for record in records.values() if "mac" in record]
        for mac in macs:
            if macs.count(mac) > 1:
                raise InvalidOption(
                    option, mac, "is the address of two interfaces", remedy="Give each its own, or none"
                )
        return records

    def _write(self, key: str, record: Mapping[str, Any]) -> dict[str, Any]:
        """As a user writes it, {"network": NAME}."""
        shown = show_fields(self.fields, record)
        kind, source = shown.pop("type", ""), shown.pop("source", "")
        return {**({kind: source} if source else {"type": kind} if kind else {}), **shown}

    def show(self, value: Mapping[str, Any]) -> list[Any]:
        """Interfaces that share an address (a team) are told apart by what they are connected to."""
        shown, taken = list[Any](), set[Any]()
        for entry in super().show(value):
            mac = entry.get("mac")
            shown.append({key: each for key, each in entry.items() if key != "mac" or mac not in taken})
            taken.add(mac)
        return shown


def numbered(key: str, taken: Mapping[str, Any]) -> str:
    """The key, with the number of its like where there is one already."""
    names = chain([key], ("%s#%d" % (key, number) for number in count(2)))
    return next(name for name in names if name not in taken)


NETWORKS = Networks()


def _interfaces(root: Element) -> Iterator[tuple[str, Element]]:
    seen: dict[str, Any] = {}
    for interface in devices(root, "interface"):
        kind = interface.get("type", "")
        place = {"network": "network", "bridge": "bridge", "direct": "dev"}.get(kind)
        key = numbered((get(interface, f"source@{place}") if place else "") or kind, seen)
        seen[key] = interface
        yield key, interface


def _read_interface(key: str, interface: Element) -> dict[str, Any]:
    kind = interface.get("type", "")
    ours = _OURS.get(kind) or (kind if kind in _KEPT_TYPES else Foreign(kind))
    record = {**read_fields(NETWORK_FIELDS, interface), "type": ours, "source": ""}
    if kind in ("network", "bridge", "direct"):
        record["source"] = _connection(key)
    if kind == "direct":
        record["mode"] = get(interface, "source@mode") or "vepa"
    return record


def read_networks(root: Element) -> dict[str, dict[str, Any]]:
    """All interfaces, by what they are connected to."""
    return {key: _read_interface(key, interface) for key, interface in _interfaces(root)}


def matched(want: Mapping[str, Any], have: Mapping[str, Any]) -> dict[str, str]:
    """Which interface each wanted entry means: wanted key to observed key.

    By its MAC where it has one: an address that no interface has is a new interface's. Of several with that address
    (a team) the one that is connected to the same. Else the next one that is connected to the same, of those that no
    entry means by its MAC.
    """
    found: dict[str, str] = {}
    for key, record in want.items():
        alike = [each for each in have if record.get("mac") and have[each].get("mac") == record["mac"]]
        if alike:
            found[key] = next((each for each in alike if _connection(each) == _connection(key)), alike[0])
    left = [key for key in have if key not in found.values()]
    for key, record in want.items():
        there = next((each for each in left if _connection(each) == _connection(key)), None)
        if not record.get("mac") and there is not None:
            found[key] = there
            left.remove(there)
    return found


def _connection(key: str) -> str:
    """What an interface of that key is connected to."""
    return key.partition("#")[0]


def rekeyed(want: Mapping[str, Any], have: Mapping[str, Any]) -> dict[str, Any]:
    """What is there, under the keys by which the wanted entries call it."""
    pairs = matched(want, have)
    renamed = {key: have[old] for key, old in pairs.items()}
    for key, record in have.items():
        if key not in pairs.values():
            renamed[numbered(key, {**renamed, **{other: None for other in want if other not in pairs}})] = record
    return renamed


def network_hot(edit: Edit, _live: View) -> bool:
    """Interfaces come and go while the guest runs, and are connected to something else."""
    return edit.before is None or edit.after is None or only_live(NETWORK_FIELDS, edit)


def interface_of(root: Element, mac: str) -> Element | None:
    """The interface with that address."""
    return next((each for each in devices(root, "interface") if (get(each, "mac@address") or "").lower() == mac), None)


def own_mac(root: Element, key: str) -> str:
    """An address that this guest's interface has whenever it is made: from the domain's uuid and the key, and of those
    that no interface of the guest has.
    """
    taken = {(get(each, "mac@address") or "").lower() for each in devices(root, "interface")}
    text = "{} {}".format(get(root, "uuid"), key)
    while True:
        text = hashlib.sha256(text.encode()).hexdigest()
        mac = f"52:54:00:{text[:2]}:{text[2:4]}:{text[4:6]}"
        if mac not in taken:
            return mac


def write_networks(root: Element, before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    """Bring the interfaces of a tree to ``after``; found again by the MAC they had."""
    for key in sorted(set(before) - set(after)):
        gone = interface_of(root, before[key].get("mac", ""))
        if gone is not None:
            remove(root, gone)
    for key, record in after.items():
        old = before.get(key, {})
        if record == old:
            continue
        interface = interface_of(root, old["mac"]) if old.get("mac") else None
        if interface is None:
            interface = add(root, "interface")
            put(interface, "mac@address", record.get("mac") or own_mac(root, key))
            put(interface, "model@type", record.get("model", "virtio"))
        if any(record.get(name) != old.get(name) for name in ("type", "source", "mode")):
            _connect(interface, record)
        write_fields(NETWORK_FIELDS, interface, record, old)


def _connect(interface: Element, record: Mapping[str, Any]) -> None:
    interface.set("type", NETWORK_TYPES.get(record["type"], record["type"]))
    for old in interface.findall("source"):
        interface.remove(old)
    for old in interface.findall("target"):
        # A name of libvirt's choice goes with the connection.
        if record["type"] == "user" or old.get("dev", "").startswith(("vnet", "macvtap")):
            interface.remove(old)
    attribute = {"network": "network", "bridge": "bridge", "macvtap": "dev"}.get(record["type"])
    if attribute:
        source = ET.SubElement(interface, "source", {attribute: record["source"]})
        if record["type"] == "macvtap":
            source.set("mode", record.get("mode", "bridge"))
