# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is measured against, in an environment of its own: the same ansible-core, with the collections that come with
the package `ansible`.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from ansible.release import __version__ as core

from tests.support.paths import ROOT

VENV = ROOT / ".venv-bench"


def install() -> None:
    """Make the environment, unless it is there for this ansible-core."""
    stamp = VENV / f".installed-{core}"
    if stamp.exists():
        return
    print(
        f"installing the peer, the package ansible for ansible-core {core}, into {VENV.name} (two minutes)",
        file=sys.stderr,
        flush=True,
    )
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(VENV)], check=True)
    pip = [str(VENV / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, f"ansible-core=={core}", "ansible"], check=True)
    stamp.touch()


def program(name: str) -> str:
    """One of Ansible's programs in that environment."""
    return str(VENV / "bin" / name)


def version() -> str:
    """The version of community.docker in that environment."""
    (manifest,) = Path(VENV).glob("lib/python3*/site-packages/ansible_collections/community/docker/MANIFEST.json")
    return str(json.loads(manifest.read_text(encoding="utf-8"))["collection_info"]["version"])
