# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What there is to check: the files of this checkout, and a copy of them where ansible-test wants a collection to
be.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

from tests.support.paths import ROOT


def files() -> list[str]:
    """Every file that is or would be committed, without the link through which the checkout resolves as a
    collection.
    """
    return _there(_git("ls-files", "-z", "--cached", "--others", "--exclude-standard"))


def changed() -> list[str]:
    """Those of the files that differ from where this branch left main, or from the last commit where there is no
    main.
    """
    base = _git("merge-base", "HEAD", "main", check=False).strip() or "HEAD"
    return _there(_git("diff", "--name-only", "-z", base), _git("ls-files", "-z", "--others", "--exclude-standard"))


def _git(*words: str, check: bool = True) -> str:
    # A checkout may belong to somebody else than who runs the tests; git refuses to list it unless told otherwise.
    return subprocess.run(
        ["git", "-c", "safe.directory=*", *words], cwd=ROOT, check=check, capture_output=True, text=True
    ).stdout


def _there(*listed: str) -> list[str]:
    # A file that was deleted but not yet committed is still listed.
    names = {name for each in listed for name in each.split("\0") if name and not name.startswith(".collections/")}
    return sorted(name for name in names if (ROOT / name).is_file())


def delivered() -> list[str]:
    """Those of the files that users get, and what tells ansible-test about them: tests, scripts and findings stay
    here, where ruff reads what is Python.
    """
    return [
        name
        for name in files()
        if not name.startswith(("findings/", "tests/", "scripts/"))
        or name.startswith(("tests/config.yml", "tests/sanity/"))
    ]


def copy_to(base: Path, names: Iterable[str]) -> Path:
    """A copy of some files as base/ansible_collections/kraal/virt."""
    collection = base / "ansible_collections" / "kraal" / "virt"
    for name in names:
        target = collection / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, target, follow_symlinks=False)
    return collection
