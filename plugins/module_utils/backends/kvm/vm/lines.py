# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How a line of the table of options is made: of one place in the XML, of fields at several, of one device.

Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ....engine.action import Disruption
from ....engine.kinds import Entries, Kind
from .fields import Field, FieldSet, OneDevice, read_fields, set_waits, stored_waits, write_fields
from .model import View, VmOption, Waits, Write
from .xml import Element, drop, make, put


def scalar(
    name: str, kind: Kind, place: str, absent: Any = None, change: Disruption = Disruption.RESTART, **more: Any
) -> VmOption:
    """An option that stands at one place. ``more``: what else there is to say of it."""
    part = Field(name, kind, place, absent)
    return VmOption(
        name,
        kind,
        lambda view: part.read(view.root),
        change,
        lambda root, _before, after: part.write(root, after),
        places=(place,),
        **more,
    )


def fields_of(
    name: str, kind: FieldSet, write: Write | None = None, waits: Waits = stored_waits, **more: Any
) -> VmOption:
    """A mapping of fields, each at a place of its own. ``write``: how, where that is more than each at its place."""
    fields = tuple(kind.fields.values())

    def each(root: Element, before: Any, after: Any) -> None:
        write_fields(fields, root, after, before or {})

    places = tuple(place for field in fields for place in field.places)
    return VmOption(
        name,
        kind,
        lambda view: read_fields(fields, view.root),
        Disruption.RESTART,
        write or each,
        waits,
        places=places,
        **more,
    )


def single(name: str, tag: str, fields: Sequence[Field], absent: str = "none") -> VmOption:
    """A device that a guest has one of, or none: model=none takes it away."""

    def read(view: View) -> dict[str, Any]:
        found = view.root.find("devices/" + tag)
        return {"model": absent} if found is None else read_fields(fields, found)

    def write(root: Element, before: Any, after: Any) -> None:
        place = "devices/" + tag
        if after.get("model") == "none":
            drop(root, place)
            if tag in ("memballoon", "video"):
                # Without one of them, libvirt adds its own.
                put(root, place + ("@model" if tag == "memballoon" else "/model@type"), "none")
            return
        if before.get("model") != after.get("model"):
            drop(root, place)
            before = {}
        write_fields(fields, make(root, place), after, before)

    return VmOption(name, OneDevice(name, fields), read, Disruption.RESTART, write, set_waits, devices=(tag,))


def devices_of(
    name: str,
    kind: Entries,
    read: Callable[[Element], Any],
    write: Write,
    change: Disruption = Disruption.RESTART,
    **more: Any,
) -> VmOption:
    """Devices that a guest has several of."""
    return VmOption(name, kind, lambda view: read(view.root), change, write, **more)
