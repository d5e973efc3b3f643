# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the proof that a container runs leaves when it is killed; proofs are in
tests/integration/test_role_lxc_host.py.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.kraal.virt.plugins.module_utils.backends.lxc import sockets
from ansible_collections.kraal.virt.plugins.module_utils.backends.lxc.setup import proof


def test_what_a_killed_proof_has_left_goes_and_a_container_stays(tmp_path: Path) -> None:
    (tmp_path / "kraal-verify-abc12345" / "kraal-verify-abc12345" / "rootfs").mkdir(parents=True)
    container = tmp_path / "kraal-verify-me"
    container.mkdir()
    (container / "config").touch()
    (found,) = proof.left(tmp_path)
    assert found == str(tmp_path / "kraal-verify-abc12345")
    proof.remove_left(found)
    assert list(tmp_path.iterdir()) == [container]


def test_the_container_of_a_proof_is_no_proof(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sockets, "listener", lambda _address: 0)
    monkeypatch.setattr(sockets, "of_this_system", set)
    for name, proven in (("web", True), ("kraal-verify-abc12345/kraal-verify-abc12345", False)):
        monkeypatch.setattr(sockets, "listening", lambda name=name: {f"/var/lib/lxc/{name}/command": 7})
        assert proof.guests_run() is proven
