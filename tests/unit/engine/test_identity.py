# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which guest is meant, and how each backend writes the place of its guests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ansible_collections.kraal.virt.plugins.module_utils.backends.docker import reader
from ansible_collections.kraal.virt.plugins.module_utils.backends.kvm import client as kvm
from ansible_collections.kraal.virt.plugins.module_utils.backends.lxc import client as lxc
from ansible_collections.kraal.virt.plugins.module_utils.engine.errors import InvalidOption
from ansible_collections.kraal.virt.plugins.module_utils.engine.identity import GuestId, check_unique


def test_one_name_may_stand_once_in_each_place() -> None:
    check_unique(
        [
            GuestId(*words)
            for words in (("boxes", "", "a"), ("boxes", "", "b"), ("crates", "", "a"), ("boxes", "/shelf", "a"))
        ]
    )
    for place, where in (("", ""), ("/shelf", " at /shelf")):
        with pytest.raises(InvalidOption, match=f"'a' is the name of two boxes guests of this task{where}. Give each"):
            check_unique([GuestId("boxes", place, "a")] * 2)


def test_a_place_is_told_unless_it_is_the_default() -> None:
    assert [GuestId("boxes", place, "a").called for place in ("", "/shelf")] == ["a", "a at /shelf"]


DEFAULT_SOCKETS = [
    None,
    "",
    "unix:///var/run/docker.sock",
    "unix:///run/docker.sock",
    "unix:///run//docker.sock",
    "unix:///run/./docker.sock",
]


@pytest.mark.parametrize("url", DEFAULT_SOCKETS)
def test_the_hosts_own_socket_in_whatever_spelling(url: str | None) -> None:
    assert reader.place_of({"docker_host": url}) == ""


@pytest.mark.parametrize(
    ("given", "place"),
    [
        ({"docker_host": "unix:///srv/b/docker.sock"}, "unix:///srv/b/docker.sock"),
        ({"docker_host": "tcp://Engine.example:2376/"}, "tcp://engine.example:2376"),
        ({"docker_host": "tcp://engine.example"}, "tcp://engine.example:2375"),
        ({"docker_host": "http://engine.example"}, "tcp://engine.example:2375"),
        ({"docker_host": "https://engine.example"}, "tcp://engine.example:2376"),
        ({"docker_host": "tcp://engine.example", "tls_ca": "/ca.pem"}, "tcp://engine.example:2376"),
        ({"docker_host": "tcp://[FE80::1]:2375"}, "tcp://[fe80::1]:2375"),
        ({"docker_host": "ssh://root@engine.example:22"}, "ssh://root@engine.example:22"),
        ({"docker_host": "ssh://root@engine.example"}, "ssh://root@engine.example:22"),
        ({"docker_host": "ssh://engine.example"}, "ssh://engine.example:22"),
        ({"docker_host": "tcp://[half"}, "tcp://[half"),
        ({"docker_host": "tcp://engine:port"}, "tcp://engine:port"),
    ],
)
def test_where_an_engine_is(given: dict[str, str], place: str) -> None:
    assert reader.place_of(given) == place


def test_a_socket_is_what_its_links_lead_to(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("docker.sock")
    own = os.path.realpath(tmp_path)
    for name in ("docker.sock", "link"):
        assert reader.place_of({"docker_host": f"unix://{tmp_path}/{name}"}) == f"unix://{own}/docker.sock"


@pytest.mark.parametrize(
    "uri", ["qemu:///system", "qemu:///system/", "qemu+unix:///system", "QEMU:///system", "qemu:///system?no_verify=1"]
)
def test_the_hosts_own_libvirt_in_whatever_spelling(uri: str) -> None:
    assert kvm.place_of(uri) == ""


@pytest.mark.parametrize(
    ("uri", "place"),
    [
        ("qemu:///session", "qemu:///session"),
        ("qemu:///system?socket=/srv//b/sock&no_verify=1", "qemu:///system?socket=/srv/b/sock"),
        ("qemu+unix:///system?socket=/srv/b/sock", "qemu:///system?socket=/srv/b/sock"),
        ("qemu+ssh://root@KVM.example:22/system?keyfile=/k&no_tty=1", "qemu+ssh://root@kvm.example/system"),
        ("qemu+libssh2://root@kvm.example/system", "qemu+ssh://root@kvm.example/system"),
        ("qemu+ssh://root@kvm.example:2222/system/", "qemu+ssh://root@kvm.example:2222/system"),
        ("qemu+tls://kvm.example:16514/system", "qemu+tls://kvm.example/system"),
        ("qemu://kvm.example/system", "qemu+tls://kvm.example/system"),
        ("qemu+tcp://[::1]/system", "qemu+tcp://[::1]/system"),
        ("test:///default", "test:///default"),
        ("qemu+tcp://[half/system", "qemu+tcp://[half/system"),
    ],
)
def test_where_a_libvirt_is(uri: str, place: str) -> None:
    assert kvm.place_of(uri) == place


def test_which_directory_has_the_containers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    standard, other = tmp_path / "standard", tmp_path / "other"
    for place in (standard, other):
        place.mkdir()
    (tmp_path / "link").symlink_to(other)
    monkeypatch.setattr(lxc.Lxc, "setting", staticmethod(lambda key: f"{standard}/"))
    for given in (None, str(standard), f"{standard}/", f"{tmp_path}//standard", f"{other}/../standard"):
        assert lxc.place_of({"lxc_path": given}) == ""
    for given in (str(other), f"{other}/", f"{tmp_path}/link"):
        assert lxc.place_of({"lxc_path": given}) == os.path.realpath(other) == lxc.Lxc({"lxc_path": given}).place
