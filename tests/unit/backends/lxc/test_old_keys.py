# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an LXC before 7 left in a configuration, on a host whose LXC does not take it any more."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.kraal.virt.plugins.module_utils.backends.lxc.container.config import Config
from ansible_collections.kraal.virt.plugins.module_utils.backends.lxc.container.limits import Groups
from ansible_collections.kraal.virt.plugins.module_utils.backends.lxc.container.model import Container
from ansible_collections.kraal.virt.plugins.module_utils.backends.lxc.container.observe import changes_of
from ansible_collections.kraal.virt.plugins.module_utils.backends.lxc.container.options import CONTAINERS
from ansible_collections.kraal.virt.plugins.module_utils.backends.lxc.container.target import config_after
from ansible_collections.kraal.virt.plugins.module_utils.engine.compare import before_after
from ansible_collections.kraal.virt.plugins.module_utils.engine.spec import Spec

GROUPS = Groups(2, "io.weight")
TEXT = """# mine
lxc.cgroup.dir.container = web
lxc.cgroup.devices.deny = a
lxc.cgroup.devices.allow = c 1:3 rwm
lxc.cgroup.devices.allow = c 1:5 rwm
lxc.cgroup.cpu.cfs_period_us = 100000
lxc.cgroup.cpu.cfs_quota_us = 150000
lxc.cgroup.cpu.shares = 512
lxc.cgroup.memory.limit_in_bytes = 64M
lxc.cgroup.memory.memsw.limit_in_bytes = 96M
lxc.cgroup.memory.swappiness = 10
lxc.cgroup.pids.max = 9
lxc.cgroup.blkio.weight = 500
lxc.cgroup.blkio.throttle.read_bps_device = 8:0 1048576
lxc.uts.name = web
"""
AFTER = """# mine
lxc.cgroup.dir.container = web
lxc.uts.name = web
lxc.cgroup2.cpu.max = 150000 100000
lxc.cgroup2.cpu.weight = 59
lxc.cgroup2.memory.max = 67108864
lxc.cgroup2.memory.swap.max = 33554432
lxc.cgroup2.pids.max = 9
lxc.cgroup2.io.weight = 4950
lxc.cgroup2.io.max = 8:0 rbps=1048576
lxc.cgroup2.devices.deny = a
lxc.cgroup2.devices.allow = c 1:3 rwm
lxc.cgroup2.devices.allow = c 1:5 rwm
"""


class Lxc:
    """As the real one refuses from release 7 on."""

    def __init__(self, release: int) -> None:
        self.release, self.asked = release, 0

    def objection(self, text: str) -> str:
        self.asked += 1
        old = self.release >= 7 and "lxc.cgroup." in text.replace("lxc.cgroup.dir", "")
        return "Unsupported config key, at the line 'lxc.cgroup.x = 1'" if old else ""


def changed(text: str, release: int = 7, groups: Groups = GROUPS, **options: Any) -> tuple[str, dict[str, Any], int]:
    """The configuration after a task, what the plan says of it, and how often liblxc was asked."""
    lxc: Any = Lxc(release)
    want = Spec("web", "stopped", {name: CONTAINERS[name].kind.parse(value, name) for name, value in options.items()})
    have = Container("web", "/lxc", Config(text), groups=groups)
    found = changes_of(lxc, want, have)
    before, after = before_after(found)
    return config_after(found, have).text, {"before": before, "after": after}, lxc.asked


def test_limits_and_rules_for_devices_are_carried_over() -> None:
    text, shown, _asked = changed(TEXT)
    assert text == AFTER
    assert shown["before"]["config[lxc.cgroup.memory.swappiness]"] == "10"
    assert shown["after"]["memory"] == "64MiB" and shown["after"]["cpu_shares"] == 512
    assert changed(AFTER) == (AFTER, {"before": {}, "after": {}}, 0)


def test_the_task_and_what_stands_there_for_version_2_come_first() -> None:
    text, _shown, _asked = changed(TEXT + "lxc.cgroup2.pids.max = 7\n", memory="32MiB")
    assert "lxc.cgroup2.memory.max = 33554432\n" in text and "lxc.cgroup2.pids.max = 7\n" in text
    assert "lxc.cgroup." not in text.replace("lxc.cgroup.dir", "")


@pytest.mark.parametrize(("release", "groups"), [(6, GROUPS), (7, Groups(1)), (6, Groups(1))])
def test_what_liblxc_takes_stays(release: int, groups: Groups) -> None:
    assert changed(TEXT, release, groups)[:2] == (TEXT, {"before": {}, "after": {}})


def test_limits_that_this_host_cannot_give_are_let_go() -> None:
    text, shown, _asked = changed(TEXT, groups=Groups(2, "", frozenset()))
    assert "memory" not in shown["after"] and "web\nlxc.uts.name = web\nlxc.cgroup2.devices.deny" in text
