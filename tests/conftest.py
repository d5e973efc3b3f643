# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""For all tests: the collection is importable by its real name from a plain checkout."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support import durations
from tests.support.paths import COLLECTIONS, ROOT, SYSTEM_PYTHON

# Each process of a run reads all tests. What pytest makes of them is kept, whatever the environment says, or that alone
# takes each of them longer than many a file's tests.
sys.dont_write_bytecode = False

# Before anything imports ansible: its collection loader reads the configuration once, at import.
os.environ["ANSIBLE_CONFIG"] = str(ROOT / "ansible.cfg")
sys.path.insert(0, str(COLLECTIONS))

from ansible.plugins.loader import init_plugin_loader

# Before any test imports the collection: controller plugins are found by Ansible's own loader, which does not look for
# what Python's has found.
init_plugin_loader()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--all",
        action="store_true",
        help="every row of options alone, every crash, every kind of host, and what is marked only_all",
    )
    parser.addoption(
        "--record",
        action="store_true",
        help="write what each test takes to .cache/durations.json, and say where the time went",
    )
    parser.addoption("--changed", action="store_true", help="lint what was changed since main alone")
    parser.addoption("--shown", help="write which promises the collected tests show to this file")
    parser.addoption(
        "--corpus", help="the directory with the definitions of others that libvirt's modules are tried with (--all)"
    )
    parser.addoption(
        "--libvirt",
        choices=["bookworm", "trixie", "sid"],
        help="run all tests of libvirt with the one of a lab host of that release",
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "on_debian_13: runs with the libvirt of a Debian 13 lab host, and with --all with that of sid too"
    )
    config.addinivalue_line(
        "markers", "only_all(reason): runs with --all alone; the reason says what shows its promise in every run"
    )
    config.addinivalue_line(
        "markers",
        "shows(changed, checked, crashed, refused): promises that a test keeps in a way of its own; see "
        "tests/lint/promises.py",
    )
    if not hasattr(config, "workerinput"):
        # Every module is a process of its own, which imports the collection and writes nothing down; all of it is
        # compiled once. What is compiled already takes no time.
        plugins = COLLECTIONS / "ansible_collections" / "kraal" / "virt" / "plugins"
        subprocess.run([SYSTEM_PYTHON, "-m", "compileall", "-q", str(plugins)], check=True)
    if config.getoption("--record") and not hasattr(config, "workerinput"):
        config.pluginmanager.register(durations.Recorder(durations.LAST))
    if path := config.getoption("--shown"):
        from tests.lint.collection import Collector

        config.pluginmanager.register(Collector(Path(path)))


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Our own groups, for --dist loadgroup."""
    from tests.support.schedule import Scheduler

    return (
        Scheduler(config, log, durations.last(), durations.committed())
        if config.getvalue("dist") == "loadgroup"
        else None
    )


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What is marked only_all is left out without --all."""
    for item in items:
        for mark in item.iter_markers("only_all"):
            if not (len(mark.args) == 1 and str(mark.args[0]).strip()):
                raise pytest.UsageError(f"only_all of {item.nodeid} gives no reason")
    if not config.getoption("--all"):
        left = [item for item in items if item.get_closest_marker("only_all")]
        config.hook.pytest_deselected(items=left)
        items[:] = [item for item in items if not item.get_closest_marker("only_all")]
