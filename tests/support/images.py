# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tiny images for the tests, made from Debian's static busybox: no registry, a fraction of a second each."""

from __future__ import annotations

import io
import subprocess
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import docker

BUSYBOX = "/bin/busybox"

#: What a guest of these images runs: it ends at once on SIGTERM (a plain `sleep` as process 1 ignores it and costs
#: every stop its whole timeout).
GUEST = """#!/bin/sh
trap 'exit 0' TERM INT
if [ -n "$KT_FAIL" ]; then echo "told to fail" >&2; exit 3; fi
touch /tmp/started
( sleep "${KT_HEALTHY_AFTER:-0}"; touch /tmp/healthy ) &
while :; do sleep 3600 & wait $!; done
"""

HEALTHCHECK = "HEALTHCHECK --interval=200ms --timeout=2s --retries=2 CMD test -e /tmp/healthy"


def root_tar(release: str, files: dict[str, str] | None = None) -> bytes:
    """A root file system with busybox, its applets, the users root and app (1000), and /etc/kt-release that tells
    one variation from another.
    """
    applets = subprocess.run([BUSYBOX, "--list"], capture_output=True, text=True, check=True).stdout.split()
    texts = {
        "etc/passwd": "root:x:0:0:root:/root:/bin/sh\napp:x:1000:1000:app:/home/app:/bin/sh\n",
        "etc/group": "root:x:0:\napp:x:1000:\n",
        "etc/kt-release": release + "\n",
        **(files or {}),
    }
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for directory, mode in (
            ("bin", 0o755),
            ("etc", 0o755),
            ("tmp", 0o1777),
            ("root", 0o700),
            ("home/app", 0o755),
            ("proc", 0o755),
            ("sys", 0o755),
            ("dev", 0o755),
            ("data", 0o755),
        ):
            entry = tarfile.TarInfo(directory)
            entry.type, entry.mode = tarfile.DIRTYPE, mode
            tar.addfile(entry)
        _add(tar, "bin/busybox", Path(BUSYBOX).read_bytes(), 0o755)
        _add(tar, "bin/kt-guest", GUEST.encode(), 0o755)
        for name, text in texts.items():
            _add(tar, name, text.encode(), 0o644)
        for applet in applets:
            if applet not in ("busybox", "kt-guest"):
                link = tarfile.TarInfo(f"bin/{applet}")
                link.type, link.linkname = tarfile.SYMTYPE, "busybox"
                tar.addfile(link)
    return out.getvalue()


def _add(tar: tarfile.TarFile, name: str, data: bytes, mode: int) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(data), mode
    tar.addfile(entry, io.BytesIO(data))


def import_image(client: docker.APIClient, name: str, release: str, changes: Sequence[str] = ()) -> str:
    """Import a variation under a name with a tag; its id. The standard command is `kt-guest`."""
    repository, dummy, tag = name.rpartition(":")
    answer = client.import_image_from_data(
        root_tar(release), repository=repository, tag=tag, changes=['CMD ["/bin/kt-guest"]', "ENV PATH=/bin", *changes]
    )
    if '"error"' in answer:
        raise RuntimeError(f"the import of {name} failed: {answer}")
    return str(client.inspect_image(name)["Id"])


@dataclass(frozen=True)
class BaseImages:
    """Names of the images that are there during the session, and the id of each."""

    one: str
    two: str
    healthy: str
    ids: dict[str, str]

    @classmethod
    def create(cls, client: docker.APIClient, prefix: str) -> BaseImages:
        one, two, healthy = f"{prefix}busybox:1", f"{prefix}busybox:2", f"{prefix}busybox:health"
        ids = {
            one: import_image(client, one, "1"),
            two: import_image(client, two, "2"),
            healthy: import_image(client, healthy, "health", [HEALTHCHECK]),
        }
        return cls(one, two, healthy, ids)
