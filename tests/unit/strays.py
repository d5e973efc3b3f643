# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a fleet that prunes would take away of what is observed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from ansible_collections.kraal.virt.plugins.module_utils import fleet

LABELS = {fleet.LABEL: "shop"}


def strays(monkeypatch: pytest.MonkeyPatch, resource: Any) -> tuple[Sequence[str], Sequence[str]]:
    """The names of the guests of the fleet ``shop``, which names none, and the warnings. Raises KraalError."""
    monkeypatch.setattr(fleet, "_other_places", lambda *_arguments: [])
    mine, warnings = fleet.Fleet(name="shop"), list[str]()
    job = fleet.FleetJob(resource, [], mine, True)
    fleet._add_strays(mine, [job], warnings)
    return [want.name for want in job.wants], warnings
