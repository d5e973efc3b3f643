# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who uses what storage: the guests whose disks it is, and the volumes that stand on it. What somebody uses is never deleted."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from ...engine.errors import BackendError
from .client import Host, NotThere
from .pool_work import refresh
from .volume_options import backing_of
from .xml import Element, parse


@dataclass(frozen=True)
class Use:
    """One guest's use of something. ``device`` is the disk's name in the guest; empty where it is no disk's own image but one below it, or a kernel."""

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

    def of(self, pool: str, volume: str, path: str) -> list[Use]:
        """The uses of a volume, under whatever name."""
        keys: tuple[tuple[str, ...], ...] = (("path", path), ("volume", pool, volume), ("network", path))
        found: list[Use] = []
        for key in keys:
            found += [use for use in self.guests.get(key, ()) if use not in found]
        return found


def real(host: Host, path: str) -> str:
    """A path without links, where they can be followed."""
    return os.path.realpath(path) if host.local else path


def uses_of(host: Host, *, volumes: bool) -> Uses:
    """All guests, both sides of each; with ``volumes`` all volumes too, looked for anew: an image that a snapshot made may be new to libvirt."""
    found = Uses()
    for domain in host.ask(host.conn.listAllDomains, 0):
        try:
            running = bool(host.ask(domain.isActive))
            sides = [0, host.api.VIR_DOMAIN_XML_INACTIVE] if running and host.ask(domain.isPersistent) else [0]
            trees = [parse(host.ask(domain.XMLDesc, flags)) for flags in sides]
        except NotThere:
            continue
        for number, tree in enumerate(trees):
            for key, device, readonly in _used(host, tree):
                use = Use(domain.name(), running, device if number == 0 else "", readonly)
                if use not in found.guests.setdefault(key, []):
                    found.guests[key].append(use)
    if volumes:
        for pool in host.ask(host.conn.listAllStoragePools, host.api.VIR_CONNECT_LIST_STORAGE_POOLS_ACTIVE):
            for name, below in _stacked(host, pool):
                found.overlays.setdefault(below, []).append(name)
    return found


def _used(host: Host, tree: Element) -> Iterator[tuple[tuple[str, ...], str, bool]]:
    for disk in tree.findall("devices/disk"):
        target = disk.find("target")
        device = "" if target is None else target.get("dev", "")
        own = disk.find("source")
        readonly = disk.find("readonly") is not None
        for source in disk.iter("source"):
            for key in _keys(host, source):
                yield key, device if source is own else "", readonly
    for path in ("os/kernel", "os/initrd", "os/dtb", "os/loader", "os/nvram"):
        for each in tree.findall(path):
            if (each.text or "").strip():
                yield ("path", real(host, (each.text or "").strip())), "", True


def _keys(host: Host, source: Element) -> Iterator[tuple[str, ...]]:
    for name in ("file", "dev"):
        if source.get(name):
            yield ("path", real(host, source.get(name, "")))
    if source.get("pool"):
        yield ("volume", source.get("pool", ""), source.get("volume", ""))
    if source.get("protocol"):
        yield ("network", source.get("name", ""))


def _stacked(host: Host, pool: Any) -> Iterator[tuple[str, str]]:
    """The volumes of a pool that stand on something, and what it is."""
    try:
        refresh(host, pool)
        volumes = host.ask(pool.listAllVolumes, 0)
    except NotThere:
        return
    except BackendError as error:
        error.message = "what stands on the volumes of the pool %s cannot be seen: %s" % (pool.name(), error.message)
        raise
    for volume in volumes:
        try:
            below = backing_of(parse(host.ask(volume.XMLDesc, 0)))
        except NotThere:
            continue
        if below is not None:
            yield "%s/%s" % (pool.name(), volume.name()), real(host, below["path"])
