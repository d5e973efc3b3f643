# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How a module reaches a Docker engine: the same for every module that does (see CONNECTION in the backend's
client).
"""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  docker_host:
    description:
      - Where the engine is, seen from the host on which the task runs.
      - V(unix:///var/run/docker.sock) is a socket on that host, V(tcp://192.0.2.10:2376) an engine's port,
        V(ssh://root@192.0.2.10) an engine on another machine, reached with that host's C(ssh) program and its
        configuration.
      - Where the option is not set and the environment variable E(DOCKER_HOST) is, its value is used.
      - Docker contexts are not read.
    type: str
    default: unix:///var/run/docker.sock
  tls_ca:
    description:
      - File with the certificates of the authority that the engine's certificate has to be signed by, in PEM form.
      - Where O(tls_cert) and O(tls_key) are given and this is not, the certificate authorities that Python's
        C(requests) library brings along decide.
      - The engine's certificate is always verified, its name included.
    type: path
  tls_cert:
    description: File with the certificate that proves to the engine who calls, in PEM form. Goes with O(tls_key).
    type: path
  tls_key:
    description: File with the private key of O(tls_cert), in PEM form.
    type: path
  api_timeout:
    description:
      - How many seconds the engine may take to answer one request.
      - An engine that is silent for as long while it builds, imports, loads or pulls an image, or while a guest is
        waited for, is asked whether it is alive. Where it does not answer that either, the task fails. One that answers
        may go on in silence for an hour, or for this time where it is longer.
    type: int
    default: 60
requirements:
  - the Docker engine 20.10 or later
  - the Docker SDK for Python (C(docker), Debian's C(python3-docker)) 5.0.3 or later, for the Python that the module
    runs with
  - paramiko (Debian's C(python3-paramiko)) beside it for an engine over V(ssh://), although it is C(ssh) that connects
"""
