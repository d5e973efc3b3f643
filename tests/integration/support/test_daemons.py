# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tests' own daemons and registry are what they claim to be, and leave nothing."""

from __future__ import annotations

import itertools
from pathlib import Path

import docker
import docker.tls
import pytest
from docker.errors import APIError, DockerException, NotFound

from tests.support.daemons import SecondDaemon
from tests.support.images import import_image, root_tar
from tests.support.leftovers import Bystanders, find
from tests.support.registry import CERTS


def test_second_daemon_runs_containers_beside_the_first(second_daemon, docker_api) -> None:
    with second_daemon.client() as client:
        assert client.info()["DockerRootDir"] != docker_api.info()["DockerRootDir"]
        import_image(client, "kt-own:1", "own")
        made = client.create_container(
            "kt-own:1", command=["cat", "/etc/kt-release"], host_config=client.create_host_config(network_mode="none")
        )
        client.start(made)
        assert client.wait(made, timeout=20)["StatusCode"] == 0
        assert client.logs(made) == b"own\n"
        client.remove_container(made)
    with pytest.raises(NotFound):
        docker_api.inspect_image("kt-own:1")


def test_second_daemon_has_a_full_disk_soon(second_daemon) -> None:
    with second_daemon.client() as client, pytest.raises(APIError, match="no space left on device"):
        client.import_image_from_data(root_tar("big", {"data/big": "0" * 80_000_000}), repository="kt-big", tag="1")


def test_second_daemon_leaves_the_default_bridge(short_tmp, docker_daemon) -> None:
    before = Path("/sys/class/net/docker0/ifindex").read_text()
    with SecondDaemon(short_tmp):
        assert Path("/sys/class/net/docker0/ifindex").read_text() == before


def test_second_daemon_leaves_nothing(short_tmp) -> None:
    with SecondDaemon(short_tmp) as daemon, daemon.client() as client:
        client.ping()
    assert not [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if str(short_tmp) in line]


def test_a_daemon_that_does_not_start_says_why(short_tmp) -> None:
    with (
        pytest.raises(RuntimeError, match="no-such-driver"),
        SecondDaemon(short_tmp, args=["--storage-driver", "no-such-driver"]),
    ):
        pass


def test_tls_daemon_demands_certificates(tls_daemon, monkeypatch) -> None:
    # requests lets these replace the authority that a session was given.
    monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
    monkeypatch.delenv("CURL_CA_BUNDLE", raising=False)
    pair = tls_daemon.client_pair()
    good = docker.tls.TLSConfig(
        client_cert=(str(pair.certificate), str(pair.key)), ca_cert=str(tls_daemon.authority.certificate), verify=True
    )
    with docker.APIClient(base_url=tls_daemon.tls_url, tls=good, version="auto") as client:
        assert client.ping()
    anonymous = docker.tls.TLSConfig(ca_cert=str(tls_daemon.authority.certificate), verify=True)
    with (
        pytest.raises(DockerException),
        docker.APIClient(base_url=tls_daemon.tls_url, tls=anonymous, version="auto") as client,
    ):
        client.ping()


def test_registry_pull_with_a_login(registry, docker_api, base_image) -> None:
    name = registry.push(base_image, "kt/pulled:1")
    with pytest.raises((APIError, NotFound)):
        docker_api.inspect_image(name)
    with pytest.raises(APIError, match="no basic auth credentials"):
        docker_api.pull(name)
    docker_api.pull(name, auth_config=registry.auth)
    assert docker_api.inspect_image(name)["RepoDigests"][0].startswith(registry.endpoint)
    docker_api.remove_image(name)


def test_registry_certificate_is_verified(registry, docker_api, base_image) -> None:
    name = registry.push(base_image, "kt/verified:1")
    with registry.untrusted(), pytest.raises(APIError, match="x509"):
        docker_api.pull(name, auth_config=registry.auth)
    assert (CERTS / registry.endpoint / "ca.crt").exists()


def test_leftovers_and_bystanders_are_told(docker_api, base_image, scratch) -> None:
    docker_api.create_container(base_image, name=scratch("a"))
    docker_api.create_network(scratch("n"))
    docker_api.create_volume(scratch("v"))
    docker_api.tag(base_image, scratch("i"), "1")
    found = scratch.found()
    assert (found.containers, found.networks, found.volumes, found.images) == (
        [scratch("a")],
        [scratch("n")],
        [scratch("v")],
        [scratch("i") + ":1"],
    )
    scratch.clean()
    assert not scratch.found()
    other = Bystanders(docker_api, scratch.prefix + "other")
    other.create()
    assert other.changed() == []
    docker_api.remove_volume(other.name)
    assert len(other.changed()) == 1 and "gone" in other.changed()[0]
    other.remove()
    assert not find(docker_api, other.name)


def test_healthy_image(docker_api, base_images, scratch) -> None:
    docker_api.create_container(base_images.healthy, name=scratch("h"), environment={"KT_HEALTHY_AFTER": "0"})
    events = docker_api.events(decode=True, filters={"container": scratch("h"), "event": "health_status"})
    docker_api.start(scratch("h"))
    # A busy engine may ask before the guest has come so far.
    assert "health_status: healthy" in (event["status"] for event in itertools.islice(events, 3))
    events.close()
    docker_api.stop(scratch("h"), timeout=8)
    assert docker_api.inspect_container(scratch("h"))["State"]["ExitCode"] == 0
