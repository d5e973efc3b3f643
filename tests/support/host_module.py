# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs a module as a process on a lab host, past ssh and ansible-playbook: see module_process. The host has to see what
BINDS names.

lab.up(HostImage("bookworm"), binds=BINDS)
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ansible

from tests.lab.hosts import Lab, LabHost

from .ansible_runner import Result
from .module_process import as_result, module_input, python_name
from .paths import ROOT, SYSTEM_PYTHON

#: What Python finds there. Of ansible-core nothing but itself: the environment's other packages are for another Python.
PACKAGES = "/srv/kt-packages"
#: The collection and ansible-core, where every user may read them: the checkout may lie in the home of root.
BINDS = [
    f"{ROOT}:{PACKAGES}/ansible_collections/kraal/virt:ro",
    f"{Path(ansible.__file__).resolve().parent}:{PACKAGES}/ansible:ro",
]

#: The module's arguments as its standard input; the interpreter starts where there is nothing that hides a library.
PROGRAM = 'cd / && printf %s "$1" | PYTHONDONTWRITEBYTECODE=1 PYTHONPATH="$2" "$3" -m "$4"'


def run_on(
    lab: Lab,
    host: LabHost,
    name: str,
    args: Mapping[str, Any],
    *,
    check: bool = False,
    interpreter: str = SYSTEM_PYTHON,
    user: int = 0,
) -> Result:
    """What the module returned on that host, run as the user of that number."""
    given = module_input(name, args, "/tmp", check=check, diff=True)
    login = ["setpriv", f"--reuid={user}", "--clear-groups", "--"] if user else []
    done = lab.run(
        host, [*login, "sh", "-c", PROGRAM, "sh", given, PACKAGES, interpreter, python_name(name)], check=False
    )
    return as_result(done.rc, done.stdout, done.stderr)
