# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which base images a host gets as files, what has to be brought to it, and how files are laid down."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.kraal.virt.plugins.module_utils.engine.identity import GuestId
from ansible_collections.kraal.virt.plugins.module_utils.engine.plan import Step
from ansible_collections.kraal.virt.plugins.module_utils.engine.reconcile import Job, Outcome, reconcile
from ansible_collections.kraal.virt.plugins.module_utils.fleet_resources import build_wants, file_wants, lacking, placed
from ansible_collections.kraal.virt.plugins.module_utils.images.base_image import BaseImages
from ansible_collections.kraal.virt.plugins.module_utils.images.base_image_files import BaseImageFiles

ARCHIVE = {"name": "a", "path": "/v/a-1.tar", "checksum": "sha256:1", "kernel": "", "initrd": ""}
DISK = {
    "name": "d",
    "path": "/v/d-2.qcow2",
    "checksum": "sha256:2",
    "kernel": "/v/d-2.vmlinuz",
    "initrd": "/v/d-2.initrd",
}
NOT_BUILT = {"name": "n", "path": "/v/n-3.tar", "checksum": ""}
IMAGES = [
    {"name": "a", "image": "kt/a:1", "build": {}},
    {"name": "d", "image": None, "build": {}},
    {"name": "n", "image": None, "build": {}},
]
PLACED = placed(IMAGES, [ARCHIVE, DISK, NOT_BUILT, {**ARCHIVE, "name": "not asked for"}])


def test_what_is_not_built_is_passed_over() -> None:
    assert [(each["name"], each["docker_image"]) for each in PLACED] == [("a", "kt/a:1"), ("d", "")]


@pytest.mark.parametrize(
    ("backends", "image", "files"),
    [
        (["docker"], "kt/a:1", []),
        (["docker", "lxc"], "kt/a:1", ["a"]),
        (["docker"], None, ["a"]),
        (["kvm"], "kt/a:1", ["d"]),
        (["lxc", "kvm"], "kt/a:1", ["a", "d"]),
        ([], None, ["a"]),
    ],
)
def test_which_files_guests_take(backends: list[str], image: str | None, files: list[str]) -> None:
    images = placed([{**IMAGES[0], "image": image}, *IMAGES[1:]], [ARCHIVE, DISK])
    assert [want.name for want in file_wants(images, backends)] == files


@pytest.mark.parametrize(
    ("steps", "here", "files"),
    [
        ({}, [], []),
        ({"d": ["copy", "set"]}, [], ["/v/d-2.qcow2", "/v/d-2.vmlinuz", "/v/d-2.initrd", "/v/d-2.json"]),
        ({"d": ["set"]}, [], []),
        ({"kt/a:1": ["import"]}, [], ["/v/a-1.tar", "/v/a-1.json"]),
        ({"kt/a:1": ["import"]}, ["/v/a-1.tar"], []),
        ({"kt/a:1": ["tag"]}, [], []),
        ({"net": ["create"]}, [], []),
    ],
)
def test_what_has_to_be_brought(steps: dict[str, list[str]], here: list[str], files: list[str]) -> None:
    outcomes = [
        Outcome(GuestId("docker", "", name), steps=[Step(name, action) for action in actions])
        for name, actions in steps.items()
    ]
    assert lacking(PLACED, outcomes, here) == files


def build(directory: Path, mode: int = 0o600) -> dict[str, Any]:
    """What a build leaves, and what is returned of it."""
    built = {**DISK, **{key: str(directory / Path(str(DISK[key])).name) for key in ("path", "kernel", "initrd")}}
    beside = {key: {"file": Path(built[key]).name, "size": 2} for key in ("kernel", "initrd")}
    text = {
        "name": "d",
        "file": "d-2.qcow2",
        "request": {"format": "qcow2"},
        "checksum": built["checksum"],
        "size": 2,
        "beside": beside,
    }
    for key in ("path", "kernel", "initrd"):
        Path(built[key]).write_text("kt", encoding="utf-8")
    (directory / "d-2.json").write_text(json.dumps(text), encoding="utf-8")
    for path in directory.glob("d-2.*"):
        path.chmod(mode)
    return built


def test_files_are_closed_and_named(tmp_path: Path) -> None:
    (tmp_path / "d.qcow2").symlink_to("d-1.qcow2")
    (tmp_path / "d.initrd").write_text("somebody's", encoding="utf-8")
    wants = file_wants(placed(IMAGES, [build(tmp_path, 0o644)]), ["kvm"])

    def run(check: bool) -> list[str]:
        (outcome,) = reconcile([Job(BaseImageFiles(str(tmp_path)), wants)], check=check)
        assert outcome.error is None
        return [step.key for step in outcome.steps]

    keys = [
        "mode[d-2.initrd]",
        "mode[d-2.json]",
        "mode[d-2.qcow2]",
        "mode[d-2.vmlinuz]",
        "links[d.qcow2]",
        "links[d.vmlinuz]",
        "links[d.initrd]",
    ]
    assert run(True) == keys and (tmp_path / "d.qcow2").readlink() == Path("d-1.qcow2")
    assert run(False) == keys and run(False) == []
    assert {ending: str((tmp_path / f"d.{ending}").readlink()) for ending in ("qcow2", "vmlinuz", "initrd")} == {
        ending: f"d-2.{ending}" for ending in ("qcow2", "vmlinuz", "initrd")
    }
    assert {path.stat().st_mode & 0o777 for path in tmp_path.glob("d-2.*")} == {0o600}


@pytest.mark.parametrize("harm", ["missing", "short", "other"])
def test_a_file_that_is_not_what_was_built_is_to_be_brought(harm: str, tmp_path: Path) -> None:
    built = build(tmp_path)
    if harm == "missing":
        Path(built["kernel"]).unlink()
    elif harm == "short":
        Path(built["path"]).write_text("k", encoding="utf-8")
    else:
        built["checksum"] = "sha256:3"
    wants = file_wants(placed(IMAGES, [built]), ["kvm"])
    (outcome,) = reconcile([Job(BaseImageFiles(str(tmp_path)), wants)], check=True)
    assert outcome.steps[0].as_dict()["action"] == "copy" and outcome.steps[0].key == "files[d-2.qcow2]"
    (outcome,) = reconcile([Job(BaseImageFiles(str(tmp_path)), wants)], check=False)
    assert "d-2.qcow2 is not on this host. Copy it here from the host that built it" in str(outcome.error)


def test_the_names_go_with_the_builds(tmp_path: Path) -> None:
    build(tmp_path)
    (tmp_path / "d.qcow2").symlink_to("d-2.qcow2")
    (tmp_path / "other.tar").symlink_to("none")
    (want,) = build_wants([{"name": "d", "build": {}}], str(tmp_path), set())
    gone = type(want)(**{**want.__dict__, "state": "absent"})
    (outcome,) = reconcile([Job(BaseImages(str(tmp_path)), [gone])], check=False)
    assert outcome.error is None and [step.key for step in outcome.steps] == ["builds[d-2.qcow2]", "links[d.qcow2]"]
    assert [path.name for path in tmp_path.iterdir()] == ["other.tar"]
