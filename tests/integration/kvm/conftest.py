# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures for what guests of libvirt stand on.

The daemon is the tests' own, so a name need only be one of its test's.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.libvirt_daemon import LibvirtDaemon
from tests.support.libvirt_driver import LibvirtModule

from .volumes import MIB, POOL


@pytest.fixture(scope="session")
def kvm_modules(libvirt_daemon: LibvirtDaemon, pytestconfig: pytest.Config) -> Iterator[Callable[[str], LibvirtModule]]:
    """Modules by their short names, each imported once under the distribution's Python."""
    warm: dict[str, LibvirtModule] = {}

    def module(name: str) -> LibvirtModule:
        if name not in warm:
            warm[name] = LibvirtModule(f"kraal.virt.{name}", libvirt_daemon, every=pytestconfig.getoption("--all"))
        return warm[name]

    yield module
    for each in warm.values():
        each.__exit__(None, None, None)


@pytest.fixture
def clean(libvirt_daemon: LibvirtDaemon) -> Iterator[LibvirtDaemon]:
    """The daemon, and after the test nothing is left in it."""
    yield libvirt_daemon
    libvirt_daemon.clear()


@pytest.fixture
def network(kvm_modules: Any, clean: LibvirtDaemon) -> LibvirtModule:
    module: LibvirtModule = kvm_modules("kvm_network")
    return module


@pytest.fixture
def pool(kvm_modules: Any, clean: LibvirtDaemon) -> LibvirtModule:
    module: LibvirtModule = kvm_modules("kvm_pool")
    return module


@pytest.fixture
def volume(kvm_modules: Any, clean: LibvirtDaemon) -> LibvirtModule:
    module: LibvirtModule = kvm_modules("kvm_volume")
    return module


@pytest.fixture
def tmp_path(libvirt_daemon: LibvirtDaemon) -> Iterator[Path]:
    """A directory that libvirt and the modules find under the same path, wherever they run."""
    with tempfile.TemporaryDirectory(prefix="kt-", dir=libvirt_daemon.directory) as directory:
        yield Path(directory)


@pytest.fixture
def images(clean: LibvirtDaemon) -> Path:
    """An active pool; its directory."""
    path = clean.pools / "images"
    path.mkdir(parents=True)
    clean.virsh("pool-define-as", POOL, "dir", "--target", str(path))
    clean.virsh("pool-start", POOL)
    return path


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """A file of 3 MiB with a hole in it."""
    path = tmp_path / "image.raw"
    with path.open("wb") as file:
        file.write(os.urandom(MIB))
        file.seek(2 * MIB)
        file.write(os.urandom(4096))
        file.truncate(3 * MIB)
    return path
