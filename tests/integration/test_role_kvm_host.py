# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role kvm_host and the module kvm_setup on a Debian 13 host without an init system.

It has no /dev/kvm, so guests are emulated. What differs with systemd, and with Debian 12, is in test_prepare. The tests
build on each other in their order, as a host's days do.
"""

from __future__ import annotations

import json
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.kraal.virt.plugins.module_utils.backends.kvm.setup.resource import guest_xml
from tests.integration.test_examples import check_return, examples
from tests.lab.hosts import Lab, LabHost
from tests.lab.images import HostImage
from tests.support.ansible_runner import Result, Run, run_tasks
from tests.support.host_module import BINDS, run_on
from tests.support.paths import ROOT, SYSTEM_PYTHON


class Host:
    """The host, with the role and the modules run on it."""

    def __init__(self, lab: Lab, host: LabHost) -> None:
        self.lab, self.host = lab, host

    def role(self, *, check: bool = False, **variables: Any) -> Run:
        """The role, by a playbook over ssh."""
        given = {"allow_emulation": True, "users": ["kt-user"], **variables}
        play = run_tasks(
            [{"ansible.builtin.import_role": {"name": "kraal.virt.kvm_host"}}],
            inventory={"all": {"hosts": {self.host.name: self.host.inventory}}},
            hosts="all",
            keep_going=False,
            check=check,
            variables={f"kvm_host_{key}": value for key, value in given.items()},
            env={"ANSIBLE_INJECT_FACT_VARS": "false"},
        )
        assert play.rc == 0, play.output
        return play

    def module(self, name: str, args: dict[str, Any], **how: Any) -> Result:
        return run_on(self.lab, self.host, f"kraal.virt.{name}", args, **how)

    def setup(self, *, check: bool = False, interpreter: str = SYSTEM_PYTHON, user: int = 0, **options: Any) -> Result:
        """The module alone; it proves nothing, which is the role's to show."""
        given = {"allow_emulation": True, "verify": False, **options}
        return self.module("kvm_setup", given, check=check, interpreter=interpreter, user=user)

    def done(self, *, check: bool = False, **options: Any) -> Result:
        """The same, with success."""
        result = self.setup(check=check, **options)
        assert not result.failed, result.msg
        return result

    def refused(self, *words: str, check: bool = False, **options: Any) -> None:
        """The same, in vain, and with these words."""
        result = self.setup(check=check, **options)
        assert result.failed
        for word in words:
            assert word in result.msg

    def run(self, *argv: str) -> str:
        return self.lab.run(self.host, argv).stdout.strip()

    def virsh(self, *argv: str) -> str:
        return self.run("virsh", "--connect", "qemu:///system", *argv)

    def define(self, kind: str, element: ET.Element, how: str = "define") -> None:
        """A network (`net`) or a pool (`pool`), written down, or with `create` only started."""
        self.lab.copy(self.host, {"/root/kt.xml": ET.tostring(element)})
        self.virsh(f"{kind}-{how}", "/root/kt.xml")

    def has(self, path: str) -> bool:
        return self.lab.run(self.host, ["test", "-e", path], check=False).rc == 0

    def daemon(self) -> str:
        """The process of libvirt's one daemon."""
        lines = [line.split() for line in self.run("ps", "-C", "libvirtd", "-o", "pid=,stat=").splitlines()]
        living = [pid for pid, state in lines if not state.startswith("Z")]
        assert len(living) == 1, lines
        return living[0]


@pytest.fixture(scope="module")
def host(lab: Lab) -> Host:
    (bare,) = lab.up(HostImage("trixie", boots=False), binds=BINDS)
    lab.run(bare, ["useradd", "--create-home", "--shell", "/bin/sh", "--uid", "1234", "kt-user"])
    lab.run(bare, ["mkdir", "--parents", "/run/sshd"])
    lab.run(bare, ["/usr/sbin/sshd"])
    return Host(lab, bare)


def keys(result: Result) -> list[tuple[str, str]]:
    """What a plan does, and to what."""
    return [(step["action"], step["key"]) for step in result["plan"]]


@pytest.mark.parametrize("user", [0, 1234], ids=["root", "kt-user"])
def test_what_host_info_says_of_a_fresh_host(host: Host, user: int) -> None:
    facts = host.module("host_info", {}, user=user)["ansible_facts"]["kraal"]
    assert facts["user"] == user
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


def test_what_is_in_the_way_is_told_at_once(host: Host) -> None:
    wrong = {
        "allow_emulation": False,
        "service_manager": "systemd",
        "users": ["kt-user", "kt-nobody"],
        "network_address": f"{host.host.address}/24",
    }
    told = host.done(check=True, assume_packages=True, faults="return", **wrong)
    assert not told.changed and told["plan"] == []
    said = "\n".join(told["faults"])
    for words in (
        "This host cannot run KVM guests: ",
        "no /dev/kvm",
        "Or set kvm_host_allow_emulation to true",
        "systemd does not run on this host, so it cannot start libvirt. Set kvm_host_service_manager to auto",
        "kvm_host_users names kt-nobody, whom this host does not know",
        "for guests is in use on this host: eth0",
    ):
        assert words in said
    wrong = {"daemons": "modular", "network_address": "192.0.2.0/24"}
    words = ("Without systemd", "monolithic", "kvm_host_network_address: 192.0.2.0/24", "192.168.150.1/24")
    host.refused(*words, check=True, assume_packages=True, **wrong)
    host.refused("libvirt-daemon-system", "The role kraal.virt.kvm_host installs what is missing.", check=True)
    host.refused("The role runs as user id 1234. Run the play with become: true", user=1234)
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
    assert [note for note in would["notes"] if "Guests run emulated (type qemu)" in note]
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
    # Not even a zombie of the guest is left, wherever the first process reaps nothing.
    assert host.lab.run(host.host, ["pgrep", "qemu-system"], check=False).stdout == ""


def test_the_second_run(host: Host) -> None:
    """It reads once and does nothing more; where no guest runs, a guest is started again to prove that it does."""
    before = host.daemon()
    play = host.role(verify=False, check=True)
    assert play.changed == 0, play.output
    ran = {result.task.rpartition(" : ")[2] for result in play.results if not result.skipped}
    before_it = {"Gather the facts that the role needs", "Check the host before anything is touched"}
    ran = {task for task in ran - before_it if not task.startswith("Validating arguments")}
    said = {"Say what is good to know of the host", "Collect what is in the way", "Tell all that is in the way"}
    assert ran == {"Set libvirt up", *said}
    assert [result.skipped for result in play.of("Set libvirt up")] == [False, True]
    proof = host.role()
    assert proof.changed == 0 and proof.of("Set libvirt up")[1]["proven"], proof.output
    assert host.daemon() == before


def test_what_a_killed_proof_has_left_goes(host: Host) -> None:
    """Its guest, and the log of it; neither proves anything."""
    name = "kraal-verify-0123456789ab"
    host.lab.copy(host.host, {"/root/kt.xml": guest_xml(name, "qemu").encode()})
    host.virsh("create", "/root/kt.xml")
    foreseen = host.done(check=True)
    assert keys(foreseen) == [("clean", f"leftover[{name}]")] and not foreseen["proven"]
    assert host.done()["plan"] == foreseen["plan"]
    assert host.virsh("list", "--all", "--name") == "" and not host.has(f"/var/log/libvirt/qemu/{name}.log")
    assert not host.done().changed


def test_another_address_for_the_network(host: Host) -> None:
    """Not while it runs, for its guests would be cut off; otherwise check mode says so, and then it is done."""
    wish = {"network_address": "192.168.150.1/24"}
    words = ("runs with the address 192.168.122.1/24, not 192.168.150.1/24", "net-destroy default")
    host.refused(*words, **wish)
    host.virsh("net-destroy", "default")
    kept = ET.fromstring(host.virsh("net-dumpxml", "--inactive", "default"))
    ET.SubElement(kept, "ip", family="ipv6", address="2001:db8::1", prefix="64")
    host.define("net", kept)
    before = host.virsh("net-dumpxml", "--inactive", "default")
    foreseen = host.done(check=True, **wish)
    assert foreseen.changed and keys(foreseen) == [("set", "network[default]"), ("start", "network[default].state")]
    changed = foreseen["plan"][0]
    subnets = {key: subnet for key, subnet in {**changed["before"], **changed["after"]}.items() if "subnets" in key}
    assert {subnet["address"] for subnet in subnets.values()} == {"192.168.122.1", "192.168.150.1"}
    assert host.virsh("net-dumpxml", "--inactive", "default") == before
    made = host.done(**wish)
    assert made.changed and made["plan"] == foreseen["plan"]
    tree = ET.fromstring(host.virsh("net-dumpxml", "default"))
    assert {ip.get("address") for ip in tree.iterfind("ip")} == {"192.168.150.1", "2001:db8::1"}
    ranges = [(each.get("start"), each.get("end")) for each in tree.iterfind("ip/dhcp/range")]
    assert ranges == [("192.168.150.2", "192.168.150.254")]
    assert tree.findtext("uuid") == kept.findtext("uuid")
    assert not host.done(**wish).changed


def test_addresses_that_somebody_else_has_by_now(host: Host) -> None:
    """A network that does not run, as a host's own link has come to its subnet: nothing is touched."""
    host.virsh("net-destroy", "default")
    before = host.virsh("net-dumpxml", "--inactive", "default")
    host.run("ip", "address", "add", "192.168.150.9/24", "dev", "eth0")
    words = ("192.168.150.0/24 for guests is in use on this host: eth0", "Set kvm_host_network_address")
    for check in (True, False):
        host.refused(*words, check=check)
    host.refused(*words, network="kt-net", network_address="192.168.150.1/24")
    assert host.virsh("net-list", "--all", "--name") == "default"
    assert host.virsh("net-dumpxml", "--inactive", "default") == before
    host.run("ip", "address", "delete", "192.168.150.9/24", "dev", "eth0")
    assert keys(host.done()) == [("start", "network[default].state")]


def test_what_runs_without_a_definition_gets_one(host: Host) -> None:
    """A transient network and a transient pool go on running as they are, and are there after a boot."""
    wish = {"network": "kt-brief", "pool": "kt-brief"}
    network, pool = ET.Element("network"), ET.Element("pool", type="dir")
    for element in (network, pool):
        ET.SubElement(element, "name").text = "kt-brief"
    ET.SubElement(network, "ip", address="192.168.152.1", prefix="24")
    ET.SubElement(ET.SubElement(pool, "target"), "path").text = "/srv"

    def uuids() -> list[str | None]:
        return [ET.fromstring(host.virsh(f"{kind}-dumpxml", "kt-brief")).findtext("uuid") for kind in ("net", "pool")]

    for kind, element in (("net", network), ("pool", pool)):
        host.define(kind, element, "create")
    before = uuids()
    foreseen, made = host.done(check=True, **wish), host.done(**wish)
    assert keys(made) == [
        ("set", f"{kind}[kt-brief].{key}") for kind in ("network", "pool") for key in ("persistent", "autostart")
    ]
    assert foreseen["plan"] == made["plan"] and not host.done(**wish).changed
    assert uuids() == before
    for kind in ("net", "pool"):
        assert "kt-brief" in host.virsh(f"{kind}-list", "--name", "--persistent", "--autostart").split()
        host.virsh(f"{kind}-destroy", "kt-brief")
        host.virsh(f"{kind}-undefine", "kt-brief")


def test_other_names_and_none(host: Host) -> None:
    """A network and a pool of the user's own are made; what is there stays; an empty name makes nothing."""
    wish = {
        "network": "kt-net",
        "network_address": "192.168.151.1/24",
        "pool": "kt-pool",
        "pool_path": "/srv/kt <pool>",
    }
    foreseen = host.done(check=True, **wish)
    things = ("network[kt-net]", "pool[kt-pool]")
    assert keys(foreseen) == [each for thing in things for each in (("create", thing), ("start", f"{thing}.state"))]
    assert not host.has("/srv/kt <pool>")
    assert host.done(**wish)["plan"] == foreseen["plan"]
    assert set(host.virsh("net-list", "--name").split()) == {"default", "kt-net"}
    assert "<path>/srv/kt &lt;pool&gt;</path>" in host.virsh("pool-dumpxml", "kt-pool")
    assert not host.done(**wish).changed
    host.refused(
        "kt-pool is in /srv/kt <pool>, not in /srv/other", "kvm_host_pool", **{**wish, "pool_path": "/srv/other"}
    )
    host.virsh("net-destroy", "default")
    assert not host.done(network="", pool="").changed
    assert host.virsh("net-list", "--name").split() == ["kt-net"]


def test_daemons_that_died_come_back(host: Host) -> None:
    """What libvirt has written down tells what it will have: a network that does not start by itself, a pool that
    does.
    """
    host.virsh("net-autostart", "--disable", "default")
    host.run("pkill", "--signal", "KILL", "--exact", "libvirtd|virtlogd")
    foreseen = host.done(check=True)
    autostart, start = "network[default].autostart", "network[default].state"
    assert keys(foreseen) == [("start", "service"), ("set", autostart), ("start", start)]
    assert host.done()["plan"] == foreseen["plan"]
    assert host.daemon() and not host.done().changed
    assert "default" in host.virsh("net-list", "--name", "--autostart").split()


def test_the_daemon_reads_who_may_use_it(host: Host) -> None:
    """It is started again for that; the pools that are active go on."""
    before, wish = host.daemon(), {"users": ["kt-user"]}
    host.run("sed", "--in-place", "/^auth_unix_rw/d", "/etc/libvirt/libvirtd.conf")
    foreseen = host.done(check=True, **wish)
    assert keys(foreseen) == [("set", "libvirtd.conf[auth_unix_rw]"), ("restart", "service")]
    assert host.done(**wish)["plan"] == foreseen["plan"] and not host.done(**wish).changed
    assert host.daemon() != before
    pools = host.run("su", "kt-user", "-c", "virsh --connect qemu:///system pool-list --name")
    assert pools.split() == ["default", "kt-pool"]


def test_an_interpreter_without_the_binding(host: Host) -> None:
    python = "/opt/kt-venv/bin/python3"
    host.run("mkdir", "--parents", "/opt/kt-venv/bin")
    host.run("ln", "--symbolic", "/usr/bin/python3", python)
    configuration = b"home = /usr/bin\ninclude-system-site-packages = false\n"
    host.lab.copy(host.host, {"/opt/kt-venv/pyvenv.cfg": configuration})
    words = (python, "cannot import libvirt", "ansible_python_interpreter: /usr/bin/python3")
    host.refused(*words, check=True, interpreter=python)


def test_the_examples_of_the_module(host: Host) -> None:
    """As they stand, but that this host can only emulate."""
    host.run("useradd", "deploy")
    for task, changes in zip(examples("kvm_setup"), (False, True, False), strict=True):
        check = bool(task.get("check_mode"))
        result = host.module("kvm_setup", {"allow_emulation": True, **task["kraal.virt.kvm_setup"]}, check=check)
        assert (result.failed, result.changed) == (False, changes), result.msg
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
