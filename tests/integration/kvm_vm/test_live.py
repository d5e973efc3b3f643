# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A guest with a Linux in it: what changes as it runs is there in the guest, whose boot id stays the same."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.libvirt_daemon import LibvirtDaemon
from tests.support.libvirt_driver import LibvirtModule
from tests.support.tiny_guest import CMDLINE, TinyGuest, ask, boot_id

from .driver import FORCE, Driver, actions

AGENT = "org.qemu.guest_agent.0"
MIB = 1024**2


@pytest.fixture(scope="module")
def tiny() -> TinyGuest:
    return TinyGuest.build()


def options(tiny: TinyGuest) -> dict:
    return {**tiny.boot, "channels": [AGENT], "memory": "256MiB"}


@pytest.fixture(scope="module")
def guest(host: LibvirtDaemon, module: LibvirtModule, tiny: TinyGuest) -> Iterator[Driver]:
    """One guest for the tests of this file, booted once."""
    driver = Driver(host, module, "kt-live", {"type": "qemu"})
    made = driver.make(
        **options(tiny),
        cpus=1,
        cpus_max=3,
        networks=["kt-net1"],
        disks=[{"size": "8MiB"}],
        wait_for="agent",
        timeout=120,
    )
    assert made["guest"]["state"] == "running"
    yield driver
    driver.clear()


def inside(guest: Driver, *command: str) -> str:
    return ask(guest.host, guest.name, "/bin/busybox", *command)


@pytest.fixture
def same_boot(guest: Driver) -> Iterator[None]:
    before = boot_id(guest.host, guest.name)
    yield
    assert boot_id(guest.host, guest.name) == before


def eventually(look, wanted, seconds: float = 120) -> None:
    import time

    deadline = time.monotonic() + seconds
    while (found := look()) != wanted and time.monotonic() < deadline:
        time.sleep(0.2)
    assert found == wanted


def live(result) -> None:
    assert {step["disruption"] for step in result["plan"]} == {"live"}, result["plan"]
    assert result["guest"]["pending_restart"] == []


def total(guest: Driver) -> int:
    return int(inside(guest, "cat", "/proc/meminfo").split()[1]) // 1024


def test_memory_follows_the_balloon(guest: Driver, same_boot: None) -> None:
    before = total(guest)
    done = guest.change(memory="192MiB")
    live(done)
    assert actions(done) == ["set memory"] and done["guest"]["memory"] == "192MiB"
    assert before - total(guest) > 50
    assert int(guest.xml().findtext("currentMemory")) == 192 * 1024
    live(guest.change(memory="256MiB"))
    assert before - total(guest) < 8


def test_processors_up_to_the_maximum(guest: Driver, same_boot: None) -> None:
    live(guest.change(cpus=2))
    assert guest.host.virsh("vcpucount", guest.name, "--live", "--current").strip() == "2"
    # The kernel decides. Debian 13's (6.12) keeps no room for more under emulation: "Allowing 1 present CPUs plus 0
    # hotplug CPUs", whatever the machine and the model.
    room = inside(guest, "cat", "/sys/devices/system/cpu/possible")
    eventually(lambda: inside(guest, "nproc"), "1" if room == "0" else "2")
    more = guest.change(cpus=4)
    assert more["guest"]["pending_restart"] == ["cpus", "cpus_max"] and more["guest"]["cpus"] == 2
    back = guest.change(cpus=2, cpus_max=3)
    assert back["guest"]["pending_restart"] == []


def test_disks_come_grow_and_go(guest: Driver, same_boot: None) -> None:
    two = [{"size": "8MiB"}, {"size": "4MiB", "serial": "kt-second"}]
    done = guest.change(disks=two)
    live(done)
    assert actions(done) == ["attach disks[vdb]"]
    eventually(lambda: inside(guest, "cat", "/sys/block/vdb/size"), str(4 * MIB // 512))
    assert inside(guest, "cat", "/sys/block/vdb/serial") == "kt-second"
    grown = guest.change(disks=[{"size": "8MiB"}, {"size": "16MiB"}])
    live(grown)
    assert actions(grown) == ["resize disks[vdb]"]
    eventually(lambda: inside(guest, "cat", "/sys/block/vdb/size"), str(16 * MIB // 512))
    gone = guest.change(disks=[{"size": "8MiB"}], purge=["disks"])
    live(gone)
    assert actions(gone) == ["detach disks[vdb]"]
    eventually(lambda: "vdb" in inside(guest, "ls", "/sys/block"), False)
    assert "kt-live-vdb.qcow2" in guest.volumes()
    guest.host.virsh("vol-delete", "kt-live-vdb.qcow2", "default")


def test_two_disks_come_at_once(guest: Driver, same_boot: None) -> None:
    done = guest.change(disks=[{"size": "8MiB"}, {"target": "vdb", "size": "4MiB"}, {"target": "vdc", "size": "6MiB"}])
    live(done)
    assert actions(done) == ["attach disks[vdb]", "attach disks[vdc]"]
    for target, size in (("vdb", 4), ("vdc", 6)):
        eventually(lambda name=target: inside(guest, "cat", f"/sys/block/{name}/size"), str(size * MIB // 512))
    guest.change(disks=[{"size": "8MiB"}], purge=["disks"])
    for target in ("vdb", "vdc"):
        guest.host.virsh("vol-delete", f"kt-live-{target}.qcow2", "default")


def test_a_disk_on_scsi_brings_a_controller_of_virtio(guest: Driver, same_boot: None) -> None:
    assert [each for each in guest.xml(live=True).iter("controller") if each.get("type") == "scsi"] == []
    disk = {"target": "sdy", "size": "1MiB", "bus": "scsi"}
    live(guest.change(disks=[{"size": "8MiB"}, disk]))
    for xml in (guest.xml(), guest.xml(live=True)):
        assert [each.get("model") for each in xml.iter("controller") if each.get("type") == "scsi"] == ["virtio-scsi"]
    guest.again(disks=[{"size": "8MiB"}, disk])
    live(guest.change(disks=[{"size": "8MiB"}], purge=["disks"]))
    guest.host.virsh("vol-delete", "kt-live-sdy.qcow2", "default")


def test_networks_come_change_and_go(guest: Driver, same_boot: None) -> None:
    mac = "52:54:00:79:00:02"
    done = guest.change(networks=["kt-net1", {"network": "kt-net2", "mac": mac}])
    live(done)
    assert actions(done) == ["attach networks[kt-net2]"]

    def cards() -> list[str]:
        return sorted(
            inside(guest, "cat", f"/sys/class/net/{name}/address")
            for name in inside(guest, "ls", "/sys/class/net").split()
            if name != "lo"
        )

    eventually(lambda: mac in cards(), True)
    down = guest.change(networks=[{"network": "kt-net2", "link": "down"}])
    live(down)
    assert actions(down) == ["set networks[kt-net2]"]
    live(guest.change(networks=[{"network": "kt-net1", "mac": mac, "link": "up"}]))
    gone = guest.change(networks=["kt-net1"], purge=["networks"])
    live(gone)
    eventually(lambda: len(cards()), 1)


def test_another_cd(guest: Driver, tmp_path, same_boot: None) -> None:
    for number in (1, 2):
        (tmp_path / f"{number}.iso").write_bytes(b"kt" * 1024 * number)
    drive = {"target": "sda", "device": "cdrom", "bus": "scsi", "path": str(tmp_path / "1.iso")}
    cold = guest.do(disks=[drive])
    assert cold["guest"]["pending_restart"] == ["disks[sda]"]
    guest.do(disks=[{"size": "8MiB"}], purge=["disks"])
    assert guest.run()["guest"]["pending_restart"] == []


def test_addresses_by_lease_and_by_agent(guest: Driver, same_boot: None) -> None:
    for order in (["lease"], ["agent"], ["arp"], ["arp", "lease"]):
        if order == ["arp"]:
            # The host knows its neighbours when it has spoken to them.
            inside(guest, "ping", "-c", "1", "-W", "5", "10.79.1.1")
            if "10.79.1." not in guest.host.virsh("domifaddr", guest.name, "--source", "arp", check=False):
                # Libvirt 9.0 cannot read the table of neighbours of some kernels ("wrong nlmsg len").
                continue
        found = guest.make(address_sources=order, wait_for="address", timeout=60)["guest"]["addresses"]
        assert [(each["family"], each["network"]) for each in found] == [("ipv4", "kt-net1")], (order, found)
        assert found[0]["address"].startswith("10.79.1.")


def test_memory_beyond_the_maximum_waits_for_a_restart(guest: Driver) -> None:
    before = boot_id(guest.host, guest.name)
    done = guest.change(memory="320MiB")
    assert done["guest"]["pending_restart"] == ["memory", "memory_max"] and done["guest"]["memory"] == "256MiB"
    assert {step["disruption"] for step in done["plan"]} == {"none"}
    assert boot_id(guest.host, guest.name) == before
    restarted = guest.change(
        memory="320MiB", disruption="restart", stop_timeout=60, force_stop=False, wait_for="agent", timeout=120
    )
    assert actions(restarted) == ["restart pending_restart"] and restarted["guest"]["pending_restart"] == []
    assert restarted["guest"]["memory"] == "320MiB"
    assert boot_id(guest.host, guest.name) != before


def test_paused_and_resumed(guest: Driver) -> None:
    before = boot_id(guest.host, guest.name)
    paused = guest.change(state="paused")["guest"]
    assert (paused["state"], paused["raw_state"]) == ("paused", "paused")
    assert guest.change(state="running")["guest"]["state"] == "running"
    assert boot_id(guest.host, guest.name) == before


def test_stop_by_its_agent(guest: Driver) -> None:
    done = guest.change(state="stopped", force_stop=False, stop_timeout=60)
    assert actions(done) == ["stop state"]
    assert "driver" not in done.msg and guest.state() == "shut off"
    assert (done["guest"]["state"], done["guest"]["raw_state"]) == ("stopped", "shutoff")


@pytest.mark.parametrize("listens", [True, False])
def test_stop_by_the_power_button_and_by_force(driver: Driver, tiny: TinyGuest, listens: bool) -> None:
    """Without an agent: a system that hears the button ends, one that does not is stopped only if the task says so."""
    given = {
        **options(tiny),
        "channels": [],
        "cmdline": CMDLINE + ("" if listens else " kt.deaf"),
        "networks": ["kt-net1"],
    }
    driver.make(**given, wait_for="address", timeout=120, address_sources=["lease"])
    result = driver.run(state="stopped", force_stop=False, stop_timeout=30 if listens else 3)
    assert result.failed is not listens, result.msg
    if not listens:
        assert "did not shut down within 3 seconds" in result.msg and "force_stop" in result.msg
        assert driver.state() == "running"
        driver.make(state="stopped", **{**FORCE, "stop_timeout": 1})
    assert driver.state() == "shut off"


def test_what_does_not_come_is_said(driver: Driver) -> None:
    driver.make(channels=[AGENT])
    for what, word in (("agent", "guest agent"), ("address", "given an address")):
        result = driver.run(wait_for=what, timeout=1)
        assert (
            result.failed
            and f"{word} within 1 seconds: it is emulated, and still booting. It goes on booting" in result.msg
        ), result.msg
