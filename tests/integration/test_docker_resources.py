# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The four promises for networks, volumes and images, from one table."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import docker
import pytest

from tests.support.ansible_runner import Result
from tests.support.images import root_tar
from tests.support.leftovers import Scratch, nameless
from tests.support.proxy import RecordingProxy
from tests.support.registry import Registry
from tests.support.warm_module import WarmModule


@dataclass(frozen=True)
class Row:
    """What is asked for first, then instead, and how the second differs."""

    kind: str
    first: Mapping[str, Any]
    second: Mapping[str, Any]
    disruption: str
    same: tuple[Mapping[str, Any], ...] = ()
    words: Mapping[str, str] = field(default_factory=dict)


NETWORK, VOLUME, IMAGE = "docker_network", "docker_volume", "docker_image"
ROWS = {
    "network subnets": Row(
        NETWORK,
        {"subnets": ["198.19.1.0/24"]},
        {"subnets": [{"subnet": "198.19.1.0/24", "gateway": "198.19.1.9"}]},
        "recreate",
        same=({"subnets": [{"subnet": "198.19.1.0/24"}]},),
    ),
    "network internal": Row(NETWORK, {"internal": False}, {"internal": True}, "recreate"),
    "network attachable": Row(NETWORK, {"attachable": False}, {"attachable": True}, "recreate"),
    "network enable_ipv6": Row(
        NETWORK,
        {"subnets": ["198.19.2.0/24"]},
        {"enable_ipv6": True, "subnets": ["198.19.2.0/24", "2001:db8:5::/64"]},
        "recreate",
        same=({"enable_ipv6": False},),
    ),
    "network options": Row(
        NETWORK,
        {"options": {"com.docker.network.driver.mtu": 1400}},
        {"options": {"com.docker.network.driver.mtu": "1300"}},
        "recreate",
    ),
    "network labels": Row(
        NETWORK, {"labels": {"a": "1"}}, {"labels": {"a": "2"}}, "recreate", same=({"labels": {"a": 1}}, {})
    ),
    "volume driver_options": Row(
        VOLUME,
        {"driver_options": {"type": "tmpfs", "device": "tmpfs", "o": "size=1m"}},
        {"driver_options": {"type": "tmpfs", "device": "tmpfs", "o": "size=2m"}},
        "destroy",
    ),
    "volume labels": Row(
        VOLUME,
        {"labels": {"a": "1"}, "driver": "local"},
        {"labels": {"a": "2"}},
        "destroy",
        same=({"labels": {"a": 1}}, {}),
    ),
    "image import": Row(
        IMAGE,
        {"import": {"path": "<one>"}},
        {"import": {"path": "<two>"}},
        "none",
        same=({"import": {"path": "<one>", "checksum": "<sum>"}},),
    ),
    "image import settings": Row(
        IMAGE,
        {"import": {"path": "<one>", "command": ["a b", '"c"']}},
        {"import": {"path": "<one>", "env": {"A": 'x "y" $z'}}},
        "none",
    ),
    "image build": Row(
        IMAGE, {"build": {"path": "<context>"}}, {"build": {"path": "<context>", "args": {"WORD": "other"}}}, "none"
    ),
    "image tag": Row(IMAGE, {"tag": "<base>"}, {"tag": "<other>"}, "none"),
}


@pytest.fixture(scope="module")
def modules() -> Iterator[dict[str, WarmModule]]:
    warm = {name: WarmModule(f"kraal.virt.{name}") for name in (NETWORK, VOLUME, IMAGE)}
    yield warm
    for module in warm.values():
        module.close()


@pytest.fixture
def words(tmp_path: Path, docker_api: docker.APIClient, base_images: Any) -> Iterator[dict[str, str]]:
    """What the <words> of the rows stand for. A crash may leave a build without a name."""
    context = tmp_path / "context"
    context.mkdir()
    (context / "Dockerfile").write_text(
        f"FROM {base_images.one}\nARG WORD=first\nCOPY data /data\nENV WORD=$WORD\n", encoding="utf-8"
    )
    (context / "data").write_text("data\n", encoding="utf-8")
    files = {}
    for name in ("one", "two"):
        files[name] = tmp_path / f"{name}.tar"
        files[name].write_bytes(root_tar(name))
    digest = hashlib.sha256(files["one"].read_bytes()).hexdigest()
    paths = {name: str(path) for name, path in files.items()}
    yield {
        **paths,
        "sum": f"sha256:{digest}",
        "context": str(context),
        "base": base_images.one,
        "other": base_images.two,
    }
    for key in nameless(docker_api, {*base_images.ids.values()}):
        docker_api.remove_image(key)


def fill(value: Any, words: Mapping[str, str]) -> Any:
    if isinstance(value, Mapping):
        return {key: fill(entry, words) for key, entry in value.items()}
    if isinstance(value, str) and value.startswith("<"):
        return words[value.strip("<>")]
    return value


@dataclass
class Driver:
    """One resource, reached through the recording proxy."""

    module: WarmModule
    proxy: RecordingProxy
    name: str

    def run(self, check: bool = False, **args: Any) -> Result:
        return self.module({"name": self.name, "docker_host": self.proxy.base_url, **args}, check=check)

    def do(self, **args: Any) -> Result:
        """What --check says is what is done, and it sends nothing that changes."""
        self.proxy.clear()
        checked = self.run(check=True, **args)
        assert not checked.failed, checked.msg
        assert not self.proxy.mutations, [str(request) for request in self.proxy.mutations]
        done = self.run(**args)
        assert not done.failed, done.msg
        assert (done["plan"], done["diff"], done.changed) == (checked["plan"], checked["diff"], checked.changed)
        return done

    def again(self, **args: Any) -> None:
        self.proxy.clear()
        result = self.run(**args)
        assert not result.failed, result.msg
        assert (result.changed, result["plan"]) == (False, [])
        assert not self.proxy.mutations

    def refused(self, *said: str, **args: Any) -> None:
        self.proxy.clear()
        for check in (True, False):
            result = self.run(check=check, **args)
            assert result.failed
            assert not [word for word in said if word not in result.msg], result.msg
        assert not self.proxy.mutations


@pytest.fixture
def driver(
    request: pytest.FixtureRequest, modules: dict[str, WarmModule], proxy: RecordingProxy, scratch: Scratch
) -> Any:
    def make(kind: str, name: str = "thing") -> Driver:
        return Driver(modules[kind], proxy, scratch(name) + (":1" if kind == IMAGE else ""))

    return make


def allow(row: Row) -> dict[str, Any]:
    return {} if row.disruption == "none" else {"disruption": row.disruption}


@pytest.mark.parametrize("label", ROWS)
def test_create_again_change_again(label: str, driver: Any, words: dict[str, str]) -> None:
    row = ROWS[label]
    thing, first, second = driver(row.kind), fill(row.first, words), fill(row.second, words)
    created = thing.do(**first)
    assert created.changed
    thing.again(**first)
    for same in row.same:
        thing.again(**fill(same, words))
    if row.disruption != "none":
        thing.refused("disruption", row.disruption, **second)
    changed = thing.do(**second, **allow(row))
    assert changed["plan"][-1]["disruption"] == row.disruption
    thing.again(**second, **allow(row))
    assert thing.do(state="absent").changed
    thing.again(state="absent")


@pytest.mark.parametrize("label", ["network internal", "volume labels", "image import", "image build", "image tag"])
def test_a_crash_after_any_step_is_mended_by_the_next_run(label: str, driver: Any, words: dict[str, str]) -> None:
    row = ROWS[label]
    thing = driver(row.kind)
    for args in (fill(row.first, words), {**fill(row.second, words), **allow(row)}, {"state": "absent"}):
        for steps in range(4):
            thing.proxy.clear()
            thing.proxy.fail_after(steps)
            crashed = thing.run(**args)
            complete = not thing.proxy.heal()
            mended = thing.run(**args)
            assert not mended.failed, mended.msg
            if complete:
                assert not crashed.failed
                break
        thing.again(**args)


def test_a_network_in_use_stays(driver: Any, scratch: Scratch, docker_api: docker.APIClient, base_images: Any) -> None:
    net = driver(NETWORK)
    net.do(labels={"a": "1"})
    user = scratch("user")
    docker_api.create_container(
        base_images.one, name=user, host_config=docker_api.create_host_config(network_mode=net.name)
    )
    net.refused(user, "in use", state="absent")
    net.refused(user, labels={"a": "2"}, disruption="recreate")
    assert net.do(state="absent", force=True).changed
    assert net.name not in [network["Name"] for network in docker_api.networks()]


def test_a_volume_in_use_stays(driver: Any, scratch: Scratch, docker_api: docker.APIClient, base_images: Any) -> None:
    volume = driver(VOLUME)
    volume.do()
    user = scratch("user")
    docker_api.create_container(
        base_images.one, name=user, host_config=docker_api.create_host_config(binds=[f"{volume.name}:/data"])
    )
    volume.refused(user, "in use", state="absent")
    volume.refused(user, "in use", labels={"a": "2"}, disruption="destroy")
    docker_api.remove_container(user)
    assert volume.do(state="absent").changed


def test_an_image_in_use_stays(
    driver: Any, scratch: Scratch, docker_api: docker.APIClient, words: dict[str, str]
) -> None:
    image = driver(IMAGE)
    source = {"import": {"path": words["one"], "command": ["sleep", "1"]}}
    image.do(**source)
    user = scratch("user")
    docker_api.create_container(image.name, name=user)
    image.refused(user, "in use", state="absent")
    docker_api.remove_container(user)
    assert image.do(state="absent").changed


def test_imported_settings_arrive_as_they_were_written(
    driver: Any, docker_api: docker.APIClient, words: dict[str, str]
) -> None:
    image = driver(IMAGE)
    settings = {
        "command": ["sleep", "a b"],
        "entrypoint": ["/bin/busybox"],
        "env": {"A": "b c"},
        "user": "7:7",
        "workdir": "/tmp",
        "labels": {"l": 'x "y"'},
    }
    image.do(**{"import": {"path": words["one"], **settings}})
    config = docker_api.inspect_image(image.name)["Config"]
    assert config["Cmd"] == settings["command"]
    assert config["Entrypoint"] == settings["entrypoint"]
    assert "A=b c" in config["Env"]
    assert (config["User"], config["WorkingDir"], config["Labels"]["l"]) == ("7:7", "/tmp", 'x "y"')


def test_with_a_checksum_the_archive_is_needed_for_the_import_only(driver: Any, words: dict[str, str]) -> None:
    image = driver(IMAGE)
    source = {"import": {"path": words["one"], "checksum": words["sum"]}}
    away = {"import": {"path": "/nowhere/one.tar", "checksum": words["sum"]}}
    assert image.run(check=True, **away).changed
    image.do(**source)
    image.again(**away)


def test_a_wrong_checksum_is_found_before_anything_is_sent(driver: Any, words: dict[str, str]) -> None:
    image = driver(IMAGE)
    image.proxy.clear()
    result = image.run(**{"import": {"path": words["two"], "checksum": words["sum"]}})
    assert result.failed
    assert "checksum" in result.msg
    assert not image.proxy.mutations


def test_load_brings_back_what_was_saved(
    driver: Any, docker_api: docker.APIClient, words: dict[str, str], tmp_path: Path
) -> None:
    image = driver(IMAGE)
    image.do(**{"import": {"path": words["one"]}})
    key = docker_api.inspect_image(image.name)["Id"]
    saved = tmp_path / "saved.tar"
    saved.write_bytes(b"".join(docker_api.get_image(image.name)))
    image.do(state="absent")
    image.do(load={"path": str(saved)})
    assert docker_api.inspect_image(image.name)["Id"] == key
    image.again(load={"path": str(saved)})


def test_pull_follows_the_registry(
    docker_api: docker.APIClient,
    registry: Registry,
    base_images: Any,
    modules: dict[str, WarmModule],
    proxy: RecordingProxy,
) -> None:
    pushed = registry.push(base_images.one, "pulled:1")
    login = {"registry_username": registry.auth["username"], "registry_password": registry.auth["password"]}
    image = Driver(modules[IMAGE], proxy, pushed)
    try:
        assert image.do(**login).changed
        image.again(**login)
        image.again(pull="always", **login)
        registry.push(base_images.two, "pulled:1")
        docker_api.tag(base_images.one, pushed.rpartition(":")[0], "1")
        assert image.do(pull="always", **login).changed
        image.again(pull="always", **login)
        assert docker_api.inspect_image(pushed)["Id"] == docker_api.inspect_image(base_images.two)["Id"]
        image.refused("nosuch", "pulled", name=pushed.replace("pulled", "nosuch"), **login)
        wrong = image.run(
            pull="always", registry_username=registry.auth["username"], registry_password="not-the-password"
        )
        assert wrong.failed
        assert "not-the-password" not in wrong.stdout + wrong.stderr
    finally:
        image.run(state="absent")


@pytest.mark.parametrize(
    ("kind", "args", "said"),
    [
        (NETWORK, {"name": "bridge"}, ["name", "bridge"]),
        (NETWORK, {"name": "-x"}, ["name", "-x", "dash"]),
        (NETWORK, {"name": "a/b"}, ["name", "a/b", "slash"]),
        (NETWORK, {"name": "a\nb"}, ["name", "control character"]),
        (NETWORK, {"subnets": ["198.19.3.1/24"]}, ["subnets", "198.19.3.1/24"]),
        (NETWORK, {"subnets": [{"subnet": "198.19.3.0/24", "gateway": "198.19.4.1"}]}, ["gateway"]),
        (NETWORK, {"unknown": 1}, ["unknown"]),
        (VOLUME, {"name": "../x"}, ["name", "../x"]),
        (VOLUME, {"labels": {"a": ["b"]}}, ["labels[a]"]),
        (IMAGE, {"name": "UPPER:1"}, ["name", "UPPER"]),
        (IMAGE, {"import": {"path": "/nowhere.tar"}}, ["import.path", "/nowhere.tar"]),
        (IMAGE, {"import": {"path": "/etc/passwd"}}, ["import.path", "tar archive"]),
        (IMAGE, {"import": {"path": "/x", "checksum": "abc"}}, ["import.checksum", "SHA-256"]),
        (IMAGE, {"build": {"path": "/nowhere"}}, ["build.path", "/nowhere"]),
        (IMAGE, {"load": {"path": "/etc/passwd"}}, ["load.path"]),
        (IMAGE, {"tag": "kt-nosuch:1"}, ["tag", "kt-nosuch:1", "does not exist"]),
        (IMAGE, {"tag": "a:1", "load": {"path": "/x"}}, ["together"]),
    ],
)
def test_bad_input_is_refused_before_anything_is_touched(
    kind: str, args: dict[str, Any], said: list[str], driver: Any
) -> None:
    driver(kind).refused(*said, **args)


def test_a_full_disk_is_seen_before_the_import(
    modules: dict[str, WarmModule], second_daemon: Any, tmp_path: Path
) -> None:
    big = tmp_path / "big.tar"
    with big.open("wb") as file:
        file.write(root_tar("big"))
        file.truncate(200 * 1024**2)
    result = modules[IMAGE]({"name": "kt-big:1", "docker_host": second_daemon.base_url, "import": {"path": str(big)}})
    assert result.failed
    assert "import" in result.msg
    assert "Free space" in result.msg
    with second_daemon.client() as client:
        assert client.images() == []
