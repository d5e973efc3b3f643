# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tells test runs on one machine apart: each has names of its own, and finds the names of runs that were killed."""

from __future__ import annotations

import fcntl
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

#: Shared by all checkouts and users of this machine's daemon; a lock is gone with its process, however that ended.
LOCKS = Path("/run/lock/kraal-virt-tests")


def new_name() -> str:
    """A name for this pytest process: short, because it is in every name, and different from every run's beside it."""
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID", uuid.uuid4().hex)
    return run[:5] + os.environ.get("PYTEST_XDIST_WORKER", "")


@contextmanager
def _all_locked() -> Iterator[None]:
    LOCKS.mkdir(parents=True, exist_ok=True)
    with (LOCKS / ".all").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def claimed(name: str) -> Iterator[None]:
    """While inside, the name is known to be in use."""
    path = LOCKS / name
    with _all_locked():
        lock = path.open("w")
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    try:
        yield
    finally:
        path.unlink()
        lock.close()


def abandoned() -> list[str]:
    """Names of runs that ended without cleaning up. They are given out once: whoever asks cleans up."""
    found = []
    with _all_locked():
        for path in sorted(LOCKS.iterdir()):
            if path.name.startswith("."):
                continue
            with path.open("w") as lock:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    continue
                path.unlink()
                found.append(path.name)
    return found
