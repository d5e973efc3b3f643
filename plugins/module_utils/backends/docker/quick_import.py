# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Keeps setuptools out of the SDK's import, which it more than doubles.

The SDK before 6.0 takes one function from distutils. Where setuptools is installed, that name leads to a copy of its
own, and the import of that copy loads all of setuptools. Python's distutils, where there is one, has the function too.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.machinery import PathFinder


def _has_distutils() -> bool:
    """Whether Python (before 3.12) brings a complete one; distributions put most of it into a package of its own."""
    if sys.version_info >= (3, 12):
        return False
    found = PathFinder.find_spec("distutils")
    return found is not None and any(
        os.path.exists(os.path.join(path, "spawn.py")) for path in found.submodule_search_locations or ()
    )


@contextmanager
def without_setuptools() -> Iterator[None]:
    """Import distutils from Python itself, if it is imported and if Python has it."""
    shims = [finder for finder in sys.meta_path if type(finder).__module__ == "_distutils_hack"]
    if not shims or not _has_distutils():
        yield
        return
    sys.meta_path[:] = [finder for finder in sys.meta_path if finder not in shims]
    try:
        yield
    finally:
        sys.meta_path[:0] = shims
