# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role kvm_host, and host_info, on fresh hosts: Debian 12 and 13 with systemd, and one with no init system. None has a /dev/kvm, so guests are emulated.

The tests on the hosts build on each other in their order, as a host's days do.
"""

from __future__ import annotations

import importlib.util
import ipaddress
import json
import os
import shutil
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.lab.hosts import LASTING_LIBVIRTD, Lab, LabHost
from tests.support.ansible_runner import Run, run_tasks
from tests.support.paths import ROOT

FILES = ROOT / "roles" / "kvm_host" / "files"


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"kvm_host_{name}", FILES / f"{name}.py")
    if spec is None or spec.loader is None:
        raise RuntimeError(f"{FILES / name}.py cannot be loaded")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


daemons, network_address = script("daemons"), script("network_address")


# What the scripts decide


@pytest.mark.parametrize("address", ["nonsense", "192.0.2.1", "192.0.2.0/24", "192.0.2.255/24", "192.0.2.1/31", "192.0.2.1/30", "2001:db8::1/64"])
def test_addresses_that_cannot_be_meant(address: str) -> None:
    with pytest.raises(network_address.Refused, match="kvm_host_network_address"):
        network_address.interface(address)


@pytest.mark.parametrize("contained", [True, False], ids=["in a container", "here"])
def test_a_daemon_in_a_container_is_not_the_hosts(tmp_path: Path, contained: bool) -> None:
    """Its process is seen from the host."""
    program = tmp_path / f"kt-daemon-{contained:d}"
    shutil.copy("/bin/sleep", program)
    with subprocess.Popen([*(["unshare", "--pid", "--fork", "--kill-child"] if contained else []), str(program), "60"]) as process:
        seen = wait_for_program(program.name)
        found = daemons.running([program.name])
        process.kill()
    assert seen and found == ([] if contained else [program.name])


def wait_for_program(name: str, seconds: float = 20) -> bool:
    """Whether the host sees a process of that name in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if any(daemons.process(entry.name)[0] == name for entry in Path("/proc").iterdir() if entry.name.isdigit()):
            return True
        time.sleep(0.02)
    return False


def test_which_routes_leave_no_room() -> None:
    table = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\n"
    table += "eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\neth0\t007AA8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\n"
    assert network_address.collisions(ipaddress.ip_network("192.168.122.0/24"), "", table) == ["eth0 (192.168.122.0/24)"]
    assert network_address.collisions(ipaddress.ip_network("192.168.0.0/16"), "", table) == ["eth0 (192.168.122.0/24)"]
    assert network_address.collisions(ipaddress.ip_network("192.168.123.0/24"), "", table) == []
    assert network_address.collisions(ipaddress.ip_network("192.168.122.0/24"), "eth0", table) == []


@pytest.mark.parametrize(
    ("address", "start", "end"),
    [("192.168.150.1/24", "192.168.150.2", "192.168.150.254"), ("10.0.0.254/24", "10.0.0.1", "10.0.0.253"), ("10.0.0.3/29", "10.0.0.4", "10.0.0.6")],
)
def test_guests_get_the_larger_part(address: str, start: str, end: str) -> None:
    assert network_address.dhcp_range(network_address.interface(address)) == f"{start}-{end}"


def test_a_zombie_does_not_run() -> None:
    name = Path("/proc/self/comm").read_text(encoding="utf-8").strip()
    assert daemons.alive(str(os.getpid()), name)
    assert not daemons.alive(str(os.getpid()), "libvirtd")
    with subprocess.Popen(["true"]) as child:
        # It has ended, and its exit code is left for later: a zombie.
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert not daemons.alive(str(child.pid), "true")
    assert not daemons.alive(str(child.pid), "true")


def test_a_daemon_that_does_not_start() -> None:
    assert "No such file" in daemons.start(["kt-no-such-daemon"])["error"]
    assert daemons.start(["false"])["error"] == "false: it ended with 1"
    assert daemons.start(["true"])["error"] == ""


def test_stopping_what_is_another_process_by_now(tmp_path: Path) -> None:
    pidfile = tmp_path / "pid"
    assert daemons.stop("libvirtd", pidfile, 1) == {"stopped": False, "error": ""}
    pidfile.write_text(str(os.getpid()), encoding="ascii")
    assert daemons.stop("libvirtd", pidfile, 1) == {"stopped": False, "error": ""}


# Hosts


class Hosts:
    """All hosts of these tests, and the role run on them side by side. `few` have all that differs between hosts once libvirt runs."""

    def __init__(self, lab: Lab, old: LabHost, new: LabHost, bare: LabHost) -> None:
        self.lab, self.old, self.new, self.bare = lab, old, new, bare
        self.all, self.few = [old, new, bare], [old, bare]

    def tasks(self, *tasks: dict[str, Any], hosts: list[LabHost] | None = None, host_vars: dict[str, Any] | None = None, **options: Any) -> Run:
        inventory = {"all": {"hosts": {host.name: {**host.inventory, **(host_vars or {})} for host in hosts or self.all}}}
        return run_tasks(list(tasks), inventory=inventory, hosts="all", keep_going=False, env={"ANSIBLE_INJECT_FACT_VARS": "false"}, **options)

    def role(self, *, hosts: list[LabHost] | None = None, host_vars: dict[str, Any] | None = None, check: bool = False, **variables: Any) -> Run:
        given = {f"kvm_host_{key}": value for key, value in {"allow_emulation": True, **variables}.items()}
        task = {"ansible.builtin.import_role": {"name": "kraal.virt.kvm_host"}}
        return self.tasks(task, hosts=hosts, host_vars=host_vars, check=check, variables=given)

    def run(self, host: LabHost, *argv: str) -> str:
        return self.lab.run(host, argv).stdout.strip()

    def has(self, host: LabHost, path: str) -> bool:
        return self.lab.run(host, ["test", "-e", path], check=False).rc == 0

    def virsh(self, host: LabHost, *argv: str) -> str:
        return self.run(host, "virsh", "--connect", "qemu:///system", *argv)

    def define(self, host: LabHost, kind: str, element: ET.Element, how: str = "define") -> None:
        """A network (`net`) or a pool (`pool`), written down, or with `create` only started."""
        self.lab.copy(host, {"/root/kt.xml": ET.tostring(element)})
        self.virsh(host, f"{kind}-{how}", "/root/kt.xml")

    def daemon(self, host: LabHost) -> str:
        """The process of libvirt's one daemon."""
        living = [line.split()[0] for line in self.run(host, "ps", "-C", "libvirtd", "-o", "pid=,stat=").splitlines() if not line.split()[1].startswith("Z")]
        assert len(living) == 1, living
        return living[0]


@pytest.fixture(scope="module")
def hosts(lab: Lab, lab_hosts: list[LabHost], bare_host: LabHost) -> Hosts:
    old, new = lab_hosts
    every = Hosts(lab, old, new, bare_host)
    for host in every.all:
        lab.copy(host, LASTING_LIBVIRTD)
        every.run(host, "useradd", "--create-home", "--shell", "/bin/sh", "kt-user")
    return every


def succeeded(play: Run) -> Run:
    assert play.rc == 0, play.output
    return play


def failed(play: Run, hosts: list[LabHost], *words: str) -> None:
    """Every host failed, and the last message of each has the words."""
    for host in hosts:
        results = [result for result in play.results if result.host == host.name and result.failed]
        assert results, play.output
        for word in words:
            assert word in results[-1].msg, results[-1].msg


AS_USER = {"ansible_become": True, "ansible_become_method": "ansible.builtin.su", "ansible_become_user": "kt-user"}


@pytest.mark.parametrize("who", ["root", "kt-user"])
def test_what_host_info_says_of_fresh_hosts(hosts: Hosts, who: str) -> None:
    play = succeeded(hosts.tasks({"kraal.virt.host_info": {}}, host_vars=AS_USER if who == "kt-user" else {}))
    for host in hosts.all:
        (result,) = [result for result in play.results if result.host == host.name]
        facts = result["ansible_facts"]["kraal"]
        assert (facts["user"] == 0) is (who == "root")
        assert facts["inside"]["container"]
        kvm = facts["backends"]["kvm"]
        assert (kvm["usable"], kvm["domain_type"]) == (False, "qemu")
        assert {check["check"]: check["ok"] for check in kvm["checks"]}["device"] is False
        assert {name: engine["installed"] for name, engine in facts["engines"].items()} == dict.fromkeys(facts["engines"], False)
        uplink = facts["network"]["uplink"]
        assert (uplink["interface"], uplink["addresses"][0]["address"]) == ("eth0", host.address)
        assert facts["backends"]["xen"]["code"] == "container"


def test_without_emulation_it_says_why_not(hosts: Hosts) -> None:
    play = hosts.role(hosts=[hosts.new], allow_emulation=False)
    failed(play, [hosts.new], "cannot run KVM guests", "no /dev/kvm", "Remedy: ", "kvm_host_allow_emulation")
    assert not hosts.has(hosts.new, "/usr/sbin/libvirtd")


def test_without_root(hosts: Hosts) -> None:
    failed(hosts.role(hosts=[hosts.new], host_vars=AS_USER), [hosts.new], "runs as user id", "become true")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"users": ["kt-user", "kt-nobody"]}, ["kvm_host_users names kt-nobody, whom this host does not know"]),
        ({"network_address": "192.0.2.0/24"}, ["kvm_host_network_address", "192.168.150.1/24"]),
        ({"network_address": "<own>"}, ["in use on this host: eth0", "Set kvm_host_network_address"]),
    ],
    ids=["user", "address", "address in use"],
)
def test_what_cannot_be_is_refused_beforehand(hosts: Hosts, options: dict[str, Any], words: list[str]) -> None:
    given = {key: f"{hosts.new.address}/24" if value == "<own>" else value for key, value in options.items()}
    failed(hosts.role(hosts=[hosts.new], **given), [hosts.new], *words)
    assert not hosts.has(hosts.new, "/usr/sbin/libvirtd")


def test_the_service_manager_that_is_not_there(hosts: Hosts) -> None:
    failed(hosts.role(hosts=[hosts.bare], service_manager="systemd"), [hosts.bare], "systemd does not run on this host", "direct")
    failed(hosts.role(hosts=[hosts.bare], daemons="modular"), [hosts.bare], "Without systemd", "monolithic")


def test_check_mode_on_fresh_hosts(hosts: Hosts) -> None:
    """It tells what it would do, installs nothing, and does not fail because there is no libvirt yet."""
    play = succeeded(hosts.role(check=True, users=["kt-user"]))
    for host in hosts.all:
        (packages,) = play.of("Say which packages are missing", host.name)
        assert "libvirt-daemon-system" in packages.msg and "python3-libvirt" in packages.msg and "qemu-system-x86" in packages.msg
        (start,) = play.of("Say that libvirt would be started", host.name)
        assert ("direct" if host is hosts.bare else "systemd") in start.msg
        assert play.of("Say what would be made", host.name)
        assert play.stats[host.name]["changed"] > 0
        assert not hosts.has(host, "/usr/sbin/libvirtd")
        assert "libvirt" not in hosts.run(host, "cat", "/etc/group")


def test_the_first_run(hosts: Hosts) -> None:
    play = succeeded(hosts.role(users=["kt-user"]))
    for host in hosts.all:
        assert play.stats[host.name]["changed"] > 0
        for kind in ("net", "pool"):
            assert hosts.virsh(host, f"{kind}-list", "--name", "--autostart") == "default"
        assert hosts.has(host, "/var/lib/libvirt/images")
        assert hosts.virsh(host, "list", "--all", "--name") == ""
        (ran,) = play.of("Start a guest that has nothing", host.name)
        assert json.loads(ran["stdout"])["ok"]
        (facts,) = play.of("Bring the facts of the host up to date", host.name)
        assert facts["ansible_facts"]["kraal"]["engines"]["libvirt"]["answers"] is True
        assert hosts.run(host, "su", "kt-user", "-c", "virsh --connect qemu:///system net-list --name") == "default"
        # Not even a zombie of the guest is left, wherever the first process buries nobody.
        assert hosts.lab.run(host, ["pgrep", "qemu-system"], check=False).stdout == ""


@pytest.mark.parametrize("check", [True, False], ids=["check", "run"])
def test_the_second_run(hosts: Hosts, check: bool) -> None:
    """All hosts are asked again, in both ways, by test_prepare; here are those that have what it has not: options, and no init system."""
    before = [hosts.daemon(host) for host in hosts.all]
    play = succeeded(hosts.role(hosts=[hosts.bare] if check else hosts.few, check=check, users=["kt-user"]))
    assert play.changed == 0, play.output
    assert [hosts.daemon(host) for host in hosts.all] == before


def test_another_address_for_the_network(hosts: Hosts) -> None:
    """Not while it runs, for its guests would be cut off; when it does not, check mode says so, and then it is done."""
    wish = {"hosts": [hosts.old], "network_address": "192.168.150.1/24", "verify": False}
    failed(hosts.role(**wish), [hosts.old], "runs with the address 192.168.122.1/24, not 192.168.150.1/24", "net-destroy default")
    hosts.virsh(hosts.old, "net-destroy", "default")
    kept = ET.fromstring(hosts.virsh(hosts.old, "net-dumpxml", "--inactive", "default"))
    ET.SubElement(kept, "ip", family="ipv6", address="2001:db8::1", prefix="64")
    hosts.define(hosts.old, "net", kept)
    before = hosts.virsh(hosts.old, "net-dumpxml", "--inactive", "default")
    play = succeeded(hosts.role(check=True, **wish))
    (foreseen,) = play.of("Make the network")
    assert foreseen.changed and play.changed == 1
    changed, started = foreseen["plan"]
    assert (changed["action"], started["action"]) == ("set", "start")
    assert {"192.168.122.1", "192.168.150.1"} == {subnet["address"] for key, subnet in {**changed["before"], **changed["after"]}.items() if "subnets" in key}
    assert hosts.virsh(hosts.old, "net-dumpxml", "--inactive", "default") == before
    (made,) = succeeded(hosts.role(**wish)).of("Make the network")
    assert made.changed and made["plan"] == foreseen["plan"]
    after = ET.fromstring(hosts.virsh(hosts.old, "net-dumpxml", "default"))
    assert {ip.get("address") for ip in after.iterfind("ip")} == {"192.168.150.1", "2001:db8::1"}
    assert [(each.get("start"), each.get("end")) for each in after.iterfind("ip/dhcp/range")] == [("192.168.150.2", "192.168.150.254")]
    assert after.findtext("uuid") == kept.findtext("uuid")
    assert succeeded(hosts.role(**wish)).changed == 0


def test_addresses_that_somebody_else_has_by_now(hosts: Hosts) -> None:
    """A network that is there and does not run, as a host's own link has come to its subnet: check mode says so too, and nothing is touched."""
    host, given = hosts.old, {"hosts": [hosts.old], "verify": False}
    hosts.virsh(host, "net-destroy", "default")
    before = hosts.virsh(host, "net-dumpxml", "--inactive", "default")
    hosts.run(host, "ip", "address", "add", "192.168.150.9/24", "dev", "eth0")
    for check in (True, False):
        failed(hosts.role(check=check, **given), [host], "192.168.150.0/24 for guests is in use on this host: eth0", "Set kvm_host_network_address")
    failed(hosts.role(network="kt-net", network_address="192.168.150.1/24", **given), [host], "in use on this host: eth0")
    assert hosts.virsh(host, "net-list", "--all", "--name") == "default"
    assert hosts.virsh(host, "net-dumpxml", "--inactive", "default") == before
    hosts.run(host, "ip", "address", "delete", "192.168.150.9/24", "dev", "eth0")
    assert succeeded(hosts.role(**given)).changed == 1


def test_what_runs_without_a_definition_gets_one(hosts: Hosts) -> None:
    """A transient network and a transient pool go on running as they are, and are there after a boot."""
    host, wish = hosts.bare, {"hosts": [hosts.bare], "network": "kt-brief", "pool": "kt-brief", "verify": False}
    network, pool = ET.Element("network"), ET.Element("pool", type="dir")
    for element in (network, pool):
        ET.SubElement(element, "name").text = "kt-brief"
    ET.SubElement(network, "ip", address="192.168.152.1", prefix="24")
    ET.SubElement(ET.SubElement(pool, "target"), "path").text = "/srv"
    for kind, element in (("net", network), ("pool", pool)):
        hosts.define(host, kind, element, "create")
    before = {kind: ET.fromstring(hosts.virsh(host, f"{kind}-dumpxml", "kt-brief")).findtext("uuid") for kind in ("net", "pool")}
    plays = [succeeded(hosts.role(check=check, **wish)) for check in (True, False)]
    for name in ("Make the network", "Make the storage pool"):
        foreseen, made = (play.of(name)[0]["plan"] for play in plays)
        assert foreseen == made and [step["key"] for step in made] == ["persistent", "autostart"]
    assert succeeded(hosts.role(**wish)).changed == 0
    for kind, uuid in before.items():
        assert "kt-brief" in hosts.virsh(host, f"{kind}-list", "--name", "--persistent", "--autostart").split()
        assert ET.fromstring(hosts.virsh(host, f"{kind}-dumpxml", "kt-brief")).findtext("uuid") == uuid
        hosts.virsh(host, f"{kind}-destroy", "kt-brief")
        hosts.virsh(host, f"{kind}-undefine", "kt-brief")


def test_other_names_and_none(hosts: Hosts) -> None:
    """A network and a pool of the user's own are made; what is there stays; an empty name makes nothing."""
    wish: dict[str, Any] = {"hosts": [hosts.bare], "network": "kt-net", "network_address": "192.168.151.1/24", "verify": False}
    wish.update({"pool": "kt-pool", "pool_path": "/srv/kt <pool>"})
    play = succeeded(hosts.role(check=True, **wish))
    assert play.changed == 2 and not hosts.has(hosts.bare, "/srv/kt <pool>")
    succeeded(hosts.role(**wish))
    assert set(hosts.virsh(hosts.bare, "net-list", "--name").split()) == {"default", "kt-net"}
    assert "<path>/srv/kt &lt;pool&gt;</path>" in hosts.virsh(hosts.bare, "pool-dumpxml", "kt-pool")
    assert succeeded(hosts.role(**wish)).changed == 0
    failed(hosts.role(**{**wish, "pool_path": "/srv/other"}), [hosts.bare], "kt-pool is in /srv/kt <pool>, not in /srv/other", "kvm_host_pool")
    hosts.virsh(hosts.bare, "net-destroy", "default")
    assert succeeded(hosts.role(hosts=[hosts.bare], network="", pool="")).changed == 0
    assert hosts.virsh(hosts.bare, "net-list", "--name").split() == ["kt-net"]


def test_sockets_that_were_switched_off(hosts: Hosts) -> None:
    """They come back, and those of the other kind go: here one of a unit that does nothing, in the place of virtqemud's."""
    host = hosts.new
    units = ["libvirtd.socket", "libvirtd-ro.socket", "libvirtd-admin.socket", "libvirtd.service"]
    hosts.run(host, "systemctl", "disable", "--now", *units)
    service = b"[Service]\nExecStart=/bin/true\n"
    socket = b"[Socket]\nListenStream=/run/kt.sock\n[Install]\nWantedBy=sockets.target\n"
    hosts.lab.copy(host, {"/etc/systemd/system/virtqemud.service": service, "/etc/systemd/system/virtqemud.socket": socket})
    hosts.run(host, "systemctl", "daemon-reload")
    hosts.run(host, "systemctl", "enable", "--now", "virtqemud.socket")
    play = succeeded(hosts.role(hosts=[host], daemons="monolithic", verify=False, check=True))
    assert play.changed > 0
    assert hosts.lab.run(host, ["systemctl", "is-enabled", *units], check=False).stdout.split() == ["disabled"] * 4
    succeeded(hosts.role(hosts=[host], daemons="monolithic"))
    assert hosts.run(host, "systemctl", "is-enabled", *units).split() == ["enabled"] * 4
    assert hosts.lab.run(host, ["systemctl", "is-enabled", "virtqemud.socket"], check=False).stdout.strip() == "disabled"
    assert hosts.virsh(host, "net-list", "--name") == "default"
    assert succeeded(hosts.role(hosts=[host])).changed == 0


def test_daemons_that_are_not_installed(hosts: Hosts) -> None:
    failed(hosts.role(hosts=[hosts.old], daemons="modular"), [hosts.old], "no virtqemud.socket", "kvm_host_daemons")
    assert hosts.virsh(hosts.old, "net-list", "--name") == "default"


def test_daemons_that_died_come_back(hosts: Hosts) -> None:
    host = hosts.bare
    hosts.run(host, "pkill", "--signal", "KILL", "--exact", "libvirtd|virtlogd")
    play = succeeded(hosts.role(hosts=[host], check=True, network="", pool=""))
    assert play.changed == 1 and play.of("Say that libvirt would be started")[0].changed, play.output
    succeeded(hosts.role(hosts=[host]))
    assert hosts.daemon(host)
    assert succeeded(hosts.role(hosts=[host])).changed == 0


def test_an_interpreter_without_the_binding(hosts: Hosts) -> None:
    hosts.run(hosts.old, "mkdir", "--parents", "/opt/kt-venv/bin")
    hosts.run(hosts.old, "ln", "--symbolic", "/usr/bin/python3", "/opt/kt-venv/bin/python3")
    hosts.lab.copy(hosts.old, {"/opt/kt-venv/pyvenv.cfg": b"home = /usr/bin\ninclude-system-site-packages = false\n"})
    play = hosts.role(hosts=[hosts.old], host_vars={"ansible_python_interpreter": "/opt/kt-venv/bin/python3"})
    failed(play, [hosts.old], "/opt/kt-venv/bin/python3", "cannot import libvirt", "ansible_python_interpreter: /usr/bin/python3")


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
