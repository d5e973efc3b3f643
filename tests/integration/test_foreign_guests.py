# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One host with a guest in each backend that no task could have made so: all others are in the inventory, and these
too.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.ansible_runner import run_inventory
from tests.support.images import BaseImages
from tests.support.leftovers import Scratch
from tests.support.libvirt_daemon import LibvirtDaemon
from tests.support.lxc import LxcLab
from tests.support.module_process import module_process

VIRTUAL = """<domain type='qemu'><name>{name}</name><memory unit='MiB'>32</memory><os><type arch='x86_64' machine='q35'>hvm</type></os>
<devices>{devices}</devices></domain>"""
WORDS = """<channel type='qemu-vdagent'><source><clipboard copypaste='yes'/></source><target type='virtio' name='com.redhat.spice.0'/></channel>
<memballoon model='virtio-transitional'/><video><model type='none'/></video>"""


@pytest.fixture
def names(
    libvirt_daemon: LibvirtDaemon, lxc: LxcLab, base_images: BaseImages, scratch: Scratch
) -> dict[str, list[str]]:
    """By backend, an odd one and one of ours."""
    found = {backend: [scratch(f"{backend}-odd"), scratch(f"{backend}-ours")] for backend in ("docker", "kvm", "lxc")}
    for name, devices in zip(found["kvm"], (WORDS, ""), strict=True):
        libvirt_daemon.define("", VIRTUAL.format(name=name, devices=devices))
        libvirt_daemon.virsh("start", name)
    common = {
        "docker": {"backend": "docker", "image": base_images.one},
        "lxc": {"backend": "lxc", "image": str(lxc.image("1")), "lxc_path": str(lxc.path)},
    }
    guests = [{**common[backend], "name": name, "stop_timeout": 1} for backend in common for name in found[backend]]
    made = module_process("kraal.virt.fleet", {"guests": guests})
    assert not made.failed, made.msg
    return found


def test_the_inventory_has_all_of_them(
    names: dict[str, list[str]], libvirt_daemon: LibvirtDaemon, lxc: LxcLab, tmp_path: Path
) -> None:
    config = lxc.path / names["lxc"][0] / "config"
    config.rename(config.with_suffix(".old"))
    config.mkdir()
    source = tmp_path / "guests.yml"
    source.write_text(
        json.dumps({"plugin": "kraal.virt.guests", "hosts": [{"name": "localhost"}], "states": ["running", "paused"]}),
        encoding="utf-8",
    )
    try:
        run = run_inventory(source, "--list", env={"LIBVIRT_DEFAULT_URI": libvirt_daemon.uri})
        assert run.rc == 0, run.output
        data = json.loads(run.stdout)
        for backend, both in names.items():
            assert set(both) <= set(data[backend]["hosts"]), run.output
        assert set(sum(names.values(), [])) <= set(data["state_running"]["hosts"])
        said = "".join(run.stderr.split())
        assert said.count(f"lxc{names['lxc'][0]}:") == 1 and "kvm" not in said, run.stderr
    finally:
        config.rmdir()
        config.with_suffix(".old").rename(config)
        libvirt_daemon.virsh("; ".join(f"destroy {name}; undefine {name}" for name in names["kvm"]))
        lxc.clear()
