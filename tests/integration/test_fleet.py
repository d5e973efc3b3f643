# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Many guests in one task, against the real engine: what of one fails, what goes, what is told, and what a run that
died leaves.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import docker
import pytest
import yaml

from tests.support.ansible_runner import run_play, run_tasks
from tests.support.daemons import SecondDaemon
from tests.support.fleet import Fleet
from tests.support.images import BaseImages, import_image
from tests.support.leftovers import Scratch
from tests.support.module_process import ModuleProcess
from tests.support.paths import ROOT
from tests.support.proxy import Cut, RecordingProxy
from tests.support.registry import free_port
from tests.support.warm_module import WarmModule

FLEET = "kraal.virt.fleet"
Guests = list[dict[str, Any]]
#: What makes a guest fail, at once and on any machine.
BAD = {"command": ["/bin/no-such-program"]}


@pytest.fixture(scope="module")
def module() -> Iterator[WarmModule]:
    with WarmModule(FLEET) as warm:
        yield warm


@pytest.fixture
def fleet(
    module: WarmModule, docker_api: docker.APIClient, proxy: RecordingProxy, scratch: Scratch, base_image: str
) -> Fleet:
    return Fleet(module, docker_api, proxy, scratch, base_image)


# The list


def test_create_again_change_again(fleet: Fleet) -> None:
    guests: Guests = [{"name": "web-{i}", "count": 3, "memory": "64MiB"}, {"name": "db", "memory": "32MiB"}]
    first = fleet.good(*guests)
    assert fleet.told(first) == [
        ("web-1", True, False),
        ("web-2", True, False),
        ("web-3", True, False),
        ("db", True, False),
    ]
    assert [guest["state"] for guest in first["guests"]] == ["running"] * 4
    fleet.proxy.clear()
    again = fleet.good(*guests)
    assert not again.changed and again["plan"] == [] and fleet.proxy.mutations == []
    guests[0]["memory"] = "96MiB"
    changed = fleet.good(*guests)
    assert fleet.short(changed) == [(f"web-{number}", "set", "memory") for number in (1, 2, 3)]
    assert fleet.told(changed)[3] == ("db", False, False)
    assert not fleet.good(*guests).changed


def test_in_the_background(fleet: Fleet) -> None:
    """`async` is for modules; this one has an action plugin before it."""
    arguments = fleet.arguments({"name": "web"}, {"name": "db"})
    made, again = run_play([{"kraal.virt.fleet": arguments, "async": 600, "poll": 1}] * 2)
    assert (made.failed, made.changed, again.failed, again.changed) == (False, True, False, False), made.msg + again.msg
    assert fleet.states("web", "db") == ["running"] * 2


def test_one_observation_however_many_guests(fleet: Fleet) -> None:
    fleet.good({"name": "web-{i}", "count": 12, "state": "present"})
    fleet.proxy.clear()
    fleet.good({"name": "web-{i}", "count": 12, "state": "present"})
    routes = [request.route for request in fleet.proxy.requests]
    assert routes.count("/containers/json") == routes.count("/images/json") == 1
    assert len(routes) == 12 + 5, routes  # version, containers, images, the one image, volumes


def test_defaults_are_merged_and_a_null_takes_one_away(fleet: Fleet) -> None:
    defaults = {"memory": "64MiB", "env": {"A": "1", "B": "2"}, "labels": {"role": "web"}}
    fleet.good({"name": "a", "env": {"B": "3"}}, {"name": "b", "memory": None, "env": {"A": None}}, defaults=defaults)
    a, b = fleet.inspect("a"), fleet.inspect("b")
    assert a["HostConfig"]["Memory"] == 64 * 1024**2 and b["HostConfig"]["Memory"] == 0
    assert {"A=1", "B=3"} <= set(a["Config"]["Env"])
    assert "B=2" in b["Config"]["Env"] and "A=1" not in b["Config"]["Env"]


def test_mixed_results_are_all_told(fleet: Fleet) -> None:
    fleet.good({"name": "still"})
    result = fleet(
        {"name": "good"},
        {"name": "bad", **BAD},
        {"name": "still"},
        {"name": "none", "image": "kt-no-such-image:1", "pull": "never"},
    )
    assert result.failed and result.changed
    told = fleet.told(result)
    assert (told[0], told[2], told[3]) == (
        ("good", True, False),
        ("still", False, False),
        ("none", False, True),
    ) and told[1][2]
    assert result.msg.startswith("2 of 4 guests failed: docker ")
    for name, why in (("bad", "the engine refused: "), ("none", "image: 'kt-no-such-image:1' does not exist")):
        assert f"docker {fleet.scratch(name)}: {why}" in result.msg
    assert "no-such-program" in result.msg
    assert result["results"][0]["msg"] == "" and "no-such-program" in result["results"][1]["msg"]
    assert fleet.states("good", "still", "none") == ["running", "running", "absent"]


def test_no_more_guests_begin_after_max_failures(fleet: Fleet) -> None:
    guests = [{"name": f"bad-{number}", **BAD} for number in range(3)] + [{"name": "last"}]
    result = fleet(*guests, max_failures=1, concurrency=1)
    assert [failed for _name, _changed, failed in fleet.told(result)] == [True] * 4
    assert fleet.told(result)[2:] == [("bad-2", False, True), ("last", False, True)]
    assert "not begun, because 2 others had failed" in result["results"][3]["msg"]
    assert fleet.states("bad-2", "last") == ["absent", "absent"]


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "unknown option": ({"name": "b", "memry": "64MiB"}, "memry: no such option. Did you mean memory?"),
    "unknown backend": ({"name": "b", "backend": "dokcer"}, "backend: 'dokcer' is not a backend"),
    "wrong unit": ({"name": "b", "memory": "64 parsecs"}, "memory: '64 parsecs' is not a size"),
    "wrong type": ({"name": "b", "env": ["A=1"]}, "env"),
    "two of one name": ({"name": "a"}, "is the name of two docker guests"),
    "no name": ({"memory": "64MiB"}, "guests[2]: missing required arguments: name"),
    "count without a place": ({"name": "b", "count": 2}, "has no place for the number"),
    "bad name": ({"name": "b/c"}, "contains a slash"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_guest_is_refused_before_anything_is_touched(fleet: Fleet, case: str) -> None:
    guest, message = WRONG[case]
    result = fleet({"name": "a"}, guest)
    assert result.failed and not result.changed and message in result.msg, result.msg
    assert "Traceback" not in result.stderr
    assert [request.method for request in fleet.proxy.mutations] == [] and fleet.scratch.found().containers == []


# Check mode, diff, secrets


def test_the_plan_of_a_check_is_the_plan_performed(
    fleet: Fleet, base_images: BaseImages, docker_api: docker.APIClient
) -> None:
    network = fleet.scratch("net")
    docker_api.create_network(network)
    fleet.good(
        {"name": "live", "memory": "64MiB"},
        {"name": "again"},
        {"name": "net"},
        {"name": "stop"},
        {"name": "gone"},
        {"name": "same"},
        name="kt-plan",
    )
    guests: Guests = [
        {"name": "new-{i}", "count": 2, "ports": ["80"]},
        {"name": "live", "memory": "96MiB", "cpus": 0.5},
        {"name": "again", "image": base_images.two},
        {"name": "net", "networks": [{"name": network}]},
        {"name": "stop", "state": "stopped"},
        {"name": "same"},
    ]
    fleet.proxy.clear()
    check = fleet.good(*guests, check=True, name="kt-plan", prune=True)
    assert fleet.proxy.mutations == []
    done = fleet.good(*guests, name="kt-plan", prune=True)
    assert check["plan"] == done["plan"] and check["diff"] == done["diff"] and check.changed is done.changed is True
    assert [each["changed"] for each in check["results"]] == [each["changed"] for each in done["results"]]
    actions = {name: action for name, action, _key in fleet.short(done)}
    assert actions == {
        "new-1": "start",
        "new-2": "start",
        "live": "set",
        "again": "recreate",
        "net": "attach",
        "stop": "stop",
        "gone": "remove",
    }
    same = ("name", "state", "image", "cpus", "memory", "labels", "autostart")
    assert [{key: guest[key] for key in same} for guest in check["guests"]] == [
        {key: guest[key] for key in same} for guest in done["guests"]
    ]
    assert not fleet.good(*guests, name="kt-plan", prune=True).changed


def test_the_diff_shows_changed_keys_of_each_guest(fleet: Fleet) -> None:
    fleet.good({"name": "a", "memory": "64MiB"}, {"name": "b", "memory": "64MiB"})
    run = run_tasks(
        [{FLEET: fleet.arguments({"name": "a", "memory": "96MiB"}, {"name": "b", "memory": "64MiB"})}],
        check=True,
        diff=True,
    )
    assert (
        f"--- before: docker {fleet.scratch('a')}" in run.stdout
        and fleet.scratch("b") not in run.stdout.partition("PLAY RECAP")[0].partition("--- before")[2]
    )
    assert '"memory": "64MiB"' in run.stdout and '"memory": "96MiB"' in run.stdout


def test_no_secret_of_a_guest_is_printed(fleet: Fleet) -> None:
    secrets = {
        "env": {"DB_PASSWORD": "kt-hush-env", "API_TOKEN": "kt-hush-token"},
        "registry_username": "kt",
        "registry_password": "kt-hush-registry",
    }
    made = fleet.arguments({"name": "a", **secrets}, {"name": "b", "env": {"DB_PASSWORD": "kt-hush-other"}})
    changed = fleet.arguments(
        {"name": "a", **secrets, "env": {"DB_PASSWORD": "kt-hush-new"}},
        {"name": "b", **BAD, "env": {"DB_PASSWORD": "kt-hush-last"}},
    )
    wrong = fleet.arguments({"name": "a", **secrets, "memory": "kt-much"})
    run = run_tasks(
        [{FLEET: made}, {FLEET: changed, "check_mode": True}, {FLEET: changed}, {FLEET: wrong}], diff=True, verbosity=3
    )
    assert [(result.changed, result.failed) for result in run.results[:2]] == [(True, False), (True, False)], run.output
    assert run.results[2].failed and run.results[3].failed and "kt-much" in run.results[3].msg
    assert "kt-hush" not in run.output
    assert all("kt-hush" not in str(result.json) for result in run.results)
    assert "DB_PASSWORD" in run.output


# Pruning


def test_prune_removes_what_the_list_names_no_longer(fleet: Fleet) -> None:
    fleet.good({"name": "web-{i}", "count": 3}, {"name": "db"}, name="kt-shop")
    fleet.good({"name": "other"}, name="kt-other")
    fleet.good({"name": "loose"})
    kept = [fleet.inspect(name)["Id"] for name in ("web-1", "db", "other", "loose")]
    result = fleet.good({"name": "web-{i}", "count": 1}, {"name": "db"}, name="kt-shop", prune=True)
    assert fleet.short(result) == [
        ("web-2", "stop", "state"),
        ("web-2", "remove", ""),
        ("web-3", "stop", "state"),
        ("web-3", "remove", ""),
    ]
    assert fleet.told(result) == [
        ("web-1", False, False),
        ("db", False, False),
        ("web-2", True, False),
        ("web-3", True, False),
    ]
    assert [fleet.inspect(name)["Id"] for name in ("web-1", "db", "other", "loose")] == kept
    assert not fleet.good({"name": "web-{i}", "count": 1}, {"name": "db"}, name="kt-shop", prune=True).changed
    assert fleet.short(fleet.good(name="kt-shop", prune=True))[-1] == ("web-1", "remove", "")
    assert fleet.states("web-1", "db", "other", "loose") == ["absent", "absent", "running", "running"]


def test_without_prune_nothing_goes(fleet: Fleet) -> None:
    fleet.good({"name": "a"}, {"name": "b"}, name="kt-shop")
    assert not fleet.good({"name": "a"}, name="kt-shop").changed
    assert fleet.states("a", "b") == ["running", "running"]


def test_a_stray_takes_its_leftovers_along_and_nobody_elses(fleet: Fleet, base_image: str) -> None:
    fleet.good({"name": "stray"}, {"name": "stays"}, name="kt-shop")
    for name in ("stray.kraal-new", "bystander.kraal-new", "bystander", "stray2", "stray.kraal-new2"):
        fleet.api.create_container(base_image, name=fleet.scratch(name))
    result = fleet.good({"name": "stays"}, name="kt-shop", prune=True)
    assert fleet.short(result) == [("stray", "clean", "leftover"), ("stray", "stop", "state"), ("stray", "remove", "")]
    left = [name.removeprefix(fleet.scratch.prefix) for name in fleet.scratch.found().containers]
    assert left == ["bystander", "bystander.kraal-new", "stays", "stray.kraal-new2", "stray2"]


def test_a_stray_of_which_only_leftovers_are_left_goes_too(fleet: Fleet) -> None:
    fleet.good({"name": "stray"}, {"name": "stays"}, name="kt-shop")
    fleet.api.rename(fleet.scratch("stray"), fleet.scratch("stray.kraal-was-running"))
    check = fleet.good({"name": "stays"}, name="kt-shop", prune=True, check=True)
    assert [guest["name"] for guest in check["guests"]] == [fleet.scratch("stays")]
    result = fleet.good({"name": "stays"}, name="kt-shop", prune=True)
    assert result["plan"] == check["plan"] and fleet.short(result) == [("stray", "clean", "leftover")]
    assert fleet.scratch.found().containers == [fleet.scratch("stays")]


def test_an_anonymous_or_named_volume_of_a_stray_stays(fleet: Fleet) -> None:
    volume = fleet.scratch("data")
    fleet.api.create_volume(volume)
    fleet.good({"name": "stray", "mounts": [{"type": "volume", "source": volume, "target": "/data"}]}, name="kt-shop")
    fleet.good(name="kt-shop", prune=True)
    assert fleet.scratch.found().volumes == [volume]


def test_the_storage_of_a_stray_goes_where_the_defaults_say_so(fleet: Fleet) -> None:
    volume = fleet.scratch("data")
    fleet.api.create_volume(volume)
    fleet.good({"name": "stray", "mounts": [{"type": "volume", "source": volume, "target": "/data"}]}, name="kt-shop")
    defaults = {"docker": {"remove_storage": True}, "lxc": {"remove_storage": False}}
    check = fleet.good(name="kt-shop", prune=True, defaults=defaults, check=True)
    result = fleet.good(name="kt-shop", prune=True, defaults=defaults)
    assert result["plan"] == check["plan"] and result["plan"][-1]["before"]["volumes"] == [volume], result["plan"]
    assert fleet.scratch.found().volumes == []


def test_defaults_that_cannot_say_how_a_stray_goes(fleet: Fleet) -> None:
    fleet.good({"name": "stray"}, name="kt-shop")
    result = fleet(name="kt-shop", prune=True, defaults={"stop_timeout": "soon"})
    assert result.failed and "stop_timeout" in result.msg and "Correct the defaults" in result.msg, result.msg
    assert fleet.states("stray") == ["running"]


def test_a_new_name_takes_over_the_port_of_the_old_one(fleet: Fleet) -> None:
    """The old guest goes before the new one starts, in one task, and the check says so too."""
    port = free_port("127.0.0.1")
    fleet.good({"name": "old", "ports": [f"127.0.0.1:{port}:80"]}, name="kt-shop")
    new = {"name": "new", "ports": [f"127.0.0.1:{port}:80"]}
    check = fleet.good(new, name="kt-shop", prune=True, check=True)
    done = fleet.good(new, name="kt-shop", prune=True)
    assert check["plan"] == done["plan"] and fleet.states("old", "new") == ["absent", "running"]


def test_prune_finds_the_engine_in_the_defaults(
    fleet: Fleet, second: Callable[..., dict[str, Any]], second_daemon: SecondDaemon
) -> None:
    fleet.good({"name": "there", **second()}, name="kt-shop")
    with second_daemon.client() as api:
        assert api.inspect_container(fleet.scratch("there"))["State"]["Running"]
        fleet.good(name="kt-shop", prune=True, defaults=second())
        assert api.containers(all=True) == []


def test_pruning_an_engine_that_is_down_fails(fleet: Fleet) -> None:
    result = fleet(name="kt-shop", prune=True, defaults={"docker_host": "unix:///kt-nowhere.sock"})
    assert result.failed and "no Docker engine answers at unix:///kt-nowhere.sock" in result.msg


# Guests of another fleet


def test_another_fleets_guests_are_left_alone(fleet: Fleet) -> None:
    """Two lists that use one name: the later is refused that guest, and only that, whatever it wants of it."""
    fleet.good({"name": "web-{i}", "count": 2, "memory": "64MiB"}, name="kt-first")
    fleet.good({"name": "loose", "memory": "64MiB"})
    kept = [fleet.inspect(name)["Id"] for name in ("web-1", "web-2")]
    guests: Guests = [
        {"name": "web-1", "memory": "96MiB"},
        {"name": "web-2", "state": "absent"},
        {"name": "loose", "memory": "96MiB"},
        {"name": "new"},
    ]
    check = fleet(*guests, name="kt-second", prune=True, check=True)
    done = fleet(*guests, name="kt-second", prune=True)
    assert check.failed and done.failed and check["plan"] == done["plan"] and check.msg == done.msg
    assert [failed for _name, _changed, failed in fleet.told(done)] == [True, True, False, False]
    assert (
        f"docker {fleet.scratch('web-1')}, {fleet.scratch('web-2')}: it is a guest of the fleet 'kt-first', and this "
        "is the fleet 'kt-second'" in done.msg
    )
    assert "Choose another name for the guest, or take it over with take_over: [kt-first]" in done.msg
    assert [fleet.inspect(name)["Id"] for name in ("web-1", "web-2")] == kept and fleet.inspect("web-1")["HostConfig"][
        "Memory"
    ] == 64 * 1024**2
    assert fleet.inspect("loose")["Config"]["Labels"]["kraal.fleet"] == "kt-second", "what is of no fleet joins"
    assert not fleet.good({"name": "web-{i}", "count": 2, "memory": "64MiB"}, name="kt-first", prune=True).changed
    # A list without a name has no guests of its own.
    assert (
        fleet(*guests[:1]).msg.startswith("1 of 1 guests failed: docker ") and fleet.inspect("web-1")["Id"] == kept[0]
    )


def test_a_fleet_takes_over_what_its_task_says(fleet: Fleet) -> None:
    fleet.good({"name": "a"}, {"name": "b"}, name="kt-first")
    taken = {"name": "kt-second", "take_over": ["kt-first"], "prune": True}
    check = fleet.good({"name": "a"}, check=True, **taken)
    done = fleet.good({"name": "a"}, **taken)
    assert check["plan"] == done["plan"] and fleet.short(done) == [("a", "recreate", "")], done["plan"]
    assert [fleet.inspect(name)["Config"]["Labels"]["kraal.fleet"] for name in ("a", "b")] == ["kt-second", "kt-first"]
    assert not fleet.good({"name": "a"}, name="kt-second", prune=True).changed
    assert fleet({"name": "a"}, {"name": "b"}, name="kt-first").failed
    assert fleet.short(fleet.good(name="kt-first", prune=True))[-1] == ("b", "remove", "") and fleet.states(
        "a", "b"
    ) == ["running", "absent"]


# Engines


@pytest.fixture
def second(second_daemon: SecondDaemon) -> Callable[..., dict[str, Any]]:
    """The options of a guest on an engine of our own."""
    with second_daemon.client() as api:
        import_image(api, "kt-second:1", "second")
    return lambda **options: {
        "docker_host": second_daemon.base_url,
        "image": "kt-second:1",
        "network_mode": "none",
        **options,
    }


def test_two_engines_in_one_fleet(
    fleet: Fleet, second: Callable[..., dict[str, Any]], second_daemon: SecondDaemon
) -> None:
    guests: Guests = [{"name": "here"}, {"name": "there", **second()}]
    assert fleet.told(fleet.good(*guests, name="kt-two")) == [("here", True, False), ("there", True, False)]
    assert not fleet.good(*guests, name="kt-two").changed
    with second_daemon.client() as api:
        assert [item["Names"] for item in api.containers()] == [["/" + fleet.scratch("there")]]
        assert fleet.states("here", "there") == ["running", "absent"]
        fleet.good({"name": "here"}, {"name": "there", **second(state="absent")}, name="kt-two")
        assert api.containers(all=True) == [] and fleet.state("here") == "running"


def test_an_engine_that_is_down_fails_its_guests_only_and_is_told_of_once(fleet: Fleet) -> None:
    result = fleet({"name": "up"}, {"name": "down-{i}", "count": 3, "docker_host": "unix:///kt-nowhere.sock"})
    assert fleet.told(result) == [
        ("up", True, False),
        ("down-1", False, True),
        ("down-2", False, True),
        ("down-3", False, True),
    ]
    assert (
        result.msg.startswith("3 of 4 guests failed: ")
        and result.msg.count("no Docker engine answers at unix:///kt-nowhere.sock") == 1
    )
    assert all("no Docker engine answers" in each["msg"] for each in result["results"][1:])
    assert fleet.state("up") == "running"


def test_an_engine_that_breaks_off_midway_hides_no_result(fleet: Fleet) -> None:
    fleet.proxy.fail_after(2, Cut.AFTER)
    result = fleet({"name": "a"}, {"name": "b"}, concurrency=1)
    fleet.proxy.heal()
    assert [failed for _name, _changed, failed in fleet.told(result)] == [True, True]
    assert "Traceback" not in result.stderr and result.msg.startswith("2 of 2 guests failed: docker ")
    assert not fleet.good({"name": "a"}, {"name": "b"}).failed and fleet.states("a", "b") == ["running", "running"]


# Runs that meet, and runs that die


def test_two_fleets_at_once_wait_for_each_other(fleet: Fleet) -> None:
    guests: Guests = [{"name": "web-{i}", "count": 4}]
    with ModuleProcess(FLEET, fleet.arguments(*guests)) as one, ModuleProcess(FLEET, fleet.arguments(*guests)) as two:
        one.start()
        two.start()
        results = [one.result(120), two.result(120)]
    assert [result.failed for result in results] == [False, False], [result.msg for result in results]
    assert sorted(result.changed for result in results) == [False, True]
    assert fleet.states("web-1", "web-4") == ["running", "running"]


def test_a_fleet_waits_for_the_fleet_before_it(fleet: Fleet) -> None:
    """Not even an observation is made while another run holds one of the guests."""
    slow = fleet.arguments(
        {
            "name": "web",
            "wait_for": "healthy",
            "healthcheck": {"test": ["CMD", "test", "-e", "/tmp/never"], "interval": "1s"},
            "timeout": 4,
        }
    )
    with ModuleProcess(FLEET, slow) as first:
        first.start()
        deadline = time.monotonic() + 30
        # Nothing tells from outside that the lock is held; the container that is made under it does.
        while fleet.state("web") == "absent" and time.monotonic() < deadline:
            time.sleep(0.05)
        second = fleet({"name": "web", "state": "absent"})
        # Its guest was there until its own time was over.
        done = first.result()
    assert done.failed and "within 4 seconds" in done.msg, done.msg
    assert not second.failed and second.changed and fleet.state("web") == "absent"


@pytest.mark.parametrize("how", [Cut.BEFORE, Cut.KILL])
def test_a_crash_after_any_step_and_a_plain_second_run(
    fleet: Fleet, base_images: BaseImages, how: Cut, pytestconfig: pytest.Config
) -> None:
    """Create, change live, re-create, stop and prune in one plan."""
    guests: Guests = [
        {"name": "new"},
        {"name": "live", "memory": "96MiB"},
        {"name": "again", "image": base_images.two},
        {"name": "stop", "state": "stopped"},
    ]
    names = ("new", "live", "again", "stop", "stray")

    def before() -> None:
        """As an earlier run left it; beside the module, which would take most of the test's time."""
        for name in names:
            if fleet.state(name) != "absent":
                fleet.api.remove_container(fleet.scratch(name), force=True)
        for name in names[1:]:
            limits = fleet.api.create_host_config(mem_limit="64m") if name == "live" else None
            labels = {"kraal.fleet": "kt-crash"}
            fleet.api.create_container(
                base_images.one, name=fleet.scratch(name), labels=labels, stop_timeout=1, host_config=limits
            )
        for name in names[1:]:
            fleet.api.start(fleet.scratch(name))

    before()
    fleet.proxy.clear()
    fleet.good(*guests, name="kt-crash", prune=True)
    steps = len(fleet.proxy.steps)
    assert steps >= 10
    # Whether the process dies or only loses its engine is the same to what stays behind: of every two steps each has
    # one, and with --all both.
    for step in range(steps) if pytestconfig.getoption("--all") else range(how is Cut.KILL, steps, 2):
        before()
        fleet.proxy.fail_after(step, how)
        # One after the other, so that a step is the same one each time.
        assert fleet(*guests, name="kt-crash", prune=True, concurrency=1).failed, (
            f"no crash after step {step} of {steps}"
        )
        fleet.proxy.heal()
        again = fleet(*guests, name="kt-crash", prune=True)
        assert not again.failed, f"after step {step} of {steps}: {again.msg}"
        assert fleet.states(*names) == ["running", "running", "running", "exited", "absent"], (
            f"after step {step} of {steps}"
        )
        assert fleet.scratch.found().containers == sorted(fleet.scratch(name) for name in names[:4]), (
            f"after step {step} of {steps}"
        )
        assert (
            fleet.inspect("again")["Image"] == base_images.ids[base_images.two]
            and fleet.inspect("live")["HostConfig"]["Memory"] == 96 * 1024**2
        )


# The module's own examples


def test_the_examples_run(fleet: Fleet, base_image: str) -> None:
    """As they are documented, but for the image and the names: those are this test's own."""
    source = (ROOT / "plugins" / "modules" / "fleet.py").read_text(encoding="utf-8")
    text = source.partition('EXAMPLES = r"""')[2].partition('"""')[0]
    assert "image: debian:12" in text
    for name in ("shop-web-{i}", "shop-cache", "shop\n", "caches\n"):
        text = text.replace(f"name: {name}", f"name: {fleet.scratch(name)}")
    text = text.replace("take_over: [shop]", f"take_over: [{fleet.scratch('shop')}]")
    tasks = yaml.safe_load(text.replace("debian:12", base_image))
    results = run_play(tasks)
    assert [result.failed for result in results] == [False] * len(tasks), [result.msg for result in results]
    assert [(result.changed, len(result["guests"])) for result in results] == [
        (True, 4),
        (True, 3),
        (True, 1),
        (True, 0),
        (True, 0),
    ]
    assert fleet.scratch.found().containers == []
