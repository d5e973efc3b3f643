# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""kvm_volume where a run, libvirt or the room ends in the middle: a volume is whole or made again, and nothing is
left.
"""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest

from tests.support.file_access import before_each_read
from tests.support.libvirt_daemon import LibvirtDaemon
from tests.support.libvirt_driver import LibvirtModule

from .volumes import GUEST, MIB, NAME, POOL, args, content, digest, disk


def test_crash_after_each_call(
    volume: LibvirtModule, clean: LibvirtDaemon, images: Path, raw: Path, tmp_path: Path
) -> None:
    def nothing() -> None:
        assert not volume.run(**args(state="absent")).failed
        # Cleared away too, if the run before had left it.
        assert list(images.iterdir()) == []

    def made() -> None:
        nothing()
        assert not volume.run(**args(capacity="4MiB")).failed

    for result in volume.crashes(nothing, **args(format="qcow2", capacity="5MiB", **{"import": {"path": str(raw)}})):
        assert result["volume"]["capacity"] == "5MiB"
        assert sorted(path.name for path in images.iterdir()) == [NAME]
    plain = tmp_path / "plain.raw"
    with plain.open("wb") as file:
        file.write(raw.read_bytes())
        file.truncate(5 * MIB)
    assert content(images / NAME, tmp_path) == digest(plain)
    for result in volume.crashes(made, **args(capacity="8MiB")):
        assert result["volume"]["capacity"] == "8MiB"
    for result in volume.crashes(made, **args(state="absent", wipe=True)):
        assert result["volume"] is None


def test_the_daemon_is_restarted_after_each_call(
    volume: LibvirtModule, clean: LibvirtDaemon, images: Path, raw: Path, tmp_path: Path
) -> None:
    def nothing() -> None:
        assert not volume.run(**args(state="absent")).failed
        assert list(images.iterdir()) == []

    def made() -> None:
        nothing()
        assert not volume.run(**args(capacity="4MiB")).failed

    for result in volume.restarts(nothing, **args(format="qcow2", **{"import": {"path": str(raw)}})):
        assert result["volume"]["capacity"] == "3MiB"
        assert sorted(path.name for path in images.iterdir()) == [NAME]
        assert content(images / NAME, tmp_path) == digest(raw)
    for result in volume.restarts(made, **args(capacity="8MiB")):
        assert result["volume"]["capacity"] == "8MiB"
    for result in volume.restarts(made, **args(state="absent", wipe=True)):
        assert result["volume"] is None


@pytest.fixture
def origin(volume: LibvirtModule, clean: LibvirtDaemon, raw: Path) -> Path:
    """A volume in a pool of its own, with the content of `raw`."""
    path = clean.pools / "origin"
    path.mkdir()
    clean.virsh("pool-create-as", "kt-origin", "dir", "--target", str(path))
    assert not volume.run(**{**args(**{"import": {"path": str(raw)}}), "name": "kt-origin", "pool": "kt-origin"}).failed
    return path / "kt-origin"


@pytest.mark.parametrize("form", ["raw", "qcow2"])
def test_a_clone_is_whole_or_made_again_wherever_the_run_or_the_daemon_died(
    volume: LibvirtModule, images: Path, origin: Path, tmp_path: Path, form: str
) -> None:
    def nothing() -> None:
        assert not volume.run(**args(state="absent")).failed
        assert list(images.iterdir()) == []

    given = args(clone={"volume": origin.name, "pool": "kt-origin"}, format=form, capacity="3MiB")
    for ends in (volume.crashes, volume.restarts):
        for result in ends(nothing, **given):
            assert result["volume"]["capacity"] == "3MiB"
            assert [path.name for path in images.iterdir()] == [NAME]
            assert content(images / NAME, tmp_path) == digest(origin)


def test_an_empty_volume_is_whole_or_made_again(volume: LibvirtModule, images: Path) -> None:
    def nothing() -> None:
        assert not volume.run(**args(state="absent")).failed
        assert list(images.iterdir()) == []

    for ends in (volume.crashes, volume.restarts):
        for _result in ends(nothing, **args(capacity="1MiB", format="qcow2")):
            assert [path.name for path in images.iterdir()] == [NAME]


def half(volume: LibvirtModule, daemon: LibvirtDaemon, source: Path, copy: Path, **given: Any) -> None:
    """A run in which the daemon is killed as it copies: some of the source is in the copy by then, and the rest is
    not.
    """
    reads: list[int] = []

    def kill() -> None:
        if copy.exists():
            reads.append(copy.stat().st_blocks)
            if len(reads) == 2:
                daemon.stop(signal.SIGKILL)

    with before_each_read(source.parent, kill):
        failed = volume.run(**given)
    daemon.start()
    assert failed.failed and "Traceback" not in failed.stdout + failed.stderr, failed.msg
    assert "broke off" in failed.msg and len(reads) == 2
    assert copy.stat().st_size == 3 * MIB and copy.read_bytes() != source.read_bytes()


@pytest.mark.parametrize("way", ["import", "clone"])
def test_the_daemon_is_killed_in_the_middle_of_the_copy(
    volume: LibvirtModule, clean: LibvirtDaemon, images: Path, origin: Path, raw: Path, tmp_path: Path, way: str
) -> None:
    """What libvirt shows under the volume's name is not the volume."""
    given, source = args(**{"import": {"path": str(raw)}}), images / f"{NAME}.kraal-part"
    if way == "clone":
        given, source = args(clone={"volume": origin.name, "pool": "kt-origin"}), origin
    half(volume, clean, source, images / NAME, **given)
    volume.refused("clone", NAME, "incomplete", **{**args(clone=NAME), "name": "kt-next"})
    volume.refused("backing", NAME, "incomplete", **{**args(backing=NAME), "name": "kt-next"})
    volume.refused(
        "import.path", NAME, "incomplete", **{**args(**{"import": {"path": str(images / NAME)}}), "name": "kt-next"}
    )
    assert [step["action"] for step in volume.change(**given)["plan"]] == ["clear", "create"]
    assert [path.name for path in images.iterdir()] == [NAME]
    assert content(images / NAME, tmp_path) == digest(raw)


def test_an_incomplete_volume_that_somebody_uses(
    volume: LibvirtModule, clean: LibvirtDaemon, images: Path, origin: Path, raw: Path
) -> None:
    given = args(clone={"volume": origin.name, "pool": "kt-origin"})
    half(volume, clean, origin, images / NAME, **given)
    clean.define("", GUEST.format(boot="", disk=disk(images)))
    volume.refused("incomplete", "in use", "kt-guest", f"{NAME}.kraal-incomplete", **given)
    volume.refused("in use", "kt-guest", **args(state="absent"))
    clean.virsh("undefine", "kt-guest")
    gone = volume.change(**args(state="absent"))
    assert [step["action"] for step in gone["plan"]] == ["remove", "clear"]
    assert list(images.iterdir()) == []


def test_a_volume_of_somebody_else_beside_an_import_that_was_cut_off(
    volume: LibvirtModule, clean: LibvirtDaemon, images: Path, raw: Path
) -> None:
    """Nothing had been copied to its name yet: what is there now is that person's, and stays."""
    given = args(**{"import": {"path": str(raw)}})
    volume.run(crash=(1, "after"), **given)
    (images / NAME).write_bytes(b"theirs" * 1024)
    clean.virsh("pool-refresh", POOL)
    assert [step["action"] for step in volume.change(**given)["plan"]] == ["clear"]
    assert (images / NAME).read_bytes() == b"theirs" * 1024
    assert [path.name for path in images.iterdir()] == [NAME]


def test_a_volume_of_somebody_else_that_came_while_the_file_was_sent(
    volume: LibvirtModule, clean: LibvirtDaemon, images: Path, raw: Path
) -> None:
    def another() -> None:
        if not (images / NAME).exists():
            clean.virsh("vol-create-as", POOL, NAME, "4096")
            (images / NAME).write_bytes(b"theirs")

    with before_each_read(raw.parent, another):
        result = volume.run(**args(**{"import": {"path": str(raw)}}))
    assert result.failed and "somebody else's" in result.msg
    assert [path.name for path in images.iterdir()] == [NAME]
    assert (images / NAME).read_bytes() == b"theirs"


@pytest.mark.parametrize("way", ["sent", "copied", "clone"])
def test_no_room_leaves_nothing(
    volume: LibvirtModule, clean: LibvirtDaemon, images: Path, origin: Path, raw: Path, way: str
) -> None:
    """What was begun goes before the error goes out, or the disk stays full."""
    small = clean.pools / "small"
    small.mkdir()
    clean.inside("mount", "-t", "tmpfs", "-o", f"size={512 if way == 'sent' else 1536}k", "kt-small", str(small))
    try:
        clean.virsh("pool-create-as", "kt-small", "dir", "--target", str(small))
        given = (
            {"clone": {"volume": origin.name, "pool": "kt-origin"}}
            if way == "clone"
            else {"import": {"path": str(raw)}}
        )
        if way == "clone":
            clean.inside("fallocate", "-l", "1M", str(small / "kt-there"))
        for _again in range(2):
            result = volume.run(**{**args(**given), "pool": "kt-small"})
            assert result.failed and "Free space" in result.msg
            # What libvirt would not survive is not sent.
            assert (
                "takes 1028KiB, and the pool kt-small has only 512KiB free" if way == "sent" else "No space left"
            ) in result.msg
            assert clean.inside("ls", "-A", str(small)).split() == (["kt-there"] if way == "clone" else [])
    finally:
        clean.virsh("pool-destroy", "kt-small")
        clean.inside("umount", str(small))


def test_a_crash_in_the_middle_of_an_import_is_cleared_away_by_a_removal(
    volume: LibvirtModule, images: Path, raw: Path
) -> None:
    given = args(**{"import": {"path": str(raw)}})
    volume.run(crash=(1, "after"), **given)
    assert [path.name for path in images.iterdir()] == [f"{NAME}.kraal-part"]
    volume.change(**args(state="absent"))
    assert list(images.iterdir()) == []
