# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Users in a group of this host, as a part of a setup. Users are added, and never taken out."""

from __future__ import annotations

import grp
import pwd
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from ..engine.action import Action
from ..engine.errors import BackendError
from ..engine.plan import Step
from .reader import Host
from .setup import HOST


@dataclass(frozen=True)
class Members:
    """Who is to be in a group. ``present``: who is in it by its entry; None where there is no such group yet."""

    host: Host
    group: str
    users: Sequence[str]
    present: Collection[str] | None
    #: Whether a package that is to come brings the group.
    comes: bool = False
    #: The role's variable that names the users.
    option: str = "users"
    #: Those whose own first group it is: they need no entry.
    first: Collection[str] = ()

    def faults(self) -> Sequence[str]:
        """That there is no such group, and nothing brings it."""
        if not self.users or self.present is not None or self.comes:
            return []
        return [
            "{} names {}, but this host has no group {}. Make the group first (groupadd --system {}), or take them "
            "off the list.".format(self.option, ", ".join(self.users), self.group, self.group)
        ]

    def plan(self) -> Sequence[Step]:
        """One step for all users."""
        before = sorted(self.present or ())
        after = sorted({*before, *(set(self.users) - set(self.first))})
        return [Step(HOST, Action.SET, f"groups[{self.group}]", before, after)] if before != after else []

    def apply(self, step: Step) -> None:
        """Add who is not in there. Raises BackendError."""
        for user in [each for each in step.after if each not in step.before]:
            # Unlike usermod it takes users of a directory too.
            said = self.host.run(["gpasswd", "--add", user, self.group])
            if said is None or said.rc:
                raise BackendError(
                    "{} cannot be put into the group {}: {}".format(
                        user, self.group, said.error if said else "there is no gpasswd"
                    ),
                    remedy=f"Put them into it by hand, or take them off {self.option}",
                )


def members(host: Host, group: str, users: Sequence[str], option: str, comes: bool = False) -> Members:
    """The part, from what this host knows of the group.

    Users whom it does not know are left out: see unknown_users().
    """
    known = [user for user in users if host.knows(user)]
    try:
        entry = grp.getgrnam(group)
    except KeyError:
        return Members(host, group, known, None, comes, option)
    first = [user for user in known if pwd.getpwnam(user).pw_gid == entry.gr_gid]
    return Members(host, group, known, entry.gr_mem, comes, option, first)
