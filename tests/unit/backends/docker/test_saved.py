# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An image of an archive is known again on an engine, whatever that calls it."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.kraal.virt.plugins.module_utils.backends.docker.image.saved import (
    Saved,
    saved_image,
    saved_images,
)
from ansible_collections.kraal.virt.plugins.module_utils.engine.errors import InvalidOption

LAYER, KEY = "sha256:" + "1" * 64, "a" * 64
CONFIG: dict[str, Any] = {
    "architecture": "amd64",
    "os": "linux",
    "created": "2026-11-28T10:00:00.120000000Z",
    "config": {"Env": ["PATH=/bin"], "Cmd": ["/bin/sh"], "Labels": {"a": "b"}, "Volumes": None},
    "rootfs": {"type": "layers", "diff_ids": [LAYER]},
}
#: Of Docker 28.5.2 with the store of containerd, which calls it by the digest of a manifest that no archive has.
FOUND: dict[str, Any] = {
    "Id": "sha256:" + "f" * 64,
    "Architecture": "amd64",
    "Os": "linux",
    "Created": "2026-11-28T10:00:00.12Z",
    "Config": {"Env": ["PATH=/bin"], "Cmd": ["/bin/sh"], "Labels": {"a": "b"}, "User": "", "Entrypoint": None},
    "RootFS": {"Type": "layers", "Layers": [LAYER]},
}


def archive(path: Path, *images: tuple[str, list[str] | None], folder: str = "") -> str:
    """As an engine saves it: with the configuration at DIGEST.json, or at blobs/sha256/DIGEST."""
    names = {key: f"{folder}{key}" if folder else f"{key}.json" for key, _tags in images}
    manifest = [{"Config": names[key], "RepoTags": tags, "Layers": []} for key, tags in images]
    files: dict[str, Any] = {"manifest.json": manifest, **dict.fromkeys(names.values(), CONFIG)}
    if folder:
        files["index.json"] = {"manifests": [{"digest": FOUND["Id"]}, "odd", {}]}
    with tarfile.open(path, "w") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(json.dumps(content))
            tar.addfile(entry, io.BytesIO(json.dumps(content).encode()))
    return str(path)


@pytest.mark.parametrize("folder", ["", "blobs/sha256/"])
def test_what_is_in_an_archive(tmp_path: Path, folder: str) -> None:
    path = archive(tmp_path / "a.tar", (KEY, ["app:1", "app:latest"]), ("b" * 64, None), folder=folder)
    assert [(image.key, image.tags) for image in saved_images(path)] == [
        ("sha256:" + KEY, ("app:1", "app:latest")),
        ("sha256:" + "b" * 64, ()),
    ]
    assert [image.manifests[:1] for image in saved_images(path)] == [(FOUND["Id"],) if folder else ()] * 2
    assert saved_image(path, "docker.io/library/app").config == CONFIG
    with pytest.raises(InvalidOption, match="2 images, none called other: app:1, app:latest"):
        saved_image(path, "other")


def test_an_archive_of_one_image_is_of_any_name(tmp_path: Path) -> None:
    assert saved_image(archive(tmp_path / "a.tar", (KEY, None)), "other").key == "sha256:" + KEY


@pytest.mark.parametrize("text", ["[{}]", "{", "7", '[{"Config": "no.json"}]'])
def test_other_archives(tmp_path: Path, text: str) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        entry = tarfile.TarInfo("manifest.json")
        entry.size = len(text)
        tar.addfile(entry, io.BytesIO(text.encode()))
    with pytest.raises(InvalidOption, match="holds no saved images"):
        saved_images(str(tmp_path / "a.tar"))


def changed(**given: Any) -> dict[str, Any]:
    return {**FOUND, **given}


@pytest.mark.parametrize(
    ("found", "same"),
    [
        (FOUND, True),
        (changed(RootFS={"Layers": [LAYER, LAYER]}), False),
        (changed(Config={**FOUND["Config"], "Env": ["PATH=/sbin"]}), False),
        (changed(Created="2026-11-28T10:00:01Z"), False),
        (changed(Architecture="arm64"), False),
        ({}, False),
        (None, False),
    ],
)
def test_content(found: Any, same: bool) -> None:
    assert Saved("sha256:" + KEY, (), CONFIG).is_image(found) is same


@pytest.mark.parametrize(
    ("tags", "told", "name"),
    [
        (("app:1",), ["Loaded image: other:1", "Loaded image: app:1"], "app:1"),
        (("docker.io/library/app:latest",), ["Loaded image: other:1", "Loaded image: app:latest"], "app:latest"),
        ((), ["Loaded image ID: sha256:" + "f" * 64], "sha256:" + "f" * 64),
        ((), [], "sha256:" + KEY),
    ],
)
def test_what_the_engine_calls_it(tags: tuple[str, ...], told: list[str], name: str) -> None:
    assert Saved("sha256:" + KEY, tags, CONFIG).loaded(told) == name
