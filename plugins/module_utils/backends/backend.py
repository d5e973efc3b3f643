# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the rest of the collection may know of a backend: all of it stands here, so nothing else compares its name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from ..engine.reading import Found
from ..engine.resource import Guests
from ..engine.spec import Table

#: The forms of a base image that guests are made of: a root file system as a tar archive, and a bootable disk.
ARCHIVE, DISK = "archive", "disk"


@dataclass(frozen=True)
class Managed:
    """What it takes to manage the guests of a backend."""

    table: Table
    #: Ansible's declaration of the options that say how the backend is reached.
    connection: Mapping[str, Any]
    #: The resource behind these connection options. Raises KraalError with the remedy where it cannot be reached.
    connect: Callable[[Mapping[str, Any]], Guests[Any]]
    #: Where the guests are that these connection options reach (see GuestId), before anybody connects.
    place: Callable[[Mapping[str, Any]], str]
    #: The modules of other collections for such guests: see engine/peers.py, which discovery does without.
    peers: tuple[Any, ...] = ()


@dataclass(frozen=True)
class Backend:
    """One backend: facts that cost nothing to import, and the two ways to its code, imported when it is asked for.

    That code is imported by its name, so that Ansible, which sends a module with all that it sees imported, does not
    send every backend with every task: see every.py and plugins/action/fleet.py.
    """

    #: Its name, which its room here has too.
    name: str
    #: Whether its guests are machines with a kernel of their own, which are reached by ssh when they have an address.
    machines: bool
    #: Who answers for its guests, in messages.
    daemon: str
    #: Whether a text is an id that the backend gives to a guest of this name; takes the id and the name.
    is_id: Callable[[str, str], bool]
    #: The variables with which the connection plugin finds a guest on its host, beside its name; takes the result form.
    reach: Callable[[Mapping[str, Any]], Mapping[str, str]]
    #: Ansible's declaration of what its discovery can be told: options of guests_info and of the inventory.
    discovery: Mapping[str, Any] = field(default_factory=dict)
    #: The connection options of an entry of the inventory's ``endpoints``, the required one first. Empty where it can
    #: only be asked on its host.
    endpoint: tuple[str, ...] = ()
    #: The connection option that says where its guests are, in messages.
    address: str = ""
    #: The options of its guests that say how one is removed.
    removal: tuple[str, ...] = ()
    #: The forms of a base image whose files its guests are made of.
    made_of: tuple[str, ...] = ()

    def guests(self, parameters: Mapping[str, Any]) -> Found:
        """All its guests on this host, or where the connection options among the parameters say. Needs no Ansible, and
        no library that the host may lack. Raises BackendError, and NotInstalled where the host has none of it.
        """
        found: Found = import_module(f"{__package__}.{self.name}.discover").guests(parameters)
        return found

    def managed(self) -> Managed:
        """What it takes to manage its guests; needs Ansible, and the backend's own library to connect."""
        found: Managed = import_module(f"{__package__}.{self.name}.manage").managed()
        return found
