# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Containers and what is around them as data: what was observed. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ....engine.errors import BackendError
from ....engine.reading import Unread
from ..image.references import ImageIndex
from ..other_store import OtherStore
from .aside import aside_of


@dataclass(frozen=True)
class Container:
    """One container as inspected, with the configuration of its image (empty where the image is gone)."""

    data: Mapping[str, Any]
    image: Mapping[str, Any]
    #: Its power state; for one that is being replaced, the state from before that.
    state: str
    #: What its image can be called now: the name under which it was made may mean another image meanwhile.
    image_name: str = ""

    @property
    def id(self) -> str:
        """The engine's own name for it."""
        return str(self.data["Id"])


@dataclass(frozen=True)
class Claim:
    """A port of the host that somebody has, or that a guest of this task wants. An empty address is all of them."""

    protocol: str
    address: str
    port: int
    holder: str

    def against(self, other: Claim) -> bool:
        """Whether both cannot be had at once."""
        same = (self.protocol, self.port) == (other.protocol, other.port)
        wild = ("", "0.0.0.0", "::")  # the two wildcards of the sockets API
        return (
            same
            and self.holder != other.holder
            and (self.address in wild or other.address in wild or self.address == other.address)
        )


@dataclass(frozen=True)
class Network:
    """A network that containers can be connected to."""

    id: str
    subnets: tuple[str, ...] = ()
    gateways: tuple[str, ...] = ()
    #: Whether the engine has it by itself, and whether it gives the addresses there.
    predefined: bool = False
    managed: bool = True


@dataclass
class Seen:
    """One look at an engine."""

    containers: dict[str, Container] = field(default_factory=dict)
    images: ImageIndex = field(default_factory=lambda: ImageIndex(()))
    #: The configurations of images, by id.
    configs: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    #: Containers of which the engine says what cannot be understood; what the list says of them is in ``containers``.
    unread: dict[str, Unread] = field(default_factory=dict)
    #: How many containers are listed without a name or an id.
    nameless: int = 0
    #: Why some images cannot be read, by id.
    faults: dict[str, BackendError] = field(default_factory=dict)
    #: What their registries say of images that may have to be pulled, by name: a digest, or why there is none.
    remote: dict[str, str | BackendError] = field(default_factory=dict)
    #: All networks, by name.
    networks: dict[str, Network] | None = None
    #: The ids of all containers, by name: others than those that are spoken of may be joined.
    ids: dict[str, str] = field(default_factory=dict)
    #: Those of them that do not run.
    at_rest: frozenset[str] = frozenset()
    #: The guests that shall be there after this task.
    living: frozenset[str] = frozenset()
    #: The engine's API, and the processors and memory nodes of its host, as far as somebody asks for them.
    api: tuple[int, ...] = (99,)
    processors: int = 0
    runtimes: frozenset[str] = frozenset()
    online: tuple[int, ...] = ()
    nodes: tuple[int, ...] = ()
    #: The guests that have an address in a network, or will have it.
    addresses: dict[tuple[str, str], frozenset[str]] = field(default_factory=dict)
    claims: list[Claim] = field(default_factory=list)
    #: The names of the containers that use a volume.
    volume_users: dict[str, set[str]] = field(default_factory=dict)
    #: The volumes that are still to go of guests whose removal has begun, by the guest's name.
    volumes_to_remove: dict[str, list[str]] = field(default_factory=dict)

    #: What the engine has kept in another store, where one of these guests is to be created.
    other: OtherStore = field(default_factory=OtherStore)

    def name_of(self, container: str) -> str:
        """What a container is called that is named, or spoken of by how its id begins; empty where there is none."""
        if container in self.ids:
            return container
        return next((name for name, key in self.ids.items() if container and key.startswith(container)), "")

    def known(self, container: str) -> bool:
        """Whether a container is there, or will be."""
        return container in self.living or bool(self.name_of(container))

    def stopped(self, container: str) -> bool:
        """Whether a container is there that does not run, and that this task does not speak of."""
        name = self.name_of(container)
        return name in self.at_rest and name not in self.living

    def successor(self, name: str) -> tuple[str, str]:
        """The container that was made to take this one's place, and the state that this one had before it was stopped
        for that, where the new one's name says it. Empty where there is none.
        """
        states = ("", "running", "stopped", "paused")
        keys = {f"{name}.kraal-new{state and '-' + state}": state for state in states}
        return next(((key, state) for key, state in keys.items() if key in self.containers), ("", ""))

    def replaced(self, name: str) -> tuple[str, Container] | None:
        """The container that a re-creation of this name put aside and did not get to remove, with its name."""
        key = aside_of(name, self.containers)
        return (key, self.containers[key]) if key else None
