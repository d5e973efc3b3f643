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
from .extras import pci_of, put_pci
from .fields import MAC, ORDER, DeviceSet, Field, only_live, parse_fields, read_fields, show_fields, word, write_fields
from .model import Edit, View
from .ports import PORT_FIELDS
from .slots import CONVENTIONAL, EXPRESS
from .xml import ET, Element, get, put

NETWORK_REMEDY = (
    "Write a network's name, or a mapping with one of network, bridge, macvtap, or with type and source; or with the "
    "mac of one that is there"
)
#: In our words, and in libvirt's.
NETWORK_TYPES = {"network": "network", "bridge": "bridge", "macvtap": "direct", "user": "user"}
_OURS = {value: key for key, value in NETWORK_TYPES.items()}
#: The kinds that an entry names by themselves.
_WAYS = ("network", "bridge", "macvtap")
#: What others are connected to: how that is written.
OTHERS = {
    "vhostuser": r"/[^\s]+",
    "vdpa": r"/dev/[^\s]+",
    "hostdev": r"[0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]",
    "ethernet": r"[^\s/]{0,15}",
    "internal": r"\S+",
    **dict.fromkeys(("server", "client", "mcast", "udp"), r"\S+:[0-9]{1,5}"),
}
#: Those of libvirt's (9.0 to 12.8) that are found again and not made.
_KEPT_TYPES = ("null", "vds")
#: Models that are for PCI, not for PCI Express.
_CONVENTIONAL = frozenset(["e1000", "e1000-82544gc", "e1000-82545em", "i82551", "ne2k_pci", "pcnet", "rtl8139"])
#: Where that stands, by libvirt's word for the kind.
_SOURCES = {
    "network": "source@network",
    "bridge": "source@bridge",
    "direct": "source@dev",
    "vhostuser": "source@path",
    "vdpa": "source@dev",
    "internal": "source@name",
    "ethernet": "target@dev",
}
NETWORK_FIELDS = (
    Field("type", word(*NETWORK_TYPES, *OTHERS, *_KEPT_TYPES), "", live=True),
    Field("source", Text(), "", live=True),
    Field("mac", MAC, "mac@address"),
    Field("model", Text(pattern=r"[A-Za-z0-9_-]+", remedy="Write a model like virtio or e1000e"), "model@type"),
    Field("filter", Text(), "filterref@filter", "", live=True),
    Field("link", word("up", "down"), "link@state", "up", live=True),
    Field("mtu", Integer(0, 65535), "mtu@size", 0),
    Field("mode", word("bridge", "vepa", "private", "passthrough", "client", "server"), ""),
    Field("boot_order", ORDER, "boot@order", 0),
    *PORT_FIELDS,
)


def _read_network(entry: Any, option: str) -> tuple[str, dict[str, Any]]:
    fields = {"network": entry} if isinstance(entry, str) else entry
    if not isinstance(fields, Mapping):
        raise InvalidOption(option, entry, "is not a network", remedy=NETWORK_REMEDY)
    given = dict(fields)
    ways = [key for key in _WAYS if given.get(key)]
    kind = ways[0] if ways else str(given.get("type") or "")
    known = ways or kind in ("user", *OTHERS, *_KEPT_TYPES) or (not kind and given.get("mac"))
    if len(ways) > 1 or not known or (ways and given.get("type") not in (None, kind)):
        raise InvalidOption(option, entry, "does not say what the guest is connected to", remedy=NETWORK_REMEDY)
    source = str(given.pop(kind) if ways else given.get("source") or "")
    for key in (*_WAYS, "source"):
        given.pop(key, None)
    key = source or kind or str(given["mac"]).lower()
    if source and not re.fullmatch(OTHERS.get(kind, r"[^\s/<>\"'&-][^\s/<>\"'&]*"), source):
        raise InvalidOption(option, source, "is not a valid name of a network or device", remedy=NETWORK_REMEDY)
    said = {"source": source} if source or kind == "user" else {}
    record = parse_fields(NETWORK_FIELDS, {**given, **({"type": kind} if kind else {}), **said}, f"{option}[{key}]")
    _check(record, f"{option}[{key}]")
    return key, record


def _check(record: Mapping[str, Any], option: str) -> None:
    if "mac" in record and int(record["mac"][:2], 16) & 1:
        raise InvalidOption(
            f"{option}.mac", record["mac"], "is a multicast address", remedy="Write one like 52:54:00:12:34:56"
        )
    if record.get("portgroup") and record.get("type", "network") != "network":
        raise InvalidOption(
            f"{option}.portgroup", record["portgroup"], "is of a network of libvirt's", remedy="Write network, or none"
        )


def is_kept(_key: str, record: Mapping[str, Any]) -> bool:
    """Whether an entry is for an interface that is there, and says nothing that one could be made of."""
    return record.get("type") not in NETWORK_TYPES and not (record.get("type") in OTHERS and record.get("source"))


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

    def merge_entry(self, want: Any, have: Any, exact: bool) -> Any:
        """Port groups are those of networks."""
        merged: dict[str, Any] = super().merge_entry(want, have, exact)
        return {**merged, "portgroup": ""} if merged["type"] != "network" and merged.get("portgroup") else merged

    def _write(self, key: str, record: Mapping[str, Any]) -> dict[str, Any]:
        """As a user writes it, {"network": NAME}."""
        shown = show_fields(self.fields, record)
        kind, source = shown.pop("type", ""), shown.pop("source", "")
        named = {kind: source} if kind in _WAYS and source else {"type": kind, "source": source}
        return {**{name: word for name, word in named.items() if word}, **shown}

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
        key = numbered(_source_of(interface) or interface.get("type", ""), seen)
        seen[key] = interface
        yield key, interface


def _source_of(interface: Element) -> str:
    """What an interface is connected to, as a user writes it."""
    kind = interface.get("type", "")
    if kind == "hostdev":
        return pci_of(interface) if get(interface, "source/address@type") == "pci" else ""
    if kind in ("server", "client", "mcast", "udp"):
        return ":".join(filter(None, (get(interface, "source@address"), get(interface, "source@port"))))
    source = get(interface, _SOURCES.get(kind, "source@name")) or ""
    # A name of libvirt's choice is none.
    return "" if kind == "ethernet" and source.startswith("vnet") else source


def _read_interface(key: str, interface: Element) -> dict[str, Any]:
    kind = interface.get("type", "")
    source = _source_of(interface)
    known = re.fullmatch(OTHERS.get(kind, ".*"), source) or not source
    ours = _OURS.get(kind) or (kind if kind in OTHERS or kind in _KEPT_TYPES else Foreign(kind))
    record = {**read_fields(NETWORK_FIELDS, interface), "type": ours, "source": source if known else Foreign(source)}
    if kind in ("direct", "vhostuser"):
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
            found[key] = next((each for each in alike if _is_meant(key, record, each, have)), alike[0])
    left = [key for key in have if key not in found.values()]
    for key, record in want.items():
        there = next((each for each in left if _is_meant(key, record, each, have)), None)
        if not record.get("mac") and there is not None:
            found[key] = there
            left.remove(there)
    return found


def _is_meant(key: str, record: Mapping[str, Any], other: str, have: Mapping[str, Any]) -> bool:
    """Whether what is there is connected to the same; of a kind alone that an entry names, whether it is of that."""
    kind = record.get("type") if not record.get("source") else None
    return _connection(other) == _connection(key) or (kind in OTHERS and have[other].get("type") == kind)


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


def network_slot(edit: Edit, _live: View) -> str:
    """The slot that an interface needs which comes."""
    if edit.before is not None:
        return ""
    return CONVENTIONAL if edit.after.get("model") in _CONVENTIONAL else EXPRESS


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
            if record["type"] != "hostdev" or "model" in record:
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
    _put_source(interface, record)


def _put_source(interface: Element, record: Mapping[str, Any]) -> None:
    kind, source = interface.get("type", ""), record["source"]
    if kind == "hostdev":
        interface.set("managed", "yes")
        put_pci(interface, source)
    elif kind in ("server", "client", "mcast", "udp"):
        address, _colon, port = source.rpartition(":")
        ET.SubElement(interface, "source", {"address": address, "port": port})
    elif source:
        put(interface, _SOURCES[kind], source)
    if kind == "direct":
        put(interface, "source@mode", record.get("mode", "bridge"))
    elif kind == "vhostuser":
        put(interface, "source@type", "unix")
        put(interface, "source@mode", record.get("mode", "server"))
    elif kind == "network" and record.get("portgroup"):
        put(interface, "source@portgroup", record["portgroup"])
