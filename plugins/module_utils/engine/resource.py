# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a backend brings for one kind of thing (a container, a domain, a network), and what is the same for all of
them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Generic, TypeVar

from .errors import KraalError, NotKept
from .plan import Step
from .secrets import hidden
from .spec import Spec, Table

Seen = TypeVar("Seen")


class Resource(ABC, Generic[Seen]):
    """The things of one kind in one place.

    ``Seen`` is all that was observed in one go: the things themselves and whatever a plan has to know beside them.
    For each action that it plans, a resource has a method ``do_ACTION(want, step, seen)``: the only code that changes
    anything.
    """

    table: Table
    #: Where the things are: see GuestId.
    place: str = ""

    @abstractmethod
    def observe(self, wants: Sequence[Spec] | None) -> Seen:
        """What is there, in bulk: what these specifications speak of, or everything. Reads only."""

    @abstractmethod
    def plan(self, want: Spec, seen: Seen) -> Sequence[Step]:
        """The steps from what was seen to what is wanted. Pure. Raises Refused or InvalidOption."""

    @abstractmethod
    def describe(self, name: str, seen: Seen) -> Mapping[str, Any] | None:
        """The result form of what was seen under this name; None where nothing is."""

    def apply(self, want: Spec, step: Step, seen: Seen) -> None:
        """Perform one step."""
        perform = getattr(self, f"do_{step.action}", None)
        if perform is None:
            what = f"plans the action {step.action!r} and has no method do_{step.action}"
            raise NotImplementedError(f"{type(self).__name__} {what}")
        perform(want, step, seen)

    def wait(self, want: Spec) -> None:
        """Return when all is there that the task waits for. Raises BackendError when it is not in time."""

    def not_kept(self, want: Spec, rest: Sequence[Step]) -> KraalError:
        """The error for a plan that was performed and has left these steps to do."""
        backend = self.table.backend
        return NotKept(
            "the plan was performed, but {} did not keep: {}".format(backend, "; ".join(map(_unkept, rest))),
            remedy=f"Look at what {backend} has logged, or write these options the way it keeps them",
        )

    def foresee(self, want: Spec, steps: Sequence[Step], seen: Seen) -> Mapping[str, Any] | None:
        """The result form after these steps, as far as it can be known before them. Pure."""
        if want.state == "absent":
            return None
        now = None if steps else self.describe(want.name, seen)
        return now or self.describe(want.name, self.ahead(want, steps, seen))

    def ahead(self, want: Spec, steps: Sequence[Step], seen: Seen) -> Seen:
        """What would be seen after these steps, as far as a result shows it. Pure."""
        return seen


def _unkept(step: Step) -> str:
    return f"{step.key or step.action} is {hidden(step.before, step.key)!r}, wanted {hidden(step.after, step.key)!r}"


class Guests(Resource[Seen]):
    """A resource whose things are guests: what a fleet has to know beside the plan."""

    @abstractmethod
    def names(self, seen: Seen) -> Iterable[str]:
        """The names of all that was seen, those included that were not finished and those that cannot be read."""

    @abstractmethod
    def labels(self, name: str, seen: Seen) -> Mapping[str, str]:
        """The labels of the guest of that name, or of what a run that died has left of it."""

    @abstractmethod
    def wait_for(self, want: Spec) -> None:
        """Return when what ``wait_for`` names has come true. Raises BackendError when it has not in time."""

    def wait(self, want: Spec) -> None:
        if want.waits:
            self.wait_for(want)
