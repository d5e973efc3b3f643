# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the engine refuses, in words that help."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from ansible_collections.kraal.virt.plugins.module_utils.backends.docker.client import connect, refusal
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
        with pytest.raises(TimedOut, match="did not answer in time") as caught:
            connect({"docker_host": f"unix://{tmp_path}/docker.sock", "api_timeout": 1})
    assert "start it anew where it hangs, or raise api_timeout" in caught.value.remedy
    assert "tls" not in str(caught.value)
