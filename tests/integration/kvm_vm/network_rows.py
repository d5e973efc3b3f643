# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rows of a domain's network interfaces."""

from __future__ import annotations

from typing import Any

from .row import Row, every, nic

IFACE = "09b11c53-8b5c-4eeb-8f00-d84eaa0aaa4f"
#: On the host, behind a device of the host, and between emulators.
OTHERS: list[dict[str, Any]] = [
    {"type": "ethernet", "source": "kt-tap0"},
    {"type": "hostdev", "source": "0000:7f:10.1"},
    {"type": "mcast", "source": "230.0.0.1:5558"},
    {"type": "vdpa", "source": "/dev/vhost-vdpa-0"},
]
KINDS = [
    ("hostdev", None, None, None, None, "yes"),
    ("mcast", "virtio", None, None, "5558", None),
    ("vdpa", "virtio", "/dev/vhost-vdpa-0", None, None, None),
]

NETWORK_ROWS = (
    Row(
        "networks",
        ["<net1>"],
        ["<net1>", {"network": "<net2>", "mac": "52:54:00:0A:BC:0D"}],
        every("devices/interface", "source@network"),
        ([("<net1>",)], [("<net1>",), ("<net2>",)]),
        same=([{"network": "<net2>", "mac": "52:54:00:0a:bc:0d", "model": "virtio"}],),
        purge=True,
        about="add",
        running="",
    ),
    Row(
        "networks",
        [{"network": "<net1>", "mac": "52:54:00:00:00:07"}],
        [{"network": "<net2>", "mac": "52:54:00:00:00:07"}],
        nic(0, "source@network", "mac@address"),
        (("<net1>", "52:54:00:00:00:07"), ("<net2>", "52:54:00:00:00:07")),
        about="move",
        running="live",
    ),
    Row(
        "networks",
        [{"network": "<net1>", "link": "up"}],
        [{"network": "<net1>", "link": "down"}],
        nic(0, "link@state"),
        ((None,), ("down",)),
        about="link",
        running="live",
    ),
    Row(
        "networks",
        [{"network": "<net1>", "model": "e1000e"}],
        [{"network": "<net1>", "model": "virtio", "mtu": 1400}],
        nic(0, "model@type", "mtu@size"),
        (("e1000e", None), ("virtio", "1400")),
        about="model",
    ),
    Row(
        "networks",
        [{"bridge": "br-kt"}],
        [{"bridge": "br-kt", "boot_order": 1}],
        nic(0, "@type", "source@bridge", "boot@order"),
        (("bridge", "br-kt", None), ("bridge", "br-kt", "1")),
        about="bridge",
        running="",
    ),
    Row(
        "networks",
        [{"macvtap": "eth9"}],
        [{"macvtap": "eth9", "mode": "private"}],
        nic(0, "@type", "source@dev", "source@mode"),
        (("direct", "eth9", "bridge"), ("direct", "eth9", "private")),
        about="macvtap",
        running="",
    ),
    Row(
        "networks",
        [{"type": "user"}],
        [{"type": "user", "model": "e1000e"}],
        nic(0, "@type", "model@type"),
        (("user", "virtio"), ("user", "e1000e")),
        about="user",
    ),
    Row(
        "networks",
        ["<net1>"],
        [{"network": "<net1>", "filter": "clean-traffic"}],
        nic(0, "filterref@filter"),
        ((None,), ("clean-traffic",)),
        about="filter",
        running="",
    ),
    Row(
        "networks",
        [{"network": "<net1>", "mac": "52:54:00:00:00:07", "portgroup": "kt-a"}],
        [{"network": "<net2>", "mac": "52:54:00:00:00:07"}],
        nic(0, "source@network", "source@portgroup"),
        (("<net1>", "kt-a"), ("<net2>", "kt-a")),
        about="portgroup-moves",
        running="live",
    ),
    Row(
        "networks",
        [{"network": "<net1>", "portgroup": "kt-a"}],
        [{"network": "<net1>", "portgroup": ""}],
        nic(0, "source@portgroup"),
        (("kt-a",), (None,)),
        about="portgroup",
    ),
    Row(
        "networks",
        [{"network": "<net1>", "inbound_average": 1000}],
        [{"network": "<net1>", "inbound_average": 2000, "inbound_peak": 4000, "outbound_average": 500}],
        nic(0, "bandwidth/inbound@average", "bandwidth/inbound@peak", "bandwidth/outbound@average"),
        (("1000", None, None), ("2000", "4000", "500")),
        about="bandwidth",
        # What limits it (tc's sfq and police) is not in each kernel.
        running="",
    ),
    Row(
        "networks",
        [{"bridge": "br-kt", "vlan": 42, "virtualport": "openvswitch", "interfaceid": IFACE}],
        [{"bridge": "br-kt", "vlan": [47, 42], "profileid": "kt"}],
        lambda root: (
            nic(0, "virtualport@type", "virtualport/parameters@interfaceid", "virtualport/parameters@profileid")(root),
            every("devices/interface/vlan/tag", "@id")(root),
        ),
        ((("openvswitch", IFACE, None), [("42",)]), (("openvswitch", IFACE, "kt"), [("42",), ("47",)])),
        about="vlan",
        running="",
    ),
    Row(
        "networks",
        [{"type": "vhostuser", "source": "/run/kt.sock"}],
        [{"type": "vhostuser", "source": "/run/kt.sock", "mode": "client"}],
        nic(0, "@type", "source@type", "source@path", "source@mode"),
        (("vhostuser", "unix", "/run/kt.sock", "server"), ("vhostuser", "unix", "/run/kt.sock", "client")),
        extra={"memory_backing": {"source": "memfd", "access": "shared"}},
        about="vhostuser",
        running="",
    ),
    Row(
        "networks",
        OTHERS,
        [{**OTHERS[0], "model": "e1000e"}, *OTHERS[1:]],
        every("devices/interface", "@type", "model@type", "source@dev", "target@dev", "source@port", "@managed"),
        (
            [("ethernet", "virtio", None, "kt-tap0", None, None), *KINDS],
            [("ethernet", "e1000e", None, "kt-tap0", None, None), *KINDS],
        ),
        about="other-kinds",
        running="",
    ),
)
