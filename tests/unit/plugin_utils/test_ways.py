# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The commands of the host by which guests are entered; that they lead there is for the integration tests."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ansible_collections.kraal.virt.plugins.plugin_utils.ways import WAYS, Way

USERS = (None, "root", "app")


def way(backend: str, **options: Any) -> Way:
    every = {
        "guest": "web",
        "host_python": "/usr/bin/python3",
        "agent_timeout": 30,
        "docker_command": "docker",
        **options,
    }
    return WAYS[backend](every.get)


def request(command: list[str]) -> dict[str, Any]:
    assert command[:3] == ["/usr/bin/python3", "-I", "-c"]
    compile(command[3], "program", "exec")
    found: dict[str, Any] = json.loads(command[4])
    return found


def test_a_request_to_the_agent() -> None:
    asked = request(way("kvm", libvirt_uri="qemu+unix:///system").enter(["/bin/sh", "-c", "echo 'a \"b\"' ü"], True))
    assert (asked["guest"], asked["uri"], asked["seconds"], asked["fed"]) == ("web", "qemu+unix:///system", 30, True)
    assert asked["command"][-3:] == ["/bin/sh", "-c", "echo 'a \"b\"' ü"]
    assert asked["environment"][1] == "HOME=/root"
    state = request(way("kvm").state())
    assert "command" not in state and state["uri"] is None


@pytest.mark.parametrize("user", USERS)
def test_lxc_and_kvm_give_the_same_command_to_the_guest(user: str | None) -> None:
    argv = ["/bin/sh", "-c", "exit 3"]
    asked = request(way("kvm", remote_user=user).enter(argv, False))
    attached = way("lxc", remote_user=user).enter(argv, False)
    assert attached[attached.index("--") + 1 :] == asked["command"]
    assert ("su " in " ".join(asked["command"])) == (user == "app")


@pytest.mark.parametrize(
    ("backend", "said", "why"),
    [
        ("docker", (0, "running", ""), ""),
        ("docker", (0, "exited", ""), "it is exited. Start it"),
        ("docker", (1, "", "No such container"), "No such container. See that the guest exists"),
        ("lxc", (1, "", ""), "lxc-info gave code 1. See"),
        ("kvm", (0, "running", ""), ""),
        ("kvm", (0, "shut off", ""), "it is shut off. Start it"),
        ("kvm", (3, "", "it has no channel. Give it one."), "it has no channel. Give it one."),
        (
            "kvm",
            (127, "", "/usr/bin/python3: not found"),
            "/usr/bin/python3: not found. See that the host has python3-libvirt",
        ),
    ],
)
def test_why_a_guest_cannot_be_entered(backend: str, said: tuple[int, str, str], why: str) -> None:
    found = way(backend).why_not(*said)
    assert found.startswith(why) if why else found == ""


def test_where_a_guest_is() -> None:
    assert way("kvm").where == "this machine"
    assert way("kvm", host_address="192.0.2.10").where == "192.0.2.10"
    assert way("kvm", libvirt_uri="qemu+ssh://root@192.0.2.11/system").where == "qemu+ssh://root@192.0.2.11/system"
