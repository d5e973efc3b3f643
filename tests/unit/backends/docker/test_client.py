# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the engine refuses, in words that help; and what it takes its time for."""

from __future__ import annotations

import itertools
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ansible_collections.kraal.virt.plugins.module_utils.backends.docker import client
from ansible_collections.kraal.virt.plugins.module_utils.backends.docker.client import (
    Engine,
    connect,
    refusal,
    timed_out,
)
from ansible_collections.kraal.virt.plugins.module_utils.backends.docker.container.resource import Containers
from ansible_collections.kraal.virt.plugins.module_utils.backends.docker.reader import TimedOut


@pytest.mark.parametrize(
    ("message", "remedy"),
    [
        ("Address already in use", "Choose another ipv4_address"),
        ("listen tcp4 0.0.0.0:80: bind: address already in use", "Choose another host port"),
        ("Bind for 0.0.0.0:80 failed: port is already allocated", "Choose another host port"),
    ],
)
def test_the_remedy_is_for_what_is_taken(message: str, remedy: str) -> None:
    assert refusal(500, message).remedy.startswith(remedy)


def test_an_engine_that_hangs_is_not_taken_for_a_wrong_address(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(tmp_path / "docker.sock"))
        silent.listen()
        with pytest.raises(TimedOut, match="did not answer within 1 seconds") as caught:
            connect({"docker_host": f"unix://{tmp_path}/docker.sock", "api_timeout": 1})
    assert "restart it; or raise api_timeout" in caught.value.remedy
    assert "tls" not in str(caught.value)


class Alive(Engine):
    """One that answers when it is asked whether it does; the clock of its host is set forward at first."""

    def __init__(self, patience: float) -> None:
        super().__init__(SimpleNamespace(base_url="", api_version="1.41", timeout=patience, events=None), "unix:///kt")
        self.asked: list[str] = []
        self.until: list[float] = []

    def get(self, path: str, **query: Any) -> Any:
        self.asked.append(path)
        return {"SystemTime": "2026-01-31T12:00:00Z"} if path == "/info" else None


def test_who_works_in_silence_is_waited_for_and_asked_whether_it_is_alive() -> None:
    engine = Alive(0.01)

    def slow() -> Iterator[str]:
        time.sleep(0.1)
        yield "done"

    assert list(engine.stream(slow)) == ["done"]
    assert 1 <= len(engine.asked) <= 10 and set(engine.asked) == {"/_ping"}


def test_silence_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "SILENCE", 0.05)
    with pytest.raises(TimedOut, match="has said nothing of this for 0 seconds.* raise api_timeout"):
        list(Alive(0.01).stream(lambda: iter(time.sleep(1) or ())))


def test_what_goes_wrong_while_it_speaks_is_raised() -> None:
    def broken() -> Iterator[str]:
        yield "first"
        raise OSError("no luck")

    said = Alive(30).stream(broken)
    assert next(said) == "first"
    with pytest.raises(OSError, match="no luck"):
        next(said)


def test_a_clock_that_is_set_back_prolongs_no_wait() -> None:
    """The engine would end its events an hour later, and says something all the while."""

    def events() -> Iterator[int]:
        for number in itertools.count():
            time.sleep(0.01)
            yield number

    begin = time.monotonic()
    assert list(Alive(30).stream(events, seconds=0.1))
    assert time.monotonic() - begin < 30


def test_a_clock_that_is_set_forward_ends_no_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine ends its events at once: it is asked what time it is, and for the rest."""
    engine, rounds = Alive(30), iter([["one"], ["two", "three"]])

    def stream(_function: Any, *, until: str, **_named: Any) -> Iterator[str]:
        engine.until.append(float(until))
        yield from next(rounds)

    monkeypatch.setattr(engine, "stream", stream)
    events = Containers(engine)._events("kt", 3600, ["die"])
    assert [next(events), next(events)] == ["one", "two"]
    assert engine.asked == ["/info"] and engine.until[0] > engine.until[1]
    assert engine.until[1] == pytest.approx(1769860800 + 3600, abs=60)


def test_a_time_limit_is_known_below_what_the_libraries_make_of_it() -> None:
    assert timed_out(raised(TimeoutError(), ValueError("Read timed out"), RuntimeError("Error while fetching")))
    assert not timed_out(raised(ConnectionRefusedError(), RuntimeError("Read timed out")))


def raised(*errors: Exception) -> Exception:
    """The last one, raised while the one before was handled."""
    for before, error in itertools.pairwise(errors):
        error.__context__ = before
    return errors[-1]
