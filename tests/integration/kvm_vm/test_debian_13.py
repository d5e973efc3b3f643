# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The per-option tables on a Debian 13 lab host: its libvirt and QEMU, its Python and binding. And that libvirt reached
over ssh, by modules that run here.

It is one file for one host, for that has to be booted. What the tables are is in the files that they are imported from.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.libvirt_driver import LibvirtModule
from tests.support.libvirt_host import LibvirtHost
from tests.support.tables import parametrize

from ..kvm import conftest as stands_on
from ..kvm import test_network as networks
from ..kvm import test_pool as pools
from ..kvm import test_volume as volumes
from . import test_options as guests

pytestmark = pytest.mark.on_debian_13
MIB = 1024**2
GUEST = {"name": "kt-far", "type": "qemu", "force_stop": True, "stop_timeout": 0}

clean, kvm_modules, network, pool, volume = (
    stands_on.clean,
    stands_on.kvm_modules,
    stands_on.network,
    stands_on.pool,
    stands_on.volume,
)
images, raw = stands_on.images, stands_on.raw

# These first: they clear the daemon, in which the guests' tests then set up their networks and pools once.
test_network_option, test_option_of_an_inactive_network = (
    networks.test_option,
    networks.test_option_of_an_inactive_network,
)
test_pool_option, test_pool_states = pools.test_option, pools.test_states
test_volume_empty_and_grown, test_volume_import, test_volume_clone = (
    volumes.test_empty_and_grown,
    volumes.test_import,
    volumes.test_clone,
)


@pytest.fixture
def far(clean: LibvirtHost) -> Iterator[Callable[[str], LibvirtModule]]:
    """Modules by their short names."""
    made: list[LibvirtModule] = []

    def module(name: str) -> LibvirtModule:
        made.append(LibvirtModule(f"kraal.virt.{name}", clean, clean.ssh_uri()))
        return made[-1]

    yield module
    for each in made:
        each.__exit__(None, None, None)


def test_a_guest_with_all_that_it_stands_on(
    far: Callable[[str], LibvirtModule], clean: LibvirtHost, tmp_path: Path
) -> None:
    net, pool, volume, guest = (far(name) for name in ("kvm_network", "kvm_pool", "kvm_volume", "kvm_vm"))
    assert net.uri.startswith("qemu+ssh://root@")
    net.change(name="kt-net", subnets=["198.18.1.1/24"], dhcp_ranges=["198.18.1.10-198.18.1.20"])
    net.change(name="kt-net", dhcp_hosts=[{"mac": "52:54:00:00:00:01", "address": "198.18.1.5"}])
    pool.change(name="kt-pool", type="dir", path=str(clean.pools / "far"))
    image = tmp_path / "image.raw"
    image.write_bytes(os.urandom(MIB))
    volume.change(name="kt-vol", pool="kt-pool", **{"import": {"path": str(image)}})
    assert (clean.pools / "far" / "kt-vol").read_bytes() == image.read_bytes()
    volume.change(name="kt-vol", pool="kt-pool", capacity="4MiB")
    wanted = {
        **GUEST,
        "memory": "64MiB",
        "disks": [{"pool": "kt-pool", "volume": "kt-vol"}],
        "networks": [{"network": "kt-net", "mac": "52:54:00:00:00:01"}],
        "cloud_init": {"user_data": {"hostname": "far"}},
        "pool": "kt-pool",
    }
    assert guest.change(**wanted)["guest"]["state"] == "running"
    assert guest.change(**{**wanted, "memory": "96MiB"})["guest"]["pending_restart"] == ["memory", "memory_max"]
    guest.change(**GUEST, state="absent", remove_storage=True)
    assert clean.virsh("list", "--all", "--name").split() == []
    net.change(name="kt-net", state="absent")
    pool.change(name="kt-pool", state="absent")


test_create_again_change_again, test_change_as_it_runs = (
    guests.test_create_again_change_again,
    guests.test_change_as_it_runs,
)

#: What is left to --all, and where the same promise is shown in every run.
RUNS = "as it runs the guest is created, changed and run again too, and with Debian 12's libvirt also while it is off"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A guest that cannot run here is off; any other has its options changed as it runs."""
    if metafunc.function is test_create_again_change_again:
        parametrize(metafunc, guests.rows_here(metafunc), only_all=lambda row: RUNS if row.running else "")
    elif metafunc.function is test_network_option:
        networks.pytest_generate_tests(metafunc)
    else:
        guests.pytest_generate_tests(metafunc)
