# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Prints, as a list in JSON, the files with process numbers that an engine left behind when it died."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

PIDFILES = {
    "/var/run/docker.pid": ("dockerd",),
    "/var/run/docker-ssd.pid": ("dockerd",),
    "/var/run/docker/containerd/containerd.pid": ("containerd", "docker-containe"),
}


def stale(pidfile: Path, programs: Sequence[str]) -> bool:
    """A file left behind by an engine that died: the number in it is nobody's, or another program's by now, and would keep a new engine from starting."""
    if not pidfile.exists():
        return False
    number = pidfile.read_text(encoding="ascii", errors="replace").strip()
    try:
        # "PID (NAME) STATE ...". A zombie has ended; only its parent has not taken note of it.
        name, _bracket, rest = Path("/proc", number, "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")
    except OSError:
        return True
    return not number.isdigit() or name.partition("(")[2] not in programs or rest.split()[0] in "ZX"


if __name__ == "__main__":
    print(json.dumps([path for path, programs in PIDFILES.items() if stale(Path(path), programs)]))
