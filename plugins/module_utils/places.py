# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The places that a task names beside those of its guests: each a backend and the options that reach it there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from .backends.registry import NAMES, backend
from .engine.entries import checked
from .engine.errors import InvalidOption, KraalError

ARGUMENT: dict[str, Any] = {"type": "list", "elements": "dict", "default": []}


@dataclass(frozen=True)
class Place:
    """One of them, its connection options typed and with their defaults."""

    backend: str
    connection: Mapping[str, Any]


def read_place(name: str, given: Mapping[str, Any], secrets: set[str]) -> Place:
    """A place of that backend, with these connection options. Raises KraalError."""
    return Place(
        name,
        checked(
            backend(name).managed().connection,
            given,
            secrets,
            f"the module for {name} guests that say how it is reached",
        ),
    )


def read_places(places: Iterable[Mapping[str, Any]], secrets: set[str]) -> list[Place]:
    """The places of a task. ``secrets``: gets what is secret of their options. Raises KraalError."""
    found = []
    for number, place in enumerate(places, start=1):
        name = place.get("backend")
        if name not in NAMES:
            raise InvalidOption(
                "places[%d]" % number,
                name,
                "is not a backend of this collection",
                remedy="Write one of: " + ", ".join(NAMES),
            )
        try:
            found.append(
                read_place(
                    str(name),
                    {key: value for key, value in place.items() if key != "backend" and value is not None},
                    secrets,
                )
            )
        except KraalError as error:
            raise error.about(guest="places[%d]" % number, backend=str(name)) from error
    return found
