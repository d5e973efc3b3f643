# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A request to Docker as a trace shows it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ansible_collections.kraal.virt.plugins.module_utils.backends.docker.written_calls import write_request

BASE = "http+docker://localhost/v1.41"
BODY: dict[str, Any] = {
    "Image": "busybox",
    "Env": ["PLAIN=kt-hush", "EMPTY"],
    "Cmd": ["run", "--password", "kt-hush"],
    "Labels": {"api_token": "kt-hush", "role": "web"},
}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "GET /containers/json"),
        ({"params": {"all": 1, "limit": None}}, "GET /containers/json?all=1"),
        ({"params": {"filters": '{"name": ["a b"]}'}}, 'GET /containers/json?filters={"name": ["a b"]}'),
        ({"params": {"buildargs": '{"A": "kt-hush"}'}}, "GET /containers/json?buildargs=(hidden)"),
        ({"data": b"\0" * 9}, "GET /containers/json (9 bytes)"),
        ({"data": iter(())}, "GET /containers/json (a stream)"),
        ({"place": "tcp://kt:2376"}, "GET /containers/json at tcp://kt:2376"),
        ({"headers": {"X-Registry-Auth": "kt-hush"}, "timeout": 3}, "GET /containers/json"),
    ],
)
def test_a_request_is_written(given: dict[str, Any], words: str) -> None:
    assert write_request("GET", BASE + "/containers/json", **given) == words


@pytest.mark.parametrize("form", ["json", "data"])
def test_a_body_is_shown_without_its_secrets(form: str) -> None:
    words = write_request("POST", "/containers/create", **{form: BODY if form == "json" else json.dumps(BODY)})
    assert json.loads(words.partition(" /containers/create ")[2]) == {
        "Image": "busybox",
        "Env": ["PLAIN=(hidden)", "EMPTY=(hidden)"],
        "Cmd": ["run", "--password", "(hidden)"],
        "Labels": {"api_token": "(hidden)", "role": "web"},
    }


def test_a_login_is_not_shown() -> None:
    words = write_request("POST", "/auth", json={"username": "kt", "password": "kt-hush", "auth": "kt-hush"})
    assert "hush" not in words and '"username": "kt"' in words
