# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The bodies that the engine is given, from and for what a real daemon showed."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.kraal.virt.plugins.module_utils.backends.docker.container import plan as container_plan
from ansible_collections.kraal.virt.plugins.module_utils.backends.docker.container import target as container_body
from ansible_collections.kraal.virt.plugins.module_utils.backends.docker.container.options import CONTAINERS
from tests.unit.backends.docker.examples import EXAMPLES
from tests.unit.backends.docker.scene import container, image_id, inspected, seen, want

MIB = 1024**2


def replacement(data: dict[str, Any], **options: Any) -> dict[str, Any]:
    """The body of the container that takes the place of this one when these options are set."""
    scene = seen(containers={"web": data})
    wanted, have = want("web", **options), scene.containers["web"]
    return container_body.replacement(wanted, have, container_plan.differences(wanted, scene, have))


def update(data: dict[str, Any], **options: Any) -> dict[str, Any]:
    """The body of the live update when these options are set."""
    scene = seen(containers={"web": data})
    wanted, have = want("web", **options), scene.containers["web"]
    return container_body.update(wanted, have, container_plan.differences(wanted, scene, have))


def test_what_is_not_set_is_left_to_the_daemon() -> None:
    assert container_body.creation(want("web", image="base:1")) == {
        "Image": "base:1",
        "HostConfig": {},
        "NetworkingConfig": {"EndpointsConfig": {}},
    }


def test_every_option_that_is_set_is_in_the_body() -> None:
    body = container_body.creation(want("web", **{name: example.value for name, example in EXAMPLES.items()}))
    for option in CONTAINERS.options:
        section, key = getattr(option, "place", ("", ""))
        if key:
            assert key in (body if section == "Config" else body["HostConfig"]), option.name
    host = body["HostConfig"]
    assert host["LogConfig"] == {"Type": "json-file", "Config": {"max-size": "1m", "max-file": "2"}}
    assert sorted(host["SecurityOpt"]) == ["no-new-privileges", "seccomp=unconfined"]
    assert (host["NanoCpus"], host["Memory"], host["MemorySwap"], host["PidsLimit"]) == (500_000_000, 96 * MIB, -1, 100)
    assert (host["CpusetCpus"], host["RestartPolicy"]) == ("0-1", {"Name": "on-failure", "MaximumRetryCount": 3})
    assert host["PortBindings"]["80/tcp"] == [{"HostIp": "127.0.0.1", "HostPort": "28080"}]
    assert sorted(body["ExposedPorts"]) == [
        *("53/udp", "7001/tcp", "7002/tcp", "7003/udp", "80/tcp", "8000/udp", "8001/udp")
    ]
    assert body["Env"] == ["A=a=b c", "B=2"]
    assert body["NetworkingConfig"]["EndpointsConfig"] == {
        "front": {},
        "back": {"IPAMConfig": {"IPv4Address": "172.31.241.7"}, "Aliases": ["cache", "db"]},
    }


@pytest.mark.parametrize("option", ["user", "workdir"])
def test_an_empty_user_and_directory_are_the_images_own(option: str) -> None:
    data = inspected("plain")
    assert replacement(data, env={"A": "1"}, **{option: ""}) == replacement(data, env={"A": "1"})
    scene = seen(containers={"web": data})
    assert container_plan.differences(want("web", **{option: ""}), scene, scene.containers["web"]) == []
    key = {"user": "User", "workdir": "WorkingDir"}[option]
    assert key not in container_body.creation(want("web", **{option: ""}))
    # And the image's own comes back.
    assert key not in replacement({**data, "Config": {**data["Config"], key: "/other"}}, **{option: ""})


def test_the_root_is_where_a_command_runs_that_has_no_other_place() -> None:
    data = inspected("apart")
    data["Config"]["WorkingDir"] = ""
    scene = seen(containers={"web": data})
    assert container_plan.differences(want("web", workdir="/"), scene, scene.containers["web"]) == []


@pytest.mark.parametrize("option", ["command", "entrypoint"])
def test_an_empty_command_is_the_images_own(option: str) -> None:
    key = {"command": "Cmd", "entrypoint": "Entrypoint"}[option]
    assert key not in container_body.creation(want("web", **{option: []}))
    assert container_body.creation(want("web", **{option: [""]}))[key] == [""]


def test_the_first_network_is_the_mode_and_the_others_are_connected_later() -> None:
    body = container_body.creation(want("web", networks=["front", {"name": "back", "aliases": ["db"]}]))
    assert body["HostConfig"]["NetworkMode"] == "front"
    single, others, unwanted = container_body.endpoints(body)
    assert unwanted == []
    assert single["NetworkingConfig"] == {"EndpointsConfig": {"front": {}}}
    assert others == {"back": {"Aliases": ["db"]}}


def test_a_mode_that_is_set_comes_first() -> None:
    single, others, _unwanted = container_body.endpoints(
        container_body.creation(want("web", network_mode="back", networks=["front", "back"]))
    )
    assert list(single["NetworkingConfig"]["EndpointsConfig"]) == ["back"]
    assert list(others) == ["front"]


def test_without_networks_there_is_nothing_to_connect() -> None:
    single, *others = container_body.endpoints(container_body.creation(want("web", network_mode="host")))
    assert (single["NetworkingConfig"], others) == ({"EndpointsConfig": {}}, [{}, []])


@pytest.mark.parametrize(
    ("options", "left"),
    [
        ({"networks": []}, "bridge"),
        ({"networks": [], "network_mode": "front"}, "front"),
        ({"networks": ["back"], "network_mode": "front"}, "front"),
    ],
)
def test_the_network_of_the_mode_is_left_where_the_networks_are_complete_without_it(
    options: dict[str, Any], left: str
) -> None:
    single, others, unwanted = container_body.endpoints(
        container_body.creation(want("web", purge=["networks"], **options))
    )
    assert (single["NetworkingConfig"], list(others), unwanted) == (
        {"EndpointsConfig": {}},
        options["networks"],
        [left],
    )
    assert container_body.endpoints(container_body.creation(want("web", **options)))[2] == []


# Re-creation ------------------------------------------------------------------------------------------------------


def test_everything_else_stays_as_it_is() -> None:
    """The body, given to the daemon again, asks for exactly what the recorded container was asked for."""
    before = inspected("full")
    body = replacement(before, user="1000:1000")
    for key in (
        "Image",
        "Cmd",
        "Entrypoint",
        "Hostname",
        "Domainname",
        "Tty",
        "OpenStdin",
        "StopSignal",
        "StopTimeout",
        "WorkingDir",
        "Healthcheck",
        "Labels",
    ):
        assert body[key] == before["Config"][key], key
    assert body["Env"] == ["A=a=b c", "B=2"], "without the image's own"
    assert body["User"] == "1000:1000"
    kept = {
        key: value
        for key, value in body["HostConfig"].items()
        if key in before["HostConfig"] and key not in ("Mounts", "Binds")
    }
    assert kept == {key: before["HostConfig"][key] for key in kept}
    gone = set(before["HostConfig"]) - set(body["HostConfig"])
    assert gone <= {"ContainerIDFile", "MaskedPaths", "ReadonlyPaths"}
    assert sorted(mount["Target"] for mount in body["HostConfig"]["Mounts"]) == ["/data", "/scratch", "/srv"]
    macs = {name: end["MacAddress"] for name, end in before["NetworkSettings"]["Networks"].items()}
    addresses = {"IPAMConfig": {"IPv4Address": "172.31.241.7"}, "Aliases": ["cache", "db"]}
    assert body["NetworkingConfig"]["EndpointsConfig"] == {
        "front": {"MacAddress": macs["front"]},
        "back": {**addresses, "MacAddress": macs["back"]},
    }
    # What is said for the whole container is not said for its first network as well.
    first = replacement(before, mac_address="02:42:ac:1f:f0:0a")
    assert (first["MacAddress"], first["NetworkingConfig"]["EndpointsConfig"]["front"]) == ("02:42:ac:1f:f0:0a", {})


def test_no_time_for_a_stop_stays_so() -> None:
    before = inspected("plain")
    before["Config"]["StopTimeout"] = 0
    assert replacement(before, env={"A": "1"})["StopTimeout"] == 0


def test_what_came_from_the_image_is_left_to_the_new_image() -> None:
    body = replacement(inspected("plain"), image="base:2")
    assert body["Image"] == "base:2"
    assert body["Env"] == [] and body["Labels"] == {} and body["ExposedPorts"] == {}
    for key in ("Cmd", "Entrypoint", "User", "WorkingDir", "Healthcheck", "Hostname"):
        assert key not in body, key


def test_anonymous_volumes_move_over() -> None:
    before = inspected("plain")
    (volume,) = [mount["Name"] for mount in before["Mounts"]]
    body = replacement(before, env={"A": "1"})
    assert body["HostConfig"]["Mounts"] == [{"Type": "volume", "Target": "/data", "ReadOnly": False, "Source": volume}]


def test_an_anonymous_volume_makes_way_for_a_named_one() -> None:
    body = replacement(inspected("plain"), mounts=["volume-a:/data"])
    assert body["HostConfig"]["Mounts"] == [
        {"Type": "volume", "Target": "/data", "ReadOnly": False, "Source": "volume-a"}
    ]


def test_binds_of_another_tool_stay() -> None:
    data = inspected("apart", Binds=["/srv:/srv:ro", "volume-b:/b"], Mounts=None)
    body = replacement(data, mounts=["/mnt:/srv"])
    assert body["HostConfig"]["Binds"] == ["volume-b:/b"]
    assert [mount["Target"] for mount in body["HostConfig"]["Mounts"]] == ["/srv"]
    body = replacement(data, mounts=["/mnt:/mnt"], purge=["mounts"])
    assert body["HostConfig"]["Binds"] is None
    assert [mount["Target"] for mount in body["HostConfig"]["Mounts"]] == ["/mnt"]


def test_mounts_that_stay_keep_all_that_was_said_of_them() -> None:
    labelled = {"Type": "volume", "Source": "volume-a", "Target": "/v", "VolumeOptions": {"NoCopy": True}}
    data = inspected("apart", Binds=["/:/rootfs:ro", "/srv:/srv:Z"])
    data["HostConfig"]["Mounts"] = [labelled]
    data["Mounts"] = [
        {"Type": "bind", "Source": "/", "Destination": "/rootfs", "RW": False, "Propagation": "rslave"},
        {"Type": "bind", "Source": "/srv", "Destination": "/srv", "RW": True, "Propagation": "rprivate"},
        {
            "Type": "volume",
            "Name": "volume-a",
            "Source": "/var/lib/v",
            "Destination": "/v",
            "RW": True,
            "Propagation": "",
        },
    ]
    for purge in ([], ["mounts"]):
        named = ["/:/rootfs:ro", "/srv:/srv", "volume-a:/v", "/mnt:/mnt"]
        host = replacement(data, mounts=named, purge=purge)["HostConfig"]
        assert host["Binds"] == ["/:/rootfs:ro", "/srv:/srv:Z"]
        assert host["Mounts"] == [labelled, {"Type": "bind", "Target": "/mnt", "ReadOnly": False, "Source": "/mnt"}]
    # What the engine chose for one source is nothing to the next; what somebody chose stays.
    (mount,) = replacement({**data, "HostConfig": {**data["HostConfig"], "Mounts": []}}, mounts=["/:/rootfs"])[
        "HostConfig"
    ]["Mounts"][-1:]
    assert mount == {"Type": "bind", "Target": "/rootfs", "ReadOnly": False, "Source": "/"}
    data["HostConfig"]["Binds"][0] = "/:/rootfs:ro,rslave"
    mount = replacement(data, mounts=["/:/rootfs"])["HostConfig"]["Mounts"][-1]
    assert mount["BindOptions"] == {"Propagation": "rslave"}


def test_a_named_volume_where_the_image_asks_for_one_goes_with_the_others() -> None:
    data = inspected("plain")
    scene = seen(containers={"web": data})
    wanted = want("web", mounts=[], purge=["mounts"])
    assert container_plan.differences(wanted, scene, scene.containers["web"]) == []
    data["Mounts"][0].update(Name="mine")
    assert replacement(data, mounts=[], purge=["mounts"])["HostConfig"]["Mounts"] == []


def test_environment_and_labels_are_merged_with_the_containers_own() -> None:
    body = replacement(inspected("full"), env={"B": "3", "C": "4"}, labels={"role": "db"})
    assert body["Env"] == ["A=a=b c", "B=3", "C=4"]
    assert body["Labels"] == {"role": "db", "number": "1"}
    body = replacement(inspected("full"), env={"C": "4"}, labels={"role": "db"}, purge=["env", "labels"])
    assert body["Env"] == ["C=4"]
    assert body["Labels"] == {"role": "db"}


def test_a_variable_of_the_image_that_the_container_had_its_own_value_for_keeps_it() -> None:
    data = inspected("plain")
    data["Config"]["Env"] = ["PATH=/bin", "MODE=mine", "EXTRA=1"]
    assert replacement(data, user="root")["Env"] == ["MODE=mine"]


def test_the_default_hostname_is_not_carried_over() -> None:
    assert "Hostname" not in replacement(inspected("plain"), user="root")


def test_the_hostname_of_another_is_not_carried_over() -> None:
    data = inspected("full", NetworkMode="container:" + "0" * 64, Hostname="other")
    assert "Hostname" not in replacement(data, user="root")
    data = inspected("full", NetworkMode="host", Hostname="the-host")
    assert "Hostname" not in replacement(data, network_mode="bridge")
    assert replacement(data, user="root")["Hostname"] == "the-host"


def test_networks_and_a_mode_that_stands_alone_exclude_each_other() -> None:
    body = replacement(inspected("full"), network_mode="none")
    assert (body["HostConfig"]["NetworkMode"], body["NetworkingConfig"]["EndpointsConfig"]) == ("none", {})
    data = inspected("apart", NetworkMode="none")
    data["NetworkSettings"]["Networks"] = {"none": {}}
    body = replacement(data, networks=["front"])
    assert (body["HostConfig"]["NetworkMode"], body["NetworkingConfig"]["EndpointsConfig"]) == ("front", {"front": {}})


@pytest.mark.parametrize("mode", ["default", "bridge", "front"])
def test_a_container_that_was_taken_off_its_network_stays_off(mode: str) -> None:
    data = inspected("apart", NetworkMode=mode)
    data["NetworkSettings"]["Networks"] = {}
    single, *others = container_body.endpoints(replacement(data, env={"A": "1"}))
    assert single["HostConfig"]["NetworkMode"] == mode
    assert others == [{}, ["bridge" if mode == "default" else mode]]
    # A mode that names a network by its id is no other network.
    data["HostConfig"]["NetworkMode"] = "0" * 64
    data["NetworkSettings"]["Networks"] = {"front": {"NetworkID": "0" * 64}}
    assert container_body.endpoints(replacement(data, env={"A": "1"}, network_mode="0" * 64))[2] == []


def test_another_mode_takes_the_place_of_the_network_of_the_old_one() -> None:
    assert list(replacement(inspected("full"), network_mode="bridge")["NetworkingConfig"]["EndpointsConfig"]) == [
        "back"
    ]
    body = replacement(inspected("full"), network_mode="bridge", networks=["front"])
    assert sorted(body["NetworkingConfig"]["EndpointsConfig"]) == ["back", "front"]


@pytest.mark.parametrize(("there", "wanted"), [("0" * 64, "front"), ("front", "0" * 64), ("front", "front")])
def test_a_network_of_a_mode_may_be_named_by_its_id(there: str, wanted: str) -> None:
    data = inspected("apart", NetworkMode=there)
    data["NetworkSettings"]["Networks"] = {"front": {"NetworkID": "0" * 64}}
    scene = seen(containers={"web": data})
    assert container_plan.differences(want("web", network_mode=wanted), scene, scene.containers["web"]) == []
    other = want("web", network_mode="back")
    assert container_plan.differences(other, scene, scene.containers["web"]) != []
    assert replacement(data, network_mode="back")["NetworkingConfig"]["EndpointsConfig"] == {}


def test_of_a_health_check_only_what_is_the_containers_own_goes_to_another_image() -> None:
    data = inspected("plain")
    image = container(data).image["Healthcheck"]
    data["Config"]["Healthcheck"] = {**image, "Interval": 9 * 10**9}
    assert replacement(data, image="base:2")["Healthcheck"] == {"Interval": 9 * 10**9}
    own = replacement(data, image="base:2", healthcheck={"interval": "9s"})
    assert own["Healthcheck"] == {"Interval": 9 * 10**9}
    own = replacement(data, image="base:2", healthcheck={"retries": 7})
    assert own["Healthcheck"] == {"Interval": 9 * 10**9, "Retries": 7}
    assert replacement(data, healthcheck={"test": "NONE"})["Healthcheck"] == {"Test": ["NONE"]}


def test_what_else_the_engine_was_told_of_an_endpoint_goes_with_it() -> None:
    data = inspected("full")
    told = {"Links": ["db:l"], "DriverOpts": {"a": "b"}, "GwPriority": 3, "MacAddress": "02:42:ac:1f:f1:09"}
    addresses = {"IPv4Address": "172.31.241.7", "LinkLocalIPs": ["169.254.3.4"]}
    data["NetworkSettings"]["Networks"]["back"].update(told, IPAMConfig=addresses)
    end = {"IPAMConfig": addresses, "Aliases": ["cache", "db"], **told}
    assert replacement(data, env={"A": "1"})["NetworkingConfig"]["EndpointsConfig"]["back"] == end
    scene = seen(containers={"web": data})
    wanted = want("web", networks=[{"name": "back", "ipv4_address": "172.31.241.8"}], purge=["networks"])
    changes = {step.key: step.changes[0] for step in container_plan.plan(wanted, scene) if step.changes}
    change = changes["networks[back]"]
    assert CONTAINERS["networks"].attach(change.value["back"]) == {
        **end,
        "IPAMConfig": {**addresses, "IPv4Address": "172.31.241.8"},
    }
    assert set(change.parts[0].after) == {"name", "ipv4_address", "aliases", "links", "driver_options", "gw_priority"}


def test_a_mac_address_of_one_network_counts_where_it_is_asked_for() -> None:
    data = inspected("full")
    scene = seen(containers={"web": data})
    end = data["NetworkSettings"]["Networks"]["back"]
    same = want("web", networks=[{"name": "back", "mac_address": end["MacAddress"].upper()}])
    assert container_plan.differences(same, scene, scene.containers["web"]) == []
    other = want("web", networks=[{"name": "back", "mac_address": "02:42:ac:1f:f1:0b"}])
    (change,) = container_plan.differences(other, scene, scene.containers["web"])
    assert CONTAINERS["networks"].attach(change.value["back"])["MacAddress"] == "02:42:ac:1f:f1:0b"
    assert (change.parts[0].before["mac_address"], change.parts[0].after["mac_address"]) == (
        end["MacAddress"],
        "02:42:ac:1f:f1:0b",
    )


def test_processors_that_were_limited_by_a_quota_are_limited_anew() -> None:
    data = inspected("full", NanoCpus=0, CpuQuota=25000, CpuPeriod=50000)
    scene = seen(containers={"web": data})
    assert container_plan.differences(want("web", cpus=0.5), scene, scene.containers["web"]) == []
    (step,) = container_plan.plan(want("web", cpus=0.25, state="present"), scene)
    assert (step.action, step.before, step.after) == ("recreate", {"cpus": 0.5}, {"cpus": 0.25})
    host = replacement(data, cpus=0.25)["HostConfig"]
    assert (host["NanoCpus"], host["CpuQuota"], host["CpuPeriod"]) == (250_000_000, 0, 0)
    # Nor is it said twice where nothing changes.
    host = replacement(data, cpus=0.5, env={"A": "1"})["HostConfig"]
    assert (host["NanoCpus"], host["CpuQuota"], host["CpuPeriod"]) == (0, 25000, 50000)


def test_another_log_driver_starts_without_the_options_of_the_old_one() -> None:
    assert replacement(inspected("full"), log_driver="local")["HostConfig"]["LogConfig"] == {
        "Type": "local",
        "Config": {},
    }
    body = replacement(inspected("full"), log_driver="local", log_options={"max-size": "2m"})
    assert body["HostConfig"]["LogConfig"] == {"Type": "local", "Config": {"max-size": "2m"}}
    body = replacement(inspected("full"), log_options={"max-size": "2m"})
    assert body["HostConfig"]["LogConfig"] == {"Type": "json-file", "Config": {"max-size": "2m", "max-file": "2"}}


def test_a_command_of_ones_own_is_told_from_the_images() -> None:
    assert container_body.own_command(container(inspected("full")))
    assert not container_body.own_command(container(inspected("plain")))
    assert replacement(inspected("full"), command=[]).get("Cmd") is None
    assert replacement(inspected("plain"), command="/bin/kt-guest x")["Cmd"] == ["/bin/kt-guest", "x"]


def test_an_entrypoint_that_was_taken_away_stays_away() -> None:
    data = inspected("plain")
    data["Config"]["Entrypoint"] = None
    have = container(data)
    image = {**have.image, "Entrypoint": ["/bin/init"]}
    body = container_body.replacement(want("web", user="root"), type(have)(have.data, image, have.state), [])
    assert body["Entrypoint"] == [""]


def test_ports_are_exposed_beside_those_of_the_image_and_those_that_are_published() -> None:
    data = inspected("full")
    published = {"53/udp": {}, "80/tcp": {}, "8000/udp": {}, "8001/udp": {}}
    own = {"7001/tcp": {}, "7002/tcp": {}, "7003/udp": {}}
    assert replacement(data, exposed_ports=["9"])["ExposedPorts"] == {**published, **own, "9/tcp": {}}
    only = replacement(data, exposed_ports=["9"], purge=["exposed_ports"])
    assert only["ExposedPorts"] == {**published, "9/tcp": {}}
    none = replacement(data, exposed_ports=["9"], ports=["5:6"], purge=["exposed_ports", "ports"])
    assert none["ExposedPorts"] == {"6/tcp": {}, "9/tcp": {}}
    scene = seen(containers={"web": inspected("plain")})
    wish = want("web", exposed_ports=[], purge=["exposed_ports"])
    assert container_plan.differences(wish, scene, scene.containers["web"]) == []
    assert replacement(inspected("plain"), exposed_ports=["9"])["ExposedPorts"] == {"9/tcp": {}}


def test_the_hosts_name_is_not_kept_where_the_guest_has_its_own_again() -> None:
    assert "Hostname" not in replacement(inspected("apart"), uts_mode="")


def test_a_container_is_never_changed_by_planning() -> None:
    data = inspected("full")
    replacement(data, mounts=["volume-b:/data"], log_driver="local", env={"A": "2"}, privileged=True)
    assert data == inspected("full")


# Live updates -----------------------------------------------------------------------------------------------------


def test_an_update_has_what_changes_and_no_more() -> None:
    assert update(inspected("full"), cpus=1, cpu_shares=512, restart_policy="always") == {
        "NanoCpus": 10**9,
        "RestartPolicy": {"Name": "always", "MaximumRetryCount": 0},
    }
    assert update(inspected("full"), pids_limit=0, cpuset_cpus="0") == {"PidsLimit": -1, "CpusetCpus": "0"}


def test_swap_follows_the_memory_where_it_is_the_daemons_default() -> None:
    data = inspected("full", Memory=64 * MIB, MemorySwap=128 * MIB)
    assert update(data, memory="96MiB") == {"Memory": 96 * MIB, "MemorySwap": 192 * MIB}
    assert update(data, memory="96MiB", memory_swap="96MiB") == {"Memory": 96 * MIB, "MemorySwap": 96 * MIB}
    assert update(inspected("full", Memory=64 * MIB, MemorySwap=-1), memory="96MiB") == {
        "Memory": 96 * MIB,
        "MemorySwap": -1,
    }


def test_no_swap_of_ones_own_is_twice_the_memory() -> None:
    data = inspected("full", Memory=64 * MIB, MemorySwap=100 * MIB)
    assert update(data, memory_swap=0) == {"MemorySwap": 128 * MIB}
    assert update(data, memory="32MiB", memory_swap=0) == {"Memory": 32 * MIB, "MemorySwap": 64 * MIB}
    assert update(inspected("full", Memory=64 * MIB, MemorySwap=128 * MIB), memory_swap=0) == {}


def test_the_body_of_another_image_has_its_name() -> None:
    assert replacement(inspected("full"), image=image_id("base:2"))["Image"] == image_id("base:2")
