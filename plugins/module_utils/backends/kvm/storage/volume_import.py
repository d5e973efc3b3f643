# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Images from files: looked at before anything is sent, and sent through libvirt, so that it may be on another host."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import struct
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NamedTuple

from ....engine.errors import BackendError, InvalidOption, unread_file
from ....engine.units import format_size
from ..client import Host, LibvirtError
from ..names import INCOMPLETE
from .pool_work import refresh

_CHUNK = 1 << 20
_QCOW2 = b"QFI\xfb"
#: How images begin that libvirt would know for what they are, and that may refer to other files.
_OTHERS = {
    b"KDMV": "vmdk",
    b"COWD": "vmdk",
    b"# Disk Descriptor": "vmdk",
    b"QED\0": "qed",
    b"conectix": "vpc",
    b"vhdxfile": "vhdx",
    b"<<< ": "vdi",
}
#: magic, version, backing file's offset, its length, cluster bits, virtual size; then incompatible features from byte
#: 72 on.
_HEADER = struct.Struct(">4sIQIIQ")
_EXTERNAL_DATA = 1 << 2
_BACKING_FORMAT = 0xE2792ACA
#: A backing file's name is in the first cluster, of 2 MiB at most, and so long at most (docs/interop/qcow2.txt of
#: QEMU).
_FARTHEST, _LONGEST = 1 << 21, 1023


@dataclass(frozen=True)
class Image:
    """A file with an image: its bytes, its format, and the bytes that a guest sees of it."""

    path: str
    size: int
    format: str
    capacity: int


def _readable(source: Mapping[str, str]) -> tuple[int, bytes]:
    """The size and the first bytes of a file that is complete and an image. Raises InvalidOption."""
    path = source["path"]
    with unread_file("import.path", path, "Name a file on the host where the task runs"), open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        head = file.read(104)
        if "checksum" in source:
            _compare(file, source)
    if os.path.lexists(path + INCOMPLETE):
        raise InvalidOption(
            "import.path",
            path,
            "is incomplete, since the run that was making it died",
            remedy="Run the task that makes it again first",
        )
    if not size:
        raise InvalidOption("import.path", path, "is empty", remedy="Name a file with an image")
    other = next((name for magic, name in _OTHERS.items() if head.startswith(magic)), "")
    if other:
        raise InvalidOption(
            "import.path", path, f"is {other}", remedy="Convert it to raw or qcow2 first (qemu-img convert)"
        )
    return size, head


def examine(source: Mapping[str, str]) -> Image:
    """What the file is.

    Raises InvalidOption for one that cannot be read, is not what its checksum says, or refers to other files.
    """
    path = source["path"]
    size, head = _readable(source)
    found = "qcow2" if head.startswith(_QCOW2) else "raw"
    form = source.get("format") or found
    if form != found or (found == "qcow2" and len(head) < 72):
        # Not even as raw: libvirt looks for itself what a volume is.
        raise InvalidOption(
            "import.format", form, f"is not the format of {path}, which is {found}", remedy="Leave it out"
        )
    if form == "raw":
        return Image(path, size, form, size)
    _magic, version, offset, _length, _bits, capacity = _HEADER.unpack_from(head)
    features = struct.unpack_from(">Q", head, 72)[0] if version >= 3 and len(head) >= 80 else 0
    if offset or features & _EXTERNAL_DATA:
        # Whoever made it could name any file of the host, and the guest would read it.
        raise InvalidOption(
            "import.path",
            path,
            "refers to another file for its content",
            remedy="Make it complete first (qemu-img convert)",
        )
    return Image(path, size, form, capacity)


class Header(NamedTuple):
    """What an image says of itself: its format, the bytes that a guest sees of it, and the file that it stands on
    (empty: on none).
    """

    format: str
    capacity: int
    backing: str


def read_header(path: str) -> Header:
    """What a pool would say of a file.

    Raises OSError for one that cannot be read, ValueError for one that is not understood.
    """
    with _opened(path) as file:
        head, size = file.read(_HEADER.size), os.lseek(file.fileno(), 0, os.SEEK_END)
    other = next((name for magic, name in _OTHERS.items() if head.startswith(magic)), "")
    if other:
        raise ValueError(f"{other} is not looked into")
    if not head.startswith(_QCOW2):
        return Header("raw", size, "")
    if len(head) < _HEADER.size:
        raise ValueError("the header is cut off")
    return Header("qcow2", _HEADER.unpack(head)[5], next(iter(backing_in(path)), ""))


def _opened(path: str) -> Any:
    """A file to read, without waiting for whoever writes to a pipe."""
    return open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK))


def backing_in(path: str) -> list[str]:
    """The files that an image stands on, as its header has them.

    Raises OSError for one that cannot be read, ValueError for one that is not understood.
    """
    with _opened(path) as file:
        head = file.read(20)
        other = next((name for magic, name in _OTHERS.items() if head.startswith(magic)), "")
        if other in ("qed", "vmdk"):
            raise ValueError(f"{other} is not looked into")
        if not head.startswith(_QCOW2):
            return []
        if len(head) < 20:
            raise ValueError("the header is cut off")
        offset, length = struct.unpack_from(">QI", head, 8)
        if not offset:
            return []
        if offset > _FARTHEST or not 0 < length <= _LONGEST:
            raise ValueError("the header is damaged")
        file.seek(offset)
        name = os.fsdecode(file.read(length))
    if not name:
        raise ValueError("the file is cut off")
    try:
        names = list(_file_names(json.loads(name[5:]))) if name.startswith("json:") else [name.removeprefix("file:")]
    except RecursionError as error:
        raise ValueError("the header is damaged") from error
    # A name with another protocol is none of a file.
    return [os.path.join(os.path.dirname(path), each) for each in names if ":" not in each.partition("/")[0]]


def backing_format_in(path: str) -> str:
    """The format of its backing image that a qcow2 image's header names; empty where it names none. Raises OSError.

    It is in the header's extensions, which begin after the header and end with one of the type 0
    (docs/interop/qcow2.txt of QEMU).
    """
    with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
        head = file.read(4096)
    if not head.startswith(_QCOW2) or len(head) < 104:
        return ""
    (version,) = struct.unpack_from(">I", head, 4)
    place = struct.unpack_from(">I", head, 100)[0] if version >= 3 else 72
    while 72 <= place <= len(head) - 8:
        kind, length = struct.unpack_from(">II", head, place)
        if kind == _BACKING_FORMAT:
            return head[place + 8 : place + 8 + length].decode("ascii", "replace")
        if not kind:
            break
        place += 8 + -(-length // 8) * 8
    return ""


def format_in(path: str) -> str:
    """The format that an image's first bytes show; empty for one that cannot be read."""
    try:
        with _opened(path) as file:
            head = file.read(20)
    except OSError:
        return ""
    return (
        "qcow2"
        if head.startswith(_QCOW2)
        else next((name for magic, name in _OTHERS.items() if head.startswith(magic)), "raw")
    )


def _file_names(options: Any) -> Iterator[str]:
    """The files in a node's description, as QEMU takes it: nested, or with dots in the keys."""
    for key, value in options.items() if isinstance(options, Mapping) else ():
        if isinstance(value, Mapping):
            yield from _file_names(value)
        elif key.rpartition(".")[2] == "filename":
            yield str(value)


def _compare(file: Any, source: Mapping[str, str]) -> None:
    digest = hashlib.sha256()
    file.seek(0)
    while chunk := file.read(_CHUNK):
        digest.update(chunk)
    if digest.hexdigest() != source["checksum"]:
        raise InvalidOption(
            "import.checksum", source["checksum"], "is not the checksum of {}, which is {}".format(source["path"], digest.hexdigest()),
            remedy="Fetch the file again, or correct the checksum",
        )  # fmt: skip


def send(host: Host, volume: Any, image: Image, sparse: bool) -> None:
    """Fill a volume with an image; with ``sparse``, what is a hole in the file is one in the volume.

    Raises BackendError where there is no room for it: libvirtd 11.3 ends when the disk fills as it receives a file, and
    takes every other client's connection along (libvirtd 9.0 says so; both seen).
    """
    _check_room(host, volume, image, sparse)
    stream = host.ask(host.conn.newStream, 0)
    with open(image.path, "rb", buffering=0) as file:
        try:
            if sparse:
                host.ask(volume.upload, stream, 0, image.size, host.api.VIR_STORAGE_VOL_UPLOAD_SPARSE_STREAM)
                host.ask(stream.sparseSendAll, _read, _section, _skip, (file, image.size))
            else:
                host.ask(volume.upload, stream, 0, image.size, 0)
                host.ask(stream.sendAll, _read, (file, image.size))
        except BaseException:
            # Whatever it was, libvirt must not wait for more. Where the connection itself broke off, nobody waits, and
            # the first error says more.
            with suppress(LibvirtError):
                host.ask(stream.abort)
            raise
    host.ask(stream.finish)


def _check_room(host: Host, volume: Any, image: Image, sparse: bool) -> None:
    kind, _capacity, there = host.ask(volume.info)
    if kind != host.api.VIR_STORAGE_VOL_FILE:
        # A device has its room already.
        return
    filled = min(image.size, os.stat(image.path).st_blocks * 512) if sparse else image.size
    pool, needed = host.ask(volume.storagePoolLookupByVolume), filled - there
    _state, _size, _used, free = host.ask(pool.info)
    if 2 * needed > free:
        # Libvirt knows what was free when it last looked. In a pool of a thousand images a look takes a second, so it
        # looks again only where it may matter.
        refresh(host, pool)
        _state, _size, _used, free = host.ask(pool.info)
    if needed > free:
        raise BackendError(
            f"{image.path} takes {format_size(filled)}, and the pool {host.ask(pool.name)} has only "
            f"{format_size(free)} free",
            remedy="Free space there, or name a pool with more",
        )


def _read(_stream: Any, count: int, source: tuple[Any, int]) -> bytes:
    return bytes(source[0].read(count))


def _section(_stream: Any, source: tuple[Any, int]) -> tuple[bool, int]:
    """Whether the file has data from here on, and how many bytes until that changes."""
    file, size = source
    here = file.tell()
    if here >= size:
        return False, 0
    try:
        data = os.lseek(file.fileno(), here, os.SEEK_DATA)
        end = os.lseek(file.fileno(), here, os.SEEK_HOLE) if data == here else data
    except OSError as error:
        if error.errno != errno.ENXIO:
            raise
        data, end = size, size
    finally:
        os.lseek(file.fileno(), here, os.SEEK_SET)
    return data == here, min(end, size) - here


def _skip(_stream: Any, length: int, source: tuple[Any, int]) -> int:
    return int(source[0].seek(length, os.SEEK_CUR))
