# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Guests of other tools: with words that no task could write, and one of which libvirt says what nobody can read.

None takes another one with it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from tests.support.ansible_runner import Result
from tests.support.libvirt_daemon import LibvirtDaemon
from tests.support.module_process import module_environment, module_process

from .driver import FORCE, Driver

ODD = """<domain type='qemu'><name>{name}</name><memory unit='MiB'>64</memory><vcpu current='1'>2</vcpu><os><type arch='x86_64' machine='q35'>hvm</type></os>
<description>one line
and another</description><devices>{devices}</devices></domain>"""
#: What QEMU starts with.
RUNS = """
<channel type='qemu-vdagent'><source><clipboard copypaste='yes'/></source><target type='virtio' name='com.redhat.spice.0'/></channel>
<channel type='file'><source path='{directory}/kt-channel'/><target type='virtio' name='kt.file'/></channel>
<channel type='null'><target type='virtio' name='kt.null'/></channel>
<interface type='network'><source network='kt-net1'/><model type='ne2k_pci'/></interface>
<memballoon model='virtio-non-transitional'/>
<rng model='virtio-transitional'><backend model='random'>/dev/urandom</backend></rng>
<video><model type='none'/></video>
"""
#: What takes hardware, or another program, to start.
OFF = """
<channel type='tcp'><source mode='bind' host='127.0.0.1' service='4555'/><target type='virtio' name='kt.tcp'/></channel>
<channel type='spiceport'><source channel='org.kt.0'/><target type='virtio' name='kt.port'/></channel>
<disk type='block' device='lun'><driver name='qemu' type='raw'/><source dev='/dev/kt-lun'/><target dev='sda' bus='scsi'/></disk>
<disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='{directory}/kt-disk'/><target dev='vdb' bus='virtio'/></disk>
<tpm model='tpm-crb'><backend type='external'><source type='unix' mode='connect' path='/run/kt-swtpm'/></backend></tpm>
<video><model type='vmvga'/></video>
<graphics type='spice' autoport='yes'/>
<memballoon model='virtio-transitional'/>
"""
#: Half of what libvirt says of one domain, and all of what it says of the others.
HALF = """
import importlib, os, sys
here = os.path.dirname(os.path.abspath(__file__))
sys.path[:] = [path for path in sys.path if os.path.abspath(path) != here]
del sys.modules["libvirt"]
real = importlib.import_module("libvirt")
whole = real.virDomain.XMLDesc
def half(self, *flags):
    text = whole(self, *flags)
    return text[: len(text) // 2] if self.name() == "kt-odd" else text
real.virDomain.XMLDesc = half
sys.modules["libvirt"] = real
"""


@pytest.fixture
def odd(driver: Driver) -> Driver:
    return driver.of("kt-odd")


@pytest.fixture
def running(driver: Driver, odd: Driver, tmp_path: Path) -> Driver:
    """One that runs with words of others, beside one of ours that runs."""
    driver.make(labels={"kt": "ours"}, networks=["kt-net1"])
    odd.host.define("", ODD.format(name=odd.name, devices=RUNS.format(directory=tmp_path)))
    odd.host.virsh("start", odd.name)
    return odd


@pytest.fixture
def off(odd: Driver, tmp_path: Path) -> Driver:
    odd.host.define("", ODD.format(name=odd.name, devices=OFF.format(directory=tmp_path)))
    return odd


@pytest.fixture
def half(host: LibvirtDaemon, tmp_path: Path) -> Mapping[str, str]:
    """The environment in which libvirt says half of what it means."""
    directory = tmp_path / "half"
    directory.mkdir()
    (directory / "libvirt.py").write_text(HALF, encoding="ascii")
    return {
        "LIBVIRT_DEFAULT_URI": host.uri,
        "PYTHONPATH": os.pathsep.join([str(directory), module_environment()["PYTHONPATH"]]),
    }


def found(env: Mapping[str, str]) -> Result:
    result = module_process("kraal.virt.guests_info", {"backends": ["kvm"]}, env=env)
    assert not result.failed, result.msg or result.stderr
    return result


def foreign(driver: Driver) -> list[bytes]:
    """What another tool has put into the guest, as libvirt keeps it."""
    devices = driver.xml().find("devices")
    assert devices is not None
    kinds = ("channel", "interface", "rng", "tpm", "video", "graphics", "memballoon")
    return [ET.tostring(each) for each in devices if each.tag in kinds or each.get("device") == "lun"]


def test_all_are_listed(running: Driver) -> None:
    result = found({"LIBVIRT_DEFAULT_URI": running.host.uri})
    guests = {guest["name"]: guest for guest in result["guests"]}
    assert set(guests) == {"kt-guest", "kt-odd"} and result.json.get("warnings", []) == []
    assert (guests["kt-odd"]["state"], guests["kt-odd"]["memory"], guests["kt-odd"]["pending_restart"]) == (
        "running",
        "64MiB",
        [],
    )
    assert guests["kt-guest"]["labels"] == {"kt": "ours"}


def test_one_that_runs_is_managed(running: Driver) -> None:
    before = foreign(running)
    options: dict[str, Any] = {"memory": ...}
    for change in (
        {"labels": {"a": "b"}},
        {"autostart": True},
        {"cpus": 2},
        {"memory": "96MiB"},
        {"description": "one line"},
    ):
        options = {**options, **change}
        running.change(**options)
    assert running.host.virsh("domstate", running.name).strip() == "running"
    assert foreign(running) == before
    running.change(**{**options, "networks": ["kt-net2"]})
    running.change(**{**options, "state": "stopped"})
    running.change(state="absent")


def test_one_with_a_lun_is_managed(off: Driver, words: Mapping[str, str]) -> None:
    before, off_as_it_is = foreign(off), {"state": "present", "memory": ...}
    for change in ({"labels": {"a": "b"}}, {"memory": "96MiB"}, {"cpus": 2}, {"channels": ["org.qemu.guest_agent.0"]}):
        off.change(**{**off_as_it_is, **change})
        assert [each for each in foreign(off) if b"guest_agent" not in each] == before
    off.change(**off_as_it_is, disks=[{"target": "vdc", "size": "1MiB"}])
    off.change(**off_as_it_is, disks=[{"target": "vdb", "path": words["file1"]}])
    off.again(**off_as_it_is, disks=[{"target": "sda"}])
    assert [each for each in foreign(off) if b"guest_agent" not in each] == before
    # What a task does want is another word than the one that is there.
    off.change(**off_as_it_is, memballoon={"model": "virtio"})
    off.change(**off_as_it_is, video={"model": "vga"})
    off.refused("disks[sda].device", "lun", **off_as_it_is, disks=[{"target": "sda", "device": "lun"}])
    off.change(**off_as_it_is, disks=[{"target": "vdb"}, {"target": "vdc"}], purge=["disks"])
    assert b"lun" not in b"".join(foreign(off))
    off.change(state="absent", remove_storage=True)


def test_what_cannot_be_read_is_its_own_fault(driver: Driver, odd: Driver, half: Mapping[str, str]) -> None:
    """Listed with what is known of it, a warning names it, the others are whole; and it can be stopped and removed."""
    driver.make(labels={"kt": "ours", "kraal.fleet": "kt-fleet"}, state="stopped")
    odd.make()
    result = found(half)
    guests = {guest["name"]: guest for guest in result["guests"]}
    assert (guests["kt-odd"]["state"], guests["kt-odd"]["id"]) == (
        "running",
        odd.host.virsh("domuuid", odd.name).strip(),
    )
    assert guests["kt-guest"]["labels"]["kt"] == "ours"
    (warning,) = result["warnings"]
    assert "kvm kt-odd: what libvirt wrote is no XML" in str(warning)

    fleet = {"defaults": {"backend": "kvm", "uri": odd.host.uri, "type": "qemu", **FORCE}, "name": "kt-fleet"}
    mine = {"name": "kt-guest", "memory": "96MiB", "state": "stopped"}
    done = module_process("kraal.virt.fleet", {**fleet, "guests": [mine], "prune": True}, env=half)
    assert not done.failed and [step["key"] for step in done["plan"]] == ["memory"], done.msg or done["plan"]
    assert ["prune: it was left alone: kvm kt-odd" in str(warning) for warning in done["warnings"]] == [True]
    both = module_process(
        "kraal.virt.fleet",
        {**fleet, "guests": [{**mine, "memory": "64MiB"}, {"name": "kt-odd", "memory": "96MiB"}]},
        env=half,
    )
    assert [(each["guest"], each["changed"], each["failed"]) for each in both["results"]] == [
        ("kt-guest", True, False),
        ("kt-odd", False, True),
    ], both.json
    assert "kt-odd" in both.msg and "virsh" in both.msg

    for more in ({"labels": {"a": "b"}}, {"state": "absent", "remove_storage": True}):
        refused = module_process(
            "kraal.virt.kvm_vm", {"name": "kt-odd", "uri": odd.host.uri, **FORCE, **more}, env=half
        )
        assert refused.failed and "kvm kt-odd: what libvirt wrote is no XML" in refused.msg, refused.json
        assert refused["guest"]["state"] == "running"
    for state, last in (("paused", "paused"), ("running", "running"), ("stopped", "shut off"), ("absent", "")):
        changed = module_process(
            "kraal.virt.kvm_vm", {"name": "kt-odd", "uri": odd.host.uri, "state": state, **FORCE}, env=half
        )
        assert changed.changed and not changed.failed, changed.msg or changed.stderr
        assert (odd.state() if last else "kt-odd" in odd.names()) == (last or False)


def test_storage_is_spared_while_a_guest_cannot_be_read(driver: Driver, odd: Driver, half: Mapping[str, str]) -> None:
    """It may be on that very volume, and that very network."""
    odd.make(state="stopped", disks=[{"size": "1MiB"}], networks=["kt-net1"])
    for module, where in (
        ("volume", {"pool": "default", "name": "kt-odd-vda.qcow2"}),
        ("network", {"name": "kt-net1"}),
        ("pool", {"name": "default"}),
    ):
        refused = module_process(
            f"kraal.virt.kvm_{module}", {**where, "uri": odd.host.uri, "state": "absent"}, env=half, check=True
        )
        assert refused.failed and " guests use" in refused.msg and ": kt-odd. Look" in refused.msg, refused.json
    made = module_process(
        "kraal.virt.kvm_volume",
        {"uri": odd.host.uri, "pool": "default", "name": "kt-new", "capacity": "1MiB"},
        env=half,
    )
    assert made.changed and not made.failed, made.msg
    same = module_process(
        "kraal.virt.kvm_network", {"uri": odd.host.uri, "name": "kt-net2", "dhcp_hosts": []}, env=half, check=True
    )
    assert not same.failed, same.msg


QEMU = "xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'"
ARGUMENTS = "<qemu:commandline><qemu:arg value='-fw_cfg'/><qemu:arg value='name=opt/{0},string=1'/></qemu:commandline>"
THERE = f"""<domain type='qemu' {QEMU}><name>{{name}}</name><memory unit='GiB'>2</memory><vcpu>2</vcpu>
<os><type arch='x86_64' machine='q35'>hvm</type></os><devices>
<controller type='usb' index='0' model='qemu-xhci'/><serial type='pty'><target port='0'/></serial>
<hostdev mode='subsystem' type='pci'><source><address domain='0' bus='0x03' slot='0' function='0'/></source></hostdev></devices>
{ARGUMENTS.format("a")}</domain>"""
OVERLAY = f"""<domain {QEMU}><vcpu cpuset='0,1'>2</vcpu><cputune><emulatorpin cpuset='1,0'/></cputune>
<cpu><numa><cell id='0' cpus='0,1' memory='2' unit='GiB'/></numa></cpu>
<memoryBacking><hugepages><page size='1' unit='G'/></hugepages></memoryBacking><devices>
<controller type='usb' index='1' model='qemu-xhci'/><serial type='null'><target port='1'/></serial>
<hostdev mode='subsystem' type='pci'><source><address domain='0' bus='4' slot='0' function='0'/></source></hostdev>
</devices>{ARGUMENTS.format("b")}</domain>"""


def test_a_new_guest_with_cells(odd: Driver) -> None:
    cells = "<domain><cpu><numa><cell id='0' cpus='0,1' memory='64' unit='MiB'/></numa></cpu></domain>"
    odd.refused("memory", "64MiB", state="present", memory=..., cpus=2, xml=cells)
    odd.refused("cpus", "cells", state="present", memory="64MiB", xml=cells)
    odd.change(state="present", memory="64MiB", cpus=2, xml=cells)


def test_a_loader_of_its_own_is_without_secure_boot(odd: Driver, tmp_path: Path) -> None:
    loader = tmp_path / "code.fd"
    loader.write_bytes(bytes(1024))
    text = ODD.format(name=odd.name, devices="").replace(
        "</os>", f"<loader readonly='yes' type='pflash'>{loader}</loader></os>"
    )
    odd.host.define("", text.replace("<devices>", "<features><acpi/></features><devices>"))
    odd.again(state="present", memory=..., firmware="uefi", secure_boot=False)


def test_xml_adds_to_what_is_there_in_any_spelling(odd: Driver) -> None:
    odd.host.define("", THERE.format(name=odd.name))
    before = odd.xml()
    odd.change(state="present", memory=..., type=..., xml=OVERLAY)
    root = odd.xml()
    devices = {
        "controller[@type='usb']": ("index", ["0", "1"]),
        "serial/target": ("port", ["0", "1"]),
        "hostdev/source/address": ("bus", ["0x03", "0x04"]),
    }
    for path, (attribute, found) in devices.items():
        assert [each.get(attribute) for each in root.iterfind(f"devices/{path}")] == found, path
        there = before.find(f"devices/{path}")
        assert there is not None and ET.tostring(there) == ET.tostring(root.findall(f"devices/{path}")[0])
    # Memory and processors are counted by the cells from now on.
    off = {"state": "present", "type": ..., "xml": OVERLAY}
    for more in ({"memory": "4GiB"}, {"memory": ..., "memory_max": "1GiB"}):
        odd.refused("memory", "2GiB", **off, **more)
    for cpus in ({"cpus": 4}, {"cpus_max": 1}):
        odd.refused("cpus", "cells", **off, memory=..., **cpus)
    odd.change(**off, memory="1GiB", cpus=1)
    more = OVERLAY.replace("memory='2' unit='GiB'", "memory='4' unit='GiB'").replace("cpus='0,1'", "cpus='0-3'")
    odd.change(**{**off, "xml": more.replace("<vcpu cpuset='0,1'>2<", "<vcpu>4<")}, memory="4GiB", cpus=4)
    arguments = [each.get("value") for each in root.iter("{http://libvirt.org/schemas/domain/qemu/1.0}arg")]
    assert arguments == [text for name in "ab" for text in ("-fw_cfg", f"name=opt/{name},string=1")]


def test_what_has_no_slot_waits_for_a_restart(odd: Driver) -> None:
    """Libvirt gives a machine that it makes one spare port, and pc without ACPI is no place to plug anything in."""
    for machine, hot in (("q35", ["attach networks[kt-net1]"]), ("pc", [])):
        odd.host.define("", ODD.format(name=odd.name, devices="").replace("q35", machine))
        odd.host.virsh("start", odd.name)
        wanted: dict[str, Any] = {"state": "running", "memory": ..., "networks": ["kt-net1", "kt-net2"]}
        done = odd.do(**wanted)
        waits = [f"networks[{name}]" for name in wanted["networks"][len(hot) :]]
        live = [step for step in done["plan"] if step["disruption"] == "live"]
        assert [f"{step['action']} {step['key']}" for step in live] == hot
        assert done["guest"]["pending_restart"] == waits
        odd.again(**wanted)
        assert odd.do(**wanted, disruption="restart")["guest"]["pending_restart"] == []
        assert len(odd.xml(live=True).findall("devices/interface")) == 2
        odd.clear()


def test_the_order_of_processors_stays(odd: Driver) -> None:
    states = "".join(
        f"<vcpu id='{number}' enabled='{on}' hotpluggable='{hot}'{order}/>"
        for number, on, hot, order in (
            (0, "yes", "no", " order='1'"),
            (1, "no", "yes", ""),
            (2, "yes", "yes", " order='2'"),
            (3, "no", "yes", ""),
        )
    )
    text = ODD.format(name=odd.name, devices="").replace("<vcpu current='1'>2</vcpu>", "<vcpu current='2'>4</vcpu>")
    odd.host.define("", text.replace("<os>", f"<vcpus>{states}</vcpus><os>"))
    rest: dict[str, Any] = {"state": "present", "memory": ...}

    def order() -> list[tuple[str | None, str | None]]:
        return [(each.get("id"), each.get("order")) for each in odd.xml().iterfind("vcpus/vcpu[@enabled='yes']")]

    odd.change(**rest, cpus=3)
    assert order() == [("0", "1"), ("1", "3"), ("2", "2")]
    odd.change(**rest, cpus=1)
    assert order() == [("0", "1")]
    odd.change(**rest, cpus=5)
    assert [number for number, _order in order()] == ["0", "1", "2", "3", "4"]
    odd.change(**rest, cpus_max=2)
    assert [number for number, _order in order()] == ["0", "1"]
