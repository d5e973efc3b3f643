# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The parts of the guest agent's program that need no agent."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.kraal.virt.plugins.plugin_utils import guest_agent


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
