# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The fleet's own part: how a list becomes guests, what is wrong with one, and how the answer is put together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from ansible_collections.kraal.virt.plugins.module_utils import fleet
from ansible_collections.kraal.virt.plugins.module_utils.backends.docker.container.resource import (
    Containers as DockerContainers,
)
from ansible_collections.kraal.virt.plugins.module_utils.backends.kvm.vm.model import Domain, View
from ansible_collections.kraal.virt.plugins.module_utils.backends.kvm.vm.model import Seen as SeenVms
from ansible_collections.kraal.virt.plugins.module_utils.backends.kvm.vm.resource import Vms
from ansible_collections.kraal.virt.plugins.module_utils.backends.kvm.vm.settings import write_labels
from ansible_collections.kraal.virt.plugins.module_utils.backends.kvm.xml import parse
from ansible_collections.kraal.virt.plugins.module_utils.backends.lxc.container.config import Config
from ansible_collections.kraal.virt.plugins.module_utils.backends.lxc.container.model import Container
from ansible_collections.kraal.virt.plugins.module_utils.backends.lxc.container.model import Seen as SeenLxc
from ansible_collections.kraal.virt.plugins.module_utils.backends.lxc.container.resource import (
    Containers as LxcContainers,
)
from ansible_collections.kraal.virt.plugins.module_utils.engine import lock
from ansible_collections.kraal.virt.plugins.module_utils.engine.action import Action, Disruption
from ansible_collections.kraal.virt.plugins.module_utils.engine.errors import (
    BackendError,
    KraalError,
    NotInstalled,
    Refused,
)
from ansible_collections.kraal.virt.plugins.module_utils.engine.identity import GuestId
from ansible_collections.kraal.virt.plugins.module_utils.engine.plan import Step
from ansible_collections.kraal.virt.plugins.module_utils.engine.reconcile import Outcome, reconcile
from ansible_collections.kraal.virt.plugins.module_utils.engine.spec import Spec
from tests.unit.backends.docker.scene import inspected
from tests.unit.backends.docker.scene import seen as docker_look
from tests.unit.engine.boxes import Boxes
from tests.unit.engine.boxes import want as box

DOCKER = {"backend": "docker", "image": "debian:12"}

values = some.recursive(
    some.one_of(some.integers(), some.text(max_size=3)),
    lambda inner: some.dictionaries(some.text(max_size=2), inner, max_size=3),
    max_leaves=8,
)
mappings = some.dictionaries(some.text(max_size=2), values, max_size=4)


def read(*guests: dict[str, Any], **parameters: Any) -> fleet.Fleet:
    unset = {
        "defaults": {},
        "name": None,
        "prune": False,
        "take_over": [],
        "places": [],
        "concurrency": 8,
        "max_failures": None,
    }
    return fleet.read_fleet({"guests": list(guests), **unset, **parameters})


def said(*guests: dict[str, Any], **parameters: Any) -> str:
    with pytest.raises(KraalError) as caught:
        read(*guests, **parameters)
    return str(caught.value)


def names(*guests: dict[str, Any], **parameters: Any) -> list[str]:
    return [entry.want.name for entry in read(*guests, **parameters).entries]


# Merging


def test_a_guest_wins_over_the_defaults_and_mappings_are_merged_key_by_key() -> None:
    defaults = {"memory": "1GiB", "env": {"A": "1", "B": "2"}, "dns": ["192.0.2.1"]}
    guest = {"name": "web", "memory": "2GiB", "env": {"B": "3"}, "dns": ["192.0.2.2"]}
    assert fleet.merge(defaults, guest) == {
        "name": "web",
        "memory": "2GiB",
        "env": {"A": "1", "B": "3"},
        "dns": ["192.0.2.2"],
    }


def test_a_null_takes_a_default_away_at_any_depth() -> None:
    assert fleet.merge({"memory": "1GiB", "env": {"A": "1", "B": "2"}}, {"memory": None, "env": {"A": None}}) == {
        "env": {"B": "2"}
    }


def test_defaults_of_one_backend_are_for_its_guests_and_win() -> None:
    defaults = {
        "backend": "docker",
        "memory": "1GiB",
        "labels": {"a": "1"},
        "docker": {"init": True, "labels": {"b": "2"}},
        "lxc": {"memory": "2GiB"},
    }
    docker = {"backend": "docker", "memory": "1GiB", "labels": {"a": "1", "b": "2"}, "init": True, "name": "web"}
    assert list(fleet.expanded({"name": "web"}, defaults)) == [docker]
    lxc = {"backend": "lxc", "memory": "2GiB", "labels": {"a": "1"}, "name": "db"}
    assert list(fleet.expanded({"name": "db", "backend": "lxc"}, defaults)) == [lxc]
    assert list(fleet.expanded({"name": "db", "backend": "lxc", "memory": None}, defaults)) == [
        {"backend": "lxc", "labels": {"a": "1"}, "name": "db"}
    ]


def test_defaults_of_a_backend_that_are_no_mapping() -> None:
    assert "defaults[docker]" in said({**DOCKER, "name": "web"}, defaults={"docker": "web"})


@given(mappings)
def test_no_defaults_change_nothing(guest: dict[str, Any]) -> None:
    assert fleet.merge({}, guest) == guest


@given(mappings, mappings)
def test_what_a_guest_says_is_never_lost(defaults: dict[str, Any], guest: dict[str, Any]) -> None:
    merged = fleet.merge(defaults, guest)
    assert set(merged) == set(defaults) | set(guest)
    assert all(merged[key] == value for key, value in guest.items() if not isinstance(value, dict))
    assert all(merged[key] == value for key, value in defaults.items() if key not in guest)


@given(mappings, mappings)
def test_merging_touches_neither_side(defaults: dict[str, Any], guest: dict[str, Any]) -> None:
    before = repr(defaults), repr(guest)
    fleet.merge(defaults, guest)
    assert (repr(defaults), repr(guest)) == before


# Counting


def test_count_makes_so_many_guests() -> None:
    assert names({"name": "web-{i}", "count": 3}, {"name": "db"}, defaults=DOCKER) == ["web-1", "web-2", "web-3", "db"]


def test_a_count_may_be_a_text_as_a_template_gives_it() -> None:
    assert names({"name": "web-{i}", "count": "2"}, defaults=DOCKER) == ["web-1", "web-2"]


def test_a_count_of_none_makes_none() -> None:
    assert names({"name": "web-{i}", "count": 0}, defaults=DOCKER) == []


def test_without_a_count_the_name_is_taken_as_it_is() -> None:
    assert "web-{i}" in said({"name": "web-{i}"}, defaults=DOCKER)


@pytest.mark.parametrize("count", [-1, "many", 1.5, True, [2], "²", 10001, 2**31])
def test_what_is_no_count(count: object) -> None:
    assert (
        said({"name": "web-{i}", "count": count}, defaults=DOCKER)
        == f"web-{{i}}: count: {count!r} is not a number of guests. Write a number from 0 to 10000."
    )


def test_a_count_needs_a_place_in_the_name() -> None:
    assert said({"name": "web", "count": 2}, defaults=DOCKER).endswith(
        "has no place for the number that count needs. Write it like web-{i}."
    )


# Labels


def test_a_named_fleet_labels_its_guests_beside_their_own_labels() -> None:
    (entry,) = read({"name": "web", "labels": {"role": "web"}}, defaults=DOCKER, name="shop").entries
    assert entry.want.values["labels"] == {"role": "web", "kraal.fleet": "shop"}


def test_labels_written_as_a_text_are_labels() -> None:
    (entry,) = read({"name": "web", "labels": "role=web"}, defaults=DOCKER, name="shop").entries
    assert entry.want.values["labels"] == {"role": "web", "kraal.fleet": "shop"}


def test_a_fleet_without_a_name_manages_no_label() -> None:
    (entry,) = read({"name": "web"}, defaults=DOCKER).entries
    assert "labels" not in entry.want.values


def test_the_label_is_not_for_a_guest_to_set() -> None:
    assert "labels[kraal.fleet]: 'other' is not this fleet's name, shop" in said(
        {"name": "web", "labels": {"kraal.fleet": "other"}}, defaults=DOCKER, name="shop"
    )


# What is wrong


@pytest.mark.parametrize(
    ("guest", "parts"),
    [
        ({"name": "web", "memry": "1GiB"}, ["docker web: memry: no such option", "Did you mean memory?"]),
        ({"name": "web", "xyzzy": 1}, ["docker web: xyzzy: no such option. The options are those"]),
        ({"name": "web", "memory": "12 apples"}, ["docker web: memory: '12 apples' is not a size", "512MiB"]),
        ({"name": "web", "state": "runing"}, ["docker web: value of state must be one of", "runing"]),
        ({"name": "web", "backend": "dokcer"}, ["web: backend: 'dokcer' is not a backend", "Write one of: docker"]),
        ({"name": "web", "backend": None}, ["web: backend is missing", "in defaults"]),
        ({"image": "debian:12"}, ["docker guests[1]: missing required arguments: name"]),
        ({"name": "../web"}, ["docker ../web: name: '../web' contains a slash"]),
        ({"name": "-web"}, ["starts with a dash"]),
        ({"name": "we\nb"}, ["contains a control character"]),
        ({"name": "a..b"}, ["contains two dots in a row"]),
    ],
)
def test_a_message_names_guest_option_value_and_remedy(guest: dict[str, Any], parts: list[str]) -> None:
    message = said(guest, defaults=DOCKER)
    assert [part for part in parts if part not in message] == [], message


def test_all_wrong_guests_are_named_at_once() -> None:
    message = said({"name": "ok"}, {"name": "web", "memory": "much"}, {"name": "db", "cpus": "-1"}, defaults=DOCKER)
    assert (
        message.startswith("2 entries of guests are wrong, and nothing was touched: ")
        and "docker web: " in message
        and "docker db: " in message
    )


def test_two_guests_of_one_name() -> None:
    assert said({"name": "web"}, {"name": "web-{i}", "count": 2}, {"name": "web-2"}, defaults=DOCKER) == (
        "name: 'web-2' is the name of two docker guests of this task. Give each guest a name of its own."
    )


def test_one_name_in_two_places_is_two_guests() -> None:
    for backend, option, first, second, spelling in (
        ("docker", "docker_host", "unix:///run/docker.sock", "unix:///run/b.sock", "unix:///var/run/docker.sock"),
        ("kvm", "uri", "qemu:///system", "qemu:///session", "qemu+unix:///system"),
        ("lxc", "lxc_path", "/kt/a", "/kt/b", "/kt/a/"),
    ):
        guests = [{"name": "web", "backend": backend, option: where} for where in (first, second)]
        assert len({entry.id for entry in read(*guests).entries}) == 2
        assert f"'web' is the name of two {backend} guests of this task" in said(
            *guests, {**guests[0], option: spelling}
        )


def test_guests_of_one_name_are_told_apart() -> None:
    change = Step("a", Action.SET, "memory", "1GiB", "2GiB", Disruption.LIVE)
    broken = KraalError("is broken", guest="a", backend="docker")
    outcomes = [
        outcome("a", change),
        outcome("a", error=broken, place="unix:///run/b.sock"),
        outcome("b", replace(change, guest="b"), place="unix:///run/b.sock"),
    ]
    fleet.name_places(outcomes)
    answer = fleet.answer_of(outcomes, fleet.failures_of(outcomes))
    assert [(step["guest"], step["backend"], step["place"]) for step in answer["plan"]] == [
        ("a", "docker", ""),
        ("b", "docker", "unix:///run/b.sock"),
    ]
    assert [each["before_header"] for each in answer["diff"]] == ["docker a", "docker b"]
    assert [(each["guest"], each["place"]) for each in answer["results"]] == [
        ("a", ""),
        ("a", "unix:///run/b.sock"),
        ("b", "unix:///run/b.sock"),
    ]
    assert answer["failures"] == ["docker a at unix:///run/b.sock: is broken"] == [answer["results"][1]["msg"]]


def test_pruning_needs_a_name() -> None:
    assert said(prune=True) == "prune: True needs to know which guests are this fleet's. Give the fleet a name."


@pytest.mark.parametrize(("option", "value", "least"), [("concurrency", 0, 1), ("max_failures", -1, 0)])
def test_numbers_have_a_least(option: str, value: int, least: int) -> None:
    assert said(**{option: value}) == f"{option}: {value} is too small. Write {least} or more."


def test_credentials_of_guests_are_kept_from_the_output() -> None:
    found = read({"name": "web", "registry_username": "user", "registry_password": "very-secret"}, defaults=DOCKER)
    assert "very-secret" in found.secrets and "user" not in found.secrets


# The answer


def outcome(name: str, *steps: Step, error: KraalError | None = None, place: str = "") -> Outcome:
    return Outcome(GuestId("docker", place, name), list(steps), bool(steps), {"name": name}, error)


def test_the_answer_keeps_the_order_and_tells_of_each() -> None:
    change = Step("b", Action.SET, "memory", "1GiB", "2GiB", Disruption.LIVE)
    broken = KraalError("is broken", remedy="Mend it", guest="c", backend="docker")
    answer = fleet.answer_of([outcome("a"), outcome("b", change), outcome("c", error=broken)], ["c"])
    assert answer["changed"] is True
    assert [step["guest"] for step in answer["plan"]] == ["b"]
    assert answer["diff"] == [
        {
            "before": {"memory": "1GiB"},
            "after": {"memory": "2GiB"},
            "before_header": "docker b",
            "after_header": "docker b",
        }
    ]
    assert [(each["guest"], each["changed"], each["failed"], each["msg"]) for each in answer["results"]] == [
        ("a", False, False, ""),
        ("b", True, False, ""),
        ("c", False, True, "docker c: is broken. Mend it."),
    ]
    assert answer["failures"] == ["c"]


def summary(*outcomes: Outcome) -> str:
    return fleet.summary_of(outcomes, fleet.failures_of(outcomes))


def test_no_failure_needs_no_summary() -> None:
    assert summary(outcome("a")) == "" and fleet.failures_of([outcome("a")]) == []


def test_the_summary_tells_what_is_shared_once() -> None:
    failed = [
        outcome(name, error=KraalError("is broken", remedy="Mend it", guest=name, backend="docker"))
        for name in "abcdefg"
    ]
    assert (
        summary(*failed, outcome("h")) == "7 of 8 guests failed: docker a, b, c, d, e and 2 more: is broken. Mend it."
    )
    assert fleet.failures_of([*failed, outcome("h")]) == ["docker a, b, c, d, e and 2 more: is broken. Mend it."]


def test_the_summary_does_not_hide_behind_a_page() -> None:
    failed = [outcome(name, error=KraalError(f"is broken at {name}", guest=name)) for name in "abcdefg"]
    told = summary(*failed)
    assert told.startswith("7 of 7 guests failed: a: is broken at a; b: is broken at b; ") and told.endswith(
        "e: is broken at e; and 2 other errors."
    )


def test_a_long_failure_is_one_short_line_that_ends_with_its_remedy() -> None:
    log = "\n".join(["the engine refused: it begins", *["a line of its log"] * 200, "no such file"])
    error = KraalError(log, remedy="Look at the program's path", guest="web", backend="docker")
    (told,) = fleet.failures_of([outcome("web", error=error)])
    assert 290 < len(told) <= 300 and "\n" not in told
    assert told.startswith("docker web: the engine refused: it begins a line") and told.endswith(
        "no such file. Look at the program's path."
    )
    assert str(error).startswith("docker web: " + log), "the results have it all"


@given(some.text(max_size=900), some.text(max_size=900), some.text(min_size=1, max_size=80))
def test_no_failure_is_longer(message: str, remedy: str, guest: str) -> None:
    told = fleet.brief(KraalError(message, remedy=remedy, guest=guest, backend="docker"))
    assert len(told) <= 300 and len(told.splitlines()) <= 1 and told.startswith("docker")


def test_no_half_of_a_secret_is_told() -> None:
    for before in range(240, 300):
        told = fleet.brief(
            KraalError("x" * before + "kt-hush-kt-hush" + "y" * 300, guest="web", backend="docker"), ["kt-hush-kt-hush"]
        )
        assert "hush" not in told and len(told) <= 300


# Where guests are looked for that the list does not name


@pytest.mark.parametrize(
    ("error", "warned"),
    [(NotInstalled, []), (BackendError, ["prune: guests of lxc were not looked for: it is broken"])],
)
def test_a_backend_that_is_not_there_has_no_guests_to_prune(
    monkeypatch: pytest.MonkeyPatch, error: type[KraalError], warned: list[str]
) -> None:
    def connect(parameters: Mapping[str, Any]) -> Any:
        raise error("it is broken")

    managed = {
        name: replace(fleet.backend(name).managed(), connect=connect if name == "lxc" else nothing)
        for name in fleet.NAMES
    }
    monkeypatch.setattr(fleet, "backend", lambda name: SimpleNamespace(managed=lambda: managed[name]))
    warnings: list[str] = []
    assert [job.needed for job in fleet._other_places(fleet.Fleet(defaults={"backend": "docker"}), warnings)] == [
        True,
        False,
    ]
    assert warnings == warned
    with pytest.raises(KraalError, match="it is broken"):
        fleet._other_places(fleet.Fleet(defaults={"backend": "lxc"}), warnings)


def nothing(parameters: Mapping[str, Any]) -> Any:
    return SimpleNamespace()


# Guests of another fleet

KVM_STORED = Path(__file__).parent / "backends" / "kvm" / "fixtures" / "stored.xml"
#: No backend is asked: whose a guest is comes from what was observed.
nowhere: Any = SimpleNamespace(path="/lxc", place="")


def docker_seen(**labels: str) -> tuple[Any, Any]:
    return DockerContainers(nowhere), docker_look(containers={"web": inspected("plain", Labels=labels)})


def docker_leftover(**labels: str) -> tuple[Any, Any]:
    """A re-creation that died: only the old container is left, under the name that it waits under."""
    return DockerContainers(nowhere), docker_look(
        containers={"web.kraal-was-running": inspected("plain", Labels=labels)}
    )


def kvm_seen(**labels: str) -> tuple[Any, Any]:
    root = parse(KVM_STORED.read_text(encoding="utf-8"))
    write_labels(root, None, labels)
    return Vms(nowhere), SeenVms({"web": Domain("web", "running", View(root, "web", False, {}), None)})


def lxc_seen(**labels: str) -> tuple[Any, Any]:
    return LxcContainers(nowhere), SeenLxc(containers={"web": Container("web", "/lxc", Config(""), {"labels": labels})})


LOOKS = [docker_seen, docker_leftover, kvm_seen, lxc_seen]


def judged(look: tuple[Any, Any], state: str = "running", name: str = "shop", take_over: Sequence[str] = ()) -> str:
    """What a fleet says to the guest ``web``; empty where it takes it."""
    resource, seen = look
    job = fleet.FleetJob(resource, [], fleet.Fleet(name=name, take_over=take_over))
    try:
        job.admit(Spec("web", state, {}), seen)
    except Refused as error:
        return str(error)
    return ""


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("state", ["running", "stopped", "absent"])
def test_a_guest_of_another_fleet_is_refused(look: Any, state: str) -> None:
    assert judged(look(**{"kraal.fleet": "example", "role": "web"}), state) == (
        "it is a guest of the fleet 'example', and this is the fleet 'shop'. "
        "Choose another name for the guest, or take it over with take_over: [example]."
    )


@pytest.mark.parametrize("look", LOOKS)
def test_whose_guests_a_fleet_takes(look: Any) -> None:
    other = look(**{"kraal.fleet": "example"})
    assert judged(other, take_over=["old", "example"]) == "" and "'example'" in judged(other, take_over=["old"])
    assert [
        judged(look(**labels)) for labels in ({"kraal.fleet": "shop"}, {"kraal.fleet": ""}, {"role": "web"}, {})
    ] == [""] * 4


def test_a_guest_that_is_not_there_is_nobodys() -> None:
    for look in LOOKS:
        resource, seen = look(**{"kraal.fleet": "example"})
        fleet.FleetJob(resource, [], fleet.Fleet(name="shop")).admit(Spec("web-2", "running", {}), seen)


def test_a_fleet_without_a_name_owns_no_fleets_guests() -> None:
    look = docker_seen(**{"kraal.fleet": "example"})
    assert judged(look, name="").startswith(
        "it is a guest of the fleet 'example', and this task names no fleet. Write name: example where "
    )
    assert judged(look, name="", take_over=["example"]) == judged(docker_seen(), name="") == ""


def test_one_refused_guest_stops_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same plan and the same errors in check and in real mode; a refused guest counts as a failure for
    max_failures.
    """
    monkeypatch.setattr(lock, "directory", lambda: str(tmp_path / "locks"))

    class Labelled(Boxes):
        def labels(self, name: str, seen: Any) -> Mapping[str, str]:
            return {"kraal.fleet": seen[name]["fleet"]} if name in seen else {}

    def run(check: bool, **options: Any) -> tuple[Labelled, list[Outcome]]:
        boxes = Labelled(
            {
                "a": {"state": "running", "memory": 1, "fleet": "example"},
                "b": {"state": "running", "memory": 1, "fleet": "shop"},
            }
        )
        wants = [box("a", memory="2KiB"), box("b", memory="2KiB"), box("c")]
        return boxes, reconcile([fleet.FleetJob(boxes, wants, fleet.Fleet(name="shop"))], check=check, **options)

    for check in (True, False):
        boxes, outcomes = run(check)
        assert [str(each.error or "").partition(",")[0] for each in outcomes] == [
            "boxes a: it is a guest of the fleet 'example'",
            "",
            "",
        ]
        assert [each.changed for each in outcomes] == [False, True, True] and outcomes[0].steps == []
        assert outcomes[0].described is not None and boxes.boxes["a"] == {
            "state": "running",
            "memory": 1,
            "fleet": "example",
        }
        assert sorted({name for name, _action in boxes.applied}) == ([] if check else ["b", "c"])
    boxes, outcomes = run(False, max_failures=0)
    assert boxes.applied == [] and all(each.error for each in outcomes)
