# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A plan only reads: it makes no device, runs no script, lets no pool be looked at anew, and objects to nothing that
the task does not touch.

What the plans of the tables call is seen by their own tests (`LibvirtModule.check`).
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from ansible_collections.kraal.virt.plugins.module_utils.discovery import MARK, payload
from tests.support.libvirt_calls import Calls
from tests.support.module_process import module_environment, module_process
from tests.support.paths import SYSTEM_PYTHON

from .driver import Driver, actions
from .test_storage import image, vol

GUEST = """<domain type='qemu'><name>kt-guest</name><memory>65536</memory><os><type arch='x86_64' machine='q35'>hvm</type>{os}</os>{more}
<devices>{devices}</devices></domain>"""
#: What libvirt has something against as soon as it is asked for the emulator's command line, and takes all the same.
OTHERS: Mapping[str, Mapping[str, str]] = {
    "ethernet": {"devices": "<interface type='ethernet'><script path='{directory}/script'/></interface>"},
    "pci": {
        "devices": "<hostdev mode='subsystem' type='pci' managed='yes'><source><address domain='0' bus='0x7f' "
        "slot='0x1f' function='2'/></source></hostdev>"
    },
    "hugepages": {"more": "<memoryBacking><hugepages/></memoryBacking>"},
    "relative": {
        "devices": "<disk type='file' device='disk'><source file='images/a.img'/><target dev='vda' "
        "bus='virtio'/></disk>"
    },
    "loader": {"os": "<loader type='pflash'>CODE.fd</loader>", "more": "<features><acpi/></features>"},
}


def links(driver: Driver) -> int:
    """The number of the next network device: one that came and went has used it up."""
    name = "kt-probe"
    driver.host.inside("ip", "link", "add", name, "type", "bridge")
    number = int(driver.host.inside("cat", f"/sys/class/net/{name}/ifindex"))
    driver.host.inside("ip", "link", "delete", name)
    return number


@pytest.mark.parametrize("kind", OTHERS)
def test_a_label_for_any_guest(driver: Driver, tmp_path: Path, kind: str) -> None:
    """Checked and set, with what else needs no question; nothing has come of it on the host."""
    script, told = tmp_path / "script", tmp_path / "told"
    script.write_text(f"#!/bin/sh\necho ran >> {told}\n")
    script.chmod(0o755)
    parts = {
        name: text.format(directory=tmp_path)
        for name, text in {"os": "", "more": "", "devices": "", **OTHERS[kind]}.items()
    }
    driver.host.define("", GUEST.format(**parts))
    number = links(driver)
    plain = {"type": ..., "memory": ..., "state": "present"}
    done = driver.change(**plain, labels={"a": "1"}, description="theirs", autostart=True)
    assert (done["guest"]["labels"], done["guest"]["autostart"]) == ({"a": "1"}, True)
    driver.change(**plain, labels={"a": "2"}, cpus=2)
    assert driver.xml().findtext("vcpu") == "2"
    assert links(driver) == number + 1 and not told.exists()
    if kind not in ("relative", "loader"):
        # What is wrong in the task is so still.
        result = driver.run(
            **plain, xml="<domain><memoryBacking><hugepages><page size='x'/></hugepages></memoryBacking></domain>"
        )
        assert result.failed and "schema" in result.msg


def test_a_device_on_pci_for_a_new_guest(driver: Driver) -> None:
    """By the documented option alone; the device need not be there until the guest starts."""
    driver.change(state="present", host_devices=["pci:0000:7f:1f.2"])
    driver.change(state="present", host_devices=["pci:0000:7f:1f.2"], description="with a device")


def environment(driver: Driver, calls: Calls) -> dict[str, str]:
    return {**calls.environment(module_environment()["PYTHONPATH"]), "LIBVIRT_DEFAULT_URI": driver.host.uri}


def test_who_looks_at_all_guests_only_reads(driver: Driver, calls: Calls) -> None:
    """guests_info, the inventory's discovery, and a fleet's check."""
    driver.make(
        networks=["kt-net1"],
        disks=[{"size": "1MiB"}],
        channels=["org.qemu.guest_agent.0"],
        labels={"kraal.fleet": "kt"},
    )
    driver.of("kt-off").make(state="present")
    env = environment(driver, calls)
    listed = module_process("kraal.virt.guests_info", {"backends": ["kvm"]}, env=env)
    assert [each["name"] for each in listed["guests"]] == ["kt-guest", "kt-off"]
    calls.assert_only_reads()
    calls.forget()
    done = subprocess.run(
        [SYSTEM_PYTHON, "-"],
        input=payload(["kvm"]),
        env=module_environment(env),
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout.removeprefix(MARK))["guests"] == listed["guests"]
    calls.assert_only_reads()
    calls.forget()
    fleet = {
        "name": "kt",
        "prune": True,
        "guests": [{"name": "kt-new", "backend": "kvm", "type": "qemu", "disks": [{"size": "1MiB"}]}],
    }
    checked = module_process("kraal.virt.fleet", fleet, check=True, env=env)
    assert not checked.failed and [step["action"] for step in checked["plan"]] == [
        "create",
        "start",
        "stop",
        "remove",
    ], checked.json
    calls.assert_only_reads()


def listed(driver: Driver, pool: str = "default") -> list[str]:
    """What libvirt knows to be in a pool, without looking anew."""
    return sorted(line.split()[0] for line in driver.host.virsh("vol-list", pool).splitlines()[2:] if line.strip())


def test_a_file_that_libvirt_does_not_know_yet(driver: Driver) -> None:
    """A plan sees it by itself; for real, libvirt is told to look at its pool before anything is done with it."""
    image(driver.host.pools / "default" / "theirs.qcow2", "4M")
    disk = {"target": "vda", "volume": "theirs.qcow2"}
    driver.refused("disks[vda].size", "has 4MiB", state="present", disks=[{**disk, "size": "2MiB"}])
    driver.refused("disks[vda].format", "is qcow2", state="present", disks=[{**disk, "format": "raw"}])
    made = driver.do(state="present", disks=[{**disk, "size": "8MiB"}])
    assert made["plan"][0]["after"]["volumes"] == [vol(driver, "theirs.qcow2")]
    assert driver.xml().find("devices/disk/driver").get("type") == "qcow2"
    driver.again(state="present", disks=[{**disk, "size": "8MiB"}])
    (driver.host.pools / "default" / "other.raw").write_bytes(b"x" * 1024**2)
    driver.do(state="present", disks=[disk, {"target": "vdb", "volume": "other.raw"}])
    assert "other.raw" not in listed(driver)
    driver.change(state="absent", remove_storage=True)
    assert driver.volumes() == []
    # Of the kinds that are not looked into, libvirt itself has to say what it is.
    image(driver.host.pools / "default" / "theirs.vmdk", "4M", "vmdk")
    driver.refused(
        "theirs.vmdk", "virsh pool-refresh default", state="present", disks=[{"target": "vda", "volume": "theirs.vmdk"}]
    )


@pytest.mark.parametrize("near", [True, False], ids=["this-host", "another-host"])
def test_an_image_that_stands_on_a_disk_and_is_new_to_libvirt(driver: Driver, near: bool) -> None:
    """Nothing is deleted that it needs: a plan sees it where its files are; elsewhere the run does, when libvirt has
    looked, before it stops or deletes.
    """
    driver.make(disks=[{"size": "1MiB"}, {"size": "1MiB"}])
    base, other = vol(driver, "kt-guest-vda.qcow2"), vol(driver, "kt-guest-vdb.qcow2")
    image(Path(vol(driver, "top")), "1M", "qcow2", "-u", "-b", base, "-F", "qcow2")
    given = {
        "state": "absent",
        "remove_storage": True,
        "uri": driver.host.uri if near else driver.host.uri.replace("///", "//kt-elsewhere/"),
    }
    if not near:
        foreseen = driver.module.check(**driver.arguments(**given))
        assert foreseen["plan"][-1]["before"]["volumes"] == [base, other]
        refused = driver.run(**given)
        assert refused.failed and base in refused.msg and other not in refused.msg and "Run again" in refused.msg
        assert driver.state() == "running" and other in refused["plan"][-1]["before"]["volumes"]
    done = driver.do(**given)
    assert actions(done) == ["stop state", "remove"] and done["plan"][-1]["before"]["volumes"] == [other]
    assert listed(driver) == ["kt-guest-vda.qcow2", "top"]
