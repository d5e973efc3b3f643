# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The examples of the documentation, run as they stand but for their image, which is empty here; and what Ansible
shows of them.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from tests.integration.test_examples import check_return, examples
from tests.support.ansible_runner import run_tasks

from .conftest import NETWORK
from .driver import Driver

IMAGE = "/var/lib/libvirt/images/debian-12-genericcloud-amd64.qcow2"
MODULE = "kraal.virt.kvm_vm"


def test_the_examples_run(driver: Driver, tmp_path: Path) -> None:
    image = tmp_path / "debian.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", str(image), "1G"], check=True)
    driver.host.define("net-", NETWORK.format(name="default", bridge="virbr-kt9", number=9))
    driver.host.virsh("net-start", "default")
    tasks = examples("kvm_vm")
    text = json.dumps(tasks)
    assert IMAGE in text
    # Nothing is on the disk that would ask for an address, or hear the power button.
    mine = json.loads(text.replace(IMAGE, str(image)).replace('"wait_for": "address"', '"wait_for": "running"'))
    defaults = {MODULE: {"uri": driver.host.uri, "force_stop": True, "stop_timeout": 1}}
    try:
        run = run_tasks(mine, module_defaults=defaults, keep_going=False)
    finally:
        driver.host.virsh("net-destroy", "default")
        driver.host.virsh("net-undefine", "default")
    assert run.rc == 0, run.output
    assert [(result.task, result.changed) for result in run.results] == [(task["name"], True) for task in tasks]
    for task, result in zip(tasks, run.results, strict=True):
        check_return("kvm_vm", task["name"], result.json)
    assert driver.names() == ["web"]


def test_no_secret_is_printed(driver: Driver) -> None:
    given = {"uri": driver.host.uri, "name": driver.name, "type": "qemu", "memory": "64MiB", "state": "present"}
    first = {
        **given,
        "graphics": [{"type": "vnc", "password": "{{ hush }}1"}],
        "cloud_init": {"user_data": {"password": "{{ hush }}-seed"}},
    }
    second = {**given, "graphics": [{"type": "vnc", "password": "{{ hush }}2"}]}
    run = run_tasks(
        [{MODULE: first}, {MODULE: second, "check_mode": True}, {MODULE: second}],
        variables={"hush": "kt-hush"},
        diff=True,
        verbosity=3,
    )
    assert [(result.changed, result.failed) for result in run.results] == [(True, False)] * 3, run.output
    assert driver.xml().find("devices/graphics").get("passwd") == "kt-hush2"
    assert "kt-hush" not in run.output
    assert all("kt-hush" not in str(result.json) for result in run.results)
    assert "graphics[vnc]" in run.output
