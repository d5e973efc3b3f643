# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Makes and removes the volumes of domains: disks, what they are made from, and seeds."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import IO, Any

from ...engine.errors import BackendError, InvalidOption
from .client import Host, LibvirtError, NotThere
from .constants import constant
from .vm_observe import size_in_bytes
from .vm_storage import Making
from .vm_xml import ET, get, put
from .xml import parse, serialize

CHUNK = 1 << 20


def _pool(host: Host, name: str) -> Any:
    return host.ask(host.conn.storagePoolLookupByName, name)


def _described(name: str, size: int, kind: str, backing: str = "", backing_format: str = "") -> str:
    root = ET.Element("volume")
    put(root, "name", name)
    put(root, "capacity", str(size))
    put(root, "capacity@unit", "bytes")
    if kind == "qcow2":
        put(root, "allocation", "0")
    put(root, "target/format@type", kind)
    if backing:
        put(root, "backingStore/path", backing)
        put(root, "backingStore/format@type", backing_format)
    return serialize(root)


def make(host: Host, want: Making, source: Mapping[str, Any]) -> None:
    """Make one volume, or let it grow. Raises BackendError; what it began is for the caller to remove."""
    pool = _pool(host, want.pool)
    if want.there:
        host.ask(host.ask(pool.storageVolLookupByName, want.name).resize, want.size, 0)
        return
    if not want.source:
        size = want.size
        if want.backing and not size:
            size = _capacity(host, want.backing)
        host.ask(pool.createXML, _described(want.name, size, want.format, want.backing, want.backing_format), 0)
        return
    base, kind = origin(host, source)
    if source.get("clone") == "linked":
        size = max(want.size, _capacity(host, base))
        host.ask(pool.createXML, _described(want.name, size, "qcow2", base, kind), 0)
        return
    volume = host.find(host.conn.storageVolLookupByPath, base)
    if volume is not None:
        made = host.ask(pool.createXMLFrom, _described(want.name, _capacity(host, base), want.format), volume, 0)
    else:
        made = upload(host, want.pool, want.name, want.format, base)
    if want.size:
        host.ask(pool.refresh, 0)
        if want.size > size_in_bytes(parse(host.ask(made.XMLDesc, 0)), "capacity"):
            host.ask(made.resize, want.size, 0)


def origin(host: Host, source: Mapping[str, Any]) -> tuple[str, str]:
    """The path of what a guest is made from, and its format. Raises InvalidOption and BackendError."""
    if source.get("volume"):
        volume = host.find(_pool(host, source.get("pool") or "default").storageVolLookupByName, source["volume"])
        if volume is None:
            raise InvalidOption("source.volume", source["volume"], "does not exist", remedy="Make it first (kvm_volume), or name another")
        root = parse(host.ask(volume.XMLDesc, 0))
        return get(root, "target/path") or "", source.get("format") or get(root, "target/format@type") or "raw"
    path = str(source["image"])
    return path, source.get("format") or ("raw" if path.endswith((".raw", ".img")) else "qcow2")


def _capacity(host: Host, path: str) -> int:
    """The size of the disk in an image: what a pool says of it, or what its own header says."""
    volume = host.find(host.conn.storageVolLookupByPath, path)
    if volume is not None:
        return size_in_bytes(parse(host.ask(volume.XMLDesc, 0)), "capacity")
    try:
        with open(path, "rb") as file:
            head = file.read(32)
            # qcow2: the magic, and at byte 24 the size in big-endian order.
            return int.from_bytes(head[24:32], "big") if head[:4] == b"QFI\xfb" else os.fstat(file.fileno()).st_size
    except OSError as error:
        raise BackendError("%s cannot be read: %s" % (path, error), remedy="Name an image that is on the host where the task runs, or a volume") from error


def check_image(path: str, checksum: str) -> None:
    """Refuse a file that has not the content it shall have. ``checksum`` like sha256:..."""
    kind, _colon, digest = checksum.rpartition(":")
    try:
        found = hashlib.new(kind or "sha256")
        with open(path, "rb") as file:
            for chunk in iter(lambda: file.read(CHUNK), b""):
                found.update(chunk)
    except (OSError, ValueError) as error:
        raise InvalidOption("source.image", path, "cannot be checked: %s" % error, remedy="Name a file on the host where the task runs, and a checksum like sha256:...") from error
    if found.hexdigest() != digest.lower():
        raise InvalidOption("source.checksum", checksum, "is not that of %s" % path, remedy="Bring the right file there; its checksum is %s:%s" % (kind or "sha256", found.hexdigest()))


@contextmanager
def _stream(host: Host) -> Iterator[Any]:
    stream = host.ask(host.conn.newStream, 0)
    try:
        yield stream
    except (LibvirtError, OSError):
        host.ask(stream.abort)
        raise
    host.ask(stream.finish)


def upload(host: Host, pool: str, name: str, kind: str, path: str) -> Any:
    """A new volume with a file's content; the volume."""
    with open(path, "rb") as file:
        return send(host, pool, name, kind, file, os.fstat(file.fileno()).st_size)


def send(host: Host, pool: str, name: str, kind: str, content: IO[bytes], size: int) -> Any:
    """A new volume with a content; the volume."""
    handle = _pool(host, pool)
    volume = host.ask(handle.createXML, _described(name, size, kind), 0)
    with _stream(host) as stream:
        host.ask(volume.upload, stream, 0, size, 0)
        host.ask(stream.sendAll, lambda _stream, count, file: file.read(count), content)
    host.ask(handle.refresh, 0)
    return volume


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
        raise BackendError("%s is in no active pool, and cannot be made larger while the guest is off" % path, remedy="Start the guest first, or put the disk into a pool")
    host.ask(volume.resize, size, 0)


def flags_for_undefine(version: int) -> int:
    """Undefine a domain with all that libvirt keeps for it. The TPM's state is its own flag since libvirt 8.9."""
    names = ["MANAGED_SAVE", "SNAPSHOTS_METADATA", "NVRAM", "CHECKPOINTS_METADATA", *(["TPM"] if version >= 8009000 else [])]
    return sum(constant("DOMAIN_UNDEFINE_" + name) for name in names)
