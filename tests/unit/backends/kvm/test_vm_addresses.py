# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A guest says what it likes of its addresses."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.kraal.virt.plugins.module_utils.backends.kvm import vm_addresses
from ansible_collections.kraal.virt.plugins.module_utils.backends.kvm.client import LibvirtError
from ansible_collections.kraal.virt.plugins.module_utils.backends.kvm.vm_observe import Domain
from ansible_collections.kraal.virt.plugins.module_utils.backends.kvm.vm_settings import View
from ansible_collections.kraal.virt.plugins.module_utils.backends.kvm.xml import parse

LIVE = """<domain><devices>
<interface type='bridge'><mac address='52:54:00:00:00:01'/><source bridge='br0'/></interface>
<channel><target type='virtio' name='org.qemu.guest_agent.0' state='connected'/></channel>
</devices></domain>"""


class Agent:
    """A guest whose agent gives these addresses."""

    def __init__(self, *addresses: Any) -> None:
        self.addresses = addresses
        self.limits: list[int] = []

    def agentSetResponseTimeout(self, seconds: int, _flags: int) -> None:
        self.limits.append(seconds)

    def interfaceAddresses(self, _source: int, _flags: int) -> dict[str, Any]:
        return {"eth0": {"hwaddr": "52:54:00:00:00:01", "addrs": [{"addr": each} for each in self.addresses]}}


class Asking:
    """Asks as a host does."""

    def ask(self, function: Any, *arguments: Any) -> Any:
        return function(*arguments)


@pytest.mark.parametrize("bad", ["bogus", "", "1.2.3", "::1::", "fe80::1%eth0/64", None, "192.0.2.1\n"])
def test_what_is_no_address_is_none(monkeypatch: pytest.MonkeyPatch, bad: Any) -> None:
    monkeypatch.setattr(vm_addresses, "constant", lambda name: {"DOMAIN_AGENT_RESPONSE_TIMEOUT_BLOCK": -2}.get(name, 0))
    view = View(parse(LIVE), "kt")
    domains = {"kt": Domain("kt", "running", view, view)}
    agent = Agent(bad, "192.0.2.7")
    vm_addresses.find(Asking(), domains, {"kt": agent}, {}, ["agent"])  # type: ignore[arg-type]
    assert agent.limits == [3, -2], "the limit is everybody's"
    assert [each.address for each in domains["kt"].addresses] == ["192.0.2.7"]


def test_an_agent_that_hangs_is_told_though_its_guest_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the agent did is not hidden by the limit that cannot be taken back."""
    monkeypatch.setattr(vm_addresses, "constant", lambda _name: -2)

    class Ended(Agent):
        def agentSetResponseTimeout(self, seconds: int, flags: int) -> None:
            super().agentSetResponseTimeout(seconds, flags)
            if seconds < 0:
                raise LibvirtError("the guest has ended", code=55)

    ended = Ended()
    with pytest.raises(LibvirtError, match="it hangs"), vm_addresses.agent_in_time(Asking(), ended):  # type: ignore[arg-type]
        raise LibvirtError("it hangs", code=86)
    assert ended.limits == [3, -2]
