# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The URIs that libvirt is reached at."""

from __future__ import annotations

import pytest

from ansible_collections.kraal.virt.plugins.module_utils.backends.kvm.client import full_uri
from ansible_collections.kraal.virt.plugins.module_utils.engine.errors import InvalidOption


@pytest.mark.parametrize(
    ("uri", "opened"),
    [
        ("qemu:///system", "qemu:///system"),
        ("qemu+unix:///system?socket=/run/a", "qemu+unix:///system?socket=/run/a"),
        ("qemu+ssh://root@192.0.2.1/system", "qemu+ssh://root@192.0.2.1/system?no_tty=1"),
        ("qemu+ssh://root@[2001:db8::1]/system", "qemu+ssh://root@[2001:db8::1]/system?no_tty=1"),
        # What libvirt reads has neither + for a blank nor a second way to write it.
        ("qemu+ssh://h/system?keyfile=/root/my%20key", "qemu+ssh://h/system?keyfile=/root/my%20key&no_tty=1"),
        (
            "qemu+ssh://h/system?keyfile=/root/a+b&sshauth=privkey",
            "qemu+ssh://h/system?keyfile=/root/a+b&sshauth=privkey&no_tty=1",
        ),
        ("qemu+ssh://h/system?no_tty=0", "qemu+ssh://h/system?no_tty=0"),
    ],
)
def test_ssh_asks_nothing_and_the_rest_stays(uri: str, opened: str) -> None:
    assert full_uri(uri) == opened


@pytest.mark.parametrize("uri", ["qemu+ssh://root@[2001:db8::1/system", "system", "qemu:///sys tem", ""])
def test_what_is_no_uri_is_refused(uri: str) -> None:
    with pytest.raises(InvalidOption, match="is no URI of libvirt.*Write one like"):
        full_uri(uri)
