# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every kind of plan: what --check says is what is done; and a run that dies anywhere in it leaves nothing that the next one cannot mend."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from tests.support.lxc import limits, tree

from .driver import Driver, actions, fill, needs_unprivileged
from .plans import PLANS, Plan

SPREAD = True

ORDER = ("none", "live", "restart", "recreate", "destroy")
CRASHES = [plan for plan in PLANS if plan.crash]


@pytest.fixture
def words(driver: Driver) -> Mapping[str, str]:
    """With the name of a guest that can be cloned."""
    source = driver.of("source")
    return {**driver.words, "source": source.name}


def set_scene(driver: Driver, plan: Plan, words: Mapping[str, str]) -> None:
    """Bring about what is there before the plan, from whatever is there."""
    if "idmap" in plan.wanted:
        needs_unprivileged()
    driver.lab.clear()
    if "clone" in plan.wanted:
        driver.of("source").make(state="stopped")
    for args in plan.before:
        driver.make(**fill(dict(args), words))


def portrait(driver: Driver, plan: Plan) -> Any:
    """All that a user would notice: the files with their owners and contents, but for what is new each time, the limits, and the state."""
    files = {}
    for name, (mode, uid, gid, size, _modified, _changed, content) in tree(driver.lab.path).items():
        if name.endswith(".log"):
            continue
        if name.endswith("/config") and isinstance(content, bytes):
            # liblxc chooses the MAC of a clone.
            content = [line for line in content.decode().splitlines() if "hwaddr" not in line and not line.startswith("#")]
            size = 0
        files[name] = (mode, uid, gid, size if content is not None else 0, content)
    return files, limits(driver.lab, [driver.name]), driver.lab.states()


@pytest.mark.parametrize("plan", PLANS, ids=lambda plan: plan.id)
def test_the_plan_is_what_is_done(plan: Plan, driver: Driver, words: Mapping[str, str]) -> None:
    set_scene(driver, plan, words)
    wanted = fill(dict(plan.wanted), words)
    pid = driver.lab.pid(driver.name)
    done = driver.do(**wanted)
    assert tuple(actions(done)) == plan.actions
    assert max((step["disruption"] for step in done["plan"]), key=ORDER.index) == plan.disruption
    driver.again(**wanted)
    if plan.before and not any(action.split()[0] in ("start", "stop", "restart", "recreate", "remove") for action in plan.actions):
        assert driver.lab.pid(driver.name) == pid
    states = {"running": "RUNNING", "paused": "FROZEN", "stopped": "STOPPED", "absent": ""}
    before = plan.before[-1]["state"] if plan.before else "stopped"
    target = wanted.get("state", "running")
    assert driver.state() == states[before if target == "present" else target]
    if "image" in wanted:
        assert (driver.lab.path / driver.name / "rootfs/etc/kt-release").read_text(encoding="utf-8").strip() == "2"


@pytest.mark.parametrize("plan", CRASHES, ids=lambda plan: plan.id)
def test_a_crash_at_any_moment(plan: Plan, driver: Driver, words: Mapping[str, str]) -> None:
    wanted = fill(dict(plan.wanted), words)
    set_scene(driver, plan, words)
    result, moments = driver.moments(**wanted)
    assert not result.failed, result.msg
    assert moments
    intended = portrait(driver, plan)
    for number, moment in enumerate(moments, start=1):
        # What a program was just doing dies with it: half an unpacked archive, half a removed directory.
        for how in ("before", "during") if not moment.startswith(("open ", "os.")) else ("before",):
            set_scene(driver, plan, words)
            crashed, seen = driver.moments(number, how, **wanted)
            if len(seen) < number:
                # The first run had more to do: it let the discovery know of this directory.
                continue
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
