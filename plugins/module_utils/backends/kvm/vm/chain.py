# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The backing chains of a guest's disks: what tells a disk that moved on to an overlay from another disk.

An external snapshot leaves the image that a guest had as the backing image of a new one. A task that still names the
old image means the same disk: to put the guest back on it would lose what was written since, and the first write to it
would make the overlay worthless. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ....engine.errors import Refused
from ..xml import NAMESPACE
from .devices import source_of
from .model import GUEST, Chain
from .overlay import overlay_seen, overlay_values
from .settings import guest_note
from .xml import ET, Element, copied, drop, get, put

#: The image that a task gave to a disk, in the note that the domain bears.
GIVEN = f"{{{NAMESPACE}}}disk"


def named_below(disk: Element) -> tuple[list[tuple[str, str]], bool]:
    """The layers (path and format) that a description names below a disk's image, and whether it says that there are
    no more. Pure.
    """
    found: list[tuple[str, str]] = []
    layer = disk
    while (below := layer.find("backingStore")) is not None:
        if below.find("source") is None:
            return found, True
        found.append((source_of(below), get(below, "format@type") or ""))
        layer = below
    return found, False


def note_images(root: Element, before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    """Write down which images a task gives to disks, in a stored domain's metadata: where the disk has another one
    later, another program moved it. Pure.
    """
    given = {
        target: record["path"]
        for target, record in after.items()
        if record.get("device", "disk") == "disk" and record.get("path")
    }
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
    return {each.get("target", ""): each.get("path", "") for each in root.findall(f"metadata/{GUEST}/{GIVEN}")}


def same_disk(
    target: str,
    wish: Mapping[str, Any],
    sides: Sequence[Mapping[str, Any]],
    chains: Mapping[str, Chain],
    reals: Mapping[str, str],
    given: str = "",
) -> dict[str, Any]:
    """The entry of a disk, with the image that the disk has in the place of one below it. Pure. Raises Refused where it
    cannot be told.

    ``sides``: the disk as it is stored, and as it runs; ``chains``: of their images, by path; ``reals``: paths without
    links; ``given``: the image that an earlier task gave it.
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
        _check_chain_readable(target, path, reals.get(path, path), side["path"], chains.get(side["path"], Chain()))
    if given in (path, reals.get(path)):
        raise Refused(
            "disks[{}].path: an earlier task gave this disk {}, and another program has moved it to {} since".format(
                target, path, sides[0]["path"]
            ),
            remedy="Name the image that the disk has now. To put the old one back all the same, let virsh edit name it",
        )
    return record


def without_older(
    overlay: Element, stored: Element, chains: Mapping[str, Chain], reals: Mapping[str, str], places: Mapping[str, str]
) -> Element:
    """The option xml without the sources of disks that stand below the images that those disks have.

    Pure. Raises Refused as same_disk.
    """
    root = copied(overlay)
    have = {get(disk, "target@dev"): disk for disk in stored.findall("devices/disk")}
    for disk in root.findall("devices/disk"):
        target, path = get(disk, "target@dev") or "", places.get(source_of(disk), source_of(disk))
        there = have.get(target)
        now = "" if there is None else places.get(source_of(there), source_of(there))
        if there is None or not path or (disk.get("device") or there.get("device", "disk")) != "disk":
            continue
        if path == now:
            _drop_same_source(disk, there)
            continue
        if chains.get(now, Chain()).find(reals.get(path, path)) is None:
            _check_chain_readable(target, path, reals.get(path, path), now, chains.get(now, Chain()))
            continue
        for tag in ("source", "backingStore"):
            drop(disk, tag)
        disk.attrib.pop("type", None)
        put(disk, "driver@type", None)
    return root


def _drop_same_source(disk: Element, there: Element) -> None:
    """A source that the disk has is not written again: by then, a snapshot may have given it another one."""
    wished, have = disk.find("source"), there.find("source")
    if wished is not None and have is not None and overlay_seen(wished, have) == overlay_values(wished):
        disk.remove(wished)


def _check_chain_readable(target: str, path: str, place: str, now: str, chain: Chain) -> None:
    if chain.unseen and now != path:
        raise Refused(
            f"disks[{target}].path: the disk has {now}, and whether {path} is an older image of it cannot be told: "
            f"the backing chain cannot be read at {chain.unseen}",
            remedy="Let libvirt see that image (start or refresh its pool: virsh pool-refresh), or name the image "
            "that the disk has now",
        )
    if place in chain.earlier and now != path:
        raise Refused(
            f"disks[{target}].path: {path} is the image that this disk had when the snapshot {chain.earlier[place]} "
            f"was made, and now it has {now}",
            remedy="Name the image that the disk has now. To go back to the old one, delete the snapshot (virsh "
            "snapshot-delete --metadata) first",
        )


def _forgive_format(record: dict[str, Any], sides: Sequence[Mapping[str, Any]], chains: Mapping[str, Chain]) -> None:
    """A format that an image below has may have been said when the disk had that one."""
    wished = record.get("format")
    chain = chains.get(sides[0]["path"])
    if (
        chain is not None
        and wished not in (None, sides[0].get("format"))
        and any(layer.format == wished for layer in chain.layers)
    ):
        del record["format"]


def behind(stored: Element, live: Element) -> dict[str, tuple[str, str]]:
    """The disks that would come back on an older image when the guest stops: by target, the image in use, and the
    stored one below it. Pure.
    """
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
