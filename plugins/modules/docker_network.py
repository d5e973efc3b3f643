#!/usr/bin/python
# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: docker_network
short_description: Manage a Docker network
version_added: 0.1.0
author:
  - the kraal.virt contributors (@kraal-virt)
description:
  - Makes a network of the Docker engine, changes it, or removes it.
  - The engine cannot change a network, so every change is a re-creation. That needs O(disruption=recreate), and a
    network that no container is connected to.
options:
  name:
    description: The network's name. The engine's own networks V(bridge), V(host) and V(none) are not managed.
    type: str
    required: true
  state:
    description: Whether the network is to be there.
    type: str
    choices: [present, absent]
    default: present
  driver:
    description: The network's driver, such as V(bridge), V(macvlan) or V(ipvlan). A new network without it is a bridge.
    type: str
  subnets:
    description:
      - The network's subnets. Each is a text like V(172.30.0.0/24), or a mapping with C(subnet), and with C(gateway),
        C(ip_range) and C(aux_addresses) (names and addresses that the engine must not give away) if wanted.
      - The list is complete for each family of addresses that it names. An IPv6 subnet leaves the subnet for IPv4 to
        the engine.
      - Without it, the engine chooses.
    type: list
    elements: raw
  ipam_driver:
    description: The driver that manages the addresses. The engine's own (V(default)) unless given.
    type: str
  ipam_options:
    description: The options of the driver that manages the addresses.
    type: dict
  internal:
    description: Keep the network from the outside world.
    type: bool
  attachable:
    description: Let containers that are not part of a service connect to a network of a swarm.
    type: bool
  enable_ipv6:
    description: Enable IPv6. A subnet of IPv6 needs it.
    type: bool
  options:
    description:
      - The driver's options, such as C(parent) for V(macvlan) and V(ipvlan), or C(com.docker.network.driver.mtu) for
        V(bridge).
      - The value of a key that speaks of a secret, such as a password, is hidden in plans and differences.
    type: dict
  labels:
    description: Labels.
    type: dict
  purge:
    choices: [ipam_options, labels, options]
  disruption:
    description: The most that the task may disturb. A change to a network needs V(recreate).
  force:
    description: With O(state=absent), disconnect the containers that use the network. Without it, a network in use is
      not removed.
    type: bool
    default: false
extends_documentation_fragment:
  - kraal.virt.docker
  - kraal.virt.resource
  - kraal.virt.resource.purge
  - kraal.virt.attributes
  - kraal.virt.attributes.actiongroup_docker
notes:
  - Containers count as connected whether they run or not. A stopped one could not start any more once its network has
    been made anew.
  - Should the engine refuse the new network in a re-creation, the old one is put back.
  - A re-creation keeps the network's settings that the task does not name. Should the host fail in the middle of one,
    only what the task names is made again by the next run.
"""

EXAMPLES = r"""
- name: A network with a subnet of its own
  kraal.virt.docker_network:
    name: backend
    subnets:
      - subnet: 172.31.252.0/24
        gateway: 172.31.252.1

- name: The same, cut off from the outside world
  kraal.virt.docker_network:
    name: backend
    internal: true
    disruption: recreate

- name: Remove it
  kraal.virt.docker_network:
    name: backend
    state: absent
"""

RETURN = r"""
plan:
  description: The steps. The C(action) is C(create), C(recreate), C(remove) or C(detach).
  returned: always
  type: list
  elements: dict
  sample:
    - {guest: backend, action: recreate, key: "", before: {internal: false}, after: {internal: true},
      disruption: recreate}
network:
  description: The network as it is now (under C(--check), as it will be). Null where it is absent.
  returned: always
  type: dict
  sample:
    name: backend
    backend: docker
    id: 0e9c58ac01f0c7e1a1b7f7f1cbbf4fbf76a0a7f3dd3e9a5de0f1a0c1c1f3d8a2
    driver: bridge
    subnets: [{subnet: 172.31.252.0/24, gateway: 172.31.252.1}]
    internal: false
    attachable: false
    enable_ipv6: false
    options: {}
    labels: {}
    containers: []
trace: {returned: at C(-vvv), type: list, elements: dict,
  description: "R(What was sent to the engines,ansible_collections.kraal.virt.docsite.guide_fleet_trace)."}
"""

from ansible_collections.kraal.virt.plugins.module_utils.backends.docker.client import CONNECTION, connect
from ansible_collections.kraal.virt.plugins.module_utils.backends.docker.network import Networks
from ansible_collections.kraal.virt.plugins.module_utils.backends.docker.peers import NETWORK
from ansible_collections.kraal.virt.plugins.module_utils.engine.task import run_resource


def main() -> None:
    run_resource(Networks.table, lambda parameters: Networks(connect(parameters)), CONNECTION, "network", peers=NETWORK)


if __name__ == "__main__":
    main()
