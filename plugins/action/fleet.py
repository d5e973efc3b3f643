# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Sends a task of `fleet` with the backends that its guests have, and no others: with all of them it takes twice as
long to pack as to run.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible import constants
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action import ActionBase

from ansible_collections.kraal.virt.plugins.module_utils.backends.registry import NAMES

MODULE = "kraal.virt.fleet"
#: The module, but for the backends that it imports.
PART = """#!/usr/bin/python
%s
from ansible_collections.kraal.virt.plugins.module_utils.fleet import run_fleet

if __name__ == "__main__":
    run_fleet()
"""
IMPORT = "from ansible_collections.kraal.virt.plugins.module_utils.backends.%s import manage as %s"


def backends_of(arguments: Mapping[str, Any]) -> list[str] | None:
    """The backends of a task's guests; None where these are not all that it may need, or only the module can tell
    what is meant. Pure.
    """
    guests, defaults = arguments.get("guests"), arguments.get("defaults") or {}
    # What the list no longer names may be of any backend.
    if (
        boolean(arguments.get("prune") or False, strict=False)
        or not isinstance(defaults, Mapping)
        or not isinstance(guests, list)
    ):
        return None
    found = [
        (guest.get("backend") or defaults.get("backend")) if isinstance(guest, Mapping) else None for guest in guests
    ]
    return [name for name in NAMES if name in found] if found and all(name in NAMES for name in found) else None


def part(backends: list[str], folder: Path) -> Path:
    """A module with these backends, in a folder that lasts as long as this run of Ansible."""
    path = folder / ("_".join(("kraal_virt_fleet", *backends)) + ".py")
    folder.mkdir(exist_ok=True)
    # Tasks for several hosts run side by side, each in a process of its own.
    begun = folder / ("%s.%d" % (path.stem, os.getpid()))
    begun.write_text(PART % "\n".join(IMPORT % (name, name) for name in backends), encoding="utf-8")
    begun.rename(path)
    return path


class ActionModule(ActionBase):
    """Runs the module, or the part of it that the task needs."""

    TRANSFERS_FILES = False
    _supports_check_mode = True
    _supports_async = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        backends = backends_of(self._task.args)
        module = MODULE
        if backends is not None:
            path = part(backends, Path(constants.DEFAULT_LOCAL_TMP, "kraal_virt"))
            self._shared_loader_obj.module_loader.add_directory(str(path.parent))
            module = path.stem
        in_background = self._task.async_val and not self._connection.has_native_async
        result.update(self._execute_module(module_name=module, task_vars=task_vars, wrap_async=in_background))
        if not in_background:
            self._remove_tmp_path(self._connection._shell.tmpdir)
        return result
