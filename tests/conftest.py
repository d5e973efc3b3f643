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


#: Files that take minutes, the longest first.
LONG = (
    "integration/test_hypervisor.py",
    "integration/test_host_bridge.py",
    "integration/test_pristine.py",
    "integration/test_prepare.py",
    "lint/test_tools.py",
    "integration/test_role_kvm_host.py",
    "integration/test_role_docker_host.py",
    "integration/test_role_lxc_host.py",
    "integration/test_base_image_disk.py",
    "integration/test_base_image.py",
    "integration/lxc_container/test_plans.py",
    "integration/docker_container/test_plans.py",
    "integration/kvm_vm/test_plans.py",
    "integration/kvm_vm/test_debian_13.py",
    "integration/test_examples.py",
    "integration/kvm_vm/test_guest_agent.py",
)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--all", action="store_true", help="every row of options alone, every crash, every kind of host, and what is marked only_all")
    parser.addoption("--libvirt", choices=["bookworm", "trixie"], help="run all tests of libvirt with the one of a lab host of that release")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "on_debian_13: runs with the libvirt of a Debian 13 lab host")
    config.addinivalue_line("markers", "only_all(reason): runs with --all alone; the reason says what shows its promise in every run")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Long files are begun first: one that is begun at the end has a worker work alone. A file's own order stays."""
    for item in items:
        for mark in item.iter_markers("only_all"):
            if not (len(mark.args) == 1 and str(mark.args[0]).strip()):
                raise pytest.UsageError(f"only_all of {item.nodeid} gives no reason")
    if not config.getoption("--all"):
        left = [item for item in items if item.get_closest_marker("only_all")]
        config.hook.pytest_deselected(items=left)
        items[:] = [item for item in items if not item.get_closest_marker("only_all")]
    order = {ROOT / "tests" / name: number for number, name in enumerate(LONG)}
    missing = [str(path) for path in order if not path.exists()]
    if missing:
        raise pytest.UsageError(f"LONG in tests/conftest.py names {', '.join(missing)}: there is no such file")
    items.sort(key=lambda item: order.get(item.path, len(order)))
