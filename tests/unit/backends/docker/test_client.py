# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the engine refuses, in words that help."""

from __future__ import annotations

import pytest

from ansible_collections.kraal.virt.plugins.module_utils.backends.docker.client import refusal


@pytest.mark.parametrize(
    ("message", "remedy"),
    [
        ("Address already in use", "Choose another ipv4_address"),
        ("listen tcp4 0.0.0.0:80: bind: address already in use", "Choose another host port"),
        ("Bind for 0.0.0.0:80 failed: port is already allocated", "Choose another host port"),
    ],
)
def test_the_remedy_is_for_what_is_taken(message: str, remedy: str) -> None:
    assert refusal(500, message).remedy.startswith(remedy)
