# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever an engine answers about one container, image, network or volume: it is that one's fault alone, and no
traceback.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from typing import Any

import pytest

from ansible_collections.kraal.virt.plugins.module_utils.backends.docker import discover
from ansible_collections.kraal.virt.plugins.module_utils.backends.docker.container.resource import Containers
from ansible_collections.kraal.virt.plugins.module_utils.backends.docker.image.resource import IMAGES, Images
from ansible_collections.kraal.virt.plugins.module_utils.backends.docker.network import NETWORKS_TABLE, Networks
from ansible_collections.kraal.virt.plugins.module_utils.backends.docker.reader import Reader
from ansible_collections.kraal.virt.plugins.module_utils.backends.docker.volume import VOLUMES_TABLE, Volumes
from ansible_collections.kraal.virt.plugins.module_utils.engine.reconcile import Job, Outcome, reconcile
from ansible_collections.kraal.virt.plugins.module_utils.engine.spec import Spec, Table

from ...mutations import of_json
from .examples import EXAMPLES
from .scene import inspected, load, want

CASES = 120
OTHER, ODD = "1" * 64, "2" * 64
OPTIONS = {name: example.value for name, example in EXAMPLES.items() if name not in ("image", "network_mode")}


def _summary(data: Mapping[str, Any], name: str) -> dict[str, Any]:
    mounts = [{"Type": "volume", "Name": "volume-a", "Destination": "/data"}]
    return {
        "Id": data["Id"], "Names": [f"/{name}"], "Image": "base:1", "ImageID": data["Image"], "State": data["State"]["Status"], "Mounts": mounts,
        "Labels": data["Config"]["Labels"], "Ports": [{"Type": "tcp", "PrivatePort": 80, "PublicPort": 28080, "IP": "127.0.0.1"}],
        "NetworkSettings": {"Networks": {"front": {"NetworkID": "f" * 64}}},
    }  # fmt: skip


def _scene() -> dict[str, Any]:
    """What an engine with two containers answers, by path."""
    other, odd = {**inspected("plain"), "Id": OTHER, "Name": "/other"}, {**inspected("full"), "Id": ODD, "Name": "/odd"}
    ipam = {"Driver": "default", "Config": [{"Subnet": "172.31.0.0/16", "Gateway": "172.31.0.1"}], "Options": None}
    networks = [
        {"Name": name, "Id": name[0] * 64, "Driver": "bridge", "IPAM": ipam, "Labels": {}, "Options": {}}
        for name in ("front", "back")
    ]
    volumes = [
        {"Name": f"volume-{name}", "Driver": "local", "Labels": {"kraal.virt.removes": "[]"}, "Options": None}
        for name in "ab"
    ]
    configs = {
        f"/images/{key.replace(':', '%3A')}/json": {"Id": key, "Config": config}
        for key, config in load("image-configs").items()
    }
    return {
        "/containers/json": [_summary(other, "other"), _summary(odd, "odd")], f"/containers/{OTHER}/json": other, f"/containers/{ODD}/json": odd,
        "/images/json": load("images"), "/networks": networks, "/volumes": {"Volumes": volumes}, **configs,
    }  # fmt: skip


SCENE = _scene()


class Engine(Reader):
    """One that answers from a scene."""

    def __init__(self, answers: Mapping[str, Any]) -> None:
        super().__init__({"docker_host": "tcp://192.0.2.1"})
        self.answers = answers

    def get(self, path: str, **query: Any) -> Any:
        return copy.deepcopy(self.answers.get(path))


def _mutants(path: str, place: int | str | None = None) -> list[dict[str, Any]]:
    """The scene with one answer mutated, or one entry of it."""
    answer = SCENE[path]
    if place is None:
        return [{**SCENE, path: mutant} for mutant in of_json(answer, CASES)]
    entries = answer["Volumes"] if isinstance(answer, dict) else answer
    lists = [
        [entry if number != place else mutant for number, entry in enumerate(entries)]
        for mutant in of_json(entries[place], CASES)
    ]
    return [{**SCENE, path: {"Volumes": mutant} if isinstance(answer, dict) else mutant} for mutant in lists]


def _listed(answers: Mapping[str, Any], monkeypatch: pytest.MonkeyPatch) -> tuple[dict[str, Any], list[str]]:
    monkeypatch.setattr(Reader, "get", lambda self, path, **query: copy.deepcopy(answers.get(path)))
    found = discover.guests({})
    # It goes over a wire.
    guests = json.loads(json.dumps([guest.as_dict() for guest in found.guests]))
    return {guest["name"]: guest for guest in guests}, [str(fault) for fault in found.faults]


def _planned(answers: Mapping[str, Any], *wants: Spec, resource: Any = Containers) -> list[Outcome]:
    return reconcile([Job(resource(Engine(answers)), list(wants))], check=True)


@pytest.mark.parametrize("path", [f"/containers/{ODD}/json", "/containers/json"])
def test_every_other_container_is_listed(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, none = _listed(SCENE, monkeypatch)
    assert set(whole) == {"other", "odd"} and none == []
    with_fault = 0
    for answers in _mutants(path, 1 if path == "/containers/json" else None):
        guests, faults = _listed(answers, monkeypatch)
        assert guests["other"] == whole["other"]
        # What the engine lists and does not find under that id is gone.
        gone = (
            path == "/containers/json"
            and [each.get("Id") if isinstance(each, dict) else each for each in answers[path]][1] != ODD
        )
        assert faults or gone or len(guests) == 2
        assert all("docker" in fault and ("odd" in fault or "no name" in fault) for fault in faults), faults
        with_fault += bool(faults)
    assert with_fault > CASES / 40


@pytest.mark.parametrize(
    ("path", "place"),
    [
        (f"/containers/{ODD}/json", None),
        ("/containers/json", 1),
        ("/images/json", 0),
        ("/networks", 1),
        ("/volumes", 1),
    ],
)
def test_every_other_container_is_managed(path: str, place: int | None) -> None:
    mine = want("other", labels={"a": "b"}, networks=["front"], pull="never")
    odd = [
        want("odd", **OPTIONS, purge=["env"], pull="never"),
        want("odd", state="absent", remove_storage=True),
        want("odd", state="stopped", env={"A": "1"}),
    ]
    expected = _planned(SCENE, mine)[0]
    assert expected.steps and not expected.error
    for number, answers in enumerate(_mutants(path, place)):
        other, outcome = _planned(answers, mine, odd[number % 3])
        assert (other.error, other.steps, other.described) == (None, expected.steps, expected.described)
        assert outcome.error is None or "docker odd: " in str(outcome.error)


def _read(table: Table, name: str, **values: Any) -> Spec:
    return table.read(
        {**{key: spec.get("default") for key, spec in table.argument_spec().items()}, "name": name, **values}
    )


@pytest.mark.parametrize(
    ("resource", "mine", "path", "place"),
    [
        (Networks, _read(NETWORKS_TABLE, "new", subnets=["172.30.0.0/16"]), "/networks", 1),
        (Networks, _read(NETWORKS_TABLE, "back", state="absent", force=True), "/containers/json", 1),
        (Volumes, _read(VOLUMES_TABLE, "volume-a"), "/volumes", 1),
        (Volumes, _read(VOLUMES_TABLE, "volume-new"), "/containers/json", 1),
        (Images, _read(IMAGES, "base:2"), "/images/json", 0),
        (Images, _read(IMAGES, "base:2", state="absent"), "/containers/json", 1),
    ],
)
def test_every_other_thing_is_managed(resource: Any, mine: Spec, path: str, place: int) -> None:
    expected = _planned(SCENE, mine, resource=resource)[0]
    assert expected.error is None
    for answers in _mutants(path, place):
        (outcome,) = _planned(answers, mine, resource=resource)
        assert (outcome.error, outcome.steps) == (None, expected.steps)
