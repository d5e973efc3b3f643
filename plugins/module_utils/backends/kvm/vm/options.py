# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The options of a virtual machine, one on a line: kind, place in the XML, what a change costs, how it is made live.

Pure. What brings a change about is named here, and does so when it is called (live).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ....engine.action import Disruption
from ....engine.errors import InvalidOption
from ....engine.kinds import Entries, Flag, Integer, Kind, Part, Text, Texts
from ....engine.spec import Spec, Table
from ..backend import ADDRESS_SOURCES
from . import devices as dev
from . import extras, live
from . import networks as nets
from .chain import note_images
from .fields import PATH, Field, FieldSet, Line, read_fields, set_waits, word, write_fields
from .model import Edit, View, VmOption, Write, never
from .overlay import lay_over, overlay_seen
from .seed import CLOUD_INIT, read_seed, seed_path, seed_waits, write_seed
from .settings import (
    CPU_FIELDS,
    Memory,
    Overlay,
    cpu_waits,
    memory_waits,
    read_console,
    read_cpus,
    read_cpus_max,
    read_firmware,
    read_labels,
    read_memory,
    read_memory_max,
    read_secure,
    same_machine,
    write_console,
    write_cpu,
    write_cpus,
    write_cpus_max,
    write_firmware,
    write_labels,
    write_machine,
    write_memory,
    write_memory_max,
    write_secure,
)
from .xml import Element, drop, get, make, put, size_of

NONE, LIVE, RESTART, RECREATE = Disruption.NONE, Disruption.LIVE, Disruption.RESTART, Disruption.RECREATE
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+:@-]*", re.ASCII)


def _scalar(
    name: str, kind: Kind, place: str, absent: Any = None, change: Disruption = RESTART, **more: Any
) -> VmOption:
    """An option that stands at one place. ``more``: what else there is to say of it."""
    part = Field(name, kind, place, absent)
    return VmOption(
        name,
        kind,
        lambda view: part.read(view.root),
        change,
        lambda root, _before, after: part.write(root, after),
        place=place,
        **more,
    )


def _single(name: str, tag: str, fields: Sequence[Field], absent: str = "none") -> VmOption:
    """A device that a guest has one of, or none: model=none takes it away."""

    def read(view: View) -> dict[str, Any]:
        found = view.root.find("devices/" + tag)
        return {"model": absent} if found is None else read_fields(fields, found)

    def write(root: Element, before: Any, after: Any) -> None:
        place = "devices/" + tag
        if after.get("model") == "none":
            drop(root, place)
            if tag in ("memballoon", "video"):
                # Without one of them, libvirt adds its own.
                put(root, place + ("@model" if tag == "memballoon" else "/model@type"), "none")
            return
        if before.get("model") != after.get("model"):
            drop(root, place)
            before = {}
        write_fields(fields, make(root, place), after, before)

    return VmOption(name, FieldSet(fields), read, RESTART, write, set_waits)


def _list(
    name: str, kind: Entries, read: Callable[[Element], Any], write: Write, change: Disruption = RESTART, **more: Any
) -> VmOption:
    return VmOption(name, kind, lambda view: read(view.root), change, write, **more)


def _read_disks(view: View) -> dict[str, Any]:
    """The disk with our seed is not a disk of the user's."""
    mine = seed_path(view.root, view.name)
    found = dev.read_disks(view.root, view.sizes, view.places)
    return {target: record for target, record in found.items() if not mine or record.get("path") != mine}


def _write_disks(root: Element, before: Any, after: Any) -> None:
    dev.write_disks(root, before, after)
    note_images(root, before, after)


def _cpus_hot(edit: Edit, live: View) -> bool:
    """Processors can be brought online, up to the maximum that the guest was started with."""
    return bool(edit.before < edit.after <= read_cpus_max(live))


def _memory_hot(edit: Edit, live: View) -> bool:
    return bool(edit.after <= (size_of(live.root.find("memory")) or 0))


def _machine_seen(want: Spec, have: Any, _view: View) -> Any:
    wished = want.values["machine"]
    return wished if same_machine(wished, have) else have


def _secure_seen(want: Spec, have: Any, view: View) -> Any:
    """A firmware that is new brings libvirt's choice with it."""
    return None if want.values.get("firmware") == "uefi" and read_firmware(view) == "bios" else have


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
UUID = Text(
    pattern=r"(?i)[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}",
    remedy="Write it like 6ba7b810-9dad-41d1-80b4-00c04fd430c8",
    fold=True,
)
MACHINE = Text(pattern=r"[A-Za-z0-9._-]+", remedy="Write a machine of QEMU's, like q35 or pc")
EMPTY_PATH = Text(pattern=r"(/[^\n]*)?", remedy="Write an absolute path on the host, or nothing")


def _write_rng(option: VmOption) -> VmOption:
    def write(root: Element, before: Any, after: Any) -> None:
        option.write(root, before, after)
        if after.get("model") != "none":
            put(root, "devices/rng/backend@model", "random")
            if not get(root, "devices/rng/backend"):
                put(root, "devices/rng/backend", "/dev/urandom")

    return replace(option, write=write)


class Watchdog(FieldSet):
    """Since 9.1 libvirt gives every guest with q35 the watchdog of that chipset, itco, which none can be without: it
    is no other than none.
    """

    def parts(self, want: Mapping[str, Any], have: Mapping[str, Any] | None, exact: bool) -> list[Part]:
        if want.get("model") == "none" and (have or {}).get("model") == "itco":
            return []
        return super().parts(want, have, exact)


def _is_itco(watchdog: Element) -> bool:
    return watchdog.get("model") == "itco"


def _beside_itco(option: VmOption) -> VmOption:
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

    return replace(option, kind=Watchdog(WATCHDOG_FIELDS), read=read, write=write)


def _write_video(option: VmOption) -> VmOption:
    def write(root: Element, before: Any, after: Any) -> None:
        option.write(root, {}, after)

    return replace(option, write=write)


OPTIONS: tuple[VmOption, ...] = (
    _scalar("type", Text(choices=("auto", "kvm", "qemu")), "@type"),
    _scalar("uuid", UUID, "uuid", change=RECREATE),
    _scalar("description", Line(), "description", "", NONE, waits=never, tell=live.tell_description),
    VmOption("machine", MACHINE, lambda view: get(view.root, "os/type@machine"), RESTART, write_machine,
             recognise=_machine_seen),
    VmOption("cpus_max", Integer(1, 4096), read_cpus_max, RESTART, write_cpus_max),
    VmOption("cpus", Integer(1, 4096), read_cpus, LIVE, write_cpus, hot=_cpus_hot, live=live.call("setVcpusFlags")),
    VmOption("cpu", FieldSet(CPU_FIELDS), lambda view: read_fields(CPU_FIELDS, view.root), RESTART, write_cpu,
             cpu_waits),
    VmOption("memory_max", Memory(), read_memory_max, RESTART, write_memory_max),
    VmOption("memory", Memory(), read_memory, LIVE, write_memory, memory_waits, hot=_memory_hot, live=live.memory,
             follows=True),
    VmOption("firmware", Text(choices=("bios", "uefi")), read_firmware, RESTART, write_firmware),
    VmOption("secure_boot", Flag(), read_secure, RESTART, write_secure, recognise=_secure_seen),
    _scalar("kernel", EMPTY_PATH, "os/kernel", ""),
    _scalar("initrd", EMPTY_PATH, "os/initrd", ""),
    _scalar("cmdline", Line(), "os/cmdline", ""),
    VmOption("disks", dev.DISKS, _read_disks, LIVE, _write_disks, hot=dev.disk_hot, live=live.disk,
             grows=dev.disk_grows, grow=live.grow_disk, disk=lambda _value, key: key),
    _list("networks", nets.NETWORKS, nets.read_networks, nets.write_networks, LIVE, hot=nets.network_hot,
          live=live.network,
          recognise=lambda want, have, _view: nets.rekeyed(want.values["networks"], have)),
    _list("graphics", extras.GRAPHICS, extras.read_graphics, extras.write_graphics),
    _write_video(_single("video", "video", VIDEO_FIELDS)),
    VmOption("console", Flag(), read_console, RESTART, write_console),
    _list("channels", extras.CHANNELS, extras.read_channels, extras.write_channels),
    _list("host_devices", extras.HostDevices(), extras.read_hostdevs, extras.write_hostdevs),
    _list("filesystems", extras.FILESYSTEMS, extras.read_filesystems, extras.write_filesystems),
    _single("tpm", "tpm", TPM_FIELDS),
    _beside_itco(_single("watchdog", "watchdog", WATCHDOG_FIELDS)),
    _write_rng(_single("rng", "rng", RNG_FIELDS)),
    _single("memballoon", "memballoon", BALLOON_FIELDS),
    VmOption("autostart", Flag(), lambda view: view.autostart, NONE, waits=never, tell=live.tell_autostart),
    VmOption("labels", Texts(), lambda view: read_labels(view.root), NONE, write_labels, never, tell=live.tell_labels),
    VmOption("cloud_init", CLOUD_INIT, lambda view: read_seed(view.root, view.name), LIVE, write_seed, seed_waits,
             hot=lambda edit, _live: edit.before is not None, live=live.seed, tried=False),
    VmOption("xml", Overlay(), lambda view: {}, RESTART, lambda root, _before, after: lay_over(after.root, root),
             never, whole=True,
             recognise=lambda want, _have, view: overlay_seen(want.values["xml"].root, view.root),
             disk=lambda value, key: value.disks.get(key, "")),
)  # fmt: skip


def check_name(name: str) -> None:
    """What we take for a domain's name: libvirt takes more, and its log files and sockets bear it."""
    if not NAME.fullmatch(name) or len(name) > 200:
        raise InvalidOption(
            "name",
            name,
            "is not a valid name for a virtual machine",
            remedy="Use letters, digits, dots, dashes and underscores, beginning with a letter or digit",
        )


def complete(parameters: Mapping[str, Any]) -> Mapping[str, Any]:
    """Name the disks that have no name in the guest yet."""
    completed = dict(parameters)
    if parameters.get("disks") is not None:
        completed["disks"] = dev.named_disks(parameters["disks"])
    if parameters.get("secure_boot") and parameters.get("firmware") == "bios":
        raise InvalidOption("secure_boot", True, "requires firmware: uefi", remedy="Write firmware: uefi")
    for less, more in (("memory", "memory_max"), ("cpus", "cpus_max")):
        if parameters.get(less) is not None and parameters.get(more) is not None:
            kind = BY_NAME[less].kind
            if kind.parse(parameters[less], less) > kind.parse(parameters[more], more):
                raise InvalidOption(
                    less, parameters[less], f"is more than {more}", remedy=f"Raise {more}, or lower {less}"
                )
    return completed


BY_NAME = {option.name: option for option in OPTIONS}

VMS = Table(
    backend="kvm",
    kind="domain",
    options=OPTIONS,
    allow=LIVE,
    waits=("none", "running", "address", "agent"),
    steering={
        "source": {
            "type": "dict",
            "options": {
                "image": {"type": "str"},
                "checksum": {"type": "str"},
                "format": {"type": "str"},
                "pool": {"type": "str"},
                "volume": {"type": "str"},
                "clone": {"type": "str", "choices": ["full", "linked"], "default": "full"},
                "iso": {"type": "path"},
            },
        },
        "pool": {"type": "str", "default": "default"},
        "address_sources": ADDRESS_SOURCES,
        "stop_timeout": {"type": "int", "default": 60},
        "force_stop": {"type": "bool", "default": False},
        "remove_storage": {"type": "bool", "default": False},
    },
    complete=complete,
    check_name=check_name,
)
