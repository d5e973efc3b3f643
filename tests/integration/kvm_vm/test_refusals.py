# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is invalid, or cannot be had, is refused before anything is touched, under --check and for real."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from tests.support.libvirt_driver import LibvirtModule, stored

from .driver import Driver

SPREAD = True

#: A module that waits for a guest as briefly as can be.
HASTY = """
from ansible_collections.kraal.virt.plugins.module_utils.backends.kvm.vm import live
live.FOLLOWS = 2
"""
UUID = "6ba7b810-9dad-41d1-80b4-00c04fd430c8"
WRONG: tuple[tuple[str, Mapping[str, Any], tuple[str, ...]], ...] = (
    ("cloud-init", {"cloud_init": {"users": []}}, ("cloud_init", "users")),
    ("cmdline", {"cmdline": "quiet\nsplash"}, ("cmdline", "control character", "on one line")),
    ("description", {"description": "a\nb\x1bc"}, ("description", "control character")),
    ("title", {"title": "a\nb"}, ("title", "control character", "on one line")),
    ("osinfo", {"osinfo": "debian 12"}, ("osinfo", "debian 12", "osinfo-query")),
    ("ends", {"on_poweroff": "restart", "on_reboot": "destroy"}, ("on_reboot", "on_poweroff")),
    ("pm", {"pm": {"hibernate": True}}, ("pm", "hibernate", "suspend_to_disk")),
    ("clock-offset", {"clock": {"offset": "lunar"}}, ("clock.offset", "lunar")),
    ("clock-zone", {"clock": {"timezone": "Europe/Berlin"}}, ("clock.timezone", "requires offset: timezone")),
    ("clock-reset", {"clock": {"offset": "variable", "adjustment": "reset"}}, ("clock.adjustment", "utc")),
    ("timer", {"timers": {"sundial": True}}, ("timers", "sundial", "hpet")),
    ("timer-field", {"timers": {"hpet": {"speed": 1}}}, ("timers[hpet]", "speed", "tickpolicy")),
    ("feature", {"features": {"speed": True}}, ("features", "speed")),
    ("feature-vendor", {"features": {"hyperv_vendor_id": "a" * 13}}, ("features.hyperv_vendor_id", "12")),
    ("cpu-feature", {"cpu_features": {"vmx": "perhaps"}}, ("cpu_features[vmx]", "perhaps", "require")),
    ("cells", {"numa_cells": {"0": {"cpus": "all", "memory": "64MiB"}}}, ("numa_cells[0].cpus", "all")),
    ("cells-memory", {"numa_cells": {"0": {"cpus": "0", "memory": "32MiB"}}}, ("memory", "NUMA cells", "32MiB")),
    ("numatune", {"numatune": {"mode": "loose"}}, ("numatune.mode", "loose")),
    ("hugepages", {"memory_backing": {"hugepages": "big"}}, ("memory_backing.hugepages", "big")),
    ("pinning", {"cpu_pinning": {"vcpu0": "0"}}, ("cpu_pinning", "vcpu0", "emulator")),
    ("pinning-cpus", {"cpu_pinning": {"0": ""}}, ("cpu_pinning[0]", "no processor")),
    ("cpuset", {"cpuset": "all"}, ("cpuset", "all")),
    ("sound", {"sound": ["kazoo"]}, ("sound", "kazoo", "ich9")),
    ("audio", {"audio": ["kazoo"]}, ("audio", "kazoo", "spice")),
    ("input", {"inputs": ["joystick"]}, ("inputs", "joystick", "tablet")),
    ("input-path", {"inputs": ["passthrough"]}, ("inputs", "path")),
    ("redirected-usb", {"redirected_usb": 65}, ("redirected_usb", "out of bounds")),
    ("panic", {"panic": {"model": "loud"}}, ("panic.model", "loud")),
    ("vsock", {"vsock": {"model": "virtio", "cid": 2}}, ("vsock.cid", "out of bounds")),
    ("vsock-none", {"vsock": {"cid": 5}}, ("vsock.cid", "not there", "model")),
    ("iommu", {"iommu": {"model": "intel", "speed": 1}}, ("iommu", "speed")),
    ("smbios", {"smbios": {"system_colour": "red"}}, ("smbios", "system_colour", "system_family")),
    ("iothreads", {"iothreads": 2000}, ("iothreads", "out of bounds")),
    ("initrd", {"initrd": "initrd.img"}, ("initrd", "initrd.img", "absolute path")),
    ("kernel", {"kernel": "vmlinuz"}, ("kernel", "vmlinuz", "absolute path")),
    ("rng", {"rng": {"speed": 1}}, ("rng", "speed")),
    ("tpm", {"tpm": {"speed": 1}}, ("tpm", "speed")),
    ("watchdog", {"watchdog": {"speed": 1}}, ("watchdog", "speed")),
    ("name-xml", {"name": "<x/>"}, ("name", "<x/>")),
    ("name-quote", {"name": 'a"b'}, ("name", 'a"b')),
    ("name-newline", {"name": "a\nb"}, ("name",)),
    ("name-dash", {"name": "-a"}, ("name", "dash")),
    ("name-space", {"name": "a b"}, ("name", "virtual machine")),
    ("memory-huge", {"memory": "10EiB"}, ("memory", "8EiB")),
    ("memory-large", {"memory": "5EiB"}, ("memory", "more memory than any host has")),
    ("memory-bare", {"memory": 2048}, ("memory", "2048MiB if you mean that")),
    ("memory-kib", {"memory": 1048576}, ("memory", "1048576KiB if you mean that")),
    ("disk-bare", {"disks": [{"size": 10}]}, ("disks[vda].size", "10GiB if you mean that")),
    ("network-mac-unquoted", {"networks": [{"network": "default", "mac": 41135085296}]}, ('"52:54:00:12:34:56"',)),
    ("memory-none", {"memory": "0"}, ("memory",)),
    ("memory-above-its-maximum", {"memory": "2GiB", "memory_max": "1GiB"}, ("memory", "memory_max")),
    ("cpus-none", {"cpus": 0}, ("cpus", "out of bounds")),
    ("cpus-above-their-maximum", {"cpus": 4, "cpus_max": 2}, ("cpus", "cpus_max")),
    ("path-newline", {"disks": [{"path": "/tmp/a\nb"}]}, ("disks[vda].path",)),
    ("path-relative", {"disks": [{"path": "a.qcow2"}]}, ("disks[vda].path",)),
    ("path-network", {"disks": [{"path": "rbd:pool/image"}]}, ("disks[vda].path", "rbd://HOST")),
    ("disk-field", {"disks": [{"sise": "1GiB"}]}, ("disks[vda]", "sise", "size")),
    ("disk-size", {"disks": [{"size": "big"}]}, ("disks[vda].size", "big")),
    ("disk-size-bare", {"disks": [{"size": 20}]}, ("disks[vda].size", "write 20GiB")),
    ("disk-size-huge", {"disks": [{"size": "9EiB"}]}, ("disks[vda].size",)),
    ("disk-target", {"disks": [{"target": "../vda", "size": "1MiB"}]}, ("disks", "../vda")),
    ("disk-nowhere", {"disks": [{"path": "/nowhere/kt.qcow2", "size": "1MiB"}]}, ("disks[vda].path", "no active pool")),
    ("disk-missing", {"disks": [{"pool": "default", "volume": "nothing.raw"}]}, ("disks[vda]", "does not exist")),
    ("disk-volume", {"disks": [{"volume": "../../etc/passwd"}]}, ("disks[vda].volume",)),
    ("disk-pool", {"disks": [{"pool": "nothing", "size": "1MiB"}]}, ("disks[vda].pool", "nothing", "default")),
    (
        "disk-twice",
        {"disks": [{"target": "vda", "size": "1MiB"}, {"target": "vda", "size": "2MiB"}]},
        ("disks", "vda", "twice"),
    ),
    ("network-nowhere", {"networks": [{"model": "virtio"}]}, ("networks", "connected to")),
    ("network-mac", {"networks": [{"network": "kt-net1", "mac": "52:54:00:00:00"}]}, ("networks[kt-net1].mac",)),
    (
        "network-multicast",
        {"networks": [{"network": "kt-net1", "mac": "01:54:00:00:00:01"}]},
        ("networks[kt-net1].mac", "multicast"),
    ),
    (
        "network-same-mac",
        {"networks": [{"network": n, "mac": "52:54:00:00:00:01"} for n in ("kt-net1", "kt-net2")]},
        ("networks", "two interfaces"),
    ),
    (
        "disk-same-image",
        {"disks": [{"volume": "kt-one", "pool": "default", "size": "1MiB"} for _number in range(2)]},
        ("disks[vdb]", "is the image of vda as well"),
    ),
    ("network-path", {"networks": [{"type": "vhostuser", "source": "v.sock"}]}, ("networks", "v.sock")),
    ("network-vlan", {"networks": [{"bridge": "br0", "vlan": 5000}]}, ("networks[br0].vlan", "5000")),
    ("network-portgroup", {"networks": [{"bridge": "br0", "portgroup": "a"}]}, ("networks[br0].portgroup",)),
    ("disk-limit", {"disks": [{"size": "1MiB", "read_bytes_sec": -1}]}, ("disks[vda].read_bytes_sec",)),
    ("network-xml", {"networks": ["<x/>"]}, ("networks", "<x/>")),
    ("graphics", {"graphics": ["hologram"]}, ("graphics", "hologram")),
    ("host-device", {"host_devices": ["the blue one"]}, ("host_devices", "the blue one")),
    ("host-device-unquoted", {"host_devices": [180.0]}, ("host_devices", 'write "pci:0000:03:00.0"')),
    ("filesystem", {"filesystems": [{"target": "x"}]}, ("filesystems[x]", "is not there", "whole of it")),
    ("channel", {"channels": ["a/b"]}, ("channels", "a/b")),
    ("overlay-no-xml", {"xml": "<domain><devices>"}, ("xml", "no XML")),
    ("overlay-text", {"xml": "memory: 4"}, ("xml", "no XML")),
    ("overlay-other", {"xml": "<network/>"}, ("xml", "not a <domain>")),
    ("overlay-name", {"xml": "<domain><name>x</name></domain>"}, ("xml", "name")),
    ("overlay-entities", {"xml": "<!DOCTYPE d [<!ENTITY a 'b'>]><domain>&a;</domain>"}, ("xml", "entity")),
    ("secure-bios", {"firmware": "bios", "secure_boot": True}, ("secure_boot", "uefi")),
    ("machine", {"machine": "pdp-11"}, ("pdp-11",)),
    ("cpu-model", {"cpu": {"model": "no-such-model"}}, ("no-such-model",)),
    ("type-kvm", {"type": "kvm"}, ("type", "kvm")),
    ("timeout", {"timeout": 0}, ("timeout",)),
    ("uuid", {"uuid": "1234"}, ("uuid", "1234")),
    ("topology", {"cpus": 3, "cpu": {"sockets": 1, "cores": 2, "threads": 1}}, ("cpu", "1 x 2 x 1", "3")),
)


#: What only libvirt itself can say, to who defines the guest.
LATE: tuple[tuple[str, Mapping[str, Any], tuple[str, ...]], ...] = (
    (
        "schema",
        {"xml": "<domain><memoryBacking><hugepages><page size='x'/></hugepages></memoryBacking></domain>"},
        ("libvirt refuses", "schema"),
    ),
    (
        "bus",
        {"disks": [{"target": "hda", "bus": "ide", "size": "1MiB"}]},
        ("libvirt refuses", "IDE controllers are unsupported"),
    ),
    ("watchdog", {"watchdog": {"model": "diag288"}}, ("libvirt refuses", "diag288")),
    ("spinlocks", {"features": {"hyperv_spinlocks": 7}}, ("libvirt refuses", "4095")),
    (
        "boot",
        {"networks": [{"network": n, "boot_order": 1} for n in ("kt-net1", "kt-net2")]},
        ("libvirt refuses", "boot order '1'"),
    ),
)


@pytest.mark.parametrize(("args", "words"), [entry[1:] for entry in WRONG], ids=[entry[0] for entry in WRONG])
def test_refused(driver: Driver, args: Mapping[str, Any], words: tuple[str, ...]) -> None:
    driver.refused(*words, **args)
    assert driver.names() == [] and driver.volumes() == []


def test_the_same_for_a_guest_that_is_there(driver: Driver) -> None:
    driver.make(state="present", type="qemu")
    for _id, args, words in WRONG:
        if "name" not in args and "type" not in args:
            driver.refused(*words, **{"state": "present", **args})
    driver.refused("uuid", "keeps the one it has", state="present", uuid=UUID)


def late(driver: Driver, words: tuple[str, ...], **args: Any) -> None:
    """Not known to a plan; for real it is refused before anything else is done, and nothing is left."""
    before = stored(driver.host)
    checked = driver.module.check(**driver.arguments(**args))
    assert not checked.failed, checked.msg
    done = driver.run(**args)
    assert done.failed and "Traceback" not in done.stdout + done.stderr
    assert not [word for word in words if word not in done.msg], done.msg
    driver.module.assert_stored(before)


@pytest.mark.parametrize(("args", "words"), [entry[1:] for entry in LATE], ids=[entry[0] for entry in LATE])
def test_what_libvirt_refuses_is_refused_before_anything_is_made(
    driver: Driver, tmp_path: Path, args: Mapping[str, Any], words: tuple[str, ...]
) -> None:
    (tmp_path / "image").write_bytes(b"x" * 1024**2)
    disks = [{"target": "vda", "size": "2MiB", "format": "raw"}, *args.get("disks", ())]
    late(
        driver,
        words,
        **{**args, "disks": disks},
        source={"image": str(tmp_path / "image")},
        cloud_init={"user_data": "x"},
        autostart=True,
    )
    assert not set(driver.module.calls) & {
        "virStoragePool.createXML",
        "virStorageVol.upload",
        "virDomain.setAutostart",
        "virDomain.create",
    }
    assert driver.names() == [] and driver.volumes() == []


@pytest.mark.parametrize("state", ["running", "present"])
def test_what_libvirt_refuses_of_a_guest_is_refused_before_anything_is_changed(driver: Driver, state: str) -> None:
    """Nothing is plugged in, grown, made or uploaded before."""
    disk, network = {"target": "vda", "size": "1MiB"}, "kt-net1"
    driver.make(state=state, disks=[disk], networks=[network], labels={"a": "1"})
    live = driver.xml(live=True)
    more = {"labels": {"a": "2"}, "cloud_init": {"user_data": "x"}, "cpus": 2}
    for _id, args, words in LATE:
        disks = [{"target": "vda", "size": "2MiB"}, {"target": "vdb", "size": "1MiB"}, *args.get("disks", ())]
        late(driver, words, **{"networks": [network, "kt-net2"], **more, **args, "disks": disks}, state=state)
        assert set(driver.module.calls) <= {"virConnect.defineXMLFlags"}
        assert driver.volumes() == ["kt-guest-vda.qcow2"]
        assert ET.tostring(driver.xml(live=True)) == ET.tostring(live)


def test_what_cannot_be_started_is_not_left_behind(driver: Driver) -> None:
    driver.make(state="present", disks=[{"size": "1MiB"}], name="kt-there")
    before = driver.volumes()
    result = driver.run(disks=[{"size": "1MiB"}], networks=[{"bridge": "br-nothing"}], cloud_init={"user_data": "x"})
    assert result.failed and "br-nothing" in result.msg
    assert driver.names() == ["kt-there"] and driver.volumes() == before


def test_a_network_that_does_not_run_is_none(driver: Driver) -> None:
    """The guest could not be started, nor given the interface. To have it written down needs no network."""
    driver.host.define("net-", "<network><name>kt-off</name></network>")
    try:
        for name in ("kt-nothing", "kt-off"):
            for state in ("running", "paused"):
                driver.refused(
                    f"networks[{name}]",
                    "is not an active network",
                    "kvm_network",
                    "kt-net1",
                    state=state,
                    networks=[{"network": name}],
                )
            driver.make(networks=["kt-net1"])
            driver.refused(f"networks[{name}]", "is not an active network", networks=["kt-net1", name])
            driver.refused(f"networks[{name}]", "is not an active network", networks=["kt-net1", name], state="present")
            driver.change(networks=["kt-net1", name], state="stopped")
            driver.refused(f"networks[{name}]", "is not an active network", networks=["kt-net1", name])
            driver.change(state="absent")
            driver.change(networks=[name], state="present")
            driver.change(state="absent")
    finally:
        driver.host.virsh("net-undefine", "kt-off")


def test_what_cannot_be_done_live_is_not_written_down(driver: Driver) -> None:
    """A guest without a system follows no balloon, however long it is waited for."""
    driver.make(memory="128MiB")
    with LibvirtModule("kraal.virt.kvm_vm", driver.host, before=HASTY) as hasty:
        result = replace(driver, module=hasty).run(memory="64MiB")
    assert result.failed and "did not follow within 2 seconds" in result.msg
    assert driver.xml().findtext("currentMemory") == str(128 * 1024)
    driver.change(memory="64MiB", state="stopped")


def test_a_live_change_needs_its_permission(driver: Driver) -> None:
    driver.make(networks=["kt-net1"])
    result = driver.run(networks=[{"network": "kt-net1", "link": "down"}], disruption="none")
    assert result.failed and "networks[kt-net1]" in result.msg and "disruption=live" in result.msg
