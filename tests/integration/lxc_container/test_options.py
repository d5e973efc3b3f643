# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every option of the table: created, unchanged, changed, unchanged; under --check first, and nothing touched; and
what the change costs.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.support.tables import assert_named, parametrize, ride, rounds

from .driver import HAS_LIMITS, Driver, actions, fill, needs_limits
from .options import ROWS, Row

SPREAD = True


@pytest.fixture(scope="module")
def disk() -> str:
    """A block device that the kernel can throttle: the one that the root file system is on, or another."""
    if not HAS_LIMITS:
        return "0:0"
    number = os.stat("/").st_dev
    if os.major(number):
        return f"{os.major(number)}:{os.minor(number)}"
    found = [
        path
        for path in sorted(Path("/sys/block").iterdir())
        if not path.name.startswith(("loop", "ram")) and Path("/dev", path.name).exists()
    ]
    if not found:
        pytest.skip("this machine shows no block device whose throughput could be limited")
    return (found[0] / "dev").read_text(encoding="ascii").strip()


@pytest.fixture
def words(driver: Driver, disk: str) -> Mapping[str, str]:
    blkio = Path("/sys/fs/cgroup/blkio")
    weight = next((name for name in ("blkio.weight", "blkio.bfq.weight") if any(blkio.glob(f"*/{name}"))), "")
    path = (
        os.path.realpath(f"/dev/block/{disk}")
        if Path(f"/dev/block/{disk}").exists()
        else f"/dev/{Path(f'/sys/dev/block/{disk}').resolve().name}"
    )
    return {**driver.words, "disk": path, "number": disk, "weight": weight}


def check_shown(driver: Driver, rows: Sequence[Row], words: Mapping[str, str], number: int) -> None:
    """What liblxc reads in the file, and what the kernel has."""
    for row in rows:
        keys, files = fill(row.keys, words), fill(row.files, words)
        if keys:
            assert driver.lab.asked(driver.name, *keys) == fill(row.seen[number], words), row.id
        if files:
            assert driver.lab.group(driver.name, *files) == fill(row.group[number], words), row.id


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "rows" in metafunc.fixturenames:
        rows = [row for row in ROWS if HAS_LIMITS or not any(key.startswith("lxc.cgroup.") for key in row.keys)]
        parametrize(metafunc, rows, lambda row: row.cost)


def test_an_option(rows: tuple[Row, ...], driver: Driver, words: Mapping[str, str]) -> None:
    ride(rows, lambda some: _an_option(some, driver, words), driver.lab.clear)


def check_inside(driver: Driver, rows: tuple[Row, ...], words: Mapping[str, str], number: int) -> None:
    """What commands in the guest print."""
    for row in rows:
        if row.inside:
            assert driver.lab.inside(driver.name, *fill(row.inside[0], words)) == fill(row.inside[1 + number], words), (
                row.id
            )


def _an_option(rows: tuple[Row, ...], driver: Driver, words: Mapping[str, str]) -> None:
    extra: dict[str, Any] = fill({key: value for row in rows for key, value in row.extra.items()}, words)
    first, second = (
        {**extra, **fill({row.option: getattr(row, name) for row in rows}, words)} for name in ("first", "second")
    )
    (cost,) = {row.cost for row in rows}

    created = driver.do(**first)
    assert actions(created)[0] == "create"
    for row in rows:
        assert not row.first or row.option in created["plan"][0]["after"], row.id
    driver.again(**first)
    check_shown(driver, rows, words, 0)
    pid = driver.lab.pid(driver.name)
    assert bool(pid) == (extra.get("state") != "present")

    changed = driver.do(**second)
    assert actions(changed)[0].startswith("set") and len(changed["plan"]) == 1
    assert_named(rows, changed["plan"], {})
    assert changed["plan"][0]["disruption"] == ("live" if cost == "live" else "none")
    assert driver.lab.pid(driver.name) == pid
    check_shown(driver, rows, words, 1)
    for values in rounds(rows):
        driver.again(**extra, **fill(values, words))
    pending = changed["guest"]["pending_restart"]
    if cost == "restart" and pid:
        for row in rows:
            assert row.pending in pending, f"{row.id}: {pending}"
        check_inside(driver, rows, words, 0)
        restarted = driver.do(**second, disruption="restart")
        assert [(step["action"], step["disruption"]) for step in restarted["plan"]] == [("restart", "restart")]
        assert restarted["guest"]["pending_restart"] == [] and driver.lab.pid(driver.name) not in (0, pid)
        driver.again(**second, disruption="restart")
        check_inside(driver, rows, words, 1)
        check_shown(driver, rows, words, 1)
    else:
        assert pending == []

    purged = [row for row in rows if row.purge is not None]
    if purged:
        back = {
            **second,
            **{row.option: first[row.option] for row in purged},
            "purge": sorted(row.option for row in purged),
        }
        done = driver.do(**back)
        assert len(done["plan"]) == 1
        assert_named(purged, done["plan"], {})
        for row in purged:
            assert driver.lab.asked(driver.name, *fill(row.keys, words)) == fill(row.purge, words), row.id
        check_shown(driver, [row for row in rows if row.purge is None], words, 1)
        driver.again(**back)


def test_every_option_is_in_the_table() -> None:
    from ansible_collections.kraal.virt.plugins.module_utils.backends.lxc.container.options import CONTAINERS

    # What a change of needs another container is tested with the ways to make one.
    assert set(CONTAINERS.by_name) - {row.option for row in ROWS} == {"image", "storage", "idmap"}


def test_labels_are_merged_and_purged(driver: Driver) -> None:
    driver.do(labels={"a": "1", "b": "x\ny"})
    assert driver.do(labels={"c": "2"})["guest"]["labels"] == {"a": "1", "b": "x\ny", "c": "2"}
    assert driver.do(labels={"c": "2"}, purge=["labels"])["guest"]["labels"] == {"c": "2"}


def test_a_pending_change_that_is_taken_back_needs_no_restart(driver: Driver) -> None:
    driver.make(hostname="kt-one")
    pid = driver.lab.pid(driver.name)
    driver.do(hostname="kt-two")
    assert driver.again(hostname="kt-two")["guest"]["pending_restart"] == ["hostname"]
    # Whatever time it was when that was written down.
    os.utime(driver.config, (0, 0))
    assert driver.again(hostname="kt-two")["guest"]["pending_restart"] == ["hostname"]
    back = driver.do(hostname="kt-one", disruption="restart")
    assert actions(back) == ["set hostname"] and back["guest"]["pending_restart"] == []
    assert driver.lab.pid(driver.name) == pid


@needs_limits
def test_a_change_by_hand_is_seen(driver: Driver) -> None:
    """In the file it waits for a restart; in the control group it is put right."""
    driver.make(memory="64MiB")
    with driver.config.open("a", encoding="utf-8") as file:
        file.write("lxc.environment = BY=hand\n")
    assert driver.again(memory="64MiB")["guest"]["pending_restart"] == ["config[lxc.environment]"]
    limit = driver.lab.groups(driver.name)["memory"] / "memory.limit_in_bytes"
    limit.write_text("33554432", encoding="ascii")
    done = driver.do(memory="64MiB")
    assert [(step["key"], step["before"], step["after"]) for step in done["plan"]] == [("memory", "32MiB", "64MiB")]
    assert limit.read_text(encoding="ascii").strip() == str(64 * 1024**2)


@needs_limits
def test_disruption_none_keeps_limits_as_they_are(driver: Driver) -> None:
    driver.make(memory="64MiB")
    driver.refused("memory", "live", memory="32MiB", disruption="none")
    driver.do(hostname="kt-other", disruption="none")
    driver.make(state="stopped")
    driver.do(memory="32MiB", disruption="none", state="stopped")
