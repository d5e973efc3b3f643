# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A domain's disks: their fields, how a user's entry is read, and how the disks of a tree are read and written.

Pure.
"""

from __future__ import annotations

import re
from collections.abc import Container, Mapping
from itertools import product
from string import ascii_lowercase
from typing import Any

from ....engine.errors import InvalidOption, Refused
from ....engine.kinds import Flag, Foreign, Integer, Text
from ....engine.units import format_size
from .fields import ORDER, PATH, SIZE, DeviceSet, Field, Line, only_live, parse_fields, read_fields, word, write_fields
from .model import Edit, View
from .network_disks import URL, Auth, Secret, canonical_url, put_url, url_of
from .slots import EXPRESS
from .xml import ET, Element, get, make, put

NAME = Text(pattern=r"[A-Za-z0-9][A-Za-z0-9_.+:@-]*", remedy="Use letters, digits, dots, dashes and underscores")
FLAG = Flag()


def devices(root: Element, tag: str) -> list[Element]:
    """All devices of that kind."""
    return root.findall("devices/" + tag)


def add(root: Element, tag: str, **attributes: str) -> Element:
    """A new device."""
    return ET.SubElement(make(root, "devices"), tag, attributes)


def remove(root: Element, element: Element) -> None:
    """Take a device away."""
    make(root, "devices").remove(element)


class Place(Text):
    """A path on the host, a place on the network, or nothing."""

    def parse(self, value: Any, option: str) -> str:
        text = canonical_url(super().parse(value, option))
        if text and not text.startswith("/") and not URL.fullmatch(text):
            raise InvalidOption(
                option,
                text,
                "is not understood",
                remedy="Write an absolute path, a place on the network like rbd://HOST/POOL/IMAGE, or nothing for an "
                "empty drive",
            )
        return text


DISK_REMEDY = "Write a mapping with target, and size, or path, or pool and volume; or the path of a disk"
#: Limits of a disk; 0 is none. Libvirt's words for them, in its calls too.
IOTUNE_FIELDS = tuple(
    Field(f"{way}_{unit}_sec", Integer(0), f"iotune/{way}_{unit}_sec", 0, live=True)
    for way in ("total", "read", "write")
    for unit in ("bytes", "iops")
)
DISK_FIELDS = (
    Field("device", word("disk", "cdrom", "floppy"), "@device", "disk"),
    Field("bus", word("virtio", "sata", "scsi", "usb", "ide", "fdc"), "target@bus"),
    Field("format", Text(pattern=r"[a-z0-9-]+"), "driver@type"),
    Field(
        "cache", word("default", "none", "writethrough", "writeback", "directsync", "unsafe"), "driver@cache", "default"
    ),
    Field("discard", word("default", "ignore", "unmap"), "driver@discard", "default"),
    Field("io", word("default", "threads", "native", "io_uring"), "driver@io", "default"),
    Field("boot_order", ORDER, "boot@order", 0),
    Field("read_only", FLAG, "readonly", False, "element"),
    Field("shareable", FLAG, "shareable", False, "element"),
    Field(
        "serial",
        Line(pattern=r"[A-Za-z0-9_.+ -]*", remedy="Use letters, digits, dots, dashes and underscores"),
        "serial",
        "",
    ),
    Field("iothread", Integer(0, 1024), "driver@iothread", 0),
    *IOTUNE_FIELDS,
    Auth("username", Text(pattern=r"\S*", remedy="Write it without blanks"), "@username", ""),
    Secret("secret", Text(pattern=r"\S+( \S+)*|"), "source/auth/secret@uuid", ""),
    # These are no place in the device: what they name is looked up.
    Field("path", Place(), "", live=True),
    Field("pool", NAME, ""),
    Field(
        "volume",
        Text(pattern=r"[A-Za-z0-9][A-Za-z0-9_.+:@-]*", remedy="Use letters, digits, dots, dashes and underscores"),
        "",
    ),
    Field("size", SIZE, ""),
    Field("backing", PATH, ""),
    Field("backing_format", Text(pattern=r"[a-z0-9-]+"), ""),
)
#: By the bus of a disk: how its name in the guest begins.
PREFIXES = {"virtio": "vd", "sata": "sd", "scsi": "sd", "usb": "sd", "ide": "hd", "fdc": "fd"}
#: The buses into which a disk can be plugged while the guest runs, and the drives that can get another medium.
_PLUGGED = frozenset(("virtio", "scsi", "usb"))
_REMOVABLE = ("cdrom", "floppy")
_TARGET = re.compile(r"(vd|sd|hd|fd)[a-z]{1,2}")


def _read_disk(entry: Any, option: str) -> tuple[str, dict[str, Any]]:
    fields = {"path": entry} if isinstance(entry, str) else entry
    if not isinstance(fields, Mapping):
        raise InvalidOption(option, entry, "is not a disk", remedy=DISK_REMEDY)
    target = str(fields.get("target") or "")
    where = f"{option}[{target}]"
    if not _TARGET.fullmatch(target):
        raise InvalidOption(
            option, target, "is not a valid name of a disk in the guest", remedy="Write target like vda, sdb or hdc"
        )
    record = parse_fields(DISK_FIELDS, fields, where, more=("target",))
    if "volume" in record and "path" in record:
        raise InvalidOption(
            where, record["path"], "is given, and a volume too", remedy="Give either path, or pool and volume"
        )
    if "volume" in record:
        record.setdefault("pool", "default")
    if record.get("device") in ("cdrom", "floppy"):
        record.pop("size", None)
    if "backing" in record and "backing_format" not in record:
        raise InvalidOption(
            where,
            record["backing"],
            "is a backing image whose format is not said",
            remedy="Write backing_format: qcow2, or raw",
        )
    return target, record


DISKS = DeviceSet(DISK_FIELDS, _read_disk, "target", {"elements": "raw"})


def bus_of(target: str) -> str:
    """The bus of a new disk of that name, where the task names none."""
    return next((bus for bus, prefix in PREFIXES.items() if target.startswith(prefix)), "virtio")


def free_name(prefix: str, taken: Container[str]) -> str:
    """The next name in the guest: vda to vdz, then vdaa and so on. Raises InvalidOption."""
    for letters in (*product(ascii_lowercase), *product(ascii_lowercase, repeat=2)):
        name = prefix + "".join(letters)
        if name not in taken:
            return name
    raise InvalidOption("disks", prefix, "has no names left", remedy="Use another bus, or fewer disks")


def named_disks(entries: Any) -> list[Any]:
    """The entries of ``disks``, each with a target: one that has none gets the next free name of its bus."""
    filled = [
        {"path": entry} if isinstance(entry, str) else dict(entry) if isinstance(entry, Mapping) else entry
        for entry in entries
    ]
    taken = {str(entry.get("target")) for entry in filled if isinstance(entry, dict) and entry.get("target")}
    for entry in filled:
        if not isinstance(entry, dict) or entry.get("target"):
            continue
        bus = str(entry.get("bus") or {"cdrom": "sata", "floppy": "fdc"}.get(str(entry.get("device")), "virtio"))
        prefix = PREFIXES.get(bus, "vd")
        entry["target"] = free_name(prefix, taken)
        taken.add(entry["target"])
    return filled


def source_of(disk: Element) -> str:
    """The path of a disk's content; POOL/VOLUME where the domain names a volume, and its place (or else its name)
    where it is on the network; empty for an empty drive.
    """
    source = disk.find("source")
    if source is None:
        return ""
    path = source.get("file") or source.get("dev") or source.get("dir")
    if path:
        return path
    if source.get("volume"):
        return "{}/{}".format(source.get("pool", ""), source.get("volume"))
    return url_of(source)


def read_disks(root: Element, sizes: Mapping[str, int], places: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """All disks by their targets. ``places``: the paths of volumes, by POOL/VOLUME."""
    found = {}
    for disk in devices(root, "disk"):
        target = get(disk, "target@dev") or ""
        path = places.get(source_of(disk), source_of(disk))
        # A name alone, or a path from who knows where, is no path that a task could write.
        path = path if path.startswith("/") or not path or URL.fullmatch(path) else Foreign(path)
        record = {**read_fields(DISK_FIELDS, disk), "path": path}
        if target in sizes:
            record["size"] = sizes[target]
        found[target] = record
    return found


def disk_hot(edit: Edit, _live: View) -> bool:
    """Disks come and go while the guest runs, their limits change, and drives get other media."""
    if edit.before is None or edit.after is None:
        disk = edit.after if edit.before is None else edit.before
        return disk.get("bus") in _PLUGGED and disk.get("device", "disk") == "disk"
    if only_live(IOTUNE_FIELDS, edit):
        return True
    return edit.before.get("device") in _REMOVABLE and only_live(
        [each for each in DISK_FIELDS if each not in IOTUNE_FIELDS], edit
    )


def disk_slot(edit: Edit, live: View) -> str:
    """The slot that a disk needs which comes, or the controller that it brings."""
    bus = edit.after.get("bus") if edit.before is None else ""
    return EXPRESS if bus == "virtio" or (bus == "scsi" and scsi_controller(live.root) is None) else ""


def disk_grows(target: str, edit: Edit) -> bool:
    """Whether a disk that keeps its image has another size than it shall have. Raises Refused for a smaller one."""
    if edit.before is None or edit.after is None or edit.after.get("path") != edit.before.get("path"):
        return False
    size, now = edit.after.get("size"), edit.before.get("size")
    if size is None or size == now:
        return False
    if now is not None and size < now:
        raise Refused(
            f"disks[{target}].size: a disk is not made smaller, and this one has {format_size(now)}",
            remedy="Ask for that size or more, or for another disk",
        )
    return True


def disk_of(root: Element, target: str) -> Element | None:
    """The disk of that name."""
    return next((disk for disk in devices(root, "disk") if get(disk, "target@dev") == target), None)


def set_source(disk: Element, path: str) -> None:
    """Another content; an empty path takes it out. Who asks for it on the network stays."""
    auth = disk.find("source/auth")
    for tag in ("source", "backingStore"):
        for old in disk.findall(tag):
            disk.remove(old)
    source = Element("source")
    on_network = put_url(source, path)
    kind = "network" if on_network else "block" if path.startswith("/dev/") else "file"
    disk.set("type", kind)
    if path:
        disk.append(source)
    if on_network:
        source.extend([] if auth is None else [auth])
    elif path:
        source.set("dev" if kind == "block" else "file", path)


def scsi_controller(root: Element) -> Element | None:
    """The controller that a disk on SCSI is attached to."""
    return next((each for each in devices(root, "controller") if each.get("type") == "scsi"), None)


def give_scsi(root: Element, disk: Element) -> None:
    """A controller of virtio where there is none, and a place on it: on x86 libvirt's own choice is an LSI of the
    nineties, for which small kernels have no driver. With room for seven disks; libvirt counts all controllers as such
    ones, and would add some for what virtio has room enough for.
    """
    controller = scsi_controller(root)
    if controller is None:
        controller = add(root, "controller", type="scsi", index="0", model="virtio-scsi")
    if str(controller.get("model")).startswith("virtio") and disk.find("address") is None:
        unit = 0
        for letter in (get(disk, "target@dev") or "sda")[2:]:
            unit = unit * 26 + ord(letter) - ord("a") + 1
        ET.SubElement(
            disk,
            "address",
            {
                "type": "drive",
                "controller": controller.get("index") or "0",
                "bus": "0",
                "target": "0",
                "unit": str(unit - 1),
            },
        )


def write_disks(root: Element, before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    """Bring the disks of a tree to ``after``."""
    for target in sorted(set(before) - set(after)):
        gone = disk_of(root, target)
        if gone is not None:
            remove(root, gone)
    for target, record in after.items():
        old = before.get(target, {})
        if record == old:
            continue
        disk = disk_of(root, target)
        if disk is None:
            disk = add(root, "disk", type="file", device=record.get("device", "disk"))
            put(disk, "driver@name", "qemu")
            put(disk, "target@dev", target)
        if record.get("bus") != old.get("bus"):
            for address in disk.findall("address"):
                disk.remove(address)
            if record.get("bus") == "scsi":
                give_scsi(root, disk)
        if "path" in record and record["path"] != old.get("path"):
            set_source(disk, record["path"])
        write_fields(DISK_FIELDS, disk, record, old)
