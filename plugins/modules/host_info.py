#!/usr/bin/python
# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: host_info
short_description: Tell which guests a host can run, and why not others
version_added: 0.1.0
author:
  - the kraal.virt contributors (@kraal-virt)
description:
  - Finds out what a host has for guests - its processor, C(/dev/kvm), kernel, firmware, control groups, user ids,
    engines, memory, disks, bridges and uplink - and gives a verdict for each backend, with the reason and the remedy.
    All of it is returned as facts under C(ansible_facts.kraal).
  - Works on x86 and ARM, as root and not, and needs nothing on the host but Python. What cannot be told, for want of
    rights or of the thing itself, is V(null), never a guess.
  - Changes nothing. It asks C(/dev/kvm) for a virtual machine and drops it at once, loads no kernel module, and asks
    daemons for their version. A daemon that is stopped and would be started by the question is not asked, since it may
    start its guests; libvirt's, which ends when nobody asks it, is, once it has run since the host was started.
options:
  backends:
    description: Give verdicts for these backends only, and ask no other engines.
    type: list
    elements: str
    choices: [docker, lxc, lxd, kvm, xen, virtualbox]
  trials:
    description:
      - What containers need, tried out beside what is to be read of it. It takes root, and happens in namespaces that
        are gone with the trial; the kernel may load a module for it. A trial that fails decides the verdicts of
        C(docker), C(lxc) and C(lxd).
      - V(namespaces) and V(user_namespaces) make such. V(links) makes a bridge and a pair of veth. V(docker_rules) and
        V(lxc_rules) write the rules of C(iptables) that Docker's engine and C(lxc-net) write. Where a tool is missing
        that is not told, unless the kernel's configuration tells it.
    type: list
    elements: str
    choices: [namespaces, user_namespaces, links, docker_rules, lxc_rules]
    default: []
  needs:
    description:
      - Programs and Python libraries that somebody is going to need on the host, to be told which packages are missing
        for them. The names are those of the collection's table, which stands in the guide to hosts; a library has
        C(python:) before its name.
      - C(package:) and a name is a package itself. V(apparmor_parser) counts only where AppArmor is on.
    type: list
    elements: str
    default: []
  users:
    description: Users that somebody is going to need on the host, to be told which of them it does not know.
    type: list
    elements: str
    default: []
  ports:
    description:
      - Ports that a DNS server for guests is going to need on a bridge's address, to be told which program has them on
        all addresses. Tried out on an address of the loopback, for a moment.
    type: list
    elements: int
    default: []
  subnets:
    description:
      - IPv4 networks that guests of Docker's are going to have, to be told which of them the host is in already. Each
        as M(kraal.virt.docker_network) takes it, a text or a dictionary with C(subnet).
    type: list
    elements: raw
    default: []
  space:
    description:
      - By path, what is going to be written below it, such as V(1GiB), to be told where there is less. Only where
        something is to be fetched, a package that is missing or one of O(downloads).
    type: dict
    default: {}
  downloads:
    description:
      - By path, what is going to be fetched from the mirrors of packages and written below it beside packages, such as
        base images. What is there already is not fetched again.
    type: dict
    default: {}
  docker_socket:
    description: The socket of Docker's engine, where it is not the usual one.
    type: path
  timeout:
    description: How many seconds each program and each daemon may take for its answer. One that takes longer does not
      answer.
    type: float
    default: 10
extends_documentation_fragment:
  - kraal.virt.attributes.info
  - kraal.virt.attributes
  - kraal.virt.attributes.actiongroup_kraal
notes:
  - A virtual machine that /dev/kvm creates is not a proof that a guest runs. A processor without the flag C(vmx) or
    C(svm) under a C(/dev/kvm) that works is V(unproven), with RV(ansible_facts.kraal.backends.kvm.usable=none).
  - Without root, C(/dev/kvm), the registers of the firmware and the kernel's log may be closed. The verdicts then say
    so.
seealso:
  - module: kraal.virt.guests_info
"""

EXAMPLES = r"""
- name: Look at the host
  kraal.virt.host_info:

- name: Tell what it can run
  ansible.builtin.debug:
    msg: "{{ item.key }}: {{ item.value.reason }}. {{ item.value.remedy }}"
  loop: "{{ ansible_facts['kraal'].backends | dict2items }}"

- name: Look whether containers can run, and nothing else
  kraal.virt.host_info:
    backends: [docker, lxc]
  register: look

- name: Fail where they cannot
  ansible.builtin.assert:
    that: look.ansible_facts.kraal.backends.docker.capable
    fail_msg: "{{ look.ansible_facts.kraal.backends.docker.reason }}. {{ look.ansible_facts.kraal.backends.docker.remedy
    }}"
"""

RETURN = r"""
ansible_facts:
  description: Facts of the host.
  returned: success
  type: dict
  contains:
    kraal:
      description: What was found.
      type: dict
      contains:
        architecture:
          description: The kernel's name of the architecture.
          type: str
          sample: x86_64
        user:
          description: The id of the user who looked.
          type: int
          sample: 0
        kernel:
          description: The release of the kernel.
          type: str
          sample: 6.1.0-28-amd64
        init:
          description: The first process, and whether systemd is at work.
          type: dict
          sample: {name: systemd, systemd: true}
        apparmor:
          description: Whether AppArmor is on.
          type: bool
          sample: true
        packages:
          description:
            - The packages of the O(needs) that are C(missing) and C(installed), sorted, and the package C(of) each,
              empty where the distribution has none.
            - On a system whose packages cannot be asked for, C(missing) are the programs that are not found.
          type: dict
          sample: {missing: [fdisk], installed: [e2fsprogs], of: {sfdisk: fdisk, mke2fs: e2fsprogs}}
        unknown_users:
          description: Those of the O(users) that the host does not know.
          type: list
          elements: str
        obstacles:
          description:
            - What stands in the way of the O(needs), O(ports), O(subnets), O(space) and O(downloads), as C(check),
              C(found), C(remedy) and the last two as a C(text). C(check) is V(port), V(subnet), V(space) or V(mirror).
            - Whether apt's mirrors can be reached is asked where something has to be fetched.
          type: list
          elements: dict
          sample:
            - check: mirror
              found: "the package mirror cannot be reached: deb.debian.org: Temporary failure in name resolution
              (missing here: fdisk)"
              remedy: Connect this host to the network, or set a proxy or another mirror below /etc/apt
        trials:
          description: What became of the O(trials), as C(check), C(ok) (V(none) where it cannot be told), C(found) and
            C(remedy).
          type: list
          elements: dict
          sample: [{check: making a bridge, ok: true, found: works, remedy: ""}]
        backends:
          description: The verdicts, by backend.
          type: dict
          contains:
            kvm:
              description: The verdict for KVM. Those for C(docker), C(lxc), C(lxd), C(xen) and C(virtualbox) are alike.
              type: dict
              contains:
                capable:
                  description: Whether the host can carry such guests, were the engine installed; V(none) where nothing
                    tells.
                  type: bool
                usable:
                  description: Whether such guests can run now; V(none) where nothing tells.
                  type: bool
                code:
                  description:
                    - The reason in one word. V(ok); V(not_installed), V(no_answer) and V(permission) of an engine.
                    - For KVM also V(unproven), V(firmware), V(nested_off), V(no_cpu_flag), V(no_device),
                      V(device_fails), V(no_module), V(module_not_loaded), V(driver_refused), V(xen_dom0), V(xen_domu);
                      V(permission) is also that of C(/dev/kvm).
                    - For containers also V(no_cgroups), V(no_namespaces), V(no_module), V(trial_failed), for LXC
                      V(cgroup_version) and V(no_apparmor_parser). For Xen also V(domu), V(not_booted), V(container)
                      and V(architecture). For VirtualBox also V(no_driver), V(architecture) and those of the
                      processor.
                  type: str
                reason:
                  description: The reason in words.
                  type: str
                remedy:
                  description: What to do about it. Empty where nothing is to be done.
                  type: str
                checks:
                  description: What each test found, as C(check), C(ok) and C(found); C(ok) is V(none) where the test
                    could not tell.
                  type: list
                  elements: dict
                domain_type:
                  description: For KVM only, the type that guests are best given, C(kvm) where that is proven, else
                    C(qemu).
                  type: str
                unprivileged:
                  description: For C(lxc) and C(lxd) only, whether containers may have user ids of their own, as
                    C(usable), C(reason) and C(remedy).
                  type: dict
                engine:
                  description: For C(lxd) only, which of C(lxd) and C(incus) is installed.
                  type: str
                hvm:
                  description: For C(xen) only, whether the hypervisor can run HVM guests.
                  type: bool
        cpu:
          description: The processors. C(extension) is V(vmx), V(svm) or V(sie), empty without one, and V(none) where
            the architecture shows none.
          type: dict
          sample:
            vendor: GenuineIntel
            model: Intel(R) Xeon(R) Gold 6130 CPU @ 2.10GHz
            count: 32
            flags: {vmx: true, svm: false, hypervisor: false}
            extension: vmx
            nested_paging: ept
        inside:
          description: The hypervisor and the container that the host itself runs in, and what told; empty where it runs
            in none.
          type: dict
          sample:
            hypervisor: kvm
            hypervisor_evidence: "/sys/class/dmi/id/product_name: KVM"
            container: ""
            container_evidence: ""
        kvm:
          description:
            - C(device) is what C(/dev/kvm) is and answered; C(offered) says that the kernel made it, whatever became of
              its node.
            - C(modules) are V(loaded), V(builtin), V(loadable), V(absent) or V(unknown), with what the kernel's
              configuration says.
            - C(firmware.disabled) is whether the firmware keeps virtualisation off, with its C(source).
            - C(nested) is whether guests may run guests.
            - C(at_load) is whether KVM takes the processor's virtualisation when it is loaded.
          type: dict
          sample:
            device: {present: true, kind: character, major: 10, minor: 232, opens: true, error: "", offered: true,
            api_version: 12, creates_vm: true}
            modules:
              kvm: {state: loaded, config: m}
              kvm_intel: {state: loaded, config: m}
              kvm_amd: {state: loadable, config: m}
            firmware: {disabled: false, source: kvm, found: a virtual machine was created}
            nested: true
            at_load: false
        iommu:
          description: Whether devices can be given to guests. C(groups) is the number of groups, C(units) the names of
            the IOMMUs.
          type: dict
          sample: {active: true, groups: 42, units: [dmar0, dmar1]}
        modules:
          description: Other modules of the kernel that guests need, in the form of those of C(kvm).
          type: dict
        cgroups:
          description:
            - Version (V(1), V(2), V(hybrid) or empty) and controllers. C(place) is where version 2 is mounted,
              C(read_only) what is mounted so.
          type: dict
          sample: {version: "2", controllers: [cpu, cpuset, devices, freezer, io, memory, pids], place: /sys/fs/cgroup,
          read_only: []}
        namespaces:
          description: The kinds, whether an ordinary user may make a namespace of users, and whether that one may mount
            sysfs, as containers do.
          type: dict
          sample: {kinds: [cgroup, ipc, mnt, net, pid, time, user, uts], max_user_namespaces: 63432, unprivileged_users:
          true, sysfs: true}
        subordinate_ids:
          description: Who may use which ranges of user and group ids for unprivileged containers.
          type: dict
          sample:
            users: [{owner: root, first: 100000, count: 65536}]
            groups: [{owner: root, first: 100000, count: 65536}]
        xen:
          description: V(dom0), V(domU) or nothing, with the hypervisor's version.
          type: dict
          sample: {role: dom0, version: 4.17.3, guest_type: PV}
        virtualbox:
          description: The driver's device and module.
          type: dict
        engines:
          description:
            - The engines C(docker), C(lxc), C(lxd), C(incus), C(libvirt), C(qemu), C(xen) and C(virtualbox).
            - C(answers) is V(none) where this user may not ask. An engine without a daemon answers when its program
              runs. C(hangs) says that there is a daemon which did not answer in time.
            - That of Docker has its C(client) too, and the version of its C(api) where it answers.
          type: dict
          sample:
            docker: {installed: true, program: /usr/sbin/dockerd, version: 20.10.24+dfsg1, answers: true, hangs: false,
              error: ""}
        memory:
          description: In bytes, huge pages by number.
          type: dict
          sample:
            total: 25276502016
            available: 23003197440
            swap_free: 0
            huge_pages_total: 0
            huge_pages_free: 0
            huge_page_size: 2097152
        disks:
          description: The file systems on which guests usually land, each once, in bytes.
          type: list
          elements: dict
          sample: [{path: /, total: 270553174016, free: 70279323648}]
        network:
          description:
            - C(bridges) of the kernel with their ports; C(uplink), the link with the preferred default route, or
              V(none); all C(default_routes).
            - C(uplink.manager) is V(NetworkManager), V(systemd-networkd), V(netplan), V(ifupdown) or V(unknown), and
              C(manager_evidence) what told.
            - C(uplink.kind) is V(physical), V(bridge), V(bond), V(vlan), V(wlan), V(tun), V(virtual) or the kernel's
              own term.
          type: dict
          sample:
            bridges:
              - name: br0
                ports: [eth0]
                addresses: [{address: 192.0.2.10, prefix: 24, family: ipv4, dynamic: false}]
                mac: "52:54:00:12:34:56"
                mtu: 1500
                stp: false
                vlan_filtering: false
            uplink:
              interface: br0
              kind: bridge
              mac: "52:54:00:12:34:56"
              mtu: 1500
              bridge: ""
              addresses: [{address: 192.0.2.10, prefix: 24, family: ipv4, dynamic: false}]
              gateways: [192.0.2.1]
              manager: ifupdown
              manager_evidence: /etc/network/interfaces describes it
            default_routes: [{interface: br0, gateway: 192.0.2.1, family: ipv4, metric: 0}]
"""

from ansible_collections.kraal.virt.plugins.module_utils.engine.checked_module import CheckedModule
from ansible_collections.kraal.virt.plugins.module_utils.engine.errors import InvalidOption
from ansible_collections.kraal.virt.plugins.module_utils.engine.units import parse_size
from ansible_collections.kraal.virt.plugins.module_utils.host.info import NAMES, gather
from ansible_collections.kraal.virt.plugins.module_utils.host.packages import known
from ansible_collections.kraal.virt.plugins.module_utils.host.reader import Host
from ansible_collections.kraal.virt.plugins.module_utils.host.trials import TRIALS

#: Seconds that a program or an engine may be given for its answer at most.
LONGEST = 86400


def main() -> None:
    module = CheckedModule(
        argument_spec={
            "backends": {"type": "list", "elements": "str", "choices": list(NAMES)},
            "trials": {"type": "list", "elements": "str", "choices": list(TRIALS), "default": []},
            "needs": {"type": "list", "elements": "str", "default": []},
            "users": {"type": "list", "elements": "str", "default": []},
            "ports": {"type": "list", "elements": "int", "default": []},
            "subnets": {"type": "list", "elements": "raw", "default": []},
            "space": {"type": "dict", "default": {}},
            "downloads": {"type": "dict", "default": {}},
            "docker_socket": {"type": "path"},
            "timeout": {"type": "float", "default": 10},
        },
        supports_check_mode=True,
    )
    wanted = module.params["backends"]
    if not 0 < module.params["timeout"] <= LONGEST:
        module.fail_json(
            msg="timeout: {:g} is not a time to answer in. Give a number of seconds above 0, {} at most.".format(
                module.params["timeout"], LONGEST
            )
        )
    ports = [str(port) for port in module.params["ports"] if not 0 < port < 1 << 16]
    if ports:
        module.fail_json(msg="ports: {} is none. Give numbers from 1 to 65535.".format(", ".join(ports)))
    unknown = [need for need in module.params["needs"] if not known(need)]
    if unknown:
        module.fail_json(
            msg="needs: {}: no package is known for that. Write package: and the name of the package.".format(
                ", ".join(unknown)
            )
        )
    try:
        sizes = {
            key: {path: parse_size(size, key) for path, size in module.params[key].items()}
            for key in ("space", "downloads")
        }
    except InvalidOption as error:
        module.fail_json(msg=str(error))
    plans = {**{key: module.params[key] for key in ("users", "ports", "subnets")}, **sizes}
    host = Host(timeout=module.params["timeout"], docker_socket=module.params["docker_socket"] or "")
    facts = gather(host, NAMES if wanted is None else wanted, module.params["trials"], module.params["needs"], plans)
    module.exit_json(changed=False, ansible_facts={"kraal": facts})


if __name__ == "__main__":
    main()
