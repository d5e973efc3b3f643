# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Makes and removes the volumes of domains: disks, what they are made from, and seeds."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from typing import Any

from ....engine.errors import BackendError, Refused
from ..client import Host, NotThere
from ..constants import constant
from ..storage.pool_work import create, grown, is_device, present, volume_at, volume_lock
from ..storage.use import unused
from ..storage.volume_import import Image
from ..xml import parse
from .model import NewVolume
from .observe import size_in_bytes
from .seed_image import build
from .source import described, examined, fill_disk, uploaded
from .xml import Element, get


def _pool(host: Host, name: str) -> Any:
    return host.ask(host.conn.storagePoolLookupByName, name)


def make(host: Host, guest: str, want: NewVolume, source: Mapping[str, Any], made: list[str]) -> None:
    """Make one volume, or let it grow. Raises BackendError; what it began is in ``made``, for the caller to remove.

    Another guest may have made it since the plan: one that is shareable and just what is wanted is shared, and any
    other is that guest's.
    """
    pool = _pool(host, want.pool)
    if want.seed is not None:
        # No domain has it yet: one of that name is what a run that died has left.
        made.append(want.path)
        delete(host, want.path)
        send_bytes(host, want.pool, want.name, build(want.seed, guest))
        return
    if want.there:
        grow(host, want.path, want.size)
        return
    with volume_lock(want.path):
        found = present(host, pool, want.name)
        if found is not None and not (want.shareable and _is(parse(host.ask(found.XMLDesc, 0)), want)):
            raise BackendError(
                f"{want.path} is there now, and was not when this run began: it is somebody else's",
                remedy="Name another volume; guests that share one have shareable at its disk, with the same size "
                "and format, and no source for it",
            )
        if found is None and want.source:
            fill_disk(host, pool, want, source, made)
        elif found is None:
            size = want.size if want.size or not want.backing else _capacity(host, want.backing)
            create(host, pool, described(want.name, size, want.format, want.backing, want.backing_format))
            made.append(want.path)


def _is(root: Element, want: NewVolume) -> bool:
    """Whether a volume is one that would be made just so."""
    there = (size_in_bytes(root, "capacity"), get(root, "target/format@type"), get(root, "backingStore/path") or "")
    return not want.source and there == (want.size, want.format, want.backing)


def _capacity(host: Host, path: str) -> int:
    """The size of the disk in an image: what a pool says of it, or what its own header says."""
    volume = host.find(host.conn.storageVolLookupByPath, path)
    if volume is None:
        return examined({}, path).capacity
    return size_in_bytes(parse(host.ask(volume.XMLDesc, 0)), "capacity")


def send_bytes(host: Host, pool: str, name: str, content: bytes) -> None:
    """A new volume with a content."""
    # Without a name: a seed may hold secrets, and nothing of it stays where the module is killed.
    with tempfile.TemporaryFile() as file:
        file.write(content)
        file.flush()
        uploaded(
            host, _pool(host, pool), name, Image("/proc/self/fd/%d" % file.fileno(), len(content), "raw", len(content))
        )


def delete_unused(host: Host, name: str, paths: Sequence[str]) -> None:
    """Remove volumes that were made for a guest, except what somebody else has come to use since."""
    for path in paths:
        with volume_lock(path):
            for each in unused(host, name, [path], anew=True):
                delete(host, each)


def check_unused(host: Host, name: str, paths: Sequence[str]) -> None:
    """Raises Refused where somebody else uses one of a guest's volumes, or stands on it: since the plan, or in an
    image that libvirt had not seen until now.
    """
    kept = sorted(set(paths) - set(unused(host, name, paths, anew=True))) if paths else []
    if kept:
        raise Refused(
            "others use these volumes, or are backed by them, which could not be seen before: {}".format(
                ", ".join(kept)
            ),
            remedy="Run again, and they are left",
        )


def delete(host: Host, path: str) -> None:
    """Remove a volume; fine if it is gone."""
    volume = volume_at(host, path)
    if volume is None:
        return
    try:
        host.ask(volume.delete, 0)
    except NotThere:
        return


def grow(host: Host, path: str, size: int) -> None:
    """Let the volume at a path grow. Raises BackendError for one that is in no pool."""
    volume = volume_at(host, path)
    if volume is None:
        raise BackendError(
            f"{path} is in no active pool, and cannot be made larger while the guest is off",
            remedy="Start the guest first, or put the disk into a pool",
        )
    if is_device(host, volume):
        grown(host, volume, size)
    else:
        host.ask(volume.resize, size, 0)


def grow_live(host: Host, domain: Any, target: str, path: str, size: int) -> None:
    """Let a disk grow while its guest runs.

    QEMU makes a file larger itself; of a device that has grown, it can be told.
    """
    volume = volume_at(host, path)
    if volume is not None and is_device(host, volume):
        size = grown(host, volume, size)
    host.ask(domain.blockResize, target, size, constant("DOMAIN_BLOCK_RESIZE_BYTES"))


def flags_for_undefine(version: int) -> int:
    """Undefine a domain with all that libvirt keeps for it. The TPM's state is its own flag since libvirt 8.9."""
    names = [
        "MANAGED_SAVE",
        "SNAPSHOTS_METADATA",
        "NVRAM",
        "CHECKPOINTS_METADATA",
        *(["TPM"] if version >= 8009000 else []),
    ]
    return sum(constant("DOMAIN_UNDEFINE_" + name) for name in names)
