# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""LXC's files of the network for guests: edited, and refused where they would harm the host."""

from __future__ import annotations

from ipaddress import IPv4Interface
from typing import Any

import pytest

from ansible_collections.kraal.virt.plugins.module_utils.host import lxc_network
from ansible_collections.kraal.virt.plugins.module_utils.host.lxc_network import DEFAULTS, Links, Unfit, Wish

HEAD = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\n"
#: In 10.0.3.0/24 and 10.0.4.0/24 itself.
THERE = HEAD + "eth0\t0003000A\t00000000\t0001\t0\t0\t0\t00FFFFFF\neth1\t0004000A\t00000000\t0001\t0\t0\t0\t00FFFFFF\n"
#: Of a range that is reached by a router only.
ROUTED = HEAD + "tun0\t0000000A\t010200C0\t0003\t0\t0\t0\t000000FF\n"


def wanted(
    wish: Wish, text: str = "", *, script: str = "", routes: str = HEAD, ipv6: bool = True
) -> dict[str, str | None]:
    return lxc_network.wanted_network(wish, text, script, routes, ipv6)


# The files


def test_the_network_file_is_edited_not_written() -> None:
    text = '# mine\nUSE_LXC_BRIDGE="true"\n#LXC_ADDR="10.0.3.1"\nLXC_ADDR=10.1.1.1\n\tLXC_ADDR="10.2.2.1" # the one that counts\nLXC_DOMAIN=lxc'
    values = {"USE_LXC_BRIDGE": "true", "LXC_ADDR": "10.3.3.1", "LXC_DOMAIN": None, "LXC_DHCP_MAX": "3"}
    after, changes = lxc_network.network_file(text, values)
    assert changes == {"LXC_ADDR": ("10.2.2.1", "10.3.3.1"), "LXC_DOMAIN": ("lxc", None), "LXC_DHCP_MAX": (None, "3")}
    assert after == '# mine\nUSE_LXC_BRIDGE="true"\n#LXC_ADDR="10.0.3.1"\nLXC_ADDR="10.3.3.1"\nLXC_DHCP_MAX="3"\n'
    assert lxc_network.network_file(after, {"LXC_ADDR": "10.3.3.1", "LXC_DOMAIN": None}) == (after, {})
    assert lxc_network.network_file("LXC_ADDR=10.3.3.1", {"LXC_ADDR": "10.3.3.1"})[1] == {}


def test_the_defaults_of_guests_are_edited_not_written() -> None:
    text = "# mine\nlxc.net.0.type = empty\n  lxc.net.0.link=br9\nlxc.net.0.hwaddr = 00:16:3e:xx:xx:xx\nlxc.mount.entry = /a a none bind 0 0\n"
    after, changes = lxc_network.default_file(text, "lxcbr0")
    assert changes == {
        "lxc.net.0.type": ("empty", "veth"),
        "lxc.net.0.link": ("br9", "lxcbr0"),
        "lxc.net.0.flags": (None, "up"),
    }
    assert after == (
        "# mine\nlxc.net.0.type = veth\nlxc.net.0.link = lxcbr0\nlxc.net.0.hwaddr = 00:16:3e:xx:xx:xx\n"
        "lxc.mount.entry = /a a none bind 0 0\nlxc.net.0.flags = up\n"
    )
    assert lxc_network.default_file(after, "lxcbr0") == (after, {})


def test_who_may_connect_guests() -> None:
    """Root needs no leave, and who may connect more keeps that."""
    text = "# mine\nanna veth lxcbr0 3\nben veth lxcbr0 20\nanna veth br1 5\n"
    after, changes = lxc_network.usernet_file(text, ["root", "anna", "ben", "c.d"], "lxcbr0")
    assert changes == {"anna": ("veth lxcbr0 3", "veth lxcbr0 10"), "c.d": (None, "veth lxcbr0 10")}
    assert after == "# mine\nanna veth lxcbr0 10\nben veth lxcbr0 20\nanna veth br1 5\nc.d veth lxcbr0 10\n"
    assert lxc_network.usernet_file(after, ["root", "anna", "ben", "c.d"], "lxcbr0") == (after, {})


# What the options stand for


def test_what_is_not_asked_for_stays_as_it_is() -> None:
    assert wanted(Wish()) == {"USE_LXC_BRIDGE": "true", "LXC_USE_NFT": "false"}
    assert wanted(Wish(), "LXC_ADDR=10.9.9.1\nLXC_BRIDGE=br9\n", routes=THERE) == {
        "USE_LXC_BRIDGE": "true",
        "LXC_BRIDGE": "lxcbr0",
        "LXC_USE_NFT": "false",
    }
    assert wanted(Wish("existing", "br0")) == {"USE_LXC_BRIDGE": "false"}


def test_an_address_brings_its_network_and_its_range() -> None:
    assert wanted(
        Wish(
            address="10.77.1.1/24",
            dhcp_range="10.77.1.100, 10.77.1.199",
            options={"LXC_DHCP_PING": False, "LXC_DOMAIN": None},
        )
    ) == {
        "USE_LXC_BRIDGE": "true",
        "LXC_ADDR": "10.77.1.1",
        "LXC_NETMASK": "255.255.255.0",
        "LXC_NETWORK": "10.77.1.0/24",
        "LXC_DHCP_RANGE": "10.77.1.100,10.77.1.199",
        "LXC_DHCP_MAX": "100",
        "LXC_USE_NFT": "false",
        "LXC_DHCP_PING": "false",
        "LXC_DOMAIN": None,
    }
    script = 'LXC_ADDR="10.0.3.1"\nLXC_NETMASK="255.255.255.0"\nstart() {\nLXC_ADDR=no\n}\n'
    ranged = wanted(Wish(dhcp_range="10.0.3.9,10.0.3.9"), script=script)
    assert (ranged["LXC_DHCP_RANGE"], ranged["LXC_DHCP_MAX"], "LXC_ADDR" in ranged) == ("10.0.3.9,10.0.3.9", "1", False)


def test_another_network_where_the_host_is_in_the_usual_one() -> None:
    assert wanted(Wish(), routes=THERE)["LXC_ADDR"] == "10.103.3.1"
    assert wanted(Wish(), routes=THERE)["LXC_DHCP_RANGE"] == "10.103.3.2,10.103.3.254"
    assert "LXC_ADDR" not in wanted(Wish(bridge="eth0"), routes=THERE)
    assert "LXC_ADDR" not in wanted(Wish(), routes=ROUTED)


@pytest.mark.parametrize(
    ("value", "address", "span", "size"),
    [
        ("", "10.0.3.1/24", "10.0.3.2,10.0.3.254", 253),
        ("", "10.0.3.254/24", "10.0.3.1,10.0.3.253", 253),
        ("10.0.3.10, 10.0.3.19", "10.0.3.1/24", "10.0.3.10,10.0.3.19", 10),
    ],
)
def test_the_range_of_addresses(value: str, address: str, span: str, size: int) -> None:
    assert lxc_network.scope(value, IPv4Interface(address)) == (span, size)


def test_a_host_without_ipv6() -> None:
    """Since Debian 13, lxc-net does not start there unless told so."""
    assert wanted(Wish(), ipv6=False)["LXC_IPV6_ADDR"] == ""
    with pytest.raises(Unfit, match=r"sets LXC_IPV6_ADDR, but IPv6 is off"):
        wanted(Wish(options={"LXC_IPV6_ADDR": "fd00::1"}), ipv6=False)


#: Options, and what is said of them.
WRONG: list[tuple[dict[str, Any], list[str]]] = [
    ({"address": "10.77.1.1"}, ["lxc_host_address is 10.77.1.1", "with its prefix"]),
    ({"address": "10.77.1.0/24"}, ["lxc_host_address is 10.77.1.0/24", "not a host's address"]),
    (
        {"address": "10.77.1.1/24", "dhcp_range": "10.77.2.1,10.77.2.9"},
        ["lxc_host_dhcp_range is 10.77.2.1,10.77.2.9", "no range in 10.77.1.0/24"],
    ),
    ({"address": "10.77.1.1/24", "dhcp_range": "10.77.1.1,10.77.1.9"}, ["the host's own address 10.77.1.1 lies in it"]),
    ({"dhcp_range": "10.77.1.9"}, ["lxc_host_dhcp_range is 10.77.1.9: ", "Write the first and the last address"]),
    ({"options": {"PATH": "/tmp"}}, ["lxc_host_net_options names PATH"]),
    ({"options": {"LXC_ADDR": "10.1.1.1"}}, ["names LXC_ADDR", "Set lxc_host_address"]),
    ({"options": {"LXC_DOMAIN": "$(touch /tmp/kt)"}}, ["LXC_DOMAIN", "a shell would read"]),
    ({"bridge": "../x"}, ["lxc_host_bridge is '../x'", "at most 15 letters"]),
    ({"bridge": "br0", "network": "existing", "address": "10.77.1.1/24"}, ["are for the bridge of lxc-net"]),
]


@pytest.mark.parametrize(("given", "words"), WRONG, ids=[" ".join(given) for given, _words in WRONG])
def test_what_cannot_be_meant(given: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(Unfit) as refused:
        wanted(Wish(**given))
    assert [word for word in words if word not in str(refused.value)] == []


# What would harm the host

OWN, ANOTHERS = {"name": "lxcbr0", "mac": DEFAULTS["LXC_BRIDGE_MAC"]}, {"name": "kt-br", "mac": "02:00:00:00:00:01"}


@pytest.mark.parametrize(
    ("wish", "links", "words"),
    [
        (Wish(), Links({}, False, HEAD), []),
        (Wish(), Links({"lxcbr0": OWN}, True, HEAD), []),
        (Wish(), Links({}, False, ROUTED), []),
        (Wish(), Links({}, False, THERE.replace("eth0", "lxcbr0")), []),
        (
            Wish(),
            Links({}, False, THERE),
            [
                "the guests' network 10.0.3.0/24 overlaps with 10.0.3.0/24, which this host is in by eth0",
                "lxc_host_address",
            ],
        ),
        (Wish(bridge="eth0"), Links({}, True, HEAD), ["lxc_host_bridge is eth0", "no bridge"]),
        (
            Wish(bridge="kt-br"),
            Links({"kt-br": ANOTHERS}, True, HEAD),
            ["lxc-net has not made", "lxc_host_network: existing"],
        ),
        (Wish("existing", "kt-br"), Links({"kt-br": ANOTHERS}, True, THERE), []),
        (
            Wish("existing", "kt-none"),
            Links({}, False, HEAD),
            ["there is no bridge kt-none", "lxc_host_network: lxc-net"],
        ),
    ],
)
def test_what_would_harm_the_host(wish: Wish, links: Links, words: list[str]) -> None:
    said = lxc_network.harm(wish, DEFAULTS, DEFAULTS, links)
    assert bool(said) is bool(words), said
    assert [word for word in words if word not in said] == []


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
    said = lxc_network.forwarding(rules, "br9", True)
    assert bool(said) is warned
    assert not warned or ("iptables -I DOCKER-USER -i br9 -j ACCEPT" in said and "nor each other" in said)
