# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""guests_info against the real daemon, as a host runs it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from tests.support.ansible_runner import run_module
from tests.support.leftovers import remove
from tests.support.module_process import module_process

MODULE = "kraal.virt.guests_info"


@pytest.fixture(scope="module")
def guests(docker_api: docker.APIClient, prefix: str, base_image: str) -> Iterator[str]:
    """A prefix of guests: web runs, db is paused, off is stopped."""
    mine = f"{prefix}g-"
    for name in ("web", "db", "off"):
        labels, half = {"tier": name, "api_token": "kt-hush"}, docker_api.create_host_config(nano_cpus=500_000_000)
        docker_api.create_container(base_image, name=mine + name, labels=labels, host_config=half)
    docker_api.start(mine + "web")
    docker_api.start(mine + "db")
    docker_api.pause(mine + "db")
    yield mine
    remove(docker_api, mine)


def test_all_guests_in_the_one_form(guests: str) -> None:
    result = module_process(MODULE, {})
    assert (result.changed, result.failed) == (False, False), result.json
    mine = {guest["name"]: guest for guest in result["guests"] if guest["name"].startswith(guests)}
    assert {name.removeprefix(guests): guest["state"] for name, guest in mine.items()} == {
        "web": "running",
        "db": "paused",
        "off": "stopped",
    }
    # Docker's own words: one that never ran is "created", and no other backend calls it so.
    assert {name.removeprefix(guests): guest["raw_state"] for name, guest in mine.items()} == {
        "web": "running",
        "db": "paused",
        "off": "created",
    }
    web = mine[guests + "web"]
    assert (web["backend"], web["cpus"], web["labels"], web["memory"]) == (
        "docker",
        0.5,
        {"tier": "web", "api_token": "(hidden)"},
        "",
    )
    assert web["addresses"][0]["network"] == "bridge"
    order = [(guest["backend"], guest["name"]) for guest in result["guests"]]
    assert order == sorted(order)


def test_the_same_as_the_guests_own_module_returns(guests: str, base_image: str) -> None:
    own = module_process("kraal.virt.docker_container", {"name": guests + "web", "image": base_image}, check=True)
    assert (own.changed, own.failed) == (False, False), own.json
    assert module_process(MODULE, {"names": [guests + "web"]})["guests"] == [own["guest"]]


@pytest.mark.parametrize("check", [False, True])
def test_chosen_guests(guests: str, check: bool) -> None:
    names = [guests + name for name in ("web", "off", "nobody")]
    for states, expected in ((None, ["off", "web"]), (["stopped"], ["off"]), (["paused"], []), ([], [])):
        arguments = {"names": names, "backends": ["docker"], **({} if states is None else {"states": states})}
        result = module_process(MODULE, arguments, check=check)
        assert [guest["name"].removeprefix(guests) for guest in result["guests"]] == expected
        assert result.changed is False
    assert module_process(MODULE, {"backends": []}, check=check)["guests"] == []


@pytest.mark.parametrize(
    ("arguments", "why"),
    [({"backends": ["podman"]}, "podman"), ({"states": ["dead"]}, "dead"), ({"name": "web"}, "name")],
)
def test_bad_arguments(arguments: dict[str, object], why: str) -> None:
    result = module_process(MODULE, arguments)
    assert result.failed and why in result.msg


@pytest.fixture
def open_to_all() -> Iterator[str]:
    """A directory in which every user may write, unlike pytest's own."""
    with tempfile.TemporaryDirectory(prefix="kt-") as directory:
        Path(directory).chmod(0o777)
        yield directory


def test_no_permission(guests: str, tmp_path_factory: pytest.TempPathFactory, open_to_all: str) -> None:
    """A warning where everything is looked through, a failure where the backend was named."""
    python = tmp_path_factory.mktemp("python") / "python3"
    python.write_text('#!/bin/sh\nexec setpriv --reuid=65534 --regid=65534 --clear-groups -- /usr/bin/python3 "$@"\n')
    python.chmod(0o755)
    options = {"interpreter": str(python), "env": {"ANSIBLE_REMOTE_TEMP": open_to_all, "ANSIBLE_PIPELINING": "1"}}
    result = run_module(MODULE, {}, **options)
    assert (result.failed, result["guests"]) == (False, [])
    assert any(
        "no permission on /var/run/docker.sock" in warning and "group docker" in warning for warning in result.warnings
    )
    result = run_module(MODULE, {"backends": ["docker"]}, **options)
    assert result.failed and "no permission on /var/run/docker.sock" in result.msg
