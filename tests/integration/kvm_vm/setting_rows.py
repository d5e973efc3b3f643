# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rows of what a guest is told of itself and of the machine: names, ends, clock, features, memory, devices."""

from __future__ import annotations

from xml.etree import ElementTree as ET

from .row import Row, every, text, texts

OSINFO = "{http://libosinfo.org/xmlns/libvirt/domain/1.0}"
CELLS = dict.fromkeys(("memory", "memory_max", "cpus", "cpus_max", "cpu"), "the cells have all of both")
HYPERV = texts(
    *("features/kvm/hidden@state", "features/vmport@state", "features/hyperv/relaxed@state"),
    *("features/hyperv/spinlocks@state", "features/hyperv/spinlocks@retries", "features/hyperv/vendor_id@value"),
)


def osinfo(root: ET.Element) -> str | None:
    found = root.find(f"metadata/{OSINFO}libosinfo/{OSINFO}os")
    return None if found is None else found.get("id")


def has(*paths: str):
    return lambda root: tuple(root.find(path) is not None for path in paths)


SETTING_ROWS = (
    Row("title", "first", 'a <second> & "more"', text("title"), ("first", 'a <second> & "more"'), running="none"),
    Row(
        "osinfo",
        "http://debian.org/debian/11",
        "http://debian.org/debian/12",
        osinfo,
        ("http://debian.org/debian/11", "http://debian.org/debian/12"),
        running="none",
    ),
    Row(
        "osinfo",
        "http://debian.org/debian/11",
        "",
        osinfo,
        ("http://debian.org/debian/11", None),
        about="none",
        running="none",
    ),
    # QEMU can have the first of both and the second, and not one of each.
    Row("on_poweroff", "restart", "destroy", text("on_poweroff"), ("restart", "destroy"), running="none"),
    Row("on_reboot", "restart", "destroy", text("on_reboot"), ("restart", "destroy"), running="none"),
    Row("on_poweroff", "destroy", "restart", text("on_poweroff"), ("destroy", "restart"), about="back", running="none"),
    Row("on_reboot", "destroy", "restart", text("on_reboot"), ("destroy", "restart"), about="back", running="none"),
    Row("on_crash", "destroy", "coredump-restart", text("on_crash"), ("destroy", "coredump-restart"), running="none"),
    Row(
        "pm",
        {"suspend_to_mem": True},
        {"suspend_to_mem": False, "suspend_to_disk": True},
        texts("pm/suspend-to-mem@enabled", "pm/suspend-to-disk@enabled"),
        (("yes", None), ("no", "yes")),
        apart=dict.fromkeys(("firmware", "secure_boot"), "UEFI has no sleep on disk"),
    ),
    Row(
        "clock",
        {"offset": "localtime"},
        {"offset": "timezone", "timezone": "Europe/Berlin"},
        texts("clock@offset", "clock@timezone"),
        (("localtime", None), ("timezone", "Europe/Berlin")),
    ),
    Row(
        "clock",
        {"offset": "variable", "basis": "utc", "adjustment": 3600},
        {"offset": "utc"},
        texts("clock@offset", "clock@adjustment", "clock@basis"),
        (("variable", "3600", "utc"), ("utc", None, None)),
        about="variable",
    ),
    Row(
        "timers",
        {"hpet": False},
        {"hpet": {"present": True}, "rtc": {"tickpolicy": "catchup", "track": "guest"}},
        every("clock/timer", "@name", "@present", "@tickpolicy", "@track"),
        ([("hpet", "no", None, None)], [("hpet", "yes", None, None), ("rtc", None, "catchup", "guest")]),
        same=({"hpet": "yes"},),
        purge=True,
    ),
    Row(
        "features",
        {"vmport": True, "pae": False},
        {
            "vmport": False,
            "pae": True,
            "kvm_hidden": True,
            "hyperv_relaxed": True,
            "hyperv_spinlocks": 8191,
            "hyperv_vendor_id": "kt vendor",
        },
        HYPERV,
        ((None, "on", None, None, None, None), ("on", "off", "on", "on", "8191", "kt vendor")),
    ),
    Row(
        "features",
        {"acpi": True, "pae": True, "kvm_hidden": True, "hyperv_spinlocks": 8191, "hyperv_vendor_id": "kt"},
        {"acpi": False, "pae": False, "kvm_hidden": False, "hyperv_spinlocks": 0, "hyperv_vendor_id": ""},
        lambda root: (*has("features/acpi", "features/pae")(root), *HYPERV(root)),
        ((True, True, "on", None, None, "on", "8191", "kt"), (False, False, "off", None, None, "off", None, None)),
        about="off",
        apart=dict.fromkeys(("firmware", "secure_boot"), "UEFI wants ACPI"),
    ),
    Row(
        "cpu_features",
        {"vmx": False},
        {"vmx": "optional", "ssse3": True},
        every("cpu/feature", "@name", "@policy"),
        ([("vmx", "disable")], [("ssse3", "require"), ("vmx", "optional")]),
        extra={"cpu": {"model": "qemu64"}},
        same=({"ssse3": "require"},),
        purge=True,
    ),
    Row(
        "numa_cells",
        {0: {"cpus": "0-1", "memory": "64MiB"}},
        {0: {"cpus": "0", "memory": "32MiB"}, 1: {"cpus": "1", "memory": "0.03125GiB"}},
        every("cpu/numa/cell", "@id", "@cpus", "@memory"),
        ([("0", "0-1", "65536")], [("0", "0", "32768"), ("1", "1", "32768")]),
        extra={"cpus": 2},
        purge=True,
        apart=CELLS,
    ),
    Row(
        "numatune",
        {"mode": "strict", "nodeset": "0"},
        {"mode": "preferred"},
        texts("numatune/memory@mode", "numatune/memory@nodeset"),
        (("strict", "0"), ("preferred", "0")),
    ),
    Row(
        "memory_backing",
        {"source": "memfd", "access": "private"},
        {"access": "shared", "allocation": "immediate", "nosharepages": True},
        lambda root: (
            *texts("memoryBacking/source@type", "memoryBacking/access@mode", "memoryBacking/allocation@mode")(root),
            *has("memoryBacking/nosharepages")(root),
        ),
        (("memfd", "private", None, False), ("memfd", "shared", "immediate", True)),
        apart={"filesystems": "virtiofs needs memory that is shared"},
    ),
    Row(
        "memory_backing",
        {"hugepages": True},
        {"hugepages": "2MiB"},
        lambda root: (*has("memoryBacking/hugepages")(root), text("memoryBacking/hugepages/page@size")(root)),
        ((True, None), (True, "2048")),
        same=({"hugepages": "2048KiB"},),
        about="hugepages",
        running="",
    ),
    Row(
        "cpu_pinning",
        {0: 0},
        {0: "0", "emulator": "0"},
        lambda root: (text("cputune/vcpupin[@vcpu='0']@cpuset")(root), text("cputune/emulatorpin@cpuset")(root)),
        (("0", None), ("0", "0")),
        purge=True,
        running="live",
    ),
    Row(
        "cpu_pinning",
        {0: "0"},
        {0: "0-1", "iothread1": "0"},
        lambda root: (
            text("cputune/vcpupin[@vcpu='0']@cpuset")(root),
            text("cputune/iothreadpin[@iothread='1']@cpuset")(root),
        ),
        (("0", None), ("0-1", "0")),
        extra={"iothreads": 1},
        same=({0: "0,1"},),
        about="elsewhere",
        running="",
    ),
    Row("cpuset", "0", "0-1", text("vcpu@cpuset"), ("0", "0-1"), same=("0,1",), running=""),
    Row(
        "sound",
        ["ich9"],
        ["ich9", {"model": "usb", "audio": 1}],
        every("devices/sound", "@model", "audio@id"),
        ([("ich9", None)], [("ich9", None), ("usb", "1")]),
        purge=True,
    ),
    Row(
        "audio",
        ["none"],
        ["oss", {"type": "none", "id": 2}],
        every("devices/audio", "@id", "@type"),
        ([("1", "none")], [("1", "oss"), ("2", "none")]),
        purge=True,
        running="",
    ),
    Row(
        "inputs",
        ["tablet"],
        ["tablet", {"type": "keyboard", "bus": "virtio"}],
        every("devices/input", "@type", "@bus"),
        (
            [("keyboard", "ps2"), ("mouse", "ps2"), ("tablet", "usb")],
            [("keyboard", "ps2"), ("keyboard", "virtio"), ("mouse", "ps2"), ("tablet", "usb")],
        ),
        same=([{"type": "tablet", "bus": "usb"}],),
        purge=True,
    ),
    Row(
        "inputs",
        [{"type": "evdev", "path": "/dev/input/event7"}],
        [{"type": "evdev", "path": "/dev/input/event7"}, {"type": "passthrough", "path": "/dev/input/event8"}],
        every("devices/input", "@type", "source@dev", "source@evdev"),
        (
            [("evdev", "/dev/input/event7", None), ("keyboard", None, None), ("mouse", None, None)],
            [
                ("evdev", "/dev/input/event7", None),
                ("keyboard", None, None),
                ("mouse", None, None),
                ("passthrough", None, "/dev/input/event8"),
            ],
        ),
        about="of-the-host",
        running="",
    ),
    Row(
        "redirected_usb",
        1,
        2,
        every("devices/redirdev", "@bus", "@type"),
        ([("usb", "spicevmc")], [("usb", "spicevmc")] * 2),
        extra={"graphics": ["spice"]},
        not_on_debian_13="QEMU's SPICE is in a package of its own there",
    ),
    Row("panic", {"model": "isa"}, {"model": "none"}, every("devices/panic", "@model"), ([("isa",)], [])),
    Row(
        "vsock",
        {"model": "virtio", "cid": 5},
        {"cid": 6},
        every("devices/vsock", "cid@address", "cid@auto"),
        ([("5", "no")], [("6", "no")]),
        running="",
    ),
    Row(
        "vsock",
        {"model": "virtio", "auto_cid": True},
        {"model": "none"},
        every("devices/vsock", "cid@auto"),
        ([("yes",)], []),
        about="auto",
        running="",
    ),
    Row(
        "iommu",
        {"model": "intel", "intremap": False},
        {"intremap": True, "caching_mode": True},
        texts("devices/iommu@model", "devices/iommu/driver@intremap", "devices/iommu/driver@caching_mode"),
        (("intel", "off", None), ("intel", "on", "on")),
        extra={"features": {"ioapic": "qemu"}},
    ),
    Row(
        "smbios",
        {"system_serial": "one", "system_family": "a"},
        {"system_serial": "two", "system_family": "", "baseboard_asset": "7", "mode": "sysinfo"},
        lambda root: (text("os/smbios@mode")(root), every("sysinfo/*/entry", "@name", "")(root)),
        (("sysinfo", [("family", "a"), ("serial", "one")]), ("sysinfo", [("asset", "7"), ("serial", "two")])),
    ),
    Row("iothreads", 1, 2, text("iothreads"), ("1", "2")),
)
