# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Files that somebody else may have laid there: read without waiting, and who can change what a path leads to."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

#: Far above any configuration and any note.
LONGEST = 1 << 20


def read_file(path: Path | str, longest: int = LONGEST) -> str:
    """The text of a file.

    Raises OSError, also for what is no regular file, like a FIFO on which a reader would wait, and for one that is
    longer.
    """
    # A look first: to open a device may do something.
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise OSError(errno.EINVAL, "it is not a regular file", str(path))
    with open(
        os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC),
        encoding="utf-8",
        errors="surrogateescape",
    ) as file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file", str(path))
        text = file.read(longest + 1)
    if len(text) > longest:
        raise OSError(errno.EFBIG, "it is longer than %d characters" % longest, str(path))
    return text


def changeable(path: str) -> str:
    """The first place on the way of an absolute path, its end included, that others than root and who runs this can
    change; empty where there is none.

    A directory in which everybody may make files counts only as the end of the way where it has the sticky bit, like
    /tmp: nobody can replace another one's there. Raises OSError for what is not there or may not be looked at.
    """
    users, groups = {0, os.geteuid()}, {0, os.getegid()}
    todo, at, links = path.split("/")[::-1], "/", 0
    while True:
        found = os.lstat(at)
        while todo and todo[-1] in ("", "."):
            todo.pop()
        if found.st_uid not in users:
            return at
        if stat.S_ISLNK(found.st_mode):
            links += 1
            if links > 40:
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
            target = os.readlink(at)
            todo += target.split("/")[::-1]
            at = "/" if target.startswith("/") else os.path.dirname(at)
            continue
        open_to = found.st_mode & stat.S_IWOTH or (found.st_mode & stat.S_IWGRP and found.st_gid not in groups)
        if open_to and not (found.st_mode & stat.S_ISVTX and stat.S_ISDIR(found.st_mode) and todo):
            return at
        if not todo:
            return ""
        name = todo.pop()
        at = os.path.dirname(at) if name == ".." else os.path.join(at, name)
