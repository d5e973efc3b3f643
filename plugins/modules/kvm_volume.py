#!/usr/bin/python
# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: kvm_volume
short_description: Manage a volume in a storage pool of libvirt
version_added: 0.1.0
author:
  - the kraal.virt contributors (@kraal-virt)
description:
  - Makes a volume in a storage pool of libvirt, empty or from a file, another volume, or on top of another image; makes
    it larger, or removes it.
  - A volume is data. What it was made from counts only when it is new, it is never made smaller, and it is not removed
    while anybody uses it.
options:
  name:
    description: The volume's name in its pool.
    type: str
    required: true
  pool:
    description: The pool. It has to be active.
    type: str
    required: true
  state:
    description:
      - Whether the volume is to be there.
      - One that a guest uses, running or not, as a disk, below a disk, or to boot from, is not removed; nor is one that
        another volume stands on. Nor is any while it cannot be seen on what the disk of a guest stands that is off,
        because its image is in no active pool and cannot be read.
    type: str
    choices: [present, absent]
    default: present
  capacity:
    description:
      - The size that a guest sees, like V(10GiB). A new volume needs it, unless it is made from something that has one.
      - A volume that is smaller is made larger. If a guest runs that uses it as a disk, it sees the new size at once.
        It is refused while a block job of libvirt works on that disk, and of a volume that backs the disk of a guest
        that runs, for that disk would not grow with it.
      - Where volumes are devices and libvirt cannot make them larger, as in a pool of type V(logical), make it so by
        its own means (lvextend), and run again.
      - A volume that is larger is left alone, and the task fails.
    type: str
  allocation:
    description:
      - The size to reserve for a new volume. Nothing unless it is given; all of it where volumes are devices.
    type: str
  format:
    description:
      - The format of a new volume. Unless it is given, that of what it is made from; V(qcow2) with O(backing), and
        otherwise V(raw).
      - What is imported or cloned is converted to it. The format of a volume that is there cannot change; clone it into
        another one.
    type: str
    choices: [raw, qcow2, qed, vdi, vmdk, vpc]
  import:
    description:
      - Make the volume from a file on the host where the task runs. It is sent through libvirt, which may be on another
        host.
      - The pool has to have room for the file and the volume, since the file is there too until the volume is complete.
      - An image that refers to other files for its content is refused.
    type: dict
    suboptions:
      path:
        description: The file.
        type: path
        required: true
      checksum:
        description: Its SHA-256, with or without C(sha256:) before it. A file with another one is not sent.
        type: str
      format:
        description: Its format. Found out unless it is given.
        type: str
        choices: [raw, qcow2]
  clone:
    description:
      - Make the volume as a full copy of another one. Write its name, or a mapping with C(volume) and C(pool).
      - One that a running guest writes to is not copied.
    type: raw
  backing:
    description:
      - Make the volume on top of another image, which must not change any more. It then holds the differences only.
      - Write a volume's name, or a mapping with C(volume) and C(pool), or one with C(path) and C(format).
    type: raw
  wipe:
    description: With O(state=absent), overwrite the volume with zeros before it is removed.
    type: bool
    default: false
extends_documentation_fragment:
  - kraal.virt.kvm
  - kraal.virt.attributes
  - kraal.virt.attributes.actiongroup_kvm
notes:
  - A file on its way into a pool is a volume whose name ends in C(.kraal-part). A run that is cut off leaves it there,
    and the next one clears it away.
  - While a volume is being made, an empty one beside it, whose name ends in C(.kraal-incomplete), says that it is
    incomplete. When a run or libvirt itself dies in the middle, the next run removes such a volume and makes it again.
    It is refused if a guest has come to use it meanwhile, and so is whatever would be made from it.
  - What a task has begun and cannot bring to its end, for want of room say, it removes before it fails.
  - Nothing is imported or cloned into a pool of type V(disk), where libvirt itself names the volumes, so that none can
    be marked as incomplete.
  - Images that snapshots have made may be new to libvirt. Before a volume is removed, libvirt is asked to look at all
    active pools anew, and one that others turn out to stand on stays. Under check mode it is not; the headers of files
    on this host are read.
"""

EXAMPLES = r"""
- name: An empty disk
  kraal.virt.kvm_volume:
    name: data.qcow2
    pool: images
    capacity: 20GiB
    format: qcow2

- name: An image from a file
  kraal.virt.kvm_volume:
    name: debian.qcow2
    pool: images
    format: qcow2
    import:
      path: /srv/images/debian.raw
      checksum: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08

- name: A guest's disk on top of it
  kraal.virt.kvm_volume:
    name: web1.qcow2
    pool: images
    capacity: 10GiB
    backing: debian.qcow2

- name: Remove a disk, and what was on it
  kraal.virt.kvm_volume:
    name: data.qcow2
    pool: images
    state: absent
    wipe: true
"""

RETURN = r"""
plan:
  description: The steps. The C(action) is C(create), C(remove), C(resize), C(wipe) or C(clear).
  returned: always
  type: list
  elements: dict
  sample:
    - {guest: data.qcow2, action: resize, key: capacity, before: 10GiB, after: 20GiB, disruption: live}
volume:
  description:
    - The volume as it is now (under C(--check), as it will be). Null where it is absent.
    - C(guests) are those that use it; C(path) is empty and C(allocation) is null where they are not known yet.
  returned: always
  type: dict
  sample:
    name: data.qcow2
    backend: kvm
    pool: images
    path: /var/lib/libvirt/images/data.qcow2
    capacity: 20GiB
    format: qcow2
    backing: null
    allocation: 196KiB
    guests: []
trace: {returned: at C(-vvv), type: list, elements: dict,
  description: "R(What was sent to the engines,ansible_collections.kraal.virt.docsite.guide_fleet_trace)."}
"""

from ansible_collections.kraal.virt.plugins.module_utils.backends.kvm.client import CONNECTION, connect
from ansible_collections.kraal.virt.plugins.module_utils.backends.kvm.peers import VOLUME
from ansible_collections.kraal.virt.plugins.module_utils.backends.kvm.storage.volume import Volumes
from ansible_collections.kraal.virt.plugins.module_utils.engine.task import run_resource


def main() -> None:
    run_resource(Volumes.table, lambda parameters: Volumes(connect(parameters)), CONNECTION, "volume", peers=VOLUME)


if __name__ == "__main__":
    main()
