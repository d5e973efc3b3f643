#!/usr/bin/python
# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: base_image
short_description: Build a root file system or a bootable disk to make guests from
version_added: 0.1.0
author:
  - the kraal.virt contributors (@kraal-virt)
description:
  - Builds a root file system of Debian or Ubuntu with mmdebstrap, as a tar archive, from packages alone. No image
    registry is needed.
  - With O(format=qcow2) or O(format=raw), it is a disk that boots by itself, with a BIOS, or with the kernel and the
    initramfs that stand beside it. See R(Disks for virtual
    machines,ansible_collections.kraal.virt.docsite.guide_images_disks).
  - A base image is known by what it was asked for. The same request is built once, another request for the same name is
    built beside it. A description in JSON stands beside each.
  - In an image stands what root's password is made into, so only root may read it and its description, which has no
    commands but their programs and a checksum of each. Files that an earlier version left open are closed. A new
    O(directory) lets others through to files that they are given, such as QEMU's user, and nowhere else; one that is
    there keeps its permissions.
  - On the same day (UTC), from the same packages, the same request gives the same archive, byte for byte. So it does on
    any day for which the task's environment sets E(SOURCE_DATE_EPOCH), the seconds since 1970 that no file is younger
    than.
  - A base image appears when it is complete. What a run leaves that dies in the middle is removed by the next one.
  - M(kraal.virt.docker_image) imports the archive, on this host or on others.
requirements:
  - mmdebstrap
  - root
  - fdisk and e2fsprogs, for O(format=qcow2) and O(format=raw)
  - qemu-utils, for O(format=qcow2)
options:
  name:
    description: The base image's name. The file's name is made of it and of a digest of the request.
    type: str
    required: true
  state:
    description:
      - Whether the base image is to be there. V(absent) removes all builds of this name.
      - No hypervisor is asked what stands on a disk. The disk of a guest that was made with C(clone=linked) in
        O(kraal.virt.kvm_vm#module:source), or on C(backing), needs the very build that it was made from, and is lost
        without it. Remove such guests first; those of C(clone=full) need no build.
    type: str
    choices: [present, absent]
    default: present
  directory:
    description: Where the base images are kept.
    type: path
    default: /var/cache/kraal.virt
  suite:
    description: The release, such as V(bookworm) or V(trixie). That of the host where the task runs unless given.
    type: str
  packages:
    description: Packages to install beyond those of the variant.
    type: list
    elements: str
  variant:
    description: How much of the release is installed to begin with. V(minbase) unless given.
    type: str
    choices: [minbase, buildd, apt, required, important, standard, essential]
  components:
    description: The components of the package sources, such as V(main) and V(contrib). Those of the host's own sources,
      or V(main), unless given.
    type: list
    elements: str
  architecture:
    description: The architecture. The host's own unless given. A disk is built for V(amd64) alone, as of no other the
      boot loader is known here.
    type: str
  mirror:
    description:
      - The mirror's address. Unless given, the host's own package sources are used for the wanted suite, with its
        updates and security updates.
      - An address with credentials is refused, because it would stand in the root file system's package sources.
      - Apt's proxies of the host are used, and the environment's before them.
    type: str
  keyring:
    description: The keys that the mirror's packages must be signed with. Those of the host unless given.
    type: path
  user:
    description: A user to make in the root file system.
    type: str
  ssh_authorized_keys:
    description: Public keys with which one may log in as O(user), or as root where there is no O(user).
    type: list
    elements: str
  commands:
    description:
      - Commands to run inside the root file system before it is packed.
      - Each is a list of words, or a text that is split into words. No shell runs them.
    type: list
    elements: raw
  serial:
    description:
      - Any text. Another one is another request, so the base image is built anew, with the packages of that day.
    type: str
  format:
    description:
      - V(tar) is an archive of the root file system, for containers; it is built unless another format is given.
      - V(qcow2) and V(raw) are a disk with a boot loader, a kernel, systemd, an SSH server, Python and the QEMU guest
        agent. The file is sparse.
    type: str
    choices: [tar, qcow2, raw]
  disk_size:
    description:
      - The size of a disk, in whole MiB from 512MiB to 2TiB. V(2GiB) unless given.
      - A guest on a greater disk grows its root partition and file system at each boot.
    type: str
  seed_reader:
    description:
      - What reads a NoCloud seed in a guest that boots from a disk. V(kraal) unless given.
      - V(kraal) is a small program of this collection's own. It reads what
        R(the guide,ansible_collections.kraal.virt.docsite.guide_images_seeds) tells, and names on the console and in
        the journal what it does not understand.
      - V(cloud-init) installs the distribution's cloud-init, for seeds alone.
    type: str
    choices: [kraal, cloud-init, none]
  kernel:
    description:
      - The package of a disk's kernel. V(linux-image-cloud-amd64) unless given, which has the drivers of virtio and few
        others.
      - V(linux-image-amd64) has all, such as those for disks and CDs on SATA; V(linux-image-virtual) is Ubuntu's.
    type: str
  purge:
    description:
      - With V(builds), the other builds of this name are removed, once the wanted one is there.
      - Not for a disk on which guests stand that were made with C(clone=linked), see O(state).
    type: list
    elements: str
    choices: [builds]
    default: []
extends_documentation_fragment:
  - kraal.virt.attributes
  - kraal.virt.attributes.actiongroup_kraal
notes:
  - The options O(disk_size), O(seed_reader) and O(kernel) are refused where the format is V(tar).
  - A keyring that does not know the keys of a newer suite is the usual reason for a refusal. A newer
    C(debian-archive-keyring) knows them.
seealso:
  - module: kraal.virt.docker_image
"""

EXAMPLES = r"""
- name: Build a root file system with Python in it
  kraal.virt.base_image:
    name: debian
    packages: [python3]
  register: base

- name: Import it
  kraal.virt.docker_image:
    name: team/debian:stable
    import:
      path: "{{ base.base_image.path }}"
      checksum: "{{ base.base_image.checksum }}"

- name: Build a disk that boots
  kraal.virt.base_image:
    name: debian-vm
    format: qcow2
    disk_size: 4GiB
    ssh_authorized_keys:
      - ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIExampleExampleExampleExampleExampleExampleEx admin@example.com
  register: disk

- name: Remove the archive
  kraal.virt.base_image:
    name: debian
    state: absent
"""

RETURN = r"""
plan:
  description: The steps. The C(action) is C(set), C(remove), C(clean) or C(build).
  returned: always
  type: list
  elements: dict
  sample:
    - {guest: debian, action: build, key: "", before: null, after: {packages: [python3], suite: bookworm,
      variant: minbase}, disruption: none}
base_image:
  description:
    - The base image. Null where it is absent. Under C(--check), the checksum and size of what is not built yet are
      empty.
    - C(kernel), C(initrd) and C(command_line) are what boots a disk without its boot loader. They are empty for an
      archive.
  returned: always
  type: dict
  sample:
    name: debian
    path: /var/cache/kraal.virt/debian-1f2e3d4c5b6a.tar
    checksum: sha256:5c1cb2b5e0b2a2a55c7f3c8f0a9b1f2c1e6c7a1f0b1d2e3f4a5b6c7d8e9f0a1b
    size: 130MiB
    kernel: ""
    initrd: ""
    command_line: ""
    request: {packages: [python3], suite: bookworm, variant: minbase}
trace: {returned: at C(-vvv), type: list, elements: dict,
  description: "R(What was sent to the engines,ansible_collections.kraal.virt.docsite.guide_fleet_trace)."}
"""

from ansible_collections.kraal.virt.plugins.module_utils.engine.task import run_resource
from ansible_collections.kraal.virt.plugins.module_utils.images.base_image import BaseImages


def main() -> None:
    run_resource(BaseImages.table, lambda parameters: BaseImages(parameters["directory"]), {}, "base_image")


if __name__ == "__main__":
    main()
