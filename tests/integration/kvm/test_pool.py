# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""kvm_pool against a real libvirtd.

Directories are used; what stands on devices or other machines is tested as a definition.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.support.libvirt_daemon import LibvirtDaemon
from tests.support.libvirt_driver import LibvirtModule

NAME = "kt-pool"
UUID1, UUID2 = "3b1bd1c2-0c1e-4a5f-9b8f-4cb6a3a6f0d8", "3b1bd1c2-0c1e-4a5f-9b8f-4cb6a3a6f0d9"
FS = {"type": "fs", "path": "/kt/fs", "devices": ["/dev/kt1"], "build": False}
ISCSI = {"type": "iscsi", "path": "/dev/disk/by-path", "host": "192.0.2.1", "devices": ["iqn.2026-01.org.example:one"]}
NETFS = {"type": "netfs", "path": "/kt/nfs", "host": "192.0.2.1", "source_path": "/srv/one", "build": False}
DISK = {"type": "disk", "path": "/dev", "devices": ["/dev/kt1"]}
SCSI = {"type": "scsi", "path": "/dev/disk/by-path"}
DIRECT = {**ISCSI, "type": "iscsi-direct", "initiator": "iqn.2026-01.org.example:a"}
del DIRECT["path"]
GLUSTER = {"type": "gluster", "host": "192.0.2.1", "source_name": "volume1"}
VSTORAGE = {"type": "vstorage", "path": "/kt/vstorage", "build": False}
FIBRE = {"wwnn": "20000000c9831b4b", "wwpn": "10000000c9831b4b"}
RBD = {"type": "rbd", "host": "192.0.2.1", "source_name": "pool1"}
GUEST = """<domain type='qemu'><name>kt-guest</name><memory unit='MiB'>32</memory><os><type arch='x86_64'>hvm</type></os>
<devices><disk type='{type}' device='disk'>{source}<target dev='vda' bus='virtio'/></disk></devices></domain>"""


@dataclass(frozen=True)
class Row:
    """One option's way from its first value to its second, and where virsh shows it."""

    option: str
    base: dict[str, Any]
    first: Any
    second: Any
    path: str
    attribute: str = ""
    seen: tuple[Any, Any] = ("", "")
    about: str = ""
    same: tuple[Any, ...] = ()
    extra: dict[str, Any] = field(default_factory=dict)


ROWS = (
    Row("path", FS, "/kt/one", "/kt/two/", "target/path", seen=("/kt/one", "/kt/two"), same=("/kt//two",)),
    Row("path", ISCSI, "/dev/disk/by-path", "/dev/disk/by-id", "target/path", seen=("/dev/disk/by-path", "/dev/disk/by-id"), about="iscsi"),
    Row("devices", FS, ["/dev/kt1"], ["/dev/kt2"], "source/device", "path", ("/dev/kt1", "/dev/kt2")),
    Row("devices", ISCSI, ["iqn.2026-01.org.example:one"], ["iqn.2026-01.org.example:two"], "source/device", "path",
        ("iqn.2026-01.org.example:one", "iqn.2026-01.org.example:two"), "iscsi"),
    Row("devices", {"type": "logical"}, ["/dev/kt1", "/dev/kt2"], ["/dev/kt2"], "source/device", "path", ("/dev/kt1", "/dev/kt2"), "logical"),
    Row("source_name", {"type": "logical"}, "vg1", "vg2", "source/name", seen=("vg1", "vg2")),
    Row("source_name", {"type": "zfs"}, "tank", "tank/kt", "source/name", seen=("tank", "tank/kt"), about="zfs"),
    Row("source_name", RBD, "pool1", "pool2", "source/name", seen=("pool1", "pool2"), about="rbd"),
    Row("host", RBD, "192.0.2.1", "ceph.example.org", "source/host", "name", ("192.0.2.1", "ceph.example.org")),
    Row("port", RBD, 6789, 6790, "source/host", "port", ("6789", "6790")),
    Row("port", ISCSI, 3260, 3261, "source/host", "port", ("3260", "3261"), "iscsi"),
    Row("initiator", ISCSI, "iqn.2026-01.org.example:a", "iqn.2026-01.org.example:b", "source/initiator/iqn", "name",
        ("iqn.2026-01.org.example:a", "iqn.2026-01.org.example:b")),
    Row("format", FS, "ext4", "xfs", "source/format", "type", ("ext4", "xfs")),
    Row("format", {"type": "logical"}, "lvm2", "unknown", "source/format", "type", ("lvm2", "unknown"), "logical"),
    Row("format", NETFS, "nfs", "auto", "source/format", "type", ("nfs", "auto"), "netfs"),
    Row("format", DISK, "dos", "gpt", "source/format", "type", ("dos", "gpt"), "disk"),
    Row("source_path", NETFS, "/srv/one", "/srv/two", "source/dir", "path", ("/srv/one", "/srv/two")),
    Row("source_path", GLUSTER, "/one", "/two", "source/dir", "path", ("/one", "/two"), "gluster"),
    Row("host", NETFS, "192.0.2.1", "nfs.example.org", "source/host", "name", ("192.0.2.1", "nfs.example.org"), "netfs"),
    Row("devices", DISK, ["/dev/kt1"], ["/dev/kt2"], "source/device", "path", ("/dev/kt1", "/dev/kt2"), "disk"),
    Row("devices", DIRECT, ["iqn.2026-01.org.example:one"], ["iqn.2026-01.org.example:two"], "source/device", "path",
        ("iqn.2026-01.org.example:one", "iqn.2026-01.org.example:two"), "iscsi-direct"),
    Row("path", {"type": "mpath"}, "/dev/mapper", "/dev/disk/by-id", "target/path", seen=("/dev/mapper", "/dev/disk/by-id"), about="mpath"),
    Row("adapter", SCSI, {"name": "scsi_host1"}, {"name": "scsi_host2"}, "source/adapter", "name", ("scsi_host1", "scsi_host2")),
    Row("adapter", SCSI, {"name": "scsi_host1"}, {**FIBRE, "parent": "scsi_host2"}, "source/adapter", "wwnn", (None, FIBRE["wwnn"]), "fibre"),
    Row("source_name", VSTORAGE, "cluster1", "cluster2", "source/name", seen=("cluster1", "cluster2"), about="vstorage"),
    Row("auth", RBD, {"username": "a", "secret_uuid": UUID1}, {"username": "b", "secret_uuid": UUID2.upper()}, "source/auth/secret", "uuid",
        (UUID1, UUID2)),
    Row("auth", ISCSI, {"username": "a", "secret_usage": "one"}, {"username": "a", "secret_usage": "two"}, "source/auth/secret", "usage",
        ("one", "two"), "iscsi"),
)  # fmt: skip


def label(row: Row) -> str:
    return f"{row.option} {row.about}".strip()


def shown(daemon: LibvirtDaemon) -> ET.Element:
    return ET.fromstring(daemon.virsh("pool-dumpxml", NAME, "--inactive"))


def look(daemon: LibvirtDaemon, row: Row) -> Any:
    found = shown(daemon).find(row.path)
    return None if found is None else found.get(row.attribute) if row.attribute else found.text


def test_every_option_has_a_row() -> None:
    from ansible_collections.kraal.virt.plugins.module_utils.backends.kvm.storage.pool_options import POOL_OPTIONS

    assert {option.name for option in POOL_OPTIONS} == {row.option for row in ROWS} | {"type", "autostart"}


def types(daemon: LibvirtDaemon) -> set[str]:
    """The types of pools that libvirt has a part for."""
    said = ET.fromstring(daemon.virsh("pool-capabilities"))
    return {each.get("type", "") for each in said.findall("pool") if each.get("supported") == "yes"}


@pytest.mark.parametrize("row", ROWS, ids=label)
def test_option(pool: LibvirtModule, clean: LibvirtDaemon, row: Row) -> None:
    """Create, again, change, again, as a definition. What this libvirt cannot have is refused before it is touched."""
    if row.base["type"] not in types(clean):
        words = f"libvirt-daemon-driver-storage-{row.base['type']}"
        pool.refused("has no pools", words, name=NAME, state="present", **{**row.base, row.option: row.first})
        return
    first = {"name": NAME, "state": "present", **row.base, row.option: row.first}
    second = {**first, row.option: row.second}
    made = pool.change(**first)
    assert made["pool"]["state"] == "inactive"
    assert look(clean, row) == row.seen[0]
    before = shown(clean).findtext("uuid")
    changed = pool.change(**second, disruption="none")
    assert look(clean, row) == row.seen[1]
    assert [step["key"] for step in changed["plan"]] == [row.option]
    assert shown(clean).findtext("uuid") == before
    for value in row.same:
        pool.again(**{**second, row.option: value})
    pool.change(name=NAME, state="absent")


def directory(daemon: LibvirtDaemon, name: str = "one") -> dict[str, Any]:
    return {"name": NAME, "type": "dir", "path": str(daemon.pools / name)}


def test_states(pool: LibvirtModule, clean: LibvirtDaemon) -> None:
    for state, word, actions in (
        ("present", "inactive", ["create"]),
        ("active", "active", ["start"]),
        ("present", "active", []),
        ("inactive", "inactive", ["stop"]),
        ("absent", None, ["remove"]),
        ("active", "active", ["create", "start"]),
        ("absent", None, ["stop", "remove"]),
        ("inactive", "inactive", ["create"]),
    ):
        done = pool.do(**directory(clean), state=state)
        assert [step["action"] for step in done["plan"]] == actions, state
        assert (done["pool"] or {}).get("state") == word
        pool.again(**directory(clean), state=state)
    assert (clean.pools / "one").is_dir()


def test_autostart(pool: LibvirtModule, clean: LibvirtDaemon) -> None:
    pool.change(**directory(clean), autostart=True)
    assert re.search(r"Autostart:\s+yes", clean.virsh("pool-info", NAME))
    pool.change(name=NAME, autostart=False, disruption="none")
    pool.change(name=NAME, autostart=True)


def test_a_change_waits_for_a_restart(pool: LibvirtModule, clean: LibvirtDaemon) -> None:
    pool.change(**directory(clean))
    (clean.pools / "two").mkdir()
    changed = pool.change(**directory(clean, "two"))
    assert changed["pool"]["pending_restart"] == ["path"]
    restarted = pool.change(**directory(clean, "two"), disruption="restart")
    assert [step["action"] for step in restarted["plan"]] == ["restart"]
    assert str(clean.pools / "two") in clean.virsh("pool-dumpxml", NAME)
    # The third place is not there: the second comes back.
    failed = pool.run(**directory(clean, "three"), disruption="restart")
    assert failed.failed and "put back" in failed.msg
    pool.again(**directory(clean, "two"))


def test_what_check_foresees_is_what_there_is(pool: LibvirtModule, clean: LibvirtDaemon) -> None:
    args = {**directory(clean), "autostart": True}
    foreseen, made = pool.check(**args)["pool"], pool.run(**args)["pool"]
    sizes = {"capacity": None, "allocation": None, "available": None}
    assert {**made, "id": "", **sizes} == {**foreseen, **sizes}
    assert made["capacity"]


def test_a_directory_that_is_there_stays_as_it_is(pool: LibvirtModule, clean: LibvirtDaemon) -> None:
    path = clean.pools / "one"
    path.mkdir(parents=True)
    path.chmod(0o770)
    (path / "file").write_text("mine", encoding="utf-8")
    pool.change(**directory(clean))
    pool.change(name=NAME, state="absent")
    assert path.stat().st_mode & 0o777 == 0o770
    assert (path / "file").read_text(encoding="utf-8") == "mine"


def test_build_may_be_forbidden(pool: LibvirtModule, clean: LibvirtDaemon) -> None:
    result = pool.run(**directory(clean), build=False)
    assert result.failed and "nothing was left" in result.msg
    assert not (clean.pools / "one").exists()
    assert clean.virsh("pool-list", "--all", "--name").split() == []


def test_nothing_is_left_of_a_pool_that_cannot_be_built(pool: LibvirtModule, clean: LibvirtDaemon) -> None:
    clean.pools.mkdir()
    (clean.pools / "one").write_text("a file", encoding="utf-8")
    result = pool.run(**directory(clean))
    assert result.failed and "one" in result.msg
    assert clean.virsh("pool-list", "--all", "--name").split() == []


def test_a_pool_is_not_built_again(pool: LibvirtModule, clean: LibvirtDaemon) -> None:
    """Its directory is gone: it may be a disk that is not mounted, and an empty directory would hide that."""
    pool.change(**directory(clean), state="inactive")
    (clean.pools / "one").rmdir()
    assert pool.run(**directory(clean)).failed
    assert not (clean.pools / "one").exists()


@pytest.mark.parametrize("by", ["name", "path", "link"])
def test_what_a_guest_uses_stays(pool: LibvirtModule, clean: LibvirtDaemon, by: str) -> None:
    pool.change(**directory(clean))
    path = clean.pools / "one"
    if by == "link":
        path = clean.directory / "link"
        path.symlink_to(clean.pools / "one")
    if by == "name":
        clean.define("", GUEST.format(type="volume", source="<source pool='kt-pool' volume='one'/>"))
    else:
        clean.define("", GUEST.format(type="file", source=f"<source file='{path}/disk.qcow2'/>"))
    assert pool.run(**directory(clean))["pool"]["guests"] == ["kt-guest"]
    pool.refused("in use", "kt-guest", name=NAME, state="absent")
    pool.refused("in use", "kt-guest", name=NAME, state="inactive")
    pool.refused("in use", "kt-guest", **directory(clean, "two"), disruption="restart")


def test_crash_after_each_call(pool: LibvirtModule, clean: LibvirtDaemon) -> None:
    def nothing() -> None:
        assert not pool.run(name=NAME, state="absent").failed
        if (clean.pools / "one").exists():
            (clean.pools / "one").rmdir()

    def made() -> None:
        nothing()
        (clean.pools / "two").mkdir(parents=True, exist_ok=True)
        assert not pool.run(**directory(clean), autostart=True).failed

    for state in ("active", "inactive"):
        for result in pool.crashes(nothing, **directory(clean), autostart=True, state=state):
            assert (result["pool"]["state"], result["pool"]["autostart"]) == (state, True)
            assert (clean.pools / "one").is_dir()
    for result in pool.crashes(made, **directory(clean, "two"), autostart=False, disruption="restart"):
        assert result["pool"]["pending_restart"] == []
    for result in pool.crashes(made, name=NAME, state="absent"):
        assert result["pool"] is None
    assert (clean.pools / "one").is_dir()


def test_the_daemon_is_restarted_after_each_call(pool: LibvirtModule, clean: LibvirtDaemon) -> None:
    def nothing() -> None:
        assert not pool.run(name=NAME, state="absent").failed
        if (clean.pools / "one").exists():
            (clean.pools / "one").rmdir()

    def made() -> None:
        nothing()
        (clean.pools / "two").mkdir(parents=True, exist_ok=True)
        assert not pool.run(**directory(clean), autostart=True).failed

    for result in pool.restarts(nothing, **directory(clean), autostart=True):
        assert (result["pool"]["state"], result["pool"]["autostart"]) == ("active", True)
        assert (clean.pools / "one").is_dir()
    for result in pool.restarts(made, **directory(clean, "two"), autostart=False, disruption="restart"):
        assert result["pool"]["pending_restart"] == []
    for result in pool.restarts(made, name=NAME, state="absent"):
        assert result["pool"] is None
    assert (clean.pools / "one").is_dir()


def test_runs_at_once(pool: LibvirtModule, clean: LibvirtDaemon) -> None:
    pool.at_once(**directory(clean), autostart=True)
    (clean.pools / "two").mkdir()
    pool.at_once(**directory(clean, "two"), disruption="restart")
    pool.at_once(name=NAME, state="absent")


@pytest.mark.parametrize(
    ("words", "args"),
    [
        (["name", "slash"], {"name": "<x/>"}),
        (["name", 'a"b'], {"name": 'a"b'}),
        (["name", "control character"], {"name": "a\nb"}),
        (["path", "control character"], {"path": "/srv/a\nb"}),
        (["path", "absolute"], {"path": "srv"}),
        (["path", "absolute"], {"path": "/srv/../etc"}),
        (["path", "is needed"], {"path": None}),
        (["type", "is needed"], {"type": None}),
        (["type"], {"type": "tape"}),
        (["devices", "is needed"], {"type": "fs"}),
        (["devices", "not one device"], {"type": "fs", "devices": ["/dev/a", "/dev/b"]}),
        (["devices", "block device"], {"type": "fs", "devices": ["/dev/<x/>"]}),
        (["devices", "means nothing"], {"devices": ["/dev/a"]}),
        (["host", "is needed"], {"type": "iscsi", "devices": ["iqn.x"]}),
        (["source_name", "is needed"], {"type": "rbd", "path": None, "host": "h"}),
        (["path", "means nothing"], {"type": "rbd", "host": "h", "source_name": "p"}),
        (["auth", "exactly one secret"], {**RBD, "path": None, "auth": {"username": "a"}}),
        (["auth", "UUID"], {**RBD, "path": None, "auth": {"username": "a", "secret_uuid": "x"}}),
        (["auth.username"], {**RBD, "path": None, "auth": {"username": "a\nb", "secret_usage": "x"}}),
        (["format", "x y", "not understood"], {"type": "fs", "path": "/kt", "devices": ["/dev/kt"], "format": "x y"}),
        (["format", "is none with type=netfs", "nfs"], {**NETFS, "format": "ext4"}),
        (["format", "means nothing"], {"format": "lvm2"}),
        (["source_path", "is needed"], {**NETFS, "source_path": None}),
        (["source_path", "not understood"], {**NETFS, "source_path": "/srv/../etc"}),
        (["source_path", "means nothing"], {"source_path": "/srv"}),
        (["adapter", "exactly one adapter"], {**SCSI, "adapter": {"name": "scsi_host1", **FIBRE}}),
        (["adapter.wwnn", "not understood"], {**SCSI, "adapter": {**FIBRE, "wwnn": "x"}}),
        (["adapter.name", "scsi_host5"], {**SCSI, "adapter": {"name": "<x/>"}}),
        (["adapter", "is needed"], SCSI),
        (["devices", "not one device"], {**DISK, "devices": ["/dev/a", "/dev/b"]}),
        (["initiator", "x y", "iqn"], {"initiator": "x y"}),
        (["port", "65535"], {**RBD, "path": None, "port": 70000}),
        (["build", "means nothing"], {**RBD, "path": None, "build": True}),
    ],
)
def test_bad_input(pool: LibvirtModule, clean: LibvirtDaemon, words: list[str], args: dict[str, Any]) -> None:
    pool.refused(*words, **{key: value for key, value in {**directory(clean), **args}.items() if value is not None})
    assert clean.virsh("pool-list", "--all", "--name").split() == []
    assert not clean.pools.exists()


def test_rivals_and_types(pool: LibvirtModule, clean: LibvirtDaemon) -> None:
    pool.change(**{**directory(clean), "name": "kt-other"})
    pool.refused("path", "kt-other", **directory(clean))
    pool.change(**directory(clean, "two"))
    pool.refused("type", "dir", "logical", name=NAME, type="logical")
    # Disks and targets share a directory of the host's.
    shared = [each for each in (DISK, {**ISCSI, "path": "/dev"}) if each["type"] in types(clean)]
    assert shared
    for number, each in enumerate(shared):
        pool.change(name=f"kt-shared-{number}", state="present", **each)
