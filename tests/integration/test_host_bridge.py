# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""host_bridge over ssh through the very link that it moves, on hosts of all four network managers, side by side.

The tests build on each other in their order, as a host's days do; each leaves the hosts as it found them, or says so in
its name.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.integration.test_examples import check_return, examples
from tests.lab.hosts import Lab
from tests.support.ansible_runner import Run, environment, run_playbook, run_tasks
from tests.support.bridge_hosts import MODULE, PATIENCE, BridgeHost, Hosts, boot, bridged, dhcp_server
from tests.support.paths import ROOT, program
from tests.support.warm_ansible import kill

WAITS = True

#: Seconds until a rollback: enough to come back on a busy machine; short where the change is not meant to last, yet
#: long enough to find that out.
ENOUGH, SHORT = 300, 75
MANAGERS = {
    "networkd": "systemd-networkd",
    "ifupdown": "ifupdown",
    "networkmanager": "NetworkManager",
    "netplan": "netplan",
}
#: What the difference of the files says under each manager.
WORDS = {
    "networkd": "+Bridge=br0",
    "ifupdown": "+iface br0 inet static",
    "networkmanager": "+master=br0",
    "netplan": "+    br0:",
}


@pytest.fixture(scope="module")
def hosts(lab: Lab) -> Hosts:
    return Hosts(boot(lab))


@contextmanager
def begun(hosts: Hosts, options: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """A run that has come as far as the change's being made on every host, and the file of its results."""
    with tempfile.TemporaryDirectory(prefix="kt-bridge-") as scratch:
        play = Path(scratch, "play.yml")
        task = {"name": "bridge", MODULE: "{{ kt_options }}"}
        play.write_text(yaml.safe_dump([{"hosts": "all", "gather_facts": False, "tasks": [task]}]), encoding="utf-8")
        inventory = Path(scratch, "inventory.yml")
        inventory.write_text(
            yaml.safe_dump(hosts.inventory({name: {"kt_options": dict(each)} for name, each in options.items()})),
            encoding="utf-8",
        )
        results = Path(scratch, "results.jsonl")
        env = environment({"ANSIBLE_HOME": scratch, "KT_RESULTS_FILE": str(results)})
        process = subprocess.Popen(
            [program("ansible-playbook"), "--forks", "10", "--inventory", str(inventory), str(play)],
            cwd=ROOT, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        try:
            for host in hosts:
                # ifup waits for an address, which may never come.
                host.wait(
                    lambda host=host: host.change.get("status") == "applied" or host.net.addresses["eth0"] == [],
                    PATIENCE,
                )  # type: ignore[misc]
            yield process, results
        finally:
            if process.poll() is None:
                kill(process.pid)
            process.communicate()


def broken(hosts: Hosts, swap: bool) -> dict[str, dict[str, Any]]:
    """For every second host a gateway that nobody has, for the others an address from a DHCP server that is not
    there.
    """
    found = {}
    for number, host in enumerate(hosts):
        gateway = {"addresses": [f"{host.host.address}/24"], "gateway": [host.gateway.rpartition(".")[0] + ".254"]}
        found[host.name] = gateway if (number + swap) % 2 else {"addresses_from": "dhcp"}
    return found


@pytest.mark.shows("refused")
def test_refused_before_anything_is_touched(hosts: Hosts) -> None:
    """What takes a host's links to see, and one value of each option; more of those in
    tests/unit/host/test_bridge_files.py.
    """
    host = hosts.all[0]
    host.run("ip", "link", "add", "kt0", "type", "veth", "peer", "name", "kt1")
    host.run("ip", "link", "add", "ktbr", "type", "bridge")
    host.run("ip", "link", "set", "kt1", "master", "ktbr")
    address = f"{host.host.address}/24"
    cases: list[tuple[dict[str, Any], str]] = [
        ({"uplink": "kt9"}, "there is no link kt9"),
        ({"uplink": "kt0"}, "nobody known manages kt0"),
        ({"uplink": "kt1"}, "is a port of the bridge ktbr"),
        ({"uplink": "ktbr"}, "is a bridge itself"),
        ({"uplink": "eth0", "name": "ktbr"}, "host_bridge did not make"),
        ({"uplink": "eth0", "name": "kt0"}, "is a link already"),
        ({"state": "absent", "name": "ktbr"}, "was not made by host_bridge"),
        ({"uplink": "eth0", "manager": "netplan"}, "is not managed by netplan but by systemd-networkd"),
        ({"uplink": "eth0", "name": "br0; reboot"}, "not a valid name for a link"),
        ({"uplink": "eth0", "addresses": [address], "gateway": ["192.0.2.1"]}, "in none of the bridge's networks"),
        ({"uplink": "eth0", "addresses_from": "static"}, "needs addresses"),
        ({"uplink": "eth0", "mac": "01:00:00:00:00:01"}, "group"),
        ({"uplink": "eth0", "dns": ["ns.example.org"]}, "is not a valid address"),
        ({"uplink": "eth0", "stp": True, "forward_delay": 31}, "out of bounds"),
        ({"uplink": "eth0", "mtu": 70000}, "out of bounds"),
        ({"uplink": "eth0", "timeout": 3}, "too short"),
    ]
    if not Path("/proc/net/vlan").exists():
        # What a kernel without VLANs says; with them, this machine's own tests of vlan would belong here.
        cases.append(({"uplink": "eth0", "vlan": 5}, "the kernel knows no VLANs"))
    tree, net = host.tree, host.net
    tasks = [
        {"name": f"case {number}", MODULE: {"name": "br0", **options}} for number, (options, dummy) in enumerate(cases)
    ]
    run = run_tasks(tasks, inventory=hosts.inventory({}, [host]), hosts="all")
    for number, (options, words) in enumerate(cases):
        (result,) = run.of(f"case {number}")
        assert result.failed and words in result.msg, (options, result.msg)
        # A remedy follows the reason.
        assert result.msg.rstrip(".").count(". ") >= 1, result.msg
    assert (host.tree, host.net, host.change) == (tree, net, {})
    for link in ("kt0", "ktbr"):
        host.run("ip", "link", "delete", link)


def test_the_examples_are_understood(hosts: Hosts) -> None:
    """Each under check mode, on a host as it is; what they do for real is the rest of this file."""
    host = hosts.all[0]
    base = host.gateway.rpartition(".")[0]
    tasks = json.loads(json.dumps(examples("host_bridge")).replace("192.0.2.", f"{base}."))
    if not Path("/proc/net/vlan").exists():
        tasks = [task for task in tasks if "vlan" not in task[MODULE]]
    run = run_tasks(tasks, inventory=hosts.inventory({}, [host]), hosts="all", check=True)
    assert [result.changed for result in run.results] == ["state" not in task[MODULE] for task in tasks], run.output
    for result in run.results:
        assert not result.failed, run.output
        check_return("host_bridge", result.task, result.json)


@pytest.mark.shows("checked")
def test_check_mode_shows_the_files_and_touches_nothing(hosts: Hosts) -> None:
    results, run = hosts.bridge(uplink="auto", check=True, diff=True)
    for host in hosts:
        result = results[host.name]
        assert result.changed and not result.failed, run.output
        assert [step["action"] for step in result["plan"]] == ["create"]
        assert result["bridge"]["manager"] == MANAGERS[host.manager] and result["bridge"]["ports"] == ["eth0"]
        assert any("br0" in each["after"] for each in result["diff"])
        assert host.change == {} and host.run("ls", "/var/lib/kraal.virt", check=False) == ""
        assert WORDS[host.manager] in run.stdout
    hosts.plans = {name: result["plan"] for name, result in results.items()}
    hosts.assert_as_before()


@pytest.mark.shows("changed")
def test_the_uplink_becomes_a_port_and_the_play_goes_on(hosts: Hosts) -> None:
    results, run = hosts.bridge(
        uplink="auto", timeout=ENOUGH, more=[{"name": "after", "ansible.builtin.command": "ip -br address show br0"}]
    )
    for host in hosts:
        result = results[host.name]
        assert result.changed and not result.failed, run.output
        assert result["plan"] == hosts.plans[host.name]
        check_return("host_bridge", "bridge", result.json)
        assert result["rolled_back"] is False and result["log"] and result["bridge"]["gateways"] == [host.gateway]
        assert host.host.address in run.of("after", host.name)[0]["stdout"]
        bridged(host, hosts.nets[host.name])
        assert host.change == {}
        assert host.run("systemctl", "list-units", "--no-legend", "--plain", "kraal*") == ""
        assert not [path for path in host.tree if "kraal-bridge-boot" in path]


def test_a_second_run_changes_nothing(hosts: Hosts) -> None:
    trees = {host.name: host.tree for host in hosts}
    results, run = hosts.bridge(uplink="auto")
    assert run.changed == 0, run.output
    assert all(result["plan"] == [] for result in results.values())
    assert {host.name: host.tree for host in hosts} == trees


def test_a_reboot_keeps_it(hosts: Hosts) -> None:
    hosts.all[0].lab.restart(*(host.host for host in hosts))
    for host in hosts:
        host.wait(lambda host=host: host.net.routes == [(host.gateway, "br0")], PATIENCE)  # type: ignore[misc]
        bridged(host, hosts.nets[host.name])
    results, run = hosts.bridge(uplink="eth0")
    assert run.changed == 0, run.output


@pytest.mark.shows("changed", "checked")
def test_options_change_what_is_there_and_removal_gives_all_back(hosts: Hosts) -> None:
    checked, run = hosts.bridge(mtu=1280, stp=True, forward_delay=2, check=True)
    results, run = hosts.bridge(mtu=1280, stp=True, forward_delay=2, timeout=ENOUGH)
    for host in hosts:
        result = results[host.name]
        assert result.changed and not result.failed, run.output
        assert result["plan"] == checked[host.name]["plan"] and {step["key"] for step in result["plan"]} == {
            "mtu",
            "stp",
            "forward_delay",
        }
        links = {link["ifname"]: link for link in host.asked("ip", "-json", "-details", "link")}
        assert (links["br0"]["mtu"], links["br0"]["linkinfo"]["info_data"]["stp_state"]) == (1280, 1)
        assert host.net.routes == [(host.gateway, "br0")]
    results, run = hosts.bridge(mtu=1280, uplink="auto")
    assert run.changed == 0, run.output
    results, run = hosts.bridge(state="absent", timeout=ENOUGH)
    for host in hosts:
        assert results[host.name].changed and results[host.name]["bridge"] is None, run.output
    # The MTU that the link was given is the one thing that goes with the next boot only.
    hosts.assert_as_before()
    results, run = hosts.bridge(state="absent")
    assert run.changed == 0 and not any(result.failed for result in results.values()), run.output


def test_a_change_that_cuts_the_host_off_is_taken_back(hosts: Hosts) -> None:
    results, run = hosts.bridge(broken(hosts, False), uplink="eth0", timeout=SHORT)
    for host in hosts:
        result = results[host.name]
        assert result.failed and result["rolled_back"] is True, run.output
        assert "took it back" in result.msg and any("rolled back" in line for line in result["log"])
        wrong = "gateway" if "gateway" in broken(hosts, False)[host.name] else "cannot reach the host"
        assert wrong in result.msg, result.msg
    hosts.assert_as_before()


@pytest.mark.shows("crashed")
def test_the_controller_is_killed_in_the_middle(hosts: Hosts) -> None:
    options = {
        name: {"name": "br0", "uplink": "eth0", "timeout": SHORT, **each} for name, each in broken(hosts, True).items()
    }
    with begun(hosts, options) as (process, dummy):
        kill(process.pid)
    reachable = [host for host in hosts if "gateway" in options[host.name] and host.change["status"] == "applied"]
    if reachable:
        # While it waits, nobody else may change the network.
        results, run = hosts.bridge(uplink="eth0", only=reachable[:1])
        assert results[reachable[0].name].failed and "waits to be confirmed" in results[reachable[0].name].msg, (
            run.output
        )
    for host in hosts:
        host.wait(lambda host=host: host.change["status"] == "rolled_back", PATIENCE)  # type: ignore[misc]
    hosts.assert_as_before()


def test_the_host_is_started_anew_in_the_middle(hosts: Hosts) -> None:
    options = {
        name: {"name": "br0", "uplink": "eth0", "timeout": 240, **each} for name, each in broken(hosts, True).items()
    }
    with begun(hosts, options) as (process, results):
        # One that waits for an address would not go down by itself before that wait is over.
        hosts.all[0].lab.restart(*(host.host for host in hosts), within=5)
        output = process.communicate(timeout=300)[0]
        found = [json.loads(line) for line in results.read_text(encoding="utf-8").splitlines()]
    told = {each["host"]: each["result"] for each in found if each.get("task") == "bridge"}
    for host in hosts:
        assert told[host.name]["rolled_back"] is True, output
        assert any("started anew" in line for line in told[host.name]["log"]), told[host.name]["log"]
    hosts.assert_as_before()


def test_a_stale_change_is_told(hosts: Hosts) -> None:
    """A change whose timer is gone: the next run says so, and names the way back."""
    host = hosts.all[0]
    solo = Hosts.__new__(Hosts)
    solo.all, solo.trees, solo.nets = [host], hosts.trees, hosts.nets
    with begun(solo, {host.name: {"name": "br0", "uplink": "eth0", "timeout": 240, "check_names": ["kt.invalid"]}}) as (
        process,
        dummy,
    ):
        kill(process.pid)
    host.run("systemctl", "stop", "kraal-bridge-rollback-*.timer")
    results, run = hosts.bridge(uplink="eth0", only=[host])
    assert results[host.name].failed and "is stale" in results[host.name].msg, run.output
    host.run(*results[host.name].msg.partition("`")[2].partition("`")[0].split())
    solo.assert_as_before()


def test_a_rollback_that_is_killed_or_has_no_room_goes_on(hosts: Hosts) -> None:
    """On one host its process is killed before it has done anything, on the other the disk is full; long before the
    timer, which is used up by then.
    """
    # A daemon would not see a file system that is mounted after its start.
    full, killed = hosts.all[1], hosts.all[0]
    assert full.manager == "ifupdown"
    solo = Hosts.__new__(Hosts)
    solo.all, solo.trees, solo.nets = [full, killed], hosts.trees, hosts.nets
    folders = ("/etc/network", "/var/lib/kraal.virt/bridge")
    for folder in folders:
        full.run("mkdir", "-p", folder)
        full.run("cp", "-a", folder, "/run/kt-copy")
        full.run("mount", "-t", "tmpfs", "-o", "size=256k,mode=755", "kt", folder)
        full.run("cp", "-a", "/run/kt-copy/.", folder)
        full.run("rm", "-r", "/run/kt-copy")
    options = {"name": "br0", "uplink": "eth0", "timeout": 900, "check_names": ["kt.invalid"]}
    with begun(solo, {host.name: options for host in solo}) as (process, dummy):
        for host in solo:
            host.wait(
                lambda host=host: (host.change.get("status"), host.net.addresses["eth0"]) == ("applied", []), PATIENCE
            )  # type: ignore[misc]
        kill(process.pid)
    units = {host.name: f"kraal-bridge-rollback-{host.change['id']}.service" for host in solo}
    for folder in folders:
        full.run(
            "sh",
            "-c",
            f"dd if=/dev/zero of={folder}/kt-fill bs=1k 2>/dev/null; ! echo more 2>/dev/null > {folder}/kt-more; rm "
            f"-f {folder}/kt-more",
        )
    full.run("systemctl", "start", "--no-block", units[full.name])
    killed.run(
        "systemd-run", "--quiet", "--unit=kt-lock", "flock", "/var/lib/kraal.virt/bridge/lock", "sleep", "infinity"
    )
    killed.wait(
        lambda: killed.run("sh", "-c", "flock --nonblock /var/lib/kraal.virt/bridge/lock true || echo held") == "held",
        30,
    )
    killed.run("systemctl", "start", "--no-block", units[killed.name])
    killed.wait(lambda: killed.run("systemctl", "show", "--property=MainPID", "--value", units[killed.name]) != "0", 30)
    killed.run("systemctl", "kill", "--kill-who=main", "--signal=KILL", units[killed.name])
    killed.run("systemctl", "stop", "kt-lock")
    for host in solo:
        host.wait(lambda host=host: host.change["status"] == "rolled_back", PATIENCE)  # type: ignore[misc]
    assert full.run("find", *folders, "-name", "*.kraal-tmp") == ""
    full.run("rm", *(f"{folder}/kt-fill" for folder in folders))
    solo.assert_as_before()
    full.run("umount", *folders)
    solo.assert_as_before()


@pytest.mark.shows("changed")
def test_dhcp_keeps_the_address_and_there_may_be_several_bridges(hosts: Hosts, tmp_path: Path) -> None:
    """The lease stays the same, since the server sees the same client; beside it a bridge without an uplink, and one
    at a new address.
    """
    dynamic, moving = hosts.all[0], hosts.all[1]
    new = moving.host.address.rpartition(".")[0] + ".77"
    with dhcp_server(dynamic.lab, tmp_path, dynamic.gateway):
        leased = dynamic.lease()
        inventory = {
            "all": {
                "hosts": {dynamic.name: dynamic.inventory(leased), moving.name: moving.inventory(moving.host.address)}
            }
        }
        here, there = f"inventory_hostname == '{dynamic.name}'", f"inventory_hostname == '{moving.name}'"
        tasks = [
            {"name": "over the lease", MODULE: {"name": "br0", "uplink": "auto", "timeout": ENOUGH}, "when": here},
            {"name": "new address", "when": there, MODULE: {"name": "br0", "uplink": "auto", "addresses": [f"{new}/24"], "gateway": [moving.gateway],
             "connect_address": new, "timeout": ENOUGH}},
            {"name": "from here on", "ansible.builtin.set_fact": {"ansible_host": new}, "when": there},
            {"name": "inner", MODULE: {"name": "br1", "addresses": ["198.51.100.1/24"], "timeout": ENOUGH}},
            {"name": "inner again", MODULE: {"name": "br1", "addresses": ["198.51.100.1/24"]}},
            {"name": "outer again", MODULE: {"name": "br0", "uplink": "auto"}},
        ]  # fmt: skip
        run = run_tasks(tasks, inventory=inventory, hosts="all", keep_going=False)
        assert run.rc == 0, run.output
        assert not any(result.changed for name in ("inner again", "outer again") for result in run.of(name)), run.output
        assert dynamic.net.addresses["br0"] == [leased]
        assert moving.net.addresses["br0"] == [f"{new}/24"]
        for host in (dynamic, moving):
            assert host.net.addresses["br1"] == ["198.51.100.1/24"] and host.net.routes == [(host.gateway, "br0")]
        tasks = [
            {"name": "inner", MODULE: {"name": "br1", "state": "absent", "timeout": ENOUGH}},
            {"name": "over the lease", MODULE: {"name": "br0", "state": "absent", "timeout": ENOUGH}, "when": here},
            {
                "name": "back",
                MODULE: {"name": "br0", "state": "absent", "connect_address": moving.host.address, "timeout": ENOUGH},
                "when": there,
            },
        ]
        inventory["all"]["hosts"][moving.name]["ansible_host"] = new
        run = run_tasks(tasks, inventory=inventory, hosts="all", keep_going=False)
        assert run.rc == 0 and run.changed == 4, run.output
        assert dynamic.net.addresses["eth0"] == [leased]
    dynamic.configure()
    hosts.assert_as_before()


def clients(host: BridgeHost) -> list[str]:
    """The links for which a DHCP client of ifupdown's runs."""
    pids = host.run("sh", "-c", "pidof dhclient || true").split()
    files = host.run("sh", "-c", "grep -H . /run/dhclient.*.pid || true").splitlines()
    return [file.partition(".")[2].partition(".pid:")[0] for file in files if file.rpartition(":")[2] in pids]


def test_dhcp_under_the_other_managers(hosts: Hosts, tmp_path: Path) -> None:
    """The lease goes to the bridge and back.

    ifupdown's client is a process of its own, which has to outlive the change, or nobody renews the lease.
    """
    some = [host for host in hosts.all if host.manager != "networkd"][:3]
    assert {host.manager for host in some} == {"ifupdown", "networkmanager", "netplan"}
    old = next(host for host in some if host.manager == "ifupdown")
    with dhcp_server(old.lab, tmp_path, old.gateway):
        leased = {host.name: host.lease() for host in some}
        inventory = {"all": {"hosts": {host.name: host.inventory(leased[host.name]) for host in some}}}
        for link, options in (
            ("br0", {"uplink": "auto"}),
            ("br0", {"stp": True, "forward_delay": 2}),
            ("eth0", {"state": "absent"}),
        ):
            tasks = [
                {"name": name, MODULE: {"name": "br0", "timeout": ENOUGH, **options}} for name in ("once", "again")
            ]
            run = run_tasks(tasks, inventory=inventory, hosts="all", keep_going=False)
            assert run.rc == 0, run.output
            assert [result.changed for name in ("once", "again") for result in run.of(name)] == [True] * 3 + [
                False
            ] * 3, run.output
            for host in some:
                assert host.net.addresses[link] == [leased[host.name]] and host.net.routes == [(host.gateway, link)], (
                    host.name,
                    host.net,
                )
            assert clients(old) == [link]
        own = {"addresses": [leased[old.name]], "gateway": [old.gateway]}
        tasks = [
            {"name": name, MODULE: {"name": "br0", "uplink": "eth0", "timeout": ENOUGH, **more}}
            for name, more in (("over it", {}), ("its own", own))
        ]
        run = run_tasks(
            tasks,
            inventory={"all": {"hosts": {old.name: inventory["all"]["hosts"][old.name]}}},
            hosts="all",
            keep_going=False,
        )
        assert run.rc == 0 and run.changed == 2, run.output
        assert old.net.addresses["br0"] == [leased[old.name]] and clients(old) == []
        # Back to what all tests begin with; the lease need not be the same again.
        old.run("ifdown", "br0")
        old.run("rm", "-r", "/var/lib/kraal.virt/bridge")
    for host in some:
        host.configure()
    hosts.assert_as_before()


def test_the_role_and_the_playbook(hosts: Hosts) -> None:
    """prepare.yml on hosts of two releases at once, one of which lacks a package: check mode, first run, second run,
    and back.
    """
    some = [host for host in hosts if host.manager in ("networkd", "ifupdown")]
    bare = next(host for host in some if host.manager == "ifupdown")
    bare.run("dpkg", "--purge", "bridge-utils")
    trees = {host.name: host.tree for host in some}

    def prepare(check: bool = False, **options: Any) -> Run:
        members = {host.name: host.host.inventory for host in some}
        variables = {"bridge_bridges": [{"name": "br0", "timeout": ENOUGH, **options}]}
        inventory = {"all": {"children": {"virt_hosts": {"hosts": members, "vars": variables}}}}
        return run_playbook(
            ROOT / "playbooks" / "prepare.yml", inventory, check=check, env={"ANSIBLE_INJECT_FACT_VARS": "false"}
        )

    run = prepare(check=True, uplink="auto")
    assert run.rc == 0 and all(run.stats[host.name]["changed"] == 1 for host in some), run.output
    assert "Would install bridge-utils" in run.stdout
    assert {host.name: host.tree for host in some} == trees and all(host.net == hosts.nets[host.name] for host in some)
    run = prepare(uplink="auto")
    assert run.rc == 0, run.output
    assert {host.name: run.stats[host.name]["changed"] for host in some} == {
        host.name: 2 if host is bare else 1 for host in some
    }, run.output
    for host in some:
        bridged(host, hosts.nets[host.name])
    for check in (True, False):
        run = prepare(check=check, uplink="auto")
        assert run.rc == 0 and run.changed == 0, run.output
    run = prepare(state="absent")
    assert run.rc == 0, run.output
    for host in some:
        host.wait(lambda host=host: host.net == hosts.nets[host.name], PATIENCE)  # type: ignore[misc]


def test_a_host_without_systemd_is_refused(hosts: Hosts) -> None:
    """The same host, as one that runs another init would look."""
    host = hosts.all[3]
    host.run("mv", "/run/systemd/system", "/run/systemd/kt-system")
    try:
        results, run = hosts.bridge(uplink="eth0", only=[host])
        assert results[host.name].failed and "systemd does not run this host" in results[host.name].msg, run.output
    finally:
        host.run("mv", "/run/systemd/kt-system", "/run/systemd/system")
