# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Subordinate ids of users for unprivileged guests (/etc/subuid and /etc/subgid), as a part of a setup.

Ranges are added, and never taken away.
"""

from __future__ import annotations

import pwd
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..engine.action import Action
from ..engine.errors import BackendError
from ..engine.plan import Step
from .reader import Host
from .setup import HOST

#: As in login.defs(5).
FIRST = 100000
#: The largest id there is, less the one that means none.
LAST = 2**32 - 2

#: The file of each kind of ids, by the name that host.kernel.subordinate_ids has for it, and what usermod(8) calls it.
KINDS = {"users": ("subuid", "--add-subuids"), "groups": ("subgid", "--add-subgids")}


@dataclass(frozen=True)
class Grant:
    """What one user is to be given: the same range in each of the kinds."""

    user: str
    first: int
    last: int
    kinds: Sequence[str]

    @property
    def range(self) -> str:
        """As usermod takes it."""
        return "%d-%d" % (self.first, self.last)


def grants(
    given: Mapping[str, Sequence[Mapping[str, Any]]], users: Sequence[tuple[str, int]], count: int
) -> list[Grant]:
    """One range for each user who has none that is long enough in either file, behind all that are taken. Pure.

    ``given``: see host.kernel.subordinate_ids. ``users``: names and numbers, since the files may say either.
    A guest's ids are one piece, so the ranges of a user do not add up.
    """
    free = max([FIRST, *(entry["first"] + entry["count"] for kind in KINDS for entry in given[kind])])
    found = []
    for name, number in users:
        owners = (name, str(number))
        lacking = [
            kind
            for kind in KINDS
            if not any(entry["owner"] in owners and entry["count"] >= count for entry in given[kind])
        ]
        if lacking:
            found.append(Grant(name, free, free + count - 1, lacking))
            free += count
    return found


@dataclass(frozen=True)
class SubordinateIds:
    """The ids of some users. ``option`` and ``count_option`` are the variables that a fault names."""

    host: Host
    missing: Sequence[Grant]
    count: int
    option: str
    count_option: str

    def faults(self) -> Sequence[str]:
        """That there are not so many ids."""
        if self.count > 0 and all(grant.last <= LAST for grant in self.missing):
            return []
        return [
            "%s is %d, and so many ids are not left for every user of %s behind those that /etc/subuid and /etc/subgid"
            " give away. A guest needs 65536." % (self.count_option, self.count, self.option)
        ]

    def plan(self) -> Sequence[Step]:
        """A step for each user and file."""
        wanted = [(grant, kind) for grant in self.missing for kind in grant.kinds]
        return [Step(HOST, Action.SET, f"{KINDS[kind][0]}[{grant.user}]", None, grant.range) for grant, kind in wanted]

    def apply(self, step: Step) -> None:
        """By usermod, which takes the locks of these files, as all do who give out ids. Raises BackendError."""
        file, _bracket, user = step.key.rstrip("]").partition("[")
        option = next(option for name, option in KINDS.values() if name == file)
        said = self.host.run(["usermod", option, step.after, "--", user])
        if said is None or said.rc:
            raise BackendError(
                "{} cannot be given the ids {} in /etc/{}: {}".format(
                    user, step.after, file, said.error if said else "there is no usermod"
                ),
                remedy=f"Write the line {user}:FIRST:COUNT into it by hand, or take the user off {self.option}",
            )


def subordinate_ids(
    host: Host,
    given: Mapping[str, Sequence[Mapping[str, Any]]],
    users: Sequence[str],
    count: int,
    *,
    option: str,
    count_option: str,
) -> SubordinateIds:
    """The part, from what this host gives away. Users whom it does not know are left out: see setup.unknown_users()."""
    known = [(user, pwd.getpwnam(user).pw_uid) for user in dict.fromkeys(users) if host.knows(user)]
    return SubordinateIds(host, grants(given, known, count) if count > 0 else [], count, option, count_option)
