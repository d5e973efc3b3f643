#!/usr/bin/python
# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: docker_setup
short_description: Configure and start Docker's engine on a host, and prove that it runs containers
version_added: 0.1.0
author:
  - the kraal.virt contributors (@kraal-virt)
description:
  - Merges options into the engine's configuration, lets the engine take them over, starts it (with systemd and
    without), lets it start at boot, puts users into its group, and proves that it runs a container. The role
    P(kraal.virt.docker_host#role) installs the packages, and uses this module.
  - All that is in the way is told at once, with the remedy, before anything is touched - the user, the kernel, an
    engine of another package, a configuration that cannot be read or that the engine refuses, users that do not exist,
    a Python that has not Docker's library.
  - An engine that does not come up with the new configuration gets the old one back, and is started with it. The task
    then fails with what it said.
options:
  source:
    description:
      - Whose engine it is to be. V(distribution) is that of the distribution's packages, V(docker) that of Docker's own
        repository.
      - With V(distribution) any engine that answers is used as it is, wherever it comes from. Otherwise, the other
        one's package is in the way.
    type: str
    choices: [distribution, docker]
    default: distribution
  python_package:
    description:
      - The distribution's package of Docker's library for Python, which the modules of this collection need on the
        host.
      - The interpreter that Ansible uses on the host must be able to import it. An empty string leaves both out.
    type: str
    default: python3-docker
  daemon_options:
    description:
      - Options for C(/etc/docker/daemon.json). They are merged into what the file says, nested ones too. A list
        replaces a list. Keys not named here stay as they are. A key at the first level whose value is V(null) is
        removed from the file.
      - The engine reads the file again where that is enough for all that changes, and is restarted where it is not.
      - Where the engine can check a configuration (C(dockerd --validate), from Docker 23 on), it does before anything
        is touched.
    type: dict
    default: {}
  interrupt_guests:
    description:
      - Whether a restart of the engine may stop running containers.
      - If V(false), a change that needs a restart is refused while containers run, unless the engine keeps them alive
        (C(live-restore)).
    type: bool
    default: false
  socket:
    description: The socket on which the engine is asked. An engine that answers there is used as it is, however it was
      started.
    type: path
    default: /var/run/docker.sock
  start_timeout:
    description: How many seconds the engine may take until it answers.
    type: int
    default: 60
extends_documentation_fragment:
  - kraal.virt.setup
  - kraal.virt.attributes
  - kraal.virt.attributes.actiongroup_kraal
attributes:
  check_mode:
    details: For what is tried of the kernel, it may load its modules for veth, bridges and iptables. Nothing is
      proven. Whether an engine that cannot check a configuration takes it is only seen when it
      starts.
  diff_mode:
    details: The changed keys, with secrets hidden.
notes:
  - Needs root on the host.
  - What is in the way names the options as the role's variables, such as C(docker_host_users) for O(users).
  - The members of the group C(docker) are as powerful as root.
seealso:
  - module: kraal.virt.host_info
  - module: kraal.virt.docker_container
"""

EXAMPLES = r"""
- name: See what would change, and what is in the way
  kraal.virt.docker_setup:
    daemon_options:
      live-restore: true
    faults: return
  check_mode: true
  register: docker

- name: Configure the engine
  kraal.virt.docker_setup:
    daemon_options:
      live-restore: true
      log-opts:
        max-size: 10m
        max-file: "3"

- name: Take an option out of its configuration, though containers may stop for it
  kraal.virt.docker_setup:
    daemon_options:
      storage-opts: null
    interrupt_guests: true
"""

RETURN = r"""
plan:
  description:
    - What was done, or would be done in check mode; empty where nothing was to do.
    - C(guest) is V(host). C(key) is V(autostart), V(service), V(groups[docker]), or a key of the configuration such as
      V(daemon.json[labels]); where several of them change, C(before) and C(after) have them by that name.
    - What the proof has left of a run that was killed is cleared up; C(key) is then
      such as V(leftover[images/kraal-verify-0123456789ab:1]).
  returned: always
  type: list
  elements: dict
  sample:
    - {guest: host, action: set, key: "daemon.json[labels]", before: null, after: ["rack=3"], disruption: none}
    - {guest: host, action: reload, key: service, before: running, after: running, disruption: none}
faults:
  description: What is in the way, each with its remedy.
  returned: always
  type: list
  elements: str
  sample: ["docker_host_users names deploy, whom this host does not know. Create them first, or take them off the
  list."]
missing_packages:
  description: The packages that the host lacks, sorted.
  returned: when the host could be looked at
  type: list
  elements: str
  sample: [docker.io, python3-docker]
manager:
  description: What starts the engine.
  returned: when the host could be looked at
  type: str
  sample: systemd
proven:
  description: Whether it is known that a container runs. One that runs is proof enough.
  returned: when the host could be looked at
  type: bool
  sample: true
notes:
  description: What is good to know of the host, though nothing is in the way.
  returned: when the host could be looked at
  type: list
  elements: str
  sample: []
ansible_facts:
  description: The facts C(kraal) that M(kraal.virt.host_info) gives for C(docker), as they are after the change.
  returned: when the host could be looked at
  type: dict
trace: {returned: at C(-vvv), type: list, elements: dict,
  description: "R(What was sent to the engines,ansible_collections.kraal.virt.docsite.guide_fleet_trace)."}
"""

from ansible_collections.kraal.virt.plugins.module_utils.backends.docker.setup.resource import DockerSetup
from ansible_collections.kraal.virt.plugins.module_utils.host.setup import run_setup


def main() -> None:
    run_setup(DockerSetup)


if __name__ == "__main__":
    main()
