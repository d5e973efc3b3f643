#!/usr/bin/python
# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: lxc_container
short_description: Manage an LXC container
version_added: 0.1.0
author:
  - the kraal.virt contributors (@kraal-virt)
description:
  - Creates a container, changes it, brings it into a power state, or removes it. With LXC's own tools and files,
    without a daemon and without Python bindings.
  - Only what the task sets is managed. The configuration file is edited, not written anew. Comments and the keys that
    the task does not set stay as they are, and the file is replaced in one step. A configuration that liblxc refuses is
    refused before anything is touched.
  - Limits change while the container runs, and are written to the configuration as well, for control groups of the
    version that the host has.
  - What takes effect at the next start is written to the configuration, and is named in C(pending_restart) of RV(guest)
    until then. The container is restarted for it only if O(disruption) allows that. What a container was started with
    is asked of the container itself, so changes by hand are seen too.
  - A run that was cut off is cleared up by the next one on the same container. What was not finished is removed and
    made anew.
  - After every change the container is read again. The task fails if something else is there than was asked for.
options:
  state:
    choices: [running, stopped, paused, present, absent]
  lxc_path:
    description:
      - The directory of the containers. The host's own setting unless given, which is C(/var/lib/lxc) as a rule.
      - Containers in another directory are found by M(kraal.virt.guests_info) and the inventory too, once a task has
        made one there.
    type: path
  image:
    description:
      - The root file system, an archive that M(kraal.virt.base_image) has made, or any other that tar understands. Its
        path on the host, or a mapping with C(path) and C(checksum), such as that module returns.
      - Without a checksum, it is taken from the description that M(kraal.virt.base_image) leaves beside the archive, or
        else from the archive itself.
      - A container has the wanted image when it was made from an archive of this content, wherever that lies.
      - Another image takes a re-creation. The root file system is lost then, the configuration stays.
    type: raw
  template:
    description:
      - Create the container with this template of LXC, by name, like V(download), V(busybox), V(local) or V(oci), or by
        path.
      - Only looked at when the container is created.
    type: str
  template_options:
    description:
      - The template's options, a mapping of its long options (C(dist), C(release) and C(arch) for V(download)), or a
        list of words. An option that takes no value is written with V(true).
    type: raw
  clone:
    description:
      - Create the container as a copy of another one, which must not run.
      - Only looked at when the container is created.
    type: dict
    suboptions:
      name:
        description: The container to copy.
        type: str
        required: true
      lxc_path:
        description: The directory that it is in, if not O(lxc_path).
        type: path
      snapshot:
        description:
          - Let the new container stand on the old one's root file system, of which it keeps only what differs. Needs
            storage that can, or O(storage=overlay). The old one cannot be removed as long as the new one is there.
        type: bool
        default: false
  storage:
    description:
      - What the root file system is on. V(dir) unless set.
      - V(overlay) with O(image) unpacks the image once for all containers of the directory, which then have only what
        differs. It goes with the last of them.
      - Cannot change in a container that is there.
    type: str
    choices: [dir, overlay, btrfs, zfs, lvm, loop]
  storage_options:
    description: What O(storage) needs to know when the container is created.
    type: dict
    suboptions:
      size:
        description: The size of the volume, as lxc-create understands it, like V(2G).
        type: str
      filesystem:
        description: The file system on the volume.
        type: str
      vg:
        description: The volume group, for LVM.
        type: str
      lv:
        description: The logical volume, for LVM. The container's name unless set.
        type: str
      thin_pool:
        description: The thin pool, for LVM.
        type: str
      zfs_root:
        description: The dataset below which the container's one is made, for ZFS.
        type: str
  idmap:
    description:
      - The ids of the host that stand for the container's users and groups, which makes it an unprivileged one. A list
        of lines like V(u 0 100000 65536) and V(g 0 100000 65536), or V(b 0 100000 65536) for both.
      - The whole list, in its order. A change needs a re-creation.
    type: list
    elements: str
  config:
    description:
      - Keys of C(lxc.container.conf), each with its value, the whole list of its values, or null to take it away.
      - What an included file sets counts. A key that an included file sets and the task takes away is set to nothing.
      - A change takes effect at the next start.
    type: dict
  hostname:
    description: The name that the container has for itself. Its O(name) unless set. A change takes effect at the next
      start.
    type: str
  networks:
    description:
      - The network devices, in order. Each is the name of a bridge, or a mapping with C(type) (V(veth) unless set,
        V(macvlan), V(ipvlan), V(phys), V(none) for the host's own network, V(empty) for nothing but loopback), C(link)
        (a device of the host), C(name) (in the container; C(eth0), C(eth1) unless set), C(mac_address), C(ipv4_address)
        and C(ipv6_address) with the length of the prefix, C(ipv4_gateway), C(ipv6_gateway), C(mtu), C(mode) (of
        V(macvlan) and V(ipvlan)) and C(host_name) (of a V(veth)).
      - A new container has the devices of the host's default configuration as well. A device is known by its C(name),
        and fields that are not set stay.
      - A change takes effect at the next start. Merged with what is there, unless O(purge) names it.
    type: list
    elements: raw
  mounts:
    description:
      - What to mount. Each is a text like V(/srv/site:/site:ro), or a mapping with C(source), C(target), C(type)
        (V(bind) unless set), C(read_only), C(options), C(create) (V(dir), V(file), V(no); what to make in the container
        where nothing is there) and C(optional).
      - Mounts of included files are not looked at.
      - A change takes effect at the next start. Merged with what is there, unless O(purge) names it.
    type: list
    elements: raw
  cap_drop:
    description:
      - Capabilities that the container does not have, with or without C(CAP_).
      - A change takes effect at the next start. Merged with what is there, that of included files too, unless O(purge)
        names it.
    type: list
    elements: str
  cap_keep:
    description:
      - The capabilities that the container has, and no others. liblxc refuses it together with dropped ones.
      - A change takes effect at the next start. Merged with what is there, unless O(purge) names it.
    type: list
    elements: str
  cpus:
    description:
      - How many processors it may use, like V(1.5). V(0) stands for no limit.
      - Changed live.
    type: float
  cpu_shares:
    description:
      - Its weight against others for processors, from 2 to 262144. 1024 is what a container has that is not given
        any.
      - On a host with control groups of version 2 this is its C(cpu.weight), by the formula of runc 1.3.2 and later,
        512 is 59 and 1024 is 100. A weight that an earlier version of this collection gave it, 20 and 39, stays until
        the value changes.
      - Changed live.
    type: int
  cpuset_cpus:
    description:
      - The processors that it may run on, like V(0-2,4). Empty for all.
      - Changed live.
    type: str
  memory:
    description:
      - How much memory it may use, as a size like V(512MiB), in whole pages. V(0) stands for no limit.
      - Changed live.
    type: str
  memory_swap:
    description:
      - How much memory and swap it may use together, as a size, or V(unlimited). Needs a limit of O(memory).
      - Changed live.
    type: str
  io_limits:
    description:
      - How fast it may read and write block devices. Each is a mapping with C(device) (a path on the host, or V(8:0)),
        C(read_bps), C(write_bps) (sizes, for each second), C(read_iops) and C(write_iops). V(0) stands for no limit.
      - Changed live. Merged with what is there, unless O(purge) names it.
    type: list
    elements: raw
  autostart:
    description: Whether the host starts it when the host itself starts.
    type: bool
  autostart_order:
    description: Its place among those that are started. Higher numbers go first.
    type: int
  autostart_delay:
    description: How many seconds to wait behind its start for the next one.
    type: int
  autostart_groups:
    description: The groups that it belongs to, for C(lxc-autostart). Merged with what is there, unless O(purge) names
      it.
    type: list
    elements: str
  labels:
    description: Labels. Kept in a file beside the configuration. Merged with what is there, unless O(purge) names it.
    type: dict
  description:
    description: A description. Kept in a file beside the configuration.
    type: str
  purge:
    choices: [autostart_groups, cap_drop, cap_keep, io_limits, labels, mounts, networks]
  stop_timeout:
    description: How many seconds the container has to end before it is killed, when this task stops it. V(0) kills it
      at once.
    type: int
    default: 30
  remove_storage:
    description:
      - With O(state=absent), remove a volume of LVM or ZFS too, if it is called after the container.
      - A root file system in the container's own directory goes with the container always. One that is elsewhere, or
        that another container stands on, is never removed.
    type: bool
    default: false
  disruption:
    default: live
  wait_for:
    description:
      - What to wait for at the end of the task, when the guest shall run. It is not waited for under check mode.
      - V(address) waits until it has an address other than loopback and link-local ones.
    choices: [none, running, address]
extends_documentation_fragment:
  - kraal.virt.guest
  - kraal.virt.guest.container
  - kraal.virt.attributes
  - kraal.virt.attributes.actiongroup_lxc
requirements:
  - LXC 4.0 or later (Debian's package C(lxc))
  - rsync, to clone a container without a snapshot
seealso:
  - module: kraal.virt.base_image
  - module: kraal.virt.fleet
  - module: kraal.virt.guests_info
"""

EXAMPLES = r"""
- name: Make a container of a base image
  kraal.virt.lxc_container:
    name: web
    image: /var/cache/kraal.virt/base.tar
    cpus: 0.5
    memory: 128MiB
    networks:
      - type: empty
    autostart: true
    autostart_delay: 5
    labels:
      role: web

- name: Give it more memory, while it runs
  kraal.virt.lxc_container:
    name: web
    memory: 256MiB

- name: Mount a directory of the host, and restart the container for it
  kraal.virt.lxc_container:
    name: web
    mounts:
      - /srv:/srv:ro
    disruption: restart

- name: Set a key of the configuration, and take another one away
  kraal.virt.lxc_container:
    name: web
    config:
      lxc.environment: [STAGE=test, REGION=north]
      lxc.tty.max: null

- name: Stop it
  kraal.virt.lxc_container:
    name: web
    state: stopped

- name: Make a second one that is an overlay of the first
  kraal.virt.lxc_container:
    name: web-2
    clone:
      name: web
      snapshot: true
    storage: overlay
    state: stopped

- name: Remove both, the overlay first
  kraal.virt.lxc_container:
    name: "{{ item }}"
    state: absent
  loop: [web-2, web]
"""

RETURN = r"""
plan:
  description:
    - The steps. The C(action) is C(create), C(recreate), C(set), C(remove), C(clean), C(start), C(stop), C(pause),
      C(resume) or C(restart).
  returned: always
  type: list
  elements: dict
  sample:
    - {guest: web, action: set, key: memory, before: 64MiB, after: 128MiB, disruption: live}
diff:
  description: What C(--diff) shows of the changed keys.
  returned: always
  type: dict
  sample: {before: {memory: 64MiB}, after: {memory: 128MiB, cpus: 0.5}, before_header: lxc web, after_header: lxc web}
guest:
  description:
    - The container as it is now, or under C(--check) will be. Null where it is absent.
    - R(The guide,ansible_collections.kraal.virt.docsite.guide_plans_guest) tells what each key has.
    - C(place) is the directory that has it, as its links lead to it, empty for the host's own (C(lxc.lxcpath)). C(id)
      is its own directory. C(raw_state) is liblxc's word, such as C(FROZEN) or C(STARTING).
    - C(image) is the path of the image that it was made from, or C(template:NAME) or C(clone:NAME), where a task of
      this module made it.
    - C(pending_restart) has options, entries of them, like C(mounts) and C(networks[eth0]), and C(config[KEY]).
  returned: always
  type: dict
  sample: {name: web, backend: lxc, place: "", id: /var/lib/lxc/web, state: running, raw_state: RUNNING,
    image: /var/cache/kraal.virt/base.tar, cpus: 0.5, memory: 128MiB,
    addresses: [{address: 10.0.3.5, family: ipv4, network: lxcbr0, mac: "00:16:3e:11:00:05"}],
    labels: {role: web}, autostart: false, pending_restart: [hostname]}
trace: {returned: at C(-vvv), type: list, elements: dict,
  description: "R(What was sent to the engines,ansible_collections.kraal.virt.docsite.guide_fleet_trace)."}
"""

from ansible_collections.kraal.virt.plugins.module_utils.backends.lxc.client import CONNECTION, Lxc
from ansible_collections.kraal.virt.plugins.module_utils.backends.lxc.container.resource import Containers
from ansible_collections.kraal.virt.plugins.module_utils.backends.lxc.peers import CONTAINER
from ansible_collections.kraal.virt.plugins.module_utils.engine.task import run_resource


def main() -> None:
    run_resource(Containers.table, lambda parameters: Containers(Lxc(parameters)), CONNECTION, "guest", peers=CONTAINER)


if __name__ == "__main__":
    main()
