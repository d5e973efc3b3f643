# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tasks that were written for other collections' modules are refused with what their options are here.

No engine is asked: what has no such option ends before that.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.module_process import module_process

SPREAD = True

CASES: dict[str, tuple[dict[str, Any], list[str]]] = {
    "docker_container": (
        {"name": "a", "state": "started", "image": "b", "published_ports": ["80"], "auto_remove": True, "comand": "c"},
        [
            "published_ports of community.docker.docker_container is ports here.",
            "auto_remove of community.docker.docker_container has no equivalent here: A container stays",
            "Did you mean command?",
            "state=started of community.docker.docker_container is state=running here.",
        ],
    ),
    "docker_image": (
        {"name": "a", "source": "pull", "path": "/x"},
        ["source of community.docker.docker_image is pull, build", "docker_image_load is load here: Write it below"],
    ),
    "docker_network": (
        {"name": "a", "ipam_config": []},
        ["ipam_config of community.docker.docker_network is subnets"],
    ),
    "docker_volume": ({"volume_name": "a"}, ["volume_name of community.docker.docker_volume is name here."]),
    "lxc_container": (
        {"name": "a", "state": "frozen", "fs_size": "5G"},
        ["fs_size of community.general.lxc_container is storage_options here: Write size.", "is state=paused here."],
    ),
    "kvm_vm": (
        {"name": "a", "state": "shutdown", "vcpus": 2},
        [
            "vcpus of community.libvirt.virt_install is cpus here.",
            "state=shutdown of community.libvirt.virt is state=stopped",
        ],
    ),
    "kvm_network": ({"name": "a", "command": "define", "xml": "<network/>"}, ["virt_net is forward, subnets here"]),
    "kvm_pool": (
        {"name": "a", "state": "deleted", "mode": "new"},
        ["mode of community.libvirt.virt_pool is build here", "is state=absent here: What a pool holds stays"],
    ),
    "kvm_volume": ({"volume": "a", "pool": "b"}, ["volume of community.libvirt.virt_volume is name here."]),
}


@pytest.mark.parametrize("module", CASES)
def test_a_module_says_what_an_option_is_here(module: str) -> None:
    given, told = CASES[module]
    result = module_process(f"kraal.virt.{module}", given)
    assert result.failed and "Traceback" not in result.stderr, result.stderr
    assert [text for text in told if text not in result.msg] == [], result.msg


@pytest.mark.parametrize(
    ("guest", "told"),
    [
        (
            {"backend": "docker", "volumes": ["/a:/b"]},
            "docker a: volumes: no such option. volumes of community.docker.docker_container is mounts here. The options are",
        ),
        (
            {"backend": "docker", "state": "started"},
            "state=started of community.docker.docker_container is state=running here. See the options",
        ),
        ({"backend": "lxc", "vg_name": "a"}, "vg_name of community.general.lxc_container is storage_options here"),
        ({"backend": "kvm", "vcpus": 2}, "vcpus of community.libvirt.virt_install is cpus here."),
    ],
)
def test_an_entry_of_a_fleet_is_told_as_well(guest: dict[str, Any], told: str) -> None:
    result = module_process("kraal.virt.fleet", {"guests": [{"name": "a", **guest}]})
    assert result.failed and told in result.msg, result.msg or result.stderr
