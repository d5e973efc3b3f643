# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A domain's graphics, channels, host devices and file systems: their fields, and how those of a tree are read and
written. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from ....engine.errors import InvalidOption
from ....engine.kinds import Entries, Flag, Integer, Text, as_read
from ....engine.units import unquoted
from .devices import add, devices, remove
from .fields import PATH, DeviceSet, Field, parse_fields, read_fields, word, write_fields
from .xml import ET, Element, get, make, put

GRAPHICS_FIELDS = (
    Field("port", Integer(-1, 65535), ""),
    Field("listen", Text(pattern=r"[0-9A-Za-z.:%-]+", remedy="Write an address, like 127.0.0.1 or 0.0.0.0"), "@listen"),
    Field("password", Text(), "@passwd", "", secret=True),
)


#: What is made here, and what else libvirt has (9.0 to 12.8), which is found again.
_MADE, _KEPT = ("vnc", "spice"), ("dbus", "desktop", "egl-headless", "rdp", "sdl")


def _read_graphics(entry: Any, option: str) -> tuple[str, dict[str, Any]]:
    fields = {"type": entry} if isinstance(entry, str) else entry
    kind = str(fields.get("type") or "") if isinstance(fields, Mapping) else ""
    if kind not in (*_MADE, *_KEPT):
        raise InvalidOption(
            option,
            kind or entry,
            "is not a kind of graphics",
            remedy="Write vnc or spice, or a mapping with type, port, listen and password",
        )
    return kind, parse_fields(GRAPHICS_FIELDS, fields, f"{option}[{kind}]", more=("type",))


GRAPHICS = DeviceSet(
    GRAPHICS_FIELDS, _read_graphics, "type", {"elements": "raw"}, lambda kind, _record: kind not in _MADE
)


def read_graphics(root: Element) -> dict[str, dict[str, Any]]:
    """By kind. A port of libvirt's choice is -1."""
    found = {}
    for element in devices(root, "graphics"):
        auto = element.get("autoport") == "yes" or not element.get("port")
        port = -1 if auto else as_read(int, element.get("port"))
        found[element.get("type", "")] = {**read_fields(GRAPHICS_FIELDS, element), "port": port}
    return found


def write_graphics(root: Element, before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    """Bring them to ``after``."""
    for gone in devices(root, "graphics"):
        if gone.get("type") in set(before) - set(after):
            remove(root, gone)
    for kind, record in after.items():
        old = before.get(kind, {})
        element: Element | None = next((each for each in devices(root, "graphics") if each.get("type") == kind), None)
        if element is None:
            element = add(root, "graphics", type=kind, port="-1", autoport="yes")
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
        raise InvalidOption(option, name or entry, "is not a valid name of a channel", remedy=f"Write one like {AGENT}")
    return name, parse_fields(CHANNEL_FIELDS, fields, f"{option}[{name}]", more=("name",))


CHANNELS = DeviceSet(CHANNEL_FIELDS, _read_channel, "name", {"elements": "raw"})


def read_channels(root: Element) -> dict[str, dict[str, Any]]:
    """By their names in the guest."""
    named = ((get(each, "target@name") or "", each) for each in devices(root, "channel"))
    return {name: read_fields(CHANNEL_FIELDS, each) for name, each in named if name}


def write_channels(root: Element, before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    """Bring them to ``after``."""
    for gone in devices(root, "channel"):
        if get(gone, "target@name") in set(before) - set(after):
            remove(root, gone)
    for name, record in after.items():
        old = before.get(name, {})
        element: Element | None = next(
            (each for each in devices(root, "channel") if get(each, "target@name") == name), None
        )
        if element is None:
            kind = "spicevmc" if name.startswith("com.redhat.spice") else "unix"
            element = add(root, "channel", type=record.get("type", kind))
            ET.SubElement(element, "target", {"type": "virtio", "name": name})
        if "path" in record and record["path"] != old.get("path"):
            put(element, "source@mode", "bind")
        write_fields(CHANNEL_FIELDS, element, record, old)


FILESYSTEM_FIELDS = (
    Field("driver", word("virtiofs", "9p"), ""),
    Field("source", PATH, "source@dir"),
    Field("access_mode", word("passthrough", "mapped", "squash"), "@accessmode"),
    Field("read_only", Flag(), "readonly", False, "element"),
)


def _read_filesystem(entry: Any, option: str) -> tuple[str, dict[str, Any]]:
    fields = dict(entry) if isinstance(entry, Mapping) else {}
    target = str(fields.get("target") or "")
    if not re.fullmatch(r"[A-Za-z0-9_./-]{1,36}", target):
        raise InvalidOption(
            option,
            entry,
            "is not a file system",
            remedy="Write a mapping with source (a directory of the host), target (its tag in the guest) and driver",
        )
    record = parse_fields(FILESYSTEM_FIELDS, fields, f"{option}[{target}]", more=("target",))
    record.setdefault("driver", "virtiofs")
    return target, record


FILESYSTEMS = DeviceSet(
    FILESYSTEM_FIELDS,
    _read_filesystem,
    "target",
    {"elements": "raw"},
    lambda _target, record: not record.get("source"),
)


def read_filesystems(root: Element) -> dict[str, dict[str, Any]]:
    """By their tags in the guest."""
    return {
        get(each, "target@dir") or "": {
            **read_fields(FILESYSTEM_FIELDS, each),
            "driver": "virtiofs" if get(each, "driver@type") == "virtiofs" else "9p",
        }
        for each in devices(root, "filesystem")
    }


def write_filesystems(root: Element, before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    """Bring them to ``after``; virtiofs needs the guest's memory to be shared."""
    for gone in devices(root, "filesystem"):
        if get(gone, "target@dir") in set(before) - set(after):
            remove(root, gone)
    for target, record in after.items():
        old = before.get(target, {})
        if record == old:
            continue
        element: Element | None = next(
            (each for each in devices(root, "filesystem") if get(each, "target@dir") == target), None
        )
        if element is None:
            element = add(root, "filesystem", type="mount")
            ET.SubElement(element, "target", {"dir": target})
        if record["driver"] != old.get("driver"):
            for tag in ("driver", "address"):
                for each in element.findall(tag):
                    element.remove(each)
            put(element, "driver@type", "virtiofs" if record["driver"] == "virtiofs" else None)
            element.set("accessmode", record.get("access_mode", "passthrough"))
        write_fields(FILESYSTEM_FIELDS, element, record, old)
    if (
        any(record["driver"] == "virtiofs" for record in after.values())
        and get(root, "memoryBacking/access@mode") != "shared"
    ):
        put(root, "memoryBacking/source@type", "memfd")
        put(root, "memoryBacking/access@mode", "shared")


_PCI = re.compile(r"(?:pci:)?(?:([0-9a-f]{4}):)?([0-9a-f]{2}):([0-9a-f]{2})\.([0-7])")
_USB = re.compile(r"usb:([0-9a-f]{4}):([0-9a-f]{4})")
_NUMBER = re.compile(r"0[xX][0-9a-fA-F]+|[1-9][0-9]*|0")
_MDEV = re.compile(r"mdev:([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})")
#: What is found again and not made: a device by its place on the host, like usb:1.4 or scsi:scsi_host0:0:0:0.
_KEPT_DEVICE = re.compile(r"(usb|scsi|scsi_host|storage|misc|net):\S+")


def _device_remedy(text: str) -> str:
    """What to do about what is no device; it may have been one before YAML read it as a number of minutes."""
    whole, _dot, function = text.partition(".")
    address = unquoted(whole, 2)
    if not address or address[0] > 99 or function not in tuple("01234567"):
        return "Write pci:0000:03:00.0, usb:046d:c52b (vendor and product) or mdev:UUID"
    bus, slot = address
    return f'YAML reads it as a number where it is not quoted: write "pci:0000:{bus:02d}:{slot:02d}.{function}"'


class HostDevices(Entries):
    """Devices of the host, written as one word each: pci:0000:03:00.0, usb:046d:c52b, mdev:UUID."""

    @staticmethod
    def kept(key: str, _record: Any) -> bool:
        """Whether it is of a kind that is not made here."""
        return not (_PCI.fullmatch(key) or _USB.fullmatch(key) or _MDEV.fullmatch(key))

    merges = True
    argument = {"type": "list", "elements": "str"}

    def parse(self, value: Any, option: str) -> dict[str, str]:
        found = {}
        for entry in value:
            text = str(entry).strip().lower()
            pci = _PCI.fullmatch(text)
            if _KEPT_DEVICE.fullmatch(str(entry).strip()) and not _USB.fullmatch(text):
                text = str(entry).strip()
            if pci:
                text = "pci:{}:{}:{}.{}".format(pci[1] or "0000", pci[2], pci[3], pci[4])
            elif not any(each.fullmatch(text) for each in (_USB, _MDEV, _KEPT_DEVICE)):
                raise InvalidOption(option, entry, "is not a device of a host", remedy=_device_remedy(text))
            found[text] = text
        return found

    def show(self, value: Mapping[str, Any]) -> list[str]:
        return sorted(value)


def _number(element: Element, place: str) -> int:
    text = get(element, place) or "0"
    return int(text, 0) if _NUMBER.fullmatch(text) else 0


def pci_of(element: Element) -> str:
    """The address of a host's device that a guest is given: 0000:03:00.0."""
    at = [_number(element, f"source/address@{part}") for part in ("domain", "bus", "slot", "function")]
    return "{:04x}:{:02x}:{:02x}.{:x}".format(*at)


def put_pci(element: Element, address: str) -> None:
    """Give a device the address of a host's."""
    parts = ("domain", "bus", "slot", "function")
    at = {part: "0x" + number for part, number in zip(parts, re.split(r"[:.]", address))}
    ET.SubElement(make(element, "source"), "address", {"type": "pci", **at} if element.tag == "interface" else at)


def _hostdev_key(element: Element) -> str:
    kind = element.get("type", "")
    if kind == "pci":
        return "pci:" + pci_of(element)
    if kind == "usb" and element.find("source/vendor") is not None:
        return "usb:{:04x}:{:04x}".format(_number(element, "source/vendor@id"), _number(element, "source/product@id"))
    if kind == "usb":
        return "usb:%d.%d" % (_number(element, "source/address@bus"), _number(element, "source/address@device"))
    if kind == "mdev":
        return "mdev:{}".format(get(element, "source/address@uuid") or "")
    source = element.find("source")
    return "{}:{}".format(kind, ":".join(_words(source)) if source is not None else "")


def _words(source: Element) -> Iterator[str]:
    """What a source says, in its own order: the device, or the adapter and the place on it."""
    for each in source.iter():
        yield from (re.sub(r"\s", "_", word) for word in (*each.attrib.values(), (each.text or "").strip()) if word)


def read_hostdevs(root: Element) -> dict[str, str]:
    """By the words that name them."""
    return {key: key for key in map(_hostdev_key, devices(root, "hostdev"))}


def write_hostdevs(root: Element, before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    """Bring them to ``after``."""
    for element in devices(root, "hostdev"):
        if _hostdev_key(element) in set(before) - set(after):
            remove(root, element)
    for key in sorted(set(after) - set(before)):
        kind, _colon, rest = key.partition(":")
        element = add(root, "hostdev", mode="subsystem", type=kind)
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
            put_pci(element, rest)
