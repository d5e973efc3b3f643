# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""All guests of LXC, for the discovery, which needs no library but Python's own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...engine.reading import Found


def guests(parameters: Mapping[str, Any]) -> Found:
    """See Backend.guests()."""
    from .container.guests import all_guests

    return all_guests(parameters)
