# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rows of a domain's network interfaces."""

from __future__ import annotations

from .row import Row, every, nic

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
)
