# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""For all tests: the collection is importable by its real name from a plain checkout."""

from __future__ import annotations

import os
import sys

import pytest

from tests.support.paths import COLLECTIONS, ROOT

# Before anything imports ansible: its collection loader reads the configuration once, at import.
os.environ["ANSIBLE_CONFIG"] = str(ROOT / "ansible.cfg")
sys.path.insert(0, str(COLLECTIONS))

from ansible.plugins.loader import init_plugin_loader

# Before any test imports the collection: controller plugins are found by Ansible's own loader, which does not look for what Python's has found.
init_plugin_loader()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--libvirt", choices=["bookworm", "trixie"], help="run all tests of libvirt with the one of a lab host of that release")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "on_debian_13: runs with the libvirt of a Debian 13 lab host")
