# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs a module without ansible-playbook: the module's file, its arguments as JSON, the target's Python.

It is what Ansible does on the host itself and costs a fraction of a play, so a table of hundreds of cases can run
against a real daemon. The module sees only what a host would see: `ansible.module_utils` of the installed ansible-core,
this collection, and the packages of its interpreter.
"""

from __future__ import annotations

import functools
import json
import os
import signal
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import ansible
from ansible.release import __version__ as ansible_version

from .ansible_runner import TIMEOUT, Result, environment
from .paths import COLLECTIONS, SYSTEM_PYTHON


@functools.cache
def _core() -> tempfile.TemporaryDirectory[str]:
    """A directory that holds ansible-core and nothing else of the environment the tests run in.

    That environment's other packages (a newer docker SDK, say) must not be found before those of the module's
    interpreter.
    """
    directory = tempfile.TemporaryDirectory(prefix="kt-core-")
    Path(directory.name, "ansible").symlink_to(Path(ansible.__file__).parent)
    return directory


def python_name(name: str) -> str:
    """Where Python finds the module of that FQCN."""
    namespace, collection, module = name.split(".", 2)
    if (namespace, collection) == ("ansible", "builtin"):
        return f"ansible.modules.{module}"
    return f"ansible_collections.{namespace}.{collection}.plugins.modules.{module}"


def module_environment(env: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment in which a module runs."""
    return environment({"PYTHONPATH": os.pathsep.join([_core().name, str(COLLECTIONS)]), **(env or {})})


def module_input(
    name: str,
    args: Mapping[str, Any] | None,
    scratch: str,
    *,
    check: bool = False,
    diff: bool = False,
    verbosity: int = 0,
) -> str:
    """What Ansible hands to a module."""
    params = {
        **(args or {}),
        "_ansible_check_mode": check,
        "_ansible_diff": diff,
        "_ansible_verbosity": verbosity,
        "_ansible_debug": False,
        "_ansible_no_log": False,
        "_ansible_keep_remote_files": False,
        "_ansible_module_name": name,
        "_ansible_version": ansible_version,
        "_ansible_shell_executable": "/bin/sh",
        "_ansible_syslog_facility": "LOG_USER",
        "_ansible_selinux_special_fs": ["fuse", "nfs", "vboxsf", "ramfs", "9p", "vfat"],
        "_ansible_socket": None,
        "_ansible_target_log_info": None,
        "_ansible_tracebacks_for": [],
        "_ansible_remote_tmp": scratch,
        "_ansible_tmpdir": scratch,
    }
    return json.dumps({"ANSIBLE_MODULE_ARGS": params})


def as_result(rc: int, stdout: str, stderr: str) -> Result:
    """What a module printed, read."""
    start = stdout.find("{")
    data: dict[str, Any] = json.loads(stdout[start:]) if start >= 0 else {}
    if data.pop("_ansible_new_secrets", None):
        # From core 2.22 on a module names the task's secrets to the controller, which masks them and keeps that to
        # itself.
        stdout = json.dumps(data)
    return Result(
        rc,
        bool(data.get("changed", False)),
        bool(data.get("failed", rc != 0)),
        data,
        stdout,
        stderr,
        skipped=bool(data.get("skipped", False)),
    )


class ModuleProcess:
    """A running module: wait for it with `result()`, or kill it midway."""

    def __init__(
        self,
        name: str,
        args: Mapping[str, Any] | None = None,
        *,
        check: bool = False,
        diff: bool = False,
        env: Mapping[str, str] | None = None,
        interpreter: str = SYSTEM_PYTHON,
        verbosity: int = 0,
    ) -> None:
        self._scratch = tempfile.TemporaryDirectory(prefix="kt-module-")
        full = module_environment(env)
        # -m, because a file run by its path puts its own directory first on the import path: a module named like a
        # library would hide it.
        self.process = subprocess.Popen(
            [interpreter, "-m", python_name(name)],
            cwd=self._scratch.name,
            env=full,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self._input = module_input(name, args, self._scratch.name, check=check, diff=diff, verbosity=verbosity)

    @property
    def pid(self) -> int:
        return self.process.pid

    def start(self) -> ModuleProcess:
        """Give the module its arguments without waiting for its end."""
        assert self.process.stdin is not None
        self.process.stdin.write(self._input)
        self.process.stdin.close()
        self.process.stdin = None
        self._input = ""
        return self

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)

    def result(self, timeout: float = TIMEOUT) -> Result:
        """What the module printed; a module that was killed or printed no JSON is failed, with an empty `json`."""
        try:
            stdout, stderr = self.process.communicate(self._input or None, timeout=timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            self.process.communicate()
            raise
        finally:
            self._scratch.cleanup()
        return as_result(self.process.returncode, stdout, stderr)

    def __enter__(self) -> ModuleProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.kill()
            self.process.communicate()
        self._scratch.cleanup()


def module_process(name: str, args: Mapping[str, Any] | None = None, check: bool = False, **options: Any) -> Result:
    """Run a module by its FQCN and wait for it. Options: diff, env, interpreter, verbosity."""
    timeout = options.pop("timeout", TIMEOUT)
    return ModuleProcess(name, args, check=check, **options).result(timeout)
