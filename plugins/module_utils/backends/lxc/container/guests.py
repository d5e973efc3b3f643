# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The guests of one directory, or of all directories that are known. Reads only."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from ....engine.errors import BackendError, KraalError
from ....engine.printable import printable
from ....engine.reading import Found
from ..client import Directories, Lxc, all_paths
from ..files import changeable
from .config import Config
from .describe import guest_of, known_of
from .model import Seen
from .observe import NOTE, observe

#: Of so many places a look says that they are passed over.
MOST_PASSED_OVER = 5


def all_guests(parameters: Mapping[str, Any]) -> Found:
    """The guests of one directory, or of all that are known. Raises NotInstalled and BackendError."""
    lxc = Lxc(parameters)
    places = Directories([lxc.path]) if parameters.get("lxc_path") else all_paths(lxc.standard)
    found = Found()
    for path in (*places.named, *places.found):
        try:
            there = Lxc({"lxc_path": path})
            seen = observe(there, None)
        except KraalError as error:
            if path in (lxc.path, lxc.standard):
                raise
            # What is wrong in one directory is no reason to lose the guests of the others.
            found.faults.append(error)
            continue
        found.join(_all_in(there, seen, places, named=path in places.named))
    found.faults += _passed_over(places)
    return found


def _all_in(lxc: Lxc, seen: Seen, places: Directories, *, named: bool) -> Found:
    """The guests of one directory. In one that nobody has named, those are passed over that others can change."""
    found = Found(place=lxc.place)
    for container in seen.containers.values():
        known = known_of(container)
        if container.unfinished or (not named and _is_of_others(known.id, places, container.config)):
            continue
        found.add(known, partial(guest_of, container))
        if container.unread_note:
            found.faults.append(
                BackendError(
                    container.unread_note, remedy="Mend or remove that file", guest=container.name, backend="lxc"
                )
            )
    found.add_unread(
        {name: unread for name, unread in seen.unread.items() if named or not _is_of_others(unread.guest.id, places)}
    )
    return found


def _passed_over(places: Directories) -> Iterator[KraalError]:
    """What was passed over, once for each place, and of no more places than can be read."""
    remedy = "Ask as the user whose containers these are, or see that nobody but root can change what is there"
    for path, why in list(places.passed_over.items())[:MOST_PASSED_OVER]:
        yield BackendError(f"{printable(path)} is passed over: {why}", remedy=remedy, backend="lxc")
    more = len(places.passed_over) - MOST_PASSED_OVER
    if more > 0:
        yield BackendError("%d places more are passed over" % more, remedy=remedy, backend="lxc")


def _is_of_others(place: str, places: Directories, config: Config | None = None) -> bool:
    """Whether others can change a container, or what its configuration includes, which is noted then."""
    entries = config.entries if config else ()
    included = [entry.value for entry in entries if entry.key == "lxc.include" and entry.value.startswith("/")]
    try:
        files = [
            path
            for path in (os.path.join(place, "config"), os.path.join(place, NOTE), *included)
            if os.path.lexists(path)
        ]
        files += [str(path) for directory in included for path in Path(directory).glob("*.conf")]
        where = next(filter(None, map(changeable, files)), "")
    except OSError:
        # It went in this moment, or leads nowhere.
        return True
    if where:
        places.passed_over[place] = f"others can change {printable(where)}"
    return bool(where)
