# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every option of kvm_vm keeps the four promises on a real libvirtd: create, again, change, again; off, and as the
guest runs.
"""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from ansible_collections.kraal.virt.plugins.module_utils.backends.kvm.vm.options import VMS
from tests.support.tables import assert_named, keyed, option_of, parametrize, ride, rounds

from .driver import Driver, actions, fill
from .row import Row
from .rows import ROWS

SPREAD = True

#: What changes with an option.
ALONG = {
    "memory": {"memory_max"},
    "cpus": {"cpus_max"},
    "graphics": {"video"},
    "secure_boot": {"xml", "features"},
    "xml": {"features", "clock", "timers", "inputs", "iothreads", "smbios"},
}
#: With libvirt 11.3 of Debian 13, which writes its choice of a firmware's features into the stored domain.
ALONG_ON_DEBIAN_13 = {**ALONG, "firmware": {"secure_boot", "features", "xml"}}


def test_no_option_is_without_a_row() -> None:
    assert {option.name for option in VMS.options} == {row.option for row in ROWS}


def test_purge_is_tested_for_each_option_that_has_it() -> None:
    assert {option.name for option in VMS.options if option.kind.merges} == {row.option for row in ROWS if row.purge}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "rows" not in metafunc.fixturenames:
        return
    if metafunc.function is test_change_as_it_runs:
        parametrize(metafunc, [row for row in rows_here(metafunc) if row.running], lambda row: row.running)
    else:
        parametrize(metafunc, ROWS)


def rows_here(metafunc: pytest.Metafunc) -> list[Row]:
    """The rows that the host can show which the file of the test is for."""
    far = metafunc.definition.get_closest_marker("on_debian_13") is not None
    return [row for row in ROWS if not (far and row.not_on_debian_13)]


def values(rows: tuple[Row, ...], words: Mapping[str, str]) -> tuple[dict, dict, dict]:
    extra = {key: value for row in rows for key, value in fill(dict(row.extra), words).items()}
    first, second = (
        {**extra, **{row.option: fill(getattr(row, name), words) for row in rows}} for name in ("first", "second")
    )
    return extra, first, second


def look(
    rows: tuple[Row, ...], driver: Driver, words: Mapping[str, str], which: int, purged: tuple[Row, ...] = ()
) -> None:
    tree = driver.xml()
    for row in rows:
        assert row.look(tree) == fill(row.seen[0 if row in purged else which], words), row.id


def along(driver: Driver) -> Mapping[str, set[str]]:
    """By the libvirt that there is, wherever it runs."""
    major = int(driver.host.virsh("version", "--daemon").rpartition(": ")[2].partition(".")[0])
    return ALONG_ON_DEBIAN_13 if major >= 11 else ALONG


def differ(rows: tuple[Row, ...]) -> tuple[Row, ...]:
    """The rows whose second value is another one, not the first in other words."""
    return tuple(row for row in rows if row.option not in ("type", "uuid"))


def test_create_again_change_again(rows: tuple[Row, ...], driver: Driver, words: Mapping[str, str]) -> None:
    ride(rows, lambda some: _create_again_change_again(some, driver, words), driver.clear)


def _create_again_change_again(rows: tuple[Row, ...], driver: Driver, words: Mapping[str, str]) -> None:
    extra, first, second = values(rows, words)
    made = driver.do(state="present", **first)
    assert actions(made) == ["create"]
    driver.again(state="present", **first)
    look(rows, driver, words, 0)
    uuid, mac = driver.xml().findtext("uuid"), driver.xml().find("devices/interface/mac")
    changed = driver.do(state="present", **second)
    # Of a machine the plan of a change says the version as well.
    was = {key: values for key, values in keyed(made["plan"]).items() if key != "machine"}
    assert_named(differ(rows), changed["plan"], was, along=along(driver))
    assert {step["disruption"] for step in changed["plan"]} <= {"none"}
    look(rows, driver, words, 1)
    for given in rounds(rows):
        driver.again(state="present", **extra, **fill(given, words))
    assert driver.xml().findtext("uuid") == uuid
    if mac is not None:
        assert mac.get("address") in [each.get("address") for each in driver.xml().iterfind("devices/interface/mac")]
    purged = tuple(row for row in rows if row.purge)
    if purged:
        back = {
            **second,
            **{row.option: first[row.option] for row in purged},
            "purge": sorted(row.option for row in purged),
        }
        assert_named(purged, driver.do(state="present", **back)["plan"], {}, along=along(driver))
        look(rows, driver, words, 1, purged)
        driver.again(state="present", **back)
    assert driver.names() == [driver.name] and driver.state() == "shut off"


def test_change_as_it_runs(rows: tuple[Row, ...], driver: Driver, words: Mapping[str, str]) -> None:
    """Live, or written down and pending until a restart is allowed.

    A guest without a system: nothing here needs its help.
    """
    ride(rows, lambda some: _change_as_it_runs(some, driver, words), driver.clear)


def _change_as_it_runs(rows: tuple[Row, ...], driver: Driver, words: Mapping[str, str]) -> None:
    _extra, first, second = values(rows, words)
    (cost,) = {row.running for row in rows}
    driver.make(state="running", **first)
    assert driver.run(state="running", **first)["guest"]["pending_restart"] == []
    number = driver.host.virsh("domid", driver.name)
    changed = driver.do(state="running", **second)
    assert_named(rows, changed["plan"], {}, along=along(driver))
    look(rows, driver, words, 1)
    assert driver.host.virsh("domid", driver.name) == number
    pending = changed["guest"]["pending_restart"]
    if cost == "restart":
        assert {step["disruption"] for step in changed["plan"]} == {"none"}
        waiting = {option_of(key) for key in pending}
        expected = {row.id: {row.option, *along(driver).get(row.option, ())} for row in rows}
        for row in rows:
            assert waiting & expected[row.id], f"{row.id}: nothing of it is pending: {pending}"
        assert waiting <= set().union(*expected.values()), pending
        checked = driver.run(check=True, state="running", **second)
        assert (checked.changed, checked["guest"]["pending_restart"]) == (False, pending)
        driver.again(state="running", **second)
        done = driver.do(state="running", disruption="restart", **second)
        assert actions(done) == ["restart pending_restart"] and done["guest"]["pending_restart"] == []
        assert driver.host.virsh("domid", driver.name) != number
        driver.again(state="running", disruption="restart", **second)
    else:
        assert pending == []
        assert {step["disruption"] for step in changed["plan"]} == {cost}
    driver.again(state="running", **second)
    assert driver.state() == "running"
