# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""kvm_network against a real libvirtd: each option from one table, what is live and what waits, crashes, refusals."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from typing import Any

import pytest

from tests.support.libvirt_daemon import LibvirtDaemon
from tests.support.libvirt_driver import LibvirtModule
from tests.support.tables import assert_named, parametrize, ride, rounds

from .network_rows import BASE, GUEST, MAC1, MAC2, NAME, OPEN, RANGES, ROWS, Row, every, get, shown

SPREAD = True

#: What a network of no row can have has tests of its own.
OTHERS = {"autostart", "bandwidth", "interfaces", "physical_function", "virtualport", "vlans"}


def test_every_option_has_a_row() -> None:
    from ansible_collections.kraal.virt.plugins.module_utils.backends.kvm.network.options import NETWORK_OPTIONS

    assert {option.name for option in NETWORK_OPTIONS} == {row.option for row in ROWS} | OTHERS


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "rows" in metafunc.fixturenames:
        parametrize(metafunc, ROWS, lambda row: row.live)


def test_option(network: LibvirtModule, clean: LibvirtDaemon, rows: tuple[Row, ...]) -> None:
    """Create, again, change, again, on an active network: live, or written and pending until the restart is allowed."""
    if any(row.option == "forward_dev" for row in rows):
        clean.inside("ip", "link", "add", "ktdev0", "type", "bridge", check=False)
    ride(rows, lambda some: _option(network, clean, some), lambda: network.run(name=NAME, state="absent"))


def look(rows: tuple[Row, ...], tree: ET.Element, which: int) -> None:
    for row in rows:
        assert row.look(tree) == row.seen[which], row.id


def _option(network: LibvirtModule, clean: LibvirtDaemon, rows: tuple[Row, ...]) -> None:
    forwards = any(row.option in ("forward", "forward_dev") for row in rows)
    base = {**(BASE if forwards else OPEN), **{key: value for row in rows for key, value in row.extra.items()}}
    first, second = ({**base, **{row.option: getattr(row, name) for row in rows}} for name in ("first", "second"))
    purge = sorted(row.option for row in rows if row.purge)
    if purge:
        second["purge"] = purge
    made = network.change(**first)
    assert made["network"]["state"] == "active"
    for inactive in (False, True):
        look(rows, shown(clean, inactive=inactive), 0)
    changed = network.change(**second)
    assert_named(rows, changed["plan"], {})
    look(rows, shown(clean, inactive=True), 1)
    if all(row.live for row in rows):
        look(rows, shown(clean), 1)
        assert {step["disruption"] for step in changed["plan"]} == {"live"}
        assert changed["network"]["pending_restart"] == []
    else:
        look(rows, shown(clean), 0)
        assert sorted(changed["network"]["pending_restart"]) == sorted(row.option for row in rows)
        restarted = network.change(**second, disruption="restart")
        assert [step["action"] for step in restarted["plan"]] == ["restart"]
        for inactive in (False, True):
            look(rows, shown(clean, inactive=inactive), 1)
        assert restarted["network"]["pending_restart"] == []
    for values in rounds(rows):
        network.again(**{**second, **values})
    assert network.change(name=NAME, state="absent")["network"] is None


@pytest.mark.parametrize(
    "row",
    [row for row in ROWS if row.id in ("forward", "subnets", "dhcp_hosts", "dns_txt purge", "mtu")],
    ids=lambda row: row.id,
)
def test_option_of_an_inactive_network(network: LibvirtModule, clean: LibvirtDaemon, row: Row) -> None:
    """What is not active is defined anew, and nothing is disturbed."""
    base = {**BASE, **row.extra, "state": "inactive", "disruption": "none"}
    network.change(**{**base, row.option: row.first})
    made = network.change(**{**base, row.option: row.second}, **({"purge": [row.option]} if row.purge else {}))
    assert [step["disruption"] for step in made["plan"]] == ["none"]
    assert row.look(shown(clean)) == row.seen[1]
    assert "yes" not in clean.virsh("net-info", NAME).split("Active:")[1].split("\n")[0]


def test_states(network: LibvirtModule, clean: LibvirtDaemon) -> None:
    for state, word, actions in (
        ("present", "inactive", ["create"]),
        ("active", "active", ["start"]),
        ("present", "active", []),
        ("inactive", "inactive", ["stop"]),
        ("present", "inactive", []),
        ("absent", None, ["remove"]),
        ("active", "active", ["create", "start"]),
        ("absent", None, ["stop", "remove"]),
        ("inactive", "inactive", ["create"]),
    ):
        done = network.do(**OPEN, state=state)
        assert [step["action"] for step in done["plan"]] == actions, state
        assert (done["network"] or {}).get("state") == word
        network.again(**OPEN, state=state)


def test_autostart(network: LibvirtModule, clean: LibvirtDaemon) -> None:
    network.change(**OPEN, autostart=True)
    assert "yes" in clean.virsh("net-info", NAME).split("Autostart:")[1].split("\n")[0]
    assert network.change(name=NAME, autostart=False, disruption="none")["network"]["autostart"] is False
    network.change(name=NAME, autostart=True)


def test_what_check_foresees_is_what_there_is(network: LibvirtModule, clean: LibvirtDaemon) -> None:
    first = {
        **BASE,
        "dhcp_ranges": ["198.18.1.10-198.18.1.20"],
        "domain": "a.example.org",
        "bridge": "ktbr1",
        "mtu": 1400,
    }
    foreseen, made = network.check(**first)["network"], network.run(**first)["network"]
    assert {**made, "id": ""} == foreseen
    assert made["forward"] == "nat"
    second = {
        "name": NAME,
        "domain": "b.example.org",
        "dhcp_hosts": [{"mac": MAC1, "address": "198.18.1.5", "name": "x"}],
        "dns_txt": {"a": "b"},
    }
    foreseen, made = network.check(**second)["network"], network.run(**second)["network"]
    assert foreseen == made
    assert made["pending_restart"] == ["domain"]


def test_none_where_there_was_none(network: LibvirtModule, clean: LibvirtDaemon) -> None:
    """What takes an option away does nothing where it is not there, without a domain and without forwarding too."""
    none = {"domain": "", "domain_local_only": False, "forward_dev": "", "mtu": 0}
    for forward in ("nat", "isolated"):
        made = network.change(**{**BASE, "forward": forward})
        assert {key: made["network"][key] for key in none} == none
        network.again(**{**BASE, "forward": forward, **none})
        network.change(name=NAME, state="absent")
        network.change(**{**BASE, "forward": forward, **none})
        tree = shown(clean, inactive=True)
        assert tree.find("domain") is tree.find("mtu") is None
        assert (tree.find("forward") is None) is (forward == "isolated")
        network.change(name=NAME, state="absent")


def test_what_has_no_option_stays(network: LibvirtModule, clean: LibvirtDaemon) -> None:
    clean.define("net-", """<network><name>kt-net</name><forward mode='nat'><nat><port start='2000' end='3000'/></nat></forward>
    <bridge name='ktbr1' stp='off' delay='3'/><dns><srv service='s' protocol='tcp' domain='d' target='t' port='1'/></dns>
    <ip address='198.18.1.1' netmask='255.255.255.0'><dhcp><range start='198.18.1.10' end='198.18.1.20'><lease expiry='5' unit='minutes'/></range>
    <host name='only' ip='198.18.1.9'/><bootp file='pxe'/></dhcp></ip></network>""")  # fmt: skip
    clean.virsh("net-start", NAME)
    before = shown(clean, inactive=True)
    network.change(
        name=NAME,
        dhcp_hosts=[{"mac": MAC1, "address": "198.18.1.5"}],
        dns_txt={"a": "b"},
        domain="d.example.org",
        disruption="restart",
    )
    after = shown(clean, inactive=True)
    for path, name in (("forward/nat/port", "end"), ("bridge", "delay"), ("dns/srv", "target"), ("ip/dhcp/range/lease", "expiry"),
                       ("ip/dhcp/bootp", "file"), ("mac", "address"), ("uuid", "")):  # fmt: skip
        found = [tree.find(path) for tree in (before, after)]
        assert found[1] is not None, path
        assert found[0] is not None and (found[0].get(name), found[0].text) == (found[1].get(name), found[1].text)
    assert len(after.findall("ip/dhcp/host")) == 2


def test_a_new_range_has_the_lease_of_the_others(network: LibvirtModule, clean: LibvirtDaemon) -> None:
    network.change(**OPEN, **RANGES, dhcp_lease="3h")
    added = network.change(name=NAME, dhcp_ranges=["198.18.1.30-198.18.1.40"], dhcp_lease="3h")
    assert [step["disruption"] for step in added["plan"]] == ["live"]
    assert added["network"]["pending_restart"] == [] and added["network"]["dhcp_lease"] == "3h"
    look = every("ip/dhcp/range/lease", "expiry", "unit")
    assert look(shown(clean)) == look(shown(clean, inactive=True)) == ["3 hours"] * 2
    # A range of its own lease is nobody's to change who does not name it.
    clean.virsh("net-destroy", NAME)
    tree = ET.tostring(shown(clean, inactive=True), encoding="unicode").replace('expiry="3"', 'expiry="5"', 1)
    clean.define("net-", tree)
    assert network.check(name=NAME, state="present")["network"]["dhcp_lease"] is None
    network.again(name=NAME, state="present", dhcp_ranges=["198.18.1.30-198.18.1.40"])
    network.change(name=NAME, state="present", dhcp_lease="4h")
    assert look(shown(clean)) == ["4 hours"] * 2


def test_sides_that_differ_are_brought_together(network: LibvirtModule, clean: LibvirtDaemon) -> None:
    """An entry that only one side has, from somebody's --live or --config."""
    network.change(**OPEN, dhcp_ranges=["198.18.1.10-198.18.1.20"])
    clean.virsh("net-update", NAME, "add-last", "ip-dhcp-host", f"<host mac='{MAC1}' ip='198.18.1.5'/>", "--live")
    clean.virsh("net-update", NAME, "add-last", "ip-dhcp-host", f"<host mac='{MAC2}' ip='198.18.1.6'/>", "--config")
    assert network.run(check=True, name=NAME)["network"]["pending_restart"] == ["dhcp_hosts"]
    network.change(name=NAME, dhcp_hosts=[{"mac": MAC1, "address": "198.18.1.5"}], purge=["dhcp_hosts"])
    look = every("ip/dhcp/host", "mac", "ip")
    assert look(shown(clean)) == look(shown(clean, inactive=True)) == [f"{MAC1} 198.18.1.5"]


def test_a_subnet_that_goes_takes_its_ranges_along(network: LibvirtModule, clean: LibvirtDaemon) -> None:
    network.change(**OPEN, dhcp_ranges=["198.18.1.10-198.18.1.20"], dhcp_hosts=[{"mac": MAC1, "address": "198.18.1.5"}])
    new = {
        "name": NAME,
        "subnets": ["198.18.2.1/24"],
        "dhcp_ranges": ["198.18.2.10-198.18.2.20"],
        "dhcp_hosts": [{"mac": MAC2, "address": "198.18.2.5"}],
    }
    network.change(**new)
    network.change(**new, disruption="restart")
    assert every("ip/dhcp/range", "start")(shown(clean)) == ["198.18.2.10"]
    assert every("ip/dhcp/host", "mac")(shown(clean)) == [MAC2]


#: Two ranges and two hosts, one of each in the lower half, with what no option names.
OLD_DHCP = """<network><name>kt-net</name><bridge name='ktbr1'/><ip address='198.18.1.1' prefix='24'><tftp root='/srv'/><dhcp>
<range start='198.18.1.10' end='198.18.1.20'><lease expiry='5' unit='minutes'/></range><range start='198.18.1.200' end='198.18.1.210'/>
<host mac='52:54:00:00:00:01' name='low' ip='198.18.1.5'><lease expiry='7' unit='hours'/></host><host mac='52:54:00:00:00:02' ip='198.18.1.205'/>
<bootp file='pxe'/></dhcp></ip></network>"""


@pytest.mark.parametrize("live", [False, True])
def test_another_length_of_a_subnet_keeps_what_fits(network: LibvirtModule, clean: LibvirtDaemon, live: bool) -> None:
    clean.define("net-", OLD_DHCP)
    state = {"name": NAME, "state": "active" if live else "present", "disruption": "restart"}
    if live:
        clean.virsh("net-start", NAME)
    before = shown(clean, inactive=True).find("ip")
    assert before is not None
    network.change(**state, subnets=["198.18.0.1/23"])
    after = shown(clean, inactive=True).find("ip")
    assert after is not None and after.get("address") == "198.18.0.1"
    inside = [[ET.canonicalize(ET.tostring(each), strip_text=True) for each in side] for side in (before, after)]
    assert sorted(inside[0]) == sorted(inside[1])
    done = network.change(**state, subnets=["198.18.1.1/25"], dhcp_hosts=[{"mac": MAC1, "address": "198.18.1.6"}])
    gone = done["plan"][0]
    assert gone["before"]["dhcp_ranges"] == ["198.18.1.10-198.18.1.20", "198.18.1.200-198.18.1.210"]
    assert gone["after"]["dhcp_ranges"] == ["198.18.1.10-198.18.1.20"]
    assert gone["before"][f"dhcp_hosts[{MAC2}]"]["address"] == "198.18.1.205"
    assert f"dhcp_hosts[{MAC2}]" not in gone["after"]
    tree = shown(clean, inactive=not live)
    assert [each.get("expiry") for each in tree.iter("lease")] == ["5", "7"]
    assert every("ip/dhcp/host", "mac", "ip")(tree) == [f"{MAC1} 198.18.1.6"]
    # The lease of a host that changes while the network is active.
    network.change(name=NAME, state=state["state"], dhcp_hosts=[{"mac": MAC1, "address": "198.18.1.7", "name": "new"}])
    assert [each.get("expiry") for each in shown(clean, inactive=not live).iter("lease")] == ["5", "7"]


def test_no_names_for_a_dns_that_is_off(network: LibvirtModule, clean: LibvirtDaemon) -> None:
    network.change(**OPEN, dns=False)
    network.refused("dns_hosts", "off", name=NAME, dns_hosts=[{"address": "198.18.1.5", "names": ["a"]}])
    network.change(name=NAME, dns=True, dns_txt={"a": "b"}, disruption="restart")
    network.refused("dns_txt", "off", name=NAME, dns=False)
    network.change(name=NAME, dns=False, dns_txt={}, purge=["dns_txt"], disruption="restart")
    network.change(name=NAME, state="absent")
    other = "<dns forwardPlainNames='no'><forwarder addr='198.18.9.53'/></dns>"
    clean.define(
        "net-",
        f"<network><name>kt-net</name><bridge name='ktbr1'/>{other}<ip address='198.18.1.1' prefix='24'/></network>",
    )
    network.refused("dns_forwarders", "off", name=NAME, state="present", dns=False)


def test_a_transient_network_is_written_down(network: LibvirtModule, clean: LibvirtDaemon) -> None:
    file = clean.directory / "transient.xml"
    text = "<network><name>kt-net</name><forward mode='nat'/><bridge name='ktbr1'/><ip address='198.18.1.1' prefix='24'/></network>"
    for state in ("active", "inactive", "absent"):
        file.write_text(text, encoding="utf-8")
        clean.virsh("net-create", str(file))
        network.change(name=NAME, state=state)
        network.run(name=NAME, state="absent")


def test_guests_keep_their_network(network: LibvirtModule, clean: LibvirtDaemon) -> None:
    network.change(**OPEN)
    clean.define("", GUEST)
    network.refused("in use", "kt-guest", name=NAME, state="absent")
    clean.virsh("start", "kt-guest")
    network.refused("kt-guest", "force", name=NAME, state="inactive")
    network.refused("kt-guest", "mtu", "force", name=NAME, mtu=1400, disruption="restart")
    # Allowed without a restart: written, and pending.
    assert network.change(name=NAME, mtu=1400)["network"]["pending_restart"] == ["mtu"]
    assert network.run(name=NAME)["network"]["guests"] == ["kt-guest"]
    network.change(name=NAME, mtu=1400, disruption="restart", force=True)
    clean.virsh("destroy", "kt-guest")
    network.change(name=NAME, mtu=1500, disruption="restart")
    network.change(name=NAME, state="absent", force=True)


def test_nothing_is_left_of_a_network_that_cannot_start(network: LibvirtModule, clean: LibvirtDaemon) -> None:
    clean.inside("ip", "link", "add", "ktdev1", "type", "bridge")
    clean.inside("ip", "address", "add", "198.18.9.1/24", "dev", "ktdev1")
    clean.inside("ip", "link", "set", "ktdev1", "up")
    try:
        result = network.run(name=NAME, subnets=["198.18.9.1/24"])
        assert result.failed and "already in use" in result.msg and "nothing was left" in result.msg
        assert NAME not in clean.virsh("net-list", "--all")
        network.change(**OPEN)
        live = shown(clean)
        result = network.run(name=NAME, subnets=["198.18.9.1/24"], disruption="restart")
        assert result.failed and "put back" in result.msg
        assert get("ip", "address")(shown(clean)) == get("ip", "address")(live) == "198.18.1.1"
        network.again(**OPEN)
    finally:
        clean.inside("ip", "link", "del", "ktdev1")


def test_entries_that_libvirt_cannot_tell_apart_wait_for_a_restart(
    network: LibvirtModule, clean: LibvirtDaemon
) -> None:
    """One name in both families can be added while the network is active, but neither of the two deleted."""
    both = {**OPEN, "subnets": [*BASE["subnets"], "fd00:0:0:1::1/64"], "purge": ["dns_hosts"]}
    four, six = ({"address": address, "names": ["db"]} for address in ("198.18.1.7", "fd00:0:0:1::7"))
    network.change(**both, dns_hosts=[four])
    assert network.change(**both, dns_hosts=[four, six])["network"]["pending_restart"] == []
    assert network.change(**both, dns_hosts=[six])["network"]["pending_restart"] == ["dns_hosts"]
    network.again(**both, dns_hosts=[six])
    assert network.change(**both, dns_hosts=[six], disruption="restart")["network"]["pending_restart"] == []
    assert [host.get("ip") for host in shown(clean).findall("dns/host")] == [six["address"]]


def test_dhcp_hosts_that_libvirt_cannot_tell_apart_wait_for_a_restart(
    network: LibvirtModule, clean: LibvirtDaemon
) -> None:
    """A machine with two interfaces under one name."""
    hosts = [
        {"mac": mac, "name": "db", "address": address} for mac, address in ((MAC1, "198.18.1.7"), (MAC2, "198.18.1.8"))
    ]
    network.change(**OPEN, dhcp_hosts=hosts[:1])
    assert network.change(**OPEN, dhcp_hosts=hosts)["network"]["pending_restart"] == ["dhcp_hosts"]
    network.again(**OPEN, dhcp_hosts=hosts)
    assert network.change(**OPEN, dhcp_hosts=hosts, disruption="restart")["network"]["pending_restart"] == []
    assert sorted(host.get("mac", "") for host in shown(clean).findall("ip/dhcp/host")) == [MAC1, MAC2]


def test_crash_after_each_call(network: LibvirtModule, clean: LibvirtDaemon) -> None:
    args = {
        **OPEN,
        "dhcp_ranges": ["198.18.1.10-198.18.1.20"],
        "dhcp_hosts": [{"mac": MAC1, "address": "198.18.1.5"}],
        "autostart": True,
    }
    change = {
        "name": NAME, "mtu": 1400, "dns_txt": {"a": "1"}, "dns_hosts": [{"address": "198.18.1.7", "names": ["w"]}], "autostart": False,
        "dhcp_hosts": [{"mac": MAC2, "address": "198.18.1.5"}], "purge": ["dhcp_hosts"], "disruption": "restart",
    }  # fmt: skip

    def nothing() -> None:
        assert not network.run(name=NAME, state="absent").failed

    def made() -> None:
        nothing()
        assert not network.run(**args).failed

    for result in network.crashes(nothing, **args):
        assert result["network"]["state"] == "active"
        assert result["network"]["autostart"] is True
    for result in network.crashes(made, **change):
        assert result["network"]["pending_restart"] == []
        assert [host["mac"] for host in result["network"]["dhcp_hosts"]] == [MAC2]
    for result in network.crashes(made, name=NAME, state="absent"):
        assert result["network"] is None


def test_the_daemon_is_restarted_after_each_call(network: LibvirtModule, clean: LibvirtDaemon) -> None:
    args = {**OPEN, "dhcp_hosts": [{"mac": MAC1, "address": "198.18.1.5"}], "autostart": True}
    change = {
        "name": NAME,
        "mtu": 1400,
        "dhcp_hosts": [{"mac": MAC2, "address": "198.18.1.5"}],
        "purge": ["dhcp_hosts"],
        "disruption": "restart",
    }

    def nothing() -> None:
        assert not network.run(name=NAME, state="absent").failed

    def made() -> None:
        nothing()
        assert not network.run(**args).failed

    for result in network.restarts(nothing, **args):
        assert (result["network"]["state"], result["network"]["autostart"]) == ("active", True)
    for result in network.restarts(made, **change):
        assert result["network"]["pending_restart"] == []
        assert [host["mac"] for host in result["network"]["dhcp_hosts"]] == [MAC2]
    for result in network.restarts(made, name=NAME, state="absent"):
        assert result["network"] is None


def test_runs_at_once(network: LibvirtModule, clean: LibvirtDaemon) -> None:
    network.at_once(**OPEN, dhcp_hosts=[{"mac": MAC1, "address": "198.18.1.5"}], autostart=True)
    network.at_once(name=NAME, dhcp_hosts=[{"mac": MAC2, "address": "198.18.1.6"}], mtu=1400, disruption="restart")
    network.at_once(name=NAME, state="absent")


@pytest.mark.parametrize(
    ("words", "args"),
    [
        (["name", "slash"], {"name": "<x/>"}),
        (["name", 'a"b'], {"name": 'a"b'}),
        (["name", "control character"], {"name": "a\nb"}),
        (["name", "dash"], {"name": "-x"}),
        (["name"], {"name": "x y"}),
        (["bridge", "15 letters"], {"bridge": "br/../x"}),
        (["bridge", "15 letters"], {"bridge": "a-name-of-sixteen"}),
        (["bridge", "is needed"], {"forward": "bridge", "subnets": None}),
        (["subnets"], {"forward": "bridge", "bridge": "b0"}),
        (["forward_dev"], {"forward": "isolated", "forward_dev": "eth0"}),
        (["subnets", "198.18.1.300"], {"subnets": ["198.18.1.300/24"]}),
        (["subnets", "too small"], {"subnets": ["198.18.1.1/32"]}),
        (["subnets", "does not contain"], {"subnets": [{"subnet": "198.18.1.0/24", "address": "198.18.2.1"}]}),
        (["subnets", "<x/>"], {"subnets": ["<x/>"]}),
        (["subnets", "is needed"], {"subnets": []}),
        (["dhcp_ranges", "none of the network's subnets"], {"dhcp_ranges": ["198.18.2.10-198.18.2.20"]}),
        (["dhcp_ranges", "lower"], {"dhcp_ranges": ["198.18.1.20-198.18.1.10"]}),
        (["dhcp_hosts", "MAC"], {"dhcp_hosts": [{"mac": "x", "name": "a"}]}),
        (["dhcp_hosts.mac", '"52:54:00:12:34:56"'], {"dhcp_hosts": [{"mac": 41135085296, "address": "198.18.1.5"}]}),
        (["dhcp_hosts", "none of the network's subnets"], {"dhcp_hosts": [{"mac": MAC1, "address": "198.18.2.1"}]}),
        (
            ["dhcp_hosts", "two hosts"],
            {"dhcp_hosts": [{"mac": MAC1, "address": "198.18.1.5"}, {"mac": MAC2, "address": "198.18.1.5"}]},
        ),
        (["dhcp_hosts.name", "host's name"], {"dhcp_hosts": [{"mac": MAC1, "name": "<x/>"}]}),
        (["dhcp_hosts", "has no address"], {"dhcp_hosts": [{"mac": MAC1, "name": "a"}]}),
        (["dns_hosts", "names"], {"dns_hosts": [{"address": "198.18.1.5"}]}),
        (["dns_txt", "usable key"], {"dns_txt": {"a b": "1"}}),
        (["domain", "lab.example.org"], {"domain": "a'b"}),
        (["domain_local_only", "needs a domain"], {"domain_local_only": True}),
        (["domain_local_only", "needs a domain"], {"domain_local_only": True, "domain": ""}),
        (["mtu", "68"], {"mtu": 10}),
        (["dns_srv", "protocol"], {"dns_srv": [{"service": "a", "protocol": "sctp", "target": "b", "port": 1}]}),
        (["dns_srv", "port"], {"dns_srv": [{"service": "a", "protocol": "tcp", "target": "b", "port": 70000}]}),
        (
            ["dns_srv", "off"],
            {"dns": False, "dns_srv": [{"service": "a", "protocol": "tcp", "target": "b", "port": 1}]},
        ),
        (["dns_forwarders", "no address"], {"dns_forwarders": ["dns.example.org"]}),
        (["dnsmasq_options", "one line"], {"dnsmasq_options": ["a\nb"]}),
        (["dhcp_lease", "2 minutes"], {**RANGES, "dhcp_lease": "60s"}),
        (["dhcp_lease", "dhcp_ranges"], {"dhcp_lease": "12h"}),
        (["tftp_root", "absolute"], {"tftp_root": "srv"}),
        (["tftp_root", "IPv4"], {"subnets": ["fd00::1/64"], "tftp_root": "/srv"}),
        (["boot_file", "dhcp_ranges"], {"boot_file": "pxelinux.0"}),
        (["boot_server", "boot_file"], {**RANGES, "boot_server": "198.18.1.9"}),
        (["boot_server", "IPv4"], {**RANGES, "boot_file": "a", "boot_server": "<x/>"}),
        (["nat_addresses", "IPv4"], {"nat_addresses": "fd00::1-fd00::5"}),
        (["nat_ports", "1024-65535"], {"nat_ports": "2000-1024"}),
        (["nat_ports", "means nothing"], {"forward": "open", "nat_ports": "1024-2000"}),
        (["nat_ipv6", "means nothing"], {"forward": "route", "nat_ipv6": True}),
        (
            ["routes", "none of the network's subnets"],
            {"routes": [{"subnet": "198.18.9.0/24", "gateway": "198.18.8.1"}]},
        ),
        (["routes", "has host bits set"], {"routes": [{"subnet": "198.18.9.1/24", "gateway": "198.18.1.9"}]}),
        (["routes", "above 0"], {"routes": [{"subnet": "198.18.9.0/24", "gateway": "198.18.1.9", "metric": 0}]}),
        (
            ["routes"],
            {
                "forward": "bridge",
                "bridge": "b0",
                "subnets": None,
                "routes": [{"subnet": "198.18.9.0/24", "gateway": "198.18.1.9"}],
            },
        ),
        (["uri"], {"uri": "nowhere"}),
        (["forward"], {"forward": "magic"}),
    ],
)
def test_bad_input(network: LibvirtModule, clean: LibvirtDaemon, words: list[str], args: dict[str, Any]) -> None:
    network.refused(*words, **{key: value for key, value in {**BASE, **args}.items() if value is not None})
    assert clean.virsh("net-list", "--all", "--name").split() == []


def test_rivals(network: LibvirtModule, clean: LibvirtDaemon) -> None:
    network.change(name="kt-other", subnets=["198.18.1.1/24"], bridge="ktbr1")
    network.refused("overlaps", "kt-other", name=NAME, subnets=["198.18.0.1/16"])
    network.refused("bridge", "kt-other", name=NAME, subnets=["198.18.2.1/24"], bridge="ktbr1")
    network.change(name=NAME, subnets=["198.18.1.1/24"], state="inactive")
    network.refused("overlaps", name=NAME, subnets=["198.18.1.1/24"])
