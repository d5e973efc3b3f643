# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""All guests of Docker, for the discovery, which needs no library but Python's own."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from ...engine.errors import BackendError
from ...engine.reading import Found


def guests(parameters: Mapping[str, Any]) -> Found:
    """See Backend.guests()."""
    from .container.aside import owner_of
    from .container.observe import guest_of, known_of, observe
    from .reader import Reader

    reader = Reader(parameters)
    try:
        seen = observe(reader, None)
    finally:
        reader.close()
    found = Found(place=reader.place)
    for name, container in seen.containers.items():
        if not owner_of(name) and name not in seen.unread:
            found.add(known_of(name, container), partial(guest_of, container))
    found.add_unread({name: each for name, each in seen.unread.items() if not owner_of(name)})
    if seen.nameless:
        found.faults.append(
            BackendError(
                "%d of the containers that the engine lists have no name, and are left out" % seen.nameless,
                backend="docker",
            )
        )
    return found
