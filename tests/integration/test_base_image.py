# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""base_image with the real mmdebstrap; the bookkeeping around it with a stand-in that packs a file in no time."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tarfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.ansible_runner import Result, run_module
from tests.support.module_process import ModuleProcess, module_environment, module_process
from tests.support.paths import CACHE, SUPPORT
from tests.support.stand_in import stand_in
from tests.support.warm_module import WarmModule

SPREAD = True

MODULE = "kraal.virt.base_image"


@pytest.fixture
def directory(tmp_path) -> Path:
    return tmp_path / "images"


@pytest.fixture(scope="module")
def sources() -> str:
    """What apt says of this machine's package sources when base_image asks it, which takes longer than all else in a
    build by the stand-in.
    """
    form = "$(ORIGIN)|$(REPO_URI)|$(RELEASE)|$(COMPONENT)|$(SIGNED_BY)"
    return subprocess.run(
        ["apt-get", "indextargets", "--format", form, "Created-By: Packages"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout


@pytest.fixture(scope="module")
def warm() -> Iterator[WarmModule]:
    with WarmModule(MODULE) as module:
        yield module


@pytest.fixture
def quick(directory, tmp_path, sources, warm) -> Callable[..., Result]:
    """Runs the module with the stand-in, and with one for apt-get that knows one answer."""
    program = stand_in(tmp_path / "bin")
    apt = program.with_name("apt-get")
    apt.write_text(f"#!/bin/sh\ncat << 'END'\n{sources}END\n")
    apt.chmod(0o755)

    def run(check: bool = False, env: dict[str, str] | None = None, **args: object) -> Result:
        given, environment = (
            {"name": "kt", "directory": str(directory), **args},
            {"PATH": f"{program.parent}:{os.environ['PATH']}", **(env or {})},
        )
        # What Python itself reads, it reads at its start.
        if "PYTHONPATH" in environment:
            return module_process(MODULE, given, check=check, diff=True, env=environment)
        return warm(given, check=check, diff=True, env=environment)

    return run


def change(run: Callable[..., Result], **args: object) -> Result:
    """Check, do, and again: the check says what is done and changes nothing, and the second time there is nothing to
    do.
    """
    checked = run(check=True, **args)
    done = run(**args)
    assert not checked.failed and not done.failed, checked.msg + done.msg
    assert (checked["plan"], checked["diff"], checked.changed) == (done["plan"], done["diff"], done.changed)
    for check in (True, False):
        again = run(check=check, **args)
        assert not again.failed and not again.changed and again["plan"] == [], again.json
        assert again["base_image"] == done["base_image"]
    return done


#: The time that an earlier run has built the image below for, and what came of it.
EARLIER = CACHE / "base_image.json"


def test_a_real_one(tmp_path, directory, docker_api, scratch) -> None:
    """Built from this host's own package sources; the same request gives the same bytes, at whatever time, and a
    guest runs on it.

    Those of an earlier run stand for a second build, unless there have been other packages or other sources since.
    """
    earlier = json.loads(EARLIER.read_text(encoding="utf-8")) if EARLIER.exists() else {}
    epoch = earlier.get("epoch", int(time.time()) - 3 * 86400)
    env = {"SOURCE_DATE_EPOCH": str(epoch)}
    args = {
        "name": "kt",
        "packages": ["python3-minimal", "passwd"],
        "variant": "essential",
        "user": "kt",
        "ssh_authorized_keys": ["ssh-ed25519 AAAAkt kt@test"],
        "commands": [["touch", "/made with a space"], "mkdir /words"],
    }
    built = change(
        lambda check=False, **more: module_process(MODULE, {**args, **more}, check=check, diff=True, env=env),
        directory=str(directory),
    )
    image = built["base_image"]
    if earlier.get("checksum") != image["checksum"]:
        other = module_process(MODULE, {**args, "directory": str(tmp_path / "other")}, env=env)
        assert other["base_image"]["checksum"] == image["checksum"], "the same packages, and nothing of this moment"
        fresh = tmp_path / "fresh.json"
        fresh.write_text(json.dumps({"epoch": epoch, "checksum": image["checksum"]}), encoding="utf-8")
        shutil.move(fresh, EARLIER)
    assert sorted(path.name for path in directory.iterdir()) == sorted(
        [Path(image["path"]).name, Path(image["path"]).stem + ".json"]
    )
    with tarfile.open(image["path"]) as tar:
        names = {member.name: member for member in tar}
        keys = tar.extractfile("./home/kt/.ssh/authorized_keys")
        assert keys is not None and keys.read() == b"ssh-ed25519 AAAAkt kt@test\n"
        assert max(member.mtime for member in names.values()) == epoch
        shadow = tar.extractfile("./etc/shadow")
        assert shadow is not None and {line.split(b":")[2] for line in shadow} == {b"%d" % (epoch // 86400)}
        owner = (names["./home/kt/.ssh/authorized_keys"].uid, names["./home/kt/.ssh/authorized_keys"].mode)
    assert owner == (1000, 0o600) and {"./made with a space", "./words", "./usr/bin/python3"} <= set(names)
    imported = {
        "name": scratch("base"),
        "import": {"path": image["path"], "checksum": image["checksum"], "labels": {"kt": scratch.prefix}},
    }
    assert run_module("kraal.virt.docker_image", imported).changed
    guest = docker_api.create_container(
        scratch("base"), name=scratch("guest"), command=["python3", "-c", "print('it runs')"]
    )
    docker_api.start(guest)
    assert docker_api.wait(guest)["StatusCode"] == 0
    assert docker_api.logs(guest) == b"it runs\n"


@pytest.mark.parametrize(("form", "place"), [("tar", "mmdebstrap.*"), ("raw", "root/dev/pts")])
def test_killed_in_the_middle(directory, quick, form, place) -> None:
    """mmdebstrap ends with the module, and the next run takes away what is left."""
    args = {"name": "kt", "format": form}
    process = ModuleProcess(MODULE, {**args, "directory": str(directory)}).start()
    while not list(directory.glob(f".building-kt-*/{place}")):
        assert process.process.poll() is None, process.result().msg
        os.sched_yield()
    process.kill()
    process.result()
    (work,) = directory.glob(".building-kt-*")
    checked = quick(check=True, **args)
    assert [step["action"] for step in checked["plan"]] == ["clean", "build"] and work.exists()
    done = quick(**args)
    assert done["plan"] == checked["plan"], done.json
    assert not work.exists() and len(list(directory.iterdir())) == {"tar": 2, "raw": 4}[form]
    assert not [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if str(directory) in line]


def test_a_request_is_known_again(directory, quick) -> None:
    first = change(quick, packages=["b", "a", "a"], suite="bookworm")
    assert [step["action"] for step in first["plan"]] == ["build"]
    assert not quick(packages=["a", "b"], suite="bookworm", variant="minbase").changed
    options = {
        "packages": ["a"],
        "suite": "trixie",
        "variant": "apt",
        "components": ["main", "contrib"],
        "architecture": "arm64",
        "mirror": "http://192.0.2.1/debian",
        "keyring": "/usr/share/keyrings/kt.gpg",
        "user": "kt",
        "ssh_authorized_keys": ["ssh-ed25519 AAAA kt"],
        "commands": [["true"]],
        "serial": "2",
    }
    args: dict[str, object] = {"packages": ["a", "b"], "suite": "bookworm"}
    for key, value in options.items():
        args[key] = value
        changed = change(quick, **args)
        assert key in changed["plan"][0]["after"], key
    # All are kept, and each is found again.
    assert not quick(packages=["a", "b"], suite="bookworm").changed
    assert quick(packages=["a", "b"], suite="bookworm")["base_image"] == first["base_image"]
    assert len(list(directory.glob("*.tar"))) == len(options) + 1
    purged = change(quick, packages=["a", "b"], suite="bookworm", purge=["builds"])
    assert {step["action"] for step in purged["plan"]} == {"remove"} and purged["base_image"] == first["base_image"]
    assert [path.name for path in directory.glob("*.tar")] == [Path(first["base_image"]["path"]).name]
    replaced = change(quick, packages=["c"], suite="bookworm", purge=["builds"])
    assert [step["action"] for step in replaced["plan"]] == ["build", "remove"]
    gone = change(quick, state="absent")
    assert [step["action"] for step in gone["plan"]] == ["remove"] and gone["base_image"] is None
    assert list(directory.iterdir()) == []


def test_another_name_is_another_image(directory, quick) -> None:
    change(quick, name="kt")
    change(quick, name="kt-other")
    change(quick, name="kt", state="absent")
    assert quick(check=True, name="kt-other").changed is False


def test_what_is_not_whole_is_built_again(directory, quick) -> None:
    path = Path(change(quick)["base_image"]["path"])
    for spoil in (
        lambda: path.write_bytes(b"short"),
        lambda: path.with_suffix(".json").write_text("{"),
        lambda: path.with_suffix(".json").unlink(),
        path.unlink,
    ):
        spoil()
        assert [step["action"] for step in change(quick)["plan"]] == ["build"]
    assert json.loads(path.with_suffix(".json").read_text())["size"] == path.stat().st_size


def modes(directory: Path) -> set[int]:
    return {path.stat().st_mode & 0o777 for path in directory.iterdir()}


def test_nobody_else_reads_what_passwords_are_made_into(directory, quick) -> None:
    old = {
        "suite": "bookworm",
        "commands": [["sh", "-c", "echo root:kt-hush | chpasswd"], "usermod -p kt-hush root", ["true"]],
    }
    first = change(quick, **old)
    assert directory.stat().st_mode & 0o777 == 0o711 and modes(directory) == {0o600}
    path = Path(first["base_image"]["path"])
    assert "hush" not in path.with_suffix(".json").read_text() and "hush" not in str(first["base_image"])
    # As an earlier version left it: everything for everybody, the commands as they were written, in a directory that is
    # somebody's.
    described = json.loads(path.with_suffix(".json").read_text())
    path.with_suffix(".json").write_text(
        json.dumps({**described, "request": {**described["request"], "commands": [["echo", "kt-hush"]]}})
    )
    for each in (path, path.with_suffix(".json")):
        each.chmod(0o644)
    directory.chmod(0o755)
    closed = change(quick, **old)
    assert [(step["action"], step["before"], step["after"]) for step in closed["plan"]] == [("set", "0644", "0600")] * 2
    assert modes(directory) == {0o600} and directory.stat().st_mode & 0o777 == 0o755
    assert "hush" not in path.with_suffix(".json").read_text()
    # What is another request, and what of it is another.
    other = change(quick, **{**old, "commands": [["sh", "-c", "echo root:kt-hush2 | chpasswd"], ["true"]]})
    assert set(other["plan"][0]["after"]) == {"commands"} and "hush" not in str(other["plan"])
    assert set(change(quick, **old, serial="2")["plan"][0]["after"]) == {"serial", "commands"}
    assert set(change(quick, **old, serial="3")["plan"][0]["after"]) == {"serial"}


#: The small one of the two: a raw disk is read as a whole for its checksum.
DISK = {"format": "qcow2", "suite": "bookworm", "disk_size": "512MiB", "architecture": "amd64"}
LEFT = {"qcow2", "vmlinuz", "initrd", "json"}


def files(directory: Path) -> set[str]:
    """What is in a directory, by its endings."""
    return {path.name.rpartition(".")[2] for path in directory.iterdir()}


def test_a_disk_is_known_again(directory, quick) -> None:
    raw = {**DISK, "format": "raw"}
    first = change(quick, **raw)
    image = first["base_image"]
    assert files(directory) == {"raw", "vmlinuz", "initrd", "json"} and len(list(directory.iterdir())) == 4
    assert Path(image["path"]).stat().st_size == 512 << 20 and Path(image["path"]).stat().st_blocks * 512 < 64 << 20, (
        "sparse"
    )
    assert (Path(image["kernel"]).stat().st_size, Path(image["initrd"]).stat().st_size) == (70, 80)
    assert image["command_line"].startswith("root=UUID=") and image["checksum"].startswith("sha256:")
    assert not quick(**raw, seed_reader="kraal", kernel="linux-image-cloud-amd64", variant="minbase").changed
    args: dict[str, object] = dict(raw)
    for key, value in {
        "format": "qcow2",
        "disk_size": "600MiB",
        "seed_reader": "none",
        "kernel": "linux-image-amd64",
    }.items():
        args[key] = value
        changed = change(quick, **args)
        assert key in changed["plan"][0]["after"], key
    assert Path(changed["base_image"]["path"]).read_bytes()[:4] == b"QFI\xfb"
    assert Path(changed["base_image"]["path"]).suffix == ".qcow2"
    assert quick(**raw)["base_image"] == image
    archive = change(quick, suite="bookworm", architecture="amd64")
    assert {archive["base_image"][key] for key in ("kernel", "initrd", "command_line")} == {""}
    purged = change(quick, **raw, purge=["builds"])
    assert [step["action"] for step in purged["plan"]] == ["remove"] * 5
    assert files(directory) == {"raw", "vmlinuz", "initrd", "json"} and len(list(directory.iterdir())) == 4
    change(quick, state="absent")
    assert list(directory.iterdir()) == []


def test_a_disk_that_is_not_whole(directory, quick) -> None:
    """Is built again if it is asked for, and taken away if another one is, or none."""
    image = change(quick, **DISK)["base_image"]
    for key in ("path", "kernel", "initrd"):
        Path(image[key]).unlink()
        assert [step["action"] for step in change(quick, **DISK)["plan"]] == ["build"], key
    Path(image["path"]).unlink()
    other = change(quick, **DISK, serial="2")
    assert [step["action"] for step in other["plan"]] == ["clean", "build"] and len(list(directory.iterdir())) == 4
    Path(other["base_image"]["kernel"]).write_bytes(b"short")
    assert [step["action"] for step in change(quick, state="absent")["plan"]] == ["clean"]
    assert list(directory.iterdir()) == []


@pytest.mark.shows("crashed")
@pytest.mark.parametrize("state", ["present", "absent"])
def test_a_disk_after_a_crash_at_any_moment(directory, quick, tmp_path, state) -> None:
    """Killed before each thing that it does to the host in turn; a plain run ends it and leaves nothing over."""
    crash, log = tmp_path / "crash.json", tmp_path / "crash.log"
    hook = {
        "PYTHONPATH": os.pathsep.join([str(SUPPORT / "crash_hook"), module_environment()["PYTHONPATH"]]),
        "KT_CRASH": str(crash),
    }
    args: dict[str, object] = dict(DISK) if state == "present" else {"state": "absent"}

    assert not quick(**DISK).failed
    directory.rename(tmp_path / "whole")

    def crashed(at: int) -> list[str]:
        shutil.rmtree(directory, ignore_errors=True)
        if state == "absent":
            directory.mkdir()
            for path in (tmp_path / "whole").iterdir():
                (directory / path.name).hardlink_to(path)
        log.write_text("")
        crash.write_text(json.dumps({"roots": [str(directory)], "log": str(log), "at": at, "how": "before"}))
        quick(env=hook, **args)
        return log.read_text().splitlines()

    moments = crashed(0)
    # Of what happens in the directory of the build alone, and of the programs that work there, the first and the last
    # of a kind stand for all.
    kinds: dict[str, list[int]] = {}
    for number, moment in enumerate(moments, 1):
        event, *paths = moment.split()
        if event.startswith("apt-") or event == "unshare":
            continue  # They only ask.
        outside = event.startswith("os.") and any(
            path.startswith(str(directory)) and "/.building-" not in path for path in paths
        )
        kinds.setdefault(str(number) if outside else event, []).append(number)
    chosen = sorted({number for numbers in kinds.values() for number in (numbers[0], numbers[-1])})
    assert len(chosen) >= (12 if state == "present" else 4), moments
    for at in chosen:
        assert len(crashed(at)) == at
        result = quick(**args)
        assert not result.failed, f"after {moments[at - 1]}: {result.msg}"
        left = LEFT if state == "present" else set()
        assert files(directory) == left and len(list(directory.iterdir())) == len(left), f"after {moments[at - 1]}"


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (
            "E: The following signatures couldn't be verified: NO_PUBKEY 6ED0E7B82643E131",
            ["NO_PUBKEY", "debian-archive-keyring", "keyring"],
        ),
        ("E: Unable to locate package kt-nosuch", ["kt-nosuch", "packages"]),
        ("tar: write error: No space left on device", ["No space", "Free space"]),
    ],
)
def test_a_build_that_fails_says_why_and_leaves_nothing(directory, quick, said, words) -> None:
    result = quick(env={"KT_SAY": said})
    assert result.failed and not [word for word in words if word not in result.msg], result.msg
    assert list(directory.iterdir()) == []


def test_a_mirror_that_does_not_answer(directory) -> None:
    result = module_process(
        MODULE, {"name": "kt", "directory": str(directory), "suite": "bookworm", "mirror": "http://127.0.0.1:9/debian"}
    )
    assert result.failed and "127.0.0.1" in result.msg and "mirror" in result.msg, result.msg
    assert list(directory.iterdir()) == []


def test_a_time_that_is_none(directory, quick) -> None:
    for check in (True, False):
        result = quick(check=check, env={"SOURCE_DATE_EPOCH": "yesterday"})
        assert result.failed and "yesterday" in result.msg and "seconds since 1970" in result.msg, result.msg
    assert not directory.exists()


def test_without_mmdebstrap(directory, tmp_path) -> None:
    result = module_process(MODULE, {"name": "kt", "directory": str(directory)}, env={"PATH": str(tmp_path)})
    assert result.failed and "mmdebstrap" in result.msg and "Install the package" in result.msg
    assert not directory.exists()


def test_without_what_makes_disks(directory, quick, tmp_path) -> None:
    result = quick(**{**DISK, "format": "qcow2"}, env={"PATH": str(tmp_path / "bin")})
    assert result.failed and "qemu-img" in result.msg and "Install the package qemu-utils" in result.msg
    assert not directory.exists()


@pytest.mark.parametrize(
    ("words", "args"),
    [
        (["disk_size", "archive", "qcow2"], {"disk_size": "4GiB"}),
        (["seed_reader", "archive"], {"format": "tar", "seed_reader": "none"}),
        (["kernel", "archive"], {"kernel": "linux-image-amd64"}),
        (["disk_size", "512MiB"], {**DISK, "disk_size": "100MiB"}),
        (["disk_size", "2TiB"], {**DISK, "disk_size": "3TiB"}),
        (["disk_size", "MiB"], {**DISK, "disk_size": "2GB"}),
        (["disk_size", "0"], {**DISK, "disk_size": "0"}),
        (["disk_size", "much"], {**DISK, "disk_size": "much"}),
        (["kernel", "--bad"], {**DISK, "kernel": "--bad"}),
        (["architecture", "arm64", "boot loader", "amd64"], {**DISK, "architecture": "arm64"}),
        (["format", "vmdk"], {"format": "vmdk"}),
        (["name", "slash"], {"name": "a/b"}),
        (["name", "two dots"], {"name": "a..b"}),
        (["name", "dash"], {"name": "-a"}),
        (["suite", "no suite"], {"suite": "no suite"}),
        (["packages", "--bad"], {"packages": ["--bad"]}),
        (["user", "Root"], {"user": "Root"}),
        (["commands", "cannot be split"], {"commands": ["echo 'a"]}),
        (["components", "control character"], {"components": ["main\n"]}),
        (["keyring", "keyring"], {"keyring": "relative.gpg"}),
        (["serial", "control character"], {"serial": "a\nb"}),
        (["ssh_authorized_keys", "control character"], {"ssh_authorized_keys": ["ssh-ed25519 AAAA\nkt"]}),
        (["mirror", "credentials"], {"mirror": "http://kt:kt-secret@192.0.2.1/debian"}),
    ],
)
@pytest.mark.shows("refused")
def test_bad_input(quick, directory, words, args) -> None:
    for check in (True, False):
        result = quick(check=check, **args)
        assert result.failed and not [word for word in words if word not in result.msg], result.msg
        assert "kt-secret" not in result.stdout
    assert not directory.exists()
