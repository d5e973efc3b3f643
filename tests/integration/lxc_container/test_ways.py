# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ways in which a container comes into being, the storage that it is on, and what goes with it."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.lxc import LxcLab, run

from .driver import Driver, actions, needs_unprivileged

IDMAP = ["b 0 100000 65536"]


def root_of(driver: Driver) -> str:
    (line,) = [
        line for line in driver.config.read_text(encoding="utf-8").splitlines() if line.startswith("lxc.rootfs.path")
    ]
    return line.partition("=")[2].strip()


def test_an_image_is_known_by_its_content(driver: Driver, tmp_path: Path) -> None:
    driver.do(state="stopped")
    copy = tmp_path / "other-name.tar"
    copy.write_bytes(driver.lab.image("1").read_bytes())
    guest = driver.again(state="stopped", image=str(copy))["guest"]
    assert guest["image"] == str(driver.lab.image("1"))
    driver.refused("image", "recreate", state="stopped", image="<two>")
    done = driver.do(state="stopped", image="<two>", disruption="recreate", hostname="kt-kept")
    assert actions(done) == ["recreate"] and done["guest"]["image"] == str(driver.lab.image("2"))


@pytest.mark.parametrize("storage", ["dir", "overlay"])
def test_an_unprivileged_container(driver: Driver, storage: str) -> None:
    needs_unprivileged()
    driver.do(idmap=IDMAP, storage=storage, networks=["<bridge>"])
    driver.again(idmap=IDMAP, storage=storage)
    pid = driver.lab.pid(driver.name)
    assert os.stat(f"/proc/{pid}").st_uid == 100000
    assert Path(f"/proc/{pid}/uid_map").read_text(encoding="ascii").split() == ["0", "100000", "65536"]
    assert driver.lab.inside(driver.name, "stat", "-c", "%u", "/etc/passwd") == "0"
    driver.do(state="absent")


def test_overlays_share_one_root_file_system_that_goes_with_the_last(driver: Driver) -> None:
    first, second = driver.of("one"), driver.of("two")
    for each in (first, second):
        each.do(storage="overlay")
    assert root_of(first).split(":")[1] == root_of(second).split(":")[1]
    first.lab.inside(first.name, "sh", "-c", "echo mine > /etc/kt-release")
    assert second.lab.inside(second.name, "cat", "/etc/kt-release") == "1"
    first.do(state="absent")
    assert second.lab.inside(second.name, "cat", "/etc/kt-release") == "1"
    second.do(state="absent")
    assert list(driver.lab.path.iterdir()) == []


def test_clones(driver: Driver) -> None:
    source, copy, snapshot = driver.of("source"), driver.of("copy"), driver.of("snapshot")
    source.make(networks=["<bridge>"])
    copy.refused(source.name, "runs", "Stop it first", clone={"name": source.name})
    source.make(state="stopped")
    done = copy.do(clone={"name": source.name}, labels={"a": "1"})
    assert done["guest"]["image"] == f"clone:{source.name}"
    copy.again(clone={"name": source.name}, labels={"a": "1"})
    snapshot.do(clone={"name": source.name, "snapshot": True}, storage="overlay")
    assert str(source.config.parent) in root_of(snapshot)
    source.refused("root file systems of", snapshot.name, "Remove those first", state="absent")
    source.refused(
        "root file systems of",
        snapshot.name,
        "Remove those first",
        state="stopped",
        image="<two>",
        disruption="recreate",
    )
    # Whoever stands on it may not lose it either where liblxc has not written it down.
    (source.config.parent / "lxc_snapshots").unlink()
    source.refused("root file systems of", snapshot.name, state="absent")
    assert snapshot.lab.inside(snapshot.name, "cat", "/etc/kt-release") == "1"
    for each in (snapshot, copy, source):
        each.do(state="absent")
    assert list(driver.lab.path.iterdir()) == []


def test_hooks_of_a_clone(driver: Driver) -> None:
    """Those in its directory come along; those of a container whose name begins the same are nobody's to move."""
    source, copy = driver.of("h"), driver.of("copy")
    source.make(state="stopped")
    place, neighbour = source.config.parent, driver.lab.path / f"{source.name}2"
    hooks = [f"{place}/hook", f"{neighbour}/hook", f"/bin/true {place}"]
    neighbour.mkdir()
    try:
        for file, word in ((place / "hook", "own"), (neighbour / "hook", "of another")):
            file.write_text(f"#!/bin/sh\n: {word}\n", encoding="utf-8")
            file.chmod(0o755)
        before = source.config.read_text(encoding="utf-8")
        lines = [f"lxc.hook.pre-start = {hook}" for hook in hooks]
        source.config.write_text("\n".join([before, *lines, ""]), encoding="utf-8")
        copy.do(clone={"name": source.name})
        kept = [line for line in copy.config.read_text(encoding="utf-8").split("\n") if "pre-start" in line]
        assert kept == [lines[0].replace(str(place), str(copy.config.parent)), *lines[1:]]
        assert (copy.config.parent / "hook").read_text(encoding="utf-8") == "#!/bin/sh\n: own\n"
        copy.again(clone={"name": source.name})
        copy.do(state="absent")
        source.config.write_text(f"{before}\nlxc.hook.stop = {place}/hook --quiet\n", encoding="utf-8")
        copy.refused(source.name, f"{place}/hook --quiet", "outside of", clone={"name": source.name})
    finally:
        shutil.rmtree(neighbour)
    source.do(state="absent")


def test_a_clone_of_another_directory(driver: Driver, tmp_path: Path) -> None:
    other = driver.lab.root / "other"
    other.mkdir()
    source = driver.of("source")
    source.make(state="stopped", lxc_path=str(other))
    try:
        driver.do(clone={"name": source.name, "lxc_path": str(other)})
        driver.again(clone={"name": source.name, "lxc_path": str(other)})
        assert not (driver.lab.path / source.name).exists()
    finally:
        source.make(state="absent", lxc_path=str(other))
    assert list(other.iterdir()) == []


def test_a_template_with_options(driver: Driver) -> None:
    done = driver.do(template="busybox", networks=["<bridge>"])
    assert done["guest"]["image"] == "template:busybox"
    assert "lxc.mount.entry = /lib lib none ro,bind 0 0" in driver.config.read_text(encoding="utf-8")
    driver.again(template="busybox", networks=["<bridge>"])


def test_a_template_that_fails_leaves_nothing(driver: Driver) -> None:
    result = driver.run(template="busybox", template_options=["--no-such-option"])
    assert result.failed and "lxc-create failed" in result.msg and list(driver.lab.path.iterdir()) == []


def test_a_root_file_system_elsewhere_stays(driver: Driver) -> None:
    """A container that was made by hand, over a directory that is not its own."""
    elsewhere = driver.directory / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "precious").write_text("x", encoding="utf-8")
    driver.config.parent.mkdir()
    driver.config.write_text(f"lxc.rootfs.path = dir:{elsewhere}\n", encoding="utf-8")
    done = driver.do(state="absent", remove_storage=True)
    assert done["plan"][0]["before"] == {"state": "stopped", "image": ""}
    assert (elsewhere / "precious").exists() and not driver.config.parent.exists()


def test_stop_is_patient_and_then_not(driver: Driver) -> None:
    driver.make()
    driver.lab.inside(driver.name, "touch", "/etc/kt-stubborn")
    driver.make(state="stopped", stop_timeout=0)
    driver.make()
    done = driver.do(state="stopped", stop_timeout=1)
    assert actions(done) == ["stop state"] and driver.state() == "STOPPED"


def test_waits(driver: Driver) -> None:
    address = {"networks": [{"link": "<bridge>", "ipv4_address": "<net>.40/24"}]}
    done = driver.make(**address, wait_for="address", timeout=20)
    (found,) = done["guest"]["addresses"]
    assert (found["address"], found["family"], found["network"]) == (
        f"{driver.lab.network}.40",
        "ipv4",
        driver.lab.bridge,
    )
    # What the guest has made itself comes last, and an address that is the host's own, like that of its docker0, does
    # not lead to the guest.
    inside = ["nsenter", "-t", str(driver.lab.pid(driver.name)), "-n", "ip"]
    for words in (
        "link add a0 type bridge",
        f"address add {driver.lab.network}.1/24 dev a0",
        "address add 198.51.100.7/32 dev a0",
    ):
        run(*inside, *words.split())
    found, own = driver.again(**address)["guest"]["addresses"]
    assert (found["address"], own["address"], own["network"]) == (f"{driver.lab.network}.40", "198.51.100.7", "a0")
    other = driver.of("silent")
    result = other.run(networks=[{"type": "empty"}], wait_for="address", timeout=1)
    assert result.failed and "not given an address within 1 seconds" in result.msg
    # An address that comes later ends the wait.
    attach = f"lxc-attach -P {driver.lab.path} -n {other.name} -- /bin/busybox ip address add 192.0.2.7/32 dev lo"
    with subprocess.Popen(["sh", "-c", f"sleep 1; {attach}"]):
        late = other.run(networks=[{"type": "empty"}], wait_for="address", timeout=20)
    assert not late.failed, late.msg


@pytest.fixture
def pool(lxc: LxcLab, request: pytest.FixtureRequest) -> Iterator[Path]:
    """A directory on btrfs, on a loop device."""
    file, place = lxc.root / "btrfs.img", lxc.root / "btrfs"
    with file.open("wb") as disk:
        disk.truncate(256 << 20)
    place.mkdir(exist_ok=True)
    run("mkfs.btrfs", "-q", str(file))
    if subprocess.run(["mount", "-o", "loop", str(file), str(place)], capture_output=True, check=False).returncode:
        pytest.skip("this machine cannot mount btrfs on a loop device")
    place.chmod(0o755)
    yield place
    run("umount", "-l", str(place))
    file.unlink()


def test_btrfs(driver: Driver, pool: Path) -> None:
    """Subvolumes, a snapshot of one, and both are gone."""
    path = str(pool)
    source = driver.of("source")
    source.do(storage="btrfs", lxc_path=path, state="stopped")
    source.again(storage="btrfs", lxc_path=path, state="stopped")
    driver.do(clone={"name": source.name, "snapshot": True}, lxc_path=path)
    assert driver.run(lxc_path=path, image=...)["guest"]["state"] == "running"
    for each in (driver, source):
        each.do(state="absent", lxc_path=path)
    assert list(pool.iterdir()) == []


def test_a_volume_in_a_file(driver: Driver) -> None:
    """Storage that lxc-create makes, and an archive unpacked into it."""
    args: dict[str, Any] = {"storage": "loop", "storage_options": {"size": "64M", "filesystem": "ext4"}}
    result = driver.run(**args, check=True)
    assert not result.failed
    done = driver.run(**args)
    if done.failed and "lxc-create failed" in done.msg:
        pytest.skip(f"this machine cannot: {done.msg}")
    driver.again(**args)
    assert driver.lab.inside(driver.name, "cat", "/etc/kt-release") == "1"
    driver.do(state="absent")
    assert list(driver.lab.path.iterdir()) == []
