# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The devices that a domain may have several of: disks, networks, graphics, channels, host devices, file systems. Pure.

Of each: the fields, how a user's entry is read, and how the devices of a tree are read and written.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from typing import Any

from ...engine.errors import InvalidOption
from ...engine.kinds import Entries, Flag, Integer, Text
from .vm_fields import MAC, ORDER, PATH, SIZE, DeviceSet, Field, parse_fields, read_fields, word, write_fields
from .vm_xml import ET, Element, get, make, put

NAME = Text(pattern=r"[A-Za-z0-9][A-Za-z0-9_.+:@-]*", remedy="Use letters, digits, dots, dashes and underscores")
FLAG = Flag()


def devices(root: Element, tag: str) -> list[Element]:
    """All devices of that kind."""
    return root.findall("devices/" + tag)


def _add(root: Element, tag: str, **attributes: str) -> Element:
    return ET.SubElement(make(root, "devices"), tag, attributes)


def _remove(root: Element, element: Element) -> None:
    make(root, "devices").remove(element)


# Disks -------------------------------------------------------------------------------------------------------------

DISK_REMEDY = "Write a mapping with target, and size, or path, or pool and volume; or the path of a disk"
DISK_FIELDS = (
    Field("device", word("disk", "cdrom", "floppy"), "@device", "disk"),
    Field("bus", word("virtio", "sata", "scsi", "usb", "ide", "fdc"), "target@bus"),
    Field("format", Text(pattern=r"[a-z0-9-]+"), "driver@type"),
    Field("cache", word("default", "none", "writethrough", "writeback", "directsync", "unsafe"), "driver@cache", "default"),
    Field("discard", word("default", "ignore", "unmap"), "driver@discard", "default"),
    Field("io", word("default", "threads", "native", "io_uring"), "driver@io", "default"),
    Field("boot_order", ORDER, "boot@order", 0),
    Field("read_only", FLAG, "readonly", False, "element"),
    Field("shareable", FLAG, "shareable", False, "element"),
    Field("serial", Text(pattern=r"[A-Za-z0-9_.+ -]*", remedy="Use letters, digits, dots, dashes and underscores"), "serial", ""),
    # These are no place in the device: what they name is looked up.
    Field("path", Text(pattern=r"(/[^\n]*)?", remedy="Write an absolute path, or nothing for an empty drive"), ""),
    Field("pool", NAME, ""),
    Field("volume", Text(pattern=r"[A-Za-z0-9][A-Za-z0-9_.+:@-]*", remedy="Use letters, digits, dots, dashes and underscores"), ""),
    Field("size", SIZE, ""),
    Field("backing", PATH, ""),
    Field("backing_format", Text(pattern=r"[a-z0-9-]+"), ""),
)
#: By the bus of a disk: how its name in the guest begins.
PREFIXES = {"virtio": "vd", "sata": "sd", "scsi": "sd", "usb": "sd", "ide": "hd", "fdc": "fd"}
#: What can be plugged into a guest that runs.
HOT = frozenset(("virtio", "scsi", "usb"))
_TARGET = re.compile(r"(vd|sd|hd|fd)[a-z]{1,2}")


def _read_disk(entry: Any, option: str) -> tuple[str, dict[str, Any]]:
    fields = {"path": entry} if isinstance(entry, str) else entry
    if not isinstance(fields, Mapping):
        raise InvalidOption(option, entry, "is not a disk", remedy=DISK_REMEDY)
    target = str(fields.get("target") or "")
    where = "%s[%s]" % (option, target)
    if not _TARGET.fullmatch(target):
        raise InvalidOption(option, target, "is no name of a disk in the guest", remedy="Write target like vda, sdb or hdc")
    record = parse_fields(DISK_FIELDS, fields, where, more=("target",))
    if "volume" in record and "path" in record:
        raise InvalidOption(where, record["path"], "is given, and a volume too", remedy="Give either path, or pool and volume")
    if "volume" in record:
        record.setdefault("pool", "default")
    if record.get("device") in ("cdrom", "floppy"):
        record.pop("size", None)
    if "backing" in record and "backing_format" not in record:
        raise InvalidOption(where, record["backing"], "is a backing image whose format is not said", remedy="Write backing_format: qcow2, or raw")
    return target, record


DISKS = DeviceSet(DISK_FIELDS, _read_disk, "target", {"elements": "raw"})


def bus_of(target: str) -> str:
    """The bus of a new disk of that name, where the task names none."""
    return next((bus for bus, prefix in PREFIXES.items() if target.startswith(prefix)), "virtio")


def named_disks(entries: Any) -> list[Any]:
    """The entries of ``disks``, each with a target: one that has none gets the next free name of its bus."""
    filled = [{"path": entry} if isinstance(entry, str) else dict(entry) if isinstance(entry, Mapping) else entry for entry in entries]
    taken = {str(entry.get("target")) for entry in filled if isinstance(entry, dict) and entry.get("target")}
    for entry in filled:
        if not isinstance(entry, dict) or entry.get("target"):
            continue
        bus = str(entry.get("bus") or {"cdrom": "sata", "floppy": "fdc"}.get(str(entry.get("device")), "virtio"))
        prefix = PREFIXES.get(bus, "vd")
        entry["target"] = next(name for name in (prefix + letter for letter in "abcdefghijklmnopqrstuvwxyz") if name not in taken)
        taken.add(entry["target"])
    return filled


def source_of(disk: Element) -> str:
    """The path of a disk's content; POOL/VOLUME where the domain names a volume, and a name where it is on the network; empty for an empty drive."""
    source = disk.find("source")
    if source is None:
        return ""
    path = source.get("file") or source.get("dev") or source.get("dir")
    if path:
        return path
    if source.get("volume"):
        return "%s/%s" % (source.get("pool", ""), source.get("volume"))
    return source.get("name", "")


def read_disks(root: Element, sizes: Mapping[str, int], places: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """All disks by their targets. ``places``: the paths of volumes, by POOL/VOLUME."""
    found = {}
    for disk in devices(root, "disk"):
        target = get(disk, "target@dev") or ""
        path = source_of(disk)
        record = {**read_fields(DISK_FIELDS, disk), "path": places.get(path, path)}
        if target in sizes:
            record["size"] = sizes[target]
        found[target] = record
    return found


def disk_of(root: Element, target: str) -> Element | None:
    """The disk of that name."""
    return next((disk for disk in devices(root, "disk") if get(disk, "target@dev") == target), None)


def set_source(disk: Element, path: str) -> None:
    """Another content; an empty path takes it out."""
    for tag in ("source", "backingStore"):
        for old in disk.findall(tag):
            disk.remove(old)
    kind = "block" if path.startswith("/dev/") else "file"
    disk.set("type", kind)
    if path:
        ET.SubElement(disk, "source", {"dev" if kind == "block" else "file": path})


def write_disks(root: Element, before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    """Bring the disks of a tree to ``after``."""
    for target in sorted(set(before) - set(after)):
        gone = disk_of(root, target)
        if gone is not None:
            _remove(root, gone)
    for target, record in after.items():
        old = before.get(target, {})
        if record == old:
            continue
        disk = disk_of(root, target)
        if disk is None:
            disk = _add(root, "disk", type="file", device=record.get("device", "disk"))
            put(disk, "driver@name", "qemu")
            put(disk, "target@dev", target)
        if record.get("bus") != old.get("bus"):
            for address in disk.findall("address"):
                disk.remove(address)
        if "path" in record and record["path"] != old.get("path"):
            set_source(disk, record["path"])
        write_fields(DISK_FIELDS, disk, record, old)


# Networks ----------------------------------------------------------------------------------------------------------

NETWORK_REMEDY = "Write a network's name, or a mapping with one of network, bridge, macvtap or type: user"
#: In our words, and in libvirt's.
NETWORK_TYPES = {"network": "network", "bridge": "bridge", "macvtap": "direct", "user": "user"}
_OURS = {value: key for key, value in NETWORK_TYPES.items()}
NETWORK_FIELDS = (
    Field("type", word(*NETWORK_TYPES), ""),
    Field("source", Text(), ""),
    Field("mac", MAC, "mac@address"),
    Field("model", Text(pattern=r"[A-Za-z0-9-]+", remedy="Write a model like virtio or e1000e"), "model@type"),
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
    if len(ways) > 1 or (not ways and kind != "user") or (ways and given.get("type") not in (None, kind)):
        raise InvalidOption(option, entry, "does not say what the guest is connected to", remedy=NETWORK_REMEDY)
    source = str(given.pop(kind)) if ways else ""
    for key in ("network", "bridge", "macvtap", "source"):
        given.pop(key, None)
    key = source or "user"
    if source and not re.fullmatch(r"[^\s/<>\"'&-][^\s/<>\"'&]*", source):
        raise InvalidOption(option, source, "is no name of a network or device", remedy=NETWORK_REMEDY)
    record = parse_fields(NETWORK_FIELDS, {**given, "type": kind, "source": source}, "%s[%s]" % (option, key))
    if "mac" in record and int(record["mac"][:2], 16) & 1:
        raise InvalidOption("%s[%s].mac" % (option, key), record["mac"], "is a multicast address", remedy="Write one like 52:54:00:12:34:56")
    return key, record


class Networks(DeviceSet):
    """The interfaces of a guest, by what they are connected to; a second one to the same is NAME#2."""

    def __init__(self) -> None:
        super().__init__(NETWORK_FIELDS, _read_network, "name", {"elements": "raw"})

    def parse(self, value: Any, option: str) -> dict[str, Any]:
        records: dict[str, Any] = {}
        for entry in value:
            key, record = _read_network(entry, option)
            records[numbered(key, records)] = record
        macs = [record["mac"] for record in records.values() if "mac" in record]
        for mac in macs:
            if macs.count(mac) > 1:
                raise InvalidOption(option, mac, "is the address of two interfaces", remedy="Give each its own, or none")
        return records

    def _write(self, key: str, record: Mapping[str, Any]) -> dict[str, Any]:
        shown = super()._write(key, record)
        shown.pop("source", None)
        return shown


def numbered(key: str, taken: Mapping[str, Any]) -> str:
    """The key, with the number of its like where there is one already."""
    number, found = 1, key
    while found in taken:
        number += 1
        found = "%s#%d" % (key, number)
    return found


NETWORKS = Networks()


def _interfaces(root: Element) -> Iterator[tuple[str, Element]]:
    seen: dict[str, Any] = {}
    for interface in devices(root, "interface"):
        kind = interface.get("type", "")
        source = get(interface, "source@%s" % {"network": "network", "bridge": "bridge", "direct": "dev"}.get(kind, "name")) or ""
        key = numbered(source or kind, seen)
        seen[key] = interface
        yield key, interface


def _read_interface(key: str, interface: Element) -> dict[str, Any]:
    kind = interface.get("type", "")
    record = {**read_fields(NETWORK_FIELDS, interface), "type": _OURS.get(kind, kind), "source": ""}
    if kind in ("network", "bridge", "direct"):
        record["source"] = key.partition("#")[0]
    if kind == "direct":
        record["mode"] = get(interface, "source@mode") or "vepa"
    return record


def read_networks(root: Element) -> dict[str, dict[str, Any]]:
    """All interfaces, by what they are connected to."""
    return {key: _read_interface(key, interface) for key, interface in _interfaces(root)}


def matched(want: Mapping[str, Any], have: Mapping[str, Any]) -> dict[str, str]:
    """Which interface each wanted entry means: wanted key to observed key. By MAC where it has one, else by what it is connected to."""
    by_mac = {record.get("mac"): key for key, record in have.items()}
    found = {key: by_mac[record["mac"]] for key, record in want.items() if record.get("mac") in by_mac}
    for key in want:
        if key not in found and key in have and key not in found.values():
            found[key] = key
    return found


def rekeyed(want: Mapping[str, Any], have: Mapping[str, Any]) -> dict[str, Any]:
    """What is there, under the keys by which the wanted entries call it."""
    pairs = matched(want, have)
    renamed = {key: have[old] for key, old in pairs.items()}
    for key, record in have.items():
        if key not in pairs.values():
            renamed[numbered(key, {**renamed, **{other: None for other in want if other not in pairs}})] = record
    return renamed


def interface_of(root: Element, mac: str) -> Element | None:
    """The interface with that address."""
    return next((each for each in devices(root, "interface") if (get(each, "mac@address") or "").lower() == mac), None)


def own_mac(root: Element, key: str) -> str:
    """An address that this guest's interface has whenever it is made: from the domain's uuid and the key."""
    digest = hashlib.sha256(("%s %s" % (get(root, "uuid"), key)).encode()).hexdigest()
    return "52:54:00:%s:%s:%s" % (digest[:2], digest[2:4], digest[4:6])


def write_networks(root: Element, before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    """Bring the interfaces of a tree to ``after``; found again by the MAC they had."""
    for key in sorted(set(before) - set(after)):
        gone = interface_of(root, before[key].get("mac", ""))
        if gone is not None:
            _remove(root, gone)
    for key, record in after.items():
        old = before.get(key, {})
        if record == old:
            continue
        interface = interface_of(root, old["mac"]) if old.get("mac") else None
        if interface is None:
            interface = _add(root, "interface")
            put(interface, "mac@address", record.get("mac") or own_mac(root, key))
            put(interface, "model@type", record.get("model", "virtio"))
        if any(record.get(name) != old.get(name) for name in ("type", "source", "mode")):
            _connect(interface, record)
        write_fields(NETWORK_FIELDS, interface, record, old)


def _connect(interface: Element, record: Mapping[str, Any]) -> None:
    interface.set("type", NETWORK_TYPES.get(record["type"], record["type"]))
    for tag in ("source", "target"):
        for old in interface.findall(tag):
            interface.remove(old)
    attribute = {"network": "network", "bridge": "bridge", "macvtap": "dev"}.get(record["type"])
    if attribute:
        source = ET.SubElement(interface, "source", {attribute: record["source"]})
        if record["type"] == "macvtap":
            source.set("mode", record.get("mode", "bridge"))


# Graphics, channels, host devices, file systems ------------------------------------------------------------------------

GRAPHICS_FIELDS = (
    Field("port", Integer(-1, 65535), ""),
    Field("listen", Text(pattern=r"[0-9A-Za-z.:%-]+", remedy="Write an address, like 127.0.0.1 or 0.0.0.0"), "@listen"),
    Field("password", Text(), "@passwd", secret=True),
)


def _read_graphics(entry: Any, option: str) -> tuple[str, dict[str, Any]]:
    fields = {"type": entry} if isinstance(entry, str) else entry
    kind = str(fields.get("type") or "") if isinstance(fields, Mapping) else ""
    if kind not in ("vnc", "spice"):
        raise InvalidOption(option, kind or entry, "is no kind of graphics", remedy="Write vnc or spice, or a mapping with type, port, listen and password")
    return kind, parse_fields(GRAPHICS_FIELDS, fields, "%s[%s]" % (option, kind), more=("type",))


GRAPHICS = DeviceSet(GRAPHICS_FIELDS, _read_graphics, "type", {"elements": "raw"})


def read_graphics(root: Element) -> dict[str, dict[str, Any]]:
    """By kind. A port of libvirt's choice is -1."""
    found = {}
    for element in devices(root, "graphics"):
        auto = element.get("autoport") == "yes" or not element.get("port")
        port = -1 if auto else int(element.get("port") or -1)
        found[element.get("type", "")] = {**read_fields(GRAPHICS_FIELDS, element), "port": port}
    return found


def write_graphics(root: Element, before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    """Bring them to ``after``."""
    for element in devices(root, "graphics"):
        if element.get("type") in set(before) - set(after):
            _remove(root, element)
    for kind, record in after.items():
        old = before.get(kind, {})
        element = next((each for each in devices(root, "graphics") if each.get("type") == kind), None)
        if element is None:
            element = _add(root, "graphics", type=kind, port="-1", autoport="yes")
        if "port" in record and record["port"] != old.get("port"):
            element.set("port", str(record["port"]))
            element.set("autoport", "yes" if record["port"] == -1 else "no")
        if record.get("listen") != old.get("listen"):
            for listen in element.findall("listen"):
                element.remove(listen)
        write_fields(GRAPHICS_FIELDS, element, record, old)


CHANNEL_FIELDS = (Field("type", word("unix", "spicevmc", "pty"), "@type"), Field("path", PATH, "source@path"))
AGENT = "org.qemu.guest_agent.0"


def _read_channel(entry: Any, option: str) -> tuple[str, dict[str, Any]]:
    fields = {"name": entry} if isinstance(entry, str) else entry
    name = str(fields.get("name") or "") if isinstance(fields, Mapping) else ""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", name):
        raise InvalidOption(option, name or entry, "is no name of a channel", remedy="Write one like %s" % AGENT)
    record = parse_fields(CHANNEL_FIELDS, fields, "%s[%s]" % (option, name), more=("name",))
    record.setdefault("type", "spicevmc" if name.startswith("com.redhat.spice") else "unix")
    return name, record


CHANNELS = DeviceSet(CHANNEL_FIELDS, _read_channel, "name", {"elements": "raw"})


def read_channels(root: Element) -> dict[str, dict[str, Any]]:
    """By their names in the guest."""
    return {get(each, "target@name") or "": read_fields(CHANNEL_FIELDS, each) for each in devices(root, "channel") if get(each, "target@name")}


def write_channels(root: Element, before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    """Bring them to ``after``."""
    for element in devices(root, "channel"):
        if get(element, "target@name") in set(before) - set(after):
            _remove(root, element)
    for name, record in after.items():
        old = before.get(name, {})
        element = next((each for each in devices(root, "channel") if get(each, "target@name") == name), None)
        if element is None:
            element = _add(root, "channel", type=record["type"])
            ET.SubElement(element, "target", {"type": "virtio", "name": name})
        if "path" in record and record["path"] != old.get("path"):
            put(element, "source@mode", "bind")
        write_fields(CHANNEL_FIELDS, element, record, old)


FILESYSTEM_FIELDS = (
    Field("driver", word("virtiofs", "9p"), ""),
    Field("source", PATH, "source@dir"),
    Field("access_mode", word("passthrough", "mapped", "squash"), "@accessmode"),
    Field("read_only", FLAG, "readonly", False, "element"),
)


def _read_filesystem(entry: Any, option: str) -> tuple[str, dict[str, Any]]:
    fields = dict(entry) if isinstance(entry, Mapping) else {}
    target = str(fields.get("target") or "")
    if not re.fullmatch(r"[A-Za-z0-9_./-]{1,36}", target) or not fields.get("source"):
        raise InvalidOption(option, entry, "is not a file system", remedy="Write a mapping with source (a directory of the host), target (its tag in the guest) and driver")
    record = parse_fields(FILESYSTEM_FIELDS, fields, "%s[%s]" % (option, target), more=("target",))
    record.setdefault("driver", "virtiofs")
    return target, record


FILESYSTEMS = DeviceSet(FILESYSTEM_FIELDS, _read_filesystem, "target", {"elements": "raw"})


def read_filesystems(root: Element) -> dict[str, dict[str, Any]]:
    """By their tags in the guest."""
    return {
        get(each, "target@dir") or "": {**read_fields(FILESYSTEM_FIELDS, each), "driver": "virtiofs" if get(each, "driver@type") == "virtiofs" else "9p"}
        for each in devices(root, "filesystem")
    }


def write_filesystems(root: Element, before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    """Bring them to ``after``; virtiofs needs the guest's memory to be shared."""
    for element in devices(root, "filesystem"):
        if get(element, "target@dir") in set(before) - set(after):
            _remove(root, element)
    for target, record in after.items():
        old = before.get(target, {})
        if record == old:
            continue
        element = next((each for each in devices(root, "filesystem") if get(each, "target@dir") == target), None)
        if element is None:
            element = _add(root, "filesystem", type="mount")
            ET.SubElement(element, "target", {"dir": target})
        if record["driver"] != old.get("driver"):
            for tag in ("driver", "address"):
                for each in element.findall(tag):
                    element.remove(each)
            put(element, "driver@type", "virtiofs" if record["driver"] == "virtiofs" else None)
            element.set("accessmode", record.get("access_mode", "passthrough"))
        write_fields(FILESYSTEM_FIELDS, element, record, old)
    if any(record["driver"] == "virtiofs" for record in after.values()) and get(root, "memoryBacking/access@mode") != "shared":
        put(root, "memoryBacking/source@type", "memfd")
        put(root, "memoryBacking/access@mode", "shared")


_PCI = re.compile(r"(?:pci:)?(?:([0-9a-f]{4}):)?([0-9a-f]{2}):([0-9a-f]{2})\.([0-7])")
_USB = re.compile(r"usb:([0-9a-f]{4}):([0-9a-f]{4})")
_MDEV = re.compile(r"mdev:([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})")


class HostDevices(Entries):
    """Devices of the host, written as one word each: pci:0000:03:00.0, usb:046d:c52b, mdev:UUID."""

    merges = True
    argument = {"type": "list", "elements": "str"}

    def parse(self, value: Any, option: str) -> dict[str, str]:
        found = {}
        for entry in value:
            text = str(entry).strip().lower()
            pci = _PCI.fullmatch(text)
            if pci:
                text = "pci:%s:%s:%s.%s" % (pci[1] or "0000", pci[2], pci[3], pci[4])
            elif not _USB.fullmatch(text) and not _MDEV.fullmatch(text):
                raise InvalidOption(option, entry, "is no device of a host", remedy="Write pci:0000:03:00.0, usb:046d:c52b (vendor and product) or mdev:UUID")
            found[text] = text
        return found

    def show(self, value: Mapping[str, Any]) -> list[str]:
        return sorted(value)


def _hostdev_key(element: Element) -> str:
    def number(place: str) -> int:
        return int(get(element, place) or "0", 0)

    kind = element.get("type", "")
    if kind == "pci":
        at = "source/address@"
        return "pci:%04x:%02x:%02x.%x" % tuple(number(at + part) for part in ("domain", "bus", "slot", "function"))
    if kind == "usb" and element.find("source/vendor") is not None:
        return "usb:%04x:%04x" % (number("source/vendor@id"), number("source/product@id"))
    return "%s:%s" % (kind, get(element, "source/address@uuid") or get(element, "source/address@device") or "")


def read_hostdevs(root: Element) -> dict[str, str]:
    """By the words that name them."""
    return {key: key for key in map(_hostdev_key, devices(root, "hostdev"))}


def write_hostdevs(root: Element, before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    """Bring them to ``after``."""
    for element in devices(root, "hostdev"):
        if _hostdev_key(element) in set(before) - set(after):
            _remove(root, element)
    for key in sorted(set(after) - set(before)):
        kind, _colon, rest = key.partition(":")
        element = _add(root, "hostdev", mode="subsystem", type=kind)
        source = ET.SubElement(element, "source")
        if kind == "usb":
            vendor, product = rest.split(":")
            ET.SubElement(source, "vendor", {"id": "0x" + vendor})
            ET.SubElement(source, "product", {"id": "0x" + product})
        elif kind == "mdev":
            element.set("model", "vfio-pci")
            ET.SubElement(source, "address", {"uuid": rest})
        else:
            element.set("managed", "yes")
            domain, bus, slot, function = re.split(r"[:.]", rest)
            ET.SubElement(source, "address", {"domain": "0x" + domain, "bus": "0x" + bus, "slot": "0x" + slot, "function": "0x" + function})
