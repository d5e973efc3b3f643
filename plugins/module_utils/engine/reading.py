# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reads what others have made one by one: where one guest cannot be understood, that is its own fault and no other's.

Whatever a backend says is data. What is not as it should be there ends up here, and nowhere else: as an error about
that one guest.
"""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from ipaddress import ip_address
from typing import Any, Protocol, runtime_checkable

from .errors import KraalError, Unreachable, Unreadable
from .plan import Step, power, removal
from .result import Guest, in_state
from .spec import Spec

#: What reading raises where something is missing, of another type, or no such word.
ODD = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError)
REMEDY = "Look at it with the tools of %s itself; a task with state=absent removes it all the same"


@contextmanager
def reading(backend: str, name: str) -> Iterator[None]:
    """Inside, what a backend says of one guest is read; what cannot be understood becomes an error about that guest.

    Raises KraalError only.
    """
    try:
        yield
    except KraalError as error:
        error.about(guest=name, backend=backend)
        raise
    except OSError as error:
        raise Unreadable(f"it cannot be read: {error}", remedy=REMEDY % backend, guest=name, backend=backend) from error
    except ODD as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        said = f"{type(error).__name__}: {error}, in {os.path.basename(place.filename)}:{place.lineno}"
        what = f"what {backend} says of it is not understood ({said})"
        raise Unreadable(what, remedy=REMEDY % backend, guest=name, backend=backend) from error


@contextmanager
def apart(faults: MutableMapping[str, KraalError], backend: str, name: str) -> Iterator[None]:
    """The same, with the error kept under the guest's name: the others are read all the same.

    A backend that stopped answering is nobody's fault.
    """
    try:
        with reading(backend, name):
            yield
    except Unreachable:
        raise
    except KraalError as error:
        faults[name] = error


@dataclass(frozen=True)
class Unread:
    """A guest that cannot be read: what is known of it all the same, and why it is no more than that."""

    guest: Guest
    error: KraalError
    #: Whether it has to stay as it is: others stand on it, or the backend's own tools cannot read it either.
    stuck: bool = False


@runtime_checkable
class Look(Protocol):
    """One look at a backend, which may have met guests that it could not read."""

    unread: dict[str, Unread]


@contextmanager
def each_apart(unread: MutableMapping[str, Unread], known: Guest) -> Iterator[None]:
    """Inside, one guest is read; ``known`` stands for it where that cannot be done."""
    faults: dict[str, KraalError] = {}
    with apart(faults, known.backend, known.name):
        yield
    for name, error in faults.items():
        unread[name] = Unread(known, error)


def as_mapping(value: Any) -> Mapping[str, Any]:
    """A mapping that a backend shows; an empty one for anything else."""
    return value if isinstance(value, Mapping) else {}


def listed(value: Any, what: str) -> list[Any]:
    """All things of a kind as a backend lists them; it may say nothing where there are none.

    Raises Unreadable for anything else, which must not look as if nothing were there.
    """
    if value is None or isinstance(value, list):
        return value or []
    raise Unreadable(f"what is said of all {what} is no list", remedy="See that it is this backend that answers there")


def as_list(value: Any) -> list[Any]:
    """A list that a backend shows; an empty one for anything else."""
    return value if isinstance(value, list) else []


def as_text(value: Any) -> str:
    """A text that a backend shows; an empty one for anything else."""
    return value if isinstance(value, str) else ""


def as_word(value: Any) -> str:
    """A text that a backend shows and that can be sent back to it; an empty one for anything else."""
    return value if isinstance(value, str) and value.isprintable() else ""


def as_number(value: Any) -> int:
    """A whole number that a backend shows; 0 for anything else."""
    return value if isinstance(value, int) else 0


def as_texts(value: Any) -> dict[str, str]:
    """The texts of a mapping that a backend shows."""
    return {key: text for key, text in as_mapping(value).items() if isinstance(key, str) and isinstance(text, str)}


def unread_in(seen: Any, name: str) -> Unread | None:
    """The guest of that name, if it could not be read."""
    return seen.unread.get(name) if isinstance(seen, Look) else None


def check_read(name: str, seen: Any) -> None:
    """Raise the error of a guest that could not be read."""
    unread = unread_in(seen, name)
    if unread is not None:
        raise unread.error


class _Labelled(Protocol):
    """What has labels: see Guests of reconcile."""

    def labels(self, name: str, seen: Any) -> Mapping[str, str]:
        """The labels of the guest of that name."""


def labels_of(resource: _Labelled, name: str, seen: Any) -> Mapping[str, str]:
    """The labels of a guest; of one that cannot be read, those that are known all the same."""
    unread = unread_in(seen, name)
    return resource.labels(name, seen) if unread is None else unread.guest.labels


def plan_unread(want: Spec, unread: Unread) -> list[Step]:
    """Power and removal need no more than the name, as long as no option is to be set and no storage to be found.

    Raises the error for all else.
    """
    now = unread.guest.state
    asked = want.steering.get("remove_storage") if want.state == "absent" else want.values
    if asked or (unread.stuck and want.state not in ("present", now)):
        raise unread.error
    if want.state == "absent":
        return list(removal(want.name, now, {"image": unread.guest.image}, unread))
    return list(power(want.name, now, want.target(now), unread))


def foresee_unread(want: Spec, unread: Unread) -> Mapping[str, Any] | None:
    """It after that plan."""
    return None if want.state == "absent" else in_state(unread.guest, want.target(unread.guest.state)).as_dict()


@dataclass
class Found:
    """All guests of a backend, and why some of them are described by what little is known of them."""

    guests: list[Guest] = field(default_factory=list)
    faults: list[KraalError] = field(default_factory=list)
    #: Where the guests are: see GuestId.
    place: str = ""

    def add(self, known: Guest, read: Callable[[], Guest]) -> None:
        """A guest as it is read; as it is known where that cannot be done."""
        unread: dict[str, Unread] = {}
        with each_apart(unread, known):
            guest = read()
            _check(guest)
            self.guests.append(replace(guest, place=self.place))
        self.add_unread(unread)

    def add_unread(self, unread: Mapping[str, Unread]) -> None:
        """Guests that could not be read."""
        for each in unread.values():
            self.faults.append(each.error)
            if each.guest.name.isprintable():
                self.guests.append(replace(each.guest, place=self.place))

    def join(self, other: Found) -> None:
        """The guests of another place too."""
        self.guests += other.guests
        self.faults += other.faults


def _check(guest: Guest) -> None:
    """Whether all of it is of the kind that the result form promises. Raises TypeError and ValueError."""
    texts = (
        guest.name,
        guest.id,
        guest.state,
        guest.raw_state,
        guest.image,
        guest.memory,
        *guest.pending_restart,
        *guest.labels,
        *guest.labels.values(),
    )
    texts += tuple(text for each in guest.addresses for text in (each.address, each.family, each.network, each.mac))
    for text in texts:
        if not isinstance(text, str):
            raise TypeError(f"{text!r} is not a text")
    if not guest.id:
        raise ValueError("it has no id")
    if not guest.name or not guest.name.isprintable():
        raise ValueError(f"{guest.name!r} is not a valid name")
    for each in guest.addresses:
        ip_address(each.address)
