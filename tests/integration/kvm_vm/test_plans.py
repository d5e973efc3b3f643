# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every kind of plan, and a run that dies at any of its calls: the next one ends it, and no disk is lost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from tests.support.ansible_runner import Result
from tests.support.tables import Explored

from .driver import Driver, actions

SPREAD = True

FULL = {
    "disks": [{"size": "1MiB"}, {"size": "1MiB"}],
    "networks": ["kt-net1"],
    "autostart": True,
    "labels": {"a": "1"},
    "cloud_init": {"user_data": "one"},
}
CD = {"target": "sda", "device": "cdrom", "bus": "scsi"}


@dataclass(frozen=True)
class Plan:
    """One way from a guest to another."""

    id: str
    #: What is there before; none: nothing.
    before: Mapping[str, Any] | None
    wanted: Mapping[str, Any]
    actions: tuple[str, ...]


PLANS = (
    Plan("create", None, {**FULL, "state": "present"}, ("create",)),
    Plan("create-running", None, FULL, ("create", "start state")),
    Plan("create-paused", None, {"state": "paused"}, ("create", "start state", "pause state")),
    Plan("set", {**FULL, "state": "present"}, {"state": "present", "memory": "96MiB", "cpus": 2, "labels": {"b": "2"}, "autostart": False, "description": "d",
         "disks": [{"size": "2MiB"}, {"size": "1MiB"}, {"size": "1MiB"}], "cloud_init": {"user_data": "two"}}, ("resize disks[vda]", "set")),
    Plan("live", FULL, {"networks": [{"network": "kt-net1", "link": "down"}, "kt-net2"], "disks": [{"size": "2MiB"}, {"size": "1MiB"}, {"size": "1MiB"}],
         "cloud_init": {"user_data": "two"}, "labels": {"b": "2"}},
         ("resize disks[vda]", "attach disks[vdc]", "set networks[kt-net1]", "attach networks[kt-net2]", "set cloud_init", "set labels[b]")),
    Plan("restart", FULL, {"memory": "96MiB", "cpus": 2, "watchdog": {"model": "i6300esb"}, "disruption": "restart"}, ("set", "restart pending_restart")),
    Plan("start", {**FULL, "state": "present"}, {}, ("start state",)),
    Plan("stop", FULL, {"state": "stopped"}, ("stop state",)),
    Plan("stop-and-set", FULL, {"state": "stopped", "memory": "96MiB"}, ("set memory", "stop state")),
    Plan("pause", FULL, {"state": "paused"}, ("pause state",)),
    Plan("resume", {**FULL, "state": "paused"}, {"state": "running"}, ("resume state",)),
    Plan("stop-paused", {**FULL, "state": "paused"}, {"state": "stopped"}, ("stop state",)),
    Plan("remove", FULL, {"state": "absent"}, ("stop state", "remove")),
    Plan("remove-storage", FULL, {"state": "absent", "remove_storage": True}, ("stop state", "remove")),
)  # fmt: skip
STATES = {"running": "running", "present": "running", "stopped": "shut off", "paused": "paused"}


def scene(driver: Driver, plan: Plan) -> None:
    driver.clear()
    if plan.before is not None:
        driver.make(**plan.before)


def end(driver: Driver, plan: Plan, result: Result) -> tuple[Any, ...]:
    """What a plan has come to; `result`: what a run that found nothing to do says of it."""
    if plan.wanted.get("state") == "absent":
        assert driver.names() == []
        assert bool(driver.volumes()) is not bool(plan.wanted.get("remove_storage"))
        return ()
    return (
        sorted(driver.volumes()),
        driver.state(),
        result["guest"]["labels"],
        len(driver.xml().findall("devices/disk")),
    )


@pytest.mark.parametrize("plan", PLANS, ids=lambda plan: plan.id)
def test_check_is_what_is_done_whatever_crashes(driver: Driver, plan: Plan, explored: Explored) -> None:
    """Without a crash, and with one after each call that changes something, before its answer is heard. To die before
    the next one leaves libvirt the same.

    Plans that differ in the state alone begin with the same calls: these are tried once.
    """
    scene(driver, plan)
    foreseen = driver.module.check_readonly(**driver.arguments(**plan.wanted))
    done = driver.do(**plan.wanted)
    calls = driver.module.calls
    again = driver.again(**plan.wanted)
    assert tuple(actions(done)) == plan.actions
    assert foreseen["plan"] == done["plan"], "over a connection that only reads"
    assert calls, "nothing was called that changes anything"
    intended = end(driver, plan, again)
    options = {key: value for key, value in plan.wanted.items() if key != "state"}
    for steps in range(len(calls)):
        if not explored.new(f"{plan.id}: after {calls[steps]}", repr((plan.before, options, calls[: steps + 1]))):
            continue
        scene(driver, plan)
        crashed = driver.module.run(crash=(steps, "after"), **driver.arguments(**plan.wanted))
        assert not crashed.json and driver.module.calls == calls[: steps + 1], crashed.stderr
        driver.make(**plan.wanted)
        again = driver.again(**plan.wanted)
        # However it was reached, the end is the same.
        assert end(driver, plan, again) == intended, f"after a crash after {calls[: steps + 1]}"


def test_a_guest_that_was_not_finished_can_be_removed(driver: Driver) -> None:
    driver.module.run(crash=(2, "after"), **driver.arguments(**FULL))
    assert driver.names() == [driver.name] and driver.volumes() != []
    assert driver.run(check=True, state="absent")["plan"][0]["action"] == "clean"
    driver.change(state="absent")
    assert driver.names() == [] and driver.volumes() == []


@pytest.mark.parametrize(
    "plan", [plan for plan in PLANS if plan.id in ("create-running", "live")], ids=lambda plan: plan.id
)
def test_the_daemon_is_restarted_after_each_call(driver: Driver, plan: Plan) -> None:
    """The run that meets it may fail; the next one ends the work, and no disk is lost."""
    ends = []
    for result in driver.module.restarts(lambda: scene(driver, plan), **driver.arguments(**plan.wanted)):
        ends.append(
            (
                sorted(driver.volumes()),
                driver.state(),
                result["guest"]["labels"],
                len(driver.xml().findall("devices/disk")),
            )
        )
    assert all(end == ends[0] for end in ends), ends


def test_a_new_guest_has_no_more_memory_than_it_may(driver: Driver) -> None:
    made = driver.change(state="present", memory=..., memory_max="512MiB")
    assert made["plan"][0]["after"]["memory"] == made["guest"]["memory"] == "512MiB"
    driver.change(state="absent")
    driver.change(state="present", memory=..., memory_max="2GiB")
    assert (driver.xml().findtext("currentMemory"), driver.xml().findtext("memory")) == (str(1024**2), str(2 * 1024**2))


def test_secrets_are_told_nobody(driver: Driver) -> None:
    """Neither in what a plan shows, nor in the arguments that Ansible repeats, of which the host's journal has the
    same text.
    """
    vnc = "<domain><devices><graphics type='vnc' passwd='kt-%s'/></devices></domain>"
    given = {"state": "present", "graphics": ["vnc"]}
    for number, word in enumerate(("old1", "new2")):
        user_data = f"#cloud-config\npassword: kt-seed-{word}\nchpasswd: {{expire: false}}\n"
        done = driver.change(**given, xml=vnc % word, cloud_init={"user_data": user_data})
        assert driver.xml().find("devices/graphics").get("passwd") == f"kt-{word}"
        assert "(hidden)" in str(done["plan"])
        for secret in ("kt-old1", "kt-new2", "kt-seed"):
            assert secret not in str(done.json), (number, secret)
    result = driver.run(**given, xml=(vnc % "new2").replace("</domain>", ""))
    assert result.failed and "is no XML" in result.msg and "kt-new2" not in str(result.json)


def test_runs_at_once(driver: Driver) -> None:
    driver.module.at_once(**driver.arguments(**FULL))
    driver.module.at_once(**driver.arguments(state="absent", remove_storage=True))


def test_libvirtd_goes_and_comes(driver: Driver) -> None:
    """Guests run on without it; a run in the middle of which it was restarted fails, and the next one ends the work."""
    from tests.support.module_process import ModuleProcess

    driver.make(**FULL)
    wanted = {**FULL, "disks": [{"size": "1MiB"}, {"size": "1MiB"}, {"size": "4MiB"}], "labels": {"b": "1"}}
    run = ModuleProcess("kraal.virt.kvm_vm", {"uri": driver.host.uri, **driver.arguments(**wanted)}).start()
    driver.host.restart()
    result = run.result()
    assert not result.failed or result.json, result.stderr
    driver.make(**wanted)
    driver.host.settle()
    driver.again(**wanted)
    assert driver.state() == "running" and len(driver.volumes()) == 4
