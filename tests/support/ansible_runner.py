# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the real `ansible-playbook` and `ansible` and gives back what each task returned.

Each run is forked from an Ansible that is imported already (`warm_ansible`). A play still takes half a second: a test
that has several steps gives them to `run_play` as one list.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from . import warm_ansible
from .paths import ROOT, SUPPORT, SYSTEM_PYTHON, program

#: Seconds after which a run is taken to hang, and fails instead of stopping the whole test run: no machine that is only
#: busy comes near.
TIMEOUT = 1800


@dataclass(frozen=True)
class Result:
    """What one task returned. `stdout` and `stderr` are the whole run's, for tests of what a user sees."""

    rc: int
    changed: bool
    failed: bool
    json: dict[str, Any]
    stdout: str = ""
    stderr: str = ""
    host: str = "localhost"
    task: str = ""
    skipped: bool = False
    unreachable: bool = False

    @property
    def msg(self) -> str:
        return str(self.json.get("msg", ""))

    @property
    def warnings(self) -> list[str]:
        return [str(warning) for warning in self.json.get("warnings", [])]

    @property
    def deprecations(self) -> list[Any]:
        return list(self.json.get("deprecations", []))

    def __getitem__(self, key: str) -> Any:
        return self.json[key]


@dataclass(frozen=True)
class Run:
    """One whole run: its exit code, what it printed, each result in order, and the recap of each host."""

    rc: int
    stdout: str
    stderr: str
    results: list[Result] = field(default_factory=list)
    stats: dict[str, dict[str, int]] = field(default_factory=dict)

    @property
    def output(self) -> str:
        return f"rc={self.rc}\n--- stdout\n{self.stdout}\n--- stderr\n{self.stderr}"

    @property
    def changed(self) -> int:
        return sum(host["changed"] for host in self.stats.values())

    def of(self, task: str, host: str | None = None) -> list[Result]:
        """The results of the tasks of that name (a role's prefix `role : ` may be left out)."""
        return [r for r in self.results if (r.task == task or r.task.endswith(f" : {task}")) and host in (None, r.host)]


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The caller's environment without his own Ansible settings, so that a test behaves alike everywhere."""
    env = {key: value for key, value in os.environ.items() if not key.startswith(("ANSIBLE_", "DOCKER_"))}
    env.update(
        ANSIBLE_CONFIG=str(ROOT / "ansible.cfg"),
        # The checkout's own inventory is the user's; what a test asks for, it names.
        ANSIBLE_INVENTORY="/etc/ansible/hosts",
        ANSIBLE_DISPLAY_SKIPPED_HOSTS="1",
        ANSIBLE_CALLBACK_PLUGINS=str(SUPPORT / "callback_plugins"),
        ANSIBLE_CALLBACKS_ENABLED="kt_results",
        ANSIBLE_NOCOLOR="1",
        ANSIBLE_PIPELINING="1",
        ANSIBLE_LOCALHOST_WARNING="0",
        ANSIBLE_INVENTORY_UNPARSED_WARNING="0",
        ANSIBLE_RETRY_FILES_ENABLED="0",
        PYTHONDONTWRITEBYTECODE="1",
        ANSIBLE_FORKS="10",
        LC_ALL="C.UTF-8",
    )
    env.update(extra or {})
    return env


def execute(
    argv: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path = ROOT,
    stdin: str | None = None,
    timeout: float = TIMEOUT,
) -> Run:
    """Run one of Ansible's programs (`ansible-playbook`, `ansible`, `ansible-inventory`, `ansible-doc`) with its
    arguments.
    """
    with tempfile.TemporaryDirectory(prefix="kt-ansible-") as scratch:
        results = Path(scratch, "results.jsonl")
        full = environment(
            {
                "ANSIBLE_HOME": scratch,
                "ANSIBLE_REMOTE_TEMP": f"{scratch}/remote",
                "KT_RESULTS_FILE": str(results),
                **(env or {}),
            }
        )
        done = warm_ansible.run([program(argv[0]), *argv[1:]], full, cwd, Path(scratch), stdin or "", timeout)
        entries = (
            [json.loads(line) for line in results.read_text(encoding="utf-8").splitlines()] if results.exists() else []
        )
    stats: dict[str, dict[str, int]] = next((entry["stats"] for entry in entries if "stats" in entry), {})
    return Run(done.returncode, done.stdout, done.stderr, list(_results(entries, done)), stats)


def _results(entries: Sequence[Mapping[str, Any]], done: subprocess.CompletedProcess[str]) -> Iterator[Result]:
    for entry in entries:
        if "stats" not in entry:
            yield Result(
                rc=done.returncode,
                changed=entry["changed"],
                failed=entry["failed"] or entry["unreachable"],
                json=entry["result"],
                stdout=done.stdout,
                stderr=done.stderr,
                host=entry["host"],
                task=entry["task"],
                skipped=entry["skipped"],
                unreachable=entry["unreachable"],
            )


def _options(check: bool, diff: bool, verbosity: int, extra_vars: Mapping[str, Any] | None) -> list[str]:
    options = []
    if check:
        options.append("--check")
    if diff:
        options.append("--diff")
    if verbosity:
        options.append("-" + "v" * verbosity)
    if extra_vars:
        options += ["--extra-vars", json.dumps(extra_vars)]
    return options


def run_playbook(
    path: str | Path,
    inventory: str | Path | Sequence[str | Path] | Mapping[str, Any] | None = None,
    extra_vars: Mapping[str, Any] | None = None,
    *,
    check: bool = False,
    diff: bool = False,
    verbosity: int = 0,
    limit: str | None = None,
    env: Mapping[str, str] | None = None,
    args: Sequence[str] = (),
    timeout: float = TIMEOUT,
) -> Run:
    """Run a playbook by path or FQCN. The inventory is a path, several, or the data of one in YAML form."""
    with tempfile.TemporaryDirectory(prefix="kt-play-") as scratch:
        sources: list[str] = []
        if isinstance(inventory, Mapping):
            data = Path(scratch, "inventory.yml")
            data.write_text(yaml.safe_dump(dict(inventory), sort_keys=False), encoding="utf-8")
            sources = [str(data)]
        elif isinstance(inventory, (str, Path)):
            sources = [str(inventory)]
        elif inventory is not None:
            sources = [str(source) for source in inventory]
        argv = ["ansible-playbook", *_options(check, diff, verbosity, extra_vars), *args]
        for source in sources:
            argv += ["--inventory", source]
        if limit:
            argv += ["--limit", limit]
        return execute([*argv, str(path)], env=env, timeout=timeout)


def local_inventory(interpreter: str = SYSTEM_PYTHON, **variables: Any) -> dict[str, Any]:
    """An inventory of this machine alone."""
    return {
        "all": {
            "hosts": {
                "localhost": {"ansible_connection": "local", "ansible_python_interpreter": interpreter, **variables}
            }
        }
    }


def run_tasks(
    tasks: Sequence[Mapping[str, Any]],
    *,
    check: bool = False,
    diff: bool = False,
    env: Mapping[str, str] | None = None,
    interpreter: str = SYSTEM_PYTHON,
    variables: Mapping[str, Any] | None = None,
    inventory: str | Path | Mapping[str, Any] | None = None,
    hosts: str = "localhost",
    module_defaults: Mapping[str, Any] | None = None,
    gather_facts: bool = False,
    keep_going: bool = True,
    verbosity: int = 0,
    timeout: float = TIMEOUT,
) -> Run:
    """Run tasks in one generated play. A task that fails does not keep the next from running unless `keep_going` is
    off.

    `env` is set for the tasks (and for ansible-playbook itself); a task may carry any keyword (check_mode, no_log,
    environment, loop, register).
    """
    listed = []
    for number, task in enumerate(tasks):
        listed.append(
            {
                "name": f"task {number}",
                **({"ignore_errors": True, "ignore_unreachable": True} if keep_going else {}),
                **task,
            }
        )
    play: dict[str, Any] = {"name": "test", "hosts": hosts, "gather_facts": gather_facts, "tasks": listed}
    if variables:
        play["vars"] = dict(variables)
    if module_defaults:
        play["module_defaults"] = dict(module_defaults)
    if env:
        play["environment"] = dict(env)
    with tempfile.TemporaryDirectory(prefix="kt-play-") as scratch:
        path = Path(scratch, "play.yml")
        path.write_text(yaml.safe_dump([play], sort_keys=False), encoding="utf-8")
        return run_playbook(
            path,
            inventory or local_inventory(interpreter),
            check=check,
            diff=diff,
            verbosity=verbosity,
            env=env,
            timeout=timeout,
        )


def run_play(tasks: Sequence[Mapping[str, Any]], **options: Any) -> list[Result]:
    """The results of the tasks, in their order; an error if any of them gave none (a syntax error, say).

    Options: see `run_tasks`.
    """
    run = run_tasks(tasks, **options)
    if len(run.results) != len(tasks):
        raise RuntimeError(f"{len(tasks)} tasks gave {len(run.results)} results\n{run.output}")
    return run.results


def run_module(name: str, args: Mapping[str, Any] | None = None, **options: Any) -> Result:
    """One task in a process of its own. Options: see `run_tasks`."""
    return run_play([{name: dict(args or {})}], **options)[0]


def run_adhoc(
    pattern: str,
    module: str,
    args: str | Mapping[str, Any] = "",
    *,
    inventory: str | Path,
    options: Sequence[str] = (),
    env: Mapping[str, str] | None = None,
) -> Run:
    """`ansible PATTERN -m MODULE -a ARGS`, as later runs reach the guests."""
    text = args if isinstance(args, str) else json.dumps(args)
    argv = ["ansible", pattern, "--inventory", str(inventory), "--module-name", module, *options]
    return execute([*argv, "--args", text] if text else argv, env={"ANSIBLE_LOAD_CALLBACK_PLUGINS": "1", **(env or {})})


def run_inventory(inventory: str | Path, *options: str, env: Mapping[str, str] | None = None) -> Run:
    """`ansible-inventory -i INVENTORY OPTIONS` (--list, --graph, --host NAME)."""
    return execute(["ansible-inventory", "--inventory", str(inventory), *options], env=env)
