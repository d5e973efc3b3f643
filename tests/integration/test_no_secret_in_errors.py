# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An option that is refused is named; what is secret of it is not shown, however the message would have quoted it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.warm_module import WarmModule

#: A vault's value with its newline, a path of Windows, quotes: each of them is another text in a message than in the
#: task.
HUSH = "kt-hush\\\"'x\n"
REFUSED: list[tuple[str, dict[str, Any]]] = [
    ("kvm_vm", {"graphics": [{"type": "vnc", "password": HUSH}]}),
    ("kvm_vm", {"graphics": [{"type": "none", "password": HUSH}]}),
    ("kvm_vm", {"filesystems": [{"target": "a", "password": HUSH}]}),
    ("kvm_vm", {"xml": "<domain><devices><graphics passwd='kt-hush'/></domain>"}),
    ("kvm_vm", {"xml": "<domain><password>kt-hush</password></domain"}),
    ("kvm_vm", {"networks": [{"api_token": HUSH}]}),
    ("kvm_vm", {"cloud_init": {"user_data": 5, "meta_data": "password: kt-hush"}}),
    ("kvm_pool", {"type": "dir", "source_format": "--password=kt-hush\n"}),
    ("docker_container", {"env": {"DB_PASSWORD": "kt-hush\0"}}),
    ("docker_container", {"env": {"DB_PASSWORD": [HUSH]}}),
    ("docker_container", {"labels": {"api_token": [HUSH]}}),
    ("docker_container", {"mounts": [{"target": "/a", "password": HUSH}]}),
    ("docker_container", {"mounts": ["//kt:kt-hush@nas/share:/a:password=kt-hush"]}),
    ("docker_container", {"command": "run --password 'kt-hush"}),
    ("docker_container", {"command": {"--password": HUSH}}),
    ("docker_container", {"healthcheck": {"test": "curl --token=kt-hush\0"}, "stop_signal": "https://kt:kt-hush@h"}),
    ("docker_container", {"image": "https://kt:kt-hush@registry.example/A"}),
    ("docker_container", {"image": "kt", "registry_password": HUSH, "hostname": HUSH}),
    ("docker_container", {"docker_host": "tcp://kt:kt-hush@:port"}),
    ("docker_volume", {"driver_options": {"o": ["username=kt,password=kt-hush"]}}),
    ("lxc_container", {"config": {"lxc.environment": {"DB_PASSWORD": HUSH}}}),
    ("lxc_container", {"config": {"lxc.environment": "DB_PASSWORD=kt-hush\n"}}),
    ("lxc_container", {"template": "download", "template_options": "--password kt-hush"}),
    ("base_image", {"commands": ["usermod --password 'kt-hush"], "suite": "bookworm"}),
    ("base_image", {"mirror": "https://kt:kt-hush@mirror.example/debian", "suite": "bookworm"}),
    ("host_bridge", {"uplink": "--password=kt-hush"}),
]


#: Those whose guests a fleet may have.
OF_FLEETS = ("docker_container", "kvm_vm", "lxc_container")


@pytest.mark.parametrize("module", ["fleet", *sorted({module for module, _options in REFUSED})])
def test_no_secret_is_in_an_error(module: str) -> None:
    if module == "fleet":
        tasks = [
            {"guests": [{"backend": name.partition("_")[0], "name": "kt-web", **options}]}
            for name, options in REFUSED
            if name in OF_FLEETS
        ]
    else:
        tasks = [{"name": "kt-web", **options} for name, options in REFUSED if name == module]
    with WarmModule(f"kraal.virt.{module}") as run:
        for args in tasks:
            result = run(args, check=True, diff=True, verbosity=3)
            said = result.stdout + result.stderr
            assert result.failed and result.json, said
            assert "hush" not in said, args
            assert "Traceback" not in said
