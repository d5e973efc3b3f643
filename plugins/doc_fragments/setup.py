# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  packages:
    description: More packages that the host has to have. The module installs none; it tells which are missing.
    type: list
    elements: str
    default: []
  users:
    description: Existing users of the host who are to be let use the backend.
    type: list
    elements: str
    default: []
  service_manager:
    description:
      - What starts the backend's daemons. V(systemd) and V(sysvinit) use the packages' units or init scripts, at boot
        as well.
      - V(direct) starts them itself, on hosts where no init system runs. Nothing starts them at boot then; run the
        module again.
      - V(auto) finds out which one applies.
    type: str
    choices: [auto, systemd, sysvinit, direct]
    default: auto
  verify:
    description:
      - Whether to prove that a guest runs, where something was changed, or where no guest of the backend runs, which is
        proof enough.
      - What this makes is removed again.
    type: bool
    default: true
  assume_packages:
    description: Whether to plan as if the missing packages were installed. Only in check mode.
    type: bool
    default: false
  faults:
    description:
      - What happens when something is in the way. V(refuse) fails with all of it. V(return) only returns it, as
        RV(faults).
      - Nothing is changed in either case.
    type: str
    choices: [refuse, return]
    default: refuse
"""
