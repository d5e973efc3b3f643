# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The directories that are known to hold containers, as several containers go side by side."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.kraal.virt.plugins.module_utils.backends.lxc import client


def test_another_one_was_quicker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known, path = tmp_path / "known", tmp_path / "lxc"
    path.mkdir()
    monkeypatch.setattr(client, "KNOWN_PATHS", known)
    host = client.Lxc.__new__(client.Lxc)
    host.path, host.standard = str(path), "/var/lib/lxc"
    host.remember()
    (link,) = known.iterdir()
    unlink = Path.unlink

    def both(self: Path, missing_ok: bool = False) -> None:
        unlink(self, missing_ok)
        known.rmdir()

    monkeypatch.setattr(Path, "unlink", both)
    host.forget()
    assert not known.exists() and not link.is_symlink()
