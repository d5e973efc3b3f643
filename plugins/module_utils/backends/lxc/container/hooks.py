# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The hooks of a container that is copied. Pure.

lxc-copy moves those that lie in the container's directory, which it knows by the first letters of their paths alone:
with "web" it moves those of "web2", and files of the same name are written over each other (LXC 5.0.2, copyhooks).
"""

from __future__ import annotations

from collections.abc import Iterator

from .config import Config


def hooks_inside(config: Config, directory: str) -> list[str]:
    """What the container's own hooks run in this directory, which is its own."""
    return [value for _key, value in _hooks(config) if value.startswith(directory + "/")]


def hooks_of_copy(source: Config, copied: Config, directory: str) -> dict[str, tuple[str, ...]]:
    """The hooks that the copy should have, by key: what lies in the source's directory is moved, all else stays."""
    keys = dict.fromkeys(key for key, _value in _hooks(source))
    return {
        key: tuple(
            new if old.startswith(directory + "/") else old
            for old, new in zip(source.own[key], copied.own.get(key, source.own[key]))
        )
        for key in keys
    }


def _hooks(config: Config) -> Iterator[tuple[str, str]]:
    for key, values in config.own.items():
        if key.startswith("lxc.hook.") and key != "lxc.hook.version":
            yield from ((key, value) for value in values)
