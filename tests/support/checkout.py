# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""This checkout as a repository that can be cloned elsewhere, with what is not committed yet."""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
import tempfile
from pathlib import Path

from .paths import ROOT

#: Where it lies on a host, and where the README says that it comes from.
PLACE, HOME = "/srv/kraal.virt.git", "https://github.com/kraal-virt/kraal.virt"
WHO = {
    f"GIT_{who}_{what}": value
    for who in ("AUTHOR", "COMMITTER")
    for what, value in (("NAME", "tests"), ("EMAIL", "tests@localhost"))
}


def archive() -> bytes:
    """A tar file that holds the bare repository at PLACE, and git's word for root that what the README clones is
    there.
    """
    with tempfile.TemporaryDirectory(prefix="kt-git-") as directory:
        bare, index = Path(directory, "bare"), Path(directory, "index")
        environment = {**os.environ, **WHO, "GIT_INDEX_FILE": str(index)}

        def git(*words: str) -> str:
            # A checkout may belong to somebody else than who runs the tests.
            command = ["git", "-c", "safe.directory=*", *words]
            return subprocess.run(
                command, cwd=ROOT, env=environment, check=True, capture_output=True, text=True
            ).stdout.strip()

        git("init", "--quiet", "--bare", "--initial-branch=main", str(bare))
        git("read-tree", "HEAD")
        git("add", "--all")
        commit = git("commit-tree", "-m", "The checkout", git("write-tree"))
        git("push", "--quiet", str(bare), f"{commit}:refs/heads/main")
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w") as tar:
            tar.add(bare, PLACE.lstrip("/"), filter=_of_root)
            settings = f'[url "{PLACE}"]\n\tinsteadOf = {HOME}\n'.encode()
            entry = tarfile.TarInfo("root/.gitconfig")
            entry.size = len(settings)
            tar.addfile(entry, io.BytesIO(settings))
        return out.getvalue()


def _of_root(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    return entry
