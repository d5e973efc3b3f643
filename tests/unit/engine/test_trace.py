# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a task sends to its engines is recorded when it is asked for, within limits, and without secrets."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args

from ansible_collections.kraal.virt.plugins.module_utils.engine import trace
from ansible_collections.kraal.virt.plugins.module_utils.engine.errors import Unreachable
from ansible_collections.kraal.virt.plugins.module_utils.engine.task import run_resource

from .boxes import TABLE, Boxes


@pytest.fixture(autouse=True)
def _off() -> Iterator[None]:
    yield
    trace.stop()


def same(text: str) -> str:
    return text


def send(words: str, status: str = "") -> None:
    with trace.call(lambda: words) as call:
        call.status = status


def test_a_call_is_not_even_written_out_when_nothing_is_recorded() -> None:
    def written() -> str:
        raise AssertionError("it was")

    with trace.call(written) as call:
        call.status = "200"
    with pytest.raises(AssertionError, match="it was"):
        trace.start()
        trace.call(written)


def test_calls_stand_in_the_order_in_which_they_began() -> None:
    recorder = trace.start()
    with trace.call(lambda: "outer"):
        send("inner", "201")
    with pytest.raises(Unreachable), trace.command(["lxc-start", "-n", "a b"]):
        raise Unreachable("gone")
    with pytest.raises(OSError, match="gone"), trace.command(["x", "--password", "kt-hush"]):
        raise OSError("gone")
    waiting = trace.call(lambda: "waits\x1b")
    shown = recorder.shown(same)
    assert [(each["call"], each["status"]) for each in shown] == [
        ("outer", "ok"),
        ("inner", "201"),
        ("lxc-start -n 'a b'", "Unreachable"),
        ("x --password '(hidden)'", "OSError"),
        ("waits\\x1b", "no answer"),
    ]
    assert waiting.seconds == 0 and all(each["seconds"] == round(each["seconds"], 3) for each in shown)


def test_a_trace_has_an_end() -> None:
    recorder = trace.start()
    for number in range(trace.FIRST + trace.LAST + 7):
        send(str(number))
    shown = [each["call"] for each in recorder.shown(same)]
    assert shown[: trace.FIRST] == [str(number) for number in range(trace.FIRST)]
    assert shown[trace.FIRST] == "(7 calls left out)"
    assert shown[trace.FIRST + 1 :] == [str(trace.FIRST + 7 + number) for number in range(trace.LAST)]


def test_a_secret_is_hidden_before_a_call_is_cut() -> None:
    """Half of it would not be known as one any more."""
    recorder = trace.start()
    send("a" * (trace.LONGEST // 2 - 4) + "kt-hush" + "b" * trace.LONGEST)
    (entry,) = recorder.shown(lambda text: text.replace("kt-hush", "(hidden)"))
    assert "kt-" not in entry["call"] and "characters left out" in entry["call"]
    assert len(entry["call"]) < trace.LONGEST + 50


class Telling(Boxes):
    """Boxes whose engine is told the lid of each."""

    def apply(self, want: Any, step: Any, seen: Any) -> None:
        send(f"PUT lid={want.values['lid']} shelf")
        super().apply(want, step, seen)

    def observe(self, wants: Any) -> Any:
        send("GET all")
        return super().observe(wants)


@pytest.mark.parametrize("check", [True, False])
@pytest.mark.parametrize("verbosity", [2, 3])
def test_a_module_answers_it_at_vvv_only(capsys: pytest.CaptureFixture[str], verbosity: int, check: bool) -> None:
    given = {"name": "a", "lid": "it's --token=kt-hush", "state": "running", "disruption": "recreate"}
    steering = {"_ansible_verbosity": verbosity, "_ansible_check_mode": check}
    with patch_module_args({**given, **steering}), pytest.raises(SystemExit):
        run_resource(TABLE, lambda _arguments: Telling(), {}, "box")
    out = capsys.readouterr().out
    answer = json.loads(out)
    assert ("trace" in answer) is (verbosity == 3)
    calls = [each["call"] for each in answer.get("trace", ())]
    assert ("GET all" in calls) is (verbosity == 3)
    assert any("PUT" in each for each in calls) is (verbosity == 3 and not check)
    assert "kt-hush" not in json.dumps(answer.get("trace", ""))


def test_a_module_that_fails_answers_it_too(capsys: pytest.CaptureFixture[str]) -> None:
    boxes = Telling()
    boxes.refuses = ("a",)
    given = {"name": "a", "lid": "kt", "state": "running", "_ansible_verbosity": 3}
    with patch_module_args(given), pytest.raises(SystemExit):
        run_resource(TABLE, lambda _arguments: boxes, {}, "box")
    answer = json.loads(capsys.readouterr().out)
    assert answer["failed"] and "PUT lid=kt shelf" in [each["call"] for each in answer["trace"]]
