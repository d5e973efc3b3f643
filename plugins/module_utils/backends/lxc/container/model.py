# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Containers and what is around them as data: what was observed. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ....engine.action import PowerState
from ....engine.compare import Difference
from ....engine.errors import KraalError
from ....engine.reading import Unread, as_number
from .config import Config
from .limits import LIMITS, Groups, WeightLimit


@dataclass(frozen=True)
class Container:
    """One container as it was found: its configuration, the note beside it, and what the kernel says of it while it
    runs.
    """

    name: str
    path: str
    config: Config
    #: What is kept beside the configuration: image, labels, description.
    note: Mapping[str, Any] = field(default_factory=dict)
    state: str = PowerState.STOPPED
    #: liblxc's own word for that.
    raw_state: str = "STOPPED"
    pid: int = 0
    groups: Groups = Groups()
    #: The control group's files, by name; empty while it does not run.
    live: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    addresses: tuple[Any, ...] = ()
    #: The configuration keys that take effect at the next start.
    pending: tuple[str, ...] = ()
    #: Its directory, of which nothing but a container that was never finished may be left.
    unfinished: bool = False
    #: A run died that was to give it another root file system.
    replacing: bool = False
    #: Why the note beside the configuration cannot be read.
    unread_note: str = ""

    @property
    def runs(self) -> bool:
        """Whether it has processes, frozen or not."""
        return self.state != "stopped"

    @property
    def written(self) -> dict[str, tuple[str, ...]]:
        """The control group's files as the configuration has them."""
        prefix = self.groups.prefix
        return {key[len(prefix) :]: values for key, values in self.config.values.items() if key.startswith(prefix)}

    def limit(self, name: str, want: Any = None, *, live: bool | None = None) -> Any:
        """A limit as it is in effect (live), or written in the configuration."""
        raw = self.live if (self.runs if live is None else live) else self.written
        limit = LIMITS[name]
        kept = (
            limit.kept(self.groups, raw, as_number(self.note.get(name)), want)
            if isinstance(limit, WeightLimit)
            else None
        )
        memory = {"memory": LIMITS["memory"].decode(self.groups, raw)}
        return limit.decode(self.groups, raw, want, memory) if kept is None else kept


@dataclass
class Seen:
    """One look at a directory of containers."""

    groups: Groups = field(default_factory=Groups)
    containers: dict[str, Container] = field(default_factory=dict)
    #: Containers of other directories that are to be cloned, by directory and name.
    others: dict[tuple[str, str], Container] = field(default_factory=dict)
    #: The containers whose root file systems stand on another one's, by that one's name.
    dependants: dict[str, list[str]] = field(default_factory=dict)
    #: Directories in which there is no container, and none that was begun.
    not_containers: frozenset[str] = frozenset()
    #: Containers whose configuration cannot be read.
    unread: dict[str, Unread] = field(default_factory=dict)
    #: Why liblxc does not take the configuration of a container that runs, by its name: it can do nothing with that
    #: one.
    stuck: dict[str, str] = field(default_factory=dict)
    #: What is wrong with what guests would become, by name.
    faults: dict[str, KraalError] = field(default_factory=dict)
    #: Why liblxc refuses the configuration that a guest would get, by its name; empty where it takes it.
    objections: dict[str, str] = field(default_factory=dict)
    #: What will wait for a restart once a running guest's new configuration is written, by its name.
    pending: dict[str, tuple[str, ...]] = field(default_factory=dict)
    #: Where the options that are set differ from what is there, or from what a new container begins with, by the
    #: guest's name.
    changes: dict[str, tuple[Difference, ...]] = field(default_factory=dict)
    #: New containers before the task's own options.
    blank: dict[str, Container] = field(default_factory=dict)
    #: The configuration that a new container begins with.
    fresh: Config = field(default_factory=lambda: Config(""))
    #: Images that were looked for and are not there.
    missing: frozenset[str] = frozenset()
