#!/usr/bin/python
# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: docker_container
short_description: Manage a Docker container
description: [x]
"""

from ansible_collections.kraal.virt.plugins.module_utils.backends.docker.client import CONNECTION, connect
from ansible_collections.kraal.virt.plugins.module_utils.backends.docker.container import Containers
from ansible_collections.kraal.virt.plugins.module_utils.engine.task import run_resource


def main() -> None:
    run_resource(Containers.table, lambda parameters: Containers(connect(parameters)), CONNECTION, "guest")


if __name__ == "__main__":
    main()
