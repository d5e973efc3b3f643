# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The program that grows a guest's root partition and its ext4 to the disk, at each boot.

Put into disk images as it stands here.
"""

# A program of its own, not a part of a module: pylint: disable=ansible-bad-function

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def main() -> int:
    """Grow both; the exit status of what failed."""
    device = os.stat("/").st_dev
    node = Path("/sys/dev/block/%d:%d" % (os.major(device), os.minor(device))).resolve()
    partition = node / "partition"
    if partition.exists():
        number = partition.read_text(encoding="ascii").strip()
        grown = subprocess.run(["growpart", f"/dev/{node.parent.name}", number], check=False)
        # 1: it has its size already.
        if grown.returncode > 1:
            return grown.returncode
    return subprocess.run(["resize2fs", f"/dev/{node.name}"], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
