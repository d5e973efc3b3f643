# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One run at a time on one guest; a run that died holds nothing.

The kernel's record locks (fcntl(2), F_SETLKW) belong to a process and go with it. One file serves all guests of this
host: each guest's name stands for one byte of it. Two names that share a byte only wait for each other without need.

What guests have in common is held for single steps, by the threads of one process too: the locks of open files
(F_OFD_SETLKW) keep these apart. They are in a file of their own: a process that closes a file loses all its record
locks on it.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import signal
import struct
import tempfile
import zlib
from collections.abc import Iterable, Iterator
from types import FrameType

from .errors import KraalError

DIRECTORIES = ("/run/lock", tempfile.gettempdir())


#: The files for guests, and for what they have in common.
GUESTS, COMMON = "kraal.virt.lock", "kraal.virt.common.lock"
#: struct flock of Linux on 64-bit machines: l_type, l_whence, l_start, l_len, l_pid.
FLOCK = struct.Struct("hhqqi4x")


def _directory() -> str:
    return next((path for path in DIRECTORIES if os.path.isdir(path) and os.access(path, os.W_OK)), DIRECTORIES[-1])


def _open(name: str, make: bool = True) -> int:
    path = os.path.join(_directory(), name)
    flags = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        # Without O_CREAT first: with fs.protected_regular set, even root may not open another user's file with it.
        return os.open(path, flags)
    except FileNotFoundError:
        if not make:
            raise
        mask = os.umask(0)
        try:
            return os.open(path, flags | os.O_CREAT, 0o666)
        finally:
            os.umask(mask)


def _holder(file: int, offset: int) -> int:
    """The process that holds the byte, or 0 where it let go in the meantime."""
    query = FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, offset, 1, 0)
    kind, _whence, _start, _length, pid = FLOCK.unpack(fcntl.fcntl(file, fcntl.F_GETLK, query))
    return int(pid) if kind != fcntl.F_UNLCK else 0


def _acquire(file: int, keys: Iterable[str], seconds: int) -> None:
    offset, waiting_for = 0, ""

    def too_late(_signal: int, _frame: FrameType | None) -> None:
        raise TimeoutError

    previous = signal.signal(signal.SIGALRM, too_late)
    signal.alarm(seconds)
    try:
        # Always in the same order, so that two runs cannot wait for each other.
        for number, key in sorted((zlib.crc32(key.encode()), key) for key in set(keys)):
            offset, waiting_for = number, key
            fcntl.lockf(file, fcntl.LOCK_EX, 1, offset, os.SEEK_SET)
    except TimeoutError as error:
        raise KraalError(
            "another run (process %d) has held %s for %d seconds" % (_holder(file, offset), waiting_for, seconds),
            remedy="Wait for it or end it, then run again",
        ) from error
    except OSError as error:
        if error.errno != errno.EDEADLK:
            raise
        raise KraalError(f"another run waits for this one at {waiting_for}", remedy="Run again") from error
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, previous)


@contextlib.contextmanager
def locked(keys: Iterable[str], *, seconds: int = 300) -> Iterator[None]:
    """Hold the locks of all keys; wait for another run, at most so long. Only from the main thread (uses SIGALRM)."""
    file = _open(GUESTS)
    try:
        _acquire(file, keys, seconds)
        yield
    finally:
        os.close(file)


@contextlib.contextmanager
def held(key: str, *, shared: bool = False, looks: bool = False) -> Iterator[None]:
    """Hold what guests have in common, alone or with others that share it, against the threads and processes of this
    host; wait as long as it takes.

    Whoever holds one may ask for another, in an order that is the same everywhere: nobody looks for a circle, so each
    key stands for a byte of its own. Who only ``looks`` makes no file for it: where there is none, nobody holds
    anything.
    """
    try:
        file = _open(COMMON, make=not looks)
    except FileNotFoundError:
        yield
        return
    try:
        offset = int.from_bytes(hashlib.sha256(key.encode()).digest()[:7], "big")
        fcntl.fcntl(
            file, fcntl.F_OFD_SETLKW, FLOCK.pack(fcntl.F_RDLCK if shared else fcntl.F_WRLCK, os.SEEK_SET, offset, 1, 0)
        )
        yield
    finally:
        os.close(file)
