# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The configuration file is edited, not written anew; and what is in effect is what was asked for, whatever stands
around it.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.kraal.virt.plugins.module_utils.backends.lxc.client import Lxc

from .driver import Driver, actions, needs_limits

HAND = """\
# My container. Do not touch!
lxc.include = /usr/share/lxc/config/common.conf

   lxc.start.auto=1
# Twice, because it is so easy to do:
lxc.start.auto = 1
lxc.rootfs.path = dir:<root>
lxc.uts.name = "by hand"
some.other = tool
lxc.environment = A=1

lxc.environment = B=2
lxc.include = <more>
"""


def lines(driver: Driver, key: str) -> list[str]:
    return [
        line.strip() for line in driver.config.read_text(encoding="utf-8").splitlines() if line.strip().startswith(key)
    ]


@pytest.fixture
def by_hand(driver: Driver) -> Driver:
    """A container that nobody's task has made."""
    driver.make(state="stopped")
    more = driver.directory / "more.conf"
    more.write_text("lxc.tty.max = 3\nlxc.environment = C=3\n", encoding="utf-8")
    place = driver.config.parent
    (place / "kraal.json").unlink()
    text = HAND.replace("<root>", str(place / "rootfs")).replace("<more>", str(more))
    driver.config.write_text(text, encoding="utf-8")
    return driver


@pytest.mark.parametrize("state", ["running", "stopped"])
def test_start_auto_on_off_and_removed(driver: Driver, state: str) -> None:
    for value, shown, count in (("1", ["1"], 1), ("0", ["0"], 1), ("1", ["1"], 1), (None, ["0"], 0), ("1", ["1"], 1)):
        driver.do(config={"lxc.start.auto": value}, state=state)
        assert driver.lab.asked(driver.name, "lxc.start.auto") == shown
        assert len(lines(driver, "lxc.start.auto")) == count
        result = driver.again(config={"lxc.start.auto": value}, state=state)
        assert result["guest"]["autostart"] is (value == "1")
    for flag in (False, True):
        driver.do(autostart=flag, state=state)
        driver.again(autostart=flag, state=state)
        assert len(lines(driver, "lxc.start.auto")) == 1


def test_what_was_written_by_hand_stays(by_hand: Driver) -> None:
    driver = by_hand
    before = driver.config.read_text(encoding="utf-8").splitlines()
    args = {"image": ..., "state": "stopped"}
    driver.again(**args, autostart=True)
    driver.do(**args, autostart=False)
    after = driver.config.read_text(encoding="utf-8").splitlines()
    assert [line for line in before if "start.auto" not in line] == [line for line in after if "start.auto" not in line]
    assert lines(driver, "lxc.start.auto") == ["lxc.start.auto = 0"] and after[3] == "lxc.start.auto = 0"
    assert driver.lab.asked(driver.name, "lxc.start.auto") == ["0"]


def test_included_values_count(by_hand: Driver) -> None:
    """The file that is included last wins over the line before it, so the new line goes behind it; a list is whole."""
    driver = by_hand
    args = {"image": ..., "state": "stopped"}
    driver.again(**args, config={"lxc.tty.max": "3", "lxc.environment": ["A=1", "B=2", "C=3"]})
    driver.do(**args, config={"lxc.tty.max": "5"})
    assert driver.lab.asked(driver.name, "lxc.tty.max") == ["5"]
    driver.do(**args, config={"lxc.tty.max": None})
    assert driver.lab.asked(driver.name, "lxc.tty.max") == ["0"]
    driver.again(**args, config={"lxc.tty.max": None})
    for values in (["C=3"], ["A=1", "C=3"], ["C=3", "A=1"], []):
        driver.do(**args, config={"lxc.environment": values})
        assert driver.lab.asked(driver.name, "lxc.environment") == values
        driver.again(**args, config={"lxc.environment": values})
    assert "some.other = tool" in driver.config.read_text(encoding="utf-8")


def test_two_lines_of_idmap_in_order(driver: Driver) -> None:
    lines_of = ["u 0 100000 65536", "g 0 100000 65536"]
    for given in (lines_of, [*reversed(lines_of)], [*lines_of, lines_of[0]]):
        wanted = list(dict.fromkeys(given))
        driver.make(state="stopped", config={"lxc.idmap": given})
        assert driver.lab.asked(driver.name, "lxc.idmap") == wanted
        assert lines(driver, "lxc.idmap") == [f"lxc.idmap = {line}" for line in wanted]
        driver.again(state="stopped", config={"lxc.idmap": given})


def test_the_file_is_replaced_in_one_step(driver: Driver) -> None:
    driver.make(state="stopped")
    driver.config.chmod(0o600)
    with driver.config.open(encoding="utf-8") as old:
        driver.do(state="stopped", hostname="kt-new", description="x")
        assert "kt-new" not in old.read()
    found = driver.config.stat()
    assert (found.st_mode & 0o777, sorted(path.name for path in driver.config.parent.iterdir())) == (
        0o600,
        ["config", "kraal.json", "rootfs"],
    )


@needs_limits
def test_limits_are_written_for_the_groups_of_this_host(driver: Driver) -> None:
    version = 2 if Path("/sys/fs/cgroup/cgroup.controllers").exists() else 1
    driver.make(state="stopped", memory="64MiB", cpus=0.5)
    text = driver.config.read_text(encoding="utf-8")
    assert ("lxc.cgroup2.memory.max" in text) is (version == 2) and ("lxc.cgroup.memory.limit_in_bytes" in text) is (
        version == 1
    )


def test_an_old_secret_is_not_shown(driver: Driver) -> None:
    """Neither the task nor the key tells that there is one: only the old text does."""
    driver.make(state="stopped", config={"lxc.environment": ["DB_PASSWORD=kt-hush", "URL=postgres://kt:kt-hush@db"]})
    for check in (True, False):
        result = driver.run(check=check, state="stopped", config={"lxc.environment": ["PLAIN=kt"]})
        assert result.changed and "DB_PASSWORD=" in result.stdout and "hush" not in result.stdout


def test_keys_of_an_lxc_before_7_are_replaced(driver: Driver) -> None:
    """A guest whose host was upgraded; and one that has run through the upgrade."""
    if not Lxc().objection("lxc.cgroup.cpu.shares = 2\n"):
        pytest.skip("this LXC takes keys of version 1 of control groups")
    old = "lxc.cgroup.devices.deny = c 10:200 rwm\nlxc.cgroup.memory.swappiness = 10\n"
    gone = {"config[lxc.cgroup.devices.deny]", "config[lxc.cgroup.memory.swappiness]"}
    for state in ("stopped", "running"):
        driver.make(state=state)
        with driver.config.open("a", encoding="utf-8") as file:
            file.write(old)
        done = driver.do(hostname="kt-new", state="running" if state == "stopped" else "stopped")
        assert actions(done) == ["set", "start state" if state == "stopped" else "stop state"]
        assert gone <= set(done["plan"][0]["before"]) and not gone & set(done["plan"][0]["after"])
        text = driver.config.read_text(encoding="utf-8")
        assert "lxc.cgroup2.devices.deny = c 10:200 rwm\n" in text and "lxc.cgroup." not in text
        driver.again(hostname="kt-new", state="running" if state == "stopped" else "stopped")
        driver.make(state="absent")
