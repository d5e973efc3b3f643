# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Several things at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
S = TypeVar("S")


def side_by_side(function: Callable[[T], S], items: Iterable[T], width: int) -> list[S]:
    """Map in ``width`` threads, in order; with one item, or one thread, in this thread."""
    listed = list(items)
    if len(listed) < 2 or width < 2:
        return [function(item) for item in listed]
    with ThreadPoolExecutor(max_workers=min(width, len(listed))) as pool:
        return list(pool.map(function, listed))
