# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What was taken of a task, however odd it is (see test_odd_values.py), is compared, planned and written: what the engine
is sent, XML and configuration files.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.kraal.virt.plugins.module_utils.backends.docker import network as docker_network
from ansible_collections.kraal.virt.plugins.module_utils.backends.docker import volume as docker_volume
from ansible_collections.kraal.virt.plugins.module_utils.backends.docker.container import plan as container_plan
from ansible_collections.kraal.virt.plugins.module_utils.backends.docker.container import target as container_target
from ansible_collections.kraal.virt.plugins.module_utils.backends.kvm import definition
from ansible_collections.kraal.virt.plugins.module_utils.backends.kvm.network import options as network_options
from ansible_collections.kraal.virt.plugins.module_utils.backends.kvm.network.resource import Networks
from ansible_collections.kraal.virt.plugins.module_utils.backends.kvm.storage import pool_options, volume_options
from ansible_collections.kraal.virt.plugins.module_utils.backends.kvm.storage.pool import Pools
from ansible_collections.kraal.virt.plugins.module_utils.backends.kvm.vm import compare as vm_compare
from ansible_collections.kraal.virt.plugins.module_utils.backends.kvm.vm import plan as vm_plan
from ansible_collections.kraal.virt.plugins.module_utils.backends.kvm.vm import target as vm_target
from ansible_collections.kraal.virt.plugins.module_utils.backends.kvm.vm.model import Emulator, Pool
from ansible_collections.kraal.virt.plugins.module_utils.backends.kvm.vm.model import Seen as SeenDomains
from ansible_collections.kraal.virt.plugins.module_utils.backends.kvm.xml import Element, parse, serialize
from ansible_collections.kraal.virt.plugins.module_utils.backends.lxc.container import plan as lxc_plan
from ansible_collections.kraal.virt.plugins.module_utils.backends.lxc.container import target as lxc_target
from ansible_collections.kraal.virt.plugins.module_utils.backends.lxc.container.config import Config
from ansible_collections.kraal.virt.plugins.module_utils.backends.lxc.container.model import Seen as SeenLxc
from ansible_collections.kraal.virt.plugins.module_utils.engine.errors import KraalError
from ansible_collections.kraal.virt.plugins.module_utils.engine.plan import Step
from ansible_collections.kraal.virt.plugins.module_utils.engine.spec import Spec
from ansible_collections.kraal.virt.plugins.module_utils.host.bridge.plan import plan as bridge_plan
from ansible_collections.kraal.virt.plugins.module_utils.images.base_image import file_of, request_of
from ansible_collections.kraal.virt.plugins.module_utils.images.rootfs import command_of
from tests.unit.backends.docker.scene import inspected
from tests.unit.backends.docker.scene import seen as seen_by_docker
from tests.unit.backends.kvm.recorded import recorded
from tests.unit.backends.kvm.test_vm_target import compared, domain
from tests.unit.backends.lxc.test_container_plan import container as lxc_container
from tests.unit.host.test_bridge_plan import networkd
from tests.unit.host.test_bridge_plan import seen as seen_of_links
from tests.unit.test_odd_values import limited, odd_arguments, read

UUID = "11111111-1111-1111-1111-111111111111"


def shown(steps: Sequence[Step]) -> None:
    """As the answer has them."""
    json.dumps([step.as_dict() for step in steps]).encode()


def written(tree: Element) -> None:
    """As libvirt is sent it, and can read it."""
    parse(serialize(tree))


def of_docker(want: Spec) -> None:
    for have in ({}, {want.name: inspected("plain")}, {want.name: inspected("full")}):
        seen = seen_by_docker(containers=have)
        steps = container_plan.plan(want, seen)
        shown(steps)
        for step in steps:
            if step.action == "recreate":
                json.dumps(container_target.replacement(want, seen.containers[want.name], step.changes)).encode()
    json.dumps(container_target.creation(want)).encode()


def of_docker_networks(want: Spec) -> None:
    steps = docker_network.Networks.__new__(docker_network.Networks).plan(want, docker_network.Seen())
    shown(steps)
    for step in steps:
        json.dumps(docker_network._body(want.name, step.changes, {})).encode()


def of_docker_volumes(want: Spec) -> None:
    steps = docker_volume.Volumes.__new__(docker_volume.Volumes).plan(want, docker_volume.Seen())
    shown(steps)
    for step in steps:
        json.dumps(docker_volume._body(want.name, step.changes, {})).encode()


def of_lxc(want: Spec) -> None:
    have = lxc_container()
    for there in ({}, {want.name: have}):
        changes = lxc_target.differences(want, have)
        shown(lxc_plan.plan(want, SeenLxc(containers=there, changes={want.name: tuple(changes)})))
        text = lxc_target.config_after(changes, have).text
        assert Config(text).text == text and text.encode(errors="surrogateescape")
        json.dumps(lxc_target.note_after(changes, have)).encode()
        lxc_target.limit_files(changes, have)


def of_kvm(want: Spec) -> None:
    emulator = Emulator("kvm", "x86_64", "pc-q35-7.2")
    for now in ("", "stopped", "running"):
        have = replace(domain(now), name=want.name) if now else None
        seen = SeenDomains({want.name: have} if have else {}, pools={"default": Pool("default", "dir", "/pool")})
        seen.emulators = {"auto": emulator, "kvm": emulator, "qemu": emulator}
        done = seen.compared[want.name] = compared(want, seen, have)
        shown(vm_plan.plan(want, seen))
        if have:
            written(vm_compare.written(done.want, have.stored, vm_compare.edits(done.want, have.stored)))
        else:
            written(vm_target.creation(done.want, seen, UUID))


def of_kvm_networks(want: Spec) -> None:
    written(network_options.defined(want.name, dict(want.values), None))
    for there in ({}, {want.name: definition.Definition("u", recorded("network"), None)}):
        shown(Networks.__new__(Networks).plan(want, definition.Seen(there)))


def of_pools(want: Spec) -> None:
    written(pool_options.defined(want.name, dict(want.values), None))
    shown(Pools.__new__(Pools).plan(want, definition.Seen({})))


def of_kvm_volumes(want: Spec) -> None:
    written(volume_options.defined(want.name, "dir", dict(want.values)))


def of_base_images(want: Spec) -> None:
    if want.state == "present":
        request = request_of(want)
        assert file_of(want.name, request) and command_of(request, Path("/x"), {}, sources=True)


WRITERS: dict[str, Callable[[Spec], None]] = {
    "docker_container": of_docker,
    "docker_network": of_docker_networks,
    "docker_volume": of_docker_volumes,
    "lxc_container": of_lxc,
    "kvm_vm": of_kvm,
    "kvm_network": of_kvm_networks,
    "kvm_pool": of_pools,
    "kvm_volume": of_kvm_volumes,
    "base_image": of_base_images,
}


def try_all(module: str, write: Callable[[Spec], Any]) -> None:
    count = 0
    # A stride that keeps no option out: each has several dozen values.
    for arguments in list(odd_arguments(module))[::3]:
        try:
            want = read(module, arguments)
        except KraalError:
            continue
        count += 1
        try:
            with limited():
                write(want)
        except KraalError as error:
            assert str(error)
        except Exception as error:
            error.add_note(f"{module}: {arguments!r}"[:2000])
            raise
    assert count > 20


@pytest.mark.parametrize("module", WRITERS)
def test_what_was_taken_can_be_planned_and_written(module: str) -> None:
    try_all(module, WRITERS[module])


def test_bridges(tmp_path: Path) -> None:
    host = networkd(tmp_path)
    try_all("host_bridge", lambda want: bridge_plan(want, seen_of_links(host)))
