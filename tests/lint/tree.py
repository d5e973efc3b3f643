# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What there is to check: the files of this checkout, and a copy of them where ansible-test wants a collection to be."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

from tests.support.paths import ROOT


def files() -> list[str]:
    """Every file that is or would be committed, without the link through which the checkout resolves as a collection."""
    # A checkout may belong to somebody else than who runs the tests; git refuses to list it unless told otherwise.
    command = ["git", "-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    # A file that was deleted but not yet committed is still listed.
    return sorted({name for name in listed.split("\0") if name and not name.startswith(".collections/") and (ROOT / name).is_file()})


def delivered() -> list[str]:
    """Those of the files that users get, and what tells ansible-test about them: tests, scripts and findings stay here, where ruff reads what is Python."""
    return [name for name in files() if not name.startswith(("findings/", "tests/", "scripts/")) or name.startswith(("tests/config.yml", "tests/sanity/"))]


def copy_to(base: Path, names: Iterable[str]) -> Path:
    """A copy of some files as base/ansible_collections/kraal/virt."""
    collection = base / "ansible_collections" / "kraal" / "virt"
    for name in names:
        target = collection / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, target, follow_symlinks=False)
    return collection
