# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Snapshots, linked clones, mirrors and backups, made beside the module: the same task again never puts a guest back
on an older image.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.libvirt_daemon import LibvirtDaemon
from tests.support.libvirt_driver import LibvirtModule

from .driver import Driver, actions
from .test_storage import add_disk, image, info, vol

SPREAD = True


@pytest.fixture(scope="module")
def volumes(libvirt_daemon: LibvirtDaemon) -> Iterator[LibvirtModule]:
    with LibvirtModule("kraal.virt.kvm_volume", libvirt_daemon) as warm:
        yield warm


@dataclass
class Scene:
    """A guest on a disk of 4 MiB with data in it, and what is done to it beside the module."""

    driver: Driver
    scratch: Path

    @property
    def pool(self) -> Path:
        return self.driver.host.pools / "default"

    def virsh(self, command: str, *words: str) -> None:
        self.driver.host.virsh(command, self.driver.name, *words)

    def snapshot(self, name: str) -> None:
        self.virsh(
            "snapshot-create-as",
            name,
            "--disk-only",
            "--no-metadata",
            "--diskspec",
            f"vda,snapshot=external,file={self.pool}/g.{name}",
        )

    def backup(self) -> None:
        """One that another program fetches, and so goes on until it is told to end."""
        order = self.scratch / "backup.xml"
        order.write_text(
            f"<domainbackup mode='pull'><server transport='unix' socket='{self.scratch}/nbd'/><disks><disk "
            "name='vda' backup='yes' type='file'><scratch "
            f"file='{self.scratch}/scratch'/></disk></disks></domainbackup>",
            encoding="utf-8",
        )
        self.virsh("backup-begin", str(order))

    def copy(self) -> None:
        self.virsh("blockcopy", "vda", "--dest", str(self.scratch / "copy"), "--transient-job", "--wait")

    def commit(self) -> None:
        self.virsh("blockcommit", "vda", "--active", "--wait")

    def pull(self) -> None:
        # The whole of a request is let through, and the next one waits.
        self.virsh("blockpull", "vda", "--bandwidth", "1", "--bytes")

    def pull_whole(self) -> None:
        self.virsh("blockpull", "vda", "--wait")

    def move(self) -> None:
        self.virsh("blockcopy", "vda", "--dest", str(self.scratch / "moved"), "--transient-job", "--wait", "--pivot")

    def in_use(self) -> dict[str, str]:
        """The images of the disk, by libvirt's word: as it runs, and as it is stored."""
        sides = (
            {"live": (), "stored": ("--inactive",)} if self.driver.state() == "running" else {"stored": ("--inactive",)}
        )
        return {
            side: self.driver.host.virsh("domblklist", self.driver.name, *flag).split()[-1]
            for side, flag in sides.items()
        }

    def unmoved(self, **task: Any) -> None:
        """The task does nothing, under check and for real, and the disk has the image that it had."""
        before = self.in_use()
        checked = self.driver.module.check(**self.driver.arguments(**task))
        assert (checked.failed, checked["plan"]) == (False, []), checked.msg or checked["plan"]
        for _time in (1, 2):
            self.driver.again(**task)
        assert self.in_use() == before


@pytest.fixture
def scene(driver: Driver, tmp_path: Path) -> Scene:
    return Scene(driver, tmp_path)


def one(scene: Scene) -> None:
    scene.snapshot("one")


def three(scene: Scene) -> None:
    for name in ("one", "two", "three"):
        scene.snapshot(name)


def then(*steps: Callable[[Scene], None]) -> Callable[[Scene], None]:
    def act(scene: Scene) -> None:
        for step in steps:
            step(scene)

    act.__name__ = "-".join(step.__name__ for step in steps)
    return act


def made(scene: Scene, form: str, kind: str = "qcow2", **more: Any) -> dict[str, Any]:
    """A task whose disk is there already, and names it in one of the ways."""
    name = f"kt-guest-vda.{kind}" if form == "size" else f"g.{kind}"
    path = image(scene.pool / name, "4M", kind)
    # A job on an image without data is done at once.
    subprocess.run(["qemu-io", "-f", kind, "-c", "write -P 0x4b 0 2M", str(path)], check=True, capture_output=True)
    scene.driver.volumes()
    link = scene.scratch / "link"
    link.symlink_to(path)
    disk: dict[str, dict[str, Any]] = {
        "volume": {"volume": name},
        "path": {"path": str(path)},
        "link": {"path": str(link)},
        "size": {},
    }
    return {"state": "running", "disks": [{"target": "vda", "size": "4MiB", "format": kind, **disk[form]}], **more}


RUNNING = (
    (one, "volume", "qcow2"),
    (one, "link", "raw"),
    (three, "path", "qcow2"),
    (three, "size", "raw"),
    (Scene.copy, "volume", "qcow2"),
    (Scene.backup, "path", "qcow2"),
    (then(one, Scene.copy), "path", "raw"),
    (then(one, Scene.commit), "size", "qcow2"),
    (then(one, Scene.pull), "volume", "raw"),
    (then(one, Scene.backup), "volume", "qcow2"),
)


@pytest.mark.parametrize(("beside", "form", "kind"), RUNNING, ids=lambda each: getattr(each, "__name__", each))
def test_a_running_guest_stays_on_its_image(
    scene: Scene, beside: Callable[[Scene], None], form: str, kind: str
) -> None:
    task = made(scene, form, kind)
    scene.driver.make(**task)
    beside(scene)
    scene.unmoved(**task)
    if beside not in (one, three):
        return
    # Restarted for something else, and stopped, it is on the same image still.
    more = {**task, "memory": "96MiB", "disruption": "restart"}
    before = scene.in_use()
    assert actions(scene.driver.change(**more))[-1:] == ["restart pending_restart"]
    assert scene.in_use() == before
    scene.driver.make(**{**more, "state": "stopped"})
    scene.unmoved(**{**more, "state": "stopped"})


@pytest.mark.parametrize(("times", "form"), [(one, "volume"), (one, "size"), (three, "link")])
def test_a_guest_that_is_off_stays_on_its_image(scene: Scene, times: Callable[[Scene], None], form: str) -> None:
    task = made(scene, form, "raw", state="stopped")
    scene.driver.make(**task)
    times(scene)
    scene.unmoved(**task)
    grown = scene.driver.change(**{**task, "disks": [{**task["disks"][0], "size": "8MiB"}]})
    assert actions(grown) == ["resize disks[vda]"]
    assert info(scene.in_use()["stored"])["virtual-size"] == 8 * 1024**2
    scene.driver.make(**{**task, "disks": ..., "state": "running"})
    scene.unmoved(**{**task, "state": "running", "disks": [{**task["disks"][0], "size": "8MiB"}]})


@pytest.mark.parametrize("state", ["running", "stopped"])
def test_a_linked_clone_is_its_own_disk_whatever_it_is_called(scene: Scene, state: str) -> None:
    """A task that names the base for the disk of a linked clone, and one that names it as ever, before and after a
    snapshot.
    """
    driver, base = scene.driver, image(scene.pool / "base.raw", "4M", "raw")
    driver.volumes()
    task = {
        "state": state,
        "disks": [{"target": "vda", "size": "8MiB"}],
        "source": {"volume": "base.raw", "clone": "linked"},
    }
    named = {**task, "disks": [{"target": "vda", "path": str(base), "format": "raw"}]}
    driver.make(**task)
    for each in (task, named):
        scene.unmoved(**each)
    scene.snapshot("one")
    for each in (task, named):
        scene.unmoved(**each)


def test_a_disk_of_a_pool_in_the_words_of_other_programs(scene: Scene) -> None:
    driver, task = scene.driver, made(scene, "volume")
    driver.make(state="present")
    add_disk(
        driver,
        "<disk type='volume' device='disk'><driver name='qemu' type='qcow2'/><source pool='default' "
        "volume='g.qcow2'/><target dev='vda' bus='virtio'/></disk>",
    )
    scene.driver.make(state="running")
    scene.snapshot("one")
    scene.unmoved(**task)


@pytest.mark.parametrize(
    ("beside", "words"),
    [
        (Scene.copy, ("(block copy to ", "/copy) is in progress", "virsh blockjob kt-guest vda --pivot")),
        (then(one, Scene.commit), ("(active block commit to ", "/g.qcow2) is in progress", "--abort")),
        (then(one, Scene.pull), ("(block pull) is in progress", "virsh blockjob kt-guest vda --abort")),
        (Scene.backup, ("(backup) is in progress", "virsh domjobabort kt-guest")),
    ],
    ids=lambda each: getattr(each, "__name__", ""),
)
def test_a_disk_is_not_changed_during_a_job(
    scene: Scene, beside: Callable[[Scene], None], words: tuple[str, ...]
) -> None:
    driver, task = scene.driver, made(scene, "volume")
    driver.make(**task)
    beside(scene)
    before, other = scene.in_use(), image(scene.pool / "other.qcow2", "4M")
    driver.volumes()
    for change in (
        {"disks": [{"target": "vda", "size": "8MiB"}]},
        {"disks": [{"target": "vda", "path": str(other)}]},
        {"disks": [], "purge": ["disks"]},
        {
            "disks": ...,
            "xml": f"<domain><devices><disk><source file='{other}'/><target dev='vda'/></disk></devices></domain>",
        },
        {"state": "absent", "remove_storage": True, "disks": ...},
    ):
        driver.refused("disks[vda]", *words, **{**task, **change})
    assert scene.in_use() == before
    # What is not about that disk is changed.
    assert actions(driver.change(**task, labels={"a": "b"})) == ["set labels[a]"]


@pytest.mark.parametrize("state", ["running", "stopped"])
def test_another_image_is_taken_still(scene: Scene, state: str) -> None:
    """One that has nothing to do with the disk, one above it, and another medium in a drive."""
    driver, task = scene.driver, made(scene, "volume", state=state)
    driver.make(**task)
    scene.snapshot("one")
    other, above = image(scene.pool / "other.qcow2", "4M"), scene.pool / "above.qcow2"
    driver.volumes()
    assert actions(driver.change(**{**task, "disks": [{"target": "vda", "path": str(other)}]})) == ["set disks[vda]"]
    assert scene.in_use()["stored"] == str(other)
    image(above, "", "qcow2", "-b", str(other), "-F", "qcow2")
    driver.volumes()
    driver.change(**{**task, "disks": [{"target": "vda", "path": str(above)}]})
    assert scene.in_use()["stored"] == str(above)


def test_a_medium_has_no_chain(driver: Driver, scene: Scene) -> None:
    """Neither a new one that backs the old one, nor a job on a disk beside it."""
    task = made(scene, "volume")
    below, above = image(scene.scratch / "below", "1M", "raw"), scene.scratch / "above"
    image(above, "", "qcow2", "-b", str(below), "-F", "raw")
    drive = {"target": "sda", "device": "cdrom", "path": str(above)}
    driver.make(**{**task, "disks": [*task["disks"], drive]})
    scene.copy()
    assert actions(driver.change(**{**task, "disks": [*task["disks"], {**drive, "path": str(below)}]})) == [
        "set disks[sda]"
    ]


def test_what_is_a_backing_image_no_more_is_known_by_the_snapshot(scene: Scene) -> None:
    """After a pull the overlay stands alone: only the record of the snapshot tells that the disk had the other
    image.
    """
    driver, task = scene.driver, made(scene, "volume")
    driver.make(state="present")
    add_disk(
        driver,
        "<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source "
        f"file='{scene.pool}/g.qcow2'/><target dev='vda' bus='virtio'/></disk>",
    )
    driver.make(**task)
    scene.virsh(
        "snapshot-create-as", "kt-old", "--disk-only", "--diskspec", f"vda,snapshot=external,file={scene.pool}/g.one"
    )
    scene.virsh("blockpull", "vda", "--wait")
    driver.refused("disks[vda].path", "g.qcow2", "snapshot kt-old", "g.one", **task)
    scene.virsh("destroy")
    driver.refused("disks[vda].path", "g.qcow2", "snapshot kt-old", "g.one", **{**task, "state": "stopped"})
    scene.virsh("snapshot-delete", "kt-old", "--metadata")
    assert actions(driver.change(**{**task, "state": "stopped"})) == ["set disks[vda]"]


@pytest.mark.parametrize("move", [then(one, Scene.pull_whole), Scene.move], ids=["pull", "copy"])
def test_a_disk_that_another_program_has_moved_stays_there(scene: Scene, move: Callable[[Scene], None]) -> None:
    """Its image has nothing to do with the old one any more: what the task gave it is written down."""
    driver, task = scene.driver, made(scene, "volume")
    driver.make(**task)
    move(scene)
    driver.refused("disks[vda].path", "g.qcow2", "another program has moved it", scene.in_use()["live"], **task)
    scene.virsh("destroy")
    driver.refused(
        "disks[vda].path",
        "g.qcow2",
        "another program has moved it",
        scene.in_use()["stored"],
        **{**task, "state": "stopped"},
    )
    task["disks"] = [{"target": "vda", "path": scene.in_use()["stored"]}]
    scene.unmoved(**{**task, "state": "stopped"})
    other = image(scene.pool / "other.qcow2", "4M")
    for path in (other, scene.pool / "g.qcow2", other):
        driver.volumes()
        driver.change(**{**task, "state": "stopped", "disks": [{"target": "vda", "path": str(path)}]})


def test_a_guest_whose_stored_image_is_older_than_the_one_in_use(scene: Scene) -> None:
    """Whoever defines it from a file of last week has it so. A restart would lose what was written since."""
    driver, task = scene.driver, made(scene, "path")
    driver.make(**task)
    old = scene.scratch / "old.xml"
    old.write_text(driver.host.virsh("dumpxml", driver.name, "--inactive"), encoding="utf-8")
    scene.snapshot("one")
    driver.host.virsh("define", str(old))
    scene.unmoved(**task)
    driver.refused("disks[vda]", "g.one", "g.qcow2", "blockcommit", **{**task, "disruption": "restart"})
    driver.refused("disks[vda]", "g.one", "g.qcow2", "blockcommit", **{**task, "state": "stopped"})
    mended = driver.change(**{**task, "disks": [{"target": "vda", "path": str(scene.pool / "g.one")}]})
    assert actions(mended) == ["set disks[vda]"]
    assert set(scene.in_use().values()) == {str(scene.pool / "g.one")}
    driver.make(**{**task, "state": "stopped"})


def test_storage_that_is_removed_is_the_overlay(scene: Scene) -> None:
    """What it is backed by stays: another guest may be made of it."""
    driver, task = scene.driver, made(scene, "volume")
    driver.make(**task)
    scene.snapshot("one")
    done = driver.change(**{**task, "state": "absent", "remove_storage": True})
    assert done["plan"][-1]["before"]["volumes"] == [vol(driver, "g.one")]
    assert driver.volumes() == ["g.qcow2"]


def test_a_guest_made_again_is_not_put_on_the_image_below(scene: Scene) -> None:
    """Its disks outlive it, the overlay as well."""
    driver, task = scene.driver, made(scene, "size")
    driver.make(**task)
    scene.snapshot("one")
    driver.make(**{**task, "state": "absent"})
    driver.refused("disks[vda].path", "kt-guest-vda.qcow2 is there, and backs", "g.one", "read_only", **task)
    # One of no pool as well.
    base = image(scene.scratch / "base", "4M", "raw")
    image(scene.scratch / "over", "", "qcow2", "-b", str(base), "-F", "raw")
    driver.refused(
        "disks[vda].path",
        f"{base} is there, and backs {scene.scratch}/over",
        **{**task, "disks": [{"target": "vda", "path": str(base)}]},
    )
    driver.change(**{**task, "state": "stopped", "disks": [{"target": "vda", "path": str(base), "read_only": True}]})
    driver.make(**{**task, "state": "absent"})
    driver.change(**{**task, "disks": [{"target": "vda", "path": str(scene.pool / "g.one")}]})


def test_a_disk_that_gets_another_name_is_not_put_on_the_image_below(scene: Scene) -> None:
    driver, task = scene.driver, made(scene, "volume", state="stopped")
    driver.make(**task)
    scene.snapshot("one")
    driver.refused(
        "disks[sda].path",
        "g.qcow2 is there, and backs",
        "g.one",
        **{**task, "disks": [{**task["disks"][0], "target": "sda"}], "purge": ["disks"]},
    )
    named = {"target": "sda", "path": str(scene.pool / "g.one")}
    driver.change(**{**task, "disks": [named], "purge": ["disks"]})


@pytest.mark.parametrize("state", ["running", "stopped"])
@pytest.mark.parametrize("source", ["file='{pool}/g.qcow2'", "pool='default' volume='g.qcow2'"], ids=["file", "volume"])
def test_a_disk_in_xml_stays_on_its_image(scene: Scene, source: str, state: str) -> None:
    driver, task = scene.driver, made(scene, "volume", state=state)
    kind = "file" if source.startswith("file") else "volume"
    disk = f"<driver name='qemu' type='qcow2' detect_zeroes='on'/><source {source.format(pool=scene.pool)}/><target dev='vda' bus='virtio'/>"
    task = {
        **task,
        "disks": ...,
        "xml": f"<domain><devices><disk type='{kind}' device='disk'>{disk}</disk></devices></domain>",
    }
    driver.make(**task)
    scene.unmoved(**task)
    scene.snapshot("one")
    scene.unmoved(**task)
    assert (
        "xml"
        in actions(
            driver.change(**{**task, "xml": task["xml"].replace("detect_zeroes='on'", "detect_zeroes='unmap'")})
        )[0]
    )
    assert scene.in_use()["stored"].endswith("g.one")


def test_a_volume_in_a_chain_and_one_with_a_job(scene: Scene, volumes: LibvirtModule) -> None:
    """It does not grow below a guest that runs, nor during a job, and is not removed while a backup is written to
    it.
    """
    driver, task = scene.driver, made(scene, "volume", "raw")
    image(scene.pool / "copy", "4M")
    driver.make(**task)
    grown = {"pool": "default", "name": "g.raw", "capacity": "8MiB"}
    scene.scratch = scene.pool
    scene.backup()
    driver.volumes()
    volumes.refused(
        "capacity", "the disk vda of kt-guest", "(backup) is in progress", "virsh domjobabort kt-guest", **grown
    )
    volumes.refused("in use by: kt-guest", pool="default", name="scratch", state="absent")
    scene.virsh("domjobabort")
    scene.virsh(
        "blockcopy",
        "vda",
        "--dest",
        str(scene.pool / "copy"),
        "--reuse-external",
        "--format",
        "qcow2",
        "--transient-job",
        "--wait",
    )
    volumes.refused("capacity", "the disk vda of kt-guest", "(block copy to ", **grown)
    volumes.refused("in use by: kt-guest", pool="default", name="copy", state="absent")
    scene.virsh("blockjob", "vda", "--abort")
    scene.snapshot("one")
    volumes.refused("capacity", "backs the disks of guests that run (kt-guest)", **grown)
    volumes.refused("in use by: kt-guest", pool="default", name="g.raw", state="absent")
    driver.make(**{**task, "state": "stopped"})
    volumes.change(**grown)
    scene.unmoved(**{**task, "state": "stopped"})
