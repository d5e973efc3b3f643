#!/usr/bin/python
# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: base_images
short_description: Build several base images in one task
version_added: 0.1.0
author:
  - the kraal.virt contributors (@kraal-virt)
description:
  - Does for a list of base images what M(kraal.virt.base_image) does for one. All are looked at together, and those that are to be built are built side by side.
  - What fails for one does not stop the work on another.
  - Under C(--check) it can also tell what is missing on a host that is to build them, see O(assume_packages).
requirements:
  - what M(kraal.virt.base_image) needs
options:
  images:
    description: The base images, as the role P(kraal.virt.fleet#role) takes them in C(fleet_base_images).
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: The base image's name.
        type: str
        required: true
      image:
        description: The name of the Docker image that is to be imported from it, if any. It is only passed on, to M(kraal.virt.fleet_resources).
        type: str
      build:
        description: The other options of M(kraal.virt.base_image), but for C(state) and C(directory).
        type: dict
        default: {}
  state:
    description: Whether the base images are to be there, see O(kraal.virt.base_image#module:state).
    type: str
    choices: [present, absent]
    default: present
  directory:
    description: Where the base images are kept.
    type: path
    default: /var/cache/kraal.virt
  assume_packages:
    description: Plan as if the packages that RV(missing_packages) names were installed. For check mode only.
    type: bool
    default: false
  concurrency:
    description: How many are built at the same time.
    type: int
    default: 2
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
  - module: kraal.virt.base_image
  - module: kraal.virt.fleet_resources
"""

EXAMPLES = r"""
- name: Ask which of two base images are to be built, and what is missing for that
  kraal.virt.base_images:
    images:
      - name: debian
        image: team/debian:stable
        build:
          packages: [python3]
      - name: debian-vm
        build:
          format: qcow2
    assume_packages: true
  check_mode: true
  register: asked

- name: Remove all builds of both
  kraal.virt.base_images:
    images:
      - name: debian
      - name: debian-vm
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
      action: build
      key: ""
      before: null
      after:
        packages: [python3]
        suite: bookworm
        variant: minbase
      disruption: none
base_images:
  description: The base images that are there, or under C(--check) will be, in the order of the list, each as M(kraal.virt.base_image) returns
    it, and with C(docker_image).
  returned: when the list could be read
  type: list
  elements: dict
  sample:
    - name: debian
      path: /var/cache/kraal.virt/debian-1f2e3d4c5b6a.tar
      checksum: sha256:5c1cb2b5e0b2a2a55c7f3c8f0a9b1f2c1e6c7a1f0b1d2e3f4a5b6c7d8e9f0a1b
      size: 130MiB
      kernel: ""
      initrd: ""
      command_line: ""
      request:
        packages: [python3]
        suite: bookworm
        variant: minbase
      docker_image: team/debian:stable
missing_packages:
  description: The packages that this host lacks for those that are to be built. Empty where none is.
  returned: when the list could be read
  type: list
  elements: str
  sample: [mmdebstrap]
failures:
  description: What failed and what to do, a message for each base image. Empty where none failed.
  returned: when the list could be read
  type: list
  elements: str
  sample: []
"""

from ansible_collections.kraal.virt.plugins.module_utils.base_images import run_base_images


def main() -> None:
    run_base_images()


if __name__ == "__main__":
    main()
