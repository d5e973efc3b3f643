# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Guests that run as a user of their own, as distributions have it: base images, which only root may read, are given
to them all the same.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.libvirt_daemon import QEMU_CONF, LibvirtDaemon
from tests.support.module_process import module_process

USER = (
    QEMU_CONF.replace('"root"', '"libvirt-qemu"', 1)
    .replace('"root"', '"kvm"')
    .replace("dynamic_ownership = 0", "dynamic_ownership = 1")
)


@pytest.fixture(scope="module")
def host() -> Iterator[LibvirtDaemon]:
    with tempfile.TemporaryDirectory(prefix="kt-lv-") as directory:
        place = Path(directory)
        place.chmod(0o755)
        with LibvirtDaemon(place, USER) as daemon:
            (daemon.pools / "default").mkdir(parents=True)
            daemon.virsh("pool-define-as", "default", "dir", "--target", str(daemon.pools / "default"))
            daemon.virsh("pool-start", "default")
            yield daemon
            daemon.clear()


@pytest.mark.parametrize(("directory", "reached"), [(0o711, True), (0o700, False)])
def test_a_base_image_that_only_root_may_read(host: LibvirtDaemon, directory: int, reached: bool) -> None:
    """The mode of a directory that base_image makes, and the one that would be too little."""
    with tempfile.TemporaryDirectory(prefix="kt-images-") as images:
        image, kernel = (Path(images, name) for name in ("kt.raw", "kt.vmlinuz"))
        for path in (image, kernel):
            path.write_bytes(b"kt" * 65536)
            path.chmod(0o600)
        Path(images).chmod(directory)
        common = {"uri": host.uri, "type": "qemu", "memory": "64MiB", "force_stop": True, "stop_timeout": 0}
        linked = {
            "name": f"kt-{directory:o}",
            "disks": [{"size": "1MiB"}],
            "source": {"image": str(image), "clone": "linked"},
            **common,
        }
        result = module_process("kraal.virt.kvm_vm", linked)
        assert result.failed is not reached, result.msg
        booted = module_process(
            "kraal.virt.kvm_vm", {"name": f"kt-{directory:o}-kernel", "kernel": str(kernel), **common}
        )
        assert booted.failed is not reached, booted.msg
        assert image.stat().st_mode & 0o777 == 0o600
        for name in (linked["name"], f"kt-{directory:o}-kernel"):
            module_process("kraal.virt.kvm_vm", {**common, "name": name, "state": "absent", "remove_storage": True})
