# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Several things at a time, and what may take too long."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from threading import Thread
from typing import TypeVar

from .errors import KraalError

T = TypeVar("T")
S = TypeVar("S")


def side_by_side(function: Callable[[T], S], items: Iterable[T], width: int) -> list[S]:
    """Map in ``width`` threads, in order; with one item, or one thread, in this thread."""
    listed = list(items)
    if len(listed) < 2 or width < 2:
        return [function(item) for item in listed]
    with ThreadPoolExecutor(max_workers=min(width, len(listed))) as pool:
        return list(pool.map(function, listed))


def in_background(function: Callable[[], T], errors: tuple[type[BaseException], ...] = (KraalError,)) -> Future[T]:
    """The answer of a call that may never return: a thread waits for it, which ends with the process at the latest.

    ``errors``: what the call may raise, and the answer raises then; with any other the answer is cancelled, and Python
    shows the error.
    """
    answer: Future[T] = Future()

    def run() -> None:
        try:
            answer.set_result(function())
        except errors as error:
            answer.set_exception(error)
        finally:
            answer.cancel()

    Thread(target=run, daemon=True).start()
    return answer


def end_children(words: str = "") -> None:
    """Kill the programs that this process has started and that still run, with all that they have started.

    ``words``: only those with these arguments, one behind the other, in small letters.
    """
    for process in [each for each in _children("self") if words in _arguments(each)]:
        for each in [*_children(str(process)), process]:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(each, signal.SIGKILL)


def _arguments(process: int) -> str:
    # Empty for one that has ended by itself.
    with suppress(OSError):
        octets = Path("/proc", str(process), "cmdline").read_bytes()
        return octets.replace(b"\0", b" ").decode(errors="replace").lower()
    return ""


def _children(process: str) -> Iterator[int]:
    for listed in Path("/proc", process, "task").glob("*/children"):
        # A process may be gone by now, and its threads before it.
        with suppress(OSError):
            for child in listed.read_text(encoding="ascii").split():
                yield from _children(child)
                yield int(child)
