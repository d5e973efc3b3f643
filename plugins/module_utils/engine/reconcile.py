# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Observe all, plan all, refuse what is not allowed; then, not under check, apply side by side and verify.

The one way in which anything changes, for one guest or for many, of one backend or of several.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any, Generic

from .errors import KraalError
from .identity import GuestId, check_unique
from .lock import locked
from .plan import Step, permitted
from .reading import foresee_unread, plan_unread, reading, unread_in
from .resource import Resource, Seen
from .spec import Spec
from .work import side_by_side


@dataclass
class Outcome:
    """What became of one guest: the same in check and in real mode, but for what only the backend can say."""

    id: GuestId
    steps: list[Step] = field(default_factory=list)
    changed: bool = False
    described: Mapping[str, Any] | None = None
    error: KraalError | None = None
    #: Whether its backend could be looked at: only then does nothing described mean that nothing is there.
    seen: bool = False
    #: What a diff calls it, where its name says too little.
    called: str = ""

    @property
    def backend(self) -> str:
        """Its backend."""
        return self.id.backend

    @property
    def name(self) -> str:
        """Its name."""
        return self.id.name


@dataclass
class Job(Generic[Seen]):
    """The specifications for one resource."""

    resource: Resource[Seen]
    wants: Sequence[Spec]

    @property
    def ids(self) -> list[GuestId]:
        """Whom the specifications are for."""
        return [GuestId(self.resource.table.backend, self.resource.place, want.name) for want in self.wants]

    def admit(self, want: Spec, seen: Seen) -> None:
        """Raise Refused where the thing of that name is not this task's to manage. Pure."""


@dataclass
class _Work:
    """One specification on its way through the run."""

    resource: Resource[Any]
    want: Spec
    seen: Any
    outcome: Outcome


def reconcile(
    jobs: Sequence[Job[Any]],
    *,
    check: bool,
    concurrency: int = 8,
    max_failures: int | None = None,
    lock_seconds: int = 300,
) -> list[Outcome]:
    """Make it so, and say what was done: one outcome for each specification, in their order.

    A guest's failure is in its outcome and stops no other guest's work, until more than ``max_failures`` have failed;
    what had not begun by then is left alone and says so. Raises KraalError for what concerns the whole run: two guests
    of one name in one place, a lock that another run holds.
    """
    for kind in {job.resource.table.kind for job in jobs}:
        check_unique(guest for job in jobs if job.resource.table.kind == kind for guest in job.ids)
    with _locks(jobs, check, lock_seconds):
        works = [work for planned in side_by_side(_plan_job, jobs, len(jobs)) for work in planned]
        if not check:
            _perform(works, concurrency, max_failures)
            _verify(works)
    return [work.outcome for work in works]


@contextmanager
def _locks(jobs: Sequence[Job[Any]], check: bool, seconds: int) -> Iterator[None]:
    """A check changes nothing, the lock file included."""
    keys = [f"{guest.backend} {job.resource.table.kind} {guest.called}" for job in jobs for guest in job.ids]
    with nullcontext() if check else locked(keys, seconds=seconds):
        yield


def _plan_job(job: Job[Any]) -> list[_Work]:
    resource, backend = job.resource, job.resource.table.backend
    works = [_Work(resource, want, None, Outcome(guest)) for want, guest in zip(job.wants, job.ids)]
    try:
        with reading(backend, ""):
            seen = resource.observe(job.wants)
    except KraalError as error:
        # This backend's guests fail, each with an error of its own; those of other backends go on.
        for work in works:
            work.outcome.error = KraalError(error.message, remedy=error.remedy, guest=work.want.name, backend=backend)
        return works
    for work in works:
        work.seen, want, outcome = seen, work.want, work.outcome
        outcome.seen = True
        try:
            with reading(backend, want.name):
                job.admit(want, seen)
                outcome.steps, outcome.described = _planned(resource, want, seen)
        except KraalError as error:
            outcome.error = error
            _describe(work)
            continue
        outcome.changed = bool(outcome.steps)
    return works


def _planned(resource: Resource[Any], want: Spec, seen: Any) -> tuple[list[Step], Mapping[str, Any] | None]:
    """The steps that may be done, and what there will be after them."""
    unread = unread_in(seen, want.name)
    if unread is not None:
        return plan_unread(want, unread), _placed(resource, foresee_unread(want, unread))
    steps = permitted(resource.plan(want, seen), want.allow)
    return steps, _placed(resource, resource.foresee(want, steps, seen))


def _placed(resource: Resource[Any], described: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """A guest says where it is; networks, images and volumes have no such field."""
    return {**described, "place": resource.place} if described is not None and "place" in described else described


def _describe(work: _Work) -> None:
    """Say what there is; one that cannot be described has an error."""
    outcome, unread = work.outcome, unread_in(work.seen, work.want.name)
    try:
        with reading(outcome.backend, outcome.name):
            described = unread.guest.as_dict() if unread else work.resource.describe(work.want.name, work.seen)
            outcome.described = _placed(work.resource, described)
    except KraalError as error:
        outcome.described = None
        outcome.error = outcome.error or error


def _perform(works: Sequence[_Work], concurrency: int, max_failures: int | None) -> None:
    """Apply every plan, guests side by side, one step at a time for each guest."""
    failures = sum(work.outcome.error is not None for work in works)
    guard = threading.Lock()

    def perform(work: _Work) -> None:
        nonlocal failures
        outcome = work.outcome
        if max_failures is not None and failures > max_failures:
            outcome.changed = False
            outcome.error = KraalError(
                "not begun, because %d others had failed" % failures,
                remedy="Mend those first, or allow more with max_failures",
            ).about(guest=outcome.name, backend=outcome.backend)
            return
        try:
            with reading(outcome.backend, outcome.name):
                for step in outcome.steps:
                    work.resource.apply(work.want, step, work.seen)
                work.resource.wait(work.want)
        except KraalError as error:
            # `changed` stays: a step that failed half-way may have changed something.
            outcome.error = error
            with guard:
                failures += 1

    ready = [work for work in works if work.outcome.error is None]
    # A guest that leaves may hold what another needs, a port of the host say.
    for leaves in (True, False):
        side_by_side(
            perform, [work for work in ready if (work.want.state in ("absent", "stopped")) is leaves], concurrency
        )


def _verify(works: Sequence[_Work]) -> None:
    """Observe again what was changed, and plan again: nothing may be left to do.

    An address that was waited for is looked at too.
    """
    touched = [work for work in works if work.outcome.changed or _got_address(work)]
    resources = {id(work.resource): work.resource for work in touched}
    for key, resource in resources.items():
        mine = [work for work in touched if id(work.resource) == key]
        try:
            with reading(resource.table.backend, ""):
                seen = resource.observe([work.want for work in mine])
        except KraalError as error:
            for work in mine:
                # What failed before keeps its own reason; whatever was done, nobody saw it.
                unseen = KraalError(
                    "the plan was performed, but what became of it cannot be seen: " + error.message,
                    remedy=error.remedy,
                )
                work.outcome.error = work.outcome.error or unseen.about(
                    guest=work.want.name, backend=resource.table.backend
                )
            continue
        for work in mine:
            work.seen, outcome = seen, work.outcome
            _describe(work)
            if outcome.error is not None:
                continue
            try:
                with reading(outcome.backend, outcome.name):
                    rest = _planned(resource, work.want, seen)[0]
                if rest:
                    raise resource.not_kept(work.want, rest)
            except KraalError as error:
                outcome.error = error.about(guest=outcome.name, backend=outcome.backend)


def _got_address(work: _Work) -> bool:
    """Whether it was given, while it was waited for, the address that it had not."""
    if work.outcome.error is not None or work.want.wait_for != "address":
        return False
    return work.outcome.described is not None and not work.outcome.described.get("addresses")
