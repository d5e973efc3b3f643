# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A program in the place of mmdebstrap, for what is around a build."""

from __future__ import annotations

from pathlib import Path

#: Packs its arguments; ends as it is told, or waits with its first words said. Its target stands before the source of
#: packages, if there is one. For a disk, what is asked of a root file system: a kernel and a boot loader, of nonsense.
STAND_IN = """#!/usr/bin/python3 -I
import os, sys, tarfile, time
target = next(word for word in sys.argv if word.endswith((".tar", "/root")))
if os.environ.get("KT_SAY"):
    print(os.environ["KT_SAY"], file=sys.stderr)
    sys.exit(1)
if target.endswith(".tar"):
    with tarfile.open(target, "w") as tar:
        tar.addfile(tarfile.TarInfo("etc"))
else:
    for path, size in {
        "etc/hostname": 9, "boot/vmlinuz-1": 70, "boot/initrd.img-1": 80, "usr/lib/grub/i386-pc/boot.img": 512, "boot/grub/i386-pc/core.img": 2000
    }.items():
        os.makedirs(os.path.dirname(os.path.join(target, path)), exist_ok=True)
        with open(os.path.join(target, path), "wb") as file:
            file.write(b"x" * size)
    for name in ("vmlinuz", "initrd.img"):
        os.symlink("boot/%s-1" % name, os.path.join(target, name))
if os.environ.get("KT_WAIT"):
    time.sleep(60)
"""


def stand_in(directory: Path) -> Path:
    """The program in a directory for PATH, which is made."""
    directory.mkdir()
    program = directory / "mmdebstrap"
    program.write_text(STAND_IN, encoding="utf-8")
    program.chmod(0o755)
    return program
