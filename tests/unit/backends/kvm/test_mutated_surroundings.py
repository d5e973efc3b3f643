# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever libvirt says of what guests stand on, of a guest's snapshots, jobs and statistics, of the host and of what
guests and leases tell of addresses: it is the fault of the guest that needs it, and of no other.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from ansible_collections.kraal.virt.plugins.module_utils.backends.kvm.client import NotThere
from ansible_collections.kraal.virt.plugins.module_utils.backends.kvm.storage.pool import Pools
from ansible_collections.kraal.virt.plugins.module_utils.backends.kvm.storage.volume import Volumes
from ansible_collections.kraal.virt.plugins.module_utils.backends.kvm.storage.volume_import import (
    backing_format_in,
    backing_in,
    read_header,
)
from ansible_collections.kraal.virt.plugins.module_utils.backends.kvm.vm.options import VMS
from ansible_collections.kraal.virt.plugins.module_utils.backends.kvm.vm.resource import Vms
from ansible_collections.kraal.virt.plugins.module_utils.backends.kvm.xml import parse
from ansible_collections.kraal.virt.plugins.module_utils.engine.reconcile import Job, Outcome, reconcile
from ansible_collections.kraal.virt.plugins.module_utils.engine.spec import Spec, Table

from ...mutations import of_json, of_octets, of_xml
from .recorded import recorded

CASES = 80
Cases = Callable[[int], int]
INACTIVE, AUTOSTART, LEASE, AGENT, ARP = 2, 7, 0, 1, 2
NUMBERS = {
    "VIR_DOMAIN_XML_INACTIVE": INACTIVE, "VIR_CONNECT_LIST_DOMAINS_AUTOSTART": AUTOSTART, "VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_AGENT": AGENT,
    "VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_ARP": ARP,
}  # fmt: skip

GUEST = """<domain type='qemu'><name>{name}</name><uuid>6ba7b810-9dad-41d1-80b4-00c04fd430c{number}</uuid>
<memory unit='KiB'>65536</memory><currentMemory unit='KiB'>65536</currentMemory><vcpu>1</vcpu>
<os><type arch='x86_64' machine='pc-q35-7.2'>hvm</type></os><devices>
<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='/srv/images/{name}'/><target dev='vda' bus='virtio'/></disk>
<interface type='network'><mac address='52:54:00:00:00:0{number}'/><source network='default'/><model type='virtio'/></interface>
<channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0' state='connected'/></channel></devices></domain>"""
SNAPSHOT = """<domainsnapshot><name>before</name><state>running</state><disks><disk name='vda' snapshot='external' type='file'>
<driver type='qcow2'/><source file='/srv/images/odd'/></disk></disks>
<domain><devices><disk type='file' device='disk'><source file='/srv/images/old'/><target dev='vda'/></disk></devices></domain></domainsnapshot>"""
BACKUP = """<domainbackup mode='push'><disks><disk name='vda' backup='yes' type='file'><target file='/srv/images/backup'/></disk></disks>
</domainbackup>"""
CAPABILITIES = """<capabilities><host><uuid>1</uuid><cpu><arch>x86_64</arch><model>EPYC</model><vendor>AMD</vendor>
<topology sockets='1' dies='1' cores='2' threads='1'/><feature name='svm'/></cpu></host></capabilities>"""
EMULATOR = """<domainCapabilities><path>/usr/bin/qemu-system-x86_64</path><domain>kvm</domain><machine>pc-q35-7.2</machine><arch>x86_64</arch>
<vcpu max='288'/><os supported='yes'><enum name='firmware'><value>efi</value></enum></os></domainCapabilities>"""
TYPES = "<storagepoolCapabilities><pool type='dir' supported='yes'/><pool type='zfs' supported='no'/></storagepoolCapabilities>"
PROCESSOR = (
    "<cpu mode='custom' match='exact'><model fallback='forbid'>EPYC</model><feature policy='require' name='svm'/></cpu>"
)


def _addresses(last: int) -> dict[str, Any]:
    return {
        "lo": {"addrs": [{"addr": "127.0.0.1", "prefix": 8, "type": 0}], "hwaddr": "00:00:00:00:00:00"},
        "eth0": {"addrs": [{"addr": f"192.0.2.{last}", "prefix": 24, "type": 0}], "hwaddr": f"52:54:00:00:00:0{last}"},
    }


def _lease(last: int) -> dict[str, Any]:
    mac = f"52:54:00:00:00:0{last}"
    return {
        "iface": "virbr0", "expirytime": 1800000000 + last, "type": 0, "mac": mac, "iaid": None, "ipaddr": f"192.0.2.{last}", "prefix": 24,
        "hostname": "x", "clientid": "01:" + mac,
    }  # fmt: skip


#: What is mutated, as libvirt says it.
SAID: dict[str, Any] = {
    "capabilities": parse(CAPABILITIES), "emulator": parse(EMULATOR), "processor": parse(PROCESSOR), "models": ["EPYC", "qemu64"],
    "pool": recorded("pool-dir-live"), "volume": recorded("volume-overlay"), "snapshot": parse(SNAPSHOT), "backup": parse(BACKUP),
    "stats": {"state.state": 1, "state.reason": 1, "block.count": 1, "block.0.name": "vda", "block.0.path": "/srv/images/odd", "block.0.capacity": 2**30},
    "job": {"type": 2, "bandwidth": 0, "cur": 1, "end": 2}, "agent": _addresses(2), "arp": _addresses(2), "lease": _lease(2),
    "guest": parse(GUEST.format(name="odd", number=2)), "types": parse(TYPES),
}  # fmt: skip


def mutants(key: str, count: int) -> Iterator[Any]:
    whole = SAID[key]
    return of_xml(whole, count) if isinstance(whole, ET.Element) else of_json(whole, count)


def _as_said(value: Any) -> Any:
    return ET.tostring(value, encoding="unicode") if isinstance(value, ET.Element) else value


class Snapshot:
    def __init__(self, text: str) -> None:
        self.text = text

    def getXMLDesc(self, _flags: int) -> str:
        return self.text

    def getName(self) -> str:
        return "before"


class Domain:
    def __init__(self, host: Host, name: str, number: int) -> None:
        self.host, self._name, self.number, self.odd = host, name, number, name == "odd"

    def name(self) -> str:
        return self._name

    def UUIDString(self) -> str:
        return f"6ba7b810-9dad-41d1-80b4-00c04fd430c{self.number}"

    def XMLDesc(self, flags: int = 0) -> str:
        return str(self.host.said("guest")) if self.odd else GUEST.format(name=self._name, number=self.number)

    def isActive(self) -> int:
        return 1

    isPersistent = isActive

    def interfaceAddresses(self, source: int, _flags: int) -> Any:
        return self.host.said("agent" if source == AGENT else "arp") if self.odd else _addresses(self.number)

    def listAllSnapshots(self, _flags: int) -> list[Snapshot]:
        return [Snapshot(self.host.said("snapshot"))] if self.odd else []

    def backupGetXMLDesc(self, _flags: int) -> Any:
        return self.host.said("backup") if self.odd else None

    def blockJobInfo(self, _disk: str, _flags: int) -> Any:
        return self.host.said("job") if self.odd and self.host.busy else {}


class Volume:
    """The one that is mutated, or the image of a guest."""

    def __init__(self, host: Host, path: str = "/srv/images/top") -> None:
        self.host, self.path = host, path

    def name(self) -> str:
        return self.path.rpartition("/")[2]

    def XMLDesc(self, _flags: int) -> Any:
        plain = f"<volume><name>{self.name()}</name><target><path>{self.path}</path></target></volume>"
        return self.host.said("volume") if self.name() == "top" else plain

    def storagePoolLookupByVolume(self) -> Pool:
        return Pool(self.host)


class Pool:
    def __init__(self, host: Host) -> None:
        self.host = host

    def name(self) -> str:
        return "images"

    def UUIDString(self) -> str:
        return "a697b2e3-84df-4d9d-a4e6-39919c05bc3f"

    def XMLDesc(self, _flags: int = 0) -> Any:
        return self.host.said("pool")

    def isActive(self) -> int:
        return 1

    isPersistent = autostart = isActive

    def listAllVolumes(self, _flags: int) -> list[Volume]:
        return [Volume(self.host)]

    def storageVolLookupByName(self, name: str) -> Volume:
        if name != "top":
            raise NotThere("no such volume")
        return Volume(self.host)


class Network:
    def __init__(self, host: Host) -> None:
        self.host = host

    def name(self) -> str:
        return "default"

    def DHCPLeases(self) -> list[Any]:
        return [_lease(1), self.host.said("lease")]


class Host:
    """A libvirt elsewhere, with the guests `other` and `odd`, a pool with one volume, and a network."""

    local = False
    place = ""
    version = 9000000

    def __init__(self, **odd: Any) -> None:
        self.odd, self.busy = odd, "job" in odd
        self.conn = self.api = self
        self.domains = {"other": Domain(self, "other", 1), "odd": Domain(self, "odd", 2)}

    def __getattr__(self, name: str) -> int:
        return NUMBERS.get(name, 0)

    def said(self, key: str) -> Any:
        return self.odd[key] if key in self.odd else _as_said(SAID[key])

    def ask(self, function: Callable[..., Any], *arguments: Any) -> Any:
        return function(*arguments)

    def ask_guest(self, _domain: Any, function: Callable[..., Any], *arguments: Any) -> Any:
        return function(*arguments)

    def find(self, function: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return function(*arguments)
        except NotThere:
            return None

    def ask_qemu(self, _seconds: float, function: Callable[..., Any], *arguments: Any) -> Any:
        return function(*arguments)

    def getAllDomainStats(self, *_flags: int) -> list[Any]:
        return [(self.domains["other"], SAID["stats"]), (self.domains["odd"], self.said("stats"))]

    def listAllDomains(self, flags: int = 0) -> list[Domain]:
        return [] if flags == AUTOSTART else list(self.domains.values())

    def lookupByName(self, name: str) -> Domain:
        return self.domains[name]

    def listAllNetworks(self, *_flags: int) -> list[Network]:
        return [Network(self)]

    def listAllStoragePools(self, *_flags: int) -> list[Pool]:
        return [Pool(self)]

    def storagePoolLookupByName(self, name: str) -> Pool:
        if name != "images":
            raise NotThere("no such pool")
        return Pool(self)

    def storageVolLookupByPath(self, path: str) -> Volume:
        if not path.startswith("/srv/images/"):
            raise NotThere("no such volume")
        return Volume(self, path)

    def getStoragePoolCapabilities(self, *_flags: int) -> Any:
        return self.said("types")

    def getCapabilities(self) -> Any:
        return self.said("capabilities")

    def getDomainCapabilities(self, *_asked: Any) -> Any:
        return self.said("emulator")

    def baselineCPU(self, *_asked: Any) -> Any:
        return self.said("processor")

    def getCPUModelNames(self, *_asked: Any) -> Any:
        return self.said("models")


@pytest.fixture(autouse=True)
def numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Libvirt's numbers, without the binding."""
    binding = ModuleType("libvirt")
    binding.__getattr__ = lambda name: NUMBERS.get(name, 0)  # type: ignore[method-assign]
    monkeypatch.setitem(sys.modules, "libvirt", binding)


def read(table: Table, name: str, **values: Any) -> Spec:
    return table.read(
        {**{key: spec.get("default") for key, spec in table.argument_spec().items()}, "name": name, **values}
    )


def planned(resource: Any, odd: Mapping[str, Any], *wants: Spec) -> list[Outcome]:
    return reconcile([Job(resource(Host(**odd)), list(wants))], check=True)


OTHER = read(VMS, "other", labels={"a": "b"}, disks=[{"target": "vda"}])
#: A new guest on that volume, changes of the odd one that look below its image, and its removal with its storage.
WANTS = (
    read(VMS, "new", memory="64MiB", cpu={"model": "EPYC"}, disks=[{"pool": "images", "volume": "top"}, {"pool": "images", "size": "1GiB"}]),
    read(VMS, "odd", disks=[{"target": "vda", "path": "/srv/images/top"}], cpu={"model": "qemu64"}, disruption="restart"),
    read(VMS, "odd", state="absent", remove_storage=True),
    read(VMS, "odd", memory="128MiB", networks=["default"]),
)  # fmt: skip


def test_the_scene() -> None:
    """Nothing mutated, all are planned."""
    for want in WANTS:
        other, outcome = planned(Vms, {}, OTHER, want)
        assert other.steps and outcome.steps and not outcome.error, outcome.error
        assert other.described and [each["address"] for each in other.described["addresses"]] == ["192.0.2.1"]


@pytest.mark.parametrize("key", SAID)
def test_every_other_guest_is_managed(key: str, cases: Cases) -> None:
    expected = planned(Vms, {}, OTHER)[0]
    for number, mutant in enumerate(mutants(key, cases(CASES))):
        other, outcome = planned(Vms, {key: mutant}, OTHER, WANTS[number % len(WANTS)])
        assert (other.error, other.steps, other.described) == (None, expected.steps, expected.described)
        assert outcome.error is None or str(outcome.error).startswith(f"kvm {outcome.name}: ")


@pytest.mark.parametrize("key", ["pool", "volume", "guest", "types"])
@pytest.mark.parametrize(
    ("resource", "want"),
    [
        (Volumes, {"name": "new", "pool": "images", "capacity": "1MiB"}),
        (Volumes, {"name": "top", "pool": "images", "capacity": "1GiB"}),
        (Volumes, {"name": "top", "pool": "images", "state": "absent"}),
        (Pools, {"name": "new", "type": "dir", "path": "/srv/kt", "state": "present"}),
        (Pools, {"name": "images", "state": "inactive", "autostart": False}),
        (Pools, {"name": "images", "state": "absent"}),
    ],
)
def test_storage_is_planned_or_has_an_error(resource: Any, want: dict[str, Any], key: str, cases: Cases) -> None:
    spec = read(resource.table, **want)
    new = planned(resource, {}, spec)[0] if want["name"] == "new" else None
    for mutant in mutants(key, cases(CASES // 2)):
        (outcome,) = planned(resource, {key: mutant}, spec)
        assert outcome.error is None or str(outcome.error).startswith(f"kvm {spec.name}: ")
        if new is not None and key not in ("pool", "types"):
            assert (outcome.error, outcome.steps) == (None, new.steps)


def _image(backing: bytes) -> bytes:
    """The head of an image of QEMU's with a backing file, version 3, with the backing file's format beside it."""
    head = struct.pack(">4sIQIIQ", b"QFI\xfb", 3, 512, len(backing), 16, 2**30) + bytes(64)
    head = (
        head[:100].ljust(100, b"\0")
        + struct.pack(">I", 104)
        + struct.pack(">II", 0xE2792ACA, 5)
        + b"qcow2\0\0\0"
        + bytes(8)
    )
    return head.ljust(512, b"\0") + backing


@pytest.mark.parametrize(
    "backing", [b"base.qcow2", b'json:{"driver":"qcow2","file":{"driver":"file","filename":"/srv/base"}}']
)
def test_headers_of_images(backing: bytes, tmp_path: Path, cases: Cases) -> None:
    path = tmp_path / "image"
    path.write_bytes(_image(backing))
    assert backing_in(str(path)) and backing_format_in(str(path)) == "qcow2"
    for mutant in of_octets(_image(backing), cases(CASES)):
        path.write_bytes(mutant)
        for look in (backing_in, backing_format_in, read_header):
            try:
                assert look(str(path)) is not None
            except ValueError as error:
                assert str(error)
