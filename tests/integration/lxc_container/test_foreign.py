# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Containers with a configuration or a note that nobody can read: none takes another one with it, and each is
managed as far as liblxc can.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.ansible_runner import Result
from tests.support.module_process import module_process

from .driver import Driver, actions


def found() -> Result:
    result = module_process("kraal.virt.guests_info", {"backends": ["lxc"]})
    assert not result.failed, result.msg or result.stderr
    return result


def listed(driver: Driver) -> tuple[dict[str, Any], list[str]]:
    """What is said of one guest, and the warnings that name it."""
    result = found()
    (guest,) = [
        guest
        for guest in result["guests"]
        if guest["name"] == driver.name and guest["id"].startswith(str(driver.lab.path))
    ]
    return guest, [str(warning) for warning in result.json.get("warnings", []) if driver.name in str(warning)]


def fleet(*guests: dict[str, Any], **options: Any) -> Result:
    return module_process("kraal.virt.fleet", {"guests": list(guests), "defaults": {"backend": "lxc"}, **options})


def directory(place: Path) -> None:
    (place / "config").rename(place / "config.old")
    (place / "config").mkdir()


def long_include(place: Path) -> None:
    with (place / "config").open("a", encoding="utf-8") as file:
        file.write("lxc.include = /%s\n" % ("x" * 300))


@pytest.fixture
def ours(driver: Driver) -> Driver:
    """Beside the odd ones; what it is asked to change is changed."""
    ours = driver.of("ours")
    ours.make(labels={"kt": "ours"}, state="stopped")
    return ours


@pytest.mark.parametrize("break_it", [directory, long_include])
def test_a_configuration_that_cannot_be_read(driver: Driver, ours: Driver, break_it: Callable[[Path], None]) -> None:
    driver.make(state="stopped")
    break_it(driver.config.parent)
    guest, warnings = listed(driver)
    assert (guest["state"], guest["labels"]) == ("stopped", {})
    assert len(warnings) == 1 and f"lxc {driver.name}: " in warnings[0] and "cannot be read" in warnings[0]
    assert listed(ours)[0]["labels"] == {"kt": "ours"} and listed(ours)[1] == []
    ours.do(labels={"kt": "still ours"}, state="stopped")
    mine = {**ours.arguments(labels={"kt": "both"}, state="stopped")}
    both = fleet(mine, driver.arguments(labels={"a": "b"}, state="stopped"))
    assert [(each["changed"], each["failed"]) for each in both["results"]] == [(True, False), (False, True)], both.json
    assert driver.name in both.msg and "cannot be read" in both.msg
    driver.refused("cannot be read", driver.name, labels={"a": "b"}, state="stopped")
    driver.do(state="absent")
    assert not driver.config.parent.exists()


def test_words_that_liblxc_does_not_know(driver: Driver, ours: Driver) -> None:
    """It takes none of that configuration any more, and says of the container not even that it runs.

    Its monitor does.
    """
    driver.make(labels={"a": "b"})
    whole = driver.config.read_bytes()
    driver.config.write_bytes(whole + b"lxc.nonsense = 1\nno key at all\n\xff\xfe = 1\nlxc.net.0.type = hologram\n")
    assert driver.state() == ""
    for state in ("running", "paused"):
        guest, warnings = listed(driver)
        assert (guest["state"], guest["labels"], warnings) == (state, {"a": "b"}, [])
        driver.config.write_bytes(whole)
        driver.make(state="paused" if state == "running" else "running")
        driver.config.write_bytes(whole + b"lxc.nonsense = 1\n")
    ours.do(labels={"kt": "still ours"}, state="stopped")
    driver.do(labels={"a": "c"})
    driver.again(labels={"a": "c"})
    driver.refused("lxc.nonsense", "config", hostname="x")
    for state in ("stopped", "absent"):
        driver.refused("liblxc does not take its configuration", "lxc.nonsense = 1", str(driver.config), state=state)
    assert (driver.config.parent / "rootfs" / "bin").is_dir()
    driver.config.write_bytes(whole)
    assert actions(driver.do(state="absent")) == ["stop state", "remove"]


@pytest.mark.parametrize("text", ["{\udcff", '{"labels": ["a"], "image": 3, "description": {}}'])
def test_a_note_that_cannot_be_read(driver: Driver, ours: Driver, text: str) -> None:
    driver.make(labels={"a": "b"}, state="stopped")
    note = driver.config.parent / "kraal.json"
    note.write_bytes(text.encode(errors="surrogateescape"))
    guest, warnings = listed(driver)
    assert (guest["state"], guest["labels"], guest["image"]) == ("stopped", {}, "")
    odd = text.startswith("{\udcff")
    assert len(warnings) == odd and all("kraal.json" in warning and "Mend or remove" in warning for warning in warnings)
    strays = fleet(ours.arguments(labels={"kt": "ours"}, state="stopped"), name="kt-fleet", prune=True)
    assert not strays.failed, strays.msg
    if odd:
        # What it was made from is not known: a task that says so shall not make it anew.
        driver.refused("kraal.json", driver.name, state="stopped", disruption="destroy")
    driver.do(image=..., labels={"c": "d"}, state="stopped")
    assert listed(driver)[0]["labels"] == {"c": "d"} and listed(driver)[1] == []
    driver.do(image=..., state="running")
    driver.do(state="absent")


def test_the_base_of_others_stays(driver: Driver) -> None:
    """Nobody can read what it is, but others stand on it."""
    driver.make(state="stopped")
    clone = driver.of("clone")
    clone.make(clone={"name": driver.name, "snapshot": True}, state="stopped")
    directory(driver.config.parent)
    driver.refused("cannot be read", state="absent")
    clone.do(state="absent")
    driver.do(state="absent")
