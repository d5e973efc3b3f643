# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Keys of control groups of version 1 in a configuration, which LXC 7 does not take any more: what stands for them now.

Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from ....engine.compare import Difference
from ....engine.kinds import Part
from ....engine.spec import Spec
from .config import is_list
from .limits import LIMITS, WEIGHTS, Groups
from .model import Container
from .options import OPTIONS, Lines, option_named

OLD, NEW = Groups(1).prefix, Groups(2).prefix
#: What LXC 7 still takes: where its groups are, in whichever version.
_PLACE = re.compile(r"lxc\.cgroup\.(dir(\..*)?|relative)")
#: What is written alike in both versions; what denies comes first.
_ALIKE = ("devices.deny", "devices.allow")


def old_keys(have: Container) -> Lines:
    """The keys that the container's own file has of version 1."""
    return {key: values for key, values in have.config.own.items() if is_old(key)}


def is_old(key: str) -> bool:
    """Whether a key is of version 1 alone."""
    return key.startswith(OLD) and not _PLACE.fullmatch(key)


def carried_over(want: Spec, have: Container) -> list[Difference]:
    """The differences that take them away, with what stands for them: limits that neither the task nor the file sets
    for version 2, and rules for devices. What else there is has no meaning there.
    """
    old = old_keys(have)
    lines: Lines = dict.fromkeys(old, ())
    for file in _ALIKE:
        if old.get(OLD + file):
            lines[NEW + file] = (*have.config.values.get(NEW + file, ()), *old[OLD + file])
    parts = [Part(key, _shown(key, have.config.values.get(key, ())), _shown(key, lines[key])) for key in sorted(lines)]
    return [*_limits(want, have, old), Difference(option_named("config"), tuple(parts), lines)]


def _shown(key: str, values: tuple[str, ...]) -> list[str] | str | None:
    if not values:
        return None
    return list(values) if is_list(key) else values[0]


def _limits(want: Spec, have: Container, old: Mapping[str, tuple[str, ...]]) -> Iterator[Difference]:
    raw = {key[len(OLD) :]: values for key, values in old.items()}
    weight = next((name for name in WEIGHTS[1] if name in raw), "")
    groups = Groups(1, weight, processors=have.groups.processors)
    memory = {"memory": LIMITS["memory"].decode(groups, raw)}
    for option in OPTIONS:
        limit = option.limit
        if limit is None or option.name in want.values or not limit.known(have.groups):
            continue
        if set(limit.files(groups)) & set(raw) and not set(limit.files(have.groups)) & set(have.written):
            value = limit.decode(groups, raw, None, memory)
            yield Difference(option, (Part("", None, option.kind.show(value)),), value)
