# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the memory of a domain is made of on the host: its pages, and how they are had. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ....engine.kinds import Flag, Text
from ....engine.units import format_size, parse_size
from .fields import Field, FieldSet, word
from .xml import ET, Element, drop, make, size_in

_PAGES = "memoryBacking/hugepages"


class Pages(Text):
    """Large pages: none, of the host's usual size, or of one size."""

    def parse(self, value: Any, option: str) -> str:
        said = str(value).lower()
        if said in ("yes", "true", "no", "false"):
            return "yes" if said in ("yes", "true") else "no"
        return format_size(parse_size(value, option))


@dataclass(frozen=True)
class HugePages(Field):
    """Where the size of the pages stands."""

    def read(self, element: Element) -> Any:
        pages = element.find(_PAGES)
        if pages is None:
            return "no"
        page = pages.find("page")
        size = None if page is None else size_in(page, "size")
        return "yes" if size is None else format_size(size)

    def write(self, element: Element, value: Any) -> None:
        drop(element, _PAGES)
        if value not in (None, "no"):
            pages = make(element, _PAGES)
            if value != "yes":
                size = str(parse_size(value, self.name) // 1024)
                ET.SubElement(pages, "page", {"size": size, "unit": "KiB"})
        elif not len(make(element, "memoryBacking")):
            drop(element, "memoryBacking")


MEMORY_BACKING = FieldSet(
    (
        HugePages("hugepages", Pages(), _PAGES),
        Field("locked", Flag(), "memoryBacking/locked", False, "element"),
        Field("nosharepages", Flag(), "memoryBacking/nosharepages", False, "element"),
        Field("source", word("anonymous", "file", "memfd"), "memoryBacking/source@type"),
        Field("access", word("shared", "private"), "memoryBacking/access@mode"),
        Field("allocation", word("immediate", "ondemand"), "memoryBacking/allocation@mode"),
        Field("discard", Flag(), "memoryBacking/discard", False, "element"),
    )
)
