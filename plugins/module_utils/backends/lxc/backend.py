# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""LXC, as the registry finds it. The discovery needs no library but Python's own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...engine.reading import Found
from ..registry import Backend


def guests(parameters: Mapping[str, Any]) -> Found:
    """See guests_of() of the registry."""
    from .container_observe import all_guests

    return all_guests(parameters)


def managed() -> Backend:
    """See backend() of the registry."""
    from .client import CONNECTION, Lxc, place_of
    from .container import Containers

    return Backend(Containers.table, CONNECTION, lambda parameters: Containers(Lxc(parameters)), place_of)
