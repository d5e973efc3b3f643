# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a module says of itself: check mode, diff mode, idempotency, and the groups that set its defaults.

A module extends ``kraal.virt.attributes`` and, for its groups, one of the fragments ``actiongroup_``. Such a fragment
names every group of its modules, since one fragment's list replaces another's. What a module does not support in full
it names itself. What it names, and what an earlier fragment says, wins.
"""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options: {}
attributes:
  check_mode:
    description: Under check mode (C(--check)) nothing is changed, and the result tells what would be.
    support: full
  diff_mode:
    description: Under diff mode (C(--diff)) the changed keys are shown with their values before and after.
    support: full
  idempotent:
    description: Run again with the same arguments, it changes nothing and says so, unless something was changed in
      between.
    support: full
  action_group:
    description: Use one of these groups, as C(group/NAME), in C(module_defaults) to set defaults for this module, such
      as the options of the connection.
    support: full
seealso:
  - ref: ansible_collections.kraal.virt.docsite.guide_plans
    description: What the steps of a plan have, what is returned of a guest, and the words in both.
"""

    # For modules that only look; extended before kraal.virt.attributes.
    INFO = r"""
options: {}
attributes:
  diff_mode:
    support: none
    details: The module changes nothing.
"""

    # For the modules of any backend.
    ACTIONGROUP_KRAAL = r"""
options: {}
attributes:
  action_group:
    membership: [kraal.virt.kraal]
"""

    # For the modules of LXC.
    ACTIONGROUP_LXC = r"""
options: {}
attributes:
  action_group:
    membership: [kraal.virt.kraal, kraal.virt.lxc]
"""

    # For the modules that talk to a Docker engine.
    ACTIONGROUP_DOCKER = r"""
options: {}
attributes:
  action_group:
    membership: [kraal.virt.docker, kraal.virt.kraal]
"""

    # For the modules that talk to libvirt.
    ACTIONGROUP_KVM = r"""
options: {}
attributes:
  action_group:
    membership: [kraal.virt.kraal, kraal.virt.kvm]
"""
