# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where things are in a checkout; nothing here depends on the working directory."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
COLLECTIONS = ROOT / ".collections"
CACHE = ROOT / ".cache"
SUPPORT = ROOT / "tests" / "support"

#: Modules run under the distribution's Python: it has the bindings, and pyenv or venv shims on PATH do not.
SYSTEM_PYTHON = "/usr/bin/python3"


def program(name: str) -> str:
    """An entry point of the environment that runs the tests (ansible-playbook and its kin), not whatever PATH finds
    first.
    """
    path = Path(sys.executable).parent / name
    if not path.exists():
        raise FileNotFoundError(
            f"{path} is missing: install tests/requirements.txt into the environment that runs pytest"
        )
    return str(path)
