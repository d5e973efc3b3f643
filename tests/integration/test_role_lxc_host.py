# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role lxc_host on this machine and on fresh hosts: Debian 12 with systemd, and 13 with no init system. For 13 with systemd see test_prepare.

The tests on the hosts build on each other in their order, as a host's days do.
"""

from __future__ import annotations

import importlib.util
import ipaddress
import json
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.lab.hosts import Lab, LabHost
from tests.support.ansible_runner import Run, run_tasks
from tests.support.paths import ROOT

FILES = ROOT / "roles" / "lxc_host" / "files"
NET, GUESTS = "/etc/default/lxc-net", "/etc/lxc/default.conf"
ROUTES = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\n"

ADDRESS, RANGE = "10.77.1.1/24", "10.77.1.100,10.77.1.199"
ROLE = {"ansible.builtin.import_role": {"name": "kraal.virt.lxc_host"}}
ENV = {"ANSIBLE_INJECT_FACT_VARS": "false"}
WANTED: dict[str, Any] = {"address": ADDRESS, "dhcp_range": RANGE, "subordinate_users": ["root", "kt-user"]}


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"lxc_host_{name}", FILES / f"{name}.py")
    if spec is None or spec.loader is None:
        raise RuntimeError(f"{FILES / name}.py cannot be loaded")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


network, ids, verify = script("plan_network"), script("plan_ids"), script("verify_container")


# What the scripts decide


def test_the_network_file_is_edited_not_written() -> None:
    text = '# mine\nUSE_LXC_BRIDGE="true"\n#LXC_ADDR="10.0.3.1"\nLXC_ADDR=10.1.1.1\n\tLXC_ADDR="10.2.2.1" # the one that counts\nLXC_DOMAIN=lxc'
    after, keys = network.network_file(text, {"USE_LXC_BRIDGE": "true", "LXC_ADDR": "10.3.3.1", "LXC_DOMAIN": None, "LXC_DHCP_MAX": "3"})
    assert keys == ["LXC_ADDR", "LXC_DOMAIN", "LXC_DHCP_MAX"]
    assert after == '# mine\nUSE_LXC_BRIDGE="true"\n#LXC_ADDR="10.0.3.1"\nLXC_ADDR="10.3.3.1"\nLXC_DHCP_MAX="3"\n'
    assert network.network_file(after, {"LXC_ADDR": "10.3.3.1", "LXC_DOMAIN": None}) == (after, [])
    assert network.network_file("LXC_ADDR=10.3.3.1", {"LXC_ADDR": "10.3.3.1"})[1] == []


def test_the_defaults_of_guests_are_edited_not_written() -> None:
    text = "# mine\nlxc.net.0.type = empty\n  lxc.net.0.link=br9\nlxc.net.0.hwaddr = 00:16:3e:xx:xx:xx\nlxc.mount.entry = /a a none bind 0 0\n"
    wanted = {"lxc.net.0.type": "veth", "lxc.net.0.link": "lxcbr0", "lxc.net.0.flags": "up"}
    after, keys = network.default_file(text, wanted)
    assert keys == list(wanted)
    assert after == (
        "# mine\nlxc.net.0.type = veth\nlxc.net.0.link = lxcbr0\nlxc.net.0.hwaddr = 00:16:3e:xx:xx:xx\nlxc.mount.entry = /a a none bind 0 0\n"
        "lxc.net.0.flags = up\n"
    )
    assert network.default_file(after, wanted) == (after, [])


@pytest.mark.parametrize(
    ("value", "address", "scope", "size"),
    [
        ("", "10.0.3.1/24", "10.0.3.2,10.0.3.254", 253),
        ("", "10.0.3.254/24", "10.0.3.1,10.0.3.253", 253),
        ("", "10.0.3.100/24", "10.0.3.101,10.0.3.254", 154),
        ("10.0.3.10, 10.0.3.19", "10.0.3.1/24", "10.0.3.10,10.0.3.19", 10),
    ],
)
def test_the_range_of_addresses(value: str, address: str, scope: str, size: int) -> None:
    assert network.dhcp_range(value, ipaddress.IPv4Interface(address)) == (scope, size)


def test_networks_that_the_host_is_in() -> None:
    """Not the guests' own, none by a router, and not the default route."""
    routes = ROUTES + "eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\neth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\n"
    routes += "lxcbr0\t0003000A\t00000000\t0001\t0\t0\t0\t00FFFFFF\ntun0\t0000000A\t010200C0\t0003\t0\t0\t0\t000000FF\n"
    assert network.attached(routes, ["lxcbr0"]) == [(ipaddress.IPv4Network("192.0.2.0/24"), "eth0")]


def test_another_network_where_the_host_is_in_the_usual_one() -> None:
    there = ROUTES + "eth0\t0003000A\t00000000\t0001\t0\t0\t0\t00FFFFFF\neth1\t0004000A\t00000000\t0001\t0\t0\t0\t00FFFFFF\n"
    assert network.free_address(there, ["lxcbr0"], "10.0.3.1/255.255.255.0") == "10.103.3.1/24"
    assert network.free_address(there, ["eth0"], "10.0.3.1/255.255.255.0") == ""


def test_subordinate_ids() -> None:
    taken = "a:100000:65536\nb:165536:10\n# c\nbroken:x:1\n"
    assert ids.plan([taken, taken], [("a", 1000)], 65536) == []
    (short,) = ids.plan([taken, "a:100000:65536\n"], [("b", 1001)], 65536)
    assert short == {"user": "b", "range": "165546-231081", "fits": True, "uids": True, "gids": True}
    one, two = ids.plan(["root:100000:65536\n", ""], [("root", 0), ("c", 1002)], 65536)
    assert (one["range"], one["uids"], one["gids"]) == ("165536-231071", False, True)
    assert two["range"] == "231072-296607"
    assert ids.plan(["1002:500000:65536\n"] * 2, [("c", 1002)], 65536) == []
    assert ids.plan(["a:4294900000:60000\n", ""], [("c", 1002)], 65536)[0]["fits"] is False


@pytest.mark.parametrize(
    ("rules", "warned"),
    [
        ("-P FORWARD ACCEPT\n", False),
        ("-P FORWARD DROP\n-A FORWARD -j DOCKER-USER\n", True),
        ("-P FORWARD DROP\n-A FORWARD -i br9 -j ACCEPT\n", True),
        ("-P FORWARD DROP\n-A FORWARD -o br9 -j ACCEPT\n-A FORWARD -i br9 -j ACCEPT\n", False),
    ],
)
def test_a_host_that_forwards_nothing(rules: str, warned: bool) -> None:
    said = verify.forwarding(rules, "br9", True)
    assert bool(said) is warned
    assert not warned or ("iptables -I DOCKER-USER -i br9 -j ACCEPT" in said and "nor each other" in said)


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


def _options(given: dict[str, Any]) -> dict[str, Any]:
    return {f"lxc_host_{key}": value for key, value in given.items()}


class Hosts:
    """The hosts of these tests, and the role run on `all` side by side; `new` stays without LXC, for what is refused before."""

    def __init__(self, lab: Lab, old: LabHost, new: LabHost, bare: LabHost) -> None:
        self.lab, self.old, self.new, self.bare = lab, old, new, bare
        self.all = [old, bare]

    def role(
        self, *, check: bool = False, diff: bool = False, hosts: list[LabHost] | None = None, host_vars: dict[str, Any] | None = None, **variables: Any
    ) -> Run:
        inventory = {"all": {"hosts": {host.name: {**host.inventory, **(host_vars or {})} for host in hosts or self.all}}}
        return run_tasks([ROLE], inventory=inventory, hosts="all", variables=_options(variables), check=check, diff=diff, keep_going=False, env=ENV)

    def run(self, host: LabHost, *argv: str) -> str:
        return self.lab.run(host, argv).stdout.strip()

    def has(self, host: LabHost, path: str) -> bool:
        return self.lab.run(host, ["test", "-e", path], check=False).rc == 0

    def addresses(self, host: LabHost, bridge: str = "lxcbr0") -> list[str]:
        (link,) = json.loads(self.run(host, "ip", "-json", "-4", "address", "show", "dev", bridge)) or [{"addr_info": []}]
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
        return [self.run(host, "cat", path) for path in (NET, GUESTS, "/etc/subuid", "/etc/subgid")], self.addresses(host), self.served(host), self.ports(host)


@pytest.fixture(scope="module")
def hosts(lab: Lab, lab_hosts: list[LabHost], bare_host: LabHost) -> Hosts:
    old, new = lab_hosts
    every = Hosts(lab, old, new, bare_host)
    for host in (old, new, bare_host):
        every.run(host, "useradd", "--shell", "/bin/sh", "kt-user")
        # As if nobody had been given any.
        every.run(host, "sh", "-c", ": > /etc/subuid; : > /etc/subgid")
    return every


def succeeded(play: Run) -> Run:
    assert play.rc == 0, play.output
    return play


def failed(play: Run, hosts: list[LabHost], *words: str) -> None:
    """Every host failed, and the last message of each has the words."""
    for host in hosts:
        refused(play, host.name, *words)


def refused(play: Run, name: str, *words: str) -> None:
    results = [result for result in play.results if result.host == name and result.failed]
    assert results, play.output
    for word in words:
        assert word in results[-1].msg, results[-1].msg


def test_check_mode_on_fresh_hosts(hosts: Hosts) -> None:
    """It tells what it would do, installs nothing, and does not fail because there is no LXC yet."""
    play = succeeded(hosts.role(check=True, diff=True, **WANTED))
    for host in hosts.all:
        (packages,) = play.of("Say which packages are missing", host.name)
        assert "lxc" in packages.msg and "dnsmasq-base" in packages.msg
        assert 'LXC_ADDR="10.77.1.1"' in play.of("Write the network's configuration", host.name)[0]["diff"][0]["after"]
        (start,) = [result for result in play.of("Say that the bridge would be made", host.name) if not result.skipped]
        assert ("direct" if host is hosts.bare else "systemd") in start.msg
        assert not any(hosts.has(host, path) for path in (NET, GUESTS, "/usr/bin/lxc-start", "/sys/class/net/lxcbr0"))
        assert hosts.run(host, "cat", "/etc/subuid") == ""


#: Options, and what is said of them.
WRONG: list[tuple[dict[str, Any], list[str]]] = [
    ({"address": "10.77.1.1"}, ["lxc_host_address is 10.77.1.1", "with its prefix"]),
    ({"address": "10.77.1.0/24"}, ["lxc_host_address is 10.77.1.0/24", "no host's address"]),
    ({"address": "198.18.0.1/15"}, ["overlaps with 198.18.", "eth0", "lxc_host_address"]),
    ({"address": ADDRESS, "dhcp_range": "10.77.2.1,10.77.2.9"}, ["lxc_host_dhcp_range is 10.77.2.1,10.77.2.9", "no range in 10.77.1.0/24"]),
    ({"address": ADDRESS, "dhcp_range": "10.77.1.1,10.77.1.9"}, ["the host's own address 10.77.1.1 lies in it"]),
    ({"net_options": {"PATH": "/tmp"}}, ["lxc_host_net_options names PATH"]),
    ({"net_options": {"LXC_ADDR": "10.1.1.1"}}, ["names LXC_ADDR", "Set lxc_host_address"]),
    ({"net_options": {"LXC_DOMAIN": "$(touch /tmp/kt)"}}, ["LXC_DOMAIN", "a shell would read"]),
    ({"bridge": "../x"}, ["lxc_host_bridge is '../x'", "at most 15 letters"]),
    ({"bridge": "eth0"}, ["lxc_host_bridge is eth0", "no bridge"]),
    ({"bridge": "kt-br"}, ["lxc-net has not made", "lxc_host_network: existing"]),
    ({"bridge": "kt-none", "network": "existing"}, ["there is no bridge kt-none", "lxc_host_network: lxc-net"]),
    ({"bridge": "kt-br", "network": "existing", "address": ADDRESS}, ["are for the bridge of lxc-net"]),
    ({"subordinate_users": ["root", "kt-nobody"]}, ["lxc_host_subordinate_users names kt-nobody"]),
    ({"subordinate_count": 2**32}, ["lxc_host_subordinate_count is 4294967296"]),
    ({"service_manager": "systemd"}, ["systemd does not run on this host", "direct"]),
    ({"network": "other"}, ["lxc-net, existing"]),
]


def test_wrong_input_is_refused_before_anything_is_touched(hosts: Hosts) -> None:
    """One run of as many hosts as there are cases, all of which are the same one."""
    hosts.run(hosts.bare, "ip", "link", "add", "kt-br", "type", "bridge")
    members = {f"case-{number}": {**hosts.bare.inventory, **_options(given)} for number, (given, dummy) in enumerate(WRONG)}
    play = run_tasks([ROLE], inventory={"all": {"hosts": members}}, hosts="all", keep_going=False, env=ENV)
    for number, (dummy, words) in enumerate(WRONG):
        refused(play, f"case-{number}", *words)
    assert not any(hosts.has(hosts.bare, path) for path in ("/usr/bin/lxc-start", NET, "/tmp/kt"))


def test_without_root(hosts: Hosts) -> None:
    login = {"ansible_become": True, "ansible_become_method": "ansible.builtin.su", "ansible_become_user": "kt-user"}
    failed(hosts.role(hosts=[hosts.new], host_vars=login), [hosts.new], "runs as user id", "become: true")


def test_the_first_run(hosts: Hosts) -> None:
    play = succeeded(hosts.role(**WANTED))
    low, high = (ipaddress.IPv4Address(word) for word in RANGE.split(","))
    for host in hosts.all:
        assert play.stats[host.name]["changed"] > 0
        assert hosts.addresses(host) == [ADDRESS]
        assert hosts.run(host, "cat", "/etc/subuid") == "root:100000:65536\nkt-user:165536:65536"
        assert hosts.run(host, "cat", "/etc/subgid") == "root:100000:65536\nkt-user:165536:65536"
        assert hosts.run(host, "cat", "/etc/lxc/lxc-usernet").splitlines()[-1] == "kt-user veth lxcbr0 10"
        (ran,) = play.of("Run a container", host.name)
        assert low <= ipaddress.IPv4Address(json.loads(ran["stdout"])["said"]) <= high
        # What proved it is gone.
        assert hosts.run(host, "ls", "/var/lib/lxc") == ""
        assert hosts.ports(host) == []
    assert hosts.run(hosts.old, "systemctl", "is-enabled", "lxc-net", "lxc") == "enabled\nenabled"


@pytest.mark.parametrize("check", [True, False], ids=["check", "run"])
def test_the_second_run(hosts: Hosts, check: bool) -> None:
    """All hosts are asked again, in both ways, by test_prepare; here are those that have what it has not: options, and no init system."""
    before = [hosts.seen(host) for host in hosts.all]
    play = succeeded(hosts.role(hosts=[hosts.bare] if check else hosts.all, check=check, **WANTED))
    assert play.changed == 0, play.output
    assert [hosts.seen(host) for host in hosts.all] == before


def test_a_fresh_container_has_an_address_and_reaches_the_host(hosts: Hosts) -> None:
    """One that knows nothing of the role: busybox's own template, started as it was made. It stays for the tests that follow."""
    for host in hosts.all:
        hosts.run(host, "lxc-create", "--name", f"kt-guest-{host.suite}", "--template", "busybox")
        # Its init is to ask for an address by itself; it needs time for that.
        hosts.run(host, "lxc-start", "--name", f"kt-guest-{host.suite}")
        address = asked(hosts, host, f"kt-guest-{host.suite}")
        assert ipaddress.IPv4Address(address) in ipaddress.IPv4Interface(ADDRESS).network
        hosts.run(host, "lxc-attach", "--name", f"kt-guest-{host.suite}", "--", "/bin/busybox", "ping", "-c", "1", "-W", "5", "10.77.1.1")
        assert len(hosts.ports(host)) == 1


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
    play = hosts.role(address="10.78.1.1/24")
    failed(play, hosts.all, "LXC_ADDR", NET, "to which 1 guests are connected", "lxc_host_interrupt_guests: true")
    assert [hosts.seen(host) for host in hosts.all] == before


def test_another_address(hosts: Hosts) -> None:
    """With the guests' leave; they stay connected, and what was in the file stays there."""
    for host in hosts.all:
        hosts.run(host, "sed", "-i", "1i # kt: mine", NET, GUESTS)
    play = succeeded(hosts.role(check=True, address="10.78.1.1/24", interrupt_guests=True))
    assert all(hosts.addresses(host) == [ADDRESS] for host in hosts.all)
    ports = [hosts.ports(host) for host in hosts.all]
    play = succeeded(hosts.role(address="10.78.1.1/24", interrupt_guests=True))
    for host, port in zip(hosts.all, ports, strict=True):
        assert hosts.addresses(host) == ["10.78.1.1/24"]
        assert hosts.ports(host) == port
        assert all(hosts.run(host, "head", "-n", "1", path) == "# kt: mine" for path in (NET, GUESTS))
        assert json.loads(play.of("Run a container", host.name)[0]["stdout"])["said"].startswith("10.78.1.")
        rules = hosts.run(host, "iptables", "-t", "nat", "-S", "POSTROUTING")
        assert "10.78.1.0/24" in rules and "10.77.1.0/24" not in rules
    assert succeeded(hosts.role()).changed == 0


def test_options_that_lxc_net_cannot_start_with(hosts: Hosts) -> None:
    """The old configuration comes back, and the bridge with it."""
    before = [hosts.run(host, "cat", NET) for host in hosts.all]
    play = hosts.role(interrupt_guests=True, net_options={"LXC_DHCP_CONFILE": "/nowhere/kt.conf"})
    failed(play, hosts.all, "LXC_DHCP_CONFILE", "as it was before", "/nowhere/kt.conf")
    assert [hosts.run(host, "cat", NET) for host in hosts.all] == before
    assert all(hosts.addresses(host) == ["10.78.1.1/24"] and hosts.served(host) for host in hosts.all)
    assert succeeded(hosts.role()).changed == 0


def test_a_dhcp_server_that_died_comes_back(hosts: Hosts) -> None:
    """Guests that are connected are no reason to leave it dead."""
    for host in hosts.all:
        hosts.run(host, "pkill", "--signal", "KILL", "dnsmasq")
    assert succeeded(hosts.role(check=True)).changed == len(hosts.all)
    succeeded(hosts.role())
    assert all(hosts.served(host) and len(hosts.ports(host)) == 1 for host in hosts.all)
    assert succeeded(hosts.role()).changed == 0


def test_a_bridge_of_the_users_own(hosts: Hosts) -> None:
    """lxc-net makes none then, and a host that forwards nothing is said to."""
    for host in hosts.all:
        hosts.run(host, "lxc-stop", "--kill", "--name", f"kt-guest-{host.suite}")
        if not hosts.has(host, "/sys/class/net/kt-br"):
            hosts.run(host, "ip", "link", "add", "kt-br", "type", "bridge")
        hosts.run(host, "ip", "address", "add", "10.79.1.1/24", "dev", "kt-br")
        hosts.run(host, "ip", "link", "set", "kt-br", "up")
        hosts.run(host, "iptables", "-P", "FORWARD", "DROP")
    own = {"network": "existing", "bridge": "kt-br"}
    failed(hosts.role(hosts=[hosts.old], **own), [hosts.old], "get an address", "lxc_host_verify_address")
    play = succeeded(hosts.role(verify_address="10.79.1.9/24", **own))
    for host in hosts.all:
        assert "lxc.net.0.link = kt-br" in hosts.run(host, "cat", GUESTS).splitlines()
        assert not hosts.has(host, "/sys/class/net/lxcbr0")
        (warned,) = [result for result in play.of("Say what keeps guests from the world outside", host.name) if not result.skipped]
        assert "guests on kt-br do not reach other networks" in warned.msg and "Remedy" in warned.msg
        assert hosts.addresses(host, "kt-br") == ["10.79.1.1/24"]
    assert succeeded(hosts.role(verify_address="10.79.1.9/24", **own)).changed == 0


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
