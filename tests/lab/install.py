# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Called with a root file system and packages, in a mount namespace of its own: installs them as apt does where
nothing runs.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

root, packages = Path(sys.argv[1]), sys.argv[2:]
environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}
#: Maintainer scripts ask it whether a service may be started.
policy = root / "usr/sbin/policy-rc.d"
policy.write_text("#!/bin/sh\nexit 101\n", encoding="ascii")
policy.chmod(0o755)
shutil.copy("/etc/resolv.conf", root / "etc/resolv.conf")
subprocess.run(["mount", "-t", "proc", "proc", str(root / "proc")], check=True)
apt = ["chroot", str(root), "apt-get", "--quiet", "--quiet", "--option=Acquire::Languages=none"]
for words in (["update"], ["install", "--yes", "--no-install-recommends", *packages]):
    subprocess.run([*apt, *words], stdin=subprocess.DEVNULL, env=environment, check=True)
subprocess.run(["umount", str(root / "proc")], check=True)
policy.unlink()
for pattern in (
    "var/cache/apt/*.bin",
    "var/log/apt/*",
    "var/log/dpkg.log",
    "var/log/alternatives.log",
    "etc/apt/apt.conf.d/99lab",
):
    for path in root.glob(pattern):
        path.unlink()
