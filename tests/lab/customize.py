# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Called by mmdebstrap with the new root: removes what each host gets of its own when it is created."""

import sys
from pathlib import Path

root = Path(sys.argv[1])
for pattern in (
    "etc/ssh/ssh_host_*",
    "etc/apt/sources.list",
    "etc/apt/sources.list.d/*",
    "etc/apt/apt.conf.d/99mmdebstrap",
    "etc/hostname",
    "etc/resolv.conf",
):
    for path in root.glob(pattern):
        path.unlink()
# Empty, not absent: systemd then makes an id at boot and takes it for no first boot that waits for questions.
(root / "etc/machine-id").write_text("")
