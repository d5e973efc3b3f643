# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a setup of a host for KVM guests plans, and what is in its way: definitions and hosts on paper."""

from __future__ import annotations

import ipaddress
import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import pytest

from ansible_collections.kraal.virt.plugins.module_utils.backends.kvm.definition import Definition, Seen
from ansible_collections.kraal.virt.plugins.module_utils.backends.kvm.network.resource import Networks
from ansible_collections.kraal.virt.plugins.module_utils.backends.kvm.setup import resource as setup
from ansible_collections.kraal.virt.plugins.module_utils.backends.kvm.setup.daemons import (
    ACCESS,
    AT_BOOT,
    LOGS,
    SOCKETS,
    START,
    Access,
    Daemons,
    Libvirt,
    Units,
    kind_of,
    units,
    value_of,
    with_value,
)
from ansible_collections.kraal.virt.plugins.module_utils.backends.kvm.setup.definitions import (
    ADDRESSES,
    Wish,
    network_wish,
    part,
    pool_wish,
    written_down,
)
from ansible_collections.kraal.virt.plugins.module_utils.backends.kvm.storage.pool import Pools
from ansible_collections.kraal.virt.plugins.module_utils.engine.action import Action
from ansible_collections.kraal.virt.plugins.module_utils.engine.errors import BackendError
from ansible_collections.kraal.virt.plugins.module_utils.engine.plan import Step
from ansible_collections.kraal.virt.plugins.module_utils.host.reader import Files, Host, Said
from ansible_collections.kraal.virt.plugins.module_utils.host.setup import HOST

There = list[tuple[str, ipaddress.IPv4Network]]
NOBODY: There = []
LIBVIRT = Libvirt("qemu:///system", 1)


def network(*addresses: str, bridge: str = "virbr0", name: str = "default") -> ET.Element:
    root = ET.Element("network")
    ET.SubElement(root, "name").text = name
    ET.SubElement(root, "forward", mode="nat")
    ET.SubElement(root, "bridge", name=bridge)
    for interface in map(ipaddress.ip_interface, addresses):
        ET.SubElement(
            root,
            "ip",
            family=f"ipv{interface.version}",
            address=str(interface.ip),
            prefix=str(interface.network.prefixlen),
        )
    return root


def seen(config: ET.Element | None, *, active: bool = False, live: ET.Element | None = None) -> Seen:
    if config is None:
        return Seen()
    running = live if live is not None else config if active else None
    return Seen({str(config.findtext("name")): Definition("", config, running, True, True)})


def link(name: str, subnet: str) -> tuple[str, ipaddress.IPv4Network]:
    return name, ipaddress.IPv4Network(subnet)


# The network's address


@pytest.mark.parametrize(
    "address",
    ["nonsense", "192.0.2.1", "192.0.2.0/24", "192.0.2.255/24", "192.0.2.1/31", "192.0.2.1/30", "2001:db8::1/64"],
)
def test_addresses_that_cannot_be_meant(address: str) -> None:
    (fault,) = network_wish("default", address, Seen(), NOBODY, True).faults
    assert fault.startswith(f"kvm_host_network_address: {address}: ") and "such as 192.168.150.1/24" in fault


@pytest.mark.parametrize(
    ("there", "answers", "chosen"),
    [
        ([], True, ADDRESSES[0]),
        ([link("eth0", "192.168.122.0/24")], True, ADDRESSES[1]),
        ([link("eth0", "192.168.0.0/16")], True, ADDRESSES[3]),
        # A bridge that an earlier day has left is no rival of a libvirt that does not answer; that of another network
        # is one.
        ([link("virbr0", "192.168.122.0/24")], False, ADDRESSES[0]),
        ([link("virbr0", "192.168.122.0/24")], True, ADDRESSES[1]),
    ],
)
def test_a_new_network_gets_addresses_that_nobody_has(there: There, answers: bool, chosen: str) -> None:
    wish = network_wish("default", "", Seen(), there, answers)
    assert wish.faults == () and wish.arguments["subnets"] == [chosen]


@pytest.mark.parametrize(
    ("address", "dhcp"),
    [("192.168.150.1/24", "192.168.150.2-192.168.150.254"), ("10.0.0.254/24", "10.0.0.1-10.0.0.253")],
)
def test_its_guests_get_the_larger_part(address: str, dhcp: str) -> None:
    assert network_wish("default", address, Seen(), NOBODY, True).arguments["dhcp_ranges"] == [dhcp]


def test_addresses_that_are_taken_are_refused() -> None:
    everywhere = [link("eth0", str(ipaddress.IPv4Interface(each).network)) for each in ADDRESSES]
    for address in ("", "192.168.122.1/24", "192.168.0.1/16"):
        (fault,) = network_wish("default", address, Seen(), everywhere, True).faults
        assert (
            "for guests is in use on this host: eth0 (192.168.122.0/24)" in fault
            and "Set kvm_host_network_address" in fault
        )
    # Its own bridge does not keep a network that is there from being started again.
    have = seen(network("192.168.7.1/24"))
    assert not network_wish("default", "", have, [link("virbr0", "192.168.7.0/24")], True).faults
    assert network_wish("default", "", have, [link("virbr01", "192.168.7.0/24")], True).faults


@pytest.mark.parametrize(
    ("has", "active", "address", "taken", "gets"),
    [
        # What is there keeps its addresses,
        (["192.168.7.1/24"], False, "", "", None),
        (["192.168.122.1/24"], True, "", "", None),
        (["192.168.122.1/24"], True, "", "192.168.122.0/24", None),
        (["192.168.150.1/24"], True, "192.168.150.1/24", "", None),
        # but those of libvirt's package, which does not run because somebody has them, and one that is to have others.
        (["192.168.122.1/24"], False, "", "192.168.122.0/24", "192.168.150.1/24"),
        (["192.168.122.1/24", "2001:db8::1/64"], False, "", "192.168.122.0/24", "192.168.150.1/24"),
        (["192.168.7.1/24"], False, "192.168.150.1/24", "", "192.168.150.1/24"),
        (["192.168.150.9/24"], False, "192.168.150.1/24", "", "192.168.150.1/24"),
        # A network without addresses is somebody's bridge.
        ([], False, "192.168.150.1/24", "", None),
    ],
)
def test_which_network_gets_another_address(
    has: list[str], active: bool, address: str, taken: str, gets: str | None
) -> None:
    wish = network_wish(
        "default", address, seen(network(*has), active=active), [link("eth0", taken)] if taken else [], True
    )
    assert not wish.faults and wish.arguments.get("subnets") == (None if gets is None else [gets])


def test_nobody_is_cut_off() -> None:
    (fault,) = network_wish(
        "default", "192.168.150.1/24", seen(network("192.168.122.1/24"), active=True), NOBODY, True
    ).faults
    assert fault.startswith(
        "the network default runs with the address 192.168.122.1/24, not 192.168.150.1/24: to change that"
        " would cut its guests off."
    )
    assert "virsh net-destroy default" in fault and "kvm_host_network_address" in fault
    pending = seen(network("192.168.150.1/24"), live=network("192.168.122.1/24"))
    (fault,) = network_wish("default", "192.168.150.1/24", pending, NOBODY, True).faults
    assert "runs with other addresses than its definition has" in fault
    assert not network_wish("default", "", pending, NOBODY, True).faults


def test_a_pool_is_where_it_is() -> None:
    root = ET.Element("pool", type="dir")
    ET.SubElement(root, "name").text = "default"
    ET.SubElement(ET.SubElement(root, "target"), "path").text = "/srv/a"
    have = seen(root)
    assert pool_wish("default", "", Seen()).arguments["path"] == "/var/lib/libvirt/images"
    for path in ("", "/srv/a", "/srv/a/"):
        assert pool_wish("default", path, have) == Wish({"name": "default", "state": "active", "autostart": True})
    (fault,) = pool_wish("default", "/srv/b", have).faults
    assert (
        fault == "the storage pool default is in /srv/a, not in /srv/b. Name another kvm_host_pool, or take "
        "kvm_host_pool_path out."
    )


# While libvirt does not answer


@pytest.fixture
def files(tmp_path: Path) -> Files:
    """Two networks and a pool, as libvirt writes them; one network is active still, and one file is no XML."""
    stored = tmp_path / "etc/libvirt/qemu/networks"
    (stored / "autostart").mkdir(parents=True)
    for name, tree in (
        ("default", network("192.168.122.1/24")),
        ("other", network("192.168.9.1/24", bridge="virbr9", name="other")),
    ):
        (stored / f"{name}.xml").write_text(
            "<!--\nWARNING: THIS IS AN AUTO-GENERATED FILE.\n-->\n" + ET.tostring(tree, encoding="unicode"),
            encoding="utf-8",
        )
    (stored / "autostart/other.xml").symlink_to("../other.xml")
    (stored / "broken.xml").write_text("<network>", encoding="utf-8")
    return Files(tmp_path)


def test_what_libvirt_has_written_down(files: Files) -> None:
    found = written_down(files, "network")
    assert {name: (have.active, have.autostart) for name, have in found.defined.items()} == {
        "default": (False, False),
        "other": (True, True),
    }
    assert list(found.faults) == ["broken"]
    running = files.root / "run/libvirt/network"
    running.mkdir(parents=True)
    (running / "default.xml").touch()
    assert written_down(files, "network").defined["default"].active
    assert not written_down(Files("/nowhere"), "pool").defined


@pytest.mark.parametrize(
    ("name", "there", "plan"),
    [
        ("default", NOBODY, [("set", "network[default].autostart"), ("start", "network[default].state")]),
        ("other", NOBODY, []),
        # What would not come up with the addresses that it has gets others; what has its bridge still, is up.
        (
            "default",
            [link("eth0", "192.168.122.0/24")],
            [("set", "network[default]"), ("set", "network[default].autostart"), ("start", "network[default].state")],
        ),
        ("new", NOBODY, [("create", "network[new]"), ("start", "network[new].state")]),
    ],
)
def test_what_will_be_made_of_a_network_once_libvirt_runs(
    files: Files, name: str, there: There, plan: list[tuple[str, str]]
) -> None:
    made = part(
        Networks, LIBVIRT, files, name, False, lambda found, answers: network_wish(name, "", found, there, answers)
    )
    assert made.foretold and not made.faults()
    assert [(step.action, step.key) for step in made.plan()] == plan
    assert {step.guest for step in made.plan()} <= {HOST}


def test_what_is_in_the_way_of_a_network_is_told_while_libvirt_does_not_answer(files: Files) -> None:
    def faults(name: str, address: str, there: There) -> Sequence[str]:
        return part(
            Networks,
            LIBVIRT,
            files,
            name,
            False,
            lambda found, answers: network_wish(name, address, found, there, answers),
        ).faults()

    assert "no XML" in faults("broken", "", NOBODY)[0]
    assert "in use on this host: eth0" in faults("other", "", [link("eth0", "192.168.9.0/24")])[0]
    assert "would cut its guests off" in faults("other", "192.168.8.1/24", [link("virbr9", "192.168.9.0/24")])[0]


def test_what_cannot_be_made_is_in_the_way() -> None:
    made = part(
        Pools, LIBVIRT, Files("/nowhere"), "default", False, lambda found, _answers: pool_wish("default", "srv", found)
    )
    assert made.faults() and "path" in made.faults()[0] and made.plan() == []


# Daemons


SYSTEMD = {
    **dict.fromkeys([*SOCKETS["monolithic"], "libvirtd.service", LOGS], "enabled"),
    **dict.fromkeys(SOCKETS["modular"], "disabled"),
}


@pytest.mark.parametrize(
    ("wanted", "states", "family", "kind"),
    [
        ("auto", SYSTEMD, "RedHat", "monolithic"),
        ("auto", {"virtqemud.socket": "enabled", "libvirtd.socket": "disabled"}, "Debian", "modular"),
        ("auto", {"virtqemud.socket": "enabled", "libvirtd.socket": "enabled"}, "Debian", "monolithic"),
        ("auto", {}, "Debian", "monolithic"),
        ("auto", {}, "Suse", "modular"),
        ("modular", SYSTEMD, "Debian", "modular"),
    ],
)
def test_one_daemon_or_many(wanted: str, states: Mapping[str, str], family: str, kind: str) -> None:
    assert kind_of(wanted, states, family) == kind


class Systemd(Host):
    def __init__(self, states: Mapping[str, str], active: Sequence[str]) -> None:
        super().__init__("/nowhere")
        self.states, self.on = states, active

    def run(self, argv: Sequence[str]) -> Said | None:
        if argv[1] == "list-unit-files":
            return Said(0, "".join(f"{unit} {state} enabled\n" for unit, state in self.states.items() if unit in argv))
        assert argv[1] == "is-active"
        return Said(3, "".join(("active" if unit in self.on else "inactive") + "\n" for unit in argv[2:]))


def planned(
    states: Mapping[str, str], active: Sequence[str], *, wanted: str = "auto", answers: bool = True, comes: bool = False
) -> Units:
    return units(Systemd(states, active), LIBVIRT, wanted, "Debian", answers, comes)


def test_units_as_they_should_be_need_nothing() -> None:
    assert planned(SYSTEMD, ["libvirtd.socket", "virtlogd.socket"]).plan() == []
    # A daemon that runs holds its own socket.
    assert planned(SYSTEMD, ["libvirtd.service", "virtlogd.service"]).plan() == []


def test_units_that_were_switched_off() -> None:
    off = {**dict.fromkeys(SYSTEMD, "disabled"), "virtqemud.socket": "enabled", LOGS: "static"}
    made = planned(off, [], wanted="monolithic", answers=False)
    assert [(step.action, step.key) for step in made.plan()] == [
        ("stop", "service[virtqemud.socket]"),
        *(("set", f"autostart[{unit}]") for unit in (*SOCKETS["monolithic"], *AT_BOOT["monolithic"])),
        ("start", "service[libvirtd.socket]"),
        ("start", "service[virtlogd.socket]"),
        ("start", "service"),
    ]


def test_daemons_that_are_not_installed() -> None:
    (fault,) = planned({"libvirtd.socket": "enabled"}, [], wanted="modular").faults()
    assert (
        fault.startswith("kvm_host_daemons is modular, but this host has no virtqemud.socket.")
        and "kvm_host_packages" in fault
    )
    fresh = planned({}, [], answers=False, comes=True)
    assert not fresh.faults() and fresh.plan() == [START]


def test_daemons_without_systemd() -> None:
    assert (
        Daemons(LIBVIRT, {}, False, False).plan() == [START]
        and not Daemons(LIBVIRT, {"virtlogd": 7}, False, False).faults()
    )
    (fault,) = Daemons(LIBVIRT, {"libvirtd": 7}, False, False, "it is busy").faults()
    assert (
        fault
        == "libvirtd runs (process 7), but qemu:///system does not answer: it is busy. See its log (/var/log/syslog "
        "or /var/log/messages)."
    )
    assert not Daemons(LIBVIRT, {"libvirtd": 7}, True, False).plan()


CONFIG = (
    '# Group\n#unix_sock_group = "libvirt"\n\n#auth_unix_rw = "polkit"\nauth_unix_rw = "sasl"\n auth_unix_rw="polkit"\n'
)


def test_lines_of_libvirtds_configuration() -> None:
    assert (
        value_of(CONFIG, "auth_unix_rw") == "polkit"
        and value_of(CONFIG, "unix_sock_group") is None
        and value_of("", "auth_unix_rw") is None
    )
    text = CONFIG
    for key, value in ACCESS.items():
        text = with_value(text, key, value)
    assert {key: value_of(text, key) for key in ACCESS} == ACCESS
    assert text.splitlines() == [
        "# Group",
        '#unix_sock_group = "libvirt"',
        'unix_sock_group = "libvirt"',
        "",
        '#auth_unix_rw = "polkit"',
        'auth_unix_rw = "sasl"',
        'auth_unix_rw = "none"',
        'unix_sock_rw_perms = "0770"',
    ]


def test_the_group_is_let_in_and_the_daemon_that_runs_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "libvirtd.conf"
    path.write_text(CONFIG, encoding="utf-8")
    access = Access(LIBVIRT, CONFIG, 7, path)
    steps = access.plan()
    assert [(step.action, step.before, step.after) for step in steps] == [
        ("set", None, "libvirt"),
        ("set", None, "0770"),
        ("set", "polkit", "none"),
        ("restart", "running", "running"),
    ]
    for step in steps[:3]:
        access.apply(step)
    assert Access(LIBVIRT, path.read_text(encoding="utf-8"), 7, path).plan() == []
    assert len(Access(LIBVIRT, "", None).plan()) == 3


# The verdict

VERDICT: dict[str, Any] = {
    "capable": False,
    "code": "no_device",
    "reason": "there is no /dev/kvm",
    "remedy": "switch it on",
    "domain_type": "qemu",
}
UNLOADED = {
    "capable": None,
    "code": "module_not_loaded",
    "reason": "not loaded",
    "remedy": "modprobe kvm_amd",
    "domain_type": "qemu",
}


@pytest.mark.parametrize(
    ("change", "emulation", "fault", "note"),
    [
        ({}, False, "This host cannot run KVM guests: there is no /dev/kvm. Remedy: switch it on.", ""),
        ({"capable": None}, False, "This host may not be able to run KVM guests", ""),
        ({}, True, "", "Guests run emulated (type qemu): there is no /dev/kvm. Remedy: switch it on."),
        ({"capable": True}, False, "", ""),
        ({"capable": True}, True, "", ""),
        (UNLOADED, False, "", ""),
        (UNLOADED, True, "", ""),
    ],
)
def test_what_the_verdict_means(change: dict[str, Any], emulation: bool, fault: str, note: str) -> None:
    verdict = {**VERDICT, **change}
    faults, notes = setup.verdict_faults(verdict, emulation), setup.notes_of(verdict, emulation)
    assert "".join(faults).startswith(fault) and bool(faults) is bool(fault)
    assert notes == ([note] if note else [])


def test_what_the_manager_cannot_start() -> None:
    assert setup.daemons_faults("systemd", "modular") == setup.daemons_faults("direct", "auto") == []
    (fault,) = setup.daemons_faults("direct", "modular")
    assert fault.startswith("Without systemd only the one daemon libvirtd can be started") and "monolithic" in fault


def test_the_binding_that_is_needed() -> None:
    assert [setup.python_needs(package) for package in ("auto", "", "python3-mine")] == [
        ["python:libvirt"],
        [],
        ["package:python3-mine"],
    ]


@pytest.mark.parametrize(("helps", "emulation"), [(True, False), (False, True), (False, False)])
def test_the_module_that_is_not_loaded(monkeypatch: pytest.MonkeyPatch, helps: bool, emulation: bool) -> None:
    asked = []

    class Modprobe(Host):
        def run(self, argv: Sequence[str]) -> Said | None:
            asked.append(list(argv))
            return (
                Said(0)
                if helps
                else Said(1, "", "modprobe: ERROR: could not insert 'kvm_amd': Operation not supported\n")
            )

    after = {**VERDICT, "capable": helps, "domain_type": "kvm" if helps else "qemu"}
    monkeypatch.setattr(setup.info, "gather", lambda _host, _backends: {"backends": {"kvm": after}})
    module = setup.Module(Modprobe(), "kvm_amd", UNLOADED, emulation)
    (step,) = module.plan()
    assert step == Step(HOST, Action.SET, "modules[kvm_amd]", "not loaded", "loaded")
    if helps or emulation:
        module.apply(step)
        assert module.verdict["domain_type"] == after["domain_type"] and module.plan() == [step]
    else:
        with pytest.raises(
            BackendError,
            match="The kernel's module did not help: modprobe: ERROR.*Operation not supported. there is no /dev/kvm",
        ) as refused:
            module.apply(step)
        assert "kvm_host_allow_emulation" in refused.value.remedy
    assert asked == [["modprobe", "kvm_amd"]]


# The proof


class Guests:
    """A libvirt that starts guests, or not."""

    VIR_DOMAIN_START_AUTODESTROY = 2

    def __init__(self, says: BaseException | None = None, runs: bool = True) -> None:
        self.says, self.runs, self.made, self.destroyed = says, runs, "", False
        self.conn, self.api = self, self

    def ask(self, function: Any, *arguments: Any) -> Any:
        return function(*arguments)

    def createXML(self, xml: str, _flags: int) -> Guests:
        self.made = xml
        if self.says is not None:
            raise self.says
        return self

    def isActive(self) -> bool:
        return self.runs

    def destroy(self) -> None:
        self.destroyed = True


def test_a_guest_without_anything_proves_it() -> None:
    guests = Guests()
    setup.prove(cast(Any, guests), "qemu")
    tree = ET.fromstring(guests.made)
    assert tree.get("type") == "qemu" and str(tree.findtext("name")).startswith("kraal-verify-") and guests.destroyed
    assert sorted(child.tag for child in tree) == ["memory", "name", "os", "vcpu"]


def test_a_guest_that_does_not_start() -> None:
    with pytest.raises(
        BackendError, match="libvirt answers, but it cannot start a guest of the type kvm: no such accelerator"
    ):
        setup.prove(cast(Any, Guests(BackendError("no such accelerator"))), "kvm")
    with pytest.raises(BackendError, match="it cannot keep a guest of the type kvm running"):
        setup.prove(cast(Any, Guests(runs=False)), "kvm")


def test_what_a_killed_proof_has_left_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A guest outlives libvirtd, which forgets then that it goes with its connection; a log is there for good."""
    monkeypatch.setattr(setup, "LOGS", tmp_path)
    (tmp_path / "kraal-verify-0123456789ab.log").touch()
    (tmp_path / "kraal-verify-my-own.log").touch()
    assert setup.left(["web", "kraal-verify-ba9876543210"]) == [
        "kraal-verify-0123456789ab",
        "kraal-verify-ba9876543210",
    ]
    guests: dict[str, Guests] = {"kraal-verify-ba9876543210": Guests()}

    class Connected(Guests):
        lookupByName = staticmethod(guests.get)
        find = Guests.ask

    work = setup.KvmSetup({"connect_timeout": 10, "uri": ""})
    monkeypatch.setattr(work.libvirt, "host", Connected)
    for name in setup.left(list(guests)):
        work._remove_left(name)
    assert guests["kraal-verify-ba9876543210"].destroyed
    assert [path.name for path in tmp_path.iterdir()] == ["kraal-verify-my-own.log"]
