# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a guest's disks are made from, and which of them go with it: never what is somebody else's."""

from __future__ import annotations

import functools
import hashlib
import http.server
import json
import os
import subprocess
import threading
from collections.abc import Mapping
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from tests.support.module_process import module_environment
from tests.support.paths import SYSTEM_PYTHON

from .driver import Driver, actions, fill

SPREAD = True


def image(path: Path, size: str = "4M", kind: str = "qcow2", *options: str) -> Path:
    subprocess.run(["qemu-img", "create", "-q", "-f", kind, *options, str(path), *([size] if size else [])], check=True)
    return path


def info(path: str | Path) -> dict:
    return json.loads(
        subprocess.run(["qemu-img", "info", "--output=json", str(path)], capture_output=True, check=True).stdout
    )


def vol(driver: Driver, name: str, pool: str = "default") -> str:
    return str(driver.host.pools / pool / name)


@pytest.mark.parametrize("remove", [False, True])
def test_a_guest_and_its_own_disks(driver: Driver, remove: bool) -> None:
    driver.make(
        state="present",
        disks=[{"size": "4MiB"}, {"size": "4MiB", "format": "raw"}],
        cloud_init={"user_data": "#cloud-config\n{}\n"},
    )
    before = driver.volumes()
    assert len(before) == 3 and {"kt-guest-vda.qcow2", "kt-guest-vdb.raw"} < set(before)
    done = driver.change(state="absent", remove_storage=remove)
    assert actions(done) == ["remove"] and done["guest"] is None
    assert driver.volumes() == ([] if remove else before)
    assert [os.path.basename(path) for path in done["plan"][-1]["before"].get("volumes", [])] == (
        before if remove else []
    )


def test_what_is_never_removed(driver: Driver, words: Mapping[str, str], tmp_path: Path) -> None:
    """A CD, a shared and a read-only disk, another guest's volume, a backing file, a file outside of pools, a block
    device.
    """
    pool = driver.host.pools / "default"
    for name in ("iso.iso", "shared.raw", "readonly.raw", "theirs.raw"):
        image(pool / name, "1M", "raw")
    image(pool / "base.qcow2", "1M")
    outside = image(tmp_path / "outside.raw", "1M", "raw")
    driver.volumes()
    disks = [
        {"target": "vda", "size": "1MiB"},
        {"target": "sdc", "device": "cdrom", "path": vol(driver, "iso.iso")},
        {"target": "vdb", "path": vol(driver, "shared.raw"), "shareable": True},
        {"target": "vdc", "path": vol(driver, "readonly.raw"), "read_only": True},
        {"target": "vdd", "path": vol(driver, "theirs.raw")},
        {"target": "vde", "path": vol(driver, "base.qcow2"), "format": "qcow2"},
        {"target": "vdf", "path": str(outside)},
        {"target": "vdg", "path": "/dev/zero"},
    ]
    driver.make(state="present", disks=disks)
    image(pool / "over.qcow2", "", "qcow2", "-b", str(pool / "base.qcow2"), "-F", "qcow2")
    other = driver.of("kt-other")
    other.make(state="present", disks=[{"target": "vda", "path": vol(driver, "theirs.raw")}])
    done = driver.change(state="absent", remove_storage=True)
    assert done["plan"][-1]["before"]["volumes"] == [vol(driver, "kt-guest-vda.qcow2")]
    assert driver.volumes() == ["base.qcow2", "iso.iso", "over.qcow2", "readonly.raw", "shared.raw", "theirs.raw"]
    assert outside.exists()
    other.change(state="absent", remove_storage=True)
    assert "theirs.raw" not in driver.volumes()


def test_what_another_guest_stands_on_is_not_removed(driver: Driver, tmp_path: Path) -> None:
    """Its disk lies in no pool, and it is off."""
    driver.make(state="present", disks=[{"size": "1MiB"}, {"size": "1MiB"}])
    top = image(tmp_path / "top.qcow2", "", "qcow2", "-b", vol(driver, "kt-guest-vda.qcow2"), "-F", "qcow2")
    other = driver.of("kt-other")
    other.make(state="present", disks=[{"path": str(top), "format": "qcow2"}])
    foreseen = driver.run(check=True, state="absent", remove_storage=True)
    assert foreseen["plan"][-1]["before"]["volumes"] == [vol(driver, "kt-guest-vdb.qcow2")]
    top.rename(tmp_path / "elsewhere")
    driver.refused("cannot be seen", "kt-other", str(top), state="absent", remove_storage=True)
    (tmp_path / "elsewhere").rename(top)
    driver.change(state="absent", remove_storage=True)
    assert driver.volumes() == ["kt-guest-vda.qcow2"]


def test_a_disk_of_its_own_that_is_gone_is_no_reason_to_keep_a_guest(driver: Driver, tmp_path: Path) -> None:
    gone = image(tmp_path / "gone.qcow2", "1M")
    driver.make(state="present", disks=[{"size": "1MiB"}, {"path": str(gone), "format": "qcow2"}])
    gone.unlink()
    driver.change(state="absent", remove_storage=True)
    assert driver.names() == [] and driver.volumes() == []


def test_what_was_removed_beside_libvirt_is_made_again(driver: Driver) -> None:
    """Its pool still lists it."""
    task = {"state": "present", "disks": [{"size": "1MiB"}], "cloud_init": {"user_data": "one"}}
    driver.make(**task)
    driver.host.virsh("undefine", driver.name)
    files = sorted((driver.host.pools / "default").iterdir())
    for path in files:
        path.unlink()
    driver.change(**task)
    assert sorted((driver.host.pools / "default").iterdir()) == files and len(files) == 2


def test_a_guest_with_all_that_libvirt_keeps_for_it(driver: Driver) -> None:
    """nvram, the state of a TPM, a saved memory image, snapshots."""
    driver.make(state="running", firmware="uefi", memory="128MiB", disks=[{"size": "4MiB"}])
    driver.host.virsh("managedsave", driver.name)
    assert driver.run(state="present")["guest"]["state"] == "stopped"
    driver.change(state="absent", remove_storage=True, memory=...)
    assert driver.names() == [] and driver.volumes() == []
    driver.make(
        state="present", disks=[{"size": "4MiB"}], tpm={"model": "tpm-crb", "version": "2.0", "type": "emulator"}
    )
    driver.host.virsh("snapshot-create-as", driver.name, "kt-snapshot")
    driver.change(state="absent", remove_storage=True)
    assert driver.names() == [] and driver.volumes() == []


@pytest.mark.parametrize("clone", ["full", "linked"])
@pytest.mark.parametrize("where", ["image", "volume", "pool-image"])
def test_made_from_an_image(driver: Driver, tmp_path: Path, clone: str, where: str) -> None:
    pool = driver.host.pools / "kt-pool"
    path = image((tmp_path if where == "image" else pool) / "base.qcow2", "4M")
    subprocess.run(["qemu-io", "-c", "write -P 0x4b 0 64k", str(path)], check=True, capture_output=True)
    driver.volumes("kt-pool")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    source = (
        {"volume": "base.qcow2", "pool": "kt-pool"}
        if where == "volume"
        else {"image": str(path), "checksum": f"sha256:{digest}"}
    )
    given = {"state": "present", "disks": [{"size": "8MiB"}, {"size": "1MiB"}], "source": {**source, "clone": clone}}
    made = driver.change(**given)
    assert made["guest"]["image"] == ("kt-pool/base.qcow2" if where == "volume" else str(path))
    mine = vol(driver, "kt-guest-vda.qcow2")
    assert info(mine)["virtual-size"] == 8 * 1024**2
    assert info(mine).get("backing-filename") == (str(path) if clone == "linked" else None)
    subprocess.run(["qemu-io", "-c", "read -P 0x4b 0 64k", mine], check=True, capture_output=True)
    driver.change(state="absent", remove_storage=True)
    assert driver.volumes() == [] and path.exists() and hashlib.sha256(path.read_bytes()).hexdigest() == digest


def test_a_linked_disk_stays_on_what_a_link_led_to(driver: Driver, tmp_path: Path) -> None:
    """The link may be told to lead elsewhere: the disk would break."""
    base, link = image(tmp_path / "base-1.qcow2"), tmp_path / "base.qcow2"
    link.symlink_to(base)
    driver.make(state="present", disks=[{"size": "8MiB"}], source={"image": str(link), "clone": "linked"})
    assert info(vol(driver, "kt-guest-vda.qcow2"))["backing-filename"] == str(base)
    link.unlink()
    link.symlink_to(image(tmp_path / "base-2.qcow2"))
    driver.again(state="present", disks=[{"size": "8MiB"}], source={"image": str(link), "clone": "linked"})


def test_made_from_an_image_on_the_web(driver: Driver, tmp_path: Path) -> None:
    """Fetched once, and known by its content from then on."""
    path = image(tmp_path / "base.qcow2", "4M")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    asked = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            super().do_GET()

    with http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Handler, directory=str(tmp_path))
    ) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/base.qcow2"
        for name, clone in (("kt-one", "full"), ("kt-two", "linked")):
            driver.of(name).change(
                state="present",
                disks=[{"size": "8MiB"}],
                source={"image": url, "checksum": f"sha256:{digest}", "clone": clone},
            )
        driver.run(
            name="kt-three",
            state="present",
            disks=[{"size": "8MiB"}],
            source={"image": url + "x", "checksum": f"sha256:{'1' * 64}"},
        )
        server.shutdown()
    assert asked == ["/base.qcow2", "/base.qcow2x"]
    assert driver.volumes() == [f"kraal-base-{digest[:32]}", "kt-one-vda.qcow2", "kt-two-vda.qcow2"]
    driver.of("kt-two").change(state="absent", remove_storage=True)
    assert driver.volumes() == [f"kraal-base-{digest[:32]}", "kt-one-vda.qcow2"]


def test_the_wrong_image_is_refused(driver: Driver, tmp_path: Path) -> None:
    path = image(tmp_path / "base.qcow2")
    driver.refused(
        "source.checksum",
        state="present",
        disks=[{"size": "8MiB"}],
        source={"image": str(path), "checksum": "sha256:" + "0" * 64},
    )
    driver.refused(
        "source.checksum",
        "missing",
        state="present",
        disks=[{"size": "8MiB"}],
        source={"image": "http://127.0.0.1:9/x.qcow2"},
    )
    driver.refused(
        "source.volume", "does not exist", state="present", disks=[{"size": "8MiB"}], source={"volume": "nothing"}
    )
    driver.refused(
        "source.image",
        "cannot be read",
        state="present",
        disks=[{"size": "8MiB"}],
        source={"image": str(tmp_path / "nothing")},
    )
    driver.refused("source", "no disk", state="present", source={"image": str(path)})
    driver.refused(
        "is qcow2",
        "to be raw",
        "convert",
        state="present",
        disks=[{"size": "8MiB", "format": "raw"}],
        source={"image": str(path)},
    )


def test_what_is_incomplete_is_no_source_and_no_disk(driver: Driver) -> None:
    """The run of kvm_volume that was making it died, and half of a volume looks like a volume."""
    path = image(driver.host.pools / "kt-pool" / "base.qcow2", "4M")
    mark = Path(f"{path}.kraal-incomplete")
    mark.touch()
    driver.volumes("kt-pool")
    given = {"state": "present", "disks": [{"size": "8MiB"}]}
    driver.refused("source.volume", "incomplete", **given, source={"volume": path.name, "pool": "kt-pool"})
    driver.refused("source.image", "incomplete", **given, source={"image": str(path)})
    driver.refused("disks[vda]", "incomplete", state="present", disks=[{"path": str(path)}])
    driver.refused("disks[vda]", "incomplete", state="present", disks=[{"pool": "kt-pool", "volume": path.name}])
    mark.unlink()
    driver.volumes("kt-pool")
    driver.change(state="present", disks=[{"path": str(path)}])


def test_libvirt_copies_a_volume_into_another_format(driver: Driver) -> None:
    path = image(driver.host.pools / "kt-pool" / "base.qcow2", "4M")
    driver.volumes("kt-pool")
    driver.change(state="present", disks=[{"size": "8MiB", "format": "raw"}], source={"image": str(path)})
    mine = info(vol(driver, driver.volumes()[0]))
    assert (mine["format"], mine["virtual-size"]) == ("raw", 8 * 1024**2)


def test_an_installation(driver: Driver, words: Mapping[str, str]) -> None:
    given = {"state": "present", "disks": [{"size": "8MiB"}], "source": {"iso": words["iso"]}}
    driver.change(**given)
    disks = [
        (each.find("target").get("dev"), each.get("device"), each.find("boot").get("order"))
        for each in driver.xml().iterfind("devices/disk")
    ]
    assert sorted(disks) == [("sda", "cdrom", "2"), ("vda", "disk", "1")]


def test_the_installation_stays_where_other_disks_are_purged(driver: Driver, words: Mapping[str, str]) -> None:
    given = {"state": "present", "disks": [{"size": "8MiB"}], "source": {"iso": words["iso"]}, "purge": ["disks"]}
    driver.change(**given)
    driver.host.virsh("attach-disk", driver.name, words["iso2"], "sdb", "--type", "cdrom", "--config")
    done = driver.change(**given)
    assert actions(done) == ["set disks[sdb]"]
    gone = driver.change(**{**given, "source": ...})
    assert actions(gone) == ["set disks[sda]"]


def test_a_disk_on_a_backing_image(driver: Driver) -> None:
    base = image(driver.host.pools / "kt-pool" / "base.qcow2", "4M")
    driver.change(state="present", disks=[{"backing": str(base), "backing_format": "qcow2"}])
    found = info(vol(driver, "kt-guest-vda.qcow2"))
    assert (found["backing-filename"], found["virtual-size"]) == (str(base), 4 * 1024**2)


def test_a_disk_is_not_made_smaller_and_not_taken_for_new(driver: Driver) -> None:
    driver.make(state="present", disks=[{"size": "8MiB"}])
    driver.refused("disks[vda].size", "not made smaller", state="present", disks=[{"size": "4MiB"}])
    driver.change(state="absent")
    # The volume is there: it is the guest's again, with its content.
    again = driver.change(state="present", disks=[{"size": "8MiB"}])
    assert "volumes" not in again["plan"][0]["after"]
    driver.change(state="absent")
    driver.refused("disks[vda].size", "has 8MiB", state="present", disks=[{"size": "4MiB"}])
    grown = driver.change(state="present", disks=[{"size": "16MiB"}])
    assert grown.changed and info(vol(driver, "kt-guest-vda.qcow2"))["virtual-size"] == 16 * 1024**2


def add_disk(driver: Driver, text: str) -> None:
    """Beside the module, as another program does."""
    root = driver.xml()
    root.find("devices").append(ET.fromstring(text))
    driver.host.define("", ET.tostring(root, encoding="unicode"))


@pytest.mark.parametrize("state", ["present", "running"])
def test_a_disk_that_is_named_by_its_volume(driver: Driver, state: str) -> None:
    image(driver.host.pools / "default" / "a.qcow2", "4M")
    driver.volumes()
    driver.make(state="present")
    add_disk(
        driver,
        "<disk type='volume' device='disk'><driver name='qemu' type='qcow2'/><source pool='default' "
        "volume='a.qcow2'/><target dev='vda' bus='virtio'/></disk>",
    )
    driver.make(state=state)
    disk = {"target": "vda", "volume": "a.qcow2"}
    for same in (
        disk,
        {"target": "vda", "path": vol(driver, "a.qcow2")},
        {"target": "vda", "size": "4MiB"},
        {**disk, "size": "4MiB", "format": "qcow2"},
    ):
        driver.again(state=state, disks=[same])
    assert actions(driver.change(state=state, disks=[{**disk, "size": "8MiB"}])) == ["resize disks[vda]"]
    assert actions(driver.change(state="stopped", disks=[{**disk, "size": "16MiB", "cache": "none"}]))[:2] == [
        "resize disks[vda]",
        "set disks[vda]",
    ]
    source = driver.xml().find("devices/disk/source")
    assert (source.get("pool"), source.get("volume")) == ("default", "a.qcow2")
    done = driver.change(state="absent", remove_storage=True)
    assert done["plan"][-1]["before"]["volumes"] == [vol(driver, "a.qcow2")] and driver.volumes() == []


def test_a_disk_that_may_be_missing_is_kept(driver: Driver) -> None:
    """Whoever says so has it come and go: it is not the guest's alone."""
    path = image(driver.host.pools / "default" / "a.raw", "1M", "raw")
    driver.volumes()
    driver.make(state="present", disks=[{"size": "1MiB"}])
    add_disk(
        driver,
        f"<disk type='file' device='disk'><source file='{path}' startupPolicy='optional'/><target dev='vdb' "
        "bus='virtio'/></disk>",
    )
    done = driver.change(state="absent", remove_storage=True)
    assert done["plan"][-1]["before"]["volumes"] == [vol(driver, "kt-guest-vda.qcow2")] and driver.volumes() == [
        "a.raw"
    ]


LUN = "/dev/disk/by-path/ip-192.0.2.1:3260-iscsi-iqn.2026-01.org.example:one-lun-1"
#: For libvirt's own driver for tests, which has pools of all kinds.
NODE = f"""<node>
<domain type='test'><name>kt-guest</name><memory>65536</memory><os><type>hvm</type></os></domain>
<pool type='iscsi'><name>san</name><source><host name='192.0.2.1'/><device path='iqn.2026-01.org.example:one'/></source>
<target><path>/dev/disk/by-path</path></target>
<volume type='block'><name>unit:0:0:1</name><key>1</key><capacity>8388608</capacity><target><path>{LUN}</path></target></volume></pool>
<pool type='rbd'><name>ceph</name><source><host name='192.0.2.1'/><name>vms</name></source></pool>
</node>"""
#: Looks and plans as a task does; takes the URI, and the disks of one task after another.
PLANNING = """
import json, sys
from ansible_collections.kraal.virt.plugins.module_utils.backends.kvm import client
from ansible_collections.kraal.virt.plugins.module_utils.backends.kvm.vm import survey as vm_survey
from ansible_collections.kraal.virt.plugins.module_utils.backends.kvm.vm.options import VMS
host = client.connect({"uri": sys.argv[1]})
spec = {name: option.get("default") for name, option in VMS.argument_spec().items()}
for disk in json.loads(sys.argv[2]):
    want = VMS.read({**spec, "name": "kt-guest", "state": "present", "disks": [disk]})
    seen = vm_survey.survey(host, [want])
    done = seen.compared.get("kt-guest")
    if done:
        print([done.want.values["disks"]["vda"][key] for key in ("path", "format")], [each.path for each in done.making])
    else:
        print(seen.faults["kt-guest"])
"""


def test_a_volume_is_where_its_pool_says(tmp_path: Path) -> None:
    """On pools of devices its path is not its name; on pools of the network it has none."""
    node = tmp_path / "node.xml"
    node.write_text(NODE, encoding="utf-8")
    disks = [{"pool": "san", "volume": "unit:0:0:1"}, {"path": LUN}, {"pool": "san", "volume": "unit:0:0:2"}, {"pool": "san", "size": "1MiB"},
             {"pool": "ceph", "volume": "web"}, {"pool": "ceph", "size": "1MiB"}]  # fmt: skip
    command = [SYSTEM_PYTHON, "-c", PLANNING, f"test://{node}", json.dumps(disks)]
    done = subprocess.run(command, env=module_environment(), capture_output=True, text=True, check=True)
    found = done.stdout.splitlines()
    assert found[:2] == [str([LUN, "raw"]) + " []"] * 2
    assert (
        "disks[vda].volume" in found[2]
        and "'unit:0:0:2' is not in the pool san" in found[2]
        and "virsh vol-list san" in found[2]
    )
    assert "disks[vda].volume" in found[3] and "'kt-guest-vda' is not in the pool san" in found[3]
    for line in found[4:]:
        assert "disks[vda].pool: 'ceph' is a pool of the type rbd" in line and "rbd://HOST/POOL/IMAGE" in line


def formats(driver: Driver, target: str = "vda") -> tuple[str | None, str]:
    """What libvirt takes a disk's image for, and what it is."""
    found = next(each for each in driver.xml().iterfind("devices/disk") if each.find("target").get("dev") == target)
    return found.find("driver").get("type"), info(found.find("source").get("file"))["format"]


def test_a_disk_is_never_taken_for_what_it_is_not(driver: Driver) -> None:
    """A guest that sees a qcow2 file as raw writes over its header."""
    driver.make(state="present", disks=[{"size": "4MiB"}])
    driver.refused(
        "disks[vda].format", "qcow2", "qemu-img convert", state="present", disks=[{"target": "vda", "format": "raw"}]
    )
    driver.again(state="present", disks=[{"target": "vda", "format": "qcow2"}])
    driver.change(state="absent")
    driver.refused(
        "disks[vda].format", "is qcow2", state="present", disks=[{"volume": "kt-guest-vda.qcow2", "format": "raw"}]
    )
    driver.refused(
        "disks[sda].format",
        "is qcow2",
        state="present",
        disks=[{"device": "cdrom", "path": vol(driver, "kt-guest-vda.qcow2"), "format": "raw"}],
    )
    driver.make(state="present", disks=[{"size": "4MiB", "format": "raw"}])
    driver.refused(
        "disks[vdb].format",
        "is qcow2",
        state="present",
        disks=[{"target": "vdb", "volume": "kt-guest-vda.qcow2", "format": "raw"}],
    )


@pytest.mark.parametrize("there", [True, False])
def test_another_image_brings_its_own_format(driver: Driver, there: bool) -> None:
    driver.make(state="present", disks=[{"size": "4MiB", "format": "raw"}])
    if there:
        image(driver.host.pools / "default" / "other.qcow2", "4M")
        driver.volumes()
    driver.change(state="present", disks=[{"target": "vda", "volume": "other.qcow2", "size": "4MiB"}])
    assert formats(driver) == ("qcow2", "qcow2")
    driver.refused(
        "disks[vda].format",
        "is raw",
        state="present",
        disks=[{"target": "vda", "volume": "kt-guest-vda.raw", "format": "qcow2"}],
    )
    driver.change(state="present", disks=[{"target": "vda", "volume": "kt-guest-vda.raw"}])
    assert formats(driver) == ("raw", "raw")


@pytest.mark.parametrize("way", ["source", "backing"])
def test_what_stands_on_an_image_is_qcow2_whatever_it_is_called(driver: Driver, way: str) -> None:
    base = image(driver.host.pools / "kt-pool" / "base.qcow2", "4M")
    driver.volumes("kt-pool")
    disk = {
        "volume": "web.img",
        "size": "8MiB",
        **({"backing": str(base), "backing_format": "qcow2"} if way == "backing" else {}),
    }
    source = {"image": str(base), "clone": "linked"} if way == "source" else ...
    driver.refused(
        "disks[vda].format", "'raw'", "Leave", state="present", disks=[{**disk, "format": "raw"}], source=source
    )
    driver.change(state="present", disks=[disk], source=source)
    assert formats(driver) == ("qcow2", "qcow2")
    assert info(vol(driver, "web.img"))["backing-filename"] == str(base)


def test_the_seed_is_what_was_asked_for_and_made_only_when_that_changes(driver: Driver, tmp_path: Path) -> None:
    first = {
        "user_data": "#cloud-config\nhostname: kt\n",
        "meta_data": {"instance-id": "kt-1"},
        "network_config": {"version": 2},
    }
    driver.change(state="present", cloud_init=first)
    (name,) = driver.volumes()
    path, state = vol(driver, name), os.stat(vol(driver, name))
    driver.again(state="present", cloud_init=first)
    assert os.stat(path).st_mtime_ns == state.st_mtime_ns
    listing = subprocess.run(["isoinfo", "-d", "-i", path], capture_output=True, text=True, check=True).stdout
    assert "Volume id: cidata" in listing
    content = {
        file: subprocess.run(
            ["isoinfo", "-R", "-x", f"/{file}", "-i", path], capture_output=True, text=True, check=True
        ).stdout
        for file in ("user-data", "meta-data", "network-config")
    }
    assert (
        content["user-data"] == first["user_data"]
        and '"instance-id": "kt-1"' in content["meta-data"]
        and '"version": 2' in content["network-config"]
    )
    changed = driver.change(state="present", cloud_init={**first, "user_data": {"password": "kt-hush"}})
    assert "kt-hush" not in str(changed.json["plan"]) + str(changed.json["diff"])
    (other,) = driver.volumes()
    assert other != name


def test_words(words: Mapping[str, str]) -> None:
    assert fill("<net1>", words) == "kt-net1"
