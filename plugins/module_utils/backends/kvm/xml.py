# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Libvirt's XML as trees: read, made, compared and written by the serializer. Pure; no text is ever put together."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Mapping
from typing import Any
from xml.parsers import expat

from ...engine.errors import InvalidOption, KraalError, Unreadable
from ...engine.secrets import hide

Element = ET.Element

#: Ours, for what libvirt keeps for us in <metadata>.
NAMESPACE = "https://kraal.virt/libvirt/1.0"
for _prefix, _uri in (
    ("kraal", NAMESPACE),
    ("qemu", "http://libvirt.org/schemas/domain/qemu/1.0"),
    ("libosinfo", "http://libosinfo.org/xmlns/libvirt/domain/1.0"),
    ("dnsmasq", "http://libvirt.org/schemas/network/dnsmasq/1.0"),
    ("fs", "http://libvirt.org/schemas/storagepool/fs/1.0"),
    ("rbd", "http://libvirt.org/schemas/storagepool/rbd/1.0"),
):
    # Kept by the serializer, which would call them ns0, ns1 otherwise.
    ET.register_namespace(_prefix, _uri)

#: What XML 1.0 cannot carry, escaped or not.
_UNFIT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
#: Libvirt's units, in bytes: K and KiB are 1024, KB is 1000.
_UNITS = {"b": 1, "byte": 1, "bytes": 1}
for _power, _letter in enumerate("kmgtpe", 1):
    _UNITS.update({_letter: 1024**_power, _letter + "ib": 1024**_power, _letter + "b": 1000**_power})


def parse(text: str) -> Element:
    """The tree of what libvirt wrote. Raises Unreadable."""
    try:
        return ET.fromstring(text)
    except ET.ParseError as error:
        raise Unreadable(f"what libvirt wrote is no XML ({error})", remedy="Look at it with virsh") from error


def parse_foreign(text: str, option: str) -> Element:
    """The tree of what a user wrote.

    Raises InvalidOption for what is no XML, and for declarations, which could read files or grow without end.
    """

    shown = hide(text)[:60]

    def refuse(*_declaration: Any) -> None:
        remedy = "Write the elements only, without <!DOCTYPE> and <!ENTITY>"
        raise InvalidOption(option, shown, "declares a document type or an entity", remedy=remedy)

    scan = expat.ParserCreate()
    scan.StartDoctypeDeclHandler = refuse
    scan.EntityDeclHandler = refuse
    try:
        scan.Parse(text, True)
        return ET.fromstring(text)
    except (expat.ExpatError, ET.ParseError, ValueError) as error:
        raise InvalidOption(option, shown, f"is no XML ({error})", remedy="Write one well-formed element") from error


def serialize(element: Element) -> str:
    """The text of a tree. Raises KraalError for a character that XML cannot carry."""
    for each in element.iter():
        for value in (each.text, each.tail, *each.attrib.values()):
            if value and _UNFIT.search(value):
                raise KraalError(
                    f"a value in <{each.tag}> has a character that XML cannot carry", remedy="Remove control characters"
                )
    return ET.tostring(element, encoding="unicode")


def make(tag: str, attributes: Mapping[str, Any] | None = None, *children: Element | None, text: Any = None) -> Element:
    """An element; attributes and children that are None are left out, other values are written as texts."""
    element = ET.Element(tag, {key: str(value) for key, value in (attributes or {}).items() if value is not None})
    element.text = None if text is None else str(text)
    element.extend(child for child in children if child is not None)
    return element


def child(parent: Element, path: str) -> Element:
    """The element below that plain path (a/b/c), made where it is missing."""
    for tag in path.split("/"):
        found = parent.find(tag)
        # Not `or`: an element without children is false.
        parent = found if found is not None else ET.SubElement(parent, tag)
    return parent


def text_of(parent: Element | None, path: str, default: str | None = None) -> str | None:
    """The stripped text of the first element there; the default where there is none or it is empty."""
    found = None if parent is None else parent.find(path)
    return (found.text or "").strip() or default if found is not None else default


def attribute(parent: Element | None, path: str, name: str, default: str | None = None) -> str | None:
    """An attribute of the first element there (path "." is the parent itself)."""
    found = None if parent is None else parent.find(path)
    return default if found is None else found.get(name, default)


def drop(parent: Element, path: str) -> None:
    """Remove all elements at that plain path (a/b/c); fine if there is none."""
    above, _slash, tag = path.rpartition("/")
    for holder in parent.findall(above) if above else [parent]:
        for each in holder.findall(tag):
            holder.remove(each)


def replace(parent: Element, path: str, *fresh: Element | None) -> None:
    """Put these elements where the children with that tag were, or at the end."""
    old = parent.findall(path)
    place = list(parent).index(old[0]) if old else len(parent)
    for each in old:
        parent.remove(each)
    for offset, each in enumerate(element for element in fresh if element is not None):
        parent.insert(place + offset, each)


def size_of(element: Element | None, default_unit: str = "bytes") -> int | None:
    """Bytes of an element like <memory unit='KiB'>; without a unit in it, its default counts (KiB for a domain's
    memory, bytes for storage).
    """
    if element is None or not (element.text or "").strip():
        return None
    return int((element.text or "").strip()) * _UNITS[element.get("unit", default_unit).lower()]


def flag(value: str | None, default: bool = False) -> bool:
    """Libvirt's ways to say yes and no."""
    return default if value is None else value.lower() in ("yes", "on", "true", "1")


def yes(value: bool) -> str:
    """yes or no."""
    return "yes" if value else "no"


def canonical(element: Element, ignore: Iterable[str] = ()) -> tuple[Any, ...]:
    """A value in which two trees that mean the same are equal: attributes in any order, no blanks, no comments, some
    children left out.
    """
    skip = set(ignore)
    inner = [canonical(each) for each in element if isinstance(each.tag, str) and each.tag not in skip]
    return (element.tag, tuple(sorted(element.attrib.items())), (element.text or "").strip(), tuple(inner))
