# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a domain shall be: the wanted values in full, and the tree of a new one. Pure."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from ....engine.errors import InvalidOption, Refused
from ....engine.spec import Spec
from . import devices as dev
from . import fields
from .chain import images_given, same_disk, without_older
from .compare import changes, edits, written
from .model import MAKING, Comparison, Domain, Pool, Seen, View, VmOption
from .numa import memory_of_cells
from .options import BY_NAME, OPTIONS
from .seed import Seed, read_seed, seed, seed_volume
from .settings import OverlayValues, guest_note
from .storage import to_make
from .xml import ET, Element, copied, drop, get, make, put, put_size

#: Empty slots for what is plugged in while a guest runs.
SPARE_PORTS = 8
#: What a new guest has where the task does not say.
MEMORY, MIB = 1024**3, 1024**2
SECTOR = 512


class Placed(NamedTuple):
    """The wanted disks of a guest, each with the path of its image; what these images are is still to be seen."""

    disks: dict[str, Any]
    #: The disks whose images are, or will be, backed by others.
    stacked: frozenset[str]


def placed_disks(want: Spec, seen: Seen, have: Domain | None) -> Placed | None:
    """Where the images of the wanted disks are; None where none are wanted. Raises InvalidOption and Refused."""
    source = want.steering.get("source") or {}
    if "disks" not in want.values and (have is not None or not source):
        return None
    there, live = (read(view, "disks") if view else {} for view in ((have.stored, have.live) if have else (None, None)))
    disks = {target: dict(record) for target, record in want.values.get("disks", {}).items()}
    if source.get("iso"):
        _add_installation(disks, str(source["iso"]), there if have else None)
    stacked = (
        {first_disk(disks)}
        if have is None and source.get("clone") == "linked" and (source.get("image") or source.get("volume"))
        else set()
    )
    for target, record in disks.items():
        pool, volume = record.pop("pool", None), record.pop("volume", None)
        if record.pop("backing", None):
            stacked.add(target)
        record.pop("backing_format", None)
        if volume is not None:
            record["path"] = _place(seen, pool, volume, target)
        elif "path" not in record and target not in there:
            record["path"] = _default_path(want, seen, target, record, pool)
        if have and (target in there or target in live):
            disks[target] = _kept(target, record, have, [side[target] for side in (there, live) if target in side])
    return Placed(disks, frozenset(filter(None, stacked)))


def wanted(want: Spec, seen: Seen, have: Domain | None, placed: Placed | None) -> Spec:
    """The specification with what it leaves to us filled in: volumes, formats, the type.

    Raises InvalidOption and Refused.
    """
    values = dict(want.values)
    if values.get("type") == "auto":
        values["type"] = get(have.stored.root, "@type") if have else seen.emulators["auto"].kind
    if have is None:
        values["memory"] = memory_of_new(want)
    if placed is not None:
        values["disks"] = _completed(placed, seen, have)
    for option in OPTIONS:
        if option.name in values:
            check_kept(option, values[option.name], replace(want, values=values), have)
    value = values.get("cloud_init")
    if isinstance(value, Seed):
        values["cloud_init"] = seed(value, value.digest, _path_of_seed(want, value, seen, have))
    overlay = values.get("xml")
    if have is not None and isinstance(overlay, OverlayValues) and overlay.root.find("devices/disk") is not None:
        places = {**have.stored.places, **seen.places()}
        values["xml"] = OverlayValues(without_older(overlay.root, have.stored.root, have.chains, have.reals, places))
    return replace(want, values=values)


def check_kept(option: VmOption, wished: Any, want: Spec, have: Domain | None) -> None:
    """A device of a kind that is not made here has to be there. Raises InvalidOption."""
    kept = getattr(option.kind, "kept", fields.never_kept)
    missing = [key for key in wished if kept(key, wished[key])] if kept is not fields.never_kept else []
    for view in (have.stored, have.live) if have and missing else ():
        there = option.seen(want, view) if view is not None else {}
        missing = [key for key in missing if not _is_that(wished[key], there.get(key))]
    if missing:
        raise InvalidOption(
            f"{option.name}[{missing[0]}]",
            missing[0],
            "is not there, and nothing that it could be made of is said",
            remedy="Write the whole of it as the documentation of this option has it, or with the option xml",
        )


def _is_that(wished: Any, there: Any) -> bool:
    """Whether a device that is there is of the type that is named, if one is."""
    if there is None or not isinstance(wished, Mapping):
        return there is not None
    return bool(wished.get("type") in (None, there.get("type")))


def compare(given: Spec, full: Spec, seen: Seen, have: Domain | None) -> Comparison:
    """What of a specification is not so; ``full``: the same, filled in. Raises InvalidOption and Refused."""
    backed = {target: record for target, record in given.values.get("disks", {}).items() if record.get("backing")}
    making = to_make(full, seen, have, backed)
    return Comparison(full, tuple(making), tuple(changes(full, have)) if have else ())


def memory_of_new(want: Spec) -> int:
    """What a new guest has."""
    usual = memory_of_cells(want.values.get("numa_cells", {})) or MEMORY
    return int(want.values.get("memory") or min(usual, want.values.get("memory_max", usual)))


def _completed(placed: Placed, seen: Seen, have: Domain | None) -> dict[str, Any]:
    """The wanted disks, with what their images are."""
    there = read(have.stored, "disks") if have else {}
    disks = {target: dict(record) for target, record in placed.disks.items()}
    for target, record in disks.items():
        if record.get("size"):
            record["size"] = -(-record["size"] // SECTOR) * SECTOR
            now, volume = (
                there.get(target, {}),
                seen.volumes.get(record.get("path", there.get(target, {}).get("path", ""))),
            )
            if target in there and "size" not in now and volume is not None and volume.capacity == record["size"]:
                # The statistics of libvirt do not speak of it, and the pool says that it is as it shall be.
                del record["size"]
        if target not in there:
            record.setdefault("device", "disk")
            record.setdefault("bus", dev.bus_of(target))
            record.setdefault("format", _format(record, seen, target in placed.stacked))
            if record["device"] == "cdrom":
                record["read_only"] = True
        elif record.get("path", there[target]["path"]) != there[target]["path"]:
            device = record.get("device", there[target].get("device", "disk"))
            if device == "disk":
                # The format is the image's, not the disk's.
                record.setdefault("format", _format({**record, "device": device}, seen, target in placed.stacked))
    return disks


def _kept(target: str, record: dict[str, Any], have: Domain, sides: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    if record.get("device", sides[0].get("device", "disk")) != "disk":
        # Another medium in a drive is another medium.
        return record
    return same_disk(target, record, sides, have.chains, have.reals, images_given(have.stored.root).get(target, ""))


def images_asked(want: Spec, seen: Seen, have: Domain) -> dict[str, str]:
    """The disks that the task gives another image than they have, or another format: by target, the image's path, or
    nothing where none is named.
    """
    there, live = (read(view, "disks") if view else {} for view in (have.stored, have.live))
    found = {}
    for target, record in want.values.get("disks", {}).items():
        sides = [side[target] for side in (there, live) if target in side]
        if not sides or record.get("device", sides[0].get("device", "disk")) != "disk":
            continue
        try:
            path = _place(seen, record["pool"], record["volume"], target) if "volume" in record else record.get("path")
        except InvalidOption:
            # The plan says so too, where it belongs.
            continue
        if (
            any(side["path"] != path for side in sides)
            if path
            else record.get("format", sides[0].get("format")) != sides[0].get("format")
        ):
            found[target] = path or ""
    overlay = want.values.get("xml")
    for disk in dev.devices(overlay.root, "disk") if isinstance(overlay, OverlayValues) else ():
        target, path = get(disk, "target@dev") or "", seen.places().get(dev.source_of(disk), dev.source_of(disk))
        sides = [side[target] for side in (there, live) if target in side]
        if path and any(side["path"] != path for side in sides):
            found.setdefault(target, path)
    return found


def first_disk(disks: Mapping[str, Mapping[str, Any]]) -> str | None:
    """The disk of a new guest that takes what the guest is made from."""
    return next((target for target, record in disks.items() if record.get("device", "disk") == "disk"), None)


def _add_installation(disks: dict[str, Any], iso: str, there: Mapping[str, Mapping[str, Any]] | None) -> None:
    """The drive with the CD that a guest is installed from.

    One that the guest has since it was made stays, though no entry names it.
    """
    if there is not None:
        for target, record in there.items():
            if record.get("device") == "cdrom" and record["path"] == iso:
                disks.setdefault(target, {})
        return
    ordered = any(record.get("boot_order") for record in disks.values())
    target = dev.free_name("sd", disks)
    hard = first_disk(disks)
    if not ordered and hard is not None:
        # The disk first: as long as nothing is on it, the firmware goes on to the installation.
        disks[hard]["boot_order"] = 1
    disks[target] = {"device": "cdrom", "bus": "sata", "path": iso, **({} if ordered else {"boot_order": 2})}


def _pool(seen: Seen, name: str | None, target: str) -> Pool:
    pool = seen.pools.get(name or "default")
    if (name or "default") in seen.odd_pools:
        odd = seen.odd_pools[name or "default"]
        raise Refused(f"disks[{target}].pool: {name or 'default'}: {odd.message}", remedy=odd.remedy)
    if pool is None:
        raise InvalidOption(
            f"disks[{target}].pool",
            name or "default",
            "is not an active pool of this host",
            remedy="Make or start it (kvm_pool), or name one of: {}".format(", ".join(sorted(seen.pools))),
        )
    if pool.is_network:
        raise InvalidOption(
            f"disks[{target}].pool",
            pool.name,
            f"is a pool of the type {pool.kind}, whose volumes have no path on the host",
            remedy="Write the path of such a disk as a place on the network, like rbd://HOST/POOL/IMAGE",
        )
    return pool


def _default_path(want: Spec, seen: Seen, target: str, record: Mapping[str, Any], pool: str | None) -> str:
    if record.get("device", "disk") != "disk":
        return ""
    pool = pool or want.steering.get("pool")
    ending = ".{}".format(record.get("format", "qcow2")) if _pool(seen, pool, target).holds_files else ""
    return _place(seen, pool, f"{want.name}-{target}{ending}", target)


def _place(seen: Seen, pool: str | None, volume: str, target: str) -> str:
    where = _pool(seen, pool, target)
    if where.is_directory:
        return f"{where.target}/{volume}"
    path = seen.places().get(f"{where.name}/{volume}")
    if path is None:
        raise InvalidOption(
            f"disks[{target}].volume",
            volume,
            f"is not in the pool {where.name}, and none is made on one of the type {where.kind}",
            remedy=f"Name one that virsh vol-list {where.name} shows",
        )
    return path


def _format(record: Mapping[str, Any], seen: Seen, stacked: bool) -> str:
    """What a disk's image is, or will be. ``stacked``: it will stand on another one, which no raw file can."""
    known = seen.format_of(record.get("path", ""))
    if known:
        return known
    if record.get("device") != "disk":
        return "raw"
    pool = seen.pool_of(record.get("path", ""))
    file = pool is not None and pool.holds_files
    if stacked and file:
        return "qcow2"
    ending = os.path.splitext(record.get("path", ""))[1].lstrip(".")
    if ending in ("qcow2", "raw", "img", "vmdk", "vdi", "vhdx", "qed"):
        return "raw" if ending == "img" else ending
    return "qcow2" if file else "raw"


def read(view: View, name: str) -> Any:
    """One option's value."""
    return BY_NAME[name].read(view)


def _path_of_seed(want: Spec, value: Seed, seen: Seen, have: Domain | None) -> str:
    """Where the volume of the wanted seed is, or will be. Raises InvalidOption."""
    for view in (have.stored, have.live) if have else ():
        there = read_seed(view.root, view.name) if view else None
        if there is not None and there == value:
            return there.path
    pool = _pool(seen, want.steering.get("pool"), "seed")
    return f"{pool.target}/{seed_volume(want.name, value.digest)}"


def blank_domain(want: Spec, seen: Seen) -> View:
    """A domain that has nothing yet but what every new one gets. ``want`` has a uuid."""
    emulator = seen.emulators[
        want.values.get("type", "auto") if want.values.get("type", "auto") in seen.emulators else "auto"
    ]
    root = ET.Element("domain", {"type": emulator.kind})
    put(root, "name", want.name)
    # Libvirt's schema takes any order, and its validator (libxml2 2.9) no iothreads or cputune behind a uuid at the
    # end.
    put(root, "uuid", want.values["uuid"])
    put_size(root, "memory", MIB)
    put_size(root, "currentMemory", MIB)
    put(root, "vcpu", "1")
    machine = want.values.get("machine") or ("q35" if emulator.arch == "x86_64" else emulator.machine)
    put(root, "os/type", "hvm")
    put(root, "os/type@arch", emulator.arch)
    put(root, "os/type@machine", machine)
    if emulator.arch in ("x86_64", "i686"):
        put(root, "features/acpi", "")
        put(root, "features/apic", "")
    elif emulator.arch == "aarch64":
        put(root, "features/acpi", "")
    if emulator.kind == "kvm" and "cpu" not in want.values:
        put(root, "cpu@mode", "host-model" if emulator.arch != "aarch64" else "host-passthrough")
    make(root, "devices")
    if machine == "q35" or machine.startswith("pc-q35"):
        for number in range(SPARE_PORTS):
            ET.SubElement(
                make(root, "devices"),
                "controller",
                {"type": "pci", "index": str(number + 1), "model": "pcie-root-port"},
            )
    return View(root, want.name)


def creation(want: Spec, seen: Seen, uuid: str) -> Element:
    """The tree of a new domain. ``want`` is filled in."""
    values = {"console": True, **want.values}
    values["uuid"] = values.get("uuid", uuid)
    want = replace(want, values=values)
    view = blank_domain(want, seen)
    # The machine and the firmware first: others build on them. The rest in the table's order.
    root = written(want, view, edits(want, view))
    image = source_name(want)
    if image:
        guest_note(root).set("image", image)
    drop_empty_note(root)
    for option in OPTIONS:
        if option.whole and option.name in values:
            # What a task writes of the XML itself has the last word.
            option.write(root, None, values[option.name])
    return root


def unfinished(root: Element, making: Sequence[str]) -> Element:
    """The tree of a new domain for which these volumes are still to be made."""
    root = copied(root)
    note = guest_note(root)
    note.set("unfinished", "yes")
    for path in making:
        ET.SubElement(note, MAKING, {"path": path})
    return root


def drop_empty_note(root: Element) -> None:
    """Leave no empty note behind."""
    note = guest_note(root)
    if not note.attrib and not len(note):
        make(root, "metadata").remove(note)
    if not len(make(root, "metadata")):
        drop(root, "metadata")


def source_name(want: Spec) -> str:
    """What a guest is made from, in one word."""
    source = want.steering.get("source") or {}
    if source.get("volume"):
        return "{}/{}".format(source.get("pool") or "default", source["volume"])
    return str(source.get("image") or source.get("iso") or "")
