# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A volume's options: how they are written, read, compared and written into a definition. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ....engine.action import Disruption
from ....engine.errors import InvalidOption
from ....engine.kinds import Kind, Part, Size, Text
from ....engine.spec import Option, Table
from ..names import Path, check_name
from ..xml import Element, attribute, make, size_of, text_of

FORMATS = ("raw", "qcow2", "qed", "vdi", "vmdk", "vpc")
#: Formats of images that are brought from elsewhere: the ones that refer to no other files, or whose references can be
#: seen.
IMPORTED = ("raw", "qcow2")
#: Pools whose volumes are devices: there is no format in them, and all of them is allocated.
DEVICES = ("logical", "zfs", "rbd", "iscsi", "disk", "mpath", "scsi")
#: In which steps a pool of a type counts; what a volume is larger by than was wanted, below that, is the pool's
#: rounding.
STEPS = {"logical": 4 * 1024**2, "zfs": 1024**2, "disk": 1024**2}
STEP = 4096

_SOURCE = "Write a mapping with path, and with checksum and format if wanted"
_VOLUME = "Write a volume's name, or a mapping with volume and pool"


class Once(Kind):
    """What counts for a new volume only: nothing of it can be seen in one that is there."""

    def parts(self, want: Any, have: Any, exact: bool) -> list[Part]:
        return []


class Allocation(Once, Size):
    """The bytes to reserve."""


class Import(Once):
    """A file on the host where the task runs, to be brought into the pool."""

    argument = {
        "type": "dict",
        "options": {
            "path": {"type": "path", "required": True},
            "checksum": {"type": "str"},
            "format": {"type": "str", "choices": list(IMPORTED)},
        },
    }

    def parse(self, value: Any, option: str) -> dict[str, str]:
        fields = {key: text for key, text in value.items() if text is not None}
        fields["path"] = Path().parse(fields["path"], f"{option}.path")
        if "checksum" in fields:
            fields["checksum"] = fields["checksum"].lower().removeprefix("sha256:")
            if not re.fullmatch(r"[0-9a-f]{64}", fields["checksum"]):
                raise InvalidOption(
                    f"{option}.checksum", value["checksum"], "is no SHA-256", remedy="Write 64 hexadecimal digits"
                )
        return fields


class Reference(Once):
    """Another volume, by its name and its pool (None: the volume's own), or, where that is allowed, a file by its
    path and format.
    """

    argument = {"type": "raw"}

    def __init__(self, *, files: bool = False) -> None:
        self.files = files

    def parse(self, value: Any, option: str) -> dict[str, str | None]:
        fields: Any = {"volume": value} if isinstance(value, str) else value
        known = ("volume", "pool", "path", "format") if self.files else ("volume", "pool")
        remedy = _VOLUME + (", or one with path and format" if self.files else "")
        if not isinstance(fields, Mapping) or set(fields) - set(known):
            raise InvalidOption(option, value, "is not understood", remedy=remedy)
        fields = {key: str(text) for key, text in fields.items() if text is not None}
        if set(fields) == {"path", "format"}:
            if fields["format"] not in FORMATS:
                raise InvalidOption(
                    f"{option}.format",
                    fields["format"],
                    "is not a format of images",
                    remedy="Write one of: {}".format(", ".join(FORMATS)),
                )
            return {"path": Path().parse(fields["path"], f"{option}.path"), "format": fields["format"]}
        if "volume" not in fields or set(fields) - {"volume", "pool"}:
            raise InvalidOption(option, value, "is not understood", remedy=remedy)
        for key, text in fields.items():
            check_name(text, f"{option}.{key}")
        return {"pool": None, **fields}

    def show(self, value: Mapping[str, str | None]) -> dict[str, str]:
        return {key: text for key, text in value.items() if text is not None}


def backing_of(volume: Element) -> dict[str, str] | None:
    """The image below a volume, if it stands on one."""
    path = text_of(volume, "backingStore/path")
    return None if path is None else {"path": path, "format": attribute(volume, "backingStore/format", "type") or ""}


VOLUME_OPTIONS: tuple[Option, ...] = (
    Option("capacity", Size(bare=1 << 20), lambda volume: size_of(volume.find("capacity")), Disruption.LIVE),
    Option(
        "allocation", Allocation(bare=1 << 20), lambda volume: size_of(volume.find("allocation")), Disruption.RECREATE
    ),
    Option(
        "format", Text(choices=FORMATS), lambda volume: attribute(volume, "target/format", "type"), Disruption.RECREATE
    ),
    Option("import", Import(), lambda volume: None, Disruption.RECREATE),
    Option("clone", Reference(), lambda volume: None, Disruption.RECREATE),
    Option("backing", Reference(files=True), backing_of, Disruption.RECREATE),
)

VOLUMES_TABLE = Table(
    backend="kvm",
    kind="volume",
    options=VOLUME_OPTIONS,
    states=("present", "absent"),
    state="present",
    allow=None,
    steering={"pool": {"type": "str", "required": True}, "wipe": {"type": "bool", "default": False}},
    check_name=check_name,
)


def defined(name: str, pool_type: str, values: Mapping[str, Any], backing: Mapping[str, str] | None = None) -> Element:
    """The definition of a new volume. ``values``: capacity, allocation and format, None where there is none."""
    capacity, allocation, form = values.get("capacity"), values.get("allocation"), values.get("format")
    if pool_type in DEVICES:
        form = None
    elif allocation is None:
        # Without a word libvirt allocates all of it.
        allocation = 0
    target = make("target", None, make("format", {"type": form})) if form else None
    if target is not None and form == "qcow2":
        # Libvirt's own choice is the format of before 2013.
        target.append(make("compat", text="1.1"))
    below = None
    if backing is not None:
        below = make(
            "backingStore", None, make("path", text=backing["path"]), make("format", {"type": backing["format"]})
        )
    return make(
        "volume",
        None,
        make("name", text=name),
        None if capacity is None else make("capacity", {"unit": "bytes"}, text=capacity),
        None if allocation is None else make("allocation", {"unit": "bytes"}, text=allocation),
        target,
        below,
    )
