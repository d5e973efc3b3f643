# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Limits: which there are, which contradict each other, and which an engine did not keep. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ....engine.errors import InvalidOption
from ....engine.spec import Spec
from ....engine.units import format_size
from .compare import default_swap
from .options import OPTIONS


def check_memory(want: Spec, host: Mapping[str, Any]) -> None:
    """What the engine would refuse: limits that contradict each other, or those that the container has already."""
    if not any(name in want.values for name in ("memory", "memory_swap", "memory_reservation")):
        return
    memory = want.values.get("memory", host.get("Memory") or 0)
    swap = want.values.get("memory_swap") or 0
    if "memory_swap" not in want.values and not default_swap(host):
        swap = host["MemorySwap"]
    if swap > 0 and not memory:
        raise InvalidOption("memory_swap", format_size(swap), "requires memory to be set", remedy="Set memory too")
    if 0 < swap < memory:
        remedy = "Set memory_swap to all of memory and swap together, or to unlimited"
        raise InvalidOption(
            "memory_swap", format_size(swap), f"is less than memory ({format_size(memory)})", remedy=remedy
        )
    reserved = want.values.get("memory_reservation", host.get("MemoryReservation") or 0)
    if memory and reserved > memory:
        why = f"is more than memory ({format_size(memory)})"
        raise InvalidOption(
            "memory_reservation", format_size(reserved), why, remedy="Reserve less, or allow more memory"
        )


def not_kept(want: Spec, data: Mapping[str, Any]) -> list[str]:
    """The limits that were set, and that this new container does not have."""
    known = [option for option in OPTIONS if option.limit or option.warned]
    wanted = [(want.values[option.name], option) for option in known if want.values.get(option.name)]
    return [option.name for value, option in wanted if option.kind.parts(value, option.read(data), False)]
