# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever a task gives an option, of whatever module: it is taken, or refused with an error that can be read."""

from __future__ import annotations

import copy
import importlib
import json
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

import pytest
import yaml

from ansible_collections.kraal.virt.plugins.action.fleet import backends_of
from ansible_collections.kraal.virt.plugins.module_utils import fleet
from ansible_collections.kraal.virt.plugins.module_utils.backends.docker.client import CONNECTION as DOCKER
from ansible_collections.kraal.virt.plugins.module_utils.backends.docker.container.options import CONTAINERS
from ansible_collections.kraal.virt.plugins.module_utils.backends.docker.image.resource import IMAGES
from ansible_collections.kraal.virt.plugins.module_utils.backends.docker.network import NETWORKS_TABLE
from ansible_collections.kraal.virt.plugins.module_utils.backends.docker.volume import VOLUMES_TABLE
from ansible_collections.kraal.virt.plugins.module_utils.backends.kvm.client import CONNECTION as KVM
from ansible_collections.kraal.virt.plugins.module_utils.backends.kvm.network.options import (
    NETWORKS_TABLE as KVM_NETWORKS,
)
from ansible_collections.kraal.virt.plugins.module_utils.backends.kvm.storage.pool_options import POOLS_TABLE
from ansible_collections.kraal.virt.plugins.module_utils.backends.kvm.storage.volume_options import (
    VOLUMES_TABLE as KVM_VOLUMES,
)
from ansible_collections.kraal.virt.plugins.module_utils.backends.kvm.vm.options import VMS
from ansible_collections.kraal.virt.plugins.module_utils.backends.lxc.client import CONNECTION as LXC
from ansible_collections.kraal.virt.plugins.module_utils.backends.lxc.container.options import (
    CONTAINERS as LXC_CONTAINERS,
)
from ansible_collections.kraal.virt.plugins.module_utils.engine.entries import checked
from ansible_collections.kraal.virt.plugins.module_utils.engine.errors import KraalError
from ansible_collections.kraal.virt.plugins.module_utils.engine.spec import Spec, Table
from ansible_collections.kraal.virt.plugins.module_utils.host.bridge.shape import TABLE as BRIDGES
from ansible_collections.kraal.virt.plugins.module_utils.host.ssh_key import KEYS
from ansible_collections.kraal.virt.plugins.module_utils.images.base_image import BASE_IMAGES
from ansible_collections.kraal.virt.plugins.plugin_utils import hosts

from .mutations import of_json

#: By their modules: the tables, and the options that say how the engine is reached.
TABLES: dict[str, tuple[Table, Mapping[str, Any]]] = {
    "docker_container": (CONTAINERS, DOCKER),
    "docker_image": (IMAGES, DOCKER),
    "docker_network": (NETWORKS_TABLE, DOCKER),
    "docker_volume": (VOLUMES_TABLE, DOCKER),
    "lxc_container": (LXC_CONTAINERS, LXC),
    "kvm_vm": (VMS, KVM),
    "kvm_network": (KVM_NETWORKS, KVM),
    "kvm_pool": (POOLS_TABLE, KVM),
    "kvm_volume": (KVM_VOLUMES, KVM),
    "base_image": (BASE_IMAGES, {}),
    "host_bridge": (BRIDGES, {}),
    "ssh_key": (KEYS, {}),
}
ODD: tuple[Any, ...] = (
    *(None, True, False, -1, 0, 1, 5, 2**31, 2**63, 2**70, 10**400, 1.5, float("inf"), float("nan"), -0.0),
    *([], {}, [None], [[]], [{}], {"x": {"y": 1}}, {"": None}, {1: 2}),
    *("", "  ", "a\0b", "\ud800", "\udcff", "²", "1e999", "1e999999999", "1e309", "-1", "0x", "9" * 20, "-", ":", ",", "="),
    *("..", "../..", "a/b", "/", "a?b=c#d", "%s{}", "{{ 7*7 }}", "\x1b[31m", "a\nb", "ä" * 300, "x" * 5000, "~kt-nobody"),
    *("[", "{", "a=b", ":::", "1:2:3:4", "[::1", "fe80::1%eth0"),
)  # fmt: skip
#: Mutants of each example.
MUTANTS = 40
#: Seconds of processor time that one may take.
LIMIT = 5


def examples(module: str) -> list[dict[str, Any]]:
    """What the module's documentation shows."""
    text = importlib.import_module(f"ansible_collections.kraal.virt.plugins.modules.{module}").EXAMPLES
    found = (task.get(f"kraal.virt.{module}") for task in yaml.safe_load(text))
    return [each for each in found if isinstance(each, dict)]


def odd_arguments(module: str) -> Iterator[dict[str, Any]]:
    """Each option with each odd value, alone, in a list and in a mapping; the options below it; and mutated examples."""
    table, connection = TABLES[module]
    name = {"path": "/tmp/key"} if module == "ssh_key" else {"name": "web"}
    for option, declared in {**table.argument_spec(), **connection}.items():
        for value in ODD:
            yield from ({**name, option: odd} for odd in (value, [value], {"a": value}))
        for below in declared.get("options") or ():
            wrap: Callable[[Any], Any] = (
                (lambda entry: [entry]) if declared["type"] == "list" else (lambda entry: entry)
            )
            yield from ({**name, option: wrap({below: value})} for value in ODD)
    for number, example in enumerate(examples(module)):
        yield from (each for each in of_json(example, MUTANTS, number) if isinstance(each, dict))


def read(module: str, arguments: Mapping[str, Any]) -> Spec:
    table, connection = TABLES[module]
    spec = {**table.argument_spec(), **connection}
    return table.read(checked(spec, copy.deepcopy(dict(arguments)), set(), "the module"))


@contextmanager
def limited() -> Iterator[None]:
    def late(_signal: int, _frame: FrameType | None) -> None:
        raise TimeoutError(f"it took more than {LIMIT} s")

    previous = signal.signal(signal.SIGVTALRM, late)
    signal.setitimer(signal.ITIMER_VIRTUAL, LIMIT)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, previous)


@pytest.mark.parametrize("module", TABLES)
def test_an_odd_value_is_refused_in_words_or_taken(module: str) -> None:
    taken = refused = 0
    for arguments in odd_arguments(module):
        try:
            with limited():
                want = read(module, arguments)
            json.dumps(TABLES[module][0].shown(want)).encode()
            taken += 1
        except KraalError as error:
            assert str(error).encode() and len(str(error)) > 10
            refused += 1
        except Exception as error:
            error.add_note(f"{module}: {arguments!r}"[:2000])
            raise
    assert taken >= 3 and refused > 100, (taken, refused)


def guests() -> Iterator[dict[str, Any]]:
    """Entries of a fleet: each option with odd values, what the list itself knows, and mutated examples."""
    for module, kind in (("docker_container", "docker"), ("lxc_container", "lxc"), ("kvm_vm", "kvm")):
        # The same road as above from here on: a part of them will do.
        for arguments in list(odd_arguments(module))[::9]:
            yield {"backend": kind, **arguments}
    for key in ("backend", "count", "name"):
        yield from ({"backend": "docker", "name": "web-{i}", "count": 2, key: value} for value in ODD)


def fleet_of(**arguments: Any) -> fleet.Fleet:
    given = checked(fleet.ARGUMENTS, arguments, set(), "fleet")
    return fleet.read_fleet(given)


def test_an_odd_guest_of_a_fleet_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """With all others that are wrong; and its option too, as the tests above show."""
    monkeypatch.setattr(fleet.Fleet, "place", lambda *_where: "")
    for guest in guests():
        try:
            with limited():
                fleet_of(guests=[guest])
        except KraalError as error:
            name = guest.get("name")
            named = isinstance(name, str) and name.isprintable() and 0 < len(name) < 100
            assert not named or name.replace("{i}", "") in str(error).replace("{i}", ""), (guest, str(error))
        except Exception as error:
            error.add_note(repr(guest)[:2000])
            raise


@pytest.mark.parametrize("option", sorted(fleet.ARGUMENTS))
def test_odd_options_of_a_fleet(option: str) -> None:
    for value in ODD:
        for odd in (value, [value], {"a": value}, {"docker": value}):
            try:
                with limited():
                    fleet_of(**{"guests": [], "name": "shop", option: odd})
            except KraalError as error:
                assert str(error).encode()


def read_host(entry: dict[str, Any]) -> None:
    hosts.ssh_command(hosts.checked("hosts", entry, hosts.HOST, {"name"}), 10, True)


def test_odd_hosts_of_an_inventory() -> None:
    """As entries, as endpoints, and as variables of a host."""
    ways: list[Callable[[Any], object]] = [
        *(lambda odd, key=key: read_host({"name": "x", key: odd}) for key in hosts.HOST),
        *(
            lambda odd, key=key: hosts.endpoint({"name": "x", "docker_host": "tcp://192.0.2.1", key: odd})
            for key in ("name", "backend", "docker_host", "tls_ca")
        ),
        *(
            lambda odd, key=key: hosts.ssh_command(hosts.from_variables("x", {key: odd}), 10, True)
            for key in hosts.VARIABLES.values()
        ),
        lambda odd: backends_of({"guests": [{"name": "web", "backend": "docker"}], "prune": odd}),
        lambda odd: backends_of({"guests": odd, "defaults": odd}),
    ]
    for value in (*ODD, '"', "a 'b"):
        for odd in (value, [value], {"a": value}, [{"name": value, "backend": value}]):
            for way in ways:
                with suppress(KraalError), limited():
                    way(odd)


@pytest.mark.parametrize(("module", "option"), [("docker_container", "api_timeout"), ("kvm_vm", "connect_timeout")])
@pytest.mark.parametrize("value", [2_000_001, "2000001", 2**62, "9" * 20, "9" * 5000, float("inf"), "1e7777"])
def test_seconds_that_no_system_waits_for(module: str, option: str, value: Any) -> None:
    with pytest.raises(KraalError, match=f"{option}: .* is not a number that can be meant. Write 2000000 at most"):
        read(module, {"name": "web", option: value})
    assert read(module, {"name": "web", option: 2_000_000})
