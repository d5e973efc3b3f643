# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Nothing that is secret is printed: not at -vvv, not in a result, a plan, a diff or an error, and not where the
guest itself says it.
"""

from __future__ import annotations

from pathlib import Path

from tests.support.ansible_runner import run_tasks

from .driver import MODULE, Driver

FLEET = "kraal.virt.fleet"


def test_no_secret_is_printed(driver: Driver, tmp_path: Path) -> None:
    file = tmp_path / "env"
    file.write_text("FILE_PASSWORD=kt-hush-file\nSTRIPE=kt-hush-stripe\n", encoding="utf-8")
    # A shell that is a container's first process follows no signal, and is waited for.
    login = {"registry_username": "kt", "registry_password": "{{ hush }}-registry", "stop_timeout": 1}
    # The whole of it is not a secret, only a key or a part of each.
    partly = {
        "command": ["sh", "-c", "sleep 300", "--password={{ hush }}-command", "--token", "{{ hush }}-word"],
        "labels": {"api_token": "{{ hush }}-label", "url": "http://kt:{{ hush }}-userinfo@192.0.2.1/"},
        "healthcheck": {"test": "true postgres://kt:{{ hush }}-health@db", "interval": "1h"},
    }
    environment = {
        "DB_PASSWORD": "{{ hush }}-first",
        "API_TOKEN": "{{ hush }}-token",
        "URL": "postgres://kt:{{ hush }}-env@db",
    }
    first = driver.arguments(env=environment, env_file=[str(file)], **partly, **login)
    plainly = {
        "command": ["sleep", "300"],
        "labels": {"kept": "kt-kept"},
        "healthcheck": {"test": "true"},
        "purge": ["env", "labels"],
    }
    second = driver.arguments(
        env={"DB_PASSWORD": "{{ hush }}-second", "PLAIN": "kt-shown"}, env_file=[str(file)], **plainly, **login
    )
    watched = {"healthcheck": {"test": "false", "interval": "1h"}, "wait_for": "healthy"}
    script = "echo kt-says $DB_PASSWORD; echo kt-says $STRIPE $FILE_PASSWORD; exit 3"
    talks = driver.arguments(
        env={"DB_PASSWORD": "{{ hush }}-third"}, env_file=[str(file)], command=["sh", "-c", script], **watched, **login
    )
    wrong = driver.arguments(env={"DB_PASSWORD": "{{ hush }}-wrong", "A=B": "1"}, **login)
    own = {"env": {"DB_PASSWORD": "{{ hush }}-own"}, "command": ["sh", "-c", "echo kt-says $DB_PASSWORD; exit 3"]}
    stopped = driver.of("quiet").arguments(**own, healthcheck=watched["healthcheck"], state="present")
    fleet = {"guests": [{"backend": "docker", **first}]}
    tasks = [
        {MODULE: first},
        {MODULE: second, "check_mode": True},
        {MODULE: second},
        {FLEET: fleet, "check_mode": True},
        {MODULE: stopped},
    ]
    # This guest has a secret that the task does not set, and says it.
    tasks += [{MODULE: driver.of("quiet").arguments(wait_for="healthy", image=...)}, {MODULE: talks}, {MODULE: wrong}]
    # Out of a variable: Ansible itself shows the lines around a task that failed.
    run = run_tasks(tasks, variables={"hush": "kt-hush"}, diff=True, verbosity=3)
    assert [(result.changed, result.failed) for result in run.results[:5]] == [(True, False)] * 5, run.output
    assert all(result.failed and "kt-says" in result.msg for result in run.results[5:7]), run.output
    assert run.results[7].failed and "A=B" in run.results[7].msg
    assert {"DB_PASSWORD=kt-hush-second", "FILE_PASSWORD=kt-hush-file"} <= set(driver.inspect()["Config"]["Env"])
    # What was sent is answered as well, whether the task failed at its engine or not.
    assert all(
        any(each["call"].startswith("POST /containers/") for each in run.results[n]["trace"]) for n in (0, 2, 5, 6)
    )
    assert "kt-hush" not in run.output
    assert all("kt-hush" not in str(result.json) for result in run.results)
    assert all(
        word in run.output
        for word in ("env[DB_PASSWORD]", "kt-shown", "labels[api_token]", "kt-kept", "postgres://kt:")
    )
