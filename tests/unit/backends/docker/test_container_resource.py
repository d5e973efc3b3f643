# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a container's steps do where the engine answers in its own time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from ansible_collections.kraal.virt.plugins.module_utils.backends.docker.container.plan import plan
from ansible_collections.kraal.virt.plugins.module_utils.backends.docker.container.resource import (
    UPDATE_ATTEMPTS,
    Containers,
    seconds_of_last_run,
)
from ansible_collections.kraal.virt.plugins.module_utils.engine.errors import BackendError
from tests.unit.backends.docker.scene import inspected, seen, want


@dataclass
class BusyEngine:
    """An engine that takes a container for running some times after it has ended."""

    refuses: int
    restarts: int
    place: str = ""
    client: Any = field(default_factory=lambda: SimpleNamespace(events=None))
    asked: list[str] = field(default_factory=list)

    def time(self, *, asked: bool = False) -> float:
        return 100.0

    def stream(self, _function: Any, **_named: Any) -> Iterator[dict[str, str]]:
        self.asked.append("events")
        yield {"Action": "die"}

    def get(self, _path: str) -> dict[str, Any]:
        return {"RestartCount": self.restarts}

    def post(self, _path: str, _body: Any) -> dict[str, Any]:
        self.asked.append("update")
        if self.asked.count("update") <= self.refuses:
            raise BackendError("the engine refused: cannot update a stopped container")
        return {"Warnings": None}


def change_memory(engine: Any) -> None:
    scene = seen(containers={"web": inspected("plain")})
    wish = want("web", memory="64MiB")
    (step,) = plan(wish, scene)
    Containers(engine).do_set(wish, step, scene)


def test_a_live_change_of_a_guest_that_has_just_ended_is_made_when_the_engine_knows() -> None:
    engine = BusyEngine(refuses=2, restarts=3)
    change_memory(engine)
    assert engine.asked == ["update", "events", "update", "events", "update"]


@pytest.mark.parametrize(("restarts", "attempts"), [(0, 1), (3, UPDATE_ATTEMPTS)])
def test_what_an_engine_refuses_for_another_reason_is_an_error(restarts: int, attempts: int) -> None:
    engine = BusyEngine(refuses=99, restarts=restarts)
    with pytest.raises(BackendError, match="cannot update"):
        change_memory(engine)
    assert engine.asked.count("update") == attempts


@pytest.mark.parametrize(
    ("began", "ended", "seconds"),
    [
        ("2026-01-31T23:59:59.5Z", "2026-02-01T00:00:00.75Z", 1.25),
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z", None),
        ("2026-01-31T23:59:59Z", "0001-01-01T00:00:00Z", None),
        ("yesterday", "2026-02-01T00:00:00Z", None),
        ("", "", None),
    ],
)
def test_how_long_a_guest_ran(began: str, ended: str, seconds: float | None) -> None:
    assert seconds_of_last_run({"StartedAt": began, "FinishedAt": ended}) == seconds
