# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is shown of a run: what changed, what failed, what the plays say, and every warning; and with -v what
Ansible's own callback shows.
"""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from ansible.playbook.task import Task
from ansible.playbook.task_include import TaskInclude
from ansible.plugins.loader import callback_loader

from ansible_collections.kraal.virt.plugins.callback.brief import CallbackModule


class Screen:
    """What would be written."""

    def __init__(self, verbosity: int = 0) -> None:
        self.verbosity = verbosity
        self.lines: list[str] = []

    def display(self, text: str, **dummy: Any) -> None:
        self.lines += text.split("\n")

    def banner(self, text: str, **dummy: Any) -> None:
        self.lines.append(text)

    def warning(self, text: str, **dummy: Any) -> None:
        self.lines.append(f"[WARNING]: {text}")


def task(name: str, action: str = "ansible.builtin.command", **more: Any) -> Any:
    kind = TaskInclude if action.endswith("include_tasks") else Task
    return kind.load({"name": name, action: {"file": "x.yml"} if kind is TaskInclude else {}, **more})


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    def show(
        event: str, of: Any, answer: dict[str, Any], *, verbosity: int = 0, kind: type = CallbackModule, **given: Any
    ) -> list[str]:
        screen = Screen(verbosity)
        default: Any = callback_loader.get("ansible.builtin.default")
        callback = default
        if kind is CallbackModule:
            callback = CallbackModule()
            # It has the same options, and the loader knows those.
            callback._load_name = default._load_name
        callback._display = screen
        callback.set_options()
        callback._play = SimpleNamespace(strategy="linear")
        for name in ("_handle_warnings_and_exception", "_handle_warnings"):
            if hasattr(callback, name):
                monkeypatch.setattr(
                    callback,
                    name,
                    lambda said: screen.lines.extend(f"[WARNING]: {text}" for text in warnings_of(said)),
                    raising=False,
                )
        host = SimpleNamespace(get_name=lambda: "h", name="h")
        result = SimpleNamespace(task=of, _task=of, result=answer, _result=answer, host=host, _host=host, task_name="t")
        callback.v2_playbook_on_task_start(of, False)
        getattr(callback, event)(result, **given)
        return screen.lines

    return show


def warnings_of(said: Any) -> list[str]:
    answer = said if isinstance(said, dict) else said.result
    return list(answer.pop("warnings", []))


Show = Callable[..., list[str]]


@pytest.mark.parametrize(
    "event", ["v2_runner_on_ok", "v2_runner_item_on_ok", "v2_runner_on_skipped", "v2_runner_item_on_skipped"]
)
def test_what_there_was_nothing_to_do_for_is_silent(shown: Show, event: str) -> None:
    assert shown(event, task("quiet"), {"changed": False}) == []


@pytest.mark.parametrize(
    "event", ["v2_runner_on_ok", "v2_runner_item_on_ok", "v2_runner_on_skipped", "v2_runner_item_on_skipped"]
)
def test_a_warning_is_never_lost(shown: Show, event: str) -> None:
    assert shown(event, task("warns"), {"changed": False, "warnings": ["odd"]}) == ["TASK [warns]", "[WARNING]: odd"]


@pytest.mark.parametrize(
    ("event", "answer"),
    [
        ("v2_runner_on_ok", {"changed": True}),
        ("v2_runner_item_on_ok", {"changed": True, "item": "x", "ansible_loop_var": "item"}),
        ("v2_runner_on_failed", {"changed": False, "msg": "it broke", "warnings": ["odd"]}),
        ("v2_runner_item_on_failed", {"changed": False, "msg": "it broke", "item": "x", "ansible_loop_var": "item"}),
        ("v2_runner_on_unreachable", {"msg": "no route", "unreachable": True}),
    ],
)
def test_what_changed_or_failed_looks_as_ever(shown: Show, event: str, answer: dict[str, Any]) -> None:
    said = shown(event, task("t"), dict(answer))
    assert said == shown(event, task("t"), dict(answer), kind=object) and len(said) > 1 and said[0] == "TASK [t]"


@pytest.mark.parametrize("event", ["v2_runner_on_ok", "v2_runner_item_on_ok"])
@pytest.mark.parametrize(
    ("message", "lines"),
    [
        ("one", ["ok: [h] => one"]),
        (["one", "  two"], ["ok: [h] =>", "    one", "      two"]),
        ("one\ntwo", ["ok: [h] =>", "    one", "    two"]),
    ],
)
def test_what_the_plays_say_is_shown_as_it_stands(shown: Show, event: str, message: Any, lines: list[str]) -> None:
    assert shown(event, task("says", "ansible.builtin.debug"), {"msg": message, "changed": False}) == lines


def test_other_values_and_changes_are_said_too(shown: Show) -> None:
    assert "5" in "".join(shown("v2_runner_on_ok", task("says", "debug"), {"msg": 5, "changed": False}))
    assert shown("v2_runner_on_ok", task("says", "debug"), {"msg": "would", "changed": True}) == [
        "changed: [h] => would"
    ]
    # Each turn of a loop was said by itself.
    assert (
        shown(
            "v2_runner_on_ok",
            task("says", "debug", loop=["x"]),
            {"msg": "All items completed", "results": [], "changed": False},
        )
        == []
    )


def test_what_is_included_is_silent(shown: Show) -> None:
    assert shown("v2_runner_on_ok", task("includes", "ansible.builtin.include_tasks"), {"changed": False}) == []


def test_with_v_all_is_shown(shown: Show) -> None:
    assert shown("v2_runner_on_ok", task("quiet"), {"changed": False}, verbosity=1)[0] == "TASK [quiet]"
    said = shown("v2_runner_on_ok", task("says", "ansible.builtin.debug"), {"msg": "x", "changed": False}, verbosity=1)
    assert said[0] == "TASK [says]"
