# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the images of disks are backed by: by descriptions, headers of images, pools and records of snapshots.

Reads only.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress

from ..client import Host
from ..storage.use import real
from ..storage.volume_import import backing_format_in, backing_in, format_in
from ..storage.volume_options import backing_of
from ..xml import parse, text_of
from .chain import named_below
from .devices import source_of
from .model import Chain, Layer
from .xml import Element, get


def look_below(host: Host, disk: Element, places: Mapping[str, str]) -> Chain:
    """The chain below a disk's image: as the description has it, and from there on as the images' headers or their
    pools do. Reads only.

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
    """An image that is backed by the one at a path, in the same directory or pool; empty where there is none.

    Reads only.
    """
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
    with suppress(OSError), os.scandir(directory) as entries:
        return sorted(entry.path for entry in entries if entry.is_file())
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
    """The images that a guest's disk had when external snapshots were made of it: the snapshots' names, by paths
    without links. Reads only.

    Libvirt keeps these records until the snapshots are deleted, also when the images are backing images no more (virsh
    blockpull, blockcopy).
    """
    found: dict[str, str] = {}
    domain = host.find(host.conn.lookupByName, name)
    for snapshot in host.ask(domain.listAllSnapshots, 0) if domain is not None else ():
        text = host.find(snapshot.getXMLDesc, 0)
        tree = parse(text) if text is not None else None
        if tree is None or not any(
            disk.get("name") == target and disk.get("snapshot") == "external" for disk in tree.iterfind("disks/disk")
        ):
            continue
        for disk in tree.iterfind("*/devices/disk"):
            path = places.get(source_of(disk), source_of(disk))
            if get(disk, "target@dev") == target and path:
                found[real(host, path)] = snapshot.getName()
    return found
