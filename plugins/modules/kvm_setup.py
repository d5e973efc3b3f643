#!/usr/bin/python
# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: kvm_setup
short_description: Start libvirt on a host, give it a network and a storage pool, and prove that a guest starts
version_added: 0.1.0
author:
  - the kraal.virt contributors (@kraal-virt)
description:
  - Loads the processor's module of the kernel, lets libvirt's daemons start at boot and starts them (with systemd and
    without), puts users into the group C(libvirt), makes a network and a storage pool for guests, and proves that a
    guest starts. The role P(kraal.virt.kvm_host#role) installs the packages, and uses this module.
  - All that is in the way is told at once, with the remedy, before anything is touched - a processor that does not
    virtualise, users that do not exist, addresses that somebody else on this host has, a port that is taken, a Python
    that has not libvirt's binding.
  - While libvirt does not answer, the plan is made from what it has written down, and says what there will be once it
    runs.
options:
  service_manager:
    description:
      - What starts the daemons. V(systemd) uses the packages' units and enables them at boot.
      - V(direct) starts C(virtlogd) and C(libvirtd) themselves, on hosts where systemd does not run. Nothing starts
        them at boot then; run the module again. Where no system bus runs either, the socket's own rights let the group
        C(libvirt) in, if O(users) names any.
      - V(auto) finds out which one applies.
    type: str
    choices: [auto, systemd, direct]
    default: auto
  allow_emulation:
    description:
      - Whether to go on where hardware virtualisation is not there or not proven. Guests then run emulated (type
        V(qemu)), many times slower.
    type: bool
    default: false
  python_package:
    description:
      - The distribution's package of libvirt's Python binding, which the modules of this collection need on the host.
        V(auto) is that of the distribution.
      - An empty string names none. The interpreter that Ansible uses on the host must be able to import the binding in
        any case.
    type: str
    default: auto
  daemons:
    description:
      - Under systemd, V(monolithic) is the one daemon C(libvirtd), V(modular) are C(virtqemud), C(virtnetworkd),
        C(virtstoraged) and so on. The sockets of the other kind are switched off, since both at once get into each
        other's way. Guests that run go on running.
      - V(auto) leaves the kind that is enabled, and takes the distribution's own where none is.
    type: str
    choices: [auto, monolithic, modular]
    default: auto
  network:
    description:
      - The name of the network that is made if it is not there, started, and started at boot. One that is there keeps
        its definition, and gets one if it runs without.
      - An empty string leaves networks alone.
    type: str
    default: default
  network_address:
    description:
      - The network's address and prefix on the host, such as V(192.168.150.1/24); guests get theirs from the rest of it
        by DHCP.
      - An empty string leaves a network that is there as it is. One that is made then gets V(192.168.122.1/24), or,
        where the host is in that network itself, the first of V(192.168.150.1/24), V(192.168.222.1/24),
        V(10.122.0.1/24) and V(172.30.122.1/24) that is free.
      - A network that is there, not running and has another address is given this one. One that runs is never changed,
        since its guests would be cut off; that it has another address is then in the way.
    type: str
    default: ""
  pool:
    description:
      - The name of the storage pool, a directory, that is made if it is not there, started, and started at boot. An
        empty string leaves pools alone.
    type: str
    default: default
  pool_path:
    description:
      - The pool's directory. An empty string stands for V(/var/lib/libvirt/images) in a pool that is made, and leaves
        one that is there as it is.
      - That the pool is there with another directory is in the way.
    type: str
    default: ""
extends_documentation_fragment:
  - kraal.virt.setup
  - kraal.virt.kvm
  - kraal.virt.attributes
  - kraal.virt.attributes.actiongroup_kraal
attributes:
  check_mode:
    details: Nothing is proven.
notes:
  - Needs root on the host.
  - What is in the way names the options as the role's variables, such as C(kvm_host_users) for O(users).
  - The members of the group C(libvirt) are as powerful as root.
seealso:
  - module: kraal.virt.host_info
  - module: kraal.virt.kvm_network
  - module: kraal.virt.kvm_pool
"""

EXAMPLES = r"""
- name: See what would change, and what is in the way
  kraal.virt.kvm_setup:
    allow_emulation: true
    faults: return
  check_mode: true
  register: kvm

- name: Start libvirt, with a network and a pool of its own
  kraal.virt.kvm_setup:
    network: lab
    network_address: 192.168.160.1/24
    pool: images
    pool_path: /srv/images
    users: [deploy]

- name: Start libvirt, and leave networks and pools alone
  kraal.virt.kvm_setup:
    network: ""
    pool: ""
"""

RETURN = r"""
plan:
  description:
    - What was done, or would be done in check mode; empty where nothing was to do.
    - C(guest) is V(host). C(key) is a module of the kernel such as V(modules[kvm_amd]), V(device[/dev/kvm]),
      V(groups[libvirt]), a line of libvirtd's configuration such as V(libvirtd.conf[auth_unix_rw]), a unit of systemd such as
      V(service[libvirtd.socket]), with V(autostart[libvirtd.socket]) for whether it starts at boot, V(service) for
      libvirt itself, or V(network[default]) and V(pool[default]), with V(.autostart) and the like for a single option
      of them.
    - What the proof has left of a run that was killed is cleared up; C(key) is then
      such as V(leftover[kraal-verify-0123456789ab]).
  returned: always
  type: list
  elements: dict
  sample:
    - {guest: host, action: start, key: service, before: stopped, after: running, disruption: none}
    - {guest: host, action: set, key: "network[default].autostart", before: false, after: true, disruption: none}
faults:
  description: What is in the way, each with its remedy.
  returned: always
  type: list
  elements: str
  sample: ["kvm_host_users names anna, whom this host does not know. Create them first, or take them off the list."]
missing_packages:
  description: The packages that the host lacks, sorted.
  returned: when the host could be looked at
  type: list
  elements: str
  sample: [libvirt-daemon-system, python3-libvirt]
manager:
  description: What starts libvirt.
  returned: when the host could be looked at
  type: str
  sample: systemd
proven:
  description: Whether it is known that a guest starts. One that runs is proof enough.
  returned: when the host could be looked at
  type: bool
  sample: true
notes:
  description: What is good to know of the host, though nothing is in the way.
  returned: when the host could be looked at
  type: list
  elements: str
  sample: ["Guests run emulated (type qemu): there is no /dev/kvm. Remedy: switch nested virtualisation on in the
  hypervisor above."]
ansible_facts:
  description: The facts C(kraal) that M(kraal.virt.host_info) gives, as they are after the change.
  returned: when the host could be looked at
  type: dict
trace: {returned: at C(-vvv), type: list, elements: dict,
  description: "R(What was sent to the engines,ansible_collections.kraal.virt.docsite.guide_fleet_trace)."}
"""

from ansible_collections.kraal.virt.plugins.module_utils.backends.kvm.setup.resource import KvmSetup
from ansible_collections.kraal.virt.plugins.module_utils.host.setup import run_setup


def main() -> None:
    run_setup(KvmSetup)


if __name__ == "__main__":
    main()
