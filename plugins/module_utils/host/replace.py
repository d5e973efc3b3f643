# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A file of the configuration is replaced in one move, which a loss of power leaves done or not done."""

from __future__ import annotations

import os
import shutil
import time
from contextlib import suppress
from functools import partial
from pathlib import Path

from ..engine import trace
from ..engine.errors import os_errors, taken_back


def sync(path: Path) -> None:
    """Wait until a file, or the names in a directory, would survive a loss of power. Raises OSError."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def replace_file(path: Path, text: str, mode: int = 0o640, *, keep_old: bool = False) -> None:
    """Write a file so that it is always whole: the old one or the new one, with the old one's owner and permissions.

    ``mode``: that of a file which was not there. ``keep_old``: leave the old one beside it, under the name that
    Ansible's own backups have. Text that was read with surrogateescape comes back as the bytes that it was.
    Raises BackendError.
    """
    fresh = path.with_name(f".{path.name}.kraal-new")
    # On a disk that is full, what was begun would keep it full.
    undo = taken_back(partial(fresh.unlink, missing_ok=True))
    with os_errors(f"{path} cannot be written", "Run as root (become), and look for space on its disk"), undo:
        with trace.call(lambda: f"write {path}"), fresh.open("w", encoding="utf-8", errors="surrogateescape") as file:
            # A new file's permissions are those that were asked for.
            with suppress(FileNotFoundError):
                found = path.stat()
                os.fchown(file.fileno(), found.st_uid, found.st_gid)
                mode = found.st_mode & 0o7777
                if keep_old:
                    old = "%s.%d.%s" % (path.name, os.getpid(), time.strftime("%Y-%m-%d@%H:%M:%S~"))
                    shutil.copy2(path, path.with_name(old))
            os.fchmod(file.fileno(), mode)
            file.write(text)
        sync(fresh)
        os.replace(fresh, path)
        sync(path.parent)
