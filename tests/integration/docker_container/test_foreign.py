# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What others have made and no task could have written, and answers of the engine that nobody can read: none takes
another guest with it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import docker
import pytest

from tests.support.ansible_runner import Result, run_inventory
from tests.support.leftovers import Scratch
from tests.support.module_process import module_process
from tests.support.proxy import RecordingProxy

from .driver import Driver, actions

NET = "10.214"


def fleet(driver: Driver, *guests: dict[str, Any], **options: Any) -> Result:
    defaults = {"backend": "docker", "docker_host": driver.proxy.base_url, "image": driver.images.one}
    return module_process("kraal.virt.fleet", {"guests": list(guests), "defaults": defaults, **options})


@pytest.fixture
def odd(driver: Driver) -> Driver:
    """A container with what the engine takes and no task may write."""
    odd = driver.of("odd")
    host = driver.api.create_host_config(tmpfs={"/mnt": "size=0x100000,mode=1777"})
    made = driver.api.create_container(driver.images.one, name=odd.name, labels={"a b": "1", "": "2"}, host_config=host)
    driver.api.start(made["Id"])
    return odd


def test_what_others_have_made_is_data(driver: Driver, odd: Driver) -> None:
    odd.again(tmpfs=[])
    done = odd.do(tmpfs=["/run"], disruption="recreate")
    assert actions(done) == ["recreate"] and odd.inspect()["HostConfig"]["Tmpfs"]["/mnt"].startswith(
        "mode=1777,size=0x100000"
    )
    shown = odd.check(tmpfs=["/mnt:size=2m"], disruption="recreate")
    assert shown["plan"][0]["before"]["tmpfs[/mnt]"] == "/mnt:mode=1777,size=0x100000", shown["plan"]
    odd.do(labels={"c": "3"})
    assert odd.inspect()["Config"]["Labels"]["a b"] == "1"
    odd.do(image=..., state="absent")


def test_a_network_of_any_name(driver: Driver, scratch: Scratch) -> None:
    """The engine takes all letters, those of a request among them."""
    names = [scratch(f"net{end}") for end in ("?b=c#d", "%41", "&a:b@c")]
    for name in names:
        driver.api.create_network(name, internal=True)
    driver.do(networks=names[:2])
    assert set(driver.inspect()["NetworkSettings"]["Networks"]) == set(names[:2])
    done = driver.do(networks=names[1:], purge=["networks"])
    assert [action.split()[0] for action in sorted(actions(done))] == ["attach", "detach"]
    assert set(driver.inspect()["NetworkSettings"]["Networks"]) == set(names[1:])
    for name in ("..", "."):
        driver.refused("networks", "is not a network", networks=[name])
    driver.do(image=..., state="absent")


def test_odd_names_of_images(driver: Driver, proxy: RecordingProxy) -> None:
    """An image that was pulled by another kind of digest is no reason for any other image or container to fail."""

    def odd(images: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [
            {
                **images[0],
                "Id": f"sha256:{'0' * 64}",
                "RepoTags": None,
                "RepoDigests": [f"odd@sha512:{'a' * 128}", "UPPER", 7],
            },
            {"Id": None},
            "x",
            *images,
        ]

    proxy.rewrite("/images/json", odd)
    driver.do()
    driver.again()
    image = {"name": driver.images.one, "docker_host": proxy.base_url}
    result = module_process("kraal.virt.docker_image", image, check=True)
    assert not result.failed and not result.changed, result.msg
    tagged = module_process(
        "kraal.virt.docker_image", {**image, "name": f"{driver.scratch('tag')}:1", "tag": driver.images.one}
    )
    assert tagged.changed and not tagged.failed, tagged.msg
    gone = module_process("kraal.virt.docker_image", {**image, "name": f"{driver.scratch('tag')}:1", "state": "absent"})
    assert gone.changed and not gone.failed, gone.msg


def without(*path: str) -> Callable[[Any], Any]:
    """An inspection that lacks something."""

    def change(data: Any) -> Any:
        inner = data
        for key in path[:-1]:
            inner = inner[key]
        del inner[path[-1]]
        return data

    return change


ANSWERS: dict[str, Callable[[Any], Any]] = {
    "no-state": without("State", "Status"),
    "another-kind": lambda data: {**data, "HostConfig": {**data["HostConfig"], "Memory": "much"}},
    "no-json": lambda data: b'{"Id": "',
    "refused": lambda data: 500,
}


@pytest.mark.parametrize("answer", ANSWERS)
def test_a_container_that_cannot_be_read(
    driver: Driver, proxy: RecordingProxy, scratch: Scratch, tmp_path: Any, answer: str
) -> None:
    """The list of the engine knows what it is called, whether it runs, and its labels: so it can be stopped and
    removed.
    """
    mine, odd, stray = driver.of("mine"), driver.of("odd"), driver.of("stray")
    label = {"kraal.fleet": scratch("fleet")}
    for each, labels in ((mine, label), (odd, {"tier": "odd"}), (stray, label)):
        each.make(labels=labels)
    proxy.rewrite(f"/containers/({odd.inspect()['Id']}|{odd.name})/json", ANSWERS[answer])

    refused = odd.refused(odd.name, "docker", env={"A": "1"})
    assert "not understood" in refused or "no JSON" in refused or "refused" in refused
    mine.do(env={"A": "1"}, labels=label)
    result = fleet(
        driver,
        {"name": mine.name, "env": {"A": "2"}},
        {"name": odd.name, "env": {"A": "2"}},
        name=scratch("fleet"),
        prune=True,
    )
    by_name = {each["guest"]: (each["changed"], each["failed"]) for each in result["results"]}
    assert by_name == {mine.name: (True, False), odd.name: (False, True), stray.name: (True, False)}, result.json
    assert stray.word not in driver.mine() and "odd" in driver.mine()

    if answer == "refused":
        source = tmp_path / "guests.yml"
        source.write_text(
            f"plugin: kraal.virt.guests\nendpoints:\n  - name: proxied\n    docker_host: {proxy.base_url}\n",
            encoding="utf-8",
        )
        listed = run_inventory(source, "--list")
        assert listed.rc == 0 and f'"{mine.name}"' in listed.stdout and f'"{odd.name}"' in listed.stdout, listed.output
        assert (
            "label_tier_odd" in listed.stdout and " ".join(listed.stderr.split()).count(f"docker {odd.name}: ") == 1
        ), listed.stderr
    for state, status in (("stopped", "exited"), ("absent", "")):
        done = odd.do(image=..., state=state)
        assert done.changed and (
            driver.api.inspect_container(odd.name)["State"]["Status"] if status else "odd" in driver.mine()
        ) == (status or False)


def odd_subnet(name: str, api: docker.APIClient) -> Callable[[list[Any]], list[Any]]:
    """A network whose subnet has an address in it; what the engine's list is to be changed by. Docker 26.1 makes none
    any more, and keeps those that there are: so there the list has it, and the network has not.
    """

    def made(subnet: str) -> str:
        pool = docker.types.IPAMPool(subnet=f"{NET}.7.{subnet}")
        api.create_network(name, ipam=docker.types.IPAMConfig(pool_configs=[pool]))
        return str(api.inspect_network(name)["IPAM"]["Config"][0]["Subnet"])

    def odd(listed: list[Any]) -> list[Any]:
        for each in listed:
            if each["Name"] == name:
                each["IPAM"]["Config"][0]["Subnet"] = f"{NET}.7.9/24"
        return listed

    try:
        assert made("9/24") == f"{NET}.7.9/24"
    except docker.errors.APIError as error:
        assert "it should be" in str(error)
        assert made("0/24") == f"{NET}.7.0/24"
        return odd
    return lambda listed: listed


def test_networks_and_volumes_of_others(
    driver: Driver, scratch: Scratch, docker_api: docker.APIClient, proxy: RecordingProxy
) -> None:
    """The engine keeps a subnet as it was written, with an address in it; drivers of others keep what they like."""
    kept = odd_subnet(scratch("odd"), docker_api)
    strange: list[Any] = []
    proxy.rewrite("/networks", lambda listed: [*strange, *kept(listed)])
    network = {"docker_host": proxy.base_url, "name": scratch("mine")}
    made = module_process("kraal.virt.docker_network", {**network, "subnets": [f"{NET}.8.0/24"]})
    assert made.changed and not made.failed, made.msg or made.stderr
    over = module_process("kraal.virt.docker_network", {**network, "subnets": [f"{NET}.7.0/25"]}, check=True)
    assert over.failed and "overlaps" in over.msg
    same = module_process(
        "kraal.virt.docker_network", {**network, "name": scratch("odd"), "subnets": [f"{NET}.7.0/24"]}
    )
    assert not same.failed and not same.changed, same.json

    strange += ["x", {"Name": None}, {"Name": "weave", "IPAM": {"Config": [{"Subnet": "fabric-7"}, {}, 3]}}]
    proxy.rewrite("/volumes", lambda listed: {"Volumes": [None, {"Name": 3}, {"Labels": []}, *listed["Volumes"]]})
    proxy.rewrite(
        "/containers/json",
        lambda listed: [
            3,
            {"Names": None, "Id": "x"},
            {"Mounts": 3, "Names": ["/kt-x"], "Ports": "80", "Labels": []},
            *listed,
        ],
    )
    again = module_process("kraal.virt.docker_network", {**network, "subnets": [f"{NET}.8.0/24"]})
    assert not again.failed and not again.changed, again.msg or again.stderr
    volume = module_process("kraal.virt.docker_volume", {"docker_host": proxy.base_url, "name": scratch("v")})
    assert volume.changed and not volume.failed, volume.msg or volume.stderr
    driver.do(networks=[scratch("mine")], mounts=[f"{scratch('v')}:/mnt"], ports=["127.0.0.1::80"])
    driver.do(image=..., state="absent", remove_storage=True)
    assert scratch("v") not in {each["Name"] for each in docker_api.volumes()["Volumes"] or ()}
