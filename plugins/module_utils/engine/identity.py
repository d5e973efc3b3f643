# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which guest is meant: its backend, its place and its name. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from .errors import InvalidOption


@dataclass(frozen=True, order=True)
class GuestId:
    """One guest, or one image, network or volume: guests of one name may live in several places.

    ``place`` is the address of the daemon or the directory that has it, with the user or the path in it, always in the
    same spelling; empty for the host's own default (see place_of() in each backend's client).
    """

    backend: str
    place: str
    name: str

    @property
    def called(self) -> str:
        """What to call it beside others of its backend: its name, and where it is unless that is the host's own
        default.
        """
        return f"{self.name} at {self.place}" if self.place else self.name


def check_unique(guests: Iterable[GuestId]) -> None:
    """Raise InvalidOption for two guests of one name in one place of one backend."""
    seen = set()
    for guest in guests:
        if guest in seen:
            raise InvalidOption(
                "name",
                guest.name,
                "is the name of two {} guests of this task{}".format(
                    guest.backend, f" at {guest.place}" if guest.place else ""
                ),
                remedy="Give each guest a name of its own",
            )
        seen.add(guest)
