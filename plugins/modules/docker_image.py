#!/usr/bin/python
# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: docker_image
short_description: Manage a Docker image
version_added: 0.1.0
author:
  - the kraal.virt contributors (@kraal-virt)
description:
  - Pulls, builds, imports, loads, tags or removes an image of the Docker engine.
  - An image comes from its registry, unless the task names one of O(build), O(import), O(load) and O(tag).
  - An image is known by its content. What was built or imported remembers in the label C(kraal.virt.source) what it was
    made from, so the same source gives no change and another one does.
  - An image of the wanted content that is on the host already, under another name or none, gets the name. Nothing is
    sent or built then.
  - When a name moves to another image, the former one stays on the host without that name.
options:
  name:
    description:
      - The image's name, with a tag (V(latest) unless given) and with its registry where that is not the engine's
        default.
      - An image from its registry may also be named by its digest, like V(app@sha256:...).
    type: str
    required: true
  state:
    description:
      - Whether the image is to be there.
      - V(absent) takes the name away, and with its last name the image. The RV(plan) says which of both (C(untag) or
        C(remove)).
      - An image whose last name it is and that a container uses, running or not, is kept, unless O(force) says
        otherwise.
    type: str
    choices: [present, absent]
    default: present
  pull:
    description:
      - For an image from its registry, when to pull. V(missing) pulls what is not on the host. V(always) asks the
        registry each time, and pulls when it has another content than the host. V(missing) unless given.
    type: str
    choices: [missing, always]
  build:
    description:
      - Build it from a directory, with the engine's classic builder.
      - It is built again when a file (its content or mode), the Dockerfile, C(args), C(target) or C(labels) change, or
        when the image that the wanted stage stands on has other layers than at the time of the build. Times and owners
        of files mean nothing.
      - A file that C(.dockerignore) excludes means nothing either. The C(.dockerignore) itself counts as a file.
    type: dict
    suboptions:
      path:
        description: The directory, on the host where the task runs. A C(.dockerignore) in it is read as C(docker build)
          reads it.
        type: path
        required: true
      dockerfile:
        description: The Dockerfile's path inside the directory. C(Dockerfile) unless given.
        type: str
      args:
        description: Build arguments. They can be read in the image's history, so they are no place for secrets.
        type: dict
      target:
        description: The stage to build. The last one unless given.
        type: str
      labels:
        description: Labels for the image.
        type: dict
      network:
        description: The network mode of the build's steps.
        type: str
      pull:
        description: When it is built, ask the registry for newer base images.
        type: bool
        default: false
      nocache:
        description: When it is built, do not take steps from earlier builds.
        type: bool
        default: false
  import:
    description: Import a root file system. It is imported again when the archive's content or another of these options
      changes.
    type: dict
    suboptions:
      path:
        description: The tar archive, compressed or not, on the host where the task runs.
        type: path
        required: true
      checksum:
        description:
          - The archive's SHA-256. The archive is then not read to find out whether the image has its content, and need
            not even be there as long as the image has it, or under C(--check).
          - So a play can ask first whether a host needs the archive, with C(check_mode=true), and bring it only where a
            step of the RV(plan) has the action C(import).
        type: str
      command:
        description: The image's command.
        type: list
        elements: str
      entrypoint:
        description: The image's entrypoint.
        type: list
        elements: str
      env:
        description: The image's environment variables. They can be read in the image, so they are no place for secrets.
        type: dict
      user:
        description: The image's user.
        type: str
      workdir:
        description: The image's working directory.
        type: str
      expose:
        description: The ports that the image speaks of, such as V(80) or V(53/udp).
        type: list
        elements: str
      volumes:
        description: The paths for which each container gets a volume of its own.
        type: list
        elements: str
      labels:
        description: Labels for the image.
        type: dict
  load:
    description:
      - Load it from an archive that C(docker save) has made. Of an archive with several images, the one of this name is
        meant, and all are loaded.
      - The names that the archive gives its images come back when it is loaded. A single image in it may have another
        name, or none.
    type: dict
    suboptions:
      path:
        description: The archive, on the host where the task runs.
        type: path
        required: true
  tag:
    description: Another image on the host, by name or id, that gets this name.
    type: str
  force:
    description:
      - With O(state=absent), take the last name away from an image that containers use.
      - The image stays as long as a container runs on it. If only stopped containers use it, the engine removes it.
    type: bool
    default: false
  registry_username:
    description: The user for the registry. Without it, what C(docker login) has left on the host is used.
    type: str
  registry_password:
    description: The password for the registry.
    type: str
extends_documentation_fragment:
  - kraal.virt.docker
  - kraal.virt.attributes
  - kraal.virt.attributes.actiongroup_docker
seealso:
  - module: kraal.virt.base_image
notes:
  - Archives and directories are read on the host where the task runs. Under C(--check) they are read too, and nothing
    is sent.
  - Where the engine is reached through its socket on that host, an archive bigger than the room in the engine's data
    root is refused beforehand.
"""

EXAMPLES = r"""
- name: Import a root file system
  kraal.virt.docker_image:
    name: team/base:1
    import:
      path: /var/cache/kraal.virt/base.tar
      command: [sleep, infinity]

- name: Give it a second name
  kraal.virt.docker_image:
    name: team/base:stable
    tag: team/base:1

- name: Build on it
  kraal.virt.docker_image:
    name: team/app:1
    build:
      path: /srv/app
      args:
        VERSION: "1.2"

- name: Take the names away again
  kraal.virt.docker_image:
    name: "{{ item }}"
    state: absent
  loop:
    - team/app:1
    - team/base:stable
    - team/base:1
"""

RETURN = r"""
plan:
  description: The steps. The C(action) is C(remove), C(pull), C(build), C(import), C(load), C(tag) or C(untag).
  returned: always
  type: list
  elements: dict
  sample:
    - guest: team/base:1
      action: import
      key: content
      before: null
      after: import 5c1cb2b5e0b2a2a55c7f3c8f0a9b1f2c1e6c7a1f0b1d2e3f4a5b6c7d8e9f0a1b
      disruption: none
image:
  description: The image as it is now (under C(--check), as it will be; what only its making can say is empty). Null
    where it is absent.
  returned: always
  type: dict
  sample:
    name: team/base:1
    backend: docker
    id: sha256:8a084f8df6403e3dd69816288d31d9aed74197564bee68bd95c685e4a1a5d96c
    tags: [team/base:1]
    digests: []
    size: 1968KiB
    labels:
      kraal.virt.source: import 5c1cb2b5e0b2a2a55c7f3c8f0a9b1f2c1e6c7a1f0b1d2e3f4a5b6c7d8e9f0a1b
    containers: []
trace: {returned: at C(-vvv), type: list, elements: dict,
  description: "R(What was sent to the engines,ansible_collections.kraal.virt.docsite.guide_fleet_trace)."}
"""

from ansible_collections.kraal.virt.plugins.module_utils.backends.docker.client import CONNECTION, connect
from ansible_collections.kraal.virt.plugins.module_utils.backends.docker.image.resource import Images
from ansible_collections.kraal.virt.plugins.module_utils.backends.docker.peers import IMAGE
from ansible_collections.kraal.virt.plugins.module_utils.engine.task import run_resource


def main() -> None:
    run_resource(Images.table, lambda parameters: Images(connect(parameters)), CONNECTION, "image", peers=IMAGE)


if __name__ == "__main__":
    main()
