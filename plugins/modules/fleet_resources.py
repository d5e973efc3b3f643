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
  - Builds the base images of a fleet, brings them to where the guests of this host find them, and makes the networks
    that they need, in one task.
  - Base images are built as by M(kraal.virt.base_image), several of them side by side. An image for Docker's guests is
    imported as by M(kraal.virt.docker_image), and networks are made as by M(kraal.virt.docker_network).
  - Guests of other backends are made of the file itself. They find it under a link that stays, C(NAME.tar),
    C(NAME.qcow2) or C(NAME.raw) in O(directory), and beside that C(NAME.vmlinuz) and C(NAME.initrd). Files that others
    than root may read are closed.
  - Base images may be built on another host, see O(build_only) and O(built). They are not fetched from there. Under
    C(--check) RV(lacks) names the files that have to be brought first.
  - What fails for one image or network does not stop the work on another.
requirements:
  - what M(kraal.virt.base_image) needs, where base images are built
  - what M(kraal.virt.docker_image) needs, where there are images or networks for Docker's guests
options:
  images:
    description: The base images, as the role P(kraal.virt.fleet#role) takes them in C(fleet_base_images).
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: The base image's name.
        type: str
        required: true
      image:
        description: The name of the Docker image that is imported from it, if any.
        type: str
      build:
        description: The other options of M(kraal.virt.base_image), but for C(state) and C(directory).
        type: dict
        default: {}
  built:
    description:
      - What another host has built, as RV(base_images) of its task tells. Nothing is built here then. One without a
        C(checksum) is not built yet, and passed over.
    type: list
    elements: dict
  build_only:
    description: Build the base images and do nothing else, as on a host that builds them for others.
    type: bool
    default: false
  networks:
    description:
      - The networks of Docker's guests, each a mapping with the options of M(kraal.virt.docker_network), those included
        that say where its engine is.
    type: list
    elements: dict
    default: []
  backends:
    description:
      - The backends of the guests of this host. Disks are laid down for V(kvm). An archive is laid down for V(lxc), or
        where no Docker image is imported from it.
    type: list
    elements: str
    default: []
  directory:
    description: Where the base images are kept.
    type: path
    default: /var/cache/kraal.virt
  concurrency:
    description: How many base images are built at the same time.
    type: int
    default: 2
  assume_packages:
    description: Plan as if the packages that RV(missing_packages) names were installed. For check mode only.
    type: bool
    default: false
  start_engine:
    description: Whether an engine that sleeps, and that systemd starts when somebody asks it, may be asked in check mode too.
    type: bool
    default: false
extends_documentation_fragment:
  - kraal.virt.attributes
  - kraal.virt.attributes.actiongroup_kraal
seealso:
  - module: kraal.virt.base_image
  - module: kraal.virt.docker_image
  - module: kraal.virt.docker_network
"""

EXAMPLES = r"""
- name: Ask what is missing for two base images, and whether they are to be built
  kraal.virt.fleet_resources:
    images:
      - name: debian
        image: team/debian:stable
        build:
          packages: [python3]
      - name: debian-vm
        build:
          format: qcow2
    build_only: true
    assume_packages: true
  check_mode: true
  register: asked

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
  description: All steps for the base images and the networks, in the order in which they are done.
  returned: always
  type: list
  elements: dict
  sample:
    - {guest: debian, action: set, key: "links[debian.tar]", before: null, after: debian-1f2e3d4c5b6a.tar,
      disruption: none}
base_images:
  description: The base images that are there, or under C(--check) will be, in the order of the list, each as
    M(kraal.virt.base_image) returns it.
  returned: when the list could be read
  type: list
  elements: dict
missing_packages:
  description: The packages that this host lacks for those base images that are to be built. Empty where none is.
  returned: when the list could be read
  type: list
  elements: str
  sample: [mmdebstrap]
lacks:
  description:
    - The paths of the files that have to be brought to this host from the one that built them, before this can be done.
      Each base image's description comes last, since with that it counts. Empty where all is there.
  returned: when the list could be read
  type: list
  elements: str
  sample: []
failures:
  description: What failed and what to do, a message for each image and network. Empty where none failed.
  returned: when the list could be read
  type: list
  elements: str
  sample: []
trace: {returned: at C(-vvv), type: list, elements: dict,
  description: "R(What was sent to the engines,ansible_collections.kraal.virt.docsite.guide_fleet_trace)."}
"""

from ansible_collections.kraal.virt.plugins.module_utils.fleet_resources import run_fleet_resources


def main() -> None:
    run_fleet_resources()


if __name__ == "__main__":
    main()
