# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""For each option of kvm_vm: two values, other ways to write the second, and what libvirt keeps of them.

<word> in a value stands for a name or path of the test's own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from xml.etree import ElementTree as ET

KRAAL = "{https://kraal.virt/libvirt/1.0}"


@dataclass(frozen=True)
class Row:
    """One option's way from its first value to its second."""

    option: str
    first: Any
    second: Any
    #: Reads what libvirt keeps, independently of the module; `seen` is what it shall read after each value.
    look: Callable[[ET.Element], Any]
    seen: tuple[Any, Any]
    #: Other ways to write the second value.
    same: tuple[Any, ...] = ()
    #: Other options that the row needs.
    extra: Mapping[str, Any] = field(default_factory=dict)
    #: Tells rows of one option apart.
    about: str = ""
    #: Whether purge with the first value takes what the second added away again.
    purge: bool = False
    #: What the change is while the guest runs: none, live, or restart. Empty: such a guest cannot run here.
    running: str = "restart"
    #: Why the row needs a guest of its own, and the options with which it shares none.
    alone: str = ""
    apart: Mapping[str, str] = field(default_factory=dict)

    @property
    def id(self) -> str:
        return f"{self.option}-{self.about}" if self.about else self.option


def text(place: str) -> Callable[[ET.Element], Any]:
    """The text of an element, or with an @ an attribute."""

    def look(root: ET.Element) -> Any:
        path, _at, attribute = place.rpartition("@") if "[@" in place else place.partition("@")
        found = root.find(path) if path else root
        if found is None:
            return None
        return found.get(attribute) if attribute else (found.text or "").strip()

    return look


def texts(*places: str) -> Callable[[ET.Element], Any]:
    return lambda root: tuple(text(place)(root) for place in places)


def kib(path: str) -> Callable[[ET.Element], Any]:
    return lambda root: int(root.findtext(path, "0"))


def disk(target: str, *places: str) -> Callable[[ET.Element], Any]:
    """Of the disk of that name; None where there is none."""

    def look(root: ET.Element) -> Any:
        found = next((each for each in root.iterfind("devices/disk") if text("target@dev")(each) == target), None)
        return None if found is None else tuple(text(place)(found) for place in places)

    return look


def nic(number: int, *places: str) -> Callable[[ET.Element], Any]:
    def look(root: ET.Element) -> Any:
        found = root.findall("devices/interface")
        return tuple(text(place)(found[number]) for place in places) if number < len(found) else None

    return look


def every(path: str, *places: str) -> Callable[[ET.Element], Any]:
    return lambda root: sorted(tuple(text(place)(each) for place in places) for each in root.iterfind(path))


def watchdogs(root: ET.Element) -> list[str | None]:
    """But the chipset's, which libvirt adds since 9.1."""
    return [each.get("model") for each in root.iterfind("devices/watchdog") if each.get("model") != "itco"]


def labels(root: ET.Element) -> dict[str, str]:
    return {
        each.get("name", ""): each.get("value", "") for each in root.iterfind(f"metadata/{KRAAL}guest/{KRAAL}label")
    }


def label_elsewhere(root: ET.Element) -> tuple[Any, ...]:
    return labels(root), root.findtext("metadata/{http://example.org/app}mine")


MIB = 1024
UUID = "6ba7b810-9dad-41d1-80b4-00c04fd430c8"
VDA = {"target": "vda", "size": "8MiB"}
CD = {"target": "sdc", "device": "cdrom", "bus": "scsi", "path": "<iso>"}
SMBIOS = (
    "<domain><os><smbios mode='sysinfo'/></os><sysinfo type='smbios'><system>"
    "<entry name='serial'>{}</entry><entry name='family'>{}</entry></system></sysinfo></domain>"
)
TPM = ("@model", "backend@type", "backend@version")

FEATURES = "libvirt writes a firmware's features down, and what the row gives is told as xml"
SCREEN = {"video": "with the first screen comes a card"}
BOOT = dict.fromkeys(("disks", "networks"), "a device's own order and the order of kinds exclude each other")

ROWS = (
    Row(
        "description",
        "first",
        'a <second> & "more"',
        text("description"),
        ("first", 'a <second> & "more"'),
        running="none",
    ),
    Row(
        "machine",
        "pc",
        "q35",
        lambda root: root.find("os/type").get("machine").rpartition("-")[0],
        ("pc-i440fx", "pc-q35"),
        extra={"type": "qemu"},
        running="",
        alone="another chipset has its devices elsewhere",
    ),
    Row("cpus", 1, 2, texts("vcpu", "vcpu@current"), (("4", "1"), ("4", "2")), extra={"cpus_max": 4}, running="live"),
    Row("cpus", 2, 3, texts("vcpu", "vcpu@current"), (("2", None), ("3", None)), about="beyond"),
    Row("cpus_max", 2, 4, texts("vcpu", "vcpu@current"), (("2", "1"), ("4", "1")), extra={"cpus": 1}),
    Row(
        "cpu",
        {"model": "qemu64"},
        {"model": "Nehalem"},
        texts("cpu@mode", "cpu/model"),
        (("custom", "qemu64"), ("custom", "Nehalem")),
        same=({"mode": "custom"},),
    ),
    Row(
        "cpu",
        {"sockets": 1, "cores": 4},
        {"sockets": 2, "cores": 2, "threads": 1},
        texts("cpu/topology@sockets", "cpu/topology@cores", "cpu/topology@threads"),
        (("1", "4", "1"), ("2", "2", "1")),
        extra={"cpus": 4},
        about="topology",
    ),
    Row("cpu", {"mode": "host-model"}, {"mode": "maximum"}, text("cpu@mode"), ("host-model", "maximum"), about="mode"),
    Row(
        "cpu",
        {"model": "qemu64"},
        {"mode": "maximum"},
        text("cpu@mode"),
        ("custom", "maximum"),
        about="mode-of-a-model",
    ),
    Row(
        "memory",
        "64MiB",
        "128MiB",
        kib("currentMemory"),
        (64 * MIB, 128 * MIB),
        same=("134217728", "131072k", "0.125GiB"),
        about="maximum",
    ),
    Row(
        "memory",
        "64MiB",
        "100MB",
        kib("currentMemory"),
        (64 * MIB, 96 * MIB),
        same=("96MiB", "99999kB"),
        about="decimal",
    ),
    Row(
        "memory_max",
        "128MiB",
        "256MiB",
        kib("memory"),
        (128 * MIB, 256 * MIB),
        same=("0.25GiB",),
        apart={"memory": "more of it raises it"},
    ),
    Row(
        "firmware",
        "bios",
        "uefi",
        texts("os@firmware"),
        ((None,), ("efi",)),
        apart={"secure_boot": "it is a firmware's", "xml": FEATURES},
    ),
    Row(
        "secure_boot",
        False,
        True,
        lambda root: root.find("os/firmware/feature[@name='secure-boot']").get("enabled"),
        ("no", "yes"),
        extra={"firmware": "uefi"},
        apart={"xml": FEATURES},
    ),
    Row("kernel", "<file1>", "<file2>", text("os/kernel"), ("<file1>", "<file2>"), running=""),
    Row(
        "initrd",
        "<file1>",
        "<file2>",
        text("os/initrd"),
        ("<file1>", "<file2>"),
        extra={"kernel": "<file1>"},
        running="",
    ),
    Row(
        "cmdline",
        "quiet",
        'quiet a="b c" <&>',
        text("os/cmdline"),
        ("quiet", 'quiet a="b c" <&>'),
        extra={"kernel": "<file1>"},
        running="",
    ),
    Row(
        "disks",
        [VDA],
        [VDA, {"size": "4MiB"}],
        every("devices/disk", "target@dev", "target@bus", "driver@type"),
        ([("vda", "virtio", "qcow2")], [("vda", "virtio", "qcow2"), ("vdb", "virtio", "qcow2")]),
        purge=True,
        about="add",
        running="",
    ),
    Row(
        "disks",
        [VDA],
        [{"target": "vda", "size": "16MiB"}],
        disk("vda", "driver@type"),
        (("qcow2",), ("qcow2",)),
        same=([{"target": "vda", "size": "16777216"}], [{"target": "vda"}]),
        about="grow",
        running="live",
    ),
    Row(
        "disks",
        [{**VDA, "cache": "none", "discard": "unmap"}],
        [{**VDA, "cache": "writeback", "io": "threads", "serial": "kt-1"}],
        disk("vda", "driver@cache", "driver@discard", "driver@io", "serial"),
        (("none", "unmap", None, None), ("writeback", "unmap", "threads", "kt-1")),
        about="driver",
    ),
    Row(
        "disks",
        [{**VDA, "boot_order": 1}, {**CD, "boot_order": 2}],
        [{**VDA, "boot_order": 2}, {"target": "sdc", "boot_order": 1}],
        lambda root: (disk("vda", "boot@order")(root), disk("sdc", "boot@order")(root), root.find("os/boot")),
        ((("1",), ("2",), None), (("2",), ("1",), None)),
        about="boot",
    ),
    Row(
        "disks",
        [{**VDA, "read_only": False}],
        [{**VDA, "read_only": True}],
        disk("vda", "readonly"),
        ((None,), ("",)),
        about="read_only",
    ),
    Row(
        "disks",
        [{**VDA, "bus": "virtio"}],
        [{**VDA, "bus": "sata"}],
        disk("vda", "target@bus"),
        (("virtio",), ("sata",)),
        about="bus",
        running="",
    ),
    Row(
        "disks",
        [{"target": "vda", "pool": "<pool>", "volume": "kt-one.raw", "size": "1MiB"}],
        [{"target": "vda", "pool": "<pool>", "volume": "kt-two.qcow2", "size": "2MiB", "format": "qcow2"}],
        disk("vda", "source@file", "driver@type"),
        (("<pooldir>/kt-one.raw", "raw"), ("<pooldir>/kt-two.qcow2", "qcow2")),
        about="volume",
    ),
    Row(
        "disks",
        [{"target": "vda", "path": "<file1>", "format": "raw"}],
        [{"target": "vda", "path": "<file2>", "format": "raw"}],
        disk("vda", "source@file"),
        (("<file1>",), ("<file2>",)),
        about="path",
    ),
    Row(
        "disks",
        [CD],
        [{"target": "sdc", "path": "<iso2>"}],
        disk("sdc", "@device", "source@file", "readonly"),
        (("cdrom", "<iso>", ""), ("cdrom", "<iso2>", "")),
        about="cd",
        running="live",
    ),
    Row(
        "disks",
        [CD],
        [{"target": "sdc", "path": ""}],
        disk("sdc", "@device", "source@file"),
        (("cdrom", "<iso>"), ("cdrom", None)),
        about="eject",
        running="live",
    ),
    Row(
        "networks",
        ["<net1>"],
        ["<net1>", {"network": "<net2>", "mac": "52:54:00:0A:BC:0D"}],
        every("devices/interface", "source@network"),
        ([("<net1>",)], [("<net1>",), ("<net2>",)]),
        same=([{"network": "<net2>", "mac": "52:54:00:0a:bc:0d", "model": "virtio"}],),
        purge=True,
        about="add",
        running="",
    ),
    Row(
        "networks",
        [{"network": "<net1>", "mac": "52:54:00:00:00:07"}],
        [{"network": "<net2>", "mac": "52:54:00:00:00:07"}],
        nic(0, "source@network", "mac@address"),
        (("<net1>", "52:54:00:00:00:07"), ("<net2>", "52:54:00:00:00:07")),
        about="move",
        running="live",
    ),
    Row(
        "networks",
        [{"network": "<net1>", "link": "up"}],
        [{"network": "<net1>", "link": "down"}],
        nic(0, "link@state"),
        ((None,), ("down",)),
        about="link",
        running="live",
    ),
    Row(
        "networks",
        [{"network": "<net1>", "model": "e1000e"}],
        [{"network": "<net1>", "model": "virtio", "mtu": 1400}],
        nic(0, "model@type", "mtu@size"),
        (("e1000e", None), ("virtio", "1400")),
        about="model",
    ),
    Row(
        "networks",
        [{"bridge": "br-kt"}],
        [{"bridge": "br-kt", "boot_order": 1}],
        nic(0, "@type", "source@bridge", "boot@order"),
        (("bridge", "br-kt", None), ("bridge", "br-kt", "1")),
        about="bridge",
        running="",
    ),
    Row(
        "networks",
        [{"macvtap": "eth9"}],
        [{"macvtap": "eth9", "mode": "private"}],
        nic(0, "@type", "source@dev", "source@mode"),
        (("direct", "eth9", "bridge"), ("direct", "eth9", "private")),
        about="macvtap",
        running="",
    ),
    Row(
        "networks",
        [{"type": "user"}],
        [{"type": "user", "model": "e1000e"}],
        nic(0, "@type", "model@type"),
        (("user", "virtio"), ("user", "e1000e")),
        about="user",
    ),
    Row(
        "networks",
        ["<net1>"],
        [{"network": "<net1>", "filter": "clean-traffic"}],
        nic(0, "filterref@filter"),
        ((None,), ("clean-traffic",)),
        about="filter",
        running="",
    ),
    Row(
        "graphics",
        ["vnc"],
        [{"type": "vnc", "port": 5977, "listen": "127.0.0.1", "password": "kt-hush"}],
        every("devices/graphics", "@type", "@port", "@listen", "@passwd"),
        ([("vnc", "-1", None, None)], [("vnc", "5977", "127.0.0.1", "kt-hush")]),
        apart=SCREEN,
    ),
    Row(
        "graphics",
        [],
        ["vnc"],
        every("devices/graphics", "@type"),
        ([], [("vnc",)]),
        purge=True,
        about="add",
        apart=SCREEN,
    ),
    Row(
        "video",
        {"model": "virtio"},
        {"model": "vga", "vram": 32768},
        texts("devices/video/model@type", "devices/video/model@vram"),
        (("virtio", None), ("vga", "32768")),
    ),
    Row("video", {"model": "vga"}, {"model": "none"}, text("devices/video/model@type"), ("vga", "none"), about="none"),
    Row("console", True, False, lambda root: root.find("devices/console") is not None, (True, False)),
    Row(
        "channels",
        ["org.qemu.guest_agent.0"],
        ["org.qemu.guest_agent.0", {"name": "kt.channel", "type": "pty"}],
        every("devices/channel", "target@name", "@type"),
        ([("org.qemu.guest_agent.0", "unix")], [("kt.channel", "pty"), ("org.qemu.guest_agent.0", "unix")]),
        purge=True,
    ),
    Row(
        "host_devices",
        ["usb:046d:c52b"],
        ["usb:046d:c52b", "pci:0000:7f:1f.2"],
        every("devices/hostdev", "@type"),
        ([("usb",)], [("pci",), ("usb",)]),
        same=(["USB:046D:C52B", "7f:1f.2"],),
        purge=True,
        running="",
    ),
    Row(
        "filesystems",
        [{"source": "/srv", "target": "srv", "driver": "9p"}],
        [{"source": "/srv", "target": "srv", "driver": "virtiofs"}],
        every("devices/filesystem", "source@dir", "target@dir", "driver@type"),
        ([("/srv", "srv", None)], [("/srv", "srv", "virtiofs")]),
        running="",
    ),
    Row(
        "filesystems",
        [{"source": "/srv", "target": "srv", "driver": "9p"}],
        [
            {"source": "/srv", "target": "srv", "driver": "9p", "read_only": True, "access_mode": "mapped"},
            {"source": "/opt", "target": "opt", "driver": "9p"},
        ],
        every("devices/filesystem", "source@dir", "@accessmode", "readonly"),
        ([("/srv", "passthrough", None)], [("/opt", "passthrough", None), ("/srv", "mapped", "")]),
        purge=False,
        about="9p",
        running="",
    ),
    Row(
        "filesystems",
        [],
        [{"source": "/srv", "target": "srv", "driver": "9p"}],
        every("devices/filesystem", "target@dir"),
        ([], [("srv",)]),
        purge=True,
        about="add",
        running="",
    ),
    Row(
        "tpm",
        {"model": "tpm-tis", "type": "emulator", "version": "2.0"},
        {"model": "tpm-crb"},
        lambda root: texts(*TPM)(root.find("devices/tpm")),
        (("tpm-tis", "emulator", "2.0"), ("tpm-crb", "emulator", "2.0")),
        same=({"model": "tpm-crb", "type": "emulator", "version": "2.0"},),
        running="",
    ),
    Row(
        "watchdog",
        {"model": "i6300esb", "action": "reset"},
        {"model": "i6300esb", "action": "poweroff"},
        texts("devices/watchdog@model", "devices/watchdog@action"),
        (("i6300esb", "reset"), ("i6300esb", "poweroff")),
    ),
    Row("watchdog", {"model": "none"}, {"model": "i6300esb"}, watchdogs, ([], ["i6300esb"]), about="add"),
    Row(
        "rng",
        {"model": "virtio", "source": "/dev/random"},
        {"model": "virtio", "source": "/dev/urandom", "rate_bytes": 1024, "rate_period": 1000},
        texts("devices/rng/backend", "devices/rng/rate@bytes"),
        (("/dev/random", None), ("/dev/urandom", "1024")),
    ),
    Row(
        "rng", {"model": "virtio"}, {"model": "none"}, texts("devices/rng@model"), (("virtio",), (None,)), about="none"
    ),
    Row(
        "memballoon",
        {"model": "virtio"},
        {"model": "virtio", "autodeflate": True, "stats_period": 10},
        texts("devices/memballoon@model", "devices/memballoon@autodeflate", "devices/memballoon/stats@period"),
        (("virtio", None, None), ("virtio", "on", "10")),
    ),
    Row(
        "memballoon",
        {"model": "virtio"},
        {"model": "none"},
        texts("devices/memballoon@model"),
        (("virtio",), ("none",)),
        about="none",
    ),
    Row("autostart", True, False, lambda root: None, (None, None), running="none"),
    Row(
        "labels",
        {"a": "1"},
        {"a": "2", "b": '<x&">'},
        labels,
        ({"a": "1"}, {"a": "2", "b": '<x&">'}),
        purge=True,
        running="none",
    ),
    Row(
        "cloud_init",
        {"user_data": {"hostname": "one"}},
        {"user_data": {"hostname": "two"}, "network_config": {"version": 2}},
        every("devices/disk", "@device", "target@dev"),
        ([("cdrom", "sdz")], [("cdrom", "sdz")]),
        running="live",
        apart={"disks": "its seed is one, and the rows look at all of them"},
    ),
    Row(
        "xml",
        "<domain><iothreads>1</iothreads><features><pae/></features><clock offset='localtime'/></domain>",
        "<domain><clock offset='utc'><timer name='hpet' present='no'/></clock><devices><input type='tablet' "
        "bus='usb'/></devices><iothreads>2</iothreads></domain>",
        lambda root: (
            root.find("features/pae") is not None,
            text("clock@offset")(root),
            text("clock/timer[@name='hpet']@present")(root),
            every("devices/input[@type='tablet']", "@bus")(root),
            text("iothreads")(root),
        ),
        ((True, "localtime", None, [], "1"), (True, "utc", "no", [("usb",)], "2")),
    ),
    Row(
        "xml",
        "<domain><os><boot dev='network'/></os></domain>",
        "<domain><os><boot dev='hd'/><boot dev='network'/></os></domain>",
        every("os/boot", "@dev"),
        ([("network",)], [("hd",), ("network",)]),
        about="several",
        running="",
        apart=BOOT,
    ),
    Row(
        "xml",
        SMBIOS.format("one", "a"),
        SMBIOS.format("two", "a"),
        every("sysinfo/system/entry", "@name", ""),
        ([("family", "a"), ("serial", "one")], [("family", "a"), ("serial", "two")]),
        about="by-name",
    ),
    Row("type", "qemu", "auto", text("@type"), ("qemu", "qemu"), running=""),
    Row("uuid", UUID, UUID.upper(), text("uuid"), (UUID, UUID), running=""),
)
