# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests of volumes share: names, and second opinions on what is in one."""

from __future__ import annotations

import hashlib
import json
import subprocess
from pathlib import Path
from typing import Any

MIB = 1024**2
POOL = "kt-pool"
NAME = "kt-vol"
GUEST = """<domain type='qemu'><name>kt-guest</name><memory unit='MiB'>32</memory><os><type arch='x86_64' machine='pc'>hvm</type>{boot}</os>
<devices>{disk}</devices></domain>"""
DISK = "<disk type='file' device='{device}'><driver name='qemu' type='{form}'/><source file='{path}'/><target dev='{target}'/>{more}</disk>"


def info(path: Path) -> dict[str, Any]:
    """What qemu-img sees."""
    done = subprocess.run(
        ["qemu-img", "info", "-U", "--output=json", str(path)], check=True, capture_output=True, text=True
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def content(path: Path, tmp_path: Path) -> str:
    """The digest of what a guest would see."""
    out = tmp_path / "seen.raw"
    subprocess.run(["qemu-img", "convert", "-O", "raw", str(path), str(out)], check=True)
    return digest(out)


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def args(**more: Any) -> dict[str, Any]:
    return {"name": NAME, "pool": POOL, **more}


def disk(
    images: Path, form: str = "raw", target: str = "vda", device: str = "disk", name: str = NAME, more: str = ""
) -> str:
    return DISK.format(device=device, form=form, path=images / name, target=target, more=more)
