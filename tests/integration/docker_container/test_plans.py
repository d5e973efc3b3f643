# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every kind of plan: what --check says is what is done; and a run that dies anywhere in it loses nothing that the
next one cannot mend.
"""

from __future__ import annotations

import io
import re
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest

from tests.support.proxy import Cut, Recorded
from tests.support.tables import Explored

from .driver import Driver, actions, fill
from .plans import PLANS, Plan

SPREAD = True

ORDER = ("none", "live", "restart", "recreate", "destroy")


@pytest.fixture(scope="module")
def networks(docker_api, prefix, leftovers) -> Iterator[Mapping[str, str]]:
    """Two networks for all tests of this file."""
    names = {"net1": f"{prefix}plans-net1", "net2": f"{prefix}plans-net2"}
    for name in names.values():
        docker_api.create_network(name)
    yield names
    for name in names.values():
        docker_api.remove_network(name)


@pytest.fixture
def words(driver: Driver, networks: Mapping[str, str]) -> Mapping[str, str]:
    return {**networks, "two": driver.images.two, "vol": driver.scratch("vol")}


def set_scene(driver: Driver, plan: Plan, words: Mapping[str, str]) -> None:
    """Bring about what is there before the plan, from whatever is there."""
    driver.scratch.clean()
    for number, args in enumerate(plan.before):
        driver.make(**fill(dict(args), words))
        if number == 0:
            driver.inside("sh", "-c", "echo data > /data/file; echo data > /srv/file")


def data_of(driver: Driver, path: str) -> str:
    """What a file in the guest holds, whether it runs or not."""
    stream, _stat = driver.api.get_archive(driver.name, path)
    with tarfile.open(fileobj=io.BytesIO(b"".join(stream))) as tar:
        file = tar.extractfile(path.rpartition("/")[2])
        assert file is not None
        return file.read().decode().strip()


def portrait(driver: Driver) -> Any:
    """All that a user would notice of the guest; what is new in each container, like its id, is left out."""
    found = driver.scratch.found()
    if not found.containers:
        return {"volumes": [_nameless(name) for name in found.volumes]}
    data = driver.inspect()
    short, ends = data["Id"][:12], data["NetworkSettings"]["Networks"].items()
    config = {key: value for key, value in data["Config"].items() if key != "Hostname"}
    mounts = sorted(
        (mount["Destination"], mount["Type"], _nameless(mount.get("Name", "")), mount["RW"]) for mount in data["Mounts"]
    )
    host = {key: value for key, value in data["HostConfig"].items() if key not in ("Mounts", "Binds")}
    known = {
        name: (
            (end["IPAMConfig"] or {}).get("IPv4Address"),
            sorted(set(end["Aliases"] or ()) - {short}),
            bool(end["IPAddress"]),
        )
        for name, end in ends
    }
    return {
        "containers": driver.mine(),
        "state": data["State"]["Status"],
        "config": config,
        "host": host,
        "mounts": mounts,
        "networks": known,
    }


def _nameless(name: str) -> str:
    return "anonymous" if re.fullmatch("[0-9a-f]{64}", name) else name


def nameless(driver: Driver, text: str) -> str:
    """Without what is another one in each test or process: names and ids."""
    text = text.replace(driver.scratch.prefix, "<mine>-").replace(
        driver.images.one.partition(":")[0].removesuffix("busybox"), "<run>-"
    )
    return re.sub(r"\b[0-9a-f]{64}\b|\b[0-9a-f]{12}\b", "<id>", text)


def told(driver: Driver, steps: Sequence[Recorded]) -> tuple[str, ...]:
    """What the daemon was told to do, word by word."""
    return tuple(nameless(driver, f"{step} {sorted(step.query.items())} {step.body.decode()}") for step in steps)


def done_as_planned(plan: Plan, driver: Driver, words: Mapping[str, str]) -> None:
    """What --check says is what is done, and it is this."""
    old = driver.inspect() if plan.before else {}
    done = driver.do(**fill(dict(plan.wanted), words))
    assert tuple(actions(done)) == tuple(fill(plan.actions, words))
    assert max((step["disruption"] for step in done["plan"]), key=ORDER.index) == plan.disruption
    after: dict[str, Any] = {}
    for step in done["plan"]:
        after.update({step["key"]: step["after"]} if step["key"] else step["after"] or {})
    assert {key: after.get(key) for key in plan.after} == fill(dict(plan.after), words)
    if plan.same:
        new = driver.inspect()
        assert new["Id"] == old["Id"]
        if not any(action in ("stop state", "start state") for action in plan.actions):
            assert new["State"]["StartedAt"] == old["State"]["StartedAt"]


@pytest.mark.parametrize("plan", PLANS, ids=lambda plan: plan.id)
def test_the_plan_is_what_is_done_whatever_crashes(
    plan: Plan, driver: Driver, words: Mapping[str, str], explored: Explored
) -> None:
    """Without a crash, and with one after each step."""
    wanted = fill(dict(plan.wanted), words)
    set_scene(driver, plan, words)
    before = nameless(driver, str(portrait(driver)))
    done_as_planned(plan, driver, words)
    recorded = driver.proxy.steps
    steps, prefix = [nameless(driver, str(step)) for step in recorded], told(driver, recorded)
    intended = portrait(driver)
    driver.again(**wanted)
    assert steps
    for number in range(1, len(steps) + 1):
        if not explored.new(f"{plan.id}: after {steps[number - 1]}", (before, prefix[:number])):
            continue
        set_scene(driver, plan, words)
        # By turns: the program sees the daemon die, and the program itself is killed.
        driver.proxy.fail_after(number, Cut.KILL if number % 2 else Cut.BEFORE)
        crashed = driver.run(**wanted)
        assert driver.proxy.heal() and crashed.failed, f"no crash after {steps[number - 1]}"
        _nothing_is_lost(driver, plan, steps[number - 1])

        driver.do(**wanted)
        driver.again(**wanted)
        got = portrait(driver)
        assert got == intended, f"after a crash after {steps[number - 1]}"
        if plan.before and plan.wanted.get("state") != "absent":
            assert [data_of(driver, f"{path}/file") for path in ("/data", "/srv")] == ["data", "data"]


def _nothing_is_lost(driver: Driver, plan: Plan, step: str) -> None:
    """Right after the crash, some container still has the data, unless it was to go."""
    if not plan.before or plan.wanted.get("state") == "absent":
        return
    found = [driver.api.inspect_container(name) for name in driver.scratch.found().containers]
    assert any({"/data", "/srv"} <= {mount["Destination"] for mount in data["Mounts"]} for data in found), (
        f"after {step}: {driver.mine()}"
    )


def test_what_a_dead_run_left_is_cleaned_up_by_what_removes_the_guest(driver: Driver, words: Mapping[str, str]) -> None:
    (plan,) = [plan for plan in PLANS if plan.id == "recreate"]
    set_scene(driver, plan, words)
    driver.proxy.clear()
    driver.make(**fill(dict(plan.wanted), words))
    for number in range(1, len(driver.proxy.steps) + 1):
        set_scene(driver, plan, words)
        driver.proxy.fail_after(number, Cut.KILL)
        driver.run(**fill(dict(plan.wanted), words))
        driver.proxy.heal()
        driver.do(state="absent", remove_storage=True)
        driver.again(state="absent", remove_storage=True)
        found = driver.scratch.found()
        assert not found.containers and not found.volumes


def test_another_change_after_a_crash(driver: Driver, words: Mapping[str, str]) -> None:
    """The wish changes between the run that died and the next one; the data stays, and no trace of the first wish's
    container.
    """
    (plan,) = [plan for plan in PLANS if plan.id == "recreate"]
    set_scene(driver, plan, words)
    driver.proxy.clear()
    driver.make(**fill(dict(plan.wanted), words))
    for number in range(1, len(driver.proxy.steps) + 1):
        set_scene(driver, plan, words)
        driver.proxy.fail_after(number, Cut.KILL)
        driver.run(**fill(dict(plan.wanted), words))
        driver.proxy.heal()
        driver.do(env={"KT_A": "3"}, labels={"kt.other": "yes"})
        driver.again(env={"KT_A": "3"}, labels={"kt.other": "yes"})
        assert driver.mine() == [driver.word] and driver.state() == "running"
        assert [data_of(driver, f"{path}/file") for path in ("/data", "/srv")] == ["data", "data"]
        assert driver.inside("sh", "-c", "echo $KT_A") == "3"


def test_a_removal_with_its_storage_that_died_is_forgotten_by_the_next_wish(
    driver: Driver, words: Mapping[str, str]
) -> None:
    """What was to be removed with the guest stays, if the guest is wanted again or its storage is to be kept."""
    (plan,) = [plan for plan in PLANS if plan.id == "remove-storage"]
    wanted = fill(dict(plan.wanted), words)
    set_scene(driver, plan, words)
    driver.proxy.clear()
    driver.make(**wanted)
    gone = next(
        number
        for number, step in enumerate(driver.proxy.steps, start=1)
        if str(step) == f"DELETE /containers/{driver.name}"
    )
    for wish in ({"mounts": ["<vol>:/srv"]}, {"state": "absent"}):
        set_scene(driver, plan, words)
        driver.proxy.fail_after(gone, Cut.KILL)
        driver.run(**wanted)
        driver.proxy.heal()
        assert words["vol"] in driver.scratch.found().volumes and len(driver.scratch.found().volumes) == 2
        done = driver.do(**fill(dict(wish), words))
        assert actions(done)[0] == "clean leftover"
        driver.again(**fill(dict(wish), words))
        assert driver.scratch.found().volumes == [words["vol"]]
