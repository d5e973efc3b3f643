# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The names of containers on their way: one that is to replace another, and the one that is replaced.

The name of the latter says how it was: its power state, and its restart policy, which is "no" as long as it stands
aside. After a restart of the engine it would run again otherwise, beside its successor and on the same volumes. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from .kinds import encode_restart, read_restart

#: The end of the name of one that is to replace another. It remembers how the old one was where that had to be stopped
#: before it could be renamed.
NEW = ".kraal-new"
SUCCESSOR = re.compile(r"(?P<name>.+)\.kraal-new(-(?P<state>running|stopped|paused))?")
_ASIDE = ".kraal-was-"
_OLD = re.compile(
    r"(?P<name>.+)\.kraal-was-(?P<state>running|stopped|paused)(?:-(?P<policy>[a-z]+(?:-[a-z]+)?)(?:-(?P<count>[0-9]+))?)?"
)


def name_aside(name: str, state: str, data: Mapping[str, Any]) -> str:
    """The name of a container that is replaced. ``data``: as it was inspected."""
    policy = policy_of(data)
    return f"{name}{_ASIDE}{state}" + (f"-{policy.replace(':', '-')}" if policy != "no" else "")


def policy_of(data: Mapping[str, Any]) -> str:
    """The restart policy of an inspected container, as a task has it."""
    return read_restart(data["HostConfig"].get("RestartPolicy"))


def owner_of(name: str) -> str:
    """The guest that a container on its way belongs to, or nothing."""
    match = _OLD.fullmatch(name) or SUCCESSOR.fullmatch(name)
    return match["name"] if match else ""


def state_aside(name: str) -> str:
    """The power state from before, of one that is replaced; nothing for any other."""
    match = _OLD.fullmatch(name)
    return match["state"] if match else ""


def as_before(name: str, data: Mapping[str, Any]) -> Mapping[str, Any]:
    """An inspected container with the restart policy that it had before it was put aside."""
    match = _OLD.fullmatch(name)
    if not match or not match["policy"]:
        return data
    policy = encode_restart(":".join(filter(None, (match["policy"], match["count"]))))
    return {**data, "HostConfig": {**data["HostConfig"], "RestartPolicy": policy}}


def aside_of(name: str, names: Iterable[str]) -> str:
    """The name, of all these, under which the container of that name was put aside; nothing where none was."""
    begin = name + _ASIDE
    return min((each for each in names if each.startswith(begin) and owner_of(each) == name), default="")
