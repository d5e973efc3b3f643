# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever libvirt says of one guest, or of one network or pool: it is that one's fault alone; and a word that
nobody here has heard of is none.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from ansible_collections.kraal.virt.plugins.module_utils.backends.kvm import definition
from ansible_collections.kraal.virt.plugins.module_utils.backends.kvm.network.resource import Networks
from ansible_collections.kraal.virt.plugins.module_utils.backends.kvm.storage.pool import Pools
from ansible_collections.kraal.virt.plugins.module_utils.backends.kvm.vm import compare as vm_compare
from ansible_collections.kraal.virt.plugins.module_utils.backends.kvm.vm import observe as vm_observe
from ansible_collections.kraal.virt.plugins.module_utils.backends.kvm.vm import plan as vm_plan
from ansible_collections.kraal.virt.plugins.module_utils.backends.kvm.vm import target as vm_target
from ansible_collections.kraal.virt.plugins.module_utils.backends.kvm.vm.options import VMS
from ansible_collections.kraal.virt.plugins.module_utils.backends.kvm.vm.resource import Vms, guest_now
from ansible_collections.kraal.virt.plugins.module_utils.backends.kvm.vm.settings import write_labels
from ansible_collections.kraal.virt.plugins.module_utils.engine.action import Disruption
from ansible_collections.kraal.virt.plugins.module_utils.engine.errors import KraalError
from ansible_collections.kraal.virt.plugins.module_utils.engine.reading import Found, plan_unread, reading, unread_in
from ansible_collections.kraal.virt.plugins.module_utils.engine.spec import Spec, Table

from ...mutations import of_xml
from ...strays import LABELS, strays
from .recorded import recorded

CASES = 180
Cases = Callable[[int], int]
UUID = "6ba7b810-9dad-41d1-80b4-00c04fd430c8"
#: One value of every option that needs nothing of the host.
OPTIONS: dict[str, Any] = {
    "uuid": UUID, "description": "x", "machine": "q35", "cpus_max": 4, "cpus": 2, "cpu": {"mode": "host-model", "cores": 2}, "memory_max": "2GiB",
    "memory": "1GiB",
    "firmware": "uefi", "secure_boot": False, "kernel": "/k", "initrd": "/i", "cmdline": "quiet", "networks": [{"network": "default", "model": "e1000e"}],
    "disks": [{"target": "vda", "cache": "none"}], "graphics": [{"type": "vnc", "port": 5901}], "video": {"model": "vga"}, "console": True,
    "channels": ["org.kt"],
    "host_devices": ["pci:0000:03:00.0"], "filesystems": [{"source": "/srv", "target": "srv"}], "tpm": {"model": "tpm-crb"}, "watchdog": {"model": "i6300esb"},
    "title": "x", "osinfo": "http://debian.org/debian/12", "on_poweroff": "restart", "on_reboot": "restart", "on_crash": "preserve",
    "pm": {"suspend_to_mem": True}, "clock": {"offset": "variable", "adjustment": 1}, "timers": {"hpet": False}, "iothreads": 2,
    "features": {"pae": True, "hyperv_spinlocks": 8191, "kvm_hidden": True}, "cpu_features": {"vmx": False}, "numatune": {"mode": "strict"},
    "memory_backing": {"hugepages": "2MiB", "access": "shared"}, "cpu_pinning": {"0": "0-1", "emulator": "0"}, "cpuset": "0",
    "sound": ["ich9"], "audio": ["none"], "inputs": ["tablet"], "redirected_usb": 2, "panic": {"model": "isa"}, "smbios": {"system_serial": "1"},
    "vsock": {"model": "virtio", "cid": 5}, "iommu": {"model": "intel"},
    "rng": {"model": "virtio"}, "memballoon": {"model": "virtio"}, "autostart": True, "labels": {"a": "b"},
    "xml": "<domain><clock><timer name='pit'/></clock></domain>",
}  # fmt: skip


class Thing:
    """A domain, network or pool that says what it is told to."""

    def __init__(self, name: str, stored: str, live: str = "") -> None:
        self._name, self.stored, self.live = name, stored, live

    def name(self) -> str:
        return self._name

    def UUIDString(self) -> str:
        return UUID

    def XMLDesc(self, flags: int = 0) -> str:
        return self.stored if flags else self.live or self.stored

    def isActive(self) -> int:
        return int(bool(self.live))

    def isPersistent(self) -> int:
        return 1

    def autostart(self) -> int:
        return 0


class Host:
    """A libvirt with these domains, networks and pools."""

    local = False
    place = ""
    version = 9000000

    def __init__(self, *domains: Thing, networks: tuple[Thing, ...] = (), pools: tuple[Thing, ...] = ()) -> None:
        self.conn = self.api = self
        self.VIR_NETWORK_XML_INACTIVE = self.VIR_STORAGE_XML_INACTIVE = self.VIR_DOMAIN_XML_INACTIVE = 1
        self._domains, self._networks, self._pools = domains, networks, pools

    def ask(self, function: Callable[..., Any], *arguments: Any) -> Any:
        return function(*arguments)

    def ask_qemu(self, _seconds: float, function: Callable[..., Any], *arguments: Any) -> Any:
        return function(*arguments)

    def getAllDomainStats(self, *_flags: int) -> list[Any]:
        return [
            (
                each,
                {
                    "state.state": 1 if each.live else 5,
                    "block.count": 1,
                    "block.0.name": "vda",
                    "block.0.capacity": 2**30,
                },
            )
            for each in self._domains
        ]

    def listAllDomains(self, flags: int = 0) -> list[Thing]:
        return [] if flags == 7 else list(self._domains)

    def listAllNetworks(self, *_flags: int) -> list[Thing]:
        return list(self._networks)

    def listAllStoragePools(self, *_flags: int) -> list[Thing]:
        return list(self._pools)

    def getStoragePoolCapabilities(self, *_flags: int) -> str:
        return "<storagepoolCapabilities><pool type='dir' supported='yes'/></storagepoolCapabilities>"


@pytest.fixture(autouse=True)
def no_libvirt(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its numbers, without the binding; and no addresses, which the other libvirt would be asked for."""
    numbers = {"CONNECT_LIST_DOMAINS_AUTOSTART": 7, "DOMAIN_XML_INACTIVE": 1}
    monkeypatch.setattr(vm_observe, "constant", lambda name: numbers.get(name, 0))
    monkeypatch.setattr(vm_observe.vm_addresses, "find", lambda *_arguments: None)


def read(table: Table, name: str, **values: Any) -> Spec:
    return table.read(
        {**{key: spec.get("default") for key, spec in table.argument_spec().items()}, "name": name, **values}
    )


def compare(want: Spec, seen: Any) -> None:
    """As the survey does, without asking anybody."""
    have = seen.whole(want.name)
    seen.compared[want.name] = vm_target.compare(
        want, vm_target.wanted(want, seen, have, vm_target.placed_disks(want, seen, have)), seen, have
    )


def text(name: str) -> str:
    return ET.tostring(recorded(name), encoding="unicode")


def mutants(stored: str, live: str, count: int) -> Iterator[Thing]:
    """One side mutated, or both; so many in all."""
    count = count // 3 + 1
    for mutant in of_xml(recorded(stored), count):
        yield Thing("odd", mutant, text(live))
    for mutant in of_xml(recorded(live), count, 2):
        yield Thing("odd", text(stored), mutant)
    for mutant in of_xml(recorded(stored), count, 3):
        yield Thing("odd", mutant)


def listed(host: Any) -> tuple[dict[str, Any], list[str]]:
    seen, found = vm_observe.observe(host, None), Found()
    for have in seen.domains.values():
        found.add(vm_observe.known_of(have), lambda have=have: guest_now(have))
    found.add_unread(seen.unread)
    return {guest.name: json.loads(json.dumps(guest.as_dict())) for guest in found.guests}, [
        str(fault) for fault in found.faults
    ]


@pytest.mark.parametrize(("stored", "live"), [("stored", "live"), ("stored-11", "live-11")])
def test_every_other_guest_is_listed(stored: str, live: str, cases: Cases) -> None:
    other = Thing("other", text(stored), text(live))
    whole, none = listed(Host(other))
    assert none == []
    with_fault = 0
    for odd in mutants(stored, live, cases(CASES)):
        guests, faults = listed(Host(other, odd))
        assert guests["other"] == whole["other"] and set(guests) == {"other", "odd"}
        assert (guests["odd"]["id"] or faults) and guests["odd"]["state"] == ("running" if odd.live else "stopped")
        assert all(fault.startswith("kvm odd: ") for fault in faults)
        with_fault += bool(faults)
    assert cases(CASES) / 30 < with_fault < cases(CASES) / 3


def test_a_fleet_that_prunes_finds_every_other_of_its_guests(monkeypatch: pytest.MonkeyPatch, cases: Cases) -> None:
    """And takes no guest away of which it is not certain that it is its own."""
    mine = recorded("stored")
    write_labels(mine, None, LABELS)
    other = Thing("other", ET.tostring(mine, encoding="unicode"))
    for odd in mutants("stored", "live", cases(CASES)):
        host: Any = Host(other, odd)
        assert strays(monkeypatch, Vms(host))[0] == ["other"]


@pytest.mark.parametrize(("stored", "live"), [("stored", "live"), ("stored-11", "live-11")])
def test_every_guest_is_planned_or_has_an_error(stored: str, live: str, cases: Cases) -> None:
    wants = [read(VMS, "odd", **OPTIONS), read(VMS, "odd", state="absent")]
    wants += [read(VMS, "odd", **{name: OPTIONS[name]}) for name in ("labels", "disks", "networks")]
    planned = 0
    for number, odd in enumerate(mutants(stored, live, cases(CASES))):
        host: Any = Host(odd)
        want, vms = wants[number % len(wants)], Vms(host)
        seen = vm_observe.observe(host, [want])
        unread = unread_in(seen, "odd")
        try:
            with reading("kvm", "odd"):
                if not unread and want.state != "absent":
                    compare(want, seen)
                steps = plan_unread(want, unread) if unread else vm_plan.plan(want, seen)
                assert unread or vms.describe("odd", seen) and vms.foresee(want, steps, seen) is not False
            planned += 1
        except KraalError as error:
            assert "kvm odd: " in str(error)
    assert planned > cases(CASES) / 3


#: Where the domain's XML has a word that is one of several, and which option is about it.
PLACES = (
    ("disk", "@device"), ("disk", "driver@cache"), ("disk", "driver@type"), ("disk", "driver@io"), ("disk", "driver@discard"), ("disk", "target@bus"),
    ("disk", "boot@order"), ("interface", "model@type"), ("interface", "link@state"), ("interface", "mtu@size"), ("interface", "@type"), ("channel", "@type"),
    ("graphics", "@type"), ("graphics", "@listen"), ("video", "model@type"), ("video", "model@heads"), ("memballoon", "@model"), ("rng", "@model"),
    ("watchdog", "@model"), ("watchdog", "@action"), ("tpm", "@model"), ("tpm", "backend@type"), ("filesystem", "@accessmode"),
)  # fmt: skip


@pytest.mark.parametrize("name", ["stored", "stored-11"])
@pytest.mark.parametrize(("tag", "place"), PLACES)
def test_a_word_of_libvirts_stays_as_it_is(name: str, tag: str, place: str) -> None:
    """Listed whole; what is changed beside it is all that changes; and what a task wants there is another."""
    root = recorded(name)
    devices = root.find("devices")
    assert devices is not None
    device = devices.find(tag)
    if device is None:
        device = ET.SubElement(devices, tag)
    path, _at, attribute = place.partition("@")
    inner = device if not path else device.find(path) if device.find(path) is not None else ET.SubElement(device, path)
    assert inner is not None
    inner.set(attribute, "hologram")
    thing = Thing("odd", ET.tostring(root, encoding="unicode"), ET.tostring(root, encoding="unicode"))
    host: Any = Host(thing)
    guests, faults = listed(host)
    assert faults == [] and guests["odd"]["pending_restart"] == []
    for off in (False, True):
        one: Any = Host(Thing("odd", thing.stored)) if off else host
        want = read(
            VMS,
            "odd",
            state="present",
            labels={"kt-new": "b"},
            description="kt",
            networks=[],
            disks=[],
            channels=[],
            graphics=[],
            video={},
            rng={},
        )
        seen = vm_observe.observe(one, [want])
        have = seen.domains["odd"]
        compare(want, seen)
        steps = vm_plan.plan(want, seen)
        assert [step.disruption for step in steps] == [Disruption.NONE], steps
        written = vm_compare.written(want, have.stored, vm_compare.edits(want, have.stored))
        before, after = (copy.deepcopy(each).find("devices") for each in (have.stored.root, written))
        assert before is not None and after is not None and ET.tostring(before) == ET.tostring(after)
        everything = read(
            VMS,
            "odd",
            state="present",
            **{key: value for key, value in OPTIONS.items() if key not in ("uuid", "xml", "host_devices")},
        )
        compare(everything, seen)
        assert json.dumps([each.part._asdict() for each in seen.compared["odd"].changes])


@pytest.mark.parametrize(
    ("resource", "fixture", "kind"), [(Networks, "network", "networks"), (Pools, "pool-dir-live", "pools")]
)
def test_every_other_network_and_pool_is_managed(resource: Any, fixture: str, kind: str, cases: Cases) -> None:
    table = resource.table
    wants = [read(table, "other", autostart=True, state="present"), read(table, "other", state="absent")]
    wants += [
        read(
            table,
            "new",
            **(
                {"subnets": ["192.0.2.1/24"], "bridge": "kt0"} if kind == "networks" else {"type": "dir", "path": "/kt"}
            ),
        )
    ]
    for number, mutant in enumerate(of_xml(recorded(fixture), cases(CASES // 3))):
        host: Any = Host(**{kind: (Thing("other", text(fixture), text(fixture)), Thing("odd", mutant, mutant))})
        (want, odd), work = (wants[number % 3], read(table, "odd", autostart=True, state="present")), resource(host)
        seen = work.observe([want, odd])
        assert isinstance(seen, definition.Seen) and work.plan(want, seen)
        try:
            with reading("kvm", "odd"):
                work.plan(odd, seen)
                work.describe("odd", seen)
        except KraalError as error:
            assert "kvm odd: " in str(error)
