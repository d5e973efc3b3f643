# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""For all tests: the collection is importable by its real name from a plain checkout."""

from __future__ import annotations

import os
import sys

from tests.support.paths import COLLECTIONS, ROOT

# Before anything imports ansible: its collection loader reads the configuration once, at import.
os.environ["ANSIBLE_CONFIG"] = str(ROOT / "ansible.cfg")
sys.path.insert(0, str(COLLECTIONS))

from ansible.plugins.loader import init_plugin_loader

# Before any test imports the collection: controller plugins are found by Ansible's own loader, which does not look for what Python's has found.
init_plugin_loader()
