# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The words of plans and results are texts wherever they are written."""

from __future__ import annotations

import json

from ansible_collections.kraal.virt.plugins.module_utils.engine.action import Action, PowerState


def test_a_word_is_written_bare() -> None:
    assert [str(Action.SET), f"{Action.SET}", f"{Action.SET}", f"{Action.SET:>4}", repr(Action.SET)] == [
        "set",
        "set",
        "set",
        " set",
        "'set'",
    ]
    assert json.dumps({"action": Action.SET, "state": PowerState.RUNNING}) == '{"action": "set", "state": "running"}'


def test_a_word_is_found_under_its_text() -> None:
    assert {"set": 1}[Action.SET] == {Action.SET: 1}["set"] == 1
    assert Action("import") is Action.IMPORT


def test_all_words() -> None:
    assert PowerState.words()[:3] == ["running", "stopped", "paused"]
    assert all(type(word) is str for word in (*Action.words(), *PowerState.words()))
