# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A domain's XML as a tree: places in it, and overlays. Pure.

A place is written ``os/type`` (the text of that element) or ``os/type@machine`` (an attribute); ``@type`` is the
element's own.
"""

from __future__ import annotations

from collections.abc import Iterator
from xml.etree import ElementTree as ET

from ....engine.errors import InvalidOption
from ..xml import flag, parse_foreign
from ..xml import size_of as _size_of

Element = ET.Element

__all__ = [
    "ET",
    "Element",
    "copied",
    "drop",
    "get",
    "lay_over",
    "make",
    "overlay_disks",
    "overlay_seen",
    "overlay_values",
    "put",
    "put_size",
    "read_overlay",
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


def truth(text: str | None) -> bool:
    """Whether a word of libvirt's means yes."""
    return flag(text)


def size_of(element: Element | None) -> int | None:
    """Bytes of an element that holds a size, like <memory unit='KiB'>; None for what is none."""
    if element is None or not (element.text or "").strip().isdigit():
        return None
    return _size_of(element, "KiB")


def put_size(root: Element, path: str, value: int) -> None:
    """Write a size of whole KiB, the unit that libvirt keeps."""
    target = make(root, path)
    target.set("unit", "KiB")
    target.text = str(value // 1024)


# Overlays: a part of a domain's XML as a user writes it
# ----------------------------------------------------------------

#: What tells an element from its brothers of the same name.
_IDENTITY = {
    "disk": "target@dev",
    "interface": "mac@address",
    "channel": "target@name",
    "graphics": "@type",
    "filesystem": "target@dir",
    "controller": "@type",
    "entry": "@name",
    "feature": "@name",
    "timer": "@name",
    "input": "@type",
    "vcpupin": "@vcpu",
    "cell": "@id",
    "memnode": "@cellid",
    "page": "@size",
    "bandwidth": "@id",
    "arg": "@value",
    "env": "@name",
    "hostdev": "@mode",
    "redirdev": "@bus",
    "audio": "@id",
    "iothreadpin": "@iothread",
    "vcpusched": "@vcpus",
}
_HEXADECIMAL = {"domain", "bus", "slot", "function", "reg", "iobase"}


def read_overlay(text: str, option: str = "xml") -> Element:
    """The tree of an overlay. Raises InvalidOption for what is no XML, or no part of a domain."""
    remedy = "Write <domain> with the elements to set inside, as in libvirt's documentation of the domain XML"
    root = parse_foreign(text, option)
    if root.tag != "domain":
        raise InvalidOption(option, f"<{root.tag}>", "is not a <domain>", remedy=remedy)
    for own in ("name", "uuid"):
        if root.find(own) is not None:
            raise InvalidOption(option, f"<{own}>", "names the domain", remedy="Use the options for that")
    return root


def _identity(element: Element) -> str:
    place = _IDENTITY.get(element.tag.rpartition("}")[2])
    found = get(element, place) if place else None
    return found.lower() if found else ""


def _matched(wanted: Element, have: Element | None) -> Iterator[tuple[str, Element, Element | None]]:
    """Each child of an overlay's element: its step in paths, itself, and what it means there.

    The second of a name and identity means the second of them.
    """
    count: dict[str, int] = {}
    for child in wanted:
        identity = _identity(child)
        name = f"{child.tag}[{identity}]" if identity else child.tag
        count[name] = number = count.get(name, 0) + 1
        there = (
            [each for each in have.findall(child.tag) if not identity or _identity(each) == identity]
            if have is not None
            else []
        )
        yield (
            name if number == 1 else "%s#%d" % (name, number),
            child,
            there[number - 1] if number <= len(there) else None,
        )


def _leaves(wanted: Element, path: str, have: Element | None) -> Iterator[tuple[str, str, str | None]]:
    """Each value of an overlay: its path, itself, and what stands there."""
    for key, value in wanted.attrib.items():
        if key == "unit":
            continue
        yield (
            f"{path}@{key}",
            _plain(value, key),
            _plain(have.get(key), key) if have is not None and key in have.attrib else None,
        )
    text = (wanted.text or "").strip()
    if text and not len(wanted):
        there = (have.text or "").strip() if have is not None else None
        size = size_of(wanted) if wanted.get("unit") else None
        if size is not None:
            found = size_of(have)
            yield path, "%dB" % size, None if found is None else "%dB" % found
        else:
            yield path, text, there
    elif not wanted.attrib and not len(wanted):
        yield path, "", None if have is None else ""
    for step, child, same in _matched(wanted, have):
        yield from _leaves(child, f"{path}/{step}" if path else step, same)


def _plain(value: str | None, key: str = "") -> str:
    """A value in which two ways to write the same are equal."""
    text = (value or "").strip()
    if key in _HEXADECIMAL and (text.startswith("0x") or text.isdigit()):
        return str(int(text, 16 if text.startswith("0x") else 10))
    return text.lower() if key == "address" else text


def overlay_values(wanted: Element) -> dict[str, str]:
    """An overlay as values by their paths."""
    return {path: value for path, value, _have in _leaves(wanted, "", None)}


def overlay_disks(wanted: Element) -> dict[str, str]:
    """The targets of the disks that an overlay's values are about, by the paths of the values."""
    return {
        path: get(device, "target@dev") or ""
        for place, devices, _none in _matched(wanted, None)
        for step, device, _none in _matched(devices, None)
        if place == "devices" and device.tag == "disk"
        for path, _value, _have in _leaves(device, f"{place}/{step}", None)
    }


def overlay_seen(wanted: Element, have: Element) -> dict[str, str]:
    """What a domain has at the places of an overlay."""
    return {path: there for path, _value, there in _leaves(wanted, "", have) if there is not None}


def lay_over(wanted: Element, have: Element) -> None:
    """Write an overlay into a domain's tree; what it does not name stays."""
    have.attrib.update(wanted.attrib)
    text = (wanted.text or "").strip()
    if text and not len(wanted):
        have.text = text
    for _step, child, found in _matched(wanted, have):
        if found is None:
            have.append(copied(child))
        else:
            lay_over(child, found)
