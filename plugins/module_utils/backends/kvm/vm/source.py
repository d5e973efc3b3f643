# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a guest's first disk is made from: an image in a file, an image on the web, or a volume."""

from __future__ import annotations

import os
import platform
import tempfile
from collections.abc import Mapping
from typing import Any

from ....engine.errors import BackendError, InvalidOption
from ..client import Host
from ..names import INCOMPLETE, PART
from ..storage.pool_work import base_volume_lock, create, present, refresh, there
from ..storage.use import unused
from ..storage.volume_import import Image, examine, send
from ..xml import parse, serialize
from .model import NewVolume
from .observe import size_in_bytes
from .xml import ET, get, put

CHUNK = 1 << 20


def is_url(source: Mapping[str, Any]) -> bool:
    """Whether the image is on the web."""
    return str(source.get("image") or "").startswith(("http://", "https://"))


def check_source(host: Host, steering: Mapping[str, Any]) -> Image | None:
    """Refuse what cannot be had, or is not what its checksum says, before anything is made of it; the image, if it
    is a file. Raises InvalidOption.
    """
    source = steering.get("source") or {}
    ways = [key for key in ("image", "volume", "iso") if source.get(key)]
    if len(ways) > 1:
        raise InvalidOption("source", " and ".join(ways), "are too many", remedy="Name one of image, volume and iso")
    if source.get("volume"):
        origin(host, source, "")
    elif is_url(source):
        _digest(source)
    elif source.get("image"):
        return examined(source)
    return None


def check_format(host: Host, source: Mapping[str, Any], image: Image, kind: str) -> None:
    """Libvirt copies a volume into another format; a file that is none is sent to it as it is. Raises InvalidOption."""
    if source.get("clone") == "linked" or image.format == kind:
        return
    if host.find(host.conn.storageVolLookupByPath, os.path.realpath(image.path)) is None:
        raise InvalidOption(
            "source.image",
            image.path,
            f"is {image.format}, and the disk is to be {kind}",
            remedy="Leave the disk's format out, or convert the image",
        )


def examined(source: Mapping[str, Any], path: str = "") -> Image:
    """The image in a file. Raises InvalidOption for one that is not what it shall be."""
    given = {"path": path or str(source["image"])}
    if source.get("checksum"):
        given["checksum"] = _digest(source)
    if source.get("format"):
        given["format"] = str(source["format"])
    try:
        return examine(given)
    except InvalidOption as error:
        error.message = error.message.replace("import.path", "source.image", 1).replace("import.", "source.", 1)
        raise


def _digest(source: Mapping[str, Any]) -> str:
    """The SHA-256 that the image shall have."""
    kind, _colon, digest = str(source.get("checksum") or "").lower().rpartition(":")
    if kind not in ("", "sha256") or len(digest) != 64 or any(letter not in "0123456789abcdef" for letter in digest):
        why = (
            "is no SHA-256" if source.get("checksum") else "is missing, and an image from the web is not taken without"
        )
        raise InvalidOption(
            "source.checksum",
            source.get("checksum"),
            why,
            remedy="Write sha256: and the 64 digits of the image's checksum",
        )
    return digest


def origin(host: Host, source: Mapping[str, Any], pool: str) -> tuple[str, str]:
    """The path of what a guest is made from, and its format.

    Brings an image from the web into the pool. Raises InvalidOption and BackendError.
    """
    if source.get("volume"):
        where = host.find(host.conn.storagePoolLookupByName, source.get("pool") or "default")
        volume = host.find(where.storageVolLookupByName, source["volume"]) if where is not None else None
        if where is None or volume is None:
            raise InvalidOption(
                "source.volume",
                source["volume"],
                "does not exist in the pool %s" % (source.get("pool") or "default"),
                remedy="Make it first (kvm_volume), or name another",
            )
        if there(host, where, source["volume"] + INCOMPLETE) is not None:
            raise InvalidOption(
                "source.volume",
                source["volume"],
                "is incomplete, since the run that was making it died",
                remedy="Run the task that makes it again first",
            )
        root = parse(host.ask(volume.XMLDesc, 0))
        return get(root, "target/path") or "", source.get("format") or get(root, "target/format@type") or "raw"
    if is_url(source):
        return _fetched(host, source, pool)
    image = examined(source)
    # What a disk stands on stays, though the link to it may come to lead elsewhere.
    return os.path.realpath(image.path), image.format


def _fetched(host: Host, source: Mapping[str, Any], pool: str) -> tuple[str, str]:
    """An image from the web as a volume that is named by its content, and so is fetched once."""
    name = f"kraal-base-{_digest(source)[:32]}"
    where = host.ask(host.conn.storagePoolLookupByName, pool)
    # Two hosts that bring it to one libvirt know nothing of each other's locks.
    part = name + PART if host.local else f"{name}.{platform.node()}{PART}"
    # Many guests may be made from it at once: one fetches it, and what is incomplete while nobody holds it is what a
    # run that died has left.
    with base_volume_lock(host, where, name):
        found, rest = present(host, where, name), present(host, where, part)
        begun = any(each.startswith(name) and each.endswith(PART) for each in host.ask(where.listVolumes))
        if found is not None and begun and unused(host, "", [host.ask(found.path)], anew=True):
            # Whoever copied the one to the other did not come to its end, and so libvirt may not have either.
            host.ask(found.delete, 0)
            found = None
        if rest is not None:
            host.ask(rest.delete, 0)
        if found is None:
            with tempfile.NamedTemporaryFile(prefix="kraal-image-") as file:
                _download(str(source["image"]), file)
                image = examined(source, file.name)
                whole = uploaded(host, where, part, image)
            # Under its own name only when it is complete.
            found = create(host, where, described(name, image.capacity, image.format), whole)
            host.ask(whole.delete, 0)
    root = parse(host.ask(found.XMLDesc, 0))
    return get(root, "target/path") or "", get(root, "target/format@type") or "raw"


def _download(url: str, file: Any) -> None:
    # What only this needs takes as long to import as half of the rest.
    from http.client import HTTPException

    from ansible.module_utils.urls import ConnectionError as Unreachable
    from ansible.module_utils.urls import open_url

    try:
        with open_url(url, timeout=30, http_agent="kraal.virt") as answer:
            for chunk in iter(lambda: answer.read(CHUNK), b""):
                file.write(chunk)
        file.flush()
    except (OSError, HTTPException, Unreachable, ValueError) as error:
        # An OSError is what urllib raises; an answer that is none, an address that is none and a certificate that is
        # not trusted are none.
        raise BackendError(
            f"source.image: {url} cannot be fetched: {error}",
            remedy="Check the address, and the proxies of the host where the task runs",
        ) from error


def described(name: str, size: int, kind: str, backing: str = "", backing_format: str = "") -> str:
    """The XML of a new volume."""
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


def uploaded(host: Host, pool: Any, name: str, image: Image) -> Any:
    """A new volume with a file's content; the volume, of which libvirt knows what is in it."""
    return _filled(host, pool, _room(host, pool, name, image), name, image)


def _room(host: Host, pool: Any, name: str, image: Image) -> Any:
    # Of the file's length, whatever a guest will see of it: this holds the file itself.
    return create(host, pool, described(name, image.size, "raw"))


def _filled(host: Host, pool: Any, volume: Any, name: str, image: Image) -> Any:
    send(host, volume, image, sparse=image.format == "raw")
    if image.format == "raw":
        return volume
    # What it is, libvirt finds out by looking at it again.
    refresh(host, pool)
    return host.ask(pool.storageVolLookupByName, name)


def fill_disk(host: Host, pool: Any, want: NewVolume, source: Mapping[str, Any], made: list[str]) -> None:
    """The volume of a guest's first disk, with what it is made from. Its path is in ``made`` as soon as it is there."""
    base, kind = origin(host, source, want.pool)
    below = host.find(host.conn.storageVolLookupByPath, base)
    if source.get("clone") == "linked":
        size = (
            size_in_bytes(parse(host.ask(below.XMLDesc, 0)), "capacity")
            if below is not None
            else examined(source, base).capacity
        )
        create(host, pool, described(want.name, max(want.size, size), "qcow2", base, kind))
        made.append(want.path)
        return
    if below is not None:
        size = size_in_bytes(parse(host.ask(below.XMLDesc, 0)), "capacity")
        volume = create(host, pool, described(want.name, size, want.format), below)
        made.append(want.path)
    else:
        image = examined(source, base)
        check_format(host, source, image, want.format)
        room = _room(host, pool, want.name, image)
        made.append(want.path)
        volume = _filled(host, pool, room, want.name, image)
    if want.size > size_in_bytes(parse(host.ask(volume.XMLDesc, 0)), "capacity"):
        host.ask(volume.resize, want.size, 0)
