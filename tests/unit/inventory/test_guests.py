# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the inventory makes of guests once they are found; finding them is for the integration tests."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.errors import AnsibleParserError
from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import inventory_loader

EVIL = "{{ lookup('ansible.builtin.pipe', 'touch %s') }}"


def guest(name: str, *, host: str = "h1", backend: str = "docker", **fields: Any) -> dict[str, Any]:
    form = {
        "name": name,
        "backend": backend,
        "id": f"id-{host}-{backend}-{name}",
        "state": "running",
        "image": "i:1",
        "cpus": None,
        "memory": "",
    }
    return {
        "guest": {
            **form,
            "raw_state": "",
            "addresses": [],
            "labels": {},
            "autostart": False,
            "pending_restart": [],
            "place": "",
            **fields,
        },
        "host": host,
        "way": {"ansible_guest_host_connection": "local"},
    }


class Filled:
    """An inventory of these guests, with the warnings of its making."""

    def __init__(
        self, path: Path, *guests: dict[str, Any], before: str = "", asked: bool = False, **config: Any
    ) -> None:
        self.warnings: list[str] = []
        sources = []
        if before:
            (path / "10-hosts.yml").write_text(before)
            sources.append(str(path / "10-hosts.yml"))
        file = path / "guests.yml"
        file.write_text(yaml.safe_dump({"plugin": "kraal.virt.guests", "strict": True, **config}))
        loader = DataLoader()
        self.inventory = InventoryManager(loader=loader, sources=sources)
        plugin = inventory_loader.get("kraal.virt.guests")
        assert plugin.verify_file(str(file))
        if not asked:
            plugin._ask_all = lambda: (list(guests), True)
        plugin.display = self
        plugin.parse(self.inventory._inventory, loader, str(file))
        self.inventory.reconcile_inventory()

    def warning(self, text: str) -> None:
        self.warnings.append(text)

    @property
    def names(self) -> list[str]:
        return sorted(self.inventory.hosts)

    def groups(self, name: str) -> set[str]:
        return {group.name for group in self.inventory.get_host(name).get_groups()} - {"all"}

    def variables(self, name: str) -> dict[str, Any]:
        return self.inventory.get_host(name).vars


def test_names_of_files(tmp_path: Path) -> None:
    plugin = inventory_loader.get("kraal.virt.guests")
    for name, taken in {
        "guests.yml": True,
        "20-guests.yaml": True,
        "prod.guests.yml": True,
        "hosts.yml": False,
        "guests.json": False,
    }.items():
        (tmp_path / name).write_text("plugin: kraal.virt.guests\n")
        assert plugin.verify_file(str(tmp_path / name)) is taken
    assert not plugin.verify_file(str(tmp_path / "missing-guests.yml"))


def test_a_virtual_machine_is_reached_by_its_own_sshd(tmp_path: Path) -> None:
    address = {"address": "192.0.2.7", "family": "ipv4", "network": "default", "mac": "52:54:00:00:00:01"}
    filled = Filled(
        tmp_path,
        guest("vm", backend="kvm", addresses=[address]),
        guest("mute", backend="kvm"),
        guest("box", addresses=[address]),
    )
    assert [filled.variables("vm")[key] for key in ("ansible_connection", "ansible_host")] == [
        "ansible.builtin.ssh",
        "192.0.2.7",
    ]
    assert filled.variables("mute")["ansible_guest_backend"] == "kvm"
    for name in ("mute", "box"):
        assert [filled.variables(name)[key] for key in ("ansible_connection", "ansible_host")] == [
            "kraal.virt.guest",
            name,
        ]


@pytest.mark.parametrize(
    "bad",
    [
        "127.0.0.1",
        "::ffff:127.0.0.1",
        "0.0.0.0",
        "169.254.1.1",
        "224.0.0.1",
        "255.255.255.255",
        "fe80::1",
        "64:ff9b::7f00:1",
    ],
)
def test_ssh_reaches_no_address_that_leads_back_or_to_many(tmp_path: Path, bad: str) -> None:
    good = {"address": "192.0.2.7", "family": "ipv4", "network": "default", "mac": ""}
    both = guest("both", backend="kvm", addresses=[{**good, "address": bad}, good])
    filled = Filled(tmp_path, both, guest("none", backend="kvm", addresses=[{**good, "address": bad}]))
    assert filled.variables("both")["ansible_host"] == "192.0.2.7"
    assert filled.variables("none")["ansible_connection"] == "kraal.virt.guest"


def test_an_answer_that_is_none_is_that_hosts_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And a guest that is none is left out alone."""
    uuid = "6f1d5e0a-3c0b-4f0e-9a3d-1b2c3d4e5f60"
    vm = guest("vm", backend="kvm", id=uuid)["guest"]
    strange = [
        {},
        {**vm, "backend": "bosses"},
        {**vm, "id": "x -o SendEnv=HARMLESS"},
        {**vm, "addresses": [{"address": "-oSendEnv=HARMLESS"}]},
    ]
    answers: dict[str, Any] = {
        "mad": {"guests": [{}]},
        "liar": {"guests": [*strange, vm], "warnings": ["\x1b[31mred"]},
        "honest": {"guests": [{**vm, "name": "mine"}], "warnings": []},
    }
    monkeypatch.setattr(
        "ansible_collections.kraal.virt.plugins.plugin_utils.hosts.ask",
        lambda host, _program, **_more: answers[host["name"]],
    )
    filled = Filled(
        tmp_path, before="bosses: {hosts: {real: {}}}\n", asked=True, hosts=[{"name": name} for name in answers]
    )
    assert filled.names == ["mine", "real", "vm"]
    assert [host.name for host in filled.inventory.groups["bosses"].get_hosts()] == ["real"]
    assert any(text.startswith("mad: its answer is none") for text in filled.warnings), filled.warnings
    assert sum(text.startswith("liar: ") and "left out" in text for text in filled.warnings) == len(strange)
    assert "liar: \\x1b[31mred" in filled.warnings


def test_a_guest_and_its_groups(tmp_path: Path) -> None:
    filled = Filled(tmp_path, guest("web", labels={"role": "web", "kraal.virt.source": "import 1", "note": "x" * 64}))
    assert filled.groups("web") == {"kraal_guests", "docker", "host_h1", "state_running", "label_role_web"}
    variables = filled.variables("web")
    assert variables["ansible_connection"] == "kraal.virt.guest"
    assert (variables["kraal_host"], variables["kraal_guest"]["image"]) == ("h1", "i:1")
    assert (variables["ansible_guest_name"], variables["ansible_guest_backend"]) == ("web", "docker")
    assert filled.warnings == []


def test_groups_can_be_chosen(tmp_path: Path) -> None:
    assert Filled(tmp_path, guest("web", labels={"role": "web"}), group_by=["host"]).groups("web") == {
        "kraal_guests",
        "host_h1",
    }


def test_names_of_groups_are_safe(tmp_path: Path) -> None:
    filled = Filled(tmp_path, guest("web", host="h-1.example", labels={"a b": "{{ c }}/d"}))
    assert {"host_h_1_example", "label_a_b____c____d"} <= filled.groups("web")


def test_states(tmp_path: Path) -> None:
    guests = guest("on"), guest("off", state="stopped"), guest("held", state="paused")
    assert Filled(tmp_path, *guests).names == ["on"]
    assert Filled(tmp_path, *guests, states=["stopped", "paused"]).names == ["held", "off"]


def test_two_guests_of_one_name_both_get_their_hosts_name(tmp_path: Path) -> None:
    one, two = guest("web"), guest("web", host="h2")
    for order in ((one, two), (two, one)):
        filled = Filled(tmp_path, *order, guest("db"))
        assert filled.names == ["db", "web.h1", "web.h2"]
        assert [text.count("web") for text in filled.warnings] == [2, 2]
        assert filled.variables("web.h2")["ansible_guest_name"] == "web"


def test_two_backends_of_one_host(tmp_path: Path) -> None:
    filled = Filled(tmp_path, guest("web"), guest("web", backend="lxc"), guest("web.h1"))
    assert filled.names == ["web.h1.docker", "web.h1.h1", "web.h1.lxc"]


@pytest.mark.parametrize(
    "name", ["localhost", "127.0.0.1", "all", "kraal_guests", "docker", "state_running", "real", "ungrouped", "bosses"]
)
def test_a_guest_takes_nobodys_name(tmp_path: Path, name: str) -> None:
    """It would receive what is meant for that host, or for all of that group."""
    filled = Filled(tmp_path, guest(name), before="bosses: {hosts: {real: {ansible_host: 192.0.2.1}}}\n")
    assert filled.names == sorted([f"{name}.h1", "real"])
    assert filled.variables("real")["ansible_host"] == "192.0.2.1"
    assert len(filled.warnings) == 1


def test_a_name_can_always_be_named(tmp_path: Path) -> None:
    filled = Filled(tmp_path, guest("a b,c:d"), guest("-x"), guest("{{ 1 + 1 }}"), guest("[1:3]"), guest("grün"))
    assert filled.names == sorted(["a_b_c_d", "_x", "___1___1___", "_1_3_", "grün"])
    assert filled.variables("_x")["kraal_guest"]["name"] == "-x"
    assert filled.inventory.list_hosts("a_b_c_d")[0].name == "a_b_c_d"


def test_hostname_is_a_template_over_the_guest(tmp_path: Path) -> None:
    filled = Filled(tmp_path, guest("web", labels={"role": "w"}), hostname="{{ labels.role }}-{{ name }}.{{ host }}")
    assert filled.names == ["w-web.h1"]


def test_two_guests_of_one_name_in_two_places_of_one_host(tmp_path: Path) -> None:
    """Their places tell them apart, and where these read alike or there is none, their ids."""
    two = [
        guest("web", backend="lxc", id=f"{path}/web", place=place)
        for path, place in (("/var/lib/lxc", ""), ("/srv/lxc", "/srv/lxc"))
    ]
    for guests in (two, two[::-1]):
        filled = Filled(tmp_path, *guests)
        assert filled.names == ["web.h1.lxc", "web.h1.lxc.srv_lxc"]
        assert filled.variables("web.h1.lxc.srv_lxc")["ansible_guest_lxc_path"] == "/srv/lxc"
    engines = [guest("web", id=place, place=place) for place in ("unix:///run/b.sock", "tcp://[::1]:2375")]
    assert Filled(tmp_path, *engines).names == ["web.h1.docker.tcp_1_2375", "web.h1.docker.unix_run_b.sock"]
    alike = [guest("web", backend="lxc", id=f"{place}/web", place=place) for place in ("/a/b", "/a_b")]
    for guests in (alike, [guest("web", backend="lxc", id=path) for path in ("/a/web", "/b/web")]):
        names = Filled(tmp_path, *guests).names
        assert len(set(names)) == 2 and all(re.fullmatch(r"web\.h1\.lxc(\.a_b)?\.[0-9a-f]{8}", name) for name in names)
        assert Filled(tmp_path, *reversed(guests)).names == names
    assert len(Filled(tmp_path, guest("web"), guest("db"), hostname="same").names) == 2


def test_a_host_takes_no_name_from_another_hosts_guests(tmp_path: Path) -> None:
    """However it calls its own, and whether it says something twice."""
    liar = [guest(name, host="liar", id=name) for name in ("web", "web.h1", "web.h1.docker", "a", "a")]
    filled = Filled(tmp_path, guest("web"), *liar)
    assert filled.names == ["web.h1.docker", "web.h1.docker.liar", "web.h1.liar", "web.liar"]
    assert [filled.variables(name)["kraal_host"] for name in filled.names] == ["h1", "liar", "liar", "liar"]
    assert [name for name in filled.names if name.startswith("a")] == []
    assert sum("left out" in text for text in filled.warnings) == 2


def test_a_hostname_that_cannot_be_made(tmp_path: Path) -> None:
    with pytest.raises(AnsibleParserError, match="hostname: .* gives no name for web"):
        Filled(tmp_path, guest("web"), guest("db"), hostname="{{ labels.no }}")


def test_query(tmp_path: Path) -> None:
    guests = (
        guest("web", labels={"role": "web"}, memory="1GiB"),
        guest("db", labels={"role": "db"}, host="h2"),
        guest("other"),
    )
    assert Filled(tmp_path, *guests, query="[?labels.role == 'web']").names == ["web"]
    assert Filled(tmp_path, *guests, query="[?host == 'h2' || memory == '1GiB']").names == ["db", "web"]
    assert Filled(tmp_path, *guests, query="[[0], [0], [1]][]").names == ["db", "web"]
    assert Filled(tmp_path, *guests, query="[?name == 'nobody']").names == []


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ("[?", "is no JMESPath expression"),
        ("[].name", "does not give a list of guests"),
        ("length(@)", "does not give a list of guests"),
    ],
)
def test_bad_queries(tmp_path: Path, query: str, why: str) -> None:
    with pytest.raises(AnsibleParserError, match=why):
        Filled(tmp_path, guest("web"), query=query)


def test_composed(tmp_path: Path) -> None:
    filled = Filled(
        tmp_path,
        guest(
            "web",
            memory="1GiB",
            addresses=[{"address": "172.17.0.2", "family": "ipv4", "network": "bridge", "mac": ""}],
        ),
        compose={"ansible_host": "kraal_guest.addresses[0].address"},
        groups={"big": "kraal_guest.memory == '1GiB'"},
        keyed_groups=[{"key": "kraal_guest.image", "prefix": "image"}],
    )
    assert {"big", "image_i_1"} <= filled.groups("web")
    assert filled.variables("web")["ansible_host"] == "172.17.0.2"
    # The connection still finds it.
    assert filled.variables("web")["ansible_guest_name"] == "web"


def test_what_guests_say_is_never_evaluated(tmp_path: Path) -> None:
    proof = tmp_path / "evaluated"
    evil = EVIL % proof
    filled = Filled(
        tmp_path,
        guest("web", image=evil, labels={"note": evil, evil: "x"}),
        guest(evil, labels={"note": evil}),
        hostname="{{ name }}-{{ image }}",
        compose={"a": "kraal_guest.labels.note", "b": "kraal_guest.labels.note ~ '!'"},
        groups={"g": "kraal_guest.labels.note is defined"},
        keyed_groups=[{"key": "kraal_guest.labels", "prefix": "l"}],
    )
    (name,) = (name for name in filled.names if name.startswith("web"))
    assert filled.variables(name)["a"] == evil
    assert filled.variables(name)["b"] == evil + "!"
    assert not proof.exists()
    # What the configuration says is: the trap is set.
    Filled(tmp_path, guest("web"), hostname="{{ name }}" + evil)
    assert proof.exists()


def test_a_file_read_twice_finds_the_same_guests(tmp_path: Path) -> None:
    filled = Filled(tmp_path, guest("web"))
    plugin = inventory_loader.get("kraal.virt.guests")
    plugin._ask_all = lambda: ([guest("web")], True)
    plugin.display = filled
    plugin.parse(filled.inventory._inventory, DataLoader(), str(tmp_path / "guests.yml"))
    assert (filled.names, filled.warnings) == (["web"], [])
