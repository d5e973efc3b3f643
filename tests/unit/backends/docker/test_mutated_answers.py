# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever an engine answers about one container, image, network or volume: it is that one's fault alone, and no
traceback.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, cast

import pytest

from ansible_collections.kraal.virt.plugins.module_utils.backends.docker import discover
from ansible_collections.kraal.virt.plugins.module_utils.backends.docker.container.resource import Containers
from ansible_collections.kraal.virt.plugins.module_utils.backends.docker.image.references import parse_reference
from ansible_collections.kraal.virt.plugins.module_utils.backends.docker.image.registry import Login, remote_digest
from ansible_collections.kraal.virt.plugins.module_utils.backends.docker.image.resource import IMAGES, Images
from ansible_collections.kraal.virt.plugins.module_utils.backends.docker.network import NETWORKS_TABLE, Networks
from ansible_collections.kraal.virt.plugins.module_utils.backends.docker.reader import Reader
from ansible_collections.kraal.virt.plugins.module_utils.backends.docker.volume import VOLUMES_TABLE, Volumes
from ansible_collections.kraal.virt.plugins.module_utils.engine.errors import Unreadable
from ansible_collections.kraal.virt.plugins.module_utils.engine.reconcile import Job, Outcome, reconcile
from ansible_collections.kraal.virt.plugins.module_utils.engine.spec import Spec, Table

from ...mutations import each_of_json, of_json
from ...strays import LABELS, strays
from .examples import EXAMPLES
from .scene import image_id, inspected, load, want

CASES = 120
Cases = Callable[[int], int]
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
    info = {
        "Plugins": {"Volume": ["local"], "Network": ["bridge", "host", "macvlan", "null"]}, "DockerRootDir": "/var/lib/docker",
        "SystemTime": "2026-01-01T00:00:00.000000001Z",
    }  # fmt: skip
    return {
        "/info": info,
        "/containers/json": [_summary(other, "other"), _summary(odd, "odd")], f"/containers/{OTHER}/json": other, f"/containers/{ODD}/json": odd,
        "/images/json": load("images"), "/networks": networks, "/volumes": {"Volumes": volumes}, **configs,
    }  # fmt: skip


SCENE = _scene()


class Engine(Reader):
    """One that answers from a scene."""

    api = (1, 41)

    def __init__(self, answers: Mapping[str, Any]) -> None:
        super().__init__({"docker_host": "tcp://192.0.2.1"})
        self.answers = answers

    def get(self, path: str, **query: Any) -> Any:
        return copy.deepcopy(self.answers.get(path))


def _mutants(count: int, path: str, place: int | None = None) -> Iterator[dict[str, Any]]:
    """The scene with one answer mutated, or one entry of it."""
    answer = SCENE[path]
    entries = answer.get("Volumes") if isinstance(answer, dict) else answer
    for mutant in of_json(answer if place is None else entries[place], count):
        if place is not None:
            listed = [entry if number != place else mutant for number, entry in enumerate(entries)]
            mutant = {"Volumes": listed} if isinstance(answer, dict) else listed
        yield {**SCENE, path: mutant}


def _listed(answers: Mapping[str, Any], monkeypatch: pytest.MonkeyPatch) -> tuple[dict[str, Any], list[str]]:
    monkeypatch.setattr(Reader, "get", lambda self, path, **query: copy.deepcopy(answers.get(path)))
    found = discover.guests({})
    # It goes over a wire.
    guests = json.loads(json.dumps([guest.as_dict() for guest in found.guests]))
    return {guest["name"]: guest for guest in guests}, [str(fault) for fault in found.faults]


def _planned(answers: Mapping[str, Any], *wants: Spec, resource: Any = Containers) -> list[Outcome]:
    return reconcile([Job(resource(Engine(answers)), list(wants))], check=True)


@pytest.mark.parametrize("path", [f"/containers/{ODD}/json", "/containers/json"])
def test_every_other_container_is_listed(path: str, monkeypatch: pytest.MonkeyPatch, cases: Cases) -> None:
    whole, none = _listed(SCENE, monkeypatch)
    assert set(whole) == {"other", "odd"} and none == []
    with_fault = 0
    for answers in _mutants(cases(CASES), path, 1 if path == "/containers/json" else None):
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


def test_no_value_in_the_list_hides_another_container(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each value of an entry in turn is each word and type."""
    whole, _none = _listed(SCENE, monkeypatch)
    listed, names = SCENE["/containers/json"], {"odd", "other"}
    for mutant in each_of_json(listed[1]):
        guests, _faults = _listed({**SCENE, "/containers/json": [listed[0], mutant]}, monkeypatch)
        assert guests["other"] == whole["other"] and set(guests) <= names


@pytest.mark.parametrize("path", [f"/containers/{ODD}/json", "/containers/json"])
def test_a_fleet_that_prunes_finds_every_other_of_its_guests(
    path: str, monkeypatch: pytest.MonkeyPatch, cases: Cases
) -> None:
    """And takes no guest away of which it is not certain that it is its own."""
    mine = copy.deepcopy(SCENE)
    mine["/containers/json"][0]["Labels"] = mine[f"/containers/{OTHER}/json"]["Config"]["Labels"] = LABELS
    monkeypatch.setitem(SCENE, f"/containers/{OTHER}/json", mine[f"/containers/{OTHER}/json"])
    monkeypatch.setitem(SCENE, "/containers/json", mine["/containers/json"])
    for answers in _mutants(cases(CASES // 2), path, 1 if path == "/containers/json" else None):
        assert strays(monkeypatch, Containers(cast("Any", Engine(answers))))[0] == ["other"]


@pytest.mark.parametrize(
    ("path", "place"),
    [
        (f"/containers/{ODD}/json", None),
        (f"/images/{image_id('base:1').replace(':', '%3A')}/json", None),
        ("/containers/json", 1),
        ("/images/json", 0),
        ("/networks", 1),
        ("/volumes", 1),
    ],
)
def test_every_other_container_is_managed(path: str, place: int | None, cases: Cases) -> None:
    mine = want("other", labels={"a": "b"}, networks=["front"], pull="never")
    odd = [
        want("odd", **OPTIONS, purge=["env"], pull="never"),
        want("odd", state="absent", remove_storage=True),
        want("odd", state="stopped", env={"A": "1"}),
    ]
    expected = _planned(SCENE, mine)[0]
    assert expected.steps and not expected.error
    for number, answers in enumerate(_mutants(cases(CASES), path, place)):
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
        (Networks, _read(NETWORKS_TABLE, "new", driver="bridge"), "/info", None),
        (Volumes, _read(VOLUMES_TABLE, "volume-new", driver="local"), "/info", None),
        (Networks, _read(NETWORKS_TABLE, "new", subnets=["172.30.0.0/16"]), "/networks", 1),
        (Networks, _read(NETWORKS_TABLE, "back", state="absent", force=True), "/containers/json", 1),
        (Volumes, _read(VOLUMES_TABLE, "volume-a"), "/volumes", 1),
        (Volumes, _read(VOLUMES_TABLE, "volume-new"), "/containers/json", 1),
        (Images, _read(IMAGES, "base:2"), "/images/json", 0),
        (Images, _read(IMAGES, "base:2", state="absent"), "/containers/json", 1),
    ],
)
def test_every_other_thing_is_managed(resource: Any, mine: Spec, path: str, place: int | None, cases: Cases) -> None:
    expected = _planned(SCENE, mine, resource=resource)[0]
    assert expected.error is None
    for answers in _mutants(cases(CASES), path, place):
        (outcome,) = _planned(answers, mine, resource=resource)
        # Of which drivers there are, the engine may say nothing; that it has others is an answer, too.
        if path != "/info" or outcome.error is None:
            assert (outcome.error, outcome.steps) == (None, expected.steps)
        else:
            assert " driver of this engine. It has: " in str(outcome.error)


@pytest.mark.parametrize(
    ("resource", "want", "path"),
    [
        (Containers, want("other", labels={"a": "b"}, image="rich:1", networks=["front"]), "/containers/json"),
        (Containers, want("other", labels={"a": "b"}, image="rich:1", networks=["front"]), "/images/json"),
        (Containers, want("other", labels={"a": "b"}, image="rich:1", networks=["front"]), "/networks"),
        (Networks, _read(NETWORKS_TABLE, "new"), "/networks"),
        (Volumes, _read(VOLUMES_TABLE, "new"), "/volumes"),
        (Images, _read(IMAGES, "base:2", pull="never"), "/images/json"),
    ],
)
def test_what_is_no_list_is_not_taken_for_an_empty_one(resource: Any, want: Spec, path: str) -> None:
    assert _planned(SCENE, want, resource=resource)[0].error is None
    for value in ({"message": "page not found"}, "hologram", 0, 2**70, True):
        (outcome,) = _planned(
            {**SCENE, path: {"Volumes": value} if path == "/volumes" else value}, want, resource=resource
        )
        assert "no list" in str(outcome.error), value


def test_what_a_registry_says_is_about_one_image(monkeypatch: pytest.MonkeyPatch, cases: Cases) -> None:
    """A digest, or an error that is the answer."""
    digest = "sha256:" + "a" * 64
    whole = {
        "Descriptor": {"mediaType": "application/vnd.oci.image.index.v1+json", "digest": digest, "size": 2372},
        "Platforms": [
            {"architecture": "amd64", "os": "linux"},
            {"architecture": "arm64", "os": "linux", "variant": "v8"},
        ],
    }

    class Asked:
        def __init__(self, answer: Any) -> None:
            self.client, self.answer = self, answer

        def inspect_distribution(self, *_arguments: Any, **_named: Any) -> Any:
            return self.answer

        def ask(self, function: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
            return function(*arguments, **named)

    found = [
        remote_digest(cast("Any", Asked(mutant)), parse_reference("debian:12"), Login())
        for mutant in of_json(whole, cases(CASES))
    ]
    assert {type(each) for each in found} == {str, Unreadable}
    assert all(each == digest or isinstance(each, Unreadable) for each in found)
