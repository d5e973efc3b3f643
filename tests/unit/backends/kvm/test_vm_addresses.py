# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A guest says what it likes of its addresses."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from ansible_collections.kraal.virt.plugins.module_utils.backends.kvm import client
from ansible_collections.kraal.virt.plugins.module_utils.backends.kvm.client import Host
from ansible_collections.kraal.virt.plugins.module_utils.backends.kvm.vm import addresses as vm_addresses
from ansible_collections.kraal.virt.plugins.module_utils.backends.kvm.vm.model import Domain, View
from ansible_collections.kraal.virt.plugins.module_utils.backends.kvm.xml import parse

LIVE = """<domain><devices>
<interface type='bridge'><mac address='52:54:00:00:00:01'/><source bridge='br0'/></interface>
<channel><target type='virtio' name='org.qemu.guest_agent.0' state='connected'/></channel>
</devices></domain>"""


class Agent:
    """A guest whose agent gives these addresses."""

    def __init__(self, *addresses: Any, name: str = "kt") -> None:
        self.addresses = addresses
        self.name = name

    def UUIDString(self) -> str:
        return self.name

    def interfaceAddresses(self, _source: int, _flags: int) -> dict[str, Any]:
        return {"eth0": {"hwaddr": "52:54:00:00:00:01", "addrs": [{"addr": each} for each in self.addresses]}}


class Hanging(Agent):
    """One that does not answer until it is let go."""

    def __init__(self, name: str = "kt") -> None:
        super().__init__("192.0.2.7", name=name)
        self.let_go = threading.Event()
        self.asked = 0

    def interfaceAddresses(self, source: int, flags: int) -> dict[str, Any]:
        self.asked += 1
        self.let_go.wait(30)
        return super().interfaceAddresses(source, flags)


class Connection:
    def getLibVersion(self) -> int:
        return 9_000_000


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Host:
    monkeypatch.setattr(vm_addresses, "constant", lambda _name: 0)
    monkeypatch.setattr(client, "libvirt", SimpleNamespace(libvirtError=NotImplementedError), raising=False)
    monkeypatch.setattr(client, "AGENT_SECONDS", 0.05)
    return Host(Connection(), "test:///default")


def addresses(host: Host, agent: Agent) -> list[str]:
    view = View(parse(LIVE), "kt")
    domains = {"kt": Domain("kt", "running", view, view)}
    vm_addresses.find(host, domains, {"kt": agent}, {}, ["agent"])
    return [each.address for each in domains["kt"].addresses]


@pytest.mark.parametrize("bad", ["bogus", "", "1.2.3", "::1::", "fe80::1%eth0/64", None, "192.0.2.1\n"])
def test_what_is_no_address_is_none(host: Host, bad: Any) -> None:
    assert addresses(host, Agent(bad, "192.0.2.7")) == ["192.0.2.7"]


def test_an_agent_that_hangs_is_not_waited_for_and_not_asked_twice(host: Host) -> None:
    hanging = Hanging()
    assert addresses(host, hanging) == addresses(host, hanging) == []
    assert hanging.asked == 1
    assert addresses(host, Agent("192.0.2.8", name="other")) == ["192.0.2.8"]
    hanging.let_go.set()
    host._asking["kt"].result(30)
    assert addresses(host, hanging) == ["192.0.2.7"]


def test_the_connection_is_not_given_away_to_agents_that_hang(host: Host) -> None:
    """Libvirt answers five questions of one connection at a time."""
    hanging = [Hanging(str(number)) for number in range(6)]
    assert [addresses(host, each) for each in hanging] == [[]] * 6
    assert [each.asked for each in hanging] == [1, 1, 1, 0, 0, 0]
    for each in hanging:
        each.let_go.set()


class Asking:
    """Asks as a host does."""

    local = True

    def ask(self, function: Any, *arguments: Any) -> Any:
        return function(*arguments)

    def ask_guest(self, _domain: Any, function: Any, *arguments: Any) -> Any:
        return function(*arguments)


TWO = """<domain><devices>
<interface type='network'><mac address='52:54:00:00:00:0B'/><source network='back'/></interface>
<interface type='bridge'><mac address='52:54:00:00:00:0a'/><source bridge='br0'/></interface>
<channel><target type='virtio' name='org.qemu.guest_agent.0' state='connected'/></channel>
</devices></domain>"""


def interface(mac: str | None, *addresses: str) -> dict[str, Any]:
    """One of the interfaces that libvirt's binding gives for an agent's answer."""
    return {
        "hwaddr": mac,
        "addrs": [{"addr": each, "prefix": 24, "type": 1 if ":" in each else 0} for each in addresses] or None,
    }


#: What the agent of a Debian 12 with Docker, a VPN and a virtual address of its own says, with what a hostile one could
#: add.
SAID = {
    "lo": interface("00:00:00:00:00:00", "127.0.0.1", "::1"),
    "docker0": interface("02:42:98:f6:13:f3", "172.17.0.1"),
    "br-f00": interface("02:42:8a:00:00:01", "10.0.0.1"),
    "wg0": interface(None, "10.8.0.1"),
    "tun0": interface("", "10.9.0.1"),
    "eth1": interface(
        "52:54:00:00:00:0a", "198.51.100.50", "198.51.100.9", "2001:db8::5054:ff:fe00:a", "fe80::5054:ff:fe00:a"
    ),
    "eth0": interface(
        "52:54:00:00:00:0B",
        "192.0.2.50",
        "::ffff:127.0.0.1",
        "169.254.3.3",
        "224.0.0.1",
        "255.255.255.255",
        "64:ff9b::7f00:1",
        "0.0.0.0",
    ),
}


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[tuple[str, str]]]:
    """The addresses of a guest whose agent says that, on a host which has these."""

    def ask(
        live: str, interfaces: dict[str, Any], own: Sequence[str] = (), *, local: bool = True
    ) -> list[tuple[str, str]]:
        monkeypatch.setattr(vm_addresses, "constant", lambda _name: 0)
        monkeypatch.setattr(vm_addresses, "own_addresses", lambda: frozenset(own))
        view, host, agent = View(parse(live), "kt"), Asking(), Agent()
        host.local = local
        agent.interfaceAddresses = lambda _source, _flags: interfaces  # type: ignore[method-assign]
        domains = {"kt": Domain("kt", "running", view, view)}
        vm_addresses.find(host, domains, {"kt": agent}, {}, ["agent"])  # type: ignore[arg-type]
        return [(each.address, each.network) for each in domains["kt"].addresses]

    return ask


def test_only_the_domains_own_interfaces_count_and_in_their_order(said: Callable[..., list[tuple[str, str]]]) -> None:
    """Not a bridge that the guest has made, whose address is on this host, too, somebody else's."""
    mine = [
        ("192.0.2.50", "back"),
        ("198.51.100.50", "br0"),
        ("198.51.100.9", "br0"),
        ("2001:db8::5054:ff:fe00:a", "br0"),
    ]
    assert said(TWO, SAID) == mine
    assert said(TWO, dict(reversed(SAID.items()))) == mine
    assert said(LIVE, SAID) == []


def test_a_guest_is_not_reached_at_an_address_of_its_host(said: Callable[..., list[tuple[str, str]]]) -> None:
    answer = {"eth0": interface("52:54:00:00:00:01", "172.17.0.1", "::ffff:172.17.0.1", "2001:db8::1", "192.0.2.50")}
    own = ["127.0.0.1", "172.17.0.1", "2001:db8::1"]
    assert said(LIVE, answer, own) == [("192.0.2.50", "br0")]
    # Of a libvirt elsewhere, this machine is not the host.
    assert len(said(LIVE, answer, own, local=False)) == 3


def test_an_interface_without_a_mac_is_nobodys(said: Callable[..., list[tuple[str, str]]]) -> None:
    assert said(LIVE.replace("<mac address='52:54:00:00:00:01'/>", ""), SAID) == []


def test_the_newest_lease_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vm_addresses, "constant", lambda _name: 0)
    monkeypatch.setattr(vm_addresses, "own_addresses", lambda: frozenset(["192.0.2.1"]))

    class Network(SimpleNamespace):
        def name(self) -> str:
            return "default"

        def DHCPLeases(self) -> list[dict[str, Any]]:
            return [
                {"mac": "52:54:00:00:00:0B", "ipaddr": address, "expirytime": at}
                for address, at in (("192.0.2.2", 5), ("192.0.2.9", 9), ("192.0.2.1", 0))
            ]

    host, view = Asking(), View(parse(TWO), "kt")
    host.conn = SimpleNamespace(listAllNetworks=lambda _flags: [Network()])  # type: ignore[attr-defined]
    domains = {"kt": Domain("kt", "running", view, view)}
    vm_addresses.find(host, domains, {"kt": None}, {}, ["lease"])  # type: ignore[arg-type]
    assert [each.address for each in domains["kt"].addresses] == ["192.0.2.9", "192.0.2.2"]
