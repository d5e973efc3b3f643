# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever stands in a host's files, and whatever its programs and daemons say: host_info tells what there is, and the
others say what they cannot read.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.kraal.virt.plugins.module_utils.backends.docker.setup.config import configured
from ansible_collections.kraal.virt.plugins.module_utils.engine.errors import KraalError
from ansible_collections.kraal.virt.plugins.module_utils.host import lxc_network, obstacles, own_addresses, sockets
from ansible_collections.kraal.virt.plugins.module_utils.host.bridge import observe as bridge_observe
from ansible_collections.kraal.virt.plugins.module_utils.host.bridge import runner
from ansible_collections.kraal.virt.plugins.module_utils.host.bridge.ini import parse
from ansible_collections.kraal.virt.plugins.module_utils.host.bridge.manager import FileState
from ansible_collections.kraal.virt.plugins.module_utils.host.bridge.observe import Record
from ansible_collections.kraal.virt.plugins.module_utils.host.bridge.task import describe
from ansible_collections.kraal.virt.plugins.module_utils.host.info import NAMES as BACKENDS
from ansible_collections.kraal.virt.plugins.module_utils.host.info import gather
from ansible_collections.kraal.virt.plugins.module_utils.host.reader import Answer, Said

from ..mutations import of_json, of_lines, of_words
from .recorded import NAMES, Recorded, load

CASES = 40
Cases = Callable[[int], int]
#: What a role asks for beside what is always told.
NEEDS = ("docker", "qemu-img", "python:libvirt", "package:vim")
PLANS = {"users": ["nobody", "kt"], "ports": [53], "subnets": ["10.0.3.0/24"], "space": {"/var/lib": 2**30}}


class Mutated(Recorded):
    """A recorded host, in which one file, one program or one daemon says something else."""

    def __init__(self, host: dict[str, Any], root: Path) -> None:
        super().__init__(host, root)
        self.texts: dict[str, str] = {}
        self.said: dict[str, Said] = {}
        self.answers: dict[str, Answer] = {}

    def octets(self, path: str) -> bytes | None:
        odd = self.texts.get(path)
        return super().octets(path) if odd is None else odd.encode("utf-8", "surrogatepass")

    def run(self, argv: Sequence[str]) -> Said | None:
        if not self.which(argv[0]):
            return None
        words = " ".join(argv)
        return self.said.get(words) or (
            super().run(argv) if words in self.host.get("commands", {}) else Said(1, "", "no")
        )

    def ask(self, path: str, request: str) -> Answer:
        return self.answers.get(path) or super().ask(path, request)

    def binds(self, port: int) -> bool:
        return False

    def environment(self) -> dict[str, str]:
        return {}

    def reach(self, places: Sequence[tuple[str, int]], seconds: float = 5) -> list[str]:
        return ["" for _place in places]


def of_outputs(text: str, count: int, seed: int) -> Iterator[str]:
    """Mutants of what a program printed: its JSON, or its words."""
    try:
        found = json.loads(text)
    except ValueError:
        yield from of_words(text, count, seed)
        return
    yield from (json.dumps(mutant) for mutant in of_json(found, count - count // 10, seed))
    yield from of_words(text, count // 10, seed)


def mutants(host: Mutated, count: int) -> Iterator[None]:
    """The host with one thing of it mutated, so often; what is mutated is drawn by lot."""
    chance, places = random.Random(1), [("file", path) for path in host.host["files"]]
    places += [("command", words) for words in host.host.get("commands", {})] * 4
    places += [("socket", path) for path in host.host.get("sockets", {})] * 4
    for number in range(count):
        host.texts, host.said, host.answers = {}, {}, {}
        kind, key = chance.choice(places)
        if kind == "file":
            text = "\n".join(host.host["files"][key]) + "\n"
            host.texts[key] = next((of_lines if "=" in text else of_words)(text, 1, number))
        elif kind == "command":
            said = host.host["commands"][key]
            out = next(of_outputs("\n".join(said["out"]), 1, number))
            host.said[key] = Said(chance.choice((said["rc"], said["rc"], 0, 1, -1)), out, "\n".join(said["err"]))
        else:
            answer = Answer(**host.host["sockets"][key])
            document = next(of_json(answer.document, 1, number)) if answer.document else {"x": None}
            host.answers[key] = replace(answer, document=document if isinstance(document, dict) else None)
        yield


@pytest.mark.parametrize("name", NAMES)
def test_everything_is_told_all_the_same(name: str, tmp_path: Path, cases: Cases) -> None:
    host = Mutated(load(name), tmp_path)
    for _mutant in mutants(host, cases(CASES * len(NAMES)) // len(NAMES)):
        found = gather(host, BACKENDS, trials=(), needs=NEEDS, plans=PLANS)
        assert sorted(found["backends"]) == sorted(BACKENDS)
        assert all(verdict["reason"] for verdict in found["backends"].values() if not verdict["usable"])
        json.dumps(found)


ROUTES = """Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT
eth0\t00000000\t0102A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0
eth0\t0002A8C0\t00000000\t0001\t0\t0\t100\t00FFFFFF\t0\t0\t0
lxcbr0\t0003000A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0"""
TRIE = """Main:
  +-- 0.0.0.0/0 3 0 5
     |-- 192.168.2.7
        /32 host LOCAL
     |-- 192.168.2.255
        /32 link BROADCAST"""
INET6 = """fe800000000000000000000000000001 02 40 20 80     eth0
20010db8000000000000000000000007 02 40 00 80     eth0"""
TCP = """  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 12345 1 0 100 0 0 10 0
   1: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 12346 1 0 100 0 0 10 0"""
NET = 'USE_LXC_BRIDGE="true"\nLXC_ADDR="10.0.3.1"\nLXC_NETMASK=255.255.255.0\nLXC_NETWORK=10.0.3.0/24\nLXC_DHCP_MAX=253'
SCRIPT = f"#!/bin/sh\n{NET}\nLXC_BRIDGE=lxcbr0\nstart() {{\n  true\n}}"
MIRRORS = "'http://deb.example.org/debian/dists/x/InRelease' deb.example.org_InRelease 0\n'file:/srv/x' x 0"
SETTINGS = 'Acquire::http::Proxy "http://192.0.2.1:3128";\nAcquire::http::Proxy::deb.example.org "DIRECT";'


def lxc_net(text: str) -> None:
    """What lxc_setup makes of its file and of the routes."""
    try:
        lxc_network.wanted_network(lxc_network.Wish(), text, SCRIPT, ROUTES, True)
    except lxc_network.Unfit as error:
        assert str(error)


def lxc_net_by_routes(text: str) -> None:
    lxc_network.wanted_network(lxc_network.Wish(), "", SCRIPT, text, False)


#: What reads a text of the host, and such a text.
TEXTS: dict[str, tuple[str, Callable[[str], object]]] = {
    "routes for lxc-net": (ROUTES, lxc_net_by_routes),
    "lxc-net": (NET, lxc_net),
    "own IPv4": (TRIE, lambda text: list(own_addresses.parse_trie(text))),
    "own IPv6": (INET6, lambda text: list(own_addresses.parse_inet6(text))),
    "sockets": (TCP, lambda text: sockets.parse_sockets(text, "0A")),
    "daemon.json": (
        '{"features": {"a": true}, "labels": ["b"]}',
        lambda text: configured("/d", text, {"features": {"b": 1}}),
    ),
    "mirrors": (MIRRORS, lambda text: obstacles.mirrors(text, SETTINGS, {"http_proxy": "http://192.0.2.1"})),
    "apt's settings": (SETTINGS, lambda text: obstacles.mirrors(MIRRORS, text, {"no_proxy": ".org"})),
    "networkd's and NetworkManager's files": ("[Match]\nName=eth0\n[Network]\nDHCP=yes\n[Bridge]\nSTP=no", parse),
}


@pytest.mark.parametrize("name", TEXTS)
def test_a_text_is_read_as_far_as_it_can_be(name: str, cases: Cases) -> None:
    text, read = TEXTS[name]
    read(text)
    for number, mutants_of in enumerate((of_lines, of_words)):
        for mutant in mutants_of(text, cases(CASES * 2) // 2, number):
            read(mutant.encode("utf-8", "replace").decode())


RECORD = Record(
    "br0",
    "systemd-networkd",
    {"uplink": "eth0", "addresses": ["192.0.2.10/24"], "dns": [], "stp": False, "mtu": 1500},
    None,
    {"/etc/systemd/network/00-kraal-br0.netdev": (None, FileState(b"[NetDev]\n", 0o644))},
)
LINKS = [
    {"ifindex": 1, "ifname": "lo", "mtu": 65536, "addr_info": [{"family": "inet", "local": "127.0.0.1", "prefixlen": 8, "scope": "host"}]},
    {
        "ifname": "br0", "mtu": 1500, "address": "52:54:00:00:00:01", "linkinfo": {"info_kind": "bridge", "info_data": {"stp_state": 0}},
        "addr_info": [{"family": "inet", "local": "192.0.2.10", "prefixlen": 24, "scope": "global", "dynamic": True}],
    },
    {"ifname": "eth0", "mtu": 1500, "address": "52:54:00:00:00:02", "master": "br0", "addr_info": []},
]  # fmt: skip
DEFAULT = [
    {
        "dst": "default",
        "gateway": "192.0.2.1",
        "dev": "br0",
        "metric": 100,
        "nexthops": [{"gateway": "192.0.2.2", "dev": "br0"}],
    }
]


class Bridged(Mutated):
    """One with a bridge that was made here."""

    def __init__(self, root: Path, links: Any = LINKS, routes: Any = DEFAULT, record: Any = None) -> None:
        host = {"machine": "x86_64", "user": 0, "programs": {"ip": "/usr/sbin/ip"}, "commands": {}}
        place = f"{runner.DIRECTORY}/br0.json"
        super().__init__({**host, "files": {place: [json.dumps(RECORD.as_dict() if record is None else record)]}}, root)
        self.said = {
            "ip -details -json address show": Said(0, json.dumps(links)),
            "ip -json -4 route show default": Said(0, json.dumps(routes)),
            "ip -json -6 route show default": Said(0, "[]"),
        }


@pytest.mark.parametrize("what", ["links", "routes", "record"])
def test_a_bridge_is_described_or_it_is_said_why_not(what: str, tmp_path: Path, cases: Cases) -> None:
    whole = describe("br0", bridge_observe.observe(Bridged(tmp_path)))
    assert whole is not None and whole["addresses"] == ["192.0.2.10/24"] and whole["gateways"]
    recorded = {"links": LINKS, "routes": DEFAULT, "record": RECORD.as_dict()}[what]
    described = 0
    for mutant in of_json(recorded, cases(CASES * 3)):
        host = Bridged(tmp_path, **{what: mutant})
        try:
            found = describe("br0", bridge_observe.observe(host))
        except KraalError as error:
            assert str(error)
            continue
        described += found is not None
        json.dumps(found)
    assert described > cases(CASES * 3) / 4
