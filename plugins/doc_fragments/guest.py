# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The options that mean the same in every guest module.

A module adds what is its own: the choices of O(state), O(purge) and O(wait_for), and the default of O(disruption).
"""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  name:
    description: The guest's name.
    type: str
    required: true
  state:
    description:
      - The power state that the guest shall have.
      - V(running), V(stopped) and V(paused) create the guest if it is not there, and bring it into that state.
      - V(present) leaves the power state alone. A guest that is not there is created and not started.
      - V(absent) removes the guest; one that runs is stopped first.
      - A running guest is not stopped, and a stopped one not started, only to change it in place.
    type: str
    default: running
  purge:
    description:
      - The options whose lists and mappings are complete; what the guest has beyond them is taken away.
      - The lists and mappings of all other options are merged with what is there. Entries that the task does not name
        stay as they are.
      - Naming an option that the task does not set has no effect.
    type: list
    elements: str
    default: []
  disruption:
    description:
      - The most that a change to a guest may disturb it. Each step of the RV(plan) says what it costs.
      - V(none) allows bookkeeping only, V(live) what a running guest does not have to stop for, V(restart) a restart of
        the guest, V(recreate) that it is made anew, V(destroy) that something is lost.
      - A change that needs a re-creation which is not allowed is refused before anything is touched, and the error
        names the options.
      - What O(state) asks for by itself (create, start, stop, pause, remove) needs no permission.
    type: str
    choices: [none, live, restart, recreate, destroy]
  wait_for:
    description: What to wait for at the end of the task, when the guest shall run. It is not waited for under check
      mode.
    type: str
    default: none
  timeout:
    description:
      - How many seconds O(wait_for) may take before the task fails. The guest is left as it is then, and goes on.
      - A virtual machine that is emulated boots for minutes, on a busy host for ten; 900 is enough for one.
    type: int
    default: 60
"""

    # Limits that mean the same for containers.
    CONTAINER = r"""
options:
  pids_limit:
    description:
      - How many processes the container may have. V(0) and V(-1) stand for no limit.
      - Changed live.
    type: int
  blkio_weight:
    description:
      - The container's weight against others for block devices, from 10 to 1000.
      - Changed live.
    type: int
"""
