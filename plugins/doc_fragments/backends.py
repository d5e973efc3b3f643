# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The option that chooses among all backends: the same wherever guests are looked for."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  backends:
    description: Look for guests of these backends only. All unless set.
    type: list
    elements: str
    choices: [docker, kvm, lxc]
"""
