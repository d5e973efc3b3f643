# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The features of a domain: what its machine, the hypervisor and Hyper-V's enlightenments show it. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ....engine.kinds import Flag, Integer, Text
from .fields import Field, FieldSet, word
from .xml import Element, get, put, truth


@dataclass(frozen=True)
class Valued(Field):
    """A feature that is on with a value; it is off with the one that is ``absent``."""

    @property
    def places(self) -> tuple[str, ...]:
        return self.place, self.place.partition("@")[0] + "@state"

    def read(self, element: Element) -> Any:
        state = get(element, self.place.partition("@")[0] + "@state")
        return self.absent if state is not None and not truth(state) else super().read(element)

    def write(self, element: Element, value: Any) -> None:
        off = value is None or value == self.absent
        put(element, self.place, None if off else str(value))
        put(element, self.place.partition("@")[0] + "@state", None if value is None else "off" if off else "on")


def _there(name: str, place: str) -> Field:
    """A feature whose element is there, or is not."""
    return Field(name, Flag(), f"features/{place}", False, "element")


def _switch(name: str, place: str) -> Field:
    """A feature that is on or off; libvirt's choice where nothing is said."""
    return Field(name, Flag(), f"features/{place}@state", style="on")


FEATURE_FIELDS = (
    *(_there(name, name) for name in ("acpi", "apic", "pae")),
    *(_switch(name, name) for name in ("hap", "pmu", "pvspinlock", "smm", "vmcoreinfo", "vmport")),
    *(
        _switch("kvm_" + name.replace("-", "_"), "kvm/" + name)
        for name in ("hidden", "hint-dedicated", "poll-control", "pv-ipi")
    ),
    Field("ioapic", word("kvm", "qemu"), "features/ioapic@driver"),
    Field("gic", word("2", "3", "host"), "features/gic@version"),
    Field("msrs_unknown", word("ignore", "fault"), "features/msrs@unknown"),
    Field("hyperv_mode", word("custom", "passthrough"), "features/hyperv@mode"),
    *(
        _switch("hyperv_" + name, "hyperv/" + name)
        for name in (
            *("relaxed", "vapic", "vpindex", "runtime", "synic", "stimer", "reset", "frequencies"),
            *("reenlightenment", "tlbflush", "ipi", "evmcs", "avic", "emsr_bitmap", "xmm_input"),
        )
    ),
    _switch("hyperv_stimer_direct", "hyperv/stimer/direct"),
    Valued("hyperv_spinlocks", Integer(0, 2**32 - 1), "features/hyperv/spinlocks@retries", 0),
    Valued(
        "hyperv_vendor_id",
        Text(pattern=r"[^,]{0,12}", remedy="Write at most 12 characters, and no comma"),
        "features/hyperv/vendor_id@value",
        "",
    ),
)
FEATURES = FieldSet(FEATURE_FIELDS)
