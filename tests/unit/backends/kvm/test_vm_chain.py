# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Backing chains: where each is seen, and what is the same disk by them."""

from __future__ import annotations

import os
import struct
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from ansible_collections.kraal.virt.plugins.module_utils.backends.kvm.vm import chain_observe as vm_chain_observe
from ansible_collections.kraal.virt.plugins.module_utils.backends.kvm.vm.chain import (
    behind,
    images_given,
    note_images,
    same_disk,
)
from ansible_collections.kraal.virt.plugins.module_utils.backends.kvm.vm.chain_observe import look_below
from ansible_collections.kraal.virt.plugins.module_utils.backends.kvm.vm.model import Chain, Layer
from ansible_collections.kraal.virt.plugins.module_utils.engine.errors import Refused

DISK = "<disk type='file' device='disk'><driver type='{form}'/><source {source}/>{below}<target dev='vda'/></disk>"
BELOW = "<backingStore type='{kind}'><format type='{form}'/><source {source}/>{below}</backingStore>"


def disk(path: str, form: str = "qcow2", below: str = "") -> ET.Element:
    return ET.fromstring(DISK.format(form=form, source=f"file='{path}'", below=below))


class Host:
    """A libvirt whose pools have these volumes: their backing images, by path."""

    def __init__(self, volumes: Mapping[str, str] | None = None, local: bool = True) -> None:
        self.volumes, self.local = volumes or {}, local
        self.conn = SimpleNamespace(storageVolLookupByPath=lambda path: path if path in self.volumes else None)

    def find(self, function: Any, *arguments: Any) -> Any:
        found = function(*arguments)
        return None if found is None else SimpleNamespace(XMLDesc=lambda _flags: self._volume(found))

    def ask(self, function: Any, *arguments: Any) -> Any:
        return function(*arguments)

    def _volume(self, path: str) -> str:
        below = self.volumes[path]
        return "<volume>%s</volume>" % (
            f"<backingStore><path>{below}</path><format type='qcow2'/></backingStore>" if below else ""
        )


def qcow2(path: Path, backing: str = "", form: str = "", version: int = 3) -> Path:
    """An image's header, as QEMU writes it: extensions behind it, and behind these the name of the backing image."""
    size, name = 104 if version == 3 else 72, backing.encode()
    named = struct.pack(">II8s", 0xE2792ACA, len(form), form.encode()) if form else b""
    rest = struct.pack(">II8s", 0x6803F857, 8, b"") + named + bytes(8)
    head = struct.pack(">4sIQIIQ", b"QFI\xfb", version, size + len(rest) if name else 0, len(name), 16, 2**22).ljust(
        size, b"\0"
    )
    if version == 3:
        head = head[:100] + struct.pack(">I", size)
    path.write_bytes((head + rest + name).ljust(512, b"\0"))
    return path


def test_the_header_says_what_is_below(tmp_path: Path) -> None:
    """A guest that has written the beginning of an image to its raw disk has no chain below that."""
    base = qcow2(tmp_path / "base", "/etc/shadow")
    for version in (2, 3):
        top = qcow2(tmp_path / "top", "base", "raw", version)
        assert paths(look_below(Host(), disk(str(top)), {})) == [(str(base), "raw")]


def paths(chain: Chain) -> list[tuple[str, str]]:
    return [(layer.real, layer.format) for layer in chain.layers]


def test_a_chain_is_read_down_to_the_base(tmp_path: Path) -> None:
    """By relative names and links, of images and of a device."""
    device = tmp_path / "dm-3"
    device.write_bytes(b"\0" * 512)
    (tmp_path / "lv").symlink_to(device)
    qcow2(tmp_path / "one", str(tmp_path / "lv"))
    qcow2(tmp_path / "two", "one")
    found = look_below(Host(), disk(str(tmp_path / "two")), {})
    assert paths(found) == [(str(tmp_path / "one"), "qcow2"), (str(device), "raw")] and not found.unseen
    assert found.find(os.path.realpath(tmp_path / "lv"))


def test_what_the_description_says_is_not_looked_for(tmp_path: Path) -> None:
    base = BELOW.format(kind="block", form="raw", source="dev='/dev/kt/base'", below="<backingStore/>")
    found = look_below(
        Host(), disk("/kt/two", below=BELOW.format(kind="file", form="qcow2", source="file='/kt/one'", below=base)), {}
    )
    assert paths(found) == [("/kt/one", "qcow2"), ("/dev/kt/base", "raw")] and not found.unseen
    # One that ends in the middle is followed from there on.
    qcow2(tmp_path / "one", "base")
    found = look_below(
        Host(),
        disk("/kt/two", below=BELOW.format(kind="file", form="qcow2", source=f"file='{tmp_path}/one'", below="")),
        {},
    )
    assert [path for path, _form in paths(found)] == [f"{tmp_path}/one", f"{tmp_path}/base"]
    volume = BELOW.format(kind="volume", form="raw", source="pool='default' volume='base'", below="<backingStore/>")
    assert paths(look_below(Host(), disk("/kt/two", below=volume), {"default/base": "/kt/base"})) == [
        ("/kt/base", "raw")
    ]


def test_a_raw_image_backs_itself(tmp_path: Path) -> None:
    """Whatever its guest has written to its beginning."""
    assert look_below(Host(), disk(str(qcow2(tmp_path / "a", "/etc/shadow")), "raw"), {}) == Chain()


def test_the_pools_of_another_host_know(tmp_path: Path) -> None:
    host = Host({"/kt/two": "/kt/one", "/kt/one": "/kt/base", "/kt/base": ""}, local=False)
    assert [layer.path for layer in look_below(host, disk("/kt/two"), {}).layers] == ["/kt/one", "/kt/base"]
    del host.volumes["/kt/one"]
    found = look_below(host, disk("/kt/two"), {})
    assert [layer.path for layer in found.layers] == ["/kt/one"] and found.unseen == "/kt/one"


def test_an_image_that_was_deleted_and_one_that_is_not_mounted(tmp_path: Path) -> None:
    assert look_below(Host(), disk(str(tmp_path / "gone")), {}) == Chain()
    assert look_below(Host(), disk(str(tmp_path / "unmounted" / "a")), {}).unseen == str(tmp_path / "unmounted" / "a")


NOW = {"path": "/kt/two", "format": "qcow2"}
CHAIN = Chain((Layer("/kt/one", "/kt/one", "qcow2"), Layer("/kt/base", "/real/base", "raw")))


def same(wish: Mapping[str, Any], chain: Chain = CHAIN, given: str = "") -> Mapping[str, Any]:
    return same_disk("vda", wish, [NOW], {"/kt/two": chain}, {"/kt/link": "/real/base"}, given)


@pytest.mark.parametrize(
    ("wish", "meant"),
    [
        ({"path": "/kt/one"}, NOW),
        ({"path": "/kt/link", "format": "raw", "cache": "none"}, {**NOW, "cache": "none"}),
        # That is not the format of the image which it names, and is refused elsewhere.
        ({"path": "/kt/one", "format": "raw"}, {**NOW, "format": "raw"}),
        ({"path": "/kt/two", "format": "raw"}, {"path": "/kt/two", "format": "raw"}),
        ({"path": "/kt/other", "format": "raw"}, {"path": "/kt/other", "format": "raw"}),
        ({"format": "raw", "size": 1}, {"size": 1}),
        ({"format": "vmdk"}, {"format": "vmdk"}),
    ],
)
def test_an_image_of_the_chain_is_the_same_disk(wish: Mapping[str, Any], meant: Mapping[str, Any]) -> None:
    assert same(wish) == meant


@pytest.mark.parametrize(
    ("chain", "given", "words"),
    [
        (Chain((), "/kt/two"), "", "cannot be told"),
        (Chain((), "", {"/kt/old": "monday"}), "", "snapshot monday"),
        (Chain(), "/kt/old", "another program has moved it to /kt/two"),
    ],
)
def test_what_may_be_an_older_image_is_refused(chain: Chain, given: str, words: str) -> None:
    with pytest.raises(Refused, match=words):
        same({"path": "/kt/old"}, chain, given)
    assert same({"path": "/kt/two"}, chain, given) == {"path": "/kt/two"}


def test_what_a_task_gave_is_written_down() -> None:
    root = ET.fromstring("<domain><metadata/></domain>")
    two = {
        "vda": {"path": "/a", "device": "disk"},
        "sda": {"path": "/cd", "device": "cdrom"},
        "vdb": {"path": "/b", "device": "disk"},
    }
    note_images(root, {}, two)
    assert images_given(root) == {"vda": "/a", "vdb": "/b"}
    # One that is changed otherwise is not given another image, whatever another program made of it.
    note_images(
        root, {**two, "vda": {**two["vda"], "path": "/snap"}}, {"vda": {**two["vda"], "path": "/snap", "cache": "none"}}
    )
    assert images_given(root) == {"vda": "/a"}
    note_images(root, {"vda": two["vda"]}, {"vda": {**two["vda"], "path": "/c"}})
    assert images_given(root) == {"vda": "/c"}


def test_a_transient_disk_comes_back_as_it_was() -> None:
    below = BELOW.format(kind="file", form="qcow2", source="file='/kt/one'", below="<backingStore/>")
    stored, live = (ET.fromstring(f"<domain><devices>{ET.tostring(each, encoding='unicode')}</devices></domain>") for each in
                    (disk("/kt/one"), disk("/kt/two", below=below)))  # fmt: skip
    assert behind(stored, live) == {"vda": ("/kt/two", "/kt/one")}
    assert behind(live, live) == {}
    ET.SubElement(stored.find("devices/disk"), "transient")
    assert behind(stored, live) == {}


def test_an_image_below_others_is_found_by_their_headers(tmp_path: Path) -> None:
    base = qcow2(tmp_path / "base")
    (tmp_path / "link").symlink_to(base)
    assert vm_chain_observe.overlay_on(Host(), "default", str(base)) == ""
    over = qcow2(tmp_path / "over", "base")
    (tmp_path / "pipe").mkdir()
    os.mkfifo(tmp_path / "fifo")
    for path in (base, tmp_path / "link"):
        assert vm_chain_observe.overlay_on(Host(), "default", str(path)) == str(over)
