# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""base_image with the real mmdebstrap; the bookkeeping around it with a stand-in that packs a file in no time."""

from __future__ import annotations

import json
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.ansible_runner import Result, run_module
from tests.support.module_process import ModuleProcess, module_process

MODULE = "kraal.virt.base_image"

#: Packs its arguments; ends as it is told, or waits with its first words said. Its target stands before the source of packages, if there is one.
STAND_IN = """#!/usr/bin/python3
import os, sys, tarfile, time
target = next(word for word in sys.argv if word.endswith(".tar"))
if os.environ.get("KT_SAY"):
    print(os.environ["KT_SAY"], file=sys.stderr)
    sys.exit(1)
with tarfile.open(target, "w") as tar:
    tar.addfile(tarfile.TarInfo("etc"))
if os.environ.get("KT_WAIT"):
    time.sleep(60)
"""


@pytest.fixture
def directory(tmp_path) -> Path:
    return tmp_path / "images"


@pytest.fixture
def quick(directory, tmp_path) -> Callable[..., Result]:
    """Runs the module with the stand-in."""
    program = tmp_path / "bin" / "mmdebstrap"
    program.parent.mkdir()
    program.write_text(STAND_IN)
    program.chmod(0o755)

    def run(check: bool = False, env: dict[str, str] | None = None, **args: object) -> Result:
        path = {"PATH": f"{program.parent}:{os.environ['PATH']}"}
        return module_process(MODULE, {"name": "kt", "directory": str(directory), **args}, check=check, diff=True, env={**path, **(env or {})})

    return run


def do(run: Callable[..., Result], **args: object) -> Result:
    """Check, do, and again: the check says what is done and changes nothing, and the second time there is nothing to do."""
    checked = run(check=True, **args)
    done = run(**args)
    assert not checked.failed and not done.failed, checked.msg + done.msg
    assert (checked["plan"], checked["diff"], checked.changed) == (done["plan"], done["diff"], done.changed)
    for check in (True, False):
        again = run(check=check, **args)
        assert not again.failed and not again.changed and again["plan"] == [], again.json
        assert again["base_image"] == done["base_image"]
    return done


def test_a_real_one(tmp_path, directory, docker_api, scratch) -> None:
    """Built from this host's own package sources; the same request gives the same bytes, and a guest runs on it."""
    args = {
        "name": "kt",
        "packages": ["python3-minimal", "passwd"],
        "variant": "essential",
        "user": "kt",
        "ssh_authorized_keys": ["ssh-ed25519 AAAAkt kt@test"],
        "commands": [["touch", "/made with a space"], "mkdir /words"],
    }
    built = do(lambda check=False, **more: module_process(MODULE, {**args, **more}, check=check, diff=True), directory=str(directory))
    image = built["base_image"]
    other = module_process(MODULE, {**args, "directory": str(tmp_path / "other")})
    assert other["base_image"]["checksum"] == image["checksum"], "the same request on the same day"
    assert sorted(path.name for path in directory.iterdir()) == sorted([Path(image["path"]).name, Path(image["path"]).stem + ".json"])
    with tarfile.open(image["path"]) as tar:
        names = {member.name: member for member in tar}
        keys = tar.extractfile("./home/kt/.ssh/authorized_keys")
        assert keys is not None and keys.read() == b"ssh-ed25519 AAAAkt kt@test\n"
        owner = (names["./home/kt/.ssh/authorized_keys"].uid, names["./home/kt/.ssh/authorized_keys"].mode)
    assert owner == (1000, 0o600) and {"./made with a space", "./words", "./usr/bin/python3"} <= set(names)
    imported = {"name": scratch("base"), "import": {"path": image["path"], "checksum": image["checksum"], "labels": {"kt": scratch.prefix}}}
    assert run_module("kraal.virt.docker_image", imported).changed
    guest = docker_api.create_container(scratch("base"), name=scratch("guest"), command=["python3", "-c", "print('it runs')"])
    docker_api.start(guest)
    assert docker_api.wait(guest)["StatusCode"] == 0
    assert docker_api.logs(guest) == b"it runs\n"


def test_killed_in_the_middle(directory, quick) -> None:
    """mmdebstrap ends with the module, and the next run takes away what is left."""
    process = ModuleProcess(MODULE, {"name": "kt", "directory": str(directory)}).start()
    while not list(directory.glob(".building-kt-*/mmdebstrap.*")):
        assert process.process.poll() is None, process.result().msg
        os.sched_yield()
    process.kill()
    process.result()
    (work,) = directory.glob(".building-kt-*")
    checked = quick(check=True)
    assert [step["action"] for step in checked["plan"]] == ["clean", "build"] and work.exists()
    done = quick()
    assert done["plan"] == checked["plan"], done.json
    assert not work.exists() and len(list(directory.iterdir())) == 2
    assert not [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if str(directory) in line]


def test_a_request_is_known_again(directory, quick) -> None:
    first = do(quick, packages=["b", "a", "a"], suite="bookworm")
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
        changed = do(quick, **args)
        assert key in changed["plan"][0]["after"], key
    # All are kept, and each is found again.
    assert not quick(packages=["a", "b"], suite="bookworm").changed
    assert quick(packages=["a", "b"], suite="bookworm")["base_image"] == first["base_image"]
    assert len(list(directory.glob("*.tar"))) == len(options) + 1
    purged = do(quick, packages=["a", "b"], suite="bookworm", purge=["builds"])
    assert {step["action"] for step in purged["plan"]} == {"remove"} and purged["base_image"] == first["base_image"]
    assert [path.name for path in directory.glob("*.tar")] == [Path(first["base_image"]["path"]).name]
    replaced = do(quick, packages=["c"], suite="bookworm", purge=["builds"])
    assert [step["action"] for step in replaced["plan"]] == ["build", "remove"]
    gone = do(quick, state="absent")
    assert [step["action"] for step in gone["plan"]] == ["remove"] and gone["base_image"] is None
    assert list(directory.iterdir()) == []


def test_another_name_is_another_image(directory, quick) -> None:
    do(quick, name="kt")
    do(quick, name="kt-other")
    do(quick, name="kt", state="absent")
    assert quick(check=True, name="kt-other").changed is False


def test_what_is_not_whole_is_built_again(directory, quick) -> None:
    path = Path(do(quick)["base_image"]["path"])
    for spoil in (
        lambda: path.write_bytes(b"short"),
        lambda: path.with_suffix(".json").write_text("{"),
        lambda: path.with_suffix(".json").unlink(),
        path.unlink,
    ):
        spoil()
        assert [step["action"] for step in do(quick)["plan"]] == ["build"]
    assert json.loads(path.with_suffix(".json").read_text())["size"] == path.stat().st_size


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("E: The following signatures couldn't be verified: NO_PUBKEY 6ED0E7B82643E131", ["NO_PUBKEY", "debian-archive-keyring", "keyring"]),
        ("E: Unable to locate package kt-nosuch", ["kt-nosuch", "packages"]),
        ("tar: write error: No space left on device", ["No space", "Free space"]),
    ],
)
def test_a_build_that_fails_says_why_and_leaves_nothing(directory, quick, said, words) -> None:
    result = quick(env={"KT_SAY": said})
    assert result.failed and not [word for word in words if word not in result.msg], result.msg
    assert list(directory.iterdir()) == []


def test_a_mirror_that_does_not_answer(directory) -> None:
    result = module_process(MODULE, {"name": "kt", "directory": str(directory), "suite": "bookworm", "mirror": "http://127.0.0.1:9/debian"})
    assert result.failed and "127.0.0.1" in result.msg and "mirror" in result.msg, result.msg
    assert list(directory.iterdir()) == []


def test_without_mmdebstrap(directory, tmp_path) -> None:
    result = module_process(MODULE, {"name": "kt", "directory": str(directory)}, env={"PATH": str(tmp_path)})
    assert result.failed and "mmdebstrap" in result.msg and "Install the package" in result.msg
    assert not directory.exists()


@pytest.mark.parametrize(
    ("words", "args"),
    [
        (["name", "slash"], {"name": "a/b"}),
        (["name", "two dots"], {"name": "a..b"}),
        (["name", "dash"], {"name": "-a"}),
        (["suite", "no suite"], {"suite": "no suite"}),
        (["packages", "--bad"], {"packages": ["--bad"]}),
        (["user", "Root"], {"user": "Root"}),
        (["commands", "cannot be split"], {"commands": ["echo 'a"]}),
        (["mirror", "credentials"], {"mirror": "http://kt:kt-secret@192.0.2.1/debian"}),
    ],
)
def test_bad_input(quick, directory, words, args) -> None:
    for check in (True, False):
        result = quick(check=check, **args)
        assert result.failed and not [word for word in words if word not in result.msg], result.msg
        assert "kt-secret" not in result.stdout
    assert not directory.exists()
