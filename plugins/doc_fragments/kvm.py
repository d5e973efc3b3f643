# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How a module reaches libvirt: the same for every module that does (see CONNECTION in the backend's client)."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  uri:
    description:
      - Where libvirt is, seen from the host on which the task runs.
      - V(qemu:///system) is the daemon of that host, V(qemu+ssh://root@192.0.2.10/system) one on another machine,
        reached with that host's C(ssh) program, V(qemu+tls://kvm1.example.org/system) one that listens for TLS.
        Whatever else libvirt takes in a URI, such as C(keyfile=) or C(pkipath=), works here too.
      - With C(ssh), nobody is asked for a password or whether to trust a host key. Use a key, and let the host's key be
        known.
      - Where the option is not set and the environment variable E(LIBVIRT_DEFAULT_URI) is, its value is used; otherwise
        V(qemu:///system).
    type: str
  connect_timeout:
    description:
      - How many seconds the connection may take to be made.
      - A connection that stands is given up when the daemon has shown no sign of life for half a minute.
    type: int
    default: 30
requirements:
  - libvirt 9.0 or later, on the host that O(uri) names
  - libvirt-python 9.0 or later (Debian's C(python3-libvirt)), for the Python that the module runs with, which is the
    distribution's own
"""

    # For what tells the addresses of guests.
    ADDRESSES = r"""
options:
  address_sources:
    description:
      - Where the addresses of virtual machines of libvirt are looked for, in this order. The first source that knows
        any is taken.
      - V(lease) is the DHCP of libvirt's networks, V(agent) the guest agent, which is asked only when it is connected,
        V(arp) the host's table of neighbours.
      - Only addresses of the domain's own interfaces count, in their order, and none that the host itself has.
    type: list
    elements: str
    choices: [lease, agent, arp]
    default: [lease, agent, arp]
"""
