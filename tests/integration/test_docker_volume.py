# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""docker_volume against a real daemon: a volume is data."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.ansible_runner import run_module
from tests.support.resource_driver import ResourceDriver
from tests.support.warm_module import WarmModule

TMPFS = {"type": "tmpfs", "device": "tmpfs"}


@pytest.fixture(scope="module")
def module() -> Iterator[WarmModule]:
    with WarmModule("kraal.virt.docker_volume") as warm:
        yield warm


@pytest.fixture
def driver(module, proxy, scratch, pytestconfig: pytest.Config) -> ResourceDriver:
    return ResourceDriver(module, proxy, pytestconfig.getoption("--all"))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"driver_options": {**TMPFS, "o": "size=1m,uid=5"}}, {"driver_options": {"o": "size=2m"}}),
        ({"driver": "local", "labels": {"a": "1", "b": True}}, {"labels": {"a": "2"}}),
    ],
    ids=["driver_options", "labels"],
)
def test_option(driver, scratch, first, second) -> None:
    """Create, again, change, again: a change loses the data, so it has to be allowed."""
    name = scratch("v")
    driver.change(name=name, **first)
    driver.again(name=name)
    if "driver_options" in first:
        driver.again(name=name, driver_options={"o": "uid=5,size=1m"})
    driver.refused("disruption=destroy", next(iter(second)), name=name, **second)
    driver.refused("disruption=destroy", name=name, disruption="recreate", **second)
    driver.change(name=name, disruption="destroy", **second)
    gone = driver.change(name=name, state="absent")
    assert gone["plan"] == [
        {
            "guest": name,
            "action": "remove",
            "key": "",
            "before": {"driver": "local"},
            "after": None,
            "disruption": "destroy",
        }
    ]
    assert gone["volume"] is None


def test_what_check_foresees_is_what_there_is(driver, scratch) -> None:
    args = {"name": scratch("v"), "labels": {"a": "1"}, "driver_options": TMPFS}
    foreseen, made = driver.check(**args)["volume"], driver.run(**args)["volume"]
    assert {**made, "mountpoint": ""} == foreseen
    assert driver.check(**args)["volume"] == made


def test_a_re_creation_keeps_what_the_task_does_not_name(driver, docker_api, scratch) -> None:
    name = scratch("v")
    driver.change(name=name, labels={"a": "1"}, driver_options=TMPFS)
    driver.change(name=name, labels={"b": "2"}, disruption="destroy")
    found = docker_api.inspect_volume(name)
    assert (found["Labels"], found["Options"]) == ({"a": "1", "b": "2"}, TMPFS)
    driver.change(name=name, labels={"b": "2"}, purge=["labels"], disruption="destroy")


@pytest.mark.parametrize("running", [True, False])
def test_a_volume_in_use_is_not_touched(driver, docker_api, base_image, scratch, running) -> None:
    name, guest = scratch("v"), scratch("guest")
    driver.change(name=name, labels={"a": "1"})
    docker_api.create_container(
        base_image, name=guest, host_config=docker_api.create_host_config(binds=[f"{name}:/data"])
    )
    if running:
        docker_api.start(guest)
    driver.refused("in use", guest, name=name, state="absent")
    driver.refused("in use", guest, "labels", name=name, labels={"a": "2"}, disruption="destroy")
    assert driver.again(name=name, labels={"a": "1"})["volume"]["containers"] == [guest]


def test_crash_after_each_step(driver, scratch) -> None:
    name = scratch("v")

    def nothing() -> None:
        driver.run(name=name, state="absent")

    def made() -> None:
        nothing()
        driver.run(name=name, labels={"a": "1"})

    for result in driver.crashes(nothing, name=name, labels={"a": "1"}):
        assert result["volume"]["labels"] == {"a": "1"}
    for result in driver.crashes(made, name=name, labels={"a": "2"}, disruption="destroy"):
        assert result["volume"]["labels"] == {"a": "2"}
    for result in driver.crashes(made, name=name, state="absent"):
        assert result["volume"] is None


@pytest.mark.parametrize(
    ("words", "args"),
    [
        (["name", "slash"], {"name": "a/b"}),
        (["name", "two dots"], {"name": "a..b"}),
        (["name", "dash"], {"name": "-ab"}),
        (["name", "control character"], {"name": "a\nb"}),
        (["driver", "no-such-driver", "local"], {"driver": "no-such-driver"}),
        (["labels[a]", "is not a text"], {"labels": {"a": {"b": "c"}}}),
    ],
)
def test_bad_input(driver, scratch, words, args) -> None:
    driver.refused(*words, **{"name": scratch("v"), **args})


def test_a_password_among_mount_options_is_shown_nowhere(scratch) -> None:
    options = {"type": "cifs", "device": "//192.0.2.1/share", "o": "username=kt,password=kt-secret-1,vers=3.0"}
    made = run_module(
        "kraal.virt.docker_volume", {"name": scratch("v"), "driver_options": options}, diff=True, verbosity=3
    )
    assert made.changed, made.msg
    assert made["plan"][0]["after"]["driver_options"]["o"] == "username=kt,password=(hidden),vers=3.0"
    other = {**options, "o": options["o"].replace("secret-1", "secret-2")}
    changed = run_module(
        "kraal.virt.docker_volume",
        {"name": scratch("v"), "driver_options": other, "disruption": "destroy"},
        diff=True,
        verbosity=3,
    )
    assert changed.changed, changed.msg
    for result in (made, changed):
        assert "kt-secret" not in result.stdout + result.stderr
