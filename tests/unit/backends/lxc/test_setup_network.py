# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""lxc-net as a part of a setup: what it takes, who would be cut off, and the way back when it does not start."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from ansible_collections.kraal.virt.plugins.module_utils.backends.lxc.setup import network as setup_network
from ansible_collections.kraal.virt.plugins.module_utils.backends.lxc.setup.files import Edit
from ansible_collections.kraal.virt.plugins.module_utils.backends.lxc.setup.network import (
    NET,
    Bridge,
    LxcNet,
    Planned,
)
from ansible_collections.kraal.virt.plugins.module_utils.engine.errors import BackendError
from ansible_collections.kraal.virt.plugins.module_utils.host.lxc_network import DEFAULTS, Changes, Links, Wish
from ansible_collections.kraal.virt.plugins.module_utils.host.reader import Host, Said

GONE = Bridge("lxcbr0")
RUNS = Bridge("lxcbr0", True, ["10.0.3.1"], [], True, True)
IN_USE = replace(RUNS, ports=["veth1", "veth2"])
DIED = replace(IN_USE, served=False)
NOTHING: Changes = {}
DOMAIN: Changes = {"LXC_DOMAIN": ("old", "new")}
OFF = {**DEFAULTS, "USE_LXC_BRIDGE": "false"}
TEXT = "LXC_DOMAIN=old\n"


class Fake(Host):
    """Writes down what is run; ``fails`` are the numbers of the starts that fail."""

    def __init__(self, fails: Sequence[int] = ()) -> None:
        super().__init__()
        self.fails, self.ran, self.starts = fails, list[str](), 0

    def run(self, argv: Sequence[str]) -> Said:
        self.ran.append(argv[-1] if argv[0] == NET else " ".join(argv))
        if argv[-1] != "start":
            return Said(1)
        self.starts += 1
        return (
            Said(1, "Bad rule (does a matching rule exist in that chain?).\n", "dnsmasq: Address already in use\n")
            if self.starts in self.fails
            else Said(0)
        )


def part(
    host: Host,
    bridge: Bridge,
    changes: Changes,
    path: Path,
    *,
    after: dict[str, str] = DEFAULTS,
    interrupt: bool = False,
) -> LxcNet:
    edit = Edit(str(path), TEXT, "LXC_DOMAIN=new\n" if changes else TEXT, changes)
    return LxcNet(host, Wish(), Planned(DEFAULTS, after, edit), Links({}, False, ""), bridge, "direct", interrupt)


@pytest.mark.parametrize(
    ("bridge", "changes", "after", "takes"),
    [
        (GONE, NOTHING, DEFAULTS, "start"),
        (GONE, DOMAIN, DEFAULTS, "start"),
        (GONE, DOMAIN, OFF, ""),
        (RUNS, NOTHING, DEFAULTS, ""),
        (RUNS, DOMAIN, DEFAULTS, "restart"),
        (RUNS, DOMAIN, OFF, "stop"),
        (DIED, NOTHING, DEFAULTS, "restart"),
        (replace(RUNS, addresses=["10.9.9.1"]), NOTHING, DEFAULTS, "restart"),
    ],
)
def test_what_lxc_net_takes(
    tmp_path: Path, bridge: Bridge, changes: Changes, after: dict[str, str], takes: str
) -> None:
    steps = part(Fake(), bridge, changes, tmp_path, after=after).plan()
    assert [step.action for step in steps] == ["set"] * bool(changes) + [takes] * bool(takes)
    assert [step.key for step in steps] == [f"{tmp_path.name}[LXC_DOMAIN]"] * bool(changes) + ["service"] * bool(takes)


def test_guests_are_not_cut_off_unasked(tmp_path: Path) -> None:
    (fault,) = part(Fake(), IN_USE, DOMAIN, tmp_path).faults()
    assert fault.startswith(
        "LXC_DOMAIN in /etc/default/lxc-net would take the bridge lxcbr0 down, to which 2 guests are connected."
    )
    assert "lxc_host_interrupt_guests: true" in fault
    assert part(Fake(), IN_USE, DOMAIN, tmp_path, interrupt=True).faults() == []
    assert {step.disruption.label for step in part(Fake(), IN_USE, DOMAIN, tmp_path, interrupt=True).plan()} == {"live"}
    # Nobody is cut off who has not been.
    assert part(Fake(), DIED, NOTHING, tmp_path).faults() == part(Fake(), RUNS, DOMAIN, tmp_path).faults() == []


def apply(
    host: Fake,
    bridge: Bridge,
    changes: Changes,
    path: Path,
    monkeypatch: pytest.MonkeyPatch,
    after: dict[str, str] = DEFAULTS,
) -> None:
    path.write_text(TEXT, encoding="utf-8")
    monkeypatch.setattr(setup_network, "bridge_of", lambda *dummy: RUNS)
    lxc_net = part(host, bridge, changes, path, after=after)
    for step in lxc_net.plan():
        lxc_net.apply(step)


def test_down_by_the_old_file_and_up_by_the_new_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    host, path = Fake(), tmp_path / "lxc-net"
    apply(host, RUNS, DOMAIN, path, monkeypatch)
    assert [line for line in host.ran if " " not in line] == ["stop", "start"]
    assert path.read_text(encoding="utf-8") == "LXC_DOMAIN=new\n"
    host = Fake()
    apply(host, RUNS, DOMAIN, path, monkeypatch, after=OFF)
    assert [line for line in host.ran if " " not in line] == ["stop"]
    host = Fake()
    apply(host, DIED, NOTHING, path, monkeypatch)
    assert [line for line in host.ran if " " not in line] == ["stop", "start"]


@pytest.mark.parametrize(
    ("bridge", "fails", "ran", "words"),
    [
        (
            RUNS,
            [1],
            ["stop", "start", "stop", "start"],
            ["did not restart with LXC_DOMAIN in ", "which is again as it was before.", "said: dnsmasq: Addr"],
        ),
        (
            RUNS,
            [1, 2],
            ["stop", "start", "stop", "start"],
            ["again as it was before, but with which the bridge could not be made again either"],
        ),
        (GONE, [1], ["start", "stop"], ["did not start with LXC_DOMAIN in ", "which is again as it was before."]),
    ],
)
def test_the_way_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bridge: Bridge, fails: list[int], ran: list[str], words: list[str]
) -> None:
    host, path = Fake(fails), tmp_path / "lxc-net"
    with pytest.raises(BackendError) as failed:
        apply(host, bridge, DOMAIN, path, monkeypatch)
    assert [line for line in host.ran if " " not in line] == ran
    assert path.read_text(encoding="utf-8") == TEXT
    assert [word for word in words if word not in str(failed.value)] == []
    assert "bind-dynamic" in failed.value.remedy and "Bad rule" not in str(failed.value)


def test_a_file_that_was_not_there_goes_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "lxc-net"
    monkeypatch.setattr(setup_network, "bridge_of", lambda *dummy: RUNS)
    edit = Edit(str(path), None, "LXC_DOMAIN=new\n", DOMAIN)
    lxc_net = LxcNet(Fake([1]), Wish(), Planned(DEFAULTS, DEFAULTS, edit), Links({}, False, ""), GONE, "direct", False)
    written, start = lxc_net.plan()
    lxc_net.apply(written)
    assert path.exists()
    with pytest.raises(BackendError):
        lxc_net.apply(start)
    assert not path.exists()


def test_a_bridge_that_is_not_as_it_should_be_is_no_success(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(setup_network, "bridge_of", lambda *dummy: DIED)
    lxc_net = part(Fake(), GONE, NOTHING, tmp_path / "lxc-net")
    with pytest.raises(
        BackendError, match=r"did not start with .*which was not touched.*the bridge is not as it should be"
    ):
        lxc_net.apply(*lxc_net.plan())
