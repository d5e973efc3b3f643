# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The parts of the guest agent's program that need no agent."""

from __future__ import annotations

import base64
import io
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.kraal.virt.plugins.module_utils.engine.reading import as_mapping
from ansible_collections.kraal.virt.plugins.plugin_utils import guest_agent

from ..mutations import of_json


@given(st.binary(max_size=50), st.integers(min_value=1, max_value=20))
def test_pieces(data: bytes, size: int) -> None:
    found = guest_agent.pieces(data, size)
    assert b"".join(found) == data
    assert all(0 < len(piece) <= size for piece in found)
    assert len(found) == -(-len(data) // size)


def test_a_message_fits_into_the_buffer_of_a_socket() -> None:
    """What stands in base64 takes a third more; a command comes in an argument, which has 128 KiB at most."""
    assert guest_agent.SENT_PIECE * 4 / 3 <= 128 * 1024
    assert guest_agent.SENT_WITH_COMMAND * 4 / 3 + 128 * 1024 <= 160 * 1024
    assert guest_agent.READ_PIECE * 4 / 3 < 4 * 1024 * 1024


def ran(name: str, place: str, *command: str, data: bytes = b"") -> bytes:
    return subprocess.run(
        ["/bin/sh", "-c", guest_agent._RUN, "sh", name, place, *command], input=data, capture_output=True, check=True
    ).stdout


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only place in which a directory is made."""
    (tmp_path / "places").mkdir()
    for script in ("_RUN", "_PREPARE"):
        monkeypatch.setattr(
            guest_agent, script, getattr(guest_agent, script).replace("/dev/shm /run /tmp", str(tmp_path / "places"))
        )
    return tmp_path / "places"


def test_short_output_comes_back_at_once(places: Path) -> None:
    said = ran(
        "kraal-kt", "", "/bin/sh", "-c", 'cat; echo "$0" "$1"; echo no >&2; kill -9 $$', "a b", "*", data=b"in\0\n"
    )
    code, out, err, _place, rest = guest_agent.measured(said)
    assert (code, rest[:out], rest[out : out + err]) == (137, b"in\0\na b *\n", b"no\n")
    assert list(places.iterdir()) == []


def test_long_output_stays_to_be_read(places: Path) -> None:
    code, out, err, place, rest = guest_agent.measured(
        ran("kraal-kt", "", "/bin/sh", "-c", "head -c 1048577 /dev/zero; exit 4")
    )
    assert (code, out, err, rest) == (4, 1048577, 0, b"")
    assert Path(place) == places / "kraal-kt" and Path(place).stat().st_mode & 0o777 == 0o700
    assert (Path(place) / "out").stat().st_size == out


@pytest.mark.parametrize("said", ["0 268435457 0 /tmp/a", "0 9 268435456 /tmp/a", "0 -1 5 /tmp/a"])
def test_what_a_guest_says_does_not_fill_the_hosts_memory(said: str) -> None:
    """How much there is, is the guest's own word."""
    with pytest.raises(guest_agent.Failed, match="no more than 268435456 are taken"):
        guest_agent.measured(f"{said}\n".encode())


class Lavish(guest_agent.Agent):
    """An agent that sends more than it is asked for."""

    def ask(self, call: str, **arguments: Any) -> Any:
        return {"guest-file-open": 1, "guest-file-read": {"buf-b64": base64.b64encode(b"x" * 100).decode()}}.get(call)


def test_no_more_is_taken_than_was_asked_for() -> None:
    assert Lavish(None, 1).read("/tmp/a", 7) == b"x" * 7


def test_an_input_that_waits(places: Path) -> None:
    place = subprocess.run(
        ["/bin/sh", "-c", guest_agent._PREPARE, "sh", "kraal-kt"], capture_output=True, text=True, check=True
    ).stdout.strip()
    (Path(place) / "in").write_bytes(b"waiting")
    code, out, _err, _place, rest = guest_agent.measured(ran("kraal-kt", place, "cat", data=b"not this"))
    assert (code, rest[:out]) == (0, b"waiting")
    assert list(places.iterdir()) == []


def test_no_place_at_all(places: Path) -> None:
    places.rmdir()
    done = subprocess.run(
        ["/bin/sh", "-c", guest_agent._RUN, "sh", "kraal-kt", "", "true"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1 and "no directory can be made" in done.stderr


#: What an agent answers, one after the other, to a command that says little, to one that says much and is fed, and to
#: the question for the state.
ANSWERS: dict[str, list[Any]] = {
    "guest-info": [{"version": "7.2.0", "supported_commands": [{"name": call, "enabled": True} for call in guest_agent.CALLS]}],
    "guest-exec": [{"pid": 7}],
    "guest-exec-status": [
        {"exited": True, "exitcode": 0, "out-data": base64.b64encode(b"0 128 2 /run/kraal-kt\n").decode(), "err-data": ""}
    ],
    "guest-file-open": [1000],
    "guest-file-write": [{"count": 64, "eof": False}],
    "guest-file-read": [{"count": 4, "buf-b64": base64.b64encode(b"word" * 16).decode(), "eof": False}],
    "guest-file-close": [{}],
}  # fmt: skip


class Domain:
    """A machine that runs."""

    @staticmethod
    def state() -> tuple[int, int]:
        return 1, 1


@pytest.mark.parametrize("odd", ANSWERS)
@pytest.mark.parametrize("more", [{}, {"command": ["cat"], "environment": [], "fed": True}])
def test_whatever_an_agent_answers_there_is_an_end(
    odd: str,
    more: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    capfdbinary: pytest.CaptureFixture[bytes],
    cases: Callable[[int], int],
) -> None:
    """A code, and where that says that nothing was run, a sentence."""
    said: dict[str, Any] = {}

    def answer(_domain: Any, text: str, _seconds: int, _flags: int) -> str:
        call = json.loads(text)["execute"]
        return str(said[call])

    binding = SimpleNamespace(libvirtError=NotImplementedError)
    monkeypatch.setattr(guest_agent, "libvirt", binding, raising=False)
    monkeypatch.setattr(guest_agent, "libvirt_qemu", SimpleNamespace(qemuAgentCommand=answer), raising=False)
    monkeypatch.setattr(guest_agent, "within", lambda _seconds, function, *arguments: function(*arguments))
    monkeypatch.setattr(guest_agent, "connect", lambda *_where: Domain())
    monkeypatch.setattr(guest_agent.time, "sleep", lambda _seconds: None)
    monkeypatch.setattr(guest_agent, "READ_PIECE", 64)
    monkeypatch.setattr(guest_agent, "SENT_PIECE", 64)
    monkeypatch.setattr(guest_agent, "SENT_WITH_COMMAND", 64)
    request = {"uri": "", "guest": "kt", "seconds": 1, **more}
    whole = {call: json.dumps({"return": answers[0]}) for call, answers in ANSWERS.items()}
    for mutant in of_json({"return": ANSWERS[odd][0]}, cases(25)):
        # A command that has not ended is waited for.
        if odd == "guest-exec-status" and not as_mapping(as_mapping(mutant).get("return")).get("exited", True):
            continue
        said.update({**whole, odd: json.dumps(mutant)})
        stdin = SimpleNamespace(buffer=io.BytesIO(b"word" * 32))
        monkeypatch.setattr(guest_agent.sys, "stdin", stdin)
        code = guest_agent.main(request)
        errors = capfdbinary.readouterr().err
        assert code not in (guest_agent.NOT_RUN, guest_agent.NO_STATE) or errors.strip()
