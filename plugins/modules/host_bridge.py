#!/usr/bin/python
# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: host_bridge
short_description: Put a bridge over a host's uplink, without being cut off
version_added: 0.1.0
author:
  - the kraal.virt contributors (@kraal-virt)
description:
  - Makes a Linux bridge, changes it or removes it, in the configuration of whichever of NetworkManager,
    systemd-networkd, netplan and ifupdown rules the host.
  - An uplink that becomes the bridge's port hands its addresses, its default route and its MAC address to the bridge.
  - The change takes itself back. Before anything is touched, the host gets a timer and a unit for its next boot that
    restore every file byte for byte, the addresses and the routes. Only when the controller has come back over a new
    connection, and the host has found its bridge, its gateway and the names of O(check_names) over it, are they
    removed. If the controller cannot come back, if it is killed, or if the host goes down in between, the host is where
    it was, and the task fails, with RV(rolled_back) and RV(log).
  - What cannot be moved is refused before anything is touched, with the reason and the remedy.
options:
  name:
    description: The bridge's name.
    type: str
    required: true
  state:
    description:
      - V(present) makes the bridge, or changes what the task names.
      - V(absent) removes a bridge that this module made, and gives its uplink back what it had. A bridge with other
        ports than its uplink is in use, and is not removed.
    type: str
    choices: [present, absent]
    default: present
  uplink:
    description:
      - The link that becomes the bridge's port, or V(auto) for the one of the default route. Without it the bridge has
        no port of its own.
      - It cannot change; remove the bridge and make it anew.
    type: str
  vlan:
    description:
      - A VLAN of the uplink to be the port in its place. The uplink keeps what it has, unless O(addresses_from=uplink).
        It cannot change.
    type: int
  addresses_from:
    description:
      - Where the bridge's addresses come from. V(uplink) takes all that the uplink's configuration says of addresses,
        routes and name servers, DHCP included. V(static) takes O(addresses), V(dhcp) asks for one, and adds
        O(addresses). V(none) leaves the host without an address on the bridge.
      - Unless set, V(static) if there are O(addresses), else V(uplink) if the uplink itself is the port, else V(none).
    type: str
    choices: [uplink, static, dhcp, none]
  addresses:
    description: Addresses of the bridge, with their prefixes.
    type: list
    elements: str
  gateway:
    description: The default gateway, one for each version of IP.
    type: list
    elements: str
  dns:
    description: Name servers. With ifupdown they need resolvconf on the host.
    type: list
    elements: str
  ipv6:
    description:
      - V(auto) takes what routers advertise, V(static) only O(addresses), V(disabled) nothing at all. V(auto) unless
        set.
      - With O(addresses_from=uplink) the uplink's own configuration says it.
    type: str
    choices: [auto, static, disabled]
  mac:
    description: The bridge's MAC address. Unless set, it is the uplink's, so that DHCP servers and switches see the
      host that they know.
    type: str
  stp:
    description: Whether the bridge speaks the spanning tree protocol. V(false) unless set, which is right with one link
      to the outside.
    type: bool
  forward_delay:
    description:
      - Seconds that a new port listens before it forwards. V(0) unless set, so that guests have their network at once.
      - With O(stp=true), V(0) stands for 15, the protocol's own.
    type: int
  mtu:
    description: The MTU of the bridge and its uplink. Unless set, the bridge follows its ports.
    type: int
  manager:
    description:
      - Who rules the network. V(auto) finds out who manages the uplink; for a bridge without one, who manages the link
        of the default route.
      - Any other word is only needed for a bridge without uplink on a host without default route; a wrong one is
        refused.
    type: str
    choices: [auto, networkmanager, networkd, netplan, ifupdown]
    default: auto
  timeout:
    description: Seconds after which the host takes an unconfirmed change back. The controller needs some of them to
      come back.
    type: int
    default: 90
  check_gateway:
    description:
      - Whether the change is only confirmed if every default gateway has answered the host's request for its MAC
        address, and there is a default route if there was one before.
    type: bool
    default: true
  check_names:
    description: Names that have to resolve on the host before the change is confirmed.
    type: list
    elements: str
    default: []
  connect_address:
    description:
      - The address at which the controller comes back, if it is another than before. The change is then only confirmed
        over this address.
      - Tasks that follow in the play use what the inventory says; set C(ansible_host) with M(ansible.builtin.set_fact)
        for them.
    type: str
  confirm:
    description: The identity of an armed change that is to be looked at and confirmed. The controller's part sets it;
      there is no need to.
    type: str
extends_documentation_fragment:
  - kraal.virt.attributes
  - kraal.virt.attributes.actiongroup_kraal
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
    details: The files, as they are and as they will be, with secrets hidden.
  idempotent:
    support: full
notes:
  - Needs root, systemd and iproute2 on the host; for ifupdown bridge-utils, for netplan a Python with PyYAML. The role
    P(kraal.virt.bridge#role) installs them.
  - One change at a time. While one is armed on a host, another is refused. One that was begun and has no timer any more
    is called stale, and the error names the command that takes it back.
  - The proof is as good as the connection. Over one that does not use the network (C(local), say), only the host's own
    checks confirm a change.
  - Wireless links, ports of bonds and bridges, and links that nobody or several entries describe are refused.
  - What is known of a bridge that was made here is kept in C(/var/lib/kraal.virt/bridge).
seealso:
  - module: kraal.virt.host_info
"""

EXAMPLES = r"""
- name: A bridge for guests over the host's uplink
  kraal.virt.host_bridge:
    name: br0
    uplink: auto

- name: The same at a new address, with names checked as well
  kraal.virt.host_bridge:
    name: br0
    uplink: eth0
    addresses: [192.0.2.20/24]
    gateway: [192.0.2.1]
    dns: [192.0.2.53]
    connect_address: 192.0.2.20
    check_names: [deb.debian.org]

- name: A bridge over a VLAN, on which the host itself has no address
  kraal.virt.host_bridge:
    name: br30
    uplink: eth0
    vlan: 30

- name: A bridge for guests among themselves
  kraal.virt.host_bridge:
    name: inner
    addresses: [198.51.100.1/24]

- name: Give the uplink back what it had
  kraal.virt.host_bridge:
    name: br0
    state: absent
"""

RETURN = r"""
plan:
  description: The steps; C(guest) is the bridge's name. The C(action) is C(create), C(set) or C(remove).
  returned: always
  type: list
  elements: dict
  sample:
    - {guest: br0, action: create, key: "", before: null,
      after: {uplink: eth0, addresses_from: uplink, stp: false, forward_delay: 0}, disruption: live}
bridge:
  description: The bridge as it is now (under C(--check), as it will be). Null where there is none.
  returned: always
  type: dict
  sample:
    name: br0
    manager: systemd-networkd
    uplink: eth0
    vlan: null
    ports: [eth0]
    addresses: [192.0.2.10/24]
    gateways: [192.0.2.1]
    mac: "52:54:00:12:34:56"
    mtu: 1500
    stp: false
rolled_back:
  description: Whether the host took the change back. The task has failed then.
  returned: always
  type: bool
  sample: false
log:
  description: What was done on the host, with its times.
  returned: when something was changed
  type: list
  elements: str
  sample:
    - "10:00:00 the files are written"
    - "10:00:00 networkctl reload: ok"
    - "10:00:00 networkctl reconfigure br0 eth0: ok"
trace: {returned: at C(-vvv), type: list, elements: dict,
  description: "R(What was sent to the engines,ansible_collections.kraal.virt.docsite.guide_fleet_trace)."}
"""

from ansible_collections.kraal.virt.plugins.module_utils.host.bridge.task import run


def main() -> None:
    run()


if __name__ == "__main__":
    main()
