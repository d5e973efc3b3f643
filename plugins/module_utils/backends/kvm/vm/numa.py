# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the NUMA cells of a domain hold: libvirt counts its memory and processors by them, whatever a task says. Pure."""

from __future__ import annotations

from ....engine.errors import InvalidOption
from ....engine.spec import Spec
from ....engine.units import format_size
from ..xml import size_of
from .overlay import numbers_of
from .settings import whole_mib
from .xml import Element, get

CELLS = "cpu/numa/cell"


def check_cells(want: Spec, root: Element, before: Element | None) -> None:
    """``root``: the domain as it is to be; ``before``: as it is. Raises InvalidOption where memory or processors are
    not what the cells hold.
    """
    if root.find(CELLS) is None:
        return
    held, memory = _memory(root), size_of(root.find("memory"), "KiB") or 0
    for option in ("memory", "memory_max"):
        if option in want.values and whole_mib(held) != whole_mib(memory):
            raise InvalidOption(
                option,
                format_size(int(want.values[option])),
                f"is not what the NUMA cells (and memory devices) of the guest hold, {format_size(held)}: its memory "
                "is theirs",
                remedy=f"Write {format_size(held)} or, for memory, less; or change the cells along with it (xml)",
            )
    most = int(get(root, "vcpu") or 1)
    numbers = [numbers_of(cell.get("cpus", "")) or set() for cell in root.findall(CELLS)]
    there = set().union(*numbers)
    if not there or len(there) == most or (before is not None and int(get(before, "vcpu") or 1) == most):
        return
    told = [option for option in ("cpus_max", "cpus") if option in want.values]
    if told or before is None:
        raise InvalidOption(
            told[0] if told else "cpus",
            most,
            "is not the number of the processors in the NUMA cells of the guest, %d" % len(there),
            remedy="Write that, or change the cells along with it (xml)",
        )


def _memory(root: Element) -> int:
    """The bytes that the cells hold, and what is plugged in."""
    cells = root.findall(CELLS)
    plugged = [size_of(each, "KiB") or 0 for each in root.findall("devices/memory/target/size")]
    return sum(map(_cell, cells)) + sum(plugged)


def _cell(cell: Element) -> int:
    sized = Element("memory", {"unit": cell.get("unit", "KiB")})
    sized.text = cell.get("memory", "0")
    return size_of(sized) or 0
