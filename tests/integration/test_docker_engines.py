# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The modules on an engine elsewhere: over TCP with TLS on both sides (over ssh: see test_guests_on_hosts)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.certificates import Authority
from tests.support.daemons import SecondDaemon
from tests.support.images import import_image
from tests.support.module_process import module_process

CONTAINER = "kraal.virt.docker_container"


@pytest.fixture
def way(tls_daemon: SecondDaemon) -> dict[str, Any]:
    """How the engine is reached."""
    pair = tls_daemon.client_pair()
    assert tls_daemon.authority is not None
    files = {"tls_ca": tls_daemon.authority.certificate, "tls_cert": pair.certificate, "tls_key": pair.key}
    return {"docker_host": tls_daemon.tls_url, **{key: str(path) for key, path in files.items()}}


def test_a_guest_over_tls(tls_daemon: SecondDaemon, way: dict[str, Any], prefix: str) -> None:
    guest = {"name": f"{prefix}far", "image": "kt-far:1", "network_mode": "none", "stop_timeout": 1, **way}
    with tls_daemon.client() as client:
        import_image(client, "kt-far:1", "far")
        made = module_process(CONTAINER, {**guest, "wait_for": "running"})
        assert not made.failed and made["guest"]["state"] == "running", made.msg
        assert not module_process(CONTAINER, guest).changed
        changed = module_process(CONTAINER, {**guest, "memory": "32MiB"})
        assert [step["key"] for step in changed["plan"]] == ["memory"], changed.msg
        assert client.inspect_container(guest["name"])["HostConfig"]["Memory"] == 32 * 1024**2
        # The engine sends its events over the same way: a start that is watched ends when it ends.
        again = module_process(CONTAINER, {**guest, "env": {"KT_A": "1"}})
        assert [step["action"] for step in again["plan"]] == ["recreate"], again.msg
        assert module_process(CONTAINER, {**guest, "state": "absent"})["guest"] is None
        assert client.containers(all=True) == []


def test_who_is_not_trusted(way: dict[str, Any], tmp_path: Path, prefix: str) -> None:
    """Neither an engine of another authority nor a client without a certificate; and no environment variable changes
    that.
    """
    stranger = Authority(tmp_path / "stranger")
    guest = {"name": f"{prefix}far", "state": "absent", **way}
    other = module_process(
        CONTAINER, {**guest, "tls_ca": str(stranger.certificate)}, env={"REQUESTS_CA_BUNDLE": way["tls_ca"]}
    )
    assert (
        other.failed
        and "certificate verify failed" in other.msg
        and "Check docker_host and the tls options" in other.msg
    )
    anonymous = module_process(CONTAINER, {**guest, "tls_cert": None, "tls_key": None})
    assert anonymous.failed and not anonymous.changed and "Traceback" not in anonymous.msg
    half = module_process(CONTAINER, {**guest, "tls_key": None})
    assert half.failed and "tls_cert and tls_key go together" in half.msg
