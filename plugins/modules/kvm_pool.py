#!/usr/bin/python
# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: kvm_pool
short_description: Manage a storage pool of libvirt
version_added: 0.1.0
author:
  - the kraal.virt contributors (@kraal-virt)
description:
  - Defines a storage pool of libvirt, changes its definition, starts and stops it, or removes it.
  - What a pool holds is data. A pool is built only when it is new, and removing a pool leaves what it holds where it
    is.
options:
  name:
    description: The pool's name.
    type: str
    required: true
  state:
    description:
      - V(active) defines the pool if need be and starts it, V(inactive) stops it and keeps its definition.
      - V(present) leaves alone whether it is active.
      - V(absent) stops it and removes its definition. Its directory, volume group or whatever it stands on stays, with
        all volumes.
      - A pool of which a guest, running or not, has something is neither stopped nor removed. It may name the pool, or
        a path in it.
    type: str
    choices: [active, inactive, present, absent]
    default: active
  type:
    description:
      - What the pool is. A new pool needs it, and it cannot change.
      - V(dir) is a directory, V(fs) a file system that libvirt mounts, V(netfs) one that a server exports, V(logical) a
        volume group of LVM, V(disk) the partitions of a disk, V(zfs) a pool of ZFS, V(iscsi) a target whose units the
        host logs in to, V(iscsi-direct) one that QEMU talks to itself, V(scsi) the units of a SCSI host adapter,
        V(mpath) the multipath devices of the host, V(rbd) a pool of Ceph, V(gluster) a volume of Gluster, V(vstorage) a
        cluster of Virtuozzo Storage.
      - All but V(dir), V(fs) and V(netfs) may need a package of their own on the host, such as Debian's
        C(libvirt-daemon-driver-storage-zfs). A type that the host's libvirt cannot have is refused.
    type: str
    choices: [dir, fs, netfs, logical, disk, zfs, iscsi, iscsi-direct, scsi, mpath, rbd, gluster, vstorage]
  path:
    description:
      - Where the volumes are, on the host that O(uri) names. Needed with V(dir), V(fs), V(netfs), V(vstorage), V(disk)
        (there mostly C(/dev)), V(iscsi) and V(scsi) (C(/dev/disk/by-path)) and V(mpath) (C(/dev/mapper)).
    type: str
  devices:
    description: The block devices below V(fs) and V(disk) (one), V(logical) and V(zfs); with V(iscsi) and
      V(iscsi-direct) the name of the target.
    type: list
    elements: str
  source_name:
    description:
      - The name of the volume group, of the pool of ZFS or Ceph, of the volume of Gluster, or of the cluster of
        Virtuozzo Storage. Needed with all of these but V(logical), where it is the pool's own name unless given.
    type: str
  source_path:
    description: The directory that the server of V(netfs) exports, or one in the volume of V(gluster).
    type: str
  adapter:
    description: The SCSI host adapter of V(scsi), by O(adapter.name), or a virtual one of Fibre Channel, by
      O(adapter.wwnn) and O(adapter.wwpn).
    type: dict
    suboptions:
      name:
        description: The adapter's name, like V(scsi_host5).
        type: str
      parent:
        description: The adapter that a virtual one is made on. Libvirt chooses unless it is given.
        type: str
      wwnn:
        description: The World Wide Node Name of a virtual one, 16 hexadecimal digits.
        type: str
      wwpn:
        description: Its World Wide Port Name.
        type: str
  host:
    description: The host of the source, with V(netfs) the server, with V(iscsi) and V(iscsi-direct) the portal, with
      V(rbd) a monitor.
    type: str
  port:
    description: The port there.
    type: int
  initiator:
    description: The initiator's name, with V(iscsi) and V(iscsi-direct), which needs it.
    type: str
  format:
    description: The file system, with V(fs). Libvirt finds out unless it is given. With V(netfs) V(nfs), V(cifs) or
      V(glusterfs), with V(disk) the kind of its table of partitions (V(gpt), V(dos)), with V(logical) V(lvm2).
    type: str
  auth:
    description:
      - How to log in at the source, with V(iscsi), V(iscsi-direct) and V(rbd).
      - The secret itself is libvirt's to keep (C(virsh secret-define), C(virsh secret-set-value)); it is only referred
        to here.
    type: dict
    suboptions:
      username:
        description: The user's name.
        type: str
        required: true
      secret_uuid:
        description: The secret's UUID. Either this or O(auth.secret_usage).
        type: str
      secret_usage:
        description: The secret's usage.
        type: str
  build:
    description:
      - Whether to make what a new pool stands on. It has no effect on one that is there.
      - Unless it is set, the directory of V(dir), V(fs), V(netfs) and V(vstorage) is made where it is missing, and
        nothing else. A new pool that is built is started for that.
      - With V(true), V(fs) gets a file system, V(logical) a volume group and V(disk) a table of partitions, unless
        there is one on O(devices) already, which is an error, and V(zfs) a pool on O(devices). What was on them is
        lost.
    type: bool
  autostart:
    description: Start the pool when libvirt starts.
    type: bool
  disruption:
    description:
      - The most that a change may disturb.
      - With V(live) a change is written into the definition, and named in C(pending_restart) of RV(pool). With
        V(restart) the pool is restarted, unless a guest's disks name it.
extends_documentation_fragment:
  - kraal.virt.kvm
  - kraal.virt.resource
  - kraal.virt.attributes
  - kraal.virt.attributes.actiongroup_kvm
"""

EXAMPLES = r"""
- name: A directory for images
  kraal.virt.kvm_pool:
    name: images
    type: dir
    path: /var/lib/libvirt/images
    autostart: true

- name: What a server exports, to be mounted later
  kraal.virt.kvm_pool:
    name: nfs
    state: present
    type: netfs
    path: /srv/nfs
    host: nfs1.example.org
    source_path: /srv/images
    format: nfs
    build: false

- name: A volume group that is there already, to be started later
  kraal.virt.kvm_pool:
    name: vg0
    state: present
    type: logical

- name: A pool of Ceph, to be started later
  kraal.virt.kvm_pool:
    name: ceph
    state: present
    type: rbd
    source_name: libvirt-pool
    host: ceph1.example.org
    auth:
      username: libvirt
      secret_usage: client.libvirt secret

- name: Remove a pool, not what is in it
  kraal.virt.kvm_pool:
    name: vg0
    state: absent
"""

RETURN = r"""
plan:
  description: The steps. The C(action) is C(create), C(set), C(remove), C(start), C(stop) or C(restart).
  returned: always
  type: list
  elements: dict
  sample:
    - {guest: images, action: create, key: "", before: null,
      after: {type: dir, path: /var/lib/libvirt/images, autostart: true}, disruption: none}
    - {guest: images, action: start, key: state, before: inactive, after: active, disruption: none}
pool:
  description:
    - The pool as it is defined now (under C(--check), as it will be). Null where it is absent.
    - C(state) is V(active) or V(inactive), C(guests) are those that have something of it as a disk, below a disk, or to
      boot from.
    - C(capacity), C(allocation) and C(available) are null while it is inactive.
    - C(pending_restart) names the options in which what is in effect is not what is defined.
  returned: always
  type: dict
  sample:
    name: images
    backend: kvm
    id: 5a0a9f0e-7c0c-4b5c-8f5c-0d2d3b8c6c11
    state: active
    type: dir
    path: /var/lib/libvirt/images
    devices: []
    source_name: null
    source_path: null
    adapter: null
    host: null
    port: null
    initiator: null
    format: null
    auth: null
    autostart: true
    capacity: 100GiB
    allocation: 20GiB
    available: 80GiB
    guests: []
    pending_restart: []
trace: {returned: at C(-vvv), type: list, elements: dict,
  description: "R(What was sent to the engines,ansible_collections.kraal.virt.docsite.guide_fleet_trace)."}
"""

from ansible_collections.kraal.virt.plugins.module_utils.backends.kvm.client import CONNECTION, connect
from ansible_collections.kraal.virt.plugins.module_utils.backends.kvm.peers import POOL
from ansible_collections.kraal.virt.plugins.module_utils.backends.kvm.storage.pool import Pools
from ansible_collections.kraal.virt.plugins.module_utils.engine.task import run_resource


def main() -> None:
    run_resource(Pools.table, lambda parameters: Pools(connect(parameters)), CONNECTION, "pool", peers=POOL)


if __name__ == "__main__":
    main()
