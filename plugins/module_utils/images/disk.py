# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Makes a bootable disk of a root file system's directory: no loop device, nothing mounted, and the same bytes from
the same directory.
"""

from __future__ import annotations

import os
import shutil
import struct
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from ..engine.errors import BackendError
from ..engine.units import format_size
from .disk_contents import CORE, REMOVED

MIB = 1 << 20
SECTOR = 512
#: Of a disk: less holds no system, and more is for a guest's own disk to grow to.
SMALLEST, LARGEST = 512 * MIB, 2 << 40
#: In sectors: the boot loader's partition, of 1 MiB, and after it the root partition.
LOADER, ROOT = 2048, 4096
_NAMESPACE = uuid.UUID("b9a3f1de-5a0c-4e0b-9c39-2f8f9e1d3a57")
_BIOS_BOOT, _LINUX = "21686148-6449-6E6F-744E-656564454649", "0FC63DAF-8483-4772-8E79-3D69D8477DE4"

#: What GRUB 2.06 and the kernels of Debian 12 can read: a newer mke2fs would by itself choose more.
_MKE2FS = """\
[defaults]
base_features = sparse_super,large_file,filetype,resize_inode,dir_index,ext_attr
default_mntopts = acl,user_xattr
enable_periodic_fsck = 0
blocksize = 4096
inode_size = 256
inode_ratio = 16384
reserved_ratio = 1

[fs_types]
ext4 = {
features = has_journal,extent,huge_file,flex_bg,metadata_csum,64bit,dir_nlink,extra_isize
}
"""

Run = Callable[..., str]


@dataclass(frozen=True)
class Identity:
    """The identifiers of one disk image, made of the digest of its request."""

    digest: str

    def of(self, part: str) -> str:
        """The identifier of one part of it."""
        return str(uuid.uuid5(_NAMESPACE, f"{self.digest} {part}"))

    @property
    def root(self) -> str:
        """That of the root file system."""
        return self.of("root file system")


def table_of(size: int, identity: Identity) -> str:
    """The partition table, as sfdisk reads it; ``size`` in bytes. Pure."""
    return (
        "label: gpt\nlabel-id: %s\nunit: sectors\nfirst-lba: 34\nsector-size: 512\n\n"
        'start=%d, size=%d, type=%s, uuid=%s, name="loader"\nstart=%d, size=%d, type=%s, uuid=%s, name="root"\n'
    ) % (
        *(identity.of("disk"), LOADER, ROOT - LOADER, _BIOS_BOOT, identity.of("loader partition")),
        *(ROOT, root_size(size) // SECTOR, _LINUX, identity.of("root partition")),
    )


def root_size(size: int) -> int:
    """The bytes of the root partition of a disk: the last MiB is the table's copy's. Pure."""
    return size - ROOT * SECTOR - MIB


def boot_code(image: bytes) -> bytes:
    """GRUB's boot.img as it stands in front of a partition table: with the sector of the core image. Pure.

    As grub-core/boot/i386/pc/boot.S and util/setup.c of GRUB 2.06 and 2.12 have it.
    """
    code = bytearray(image[:440])
    struct.pack_into("<Q", code, 0x5C, LOADER)
    # The jump over the work-around for a BIOS that tells the wrong drive is only for floppy disks.
    code[0x66:0x68] = b"\x90\x90"
    return bytes(code)


def core_image(image: bytes) -> bytes:
    """GRUB's core.img with the list of its own sectors, which stands at the end of the first.

    Raises BackendError. Pure.
    """
    sectors = -(-len(image) // SECTOR)
    if len(image) <= SECTOR or sectors > ROOT - LOADER:
        raise BackendError("the boot loader of %d bytes does not fit" % len(image))
    code = bytearray(image)
    struct.pack_into("<QHH", code, 0x1F4, LOADER + 1, sectors - 1, 0x820)
    return bytes(code)


def mke2fs_command(directory: Path, disk: Path, size: int, identity: Identity) -> list[str]:
    """Pure."""
    extended = "offset=%d,hash_seed=%s,lazy_itable_init=0,lazy_journal_init=0,nodiscard" % (
        ROOT * SECTOR,
        identity.of("directories"),
    )
    return [
        *("mke2fs", "-q", "-F", "-t", "ext4", "-U", identity.root, "-L", "root", "-E", extended),
        *("-d", str(directory), str(disk), "%dk" % (root_size(size) // 1024)),
    ]


def times_script(inodes: int, epoch: int) -> str:
    """For debugfs: the times that mke2fs takes from the directory and nobody can set there. Pure."""
    fields = ("ctime", "ctime_extra", "crtime", "crtime_extra")
    values = {"ctime": "@%d" % epoch, "crtime": "@%d" % epoch}
    places = product(range(11, inodes + 1), fields)
    return "".join("set_inode_field <%d> %s %s\n" % (*place, values.get(place[1], "0")) for place in places)


def settle_times(root: Path, epoch: int) -> None:
    """No file is younger than the day of the build, as in an archive."""
    for folder, directories, files in os.walk(root, topdown=False):
        for name in [*directories, *files]:
            path = os.path.join(folder, name)
            time = min(int(os.lstat(path).st_mtime), epoch)
            os.utime(path, (time, time), follow_symlinks=False)
    os.utime(root, (epoch, epoch))


def kernel_of(root: Path, name: str) -> Path:
    """The file that a link to the kernel or its initramfs means, in a root file system. Raises BackendError."""
    for folder in (root, root / "boot"):
        link = folder / name
        if link.is_symlink():
            target = os.readlink(link)
            return root / target.lstrip("/") if target.startswith("/") else folder / target
    raise BackendError(f"the root file system has no {name}", remedy="Name a package in kernel that installs one")


def finish(root: Path) -> None:
    """Take away what each guest makes or is told for itself; names are asked of systemd-resolved."""
    for pattern in REMOVED:
        for path in root.glob(pattern):
            path.unlink()
    names = root / "etc/resolv.conf"
    if names.is_symlink() or names.exists():
        names.unlink()
    names.symlink_to("../run/systemd/resolve/stub-resolv.conf")


def make(root: Path, disk: Path, size: int, identity: Identity, epoch: int, run: Run) -> None:
    """Write a raw disk. ``run``: runs an argument vector with an input and an environment, and gives its output."""
    finish(root)
    settle_times(root, epoch)
    with disk.open("wb") as file:
        file.truncate(size)
    run(["sfdisk", "--quiet", "--no-reread", "--no-tell-kernel", str(disk)], table_of(size, identity))
    configuration = disk.with_name("mke2fs.conf")
    configuration.write_text(_MKE2FS, encoding="utf-8")
    # The first is for those before e2fsprogs 1.47.1, which do not know the second.
    times = {"E2FSPROGS_FAKE_TIME": str(epoch), "SOURCE_DATE_EPOCH": str(epoch)}
    try:
        run(mke2fs_command(root, disk, size, identity), "", {**times, "MKE2FS_CONFIG": str(configuration)})
    except BackendError as error:
        error.remedy = (
            f"Write a greater disk_size than {format_size(size)}"
            if "ould not allocate" in error.message
            else error.remedy
        )
        raise
    device = "%s?offset=%d" % (disk, ROOT * SECTOR)
    numbers = dict(
        line.split(":", 1) for line in run(["debugfs", "-R", "stats -h", device]).splitlines() if line.count(":") == 1
    )
    script = disk.with_name("times")
    script.write_text(times_script(int(numbers["Inode count"]) - int(numbers["Free inodes"]), epoch), encoding="ascii")
    run(["debugfs", "-w", "-f", str(script), device], "", times)
    with disk.open("r+b") as file:
        file.write(boot_code((root / "usr/lib/grub/i386-pc/boot.img").read_bytes()))
        file.seek(LOADER * SECTOR)
        file.write(core_image((root / CORE).read_bytes()))


def copy_kernel(root: Path, disk: Path) -> dict[str, Path]:
    """The kernel and its initramfs beside a disk, for guests that are booted without the boot loader."""
    found = {"kernel": disk.with_suffix(".vmlinuz"), "initrd": disk.with_suffix(".initrd")}
    shutil.copyfile(kernel_of(root, "vmlinuz"), found["kernel"])
    shutil.copyfile(kernel_of(root, "initrd.img"), found["initrd"])
    return found
