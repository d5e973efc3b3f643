# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""At -vvv a module answers what it sent to its engine, for real and under --check, and nothing secret is in it.

That a task of a playbook does is shown beside its secrets: docker_container/test_secrets.py.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.ansible_runner import Result
from tests.support.images import BaseImages
from tests.support.leftovers import Scratch
from tests.support.libvirt_daemon import LibvirtDaemon
from tests.support.lxc import LxcLab
from tests.support.module_process import module_process

FLEET, INFO = "kraal.virt.fleet", "kraal.virt.guests_info"
#: What one task is to have sent, by backend: at each run, and when a guest is made.
READS = {"docker": "GET /containers/json", "lxc": "lxc-config lxc.lxcpath", "kvm": "virConnect.getAllDomainStats("}
CHANGES = {"docker": "POST /containers/", "lxc": "write /", "kvm": "virConnect.defineXML"}
MAKES = {"docker": "POST /containers/create", "lxc": "lxc-start -P", "kvm": "virConnect.defineXML"}


@pytest.fixture
def guests(
    lxc: LxcLab, libvirt_daemon: LibvirtDaemon, scratch: Scratch, base_images: BaseImages
) -> Iterator[dict[str, dict[str, Any]]]:
    """A guest of each backend with all kinds of secrets: ``hush`` by its key or its option, ``plain`` only by where
    it stands.
    """
    pool = libvirt_daemon.pools / "kt-trace"
    pool.mkdir(parents=True)
    libvirt_daemon.virsh("pool-define-as", "default", "dir", "--target", str(pool))
    libvirt_daemon.virsh("pool-start", "default")
    environment = {"DB_PASSWORD": "kt-hush-docker", "COLOUR": "kt-plain-docker"}
    yield {
        "docker": {
            "name": scratch("docker"),
            "image": base_images.one,
            "env": environment,
            "labels": {"api_token": "kt-hush-label"},
            "command": ["sh", "-c", "sleep 300", "--password=kt-hush-command"],
            "stop_timeout": 1,
        },
        "lxc": {
            "name": scratch("lxc"),
            "lxc_path": str(lxc.path),
            "image": str(lxc.image("1")),
            "networks": [{"type": "empty"}],
            "config": {"lxc.environment": "DB_PASSWORD=kt-hush-lxc"},
        },
        "kvm": {
            "name": "kt-trace",
            "uri": libvirt_daemon.uri,
            "type": "qemu",
            "memory": "64MiB",
            "state": "present",
            "labels": {"api_token": "kt-hush-label"},
            "graphics": [{"type": "vnc", "password": "kt-hush1"}],
            "cloud_init": {"user_data": {"password": "kt-hush-seed", "runcmd": ["echo kt-plain-seed"]}},
        },
    }
    libvirt_daemon.clear()
    lxc.clear()


def calls_of(result: Result) -> list[str]:
    """The calls in a trace, which is in the form that the documentation has, and without a secret."""
    assert not result.failed, result.msg
    assert all(set(each) == {"call", "status", "seconds"} and each["status"] for each in result["trace"])
    assert "kt-hush" not in result.stdout + result.stderr
    assert "kt-plain" not in json.dumps(result["trace"])
    return [each["call"] for each in result["trace"]]


def has(calls: list[str], begin: str) -> bool:
    return any(call.startswith(begin) for call in calls)


def test_a_fleet_and_the_guests_of_a_host(
    guests: dict[str, dict[str, Any]], scratch: Scratch, libvirt_daemon: LibvirtDaemon
) -> None:
    given = {"name": scratch("fleet"), "guests": [{"backend": name, **guest} for name, guest in guests.items()]}
    checked = calls_of(module_process(FLEET, given, check=True, verbosity=3))
    made = module_process(FLEET, given, verbosity=3)
    calls = calls_of(made)
    for name in guests:
        assert has(checked, READS[name]) and has(calls, READS[name]), name
        assert has(calls, MAKES[name]) and not has(checked, MAKES[name]), name
    (created,) = (each for each in made["trace"] if each["call"].startswith(MAKES["docker"]))
    assert created["status"] == "201" and "COLOUR=(hidden)" in created["call"] and created["seconds"] > 0
    (started,) = (each for each in made["trace"] if each["call"].startswith(MAKES["lxc"]))
    assert started["status"] == "0" and guests["lxc"]["name"] in started["call"]
    defined = [each for each in made["trace"] if each["call"].startswith(MAKES["kvm"])]
    assert defined and all(each["status"] == "ok" and "<name>kt-trace</name>" in each["call"] for each in defined)
    env = {"LIBVIRT_DEFAULT_URI": libvirt_daemon.uri}
    looked = calls_of(module_process(INFO, {}, env=env, verbosity=3))
    assert all(has(looked, begin) for begin in READS.values())
    for quiet in (module_process(FLEET, given, verbosity=2), module_process(INFO, {}, env=env)):
        assert not quiet.failed and not quiet.changed and "trace" not in quiet.json, quiet.msg


@pytest.mark.parametrize("backend", ["docker", "lxc", "kvm"])
def test_one_guest_made_changed_and_removed(backend: str, guests: dict[str, dict[str, Any]]) -> None:
    module = f"kraal.virt.{backend}_{'vm' if backend == 'kvm' else 'container'}"
    guest = {**guests[backend], "state": "stopped"}
    assert has(calls_of(module_process(module, guest, verbosity=3)), {**MAKES, "lxc": "tar "}[backend])
    # Labels that are there already are written again with a new one, and this task does not know them.
    again = {key: guest[key] for key in ("name", "lxc_path", "uri") if key in guest}
    changed = module_process(module, {**again, "state": "present", "labels": {"role": "web"}}, verbosity=3)
    assert has(calls_of(changed), CHANGES[backend]) and changed.changed
    gone = module_process(module, {**again, "state": "absent"})
    assert not gone.failed and gone.changed and "trace" not in gone.json
