# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The backing chains of a guest's disks: what tells a disk that moved on to an overlay from another disk.

An external snapshot leaves the image that a guest had as the backing image of a new one. A task that still names the old image means the same disk: to put the
guest back on it would lose what was written since, and the first write to it would make the overlay worthless.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ...engine.errors import Refused
from .client import Host
from .storage_use import real
from .vm_devices import source_of
from .vm_settings import GUEST, guest_note
from .vm_xml import ET, Element, copied, drop, get, put
from .volume_import import backing_format_in, backing_in, format_in
from .volume_options import backing_of
from .xml import NAMESPACE, parse, text_of

#: The image that a task gave to a disk, in the note that the domain bears.
GIVEN = "{%s}disk" % NAMESPACE


@dataclass(frozen=True)
class Layer:
    """One image of a backing chain. ``real``: its path without links; ``format`` is empty where nobody says it."""

    path: str
    real: str
    format: str = ""


@dataclass(frozen=True)
class Chain:
    """What an image is backed by, from the top down. The image itself is not in it."""

    layers: tuple[Layer, ...] = ()
    #: The image whose backing image could not be read; empty where the chain is known to its end.
    unseen: str = ""
    #: Earlier images of the disk by libvirt's records of snapshots, which may be backing images no more: the snapshots, by paths without links.
    earlier: Mapping[str, str] = field(default_factory=dict)

    def find(self, path: str) -> Layer | None:
        """The layer at a path without links."""
        return next((layer for layer in self.layers if path in (layer.real, layer.path)), None)


def named_below(disk: Element) -> tuple[list[tuple[str, str]], bool]:
    """The layers (path and format) that a description names below a disk's image, and whether it says that there are no more. Pure."""
    found: list[tuple[str, str]] = []
    layer = disk
    while (below := layer.find("backingStore")) is not None:
        if below.find("source") is None:
            return found, True
        found.append((source_of(below), get(below, "format@type") or ""))
        layer = below
    return found, False


def look_below(host: Host, disk: Element, places: Mapping[str, str]) -> Chain:
    """The chain below a disk's image: as the description has it, and from there on as the images' headers or their pools do. Reads only.

    ``places``: the paths of volumes, by POOL/VOLUME.
    """
    named, whole = named_below(disk)
    layers = [_layer(host, places.get(path, path), form) for path, form in named]
    # Libvirt takes an image without a format for raw, whatever is in it.
    top = Layer(places.get(source_of(disk), source_of(disk)), "", get(disk, "driver@type") or "raw")
    on_network = get(disk, "source@protocol") is not None
    waiting = [] if whole or on_network else layers[-1:] or [top]
    while waiting:
        image = waiting.pop()
        if image.format == "raw" or not image.path:
            continue
        below = _below(host, image.path)
        if below is None:
            return Chain(tuple(layers), image.path)
        fresh = [layer for layer in below if layer not in layers]
        layers += fresh
        waiting += fresh
    return Chain(tuple(layers))


def overlay_on(host: Host, pool: str, path: str) -> str:
    """An image that is backed by the one at a path, in the same directory or pool; empty where there is none. Reads only."""
    if host.local:
        if not os.path.exists(path):
            return ""
        # The list of a pool does not have what a snapshot made beside it.
        place = os.path.realpath(path)
        for directory in sorted({os.path.dirname(path), os.path.dirname(place)}):
            for other in _files(directory):
                if any(os.path.realpath(each) == place for each in _backing_or_none(other)):
                    return other
        return ""
    handle = host.find(host.conn.storagePoolLookupByName, pool) if pool else None
    for volume in host.ask(handle.listAllVolumes, 0) if handle is not None else ():
        text = host.find(volume.XMLDesc, 0)
        if text is not None and (backing_of(parse(text)) or {}).get("path") == path:
            return str(text_of(parse(text), "target/path"))
    return ""


def _files(directory: str) -> list[str]:
    if directory.startswith("/dev/"):
        return []
    try:
        with os.scandir(directory) as entries:
            return sorted(entry.path for entry in entries if entry.is_file())
    except OSError:
        return []


def _backing_or_none(path: str) -> list[str]:
    try:
        return backing_in(path)
    except (OSError, ValueError):
        # Not an image, or not one that this user may read.
        return []


def _layer(host: Host, path: str, form: str) -> Layer:
    return Layer(path, real(host, path), form)


def _below(host: Host, path: str) -> list[Layer] | None:
    """What an image is backed by; None where that cannot be seen."""
    if host.local:
        try:
            below = backing_in(path)
            # What a guest has written to the beginning of a raw image does not count.
            form = backing_format_in(path) if below else ""
            return [_layer(host, each, form or format_in(each)) for each in below]
        except FileNotFoundError:
            if os.path.isdir(os.path.dirname(path)):
                # It was deleted, and nothing is left that could be lost.
                return []
        except (OSError, ValueError):
            # The pool that it is in may know.
            pass
    volume = host.find(host.conn.storageVolLookupByPath, path)
    if volume is None:
        return None
    backing = backing_of(parse(host.ask(volume.XMLDesc, 0)))
    return [] if backing is None else [_layer(host, backing["path"], backing["format"])]


def earlier_images(host: Host, name: str, target: str, places: Mapping[str, str]) -> dict[str, str]:
    """The images that a guest's disk had when external snapshots were made of it: the snapshots' names, by paths without links. Reads only.

    Libvirt keeps these records until the snapshots are deleted, also when the images are backing images no more (virsh blockpull, blockcopy).
    """
    found: dict[str, str] = {}
    domain = host.find(host.conn.lookupByName, name)
    for snapshot in host.ask(domain.listAllSnapshots, 0) if domain is not None else ():
        text = host.find(snapshot.getXMLDesc, 0)
        tree = parse(text) if text is not None else None
        if tree is None or not any(disk.get("name") == target and disk.get("snapshot") == "external" for disk in tree.iterfind("disks/disk")):
            continue
        for disk in tree.iterfind("*/devices/disk"):
            path = places.get(source_of(disk), source_of(disk))
            if get(disk, "target@dev") == target and path:
                found[real(host, path)] = snapshot.getName()
    return found


def note_images(root: Element, before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    """Write down which images a task gives to disks, in a stored domain's metadata: where the disk has another one later, another program moved it. Pure."""
    given = {target: record["path"] for target, record in after.items() if record.get("device", "disk") == "disk" and record.get("path")}
    fresh = {target: path for target, path in given.items() if path != before.get(target, {}).get("path")}
    gone = {*fresh, *(target for target in before if target not in after)} & {*fresh, *images_given(root)}
    if not gone:
        return
    note = guest_note(root)
    for old in [each for each in note.findall(GIVEN) if each.get("target") in gone]:
        note.remove(old)
    for target, path in sorted(fresh.items()):
        ET.SubElement(note, GIVEN, {"target": target, "path": path})


def images_given(root: Element) -> dict[str, str]:
    """The images that tasks gave to disks, by target. Pure."""
    return {each.get("target", ""): each.get("path", "") for each in root.findall("metadata/%s/%s" % (GUEST, GIVEN))}


def same_disk(
    target: str, wish: Mapping[str, Any], sides: Sequence[Mapping[str, Any]], chains: Mapping[str, Chain], reals: Mapping[str, str], given: str = ""
) -> dict[str, Any]:
    """The entry of a disk, with the image that the disk has in the place of one below it. Pure. Raises Refused where it cannot be told.

    ``sides``: the disk as it is stored, and as it runs; ``chains``: of their images, by path; ``reals``: paths without links; ``given``: the image that an
    earlier task gave it.
    """
    record = dict(wish)
    path = record.get("path")
    if path is None:
        _forgive_format(record, sides, chains)
        return record
    if path == sides[0]["path"]:
        return record
    for side in sides:
        layer = chains.get(side["path"], Chain()).find(reals.get(path, path))
        if layer is None:
            continue
        record["path"] = side["path"]
        if not layer.format or record.get("format") in (None, layer.format):
            # It was said of the image below.
            record["format"] = side.get("format")
        return {key: value for key, value in record.items() if value is not None}
    for side in sides:
        _check_told(target, path, reals.get(path, path), side["path"], chains.get(side["path"], Chain()))
    if given in (path, reals.get(path)):
        raise Refused(
            "disks[%s].path: an earlier task gave this disk %s, and another program has moved it to %s since" % (target, path, sides[0]["path"]),
            remedy="Name the image that the disk has now. To put the old one back all the same, let virsh edit name it",
        )
    return record


def without_older(overlay: Element, stored: Element, chains: Mapping[str, Chain], reals: Mapping[str, str], places: Mapping[str, str]) -> Element:
    """The option xml without the sources of disks that stand below the images that those disks have. Pure. Raises Refused as same_disk."""
    root = copied(overlay)
    have = {get(disk, "target@dev"): disk for disk in stored.findall("devices/disk")}
    for disk in root.findall("devices/disk"):
        target, path = get(disk, "target@dev") or "", places.get(source_of(disk), source_of(disk))
        there = have.get(target)
        now = "" if there is None else places.get(source_of(there), source_of(there))
        if there is None or not path or path == now or (disk.get("device") or there.get("device", "disk")) != "disk":
            continue
        if chains.get(now, Chain()).find(reals.get(path, path)) is None:
            _check_told(target, path, reals.get(path, path), now, chains.get(now, Chain()))
            continue
        for tag in ("source", "backingStore"):
            drop(disk, tag)
        disk.attrib.pop("type", None)
        put(disk, "driver@type", None)
    return root


def _check_told(target: str, path: str, place: str, now: str, chain: Chain) -> None:
    if chain.unseen and now != path:
        raise Refused(
            "disks[%s].path: the disk has %s, and whether %s is an older image of it cannot be told: the backing chain cannot be read at %s"
            % (target, now, path, chain.unseen),
            remedy="Let libvirt see that image (start or refresh its pool: virsh pool-refresh), or name the image that the disk has now",
        )
    if place in chain.earlier and now != path:
        raise Refused(
            "disks[%s].path: %s is the image that this disk had when the snapshot %s was made, and now it has %s" % (target, path, chain.earlier[place], now),
            remedy="Name the image that the disk has now. To go back to the old one, delete the snapshot (virsh snapshot-delete --metadata) first",
        )


def _forgive_format(record: dict[str, Any], sides: Sequence[Mapping[str, Any]], chains: Mapping[str, Chain]) -> None:
    """A format that an image below has may have been said when the disk had that one."""
    wished = record.get("format")
    chain = chains.get(sides[0]["path"])
    if chain is not None and wished not in (None, sides[0].get("format")) and any(layer.format == wished for layer in chain.layers):
        del record["format"]


def behind(stored: Element, live: Element) -> dict[str, tuple[str, str]]:
    """The disks that would come back on an older image when the guest stops: by target, the image in use, and the stored one below it. Pure."""
    found = {}
    kept = {get(disk, "target@dev"): disk for disk in stored.findall("devices/disk")}
    for disk in live.findall("devices/disk"):
        target = get(disk, "target@dev") or ""
        old = kept.get(target)
        if old is None or disk.find("transient") is not None or old.find("transient") is not None:
            # A transient disk is meant to come back as it was.
            continue
        older = source_of(old)
        if older and older != source_of(disk) and older in [path for path, _form in named_below(disk)[0]]:
            found[target] = (source_of(disk), older)
    return found
