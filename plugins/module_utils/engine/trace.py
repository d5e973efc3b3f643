# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a task sends to its engines, recorded where the user asks for it with -vvv.

Every backend reports here: Docker its requests, libvirt its calls, and whatever runs a program its argument vector.
Nothing is recorded, and no call is written out, until start() has been called. One recorder serves the whole process,
whatever threads it has, because a module is a process with one task.
"""

from __future__ import annotations

import shlex
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any

from .errors import KraalError
from .printable import printable
from .secrets import hidden

#: Ansible's -vvv.
VERBOSITY = 3
#: So many calls are kept from the beginning and from the end of a task, and so many characters of each call.
FIRST, LAST, LONGEST = 100, 100, 4000


class Call:
    """One call while it lasts.

    Whoever makes it sets ``status``; of an error that is raised inside, its class is taken.
    """

    __slots__ = ("seconds", "started", "status", "words")

    def __init__(self, words: str) -> None:
        self.words = words
        self.status = ""
        self.seconds = 0.0
        self.started = time.monotonic()

    def __enter__(self) -> Call:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _where: TracebackType | None
    ) -> None:
        self.seconds = time.monotonic() - self.started
        if error is not None:
            self.status = error.status if isinstance(error, KraalError) else type(error).__name__
        elif not self.status:
            self.status = "ok"


class _Unrecorded(Call):
    """Stands for every call as long as nothing is recorded."""

    __slots__ = ()

    def __exit__(self, *_error: object) -> None:
        return


class Recorder:
    """The calls of a task, in the order in which they began: the first and the last of them."""

    def __init__(self) -> None:
        self._first: list[Call] = []
        self._last: deque[Call] = deque(maxlen=LAST)
        self._count = 0
        self._guard = threading.Lock()

    def add(self, call: Call) -> None:
        """One more."""
        with self._guard:
            self._count += 1
            (self._first if len(self._first) < FIRST else self._last).append(call)

    def shown(self, mask: Callable[[str], str]) -> list[dict[str, Any]]:
        """The public trace.

        ``mask`` hides the secrets of the task; it gets each call whole, as half a secret would not be found.
        """
        with self._guard:
            first, last = list(self._first), list(self._last)
            missing = self._count - len(first) - len(last)
        entries = [_entry(call, mask) for call in first]
        if missing:
            entries.append({"call": "(%d calls left out)" % missing, "status": "", "seconds": 0.0})
        return entries + [_entry(call, mask) for call in last]


def _entry(call: Call, mask: Callable[[str], str]) -> dict[str, Any]:
    # A call that still waits when the task ends has no status yet.
    status = call.status or "no answer"
    return {"call": shortened(mask(call.words)), "status": status, "seconds": round(call.seconds, 3)}


def shortened(text: str, longest: int = LONGEST) -> str:
    """A text of about so many characters; what is left out in its middle is noted there. Pure."""
    if len(text) <= longest:
        return text
    half = longest // 2
    return "%s ...(%d characters left out)... %s" % (text[:half], len(text) - 2 * half, text[-half:])


_OFF = _Unrecorded("")
_recorder: Recorder | None = None


def start() -> Recorder:
    """Record from now on, until stop() or the end of the process."""
    global _recorder
    _recorder = Recorder()
    return _recorder


def stop() -> None:
    """Record no more."""
    global _recorder
    _recorder = None


def call(write: Callable[[], str]) -> Call:
    """Inside this context one call to an engine is made.

    ``write`` writes it out without its secrets, and runs only if it is recorded.
    """
    if _recorder is None:
        return _OFF
    found = Call(printable(write(), keep="\n"))
    _recorder.add(found)
    return found


def command(argv: Sequence[str]) -> Call:
    """The same for a program that is run."""
    return call(lambda: shlex.join(hidden(list(argv))))
