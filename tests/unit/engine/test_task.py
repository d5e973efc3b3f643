# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The edge to Ansible: what a module answers."""

from __future__ import annotations

import json

import pytest
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.testing import patch_module_args

from ansible_collections.kraal.virt.plugins.module_utils.engine.action import Action, Disruption
from ansible_collections.kraal.virt.plugins.module_utils.engine.identity import GuestId
from ansible_collections.kraal.virt.plugins.module_utils.engine.plan import Step
from ansible_collections.kraal.virt.plugins.module_utils.engine.reconcile import Outcome
from ansible_collections.kraal.virt.plugins.module_utils.engine.task import KraalModule, plan_of, run_resource

from .boxes import TABLE, Boxes


def test_the_plan_is_plain_data() -> None:
    outcome = Outcome(GuestId("boxes", "", "a"), [Step("a", Action.SET, "memory", "1MiB", "2MiB", Disruption.LIVE)])
    assert plan_of(outcome) == [
        {"guest": "a", "action": "set", "key": "memory", "before": "1MiB", "after": "2MiB", "disruption": "live"}
    ]


@pytest.mark.parametrize("unreachable", [False, True])
def test_nothing_is_said_of_what_could_not_be_looked_at(capsys: pytest.CaptureFixture[str], unreachable: bool) -> None:
    """Null would say that it is absent."""
    with patch_module_args({"name": "a", "state": "absent"}), pytest.raises(SystemExit):
        run_resource(TABLE, lambda _arguments: Boxes(unreachable=unreachable), {}, "box")
    answer = json.loads(capsys.readouterr().out)
    assert (answer.get("failed", False), "box" in answer) == (unreachable, not unreachable)


def test_what_others_said_is_fit_for_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    said = "\x1b]0;title\x07\x1b[31mred\u202e\nnext"
    warned: list[str] = []
    monkeypatch.setattr(AnsibleModule, "warn", lambda _module, warning: warned.append(warning))
    with patch_module_args({"name": "a"}), pytest.raises(SystemExit):
        module = KraalModule(argument_spec={"name": {"type": "str"}})
        module.warn(f"warning {said}")
        module.fail_json(msg=f"message {said}")
    answer = json.loads(capsys.readouterr().out)
    (warning,) = warned
    shown = "\\x1b]0;title\\x07\\x1b[31mred\\u202e\nnext"
    assert answer["msg"] == f"message {shown}"
    assert warning == f"warning {shown}"


def told(out: str) -> str:
    """What a module says, without what core 2.22 and later have the controller mask: that is the task's own secrets."""
    answer = json.loads(out)
    assert "kt-hush-old" not in str(answer.pop("_ansible_new_secrets", []))
    return json.dumps(answer)


def test_no_secret_leaves_the_module(capsys: pytest.CaptureFixture[str]) -> None:
    """Neither an old one that the task never knew, nor a new one in the form in which a message quotes it."""
    boxes = Boxes(
        {"a": {"lid": "run --password=kt-hush-old", "shelf": "postgres://kt:kt-hush-url@db", "state": "running"}}
    )
    given = {
        "name": "a",
        "lid": "run --password=kt-hush-new",
        "shelf": "top",
        "disruption": "recreate",
        "_ansible_diff": True,
    }
    with patch_module_args({**given, "_ansible_check_mode": True}), pytest.raises(SystemExit):
        run_resource(TABLE, lambda _arguments: boxes, {}, "box")
    out = told(capsys.readouterr().out)
    answer = json.loads(out)
    assert "kt-hush" not in out
    assert [(step["key"], step["before"], step["after"]) for step in answer["plan"]] == [
        ("lid", "run --password=(hidden)", "run --password=(hidden) (new)"),
        ("shelf", "postgres://kt:(hidden)@db", "top"),
    ]
    assert answer["diff"]["before"]["lid"] == "run --password=(hidden)"
    boxes.refuses = ("a",)
    boxes.words = "no: ['run', '--password', 'kt-hush-old'], kt-hush-new, it\\'s"
    with patch_module_args({**given, "tags": ["--token", "it's"]}), pytest.raises(SystemExit):
        run_resource(TABLE, lambda _arguments: boxes, {}, "box")
    out = told(capsys.readouterr().out)
    assert json.loads(out)["failed"] and "no: [" in json.loads(out)["msg"]
    assert "kt-hush" not in out and "it\\\\'s" not in out
