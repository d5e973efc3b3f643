# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs that are timed, from the start of the program to its end, as a user waits for it."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.support.ansible_runner import environment, local_inventory
from tests.support.paths import SYSTEM_PYTHON

from . import peer

#: An interpreter for a module that notes how much memory the real one took at its peak (in KiB, as the kernel counts
#: it).
METER = """#!{python} -ISs
import os, sys
child = os.posix_spawn({python!r}, [{python!r}, *sys.argv[1:]], os.environ)
_, status, usage = os.wait4(child, 0)
with open({record!r}, "a") as record:
    print(usage.ru_maxrss, file=record)
sys.exit(os.waitstatus_to_exitcode(status))
"""


class WentWrong(Exception):
    """What was to be measured failed, or was not what was to be measured."""


@dataclass(frozen=True)
class Run:
    """A program that ended well."""

    seconds: float
    cpu: float
    stdout: str


def timed(work: Callable[[], str]) -> Run:
    """The time that this takes, and the processor time of the programs that it starts."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    stdout = work()
    seconds, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    return Run(seconds, after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime, stdout)


def program(argv: Sequence[str], env: Mapping[str, str] | None = None) -> str:
    """Run a program; what it printed."""
    done = subprocess.run(argv, env=env, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    if done.returncode:
        raise WentWrong(
            f"{' '.join(argv[:4])} ... ended with {done.returncode}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
        )
    return done.stdout


class Ansible:
    """Ansible's programs on this machine, with pipelining, without facts: nothing but the one task is timed."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.env = environment({"ANSIBLE_HOME": str(directory), "ANSIBLE_REMOTE_TEMP": str(directory / "remote")})
        # Without the tests' callback; with bytecode, as any user has it.
        for name in ("ANSIBLE_CALLBACK_PLUGINS", "ANSIBLE_CALLBACKS_ENABLED", "PYTHONDONTWRITEBYTECODE"):
            del self.env[name]
        self.inventory = self.file("hosts.yml", local_inventory())
        record = directory / "memory"
        meter = directory / "python-meter"
        meter.write_text(METER.format(python=SYSTEM_PYTHON, record=str(record)), encoding="utf-8")
        meter.chmod(0o755)
        self.record = record
        self.metered = self.file("metered.yml", local_inventory(str(meter)))

    def file(self, name: str, data: Any) -> Path:
        """A YAML file."""
        path = self.directory / name
        path.write_text(yaml.safe_dump(data, sort_keys=False), encoding="utf-8")
        return path

    def play(
        self, task: Mapping[str, Any], *, changed: bool | None, check: bool = False, inventory: Path | None = None
    ) -> Run:
        """One task in one play.

        `changed` is what it must report: anything else is not what was to be measured. None: whatever it says.
        """
        path = self.file("play.yml", [{"hosts": "localhost", "gather_facts": False, "tasks": [dict(task)]}])
        argv = [
            peer.program("ansible-playbook"),
            "--inventory",
            str(inventory or self.inventory),
            str(path),
            *(["--check"] if check else []),
        ]
        run = timed(lambda: program(argv, self.env))
        if changed is not None and ("changed=0 " in run.stdout) is changed:
            raise WentWrong(
                f"{next(iter(task))} was expected to {'change something' if changed else 'change nothing'}\n"
                f"{run.stdout[-2000:]}"
            )
        return run

    def peak(self, task: Mapping[str, Any], *, changed: bool) -> float:
        """The module's peak memory in MB (10^6 bytes)."""
        self.record.unlink(missing_ok=True)
        self.play(task, changed=changed, inventory=self.metered)
        # The first lines are of what Ansible runs beside the module, if anything.
        return max(int(line) for line in self.record.read_text(encoding="utf-8").split()) * 1024 / 10**6

    def read_inventory(self, path: Path) -> tuple[Run, int]:
        """`ansible-inventory --list`; with the number of hosts."""
        run = timed(lambda: program([peer.program("ansible-inventory"), "--inventory", str(path), "--list"], self.env))
        return run, len(json.loads(run.stdout).get("_meta", {}).get("hostvars", {}))


def docker_run(commands: Sequence[Sequence[str]], width: int) -> Run:
    """Many `docker run` side by side."""
    env = {**os.environ, "DOCKER_CLI_HINTS": "false"}

    def all_of_them() -> str:
        with ThreadPoolExecutor(width) as pool:
            return "".join(pool.map(lambda argv: program(argv, env), commands))

    return timed(all_of_them)


def side_by_side(commands: Sequence[Sequence[Sequence[str]]], width: int) -> Run:
    """Several programs one after the other, many such rows side by side."""

    def all_of_them() -> str:
        with ThreadPoolExecutor(width) as pool:
            return "".join(pool.map(lambda row: "".join(program(argv) for argv in row), commands))

    return timed(all_of_them)


def scratch() -> tempfile.TemporaryDirectory[str]:
    """A directory for a run."""
    return tempfile.TemporaryDirectory(prefix="kt-bench-")
