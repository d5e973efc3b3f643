# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which address of a container comes first."""

from __future__ import annotations

from ansible_collections.kraal.virt.plugins.module_utils.backends.lxc.container.addresses import Found
from ansible_collections.kraal.virt.plugins.module_utils.backends.lxc.container.config import Config
from ansible_collections.kraal.virt.plugins.module_utils.backends.lxc.container.describe import guest_of
from ansible_collections.kraal.virt.plugins.module_utils.backends.lxc.container.model import Container

CONFIG = """lxc.net.0.type = veth
lxc.net.0.link = lxcbr0
lxc.net.0.name = wan
lxc.net.1.type = veth
lxc.net.1.link = br1
lxc.net.1.hwaddr = 00:16:3E:00:00:02
"""


def found(interface: str, mac: str, *addresses: str) -> list[Found]:
    return [Found(interface, mac, each, "ipv6" if ":" in each else "ipv4") for each in addresses]


def test_what_the_configuration_gives_comes_before_what_the_guest_has_made() -> None:
    said = [
        *found("a0", "02:42:00:00:00:01", "172.17.0.1"),
        *found("br0", "00:16:3e:00:00:02", "192.0.2.2"),
        *found("tun0", "", "10.8.0.1"),
        *found("wan", "00:16:3e:00:00:01", "2001:db8::1", "198.51.100.1"),
    ]
    container = Container("c", "/lxc", Config(CONFIG), state="running", addresses=tuple(said))
    assert [(each.address, each.network) for each in guest_of(container).addresses] == [
        ("198.51.100.1", "lxcbr0"),
        ("2001:db8::1", "lxcbr0"),
        ("192.0.2.2", "br0"),
        ("172.17.0.1", "a0"),
        ("10.8.0.1", "tun0"),
    ]
