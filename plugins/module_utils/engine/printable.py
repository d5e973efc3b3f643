# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Texts that others wrote, such as guests, daemons and managed hosts, made fit for a terminal. Pure."""

from __future__ import annotations


def printable(text: object, longest: int = 0, *, keep: str = "") -> str:
    """The text with all that does not print (escape sequences, line breaks, marks that turn the direction of writing)
    escaped, as in ``\\x1b``.

    ``longest``: so many characters at most, 0 for all of them; ``keep``: characters that stay as they are.
    """
    whole = str(text)
    cut = whole[:longest] if longest else whole
    shown = (
        cut
        if cut.isprintable()
        else "".join(
            each if each.isprintable() or each in keep else each.encode("unicode_escape").decode() for each in cut
        )
    )
    return shown + "..." if len(cut) < len(whole) else shown
