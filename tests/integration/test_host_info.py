# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""host_info on this machine as it is, with /dev/kvm hidden and replaced, and as an ordinary user.

Other hosts are in test_role_kvm_host.py, hosts on paper in the unit tests.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.support.ansible_runner import run_tasks
from tests.support.module_process import module_process
from tests.support.paths import ROOT, SYSTEM_PYTHON

MODULE = "kraal.virt.host_info"
NOBODY = 65534

#: A /dev of its own, without one device and with all that a Python needs.
WITHOUT = """set -e
mount --make-rprivate /
mkdir "$1"/dev
mount -t tmpfs none "$1"/dev
for name in null zero random urandom tty; do touch "$1"/dev/$name; mount --bind /dev/$name "$1"/dev/$name; done
mount --move "$1"/dev /dev
shift
exec "$@"
"""

REPLACED = """set -e
mount --make-rprivate /
test -e /dev/kvm || { mount -t tmpfs none /dev; mknod /dev/null c 1 3; mknod /dev/urandom c 1 9; touch /dev/kvm; }
mount --bind /dev/null /dev/kvm
shift
exec "$@"
"""


def look(**args: Any) -> dict[str, Any]:
    result = module_process(MODULE, args, interpreter=str(args.pop("interpreter", SYSTEM_PYTHON)))
    assert not result.failed, result.stdout + result.stderr
    assert result.changed is False and list(result["ansible_facts"]) == ["kraal"]
    facts: dict[str, Any] = result["ansible_facts"]["kraal"]
    return facts


def wrapped(directory: Path, program: str) -> Path:
    """An interpreter that runs in a namespace of mounts of its own, prepared by the program."""
    inside = directory / "inside.sh"
    inside.write_text(program, encoding="utf-8")
    python = directory / "python3"
    python.write_text(
        f'#!/bin/sh\nexec unshare --mount sh {inside} {directory} {SYSTEM_PYTHON} "$@"\n', encoding="utf-8"
    )
    python.chmod(0o755)
    return python


def flags() -> set[str]:
    found = re.search(r"^flags\s*:(.*)$", Path("/proc/cpuinfo").read_text(encoding="utf-8"), re.MULTILINE)
    return set(found[1].split()) if found else set()


def test_this_machine(docker_daemon: str) -> None:
    """Each finding against what the machine itself says by another way."""
    facts = look()
    assert (
        facts["architecture"] == os.uname().machine
        and facts["user"] == os.geteuid()
        and facts["kernel"] == os.uname().release
    )
    assert facts["cpu"]["count"] == os.sysconf("SC_NPROCESSORS_ONLN")
    assert abs(facts["memory"]["total"] - os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")) < 2**20
    assert facts["disks"][0]["total"] == shutil.disk_usage("/").total
    assert facts["cpu"]["flags"].get("vmx", False) is ("vmx" in flags())
    assert facts["engines"]["docker"]["answers"] is True
    assert facts["backends"]["docker"]["usable"] is True and facts["backends"]["docker"]["code"] == "ok"
    assert {bridge["name"] for bridge in facts["network"]["bridges"]} >= {"docker0"}
    (route,) = json.loads(
        subprocess.run(["ip", "-json", "-4", "route", "show", "default"], capture_output=True, check=True).stdout
    )
    assert (facts["network"]["uplink"]["interface"], facts["network"]["uplink"]["gateways"][0]) == (
        route["dev"],
        route["gateway"],
    )


def test_kvm_of_this_machine() -> None:
    """A device that works counts only under a processor that can: a lie of the one or of the other is told."""
    kvm = look(backends=["kvm"])["backends"]["kvm"]
    found = {check["check"]: check["ok"] for check in kvm["checks"]}
    able = bool(flags() & {"vmx", "svm"})
    assert found["processor"] is able
    assert found["device"] is Path("/dev/kvm").is_char_device()
    if found["virtual machine"] and not able:
        assert (kvm["capable"], kvm["usable"], kvm["code"], kvm["domain_type"]) == (None, None, "unproven", "qemu")
    elif found["virtual machine"]:
        assert (kvm["capable"], kvm["domain_type"]) == (True, "kvm")
    else:
        assert kvm["capable"] is not True and kvm["domain_type"] == "qemu" and kvm["remedy"]


def test_a_hidden_device(tmp_path: Path) -> None:
    facts = look(backends=["kvm"], interpreter=wrapped(tmp_path, WITHOUT))
    kvm = facts["backends"]["kvm"]
    assert facts["kvm"]["device"]["present"] is False
    assert (kvm["capable"], kvm["usable"], kvm["domain_type"]) == (False, False, "qemu")
    if Path("/sys/class/misc/kvm").exists():
        assert (
            kvm["code"] == "no_device"
            and "the kernel offers KVM" in kvm["reason"]
            and ("--device /dev/kvm" if facts["inside"]["container"] else "mknod /dev/kvm") in kvm["remedy"]
        )


def test_another_device_in_its_place(tmp_path: Path) -> None:
    """It opens, and knows nothing of what is asked of it."""
    facts = look(backends=["kvm"], interpreter=wrapped(tmp_path, REPLACED))
    device = facts["kvm"]["device"]
    assert (device["present"], device["opens"], device["api_version"], device["creates_vm"]) == (True, True, None, None)
    assert facts["backends"]["kvm"]["capable"] is False and device["error"]


def agree(before: dict[str, Any], between: dict[str, Any], after: dict[str, Any]) -> bool:
    """Whether a look saw what those before and after it did.

    Tests beside this one make bridges and guests on them, so it is those that stayed as they were.
    """
    stayed = [bridge for bridge in before["bridges"] if bridge in after["bridges"]]
    rest = [{key: value for key, value in network.items() if key != "bridges"} for network in (between, after)]
    return bool(stayed) and all(bridge in between["bridges"] for bridge in stayed) and rest[0] == rest[1]


def test_an_ordinary_user(short_tmp: Path) -> None:
    """The same findings, as far as they are open to him; what is closed is unknown and says so, and nothing fails."""
    # A copy that he may read, whatever the rights of this checkout.
    for room in ("host", "engine"):
        shutil.copytree(
            ROOT / "plugins" / "module_utils" / room,
            short_tmp / "ktutils" / room,
            ignore=shutil.ignore_patterns("__pycache__"),
        )
    for path in (short_tmp, *short_tmp.rglob("*")):
        path.chmod(0o755)
    code = (
        "import json; from ktutils.host.info import gather; from ktutils.host.reader import Host; "
        "print(json.dumps(gather(Host())))"
    )
    argv = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", SYSTEM_PYTHON, "-c", code]
    mine = look()
    for dummy in range(30):
        before = mine
        done = subprocess.run(argv, capture_output=True, text=True, cwd=short_tmp, check=False)
        assert done.returncode == 0, done.stderr
        facts, mine = json.loads(done.stdout), look()
        if agree(before["network"], facts["network"], mine["network"]):
            break
    assert facts["user"] == NOBODY
    assert facts["cpu"] == mine["cpu"] and facts["cgroups"] == mine["cgroups"]
    assert agree(before["network"], facts["network"], mine["network"]), (facts["network"], mine["network"])
    docker = facts["backends"]["docker"]
    assert (docker["capable"], docker["usable"], docker["code"]) == (True, None, "permission")
    if mine["kvm"]["device"]["opens"] and not os.stat("/dev/kvm").st_mode & 0o006:
        kvm = facts["backends"]["kvm"]
        assert (kvm["capable"], kvm["usable"], kvm["code"]) == (None, None, "permission")
        assert "become: true" in kvm["remedy"]


def test_trials_are_made_and_leave_nothing_behind(docker_daemon: str) -> None:
    facts = look(
        backends=["docker", "lxc"], trials=["namespaces", "user_namespaces", "links", "docker_rules", "lxc_rules"]
    )
    works = {finding["check"] for finding in facts["trials"] if finding["ok"] and finding["found"] == "works"}
    assert works >= {"making namespaces", "making a veth", "making a bridge", "iptables masquerade"}, facts["trials"]
    assert len(facts["trials"]) == 10 and all(verdict["capable"] for verdict in facts["backends"].values()), facts[
        "trials"
    ]
    links, rules = (
        subprocess.run(argv, capture_output=True, text=True, check=True).stdout
        for argv in (["ip", "-o", "link"], ["iptables-save"])
    )
    assert "docker0" in links and "kraal0" not in links and "kraal1" not in links
    assert "MASQUERADE" in rules and "192.0.2.0/24" not in rules and "kraal0" not in rules


def test_a_play_gets_facts() -> None:
    tasks = [
        {MODULE: {"backends": ["docker"]}, "check_mode": True},
        {
            "ansible.builtin.debug": {
                "msg": "{{ ansible_facts['kraal'].backends.docker.code }} {{ ansible_facts['kraal'].backends | length "
                "}}"
            }
        },
    ]
    run = run_tasks(tasks)
    assert run.rc == 0, run.output
    assert run.results[1].msg == "ok 1" and run.changed == 0


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ({"backends": ["vmware"]}, ["backends", "vmware"]),
        ({"timeout": 0}, ["timeout", "above 0"]),
        ({"timeout": float("inf")}, ["timeout", "not a number that can be meant"]),
        ({"ports": [53, 70000]}, ["ports: 70000 is none", "65535"]),
        ({"users": ["kt\0"]}, ["users", "NUL"]),
        ({"trials": ["all"]}, ["trials", "all"]),
    ],
)
def test_what_cannot_be_meant(args: dict[str, Any], words: list[str]) -> None:
    result = module_process(MODULE, args)
    assert result.failed
    assert all(word in result.msg for word in words), result.msg
