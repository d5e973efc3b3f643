# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lab hosts are what they claim to be: Debian 12 and 13 under systemd, reached over ssh, installing packages, cut
off and back.
"""

from __future__ import annotations

import os
import subprocess

import pytest

from tests.lab.hosts import Lab, LabHost
from tests.support.ansible_runner import run_tasks


def ssh(host: LabHost, command: str, timeout: int = 30) -> subprocess.CompletedProcess[str]:
    argv = [*host.ssh_args[:-1], "-o", f"ConnectTimeout={timeout}", host.ssh_args[-1], command]
    return subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)


def test_systemd_runs_without_a_failed_unit(lab: Lab, lab_hosts: list[LabHost]) -> None:
    assert [host.distribution for host in lab_hosts] == ["Debian 12", "Debian 13"]
    for host in lab_hosts:
        assert lab.run(host, ["systemctl", "is-system-running"]).stdout == "running\n"
        assert host.suite in lab.run(host, ["cat", "/etc/os-release"]).stdout


def test_ansible_reaches_all_hosts(lab: Lab, lab_hosts: list[LabHost]) -> None:
    run = run_tasks(
        [{"ansible.builtin.setup": {"gather_subset": ["!all", "distribution_release"]}}],
        inventory=lab.inventory(),
        hosts="virt_hosts",
    )
    assert {r.host: r["ansible_facts"]["ansible_distribution_release"] for r in run.results} == {
        host.name: host.suite for host in lab_hosts
    }, run.output


def test_hosts_have_keys_of_their_own(lab_hosts: list[LabHost]) -> None:
    keys = {ssh(host, "cat /etc/ssh/ssh_host_ed25519_key.pub /etc/machine-id").stdout for host in lab_hosts}
    assert len(keys) == len(lab_hosts) and "" not in keys


def test_apt_works_inside(lab: Lab, lab_hosts: list[LabHost]) -> None:
    for host in lab_hosts:
        lab.run(host, ["apt-get", "-o", "APT::Update::Error-Mode=any", "update"])
        lab.run(host, ["apt-get", "install", "--yes", "--no-install-recommends", "hello"])
        assert lab.run(host, ["hello"]).rc == 0


def test_an_ssh_that_knows_the_hosts_by_name(lab: Lab, lab_hosts: list[LabHost]) -> None:
    path = f"{lab.ssh_program()}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["ssh", lab_hosts[1].name, "hostname"],
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.stdout.strip() == lab_hosts[1].name, done.stderr


def test_a_failing_command_is_an_error(lab: Lab, lab_hosts: list[LabHost]) -> None:
    with pytest.raises(RuntimeError, match="ended with 1"):
        lab.run(lab_hosts[0], ["false"])
    assert lab.run(lab_hosts[0], ["false"], check=False).rc == 1


def test_cut_and_restore(lab: Lab, lab_hosts: list[LabHost]) -> None:
    dead, alive = lab_hosts
    lab.cut(dead)
    assert ssh(dead, "true", timeout=3).returncode == 255
    assert ssh(alive, "true").returncode == 0
    assert lab.run(dead, ["hostname"]).stdout.strip() == dead.name
    lab.restore(dead)
    assert ssh(dead, "true").returncode == 0


def test_freeze_and_thaw(lab: Lab, lab_hosts: list[LabHost]) -> None:
    lab.freeze(lab_hosts[0])
    frozen = ssh(lab_hosts[0], "true", timeout=3)
    assert frozen.returncode == 255 and "timed out" in frozen.stderr
    lab.thaw(lab_hosts[0])
    assert ssh(lab_hosts[0], "true").returncode == 0


def test_down_leaves_nothing(lab: Lab, lab_hosts: list[LabHost], docker_api) -> None:
    lab.down()
    label = {"label": f"kt.lab={lab.name}"}
    assert docker_api.containers(all=True, filters=label) == [] and docker_api.networks(filters=label) == []
    assert not docker_api.volumes(filters=label)["Volumes"]
