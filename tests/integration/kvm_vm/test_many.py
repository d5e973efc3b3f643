# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Many guests at once: a fleet of them, how many calls of libvirt that takes, and what discovery finds of them."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.libvirt_daemon import LibvirtDaemon
from tests.support.module_process import ModuleProcess, module_environment, module_process
from tests.support.paths import SYSTEM_PYTHON

from .driver import FORCE, Driver

COUNT = 50
#: Observes and plans as a task does, and counts what is asked of libvirt; takes the URI, how many guests, and whether
#: to look at all there are.
COUNTING = """
import json, sys
from ansible_collections.kraal.virt.plugins.module_utils.backends.kvm import client
from ansible_collections.kraal.virt.plugins.module_utils.backends.kvm.vm.resource import Vms
from ansible_collections.kraal.virt.plugins.module_utils.engine.reconcile import Job, reconcile
asked, ask, ask_qemu = [], client.Host.ask, client.Host.ask_qemu
def counting(self, function, *arguments):
    asked.extend([function.__name__] if function.__name__ not in client._BY_QEMU else [])
    return ask(self, function, *arguments)
def counting_qemu(self, seconds, function, *arguments):
    asked.append(function.__name__)
    return ask_qemu(self, seconds, function, *arguments)
client.Host.ask, client.Host.ask_qemu = counting, counting_qemu
vms = Vms(client.connect({"uri": sys.argv[1]}))
if sys.argv[3] == "discover":
    found = vms.observe(None).domains
    print(json.dumps([len(found), asked]))
else:
    spec = {name: option.get("default") for name, option in vms.table.argument_spec().items()}
    options = json.loads(sys.argv[4])
    wants = [vms.table.read({**spec, **options, "name": "kt-%d" % number}) for number in range(int(sys.argv[2]))]
    outcomes = reconcile([Job(vms, wants)], check=False)
    print(json.dumps([[str(each.error or "") for each in outcomes if each.error or each.steps], asked]))
"""
OPTIONS: dict[str, Any] = {
    "state": "present",
    "type": "qemu",
    "memory": "64MiB",
    "cpus": 1,
    "disks": [{"size": "1MiB"}],
    "networks": ["kt-net1"],
    "labels": {"kt": "many"},
}


@pytest.fixture(scope="module")
def many(host: LibvirtDaemon, module: Any) -> Iterator[LibvirtDaemon]:
    """Defined, and off."""
    guests = [{"name": f"kt-{number}", **OPTIONS} for number in range(COUNT)]
    made = fleet(host, guests)
    assert not made.failed, made.msg
    assert len(made["guests"]) == COUNT
    yield host
    Driver(host, module, "").clear()


def fleet(host: LibvirtDaemon, guests: list[dict[str, Any]], **options: Any) -> Any:
    return module_process(
        "kraal.virt.fleet", {"guests": guests, "defaults": {"backend": "kvm", "uri": host.uri}, **options}
    )


def counted(host: LibvirtDaemon, *arguments: str) -> Any:
    done = subprocess.run(
        [SYSTEM_PYTHON, "-c", COUNTING, host.uri, *arguments],
        env=module_environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


def test_five_calls_and_one_for_each_that_is_off(many: LibvirtDaemon) -> None:
    changed, asked = counted(many, str(COUNT), "plan", json.dumps(OPTIONS))
    assert changed == []
    assert asked.count("getAllDomainStats") == 1 and asked.count("XMLDesc") == COUNT
    assert len(asked) <= COUNT + 5, [name for name in asked if name != "XMLDesc"]


def test_discovery_takes_no_more(many: LibvirtDaemon) -> None:
    found, asked = counted(many, "0", "discover")
    assert found == COUNT and len(asked) <= COUNT + 5


def test_a_fleet_again(many: LibvirtDaemon) -> None:
    again = fleet(many, [{"name": f"kt-{number}", **OPTIONS} for number in range(COUNT)])
    assert not again.failed and not again.changed and again["plan"] == []
    one = fleet(
        many,
        [
            {"name": f"kt-{number}", **OPTIONS, **({"memory": "96MiB"} if number == 7 else {})}
            for number in range(COUNT)
        ],
    )
    assert [(step["guest"], step["key"]) for step in one["plan"]] == [("kt-7", "memory")], one["plan"]
    fleet(many, [{"name": "kt-7", **OPTIONS}])


def test_guests_info_and_inventory_form(many: LibvirtDaemon) -> None:
    found = module_process(
        "kraal.virt.guests_info", {"backends": ["kvm"], "names": ["kt-3"]}, env={"LIBVIRT_DEFAULT_URI": many.uri}
    )
    assert not found.failed, found.msg
    (guest,) = found["guests"]
    assert {key: guest[key] for key in ("name", "backend", "state", "cpus", "memory", "labels", "autostart", "pending_restart")} == {
        "name": "kt-3", "backend": "kvm", "state": "stopped", "cpus": 1, "memory": "64MiB", "labels": {"kt": "many"}, "autostart": False, "pending_restart": [],
    }  # fmt: skip


def test_a_fleet_loses_its_strays(many: LibvirtDaemon) -> None:
    two = [
        {"name": f"kt-stray-{number}", "state": "present", "type": "qemu", "memory": "64MiB", **FORCE}
        for number in (1, 2)
    ]
    assert not fleet(many, two, name="kt-fleet").failed
    theirs = fleet(many, [{**guest, "state": "absent", "remove_storage": True} for guest in two], name="kt-others")
    assert [each["failed"] for each in theirs["results"]] == [
        True,
        True,
    ] and "it is a guest of the fleet 'kt-fleet'" in theirs.msg, theirs.msg
    done = fleet(many, two[:1], name="kt-fleet", prune=True)
    assert [(step["guest"], step["action"]) for step in done["plan"]] == [("kt-stray-2", "remove")]
    assert not fleet(many, [], name="kt-fleet", prune=True).failed
    assert "kt-stray" not in many.virsh("list", "--all", "--name")


def test_where_there_is_no_libvirt(tmp_path: Any) -> None:
    """A host without it has no guests of it: nothing to fail for, unless it is asked for by name."""
    nowhere = {"LIBVIRT_DEFAULT_URI": f"qemu+unix:///system?socket={tmp_path}/none"}
    assert module_process("kraal.virt.guests_info", {}, env=nowhere).failed is False
    result = ModuleProcess("kraal.virt.kvm_vm", {"name": "kt-x", "uri": nowhere["LIBVIRT_DEFAULT_URI"]}).result()
    assert result.failed and "libvirt" in result.msg and "Install" in result.msg
