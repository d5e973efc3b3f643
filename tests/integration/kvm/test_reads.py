# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A plan only reads.

What the plans of all other tests call is seen by `LibvirtModule.check`; that the allowed calls are reads, libvirt
itself says here.
"""

from __future__ import annotations

import subprocess
from typing import Any

from tests.support.libvirt_daemon import LibvirtDaemon
from tests.support.libvirt_driver import LibvirtModule


def agree(module: LibvirtModule, **args: Any) -> None:
    """Over a connection that only reads a plan is the same."""
    foreseen = module.check_readonly(**args)
    assert not foreseen.failed, foreseen.msg
    assert foreseen["plan"] == module.change(**args)["plan"] != []


def test_over_a_connection_that_only_reads(
    network: LibvirtModule, pool: LibvirtModule, volume: LibvirtModule, clean: LibvirtDaemon
) -> None:
    net = {"name": "kt-net", "subnets": ["10.77.1.1/24"]}
    agree(network, **net, state="active")
    agree(network, **net, state="active", dhcp_ranges=["10.77.1.10-10.77.1.20"], autostart=True)
    directory = {"name": "kt-pool", "type": "dir", "path": str(clean.pools / "kt-pool")}
    agree(pool, **directory, state="active")
    agree(pool, **directory, state="active", autostart=True)
    base = {"name": "base.qcow2", "pool": "kt-pool"}
    agree(volume, **base, capacity="1MiB", format="qcow2")
    agree(volume, **base, capacity="2MiB")
    top = clean.pools / "kt-pool" / "top"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-b", "base.qcow2", "-F", "qcow2", str(top)], check=True)
    # Libvirt has not seen it yet, and is not told to look.
    volume.refused("kt-pool/top", "are backed by it", **base, state="absent")
    top.unlink()
    agree(volume, **base, state="absent")
    agree(network, name="kt-net", state="absent")
    agree(pool, name="kt-pool", state="absent")


def test_what_turns_out_to_stand_on_a_volume_keeps_it(
    pool: LibvirtModule, volume: LibvirtModule, clean: LibvirtDaemon
) -> None:
    """Where its files cannot be read by a plan, as on another host, libvirt looks before anything is deleted or
    wiped.
    """
    pool.change(name="kt-pool", type="dir", path=str(clean.pools / "kt-pool"), state="active")
    base = {"name": "base.qcow2", "pool": "kt-pool", "uri": volume.uri.replace("///", "//kt-elsewhere/")}
    volume.change(**base, capacity="1MiB", format="qcow2")
    path, top = clean.pools / "kt-pool" / "base.qcow2", clean.pools / "kt-pool" / "top"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-b", str(path), "-F", "qcow2", str(top)], check=True)
    content = path.read_bytes()
    given = {**base, "state": "absent", "wipe": True}
    assert [step["action"] for step in volume.check(**given)["plan"]] == ["wipe", "remove"]
    late = volume.run(**given)
    assert late.failed and "kt-pool/top" in late.msg and path.read_bytes() == content
    volume.refused("kt-pool/top", "are backed by it", **given)
