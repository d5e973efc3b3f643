# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What makes a disk of a directory: the boot sectors, the table, the commands; and requests that keep their names."""

from __future__ import annotations

import json
import struct
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.kraal.virt.plugins.module_utils.engine.errors import BackendError, InvalidOption
from ansible_collections.kraal.virt.plugins.module_utils.images import (
    base_image,
    disk,
    disk_contents,
    rootfs,
)

IDENTITY = disk.Identity("0123456789ab")


def request(**args: Any) -> Mapping[str, Any]:
    spec = base_image.BASE_IMAGES.read(
        {"name": "kt", "state": "present", "directory": "/kt", "purge": [], "suite": "bookworm", **args}
    )
    return base_image.request_of(spec)


def test_requests_of_archives_keep_their_names() -> None:
    """As they were before there were disks; so archives that are there are found again."""
    assert base_image.digest_of(request()) == "4fa2a7d5ca39"
    assert base_image.digest_of(request(packages=["b", "a"], user="kt", commands=["true"])) == "7058d29cfb5b"
    assert request(format="tar") == request()


def test_a_disk_names_what_it_takes_by_itself(monkeypatch) -> None:
    monkeypatch.setattr(base_image, "machine_architecture", lambda: "amd64")
    assert request(format="raw") == {
        "disk_size": "2GiB",
        "format": "raw",
        "kernel": "linux-image-cloud-amd64",
        "seed_reader": "kraal",
        "suite": "bookworm",
        "variant": "minbase",
    }
    assert request(format="raw", disk_size="2048M") == request(format="raw")
    monkeypatch.setattr(base_image, "machine_architecture", lambda: "arm64")
    with pytest.raises(InvalidOption, match="arm64"):
        request(format="raw")


def test_the_boot_sector_names_the_first_sector_of_the_core_image() -> None:
    """Offsets of GRUB's include/grub/i386/pc/boot.h; what is behind the code is the partition table's."""
    code = disk.boot_code(bytes(range(256)) * 2)
    assert len(code) == 440
    assert struct.unpack_from("<Q", code, 0x5C) == (2048,)
    assert code[0x66:0x68] == b"\x90\x90"
    assert (
        code[:0x5C] == bytes(range(0x5C))
        and code[0x64:0x66] == b"\x64\x65"
        and code[0x68:0xFF] == bytes(range(0x68, 0xFF))
    )


def test_the_core_image_names_its_own_sectors() -> None:
    core = disk.core_image(b"\x11" * 1300)
    assert struct.unpack_from("<QHH", core, 0x1F4) == (2049, 2, 0x820)
    assert core[:0x1F4] == b"\x11" * 0x1F4 and core[0x200:] == b"\x11" * (1300 - 0x200)
    for bad in (b"\x11" * 512, b"\x11" * (1 << 20) + b"\x11"):
        with pytest.raises(BackendError, match="does not fit"):
            disk.core_image(bad)


def test_the_table_has_room_for_its_copy(tmp_path) -> None:
    """Read back by sfdisk, which refuses partitions that overlap or have no room."""
    size = 512 << 20
    image = tmp_path / "disk"
    with image.open("wb") as file:
        file.truncate(size)
    subprocess.run(
        ["/usr/sbin/sfdisk", "--quiet", str(image)], input=disk.table_of(size, IDENTITY), text=True, check=True
    )
    told = subprocess.run(["/usr/sbin/sfdisk", "--dump", str(image)], capture_output=True, text=True, check=True).stdout
    assert "label-id: {}".format(IDENTITY.of("disk").upper()) in told
    starts = [line.split("start=")[1].split() for line in told.splitlines() if "start=" in line]
    assert [(int(start.strip(",")), int(length.strip(","))) for start, dummy, length, *dummies in starts] == [
        (2048, 2048),
        (4096, (509 << 20) // 512),
    ]


def test_the_same_directory_gives_the_same_disk(tmp_path) -> None:
    """Though its files are made anew, later, and in another order; and the file system is whole."""
    images = []
    for number, order in enumerate((list(range(300)), list(reversed(range(300))))):
        root = tmp_path / str(number) / "root"
        for folder in ("usr/lib/grub/i386-pc", "boot/grub/i386-pc", "etc/ssh", "files"):
            (root / folder).mkdir(parents=True)
        (root / "usr/lib/grub/i386-pc/boot.img").write_bytes(b"\x22" * 512)
        (root / disk_contents.CORE).write_bytes(b"\x33" * 2000)
        (root / "etc/ssh/ssh_host_kt_key").write_text("the guest's own")
        for each in order:
            (root / "files" / ("file %d" % each)).write_text("%d" % each)
        (root / "files/link").symlink_to("file 1")
        image = tmp_path / str(number) / "disk.raw"
        disk.make(root, image, 512 << 20, IDENTITY, 1700000000, lambda *args: rootfs.run_tool(tmp_path, *args))
        images.append(image)
    assert subprocess.run(["cmp", *map(str, images)], check=False).returncode == 0
    device = "%s?offset=%d" % (images[0], 4096 * 512)
    checked = subprocess.run(["/usr/sbin/e2fsck", "-f", "-n", device], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    listed = subprocess.run(
        ["/usr/sbin/debugfs", "-R", "ls -p /etc/ssh", device], capture_output=True, text=True, check=True
    ).stdout
    assert "ssh_host" not in listed
    with images[0].open("rb") as file:
        assert file.read(4) == b"\x22" * 4
        file.seek(2048 * 512)
        assert file.read(4) == b"\x33" * 4
    assert images[0].stat().st_blocks * 512 < 40 << 20, "sparse"


def test_a_disk_that_is_too_small_says_so(tmp_path) -> None:
    root = tmp_path / "root"
    (root / "etc").mkdir(parents=True)
    with (root / "large").open("wb") as file:
        for dummy in range(520):
            file.write(b"x" * (1 << 20))
    with pytest.raises(BackendError) as caught:
        disk.make(
            root, tmp_path / "disk.raw", 512 << 20, IDENTITY, 1700000000, lambda *args: rootfs.run_tool(tmp_path, *args)
        )
    assert "disk_size" in caught.value.remedy and "512MiB" in caught.value.remedy


def test_the_kernel_is_what_its_link_means(tmp_path) -> None:
    (tmp_path / "boot").mkdir()
    (tmp_path / "vmlinuz").symlink_to("boot/vmlinuz-1")
    (tmp_path / "boot/initrd.img").symlink_to("initrd.img-1")
    assert disk.kernel_of(tmp_path, "vmlinuz") == tmp_path / "boot/vmlinuz-1"
    assert disk.kernel_of(tmp_path, "initrd.img") == tmp_path / "boot/initrd.img-1", "Ubuntu's place"
    (tmp_path / "boot/initrd.img").unlink()
    with pytest.raises(BackendError, match="initrd.img"):
        disk.kernel_of(tmp_path, "initrd.img")


@pytest.mark.parametrize("reader", ["kraal", "cloud-init", "none"])
def test_what_reads_the_seed(reader) -> None:
    asked = {"seed_reader": reader, "kernel": "kt-kernel", "user": "kt"}
    files = {path: text for path, text, mode in disk_contents.files_of(asked, IDENTITY.root)}
    packages = disk_contents.packages_of(asked)
    assert {"kt-kernel", "openssh-server", "qemu-guest-agent"} <= set(packages)
    assert ("cloud-init" in packages, "python3-yaml" in packages) == (reader == "cloud-init", reader == "kraal")
    assert ("usr/lib/kraal/seed-reader" in files) == (reader == "kraal")
    assert ("kraal-seed.service" in str(disk_contents.commands_of(asked))) == (reader == "kraal")
    assert IDENTITY.root in files["etc/fstab"] and files["boot/grub/grub.cfg"].count(IDENTITY.root) == 2
    if reader == "cloud-init":
        # Its default is a locale of a package that a disk has not, and the unit would fail.
        assert json.loads(files["etc/cloud/cloud.cfg.d/90_kraal.cfg"])["locale"] is False
    if reader == "kraal":
        assert "seed-reader kt\n" in files["etc/systemd/system/kraal-seed.service"]
        compile(files["usr/lib/kraal/seed-reader"], "seed-reader", "exec")


def test_commands(tmp_path) -> None:
    asked = {"variant": "minbase", "suite": "bookworm", "packages": ["b"], "components": ["main"]}
    assert rootfs.command_of(asked, Path("/t"), {}, False) == [
        *(
            "mmdebstrap",
            "--format=tar",
            "--variant=minbase",
            "--include=b",
            "--components=main",
            "--",
            "bookworm",
            "/t",
        ),
    ]
    assert rootfs.command_of(
        asked, Path("/t"), {"essential": Path("/e"), "customize": Path("/h")}, True, ["c", "a", "b"]
    ) == [
        *(
            "mmdebstrap",
            "--format=directory",
            "--variant=minbase",
            "--include=a,b,c",
            "--components=main",
            "--essential-hook=/e",
            "--customize-hook=/h",
            "--",
            "bookworm",
            "/t",
            "-",
        ),
    ]
