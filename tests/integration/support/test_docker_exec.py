# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A command in a container is heard to its end, however busy the machine is."""

from __future__ import annotations

import http.client
import time

import pytest

from tests.support.docker_exec import Output, run_inside


@pytest.fixture
def guest(docker_api, base_image, scratch) -> str:
    docker_api.create_container(base_image, name=scratch("a"), command=["sleep", "600"])
    docker_api.start(scratch("a"))
    return str(scratch("a"))


def test_what_comes_in_one_piece_with_the_head_of_the_answer(monkeypatch, docker_api, guest) -> None:
    begin = http.client.HTTPResponse.begin

    def late(self: http.client.HTTPResponse) -> None:
        time.sleep(0.3)
        begin(self)

    monkeypatch.setattr(http.client.HTTPResponse, "begin", late)
    assert run_inside(docker_api, guest, ["sh", "-c", "echo out; echo err >&2"]) == Output(0, "out\n", "err\n")


def test_a_status_and_much_output(docker_api, guest) -> None:
    said = run_inside(docker_api, guest, ["sh", "-c", "head -c 3000000 /dev/zero | tr '\\0' x; exit 3"], check=False)
    assert (said.rc, len(said.stdout), said.stderr) == (3, 3_000_000, "")
    with pytest.raises(RuntimeError, match="ended with 3"):
        run_inside(docker_api, guest, ["sh", "-c", "exit 3"])


def test_what_a_command_leaves_running_is_not_waited_for(docker_api, guest) -> None:
    begun = time.monotonic()
    assert run_inside(docker_api, guest, ["sh", "-c", "sleep 300 & echo out"]).stdout == "out\n"
    assert time.monotonic() - begun < 200


def test_a_command_that_is_not_there(docker_api, guest) -> None:
    assert run_inside(docker_api, guest, ["kt-nosuch"], check=False).rc == 127
