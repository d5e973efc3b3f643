#!/usr/bin/python
# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: fleet
short_description: Manage many guests of several backends in one task
version_added: 0.1.0
author:
  - the kraal.virt contributors (@kraal-virt)
description:
  - Makes a whole list of guests so, in one task. Each backend is observed once, however many guests the list has,
    everything is planned before anything is touched, and the guests are then worked on side by side.
  - A guest of the list takes the options of its backend's own module, and behaves just as there.
  - What fails for one guest does not stop the work on another, and does not hide its result.
options:
  guests:
    description:
      - The guests, each a mapping with C(backend) and the options of that backend's module,
        its connection options included.
      - The modules are M(kraal.virt.docker_container) for C(docker),
        M(kraal.virt.kvm_vm) for C(kvm),
        M(kraal.virt.lxc_container) for C(lxc).
      - Two guests of one backend may have one name when they are in different places, of two values of C(docker_host),
        C(lxc_path) or C(uri). The same place written in two ways is one place.
      - With C(count), a guest stands for so many, named by a number from 1 in the place of C({i}) in its C(name).
    type: list
    elements: dict
    required: true
  defaults:
    description:
      - Options for every guest of the list. A guest's own value wins; where both are mappings they are merged, key by
        key. A null as a guest's own value takes the default away.
      - Under the name of a backend stand those that are for its guests only. They win over those for all.
    type: dict
    default: {}
  name:
    description:
      - The fleet's name. Its guests are then marked with the label C(kraal.fleet).
      - Labels of a Docker container are given at its creation, so a container that joins a named fleet is re-created.
        An LXC container just gets the label.
      - A guest that bears another fleet's label is left alone and fails, whatever its entry asks for, unless
        O(take_over) names that fleet. The other guests of the list are worked on. For a task without a name, every
        fleet is another.
    type: str
  take_over:
    description:
      - Other fleets whose guests this task may take where its list names them. They get this fleet's label, and the
        other fleet's own task is then refused them.
      - A task without O(name) works on them and leaves their label.
    type: list
    elements: str
    default: []
  prune:
    description:
      - Remove the guests that carry this fleet's label and are no longer in the list.
      - How they go is said by the O(defaults) for their backend, where these have C(remove_storage), C(stop_timeout),
        C(force_stop) or C(timeout). Without C(remove_storage) their storage stays.
      - They are looked for in every place of the list, in O(places), and where the O(defaults) say that each backend's
        guests are.
      - Needs O(name).
    type: bool
    default: false
  places:
    description:
      - Where O(prune) looks too, each a mapping with C(backend) and the connection options of that backend's module,
        such as C(docker_host), C(uri) or C(lxc_path). A place whose last guest has left the list is not known
        otherwise.
      - A place that does not answer is a warning.
    type: list
    elements: dict
    default: []
  concurrency:
    description:
      - How many guests are worked on at the same time.
    type: int
    default: 8
  max_failures:
    description:
      - Begin no further guest when more than so many have failed. Without it, all are tried.
    type: int
extends_documentation_fragment:
  - kraal.virt.attributes
  - kraal.virt.attributes.actiongroup_kraal
seealso:
  - module: kraal.virt.docker_container
  - module: kraal.virt.kvm_vm
  - module: kraal.virt.lxc_container
  - module: kraal.virt.guests_info
"""

EXAMPLES = r"""
- name: Three web servers and a cache
  kraal.virt.fleet:
    name: shop
    defaults:
      backend: docker
      image: debian:12
      command: sleep infinity
      stop_timeout: 1
      memory: 128MiB
    guests:
      - name: shop-web-{i}
        count: 3
        labels:
          role: web
      - name: shop-cache
        memory: 64MiB
        labels:
          role: cache

- name: One web server fewer, and the third is removed
  kraal.virt.fleet:
    name: shop
    prune: true
    defaults:
      backend: docker
      image: debian:12
      command: sleep infinity
      stop_timeout: 1
      memory: 128MiB
    guests:
      - name: shop-web-{i}
        count: 2
        labels:
          role: web
      - name: shop-cache
        memory: 64MiB
        labels:
          role: cache

- name: The cache becomes a guest of another fleet
  kraal.virt.fleet:
    name: caches
    take_over: [shop]
    guests:
      - name: shop-cache
        backend: docker

- name: Remove the rest of the shop
  kraal.virt.fleet:
    name: shop
    prune: true
    guests: []

- name: And the caches
  kraal.virt.fleet:
    name: caches
    prune: true
    guests: []
"""

RETURN = r"""
plan:
  description: All steps for all guests, in the order of the list; for one guest they are done in this order.
  returned: always
  type: list
  elements: dict
  sample:
    - {guest: web-1, backend: docker, place: "", action: set, key: memory, before: 64MiB, after: 128MiB,
      disruption: live}
guests:
  description:
    - The guests as they are now (under C(--check), as they will be), in the order of the list, each as
      M(kraal.virt.guests_info) returns it. A guest that is absent is not among them.
  returned: when the list could be read
  type: list
  elements: dict
results:
  description: What became of each guest, in the order of the list.
  returned: when the list could be read
  type: list
  elements: dict
  contains:
    guest:
      description: The guest's name.
      type: str
      sample: web-1
    backend:
      description: The guest's backend.
      type: str
      sample: docker
    place:
      description:
        - Where the guest is, the address of its engine or libvirt or the directory that has it; empty for the host's
          own default.
        - Guests of one backend may have one name as long as they are in different places.
      type: str
      sample: ""
    changed:
      description: Whether it changed.
      type: bool
      sample: true
    failed:
      description: Whether it failed.
      type: bool
      sample: false
    msg:
      description: Why it failed, in full; empty where it did not.
      type: str
      sample: ""
failures:
  description:
    - What failed and what to do, in the order of the list and for reading. Each message is one line of 300 characters
      at most, and guests that failed for one reason share it. Empty where none failed.
  returned: when the list could be read
  type: list
  elements: str
trace: {returned: at C(-vvv), type: list, elements: dict,
  description: "R(What was sent to the engines,ansible_collections.kraal.virt.docsite.guide_fleet_trace)."}
"""

# What is imported is sent with the module.
from ansible_collections.kraal.virt.plugins.module_utils.backends import every  # noqa: F401  # pylint: disable=unused-import
from ansible_collections.kraal.virt.plugins.module_utils.fleet import run_fleet


def main() -> None:
    run_fleet()


if __name__ == "__main__":
    main()
