# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the options say of a guest that others have made, given back to it, changes nothing; and what is only found
again is not made.
"""

from __future__ import annotations

import json
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from ansible_collections.kraal.virt.plugins.module_utils.backends.kvm.vm import plan as vm_plan
from ansible_collections.kraal.virt.plugins.module_utils.backends.kvm.vm import target as vm_target
from ansible_collections.kraal.virt.plugins.module_utils.backends.kvm.vm.model import Domain, Emulator, Seen, View
from ansible_collections.kraal.virt.plugins.module_utils.backends.kvm.vm.options import OPTIONS, VMS
from ansible_collections.kraal.virt.plugins.module_utils.backends.kvm.xml import parse
from ansible_collections.kraal.virt.plugins.module_utils.engine.errors import InvalidOption

GUEST = """<domain type='kvm'><name>kt</name><uuid>6ba7b810-9dad-41d1-80b4-00c04fd430c8</uuid><memory unit='KiB'>262144</memory>
<vcpu>2</vcpu><os><type arch='x86_64' machine='pc-q35-7.2'>hvm</type></os><devices>{}</devices></domain>"""
MAC = "<mac address='52:54:00:00:00:01'/>"
#: By what they have that no option names: devices, and the option that describes them so.
DEVICES = {
    "disk on the network": (
        ("<disk type='network' device='disk'><driver name='qemu' type='raw'/><source protocol='rbd' name='pool/image'><host name='x'/></source>"
        "<target dev='vda' bus='virtio'/></disk>"), "disks",
        [{"target": "vda", "bus": "virtio", "format": "raw", "path": "rbd://x/pool/image"}],
    ),
    "disk on a network unheard of": (
        ("<disk type='network' device='disk'><driver name='qemu' type='raw'/><source protocol='hologram' name='a'/>"
        "<target dev='vda' bus='virtio'/></disk>"), "disks", [{"target": "vda", "bus": "virtio", "format": "raw"}],
    ),
    "disk by a relative path": (
        "<disk type='file' device='disk'><source file='images/a'/><target dev='vda' bus='virtio'/></disk>", "disks",
        [{"target": "vda", "bus": "virtio"}],
    ),
    "disk of a pool": (
        "<disk type='volume' device='disk'><source pool='p' volume='v'/><target dev='vda' bus='virtio'/></disk>", "disks",
        [{"target": "vda", "bus": "virtio"}],
    ),
    "lun on a bus of others": (
        "<disk type='block' device='lun'><source dev='/dev/x'/><target dev='sda' bus='sd'/></disk>", "disks", [{"target": "sda", "path": "/dev/x"}],
    ),
    "interface of a user's process": (
        f"<interface type='vhostuser'>{MAC}<source type='unix' path='/s' mode='client'/><model type='virtio'/></interface>", "networks",
        [{"type": "vhostuser", "source": "/s", "mode": "client", "mac": "52:54:00:00:00:01", "model": "virtio"}],
    ),
    "two interfaces of a kind": (
        f"<interface type='ethernet'>{MAC}</interface><interface type='ethernet'>{MAC.replace('01', '02')}</interface>", "networks",
        [{"type": "ethernet", "mac": "52:54:00:00:00:01"}, {"type": "ethernet", "mac": "52:54:00:00:00:02"}],
    ),
    "interface of a kind unheard of": (f"<interface type='hologram'>{MAC}</interface>", "networks", [{"mac": "52:54:00:00:00:01"}]),
    "model with an underscore": (
        f"<interface type='user'>{MAC}<model type='ne2k_pci'/></interface>", "networks",
        [{"type": "user", "mac": "52:54:00:00:00:01", "model": "ne2k_pci"}],
    ),
    "team": (
        f"<interface type='network'>{MAC}<source network='n'/></interface><interface type='hostdev'>{MAC}</interface>", "networks",
        [{"type": "hostdev", "mac": "52:54:00:00:00:01"}, {"network": "n"}],
    ),
    "displays": (
        "<graphics type='dbus' address='unix:path=/x'/><graphics type='egl-headless'/>", "graphics",
        [{"type": "dbus", "port": -1}, {"type": "egl-headless", "port": -1}],
    ),
    "display with a password": (
        "<graphics type='vnc' port='5900' autoport='no' passwd='x'/>", "graphics", [{"type": "vnc", "port": 5900, "password": "(hidden)"}],
    ),
    "channel of another type": (
        "<channel type='qemu-vdagent'><target type='virtio' name='com.redhat.spice.0'/></channel>", "channels", [{"name": "com.redhat.spice.0"}],
    ),
    "devices by their places": (
        ("<hostdev mode='subsystem' type='usb'><source><address bus='14' device='6'/></source></hostdev>"
        "<hostdev mode='subsystem' type='scsi'><source><adapter name='scsi_host0'/><address bus='0' target='0' unit='7'/></source></hostdev>"
        "<hostdev mode='capabilities' type='storage'><source><block>/dev/sdf1</block></source></hostdev>"), "host_devices",
        ["scsi:scsi_host0:0:0:7", "storage:/dev/sdf1", "usb:14.6"],
    ),
    "file system without a directory": (
        "<filesystem><driver type='virtiofs'/><source socket='/s'/><target dir='tag'/></filesystem>", "filesystems",
        [{"target": "tag", "driver": "virtiofs"}],
    ),
    "TPM of another kind": ("<tpm model='hologram'><backend type='external'/></tpm>", "tpm", {}),
    "no balloon": ("<memballoon model='none'/>", "memballoon", {"model": "none", "stats_period": 0}),
    "description of several lines": (
        "</devices><description>one\n  two</description><devices>",
        "description",
        "one\n  two",
    ),
    "video of another kind": ("<video><model type='vmvga' vram='9216' heads='1'/></video>", "video", {"heads": 1, "vram": 9216}),
}  # fmt: skip


def described(root: ET.Element) -> dict[str, Any]:
    view = View(root, "kt")
    found = {option.name: option.kind.shown(option.read(view)) for option in OPTIONS if option.name != "xml"}
    return {name: json.loads(json.dumps(value)) for name, value in found.items() if value is not None}


def planned(root: ET.Element | None, **values: Any) -> list[Any]:
    """The steps for the guest as it is off; for a new one where there is none."""
    empty = {key: spec.get("default") for key, spec in VMS.argument_spec().items()}
    want = VMS.read({**empty, "name": "kt", "state": "present", **values})
    have = None if root is None else Domain("kt", "stopped", View(root, "kt"), None)
    seen = Seen({} if have is None else {"kt": have}, emulators={"auto": Emulator("qemu", "x86_64", "q35")})
    full = vm_target.wanted(want, seen, have, vm_target.placed_disks(want, seen, have))
    seen.compared["kt"] = vm_target.compare(want, full, seen, have)
    return vm_plan.plan(want, seen)


@pytest.mark.parametrize("about", DEVICES)
def test_what_is_described_changes_nothing(about: str) -> None:
    devices, option, words = DEVICES[about]
    root = parse(GUEST.format(devices))
    options = described(root)
    assert options[option] == words
    assert planned(root, **options) == []
    # And nothing of it goes with what else there is.
    assert [step.key for step in planned(root, **{**options, "purge": [option]} if option in PURGED else options)] == []


#: Settings of others, in words that tasks do not have among them.
SETTINGS = """<domain type='kvm' xmlns:l='http://libosinfo.org/xmlns/libvirt/domain/1.0'><name>kt</name>
<uuid>6ba7b810-9dad-41d1-80b4-00c04fd430c8</uuid><title>t</title><description>one
two</description><metadata><l:libosinfo><l:os id='http://debian.org/debian/12'/></l:libosinfo></metadata>
<memory unit='KiB'>262400</memory><vcpu placement='static' cpuset='0-1' current='2'>4</vcpu><iothreads>2</iothreads>
<cputune><vcpupin vcpu='0' cpuset='0,2'/><emulatorpin cpuset='1'/><iothreadpin iothread='1' cpuset='1'/></cputune>
<numatune><memory mode='hologram' nodeset='0'/></numatune><memoryBacking><hugepages><page size='1' unit='GiB'/></hugepages>
<locked/><access mode='shared'/></memoryBacking><sysinfo type='smbios'><bios><entry name='vendor'>x</entry></bios>
<oemStrings><entry>y</entry></oemStrings></sysinfo><os><type arch='x86_64' machine='pc-q35-7.2'>hvm</type><smbios mode='host'/></os>
<features><acpi/><apic eoi='on'/><hyperv mode='hologram'><spinlocks state='on' retries='8191'/><vendor_id state='off'/></hyperv>
<kvm><hidden state='on'/></kvm><ioapic driver='qemu'/></features>
<cpu mode='host-model'><feature name='vmx' policy='disable'/><numa><cell id='0' cpus='0-3' memory='262400' unit='KiB'/></numa></cpu>
<clock offset='absolute' start='0'><timer name='rtc' tickpolicy='catchup'><catchup threshold='1'/></timer><timer name='hpet' present='no'/>
</clock><on_poweroff>destroy</on_poweroff><on_reboot>restart</on_reboot><on_crash>coredump-destroy</on_crash>
<pm><suspend-to-mem enabled='no'/></pm><devices><sound model='ich9'><audio id='1'/></sound><audio id='1' type='hologram'/>
<input type='tablet' bus='usb'/><input type='keyboard' bus='ps2'/><input type='passthrough' bus='virtio'><source evdev='/dev/x'/></input>
<redirdev bus='usb' type='spicevmc'/><redirdev bus='usb' type='tcp'><source mode='connect' host='x' service='1'/></redirdev>
<panic model='pvpanic'/><vsock model='virtio'><cid auto='yes'/></vsock><iommu model='intel'><driver intremap='on'/></iommu></devices></domain>"""


def test_what_is_described_of_settings_changes_nothing() -> None:
    root = parse(SETTINGS)
    options = described(root)
    assert planned(root, **options) == []
    assert [step.key for step in planned(root, **options, purge=sorted(PURGED))] == []
    told = {name: options[name] for name in ("clock", "timers", "numa_cells", "redirected_usb", "cpu_pinning", "panic")}
    assert told == {
        "clock": {},
        "timers": {"rtc": {"tickpolicy": "catchup"}, "hpet": {"present": False}},
        "numa_cells": {"0": {"cpus": "0-3", "memory": "262400KiB"}},
        "redirected_usb": 1,
        "cpu_pinning": {"0": "0,2", "emulator": "1", "iothread1": "1"},
        "panic": {},
    }


PURGED = {option.name for option in OPTIONS if option.kind.merges}


@pytest.mark.parametrize(
    ("option", "entry"),
    [
        ("networks", {"type": "vhostuser"}),
        ("networks", {"mac": "52:54:00:00:00:07"}),
        ("graphics", {"type": "sdl"}),
        ("host_devices", "usb:14.7"),
        ("filesystems", {"target": "other"}),
    ],
)
def test_what_is_only_found_again_is_not_made(option: str, entry: Any) -> None:
    there = parse(GUEST.format("".join(devices for devices, name, _words in DEVICES.values() if name != option)))
    for root in (None, there):
        with pytest.raises(InvalidOption, match="is not there, and nothing that it could be made of"):
            planned(root, **{option: [entry]})


def test_an_interface_becomes_none_of_a_kind_that_is_not_made() -> None:
    root = parse(GUEST.format(f"<interface type='network'>{MAC}<source network='n'/></interface>"))
    with pytest.raises(InvalidOption, match="is not there"):
        planned(root, networks=[{"type": "ethernet", "mac": "52:54:00:00:00:01"}])
    (step,) = planned(root, networks=[{"mac": "52:54:00:00:00:01", "link": "down"}])
    assert (step.key, step.after) == (
        "networks[52:54:00:00:00:01]",
        {"network": "n", "mac": "52:54:00:00:00:01", "link": "down"},
    )


def test_a_word_that_goes_is_told() -> None:
    devices, _option, _words = DEVICES["lun on a bus of others"]
    (step,) = planned(parse(GUEST.format(devices)), disks=[{"target": "sda", "bus": "scsi"}])
    assert (step.before, step.after) == (
        {"target": "sda", "path": "/dev/x", "bus": "sd"},
        {"target": "sda", "path": "/dev/x", "bus": "scsi"},
    )
    (step,) = planned(parse(GUEST.format(devices)), disks=[], purge=["disks"])
    assert step.before == {"target": "sda", "path": "/dev/x", "bus": "sd", "device": "lun"}
