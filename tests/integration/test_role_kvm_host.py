# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role kvm_host and the module kvm_setup on a Debian 13 host without an init system.

It has no /dev/kvm, so that guests are emulated.

What differs with systemd, and with Debian 12, is in test_prepare. The tests build on each other in their order, as a
host's days do.
"""

from __future__ import annotations

import json
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

from tests.integration.test_examples import check_return, examples
from tests.lab.hosts import Lab, LabHost
from tests.support.ansible_runner import Result, Run, run_tasks
from tests.support.paths import ROOT

AS_USER = {"ansible_become": True, "ansible_become_method": "ansible.builtin.su", "ansible_become_user": "kt-user"}

Task = dict[str, Any]


def setup(*, check: bool = False, **options: Any) -> Task:
    """A run of the module that proves nothing, which is the role's to show."""
    return {"kraal.virt.kvm_setup": {"allow_emulation": True, "verify": False, **options}, "check_mode": check}


def run(*argv: str) -> Task:
    return {"ansible.builtin.command": {"argv": list(argv)}}


def virsh(*argv: str) -> Task:
    return run("virsh", "--connect", "qemu:///system", *argv)


class Host:
    """The host, with the role and tasks run on it."""

    def __init__(self, lab: Lab, host: LabHost) -> None:
        self.lab, self.host = lab, host

    def play(self, *tasks: Task, **options: Any) -> Run:
        inventory = {"all": {"hosts": {self.host.name: self.host.inventory}}}
        env = {"ANSIBLE_INJECT_FACT_VARS": "false"}
        play = run_tasks(list(tasks), inventory=inventory, hosts="all", env=env, **options)
        assert play.results, play.output
        return play

    def day(self, *tasks: Task) -> list[Result]:
        """The results of some tasks in a row, each of which may fail."""
        play = self.play(*tasks)
        assert len(play.results) == len(tasks), play.output
        return play.results

    def role(self, *, check: bool = False, **variables: Any) -> Run:
        given = {
            f"kvm_host_{key}": value
            for key, value in {"allow_emulation": True, "users": ["kt-user"], **variables}.items()
        }
        play = self.play({"ansible.builtin.import_role": {"name": "kraal.virt.kvm_host"}}, check=check, variables=given)
        assert not [result for result in play.results if result.failed], play.output
        return play

    def run(self, *argv: str) -> str:
        return self.lab.run(self.host, argv).stdout.strip()

    def virsh(self, *argv: str) -> str:
        return self.run("virsh", "--connect", "qemu:///system", *argv)

    def has(self, path: str) -> bool:
        return self.lab.run(self.host, ["test", "-e", path], check=False).rc == 0

    def daemon(self) -> str:
        """The process of libvirt's one daemon."""
        living = [
            line.split()[0]
            for line in self.run("ps", "-C", "libvirtd", "-o", "pid=,stat=").splitlines()
            if not line.split()[1].startswith("Z")
        ]
        assert len(living) == 1, living
        return living[0]


@pytest.fixture(scope="module")
def host(lab: Lab, bare_host: LabHost) -> Host:
    lab.run(bare_host, ["useradd", "--create-home", "--shell", "/bin/sh", "kt-user"])
    return Host(lab, bare_host)


def keys(result: Result) -> list[tuple[str, str]]:
    """What a plan does, and to what."""
    return [(step["action"], step["key"]) for step in result["plan"]]


def test_what_a_fresh_host_is_said_to_be(host: Host) -> None:
    """By host_info and by the setup, to root and to another user; and all that can be in the way, at once."""
    wrong = {
        "allow_emulation": False,
        "service_manager": "systemd",
        "users": ["kt-user", "kt-nobody"],
        "network_address": f"{host.host.address}/24",
    }
    plays = host.day(
        {"kraal.virt.host_info": {}},
        {"kraal.virt.host_info": {}, "vars": AS_USER},
        {**setup(check=True, assume_packages=True, faults="return", **wrong)},
        setup(check=True, assume_packages=True, daemons="modular", network_address="192.0.2.0/24"),
        setup(check=True),
        {**setup(faults="return"), "vars": AS_USER},
    )
    for result, user in zip(plays[:2], (False, True), strict=True):
        facts = result["ansible_facts"]["kraal"]
        assert (facts["user"] != 0) is user
        assert facts["inside"]["container"]
        kvm = facts["backends"]["kvm"]
        assert (kvm["usable"], kvm["domain_type"]) == (False, "qemu")
        assert {check["check"]: check["ok"] for check in kvm["checks"]}["device"] is False
        assert {name: engine["installed"] for name, engine in facts["engines"].items()} == dict.fromkeys(
            facts["engines"], False
        )
        uplink = facts["network"]["uplink"]
        assert (uplink["interface"], uplink["addresses"][0]["address"]) == ("eth0", host.host.address)
        assert facts["backends"]["xen"]["code"] == "container"
    everything, refused, missing, user = plays[2:]
    assert not everything.failed and not everything.changed and everything["plan"] == []
    said = "\n".join(everything["faults"])
    for words in (
        "This host cannot run KVM guests: there is no /dev/kvm",
        "Or set kvm_host_allow_emulation to true",
        "systemd does not run on this host, so it cannot start libvirt. Set kvm_host_service_manager to auto",
        "kvm_host_users names kt-nobody, whom this host does not know",
        "for guests is in use on this host: eth0",
    ):
        assert words in said
    assert (
        refused.failed and "Without systemd" in refused.msg and "kvm_host_network_address: 192.0.2.0/24" in refused.msg
    )
    assert (
        missing.failed
        and "libvirt-daemon-system" in missing.msg
        and "The role kraal.virt.kvm_host installs what is missing." in missing.msg
    )
    assert [fault.partition(" as user id")[0] for fault in user["faults"]] == ["The role runs"]
    assert not host.has("/usr/sbin/libvirtd")


def test_check_mode_on_a_fresh_host(host: Host) -> None:
    """It tells what it would do, installs nothing, and does not fail because there is no libvirt yet."""
    play = host.role(check=True)
    (packages,) = play.of("Say which packages are missing")
    assert (
        "libvirt-daemon-system" in packages.msg
        and "python3-libvirt" in packages.msg
        and "qemu-system-x86" in packages.msg
    )
    looked, would = play.of("Set libvirt up")
    assert not looked.changed and would.changed and would["manager"] == "direct"
    assert keys(would) == [
        ("set", "groups[libvirt]"),
        ("set", "libvirtd.conf[unix_sock_group]"),
        ("set", "libvirtd.conf[unix_sock_rw_perms]"),
        ("set", "libvirtd.conf[auth_unix_rw]"),
        ("start", "service"),
        ("create", "network[default]"),
        ("start", "network[default].state"),
        ("create", "pool[default]"),
        ("start", "pool[default].state"),
    ]
    assert [warning for warning in would["warnings"] if "Guests run emulated (type qemu)" in str(warning)]
    assert not host.has("/usr/sbin/libvirtd")
    assert "libvirt" not in host.run("cat", "/etc/group")


def test_the_first_run(host: Host) -> None:
    play = host.role()
    made = play.of("Set libvirt up")[1]
    assert made.changed and made["proven"]
    assert made["ansible_facts"]["kraal"]["engines"]["libvirt"]["answers"] is True
    for kind in ("net", "pool"):
        assert host.virsh(f"{kind}-list", "--name", "--autostart") == "default"
    assert host.has("/var/lib/libvirt/images")
    assert host.virsh("list", "--all", "--name") == ""
    assert host.run("su", "kt-user", "-c", "virsh --connect qemu:///system net-list --name") == "default"
    # Not even a zombie of the guest is left, wherever the first process buries nobody.
    assert host.lab.run(host.host, ["pgrep", "qemu-system"], check=False).stdout == ""


def test_the_second_run(host: Host) -> None:
    """It reads once and does nothing more; where no guest runs, a guest is started again to prove that it does."""
    before = host.daemon()
    play = host.role(verify=False, check=True)
    assert play.changed == 0, play.output
    ran = {result.task.rpartition(" : ")[2] for result in play.results if not result.skipped}
    assert ran == {"Set libvirt up", "Collect what is in the way", "Tell all that is in the way"}
    assert [result.skipped for result in play.of("Set libvirt up")] == [False, True]
    proof = host.role()
    assert proof.changed == 0 and proof.of("Set libvirt up")[1]["proven"], proof.output
    assert host.daemon() == before


def test_another_address_for_the_network(host: Host) -> None:
    """Not while it runs, for its guests would be cut off; when it does not, check mode says so, and then it is done."""
    wish = {"network_address": "192.168.150.1/24"}
    kept = ET.fromstring(host.virsh("net-dumpxml", "--inactive", "default"))
    ET.SubElement(kept, "ip", family="ipv6", address="2001:db8::1", prefix="64")
    host.lab.copy(host.host, {"/root/kt.xml": ET.tostring(kept)})
    refused, _ended, _defined, before, foreseen, untouched, made, after, again = host.day(
        setup(**wish),
        virsh("net-destroy", "default"),
        virsh("net-define", "/root/kt.xml"),
        virsh("net-dumpxml", "--inactive", "default"),
        setup(check=True, **wish),
        virsh("net-dumpxml", "--inactive", "default"),
        setup(**wish),
        virsh("net-dumpxml", "default"),
        setup(**wish),
    )
    assert (
        refused.failed
        and "runs with the address 192.168.122.1/24, not 192.168.150.1/24" in refused.msg
        and "net-destroy default" in refused.msg
    )
    assert foreseen.changed and keys(foreseen) == [("set", "network[default]"), ("start", "network[default].state")]
    changed = foreseen["plan"][0]
    assert [changed[side]["subnets"][0]["address"] for side in ("before", "after")] == [
        "192.168.122.1",
        "192.168.150.1",
    ]
    assert untouched["stdout"] == before["stdout"]
    assert made.changed and made["plan"] == foreseen["plan"]
    tree = ET.fromstring(after["stdout"])
    assert {ip.get("address") for ip in tree.iterfind("ip")} == {"192.168.150.1", "2001:db8::1"}
    assert [(each.get("start"), each.get("end")) for each in tree.iterfind("ip/dhcp/range")] == [
        ("192.168.150.2", "192.168.150.254")
    ]
    assert tree.findtext("uuid") == kept.findtext("uuid")
    assert not again.failed and not again.changed


def test_addresses_that_somebody_else_has_by_now(host: Host) -> None:
    """A network that is there and does not run, as a host's own link has come to its subnet.

    Check mode says so too, and nothing is touched.
    """
    _ended, before, _taken, *refused, after, networks, _freed, done = host.day(
        virsh("net-destroy", "default"),
        virsh("net-dumpxml", "--inactive", "default"),
        run("ip", "address", "add", "192.168.150.9/24", "dev", "eth0"),
        setup(check=True),
        setup(),
        setup(network="kt-net", network_address="192.168.150.1/24"),
        virsh("net-dumpxml", "--inactive", "default"),
        virsh("net-list", "--all", "--name"),
        run("ip", "address", "delete", "192.168.150.9/24", "dev", "eth0"),
        setup(),
    )
    for each in refused:
        assert (
            each.failed
            and "192.168.150.0/24 for guests is in use on this host: eth0" in each.msg
            and "Set kvm_host_network_address" in each.msg
        )
    assert after["stdout"] == before["stdout"] and networks["stdout"].split() == ["default"]
    assert keys(done) == [("start", "network[default].state")]


def test_what_runs_without_a_definition_gets_one(host: Host) -> None:
    """A transient network and a transient pool go on running as they are, and are there after a boot."""
    wish = {"network": "kt-brief", "pool": "kt-brief"}
    network, pool = ET.Element("network"), ET.Element("pool", type="dir")
    for element in (network, pool):
        ET.SubElement(element, "name").text = "kt-brief"
    ET.SubElement(network, "ip", address="192.168.152.1", prefix="24")
    ET.SubElement(ET.SubElement(pool, "target"), "path").text = "/srv"
    host.lab.copy(host.host, {"/root/kt-net.xml": ET.tostring(network), "/root/kt-pool.xml": ET.tostring(pool)})
    results = host.day(
        virsh("net-create", "/root/kt-net.xml"),
        virsh("pool-create", "/root/kt-pool.xml"),
        virsh("net-dumpxml", "kt-brief"),
        virsh("pool-dumpxml", "kt-brief"),
        setup(check=True, **wish),
        setup(**wish),
        setup(**wish),
        virsh("net-list", "--name", "--persistent", "--autostart"),
        virsh("pool-list", "--name", "--persistent", "--autostart"),
        virsh("net-dumpxml", "kt-brief"),
        virsh("pool-dumpxml", "kt-brief"),
    )
    before, (foreseen, made, again), lists, after = results[2:4], results[4:7], results[7:9], results[9:11]
    assert keys(made) == [
        (action, f"{kind}[kt-brief].{key}")
        for kind in ("network", "pool")
        for action, key in (("set", "persistent"), ("set", "autostart"))
    ]
    assert foreseen["plan"] == made["plan"] and not again.changed
    assert all("kt-brief" in each["stdout"].split() for each in lists)
    for old, new in zip(before, after, strict=True):
        assert ET.fromstring(old["stdout"]).findtext("uuid") == ET.fromstring(new["stdout"]).findtext("uuid")
    host.day(*(virsh(f"{kind}-{action}", "kt-brief") for kind in ("net", "pool") for action in ("destroy", "undefine")))


def test_other_names_and_none(host: Host) -> None:
    """A network and a pool of the user's own are made; what is there stays; an empty name makes nothing."""
    wish = {
        "network": "kt-net",
        "network_address": "192.168.151.1/24",
        "pool": "kt-pool",
        "pool_path": "/srv/kt <pool>",
    }
    foreseen, nothing, made, networks, pool, again, other, _ended, none, left = host.day(
        setup(check=True, **wish),
        run("test", "!", "-e", "/srv/kt <pool>"),
        setup(**wish),
        virsh("net-list", "--name"),
        virsh("pool-dumpxml", "kt-pool"),
        setup(**wish),
        setup(**{**wish, "pool_path": "/srv/other"}),
        virsh("net-destroy", "default"),
        setup(network="", pool=""),
        virsh("net-list", "--name"),
    )
    assert keys(foreseen) == [
        (action, f"{thing}{key}")
        for thing in ("network[kt-net]", "pool[kt-pool]")
        for action, key in (("create", ""), ("start", ".state"))
    ]
    assert not nothing.failed and made.changed and made["plan"] == foreseen["plan"]
    assert set(networks["stdout"].split()) == {"default", "kt-net"}
    assert "<path>/srv/kt &lt;pool&gt;</path>" in pool["stdout"]
    assert not again.failed and not again.changed
    assert (
        other.failed and "kt-pool is in /srv/kt <pool>, not in /srv/other" in other.msg and "kvm_host_pool" in other.msg
    )
    assert not none.failed and not none.changed and left["stdout"].split() == ["kt-net"]


def test_daemons_that_died_come_back(host: Host) -> None:
    """What libvirt has written down tells what it will have.

    Here a network that does not start by itself, and a pool that does.
    """
    _off, _killed, foreseen, made, again = host.day(
        virsh("net-autostart", "--disable", "default"),
        run("pkill", "--signal", "KILL", "--exact", "libvirtd|virtlogd"),
        setup(check=True),
        setup(),
        setup(),
    )
    assert keys(foreseen) == [
        ("start", "service"),
        ("set", "network[default].autostart"),
        ("start", "network[default].state"),
    ]
    assert not made.failed and made["plan"] == foreseen["plan"], made.msg
    assert not again.changed and host.daemon()
    assert "default" in host.virsh("net-list", "--name", "--autostart").split()


def test_the_daemon_reads_who_may_use_it(host: Host) -> None:
    """It is started again for that; the pool that is active goes on."""
    before = host.daemon()
    _lost, foreseen, made, again = host.day(
        run("sed", "--in-place", "/^auth_unix_rw/d", "/etc/libvirt/libvirtd.conf"),
        setup(check=True, users=["kt-user"]),
        setup(users=["kt-user"]),
        setup(users=["kt-user"]),
    )
    assert keys(foreseen) == [("set", "libvirtd.conf[auth_unix_rw]"), ("restart", "service")]
    assert made["plan"] == foreseen["plan"] and not made.failed and not again.changed
    assert host.daemon() != before
    assert host.run("su", "kt-user", "-c", "virsh --connect qemu:///system pool-list --name").split() == [
        "default",
        "kt-pool",
    ]


def test_an_interpreter_without_the_binding(host: Host) -> None:
    host.lab.copy(host.host, {"/opt/kt-venv/pyvenv.cfg": b"home = /usr/bin\ninclude-system-site-packages = false\n"})
    *_made, refused = host.day(
        run("mkdir", "--parents", "/opt/kt-venv/bin"),
        run("ln", "--symbolic", "/usr/bin/python3", "/opt/kt-venv/bin/python3"),
        {**setup(check=True), "vars": {"ansible_python_interpreter": "/opt/kt-venv/bin/python3"}},
    )
    assert refused.failed
    for words in ("/opt/kt-venv/bin/python3", "cannot import libvirt", "ansible_python_interpreter: /usr/bin/python3"):
        assert words in refused.msg


def test_the_examples_of_the_module(host: Host) -> None:
    """As they stand, but that this host can only emulate."""
    host.run("useradd", "deploy")
    tasks = examples("kvm_setup")
    play = host.play(*tasks, module_defaults={"kraal.virt.kvm_setup": {"allow_emulation": True}})
    assert [(result.failed, result.changed) for result in play.results] == [(False, False), (False, True), (False, False)], play.output
    for task, result in zip(tasks, play.results, strict=True):
        check_return("kvm_setup", task["name"], result.json)
    assert set(host.virsh("net-list", "--name", "--autostart").split()) >= {"default", "lab"}


def test_the_documented_options_are_the_options() -> None:
    done = subprocess.run(
        [str(Path(sys.executable).parent / "ansible-doc"), "--type", "role", "--json", "kraal.virt.kvm_host"],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    documented = json.loads(done.stdout)["kraal.virt.kvm_host"]["entry_points"]["main"]["options"]
    readme = (ROOT / "roles" / "kvm_host" / "README.md").read_text(encoding="utf-8")
    assert [name for name in documented if f"`{name}`" not in readme] == []
