# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The slots of a running guest's PCI buses: libvirt adds none to one that runs. Pure.

As libvirt 9.0 with QEMU 7.2 has it: on PCI Express each port takes one device, with ACPI or without; on pc's single bus
nothing is plugged in without ACPI.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from .model import Change, View
from .xml import Element, get

#: What a device is plugged into.
EXPRESS, CONVENTIONAL = "pcie", "pci"
_PORTS = frozenset(["pcie-root-port", "pcie-switch-downstream-port"])
_BRIDGES = frozenset(["pci-bridge", "dmi-to-pci-bridge", "pcie-to-pci-bridge"])
_SLOTS = 32
#: Room that nobody needs to count.
_PLENTY = 1024


def free_slots(root: Element) -> dict[str, int]:
    """How many devices can be plugged in, by the kind of the bus that they want. One bus of both kinds is EXPRESS."""
    models = {each.get("index", ""): each.get("model") for each in root.findall("devices/controller[@type='pci']")}
    addresses = root.findall("devices/*/address[@type='pci']")
    bridged = bool(_BRIDGES & {*models.values()})
    if "pcie-root" in models.values():
        taken = {_number(each.get("bus")) for each in addresses}
        ports = [index for index, model in models.items() if model in _PORTS and _number(index) not in taken]
        return {EXPRESS: len(ports), CONVENTIONAL: _PLENTY if bridged else 0}
    if "pci-root" in models.values() and get(root, "os/type@arch") in ("x86_64", "i686"):
        slots = {_number(each.get("slot")) for each in addresses} | {0}
        hot = root.find("features/acpi") is not None
        return {EXPRESS: (_PLENTY if bridged else _SLOTS - len(slots)) if hot else 0}
    return {EXPRESS: _PLENTY}


def _number(text: str | None) -> int:
    try:
        return int(text or "0", 0)
    except ValueError:
        return 0


def with_room(found: Iterable[Change], view: View) -> Iterator[Change]:
    """The changes to a running guest; what there is no slot for waits for a restart."""
    free = free_slots(view.root)
    for change in found:
        kind = change.option.slot(change.warm, view) if change.hot and change.warm else ""
        bus = kind if kind in free else EXPRESS
        if not kind or free[bus] > 0:
            free[bus] -= bool(kind)
            yield change
        elif change.cold is not None:
            yield Change(change.option, change.entry, change.cold.part, change.cold)
