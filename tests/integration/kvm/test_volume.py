# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""kvm_volume against a real libvirtd: sources, formats, growing, and what is never deleted."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.libvirt_daemon import LibvirtDaemon
from tests.support.libvirt_driver import LibvirtModule

from .volumes import GUEST, MIB, NAME, POOL, args, content, digest, disk, info


@pytest.mark.parametrize("form", ["raw", "qcow2", "vmdk"])
def test_empty_and_grown(volume: LibvirtModule, images: Path, form: str) -> None:
    """Create, again, change, again; a size is the same however it is written."""
    volume.change(**args(capacity="10MiB", format=form))
    assert (info(images / NAME)["format"], info(images / NAME)["virtual-size"]) == (form, 10 * MIB)
    if form == "qcow2":
        assert info(images / NAME)["format-specific"]["data"]["compat"] == "1.1"
    volume.again(**args(capacity="10240k"))
    volume.again(**args())
    if form != "vmdk":
        grown = volume.change(**args(capacity="20M"))
        assert [(step["action"], step["before"], step["after"]) for step in grown["plan"]] == [
            ("resize", "10MiB", "20MiB")
        ]
        assert info(images / NAME)["virtual-size"] == 20 * MIB
    volume.refused("capacity", "shrink", "10MiB" if form == "vmdk" else "20MiB", **args(capacity="5MiB"))
    volume.refused("format", "clone", **args(format="qed"))
    volume.change(**args(state="absent"))
    assert not (images / NAME).exists()


def test_a_size_that_is_rounded_is_no_difference(volume: LibvirtModule, images: Path) -> None:
    volume.change(**args(capacity=10_000_001, format="qcow2"))
    volume.change(**args(capacity=12_000_001))


def test_what_was_removed_beside_libvirt_is_made_again(volume: LibvirtModule, images: Path) -> None:
    """Its pool still lists it, and what a run that died had left beside it."""
    for form in ("qcow2", "raw"):
        volume.change(**args(capacity="1MiB", format=form))
        (images / NAME).unlink()
        volume.change(**args(capacity="1MiB", format=form))
        assert (images / NAME).exists()
        (images / NAME).unlink()
        volume.again(**args(state="absent"))


def test_allocation(volume: LibvirtModule, images: Path) -> None:
    volume.change(**args(capacity="8MiB"))
    assert (images / NAME).stat().st_blocks == 0
    volume.change(**{**args(capacity="8MiB", allocation="8MiB"), "name": "kt-full"})
    assert (images / "kt-full").stat().st_blocks * 512 >= 8 * MIB
    volume.again(**{**args(allocation="1MiB"), "name": "kt-full"})


@pytest.mark.parametrize("source", ["raw", "qcow2"])
@pytest.mark.parametrize("form", [None, "raw", "qcow2"])
def test_import(volume: LibvirtModule, images: Path, raw: Path, tmp_path: Path, source: str, form: str | None) -> None:
    file = raw
    if source == "qcow2":
        file = tmp_path / "image.qcow2"
        subprocess.run(["qemu-img", "convert", "-O", "qcow2", "-c", str(raw), str(file)], check=True)
    given = args(
        **{"import": {"path": str(file), "checksum": "SHA256:" + digest(file).upper()}},
        **({"format": form} if form else {}),
    )
    volume.change(**given)
    assert info(images / NAME)["format"] == (form or source)
    assert content(images / NAME, tmp_path) == digest(raw)
    assert sorted(path.name for path in images.iterdir()) == [NAME]
    assert (images / NAME).stat().st_blocks * 512 < 2 * MIB
    # The file is needed once, and the volume is somebody's data from then on.
    file.unlink()
    volume.again(**given)


def test_import_into_something_larger(volume: LibvirtModule, images: Path, raw: Path) -> None:
    volume.change(**args(capacity="9MiB", format="qcow2", **{"import": {"path": str(raw)}}))
    assert info(images / NAME)["virtual-size"] == 9 * MIB
    volume.refused("capacity", "3MiB", **{**args(capacity="2MiB", **{"import": {"path": str(raw)}}), "name": "kt-less"})


def test_clone(volume: LibvirtModule, clean: LibvirtDaemon, images: Path, raw: Path, tmp_path: Path) -> None:
    other = clean.pools / "other"
    other.mkdir()
    clean.virsh("pool-create-as", "kt-other", "dir", "--target", str(other))
    volume.run(**args(**{"import": {"path": str(raw)}}))
    volume.change(**{**args(clone=NAME), "name": "kt-same"})
    assert info(images / "kt-same")["format"] == "raw"
    given = {
        "name": "kt-copy",
        "pool": "kt-other",
        "clone": {"volume": NAME, "pool": POOL},
        "format": "qcow2",
        "capacity": "8MiB",
    }
    volume.change(**given)
    assert (info(other / "kt-copy")["format"], info(other / "kt-copy")["virtual-size"]) == ("qcow2", 8 * MIB)
    assert "backing-filename" not in info(other / "kt-copy")
    assert content(images / "kt-same", tmp_path) == digest(raw)
    # The copy stands for itself.
    volume.change(**args(state="absent"))
    volume.again(**given)


def test_backing(volume: LibvirtModule, images: Path, raw: Path, tmp_path: Path) -> None:
    volume.run(**args(**{"import": {"path": str(raw)}}))
    top = {**args(backing=NAME), "name": "kt-top"}
    made = volume.change(**top)
    assert made["volume"]["backing"] == {"path": str(images / NAME), "format": "raw"}
    assert (info(images / "kt-top")["format"], info(images / "kt-top")["virtual-size"]) == ("qcow2", 3 * MIB)
    assert info(images / "kt-top")["backing-filename-format"] == "raw"
    assert content(images / "kt-top", tmp_path) == digest(raw)
    volume.again(**{**top, "backing": {"path": f"{images}//{NAME}", "format": "raw"}})
    higher = {**args(capacity="6MiB", backing={"path": str(images / "kt-top"), "format": "qcow2"}), "name": "kt-higher"}
    volume.change(**higher)
    volume.refused("kt-top", **args(state="absent"))
    volume.refused("kt-higher", **{**top, "state": "absent"})
    volume.refused("is backed by", **{**higher, "backing": NAME})
    volume.refused("is backed by no other image", **args(backing="kt-top"))
    volume.change(**{**higher, "state": "absent"})
    volume.change(**{**top, "state": "absent"})
    volume.change(**args(state="absent"))


def test_what_check_foresees_is_what_there_is(volume: LibvirtModule, images: Path, raw: Path) -> None:
    volume.run(**args(**{"import": {"path": str(raw)}}))
    for more in (
        {"capacity": "5MiB"},
        {"clone": NAME, "format": "qcow2", "capacity": "8MiB"},
        {"backing": NAME},
        {"import": {"path": str(raw)}},
    ):
        given = {**args(**more), "name": "kt-next"}
        foreseen, made = volume.check(**given)["volume"], volume.run(**given)["volume"]
        assert {**made, "path": "", "allocation": None} == foreseen
        assert made["path"] == str(images / "kt-next")
        larger = {**given, "capacity": "9MiB"}
        assert volume.check(**larger)["volume"] == {**made, "capacity": "9MiB"}
        assert volume.check(**given)["volume"] == made
        volume.run(**{**args(state="absent"), "name": "kt-next"})


def test_wipe(volume: LibvirtModule, images: Path, raw: Path) -> None:
    volume.run(**args(**{"import": {"path": str(raw)}}))
    second = images / "second-name"
    os.link(images / NAME, second)
    gone = volume.change(**args(state="absent", wipe=True))
    assert [step["action"] for step in gone["plan"]] == ["wipe", "remove"]
    assert not any(second.read_bytes())


@pytest.mark.parametrize(
    ("what", "boot", "text"),
    [
        ("disk", "", disk),
        ("shared", "", lambda images: disk(images, more="<shareable/>")),
        ("cdrom", "", lambda images: disk(images, target="hda", device="cdrom", more="<readonly/>")),
        (
            "volume",
            "",
            lambda _images: (
                f"<disk type='volume' device='disk'><source pool='{POOL}' volume='{NAME}'/><target dev='vda'/></disk>"
            ),
        ),
        ("block", "", lambda images: disk(images).replace("type='file'", "type='block'", 1).replace("file=", "dev=")),
        ("kernel", "<kernel>{path}</kernel>", lambda _images: ""),
        ("link", "", lambda images: disk(images).replace(str(images), str(images.parent / "link"))),
    ],
    ids=lambda value: value if isinstance(value, str) and value.isalpha() else "",
)
def test_what_a_guest_uses_stays(
    volume: LibvirtModule, clean: LibvirtDaemon, images: Path, what: str, boot: str, text: Callable[[Path], str]
) -> None:
    volume.run(**args(capacity="1MiB"))
    (images.parent / "link").symlink_to(images)
    clean.define("", GUEST.format(boot=boot.format(path=images / NAME), disk=text(images)))
    volume.refused("in use", "kt-guest", **args(state="absent"))
    assert volume.run(**args())["volume"]["guests"] == ["kt-guest"]
    clean.virsh("undefine", "kt-guest")
    volume.change(**args(state="absent"))


def test_below_a_disk_of_a_guest(volume: LibvirtModule, clean: LibvirtDaemon, images: Path) -> None:
    """A snapshot's image lies in no pool that libvirt has looked at since, and stands on ours."""
    volume.run(**args(capacity="1MiB"))
    subprocess.run(
        ["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", str(images / NAME), str(images / "snap")],
        check=True,
    )
    volume.refused("snap", **args(state="absent"))
    clean.define("", GUEST.format(boot="", disk=disk(images, form="qcow2", name="snap")))
    volume.refused("snap", **args(state="absent"))
    clean.virsh("start", "kt-guest")
    volume.refused("in use", "kt-guest", **args(state="absent"))


@pytest.mark.parametrize("how", ["straight", "through another", "json", "by link"])
def test_below_a_disk_that_no_pool_knows(
    volume: LibvirtModule, clean: LibvirtDaemon, images: Path, tmp_path: Path, how: str
) -> None:
    """What a guest that is off stands on, libvirt does not say: the headers of its images do."""
    volume.run(**args(capacity="1MiB", format="qcow2"))
    base = str(images / NAME)
    below = {
        "straight": base,
        "through another": "middle",
        "json": f'json:{{"driver": "qcow2", "file": {{"driver": "file", "filename": "{base}"}}}}',
        "by link": str(tmp_path / "link"),
    }[how]
    (tmp_path / "link").symlink_to(images / NAME)
    create = ("qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b")
    subprocess.run([*create, base, str(tmp_path / "middle")], check=True)
    subprocess.run([*create, below, str(tmp_path / "top")], check=True)
    clean.define("", GUEST.format(boot="", disk=disk(tmp_path, form="qcow2", name="top")))
    volume.refused("in use", "kt-guest", **args(state="absent"))
    assert volume.run(**args(capacity="2MiB"))["volume"]["capacity"] == "2MiB"
    (tmp_path / "top").unlink()
    (tmp_path / "middle").unlink()
    # Its disk may lie on a file system that is not mounted now.
    volume.refused("cannot be seen", "kt-guest", str(tmp_path / "top"), "mount", **args(state="absent"))
    clean.define(
        "",
        GUEST.format(boot="", disk=disk(tmp_path, form="raw", name="top")).replace(
            "<name>", f"<uuid>{uuid_of(clean)}</uuid><name>"
        ),
    )
    volume.change(**args(state="absent"))


def uuid_of(daemon: LibvirtDaemon) -> str:
    return daemon.virsh("domuuid", "kt-guest").strip()


def test_below_a_disk_in_a_pool_that_is_not_active(volume: LibvirtModule, clean: LibvirtDaemon, images: Path) -> None:
    other = clean.pools / "other"
    other.mkdir()
    clean.virsh("pool-define-as", "kt-other", "dir", "--target", str(other))
    volume.run(**args(capacity="1MiB"))
    subprocess.run(
        ["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", str(images / NAME), str(other / "top")],
        check=True,
    )
    by_volume = "<disk type='volume'><driver name='qemu' type='qcow2'/><source pool='kt-other' volume='top'/><target dev='vda'/></disk>"
    clean.define("", GUEST.format(boot="", disk=by_volume))
    volume.refused("cannot be seen", "kt-guest", "kt-other/top", "kvm_pool", **args(state="absent"))
    clean.virsh("pool-start", "kt-other")
    volume.refused("kt-other/top", "are backed by it", **args(state="absent"))
    clean.virsh("pool-destroy", "kt-other")
    clean.virsh("undefine", "kt-guest")
    clean.define("", GUEST.format(boot="", disk=disk(other, form="qcow2", name="top")))
    volume.refused("in use", "kt-guest", **args(state="absent"))


def test_below_a_disk_in_a_directory_within_a_pool(volume: LibvirtModule, clean: LibvirtDaemon, images: Path) -> None:
    """The pool knows the directory, and not what is in there."""
    (images / "inner").mkdir()
    volume.run(**args(capacity="1MiB"))
    subprocess.run(
        [
            "qemu-img",
            "create",
            "-q",
            "-f",
            "qcow2",
            "-F",
            "raw",
            "-b",
            str(images / NAME),
            str(images / "inner" / "top"),
        ],
        check=True,
    )
    clean.define("", GUEST.format(boot="", disk=disk(images / "inner", form="qcow2", name="top")))
    volume.refused("in use", "kt-guest", **args(state="absent"))


def test_below_a_volume_through_a_file_in_no_pool(volume: LibvirtModule, images: Path, tmp_path: Path) -> None:
    volume.run(**args(capacity="1MiB"))
    subprocess.run(
        ["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", str(images / NAME), str(tmp_path / "middle")],
        check=True,
    )
    subprocess.run(
        ["qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", str(tmp_path / "middle"), str(images / "top")],
        check=True,
    )
    volume.refused("top", "are backed by it", **args(state="absent"))


def test_a_running_guest_sees_its_disk_grow(volume: LibvirtModule, clean: LibvirtDaemon, images: Path) -> None:
    volume.run(**args(capacity="4MiB", format="qcow2"))
    clean.define("", GUEST.format(boot="", disk=disk(images, form="qcow2")))
    clean.virsh("start", "kt-guest")
    volume.change(**args(capacity="8MiB"))
    assert "8388608" in clean.virsh("domblkinfo", "kt-guest", "vda")
    assert info(images / NAME)["virtual-size"] == 8 * MIB
    for option in ("clone", "backing"):
        volume.refused(option, "kt-guest", **{**args(**{option: NAME}), "name": "kt-next"})


def test_runs_at_once(volume: LibvirtModule, clean: LibvirtDaemon, images: Path, raw: Path, tmp_path: Path) -> None:
    volume.at_once(**args(format="qcow2", **{"import": {"path": str(raw)}}))
    assert content(images / NAME, tmp_path) == digest(raw)
    volume.at_once(**args(capacity="8MiB"))
    volume.at_once(**args(state="absent"))
    assert list(images.iterdir()) == []


def test_imports_that_are_refused(volume: LibvirtModule, images: Path, raw: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"s" * MIB)
    trap = tmp_path / "trap.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", str(secret), str(trap)], check=True)
    whole = tmp_path / "whole.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", str(whole), "1M"], check=True)
    apart = tmp_path / "apart.qcow2"
    subprocess.run(
        ["qemu-img", "create", "-q", "-f", "qcow2", "-o", f"data_file={secret},data_file_raw=on", str(apart), "1M"],
        check=True,
    )
    vmdk = tmp_path / "x.vmdk"
    subprocess.run(["qemu-img", "create", "-q", "-f", "vmdk", str(vmdk), "1M"], check=True)
    empty = tmp_path / "empty"
    empty.touch()
    for words, source in (
        (["import.path", "another file"], {"path": str(trap)}),
        (["import.path", "another file"], {"path": str(apart)}),
        (["import.format", "qcow2"], {"path": str(trap), "format": "raw"}),
        (["import.format", "raw"], {"path": str(raw), "format": "qcow2"}),
        (["import.path", "vmdk", "qemu-img convert"], {"path": str(vmdk)}),
        (["import.path", "empty"], {"path": str(empty)}),
        (["import.path", "No such file"], {"path": "/nowhere"}),
        (["import.path", "control character"], {"path": "/a\nb"}),
        (["import.checksum", digest(raw)], {"path": str(raw), "checksum": "0" * 64}),
        (["import.checksum", "SHA-256"], {"path": str(raw), "checksum": "abc"}),
    ):
        volume.refused(*words, **args(**{"import": source}))
    assert list(images.iterdir()) == []
    volume.change(**args(**{"import": {"path": str(whole), "format": "qcow2"}}))


@pytest.mark.parametrize(
    ("words", "given"),
    [
        (["name", "slash"], {"name": "<x/>"}),
        (["name", 'a"b'], {"name": 'a"b'}),
        (["name", "control character"], {"name": "a\nb"}),
        (["name", "two dots"], {"name": ".."}),
        (["pool", 'a"b'], {"pool": 'a"b'}),
        (["pool", "kt-none", "is not a pool"], {"pool": "kt-none"}),
        (["capacity", "8EiB"], {"capacity": "10EiB"}),
        (["capacity", "is not a size"], {"capacity": "much"}),
        (["capacity", "10GiB if you mean that"], {"capacity": 10}),
        (["capacity", "is needed"], {"capacity": None}),
        (["capacity", "not a valid size of a volume"], {"capacity": 0}),
        (["format"], {"format": "floppy"}),
        (["clone", "kt-none"], {"clone": "kt-none"}),
        (["clone.volume", "a/b"], {"clone": {"volume": "a/b"}}),
        (["clone.pool", "kt-none"], {"clone": {"volume": "x", "pool": "kt-none"}}),
        (["clone", "not understood"], {"clone": {"path": "/x"}}),
        (["backing", "not understood"], {"backing": {"path": "/x"}}),
        (["backing.format", "floppy"], {"backing": {"path": "/x", "format": "floppy"}}),
        (["backing.path", "absolute"], {"backing": {"path": "x", "format": "raw"}}),
        (["together"], {"backing": {"path": "/x", "format": "raw"}, "clone": "x"}),
        (["format", "cannot have a backing image"], {"backing": {"path": "/x", "format": "raw"}, "format": "raw"}),
        (["wipe", "absent"], {"wipe": True}),
        (["allocation", "512MiB if you mean that"], {"capacity": "1MiB", "allocation": 512}),
        (["allocation", "much", "not a size"], {"capacity": "1MiB", "allocation": "much"}),
    ],
)
def test_bad_input(volume: LibvirtModule, images: Path, words: list[str], given: dict[str, Any]) -> None:
    wanted = {key: value for key, value in {**args(capacity="1MiB"), **given}.items() if value is not None}
    volume.refused(*words, **wanted)
    assert list(images.iterdir()) == []


def test_more_than_there_is_leaves_nothing(volume: LibvirtModule, images: Path) -> None:
    result = volume.run(**args(capacity="7EiB", allocation="7EiB"))
    assert result.failed and "refused" in result.msg
    assert list(images.iterdir()) == []


def test_a_pool_that_is_not_active(volume: LibvirtModule, clean: LibvirtDaemon, images: Path) -> None:
    clean.virsh("pool-destroy", POOL)
    volume.refused("pool", "not active", **args(capacity="1MiB"))
    volume.refused("pool", "not active", **args(state="absent"))
    # Where there is no pool there is no volume.
    volume.again(**{**args(state="absent"), "pool": "kt-none"})
