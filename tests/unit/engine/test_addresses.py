# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which addresses lead to a guest."""

from __future__ import annotations

import pytest

from ansible_collections.kraal.virt.plugins.module_utils.engine.addresses import address_of, reachable


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("10.0.3.11", "10.0.3.11"),
        ("2001:DB8::0:1", "2001:db8::1"),
        ("fd00::1", "fd00::1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
    ],
)
def test_what_leads_to_a_guest(text: str, found: str) -> None:
    assert str(reachable(text)) == found


@pytest.mark.parametrize(
    "text",
    [
        *("127.0.0.1", "127.8.9.10", "::1", "::ffff:127.0.0.1"),
        *("0.0.0.0", "0.0.0.1", "::", "::ffff:0.0.0.0"),
        *("169.254.1.2", "fe80::1", "::ffff:169.254.1.2"),
        *("224.0.0.1", "239.1.2.3", "ff02::1", "::ffff:224.0.0.1"),
        *("240.0.0.1", "255.255.255.255", "64:ff9b::7f00:1", "::127.0.0.1", "::ffff:255.255.255.255"),
    ],
)
def test_what_leads_nowhere_or_to_the_caller(text: str) -> None:
    assert address_of(text) is not None and reachable(text) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-oX=y",
        "host",
        "192.0.2",
        "192.0.2.1 ",
        "192.0.2.1\n",
        "fe80::1%eth0",
        "2001:db8::1% -oX=y",
        "192.0.2.1/24",
        None,
        5,
        b"a",
        [],
    ],
)
def test_what_is_no_address(text: object) -> None:
    assert address_of(text) is None and reachable(text) is None
