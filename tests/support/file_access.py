# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stops a program where it reads a file, so that something can happen just then: in the middle of a copy."""

from __future__ import annotations

import ctypes
import os
import select
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

#: fanotify(7): FAN_CLASS_CONTENT | FAN_CLOEXEC, FAN_MARK_ADD, FAN_ACCESS_PERM | FAN_EVENT_ON_CHILD, AT_FDCWD,
#: FAN_ALLOW.
INIT, ADD, READS, HERE, ALLOW = 0x4 | 0x1, 0x1, 0x20000 | 0x8000000, -100, 0x1
#: struct fanotify_event_metadata and struct fanotify_response.
EVENT, RESPONSE = struct.Struct("=IBBHQii"), struct.Struct("=iI")


@contextmanager
def before_each_read(directory: Path, happens: Callable[[], None]) -> Iterator[None]:
    """While inside, whoever reads a file in the directory waits until `happens` has returned, which must read none
    there itself.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    watch = libc.fanotify_init(INIT, os.O_RDONLY | os.O_CLOEXEC)
    if watch < 0 or libc.fanotify_mark(watch, ADD, ctypes.c_uint64(READS), HERE, os.fsencode(directory)) < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(directory))
    ended, end = os.pipe()
    failed: list[BaseException] = []

    def serve() -> None:
        while ended not in select.select([watch, ended], [], [])[0]:
            events = os.read(watch, 65536)
            while events:
                length, _version, _reserved, _metadata, _mask, file, _process = EVENT.unpack_from(events)
                events = events[length:]
                try:
                    if not failed:
                        happens()
                except (AssertionError, RuntimeError, OSError) as error:
                    failed.append(error)
                # Whoever was killed while it waited is not waiting any more.
                with suppress(FileNotFoundError):
                    os.write(watch, RESPONSE.pack(file, ALLOW))
                os.close(file)

    server = threading.Thread(target=serve)
    server.start()
    try:
        yield
    finally:
        os.close(end)
        server.join()
        # Lets everybody go on who waits.
        os.close(watch)
        os.close(ended)
    if failed:
        raise failed[0]
