# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Nothing that is secret is printed: not at -vvv, not in a result, a plan, a diff or an error, and not where the guest itself says it."""

from __future__ import annotations

from pathlib import Path

from tests.support.ansible_runner import run_tasks

from .driver import MODULE, Driver


def test_no_secret_is_printed(driver: Driver, tmp_path: Path) -> None:
    file = tmp_path / "env"
    file.write_text("FILE_PASSWORD=kt-hush-file\n", encoding="utf-8")
    login = {"registry_username": "kt", "registry_password": "{{ hush }}-registry"}
    first = driver.arguments(env={"DB_PASSWORD": "{{ hush }}-first", "API_TOKEN": "{{ hush }}-token"}, env_file=[str(file)], **login)
    second = driver.arguments(env={"DB_PASSWORD": "{{ hush }}-second", "PLAIN": "kt-shown"}, **login)
    watched = {"healthcheck": {"test": "false", "interval": "1h"}, "wait_for": "healthy"}
    talks = driver.arguments(env={"DB_PASSWORD": "{{ hush }}-third"}, command=["sh", "-c", "echo kt-says $DB_PASSWORD; exit 3"], **watched, **login)
    wrong = driver.arguments(env={"DB_PASSWORD": "{{ hush }}-wrong", "A=B": "1"}, **login)
    tasks = [{MODULE: first}, {MODULE: second, "check_mode": True}, {MODULE: second}, {MODULE: talks}, {MODULE: wrong}]
    # Out of a variable: Ansible itself shows the lines around a task that failed.
    run = run_tasks(tasks, variables={"hush": "kt-hush"}, diff=True, verbosity=3)
    assert [(result.changed, result.failed) for result in run.results[:3]] == [(True, False)] * 3, run.output
    assert run.results[3].failed and "kt-says" in run.results[3].msg
    assert run.results[4].failed and "A=B" in run.results[4].msg
    assert {"DB_PASSWORD=kt-hush-second", "FILE_PASSWORD=kt-hush-file"} <= set(driver.inspect()["Config"]["Env"])
    assert "kt-hush" not in run.output
    assert all("kt-hush" not in str(result.json) for result in run.results)
    assert "env[DB_PASSWORD]" in run.output and "kt-shown" in run.output
