# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The examples of networks, pools and volumes, run as they stand; pools that stand on what is not here are defined only."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.integration.test_examples import check_return, examples
from tests.support.ansible_runner import run_tasks
from tests.support.libvirt_daemon import LibvirtDaemon


def run(host: LibvirtDaemon, module: str, tasks: list[dict[str, Any]]) -> None:
    name = f"kraal.virt.{module}"
    play = run_tasks(tasks, module_defaults={name: {"uri": host.uri}}, keep_going=False)
    assert play.rc == 0, play.output
    assert [(result.task, result.changed) for result in play.results] == [(task["name"], True) for task in tasks]
    for result in play.results:
        check_return(module, result.task, result.json)


def test_networks(clean: LibvirtDaemon) -> None:
    run(clean, "kvm_network", examples("kvm_network"))


def test_pools(clean: LibvirtDaemon) -> None:
    tasks = examples("kvm_pool")
    for task in tasks:
        if task["kraal.virt.kvm_pool"].get("type") in ("logical", "rbd"):
            task["kraal.virt.kvm_pool"]["state"] = "present"
    run(clean, "kvm_pool", tasks)


def test_volumes(clean: LibvirtDaemon, tmp_path: Path) -> None:
    run(clean, "kvm_pool", examples("kvm_pool")[:1])
    image = tmp_path / "debian.raw"
    image.write_bytes(b"test")
    text = json.dumps(examples("kvm_volume"))
    assert "/srv/images/debian.raw" in text
    run(clean, "kvm_volume", json.loads(text.replace("/srv/images/debian.raw", str(image))))
