# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The newest engines: Debian sid, where this checkout runs its own tests with the engines and the Python that are there
now, and with the next ansible-core.

Where the machine has control groups of version 1, the host sees an empty tree of version 2: no limit is tried there.
What KVM's tables show there, kvm_vm/test_debian_13.py says.
"""

from __future__ import annotations

import json

import docker
import pytest

from tests.lab.hosts import Lab
from tests.support.suite_host import Suite, image

pytestmark = pytest.mark.only_all(
    "engines that no release of Debian has yet: the same tests show the same with those of Debian 12 in every run"
)
#: The next one, as long as it is not there.
CORE = "ansible-core>=2.22.0rc1"
#: The host's own files are on an overlay, on which none can lie: those of containerd go to the volume of Docker's.
MOVE = "test -L {0} || {{ systemctl stop docker.socket docker containerd; mv {0} {1}; ln -s {1} {0}; systemctl start containerd docker; }}"
DOCKER = [f"tests/integration/test_docker_{name}.py" for name in ("image", "network", "volume")]


@pytest.fixture(scope="module")
def suite(lab: Lab, docker_api: docker.APIClient) -> Suite:
    (host,) = lab.up(image("sid"))
    return Suite(lab, host, docker_api, CORE)


def test_the_next_ansible_core(suite: Suite) -> None:
    """The unit tests, and what becomes of secrets: this core leaves the masking of answers to the modules."""
    assert suite.core().startswith("2.22.")
    assert suite.run("tests/unit", "tests/integration/test_no_secret_in_errors.py")["passed"] > 1500


@pytest.mark.parametrize("store", ["classic", "containerd"])
def test_docker(suite: Suite, store: str) -> None:
    """With the engine's own store of images, and with that of containerd."""
    suite.type(MOVE.format("/var/lib/containerd", "/var/lib/docker/of-containerd"))
    options = {"features": {"containerd-snapshotter": store == "containerd"}}
    suite.lab.copy(suite.host, {"/etc/docker/daemon.json": json.dumps(options).encode()})
    suite.type("systemctl restart docker.service")
    driver = suite.type("docker info --format '{{.Driver}}'").stdout.strip()
    assert driver == ("overlayfs" if store == "containerd" else "overlay2")
    assert suite.run(*DOCKER)["passed"]


def test_lxc(suite: Suite) -> None:
    assert suite.type("lxc-start --version").stdout.startswith("7.")
    assert suite.run("tests/integration/lxc_container")["passed"]
