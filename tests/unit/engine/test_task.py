# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The edge to Ansible: which texts are secrets, and what a module answers."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args

from ansible_collections.kraal.virt.plugins.module_utils.engine.plan import Disruption, Step
from ansible_collections.kraal.virt.plugins.module_utils.engine.reconcile import Outcome
from ansible_collections.kraal.virt.plugins.module_utils.engine.task import plan_of, run_resource, secrets_in

from .boxes import TABLE, Boxes


@pytest.mark.parametrize(
    ("value", "secrets"),
    [
        ({"env": {"DB_PASSWORD": "hunter2", "PATH": "/bin"}}, ["hunter2"]),
        ({"guests": [{"env": {"TOKEN": "abcd"}}, {"env": {"API_KEY": "efgh"}}]}, ["abcd", "efgh"]),
        ({"registry_password": "s3cr3t"}, ["s3cr3t"]),
        ({"secrets": ["first one", "second one"]}, ["first one", "second one"]),
        ({"env": {"PASSWORD": 12345, "OTHER_PASSWORD": 3.25}}, ["12345", "3.25"]),
        ({"env": {"TOKEN": {"inner": "shown as a text of its own"}}}, []),
        ({"env": {"PASSWORD": None, "TOKEN": True, "SECRET": "true", "API_KEY": "abc", "PASS": ""}}, []),
        ({"name": "web", "memory": "64MiB", "command": ["sleep", "infinity"]}, []),
        ({}, []),
        ({"xml": "<graphics type='vnc' passwd='kt n3w' port='-1'/>"}, ["kt n3w"]),
        ({"xml": '<graphics passwd="n3w=="/>'}, ["n3w=="]),
        ({"options": "user=a,password=hunter2,uid=0"}, ["hunter2"]),
        ({"user_data": "#cloud-config\npassword: hunter22\nssh_pwauth: true\n"}, ["hunter22"]),
        ({"user_data": "users:\n  - name: a\n    passwd: \"$6$salt, hash\" # of a\n    lock_passwd: false\n"}, ["$6$salt, hash"]),
        ({"user_data": "chpasswd:\n  expire: false\n  users:\n    - {name: a, password: hunter22, type: text}\n"}, ["hunter22"]),
        ({"user_data": "api_key: 'a # b'\nplain-token: a b, c # d\n"}, ["a # b", "a b, c"]),
        ({"user_data": '{"password": "hunter22", "hostname": "a"}'}, ["hunter22"]),
        ({"user_data": "chpasswd: {expire: false}\npassword: |\n  hunter22\nno password: here, token:x"}, ["hunter22"]),
        ({"user_data": "users:\n  - name: a\n    passwd: >-\n      $6$salt$one\n      two2\n    shell: |\n      /bin/sh\n"}, ["$6$salt$one", "two2"]),
        ({"user_data": "chpasswd:\n  expire: false\n  list: |\n    root:hunter22\n    a: b\n    app:R\nhostname: a:bcdef\n"}, ["hunter22"]),
        ({"user_data": "chpasswd:\n  list:\n    - root:hunter22\n    - 'app:a, b]c'\n"}, ["hunter22", "a, b]c"]),
        ({"user_data": "chpasswd: {expire: false, list: [root:hunter22, 'app:hunter23']}\n"}, ["hunter22", "hunter23"]),
        ({"user_data": '{"chpasswd": {"expire":false, "list": ["root:hunter22"]}, "hostname": "a"}'}, ["hunter22"]),
        ({"user_data": {"chpasswd": {"expire": False, "list": ["root:hunter22", "app:h: 3"]}}}, ["hunter22", "h: 3"]),
        ({"user_data": {"chpasswd": {"list": "root:hunter22\napp:hunter23\n"}}}, ["hunter22", "hunter23"]),
    ],
)
def test_secrets_are_found_wherever_they_stand(value: dict[str, Any], secrets: list[str]) -> None:
    assert list(secrets_in(value)) == secrets


def test_the_plan_is_plain_data() -> None:
    outcome = Outcome("boxes", "a", [Step("a", "set", "memory", "1MiB", "2MiB", Disruption.LIVE)])
    assert plan_of(outcome) == [{"guest": "a", "action": "set", "key": "memory", "before": "1MiB", "after": "2MiB", "disruption": "live"}]


@pytest.mark.parametrize("unreachable", [False, True])
def test_nothing_is_said_of_what_could_not_be_looked_at(capsys: pytest.CaptureFixture[str], unreachable: bool) -> None:
    """Null would say that it is absent."""
    with patch_module_args({"name": "a", "state": "absent"}), pytest.raises(SystemExit):
        run_resource(TABLE, lambda _arguments: Boxes(unreachable=unreachable), {}, "box")
    answer = json.loads(capsys.readouterr().out)
    assert (answer.get("failed", False), "box" in answer) == (unreachable, not unreachable)
