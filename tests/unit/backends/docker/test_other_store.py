# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an engine has kept in a store that it does not use now."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.kraal.virt.plugins.module_utils.backends.docker.other_store import hidden, other_store

#: As Docker 28.5 says it, with each of the stores.
STATUS: dict[str, Any] = {
    "overlayfs": [["driver-type", "io.containerd.snapshotter.v1"]],
    "overlay2": [["Backing Filesystem", "extfs"]],
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The files of an engine that has a container of each store, and images of the classic one."""
    for key, name, driver in (("1", "/old", "overlay2"), ("2", "/new", "overlayfs"), ("3", "/ancient", "")):
        place = tmp_path / "containers" / key
        place.mkdir(parents=True)
        (place / "config.v2.json").write_text(json.dumps({"ID": key, "Name": name, "Driver": driver}))
    (tmp_path / "containers" / "4").mkdir()
    (tmp_path / "containers" / "4" / "config.v2.json").write_text("{")
    names = {"app": {"app:1": "sha256:1", "app@sha256:" + "2" * 64: "sha256:1"}}
    (tmp_path / "image" / "overlay2").mkdir(parents=True)
    (tmp_path / "image" / "overlay2" / "repositories.json").write_text(json.dumps({"Repositories": names}))
    return tmp_path


def info(root: Path, driver: str) -> dict[str, Any]:
    return {"DockerRootDir": str(root), "Driver": driver, "DriverStatus": STATUS[driver]}


def test_containerds_store_hides_the_classic_one(root: Path) -> None:
    other = other_store(info(root, "overlayfs"), ["2"])
    assert dict(other.containers) == {"old": str(root / "containers" / "1" / "config.v2.json")}
    assert "app:1" in other.images and "containerd-snapshotter: false" in other.switch
    assert "containers old and the images app:1" in hidden(other)[0]


def test_the_classic_store_hides_containerds(root: Path) -> None:
    other = other_store(info(root, "overlay2"))
    assert list(other.containers) == ["new"] and not other.images and "containerd-snapshotter: true" in other.switch


def test_nothing_is_hidden(root: Path) -> None:
    assert hidden(other_store({})) == hidden(other_store(info(root / "no", "overlay2"))) == []
    assert other_store(info(root, "overlayfs"), ["1", "2"]).containers == {}
