# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The options of a virtual machine, one on a line: kind, place in the domain's XML, and what a change costs. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ...engine.errors import InvalidOption
from ...engine.kinds import Entries, Flag, Integer, Kind, Size, Text, Texts
from ...engine.plan import Disruption
from ...engine.spec import Option, Table
from . import vm_devices as dev
from . import vm_extras as extras
from . import vm_networks as nets
from .vm_fields import PATH, Field, FieldSet, read_fields, word, write_fields
from .vm_seed import CLOUD_INIT, read_seed
from .vm_xml import ET, Element, drop, get, make, overlay_values, put, put_size, read_overlay, size_of
from .xml import NAMESPACE

NONE, LIVE, RESTART, RECREATE = Disruption.NONE, Disruption.LIVE, Disruption.RESTART, Disruption.RECREATE
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+:@-]*", re.ASCII)
MIB = 1024**2
LABEL = "{%s}label" % NAMESPACE
GUEST = "{%s}guest" % NAMESPACE


@dataclass(frozen=True)
class View:
    """One description of a domain, stored or live, with what is looked up beside it."""

    root: Element
    name: str = ""
    autostart: bool = False
    #: Bytes of the disks' contents, by target.
    sizes: Mapping[str, int] = field(default_factory=dict)
    #: The paths of volumes, by POOL/VOLUME.
    places: Mapping[str, str] = field(default_factory=dict)


Write = Callable[[Element, Any, Any], None]


def _nothing(_root: Element, _before: Any, _after: Any) -> None:
    """For what is not in the XML."""


@dataclass(frozen=True)
class VmOption(Option):
    """An option with its way into the stored XML: takes the tree, the value that is there, and the one that shall be."""

    write: Write = _nothing
    #: Whether the live XML says it the same way as the stored one, so that a difference waits for a restart.
    waits: bool = True


def _scalar(name: str, kind: Kind, place: str, absent: Any = None, change: Disruption = RESTART, waits: bool = True) -> VmOption:
    """An option that stands at one place."""
    part = Field(name, kind, place, absent)
    return VmOption(name, kind, lambda view: part.read(view.root), change, lambda root, _before, after: part.write(root, after), waits)


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

    return VmOption(name, FieldSet(fields), read, RESTART, write)


def _list(name: str, kind: Entries, read: Callable[[Element], Any], write: Write, change: Disruption = RESTART) -> VmOption:
    return VmOption(name, kind, lambda view: read(view.root), change, write)


# The ones that are more than a place. ------------------------------------------------------------------------------------


def _read_cpus(view: View) -> int:
    return int(get(view.root, "vcpu@current") or get(view.root, "vcpu") or 1)


def _write_cpus(root: Element, _before: Any, after: int) -> None:
    if int(get(root, "vcpu") or 1) < after:
        put(root, "vcpu", str(after))
    put(root, "vcpu@current", str(after))
    _fold_current(root)


def _write_cpus_max(root: Element, _before: Any, after: int) -> None:
    now = int(get(root, "vcpu@current") or get(root, "vcpu") or 1)
    put(root, "vcpu", str(after))
    put(root, "vcpu@current", str(min(now, after)))
    _fold_current(root)


def _fold_current(root: Element) -> None:
    # Which of them are online is not for us to say: libvirt counts them.
    drop(root, "vcpus")
    if get(root, "vcpu@current") == get(root, "vcpu"):
        put(root, "vcpu@current", None)


def _read_memory(view: View) -> int | None:
    return size_of(view.root.find("currentMemory")) or size_of(view.root.find("memory"))


def _write_memory(root: Element, _before: Any, after: int) -> None:
    if (size_of(root.find("memory")) or 0) < after:
        put_size(root, "memory", after)
    put_size(root, "currentMemory", after)


def _write_memory_max(root: Element, _before: Any, after: int) -> None:
    put_size(root, "memory", after)
    if (size_of(root.find("currentMemory")) or 0) > after:
        put_size(root, "currentMemory", after)


class KibiSize(Size):
    """Memory: libvirt counts it in KiB."""

    def __init__(self) -> None:
        super().__init__(least=MIB)

    def parse(self, value: Any, option: str) -> int:
        size = super().parse(value, option)
        if not size:
            raise InvalidOption(option, value, "is no memory", remedy="Write 1MiB or more")
        if size > 1 << 52:
            raise InvalidOption(option, value, "is more memory than any host has", remedy="Write a size like 2GiB")
        return -(-size // 1024) * 1024


#: The short names of machines, and how what libvirt makes of them begins.
_ALIASES = {"q35": "pc-q35-", "pc": "pc-i440fx-", "virt": "virt-", "pseries": "pseries-", "s390-ccw-virtio": "s390-ccw-virtio-"}


def same_machine(want: str, have: str | None) -> bool:
    """Whether a domain's machine is what a name or alias means; libvirt keeps the version that an alias stood for."""
    return want == have or bool(have and want in _ALIASES and have.startswith(_ALIASES[want]))


def _write_machine(root: Element, before: Any, after: str) -> None:
    put(root, "os/type@machine", after)
    if before and before.partition("-")[0] != after.partition("-")[0] or same_machine("q35", before) != (after.startswith("pc-q35") or after == "q35"):
        # Another kind of machine has other buses: libvirt gives every device a new place.
        drop(root, "devices/controller")
        for device in make(root, "devices"):
            drop(device, "address")


def _read_firmware(view: View) -> str:
    loader = view.root.find("os/loader")
    return "uefi" if get(view.root, "os@firmware") == "efi" or (loader is not None and loader.get("type") == "pflash") else "bios"


def _write_firmware(root: Element, _before: Any, after: str) -> None:
    for stale in ("os/loader", "os/nvram", "os/firmware"):
        drop(root, stale)
    put(root, "os@firmware", "efi" if after == "uefi" else None)


def _read_secure(view: View) -> bool | None:
    """None: libvirt's own choice, which differs from host to host."""
    if _read_firmware(view) == "bios":
        return False
    feature = view.root.find("os/firmware/feature[@name='secure-boot']")
    if feature is not None:
        return feature.get("enabled") == "yes"
    loader = get(view.root, "os/loader@secure")
    return None if loader is None else loader == "yes"


def _write_secure(root: Element, _before: Any, after: bool) -> None:
    for stale in ("os/loader", "os/nvram", "os/firmware"):
        drop(root, stale)
    firmware = make(root, "os/firmware")
    for name in ("enrolled-keys", "secure-boot"):
        ET.SubElement(firmware, "feature", {"enabled": "yes" if after else "no", "name": name})
    if after:
        put(root, "features/smm@state", "on")


def _read_console(view: View) -> bool:
    return view.root.find("devices/console") is not None or view.root.find("devices/serial") is not None


def _write_console(root: Element, _before: Any, after: bool) -> None:
    for tag in ("serial", "console"):
        drop(root, "devices/" + tag)
    if after:
        serial = ET.SubElement(make(root, "devices"), "serial", {"type": "pty"})
        ET.SubElement(serial, "target", {"port": "0"})
        console = ET.SubElement(make(root, "devices"), "console", {"type": "pty"})
        ET.SubElement(console, "target", {"type": "serial", "port": "0"})


def read_labels(root: Element) -> dict[str, str]:
    """The labels in the metadata of our namespace."""
    return {each.get("name", ""): each.get("value", "") for each in root.findall("metadata/%s/%s" % (GUEST, LABEL))}


def _write_labels(root: Element, _before: Any, after: Mapping[str, str]) -> None:
    guest = guest_note(root)
    for old in guest.findall(LABEL):
        guest.remove(old)
    for key, value in sorted(after.items()):
        ET.SubElement(guest, LABEL, {"name": key, "value": value})


def guest_note(root: Element) -> Element:
    """Our element in a domain's metadata, made where it is missing."""
    metadata = make(root, "metadata")
    found = metadata.find(GUEST)
    return ET.SubElement(metadata, GUEST) if found is None else found


class Overlay(Entries):
    """A part of a domain's XML: its values by their paths. The tree itself goes with them, for writing."""

    argument = {"type": "str"}
    merges = False

    def parse(self, value: Any, option: str) -> dict[str, str]:
        root = read_overlay(str(value), option)
        return OverlayValues(overlay_values(root), root)

    def show(self, value: Mapping[str, Any]) -> Any:
        return dict(value)


class OverlayValues(dict):  # type: ignore[type-arg]
    """The values of an overlay, with its tree."""

    def __init__(self, values: Mapping[str, str], root: Element) -> None:
        super().__init__(values)
        self.root = root


CPU_FIELDS = (
    Field("mode", word("custom", "host-model", "host-passthrough", "maximum"), "cpu@mode"),
    Field("model", Text(pattern=r"[A-Za-z0-9_.-]+", remedy="Write a model of libvirt's, like EPYC or Skylake-Client"), "cpu/model"),
    Field("sockets", Integer(1, 1024), "cpu/topology@sockets"),
    Field("cores", Integer(1, 1024), "cpu/topology@cores"),
    Field("threads", Integer(1, 1024), "cpu/topology@threads"),
)


def _write_cpu(root: Element, before: Any, after: Mapping[str, Any]) -> None:
    after = dict(after)
    if "model" in after and after.get("model") != before.get("model") and after.get("mode") == before.get("mode"):
        after["mode"] = "custom"
    if after.get("mode") not in (None, "custom") and after.get("mode") != before.get("mode"):
        for child in list(make(root, "cpu")):
            if child.tag in ("model", "feature", "vendor"):
                make(root, "cpu").remove(child)
        make(root, "cpu").attrib.pop("match", None)
        after.pop("model", None)
    topology = {key for key in ("sockets", "cores", "threads") if key in after}
    if topology:
        for key in ("sockets", "cores", "threads"):
            after.setdefault(key, 1)
    write_fields(CPU_FIELDS, root, after, before)


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
UUID = Text(pattern=r"(?i)[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", remedy="Write it like 6ba7b810-9dad-41d1-80b4-00c04fd430c8", fold=True)
MACHINE = Text(pattern=r"[A-Za-z0-9._-]+", remedy="Write a machine of QEMU's, like q35 or pc")
EMPTY_PATH = Text(pattern=r"(/[^\n]*)?", remedy="Write an absolute path on the host, or nothing")


def _write_rng(option: VmOption) -> VmOption:
    def write(root: Element, before: Any, after: Any) -> None:
        option.write(root, before, after)
        if after.get("model") != "none":
            put(root, "devices/rng/backend@model", "random")
            if not get(root, "devices/rng/backend"):
                put(root, "devices/rng/backend", "/dev/urandom")

    return VmOption(option.name, option.kind, option.read, option.change, write)


def _write_video(option: VmOption) -> VmOption:
    def write(root: Element, before: Any, after: Any) -> None:
        option.write(root, {}, after)

    return VmOption(option.name, option.kind, option.read, option.change, write)


OPTIONS: tuple[VmOption, ...] = (
    _scalar("type", Text(choices=("auto", "kvm", "qemu")), "@type"),
    _scalar("uuid", UUID, "uuid",
            change=RECREATE),
    _scalar("description", Text(), "description", "", NONE, False),
    VmOption("machine", MACHINE, lambda view: get(view.root, "os/type@machine"), RESTART, _write_machine),
    VmOption("cpus_max", Integer(1, 4096), lambda view: int(get(view.root, "vcpu") or 1), RESTART, _write_cpus_max),
    VmOption("cpus", Integer(1, 4096), _read_cpus, LIVE, _write_cpus),
    VmOption("cpu", FieldSet(CPU_FIELDS), lambda view: read_fields(CPU_FIELDS, view.root), RESTART, _write_cpu),
    VmOption("memory_max", KibiSize(), lambda view: size_of(view.root.find("memory")), RESTART, _write_memory_max),
    VmOption("memory", KibiSize(), _read_memory, LIVE, _write_memory),
    VmOption("firmware", Text(choices=("bios", "uefi")), _read_firmware, RESTART, _write_firmware),
    VmOption("secure_boot", Flag(), _read_secure, RESTART, _write_secure),
    _scalar("kernel", EMPTY_PATH, "os/kernel", ""),
    _scalar("initrd", EMPTY_PATH, "os/initrd", ""),
    _scalar("cmdline", Text(), "os/cmdline", ""),
    VmOption("disks", dev.DISKS, lambda view: dev.read_disks(view.root, view.sizes, view.places), LIVE, dev.write_disks),
    _list("networks", nets.NETWORKS, nets.read_networks, nets.write_networks, LIVE),
    _list("graphics", extras.GRAPHICS, extras.read_graphics, extras.write_graphics),
    _write_video(_single("video", "video", VIDEO_FIELDS)),
    VmOption("console", Flag(), _read_console, RESTART, _write_console),
    _list("channels", extras.CHANNELS, extras.read_channels, extras.write_channels),
    _list("host_devices", extras.HostDevices(), extras.read_hostdevs, extras.write_hostdevs),
    _list("filesystems", extras.FILESYSTEMS, extras.read_filesystems, extras.write_filesystems),
    _single("tpm", "tpm", TPM_FIELDS),
    _single("watchdog", "watchdog", WATCHDOG_FIELDS),
    _write_rng(_single("rng", "rng", RNG_FIELDS)),
    _single("memballoon", "memballoon", BALLOON_FIELDS),
    VmOption("autostart", Flag(), lambda view: view.autostart, NONE, waits=False),
    VmOption("labels", Texts(), lambda view: read_labels(view.root), NONE, _write_labels, False),
    VmOption("cloud_init", CLOUD_INIT, lambda view: read_seed(view.root, view.name), LIVE, waits=False),
    VmOption("xml", Overlay(), lambda view: {}, RESTART, waits=False),
)  # fmt: skip


def check_name(name: str) -> None:
    """What we take for a domain's name: libvirt takes more, and its log files and sockets bear it."""
    if not NAME.fullmatch(name) or len(name) > 200:
        raise InvalidOption(
            "name", name, "is no name for a virtual machine", remedy="Use letters, digits, dots, dashes and underscores, beginning with a letter or digit"
        )


def complete(parameters: Mapping[str, Any]) -> Mapping[str, Any]:
    """Name the disks that have no name in the guest yet."""
    completed = dict(parameters)
    if parameters.get("disks") is not None:
        completed["disks"] = dev.named_disks(parameters["disks"])
    if parameters.get("secure_boot") and parameters.get("firmware") == "bios":
        raise InvalidOption("secure_boot", True, "goes with no BIOS", remedy="Write firmware: uefi")
    for less, more in (("memory", "memory_max"), ("cpus", "cpus_max")):
        if parameters.get(less) is not None and parameters.get(more) is not None:
            kind = BY_NAME[less].kind
            if kind.parse(parameters[less], less) > kind.parse(parameters[more], more):
                raise InvalidOption(less, parameters[less], "is more than %s" % more, remedy="Raise %s, or lower %s" % (more, less))
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
        "address_sources": {"type": "list", "elements": "str", "choices": ["lease", "agent", "arp"], "default": ["lease", "agent", "arp"]},
        "stop_timeout": {"type": "int", "default": 60},
        "force_stop": {"type": "bool", "default": False},
        "remove_storage": {"type": "bool", "default": False},
    },
    complete=complete,
    check_name=check_name,
)
