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
    #: The ids of all networks, by name.
    networks: dict[str, str] | None = None
    #: The ids of all containers, by name: others than those that are spoken of may be joined.
    ids: dict[str, str] = field(default_factory=dict)
    claims: list[Claim] = field(default_factory=list)
    #: The names of the containers that use a volume.
    volume_users: dict[str, set[str]] = field(default_factory=dict)
    #: The volumes that are still to go of guests whose removal has begun, by the guest's name.
    volumes_to_remove: dict[str, list[str]] = field(default_factory=dict)

    #: What the engine has kept in another store, where one of these guests is to be created.
    other: OtherStore = field(default_factory=OtherStore)

    def replaced(self, name: str) -> tuple[str, Container] | None:
        """The container that a re-creation of this name put aside and did not get to remove, with its name."""
        keys = [f"{name}.kraal-was-{state}" for state in ("running", "stopped", "paused")]
        return next(((key, self.containers[key]) for key in keys if key in self.containers), None)
