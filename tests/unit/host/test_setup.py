# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What all setups have in common: faults and plans of parts, the proof, services and the users of a group, with
programs on paper.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest

from ansible_collections.kraal.virt.plugins.module_utils.engine.action import Action, Disruption
from ansible_collections.kraal.virt.plugins.module_utils.engine.errors import BackendError
from ansible_collections.kraal.virt.plugins.module_utils.engine.plan import Step
from ansible_collections.kraal.virt.plugins.module_utils.engine.reconcile import Job, Outcome, reconcile
from ansible_collections.kraal.virt.plugins.module_utils.engine.spec import Spec
from ansible_collections.kraal.virt.plugins.module_utils.host import setup
from ansible_collections.kraal.virt.plugins.module_utils.host.members import Members, members
from ansible_collections.kraal.virt.plugins.module_utils.host.reader import Host, Said
from ansible_collections.kraal.virt.plugins.module_utils.host.service import Service, manager_faults, manager_of

FACTS = {"user": 0, "unknown_users": [], "obstacles": []}
OPTIONS = {
    "packages": [],
    "users": [],
    "service_manager": "auto",
    "verify": True,
    "assume_packages": False,
    "faults": "refuse",
}


class Programs(Host):
    """Programs that say what a test gives them, and otherwise nothing, and end well; and what was asked of them."""

    def __init__(self, root: Path, said: Mapping[str, Said | None] | None = None) -> None:
        super().__init__(root)
        self.said, self.asked = said or {}, []  # type: ignore[var-annotated]

    def run(self, argv: Sequence[str]) -> Said | None:
        self.asked.append(" ".join(argv))
        return self.said.get(" ".join(argv), Said(0))


class Switch:
    """A part that is on or off."""

    def __init__(self, name: str, state: dict[str, bool], fault: str = "") -> None:
        self.name, self.state, self.fault = name, state, fault

    def faults(self) -> list[str]:
        return [self.fault] if self.fault else []

    def plan(self) -> list[Step]:
        return (
            []
            if self.state.get(self.name)
            else [Step(setup.HOST, Action.SET, self.name, False, True, Disruption.RESTART)]
        )

    def apply(self, step: Step) -> None:
        if self.name == "broken":
            raise OSError(28, "No space left on device")
        if self.name != "forgets":
            self.state[self.name] = True


class Switches(setup.Setup):
    backend: ClassVar[str] = "docker"

    def __init__(
        self,
        *names: str,
        fault: str = "",
        missing: Sequence[str] = (),
        facts: Mapping[str, Any] = FACTS,
        **options: Any,
    ) -> None:
        super().__init__({**OPTIONS, **options})
        self.names_, self.fault, self.missing, self.facts = names, fault, missing, facts
        self.state: dict[str, bool] = {}
        self.runs, self.proofs = False, 0

    def gather(self) -> Mapping[str, Any]:
        return self.facts

    def look(self, facts: Mapping[str, Any]) -> setup.Seen:
        parts = [Switch(name, self.state, self.fault) for name in self.names_]
        return setup.Seen(facts, parts, ["a fault."] if self.fault else [], self.missing, "direct", self.runs)

    def prove(self, seen: setup.Seen) -> None:
        self.proofs += 1


def run(work: Switches, *, check: bool = False) -> tuple[Outcome, dict[str, Any]]:
    (outcome,) = reconcile([Job(work, [Spec(setup.HOST, "present", allow=Disruption.DESTROY)])], check=check)
    return outcome, setup.answer_of(outcome, work)


def test_the_parts_are_set_up_in_their_order_and_a_guest_proves_it() -> None:
    work = Switches("one", "two")
    outcome, answer = run(work)
    assert outcome.error is None and work.state == {"one": True, "two": True} and work.proofs == 1
    assert [step["key"] for step in answer["plan"]] == ["one", "two"] and answer["changed"] and answer["proven"]
    assert answer["ansible_facts"] == {"kraal": FACTS} and answer["manager"] == "direct"
    assert answer["diff"]["before"] == {"one": False, "two": False} and answer["diff"]["after"] == {
        "one": True,
        "two": True,
    }
    assert not run(work)[1]["changed"]


def test_what_a_killed_proof_has_left_is_removed() -> None:
    there = ["one", "two"]
    part = setup.Leftovers(tuple(there), there.remove)
    steps = part.plan()
    assert [(step.action, step.key, step.before, step.after) for step in steps] == [
        ("clean", "leftover[one]", "one", None),
        ("clean", "leftover[two]", "two", None),
    ]
    for step in steps:
        part.apply(step)
    assert there == [] and part.faults() == []


def test_an_engine_that_hangs_is_in_the_way() -> None:
    assert setup.hang_faults({"hangs": False, "error": "it is not there"}, "The engine", "restart") == []
    assert setup.hang_faults({"hangs": True, "error": "no answer within 30 s"}, "The engine", "restart it") == [
        (
            "The engine runs, but it does not answer (no answer within 30 s). Look at its log, and end it or start it anew "
            "(restart it)."
        )
    ]


def test_a_check_plans_the_same_and_changes_and_proves_nothing() -> None:
    work = Switches("one")
    answer = run(work, check=True)[1]
    assert answer["changed"] and len(answer["plan"]) == 1 and not answer["proven"]
    assert work.state == {} and work.proofs == 0


@pytest.mark.parametrize(
    ("runs", "done", "verify", "proofs", "proven"),
    [
        (True, True, True, 0, True),
        (False, True, True, 1, True),
        (True, False, True, 1, True),
        (False, False, False, 0, False),
    ],
)
def test_a_guest_that_runs_is_proof_enough_where_nothing_was_changed(
    runs: bool, done: bool, verify: bool, proofs: int, proven: bool
) -> None:
    work = Switches("one", verify=verify)
    work.runs, work.state = runs, {"one": done}
    assert run(work)[1]["proven"] is proven
    assert work.proofs == proofs


def test_all_that_is_in_the_way_is_told_once_and_nothing_is_touched() -> None:
    work = Switches("one", "two", fault="It is off.", missing=["docker.io", "python3-docker"])
    outcome, answer = run(work)
    installs = (
        "docker.io and python3-docker are not installed. The role kraal.virt.docker_host installs what is missing."
    )
    assert answer["faults"] == ["a fault.", "It is off.", installs]
    assert isinstance(outcome.error, setup.InTheWay) and not answer["changed"] and work.state == {}
    assert answer["missing_packages"] == ["docker.io", "python3-docker"]


def test_missing_packages_that_are_assumed_are_no_fault() -> None:
    answer = run(Switches("one", missing=["docker.io"], assume_packages=True), check=True)[1]
    assert answer["faults"] == [] and answer["changed"] and answer["missing_packages"] == ["docker.io"]


def test_without_root_that_alone_is_told() -> None:
    answer = run(Switches("one", fault="It is off.", facts={**FACTS, "user": 1000}))[1]
    assert answer["faults"] == ["The role runs as user id 1000. Run the play with become: true, or connect as root."]


def test_what_the_system_refuses_names_what_was_tried() -> None:
    outcome, answer = run(Switches("one", "broken"))
    assert "docker host: set broken: [Errno 28] No space left on device" in str(outcome.error)
    assert answer["changed"] and answer["faults"] == []


def test_what_is_not_kept_is_told() -> None:
    assert "did not keep: forgets is False, wanted True" in str(run(Switches("forgets"))[0].error)


def test_users_that_nobody_knows_are_named() -> None:
    assert setup.unknown_users(FACTS, "lxc") == []
    (fault,) = setup.unknown_users({"unknown_users": ["kt-nobody"]}, "lxc")
    assert (
        fault
        == "lxc_host_users names kt-nobody, whom this host does not know. Create them first, or take them off the list."
    )


# Services


@pytest.mark.parametrize(
    ("wanted", "init", "manager"),
    [
        ("auto", {"name": "systemd", "systemd": True}, "systemd"),
        ("auto", {"name": "init", "systemd": False}, "sysvinit"),
        ("auto", {"name": "sleep", "systemd": False}, "direct"),
        ("direct", {"name": "systemd", "systemd": True}, "direct"),
    ],
)
def test_the_service_manager(wanted: str, init: dict[str, Any], manager: str) -> None:
    assert manager_of(wanted, init) == manager


def test_systemd_that_does_not_run_is_in_the_way() -> None:
    (fault,) = manager_faults(
        "systemd", {"name": "init", "systemd": False}, "the engine", "docker_host_service_manager"
    )
    assert (
        fault == "systemd does not run on this host, so it cannot start the engine. Set docker_host_service_manager to "
        "auto, sysvinit or direct."
    )
    assert not manager_faults("sysvinit", {"name": "init", "systemd": False}, "the engine", "x")
    (fault,) = manager_faults(
        "systemd", {"name": "init", "systemd": False}, "libvirt", "kvm_host_service_manager", "auto or direct"
    )
    assert (
        fault
        == "systemd does not run on this host, so it cannot start libvirt. Set kvm_host_service_manager to auto or "
        "direct."
    )


def test_a_service_of_systemd(tmp_path: Path) -> None:
    host = Programs(tmp_path, {"systemctl is-enabled a": Said(1, "disabled\n")})
    service = Service(host, "a", "systemd")
    assert not service.enabled()
    service.enable()
    service.start()
    assert host.asked[-3:] == ["systemctl enable a", "systemctl reset-failed a", "systemctl start a"]
    assert Service(Programs(tmp_path, {"systemctl is-enabled a": Said(0, "static\n")}), "a", "systemd").enabled()


def test_a_service_of_the_init_scripts(tmp_path: Path) -> None:
    (tmp_path / "etc/rc2.d").mkdir(parents=True)
    (tmp_path / "etc/rc2.d/S01ab").touch()
    (tmp_path / "etc/rc2.d/K01a").touch()
    host = Programs(tmp_path)
    service = Service(host, "a", "sysvinit")
    assert not service.enabled() and Service(host, "ab", "sysvinit").enabled()
    service.enable()
    service.restart()
    assert host.asked == ["update-rc.d a defaults", "update-rc.d a enable", "service a restart"]
    assert service.said("a") == ""


def test_a_service_that_does_not_start_says_why(tmp_path: Path) -> None:
    said = 'Job for a.service failed.\nSee "systemctl status a.service" for details.\n'
    host = Programs(tmp_path, {"systemctl start a": Said(1, "", said), "systemctl stop a": None})
    with pytest.raises(BackendError, match=r"the service a cannot be started: Job for a\.service failed$"):
        Service(host, "a", "systemd").start()
    with pytest.raises(BackendError, match="there is no systemd"):
        Service(host, "a", "systemd").stop()


# The users of a group


def test_users_are_added_and_none_is_taken_out(tmp_path: Path) -> None:
    host = Programs(tmp_path)
    part = Members(host, "docker", ["ben", "anna", "first"], ["carl", "ben"], first=["first"])
    (step,) = part.plan()
    assert (step.key, step.before, step.after) == ("groups[docker]", ["ben", "carl"], ["anna", "ben", "carl"])
    part.apply(step)
    assert host.asked == ["gpasswd --add anna docker"]
    assert not Members(host, "docker", ["ben"], ["carl", "ben"]).plan()


def test_a_group_that_is_not_there(tmp_path: Path) -> None:
    host = Programs(tmp_path)
    comes = members(host, "kt-no-such-group", ["root", "kt-nobody"], "docker_host_users", comes=True)
    assert not comes.faults() and comes.plan()[0].after == ["root"]
    (fault,) = members(host, "kt-no-such-group", ["root"], "docker_host_users").faults()
    assert "docker_host_users names root, but this host has no group kt-no-such-group" in fault
    assert not members(host, "kt-no-such-group", [], "docker_host_users").faults()


def test_who_has_the_group_for_a_first_one_is_in_it(tmp_path: Path) -> None:
    assert not members(Programs(tmp_path), "root", ["root"], "users").plan()


def test_a_user_that_cannot_be_added(tmp_path: Path) -> None:
    host = Programs(tmp_path, {"gpasswd --add anna docker": Said(3, "", "gpasswd: group 'docker' does not exist")})
    part = Members(host, "docker", ["anna"], [])
    with pytest.raises(BackendError, match="anna cannot be put into the group docker: gpasswd: group"):
        part.apply(part.plan()[0])
