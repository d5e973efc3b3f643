# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Texts of others on a terminal."""

from __future__ import annotations

import pytest

from ansible_collections.kraal.virt.plugins.module_utils.engine.errors import KraalError
from ansible_collections.kraal.virt.plugins.module_utils.engine.printable import printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Grüße, 世界 'a\\b'", "Grüße, 世界 'a\\b'"),
        ("\x1b[31m\x07\0", "\\x1b[31m\\x07\\x00"),
        ("a\r\nb\tc\x7f\x9b", "a\\r\\nb\\tc\\x7f\\x9b"),
        ("\u202egnp.exe \udcff \u2028", "\\u202egnp.exe \\udcff \\u2028"),
        (None, "None"),
    ],
)
def test_what_does_not_print_is_escaped(text: object, shown: str) -> None:
    assert printable(text) == shown


def test_as_much_as_is_asked_for() -> None:
    assert printable("abcdef", 3) == "abc..." and printable("abc", 3) == "abc"
    assert printable("\x1b" * 1000, 2) == "\\x1b\\x1b..."
    assert printable("a\nb\tc", keep="\n") == "a\nb\\tc"


def test_an_error_prints_whatever_stands_in_it() -> None:
    """What a container, a daemon or a tool said last stands in the messages."""
    error = KraalError("it ended: \x1b]0;x\x07\x1b[31m", remedy="Look", guest="a\x1bb", backend="docker")
    assert str(error) == "docker a\\x1bb: it ended: \\x1b]0;x\\x07\\x1b[31m. Look."
