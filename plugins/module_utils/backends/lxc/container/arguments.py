# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a task names on this host, archives and block devices: read before its arguments are understood."""

from __future__ import annotations

import functools
import json
import os
import re
from collections.abc import Mapping
from typing import Any

from ....engine.digest import sha256_of
from ....engine.errors import InvalidOption, unread_file
from .kinds import check_text


@functools.lru_cache(maxsize=64)
def _digest(path: str, _stamp: tuple[int, ...]) -> str:
    return "sha256:" + sha256_of(path)


def checksum_of(path: str) -> str:
    """sha256:... of a file; read once for as long as it does not change."""
    found = os.stat(path)
    return _digest(path, (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns))


def _described(path: str) -> str:
    """The checksum in the description that base_image leaves beside its archives, where it is this archive's."""
    path = os.path.realpath(path)  # the role fleet gives an archive a second name that stays
    try:
        with open(os.path.splitext(path)[0] + ".json", encoding="utf-8") as file:
            described = json.load(file)
        fits = described["file"] == os.path.basename(path) and described["size"] == os.path.getsize(path)
        return str(described["checksum"]) if fits else ""
    except (OSError, ValueError, KeyError, TypeError):
        # No description, or none of this archive: then the archive itself is read.
        return ""


IMAGE_REMEDY = "Write the path of an archive, or a mapping with path and checksum as base_image returns them"


def complete_image(given: Any) -> dict[str, str]:
    """An archive with its checksum, by its path or as base_image returns it. Raises InvalidOption."""
    fields = {"path": given} if isinstance(given, str) else given
    if not isinstance(fields, Mapping) or not {"path"} <= set(fields):
        raise InvalidOption("image", given, "is not an archive", remedy=IMAGE_REMEDY)
    path, checksum = check_text(fields["path"], "image.path"), str(fields.get("checksum") or "").lower()
    if not path.startswith("/"):
        raise InvalidOption("image.path", path, "is not absolute", remedy=IMAGE_REMEDY)
    if checksum and not re.fullmatch(r"sha256:[0-9a-f]{64}", checksum):
        raise InvalidOption(
            "image.checksum", checksum, "is not a checksum", remedy="Write sha256: and 64 hexadecimal digits"
        )
    if not checksum and ("checksum" not in fields or os.path.exists(path)):
        # base_image gives an empty one under check mode, for what it would build.
        with unread_file("image.path", path, "Build it with base_image, or copy it to the host first"):
            checksum = _described(path) or checksum_of(path)
    return {"path": path, "checksum": checksum}


def device(entry: Any) -> Any:
    """A block device by the numbers that the kernel knows it by."""
    if not isinstance(entry, Mapping) or not str(entry.get("device") or "").startswith("/"):
        return entry
    path = str(entry["device"])
    try:
        number = os.stat(path).st_rdev
    except (OSError, ValueError) as error:
        raise InvalidOption(
            "io_limits", path, f"cannot be looked at: {error}", remedy="Name a block device of the host"
        ) from error
    if not number:
        raise InvalidOption("io_limits", path, "is not a device", remedy="Name a block device of the host")
    return {**entry, "device": "%d:%d" % (os.major(number), os.minor(number))}
