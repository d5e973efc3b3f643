#!/usr/bin/python
# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: kvm_network
short_description: Manage a virtual network of libvirt
version_added: 0.1.0
author:
  - the kraal.virt contributors (@kraal-virt)
description:
  - Defines a network of libvirt, changes it, starts and stops it, or removes it.
  - The ranges and hosts of DHCP and the hosts, texts and services of DNS are changed while the network is active, and in
    its definition. Everything else is written into the definition, and comes into effect when the network is restarted.
  - What the task does not name stays as it is, settings that this module has no option for included.
options:
  name:
    description: The network's name.
    type: str
    required: true
  state:
    description:
      - V(active) defines the network if need be and starts it, V(inactive) stops it and keeps its definition.
      - V(present) leaves alone whether it is active. A network that is not there is defined and not started.
      - V(absent) stops and removes it.
      - A network that runs but would be gone after a restart of libvirt (a transient one) is written down by all but
        V(absent).
    type: str
    choices: [active, inactive, present, absent]
    default: active
  forward:
    description:
      - How the network reaches the outside.
      - V(nat) hides the guests behind the host's address, V(route) forwards their own addresses, V(open) does so
        without any rules in the host's firewall, V(isolated) forwards nothing.
      - With V(bridge) the network is the bridge of the host that O(bridge) names, or interfaces of the host
        (O(interfaces)) that guests are put on. With V(private), V(vepa) and V(passthrough) it is interfaces, too. Guests
        of V(private) do not reach each other, those of V(vepa) by way of the switch outside, and with V(passthrough)
        each has an interface for itself.
      - With V(hostdev) guests get functions of a device themselves (O(physical_function)).
      - Libvirt gives neither addresses nor names to networks that use what the host has.
      - A new network without it is V(nat).
    type: str
    choices: [nat, route, open, isolated, bridge, private, vepa, passthrough, hostdev]
  forward_dev:
    description: The interface of the host that V(nat) or V(route) is restricted to. An empty text lifts the
      restriction.
    type: str
  nat_addresses:
    description: The addresses of IPv4 that guests are hidden behind with V(nat), like V(203.0.113.5-203.0.113.9). An
      empty text leaves them to the host.
    type: str
  nat_ports:
    description: The ports that they are hidden behind, like V(1024-65535), which is libvirt's own choice. An empty text
      leaves them to libvirt.
    type: str
  nat_ipv6:
    description: Hide addresses of IPv6 as well.
    type: bool
  routes:
    description:
      - Subnets behind a gateway that is in the network. Each is a mapping with C(subnet) and C(gateway), and with
        C(metric) if wanted.
      - They are told apart by C(subnet). A field that is not given stays as it is.
    type: list
    elements: raw
  interfaces:
    description:
      - The interfaces of the host that guests are put on (macvtap), with V(bridge), V(private), V(vepa) and
        V(passthrough). Libvirt chooses the one with the fewest guests.
      - They change while the network is active. One that a running guest is on is not taken away.
    type: list
    elements: str
  physical_function:
    description:
      - The interface of a device with virtual functions (SR-IOV), of which guests get one each, with V(hostdev) and
        V(passthrough). The network starts where the host has such a device.
      - Functions that a network names by their addresses stay as they are.
    type: str
  bridge:
    description: The bridge's name. Libvirt chooses one (C(virbr0)) unless it is given; O(forward=bridge) needs it, or
      O(interfaces).
    type: str
  subnets:
    description:
      - The network's subnets. Each is the host's own address in it, like V(192.168.100.1/24), or a subnet like
        V(192.168.100.0/24), or a mapping with C(subnet) and C(address). Without an address, the host takes the first
        one of a new subnet.
      - A subnet in the place of another one, with another length say, keeps the ranges and hosts of DHCP that fit into
        it. The plan names those that go.
      - The list is complete for each family of addresses that it names. An empty list takes all of them away.
    type: list
    elements: raw
  dhcp_ranges:
    description: The ranges of addresses that DHCP gives away, like V(192.168.100.10-192.168.100.99). Without any there
      is no DHCP.
    type: list
    elements: str
  dhcp_hosts:
    description:
      - Guests that DHCP gives an address of their own. Each is a mapping with C(mac) (for IPv6 with C(id), the client's
        DUID) and C(address), and with C(name) if wanted.
      - They are told apart by C(mac) or C(id). A field that is not given stays as it is.
    type: list
    elements: raw
  dhcp_lease:
    description:
      - For how long DHCP gives an address of its ranges away, like V(12h), 2 minutes at least; V(unlimited) for good,
        V(default) as long as the server chooses. Needs ranges.
      - A range that is added later has the same, if all others have.
    type: str
  tftp_root:
    description: A directory of the host that the network's TFTP server gives out. An empty text takes it away. Needs a
      subnet of IPv4.
    type: str
  boot_file:
    description: The file that guests boot from the network, as DHCP tells them. An empty text takes it away. Needs
      addresses of IPv4 that DHCP gives away.
    type: str
  boot_server:
    description: The IPv4 address of the server that has O(boot_file). The host itself unless it is set; an empty text
      says so again.
    type: str
  dns_hosts:
    description: Names that the network's DNS knows beside those from DHCP. Each is a mapping with C(address) and
      C(names), which is complete.
    type: list
    elements: raw
  dns_txt:
    description: TXT records of the network's DNS, names and values.
    type: dict
  dns_srv:
    description:
      - Services that the network's DNS knows. Each is a mapping with C(service) and C(protocol) (V(tcp) or V(udp)), and
        with C(target), C(port), C(domain), C(priority) and C(weight) if wanted. One without a C(target) is not there.
      - They are told apart by all but the last two.
    type: list
    elements: raw
  dns_forwarders:
    description:
      - The name servers that the network's DNS asks, in the place of the host's own. Each is an address, or a mapping with
        C(address) and with the C(domain) that it is asked for. Of a C(domain) alone nobody is asked.
    type: list
    elements: raw
  dnsmasq_options:
    description:
      - Lines for the configuration of the network's dnsmasq, in their order, as they are. The list is complete.
      - Libvirt does not look at them. With a line that dnsmasq does not understand the network does not start.
    type: list
    elements: str
  dns:
    description: Whether there is a DNS server in the network. A new network has one.
    type: bool
  domain:
    description: The domain of the network's DNS and DHCP. An empty text takes it away, and O(domain_local_only) with
      it.
    type: str
  domain_local_only:
    description: Do not ask the host's own name servers for names in O(domain).
    type: bool
  mtu:
    description: The largest packet of the network, in bytes. V(0) leaves it to libvirt again.
    type: int
  bandwidth:
    description:
      - The limits of the whole network, a mapping with C(inbound) (to the guests), C(outbound) or both. Each is a mapping
        with C(average), and with C(peak) and C(burst) if wanted, sizes for each second and (C(burst)) at once, in whole
        KiB.
      - The mapping is complete. An empty one takes the limits away. For networks with a bridge.
    type: dict
  vlans:
    description:
      - The VLANs of the guests. Each is a number, or a mapping with C(id), and with C(native) (V(tagged) or
        V(untagged)).
      - The list is complete. For bridges of Open vSwitch and functions of a device, since libvirt 11.0 for bridges of
        Linux too.
    type: list
    elements: raw
  virtualport:
    description:
      - How guests are connected to a switch that wants to know more, a mapping with C(type) (V(openvswitch),
        V(midonet), V(802.1Qbg) or V(802.1Qbh)) and its parameters, C(profileid), C(interfaceid), C(managerid),
        C(typeid), C(typeidversion) and C(instanceid).
      - The mapping is complete. An empty one takes it away.
    type: dict
  portgroups:
    description:
      - Groups that a guest's interface can be in. Each is a mapping with C(name), and with C(default) (the one of
        interfaces that name none), C(bandwidth) of each interface, C(vlans) and C(virtualport) if wanted.
      - A field that is not given stays as it is. What changes is for guests that are connected from then on.
    type: list
    elements: raw
  autostart:
    description: Start the network when libvirt starts.
    type: bool
  purge:
    choices: [dhcp_hosts, dhcp_ranges, dns_forwarders, dns_hosts, dns_srv, dns_txt, interfaces, portgroups, routes]
  disruption:
    description:
      - The most that a change may disturb.
      - With V(live) what needs a restart of the network is written into its definition, and named in C(pending_restart)
        of RV(network). With V(restart) the network is restarted. Guests that run and are connected to it would lose
        their connection, so that also needs O(force).
  force:
    description:
      - Stop or restart the network though running guests are connected to it, and remove it though guests have an
        interface in it.
      - A running guest stays cut off until it is restarted, or its interface is attached anew.
    type: bool
    default: false
extends_documentation_fragment:
  - kraal.virt.kvm
  - kraal.virt.resource
  - kraal.virt.resource.purge
  - kraal.virt.attributes
  - kraal.virt.attributes.actiongroup_kvm
notes:
  - Should libvirt refuse to start a new network, because its subnet is in use on the host say, nothing is left of it.
    Should it refuse to start one again in a restart, the old definition is put back.
"""

EXAMPLES = r"""
- name: A network behind the host's address, with DHCP
  kraal.virt.kvm_network:
    name: lab
    subnets: [192.168.100.1/24]
    dhcp_ranges: [192.168.100.10-192.168.100.99]
    domain: lab.example.org
    autostart: true

- name: Give a guest an address of its own, while the network is active
  kraal.virt.kvm_network:
    name: lab
    dhcp_hosts:
      - mac: "52:54:00:12:34:56"
        address: 192.168.100.5
        name: db1
    dns_hosts:
      - address: 192.168.100.5
        names: [db]

- name: Let guests boot from the network
  kraal.virt.kvm_network:
    name: lab
    tftp_root: /srv/tftp
    boot_file: pxelinux.0
    dhcp_lease: 1h
    dns_forwarders:
      - domain: corp.example.org
        address: 192.0.2.53

- name: The bridge br0 of the host, under a name
  kraal.virt.kvm_network:
    name: office
    forward: bridge
    bridge: br0

- name: A bridge of Open vSwitch, with two groups of ports
  kraal.virt.kvm_network:
    name: ovs
    forward: bridge
    bridge: ovsbr0
    virtualport:
      type: openvswitch
    portgroups:
      - name: web
        default: true
        vlans: [42]
      - name: slow
        bandwidth:
          inbound:
            average: 1MiB

- name: Guests beside the host on its own interface
  kraal.virt.kvm_network:
    name: lan
    forward: private
    interfaces: [eth1]

- name: Remove it
  kraal.virt.kvm_network:
    name: lab
    state: absent
"""

RETURN = r"""
plan:
  description: The steps. The C(action) is C(create), C(set), C(remove), C(start), C(stop) or C(restart).
  returned: always
  type: list
  elements: dict
  sample:
    - guest: lab
      action: set
      key: dhcp_hosts[52:54:00:12:34:56]
      before: null
      after: {mac: "52:54:00:12:34:56", address: 192.168.100.5, name: db1}
      disruption: live
network:
  description:
    - The network as it is defined now (under C(--check), as it will be). Null where it is absent.
    - C(state) is V(active) or V(inactive), C(guests) are all that have an interface in it.
    - C(pending_restart) names the options in which what is in effect is not what is defined.
  returned: always
  type: dict
  sample:
    name: lab
    backend: kvm
    id: 3b1bd1c2-0c1e-4a5f-9b8f-4cb6a3a6f0d8
    state: active
    forward: nat
    forward_dev: ""
    interfaces: []
    physical_function: ""
    bridge: virbr0
    subnets: [{subnet: 192.168.100.0/24, address: 192.168.100.1}]
    dhcp_ranges: [192.168.100.10-192.168.100.99]
    dhcp_hosts: [{mac: "52:54:00:12:34:56", address: 192.168.100.5, name: db1}]
    dns_hosts: []
    dns_txt: {}
    dns_srv: []
    dns_forwarders: []
    dnsmasq_options: []
    dhcp_lease: default
    tftp_root: ""
    boot_file: ""
    boot_server: ""
    nat_addresses: ""
    nat_ports: ""
    nat_ipv6: false
    routes: []
    bandwidth: {}
    vlans: []
    virtualport: {}
    portgroups: []
    dns: true
    domain: lab.example.org
    domain_local_only: false
    mtu: 0
    autostart: true
    guests: []
    pending_restart: []
trace: {returned: at C(-vvv), type: list, elements: dict,
  description: "R(What was sent to the engines,ansible_collections.kraal.virt.docsite.guide_fleet_trace)."}
"""

from ansible_collections.kraal.virt.plugins.module_utils.backends.kvm.client import CONNECTION, connect
from ansible_collections.kraal.virt.plugins.module_utils.backends.kvm.network.resource import Networks
from ansible_collections.kraal.virt.plugins.module_utils.backends.kvm.peers import NETWORK
from ansible_collections.kraal.virt.plugins.module_utils.engine.task import run_resource


def main() -> None:
    run_resource(Networks.table, lambda parameters: Networks(connect(parameters)), CONNECTION, "network", peers=NETWORK)


if __name__ == "__main__":
    main()
