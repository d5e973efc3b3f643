# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A container that takes another's place: what it keeps of it, and what happens when it does not come up."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.support.images import import_image
from tests.support.proxy import Cut
from tests.support.warm_module import WarmModule

from .driver import MODULE, Driver, actions, wait_for_loop

PATIENT = "from ansible_collections.kraal.virt.plugins.module_utils.backends.docker.container import resource; resource.SETTLE_SECONDS = 20"
FAILING = ["/bin/sh", "-c", "echo no such luck; exit 3"]


@pytest.fixture
def network(driver: Driver) -> str:
    driver.api.create_network(driver.scratch("net"), ipam={"Config": [{"Subnet": "10.214.0.0/24"}]})
    return driver.scratch("net")


def own(driver: Driver, **config: Any) -> str:
    """A container that somebody made by hand; its id."""
    made = driver.api.create_container_from_config({"Image": driver.images.one, **config}, driver.name)
    driver.api.start(made["Id"])
    return str(made["Id"])


@pytest.fixture(scope="module")
def patient() -> Iterator[WarmModule]:
    """The module, which watches a new container for as long as a busy engine may take to tell that it has ended."""
    with WarmModule(MODULE, before=PATIENT) as warm:
        yield warm


# What does not come up
# -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", ["running", "paused", "stopped"])
def test_a_failed_start_puts_the_old_container_back(driver: Driver, patient: WarmModule, state: str) -> None:
    driver.make(env={"KT_A": "1"})
    driver.make(env={"KT_A": "1"}, state=state)
    old = driver.inspect()
    result = replace(driver, module=patient).run(command=FAILING)
    assert (
        result.failed and "the old container was put back" in result.msg and "exit code 3: no such luck" in result.msg
    )
    new = driver.inspect()
    assert (new["Id"], new["State"]["Status"]) == (old["Id"], old["State"]["Status"])
    assert driver.mine() == [driver.word]
    assert driver.make(env={"KT_A": "1"}, state=state).changed is False


@pytest.mark.parametrize(
    "wrong",
    [
        {"command": ["/bin/no-such-program"]},
        {"user": "nobody-knows-him"},
        {"sysctls": {"net.ipv4.kt_no_such": "1"}},
        {"restart_policy": "always", "command": FAILING},
        {"healthcheck": {"test": "false", "interval": "200ms", "retries": 1}, "wait_for": "healthy", "timeout": 5},
    ],
    ids=lambda wrong: next(iter(wrong)),
)
def test_whatever_keeps_the_new_one_from_running(driver: Driver, patient: WarmModule, wrong: Mapping[str, Any]) -> None:
    driver.make()
    old = driver.inspect()
    result = (replace(driver, module=patient) if "command" in wrong else driver).run(**wrong)
    assert result.failed and "the old container was put back" in result.msg
    new = driver.inspect()
    assert (new["Id"], new["State"]["Status"]) == (old["Id"], "running") and driver.mine() == [driver.word]


def test_a_creation_that_the_engine_refuses_leaves_the_old_one_alone(driver: Driver) -> None:
    driver.make()
    old = driver.inspect()
    result = driver.run(workdir="/etc/passwd/x")
    assert result.failed and "not a directory" in result.msg and "put back" not in result.msg
    new = driver.inspect()
    assert (new["Id"], new["State"]["StartedAt"]) == (old["Id"], old["State"]["StartedAt"]) and driver.mine() == [
        driver.word
    ]


def test_a_failed_creation_leaves_nothing(driver: Driver, network: str) -> None:
    name = driver.scratch("image") + ":1"
    import_image(driver.api, name, name)
    # A new volume takes over what the image has in its place, which tells it from those of other tests.
    args = {"image": name, "mounts": [{"target": "/etc"}]}

    def volumes() -> list[Path]:
        files = [Path(volume["Mountpoint"], "kt-release") for volume in driver.api.volumes()["Volumes"]]
        return [file for file in files if file.is_file() and file.read_text(encoding="utf-8") == name + "\n"]

    driver.make(**args)
    assert len(volumes()) == 1
    driver.make(state="absent", remove_storage=True)
    result = driver.run(**args, networks=["bridge", {"name": network, "ipv4_address": "10.99.0.1"}])
    assert result.failed and "address" in result.msg.lower()
    assert driver.mine() == [] and volumes() == []


def test_a_guest_that_ends_again_and_again_is_repaired(driver: Driver) -> None:
    """Also while it waits for its next start: the engine does not rename it then."""
    loop = {"Entrypoint": FAILING, "HostConfig": {"RestartPolicy": {"Name": "always"}}}
    repaired = {"entrypoint": ["/bin/kt-guest"], "restart_policy": "always", "state": "present"}
    own(driver, **loop)
    wait_for_loop(driver)
    driver.proxy.clear()
    driver.make(**repaired)
    assert (driver.state(), driver.mine()) == ("running", [driver.word])
    steps = [str(step).partition("/containers/")[2].rpartition("/")[2] for step in driver.proxy.steps]
    assert steps[:5] == ["create", "rename", "rename", "stop", "rename"]
    for number in (3, 4, 5):
        driver.scratch.clean()
        own(driver, **loop)
        wait_for_loop(driver)
        driver.proxy.fail_after(number, Cut.KILL)
        assert driver.run(**repaired).failed and driver.proxy.heal(), f"no crash after {steps[number - 1]}"
        driver.make(**repaired)
        assert (driver.state(), driver.mine()) == ("running", [driver.word]), f"after {steps[number - 1]}"


# What it keeps
# ---------------------------------------------------------------------------------------------------------


def test_settings_that_the_task_does_not_name_survive(driver: Driver, network: str, tmp_path) -> None:
    own(driver.of("db"), HostConfig={"NetworkMode": network})
    own(
        driver,
        Env=["KT_HAND=made", "KT_A=1"],
        Labels={"kt.hand": "made"},
        Cmd=["/bin/kt-guest", "by hand"],
        Hostname="by-hand",
        Domainname="example",
        User="app",
        WorkingDir="/data",
        StopSignal="SIGINT",
        StopTimeout=7,
        Tty=True,
        OpenStdin=True,
        ExposedPorts={"99/udp": {}},
        Healthcheck={"Test": ["CMD", "true"], "Interval": 10**9},
        HostConfig={
            "Binds": [f"{tmp_path}:/mnt:ro"],
            "Memory": 64 * 1024**2,
            "MemorySwap": 96 * 1024**2,
            "NanoCpus": 5 * 10**8,
            "PidsLimit": 77,
            "RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 4},
            "PortBindings": {"98/tcp": [{"HostIp": "127.0.0.1", "HostPort": ""}]},
            "Tmpfs": {"/run": "size=65536"},
            "Dns": ["192.0.2.1"],
            "ExtraHosts": ["a:192.0.2.2"],
            "CapAdd": ["NET_ADMIN"],
            "GroupAdd": ["2000"],
            "Sysctls": {"net.core.somaxconn": "99"},
            "Ulimits": [{"Name": "nofile", "Soft": 100, "Hard": 200}],
            "LogConfig": {"Type": "json-file", "Config": {"max-size": "1m"}},
            "SecurityOpt": ["no-new-privileges"],
            "ShmSize": 1024**2,
            "OomScoreAdj": 50,
            "NetworkMode": network,
            "Links": [],
            "ReadonlyPaths": [],
            "MaskedPaths": [],
        },
        NetworkingConfig={
            "EndpointsConfig": {
                network: {
                    "IPAMConfig": {"IPv4Address": "10.214.0.77"},
                    "Aliases": ["hand"],
                    "Links": [f"{driver.scratch('db')}:db"],
                    "DriverOpts": {"kt": "1"},
                }
            }
        },
    )
    driver.api.connect_container_to_network(driver.name, "bridge")
    old = driver.inspect()
    driver.do(image=..., env={"KT_A": "2"})
    new = driver.inspect()
    assert new["Id"] != old["Id"]
    assert sorted(new["Config"].pop("Env")) == ["KT_A=2", "KT_HAND=made", "PATH=/bin"] and old["Config"].pop("Env")
    assert _plain(new["Config"]) == _plain(old["Config"])
    # Binds may have been written as mounts.
    assert _plain(new["HostConfig"]) == _plain(old["HostConfig"])
    assert _plain(new["Mounts"]) == _plain(old["Mounts"])
    ends = new["NetworkSettings"]["Networks"]
    assert (
        sorted(ends) == sorted(["bridge", network])
        and ends[network]["IPAddress"] == "10.214.0.77"
        and "hand" in ends[network]["Aliases"]
        and ends[network]["Links"] == [f"{driver.scratch('db')}:db"]
        and ends[network]["DriverOpts"] == {"kt": "1"}
    )
    driver.again(image=..., env={"KT_A": "2"})
    links = {"networks": [{"name": network, "links": [f"{driver.scratch('db')}:more"]}]}
    driver.do(image=..., **links)
    end = driver.inspect()["NetworkSettings"]["Networks"][network]
    assert sorted(end["Links"]) == [f"{driver.scratch('db')}:db", f"{driver.scratch('db')}:more"]
    assert (end["IPAddress"], end["DriverOpts"]) == ("10.214.0.77", {"kt": "1"})
    driver.again(image=..., **links)


def _plain(value: Any) -> Any:
    """Without what is empty: none, an empty list and an absent key mean the same."""
    if isinstance(value, Mapping):
        return {key: _plain(entry) for key, entry in value.items() if entry not in (None, [], {}, "", False, 0)}
    return value


def test_what_was_said_in_another_way_makes_way(driver: Driver, network: str) -> None:
    """The network of a mode for that of another, and a quota for a number of processors."""
    own(driver, HostConfig={"CpuQuota": 50000})
    driver.again(cpus=0.5)
    driver.do(cpus=0.25, network_mode=network)
    new = driver.inspect()
    assert (list(new["NetworkSettings"]["Networks"]), new["HostConfig"]["NanoCpus"]) == ([network], 250_000_000)


def test_a_guest_without_a_network_stays_so(driver: Driver) -> None:
    """It is made so, and what takes its place is so, too."""
    driver.do(networks=[], purge=["networks"])
    assert driver.inside("ls", "/sys/class/net") == "lo"
    driver.do(env={"KT_A": "1"})
    assert driver.inside("ls", "/sys/class/net") == "lo"
    driver.again(networks=[], purge=["networks"])


@pytest.fixture
def images(driver: Driver) -> Iterator[tuple[str, str]]:
    """Two images that bring much of their own, and not the same."""
    names = tuple(f"{driver.scratch(name)}:1" for name in ("brings", "other"))
    for name, text, user, directory, port, end in zip(
        names, ("one", "two"), ("app", "root"), ("/tmp", "/data"), (80, 81), ("SIGINT", "SIGTERM"), strict=True
    ):
        changes = [
            f"ENV KT_IMAGE={text}",
            f"ENV KT_{text.upper()}=1",
            f"LABEL kt.image={text} kt.{text}=1",
            f"VOLUME /{text}",
            f"EXPOSE {port}",
        ]
        changes += [
            'ENTRYPOINT ["/bin/sh", "-c"]',
            f'CMD ["exec kt-guest {text}"]',
            f"USER {user}",
            f"WORKDIR {directory}",
        ]
        import_image(driver.api, name, text, [*changes, f"HEALTHCHECK --interval=1h CMD {text}"])
        # An import takes no STOPSIGNAL.
        list(driver.api.build(fileobj=io.BytesIO(f"FROM {name}\nSTOPSIGNAL {end}\n".encode()), tag=name, rm=True))
    yield names  # type: ignore[misc]
    driver.make(state="absent", remove_storage=True)


def test_what_an_image_brings_goes_with_it(driver: Driver, images: tuple[str, str]) -> None:
    one, two = images
    driver.do(image=one, env={"KT_MINE": "1"}, labels={"kt.mine": "1"})
    driver.again(image=one, env={"KT_MINE": "1"}, labels={"kt.mine": "1"})
    volume = driver.inspect()["Mounts"][0]["Name"]
    driver.do(image=two, env={"KT_MINE": "1"}, labels={"kt.mine": "1"})
    driver.again(image=two)
    config = driver.inspect()["Config"]
    assert sorted(line for line in config["Env"] if line.startswith("KT_")) == ["KT_IMAGE=two", "KT_MINE=1", "KT_TWO=1"]
    assert {key: value for key, value in config["Labels"].items() if key.startswith("kt.")} == {
        "kt.image": "two",
        "kt.mine": "1",
        "kt.two": "1",
    }
    assert (config["Cmd"], config["Entrypoint"]) == (["exec kt-guest two"], ["/bin/sh", "-c"])
    assert (config["User"], config["WorkingDir"], config["StopSignal"], config["Healthcheck"]["Test"]) == (
        "root",
        "/data",
        "SIGTERM",
        ["CMD-SHELL", "two"],
    )
    assert sorted(config["ExposedPorts"]) == ["81/tcp"]
    mounts = {mount["Destination"]: mount["Name"] for mount in driver.inspect()["Mounts"]}
    assert mounts["/one"] == volume and sorted(mounts) == ["/one", "/two"], "data of the old image's volume is kept"


def test_purge_leaves_what_the_image_brings(driver: Driver, images: tuple[str, str]) -> None:
    one, _two = images
    given = {
        "image": one,
        "env": {"KT_A": "1"},
        "labels": {"kt.a": "1"},
        "purge": ["env", "labels", "mounts"],
        "mounts": [],
    }
    driver.make(image=one, env={"KT_B": "1"}, labels={"kt.b": "1"}, mounts=[{"target": "/srv"}])
    volume = next(mount["Name"] for mount in driver.inspect()["Mounts"] if mount["Destination"] == "/srv")
    driver.do(**given)
    driver.again(**given)
    config = driver.inspect()["Config"]
    assert sorted(line for line in config["Env"] if line.startswith("KT_")) == ["KT_A=1", "KT_IMAGE=one", "KT_ONE=1"]
    assert {key for key in config["Labels"] if key.startswith("kt.")} == {"kt.a", "kt.image", "kt.one"}
    assert [mount["Destination"] for mount in driver.inspect()["Mounts"]] == ["/one"]
    driver.api.remove_volume(volume)


# What other tools make
# -------------------------------------------------------------------------------------------------


def test_an_image_whose_name_has_moved_on_is_kept(driver: Driver) -> None:
    """A task that does not name an image does not change it, even where a pull or a build gave the name to another
    one.
    """
    name = driver.scratch("moving") + ":1"
    first = import_image(driver.api, name, "first")
    driver.make(image=name)
    import_image(driver.api, name, "second")
    driver.do(image=..., env={"KT_A": "1"})
    assert driver.inspect()["Image"] == first
    assert actions(driver.do(image=name)) == ["recreate"]
    assert driver.inside("cat", "/etc/kt-release") == "second"
    driver.api.remove_image(first)


def test_an_image_that_was_deleted(driver: Driver) -> None:
    name = driver.scratch("gone") + ":1"
    import_image(driver.api, name, "gone")
    driver.make(image=name)
    driver.make(image=name, state="stopped")
    driver.api.remove_image(name, force=True)
    assert driver.make(image=..., state="stopped").changed is False
    driver.do(image=..., memory="64MiB", state="stopped")
    old = driver.inspect()["Id"]
    result = driver.run(image=..., env={"KT_A": "1"}, state="stopped")
    assert (
        result.failed
        and "no such image" in result.msg.lower()
        and driver.inspect()["Id"] == old
        and driver.mine() == [driver.word]
    )
    driver.do(state="stopped")
    driver.again(state="stopped")


def test_a_container_that_removes_itself(driver: Driver) -> None:
    """docker run --rm: it can be replaced and removed, but not be stopped and kept."""
    own(driver, Volumes={"/data": {}}, HostConfig={"AutoRemove": True})
    driver.inside("sh", "-c", "echo data > /data/file")
    assert "--rm" in driver.refused("state", state="stopped")
    driver.do(env={"KT_A": "1"})
    assert driver.inside("cat", "/data/file") == "data" and driver.inside("sh", "-c", "echo $KT_A") == "1"
    driver.do(state="absent", remove_storage=True)
    driver.again(state="absent")
    assert driver.mine() == []


def test_a_container_that_removes_itself_and_a_successor_that_fails(driver: Driver, patient: WarmModule) -> None:
    own(driver, Volumes={"/data": {}}, HostConfig={"AutoRemove": True})
    driver.inside("sh", "-c", "echo data > /data/file")
    volume = driver.inspect()["Mounts"][0]["Name"]
    result = replace(driver, module=patient).run(command=FAILING)
    assert result.failed and "could not be put back" in result.msg
    driver.make(command=["/bin/kt-guest"], mounts=[f"{volume}:/data"])
    assert driver.inside("cat", "/data/file") == "data"
    driver.make(state="absent", remove_storage=True)


def test_links_and_volumes_of_others(driver: Driver) -> None:
    other = driver.of("other")
    other.make(mounts=[f"{driver.scratch('vol')}:/shared", {"target": "/anonymous"}])
    volumes = {mount["Destination"]: mount["Name"] for mount in other.inspect()["Mounts"]}
    own(driver, HostConfig={"Links": [f"{other.name}:db"], "VolumesFrom": [f"{other.name}:ro"]}, Volumes={"/mine": {}})
    mine = next(mount["Name"] for mount in driver.inspect()["Mounts"] if mount["Destination"] == "/mine")
    driver.do(env={"KT_A": "1"})
    driver.again(env={"KT_A": "1"})
    data = driver.inspect()
    assert data["HostConfig"]["Links"] == [f"/{other.name}:/{driver.name}/db"]
    assert {mount["Destination"]: mount["Name"] for mount in data["Mounts"]} == {**volumes, "/mine": mine}
    assert not next(mount["RW"] for mount in data["Mounts"] if mount["Destination"] == "/shared")
    # Removing it with its storage leaves what the other one uses.
    driver.do(state="absent", remove_storage=True)
    assert [driver.api.inspect_volume(name)["Name"] for name in volumes.values()] == list(volumes.values())
    other.do(state="absent", remove_storage=True)


def test_another_container_network(driver: Driver) -> None:
    other = driver.of("other")
    other.make()
    driver.do(network_mode=f"container:{other.name}", pid_mode=f"container:{other.name}")
    driver.again(network_mode=f"container:{other.name}")
    driver.do(network_mode=f"container:{other.inspect()['Id']}", env={"KT_A": "1"})
    assert driver.inspect()["HostConfig"]["NetworkMode"] == f"container:{other.inspect()['Id']}"


def test_names_that_begin_alike(driver: Driver) -> None:
    """A neighbour whose name begins with the guest's, or the other way round, is another guest."""
    neighbours = [driver.of(word) for word in ("guest-2", "gue", "guest.kraal")]
    for neighbour in neighbours:
        neighbour.make()
    before = [neighbour.inspect()["State"]["StartedAt"] for neighbour in neighbours]
    driver.do(env={"KT_A": "1"})
    driver.do(env={"KT_A": "2"})
    driver.do(state="absent")
    assert [neighbour.inspect()["State"]["StartedAt"] for neighbour in neighbours] == before


def test_a_guest_is_known_to_its_network_by_its_name_after_it_was_replaced(driver: Driver, network: str) -> None:
    other = driver.of("other")
    other.make(networks=[network])
    driver.make(networks=[{"name": network, "aliases": ["db"]}])
    driver.do(networks=[network], env={"KT_A": "1"})
    for name in (driver.name, "db"):
        assert "10.214.0." in other.inside("sh", "-c", f"nslookup {name} 127.0.0.11 | tail -n +3")


def test_a_default_host_name_is_the_new_containers_own(driver: Driver) -> None:
    driver.make()
    driver.do(env={"KT_A": "1"})
    data = driver.inspect()
    assert data["Config"]["Hostname"] == data["Id"][:12]
