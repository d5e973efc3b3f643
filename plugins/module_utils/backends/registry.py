# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The backends by name: the one place that `fleet` and the discovery know them from.

Each is imported only when it is asked for; a backend whose library is missing costs nothing and breaks nothing. It is imported by its name, so that Ansible,
which sends a module with all that it sees imported, does not send every backend with every task: see every.py and plugins/action/fleet.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from ..engine.reading import Found
from ..engine.resource import Guests
from ..engine.spec import Table

#: The names of all backends. Each has a room of that name here, and in it the module `backend`.
NAMES = ("docker", "kvm", "lxc")


@dataclass(frozen=True)
class Backend:
    """What is needed to manage the guests of one backend."""

    table: Table
    #: The argument spec of the options that say how the backend is reached.
    connection: Mapping[str, Any]
    connect: Callable[[Mapping[str, Any]], Guests[Any]]
    #: Where the guests are that these connection options reach (see GuestId), before anybody connects.
    place: Callable[[Mapping[str, Any]], str]


def _room(name: str) -> Any:
    return import_module("%s.%s.backend" % (__package__, name))


def guests_of(name: str, parameters: Mapping[str, Any] | None = None) -> Found:
    """All guests of that backend, on this host or where the parameters say. Raises NotInstalled where it has none of it, and BackendError."""
    found: Found = _room(name).guests(parameters or {})
    return found


def backend(name: str) -> Backend:
    """The backend of that name, which is one of NAMES."""
    found: Backend = _room(name).managed()
    return found
