# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The NUMA cells of a domain: libvirt counts its memory and processors by them, whatever a task says. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ....engine.errors import InvalidOption
from ....engine.kinds import Flag, Size, Text
from ....engine.spec import Spec
from ....engine.units import format_size
from .fields import CpuSet, Field, FieldSet, NamedSets, read_fields, word, write_fields
from .overlay import numbers_of
from .settings import whole_mib
from .xml import ET, Element, drop, get, make, put_size, size_in, size_of

CELLS = "cpu/numa/cell"


@dataclass(frozen=True)
class CellMemory(Field):
    """The memory of a cell, in bytes."""

    def read(self, element: Element) -> Any:
        return size_in(element, "memory")

    def write(self, element: Element, value: Any) -> None:
        element.set("memory", str(value // 1024))
        element.set("unit", "KiB")


CELL_FIELDS = (
    Field("cpus", CpuSet(), "@cpus"),
    CellMemory("memory", Size(least=1024), "@memory"),
    Field("memory_access", word("shared", "private"), "@memAccess"),
    Field("discard", Flag(), "@discard", style="yes"),
)
NUMA_CELLS = NamedSets(Text(pattern="[0-9]{1,3}", remedy="Write the number of the cell, from 0 on"), CELL_FIELDS)
NUMATUNE = FieldSet(
    (
        Field("mode", word("strict", "preferred", "interleave", "restrictive"), "numatune/memory@mode"),
        Field("nodeset", CpuSet(), "numatune/memory@nodeset"),
        Field("placement", word("static", "auto"), "numatune/memory@placement"),
    )
)


def _cells(root: Element) -> dict[str, Element]:
    return {each.get("id") or str(number): each for number, each in enumerate(root.findall(CELLS))}


def read_cells(root: Element) -> dict[str, dict[str, Any]]:
    """By number."""
    return {number: read_fields(CELL_FIELDS, each) for number, each in _cells(root).items()}


def write_cells(root: Element, before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    """Bring them to ``after``. The memory of the domain is theirs."""
    there, numa = _cells(root), make(root, "cpu/numa")
    for number in set(before) - set(after):
        numa.remove(there[number])
    for number, record in sorted(after.items()):
        if number not in there:
            there[number] = ET.SubElement(numa, "cell", {"id": number})
        write_fields(CELL_FIELDS, there[number], record, before.get(number, {}))
    if not len(numa):
        drop(root, "cpu/numa")
        return
    held = _memory(root)
    put_size(root, "memory", held)
    if (size_of(root.find("currentMemory")) or 0) > held:
        put_size(root, "currentMemory", held)


def memory_of_cells(cells: Mapping[str, Mapping[str, Any]]) -> int:
    """The bytes that wanted cells hold; 0 for none."""
    return sum(record.get("memory", 0) for record in cells.values())


def check_cells(want: Spec, root: Element, before: Element | None) -> None:
    """``root``: the domain as it is to be; ``before``: as it is. Raises InvalidOption where memory or processors are
    not what the cells hold.
    """
    if root.find(CELLS) is None:
        return
    held = whole_mib(_memory(root))
    for option, right in (("memory", range(held + 1)), ("memory_max", (held,))):
        if option in want.values and want.values[option] not in right:
            raise InvalidOption(
                option,
                format_size(int(want.values[option])),
                f"is not what the NUMA cells (and memory devices) of the guest hold, {format_size(held)}: its memory "
                "is theirs",
                remedy=f"Write {format_size(held)} or, for memory, less; or change the cells along with it (numa_cells)",
            )
    most = int(get(root, "vcpu") or 1)
    numbers = [numbers_of(cell.get("cpus", "")) or set() for cell in root.findall(CELLS)]
    there = set().union(*numbers)
    if not there or len(there) == most or (before is not None and int(get(before, "vcpu") or 1) == most):
        return
    told = [option for option in ("cpus_max", "cpus", "numa_cells") if option in want.values]
    if told or before is None:
        raise InvalidOption(
            told[0] if told else "cpus",
            most,
            "is not the number of the processors in the NUMA cells of the guest, %d" % len(there),
            remedy="Write that, or change the cells along with it (numa_cells)",
        )


def _memory(root: Element) -> int:
    """The bytes that the cells hold, and what is plugged in."""
    cells = root.findall(CELLS)
    plugged = [size_of(each) or 0 for each in root.findall("devices/memory/target/size")]
    return sum(size_in(cell, "memory") or 0 for cell in cells) + sum(plugged)
