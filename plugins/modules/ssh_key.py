#!/usr/bin/python
# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: ssh_key
short_description: Make a key with which guests are reached
version_added: 0.1.0
author:
  - the kraal.virt contributors (@kraal-virt)
description:
  - Works on the controller, as the user who runs Ansible there, whatever the host, the connection and C(become) of the
    task are.
  - Makes an SSH key of the type ed25519, without a passphrase, unless there is one at that path. A key that is there is
    used as it is.
  - Where the public half of a key is lost, it is written anew. A file without content, which a run leaves that is
    killed, is not a key.
  - What is there and is not a key is refused. A key with a passphrase is one, as long as its public half is beside it.
requirements:
  - ssh-keygen on the controller
options:
  path:
    description: The path of the private key. Its public half has the same and C(.pub) behind it.
    type: path
    required: true
  state:
    description:
      - Whether the key is to be there. V(absent) removes it with its public half, and what ssh has remembered of hosts
        beside it, in the same path with C(.known_hosts) behind it.
      - A key of your own stays. One that this module has made is known by the comment C(kraal.virt) in its public half.
    type: str
    choices: [present, absent]
    default: present
extends_documentation_fragment:
  - kraal.virt.attributes
  - kraal.virt.attributes.actiongroup_kraal
notes:
  - A directory that is made for the key is its owner's alone. One that is there keeps its permissions.
"""

EXAMPLES = r"""
- name: Make the key with which virtual machines are reached
  kraal.virt.ssh_key:
    path: ~/.ssh/kraal_virt_ed25519
  register: made

- name: Take it away again
  kraal.virt.ssh_key:
    path: ~/.ssh/kraal_virt_ed25519
    state: absent
"""

RETURN = r"""
plan:
  description: The steps. The C(action) is C(create), C(set) or C(remove).
  returned: always
  type: list
  elements: dict
  sample:
    - {guest: /root/.ssh/kraal_virt_ed25519, action: create, key: "", before: null,
      after: {type: ed25519, comment: kraal.virt}, disruption: none}
ssh_key:
  description: The key. Null where it is absent. Under C(--check), the public half of a key that is still to be made is
    empty.
  returned: always
  type: dict
  sample:
    path: /root/.ssh/kraal_virt_ed25519
    public_key: ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIExampleExampleExampleExampleExampleExampleEx kraal.virt
trace: {returned: at C(-vvv), type: list, elements: dict,
  description: "R(What was sent to the engines,ansible_collections.kraal.virt.docsite.guide_fleet_trace)."}
"""

# The action plugin of this name does it, on the controller.
