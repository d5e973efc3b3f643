# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pools and volumes on recorded definitions, who uses what, and what a file is."""

from __future__ import annotations

import hashlib
import struct
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element

import pytest

from ansible_collections.kraal.virt.plugins.module_utils.backends.kvm.client import Host
from ansible_collections.kraal.virt.plugins.module_utils.backends.kvm.definition import Definition, View
from ansible_collections.kraal.virt.plugins.module_utils.backends.kvm.definition import Seen as SeenPools
from ansible_collections.kraal.virt.plugins.module_utils.backends.kvm.names import check_name
from ansible_collections.kraal.virt.plugins.module_utils.backends.kvm.storage import pool_options, volume_options
from ansible_collections.kraal.virt.plugins.module_utils.backends.kvm.storage.pool import Pools, serves
from ansible_collections.kraal.virt.plugins.module_utils.backends.kvm.storage.pool_work import grown
from ansible_collections.kraal.virt.plugins.module_utils.backends.kvm.storage.use import Use, Uses
from ansible_collections.kraal.virt.plugins.module_utils.backends.kvm.storage.volume import Volumes
from ansible_collections.kraal.virt.plugins.module_utils.backends.kvm.storage.volume_import import backing_in, examine
from ansible_collections.kraal.virt.plugins.module_utils.backends.kvm.storage.volume_seen import Seen
from ansible_collections.kraal.virt.plugins.module_utils.backends.kvm.xml import canonical, make, parse
from ansible_collections.kraal.virt.plugins.module_utils.engine.errors import InvalidOption, Refused
from ansible_collections.kraal.virt.plugins.module_utils.engine.spec import Spec
from tests.unit.backends.kvm.recorded import recorded

PATH = "/srv/images/top"


def pool(**args: Any) -> Spec:
    return pool_options.POOLS_TABLE.read({"state": "present", "disruption": "live", **args})


def volume(**args: Any) -> Spec:
    return volume_options.VOLUMES_TABLE.read(
        {"name": "top", "pool": "images", "state": "present", "wipe": False, **args}
    )


def read(tree: Element) -> dict[str, Any]:
    view = View(tree, False)
    found = {option.name: option.kind.shown(option.read(view)) for option in pool_options.POOL_OPTIONS}
    return {name: value for name, value in found.items() if value not in (None, [], False)}


def test_pools_are_read_as_they_were_written() -> None:
    ceph = {
        "type": "rbd",
        "source_name": "pool1",
        "host": "192.0.2.1",
        "port": 6789,
        "auth": {"username": "libvirt", "secret_usage": "client.libvirt secret"},
    }
    assert read(recorded("pool-rbd")) == ceph
    assert read(recorded("pool-dir-live")) == {"type": "dir", "path": "/srv/images"}
    for given in (
        ceph,
        {"type": "dir", "path": "/a"},
        {
            "type": "iscsi",
            "path": "/dev/disk/by-path",
            "host": "h",
            "port": 3260,
            "initiator": "iqn.a",
            "devices": ["iqn.b"],
        },
        {"type": "fs", "path": "/a", "devices": ["/dev/b"], "format": "ext4"},
        {"type": "netfs", "path": "/a", "host": "h", "source_path": "/srv/a", "format": "nfs"},
        {"type": "disk", "path": "/dev", "devices": ["/dev/b"], "format": "gpt"},
        {"type": "logical", "source_name": "vg", "path": "/dev/vg", "format": "lvm2"},
        {"type": "mpath", "path": "/dev/mapper"},
        {"type": "scsi", "path": "/dev/disk/by-path", "adapter": {"name": "scsi_host5"}},
        {
            "type": "scsi",
            "path": "/a",
            "adapter": {"parent": "scsi_host5", "wwnn": "20000000c9831b4b", "wwpn": "1" * 16},
        },
        {"type": "gluster", "host": "h", "port": 24007, "source_name": "volume1", "source_path": "/images"},
        {"type": "vstorage", "path": "/a", "source_name": "cluster1"},
        {
            "type": "iscsi-direct",
            "host": "h",
            "devices": ["iqn.2026-01.org.example:one"],
            "initiator": "iqn.2026-01.org.example:a",
            "auth": {"username": "a", "secret_usage": "one"},
        },
    ):
        assert read(pool_options.defined("p", dict(pool(name="p", **given).values), None)) == given


def test_a_pool_keeps_what_has_no_option() -> None:
    tree = pool_options.defined("ceph", dict(pool(name="ceph", source_name="other").values), recorded("pool-rbd"))
    assert [host.get("name") for host in tree.findall("source/host")] == ["192.0.2.1", "192.0.2.2"]
    assert tree.findtext("uuid") == recorded("pool-rbd").findtext("uuid")
    assert tree.find("capacity") is None


ISCSI = "/dev/disk/by-path/ip-192.0.2.1:3260-iscsi-iqn.2026-01.org.example:one-lun-1"


@pytest.mark.parametrize(
    ("args", "source", "used"),
    [
        ({"type": "dir", "path": "/srv/kt"}, {"file": "/srv/kt/a.qcow2"}, True),
        ({"type": "dir", "path": "/srv/kt"}, {"file": "/srv/kt/below/a.qcow2"}, False),
        ({"type": "dir", "path": "/srv/kt"}, {"pool": "there", "volume": "a"}, True),
        ({"type": "dir", "path": "/srv/kt"}, {"pool": "other", "volume": "a"}, False),
        ({"type": "logical", "source_name": "vg1"}, {"dev": "/dev/vg1/a"}, True),
        ({"type": "logical", "source_name": "vg1"}, {"dev": "/dev/vg2/a"}, False),
        ({"type": "zfs", "source_name": "tank/kt"}, {"dev": "/dev/zvol/tank/kt/a"}, True),
        ({"type": "zfs", "source_name": "tank"}, {"dev": "/dev/zvol/tank/kt/a"}, False),
        (
            {"type": "iscsi", "path": "/dev/disk/by-path", "host": "h", "devices": ["iqn.2026-01.org.example:one"]},
            {"dev": ISCSI},
            True,
        ),
        (
            {"type": "iscsi", "path": "/dev/disk/by-path", "host": "h", "devices": ["iqn.2026-01.org.example:on"]},
            {"dev": ISCSI},
            False,
        ),
        ({"type": "disk", "path": "/dev", "devices": ["/dev/sda"]}, {"dev": "/dev/sda1"}, True),
        ({"type": "disk", "path": "/dev", "devices": ["/dev/sda"]}, {"dev": "/dev/sdaa1"}, False),
        ({"type": "disk", "path": "/dev", "devices": ["/dev/nvme0n1"]}, {"dev": "/dev/nvme0n1p2"}, True),
        ({"type": "mpath", "path": "/dev/mapper"}, {"dev": "/dev/mapper/mpatha"}, True),
        ({"type": "netfs", "path": "/a", "host": "h", "source_path": "/b"}, {"file": "/a/c.qcow2"}, True),
        ({"type": "gluster", "source_name": "v", "host": "h"}, {"protocol": "gluster", "name": "v/a"}, True),
        ({"type": "gluster", "source_name": "v", "host": "h"}, {"protocol": "gluster", "name": "w/a"}, False),
        (
            {"type": "iscsi-direct", "host": "h", "devices": ["iqn.2026-01.org.example:one"], "initiator": "iqn.a"},
            {"protocol": "iscsi", "name": "iqn.2026-01.org.example:one/1"},
            True,
        ),
        ({"type": "rbd", "source_name": "pool1", "host": "h"}, {"protocol": "rbd", "name": "pool1/a"}, True),
        ({"type": "rbd", "source_name": "pool1", "host": "h"}, {"protocol": "rbd", "name": "pool10/a"}, False),
        ({"type": "rbd", "source_name": "pool1", "host": "h"}, {"protocol": "nbd", "name": "pool1/a"}, False),
    ],
)
@pytest.mark.parametrize("below", [False, True])
def test_what_a_guest_has_of_a_pool(args: dict[str, Any], source: dict[str, str], used: bool, below: bool) -> None:
    tree = pool_options.defined("there", dict(pool(name="there", **args).values), None)
    if args["type"] == "zfs":
        # As libvirt 9.0 adds it.
        tree.append(make("target", None, make("path", text=f"/dev/zvol/{args['source_name']}")))
    own = make("source", source)
    disk = (
        make("disk", None, make("source", {"file": "/srv/top"}), make("backingStore", None, own))
        if below
        else make("disk", None, own)
    )
    host = Host.__new__(Host)
    host.local = False
    assert serves(host, tree, make("domain", None, make("devices", None, disk))) is used


def test_what_a_guest_boots_from_is_of_the_pool() -> None:
    tree = pool_options.defined("there", dict(pool(name="there", type="dir", path="/srv/kt").values), None)
    host = Host.__new__(Host)
    host.local = False
    assert serves(host, tree, parse("<domain><os><kernel>/srv/kt/vmlinuz</kernel></os></domain>"))
    assert not serves(host, tree, parse("<domain><os><kernel>/srv/vmlinuz</kernel></os></domain>"))


def test_pools_of_devices_have_their_own_name() -> None:
    tree = pool_options.defined("vg0", dict(pool(name="vg0", type="logical").values), None)
    assert (tree.findtext("source/name"), tree.findtext("target/path")) == ("vg0", "/dev/vg0")


def test_a_pool_in_use_stays() -> None:
    seen = SeenPools(
        {"images": Definition("u", recorded("pool-dir-live"), recorded("pool-dir-live"))}, {"images": {"g"}}
    )
    resource = Pools.__new__(Pools)
    for args in ({"state": "absent"}, {"state": "inactive"}, {"path": "/x", "disruption": "restart"}):
        with pytest.raises(Refused, match="in use by: g"):
            resource.plan(pool(name="images", **args), seen)
    assert [step.action for step in resource.plan(pool(name="images", path="/x"), seen)] == ["set", "restart"]


def seen_volume(**more: Any) -> Seen:
    return Seen(pools={"images": "dir"}, volumes={("images", "top"): recorded("volume-overlay")}, **more)


def plan(seen: Seen, **args: Any) -> list[tuple[str, str]]:
    return [(step.action, step.key) for step in Volumes.__new__(Volumes).plan(volume(**args), seen)]


def test_plans_of_a_volume() -> None:
    assert plan(seen_volume(), capacity="10MiB", format="qcow2", clone=None) == []
    assert plan(seen_volume(), backing={"path": "/srv/images/base", "format": "raw"}) == []
    assert plan(seen_volume(), capacity="11MiB") == [("resize", "capacity")]
    # What qemu rounds up by is not a difference; in a volume group an extent is none either.
    assert plan(seen_volume(), capacity=10 * 1024**2 - 511) == []
    assert (
        plan(
            Seen(
                pools={"images": "logical"},
                volumes={("images", "top"): parse("<volume><capacity>12582912</capacity></volume>")},
            ),
            capacity="9MiB",
        )
        == []
    )
    assert plan(seen_volume(), state="absent", wipe=True) == [("wipe", "content"), ("remove", "")]
    assert plan(Seen(pools={"images": "dir"}), state="absent") == []
    other = {"path": "/x", "format": "raw"}
    for words, args in (
        ("shrink from 10MiB to 9MiB", {"capacity": "9MiB"}),
        ("format", {"format": "raw"}),
        ("is backed by", {"backing": other}),
    ):
        with pytest.raises(Refused, match=words):
            plan(seen_volume(), **args)


@pytest.mark.parametrize("key", [("path", PATH), ("volume", "images", "top"), ("network", PATH)])
def test_a_volume_in_use_stays_under_whatever_name(key: tuple[str, ...]) -> None:
    with pytest.raises(Refused, match="in use by: g"):
        plan(seen_volume(uses=Uses({key: [Use("g", False)]})), state="absent")


def test_a_volume_below_another_stays() -> None:
    with pytest.raises(Refused, match="other/x"):
        plan(seen_volume(uses=Uses({}, {PATH: ["other/x"]})), state="absent")
    # Through a link, too.
    with pytest.raises(Refused, match="other/x"):
        plan(seen_volume(uses=Uses({}, {"/real/top": ["other/x"]}), real={PATH: "/real/top"}), state="absent")


def test_a_volume_stays_while_a_disk_cannot_be_looked_into() -> None:
    with pytest.raises(Refused, match=r"h \(/mnt/x\)"):
        plan(seen_volume(uses=Uses(unseen={"h": ["/mnt/x"]})), state="absent")


def test_a_volumes_definition() -> None:
    tree = volume_options.defined(
        "v", "dir", {"capacity": 5, "allocation": None, "format": "qcow2"}, {"path": "/b", "format": "raw"}
    )
    wanted = (
        "<volume><name>v</name><capacity unit='bytes'>5</capacity><allocation "
        "unit='bytes'>0</allocation><target><format "
        "type='qcow2'/><compat>1.1</compat></target><backingStore><path>/b</path><format "
        "type='raw'/></backingStore></volume>"
    )
    assert canonical(tree) == canonical(parse(wanted))
    device = volume_options.defined("v", "logical", {"capacity": 5, "allocation": None, "format": "raw"})
    assert canonical(device) == canonical(parse("<volume><name>v</name><capacity unit='bytes'>5</capacity></volume>"))


def qcow2(version: int = 3, backing: int = 0, features: int = 0) -> bytes:
    return (
        struct.pack(">4sIQIIQ", b"QFI\xfb", version, backing, 10, 16, 5 * 1024**2).ljust(72, b"\0")
        + struct.pack(">Q", features)
        + bytes(500)
    )


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("/a/base", ["/a/base"]),
        ("base", ["/here/base"]),
        ("../base", ["/here/../base"]),
        ("sub:/base", []),
        ("sub/a:b", ["/here/sub/a:b"]),
        ("file:/a/base", ["/a/base"]),
        ("nbd://host/base", []),
        ('json:{"driver": "qcow2", "file": {"driver": "file", "filename": "/a/base"}}', ["/a/base"]),
        ('json:{"driver": "qcow2", "file.filename": "base"}', ["/here/base"]),
        ('json:{"driver": "nbd", "host": "h"}', []),
    ],
)
def test_what_an_image_stands_on(tmp_path: Path, name: str, found: list[str]) -> None:
    path = tmp_path / "image"
    for start in (104, 1 << 20):
        path.write_bytes(struct.pack(">4sIQI", b"QFI\xfb", 3, start, len(name)).ljust(start, b"\0") + name.encode())
        assert [each.replace(str(tmp_path), "/here") for each in backing_in(str(path))] == found


def test_what_an_image_stands_on_is_not_guessed(tmp_path: Path) -> None:
    path = tmp_path / "image"
    for content in (b"", b"raw" * 100, struct.pack(">4sIQI", b"QFI\xfb", 3, 0, 0)):
        path.write_bytes(content)
        assert backing_in(str(path)) == []
    damaged = [b"QFI\xfb", b"KDMV" + bytes(500), b"QED\0" + bytes(500)]
    damaged += [
        struct.pack(">4sIQI", b"QFI\xfb", 3, offset, length)
        for offset, length in ((1 << 63, 4), (104, 0), (104, 1 << 20), (104, 4))
    ]
    damaged += [
        struct.pack(">4sIQI", b"QFI\xfb", 3, 20, 1000) + b"json:" + text * 1000 for text in (b"[", b"{", b'{"a":')
    ]
    for content in damaged:
        path.write_bytes(content)
        with pytest.raises(ValueError):
            backing_in(str(path))
    with pytest.raises(OSError):
        backing_in(str(tmp_path / "nothing"))


class Device:
    """A volume that is a device, and the pool that holds it: as libvirt knows it, and as it is."""

    def __init__(self, known: int, size: int) -> None:
        self.known, self.size = known, size
        self.calls: list[str] = []

    def UUIDString(self) -> str:
        return "u"

    def storagePoolLookupByVolume(self) -> Device:
        return self

    def storageVolLookupByName(self, _name: str) -> Device:
        return self

    def name(self) -> str:
        return "v"

    def refresh(self, _flags: int) -> None:
        self.calls.append("refresh")
        self.known = self.size

    def XMLDesc(self, _flags: int) -> str:
        return f"<volume><capacity>{self.known}</capacity></volume>"

    def resize(self, size: int, _flags: int) -> None:
        self.calls.append(f"resize {size}")
        self.known = self.size = -(-size // 4) * 4


class Asking:
    """A host whose calls are simply made."""

    def ask(self, function: Any, *given: Any) -> Any:
        return function(*given)


def test_a_device_grows_before_its_guest_hears_of_it() -> None:
    """What has been made larger by other means is not made so again."""
    for known, size, calls, end in ((8, 8, ["refresh", "resize 15"], 16), (8, 16, ["refresh"], 16)):
        device = Device(known, size)
        assert grown(Asking(), device, 15) == end  # type: ignore[arg-type]
        assert device.calls == calls


def test_what_a_file_is(tmp_path: Path) -> None:
    path = tmp_path / "image"
    path.write_bytes(b"\0" * 1000)
    assert (examine({"path": str(path)}).format, examine({"path": str(path)}).capacity) == ("raw", 1000)
    for version in (2, 3):
        path.write_bytes(qcow2(version))
        assert (examine({"path": str(path)}).format, examine({"path": str(path)}).capacity) == ("qcow2", 5 * 1024**2)
    good = hashlib.sha256(path.read_bytes()).hexdigest()
    assert examine({"path": str(path), "checksum": good}).size == len(path.read_bytes())
    with pytest.raises(InvalidOption, match="checksum"):
        examine({"path": str(path), "checksum": "0" * 64})
    for content in (qcow2(backing=104), qcow2(features=4)):
        path.write_bytes(content)
        with pytest.raises(InvalidOption, match="another file"):
            examine({"path": str(path)})
        with pytest.raises(InvalidOption, match=r"import\.format"):
            examine({"path": str(path), "format": "raw"})
    for magic in (b"KDMV", b"# Disk DescriptorFile", b"QED\0", b"conectix", b"vhdxfile", b"<<< Oracle VM"):
        path.write_bytes(magic.ljust(600, b"\0"))
        with pytest.raises(InvalidOption, match="qemu-img convert"):
            examine({"path": str(path), "format": "raw"})


@pytest.mark.parametrize("name", ["a", "a.qcow2", "web-1_x", "a+b@c", "0"])
def test_names(name: str) -> None:
    check_name(name)


@pytest.mark.parametrize(
    "name", ["", "<x/>", 'a"b', "a b", "a\nb", "a/b", "..", "a..b", ".a", "-a", "a'b", "a&b", "é", "a" * 201]
)
def test_what_is_no_name(name: str) -> None:
    with pytest.raises(InvalidOption):
        check_name(name)
