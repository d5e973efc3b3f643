# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Networks on recorded definitions: readings, definitions, the calls that change one side, plans."""

from __future__ import annotations

from typing import Any
from xml.etree.ElementTree import Element

import pytest

from ansible_collections.kraal.virt.plugins.module_utils.backends.kvm import definition
from ansible_collections.kraal.virt.plugins.module_utils.backends.kvm.client import LibvirtError
from ansible_collections.kraal.virt.plugins.module_utils.backends.kvm.definition import Definition, Seen, View
from ansible_collections.kraal.virt.plugins.module_utils.backends.kvm.network.options import (
    NETWORK_OPTIONS,
    NETWORKS_TABLE,
    PIECES,
    defined,
)
from ansible_collections.kraal.virt.plugins.module_utils.backends.kvm.network.resource import Networks
from ansible_collections.kraal.virt.plugins.module_utils.backends.kvm.xml import canonical, serialize
from ansible_collections.kraal.virt.plugins.module_utils.engine.errors import InvalidOption, Refused
from ansible_collections.kraal.virt.plugins.module_utils.engine.reconcile import Job
from ansible_collections.kraal.virt.plugins.module_utils.engine.spec import Spec
from tests.unit.backends.kvm.recorded import recorded

DUID = "0:1:0:1:18:aa:62:fe:0:16:3e:44:55:66"
LAB = {
    "forward": "nat",
    "forward_dev": "lo",
    "interfaces": [],
    "physical_function": "",
    "bridge": "labbr0",
    "subnets": [
        {"subnet": "198.18.1.0/24", "address": "198.18.1.1"},
        {"subnet": "fd00:0:0:1::/64", "address": "fd00:0:0:1::1"},
    ],
    "dhcp_ranges": ["198.18.1.10-198.18.1.20", "198.18.1.30-198.18.1.40"],
    "dhcp_hosts": [
        {"id": DUID, "address": "fd00:0:0:1::5", "name": "six"},
        {"mac": "52:54:00:aa:00:01", "address": "198.18.1.5", "name": "foo"},
    ],
    "dns_hosts": [{"address": "198.18.1.7", "names": ["web", "www"]}],
    "dns_txt": {"a": "b c"},
    "dns": True,
    "dns_srv": [{"service": "s", "protocol": "tcp", "domain": "d", "target": "t", "port": 1}],
    "dns_forwarders": [{"address": "192.0.2.53"}],
    "dnsmasq_options": [],
    "tftp_root": "",
    "boot_file": "pxe",
    "boot_server": "",
    "nat_addresses": "",
    "nat_ports": "2000-3000",
    "nat_ipv6": False,
    "routes": [],
    "bandwidth": {},
    "vlans": [],
    "virtualport": {},
    "portgroups": [],
    "domain": "lab.example.org",
    "domain_local_only": True,
    "mtu": 1400,
}


SRV = {"service": "s", "protocol": "tcp", "target": "t", "port": 1}


def want(**args: Any) -> Spec:
    given = {"name": "lab", "state": "present", "disruption": "live", "purge": [], "force": False, **args}
    return NETWORKS_TABLE.read(given)


def seen(live: bool = True, **more: Any) -> Seen:
    networks = {"lab": Definition("u", recorded("network"), recorded("network-live") if live else None)}
    return Seen(networks, **more)


def plan(seen: Seen, **args: Any) -> list[tuple[str, str, str]]:
    resource = Networks.__new__(Networks)
    return [(step.action, step.key, step.disruption.label) for step in resource.plan(want(**args), seen)]


def shown(view: View) -> dict[str, Any]:
    return {
        option.name: option.kind.shown(option.read(view)) for option in NETWORK_OPTIONS if option.name != "autostart"
    }


@pytest.mark.parametrize("name", ["network", "network-live"])
def test_readings(name: str) -> None:
    view = View(recorded(name), False)
    assert shown(view) == {**LAB, "dhcp_lease": None}


class Lingering:
    """A libvirt that is asked for nothing but a call, and a network whose address is held for some calls."""

    message = "failed to create listening socket for 198.18.1.1: Address already in use"

    def __init__(self, calls: int) -> None:
        self.left, self.calls = calls, 0

    def ask(self, call: Any) -> Any:
        return call()

    def create(self) -> None:
        self.calls += 1
        if self.calls <= self.left:
            raise LibvirtError(self.message)


@pytest.mark.parametrize(("patience", "calls"), [(60, 3), (0, 1)])
def test_a_restart_waits_for_the_address_that_it_had_itself(
    monkeypatch: pytest.MonkeyPatch, patience: float, calls: int
) -> None:
    monkeypatch.setattr(definition, "PAUSE", 0)
    resource, host = Networks.__new__(Networks), Lingering(2)
    resource.host = host  # type: ignore[assignment]
    if patience:
        resource._start(host, None, patience=patience)
    else:
        with pytest.raises(LibvirtError, match="already in use"):
            resource._activate(host, 0)
    assert host.calls == calls


def test_an_isolated_network() -> None:
    view = View(recorded("network-isolated"), False)
    assert NETWORKS_TABLE["forward"].read(view) == "isolated"
    assert NETWORKS_TABLE["dns"].read(view) is True
    assert NETWORKS_TABLE["mtu"].read(view) == 0


def test_what_it_has_already_is_no_change() -> None:
    assert plan(seen(), **LAB) == []
    assert plan(seen(), **LAB, disruption="restart") == []
    tree = recorded("network")
    # Libvirt writes the interface again, and leaves out what is its own choice anyway.
    values = {name: value for name, value in want(**LAB).values.items() if name not in ("forward_dev", "dns")}
    assert canonical(defined("lab", values, tree)) == canonical(tree)


def test_a_new_definition_is_read_as_it_was_written() -> None:
    tree = defined("lab", dict(want(**LAB).values), None)
    view = View(tree, False)
    assert shown(view) == {**LAB, "dhcp_lease": "default"}


def test_a_definition_keeps_what_has_no_option() -> None:
    tree = defined(
        "lab",
        dict(want(dhcp_ranges=["198.18.1.10-198.18.1.20"], dns_txt={}, domain="x.example.org").values),
        recorded("network"),
    )
    for path in ("forward/nat/port", "dns/forwarder", "dns/srv", "ip/dhcp/range/lease", "ip/dhcp/bootp", "mac", "uuid"):
        assert tree.find(path) is not None, path
    assert len(tree.findall("ip/dhcp/range")) == 1
    assert tree.find("dns/txt") is None
    assert "only" in [host.get("name") for host in tree.findall("ip/dhcp/host")]


def calls(
    option: str, key: str, fields: Any, there: bool = True, tree: Element | None = None
) -> list[tuple[str, str, int, str]]:
    found = PIECES[option].updates(recorded("network") if tree is None else tree, key, fields, there)
    return [
        (call.command, call.section, call.parent, serialize(call.element).replace("\n", "").replace("  ", ""))
        for call in found
    ]


def test_updates() -> None:
    mac = "52:54:00:aa:00:01"
    assert calls("dhcp_hosts", mac, {"address": "198.18.1.5", "name": "foo"}) == []
    assert calls("dhcp_hosts", mac, {"address": "198.18.1.6"}) == [
        ("MODIFY", "IP_DHCP_HOST", 0, f'<host mac="{mac}" ip="198.18.1.6" />')
    ]
    assert [call[0] for call in calls("dhcp_hosts", mac, None, there=False)] == ["DELETE"]
    assert calls("dhcp_hosts", DUID, {"address": "fd00:0:0:1::6"})[0][:3] == ("MODIFY", "IP_DHCP_HOST", 1)
    assert calls("dhcp_ranges", "198.18.1.50-198.18.1.60", None) == [
        ("ADD_LAST", "IP_DHCP_RANGE", 0, '<range start="198.18.1.50" end="198.18.1.60" />')
    ]
    assert calls("dhcp_ranges", "198.18.1.30-198.18.1.40", None, there=False)[0][:3] == ("DELETE", "IP_DHCP_RANGE", 0)
    changed = calls("dns_hosts", "198.18.1.7", frozenset(("web",)))
    assert [call[:3] for call in changed] == [("DELETE", "DNS_HOST", -1), ("ADD_LAST", "DNS_HOST", -1)]
    assert [call[0] for call in calls("dns_txt", "a", "new")] == ["DELETE", "ADD_LAST"]
    assert calls("dns_txt", "a", "b c") == []
    assert calls("dns_txt", "none", None, there=False) == []


M1, M2 = "52:54:00:aa:00:01", "52:54:00:aa:00:02"


@pytest.mark.parametrize(
    ("option", "have", "want", "apart"),
    [
        ("dns_hosts", {"198.18.1.7": ["db"]}, {"198.18.1.8": ["web"]}, True),
        # Both families of one name.
        ("dns_hosts", {"198.18.1.7": ["db"]}, {"fd00::7": ["db"]}, True),
        ("dns_hosts", {"198.18.1.7": ["db"], "fd00::7": ["db"]}, {"fd00::7": ["db", "web"]}, False),
        ("dns_hosts", {"198.18.1.7": ["db"], "fd00::7": ["db"]}, {"fd00::7": None}, False),
        ("dns_hosts", {"198.18.1.7": ["db"], "fd00::7": ["db"]}, {"fd00::7": ["db"], "198.18.1.9": ["web"]}, True),
        # A name that moves: its old entry goes first.
        ("dns_hosts", {"198.18.1.7": ["db"]}, {"198.18.1.7": None, "198.18.1.8": ["db"]}, True),
        (
            "dhcp_hosts",
            {M1: {"name": "a", "address": "198.18.1.5"}},
            {M2: {"name": "b", "address": "198.18.1.6"}},
            True,
        ),
        (
            "dhcp_hosts",
            {M1: {"name": "a", "address": "198.18.1.5"}},
            {M2: {"name": "a", "address": "198.18.1.6"}},
            False,
        ),
        (
            "dhcp_hosts",
            {M1: {"name": "a", "address": "198.18.1.5"}},
            {M2: {"name": "b", "address": "198.18.1.5"}},
            False,
        ),
        (
            "dhcp_hosts",
            {M1: {"name": "a", "address": "198.18.1.5"}},
            {M1: {"name": "b", "address": "198.18.1.5"}},
            True,
        ),
        ("dhcp_hosts", {M1: {"name": "a", "address": "198.18.1.5"}}, {DUID: {"name": "a", "address": "fd00::5"}}, True),
        (
            "dhcp_hosts",
            {M1: {"address": "198.18.1.5"}, M2: {"address": "198.18.1.6"}},
            {M1: {"address": "198.18.1.6"}, M2: {"address": "198.18.1.5"}},
            True,
        ),
        ("dns_txt", {"a": "1"}, {"b": "1"}, True),
        # What a service does not say, libvirt takes any for.
        ("dns_srv", {"a": SRV}, {"b": {**SRV, "target": "u"}}, True),
        ("dns_srv", {"a": SRV}, {"b": {**SRV, "port": 2}}, False),
        ("dns_srv", {"a": SRV}, {"b": {"service": "s", "protocol": "tcp"}}, False),
        ("dns_srv", {"a": SRV}, {"b": {"service": "s", "protocol": "udp"}}, True),
        ("dns_srv", {"b": {"service": "s", "protocol": "tcp"}}, {"a": SRV}, True),
    ],
)
def test_what_libvirt_can_tell_apart(option: str, have: dict[str, Any], want: dict[str, Any], apart: bool) -> None:
    merged = {key: value for key, value in {**have, **want}.items() if value is not None}
    assert PIECES[option].distinguishable(have, want, merged) is apart


@pytest.mark.parametrize(
    ("args", "steps"),
    [
        ({"mtu": 1500}, [("set", "mtu", "none")]),
        ({"mtu": 1500, "disruption": "restart"}, [("set", "mtu", "none"), ("restart", "", "restart")]),
        ({"dns_txt": {"x": "y"}}, [("set", "dns_txt[x]", "live")]),
        ({"dns_txt": {}, "purge": ["dns_txt"]}, [("set", "dns_txt[a]", "live")]),
        # What leaves goes first.
        (
            {"dhcp_hosts": [{"mac": "52:54:00:00:00:00", "address": "198.18.1.5"}], "purge": ["dhcp_hosts"]},
            [
                ("set", f"dhcp_hosts[{DUID}]", "live"),
                ("set", "dhcp_hosts[52:54:00:aa:00:01]", "live"),
                ("set", "dhcp_hosts[52:54:00:00:00:00]", "live"),
            ],
        ),
        # With another subnet everything waits for it.
        (
            {"subnets": ["198.18.3.1/24"], "dhcp_ranges": ["198.18.3.5-198.18.3.9"], "disruption": "restart"},
            [("set", "", "none"), ("restart", "", "restart")],
        ),
        ({"state": "inactive", "mtu": 1500}, [("set", "mtu", "none"), ("stop", "state", "restart")]),
        ({"state": "absent"}, [("stop", "state", "restart"), ("remove", "", "destroy")]),
        ({"autostart": True}, [("set", "autostart", "none")]),
    ],
)
def test_plans(args: dict[str, Any], steps: list[tuple[str, str, str]]) -> None:
    # A restart that is not allowed is planned too: the engine leaves it out.
    allowed = [step for step in plan(seen(), **args) if args.get("disruption") == "restart" or step[0] != "restart"]
    assert allowed == steps


def test_a_restart_spares_guests_that_run() -> None:
    busy = {"users": {"lab": {"g", "h"}}, "running": {"lab": {"g"}}}
    with pytest.raises(Refused, match="mtu.*: g"):
        plan(seen(**busy), mtu=1500, disruption="restart")
    with pytest.raises(Refused, match=": g"):
        plan(seen(**busy), state="inactive")
    with pytest.raises(Refused, match="g, h"):
        plan(seen(**busy), state="absent")
    assert plan(seen(**busy), state="absent", force=True)
    assert plan(seen(**busy), mtu=1500)


def test_an_entry_in_no_subnet_is_refused() -> None:
    with pytest.raises(InvalidOption, match=r"dhcp_ranges.*198\.19"):
        plan(seen(), dhcp_ranges=["198.19.0.1-198.19.0.9"])
    with pytest.raises(InvalidOption, match="one subnet to another"):
        plan(Seen(), subnets=["198.18.1.1/24", "198.18.2.1/24"], dhcp_ranges=["198.18.1.9-198.18.2.9"])


def test_it_is_a_resource_of_the_engine() -> None:
    assert Job(Networks.__new__(Networks), [want()]).resource.table is NETWORKS_TABLE
