# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The steps from a container that a real daemon showed to the one that is wanted."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.kraal.virt.plugins.module_utils.backends.docker.container.model import Claim, Network, Seen
from ansible_collections.kraal.virt.plugins.module_utils.backends.docker.container.plan import (
    own_volumes,
    plan,
)
from ansible_collections.kraal.virt.plugins.module_utils.backends.docker.image.references import ImageIndex
from ansible_collections.kraal.virt.plugins.module_utils.engine.action import Action, Disruption
from ansible_collections.kraal.virt.plugins.module_utils.engine.errors import BackendError, InvalidOption, Refused
from ansible_collections.kraal.virt.plugins.module_utils.engine.plan import Step, permitted
from tests.unit.backends.docker.scene import image_id, inspected, load, seen, want

DIGEST = "sha256:" + "0123456789abcdef" * 4


def actions(steps: list[Step]) -> list[str]:
    return [f"{step.action} {step.key}".strip() for step in steps]


def full(**changes: Any) -> Seen:
    return seen(containers={"web": inspected("full", **changes)})


# Creation and power -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ("running", ["create", "start state"]),
        ("stopped", ["create"]),
        ("present", ["create"]),
        ("paused", ["create", "start state", "pause state"]),
        ("absent", []),
    ],
)
def test_a_container_that_is_not_there(state: str, expected: list[str]) -> None:
    assert actions(plan(want("web", image="base:1", state=state), seen())) == expected


def test_a_creation_shows_what_was_asked_for() -> None:
    (create, start) = plan(want("web", image="base:1", memory="64M", env={"A": "1", "TOKEN": "hunter2"}), seen())
    assert create.before is None
    assert create.after == {
        "image": "base:1",
        "memory": "64MiB",
        "env": {"A": "1", "TOKEN": "(hidden)"},
        "state": "stopped",
    }
    assert (start.before, start.after, start.disruption) == ("stopped", "running", Disruption.NONE)


def test_a_creation_needs_an_image() -> None:
    with pytest.raises(InvalidOption, match="image is needed to create"):
        plan(want("web"), seen())


@pytest.mark.parametrize(
    ("status", "state", "expected"),
    [
        ("running", "running", []),
        ("running", "present", []),
        ("running", "stopped", ["stop"]),
        ("running", "paused", ["pause"]),
        ("restarting", "present", []),
        ("paused", "running", ["resume"]),
        ("paused", "stopped", ["stop"]),
        ("paused", "paused", []),
        ("paused", "present", []),
        ("exited", "running", ["start"]),
        ("exited", "paused", ["start", "pause"]),
        ("exited", "stopped", []),
        ("exited", "present", []),
        ("created", "running", ["start"]),
        ("dead", "stopped", []),
    ],
)
def test_every_way_from_a_power_state_to_another(status: str, state: str, expected: list[str]) -> None:
    steps = plan(want("web", state=state), seen(containers={"web": inspected("full", status)}))
    assert [step.action for step in steps] == expected
    assert {step.key for step in steps} <= {"state"}
    assert permitted(steps, Disruption.NONE) == steps


@pytest.mark.parametrize(
    ("status", "expected"), [("running", ["stop", "remove"]), ("paused", ["stop", "remove"]), ("exited", ["remove"])]
)
def test_removal_stops_first(status: str, expected: list[str]) -> None:
    steps = plan(want("web", state="absent"), seen(containers={"web": inspected("full", status)}))
    assert [step.action for step in steps] == expected
    assert (steps[-1].before, steps[-1].after) == ({"state": "stopped", "image": "base:1"}, None)


# Changes ----------------------------------------------------------------------------------------------------------


def test_limits_change_in_one_live_step() -> None:
    (step,) = plan(want("web", memory="128MiB", cpus=2, pids_limit=100), full())
    assert step == Step(
        "web", Action.SET, "", {"cpus": 0.5, "memory": "96MiB"}, {"cpus": 2, "memory": "128MiB"}, Disruption.LIVE
    )


def test_a_single_limit_has_its_key() -> None:
    (step,) = plan(want("web", memory="128MiB"), full())
    assert step == Step("web", Action.SET, "memory", "96MiB", "128MiB", Disruption.LIVE)


def test_networks_are_connected_and_disconnected_one_by_one() -> None:
    steps = plan(
        want("web", networks=["bridge", {"name": "back", "ipv4_address": "172.31.241.8"}], purge=["networks"]), full()
    )
    assert actions(steps) == ["reattach networks[back]", "attach networks[bridge]", "detach networks[front]"]
    assert {step.disruption for step in steps} == {Disruption.LIVE}
    assert plan(want("web", networks=["back"]), full()) == []


def test_networks_of_a_container_that_stands_alone_need_a_new_one() -> None:
    scene = seen(containers={"web": inspected("apart", "running", NetworkMode="none")})
    (step,) = plan(want("web", networks=["front"]), scene)
    assert (step.action, step.disruption) == ("recreate", Disruption.RECREATE)


def test_one_dear_change_makes_the_whole_a_recreation() -> None:
    (step,) = plan(want("web", memory="128MiB", user="root", env={"A": "2", "C": "3"}), full())
    assert step == Step(
        "web",
        "recreate",
        "",
        {"env[A]": "a=b c", "user": "app", "memory": "96MiB"},
        {"env[A]": "2", "env[C]": "3", "user": "root", "memory": "128MiB"},
        Disruption.RECREATE,
    )


def test_a_recreation_shows_the_state_that_it_ends_in() -> None:
    (step,) = plan(want("web", user="root", state="stopped"), full())
    assert (step.before["state"], step.after["state"]) == ("running", "stopped")
    scene = seen(containers={"web": inspected("full", "exited")})
    (step,) = plan(want("web", user="root", state="present"), scene)
    assert "state" not in step.after


def test_a_recreation_that_is_not_allowed_is_refused_with_the_keys() -> None:
    with pytest.raises(Refused, match="env\\[A\\], user cannot change"):
        permitted(plan(want("web", user="root", env={"A": "2"}), full()), Disruption.LIVE)


def test_a_limit_that_is_taken_away_needs_a_new_container() -> None:
    (step,) = plan(want("web", memory=0), full())
    assert (step.action, step.before, step.after) == ("recreate", {"memory": "96MiB"}, {"memory": "0B"})


def test_secrets_are_hidden_in_changes() -> None:
    scene = full(Env=["DB_PASSWORD=old", "A=1"])
    (step,) = plan(want("web", env={"DB_PASSWORD": "new"}), scene)
    assert (step.before, step.after) == ({"env[DB_PASSWORD]": "(hidden)"}, {"env[DB_PASSWORD]": "(hidden) (new)"})
    assert "old" not in str(step.as_dict()) and "hunter" not in str(step.as_dict())


def test_purge_leaves_what_the_image_brings() -> None:
    scene = seen(containers={"web": inspected("plain")})
    assert plan(want("web", env={}, labels={}, mounts=[], purge=["env", "labels", "mounts"]), scene) == []
    data = inspected("plain")
    data["Config"]["Env"].append("EXTRA_ONE=2")
    (step,) = plan(want("web", env={}, purge=["env"]), seen(containers={"web": data}))
    assert (step.before, step.after) == ({"env[EXTRA_ONE]": "2"}, {})


def test_an_empty_command_is_the_images_own() -> None:
    scene = seen(containers={"web": inspected("plain")})
    assert plan(want("web", command=[], entrypoint=[]), scene) == []
    (step,) = plan(want("web", command=[]), full())
    assert (step.action, step.after) == ("recreate", {"command": []})
    assert plan(want("web", command=["/bin/kt-guest"]), scene) == []


def test_a_namespace_is_shared_by_name_or_id() -> None:
    data = inspected("full")
    scene = seen(containers={"web": inspected("apart", PidMode="container:" + data["Id"]), "other": data})
    for name in ("other", data["Id"], data["Id"][:12]):
        assert plan(want("web", state="present", pid_mode=f"container:{name}"), scene) == []
    scene.ids["third"] = "3" * 64
    (step,) = plan(want("web", state="present", pid_mode="container:third"), scene)
    assert step.action == "recreate"


@pytest.mark.parametrize("option", ["network_mode", "pid_mode", "ipc_mode"])
def test_a_container_whose_namespace_is_shared_is_there_and_runs(option: str) -> None:
    scene = seen(containers={"other": inspected("full")})
    wish = {"image": "base:1", option: "container:other"}
    assert actions(plan(want("web", **wish), scene)) == ["create", "start state"]
    with pytest.raises(InvalidOption, match="'nosuch' does not exist"):
        plan(want("web", **{**wish, option: "container:nosuch"}), scene)
    with pytest.raises(InvalidOption, match="'web' is the container itself"):
        plan(want("web", **{**wish, option: "container:web"}), scene)
    scene.at_rest = frozenset(["other"])
    with pytest.raises(Refused, match=f"{option}: the container {scene.ids['other'][:12]} does not run"):
        plan(want("web", **{**wish, option: f"container:{scene.ids['other'][:12]}"}), scene)
    assert plan(want("web", **wish, state="stopped"), scene), "nothing is joined before the start"
    scene.living = frozenset(["other", "made-beside-it"])
    for name in ("other", "made-beside-it"):
        assert plan(want("web", **{**wish, option: f"container:{name}"}), scene)


@pytest.mark.parametrize(
    ("options", "excluded"),
    [
        ({"hostname": "x"}, "hostname"),
        ({"dns": ["192.0.2.1"], "extra_hosts": ["a:192.0.2.2"]}, "dns, extra_hosts"),
        ({"ports": ["80"]}, "exposed_ports, ports"),
        ({"publish_all_ports": True}, "publish_all_ports"),
        ({"mac_address": "02:42:ac:11:00:02"}, "mac_address"),
    ],
)
def test_what_goes_with_a_network_of_its_own(options: dict[str, Any], excluded: str) -> None:
    scene = seen(containers={"other": inspected("full")})
    with pytest.raises(Refused, match=f"network_mode: container:other excludes {excluded}"):
        plan(want("web", image="base:1", network_mode="container:other", **options), scene)
    assert plan(want("web", image="base:1", network_mode="none", **options), scene)


def test_what_a_container_has_may_exclude_another_network_mode() -> None:
    with pytest.raises(Refused, match="excludes hostname, exposed_ports, publish_all_ports, ports, dns, extra_hosts"):
        plan(
            want("web", network_mode="container:other"),
            seen(containers={"web": inspected("full"), "other": inspected("plain")}),
        )


@pytest.mark.parametrize(
    ("image", "options", "there"),
    [
        ("base:1", {}, False),
        ("base:1", {"healthcheck": {"test": "true"}}, True),
        ("base:1", {"healthcheck": {"interval": "1s"}}, False),
        ("rich:1", {}, True),
        ("rich:1", {"healthcheck": {"interval": "1s"}}, True),
        ("rich:1", {"healthcheck": {"test": "NONE"}}, False),
        ("kt-elsewhere:1", {}, True),
    ],
)
def test_health_is_waited_for_where_there_is_a_check(image: str, options: dict[str, Any], there: bool) -> None:
    scene = seen(
        containers={"plain": inspected("plain"), "apart": inspected("apart")}, remote={"kt-elsewhere:1": DIGEST}
    )
    for name in ("new", "plain", "apart"):
        wish = want(name, image=image, wait_for="healthy", **options)
        if there:
            plan(wish, scene)
        else:
            with pytest.raises(InvalidOption, match="wait_for: 'healthy' cannot come true, it has no health check"):
                plan(wish, scene)


@pytest.mark.parametrize(
    ("field", "address", "why"),
    [
        ("ipv4_address", "10.9.8.7", "is not in the network, which has 172.31.241.0/24"),
        ("ipv6_address", "2001:db8::7", "no subnet of IPv6"),
        ("ipv4_address", "172.31.241.1", "is the network's gateway"),
    ],
)
def test_an_address_is_of_its_network(field: str, address: str, why: str) -> None:
    scene = seen(containers={"web": inspected("plain")})
    scene.networks = {**(scene.networks or {}), "back": Network("b" * 64, ("172.31.241.0/24",), ("172.31.241.1",))}
    for name in ("web", "new"):
        with pytest.raises(InvalidOption, match=rf"networks\[back\].{field}: .*{why}"):
            plan(want(name, image="base:1", networks=[{"name": "back", field: address}]), scene)
    scene.networks["back"] = Network("b" * 64, managed=False)
    assert plan(want("new", image="base:1", networks=[{"name": "back", field: address}]), scene)
    with pytest.raises(InvalidOption, match="cannot be chosen in a network of the engine's own"):
        plan(want("new", image="base:1", networks=[{"name": "bridge", field: address}]), scene)


def test_an_address_that_somebody_has() -> None:
    scene = seen(containers={"web": inspected("plain")}, addresses={("back", "172.31.241.9"): frozenset(["db"])})
    for name in ("web", "new"):
        wish = {"image": "base:1", "networks": [{"name": "back", "ipv4_address": "172.31.241.9"}]}
        with pytest.raises(Refused, match=r"networks\[back\]: the guest db has the address 172.31.241.9"):
            plan(want(name, **wish), scene)
        scene.addresses["back", "172.31.241.9"] = frozenset([name])
        assert plan(want(name, **wish), scene)
        scene.addresses["back", "172.31.241.9"] = frozenset(["db"])
    assert plan(want("new", **wish, state="stopped"), scene)


def test_processors_that_are_not_there() -> None:
    scene = seen(processors=2, online=(0, 1), nodes=(0,))
    assert plan(want("new", image="base:1", cpus=2, cpuset_cpus="0-1", cpuset_mems="0"), scene)
    for option, value, why in (
        ("cpus", 2.5, "more than"),
        ("cpuset_cpus", "1,7", "'7' is not there"),
        ("cpuset_mems", "1", "'1'"),
    ):
        with pytest.raises(InvalidOption, match=f"{option}: .*{why}"):
            plan(want("new", image="base:1", **{option: value}), scene)


def test_a_guest_that_ends_again_and_again_does_not_run() -> None:
    scene = seen(containers={"web": inspected("plain", status="restarting")})
    with pytest.raises(BackendError, match="ends again and again, the last time with exit code 0"):
        plan(want("web"), scene)
    assert plan(want("web", state="present"), scene) == plan(want("web", wait_for="running"), scene) == []
    assert actions(plan(want("web", memory="64MiB"), scene)) == ["set memory"]


@pytest.mark.parametrize(
    ("field", "value", "since"), [("mac_address", "02:42:ac:11:00:02", 44), ("gw_priority", 5, 48)]
)
def test_what_an_engine_is_too_old_for(field: str, value: Any, since: int) -> None:
    wish = want("new", image="base:1", networks=[{"name": "back", field: value}])
    assert plan(wish, seen(api=(1, since)))
    with pytest.raises(Refused, match=rf"networks: {field} needs an engine with API 1.{since} or later, .* 1\.41"):
        plan(wish, seen(api=(1, 41)))


# Images -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["base:1", "docker.io/library/base:1", "id", "bare id", "short id"])
def test_an_image_is_the_same_by_any_of_its_names(name: str) -> None:
    key = image_id("base:1")
    text = {"id": key, "bare id": key.removeprefix("sha256:"), "short id": key[:19]}.get(name, name)
    assert plan(want("web", image=text), full()) == []


def test_another_image_is_shown_by_name_and_id() -> None:
    (step,) = plan(want("web", image="base:2"), full())
    assert step.before == {"image": f"base:1 ({image_id('base:1')[:19]})"}
    assert step.after == {"image": "base:2"}


def test_a_name_that_means_another_image_now_is_a_change() -> None:
    data = inspected("full")
    data["Image"] = image_id("base:2")
    (step,) = plan(want("web", image="base:1"), seen(containers={"web": data}))
    assert (step.action, list(step.after)) == ("recreate", ["image"])


def test_an_image_that_is_nowhere_is_an_error_before_anything_is_touched() -> None:
    with pytest.raises(InvalidOption, match="does not exist on this host"):
        plan(want("web", image="missing:1", pull="never"), seen())
    with pytest.raises(InvalidOption, match="cannot be pulled \\(no such host\\)"):
        plan(want("web", image="missing:1"), seen(remote={"missing:1": BackendError("no such host")}))
    with pytest.raises(InvalidOption, match="does not exist on this host"):
        plan(want("web", image=DIGEST), seen())


def test_an_image_that_is_missing_is_pulled_first() -> None:
    steps = plan(want("web", image="app:1"), seen(remote={"app:1": DIGEST}))
    assert actions(steps) == ["pull image", "create", "start state"]
    assert (steps[0].before, steps[0].after) == (None, f"app:1 ({DIGEST[:19]})")


def test_always_pulls_what_the_registry_has_anew() -> None:
    scene = full()
    scene.remote = {"base:1": DIGEST}
    assert actions(plan(want("web", image="base:1", pull="always"), scene)) == ["pull image", "recreate"]
    scene.images = ImageIndex({**summary, "RepoDigests": [f"base@{DIGEST}"]} for summary in load("images"))
    assert plan(want("web", image="base:1", pull="always"), scene) == []


def test_always_fails_when_the_registry_does_not_answer() -> None:
    scene = full()
    scene.remote = {"base:1": BackendError("unauthorized")}
    with pytest.raises(InvalidOption, match="cannot be pulled \\(unauthorized\\)"):
        plan(want("web", image="base:1", pull="always"), scene)


# What stands in the way -------------------------------------------------------------------------------------------


def test_a_network_has_to_be_there() -> None:
    with pytest.raises(InvalidOption, match="networks\\[dmz\\]: 'dmz' does not exist"):
        plan(want("web", image="base:1", networks=["dmz"]), seen())
    for length in (12, 64):
        with pytest.raises(InvalidOption, match="is an id. Write the name, which is front"):
            plan(want("web", image="base:1", networks=[f"{'front':0<{length}}"]), seen())


@pytest.mark.parametrize("mode", ["host", "none", "container:db"])
def test_networks_do_not_go_with_a_mode_that_stands_alone(mode: str) -> None:
    with pytest.raises(InvalidOption, match="cannot be combined with networks"):
        plan(want("web", image="base:1", networks=["front"], network_mode=mode), seen())


@pytest.mark.parametrize(
    ("claim", "published", "clash"),
    [
        (Claim("tcp", "", 8080, "db"), "8080:80", "in use by the guest db"),
        (Claim("tcp", "0.0.0.0", 8080, ""), "127.0.0.1:8080:80", "on 127.0.0.1 is in use by a program on this host"),
        (Claim("tcp", "127.0.0.1", 8080, "db"), "8080:80", "in use by the guest db"),
        (Claim("udp", "", 8080, "db"), "8080:80/udp", "host port 8080/udp is in use"),
        (Claim("tcp", "127.0.0.1", 8080, "db"), "127.0.0.2:8080:80", ""),
        (Claim("udp", "", 8080, "db"), "8080:80", ""),
        (Claim("tcp", "", 8081, "db"), "8080:80", ""),
        (Claim("tcp", "", 8080, "db"), "80", ""),
        (Claim("tcp", "", 8080, "db"), "8080-8090:80", ""),
        (Claim("tcp", "", 8080, "web"), "8080:80", ""),
    ],
)
def test_a_port_in_use_is_found_before_anything_is_touched(claim: Claim, published: str, clash: str) -> None:
    wanted = want("web", image="base:1", ports=[published])
    if clash:
        with pytest.raises(Refused) as caught:
            plan(wanted, seen(claims=[claim]))
        assert clash in str(caught.value)
    else:
        assert actions(plan(wanted, seen(claims=[claim]))) == ["create", "start state"]


def test_a_container_that_is_not_started_needs_no_port() -> None:
    scene = seen(claims=[Claim("tcp", "", 8080, "db")])
    assert actions(plan(want("web", image="base:1", ports=["8080:80"], state="stopped"), scene)) == ["create"]


# After a run that died --------------------------------------------------------------------------------------------


def test_a_successor_that_was_only_made_is_cleaned_away() -> None:
    scene = seen(containers={"web": inspected("full"), "web.kraal-new": inspected("apart")})
    assert actions(plan(want("web"), scene)) == ["clean leftover"]
    assert actions(plan(want("web", user="root"), scene)) == ["clean leftover", "recreate"]


def test_an_old_container_without_a_successor_gets_its_name_back() -> None:
    scene = seen(containers={"web.kraal-was-running": inspected("full", "exited"), "web.kraal-new": inspected("apart")})
    steps = plan(want("web", state="present"), scene)
    assert actions(steps) == ["rename name", "clean leftover", "start state"]
    assert (steps[0].before, steps[0].after) == ("web.kraal-was-running", "web")


def test_a_looping_guest_that_was_stopped_to_be_replaced_runs_on() -> None:
    old = inspected("plain", status="exited")
    scene = seen(containers={"web": old, "web.kraal-new-running": inspected("plain", status="created")})
    wish = want("web", state="present", env={"A": "1"})
    assert actions(plan(wish, scene)) == ["clean leftover", "recreate"]
    assert plan(wish, scene)[1].after["state"] == "running"
    assert actions(plan(want("web", state="present"), scene)) == ["clean leftover", "start state"]
    assert actions(plan(want("web", state="absent"), scene)) == ["clean leftover", "remove"]


def test_present_means_the_state_from_before_the_recreation() -> None:
    scene = seen(containers={"web.kraal-was-stopped": inspected("full", "exited")})
    assert actions(plan(want("web", state="present"), scene)) == ["rename name"]
    scene = seen(containers={"web.kraal-was-paused": inspected("full", "exited")})
    assert actions(plan(want("web", state="present"), scene)) == ["rename name", "start state", "pause state"]


def test_a_recreation_that_only_lacked_its_end_is_ended() -> None:
    scene = seen(containers={"web": inspected("full", "created"), "web.kraal-was-running": inspected("full", "exited")})
    assert actions(plan(want("web"), scene)) == ["start state", "clean leftover"]


def test_removal_takes_its_own_leftovers_and_nobody_elses() -> None:
    names = ["web", "web.kraal-new", "web.kraal-was-running", "webs", "webs.kraal-new"]
    scene = seen(containers={name: inspected("full", "exited") for name in names})
    steps = plan(want("web", state="absent"), scene)
    assert [(step.action, step.before) for step in steps if step.action == "clean"] == [
        ("clean", "web.kraal-new"),
        ("clean", "web.kraal-was-running"),
    ]
    assert steps[-1].action == "remove"
    assert actions(plan(want("other", state="absent"), scene)) == []


# Storage ----------------------------------------------------------------------------------------------------------


def test_storage_goes_only_when_asked_for_and_only_when_it_is_nobody_elses() -> None:
    scene = full()
    scene.volume_users = {"volume-a": {"web"}}
    assert "volumes" not in plan(want("web", state="absent"), scene)[-1].before
    wanted = want("web", state="absent", remove_storage=True)
    assert plan(wanted, scene)[-1].before["volumes"] == ["volume-a"], "neither the bind mount nor the tmpfs"
    scene.volume_users = {"volume-a": {"web", "db"}}
    assert plan(wanted, scene)[-1].before["volumes"] == []


def test_the_volumes_of_a_container_are_its_own_while_it_is_replaced() -> None:
    scene = full()
    scene.volume_users = {"volume-a": {"web", "web.kraal-was-running", "web.kraal-new"}}
    assert own_volumes("web", scene, scene.containers["web"]) == ["volume-a"]
