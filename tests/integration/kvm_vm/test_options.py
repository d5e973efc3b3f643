# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every option of kvm_vm keeps the four promises on a real libvirtd: create, again, change, again; off, and as the guest runs."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from ansible_collections.kraal.virt.plugins.module_utils.backends.kvm.vm_options import VMS
from tests.support.libvirt_host import LibvirtHost

from .driver import Driver, actions, fill
from .rows import ROWS, Row

SPREAD = True

#: What changes with an option.
ALONG = {"memory": {"memory_max"}, "cpus": {"cpus_max"}, "graphics": {"video"}, "secure_boot": {"xml"}}
#: With libvirt 11.3 of Debian 13, which writes its choice of a firmware's features into the stored domain.
ALONG_ON_DEBIAN_13 = {**ALONG, "firmware": {"secure_boot", "xml"}}


def test_no_option_is_without_a_row() -> None:
    assert {option.name for option in VMS.options} == {row.option for row in ROWS}


def test_purge_is_tested_for_each_option_that_has_it() -> None:
    assert {option.name for option in VMS.options if option.kind.merges} == {row.option for row in ROWS if row.purge}


def values(row: Row, words: Mapping[str, str]) -> tuple[dict, dict, dict]:
    extra = fill(dict(row.extra), words)
    return extra, {**extra, row.option: fill(row.first, words)}, {**extra, row.option: fill(row.second, words)}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
def test_create_again_change_again(row: Row, driver: Driver, words: Mapping[str, str]) -> None:
    extra, first, second = values(row, words)
    made = driver.do(state="present", **first)
    assert actions(made) == ["create"]
    driver.again(state="present", **first)
    assert row.look(driver.xml()) == fill(row.seen[0], words)
    uuid, mac = driver.xml().findtext("uuid"), driver.xml().find("devices/interface/mac")
    changed = driver.do(state="present", **second)
    if row.first != row.second and row.option not in ("type", "uuid"):
        keys = {key for step in changed["plan"] for key in ([step["key"]] if step["key"] else {**(step["before"] or {}), **(step["after"] or {})})}
        assert any(key.partition("[")[0] == row.option for key in keys), changed["plan"]
        assert {step["disruption"] for step in changed["plan"]} == {"none"}
    assert row.look(driver.xml()) == fill(row.seen[1], words)
    for value in (row.second, *row.same):
        driver.again(state="present", **{**extra, row.option: fill(value, words)})
    assert driver.xml().findtext("uuid") == uuid
    if mac is not None:
        assert mac.get("address") in [each.get("address") for each in driver.xml().iterfind("devices/interface/mac")]
    if row.purge:
        driver.do(state="present", purge=[row.option], **first)
        assert row.look(driver.xml()) == fill(row.seen[0], words)
        driver.again(state="present", purge=[row.option], **first)
    assert driver.names() == [driver.name] and driver.state() == "shut off"


@pytest.mark.parametrize("row", [row for row in ROWS if row.running], ids=lambda row: row.id)
def test_change_as_it_runs(row: Row, driver: Driver, words: Mapping[str, str]) -> None:
    """Live, or written down and pending until a restart is allowed. A guest without a system: nothing here needs its help."""
    _extra, first, second = values(row, words)
    driver.make(state="running", **first)
    assert driver.run(state="running", **first)["guest"]["pending_restart"] == []
    number = driver.host.virsh("domid", driver.name)
    changed = driver.do(state="running", **second)
    assert row.look(driver.xml()) == fill(row.seen[1], words)
    assert driver.host.virsh("domid", driver.name) == number
    pending = changed["guest"]["pending_restart"]
    if row.running == "restart":
        assert {step["disruption"] for step in changed["plan"]} == {"none"}
        along = ALONG_ON_DEBIAN_13 if isinstance(driver.host, LibvirtHost) else ALONG
        assert pending and {key.partition("[")[0] for key in pending} <= {row.option, *along.get(row.option, ())}, pending
        checked = driver.run(check=True, state="running", **second)
        assert (checked.changed, checked["guest"]["pending_restart"]) == (False, pending)
        driver.again(state="running", **second)
        done = driver.do(state="running", disruption="restart", **second)
        assert actions(done) == ["restart pending_restart"] and done["guest"]["pending_restart"] == []
        assert driver.host.virsh("domid", driver.name) != number
        driver.again(state="running", disruption="restart", **second)
    else:
        assert pending == []
        assert {step["disruption"] for step in changed["plan"]} == {row.running}
    driver.again(state="running", **second)
    assert driver.state() == "running"
