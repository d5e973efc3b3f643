# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What containers need: control groups in their versions and places, and trials that work, fail, or cannot be made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ansible_collections.kraal.virt.plugins.module_utils.host.info import gather
from ansible_collections.kraal.virt.plugins.module_utils.host.kernel import Modules
from ansible_collections.kraal.virt.plugins.module_utils.host.trials import TRIALS, tried

from .recorded import Recorded, load

V1 = "cgroup /sys/fs/cgroup/{0} cgroup {1},{0} 0 0"
BESIDE = "cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0"
V2 = "cgroup2 /sys/fs/cgroup cgroup2 {0},nosuid 0 0"
ALL = ("devices", "freezer", "memory", "cpu", "pids")


def host_with(tmp_path: Path, mounts: list[str], controllers: str = "") -> Recorded:
    host = load("intel")
    files = {**host["files"], "/proc/self/mounts": mounts, "/sys/fs/cgroup/cgroup.controllers": [controllers]}
    return Recorded({**host, "files": files}, tmp_path)


@pytest.mark.parametrize(
    ("mounts", "controllers", "docker", "lxc", "limits", "words"),
    [
        ([V2.format("rw")], "cpu io memory pids", True, True, True, ""),
        ([V2.format("rw")], "cpu pids", True, True, None, ""),
        ([V2.format("ro")], "cpu memory pids", False, False, True, "/sys/fs/cgroup is mounted read-only"),
        (["cgroup2 /mnt cgroup2 rw 0 0"], "", False, False, None, "it lacks devices"),
        ([V1.format(name, "rw") for name in ALL], "", True, True, True, ""),
        (
            [V1.format(name, "ro") for name in ALL],
            "",
            False,
            False,
            True,
            "/sys/fs/cgroup/devices is mounted read-only",
        ),
        ([V1.format("devices", "rw")], "", True, False, None, "it lacks freezer"),
        ([V1.format("memory", "rw"), BESIDE], "", False, False, None, "it lacks devices"),
        (
            ["cgroup /sys/fs/cgroup/systemd cgroup rw,name=systemd 0 0", BESIDE],
            "",
            False,
            False,
            None,
            "it lacks devices",
        ),
        (["proc /proc proc rw 0 0"], "", False, False, None, "it lacks devices"),
    ],
    ids=[
        "v2",
        "v2 without memory",
        "v2 read-only",
        "v2 elsewhere",
        "v1",
        "v1 read-only",
        "v1 for docker alone",
        "hybrid",
        "systemd's alone",
        "none",
    ],
)
def test_control_groups(
    tmp_path: Path, mounts: list[str], controllers: str, docker: bool, lxc: bool, limits: bool | None, words: str
) -> None:
    verdicts = gather(host_with(tmp_path, mounts, controllers), ["docker", "lxc"])["backends"]
    assert (verdicts["docker"]["capable"], verdicts["lxc"]["capable"]) == (docker, lxc)
    assert {check["check"]: check["ok"] for check in verdicts["lxc"]["checks"]}["limits"] is limits
    if words:
        assert words in verdicts["lxc"]["reason"] and "-v /sys/fs/cgroup:/sys/fs/cgroup:rw" in verdicts["lxc"]["remedy"]
        assert verdicts["lxc"]["code"] == "no_cgroups"


def test_a_kernel_without_namespaces_of_a_kind(tmp_path: Path) -> None:
    host = load("intel")
    host["directories"].remove("/proc/self/ns/net")
    verdict = gather(Recorded(host, tmp_path), ["lxc"])["backends"]["lxc"]
    assert (verdict["capable"], verdict["code"]) == (False, "no_namespaces")
    assert "namespaces of net" in verdict["reason"]


@pytest.mark.parametrize(
    ("filesystems", "state"),
    [(["nodev\toverlay", "\text4"], "loaded"), (["\text4"], "unknown")],
    ids=["listed", "not listed"],
)
def test_a_file_system_that_the_kernel_lists_is_there(tmp_path: Path, filesystems: list[str], state: str) -> None:
    host = Recorded({"machine": "x86_64", "user": 0, "files": {"/proc/filesystems": filesystems}}, tmp_path)
    assert Modules(host).state("overlay") == state


BRIDGE = "unshare --net -- ip link add kraal0 type bridge"
VETH = "unshare --net -- ip link add kraal0 type veth peer name kraal1"
PROGRAMS = {"unshare": "/usr/bin/unshare", "ip": "/sbin/ip"}
WELL: dict[str, Any] = {"rc": 0, "out": [], "err": []}


def trying(tmp_path: Path, bridge: dict[str, Any], **other: Any) -> Recorded:
    host = load("intel")
    commands = {**host["commands"], VETH: WELL, BRIDGE: bridge}
    return Recorded({**host, "programs": {**host["programs"], **PROGRAMS}, "commands": commands, **other}, tmp_path)


def test_a_trial_that_fails_decides_the_verdict_with_what_the_tool_said(tmp_path: Path) -> None:
    facts = gather(
        trying(tmp_path, {"rc": 2, "out": [], "err": ["RTNETLINK answers: Operation not supported"]}),
        ["docker"],
        ["links"],
    )
    verdict = facts["backends"]["docker"]
    assert (verdict["capable"], verdict["usable"], verdict["code"]) == (False, False, "trial_failed")
    assert f"`{BRIDGE}` said: RTNETLINK answers: Operation not supported" in verdict["reason"]
    assert verdict["remedy"] == "modprobe bridge, or use a kernel with CONFIG_BRIDGE"
    assert [(finding["check"], finding["ok"]) for finding in facts["trials"]] == [
        ("making a veth", True),
        ("making a bridge", False),
    ]


def test_a_trial_that_works_changes_no_verdict(tmp_path: Path) -> None:
    verdict = gather(trying(tmp_path, WELL), ["docker"], ["links"])["backends"]["docker"]
    assert (
        verdict["capable"] is True and {"check": "making a bridge", "ok": True, "found": "works"} in verdict["checks"]
    )


@pytest.mark.parametrize(
    ("configuration", "ok"),
    [(["CONFIG_X=y"], False), (["CONFIG_NF_NAT=m", "CONFIG_NF_CONNTRACK=m", "CONFIG_NETFILTER_XTABLES=m"], None)],
)
def test_a_missing_tool_proves_nothing_unless_the_kernel_does(
    tmp_path: Path, configuration: list[str], ok: bool | None
) -> None:
    files = {"/proc/sys/kernel/osrelease": ["1.0"], "/boot/config-1.0": configuration}
    host = Recorded({"machine": "x86_64", "user": 0, "files": files}, tmp_path)
    findings = tried(host, Modules(host), ["docker_rules"])
    assert len(findings) == 3 and {finding["ok"] for finding in findings} == {ok}
    assert all(finding["remedy"] for finding in findings)


def test_only_root_tries(tmp_path: Path) -> None:
    host = Recorded({"machine": "x86_64", "user": 1000, "files": {}}, tmp_path)
    findings = tried(host, Modules(host), TRIALS)
    assert [finding["check"] for finding in findings] == list(TRIALS)
    assert all(finding["ok"] is None and "become" in finding["remedy"] for finding in findings)
