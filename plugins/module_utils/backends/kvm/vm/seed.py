# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Cloud-init's seed: an image of a CD, known by its content, that is made again only when that changes. Pure."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from ....engine.errors import InvalidOption
from ....engine.kinds import Kind
from . import devices as dev
from .model import View
from .xml import Element, get, put

#: The files of cloud-init's data source NoCloud, and the fields that they are made of.
FILES = {"user_data": "user-data", "meta_data": "meta-data", "network_config": "network-config"}
#: The disk that the guest finds it in: on SCSI, as kernels for clouds have no driver for SATA.
TARGET = "sdz"


class Seed(dict):  # type: ignore[type-arg]
    """The files' texts by the fields' names.

    Two seeds of the same content are equal; what a domain has is known by its digest alone.
    """

    digest = ""
    #: Where its volume is, or will be.
    path = ""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Seed) and self.digest == other.digest

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = None


def seed(texts: Mapping[str, str], digest: str = "", path: str = "") -> Seed:
    """A seed; without its texts, its digest has to be given."""
    made = Seed(texts)
    made.path = path
    made.digest = digest or hashlib.sha256(json.dumps(dict(sorted(texts.items()))).encode()).hexdigest()[:16]
    return made


class CloudInit(Kind):
    """user_data, meta_data and network_config: texts, or mappings, which are written as JSON (every JSON is YAML)."""

    argument = {"type": "dict", "options": {name: {"type": "raw"} for name in FILES}}

    def parse(self, value: Any, option: str) -> Seed:
        texts = {}
        for name in FILES:
            given = value.get(name)
            if given is None:
                continue
            if isinstance(given, (Mapping, list)):
                text = json.dumps(given, indent=1, sort_keys=True) + "\n"
                texts[name] = "#cloud-config\n" + text if name == "user_data" else text
            elif isinstance(given, str):
                texts[name] = given
            else:
                raise InvalidOption(
                    f"{option}.{name}",
                    type(given).__name__,
                    "is neither a text nor a mapping",
                    remedy="Write what cloud-init shall read",
                )
        return seed(texts)

    def show(self, value: Seed) -> str:
        # What is in it may be a password.
        return f"seed {value.digest}"


CLOUD_INIT = CloudInit()


def seed_volume(name: str, digest: str) -> str:
    """The name of the volume with a guest's seed."""
    return f"{name}-seed-{digest}.iso"


def seed_path(root: Element, name: str) -> str:
    """The path of the seed that a domain has; empty where it has none of ours."""
    pattern = re.compile(rf".*/{re.escape(name)}-seed-[0-9a-f]{{16}}\.iso")
    paths = (get(disk, "source@file") or "" for disk in root.findall("devices/disk[@device='cdrom']"))
    return next((path for path in paths if pattern.fullmatch(path)), "")


def read_seed(root: Element, name: str) -> Seed | None:
    """The seed that a domain has."""
    path = seed_path(root, name)
    return seed({}, path[-20:-4], path) if path else None


def seed_waits(live: Seed | None, stored: Seed | None, _view: View) -> Iterable[str]:
    """A seed that is stored and that a guest which runs does not have."""
    paths = [None if side is None else side.path for side in (live, stored)]
    return [""] if paths[0] != paths[1] else []


def write_seed(root: Element, before: Seed | None, after: Seed) -> None:
    """Put the seed into its drive, which is made where it is missing."""
    drive = next(
        (disk for disk in dev.devices(root, "disk") if before is not None and dev.source_of(disk) == before.path), None
    )
    if drive is None:
        drive = dev.add(root, "disk", type="file", device="cdrom")
        put(drive, "driver@name", "qemu")
        put(drive, "driver@type", "raw")
        put(drive, "target@dev", TARGET)
        put(drive, "target@bus", "scsi")
        dev.give_scsi(root, drive)
        put(drive, "readonly", "")
    dev.set_source(drive, after.path)
