# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host whose processor can run virtual machines: host_info's facts say so, kvm_setup proves it, and kvm_vm's guests
are of the type kvm.

Its kernel is Debian's own, so a bridge over a VLAN is seen here whatever this machine's knows. The processor is
emulated, so everything takes its time here, and only what no other host shows is done: the role kvm_host has its tests
in test_role_kvm_host.py.
"""

from __future__ import annotations

import json
import shlex
import subprocess
import time
import warnings
import xml.etree.ElementTree as ET
from collections.abc import Callable, Mapping
from typing import Any

from tests.lab.hosts import LabHost
from tests.lab.hypervisor import Hypervisor
from tests.support.ansible_runner import Run, run_tasks
from tests.support.tiny_guest import CMDLINE

WAITS = True

# The first answer of a libvirtd takes half a minute there: it asks QEMU what it can do.
SETUP = {"name": "set up", "kraal.virt.kvm_setup": {"connect_timeout": 600, "network": "", "pool": ""}}
GUEST = {
    "name": "kt-guest",
    "type": "auto",
    "memory": "128MiB",
    "kernel": "/srv/kt/vmlinuz",
    "initrd": "/srv/kt/initrd",
    "cmdline": CMDLINE,
    "channels": ["org.qemu.guest_agent.0"],
    "wait_for": "agent",
    "timeout": 900,
}

#: How often the machine may die of a guest. With QEMU 7.2's emulation of AMD-V, beside other work, its kernel was seen
#: to panic in svm_vcpu_run(), as its stack was overwritten there, and to lock up.
DEATHS = 2

#: A link of the host's own into a switch that carries the VLAN 7 and nothing else.
SWITCH = """
set -e
ip netns add kt-switch
ip link add kt0 type veth peer name kt1 netns kt-switch
modprobe 8021q
ip -n kt-switch link add link kt1 name kt1.7 type vlan id 7
ip -n kt-switch address add 198.51.100.1/24 dev kt1.7
ip -n kt-switch link set kt1 up
ip -n kt-switch link set kt1.7 up
printf '[Match]\\nName=kt0\\n\\n[Network]\\nLinkLocalAddressing=no\\n' > /etc/systemd/network/kt0.network
networkctl reload
ip link set kt0 up
"""
#: A port that nobody listens on refuses, which is an answer.
REACHES = "import errno, socket, sys; s = socket.socket(); s.settimeout(30); sys.exit(s.connect_ex((sys.argv[1], 9)) != errno.ECONNREFUSED)"


def tasks(host: LabHost, *listed: Mapping[str, Any], fails: bool = False) -> Run:
    inventory = {"all": {"hosts": {host.name: host.inventory}}}
    env = {"ANSIBLE_INJECT_FACT_VARS": "false", "ANSIBLE_TIMEOUT": "60"}
    play = run_tasks(list(listed), inventory=inventory, hosts="all", keep_going=False, env=env)
    assert (play.rc != 0) is fails, play.output
    return play


def inside(host: LabHost, *argv: str) -> str:
    done = subprocess.run([*host.ssh_args, shlex.join(argv)], capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def on_one_that_lives(hypervisor: Hypervisor, work: Callable[[LabHost], None]) -> None:
    """Do the work, all of it again on a machine that is booted anew where the emulated processor was the end of the
    first.
    """
    for dummy in range(DEATHS):
        try:
            return work(up(hypervisor))
        except AssertionError:
            # Its connections may be seen to end before it does.
            said = hypervisor.died(within=10)
            if not said:
                raise
            warnings.warn(f"the emulated machine died, and is booted anew: {said[-2000:]}", stacklevel=2)
    work(up(hypervisor))


def up(hypervisor: Hypervisor) -> LabHost:
    if hypervisor.died():
        hypervisor.down()
        hypervisor.up()
    assert hypervisor.host is not None
    return hypervisor.host


def test_a_guest_runs_on_the_processor_itself(hypervisor: Hypervisor) -> None:
    on_one_that_lives(hypervisor, a_guest)


def a_guest(host: LabHost) -> None:
    """The setup needs no leave to emulate; the guest's kernel runs on the processor, and its agent answers; made
    again, it is unchanged.
    """
    play = tasks(
        host,
        SETUP,
        {"kraal.virt.kvm_vm": GUEST, "check_mode": True},
        {"kraal.virt.kvm_vm": GUEST},
        {"kraal.virt.kvm_vm": GUEST},
    )
    setup, checked, made, again = play.results
    assert setup["proven"]
    facts = setup["ansible_facts"]["kraal"]
    kvm = facts["backends"]["kvm"]
    assert (kvm["usable"], kvm["code"], kvm["domain_type"]) == (True, "ok", "kvm"), kvm
    assert (facts["cpu"]["extension"], facts["cpu"]["nested_paging"], facts["inside"]["hypervisor"]) == (
        "svm",
        "npt",
        "qemu",
    )
    assert {check["check"] for check in kvm["checks"] if check["ok"]} >= {
        "processor",
        "device",
        "virtual machine",
        "module",
        "nested",
        "engine libvirt",
    }, kvm
    assert play.changed == sum(result.changed for result in (setup, checked, made))
    assert checked["plan"] == made["plan"] and [step["action"] for step in made["plan"]] == ["create", "start"]
    assert (again.changed, again["plan"]) == (False, [])
    assert ET.fromstring(inside(host, "virsh", "dumpxml", "kt-guest")).get("type") == "kvm"
    assert "enabled" in inside(host, "virsh", "qemu-monitor-command", "--hmp", "kt-guest", "info kvm")
    assert json.loads(inside(host, "virsh", "qemu-agent-command", "kt-guest", '{"execute": "guest-ping"}')) == {
        "return": {}
    }
    inside(host, "virsh", "destroy", "kt-guest")


def networks(host: LabHost) -> str:
    """All that host_bridge could leave: the configuration with its contents, links, addresses, routes, units."""
    look = "find /etc/systemd /run/systemd/network -type f -exec sha256sum {} +; ip -brief address; ip route; systemctl list-units --no-legend --plain 'kraal*'"
    return inside(host, "sh", "-c", look)


def test_a_wrong_vlan_is_taken_back(hypervisor: Hypervisor) -> None:
    on_one_that_lives(hypervisor, a_wrong_vlan)


def a_wrong_vlan(host: LabHost) -> None:
    """The way out moves into a VLAN that nobody carries: the host comes back by itself, at the old address, with
    every file as it was.
    """
    before = networks(host)
    wrong = {"name": "br0", "uplink": "auto", "vlan": 7, "addresses_from": "uplink", "timeout": 45}
    play = tasks(host, {"kraal.virt.host_bridge": wrong}, fails=True)
    (result,) = play.results
    assert result["rolled_back"] is True and "took it back" in result.msg, result.msg
    assert networks(host) == before


def test_a_bridge_over_a_vlan(hypervisor: Hypervisor) -> None:
    on_one_that_lives(hypervisor, a_bridge_over_a_vlan)


def a_bridge_over_a_vlan(host: LabHost) -> None:
    inside(host, "sh", "-c", SWITCH)
    before = networks(host)
    bridge = {"name": "br7", "uplink": "kt0", "vlan": 7, "addresses": ["198.51.100.2/24"], "timeout": 600}
    task = {"kraal.virt.host_bridge": bridge}
    made, again = tasks(host, task, task).results
    assert made.changed and not again.changed
    (port,) = json.loads(inside(host, "ip", "-json", "-details", "link", "show", "master", "br7"))
    assert (port["ifname"], port["linkinfo"]["info_data"]["id"]) == ("kt0.7", 7)
    inside(host, "python3", "-c", REACHES, "198.51.100.1")
    assert tasks(host, {"kraal.virt.host_bridge": {"name": "br7", "state": "absent", "timeout": 600}}).changed == 1
    assert networks(host) == before


BOOT = "/proc/sys/kernel/random/boot_id"


def test_a_machine_that_locks_up_is_ended_and_goes_on_from_its_saved_state(hypervisor: Hypervisor) -> None:
    """As QEMU that is stopped: its port takes connections, and nobody answers.

    The next one has not booted, and knows what time it is.
    """
    boot, patience = inside(up(hypervisor), "cat", BOOT), (hypervisor.deaf, hypervisor.answer)
    hypervisor.deaf, hypervisor.answer = 1, 2
    hypervisor.freeze()
    assert hypervisor.died(within=300)
    hypervisor.deaf, hypervisor.answer = patience
    host = up(hypervisor)
    assert inside(host, "cat", BOOT) == boot
    assert abs(int(inside(host, "date", "+%s")) - time.time()) < 300
