# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role lxc_host on this machine and on fresh hosts: Debian 12 with systemd, and 13 with no init system; and its
module lxc_setup there.

For Debian 13 with systemd see test_prepare, for what is refused without a look at the host the unit tests of
lxc_network and subordinate_ids. The tests on the hosts build on each other in their order, as a host's days do.
"""

from __future__ import annotations

import ipaddress
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.integration.test_examples import check_return, examples
from tests.lab.hosts import Lab, LabHost
from tests.support.ansible_runner import Result, Run, run_tasks
from tests.support.paths import ROOT

NET, GUESTS = "/etc/default/lxc-net", "/etc/lxc/default.conf"

ADDRESS, RANGE = "10.77.1.1/24", "10.77.1.100,10.77.1.199"
ROLE = {"ansible.builtin.import_role": {"name": "kraal.virt.lxc_host"}}
#: The role's one task that runs the module, to plan and, where there is something to do, to do it.
MODULE = "Set the bridge up"
ENV = {"ANSIBLE_INJECT_FACT_VARS": "false"}
WANTED: dict[str, Any] = {"address": ADDRESS, "dhcp_range": RANGE, "users": ["root", "kt-user"]}


# This machine


def test_nothing_to_do_on_this_machine(leftovers: None) -> None:
    """`make test` has prepared it; the bridge that is up stays as it is."""
    before = served()
    play = run_tasks([ROLE], keep_going=False)
    assert play.rc == 0, play.output
    assert play.changed == 0, play.output
    assert served() == before
    # Another test may prove the same at this moment.
    left = set(Path("/var/lib/lxc").glob("kraal-verify-*"))
    deadline = time.monotonic() + 120
    while any(path.exists() for path in left) and time.monotonic() < deadline:
        time.sleep(0.5)
    assert [path.name for path in left if path.exists()] == []


def served() -> tuple[str, str]:
    """The process of this machine's DHCP server for guests, and when it was started."""
    number = Path("/run/lxc/dnsmasq.pid").read_text(encoding="ascii").strip()
    return number, Path("/proc", number, "stat").read_text(encoding="utf-8").rpartition(")")[2].split()[19]


# Hosts


def setup(check: bool = False, **options: Any) -> dict[str, Any]:
    """A task of the module."""
    return {"kraal.virt.lxc_setup": options, "check_mode": check}


class Hosts:
    """The hosts of these tests, and the role or its module run on `all` side by side."""

    def __init__(self, lab: Lab, old: LabHost, bare: LabHost) -> None:
        self.lab, self.old, self.bare = lab, old, bare
        self.all = [old, bare]

    def _run(self, tasks: list[dict[str, Any]], hosts: list[LabHost] | None, **options: Any) -> Run:
        inventory = {"all": {"hosts": {host.name: host.inventory for host in hosts or self.all}}}
        return run_tasks(tasks, inventory=inventory, hosts="all", env=ENV, **options)

    def role(self, *, check: bool = False, diff: bool = False, hosts: list[LabHost] | None = None, **given: Any) -> Run:
        variables = {f"lxc_host_{key}": value for key, value in given.items()}
        return self._run([ROLE], hosts, variables=variables, check=check, diff=diff, keep_going=False)

    def module(self, *tasks: dict[str, Any], hosts: list[LabHost] | None = None) -> dict[LabHost, list[Result]]:
        """What each of the tasks gave on each host, failures included."""
        play = self._run(list(tasks), hosts)
        found = {host: [result for result in play.results if result.host == host.name] for host in hosts or self.all}
        assert all(len(results) == len(tasks) for results in found.values()), play.output
        return found

    def run(self, host: LabHost, *argv: str) -> str:
        return self.lab.run(host, argv).stdout.strip()

    def has(self, host: LabHost, path: str) -> bool:
        return self.lab.run(host, ["test", "-e", path], check=False).rc == 0

    def addresses(self, host: LabHost, bridge: str = "lxcbr0") -> list[str]:
        (link,) = json.loads(self.run(host, "ip", "-json", "-4", "address", "show", "dev", bridge)) or [
            {"addr_info": []}
        ]
        return [f"{each['local']}/{each['prefixlen']}" for each in link["addr_info"]]

    def served(self, host: LabHost) -> str:
        """The process of the one DHCP server."""
        lines = self.run(host, "ps", "-C", "dnsmasq", "-o", "pid=,stat=").splitlines()
        living = [line.split()[0] for line in lines if not line.split()[1].startswith("Z")]
        assert len(living) == 1, living
        return living[0]

    def ports(self, host: LabHost) -> list[str]:
        return self.run(host, "ls", "/sys/class/net/lxcbr0/brif").split()

    def seen(self, host: LabHost) -> Any:
        """All that the role could change."""
        return (
            [self.run(host, "cat", path) for path in (NET, GUESTS, "/etc/subuid", "/etc/subgid")],
            self.addresses(host),
            self.served(host),
            self.ports(host),
        )


@pytest.fixture(scope="module")
def hosts(lab: Lab, lab_hosts: list[LabHost], bare_host: LabHost) -> Hosts:
    every = Hosts(lab, lab_hosts[0], bare_host)
    for host in every.all:
        every.run(host, "useradd", "--shell", "/bin/sh", "kt-user")
        # As if nobody had been given any.
        every.run(host, "sh", "-c", ": > /etc/subuid; : > /etc/subgid")
    return every


def succeeded(play: Run) -> Run:
    assert play.rc == 0, play.output
    return play


def test_check_mode_on_fresh_hosts(hosts: Hosts) -> None:
    """It tells what it would do, installs nothing, and does not fail because there is no LXC yet."""
    play = succeeded(hosts.role(check=True, diff=True, **WANTED))
    for host in hosts.all:
        (packages,) = play.of("Say which packages are missing", host.name)
        assert "lxc" in packages.msg and "dnsmasq-base" in packages.msg
        dummy, planned = play.of(MODULE, host.name)
        assert planned["manager"] == ("direct" if host is hosts.bare else "systemd")
        assert planned["diff"]["after"]["lxc-net[LXC_ADDR]"] == "10.77.1.1"
        assert [(step["action"], step["key"]) for step in planned["plan"] if step["key"]] == [
            ("start", "service"),
            *(("set", f"{file}[{user}]") for user in ("root", "kt-user") for file in ("subuid", "subgid")),
            ("set", "lxc-usernet[kt-user]"),
        ]
        assert not any(hosts.has(host, path) for path in (NET, GUESTS, "/usr/bin/lxc-start", "/sys/class/net/lxcbr0"))
        assert hosts.run(host, "cat", "/etc/subuid") == ""


def test_all_that_is_in_the_way_is_told_before_anything_is_touched(hosts: Hosts) -> None:
    """By the role as its one failure, and by its module, which may be told to return it."""
    bare = hosts.bare
    hosts.run(bare, "ip", "link", "add", "kt-br", "type", "bridge")
    wrong = {
        "address": "198.18.0.1/15",
        "users": ["root", "kt-nobody"],
        "service_manager": "systemd",
        "subordinate_count": 2**32,
    }
    words = [
        *(
            "overlaps with 198.18.",
            "eth0",
            "lxc_host_address",
            "lxc_host_users names kt-nobody",
            "systemd does not run on this host",
        ),
        "lxc_host_subordinate_count is 4294967296",
    ]
    play = hosts.role(hosts=[bare], **wrong)
    told = [result for result in play.results if result.failed]
    assert [result.task.rpartition(" : ")[2] for result in told] == ["Tell all that is in the way"], play.output
    assert [word for word in words if word not in told[0].msg] == []
    quiet = {"assume_packages": True, "faults": "return"}
    cases: list[tuple[dict[str, Any], str]] = [
        ({"bridge": "kt-br"}, "lxc-net has not made"),
        ({"bridge": "eth0"}, "lxc_host_bridge is eth0, which is an interface of this host and no bridge"),
        ({"bridge": "kt-none", "network": "existing"}, "there is no bridge kt-none on this host"),
    ]
    alien = {"become": True, "become_method": "ansible.builtin.su", "become_user": "kt-user"}
    results = hosts.module(
        *(setup(check=True, **quiet, **given) for given, dummy in cases),
        {**setup(check=True, **quiet), **alien},
        setup(faults="return"),
        setup(assume_packages=True),
        setup(network="other"),
        hosts=[bare],
    )[bare]
    for (dummy, word), result in zip(cases, results, strict=False):
        assert not result.failed and [word in fault for fault in result["faults"]] == [True], result.json
    stranger, lacking, assumed, other = results[len(cases) :]
    assert [
        fault.startswith("The role runs as user id ") and "become: true" in fault for fault in stranger["faults"]
    ] == [True]
    assert not lacking.failed and lacking["faults"][0].endswith(
        "not installed. The role kraal.virt.lxc_host installs what is missing."
    )
    assert assumed.failed and "check mode" in assumed.msg
    assert other.failed and "lxc-net, existing" in other.msg
    assert not any(hosts.has(bare, path) for path in ("/usr/bin/lxc-start", NET))


def test_the_first_run(hosts: Hosts) -> None:
    play = succeeded(hosts.role(**WANTED))
    for host in hosts.all:
        assert play.stats[host.name]["changed"] > 0
        assert hosts.addresses(host) == [ADDRESS]
        assert hosts.run(host, "cat", "/etc/subuid") == "root:100000:65536\nkt-user:165536:65536"
        assert hosts.run(host, "cat", "/etc/subgid") == "root:100000:65536\nkt-user:165536:65536"
        assert hosts.run(host, "cat", "/etc/lxc/lxc-usernet").splitlines()[-1] == "kt-user veth lxcbr0 10"
        dummy, done = play.of(MODULE, host.name)
        assert done["proven"] is True and done["missing_packages"] == []
        assert done["ansible_facts"]["kraal"]["engines"]["lxc"]["answers"] is True
        # What proved it is gone.
        assert hosts.run(host, "ls", "/var/lib/lxc") == ""
        assert hosts.ports(host) == []
    assert hosts.run(hosts.old, "systemctl", "is-enabled", "lxc-net", "lxc") == "enabled\nenabled"


def test_a_fresh_container_has_an_address_and_reaches_the_host(hosts: Hosts) -> None:
    """One that knows nothing of the role: busybox's own template, started as it was made.

    It stays for the tests that follow.
    """
    low, high = (ipaddress.IPv4Address(word) for word in RANGE.split(","))
    for host in hosts.all:
        hosts.run(host, "lxc-create", "--name", f"kt-guest-{host.suite}", "--template", "busybox")
        # Its init is to ask for an address by itself; it needs time for that.
        hosts.run(host, "lxc-start", "--name", f"kt-guest-{host.suite}")
        assert low <= ipaddress.IPv4Address(asked(hosts, host, f"kt-guest-{host.suite}")) <= high
        hosts.run(
            host,
            "lxc-attach",
            "--name",
            f"kt-guest-{host.suite}",
            "--",
            "/bin/busybox",
            "ping",
            "-c",
            "1",
            "-W",
            "5",
            "10.77.1.1",
        )
        assert len(hosts.ports(host)) == 1


@pytest.mark.parametrize("check", [True, False], ids=["check", "run"])
def test_the_second_run(hosts: Hosts, check: bool) -> None:
    """It reads once and does nothing more: a guest runs.

    test_prepare asks hosts without options; here are those that have some, and no init system.
    """
    these = [hosts.bare] if check else hosts.all
    before = [hosts.seen(host) for host in these]
    play = succeeded(hosts.role(hosts=these, check=check, **WANTED))
    assert play.changed == 0, play.output
    for host in these:
        assert [result.skipped for result in play.of(MODULE, host.name)] == [False, True], play.output
    assert [hosts.seen(host) for host in these] == before


def asked(hosts: Hosts, host: LabHost, name: str) -> str:
    """The guest's address. Nothing tells when it comes, so it has to be asked for until then."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        found = hosts.run(host, "lxc-info", "--name", name, "--ips", "--no-humanize").split()
        if found:
            return found[0]
        time.sleep(0.2)
    raise AssertionError(f"{name} on {host.name} got no address")


def test_guests_are_not_cut_off_unasked(hosts: Hosts) -> None:
    before = [hosts.seen(host) for host in hosts.all]
    for (result,) in hosts.module(setup(address="10.78.1.1/24")).values():
        words = ("LXC_ADDR", NET, "to which 1 guests are connected", "lxc_host_interrupt_guests: true")
        assert result.failed and [word for word in words if word not in result.msg] == [], result.msg
    assert [hosts.seen(host) for host in hosts.all] == before


def test_another_address(hosts: Hosts) -> None:
    """With the guests' leave; they stay connected, and what was in the file stays there."""
    for host in hosts.all:
        hosts.run(host, "sed", "-i", "1i # kt: mine", NET, GUESTS)
    ports = [hosts.ports(host) for host in hosts.all]
    look = {"ansible.builtin.command": {"argv": ["ip", "-4", "-brief", "address", "show", "dev", "lxcbr0"]}}
    given = {"address": "10.78.1.1/24", "interrupt_guests": True}
    results = hosts.module(setup(check=True, **given), look, setup(**given), setup())
    for (host, (planned, seen, done, again)), port in zip(results.items(), ports, strict=True):
        assert planned["plan"] == done["plan"] and planned["plan"][-1]["action"] == "restart", done.msg
        assert {step["disruption"] for step in done["plan"]} == {"live"}
        assert ADDRESS in seen["stdout"]
        assert done.changed and done["proven"]
        assert hosts.addresses(host) == ["10.78.1.1/24"]
        assert hosts.ports(host) == port
        assert all(hosts.run(host, "head", "-n", "1", path) == "# kt: mine" for path in (NET, GUESTS))
        # The old file stays beside the new one.
        assert 'LXC_ADDR="10.77.1.1"' in hosts.run(host, "sh", "-c", f"cat {NET}.*~")
        rules = hosts.run(host, "iptables", "-t", "nat", "-S", "POSTROUTING")
        assert "10.78.1.0/24" in rules and "10.77.1.0/24" not in rules
        assert not again.failed and not again.changed, again.json


def test_options_that_lxc_net_cannot_start_with(hosts: Hosts) -> None:
    """The old configuration comes back, and the bridge with it."""
    before = [hosts.run(host, "cat", NET) for host in hosts.all]
    results = hosts.module(setup(interrupt_guests=True, net_options={"LXC_DHCP_CONFILE": "/nowhere/kt.conf"}), setup())
    for failed, again in results.values():
        words = ("LXC_DHCP_CONFILE", "which is again as it was before", "/nowhere/kt.conf")
        assert failed.failed and [word for word in words if word not in failed.msg] == [], failed.msg
        assert not again.failed and not again.changed, again.json
    assert [hosts.run(host, "cat", NET) for host in hosts.all] == before
    assert all(hosts.addresses(host) == ["10.78.1.1/24"] and hosts.served(host) for host in hosts.all)


def test_a_dhcp_server_that_died_comes_back(hosts: Hosts) -> None:
    """Guests that are connected are no reason to leave it dead."""
    for host in hosts.all:
        hosts.run(host, "pkill", "--signal", "KILL", "dnsmasq")
    for host, (planned, done, again) in hosts.module(setup(check=True), setup(), setup()).items():
        assert planned.changed and done.changed and planned["plan"] == done["plan"], done.json
        assert hosts.served(host) and len(hosts.ports(host)) == 1
        assert not again.failed and not again.changed, again.json


def test_a_bridge_of_the_users_own(hosts: Hosts) -> None:
    """lxc-net makes none then, and a host that forwards nothing is said to, before anything is done as well."""
    for host in hosts.all:
        hosts.run(host, "lxc-stop", "--kill", "--name", f"kt-guest-{host.suite}")
        if not hosts.has(host, "/sys/class/net/kt-br"):
            hosts.run(host, "ip", "link", "add", "kt-br", "type", "bridge")
        hosts.run(host, "ip", "address", "add", "10.79.1.1/24", "dev", "kt-br")
        hosts.run(host, "ip", "link", "set", "kt-br", "up")
        hosts.run(host, "iptables", "-P", "FORWARD", "DROP")
    own: dict[str, Any] = {"network": "existing", "bridge": "kt-br"}
    (failed,) = hosts.module(setup(**own), hosts=[hosts.old])[hosts.old]
    words = ("cannot get an address", "lxc_host_verify_address")
    assert failed.failed and [word for word in words if word not in failed.msg] == [], failed.msg
    own["verify_address"] = "10.79.1.9/24"
    for host, (planned, done, again) in hosts.module(setup(check=True, **own), setup(**own), setup(**own)).items():
        assert not done.failed and done["proven"], done.json
        assert "lxc.net.0.link = kt-br" in hosts.run(host, "cat", GUESTS).splitlines()
        assert not hosts.has(host, "/sys/class/net/lxcbr0")
        assert planned["notes"] == done["notes"]
        (noted,) = done["notes"]
        assert "guests on kt-br do not reach other networks" in noted and "Remedy" in noted
        assert hosts.addresses(host, "kt-br") == ["10.79.1.1/24"]
        assert not again.failed and not again.changed, again.json


def test_the_examples_run(hosts: Hosts) -> None:
    """On a host of the tests' own, where they take the bridge from one to the other."""
    for argv in (
        ["link", "add", "br0", "type", "bridge"],
        ["address", "add", "192.0.2.1/24", "dev", "br0"],
        ["link", "set", "br0", "up"],
    ):
        hosts.run(hosts.bare, "ip", *argv)
    tasks = examples("lxc_setup")
    for task, result in zip(tasks, hosts.module(*tasks, hosts=[hosts.bare])[hosts.bare], strict=True):
        assert not result.failed and result.changed, (task["name"], result.json)
        check_return("lxc_setup", task["name"], result.json)


def test_the_documented_options_are_the_options() -> None:
    done = subprocess.run(
        [str(Path(sys.executable).parent / "ansible-doc"), "--type", "role", "--json", "kraal.virt.lxc_host"],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    documented = json.loads(done.stdout)["kraal.virt.lxc_host"]["entry_points"]["main"]["options"]
    readme = (ROOT / "roles" / "lxc_host" / "README.md").read_text(encoding="utf-8")
    assert [name for name in documented if f"`{name}`" not in readme] == []
