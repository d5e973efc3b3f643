# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A row of the table of options, and what libvirt keeps of a domain for each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from xml.etree import ElementTree as ET

KRAAL = "{https://kraal.virt/libvirt/1.0}"


@dataclass(frozen=True)
class Row:
    """One option's way from its first value to its second."""

    option: str
    first: Any
    second: Any
    #: Reads what libvirt keeps, independently of the module; `seen` is what it shall read after each value.
    look: Callable[[ET.Element], Any]
    seen: tuple[Any, Any]
    #: Other ways to write the second value.
    same: tuple[Any, ...] = ()
    #: Other options that the row needs.
    extra: Mapping[str, Any] = field(default_factory=dict)
    #: Tells rows of one option apart.
    about: str = ""
    #: Whether purge with the first value takes what the second added away again.
    purge: bool = False
    #: What the change is while the guest runs: none, live, or restart. Empty: such a guest cannot run here.
    running: str = "restart"
    #: Why it cannot be shown on a Debian 13 host of the lab; empty: it is.
    not_on_debian_13: str = ""
    #: Why the row needs a guest of its own, and the options with which it shares none.
    alone: str = ""
    apart: Mapping[str, str] = field(default_factory=dict)

    @property
    def id(self) -> str:
        return f"{self.option}-{self.about}" if self.about else self.option


def text(place: str) -> Callable[[ET.Element], Any]:
    """The text of an element, or with an @ an attribute."""

    def look(root: ET.Element) -> Any:
        path, _at, attribute = place.rpartition("@") if "[@" in place else place.partition("@")
        found = root.find(path) if path else root
        if found is None:
            return None
        return found.get(attribute) if attribute else (found.text or "").strip()

    return look


def texts(*places: str) -> Callable[[ET.Element], Any]:
    return lambda root: tuple(text(place)(root) for place in places)


def kib(path: str) -> Callable[[ET.Element], Any]:
    return lambda root: int(root.findtext(path, "0"))


def disk(target: str, *places: str) -> Callable[[ET.Element], Any]:
    """Of the disk of that name; None where there is none."""

    def look(root: ET.Element) -> Any:
        found = next((each for each in root.iterfind("devices/disk") if text("target@dev")(each) == target), None)
        return None if found is None else tuple(text(place)(found) for place in places)

    return look


def nic(number: int, *places: str) -> Callable[[ET.Element], Any]:
    def look(root: ET.Element) -> Any:
        found = root.findall("devices/interface")
        return tuple(text(place)(found[number]) for place in places) if number < len(found) else None

    return look


def every(path: str, *places: str) -> Callable[[ET.Element], Any]:
    return lambda root: sorted(tuple(text(place)(each) for place in places) for each in root.iterfind(path))


def watchdogs(root: ET.Element) -> list[str | None]:
    """But the chipset's, which libvirt adds since 9.1."""
    return [each.get("model") for each in root.iterfind("devices/watchdog") if each.get("model") != "itco"]


def labels(root: ET.Element) -> dict[str, str]:
    return {
        each.get("name", ""): each.get("value", "") for each in root.iterfind(f"metadata/{KRAAL}guest/{KRAAL}label")
    }


def label_elsewhere(root: ET.Element) -> tuple[Any, ...]:
    return labels(root), root.findtext("metadata/{http://example.org/app}mine")
