# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The places that a task names: how they are read, and that the discovery looks there too."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import pytest

from ansible_collections.kraal.virt.plugins.module_utils import discovery
from ansible_collections.kraal.virt.plugins.module_utils.engine.errors import KraalError, NotInstalled
from ansible_collections.kraal.virt.plugins.module_utils.engine.reading import Found
from ansible_collections.kraal.virt.plugins.module_utils.engine.result import Guest
from ansible_collections.kraal.virt.plugins.module_utils.places import read_places


def test_a_place_is_a_backend_and_its_connection_options() -> None:
    docker, kvm = read_places(
        [
            {"backend": "docker", "docker_host": "unix:///b", "tls_ca": None},
            {"backend": "kvm", "uri": "qemu:///session"},
        ],
        set(),
    )
    assert (docker.backend, docker.connection["docker_host"], docker.connection["api_timeout"]) == (
        "docker",
        "unix:///b",
        60,
    )
    assert (kvm.backend, kvm.connection["uri"]) == ("kvm", "qemu:///session")


@pytest.mark.parametrize(
    ("place", "why"),
    [
        (
            {"docker_host": "unix:///b"},
            r"places\[1\] is not a backend of this collection. Write one of: docker, kvm, lxc",
        ),
        ({"backend": "lxc", "lxcpath": "/b"}, r"lxc places\[1\]: lxcpath: no such option. Did you mean lxc_path"),
        ({"backend": "docker", "memory": "1GiB"}, r"docker places\[1\]: memory: no such option"),
        ({"backend": "docker", "api_timeout": "long"}, r"docker places\[1\]: .*api_timeout"),
    ],
)
def test_what_is_no_place(place: dict[str, Any], why: str) -> None:
    with pytest.raises(KraalError, match=why):
        read_places([place], set())


def test_each_place_is_looked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is found twice, by two addresses of one place, is one guest.

    A named place that is not there is an error, the host's own is none.
    """
    asked = []

    def guests(parameters: Mapping[str, Any]) -> Found:
        where = parameters.get("where", "")
        asked.append((where, parameters.get("told")))
        if where in ("gone", "") and "told" not in parameters:
            raise NotInstalled(f"nothing at {where!r}")
        found = Found(place=where.rstrip("/"))
        found.add(Guest("web", "boxes"), lambda: Guest("web", "boxes", id=f"id{where.rstrip('/')}"))
        return found

    monkeypatch.setattr(
        discovery,
        "backend",
        lambda name: SimpleNamespace(guests=guests, discovery={"told": {}} if name == "boxes" else {}),
    )
    places = [("boxes", {"where": where}) for where in ("/b", "/b/")] + [("crates", {"where": "gone"})]
    found = discovery.discover(["boxes", "crates"], {"told": 1, "other": 2}, places)
    assert [(guest.name, guest.place) for guest in found.guests] == [("web", ""), ("web", "/b")]
    assert sorted(asked, key=str) == sorted([("", 1), ("/b", 1), ("/b/", 1), ("", None), ("gone", None)], key=str)
    assert [str(error) for error in found.errors] == ["crates: nothing at 'gone'"]
