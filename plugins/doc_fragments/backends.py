# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What says which guests are looked for and where: the same wherever that is done."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  backends:
    description: Look for guests of these backends only. All unless set.
    type: list
    elements: str
    choices: [docker, kvm, lxc]
  places:
    description:
      - Where to look too, beside the host's own engine, libvirt and directories. Each is a mapping with C(backend) and
        the connection options of that backend's module, such as C(docker_host), C(uri) or C(lxc_path), as seen from the
        host.
      - A place that does not answer is a warning. One that is the host's own, in whatever spelling, adds nothing.
    type: list
    elements: dict
    default: []
  states:
    description: Take guests in these states only.
    type: list
    elements: str
    choices: [running, stopped, paused, saved, crashed, inaccessible, error]
"""
