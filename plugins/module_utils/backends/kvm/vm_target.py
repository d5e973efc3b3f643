# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a domain shall be: the wanted values in full, where they differ from what is there, and the tree that results. Pure."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ...engine.compare import Difference, compared, key_of
from ...engine.errors import InvalidOption
from ...engine.spec import Spec
from . import vm_devices as dev
from . import vm_networks as nets
from .vm_chain import images_given, note_images, same_disk, without_older
from .vm_observe import MAKING, Domain, Pool, Seen
from .vm_options import BY_NAME, OPTIONS, VMS, VmOption
from .vm_seed import TARGET, Seed, seed_path, seed_volume
from .vm_settings import OverlayValues, View, guest_note, same_machine
from .vm_xml import ET, Element, copied, drop, get, lay_over, make, overlay_seen, overlay_values, put, put_size
from .xml import canonical

#: Empty slots for what is plugged in while a guest runs.
SPARE_PORTS = 8
#: What a new guest has where the task does not say.
MEMORY, MIB = 1024**3, 1024**2
SECTOR = 512


def wanted(want: Spec, seen: Seen, have: Domain | None) -> Spec:
    """The specification with what it leaves to us filled in: paths of volumes, formats, the domain type. Raises InvalidOption."""
    values = dict(want.values)
    if values.get("type") == "auto":
        values["type"] = get(have.stored.root, "@type") if have else seen.emulators["auto"].kind
    if have is None:
        values["memory"] = memory_of_new(want)
    steering = dict(want.steering)
    if "disks" in values or (have is None and want.steering.get("source")):
        steering["backing"] = {target: record for target, record in values.get("disks", {}).items() if record.get("backing")}
        values["disks"] = _disks(want, seen, have)
    overlay = values.get("xml")
    if have is not None and isinstance(overlay, OverlayValues) and overlay.root.find("devices/disk") is not None:
        root = without_older(overlay.root, have.stored.root, have.chains, have.reals, {**have.stored.places, **seen.places()})
        values["xml"] = OverlayValues(overlay_values(root), root)
    return replace(want, values=values, steering=steering)


def memory_of_new(want: Spec) -> int:
    """What a new guest has."""
    return int(want.values.get("memory") or min(MEMORY, want.values.get("memory_max", MEMORY)))


def _disks(want: Spec, seen: Seen, have: Domain | None) -> dict[str, Any]:
    there = read(have.stored, "disks") if have else {}
    live = read(have.live, "disks") if have and have.live else {}
    disks = {target: dict(record) for target, record in want.values.get("disks", {}).items()}
    source = want.steering.get("source") or {}
    if source.get("iso"):
        _add_installation(disks, str(source["iso"]), there if have else None)
    stacked = {first_disk(disks)} if have is None and source.get("clone") == "linked" and (source.get("image") or source.get("volume")) else set()
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
            disks[target] = record = _kept(target, record, have, [side[target] for side in (there, live) if target in side])
        if record.get("size"):
            record["size"] = -(-record["size"] // SECTOR) * SECTOR
            now, volume = there.get(target, {}), seen.volumes.get(record.get("path", there.get(target, {}).get("path", "")))
            if target in there and "size" not in now and volume is not None and volume.capacity == record["size"]:
                # The statistics of libvirt do not speak of it, and the pool says that it is as it shall be.
                del record["size"]
        if target not in there:
            record.setdefault("device", "disk")
            record.setdefault("bus", dev.bus_of(target))
            record.setdefault("format", _format(record, seen, target in stacked))
            if record["device"] == "cdrom":
                record["read_only"] = True
        elif record.get("path", there[target]["path"]) != there[target]["path"]:
            device = record.get("device", there[target].get("device", "disk"))
            if device == "disk":
                # The format is the image's, not the disk's.
                record.setdefault("format", _format({**record, "device": device}, seen, target in stacked))
    return disks


def _kept(target: str, record: dict[str, Any], have: Domain, sides: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    if record.get("device", sides[0].get("device", "disk")) != "disk":
        # Another medium in a drive is another medium.
        return record
    return same_disk(target, record, sides, have.chains, have.reals, images_given(have.stored.root).get(target, ""))


def images_asked(want: Spec, seen: Seen, have: Domain) -> dict[str, str]:
    """The disks that the task gives another image than they have, or another format: by target, the image's path, or nothing where none is named."""
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
        if any(side["path"] != path for side in sides) if path else record.get("format", sides[0].get("format")) != sides[0].get("format"):
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
    """The drive with the CD that a guest is installed from. One that the guest has since it was made stays, though no entry names it."""
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
        raise seen.odd_pools[name or "default"]
    if pool is None:
        raise InvalidOption(
            "disks[%s].pool" % target,
            name or "default",
            "is no active pool of this host",
            remedy="Make or start it (kvm_pool), or name one of: %s" % ", ".join(sorted(seen.pools)),
        )
    if pool.is_network:
        raise InvalidOption(
            "disks[%s].pool" % target,
            pool.name,
            "is a pool of the type %s, whose volumes have no path on the host" % pool.kind,
            remedy="Write such a disk with the option xml, as libvirt documents <disk type='network'>",
        )
    return pool


def _default_path(want: Spec, seen: Seen, target: str, record: Mapping[str, Any], pool: str | None) -> str:
    if record.get("device", "disk") != "disk":
        return ""
    pool = pool or want.steering.get("pool")
    ending = ".%s" % record.get("format", "qcow2") if _pool(seen, pool, target).holds_files else ""
    return _place(seen, pool, "%s-%s%s" % (want.name, target, ending), target)


def _place(seen: Seen, pool: str | None, volume: str, target: str) -> str:
    where = _pool(seen, pool, target)
    if where.is_directory:
        return "%s/%s" % (where.target, volume)
    path = seen.places().get("%s/%s" % (where.name, volume))
    if path is None:
        raise InvalidOption(
            "disks[%s].volume" % target,
            volume,
            "is not in the pool %s, and none is made on one of the type %s" % (where.name, where.kind),
            remedy="Name one that virsh vol-list %s shows" % where.name,
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
    """One option's value; the disk with our seed is no disk of the user's."""
    value = BY_NAME[name].read(view)
    if name == "disks":
        mine = seed_path(view.root, view.name)
        value = {target: record for target, record in value.items() if not mine or record.get("path") != mine}
    return value


def observed(want: Spec, view: View) -> dict[str, Any]:
    """What is there of the options that are set, in the words of those who set them."""
    found: dict[str, Any] = {}
    for name, value in want.values.items():
        have = read(view, name)
        if name == "networks":
            have = nets.rekeyed(value, have)
        elif name == "machine" and same_machine(value, have):
            have = value
        elif name == "secure_boot" and want.values.get("firmware") == "uefi" and read(view, "firmware") == "bios":
            # A firmware that is new brings libvirt's choice with it.
            have = None
        elif name == "xml":
            have = overlay_seen(value.root, view.root)
        found[name] = have
    return found


def differences(want: Spec, view: View) -> list[Difference]:
    """All options that are set and are not so in this description."""
    return compared(VMS, want, observed(want, view))


def written(want: Spec, view: View, found: Iterable[Difference], keys: Iterable[str] | None = None) -> Element:
    """The tree with these differences made up for; with ``keys``, only those. Everything else as it was."""
    root = copied(view.root)
    chosen = None if keys is None else set(keys)
    seen = observed(want, view)
    for each in found:
        option = each.option
        if not isinstance(option, VmOption):
            continue
        mine = [part.key for part in each.parts if chosen is None or key_of(option.name, part.key) in chosen]
        if not mine:
            continue
        before, after = seen[option.name], each.value
        if chosen is not None and option.kind.merges:
            # Entries that are not spoken of stay as they are, whether they differ or not.
            kept = {key: value for key, value in before.items() if key not in mine}
            after = {**kept, **{key: value for key, value in after.items() if key in mine}}
        if option.name == "xml":
            overlay = want.values["xml"]
            if isinstance(overlay, OverlayValues):
                lay_over(overlay.root, root)
            continue
        if option.name == "cloud_init":
            continue
        option.write(root, before, after)
        if option.name == "disks":
            note_images(root, before, after)
    if any(device.find("boot") is not None for device in make(root, "devices")):
        drop(root, "os/boot")
    return root


def set_seed(root: Element, name: str, path: str) -> Element:
    """Put the seed into its drive, which is made where it is missing; the drive."""
    old = seed_path(root, name)
    drive = next((disk for disk in dev.devices(root, "disk") if old and dev.source_of(disk) == old), None)
    if drive is None:
        drive = ET.SubElement(make(root, "devices"), "disk", {"type": "file", "device": "cdrom"})
        put(drive, "driver@name", "qemu")
        put(drive, "driver@type", "raw")
        put(drive, "target@dev", TARGET)
        put(drive, "target@bus", "scsi")
        dev.give_scsi(root, drive)
        put(drive, "readonly", "")
    dev.set_source(drive, path)
    return drive


def path_of_seed(want: Spec, seen: Seen) -> str:
    """Where the volume of the wanted seed is, or will be. Raises InvalidOption."""
    value = want.values["cloud_init"]
    digest = value.digest if isinstance(value, Seed) else ""
    return "%s/%s" % (_pool(seen, want.steering.get("pool"), "seed").target, seed_volume(want.name, digest))


def bare(want: Spec, seen: Seen) -> View:
    """A domain that has nothing yet but what every new one gets."""
    emulator = seen.emulators[want.values.get("type", "auto") if want.values.get("type", "auto") in seen.emulators else "auto"]
    root = ET.Element("domain", {"type": emulator.kind})
    put(root, "name", want.name)
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
            ET.SubElement(make(root, "devices"), "controller", {"type": "pci", "index": str(number + 1), "model": "pcie-root-port"})
    return View(root, want.name)


def creation(want: Spec, seen: Seen, uuid: str, making: Sequence[str] = ()) -> Element:
    """The tree of a new domain. ``want`` is filled in; ``making``: the volumes that are still to be made."""
    values = {"console": True, **want.values}
    values["uuid"] = values.get("uuid", uuid)
    want = replace(want, values=values)
    view = bare(want, seen)
    put(view.root, "uuid", values["uuid"])
    # The machine and the firmware first: others stand on them. The rest in the table's order.
    found = compared(VMS, want, {**observed(want, view)})
    root = written(want, view, found)
    if "cloud_init" in values:
        set_seed(root, want.name, path_of_seed(want, seen))
    note = guest_note(root)
    image = source_name(want)
    if image:
        note.set("image", image)
    if making:
        note.set("unfinished", "yes")
        for path in making:
            ET.SubElement(note, MAKING, {"path": path})
    tidy(root)
    if "xml" in values:
        lay_over(values["xml"].root, root)
    return root


def tidy(root: Element) -> None:
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
        return "%s/%s" % (source.get("pool") or "default", source["volume"])
    return str(source.get("image") or source.get("iso") or "")


def pending(stored: View, live: View) -> list[str]:
    """What is stored and not in effect, in the words of a task: it waits for a restart."""
    found: list[str] = []
    for option in OPTIONS:
        if not option.waits:
            continue
        if option.name == "cloud_init":
            continue
        before, after = read(live, option.name), read(stored, option.name)
        if option.name == "memory" and (after or 0) <= (read(live, "memory_max") or 0):
            # The guest has been asked for it, and follows in its own time.
            continue
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            found += [key_of(option.name, key) for key in sorted({*before, *after}) if _waits(option.name, key, before, after)]
        elif before is not None and after is not None and before != after:
            found.append(option.name)
    if seed_path(stored.root, stored.name) != seed_path(live.root, live.name):
        found.append("cloud_init")
    return sorted([*found, *("xml[%s]" % tag for tag in _other(stored.root, live.root))])


#: What no option speaks of and the live XML says the same way: an overlay, or another program, may have changed it.
_PARTS = (
    *("features", "clock", "pm", "memtune", "blkiotune", "cputune", "numatune", "memoryBacking", "iothreads", "sysinfo"),
    *("on_poweroff", "on_reboot", "on_crash", "launchSecurity", "keywrap", "{http://libvirt.org/schemas/domain/qemu/1.0}commandline"),
)
_DEVICES = ("input", "sound", "hub", "redirdev", "iommu", "panic", "smartcard", "memory", "vsock")
_GIVEN = ("address", "alias", "seclabel")


def _other(stored: Element, live: Element) -> list[str]:
    """The names of the other elements that are stored and not in effect. What libvirt adds to a guest as it starts waits for nothing."""
    found = []
    for path in _PARTS:
        for part in stored.findall(path):
            there = live.find(path)
            wished = overlay_values(part)
            if there is not None and canonical(part, _GIVEN) == canonical(there, _GIVEN):
                continue
            if there is None or any(overlay_seen(part, there).get(key) != value for key, value in wished.items()):
                found.append(path.rpartition("}")[2])
    for tag in _DEVICES:
        sides = [sorted(canonical(each, _GIVEN) for each in root.findall("devices/" + tag)) for root in (stored, live)]
        if sides[0] != sides[1]:
            found.append(tag)
    return found


def _waits(option: str, key: str, live: Mapping[str, Any], stored: Mapping[str, Any]) -> bool:
    if option == "cpu" and key in ("mode", "model") and (stored.get("mode"), live.get("mode")) == ("host-model", "custom"):
        # The live XML says what it came to on this processor.
        return False
    if option in ("cpu", "tpm", "watchdog", "rng", "memballoon", "video"):
        return key in live and key in stored and live[key] != stored[key]
    if key not in live or key not in stored:
        return True
    if isinstance(live[key], Mapping):
        return any(live[key][name] != stored[key][name] for name in live[key] if name in stored[key])
    return bool(live[key] != stored[key])
