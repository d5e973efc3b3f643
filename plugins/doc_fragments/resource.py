# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The options that mean the same for networks, volumes and pools."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  disruption:
    description: The most that the task may disturb. Each step of the RV(plan) says what it costs.
    type: str
    choices: [none, live, restart, recreate, destroy]
    default: live
"""

    # For what has lists or mappings that are merged with what is there.
    PURGE = r"""
options:
  purge:
    description: Remove what is there beyond what the task names, for these options.
    type: list
    elements: str
    default: []
"""
