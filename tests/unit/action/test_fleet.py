# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A task of fleet is sent with the backends that it names, and with all of them where it may need any."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.kraal.virt.plugins.action import fleet
from ansible_collections.kraal.virt.plugins.module_utils.backends import every
from ansible_collections.kraal.virt.plugins.module_utils.backends.registry import NAMES, backend
from tests.support.ansible_runner import run_play
from tests.support.paths import SYSTEM_PYTHON


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"guests": [{"name": "a", "backend": "kvm"}]}, ["kvm"]),
        ({"guests": [{"name": "a"}, {"name": "b"}], "defaults": {"backend": "lxc"}}, ["lxc"]),
        (
            {
                "guests": [{"name": "a"}, {"name": "b", "backend": "kvm"}],
                "defaults": {"backend": "docker", "kvm": {}},
                "prune": False,
            },
            ["docker", "kvm"],
        ),
        ({"guests": [{"name": "a", "backend": None}], "defaults": {"backend": "lxc"}}, ["lxc"]),
        ({"guests": [{"name": "a", "backend": "kvm"}], "prune": True}, None),
        ({"guests": [{"name": "a", "backend": "kvm"}], "prune": "yes"}, None),
        ({"guests": [{"name": "a"}]}, None),
        ({"guests": [{"name": "a", "backend": "podman"}]}, None),
        ({"guests": [{"name": "a", "backend": ["kvm"]}]}, None),
        ({"guests": ["a"], "defaults": {"backend": "kvm"}}, None),
        ({"guests": "a,b", "defaults": {"backend": "kvm"}}, None),
        ({"guests": [{"name": "a", "backend": "kvm"}], "defaults": "backend=kvm"}, None),
        ({"guests": []}, None),
        ({}, None),
    ],
)
def test_which_backends(arguments: dict[str, Any], named: list[str] | None) -> None:
    assert fleet.backends_of(arguments) == named


def sent(scratch: Path, task: Mapping[str, Any]) -> set[str]:
    """The backends in what Ansible leaves of a task where it is told to keep it: a program that unpacks itself."""
    remote = scratch / "remote"
    env = {"ANSIBLE_KEEP_REMOTE_FILES": "1", "ANSIBLE_PIPELINING": "0", "ANSIBLE_REMOTE_TEMP": str(remote)}
    (result,) = run_play([task], env=env)
    assert "podman" in result.msg or not result.failed, result.msg
    (program,) = remote.glob("*/AnsiballZ_*.py")
    subprocess.run([SYSTEM_PYTHON, program, "explode"], capture_output=True, check=True)
    return {
        path.parent.name
        for path in program.parent.glob(
            "debug_dir/ansible_collections/kraal/virt/plugins/module_utils/backends/*/manage.py"
        )
    }


@pytest.mark.parametrize(
    ("wrong", "backends"),
    [({"connect_timeout": "podman", "backend": "kvm"}, {"kvm"}), ({"backend": "podman"}, set(NAMES))],
    ids=["one", "any"],
)
def test_what_is_sent(wrong: dict[str, Any], backends: set[str], tmp_path: Path) -> None:
    assert sent(tmp_path, {"kraal.virt.fleet": {"guests": [{"name": "kt-a", **wrong}]}}) == backends


def test_guests_info_has_all(tmp_path: Path) -> None:
    assert sent(tmp_path, {"kraal.virt.guests_info": {"names": []}}) == set(NAMES) <= set(every.__all__)


def test_each_is_what_its_name_says() -> None:
    assert [backend(name).managed().table.backend for name in NAMES] == list(NAMES)
