# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One run at a time on one guest; a run that died holds nothing.

The kernel's record locks (fcntl(2), F_SETLKW) belong to a process and go with it. One file serves all guests of this
host: each guest's name stands for one byte of it. Two names that share a byte only wait for each other without need.

What guests have in common is held for single steps, by the threads of one process too: the locks of open files
(F_OFD_SETLKW) keep these apart. They are in a file of their own: a process that closes a file loses all its record
locks on it.

Each user has files of his own: whoever may open a file may hold it for ever. So runs of two users do not wait for each
other.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import re
import signal
import stat
import struct
import threading
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import FrameType

from .errors import KraalError

#: The directory of root, and what that of another user begins with, before his number. The same on every distribution
#: and in every session: what a session's environment names would keep two runs of one user apart.
ROOTS, OTHERS = "/run/kraal.virt", "/tmp/kraal.virt-"
#: The files for guests, and for what they have in common.
GUESTS, COMMON = "kraal.virt.lock", "kraal.virt.common.lock"
#: struct flock of Linux on 64-bit machines: l_type, l_whence, l_start, l_len, l_pid.
FLOCK = struct.Struct("hhqqi4x")
#: Seconds to wait for another run with the same guest, and for what guests have in common: a large volume takes long to
#: copy.
SECONDS, COMMON_SECONDS = 300, 3600
#: What the kernel says of something else in the place of a file or a directory, or of another user's.
_FOREIGN = (errno.EISDIR, errno.ENOTDIR, errno.ELOOP, errno.ENXIO, errno.EACCES, errno.EPERM)


def _unfit(path: str, what: str) -> KraalError:
    return KraalError(
        f"the lock {path} cannot be used: it is not a {what} of this user alone",
        remedy="Look who made it, remove it, and run again",
    )


@contextlib.contextmanager
def _explained(path: str, what: str) -> Iterator[None]:
    """What the system says no to, with a remedy."""
    try:
        yield
    except OSError as error:
        if error.errno in _FOREIGN:
            raise _unfit(path, what) from error
        raise KraalError(
            f"the lock {path} cannot be opened: {error.strerror}", remedy="See to it that there is room, and run again"
        ) from error


def directory() -> str:
    """Where the locks of this user are."""
    user = os.geteuid()
    return f"{OTHERS}{user}" if user else ROOTS


def _open_directory() -> int:
    path = directory()
    with _explained(path, "directory"):
        # A small container may have no /run yet.
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with contextlib.suppress(FileExistsError):
            os.mkdir(path, 0o700)
        opened = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    found = os.fstat(opened)
    if found.st_uid != os.geteuid() or found.st_mode & 0o022:
        os.close(opened)
        raise _unfit(path, "directory")
    return opened


def _open(name: str) -> int:
    """A lock file, made where there is none. Raises KraalError."""
    path, place = os.path.join(directory(), name), _open_directory()
    try:
        with _explained(path, "file"):
            # Without waiting: a named pipe, say, is told.
            flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            file = os.open(name, flags, 0o600, dir_fd=place)
    finally:
        os.close(place)
    found = os.fstat(file)
    if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid():
        os.close(file)
        raise _unfit(path, "file")
    return file


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
def locked(keys: Iterable[str], *, seconds: int = SECONDS) -> Iterator[None]:
    """Hold the locks of all keys; wait for another run, at most so long. Only from the main thread (uses SIGALRM)."""
    file = _open(GUESTS)
    try:
        _acquire(file, keys, seconds)
        yield
    finally:
        os.close(file)


def _holders(file: int, offset: int) -> list[int]:
    """The processes that hold the byte for what guests have in common, as far as this user may see them: such a lock
    is a file's, and the kernel tells of it beside the file (proc_pid_fdinfo(5)).
    """
    line = re.compile(rf"^lock:.* OFDLCK .*:{os.fstat(file).st_ino} {offset} {offset}$", re.MULTILINE)
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        # It may end in this moment, or belong to somebody else.
        with contextlib.suppress(OSError):
            if any(line.search(each.read_text(encoding="utf-8")) for each in (process / "fdinfo").iterdir()):
                found.append(int(process.name))
    return found


def _take(file: int, lock: bytes, seconds: float) -> bool:
    """Whether it could be had in that time. Raises OSError."""
    try:
        fcntl.fcntl(file, fcntl.F_OFD_SETLK, lock)
        return True
    except BlockingIOError:
        pass
    # No wait for a lock has an end of its own, and an alarm is the main thread's alone. Too late, the lock goes with
    # the last descriptor of the file.
    own, refused = os.dup(file), list[OSError]()

    def wait() -> None:
        try:
            fcntl.fcntl(own, fcntl.F_OFD_SETLKW, lock)
        except OSError as error:
            refused.append(error)
        finally:
            os.close(own)

    waiting = threading.Thread(target=wait, daemon=True)
    waiting.start()
    waiting.join(seconds)
    if refused:
        raise refused[0]
    return not waiting.is_alive()


@contextlib.contextmanager
def held(key: str, *, shared: bool = False, looks: bool = False, seconds: float = COMMON_SECONDS) -> Iterator[None]:
    """Hold what guests have in common, alone or with others that share it, against the threads and processes of this
    host; wait for it, at most so long. Raises KraalError.

    Whoever holds one may ask for another, in an order that is the same everywhere: nobody looks for a circle, so each
    key stands for a byte of its own. Who only ``looks`` makes no file for it: where there is none, nobody holds
    anything.
    """
    if looks and not os.path.exists(os.path.join(directory(), COMMON)):
        yield
        return
    file = _open(COMMON)
    try:
        offset = int.from_bytes(hashlib.sha256(key.encode()).digest()[:7], "big")
        kind = fcntl.F_RDLCK if shared else fcntl.F_WRLCK
        if not _take(file, FLOCK.pack(kind, os.SEEK_SET, offset, 1, 0), seconds):
            holders = ", ".join(map(str, _holders(file, offset)))
            raise KraalError(
                "another run%s has held %s for %d seconds" % (holders and f" (process {holders})", key, seconds),
                remedy="Wait for it or end it, then run again",
            )
        yield
    finally:
        os.close(file)
