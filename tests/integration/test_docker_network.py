# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""docker_network against a real daemon."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from docker.errors import APIError

from tests.support.resource_driver import ResourceDriver
from tests.support.warm_module import WarmModule

#: For the tests' networks: nobody else here uses it.
NET = "10.215"


@pytest.fixture(scope="module")
def module() -> Iterator[WarmModule]:
    with WarmModule("kraal.virt.docker_network") as warm:
        yield warm


@pytest.fixture
def driver(module, proxy, scratch, pytestconfig: pytest.Config) -> ResourceDriver:
    return ResourceDriver(module, proxy, pytestconfig.getoption("--all"))


TABLE = [
    ("driver", {"driver": "bridge"}, {"driver": "ipvlan", "options": {"parent": "docker0"}}),
    ("subnets", {"subnets": [f"{NET}.1.0/24"]}, {"subnets": [f"{NET}.2.0/24"]}),
    (
        "gateway",
        {"subnets": [{"subnet": f"{NET}.1.0/24", "gateway": f"{NET}.1.1"}]},
        {"subnets": [{"subnet": f"{NET}.1.0/24", "gateway": f"{NET}.1.254"}]},
    ),
    (
        "ip_range",
        {"subnets": [f"{NET}.1.0/24"]},
        {"subnets": [{"subnet": f"{NET}.1.0/24", "ip_range": f"{NET}.1.128/25"}]},
    ),
    (
        "aux_addresses",
        {"subnets": [{"subnet": f"{NET}.1.0/24", "aux_addresses": {"router": f"{NET}.1.9"}}]},
        {"subnets": [{"subnet": f"{NET}.1.0/24", "aux_addresses": {"router": f"{NET}.1.8"}}]},
    ),
    ("ipam_options", {"ipam_options": {"a": "1"}}, {"ipam_options": {"a": "2"}}),
    ("internal", {"internal": False}, {"internal": True}),
    ("attachable", {"attachable": False}, {"attachable": True}),
    ("enable_ipv6", {"enable_ipv6": False}, {"enable_ipv6": True, "subnets": ["fd00:213:1::/64"]}),
    (
        "subnets of both families",
        {"enable_ipv6": True, "subnets": [f"{NET}.1.0/24", "FD00:213:1:0::/64"]},
        {"subnets": [{"subnet": "fd00:213:2::/64", "gateway": "fd00:213:2::1"}]},
    ),
    (
        "options",
        {"options": {"com.docker.network.driver.mtu": 1400}},
        {"options": {"com.docker.network.driver.mtu": 1300}},
    ),
    ("labels", {"labels": {"a": "1", "b": True}}, {"labels": {"a": "2"}}),
]


@pytest.mark.parametrize(("first", "second"), [case[1:] for case in TABLE], ids=[case[0] for case in TABLE])
def test_option(driver, scratch, first, second) -> None:
    """Create, again, change, again."""
    name = scratch("n")
    created = driver.change(name=name, **first)
    assert [step["action"] for step in created["plan"]] == ["create"]
    driver.again(name=name)
    driver.refused("disruption=recreate", next(iter(second)), name=name, **second)
    changed = driver.change(name=name, disruption="recreate", **second)
    assert [step["action"] for step in changed["plan"]] == ["recreate"]
    assert changed["network"]["id"] != created["network"]["id"]


def test_what_check_foresees_is_what_there_is(driver, scratch) -> None:
    args = {
        "name": scratch("n"),
        "subnets": [f"{NET}.1.0/24"],
        "labels": {"a": "1"},
        "internal": True,
        "options": {"x": "y"},
    }
    foreseen, made = driver.check(**args)["network"], driver.run(**args)["network"]
    assert {**made, "id": ""} == foreseen
    assert driver.check(**args)["network"] == made


def test_a_re_creation_keeps_what_the_task_does_not_name(driver, docker_api, scratch) -> None:
    name = scratch("n")
    driver.change(
        name=name,
        subnets=[f"{NET}.1.0/24"],
        labels={"a": "1"},
        attachable=True,
        options={"com.docker.network.driver.mtu": "1400"},
    )
    driver.change(name=name, labels={"b": "2"}, disruption="recreate")
    found = docker_api.inspect_network(name)
    assert found["Labels"] == {"a": "1", "b": "2"}
    assert found["IPAM"]["Config"][0]["Subnet"] == f"{NET}.1.0/24"
    assert found["Attachable"] and found["Options"] == {"com.docker.network.driver.mtu": "1400"}
    driver.change(name=name, labels={"b": "2"}, purge=["labels"], disruption="recreate")
    assert docker_api.inspect_network(name)["Labels"] == {"b": "2"}


def test_macvlan_on_a_parent(driver, docker_api, scratch) -> None:
    docker_api.create_network(scratch("p"), options={"com.docker.network.bridge.name": "kt-parent"})
    made = driver.change(
        name=scratch("m"), driver="macvlan", subnets=[f"{NET}.3.0/24"], options={"parent": "kt-parent"}
    )
    assert made["network"]["driver"] == "macvlan" and made["network"]["options"] == {"parent": "kt-parent"}
    driver.change(name=scratch("m"), state="absent")


@pytest.mark.parametrize("running", [True, False])
def test_a_network_in_use_is_not_torn_down(driver, docker_api, base_image, scratch, running) -> None:
    name, guest = scratch("n"), scratch("guest")
    driver.change(name=name, labels={"a": "1"})
    docker_api.create_container(
        base_image, name=guest, networking_config={"EndpointsConfig": {name: {}}}, host_config={"NetworkMode": name}
    )
    if running:
        docker_api.start(guest)
    driver.refused("in use", guest, "force=true", name=name, state="absent")
    driver.refused("labels", guest, name=name, labels={"a": "2"}, disruption="recreate")
    driver.refused("labels[a]", name=name, labels={"a": "2"})
    driver.again(name=name, labels={"a": "1"})
    done = driver.change(name=name, state="absent", force=True)
    assert [(step["action"], step["key"]) for step in done["plan"]] == [
        ("detach", f"containers[{guest}]"),
        ("remove", ""),
    ]
    assert docker_api.inspect_container(guest)["State"]["Running"] == running
    assert done["network"] is None


def test_a_network_that_cannot_be_made_leaves_the_old_one(driver, scratch) -> None:
    args = {"name": scratch("n"), "subnets": [f"{NET}.6.0/24"], "labels": {"a": "1"}}
    driver.change(**args)
    result = driver.run(name=scratch("n"), driver="macvlan", options={"parent": "lo"}, disruption="recreate")
    assert result.failed and "put back" in result.msg and "loopback" in result.msg, result.msg
    driver.again(**args)


def test_crash_after_each_step(driver, docker_api, base_image, scratch) -> None:
    name, guest = scratch("n"), scratch("guest")

    def nothing() -> None:
        driver.run(name=name, state="absent", force=True)

    def changed() -> None:
        nothing()
        driver.run(name=name, subnets=[f"{NET}.1.0/24"])

    def used() -> None:
        changed()
        if docker_api.containers(all=True, filters={"name": guest}):
            docker_api.remove_container(guest, force=True)
        docker_api.create_container(
            base_image, name=guest, networking_config={"EndpointsConfig": {name: {}}}, host_config={"NetworkMode": name}
        )

    for result in driver.crashes(nothing, name=name, subnets=[f"{NET}.1.0/24"], labels={"a": "1"}):
        assert result["network"]["labels"] == {"a": "1"}
    for result in driver.crashes(changed, name=name, subnets=[f"{NET}.2.0/24"], disruption="recreate"):
        assert result["network"]["subnets"][0]["subnet"] == f"{NET}.2.0/24"
    for result in driver.crashes(used, name=name, state="absent", force=True):
        assert result["network"] is None
    assert scratch.found().networks == []


@pytest.mark.parametrize(
    ("words", "args"),
    [
        (["name", "slash"], {"name": "a/b"}),
        (["ipam_driver", "x y", "not understood"], {"ipam_driver": "x y"}),
        (["name", "two dots"], {"name": "a..b"}),
        (["name", "dash"], {"name": "-a"}),
        (["name", "control character"], {"name": "a\nb"}),
        (["own networks"], {"name": "bridge"}),
        (["own networks"], {"name": "host", "state": "absent"}),
        (["driver", "no-such-driver", "bridge"], {"driver": "no-such-driver"}),
        (["subnets", "10.1.2.3/24", "host bits"], {"subnets": ["10.1.2.3/24"]}),
        (["subnets", "is not a subnet"], {"subnets": [{"net": "10.1.2.0/24"}]}),
        (["subnets", "10.1.2.0 has no prefix length"], {"subnets": ["10.1.2.0"]}),
        (["subnets", "10.9.9.9"], {"subnets": [{"subnet": "10.1.2.0/24", "gateway": "10.9.9.9"}]}),
        (["subnets", "enable_ipv6=true"], {"subnets": ["fd00:213::/64"]}),
    ],
)
def test_bad_input(driver, scratch, words, args) -> None:
    driver.refused(*words, **{"name": scratch("n"), **args})


def test_a_subnet_that_another_network_has(driver, docker_api, scratch) -> None:
    docker_api.create_network(scratch("other"), ipam={"Config": [{"Subnet": f"{NET}.7.0/24"}]})
    driver.refused("subnets", f"{NET}.7.128/25", scratch("other"), name=scratch("n"), subnets=[f"{NET}.7.128/25"])
    driver.change(name=scratch("n"), subnets=[f"{NET}.8.0/24"])
    driver.refused("subnets", scratch("other"), name=scratch("n"), subnets=[f"{NET}.7.128/25"], disruption="recreate")


def test_two_networks_of_one_name(driver, docker_api, scratch) -> None:
    docker_api.create_network(scratch("n"))
    try:
        docker_api.create_network(scratch("n"), check_duplicate=False)
    except APIError as error:
        if error.status_code != 409:
            raise
        pytest.skip("this engine cannot have two networks of one name (from API 1.44 on none can)")
    driver.refused("2 networks", name=scratch("n"), state="absent")
    for network in docker_api.networks(names=[scratch("n")]):
        docker_api.remove_network(network["Id"])
