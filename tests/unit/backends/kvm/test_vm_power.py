# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Why a wait was over: an emulated guest that still boots is not blamed on its network."""

from __future__ import annotations

import pytest

from ansible_collections.kraal.virt.plugins.module_utils.backends.kvm.vm.power import unmet
from tests.unit.backends.kvm.recorded import recorded

BOOTING = (
    ": it is emulated, and still booting. It goes on booting: run this again in some minutes, or allow a longer timeout"
)
PERHAPS = ": it is emulated, and may still be booting. It goes on"
NETWORK = ". Look at its networks and their DHCP, or allow a longer timeout."
AGENT = ". Give it the channel org.qemu.guest_agent.0, and install qemu-guest-agent in it."


@pytest.mark.parametrize(
    ("kind", "channel", "wait_for", "said"),
    [
        ("qemu", "disconnected", "address", BOOTING),
        ("qemu", "disconnected", "agent", BOOTING),
        ("qemu", "connected", "address", NETWORK),
        ("qemu", None, "address", PERHAPS),
        ("qemu", None, "agent", AGENT),
        ("kvm", "disconnected", "address", NETWORK),
        ("kvm", "disconnected", "agent", AGENT),
    ],
)
def test_what_is_blamed(kind: str, channel: str | None, wait_for: str, said: str) -> None:
    live = recorded("live")
    live.set("type", kind)
    devices = live.find("devices")
    assert devices is not None
    for found in devices.findall("channel"):
        target = found.find("target")
        if target is not None and target.get("name") == "org.qemu.guest_agent.0":
            devices.remove(found) if channel is None else target.set("state", channel)
    assert said in str(unmet(wait_for, 300, live)) and "within 300 seconds" in str(unmet(wait_for, 300, live))


def test_one_that_does_not_run_is_not_booting() -> None:
    assert str(unmet("address", 5, None)) == "it was not given an address within 5 seconds" + NETWORK
