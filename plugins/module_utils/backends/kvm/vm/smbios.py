# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The SMBIOS of a domain: what its firmware tells the system of the machine. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .fields import Field, FieldSet, Line, word
from .model import View
from .xml import ET, Element, drop, get, make, put

#: By the block: its entries, in libvirt's words (formatdomain, "SMBIOS System Information").
_ENTRIES = {
    "bios": ("vendor", "version", "date", "release"),
    "system": ("manufacturer", "product", "version", "serial", "uuid", "sku", "family"),
    "baseBoard": ("manufacturer", "product", "version", "serial", "asset", "location"),
    "chassis": ("manufacturer", "version", "serial", "asset", "sku"),
}
_BLOCK = "sysinfo[@type='smbios']"
_PLACES = {f"{block.lower()}_{entry}": (block, entry) for block, entries in _ENTRIES.items() for entry in entries}
SMBIOS_FIELDS = (
    Field("mode", word("emulate", "host", "sysinfo"), "os/smbios@mode"),
    *(Field(name, Line(), "", "") for name in _PLACES),
)


class Smbios(FieldSet):
    """What the firmware tells of the machine."""

    def parse(self, value: Any, option: str) -> dict[str, Any]:
        record = super().parse(value, option)
        if any(record.get(name) for name in _PLACES):
            record.setdefault("mode", "sysinfo")
        return record


SMBIOS = Smbios(SMBIOS_FIELDS)
#: Where all of it stands.
PLACES = ("os/smbios@mode", "sysinfo@type", *(f"sysinfo/{block}" for block in _ENTRIES))


def read_smbios(view: View) -> dict[str, Any]:
    """The mode, and the entries; an empty text where there is none."""
    block = view.root.find(_BLOCK)
    entries = {name: "" if block is None else _entry(block, name) for name in _PLACES}
    return {"mode": get(view.root, "os/smbios@mode") or "emulate", **entries}


def _entry(block: Element, name: str) -> str:
    holder, entry = _PLACES[name]
    return (block.findtext(f"{holder}/entry[@name='{entry}']") or "").strip()


def write_smbios(root: Element, before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    """The entries that differ; an empty one is taken away."""
    if after.get("mode") != before.get("mode"):
        put(root, "os/smbios@mode", after["mode"])
    changed = {name: after[name] for name in _PLACES if name in after and after[name] != before.get(name, "")}
    if not changed:
        return
    block = root.find(_BLOCK)
    if block is None:
        block = ET.SubElement(root, "sysinfo", {"type": "smbios"})
    for name, text in changed.items():
        _put_entry(block, name, text)
    if not len(block):
        drop(root, _BLOCK)


def _put_entry(block: Element, name: str, text: str) -> None:
    holder, entry = _PLACES[name]
    found = make(block, holder).find(f"entry[@name='{entry}']")
    if found is None:
        found = ET.SubElement(make(block, holder), "entry", {"name": entry})
    found.text = text
    if not text:
        make(block, holder).remove(found)
    if not len(make(block, holder)):
        block.remove(make(block, holder))
