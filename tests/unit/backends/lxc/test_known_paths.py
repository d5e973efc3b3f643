# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The directories that are known to hold containers, as several containers come and go side by side."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ansible_collections.kraal.virt.plugins.module_utils.backends.lxc import client
from ansible_collections.kraal.virt.plugins.module_utils.backends.lxc.container.make import Maker


@pytest.fixture
def known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(client, "KNOWN_PATHS", tmp_path / "known")
    return tmp_path / "known"


def host(path: Path) -> client.Lxc:
    made = client.Lxc.__new__(client.Lxc)
    path.mkdir()
    made.path, made.standard = str(path), "/var/lib/lxc"
    return made


def test_one_goes_while_another_comes(tmp_path: Path, known: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first one's directory is forgotten in the moment in which the second one's is about to be noted."""
    first, second = host(tmp_path / "first"), host(tmp_path / "second")
    first.remember()
    symlink_to = Path.symlink_to

    def late(self: Path, target: str) -> None:
        first.forget()
        symlink_to(self, target)

    monkeypatch.setattr(Path, "symlink_to", late)
    second.remember()
    assert client.known_paths() == [str(tmp_path / "second")]


def test_the_last_one_goes_while_one_comes_in_the_same_directory(tmp_path: Path, known: Path) -> None:
    maker = Maker(host(tmp_path / "lxc"))
    (tmp_path / "lxc" / "old").mkdir()
    (tmp_path / "lxc" / "old" / "config").touch()
    maker.lxc.remember()
    # As far as its making has come: the mark is the first of it, the configuration is not there yet.
    maker.mark("new")
    maker.remove("old", storage=False)
    assert client.known_paths() == [str(tmp_path / "lxc")]
    maker.remove("new", storage=False)
    assert client.known_paths() == [] and list((tmp_path / "lxc").iterdir()) == []


def test_one_goes_while_the_discovery_looks(tmp_path: Path, known: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = host(tmp_path / "first"), host(tmp_path / "second")
    first.remember()
    second.remember()
    readlink = os.readlink

    def late(link: Path) -> str:
        first.forget()
        return readlink(link)

    monkeypatch.setattr(os, "readlink", late)
    assert client.known_paths() == [str(tmp_path / "second")]
