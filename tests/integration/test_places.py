# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One name in four places: on two Docker engines and in two directories of LXC.

Made, changed, listed, reached and pruned, each by itself.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import pytest

from tests.support.ansible_runner import Result, run_adhoc, run_inventory
from tests.support.daemons import SecondDaemon
from tests.support.images import BaseImages, import_image
from tests.support.leftovers import Scratch
from tests.support.lxc import LxcLab
from tests.support.lxc import run as run_tool
from tests.support.module_process import module_process

from .test_inventory import HERE, listed

Guest = dict[str, Any]


class Web:
    """The four guests of one name, by where they are; each place is what tells it from the others."""

    def __init__(self, daemon: SecondDaemon, lxc: LxcLab, scratch: Scratch, image: str) -> None:
        self.name, self.fleet = scratch("web"), scratch("fleet")
        self.lxc, self.other = lxc, lxc.root / "other"
        engine = {"backend": "docker", "image": image, "network_mode": "none", "stop_timeout": 1}
        system = {"backend": "lxc", "networks": [{"type": "empty"}], "stop_timeout": 1}
        self.ways: dict[str, Guest] = {
            "engine": {"docker_host": "unix:///run/docker.sock"},
            "second engine": {"docker_host": daemon.base_url},
            "directory": {"lxc_path": str(lxc.path)},
            "other directory": {"lxc_path": f"{self.other}/"},
        }
        kinds = [
            engine,
            {**engine, "image": "kt-second:1"},
            {**system, "image": str(lxc.image("1"))},
            {**system, "image": str(lxc.image("2"))},
        ]
        self.guests = {
            where: {**kind, **way, "name": self.name}
            for kind, (where, way) in zip(kinds, self.ways.items(), strict=True)
        }
        self.places = {
            "engine": "",
            "second engine": daemon.base_url,
            "directory": str(lxc.path),
            "other directory": str(self.other),
        }
        #: Where the places are that a list without them would not name.
        self.named = [{"backend": guest["backend"], **self.ways[where]} for where, guest in self.guests.items()]

    def __call__(self, *where: str, check: bool = False, **args: Any) -> Result:
        given = {
            "name": self.fleet,
            "defaults": {"memory": "64MiB", "stop_timeout": 1},
            "guests": [self.guests[each] for each in where],
        }
        result = module_process("kraal.virt.fleet", {**given, **args}, check=check)
        assert not result.failed, result.msg
        return result

    def where(self, guests: list[Guest]) -> list[str]:
        """Where these guests are, by their places, as results and steps of a plan have them too."""
        names = {(self.guests[where]["backend"], place): where for where, place in self.places.items()}
        return [names[guest["backend"], guest["place"]] for guest in guests]

    def info(self) -> list[Guest]:
        found = module_process(
            "kraal.virt.guests_info", {"names": [self.name], "backends": ["docker", "lxc"], "places": self.named[1:2]}
        )
        assert not found.failed, found.msg
        guests: list[Guest] = found["guests"]
        return guests


@pytest.fixture
def web(second_daemon: SecondDaemon, lxc: LxcLab, scratch: Scratch, base_images: BaseImages) -> Iterator[Web]:
    with second_daemon.client() as client:
        import_image(client, "kt-second:1", "second")
        yield Web(second_daemon, lxc, scratch, base_images.one)
        for container in client.containers(all=True):
            client.remove_container(container["Id"], force=True)
    for place in (lxc.path, lxc.root / "other"):
        for name in run_tool("lxc-ls", "-P", str(place), "-1", check=False).split():
            run_tool("lxc-destroy", "-P", str(place), "-n", name, "-f", check=False)


def memory(api: docker.APIClient, name: str) -> int:
    return int(api.inspect_container(name)["HostConfig"]["Memory"])


def test_one_name_in_four_places(
    web: Web, docker_api: docker.APIClient, second_daemon: SecondDaemon, tmp_path: Path
) -> None:
    everywhere = list(web.guests)
    # Nothing is made under --check, and what is foreseen is what is done.
    checked = web(*everywhere, check=True)
    assert web.info() == []
    made = web(*everywhere)
    assert checked["plan"] == made["plan"] and checked.changed
    assert web.where(made["guests"]) == web.where(made["results"]) == everywhere and all(
        each["changed"] for each in made["results"]
    )
    assert list(dict.fromkeys(web.where(made["plan"]))) == everywhere
    assert not web(*everywhere).changed

    # Each is what stands in its own place.
    with second_daemon.client() as second:
        assert [memory(docker_api, web.name), memory(second, web.name)] == [64 << 20] * 2

        # A change in one place is none in another.
        sizes = {"second engine": "96MiB", "directory": "96MiB"}
        change = {"guests": [{**web.guests[where], "memory": sizes.get(where, "64MiB")} for where in everywhere]}
        checked = web(check=True, **change)
        changed = web(**change)
        assert checked["plan"] == changed["plan"] and web.where(changed["plan"]) == ["second engine", "directory"]
        titles = [f"docker {web.name} at {second_daemon.base_url}", f"lxc {web.name} at {web.lxc.path}"]
        assert [each["before_header"] for each in changed["diff"]] == titles
        assert [memory(docker_api, web.name), memory(second, web.name)] == [64 << 20, 96 << 20]

    # guests_info lists what the fleet returned.
    found = web.info()
    assert sorted(web.where(found)) == sorted(everywhere)
    assert sorted(found, key=str) == sorted(changed["guests"], key=str)

    # The inventory tells them apart by their places, and reaches each in its own.
    source = tmp_path / "guests.yml"
    config = {
        "plugin": "kraal.virt.guests",
        "hosts": [HERE],
        "query": f"[?name == '{web.name}']",
        "places": web.named[1:2],
    }
    source.write_text(json.dumps(config), encoding="utf-8")
    found = listed(run_inventory(source, "--list"))["_meta"]["hostvars"]
    names = {
        "engine": f"{web.name}.localhost.docker",
        "second engine": f"{web.name}.localhost.docker.unix{str(second_daemon.socket).replace('/', '_')}",
        "directory": f"{web.name}.localhost.lxc.{str(web.lxc.path).strip('/').replace('/', '_')}",
        "other directory": f"{web.name}.localhost.lxc.{str(web.other).strip('/').replace('/', '_')}",
    }
    assert {name: web.where([guest["kraal_guest"]])[0] for name, guest in found.items()} == {
        name: where for where, name in names.items()
    }
    reached = run_adhoc("kraal_guests", "ansible.builtin.raw", "cat /etc/kt-release", inventory=source)
    answers = {each.host: each["stdout"].strip() for each in reached.results}
    assert answers == dict(zip(names.values(), ("1", "second", "1", "2"), strict=True)), reached.output

    # One after the other is pruned, wherever it is; the last of a backend too.
    left = everywhere
    for gone in ("second engine", "directory", "engine", "other directory"):
        left = [where for where in left if where != gone]
        rest = [guest for where, guest in zip(everywhere, change["guests"], strict=True) if where in left]
        checked = web(check=True, guests=rest, prune=True, places=web.named)
        pruned = web(guests=rest, prune=True, places=web.named)
        assert checked["plan"] == pruned["plan"] and set(web.where(pruned["plan"])) == {gone}
        assert {step["action"] for step in pruned["plan"]} <= {"stop", "remove"}
        assert sorted(web.where(web.info())) == sorted(left)


def test_two_spellings_are_one_place(web: Web) -> None:
    """The second would change what the first has made: refused before anything is touched, in check mode too."""
    spellings = {
        "engine": {"docker_host": "unix:///var/run/docker.sock"},
        "directory": {"lxc_path": f"{web.lxc.path}/"},
    }
    for where, spelling in spellings.items():
        again = {**web.guests[where], **spelling}
        for check in (True, False):
            result = module_process("kraal.virt.fleet", {"guests": [web.guests[where], again]}, check=check)
            assert (
                result.failed
                and f"{web.name!r} is the name of two {again['backend']} guests of this task" in result.msg
            )
    assert web.info() == []


def test_a_place_that_does_not_answer_is_told_and_stops_nothing(web: Web, tmp_path: Path) -> None:
    gone = {"backend": "docker", "docker_host": f"unix://{tmp_path}/gone.sock"}
    result = web("engine", prune=True, places=[gone])
    assert result.changed and any(
        f"prune: guests of docker at unix://{tmp_path}/gone.sock were not looked for" in each
        for each in result.warnings
    )
    found = module_process("kraal.virt.guests_info", {"names": [web.name], "places": [gone]})
    assert (
        not found.failed
        and web.where(found["guests"]) == ["engine"]
        and any("gone.sock" in each for each in found.warnings)
    )
