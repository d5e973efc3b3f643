# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who is given which subordinate ids."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ansible_collections.kraal.virt.plugins.module_utils.engine.action import Action
from ansible_collections.kraal.virt.plugins.module_utils.engine.errors import BackendError
from ansible_collections.kraal.virt.plugins.module_utils.engine.plan import Step
from ansible_collections.kraal.virt.plugins.module_utils.host.kernel import subordinate_ids as read
from ansible_collections.kraal.virt.plugins.module_utils.host.subordinate_ids import (
    SubordinateIds,
    grants,
    subordinate_ids,
)

from .recorded import Recorded

TAKEN = ["a:100000:65536", "b:165536:10", "# c", "broken:x:1"]
PLACE = {"option": "lxc_host_users", "count_option": "lxc_host_subordinate_count"}


def host(tmp_path: Path, users: list[str], groups: list[str], **more: Any) -> Recorded:
    return Recorded({"files": {"/etc/subuid": users, "/etc/subgid": groups}, **more}, tmp_path)


def granted(
    tmp_path: Path, users: list[str], groups: list[str], *who: tuple[str, int]
) -> list[tuple[str, str, list[str]]]:
    found = grants(read(host(tmp_path, users, groups)), who, 65536)
    return [(grant.user, grant.range, list(grant.kinds)) for grant in found]


def test_who_has_enough_keeps_it(tmp_path: Path) -> None:
    assert granted(tmp_path, TAKEN, TAKEN, ("a", 1000)) == []
    by_number = ["1002:500000:65536"]
    assert granted(tmp_path, by_number, by_number, ("c", 1002)) == []


def test_ranges_do_not_overlap(tmp_path: Path) -> None:
    """Neither with what is given away in one of the files, nor with each other."""
    both = ["users", "groups"]
    assert granted(tmp_path, TAKEN, ["a:100000:65536"], ("b", 1001)) == [("b", "165546-231081", both)]
    found = granted(tmp_path, ["root:100000:65536"], [], ("root", 0), ("c", 1002))
    assert found == [("root", "165536-231071", ["groups"]), ("c", "231072-296607", both)]


def test_there_are_not_enough(tmp_path: Path) -> None:
    last = host(tmp_path, ["a:4294900000:60000"], [])
    (fault,) = subordinate_ids(last, read(last), ["root"], 65536, **PLACE).faults()
    assert fault.startswith(
        "lxc_host_subordinate_count is 65536, and so many ids are not left for every user of lxc_host_users"
    )
    for count in (0, 2**32):
        (fault,) = subordinate_ids(last, read(last), ["root"], count, **PLACE).faults()
        assert fault.startswith(f"lxc_host_subordinate_count is {count}")
    assert subordinate_ids(last, read(last), ["root"], 1000, **PLACE).faults() == []


def test_a_step_for_each_file(tmp_path: Path) -> None:
    given = [{"rc": 0, "out": [], "err": []}, {"rc": 1, "out": [], "err": ["usermod: user 'c' does not exist"]}]
    asked = ["usermod --add-subuids 100000-165535 -- c", "usermod --add-subgids 100000-165535 -- c"]
    machine = host(
        tmp_path, [], [], programs={"usermod": "/sbin/usermod"}, commands=dict(zip(asked, given, strict=True))
    )
    part = SubordinateIds(machine, grants(read(machine), [("c", 1002)], 65536), 65536, *PLACE.values())
    uids, gids = part.plan()
    assert [uids, gids] == [
        Step("host", Action.SET, f"{file}[c]", None, "100000-165535") for file in ("subuid", "subgid")
    ]
    part.apply(uids)
    with pytest.raises(
        BackendError, match=r"c cannot be given the ids 100000-165535 in /etc/subgid: usermod: user 'c' does not exist"
    ):
        part.apply(gids)
