# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who uses what storage: the guests whose disks it is, and the volumes that stand on it.

What somebody uses is never deleted.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from ....engine.errors import BackendError, KraalError, Refused
from ....engine.reading import apart
from ..client import Host, LibvirtError, NotThere, code
from ..xml import Element, attribute, parse, text_of
from .pool_work import refresh
from .volume_import import backing_in
from .volume_options import backing_of

#: The pools whose volumes are the files of a directory.
DIRECTORIES = ("dir", "fs", "netfs")
#: What a machine boots from that is no disk.
BOOTED = ("os/kernel", "os/initrd", "os/dtb", "os/loader", "os/nvram")


@dataclass(frozen=True)
class Use:
    """One guest's use of something.

    ``device`` is the disk's name in the guest; empty where it is not a disk's own image but one below it, or a kernel.
    """

    guest: str
    running: bool
    device: str = ""
    readonly: bool = False


@dataclass
class Uses:
    """All uses on one libvirt, by what is used: ("path", PATH), ("volume", POOL, NAME), ("network", NAME)."""

    guests: dict[tuple[str, ...], list[Use]] = field(default_factory=dict)
    #: The volumes that stand on a path.
    overlays: dict[str, list[str]] = field(default_factory=dict)
    #: The disks, by their guests, of which nobody can see what they stand on.
    unseen: dict[str, list[str]] = field(default_factory=dict)
    #: The guests that cannot be read, so that nobody can say what they use.
    unread: dict[str, KraalError] = field(default_factory=dict)

    def of(self, pool: str, volume: str, path: str) -> list[Use]:
        """The uses of a volume, under whatever name."""
        keys: tuple[tuple[str, ...], ...] = (("path", path), ("volume", pool, volume), ("network", path))
        return list(dict.fromkeys(use for key in keys for use in self.guests.get(key, ())))

    def doubt(self, but: str = "") -> Refused | None:
        """Why nothing may be deleted, whoever uses it, where a guest (``but`` that one) may stand on anything."""
        unread = sorted(guest for guest in self.unread if guest != but)
        if unread:
            return Refused(
                "it cannot be read what these guests use, and it may be that: {}".format(", ".join(unread)),
                remedy="Look at them with virsh, or remove them first",
            )
        disks = [
            "{} ({})".format(guest, ", ".join(paths)) for guest, paths in sorted(self.unseen.items()) if guest != but
        ]
        if not disks:
            return None
        return Refused(
            "it cannot be seen on what the disks of these guests stand, and it may be that: {}".format(
                "; ".join(disks)
            ),
            remedy="Start the pool that such a disk is in (kvm_pool), mount its file system, or take the disk from "
            "the guest",
        )


@dataclass
class Known:
    """Where the active pools know what stands on what.

    A directory within one of theirs is a volume to them, into which they do not look.
    """

    directories: set[str] = field(default_factory=set)
    volumes: set[str] = field(default_factory=set)


def real(host: Host, path: str) -> str:
    """A path without links, where they can be followed."""
    return os.path.realpath(path) if host.local else path


def uses_of(host: Host, *, volumes: bool, anew: bool = False) -> Uses:
    """All guests, both sides of each; with ``volumes`` all volumes too.

    An image that a snapshot made may be new to libvirt. Its header is read where it is on this host; with ``anew``,
    which is no read, libvirt looks for it as well. Nothing is deleted without that.
    """
    found = Uses()
    ends: list[tuple[str, Element]] = []
    for domain in host.ask(host.conn.listAllDomains, 0):
        with apart(found.unread, "kvm", domain.name()), suppress(NotThere):
            _see_guest(host, found, ends, domain, backups=volumes)
    if volumes:
        _see_below(host, found, ends, anew)
    return found


def _see_guest(host: Host, found: Uses, ends: list[tuple[str, Element]], domain: Any, *, backups: bool) -> None:
    """What one guest uses, on both its sides; ``ends``: the lowest images that its description names."""
    running = bool(host.ask(domain.isActive))
    sides = [0, host.api.VIR_DOMAIN_XML_INACTIVE] if running and host.ask(domain.isPersistent) else [0]
    trees = [parse(host.ask(domain.XMLDesc, flags)) for flags in sides]
    for number, tree in enumerate(trees):
        for key, device, readonly in _used(host, tree):
            use = Use(domain.name(), running, device if number == 0 else "", readonly)
            if use not in found.guests.setdefault(key, []):
                found.guests[key].append(use)
    for key in _backed_up(host, domain) if running and backups else ():
        found.guests.setdefault(key, []).append(Use(domain.name(), True))
    # What runs shows all that is below it.
    shown = {key for tree in trees[:-1] for key, _device, _readonly in _used(host, tree)}
    ends += [(domain.name(), source) for source in _open_ends(trees[-1]) if not shown.issuperset(_keys(host, source))]


def unused(host: Host, name: str, paths: Sequence[str], *, anew: bool = False) -> list[str]:
    """Which of these volumes no other guest uses, and no volume stands on: what a guest of that name may be the
    first to have made. ``anew``: see uses_of.
    """
    uses, found = uses_of(host, volumes=True, anew=anew), []
    for path in paths:
        volume = host.find(host.conn.storageVolLookupByPath, path)
        pool = host.ask(host.ask(volume.storagePoolLookupByVolume).name) if volume is not None else ""
        users = {use.guest for use in uses.of(pool, os.path.basename(path), real(host, path))}
        if users <= {name} and real(host, path) not in uses.overlays and set(uses.unread) <= {name}:
            found.append(path)
    return found


def _see_below(host: Host, found: Uses, ends: Sequence[tuple[str, Element]], anew: bool) -> None:
    """What the volumes of active pools stand on, and what those disks of guests do that are none of them: their own
    headers say it.
    """
    active, known = set(), Known()
    for pool in host.ask(host.conn.listAllStoragePools, host.api.VIR_CONNECT_LIST_STORAGE_POOLS_ACTIVE):
        active.add(pool.name())
        text = host.find(pool.XMLDesc, 0)
        volumes = list(_volumes(host, pool, anew))
        if text is not None and parse(text).get("type") in DIRECTORIES:
            # Of what is missing in there, the pool knows as well.
            directory = real(host, text_of(parse(text), "target/path") or "")
            known.directories.add(directory)
            volumes += _unlisted(host, pool, directory, {path for _name, path, _below in volumes})
        for name, path, below in volumes:
            known.volumes.add(path)
            if below:
                found.overlays.setdefault(below, []).append(name)
    for path, names in list(found.overlays.items()):
        # An image below that cannot be read is what the volume itself misses.
        for below in _chain(host, path, known)[0]:
            found.overlays.setdefault(below, []).extend(names)
    for guest, source in ends:
        path = source.get("file") or source.get("dev") or ""
        beneath, whole = _chain(host, path, known) if path else ([], source.get("pool", "") in active)
        for below in beneath:
            found.guests.setdefault(("path", below), []).append(Use(guest, False))
        if not whole:
            found.unseen.setdefault(guest, []).append(path or "{}/{}".format(source.get("pool"), source.get("volume")))


def _open_ends(tree: Element) -> Iterator[Element]:
    """The lowest images of a guest's disks that the description names and that may stand on others: an image that is
    raw stands for itself.
    """
    for disk in tree.findall("devices/disk"):
        layer, form = disk, attribute(disk, "driver", "type")
        while (below := layer.find("backingStore")) is not None:
            layer, form = below, attribute(below, "format", "type")
        source = layer.find("source")
        if source is not None and form not in (None, "raw") and not source.get("protocol"):
            yield source


def _chain(host: Host, path: str, known: Known) -> tuple[list[str], bool]:
    """The files below an image, down to where an active pool knows more, and whether all of them could be seen."""
    found: list[str] = []
    waiting = [path]
    while waiting:
        image = waiting.pop()
        if real(host, image) in known.volumes or os.path.dirname(real(host, image)) in known.directories:
            continue
        if not host.local:
            return found, False
        try:
            below = {real(host, each): each for each in backing_in(image)}
        except (OSError, ValueError):
            return found, False
        waiting += [each for place, each in below.items() if place not in found]
        found += [place for place in below if place not in found]
    return found, True


def _used(host: Host, tree: Element) -> Iterator[tuple[tuple[str, ...], str, bool]]:
    for disk in tree.findall("devices/disk"):
        target = disk.find("target")
        device = "" if target is None else target.get("dev", "")
        own = disk.find("source")
        readonly = disk.find("readonly") is not None
        for source in disk.iter("source"):
            for key in _keys(host, source):
                yield key, device if source is own else "", readonly
    for path in BOOTED:
        for each in tree.findall(path):
            if (each.text or "").strip():
                yield ("path", real(host, (each.text or "").strip())), "", True


def _backed_up(host: Host, domain: Any) -> Iterator[tuple[str, ...]]:
    """The files that a backup in progress writes to, which the description of the guest does not name."""
    try:
        text = host.find(domain.backupGetXMLDesc, 0)
    except LibvirtError as error:
        if error.code not in (code("NO_SUPPORT"), code("OPERATION_INVALID")):
            raise
        # A driver without backups, or a guest that has ended.
        return
    if text is None:
        return
    for tag in ("target", "scratch"):
        for each in parse(text).iterfind("disks/disk/" + tag):
            yield from _keys(host, each)


def _keys(host: Host, source: Element) -> Iterator[tuple[str, ...]]:
    for name in ("file", "dev"):
        if source.get(name):
            yield ("path", real(host, source.get(name, "")))
    if source.get("pool"):
        yield ("volume", source.get("pool", ""), source.get("volume", ""))
    if source.get("protocol"):
        yield ("network", source.get("name", ""))


def _unlisted(host: Host, pool: Any, directory: str, listed: Collection[str]) -> Iterator[tuple[str, str, str]]:
    """The same for the files of a pool that libvirt does not list, as far as they can be read: what was made beside
    it.
    """
    try:
        names = os.listdir(directory) if host.local and directory else []
    except OSError:
        # Not this user's to look into. Libvirt looks before anything is deleted.
        return
    for name in sorted(names):
        path = real(host, os.path.join(directory, name))
        if path in listed:
            continue
        try:
            images = backing_in(path)
        except (OSError, ValueError):
            continue
        for image in images:
            yield f"{pool.name()}/{name}", path, real(host, image)


def _volumes(host: Host, pool: Any, anew: bool) -> Iterator[tuple[str, str, str]]:
    """The volumes of a pool: what to call each, its path, and what it stands on."""
    try:
        if anew:
            refresh(host, pool)
        volumes = host.ask(pool.listAllVolumes, 0)
    except NotThere:
        return
    except BackendError as error:
        error.message = f"what is backed by the volumes of the pool {pool.name()} cannot be seen: {error.message}"
        raise
    for volume in volumes:
        try:
            tree = parse(host.ask(volume.XMLDesc, 0))
        except NotThere:
            continue
        below = backing_of(tree)
        yield (
            f"{pool.name()}/{volume.name()}",
            real(host, text_of(tree, "target/path") or ""),
            real(host, below["path"]) if below is not None else "",
        )
