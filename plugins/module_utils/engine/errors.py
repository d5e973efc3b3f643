# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What can go wrong, as exceptions: raised anywhere, turned into one failure at the edge (see task.py).

Every message says what failed and why; ``remedy`` says what to do about it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from .printable import printable
from .secrets import HIDDEN, hidden


class KraalError(Exception):
    """The base of every failure that a user is meant to read.

    ``guest`` and ``backend`` name what failed; ``remedy`` is a full sentence without its final full stop.
    """

    def __init__(self, message: str, *, remedy: str = "", guest: str = "", backend: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy
        self.guest = guest
        self.backend = backend

    @property
    def status(self) -> str:
        """How the call ended that raised it, as the trace shows it."""
        return type(self).__name__

    def about(self, *, guest: str = "", backend: str = "") -> KraalError:
        """The same error, with the guest and backend filled in where they were not known yet."""
        self.guest = self.guest or guest
        self.backend = self.backend or backend
        return self

    def add(self, text: str) -> None:
        """Say what was done about it, after what failed."""
        self.message += "; " + text if text else ""

    def __str__(self) -> str:
        where = " ".join(part for part in (self.backend, self.guest) if part)
        text = f"{where}: {self.message}" if where else self.message
        # What daemons, tools and guests said stands in there too.
        return printable(f"{text.rstrip('.')}. {self.remedy.rstrip('.')}." if self.remedy else text, keep="\n")


class InvalidOption(KraalError):
    """An option's value is invalid: names the option, the value with its secrets hidden, and what would be
    right.
    """

    def __init__(self, option: str, value: object, why: str, *, remedy: str = "", guest: str = "") -> None:
        shown = hidden(value, option)
        # Of an option that is missing there is no value to show.
        what = option if value is None else f"{option}: {HIDDEN if shown == HIDDEN else repr(shown)}"
        super().__init__(f"{what} {why}", remedy=remedy, guest=guest)
        self.option = option


class Refused(KraalError):
    """The plan needs more than the task allows; nothing was touched."""


class BackendError(KraalError):
    """The backend could not be reached, or said no."""


class NotInstalled(BackendError):
    """The backend is not on this host: a failure for who asks for it, none for who looks what is there."""


class Unreachable(BackendError):
    """The backend stopped answering: no one guest is to blame for that, and asking for the next one would fail as
    well.
    """


class Unreadable(BackendError):
    """What a backend says of one guest, or of one network or volume, cannot be understood."""


class NotKept(KraalError):
    """The plan was performed, and yet the backend shows something else."""


@contextmanager
def os_errors(what: str, remedy: str) -> Iterator[None]:
    """Inside, what the system says no to is a BackendError: WHAT, and the system's reason."""
    try:
        yield
    except OSError as error:
        raise BackendError(f"{what}: {error.strerror or error}", remedy=remedy) from error


@contextmanager
def unread_file(option: str, path: object, remedy: str) -> Iterator[None]:
    """Inside, a file that cannot be read is an InvalidOption."""
    try:
        yield
    except OSError as error:
        raise InvalidOption(option, path, f"cannot be read: {error.strerror or error}", remedy=remedy) from error


@contextmanager
def taken_back(undo: Callable[[], object], left: str = "what there is of it could not be removed") -> Iterator[None]:
    """What was begun inside is undone where that fails; ``left`` is how the error says that this failed too.

    Raises KraalError, and OSError where it was one and all is undone.
    """
    try:
        yield
    except (KraalError, OSError) as error:
        problem = _problem_of(undo)
        if not problem:
            raise
        if isinstance(error, KraalError):
            error.add(f"{left}: {problem}")
            raise
        raise BackendError(f"{error}; {left}: {problem}") from error


def _problem_of(undo: Callable[[], object]) -> str:
    """Why it cannot be done; nothing where it was."""
    try:
        undo()
    except KraalError as error:
        return error.message
    except OSError as error:
        return str(error)
    return ""
