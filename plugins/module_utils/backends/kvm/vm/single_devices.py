# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The devices that a domain has one of, or none: their fields, and what is special about some of them. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ....engine.kinds import Flag, Integer, Part
from .fields import PATH, Field, OneDevice, read_fields, word
from .model import View, VmOption
from .xml import Element, get, make, put

TPM_FIELDS = (
    Field("model", word("tpm-crb", "tpm-tis", "tpm-spapr", "none"), "@model"),
    Field("type", word("emulator", "passthrough"), "backend@type"),
    Field("version", word("1.2", "2.0"), "backend@version"),
    Field("path", PATH, "backend/device@path"),
)
WATCHDOG_FIELDS = (
    Field("model", word("i6300esb", "itco", "ib700", "diag288", "none"), "@model"),
    Field("action", word("reset", "shutdown", "poweroff", "pause", "none", "dump", "inject-nmi"), "@action"),
)
RNG_FIELDS = (
    Field("model", word("virtio", "none"), "@model"),
    Field("source", PATH, "backend"),
    Field("rate_bytes", Integer(0), "rate@bytes"),
    Field("rate_period", Integer(1), "rate@period"),
)
BALLOON_FIELDS = (
    Field("model", word("virtio", "none"), "@model"),
    Field("autodeflate", Flag(), "@autodeflate", style="on"),
    Field("stats_period", Integer(0), "stats@period", 0),
)
VIDEO_FIELDS = (
    Field("model", word("virtio", "vga", "qxl", "bochs", "cirrus", "ramfb", "none"), "model@type"),
    Field("heads", Integer(1, 16), "model@heads"),
    Field("vram", Integer(1), "model@vram"),
)
PANIC_FIELDS = (Field("model", word("isa", "hyperv", "pseries", "s390", "none"), "@model"),)
VSOCK_FIELDS = (
    Field("model", word("virtio", "none"), "@model"),
    Field("cid", Integer(3, 2**32 - 1), "cid@address"),
    Field("auto_cid", Flag(), "cid@auto", style="yes"),
)
IOMMU_FIELDS = (
    Field("model", word("intel", "smmuv3", "virtio", "none"), "@model"),
    Field("intremap", Flag(), "driver@intremap", style="on"),
    Field("caching_mode", Flag(), "driver@caching_mode", style="on"),
    Field("eim", Flag(), "driver@eim", style="on"),
    Field("iotlb", Flag(), "driver@iotlb", style="on"),
    Field("aw_bits", Integer(39, 64), "driver@aw_bits"),
)


def with_source(option: VmOption) -> VmOption:
    def write(root: Element, before: Any, after: Any) -> None:
        option.write(root, before, after)
        if after.get("model") != "none":
            put(root, "devices/rng/backend@model", "random")
            if not get(root, "devices/rng/backend"):
                put(root, "devices/rng/backend", "/dev/urandom")

    return replace(option, write=write)


class Watchdog(OneDevice):
    """Since 9.1 libvirt gives every guest with q35 the watchdog of that chipset, itco, which none can be without: it
    is no other than none.
    """

    def parts(self, want: Mapping[str, Any], have: Mapping[str, Any] | None, exact: bool) -> list[Part]:
        if want.get("model") == "none" and (have or {}).get("model") == "itco":
            return []
        return super().parts(want, have, exact)


def _is_itco(watchdog: Element) -> bool:
    return watchdog.get("model") == "itco"


def beside_itco(option: VmOption) -> VmOption:
    """The watchdog that was asked for has the chipset's beside it.

    Libvirt wants one action of all of them, and gives that to the itco that it adds.
    """

    def read(view: View) -> dict[str, Any]:
        found = sorted(view.root.findall("devices/watchdog"), key=_is_itco)
        return read_fields(WATCHDOG_FIELDS, found[0]) if found else {"model": "none"}

    def write(root: Element, before: Any, after: Any) -> None:
        if before.get("model") != "itco":
            for each in filter(_is_itco, root.findall("devices/watchdog")):
                make(root, "devices").remove(each)
        option.write(root, before, after)

    return replace(option, kind=Watchdog(option.name, WATCHDOG_FIELDS), read=read, write=write)


def written_anew(option: VmOption) -> VmOption:
    def write(root: Element, before: Any, after: Any) -> None:
        option.write(root, {}, after)

    return replace(option, write=write)
