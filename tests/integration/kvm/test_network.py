# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""kvm_network against a real libvirtd: each option from one table, what is live and what waits, crashes, refusals."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.support.libvirt_daemon import LibvirtDaemon
from tests.support.libvirt_driver import LibvirtModule
from tests.support.tables import assert_named, parametrize, ride, rounds

SPREAD = True

NAME = "kt-net"
BASE = {"name": NAME, "subnets": ["198.18.1.1/24"]}
#: For whatever is not about forwarding. Of any other network libvirt writes the rules of a firewall, which takes four
#: fifths of its start and of its end.
OPEN = {**BASE, "forward": "open"}
MAC1, MAC2 = "52:54:00:00:00:01", "52:54:00:00:00:02"
GUEST = """<domain type='qemu'><name>kt-guest</name><memory unit='MiB'>32</memory><vcpu>1</vcpu><os><type arch='x86_64' machine='pc'>hvm</type></os>
<devices><interface type='network'><source network='kt-net'/><model type='virtio'/></interface></devices></domain>"""


@dataclass(frozen=True)
class Row:
    """One option's way from its first value to its second; `look` reads what virsh shows, `seen` is what it reads
    after each.
    """

    option: str
    first: Any
    second: Any
    look: Callable[[ET.Element], Any]
    seen: tuple[Any, Any]
    live: bool = False
    #: Other ways to write the second value.
    same: tuple[Any, ...] = ()
    extra: dict[str, Any] = field(default_factory=dict)
    purge: bool = False
    about: str = ""
    #: Why the row needs a network of its own, and the options with which it shares none.
    alone: str = ""
    apart: Mapping[str, str] = field(default_factory=dict)

    @property
    def id(self) -> str:
        return f"{self.option} {self.about}".strip()


def get(path: str, name: str) -> Callable[[ET.Element], Any]:
    def look(tree: ET.Element) -> Any:
        found = tree.find(path)
        return None if found is None else found.get(name)

    return look


def every(path: str, *names: str) -> Callable[[ET.Element], Any]:
    return lambda tree: sorted(" ".join(each.get(name, "") for name in names) for each in tree.findall(path))


def dns(tree: ET.Element) -> Any:
    return {
        host.get("ip"): sorted(name.text or "" for name in host.findall("hostname"))
        for host in tree.findall("dns/host")
    }


ISOLATED = {"forward_dev": "an isolated network has none"}

ROWS = (
    Row("forward", "nat", "route", get("forward", "mode"), ("nat", "route")),
    Row("forward", "open", "isolated", get("forward", "mode"), ("open", None), about="isolated", apart=ISOLATED),
    Row("forward", "isolated", "nat", get("forward", "mode"), (None, "nat"), about="no longer isolated", apart=ISOLATED),
    Row("forward_dev", "lo", "ktdev0", get("forward", "dev"), ("lo", "ktdev0")),
    Row("forward_dev", "lo", "", get("forward", "dev"), ("lo", None), about="any"),
    Row("bridge", "ktbr1", "ktbr2", get("bridge", "name"), ("ktbr1", "ktbr2")),
    Row("subnets", ["198.18.1.1/24"], ["198.18.2.1/24"], every("ip", "address", "prefix"), (["198.18.1.1 24"], ["198.18.2.1 24"]),
        same=(["198.18.2.0/24"], [{"subnet": "198.18.2.0/24"}], [{"subnet": "198.18.2.0/24", "address": "198.18.2.1"}])),
    Row("subnets", ["198.18.1.0/24"], ["198.18.1.254/24", "FD00:0:0:1::/64"], every("ip", "address", "prefix"),
        (["198.18.1.1 24"], ["198.18.1.254 24", "fd00:0:0:1::1 64"]), about="address and IPv6", same=(["fd00:0:0:1::1/64"],)),
    Row("dhcp_ranges", ["198.18.1.10-198.18.1.20"], ["198.18.1.30-198.18.1.40"], every("ip/dhcp/range", "start", "end"),
        (["198.18.1.10 198.18.1.20"], ["198.18.1.10 198.18.1.20", "198.18.1.30 198.18.1.40"]), live=True, same=(["198.18.1.30 - 198.18.1.40"],)),
    Row("dhcp_ranges", ["198.18.1.10-198.18.1.20"], ["198.18.1.10-198.18.1.40"], every("ip/dhcp/range", "start", "end"),
        (["198.18.1.10 198.18.1.20"], ["198.18.1.10 198.18.1.40"]), live=True, purge=True, about="purge"),
    Row("dhcp_hosts", [{"mac": MAC1, "address": "198.18.1.5", "name": "a"}],
        [{"mac": MAC1.upper(), "address": "198.18.1.6"}, {"mac": MAC2, "address": "198.18.1.9"}],
        every("ip/dhcp/host", "mac", "ip", "name"), ([f"{MAC1} 198.18.1.5 a"], [f"{MAC1} 198.18.1.6 a", f"{MAC2} 198.18.1.9 "]), live=True),
    Row("dhcp_hosts", [{"mac": MAC1, "address": "198.18.1.5"}], [{"mac": MAC2, "address": "198.18.1.5"}], every("ip/dhcp/host", "mac", "ip"),
        ([f"{MAC1} 198.18.1.5"], [f"{MAC2} 198.18.1.5"]), live=True, purge=True, about="purge"),
    Row("dhcp_hosts",
        [{"id": "0:1:0:1:18:aa:62:fe:0:16:3e:44:55:66", "address": "fd00::5", "name": "six"}],
        [{"id": "0:1:0:1:18:aa:62:fe:0:16:3e:44:55:66", "address": "fd00::6"}],
        every("ip/dhcp/host", "id", "ip", "name"),
        (["0:1:0:1:18:aa:62:fe:0:16:3e:44:55:66 fd00::5 six"], ["0:1:0:1:18:aa:62:fe:0:16:3e:44:55:66 fd00::6 six"]), live=True,
        extra={"subnets": ["198.18.1.1/24", "fd00::1/64"]}, about="IPv6"),
    Row("dns_hosts", [{"address": "198.18.1.7", "names": ["web", "www"]}], [{"address": "198.18.1.7", "names": "web"},
        {"address": "198.18.1.8", "names": ["b"]}],
        dns, ({"198.18.1.7": ["web", "www"]}, {"198.18.1.7": ["web"], "198.18.1.8": ["b"]}), live=True),
    Row("dns_txt", {"a": "1 2"}, {"a": 3, "b": "four"}, every("dns/txt", "name", "value"), (["a 1 2"], ["a 3", "b four"]), live=True),
    Row("dns_txt", {"a": "1"}, {}, every("dns/txt", "name", "value"), (["a 1"], []), live=True, purge=True, about="purge"),
    Row("dns", True, False, get("dns", "enable"), ("yes", "no")),
    Row("domain", "one.example.org", "Two.example.org", get("domain", "name"), ("one.example.org", "two.example.org")),
    Row("domain", "one.example.org", "", get("domain", "name"), ("one.example.org", None), about="none"),
    Row("domain_local_only", True, False, get("domain", "localOnly"), ("yes", "no"), extra={"domain": "example.org"}),
    Row("mtu", 1400, 9000, get("mtu", "size"), ("1400", "9000")),
    Row("mtu", 1400, 0, get("mtu", "size"), ("1400", None), about="libvirt's own"),
)  # fmt: skip


def shown(daemon: LibvirtDaemon, *, inactive: bool = False) -> ET.Element:
    return ET.fromstring(daemon.virsh("net-dumpxml", NAME, *(["--inactive"] if inactive else [])))


def test_every_option_has_a_row() -> None:
    from ansible_collections.kraal.virt.plugins.module_utils.backends.kvm.network.options import NETWORK_OPTIONS

    assert {option.name for option in NETWORK_OPTIONS} == {row.option for row in ROWS} | {"autostart"}


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


def test_interfaces_of_the_host_need_no_bridge(network: LibvirtModule, clean: LibvirtDaemon) -> None:
    for mode in ("bridge", "vepa"):
        clean.define(
            "net-", f"<network><name>kt-net</name><forward mode='{mode}'><interface dev='kt9'/></forward></network>"
        )
        network.again(name=NAME, state="present")
        network.change(name=NAME, state="present", autostart=True)
        network.refused("dhcp_ranges", name=NAME, state="present", dhcp_ranges=["198.18.1.10-198.18.1.20"])
        assert [each.get("dev") for each in shown(clean).iter("interface")] == ["kt9"]
        if mode == "vepa":
            network.refused("bridge", "is needed", name=NAME, state="present", forward="bridge")
        else:
            network.again(name=NAME, state="present", forward="bridge")
        network.change(name=NAME, state="present", forward="bridge", bridge="ktbr9")
        assert shown(clean).find("forward/interface") is None
        network.change(name=NAME, state="absent")


def test_no_names_for_a_dns_that_is_off(network: LibvirtModule, clean: LibvirtDaemon) -> None:
    network.change(**OPEN, dns=False)
    network.refused("dns_hosts", "off", name=NAME, dns_hosts=[{"address": "198.18.1.5", "names": ["a"]}])
    network.change(name=NAME, dns=True, dns_txt={"a": "b"}, disruption="restart")
    network.refused("dns_txt", "off", name=NAME, dns=False)
    network.change(name=NAME, dns=False, dns_txt={}, purge=["dns_txt"], disruption="restart")
    network.change(name=NAME, state="absent")
    srv = "<dns><srv service='s' protocol='tcp' domain='d' target='t' port='1'/></dns>"
    clean.define(
        "net-",
        f"<network><name>kt-net</name><bridge name='ktbr1'/>{srv}<ip address='198.18.1.1' prefix='24'/></network>",
    )
    network.refused("dns", "<srv>", name=NAME, state="present", dns=False)


def test_a_transient_network_is_written_down(network: LibvirtModule, clean: LibvirtDaemon) -> None:
    file = clean.directory / "transient.xml"
    text = "<network><name>kt-net</name><forward mode='nat'/><bridge name='ktbr1'/><ip address='198.18.1.1' prefix='24'/></network>"
    for state in ("active", "inactive", "absent"):
        file.write_text(text, encoding="utf-8")
        clean.virsh("net-create", str(file))
        network.change(name=NAME, state=state)
        network.run(name=NAME, state="absent")


def test_a_bridge_of_the_host(network: LibvirtModule, clean: LibvirtDaemon) -> None:
    clean.inside("ip", "link", "add", "ktbr9", "type", "bridge")
    try:
        made = network.change(name=NAME, forward="bridge", bridge="ktbr9")
        assert (made["network"]["forward"], made["network"]["bridge"], made["network"]["subnets"]) == (
            "bridge",
            "ktbr9",
            [],
        )
        network.change(name=NAME, state="absent")
        assert "ktbr9" in clean.inside("ip", "link")
        # A network of libvirt's own becomes one of the host's bridge.
        network.change(**BASE, dhcp_ranges=["198.18.1.10-198.18.1.20"])
        network.change(name=NAME, forward="bridge", bridge="ktbr9", disruption="restart")
        assert shown(clean).find("ip") is None
    finally:
        clean.virsh("net-destroy", NAME, check=False)
        clean.inside("ip", "link", "del", "ktbr9")


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
