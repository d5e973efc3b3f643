# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""docker_image against a real daemon: an image is known by its content."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.ansible_runner import run_module
from tests.support.images import import_image, root_tar
from tests.support.resource_driver import ResourceDriver
from tests.support.warm_module import WarmModule

LABEL = "kraal.virt.source"
MARK = "kt-test"


@pytest.fixture(scope="module")
def module() -> Iterator[WarmModule]:
    with WarmModule("kraal.virt.docker_image") as warm:
        yield warm


@pytest.fixture
def driver(module, proxy, scratch, docker_api, pytestconfig: pytest.Config) -> Iterator[ResourceDriver]:
    yield ResourceDriver(module, proxy, pytestconfig.getoption("--all"))
    for key in dangling(docker_api, scratch):
        docker_api.remove_image(key)


@pytest.fixture
def mark(scratch) -> dict[str, str]:
    """A label for all images that a test makes: so their content is this test's alone, and those that lose their
    name are found.
    """
    return {MARK: scratch.prefix}


@pytest.fixture
def archive(tmp_path) -> Path:
    path = tmp_path / "root.tar"
    path.write_bytes(root_tar("one"))
    return path


def checksum(path: Path) -> str:
    return "sha256:" + hashlib.sha256(path.read_bytes()).hexdigest()


def actions(result) -> list[str]:
    return [step["action"] for step in result["plan"]]


def dangling(docker_api, scratch) -> list[str]:
    """This test's images without a name."""
    return [image["Id"] for image in docker_api.images(filters={"dangling": True, "label": f"{MARK}={scratch.prefix}"})]


# Imports -----------------------------------------------------------------------------------------------------------


def test_import_by_content(driver, scratch, archive, tmp_path, mark) -> None:
    name = scratch("i") + ":1"
    made = driver.change(name=name, **{"import": {"path": str(archive), "labels": mark}})
    assert actions(made) == ["import"]
    # The same content under another path, or packed at another time, is the same image.
    copy = tmp_path / "copy.tar"
    copy.write_bytes(archive.read_bytes())
    driver.again(name=name, **{"import": {"path": str(copy), "labels": mark}})
    driver.again(
        name=name,
        **{
            "import": {
                "path": "/nowhere.tar",
                "checksum": checksum(archive).upper().replace("SHA", "sha"),
                "labels": mark,
            }
        },
    )
    archive.write_bytes(root_tar("two"))
    changed = driver.change(name=name, **{"import": {"path": str(archive), "labels": mark}})
    assert changed["image"]["id"] != made["image"]["id"]
    gone = driver.change(name=name, state="absent")
    assert actions(gone) == ["remove"] and gone["image"] is None


def test_import_settings_each_count(driver, docker_api, scratch, archive, mark) -> None:
    name, source = scratch("i") + ":1", {"path": str(archive), "labels": mark}
    settings = {
        "command": ["sleep", "a b", "$HOME", 'q"q'],
        "entrypoint": ["/bin/busybox"],
        "env": {"A": 'b "c" $d \\e ä', "EMPTY": "", "FLAG": True},
        "user": "7:7",
        "workdir": "/tmp/a b",
        "expose": ["80", "53/udp"],
        "volumes": ["/data", "/a b"],
        "labels": {**mark, "l": 'x "y" $z ü'},
    }
    for key in settings:
        source[key] = settings[key]
        driver.do(name=name, **{"import": source})
    driver.again(name=name, **{"import": source})
    config = docker_api.inspect_image(name)["Config"]
    assert config["Cmd"] == settings["command"] and config["Entrypoint"] == settings["entrypoint"]
    assert {'A=b "c" $d \\e ä', "EMPTY=", "FLAG=true"} <= set(config["Env"])
    assert (config["User"], config["WorkingDir"]) == ("7:7", "/tmp/a b")
    assert set(config["ExposedPorts"]) == {"80/tcp", "53/udp"} and set(config["Volumes"]) == {"/data", "/a b"}
    assert config["Labels"]["l"] == 'x "y" $z ü'


def test_a_host_that_has_the_content_needs_no_archive(driver, scratch, archive, mark) -> None:
    """What a play asks before it brings an archive to a host."""
    asked = {"import": {"path": "/nowhere/root.tar", "checksum": checksum(archive), "labels": mark}}
    here = {"import": {**asked["import"], "path": str(archive)}}
    assert actions(driver.check(name=scratch("a"), **asked)) == ["import"]
    refused = driver.run(name=scratch("a"), **asked)
    assert refused.failed and "import.path" in refused.msg and not driver.proxy.mutations
    driver.change(name=scratch("a"), **here)
    driver.again(name=scratch("a"), **asked)
    other = driver.change(name=scratch("b"), **asked)
    assert actions(other) == ["tag"]
    assert [str(request).rpartition("/")[2] for request in driver.proxy.mutations] == []
    assert other["image"]["tags"] == [scratch("a") + ":latest", scratch("b") + ":latest"]


def test_a_nameless_image_of_that_content_is_used(driver, docker_api, scratch, archive, mark) -> None:
    """As a run leaves it that dies before its image has a name."""
    name, source = scratch("i") + ":1", {"import": {"path": str(archive), "labels": mark}}
    content = driver.check(name=name, **source)["plan"][0]["after"]
    with archive.open("rb") as file:
        changes = [f'LABEL "{LABEL}"="{content}"', f'LABEL "{MARK}"="{scratch.prefix}"']
        params = {"fromSrc": "-", "changes": changes}
        docker_api._post(
            docker_api._url("/images/create"), params=params, data=file, headers={"Content-Type": "application/tar"}
        ).raise_for_status()
    (key,) = dangling(docker_api, scratch)
    again = driver.change(name=name, **source)
    assert actions(again) == ["tag"] and again["image"]["id"] == key


def test_crash_after_each_step(driver, docker_api, scratch, archive, mark) -> None:
    name = scratch("i") + ":1"

    def nothing() -> None:
        driver.run(name=name, state="absent", force=True)

    def other() -> None:
        nothing()
        driver.run(name=name, tag=scratch("o"))

    import_image(docker_api, scratch("o") + ":latest", "other")
    source = {"import": {"path": str(archive), "labels": mark}}
    for prepare in (nothing, other):
        for result in driver.crashes(prepare, name=name, **source):
            assert result["image"]["labels"][LABEL].startswith("import ")
    for result in driver.crashes(other, name=name, state="absent"):
        assert result["image"] is None
    nothing()
    assert dangling(docker_api, scratch) == []
    assert scratch.found().images == [scratch("o") + ":latest"]


def test_killed_in_the_middle_of_an_import(driver, docker_api, scratch, archive, mark) -> None:
    name = scratch("i") + ":1"
    # The archive's second half never comes: the module waits for it and is killed.
    pipe = archive.with_name("half.tar")
    size = 64 * 1024**2
    with pipe.open("wb") as file:
        file.write(archive.read_bytes()[: -20 * 512])
        info = tarfile.TarInfo("big")
        info.size = size
        file.write(info.tobuf())
        file.truncate(size)
    process = driver.start(name=name, **{"import": {"path": str(pipe), "checksum": checksum(pipe), "labels": mark}})
    while not any(request.mutating for request in driver.proxy.requests):
        if process.process.poll() is not None:
            break
        driver.proxy.crashed.wait(0.01)
    process.kill()
    process.result()
    assert dangling(docker_api, scratch) == [] and scratch.found().images == []
    driver.change(name=name, **{"import": {"path": str(archive), "labels": mark}})


def test_full_disk(driver, module, second_daemon, scratch, tmp_path) -> None:
    """Seen before where the archive shows it, told by the engine where only its content does; nothing stays behind."""
    big = tmp_path / "big.tar"
    with tarfile.open(big, "w") as tar:
        info = tarfile.TarInfo("big")
        info.size = 100 * 1024**2
        tar.addfile(info, io.BytesIO(bytes(info.size)))
    packed = tmp_path / "big.tar.gz"
    packed.write_bytes(gzip.compress(big.read_bytes(), 1))
    for path in (big, packed):
        for check in (True, False):
            result = module(
                {"name": "kt-big:1", "docker_host": second_daemon.base_url, "import": {"path": str(path)}}, check=check
            )
            if path == big:
                assert (
                    result.failed
                    and "import" in result.msg
                    and "102410KiB" in result.msg
                    and "Free space" in result.msg
                ), result.msg
        assert result.failed and "free space" in result.msg.lower(), result.msg
    with second_daemon.client() as client:
        assert client.images(all=True) == []


# Builds ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def context(tmp_path, base_image, scratch) -> Path:
    root = tmp_path / "context"
    root.mkdir()
    lines = [
        f"FROM {base_image} AS first",
        "ARG WORD=first",
        f"LABEL {MARK}={scratch.prefix}",
        "COPY . /data",
        "ENV WORD=$WORD",
        "FROM first",
        "RUN echo done",
    ]
    (root / "Dockerfile").write_text("\n".join(lines) + "\n")
    (root / "data").write_text("data\n")
    (root / ".dockerignore").write_text("*.log\nDATA\nDockerfile\n.dockerignore\n")
    return root


def test_build_by_content(driver, docker_api, scratch, context) -> None:
    name, source = scratch("b") + ":1", {"path": str(context)}

    def change(note: str) -> None:
        assert actions(driver.change(name=name, build=source)) == ["build"], note

    change("at first")
    (context / "noise.log").write_text("ignored")
    os.utime(context / "data", (1, 1))
    driver.again(name=name, build=source)
    driver.again(
        name=name, build={**source, "nocache": True, "pull": False, "network": "host", "dockerfile": "./Dockerfile"}
    )
    (context / "data").write_text("other\n")
    change("a file changed")
    (context / "data").chmod(0o600)
    change("a file's mode changed")
    (context / "link").symlink_to("data")
    change("a file came")
    source["args"] = {"WORD": "second"}
    change("an argument")
    assert "WORD=second" in docker_api.inspect_image(name)["Config"]["Env"]
    source["labels"] = {"a": "b"}
    change("a label")
    source["target"] = "first"
    change("a stage")
    (context / "Other").write_text((context / "Dockerfile").read_text())
    source["dockerfile"] = "Other"
    change("another Dockerfile")
    assert docker_api.inspect_image(name)["Config"]["Labels"]["a"] == "b"


def test_build_follows_its_base(driver, docker_api, scratch, context) -> None:
    base, name = scratch("base"), scratch("b")
    import_image(docker_api, base + ":latest", "1")
    (context / "Dockerfile").write_text(
        f"ARG NAME=nothing\nFROM ${{NAME}}\nLABEL {MARK}={scratch.prefix}\nCOPY data /data\n"
    )
    source = {"path": str(context), "args": {"NAME": base}}
    driver.change(name=name, build=source)
    import_image(docker_api, base + ":latest", "2")
    changed = driver.change(name=name, build=source)
    assert actions(changed) == ["build"] and changed["plan"][0]["before"] != changed["plan"][0]["after"]
    layers = docker_api.inspect_image(base)["RootFS"]["Layers"]
    assert docker_api.inspect_image(name)["RootFS"]["Layers"][: len(layers)] == layers


def test_a_build_that_fails_leaves_nothing_and_says_why(driver, docker_api, scratch, context, base_image) -> None:
    name = scratch("b") + ":1"
    driver.change(name=name, build={"path": str(context)})
    kept = docker_api.inspect_image(name)["Id"]
    containers = docker_api.containers(all=True, quiet=True)
    (context / "Dockerfile").write_text(
        f"FROM {base_image}\nLABEL {MARK}={scratch.prefix}\nRUN echo some words; exit 7\n"
    )
    result = driver.run(name=name, build={"path": str(context)})
    assert result.failed and "some words" in result.msg and "code: 7" in result.msg, result.msg
    assert docker_api.inspect_image(name)["Id"] == kept
    ours = [
        c
        for c in docker_api.containers(all=True)
        if c not in containers and c["Image"] == base_image and "exit 7" in c["Command"]
    ]
    assert ours == []


def test_build_crash_after_each_step(driver, docker_api, scratch, context) -> None:
    name, number = scratch("b") + ":1", iter(range(100))

    def nothing() -> None:
        driver.run(name=name, state="absent")
        (context / "data").write_text(f"{next(number)}\n")

    for result in driver.crashes(nothing, name=name, build={"path": str(context)}):
        assert result["image"]["labels"][LABEL].startswith("build ")


# The others --------------------------------------------------------------------------------------------------------


def test_load(driver, docker_api, scratch, tmp_path) -> None:
    one, two = scratch("one") + ":1", scratch("two") + ":1"
    ids = {name: import_image(docker_api, name, scratch(name)) for name in (one, two)}
    both = tmp_path / "both.tar"
    both.write_bytes(docker_api._get(docker_api._url("/images/get"), params={"names": [one, two]}).content)
    alone = tmp_path / "alone.tar"
    alone.write_bytes(b"".join(docker_api.get_image(ids[one])))
    for name in (one, two):
        docker_api.remove_image(name)
    loaded = driver.change(name=two, load={"path": str(both)})
    assert actions(loaded) == ["load"] and loaded["image"]["id"] == ids[two]
    driver.again(name=one, load={"path": str(both)})
    # An archive of an image without a name, and an image that is here under another one.
    named = driver.change(name=scratch("named"), load={"path": str(alone)})
    assert actions(named) == ["tag"] and named["image"]["id"] == ids[one]
    driver.refused("load.path", "2 images", one, name=scratch("other"), load={"path": str(both)})


def test_tag_and_absent(driver, docker_api, base_image, scratch) -> None:
    image, guest = import_image(docker_api, scratch("a") + ":1", scratch("x")), scratch("guest")
    named = driver.change(name=scratch("b") + ":2", tag=image)
    assert named["image"]["tags"] == [scratch("a") + ":1", scratch("b") + ":2"]
    driver.again(name=scratch("b") + ":2", tag=scratch("a") + ":1")
    driver.change(name=scratch("b") + ":2", tag=base_image)
    driver.change(name=scratch("b") + ":2", tag=image[7:])
    docker_api.create_container(image, name=guest, command=["true"])
    assert actions(driver.change(name=scratch("b") + ":2", state="absent")) == ["untag"]
    driver.refused("in use", guest, "force=true", name=scratch("a") + ":1", state="absent")
    assert actions(driver.change(name=scratch("a") + ":1", state="absent", force=True)) == ["remove"]
    docker_api.remove_container(guest, force=True)


def test_pull_by_digest(driver, docker_api, registry, base_image) -> None:
    login = {"registry_username": registry.auth["username"], "registry_password": registry.auth["password"]}
    tagged = registry.push(base_image, "kt/digest:1")
    digest = docker_api.inspect_distribution(tagged, auth_config=registry.auth)["Descriptor"]["digest"]
    pinned = f"{tagged.rpartition(':')[0]}@{digest}"
    try:
        pulled = driver.change(name=pinned, **login)
        assert actions(pulled) == ["pull"] and pinned in [
            f"{tagged.rpartition(':')[0]}@{each}" for each in pulled["image"]["digests"]
        ]
        driver.again(name=pinned, pull="always")
        driver.change(name=tagged, tag=base_image)
    finally:
        assert driver.change(name=pinned, state="absent")["image"] is None
        driver.run(name=tagged, state="absent")


def test_the_registry_password_is_shown_nowhere(registry, base_image) -> None:
    name = registry.push(base_image, "kt/secret:1")
    args = {
        "name": name,
        "registry_username": registry.auth["username"],
        "registry_password": registry.auth["password"],
    }
    pulled = run_module("kraal.virt.docker_image", args, diff=True, verbosity=3)
    removed = run_module("kraal.virt.docker_image", {**args, "state": "absent"}, diff=True, verbosity=3)
    assert pulled.changed and removed.changed, pulled.msg + removed.msg
    for result in (pulled, removed):
        assert registry.auth["password"] not in result.stdout + result.stderr


@pytest.mark.parametrize(
    ("words", "args"),
    [
        (["name", "UPPER"], {"name": "UPPER:1"}),
        (["name", "id"], {"name": "sha256:" + "0" * 64}),
        (["name", "name with a tag"], {"name": "a@sha256:" + "0" * 64, "tag": "b"}),
        (["import.path", "/nowhere.tar"], {"import": {"path": "/nowhere.tar"}}),
        (["import.path", "tar archive"], {"import": {"path": "/etc/passwd"}}),
        (["import.path", "not a file"], {"import": {"path": "/etc"}}),
        (["import.checksum", "SHA-256"], {"import": {"path": "/x", "checksum": "abc"}}),
        (["import.env", "usable key"], {"import": {"path": "/x", "checksum": "0" * 64, "env": {"a b": "c"}}}),
        (["import", "line break"], {"import": {"path": "/x", "checksum": "0" * 64, "env": {"a": "b\nUSER root"}}}),
        (["import.expose", "http"], {"import": {"path": "/x", "checksum": "0" * 64, "expose": ["http"]}}),
        (["build.path", "/nowhere"], {"build": {"path": "/nowhere"}}),
        (["build.dockerfile", "Dockerfile"], {"build": {"path": "/etc/apt"}}),
        (["build.dockerfile", "../passwd"], {"build": {"path": "/etc/apt", "dockerfile": "../passwd"}}),
        (["load.path", "holds no saved images"], {"load": {"path": "<tar>"}}),
        (["tag", "kt-nosuch:1", "does not exist"], {"tag": "kt-nosuch:1"}),
        (["tag", "kt-latest", "It is the image to give the name to", "the name is "], {"tag": "kt-latest"}),
        (["load", "together", "tag"], {"tag": "a:1", "load": {"path": "/x"}}),
        (["pull", "tag"], {"tag": "a:1", "pull": "always"}),
        (["import", "absent"], {"state": "absent", "import": {"path": "/x"}}),
    ],
)
def test_bad_input(driver, scratch, archive, words, args) -> None:
    if args.get("load", {}).get("path") == "<tar>":
        args = {"load": {"path": str(archive)}}
    driver.refused(*words, **{"name": scratch("i") + ":1", **args})
