#!/usr/bin/python
# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: fleet_resources
short_description: Give a host what the guests of a fleet are made of
version_added: 0.1.0
author:
  - the kraal.virt contributors (@kraal-virt)
description:
  - Brings the base images of a fleet to where the guests of this host find them, and makes the networks that they need, in one task.
  - An image for Docker's guests is imported as M(kraal.virt.docker_image) does it, and networks are made as by M(kraal.virt.docker_network). Guests of other
    backends, which are made of the file itself, find it under a link that stays, C(NAME.tar), C(NAME.qcow2) or C(NAME.raw) in O(directory), and beside
    that C(NAME.vmlinuz) and C(NAME.initrd). Files that others than root may read are closed.
  - A base image that was built on another host is not fetched from there. Under C(--check) RV(lacks) names the files that have to be brought first.
options:
  images:
    description:
      - The base images, as M(kraal.virt.base_images) returns them, here or on another host. What counts is C(name), C(path), C(checksum), for a disk C(kernel) and
        C(initrd), and C(docker_image), the name of the Docker image that is imported from it. One without a C(checksum) is not built yet, and passed over.
    type: list
    elements: dict
    default: []
  networks:
    description: The networks of Docker's guests, each a mapping with the options of M(kraal.virt.docker_network), those included that say where its engine is.
    type: list
    elements: dict
    default: []
  backends:
    description:
      - The backends of the guests of this host. Disks are for V(kvm). An archive is for V(lxc), or where it has no C(docker_image) for whoever makes guests of it.
    type: list
    elements: str
    default: []
  directory:
    description: Where the base images are kept.
    type: path
    default: /var/cache/kraal.virt
extends_documentation_fragment:
  - kraal.virt.attributes
  - kraal.virt.attributes.actiongroup_kraal
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: full
seealso:
  - module: kraal.virt.base_images
  - module: kraal.virt.docker_image
  - module: kraal.virt.docker_network
"""

EXAMPLES = r"""
- name: Make the networks of the shop
  kraal.virt.fleet_resources:
    networks:
      - name: shop-front
        subnets: [172.31.247.0/24]
      - name: shop-back
        internal: true

- name: Take them away again
  kraal.virt.fleet_resources:
    networks:
      - name: shop-front
        state: absent
      - name: shop-back
        state: absent
"""

RETURN = r"""
plan:
  description: The steps, in order. The same under C(--check) and for real.
  returned: always
  type: list
  elements: dict
  sample:
    - guest: debian
      action: set
      key: links[debian.tar]
      before: null
      after: debian-1f2e3d4c5b6a.tar
      disruption: none
lacks:
  description:
    - The paths of the files that have to be brought to this host from the one that built them, before this can be done. Each base image's description comes last,
      since with that it counts. Empty where all is there.
  returned: when all options could be read
  type: list
  elements: str
  sample: []
failures:
  description: What failed and what to do, a message for each image and network. Empty where none failed.
  returned: when all options could be read
  type: list
  elements: str
  sample: []
"""

from ansible_collections.kraal.virt.plugins.module_utils.fleet_resources import run_fleet_resources


def main() -> None:
    run_fleet_resources()


if __name__ == "__main__":
    main()
