# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every kind of plan: what --check says is what is done; and a run that dies anywhere in it leaves nothing that the
next one cannot mend.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from tests.support.lxc import KNOWN, limits, tree
from tests.support.tables import Explored

from .driver import HAS_LIMITS, LIMITS, Driver, actions, fill, needs_unprivileged
from .plans import PLANS, Plan

SPREAD = True

ORDER = ("none", "live", "restart", "recreate", "destroy")


@pytest.fixture
def words(driver: Driver) -> Mapping[str, str]:
    """With the name of a guest that can be cloned."""
    source = driver.of("source")
    return {**driver.words, "source": source.name}


def set_scene(driver: Driver, plan: Plan, words: Mapping[str, str]) -> None:
    """Bring about what is there before the plan, from whatever is there."""
    if "idmap" in plan.wanted:
        needs_unprivileged()
    if not HAS_LIMITS and set(plan.wanted) <= {"state", *LIMITS}:
        pytest.skip("no limit can be set here")
    driver.lab.clear()
    if "clone" in plan.wanted:
        driver.of("source").make(state="stopped")
    for args in plan.before:
        driver.make(**fill(dict(args), words))


def portrait(driver: Driver, plan: Plan) -> Any:
    """All that a user would notice: the files with their owners and contents, but for what is new each time, the
    limits, and the state.
    """
    files = {}
    for name, (mode, uid, gid, size, _modified, _changed, content) in tree(driver.lab.path).items():
        if name.endswith(".log"):
            continue
        if name.endswith("/config") and isinstance(content, bytes):
            # liblxc chooses the MAC of a clone.
            content = [
                line for line in content.decode().splitlines() if "hwaddr" not in line and not line.startswith("#")
            ]
            size = 0
        files[name] = (mode, uid, gid, size if content is not None else 0, content)
    return files, limits(driver.lab, [driver.name]), driver.lab.states()


def done_as_planned(plan: Plan, driver: Driver, wanted: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """What --check says is what is done, and it is this.

    What was done, moment by moment, and what was there before each.
    """
    pid = driver.lab.pid(driver.name)
    done, moments, states = driver.do_noting(**wanted)
    assert tuple(actions(done)) == plan.actions
    # Of a guest that runs, nothing but a limit changes live; what only pauses it has no limits.
    live = plan.disruption == "live" and set(plan.wanted) & set(LIMITS)
    disruption = "none" if live and not HAS_LIMITS else plan.disruption
    assert max((step["disruption"] for step in done["plan"]), key=ORDER.index) == disruption
    if plan.before and not any(
        action.split()[0] in ("start", "stop", "restart", "recreate", "remove") for action in plan.actions
    ):
        assert driver.lab.pid(driver.name) == pid
    words = {"running": "RUNNING", "paused": "FROZEN", "stopped": "STOPPED", "absent": ""}
    before = plan.before[-1]["state"] if plan.before else "stopped"
    target = wanted.get("state", "running")
    assert driver.state() == words[before if target == "present" else target]
    if "image" in wanted:
        assert (driver.lab.path / driver.name / "rootfs/etc/kt-release").read_text(encoding="utf-8").strip() == "2"
    return moments, states


@pytest.mark.parametrize("plan", PLANS, ids=lambda plan: plan.id)
def test_the_plan_is_what_is_done_whatever_crashes(
    plan: Plan, driver: Driver, words: Mapping[str, str], explored: Explored
) -> None:
    """Without a crash, and with one at each moment.

    Two are one where the same files were there and the same was done to all but files until then.
    """
    wanted = fill(dict(plan.wanted), words)
    set_scene(driver, plan, words)
    scene = str(portrait(driver, plan)[1:]).replace(driver.name, "<name>")
    moments, states = done_as_planned(plan, driver, wanted)
    intended = portrait(driver, plan)
    driver.again(**wanted)
    assert moments
    elsewhere: list[str] = []
    for number, (moment, state) in enumerate(zip(moments, states, strict=True), start=1):
        program = "" if moment.startswith(("open ", "os.")) else moment.replace(driver.name, "<name>")
        # What a program was just doing dies with it: half an unpacked archive, half a removed directory.
        for how in ("before", "during") if program else ("before",):
            key = scene, state, tuple(elsewhere), program if how == "during" else ""
            if plan.crash and explored.new(f"{plan.id}: {how} {moment}", key):
                _crash(plan, driver, words, number, how, moment, intended)
        if program or any(word.startswith(("/sys/fs/cgroup", str(KNOWN))) for word in moment.split()):
            elsewhere.append(moment.replace(driver.name, "<name>"))


def _crash(
    plan: Plan, driver: Driver, words: Mapping[str, str], number: int, how: str, moment: str, intended: Any
) -> None:
    """One crash, and the run that ends the work."""
    wanted = fill(dict(plan.wanted), words)
    set_scene(driver, plan, words)
    crashed, seen = driver.moments(number, how, **wanted)
    if len(seen) < number:
        # The first run had more to do: it let the discovery know of this directory.
        return
    assert crashed.failed or how == "during", f"no crash {how} {moment}"

    if how == "before":
        checked = driver.check(**wanted)
    done = driver.run(**wanted)
    assert not done.failed, f"after a crash {how} {moment}: {done.msg}"
    # A program that outlived the module may still be at work: then nobody can foresee.
    assert how == "during" or checked["plan"] == done["plan"], f"after a crash {how} {moment}"
    if how == "before":
        driver.again(**wanted)
    else:
        # What was killed may still have its last words to write.
        assert driver.make(**wanted)["plan"] == [], f"after a crash {how} {moment}"
    assert portrait(driver, plan) == intended, f"after a crash {how} {moment}"


def test_what_a_dead_run_left_goes_with_what_removes_the_guest(driver: Driver, words: Mapping[str, str]) -> None:
    (plan,) = [plan for plan in PLANS if plan.id == "create-overlay"]
    wanted = fill(dict(plan.wanted), words)
    _result, moments = driver.moments(**wanted)
    for number, _moment in enumerate(moments, start=1):
        driver.lab.clear()
        driver.moments(number, "before", **wanted)
        driver.do(state="absent")
        driver.again(state="absent")
        assert list(driver.lab.path.iterdir()) == []
