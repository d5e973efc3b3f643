# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is said about what LXC lacks on a host."""

from __future__ import annotations

import pytest

from ansible_collections.kraal.virt.plugins.module_utils.backends.lxc.remedies import remedy_for


@pytest.mark.parametrize(
    ("said", "remedy"),
    [
        # LXC 7.0 on Debian's kernel 7.2.
        ("Cannot use generated profile: apparmor_parser not available; Failed to initialize LSM", "apparmor"),
        # LXC 5.0 with passwd 4.13.
        (
            'newuidmap failed to write mapping "newuidmap: uid range [0-65536) -> [900000-965536) not allowed": newuidmap 3',
            "usermod --add-subuids 900000-965535 --add-subgids 900000-965535 ",
        ),
        ("Failed to mount rootfs", "Look"),
    ],
)
def test_remedies(said: str, remedy: str) -> None:
    assert remedy in remedy_for(said, "Look")
