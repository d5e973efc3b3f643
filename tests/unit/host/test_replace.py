# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files of the configuration, replaced in one move."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.kraal.virt.plugins.module_utils.engine.errors import BackendError
from ansible_collections.kraal.virt.plugins.module_utils.host.replace import replace_file


def test_a_new_file_and_one_that_was_there(tmp_path: Path) -> None:
    path = tmp_path / "lxc-net"
    replace_file(path, "one\n", 0o644, keep_old=True)
    assert [each.name for each in tmp_path.iterdir()] == ["lxc-net"]
    assert path.stat().st_mode & 0o777 == 0o644
    path.chmod(0o600)
    path.write_bytes(b"caf\xe9\n")
    replace_file(path, path.read_text(encoding="utf-8", errors="surrogateescape") + "two\n", 0o644, keep_old=True)
    assert path.read_bytes() == b"caf\xe9\ntwo\n"
    assert path.stat().st_mode & 0o777 == 0o600
    (old,) = [each for each in tmp_path.iterdir() if each != path]
    assert old.read_bytes() == b"caf\xe9\n"
    assert old.name.startswith("lxc-net.") and old.name.endswith("~")


def test_a_file_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(BackendError, match="cannot be written: No such file or directory"):
        replace_file(tmp_path / "none" / "file", "")


def test_a_loss_of_power_leaves_the_old_file_or_the_new_one(tmp_path: Path, moves: list[str]) -> None:
    replace_file(tmp_path / "config", "one\n")
    assert moves == ["sync .config.kraal-new", "move .config.kraal-new", f"sync {tmp_path.name}"]


def test_what_was_begun_does_not_stay_on_a_disk_that_is_full(tmp_path: Path) -> None:
    (tmp_path / "file").mkdir()
    with pytest.raises(BackendError, match="cannot be written: Is a directory"):
        replace_file(tmp_path / "file", "text")
    assert [each.name for each in tmp_path.iterdir()] == ["file"]
