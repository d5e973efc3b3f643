#!/usr/bin/python
# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: host_bridge
"""

from ansible_collections.kraal.virt.plugins.module_utils.host.bridge.task import run


def main() -> None:
    run()


if __name__ == "__main__":
    main()
