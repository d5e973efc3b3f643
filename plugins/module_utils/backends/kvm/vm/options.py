# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The options of a virtual machine, one on a line: kind, place in the XML, what a change costs, how it is made live.

Pure. What brings a change about is named here, and does so when it is called (live).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ....engine.action import Disruption
from ....engine.errors import InvalidOption
from ....engine.kinds import Flag, Integer, Text, Texts
from ....engine.spec import Spec, Table
from ..backend import ADDRESS_SOURCES
from . import clock, extras, inputs, live, numa, osinfo, processors, smbios, sound
from . import devices as dev
from . import networks as nets
from . import single_devices as singles
from .chain import note_images
from .features import FEATURES
from .fields import CpuSet, Field, FieldSet, Line, Lines, read_fields
from .lines import devices_of, fields_of, scalar, single
from .memory_backing import MEMORY_BACKING
from .model import Edit, View, VmOption, never
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
from .xml import Element, get, size_of

NONE, LIVE, RESTART, RECREATE = Disruption.NONE, Disruption.LIVE, Disruption.RESTART, Disruption.RECREATE
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+:@-]*", re.ASCII)


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


#: What becomes of a guest that ends or starts anew. QEMU has neither rename-restart nor, but for a crash, preserve.
ENDS = ("destroy", "restart")
CRASHES = (*ENDS, "preserve", "coredump-destroy", "coredump-restart")
PM_FIELDS = (
    Field("suspend_to_mem", Flag(), "pm/suspend-to-mem@enabled", style="yes"),
    Field("suspend_to_disk", Flag(), "pm/suspend-to-disk@enabled", style="yes"),
)
UUID = Text(
    pattern=r"(?i)[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}",
    remedy="Write it like 6ba7b810-9dad-41d1-80b4-00c04fd430c8",
    fold=True,
)
MACHINE = Text(pattern=r"[A-Za-z0-9._-]+", remedy="Write a machine of QEMU's, like q35 or pc")
EMPTY_PATH = Text(pattern=r"(/[^\n]*)?", remedy="Write an absolute path on the host, or nothing")


OPTIONS: tuple[VmOption, ...] = (
    scalar("type", Text(choices=("auto", "kvm", "qemu")), "@type"),
    scalar("uuid", UUID, "uuid", change=RECREATE),
    scalar("description", Lines(), "description", "", NONE, waits=never, tell=live.tell_text("DESCRIPTION")),
    scalar("title", Line(), "title", "", NONE, waits=never, tell=live.tell_text("TITLE")),
    VmOption("osinfo", osinfo.OSINFO, osinfo.read_osinfo, NONE, osinfo.write_osinfo, never, tell=live.tell_osinfo),
    VmOption("machine", MACHINE, lambda view: get(view.root, "os/type@machine"), RESTART, write_machine,
             recognise=_machine_seen),
    VmOption("cpus_max", Integer(1, 4096), read_cpus_max, RESTART, write_cpus_max),
    VmOption("cpus", Integer(1, 4096), read_cpus, LIVE, write_cpus, hot=_cpus_hot, live=live.call("setVcpusFlags")),
    VmOption("cpu", FieldSet(CPU_FIELDS), lambda view: read_fields(CPU_FIELDS, view.root), RESTART, write_cpu,
             cpu_waits),
    devices_of("cpu_features", processors.CPU_FEATURES, processors.read_cpu_features, processors.write_cpu_features,
               waits=processors.cpu_features_wait),
    # The memory of a domain is what its cells hold: they come first.
    devices_of("numa_cells", numa.NUMA_CELLS, numa.read_cells, numa.write_cells),
    VmOption("memory_max", Memory(), read_memory_max, RESTART, write_memory_max),
    VmOption("memory", Memory(), read_memory, LIVE, write_memory, memory_waits, hot=_memory_hot, live=live.memory,
             follows=True),
    fields_of("numatune", numa.NUMATUNE),
    fields_of("memory_backing", MEMORY_BACKING),
    devices_of("cpu_pinning", processors.PINNING, processors.read_pinning, processors.write_pinning, LIVE,
               places=processors.PIN_PLACES, hot=processors.pinning_hot, live=live.pin),
    scalar("cpuset", CpuSet(), "vcpu@cpuset"),
    VmOption("firmware", Text(choices=("bios", "uefi")), read_firmware, RESTART, write_firmware),
    VmOption("secure_boot", Flag(), read_secure, RESTART, write_secure, recognise=_secure_seen),
    scalar("kernel", EMPTY_PATH, "os/kernel", ""),
    scalar("initrd", EMPTY_PATH, "os/initrd", ""),
    scalar("cmdline", Line(), "os/cmdline", ""),
    VmOption("disks", dev.DISKS, _read_disks, LIVE, _write_disks, hot=dev.disk_hot, slot=dev.disk_slot, live=live.disk,
             grows=dev.disk_grows, grow=live.grow_disk, disk=lambda _value, key: key),
    devices_of("networks", nets.NETWORKS, nets.read_networks, nets.write_networks, LIVE, hot=nets.network_hot, slot=nets.network_slot,
               live=live.network,
               recognise=lambda want, have, _view: nets.rekeyed(want.values["networks"], have)),
    devices_of("graphics", extras.GRAPHICS, extras.read_graphics, extras.write_graphics),
    singles.written_anew(single("video", "video", singles.VIDEO_FIELDS)),
    VmOption("console", Flag(), read_console, RESTART, write_console),
    devices_of("channels", extras.CHANNELS, extras.read_channels, extras.write_channels),
    devices_of("host_devices", extras.HostDevices(), extras.read_hostdevs, extras.write_hostdevs),
    devices_of("filesystems", extras.FILESYSTEMS, extras.read_filesystems, extras.write_filesystems),
    single("tpm", "tpm", singles.TPM_FIELDS),
    singles.beside_itco(single("watchdog", "watchdog", singles.WATCHDOG_FIELDS)),
    singles.with_source(single("rng", "rng", singles.RNG_FIELDS)),
    single("memballoon", "memballoon", singles.BALLOON_FIELDS),
    devices_of("sound", sound.SOUND, sound.read_sound, sound.write_sound, devices=("sound",)),
    devices_of("audio", sound.AUDIO, sound.read_audio, sound.write_audio),
    devices_of("inputs", inputs.INPUTS, inputs.read_inputs, inputs.write_inputs, devices=("input",)),
    VmOption("redirected_usb", Integer(0, 64), inputs.read_redirected, RESTART, inputs.write_redirected,
             devices=(inputs.REDIRECTED,)),
    single("panic", "panic", singles.PANIC_FIELDS),
    single("vsock", "vsock", singles.VSOCK_FIELDS),
    single("iommu", "iommu", singles.IOMMU_FIELDS),
    VmOption("smbios", smbios.SMBIOS, smbios.read_smbios, RESTART, smbios.write_smbios, places=smbios.PLACES),
    scalar("iothreads", Integer(0, 1024), "iothreads", 0),
    scalar("on_poweroff", Text(choices=ENDS), "on_poweroff", change=NONE, tell=live.tell_end("POWEROFF")),
    scalar("on_reboot", Text(choices=ENDS), "on_reboot", change=NONE, tell=live.tell_end("REBOOT")),
    scalar("on_crash", Text(choices=CRASHES), "on_crash", change=NONE, tell=live.tell_end("CRASH")),
    fields_of("pm", FieldSet(PM_FIELDS)),
    fields_of("clock", clock.CLOCK, clock.write_clock, clock.clock_waits),
    devices_of("timers", clock.TIMERS, clock.read_timers, clock.write_timers, places=("clock/timer",)),
    fields_of("features", FEATURES),
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
    if (parameters.get("on_poweroff"), parameters.get("on_reboot")) == ("restart", "destroy"):
        raise InvalidOption(
            "on_reboot",
            "destroy",
            "is what QEMU cannot have beside on_poweroff: restart",
            remedy="Change one of the two",
        )
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
