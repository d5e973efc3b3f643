#!/usr/bin/python
# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: lxc_setup
short_description: Make the bridge for LXC's containers on a host, and prove that one runs
version_added: 0.1.0
author:
  - the kraal.virt contributors (@kraal-virt)
description:
  - Configures C(lxc-net), which makes the bridge with DHCP, DNS and a way out, and starts it (with systemd and
    without), connects new containers to the bridge, gives users subordinate ids, and proves that a container starts,
    gets an address and reaches the host. The role P(kraal.virt.lxc_host#role) installs the packages, and uses this
    module.
  - All that is in the way is told at once, with the remedy, before anything is touched - the user, the kernel, another
    network of the host, a bridge that is somebody else's, guests that would be cut off, users that do not exist.
  - If C(lxc-net) cannot start with the new configuration, the old one is put back, and the bridge is made with it. The
    task then fails with what it said.
options:
  users:
    description:
      - Existing users to give a range of subordinate ids in C(/etc/subuid) and C(/etc/subgid), for unprivileged
        containers.
      - A user who has a range that is long enough keeps it. Others than V(root) may also connect ten containers of
        theirs to the bridge (C(/etc/lxc/lxc-usernet)), or more where that is allowed already.
  network:
    description:
      - Where the bridge comes from. V(lxc-net) lets the package's own C(lxc-net) make it, with DHCP, DNS and
        masquerading.
      - V(existing) takes a bridge of yours as it is, and tells C(lxc-net) to make none. What serves addresses there is
        yours too.
    type: str
    choices: [lxc-net, existing]
    default: lxc-net
  bridge:
    description: The bridge that C(/etc/lxc/default.conf) connects new containers to.
    type: str
    default: lxcbr0
  address:
    description:
      - The host's address on the bridge of C(lxc-net), with its prefix, like V(10.0.3.1/24). It is the containers'
        router.
      - An empty string leaves it as C(/etc/default/lxc-net) has it; without a word there it is V(10.0.3.1/24), or,
        where the host is in that network itself, the first of V(10.0.4.1/24), V(10.103.3.1/24), V(192.168.203.1/24) and
        V(172.30.3.1/24) that is free.
    type: str
    default: ""
  dhcp_range:
    description:
      - First and last address that containers get by DHCP, like V(10.0.3.100,10.0.3.254).
      - An empty string stands for all of the network if O(address) is set, and else leaves the file as it is.
    type: str
    default: ""
  net_options:
    description:
      - More variables of C(/etc/default/lxc-net), such as C(LXC_DOMAIN). A value of V(null) removes one. Those not
        named stay as they are.
      - C(LXC_USE_NFT) is V(false) unless set here, because what nft accepts on a host is still dropped where iptables
        says so, as it does with docker.
    type: dict
    default: {}
  interrupt_guests:
    description:
      - Whether the bridge may be taken down and made anew while containers are connected to it.
      - If V(false), a change that needs it is refused while there are some, before anything is written.
    type: bool
    default: false
  subordinate_count:
    description: How many ids a range must have.
    type: int
    default: 65536
  verify_address:
    description:
      - A free address with its prefix for the proof's container, on a bridge that has no DHCP.
      - An empty string has it ask for one by DHCP.
    type: str
    default: ""
extends_documentation_fragment:
  - kraal.virt.setup
  - kraal.virt.attributes
  - kraal.virt.attributes.actiongroup_kraal
attributes:
  check_mode:
    details: For what is tried of the kernel, it may load its modules for veth, bridges and iptables. Nothing is
      proven.
  diff_mode:
    details: The changed keys of the files.
notes:
  - Needs root on the host.
  - What is in the way names the options as the role's variables, such as C(lxc_host_address) for O(address).
  - Files are edited, not written anew, and the old one stays beside the new one.
  - That a host forwards nothing, or that its control groups limit nothing, is told in RV(notes).
seealso:
  - module: kraal.virt.host_info
  - module: kraal.virt.lxc_container
"""

EXAMPLES = r"""
- name: See what would change, and what is in the way
  kraal.virt.lxc_setup:
    users: [root]
    faults: return
  check_mode: true
  register: lxc

- name: Make the bridge, with room for static addresses
  kraal.virt.lxc_setup:
    address: 10.0.3.1/24
    dhcp_range: 10.0.3.100,10.0.3.254
    net_options:
      LXC_DOMAIN: lxc
    users: [root]

- name: Take a bridge of the host's own
  kraal.virt.lxc_setup:
    network: existing
    bridge: br0
    verify_address: 192.0.2.250/24
"""

RETURN = r"""
plan:
  description:
    - What was done, or would be done in check mode; empty where nothing was to do.
    - C(guest) is V(host). C(key) is V(service) for C(lxc-net), V(autostart[lxc-net]), V(autostart[lxc]),
      V(subuid[USER]), V(subgid[USER]), V(lxc-usernet[USER]), or a key of a file such as V(lxc-net[LXC_ADDR]) or
      V(default.conf[lxc.net.0.link]); where several of a file change, C(before) and C(after) have them by that name.
    - What the proof has left of a run that was killed is cleared up; C(key) is then
      such as V(leftover[/var/lib/lxc/kraal-verify-abc12345]).
  returned: always
  type: list
  elements: dict
  sample:
    - {guest: host, action: set, key: "lxc-net[LXC_DOMAIN]", before: null, after: lxc, disruption: none}
    - {guest: host, action: restart, key: service, before: running, after: running, disruption: none}
faults:
  description: What is in the way, each with its remedy.
  returned: always
  type: list
  elements: str
  sample: ["lxc_host_users names ann, whom this host does not know. Create them first, or take them off the list."]
missing_packages:
  description: The packages that the host lacks, sorted.
  returned: when the host could be looked at
  type: list
  elements: str
  sample: [lxc, uidmap]
manager:
  description: What starts C(lxc-net).
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
  sample: ["This host drops what it forwards (iptables' policy, as docker sets it), so guests on br0 do not reach other
  networks."]
ansible_facts:
  description: The facts C(kraal) that M(kraal.virt.host_info) gives for C(lxc), as they are after the change.
  returned: when the host could be looked at
  type: dict
trace: {returned: at C(-vvv), type: list, elements: dict,
  description: "R(What was sent to the engines,ansible_collections.kraal.virt.docsite.guide_fleet_trace)."}
"""

from ansible_collections.kraal.virt.plugins.module_utils.backends.lxc.setup.resource import LxcSetup
from ansible_collections.kraal.virt.plugins.module_utils.host.setup import run_setup


def main() -> None:
    run_setup(LxcSetup)


if __name__ == "__main__":
    main()
