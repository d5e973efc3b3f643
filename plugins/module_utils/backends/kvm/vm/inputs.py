# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A domain's keyboards, mice and tablets, and the USB devices that are redirected to it by who looks at it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ....engine.errors import InvalidOption
from .devices import add, devices, remove
from .fields import PATH, DeviceSet, Field, parse_fields, word
from .model import View
from .xml import Element, get, put

#: By the kind of an input: where the path of the host's device stands that it is; empty for a device that QEMU makes.
_PATHS = {"keyboard": "", "mouse": "", "tablet": "", "passthrough": "source@evdev", "evdev": "source@dev"}
INPUT_FIELDS = (
    Field("type", word(*_PATHS), "@type"),
    Field("bus", word("usb", "virtio"), "@bus"),
    Field("path", PATH, ""),
)
#: What redirects a viewer's USB devices, over SPICE; others have a place of their own.
REDIRECTED = "redirdev[@type='spicevmc']"


def _read_input(entry: Any, option: str) -> tuple[str, dict[str, Any]]:
    fields = {"type": entry} if isinstance(entry, str) else entry
    kind = str(fields.get("type") or "") if isinstance(fields, Mapping) else ""
    if kind not in _PATHS:
        raise InvalidOption(
            option, kind or entry, "is not a kind of input", remedy="Write one of: " + ", ".join(_PATHS)
        )
    record = parse_fields(INPUT_FIELDS, fields, f"{option}[{kind}]")
    if bool(record.get("path")) is not bool(_PATHS[kind]):
        said = "needs the path of a device of the host" if _PATHS[kind] else "has no path on the host"
        raise InvalidOption(option, kind, said, remedy="Write path with passthrough and evdev, and with no other")
    if kind == "passthrough":
        record["bus"] = "virtio"
    elif kind != "evdev":
        record.setdefault("bus", "usb")
    return _key(record), record


def _key(record: Mapping[str, Any]) -> str:
    return "{}:{}".format(record.get("type"), record.get("path") or record.get("bus"))


class Inputs(DeviceSet):
    """Inputs, told apart by kind and bus, or by the host's device that they are."""

    def __init__(self) -> None:
        super().__init__(INPUT_FIELDS, _read_input, "", {"elements": "raw"})

    def show_entry(self, key: str, value: Any) -> Any:
        return dict(value)


INPUTS = Inputs()


def _record(element: Element) -> dict[str, Any]:
    kind = element.get("type", "")
    found = {"type": kind, "bus": element.get("bus"), "path": get(element, _PATHS.get(kind) or "source@dev")}
    return {name: value for name, value in found.items() if value}


def _inputs(root: Element) -> dict[str, Element]:
    """The first of each kind. A machine on x86 has a keyboard and a mouse on PS/2 whatever is said."""
    found: dict[str, Element] = {}
    for each in devices(root, "input"):
        if each.get("bus") != "ps2":
            found.setdefault(_key(_record(each)), each)
    return found


def read_inputs(root: Element) -> dict[str, dict[str, Any]]:
    """By kind and bus, or by the host's device."""
    return {key: _record(each) for key, each in _inputs(root).items()}


def write_inputs(root: Element, before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    """Bring them to ``after``."""
    there = _inputs(root)
    for key in set(before) - set(after):
        remove(root, there[key])
    for key, record in after.items():
        if key in there:
            continue
        element = add(root, "input", type=record["type"])
        if record.get("bus"):
            put(element, "@bus", record["bus"])
        if record.get("path"):
            put(element, _PATHS[record["type"]], record["path"])


def read_redirected(view: View) -> int:
    """How many USB devices can be redirected at once."""
    return len(view.root.findall("devices/" + REDIRECTED))


def write_redirected(root: Element, before: Any, after: int) -> None:
    """So many."""
    for old in root.findall("devices/" + REDIRECTED)[after:]:
        remove(root, old)
    for _number in range(before or 0, after):
        add(root, "redirdev", bus="usb", type="spicevmc")
