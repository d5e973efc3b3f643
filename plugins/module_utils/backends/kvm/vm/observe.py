# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is there: domains, and what a plan for them has to know of pools, volumes and the emulator. Reads only.

However many domains there are, it takes one call for the statistics of all, one for those that start by themselves, and
one for each domain's XML (two while it runs). What concerns pools is asked only where a specification speaks of new
disks.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from ....engine.action import PowerState
from ....engine.errors import InvalidOption
from ....engine.reading import apart, as_number, as_text, each_apart
from ....engine.result import Guest
from ....engine.spec import Spec
from ....engine.units import format_size
from ..backend import SOURCES
from ..client import Host, LibvirtError, NotThere, code
from ..constants import constant
from ..names import INCOMPLETE
from ..storage.pool_work import there
from ..storage.use import Uses, real
from ..storage.volume_import import read_header
from ..xml import parse, serialize
from . import addresses as vm_addresses
from .devices import source_of
from .model import GUEST, NO_IMAGE, Domain, Emulator, Pool, Seen, View, Volume
from .settings import read_labels
from .xml import Element, get, make, size_of

#: Libvirt's words (virDomainState), by their numbers. One that has crashed is started and removed like any other that
#: does not run.
WORDS = ("nostate", "running", "blocked", "paused", "shutdown", "shutoff", "crashed", "pmsuspended")
STATES = {
    **dict.fromkeys((1, 2, 4), PowerState.RUNNING),
    **dict.fromkeys((3, 7), PowerState.PAUSED),
    **dict.fromkeys((5, 6), PowerState.STOPPED),
}


def _sizes(stats: Mapping[str, Any]) -> dict[str, int]:
    """The bytes of the disks' contents, by target."""
    found = {}
    for key, target in stats.items():
        place, _dot, what = key.rpartition(".")
        size = as_number(stats.get(place + ".capacity"))
        if what == "name" and place.startswith("block.") and as_text(target) and size > 0:
            found[target] = size
    return found


#: So many seconds the sizes of all disks may take, without which a look is one all the same.
SIZES_SECONDS = 20


def bulk(host: Host) -> list[tuple[Any, Mapping[str, Any]]]:
    """Every domain with what libvirt has at hand of it; nothing waits for a guest that is busy.

    For the sizes of disks libvirt asks the QEMU of each. One that hangs keeps the first such question waiting, and the
    next ones pass it over.
    """
    state, flags = constant("DOMAIN_STATS_STATE"), constant("CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT")
    found: list[tuple[Any, Mapping[str, Any]]]
    try:
        found = host.ask_qemu(SIZES_SECONDS, host.conn.getAllDomainStats, state | constant("DOMAIN_STATS_BLOCK"), flags)
    except LibvirtError as error:
        if error.code != code("OPERATION_TIMEOUT"):
            raise
        found = host.ask(host.conn.getAllDomainStats, state, flags)
    return found


def observe(host: Host, wants: Sequence[Spec] | None, sources: Sequence[str] = SOURCES) -> Seen:
    """Look at the domains that are spoken of (None: all) and their surroundings.

    ``sources`` of addresses are for those that nothing is wanted of.
    """
    seen = Seen(files=set() if host.local else None)
    names = None if wants is None else {want.name for want in wants}
    stats = {domain.name(): (domain, found) for domain, found in bulk(host)}
    mine = [name for name in stats if names is None or name in names]
    starting = (
        {each.name() for each in host.ask(host.conn.listAllDomains, constant("CONNECT_LIST_DOMAINS_AUTOSTART"))}
        if mine
        else set()
    )
    for name in sorted(mine):
        domain, found = stats[name]
        number = as_number(found.get("state.state"))
        state, word = STATES.get(number, PowerState.STOPPED), WORDS[number] if 0 <= number < len(WORDS) else str(number)
        with each_apart(
            seen.unread, Guest(name, "kvm", str(domain.UUIDString()), state, word, autostart=name in starting)
        ):
            have = look(host, domain, state, name in starting, _sizes(found), secure=wants is not None)
            if have is not None:
                seen.domains[name] = replace(have, raw_state=word)
    orders = {want.name: want.steering.get("address_sources") or () for want in wants or ()}
    vm_addresses.find(host, seen.domains, {name: stats[name][0] for name in seen.domains}, orders, sources)
    return seen


def look(
    host: Host,
    domain: Any,
    state: str,
    autostart: bool,
    sizes: Mapping[str, int],
    *,
    secure: bool,
    places: Mapping[str, str] | None = None,
) -> Domain | None:
    """One domain; None for one that is gone by now."""
    flags = constant("DOMAIN_XML_SECURE") if secure else 0
    name = domain.name()
    try:
        stored = View(parse(host.ask(domain.XMLDesc, flags | constant("DOMAIN_XML_INACTIVE"))), name, autostart, sizes)
        live = View(parse(host.ask(domain.XMLDesc, flags)), name, autostart, sizes) if state != "stopped" else None
    except NotThere:
        return None
    tried = [disk for disk in stored.root.findall("devices/disk") if source_of(disk) == NO_IMAGE]
    for disk in tried:
        make(stored.root, "devices").remove(disk)
    if live is not None:
        # The statistics are of what runs: another disk may be stored under the same name.
        paths = {get(disk, "target@dev"): source_of(disk) for disk in live.root.findall("devices/disk")}
        mine = {
            get(disk, "target@dev")
            for disk in stored.root.findall("devices/disk")
            if paths.get(get(disk, "target@dev")) == source_of(disk)
        }
        stored = replace(stored, sizes={target: size for target, size in sizes.items() if target in mine})
    return placed(
        Domain(name, state, stored, live, tried=tuple(get(disk, "target@dev") or "" for disk in tried)), places or {}
    )


def placed(have: Domain, places: Mapping[str, str]) -> Domain:
    """The domain with the paths of the volumes that its disks name, by POOL/VOLUME."""
    return replace(
        have, stored=replace(have.stored, places=places), live=have.live and replace(have.live, places=places)
    )


def look_at_pools(host: Host, seen: Seen) -> None:
    """All active pools: one call, and one for each."""
    for pool in host.ask(host.conn.listAllStoragePools, constant("CONNECT_LIST_STORAGE_POOLS_ACTIVE")):
        with apart(seen.odd_pools, "kvm", pool.name()), suppress(NotThere):
            root = parse(host.ask(pool.XMLDesc, 0))
            seen.pools[pool.name()] = Pool(pool.name(), root.get("type", ""), get(root, "target/path") or "")


def look_at_volume(host: Host, seen: Seen, path: str) -> None:
    """The volume at a path, if a pool has one there. A pool learns of what was made or removed beside it only when it
    is told to look, which is no read.

    So the file itself is looked at, where it is on this host. Raises InvalidOption for one that libvirt does not know
    and that cannot be read.
    """
    if path in seen.volumes:
        return
    pool = seen.pool_of(path)
    found = None
    if pool is not None:
        handle = host.ask(host.conn.storagePoolLookupByName, pool.name)
        listed = host.find(handle.storageVolLookupByName, os.path.basename(path))
        if listed is not None:
            found = volume_of(host, listed, path)
        elif host.local:
            found = _unlisted(pool, path)
    elif seen.files is not None and os.path.exists(path):
        seen.files.add(path)
    seen.volumes[path] = found


def _unlisted(pool: Pool, path: str) -> Volume | None:
    """What is at a path of a pool that does not know of it; None where nothing is."""
    try:
        header = read_header(path)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise InvalidOption(
            "disks",
            path,
            f"is there, but not known to libvirt, and cannot be looked at: {error}",
            remedy=f"Let libvirt look at it (virsh pool-refresh {pool.name}), and run again",
        ) from error
    kind = header.format if pool.holds_files else ""
    return Volume(
        pool.name,
        os.path.basename(path),
        path,
        header.capacity,
        kind,
        header.backing,
        os.path.lexists(path + INCOMPLETE),
    )


def look_at_named(host: Host, seen: Seen, pool: str, name: str) -> None:
    """The volume of that name, wherever its pool has it."""
    if pool not in seen.pools or seen.pools[pool].is_network or f"{pool}/{name}" in seen.places():
        return
    handle = host.ask(host.conn.storagePoolLookupByName, pool)
    found = host.find(handle.storageVolLookupByName, name)
    volume = volume_of(host, found) if found is not None else None
    if volume is not None:
        seen.volumes[volume.path] = volume


def volume_of(host: Host, handle: Any, path: str = "") -> Volume | None:
    """What a volume's XML says; None for one that is gone by now."""
    try:
        root = parse(host.ask(handle.XMLDesc, 0))
    except NotThere:
        return None
    pool, name, path = host.ask(handle.storagePoolLookupByVolume), handle.name(), path or get(root, "target/path") or ""
    incomplete = there(host, pool, name + INCOMPLETE) is not None
    kind, backing = get(root, "target/format@type") or "", get(root, "backingStore/path") or ""
    return Volume(pool.name(), name, path, size_in_bytes(root, "capacity"), kind, backing, incomplete)


def size_in_bytes(root: Element, path: str) -> int:
    """A size in a volume's XML, whose own unit is bytes."""
    found = root.find(path)
    return (
        0 if found is None else int(found.text or 0) if found.get("unit", "bytes") == "bytes" else size_of(found) or 0
    )


def look_at_users(host: Host, seen: Seen, uses: Uses, path: str) -> None:
    """Who uses a volume, under whatever name, and whether others stand on it."""
    volume = seen.volumes.get(path)
    if volume is not None:
        seen.users[path] = {use.guest for use in uses.of(volume.pool, volume.name, real(host, path))}
        if real(host, path) in uses.overlays:
            seen.backing.add(path)


def refused_machine(host: Host, kind: str, arch: str | None, machine: str) -> str:
    """Why the emulator for that architecture (None: the host's own) has no such machine; empty where it has."""
    try:
        host.ask(host.conn.getDomainCapabilities, None, arch, machine, kind, 0)
    except LibvirtError as error:
        return error.message
    return ""


def virtualises(host: Host) -> bool:
    """Whether the host's processor shows what KVM needs.

    Libvirt believes /dev/kvm alone, and there are kernels whose paravirtual device works, on a processor with neither
    vmx nor svm, until a guest's kernel hangs in it. Other architectures have no such flag.
    """
    cpu = parse(host.ask(host.conn.getCapabilities)).find("host/cpu")
    if cpu is None or get(cpu, "arch") not in ("i686", "x86_64"):
        return True
    # A named model stands for many features; expanded, all of them are told.
    whole = parse(host.ask(host.conn.baselineCPU, [serialize(cpu)], host.api.VIR_CONNECT_BASELINE_CPU_EXPAND_FEATURES))
    return any(feature.get("name") in ("vmx", "svm") for feature in whole.findall("feature"))


def look_at_emulator(host: Host, seen: Seen, kind: str) -> None:
    """What a new domain of that type would be; ``auto`` is kvm where the processor and libvirt can do it.

    Raises InvalidOption.
    """
    if kind in seen.emulators:
        return
    choices = (kind,) if kind != "auto" else ("kvm", "qemu") if virtualises(host) else ("qemu",)
    for each in choices:
        try:
            root = parse(host.ask(host.conn.getDomainCapabilities, None, None, None, each, 0))
        except LibvirtError as error:
            if each == "kvm" and kind == "auto":
                continue
            raise InvalidOption(
                "type", kind, f"is not what this host can do: {error.message}", remedy="Write type: qemu, or auto"
            ) from error
        seen.emulators[kind] = Emulator(
            get(root, "domain") or each, get(root, "arch") or "", get(root, "machine") or ""
        )
        return


def known_of(have: Domain) -> Guest:
    """What is known of a domain whatever is in its XML."""
    return Guest(
        have.name,
        "kvm",
        have.uuid,
        have.state,
        have.raw_state,
        labels=read_labels(have.stored.root),
        autostart=have.stored.autostart,
    )


def guest_of(have: Domain, pending: Iterable[str] = ()) -> Guest:
    """The one result form: of a guest that runs, what is in effect."""
    view = have.live or have.stored
    memory = size_of(view.root.find("currentMemory")) or size_of(view.root.find("memory"))
    note = have.stored.root.find("metadata/" + GUEST)
    return Guest(
        name=have.name,
        backend="kvm",
        id=have.uuid,
        state=have.state,
        raw_state=have.raw_state,
        image=(note.get("image") or "") if note is not None else "",
        cpus=int(get(view.root, "vcpu@current") or get(view.root, "vcpu") or 1),
        memory=format_size(memory) if memory else "",
        addresses=have.addresses,
        labels=read_labels(have.stored.root),
        autostart=have.stored.autostart,
        pending_restart=tuple(pending),
    )
