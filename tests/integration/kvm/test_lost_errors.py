# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Libvirt's error is told, whatever Python frees between the call and the question for it."""

from __future__ import annotations

import subprocess

from tests.support.module_process import module_environment
from tests.support.paths import SYSTEM_PYTHON

#: A pool that nobody refers to but itself is freed as soon as the binding makes its exception.
PROGRAM = """
import gc
from ansible_collections.kraal.virt.plugins.module_utils.backends.kvm import client

host = client.connect({"uri": "test:///default"})
pool = host.ask(host.conn.storagePoolLookupByName, "default-pool")


class Circle:
    pass


def freeing(call):
    # An object of libvirt that the collector, if it is at work, frees as soon as anything new is made.
    def wrapper(name):
        gc.set_threshold(10000)
        circle = Circle()
        circle.me, circle.pool = circle, host.conn.storagePoolLookupByName("default-pool")
        del circle
        gc.set_threshold(1, 1, 1)
        return call(name)

    return wrapper


for call in (pool.storageVolLookupByName, host.conn.lookupByName):
    print(host.find(freeing(call), "none"))
"""


def test_what_is_not_there_is_known_as_such() -> None:
    done = subprocess.run(
        [SYSTEM_PYTHON, "-c", PROGRAM],
        env=module_environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stdout.split()) == (0, ["None", "None"]), done.stdout + done.stderr
