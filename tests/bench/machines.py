# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The cases with virtual machines, on a libvirtd of the benchmark's own: guests that are defined, and nothing or
little to change in them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from tests.support.libvirt_daemon import LibvirtDaemon

from .cases import FLEET, PING, PREFIX
from .report import Report, Verdict
from .runs import Ansible

PEER = "community.libvirt.virt"
#: What the peer is given for one guest: the same, as a user of it has to write it.
DOMAIN = """<domain type='qemu'><name>{name}</name><memory unit='MiB'>64</memory><vcpu>1</vcpu>
<os><type arch='x86_64' machine='q35'>hvm</type></os><features><acpi/><apic/></features>
<devices><interface type='user'><mac address='52:54:00:be:00:{number:02x}'/><model type='virtio'/></interface><console type='pty'/></devices></domain>"""


def fleet(uri: str, numbers: Iterable[int], memory: Mapping[int, str] | None = None) -> dict[str, Any]:
    """The guests for the fleet ..."""
    defaults = {
        "backend": "kvm",
        "uri": uri,
        "type": "qemu",
        "state": "present",
        "memory": "64MiB",
        "networks": [{"type": "user"}],
    }
    guests = [
        {"name": f"{PREFIX}{number}", **({"memory": memory[number]} if memory and number in memory else {})}
        for number in numbers
    ]
    return {FLEET: {"defaults": defaults, "guests": guests}}


def loop(uri: str, numbers: Iterable[int]) -> dict[str, Any]:
    """... and for the peer."""
    items = [DOMAIN.format(name=f"{PREFIX}peer-{number}", number=number) for number in numbers]
    return {PEER: {"command": "define", "uri": uri, "xml": "{{ item }}"}, "loop": items, "loop_control": {"label": ""}}


class Machines:
    """The daemon, the programs, and the report that the cases fill."""

    def __init__(self, daemon: LibvirtDaemon, ansible: Ansible, report: Report) -> None:
        self.daemon, self.ansible, self.report = daemon, ansible, report

    def run(self) -> None:
        self.define(50)
        self.unchanged(50, turns=5, peer_turns=2)
        self.change_one(50, turns=3)

    def define(self, count: int) -> None:
        """Define guests that are not there."""
        mine, peer = self.report.start(f"define {count} virtual machines", "fleet", f"{PEER} in a loop")
        run = self.ansible.play(fleet(self.daemon.uri, range(count)), changed=True)
        mine.add(run.seconds, run.cpu)
        run = self.ansible.play(loop(self.daemon.uri, range(count)), changed=True)
        peer.add(run.seconds, run.cpu)

    def unchanged(self, count: int, turns: int, peer_turns: int) -> None:
        """Nothing to change: what a daily run costs.

        The peer says that it changed something, or that it did not; both are measured.
        """
        case = f"nothing to change in {count} virtual machines"
        ping, mine, check, peer = self.report.start(case, PING, "fleet", "fleet --check", f"{PEER} in a loop")
        task = fleet(self.daemon.uri, range(count))
        for turn in range(turns):
            for series, each, checks in ((ping, {PING: {}}, False), (mine, task, False), (check, task, True)):
                run = self.ansible.play(each, changed=False, check=checks)
                series.add(run.seconds, run.cpu)
            if turn < peer_turns:
                run = self.ansible.play(loop(self.daemon.uri, range(count)), changed=None)
                peer.add(run.seconds, run.cpu)
        self.report.verdicts.append(Verdict(case, "more than a ping task", mine.median - ping.median, 1, "s"))
        self.report.verdicts.append(
            Verdict(case, "faster than the peer's loop", peer.median / mine.median, 5, "times", least=True)
        )

    def change_one(self, count: int, turns: int) -> None:
        """One guest's memory."""
        (mine,) = self.report.start(f"change one of {count} virtual machines", "fleet")
        for turn in range(turns):
            run = self.ansible.play(fleet(self.daemon.uri, range(count), {7: f"{96 + turn}MiB"}), changed=True)
            mine.add(run.seconds, run.cpu)
