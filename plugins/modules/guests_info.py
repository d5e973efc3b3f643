#!/usr/bin/python
# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: guests_info
short_description: Tell what guests a host has
version_added: 0.1.0
author:
  - the kraal.virt contributors (@kraal-virt)
description:
  - Returns the guests of all backends on the host, in the form that every module of this collection returns a guest in.
  - Needs no library of a backend on the host, but for C(kvm), whose guests are known through libvirt-python
    (C(python3-libvirt)). A backend that the host does not have has no guests. One that it has and that does not answer
    is a warning, and fails the task only when the task names it in O(backends).
  - A guest that cannot be read is returned with what is known of it all the same, its name, its id and its state at
    least, and a warning says why. It hides no other guest, and never fails the task. The guest's own module can still
    remove it, and start and stop it as long as the task sets no option.
options:
  names:
    description: Return the guests of these names only.
    type: list
    elements: str
  timeout:
    description: How many seconds the backends may take, which are asked side by side. The guests of one that has not
      answered by then are missing, and a warning says so.
    type: int
    default: 60
extends_documentation_fragment:
  - kraal.virt.attributes.info
  - kraal.virt.attributes
  - kraal.virt.backends
  - kraal.virt.kvm.addresses
  - kraal.virt.attributes.actiongroup_kraal
seealso:
  - plugin: kraal.virt.guests
    plugin_type: inventory
"""

EXAMPLES = r"""
- name: Look at all guests
  kraal.virt.guests_info:
  register: found

- name: Tell their names
  ansible.builtin.debug:
    msg: "{{ found.guests | map(attribute='name') | list }}"

- name: Look at the running Docker containers only
  kraal.virt.guests_info:
    backends: [docker]
    states: [running]

- name: Look at what a second engine of the host has, too
  kraal.virt.guests_info:
    places:
      - backend: docker
        docker_host: unix:///run/second/docker.sock
"""

RETURN = r"""
guests:
  description:
    - The guests, sorted by backend, name and place.
    - R(The guide,ansible_collections.kraal.virt.docsite.guide_plans_guest) tells what each has.
  returned: success
  type: list
  elements: dict
  sample:
    - name: web-1
      backend: docker
      place: ""
      id: 728c2f285d9f1c11396cc13f9b510cf85f3d9262b311543a91ce416a09b3d950
      state: running
      raw_state: running
      image: debian:12
      cpus: 0.5
      memory: 128MiB
      addresses:
        - address: 172.17.0.2
          family: ipv4
          network: bridge
          mac: "02:42:ac:11:00:02"
      labels:
        role: web
      autostart: false
      pending_restart: []
trace: {returned: at C(-vvv), type: list, elements: dict,
  description: "R(What was sent to the engines,ansible_collections.kraal.virt.docsite.guide_fleet_trace)."}
"""

# What is imported is sent with the module.
from ansible_collections.kraal.virt.plugins.module_utils.backends import every  # noqa: F401  # pylint: disable=unused-import
from ansible_collections.kraal.virt.plugins.module_utils.backends.registry import BACKENDS, NAMES
from ansible_collections.kraal.virt.plugins.module_utils.discovery import TIMEOUT, discover
from ansible_collections.kraal.virt.plugins.module_utils.engine.action import PowerState
from ansible_collections.kraal.virt.plugins.module_utils.engine.errors import KraalError
from ansible_collections.kraal.virt.plugins.module_utils.engine.task import KraalModule
from ansible_collections.kraal.virt.plugins.module_utils.engine.work import end_children
from ansible_collections.kraal.virt.plugins.module_utils.places import ARGUMENT, read_places


def main() -> None:
    options = {key: declared for each in BACKENDS.values() for key, declared in each.discovery.items()}
    module = KraalModule(
        argument_spec={
            "backends": {"type": "list", "elements": "str", "choices": list(NAMES)},
            "names": {"type": "list", "elements": "str"},
            "states": {"type": "list", "elements": "str", "choices": PowerState.words()},
            "places": ARGUMENT,
            "timeout": {"type": "int", "default": TIMEOUT},
            **options,
        },
        supports_check_mode=True,
    )
    wanted = module.params
    secrets: set[str] = set()
    try:
        places = read_places(wanted["places"], secrets)
    except KraalError as error:
        module.fail_json(msg=str(error))
    finally:
        module.keep_secret(secrets)
    asked = NAMES if wanted["backends"] is None else wanted["backends"]
    others = [(place.backend, place.connection) for place in places]
    found = discover(asked, {key: wanted[key] for key in options}, others, wanted["timeout"])
    end_children()
    if wanted["backends"] and found.errors:
        module.fail_json(msg="; ".join(map(str, found.errors)))
    answer = found.as_dict()
    for warning in answer["warnings"]:
        module.warn(warning)
    guests = [
        guest
        for guest in answer["guests"]
        if (wanted["names"] is None or guest["name"] in wanted["names"])
        and (wanted["states"] is None or guest["state"] in wanted["states"])
    ]
    module.exit_json(changed=False, guests=guests)


if __name__ == "__main__":
    main()
