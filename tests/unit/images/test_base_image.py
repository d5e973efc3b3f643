# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The bookkeeping around a build."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.kraal.virt.plugins.module_utils.engine.spec import Spec
from ansible_collections.kraal.virt.plugins.module_utils.images import base_image
from ansible_collections.kraal.virt.plugins.module_utils.images.base_image import BASE_IMAGES, BaseImages
from ansible_collections.kraal.virt.plugins.module_utils.images.base_image_files import FILES, BaseImageFiles
from ansible_collections.kraal.virt.plugins.module_utils.images.rootfs import is_left, workplace


def wish(name: str = "debian", state: str = "present") -> Spec:
    arguments = {key: option.get("default") for key, option in BASE_IMAGES.argument_spec().items()}
    return BASE_IMAGES.read({**arguments, "name": name, "state": state, "suite": "bookworm"})


def test_what_has_its_name_is_on_the_disk(tmp_path: Path, moves: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def build(_request: Mapping[str, Any], target: Path, *_more: Any) -> None:
        target.write_bytes(b"a root file system")

    monkeypatch.setattr(base_image, "run_mmdebstrap", build)
    images, want = BaseImages(str(tmp_path), assume_tools=True), wish()
    seen = images.observe([want])
    (step,) = images.plan(want, seen)
    images.apply(want, step, seen)
    (built,) = images.observe([want]).builds["debian"]
    assert moves == [
        f"sync {built['file']}",
        "sync description",
        "move description",
        f"move {built['file']}",
        f"sync {tmp_path.name}",
    ]


def test_what_a_killed_build_of_another_name_has_left_is_cleared(tmp_path: Path) -> None:
    """Nobody may ever ask for that name again. What another build is at work in stays."""
    left = tmp_path / ".building-gone-for-good-abc12345"
    left.mkdir()
    (left / "disk.raw").write_bytes(b"much")
    images, want = BaseImages(str(tmp_path), assume_tools=True), wish("debian", "absent")
    with workplace(tmp_path, "other") as busy:
        seen = images.observe([want])
        (step,) = images.plan(want, seen)
        assert (step.action, step.key, step.before) == ("clean", "leftover", str(left))
        images.apply(want, step, seen)
        assert list(tmp_path.iterdir()) == [busy]
        assert images.plan(want, images.observe([want])) == []
    assert list(tmp_path.iterdir()) == []


def test_a_workplace_that_was_taken_away_before_it_was_held_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Path] = []

    def make(**named: Any) -> str:
        made.append(tmp_path / f".building-debian-{len(made)}")
        if made[1:]:
            made[-1].mkdir()
        return str(made[-1])

    monkeypatch.setattr(tempfile, "mkdtemp", make)
    with workplace(tmp_path, "debian") as work:
        assert work == made[1] and not is_left(work)


def test_a_link_that_a_killed_run_has_begun_is_made_over(tmp_path: Path) -> None:
    (tmp_path / ".debian.tar.kraal-new").symlink_to("old.tar")
    given = {"path": str(tmp_path / "debian-1.tar"), "checksum": "sha256:1", "kernel": "", "initrd": ""}
    want = FILES.read({"name": "debian", "state": "present", **given})
    files = BaseImageFiles(str(tmp_path))
    seen = files.observe([want])
    (step,) = [each for each in files.plan(want, seen) if each.key == "links[debian.tar]"]
    files.apply(want, step, seen)
    assert [(path.name, os.readlink(path)) for path in tmp_path.iterdir()] == [("debian.tar", "debian-1.tar")]
