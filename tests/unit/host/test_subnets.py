# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The networks that a host is in, and addresses for one of guests."""

from __future__ import annotations

from ipaddress import IPv4Interface, IPv4Network

import pytest

from ansible_collections.kraal.virt.plugins.module_utils.host import subnets

ROUTES = (
    "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n"
    "eth0\t00000000\t010200C0\t0003\t0\t0\t100\t00000000\t0\t0\t0\n"
    "eth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n"
    "lxcbr0\t0003000A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n"
    "tun0\t0000000A\t010200C0\t0003\t0\t0\t0\t000000FF\t0\t0\t0\n"
)
HOST, BRIDGE, TUNNEL = (
    ("eth0", IPv4Network("192.0.2.0/24")),
    ("lxcbr0", IPv4Network("10.0.3.0/24")),
    ("tun0", IPv4Network("10.0.0.0/8")),
)


def test_the_routes_of_the_kernel() -> None:
    default, *rest = subnets.routes(ROUTES)
    assert default == subnets.Route("eth0", IPv4Network("0.0.0.0/0"), "192.0.2.1", 100)
    assert [(route.link, route.network) for route in rest] == [HOST, BRIDGE, TUNNEL]
    assert [route.gateway for route in rest] == ["", "", "192.0.2.1"]


def test_the_networks_that_a_host_is_in() -> None:
    """Not the default route, and, if so asked, none by a router."""
    assert subnets.networks(ROUTES) == [HOST, BRIDGE, TUNNEL]
    assert subnets.networks(ROUTES, direct=True) == [HOST, BRIDGE]


def test_what_overlaps() -> None:
    there = [HOST, BRIDGE, TUNNEL]
    assert subnets.overlapping(IPv4Network("10.0.3.0/25"), there) == [BRIDGE, TUNNEL]
    assert subnets.overlapping(IPv4Network("192.0.0.0/16"), there) == [HOST]
    assert subnets.overlapping(IPv4Network("198.51.100.0/24"), there) == []
    assert subnets.first_free(["192.0.2.1/25", "10.9.9.1/24", "172.30.3.1/24"], there) == "172.30.3.1/24"
    assert subnets.first_free(["192.0.2.1/25"], there) == ""


@pytest.mark.parametrize(
    ("address", "first", "last"),
    [
        ("10.0.3.1/24", "10.0.3.2", "10.0.3.254"),
        ("10.0.3.254/24", "10.0.3.1", "10.0.3.253"),
        ("10.0.3.100/255.255.255.0", "10.0.3.101", "10.0.3.254"),
        ("192.168.150.200/24", "192.168.150.1", "192.168.150.199"),
    ],
)
def test_the_larger_part_is_for_guests(address: str, first: str, last: str) -> None:
    assert tuple(map(str, subnets.dhcp_range(subnets.host_address(address)))) == (first, last)
    assert subnets.host_address(address) == IPv4Interface(address)


@pytest.mark.parametrize(
    "address", ["10.0.3.1", "10.0.3.0/24", "10.0.3.255/24", "10.0.3.1/30", "10.0.3.1/7", "nonsense", "fd00::1/64", ""]
)
def test_what_is_no_hosts_address(address: str) -> None:
    with pytest.raises(ValueError, match=r"not a host's address|not permitted|Expected 4 octets|cannot be empty"):
        subnets.host_address(address)
