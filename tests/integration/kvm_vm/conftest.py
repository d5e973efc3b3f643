# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures for virtual machines. The libvirtd is the tests' own, so that a name need only be one of its test's."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.support.libvirt_calls import Calls
from tests.support.libvirt_daemon import LibvirtDaemon
from tests.support.libvirt_driver import LibvirtModule

from .driver import Driver

NETWORK = """<network><name>{name}</name><bridge name='{bridge}'/><ip address='10.79.{number}.1' netmask='255.255.255.0'>
<dhcp><range start='10.79.{number}.10' end='10.79.{number}.99'/></dhcp></ip></network>"""


@pytest.fixture(scope="package")
def module(libvirt_daemon: LibvirtDaemon) -> Iterator[LibvirtModule]:
    with LibvirtModule("kraal.virt.kvm_vm", libvirt_daemon) as warm:
        yield warm


@pytest.fixture(scope="package")
def host(libvirt_daemon: LibvirtDaemon) -> Iterator[LibvirtDaemon]:
    """A libvirtd with two networks and the pool `default`."""
    for number, name in enumerate(("kt-net1", "kt-net2"), 1):
        libvirt_daemon.define("net-", NETWORK.format(name=name, bridge=f"virbr-kt{number}", number=number))
        libvirt_daemon.virsh("net-start", name)
    for name in ("default", "kt-pool"):
        (libvirt_daemon.pools / name).mkdir(parents=True)
        libvirt_daemon.virsh("pool-define-as", name, "dir", "--target", str(libvirt_daemon.pools / name))
        libvirt_daemon.virsh("pool-start", name)
    yield libvirt_daemon
    libvirt_daemon.clear()


@pytest.fixture
def driver(host: LibvirtDaemon, module: LibvirtModule, request: pytest.FixtureRequest) -> Iterator[Driver]:
    """A guest of this test's, and after it none."""
    made = Driver(host, module, "kt-guest")
    yield made
    made.clear()


@pytest.fixture
def calls(host: LibvirtDaemon) -> Iterator[Calls]:
    """Where runs write down what they call of libvirt."""
    made = Calls(host.scratch)
    yield made
    made.close()


@pytest.fixture
def words(host: LibvirtDaemon, tmp_path: Path) -> Mapping[str, str]:
    """What the <words> of the tables stand for."""
    files = {}
    for name in ("file1", "file2", "iso", "iso2"):
        path = tmp_path / f"kt-{name}"
        path.write_bytes(name.encode() * 65536)
        files[name] = str(path)
    return {
        **files,
        "net1": "kt-net1",
        "net2": "kt-net2",
        "pool": "kt-pool",
        "pooldir": str(host.pools / "kt-pool"),
        "default": str(host.pools / "default"),
    }


@pytest.fixture
def tmp_path(libvirt_daemon: LibvirtDaemon) -> Iterator[Path]:
    """A directory that libvirt and the modules find under the same path, wherever they run."""
    with tempfile.TemporaryDirectory(prefix="kt-", dir=libvirt_daemon.directory) as directory:
        yield Path(directory)
