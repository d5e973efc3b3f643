# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A domain's XML as a tree, and places in it. Pure.

A place is written ``os/type`` (the text of that element) or ``os/type@machine`` (an attribute); ``@type`` is the
element's own.
"""

from __future__ import annotations

from xml.etree import ElementTree as ET

from ..xml import flag
from ..xml import size_of as _size_of

Element = ET.Element

__all__ = [
    "ET",
    "Element",
    "copied",
    "drop",
    "drop_place",
    "get",
    "make",
    "put",
    "put_size",
    "size_in",
    "size_of",
    "truth",
]


def copied(root: Element) -> Element:
    """A tree of its own."""
    return ET.fromstring(ET.tostring(root))


def split(place: str) -> tuple[str, str]:
    """The path of a place, and its attribute; each may be empty."""
    path, _at, attribute = place.partition("@")
    return path, attribute


def get(element: Element | None, place: str) -> str | None:
    """What stands at a place; None where nothing does."""
    path, attribute = split(place)
    found = element.find(path) if element is not None and path else element
    if found is None:
        return None
    return found.get(attribute) if attribute else (found.text or "").strip()


def make(element: Element, path: str) -> Element:
    """The element at a path, made where it is missing."""
    for tag in filter(None, path.split("/")):
        found = element.find(tag)
        element = ET.SubElement(element, tag) if found is None else found
    return element


def put(element: Element, place: str, value: str | None) -> None:
    """Write what stands at a place; None takes it away, and with it the elements that nothing is left in."""
    path, attribute = split(place)
    if value is None:
        _take(element, path, attribute)
        return
    target = make(element, path)
    if attribute:
        target.set(attribute, value)
    else:
        target.text = value


def _take(element: Element, path: str, attribute: str) -> None:
    line = [element]
    for tag in filter(None, path.split("/")):
        found = line[-1].find(tag)
        if found is None:
            return
        line.append(found)
    if attribute:
        line[-1].attrib.pop(attribute, None)
    else:
        line[-1].text = None
    for parent, child in zip(reversed(line[:-1]), reversed(line[1:])):
        if not len(child) and not child.attrib and not (child.text or "").strip():
            parent.remove(child)


def drop(element: Element, path: str) -> None:
    """Remove all elements at a path."""
    parent_path, _slash, tag = path.rpartition("/")
    parent = element.find(parent_path) if parent_path else element
    for child in list(parent.findall(tag)) if parent is not None else ():
        parent.remove(child)  # type: ignore[union-attr]


def drop_place(element: Element, place: str) -> None:
    """Remove what stands at a place, all elements of that path where it is one, and what nothing is left in."""
    path, attribute = split(place)
    if attribute:
        put(element, place, None)
    else:
        drop(element, path)
        put(element, path.rpartition("/")[0], None)


def truth(text: str | None) -> bool:
    """Whether a word of libvirt's means yes."""
    return flag(text)


def size_of(element: Element | None) -> int | None:
    """Bytes of an element that holds a size, like <memory unit='KiB'>; None for what is none."""
    if element is None or not (element.text or "").strip().isdigit():
        return None
    return _size_of(element, "KiB")


def size_in(element: Element, attribute: str) -> int | None:
    """The same of a size in an attribute, with its unit beside it."""
    sized = Element("size", {"unit": element.get("unit", "KiB")})
    sized.text = element.get(attribute)
    return size_of(sized)


def put_size(root: Element, path: str, value: int) -> None:
    """Write a size of whole KiB, the unit that libvirt keeps."""
    target = make(root, path)
    target.set("unit", "KiB")
    target.text = str(value // 1024)
