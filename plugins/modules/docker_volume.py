#!/usr/bin/python
# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: docker_volume
short_description: Manage a Docker volume
version_added: 0.1.0
author:
  - the kraal.virt contributors (@kraal-virt)
description:
  - Makes a volume of the Docker engine, or removes it.
  - A volume is data. The engine cannot change one, so a change would destroy what is in it. That is refused unless the
    task allows O(disruption=destroy).
options:
  name:
    description: The volume's name.
    type: str
    required: true
  state:
    description: Whether the volume is to be there. One that a container uses, running or not, is not removed.
    type: str
    choices: [present, absent]
    default: present
  driver:
    description: The volume's driver. A new volume without it is V(local).
    type: str
  driver_options:
    description:
      - The driver's options, such as C(type), C(device) and C(o) for V(local).
      - The value of a key that speaks of a secret, such as a password, is hidden in plans and differences; so is a
        C(password=) among mount options.
    type: dict
  labels:
    description: Labels.
    type: dict
  purge:
    choices: [driver_options, labels]
  disruption:
    description:
      - The most that the task may disturb. Changing a volume needs V(destroy), and loses its data.
      - A volume that a container uses, running or not, is not changed even so.
extends_documentation_fragment:
  - kraal.virt.docker
  - kraal.virt.resource
  - kraal.virt.resource.purge
  - kraal.virt.attributes
  - kraal.virt.attributes.actiongroup_docker
"""

EXAMPLES = r"""
- name: A volume for a database
  kraal.virt.docker_volume:
    name: database
    labels:
      backup: daily

- name: A volume on a server of the network
  kraal.virt.docker_volume:
    name: media
    driver_options:
      type: nfs
      device: :/srv/media
      o: addr=192.0.2.5,ro

- name: Remove it, with all that is in it
  kraal.virt.docker_volume:
    name: database
    state: absent
"""

RETURN = r"""
plan:
  description: The steps. The C(action) is C(create), C(recreate) or C(remove).
  returned: always
  type: list
  elements: dict
  sample:
    - {guest: database, action: create, key: "", before: null, after: {labels: {backup: daily}}, disruption: none}
volume:
  description: The volume as it is now (under C(--check), as it will be). Null where it is absent.
  returned: always
  type: dict
  sample:
    name: database
    backend: docker
    driver: local
    driver_options: {}
    mountpoint: /var/lib/docker/volumes/database/_data
    labels: {backup: daily}
    containers: []
trace: {returned: at C(-vvv), type: list, elements: dict,
  description: "R(What was sent to the engines,ansible_collections.kraal.virt.docsite.guide_fleet_trace)."}
"""

from ansible_collections.kraal.virt.plugins.module_utils.backends.docker.client import CONNECTION, connect
from ansible_collections.kraal.virt.plugins.module_utils.backends.docker.peers import VOLUME
from ansible_collections.kraal.virt.plugins.module_utils.backends.docker.volume import Volumes
from ansible_collections.kraal.virt.plugins.module_utils.engine.task import run_resource


def main() -> None:
    run_resource(Volumes.table, lambda parameters: Volumes(connect(parameters)), CONNECTION, "volume", peers=VOLUME)


if __name__ == "__main__":
    main()
