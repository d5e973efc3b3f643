# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What libosinfo's metadata of a domain says of the system in it. Pure."""

from __future__ import annotations

from typing import Any

from ....engine.kinds import Text, as_read
from .model import View
from .xml import ET, Element, make

NAMESPACE = "http://libosinfo.org/xmlns/libvirt/domain/1.0"
NOTE = f"{{{NAMESPACE}}}libosinfo"
_OS = f"{{{NAMESPACE}}}os"
OSINFO = Text(
    pattern=r"([a-z][a-z0-9+.-]*:[^\s\"<>]+)?",
    remedy="Write libosinfo's id of the system, like http://debian.org/debian/12 (osinfo-query os shows them)",
)


def _parsed(text: str) -> str:
    return OSINFO.parse(text, "osinfo")


def osinfo_note(root: Element) -> Element | None:
    """Libosinfo's element in a domain's metadata."""
    return root.find(f"metadata/{NOTE}")


def read_osinfo(view: View) -> Any:
    """The id of the system; empty where nobody said it."""
    found = view.root.find(f"metadata/{NOTE}/{_OS}")
    return "" if found is None else as_read(_parsed, found.get("id", ""))


def write_osinfo(root: Element, _before: Any, after: str) -> None:
    """What else libosinfo has noted there stays."""
    metadata = make(root, "metadata")
    note = osinfo_note(root)
    if note is None:
        note = ET.SubElement(metadata, NOTE)
    for old in note.findall(_OS):
        note.remove(old)
    if after:
        note.insert(0, ET.Element(_OS, {"id": after}))
    if not len(note):
        metadata.remove(note)
    if not len(metadata):
        root.remove(metadata)
