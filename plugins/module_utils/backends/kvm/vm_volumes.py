# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Makes and removes the volumes of domains: disks, what they are made from, and seeds."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from typing import Any

from ...engine.errors import BackendError
from .client import Host, NotThere
from .constants import constant
from .vm_observe import size_in_bytes
from .vm_source import brought, described, examined, put_in
from .vm_storage import Making
from .volume_import import Image
from .xml import parse


def _pool(host: Host, name: str) -> Any:
    return host.ask(host.conn.storagePoolLookupByName, name)


def make(host: Host, want: Making, source: Mapping[str, Any]) -> None:
    """Make one volume, or let it grow. Raises BackendError; what it began is for the caller to remove."""
    pool = _pool(host, want.pool)
    if want.there:
        host.ask(host.ask(pool.storageVolLookupByName, want.name).resize, want.size, 0)
        return
    if want.source:
        put_in(host, pool, want, source)
        return
    size = want.size
    if want.backing and not size:
        size = _capacity(host, want.backing)
    host.ask(pool.createXML, described(want.name, size, want.format, want.backing, want.backing_format), 0)


def _capacity(host: Host, path: str) -> int:
    """The size of the disk in an image: what a pool says of it, or what its own header says."""
    volume = host.find(host.conn.storageVolLookupByPath, path)
    return size_in_bytes(parse(host.ask(volume.XMLDesc, 0)), "capacity") if volume is not None else examined({}, path).capacity


def send_bytes(host: Host, pool: str, name: str, content: bytes) -> None:
    """A new volume with a content."""
    with tempfile.NamedTemporaryFile(prefix="kraal-seed-") as file:
        file.write(content)
        file.flush()
        brought(host, _pool(host, pool), name, Image(file.name, len(content), "raw", len(content)))


def delete(host: Host, path: str) -> None:
    """Remove a volume; fine if it is gone."""
    volume = host.find(host.conn.storageVolLookupByPath, path)
    if volume is None:
        return
    try:
        host.ask(volume.delete, 0)
    except NotThere:
        return


def grow(host: Host, path: str, size: int) -> None:
    """Let the volume at a path grow. Raises BackendError for one that is in no pool."""
    volume = host.find(host.conn.storageVolLookupByPath, path)
    if volume is None:
        raise BackendError(
            "%s is in no active pool, and cannot be made larger while the guest is off" % path, remedy="Start the guest first, or put the disk into a pool"
        )
    host.ask(volume.resize, size, 0)


def flags_for_undefine(version: int) -> int:
    """Undefine a domain with all that libvirt keeps for it. The TPM's state is its own flag since libvirt 8.9."""
    names = ["MANAGED_SAVE", "SNAPSHOTS_METADATA", "NVRAM", "CHECKPOINTS_METADATA", *(["TPM"] if version >= 8009000 else [])]
    return sum(constant("DOMAIN_UNDEFINE_" + name) for name in names)
