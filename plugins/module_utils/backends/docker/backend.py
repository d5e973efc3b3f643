# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Docker, as the registry finds it. The discovery needs no library but Python's own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...engine.result import Guest
from ..registry import Backend


def guests(parameters: Mapping[str, Any]) -> list[Guest]:
    """See guests_of() of the registry."""
    from .container_observe import guest_of, observe, owner_of
    from .reader import Reader

    reader = Reader(parameters)
    try:
        seen = observe(reader, None)
    finally:
        reader.close()
    return [guest_of(container) for name, container in sorted(seen.containers.items()) if not owner_of(name)]


def managed() -> Backend:
    """See backend() of the registry."""
    from .client import CONNECTION, connect
    from .container import Containers

    return Backend(Containers.table, CONNECTION, lambda parameters: Containers(connect(parameters)))
