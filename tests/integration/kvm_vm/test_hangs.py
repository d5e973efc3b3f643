# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A QEMU that hangs is told, where libvirt itself would wait for it without end."""

from __future__ import annotations

from dataclasses import replace

from tests.support.libvirt_driver import LibvirtModule

from .driver import Driver

SOON = (
    "from ansible_collections.kraal.virt.plugins.module_utils.backends.kvm import client\n"
    "from ansible_collections.kraal.virt.plugins.module_utils.backends.kvm.vm import observe\n"
    "client.QEMU_SECONDS = observe.SIZES_SECONDS = 4\n"
)


def test_a_guest_whose_qemu_hangs(driver: Driver) -> None:
    given = {"type": "qemu", "memory": "64MiB", "disks": [{"size": "8MiB"}]}
    driver.make(**given)
    pid = (
        (driver.host.directory / "run" / "libvirt" / "qemu" / f"{driver.name}.pid").read_text(encoding="ascii").strip()
    )
    driver.host.inside("kill", "-STOP", pid)
    try:
        with LibvirtModule("kraal.virt.kvm_vm", driver.host, before=SOON) as module:
            impatient = replace(driver, module=module)
            # It is looked at all the same, and no other one has to wait for it.
            for _time in range(2):
                impatient.again(**given)
            result = impatient.run(**{**given, "memory": "32MiB"})
    finally:
        driver.host.inside("kill", "-CONT", pid)
    assert result.failed and "the guest's QEMU did not answer libvirt within 4 seconds" in result.msg, result.msg
    assert "virsh destroy ends it" in result.msg, result.msg
