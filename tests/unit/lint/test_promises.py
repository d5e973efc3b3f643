# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a test shows is read from what it does; what nobody shows is named."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.lint.promises import (
    CHANGE,
    CHECK,
    CRASH,
    REFUSED,
    Resource,
    Shown,
    missing,
    module_of,
    options_in,
    read,
    shown,
)

BOX = Resource(
    "box",
    {"lid": "live", "size": "recreate", "tied": "live"},
    ("here", "present", "absent"),
    "here",
    frozenset({"tied"}),
)
COMPLETE = [
    Shown("a", "box", frozenset({CHANGE, CHECK}), frozenset({"lid", "size", "tied", "state=absent", "state=present"})),
    Shown("b", "box", frozenset({CRASH}), frozenset({"size", "state=absent"})),
    Shown("c", "box", frozenset({CRASH}), frozenset({"lid"})),
    Shown("d", "box", frozenset({REFUSED}), frozenset({"lid", "size"})),
]


def test_nothing_is_missing() -> None:
    """The usual state needs no word; a crash is of a cost; what is wrong for yes and no Ansible knows."""
    assert missing([BOX], COMPLETE, {}) == []


@pytest.mark.parametrize(
    ("taken", "left", "named"),
    [
        (
            "a",
            {"options": frozenset({"lid", "size", "state=absent", "state=present"})},
            f"box, tied: no test shows that {CHANGE}",
        ),
        ("a", {"promises": frozenset({CHANGE})}, f"box, lid: no test shows that {CHECK}"),
        (
            "a",
            {"options": frozenset({"lid", "size", "tied", "state=present"})},
            f"box, state=absent: no test shows that {CHANGE}",
        ),
        ("b", {"options": frozenset({"lid"})}, f"box, size: no test shows that {CRASH}"),
        ("c", {"promises": frozenset()}, f"box, tied: no test shows that {CRASH}"),
        ("d", {"options": frozenset({"lid"})}, f"box, size: no test shows that {REFUSED}"),
        ("d", {"only_all": "takes minutes"}, f"box, lid: no test shows that {REFUSED}"),
        ("d", {"resource": "other"}, f"box, lid: no test shows that {REFUSED}"),
    ],
)
def test_what_is_taken_away_is_named(taken: str, left: dict[str, Any], named: str) -> None:
    tests = [replace(test, **left) if test.test == taken else test for test in COMPLETE]
    found = missing([BOX], tests, {})
    assert named in found
    resource, dummy, rest = named.partition(", ")
    option = rest.partition(":")[0]
    promise = next(promise for promise in (CHANGE, CHECK, CRASH, REFUSED) if named.endswith(promise))
    assert named not in missing([BOX], tests, {(resource, option, promise): "for a reason"})


def test_an_exemption_that_is_none_is_named() -> None:
    assert missing([BOX], COMPLETE, {("box", "lid", CHANGE): "was needed once"}) == [
        f"box, lid: is exempt from '{CHANGE}' for nothing"
    ]


MORE = {"size": 1}


def _helper(driver: Any) -> None:
    driver.again(tied=True)


def _changes(driver: Any) -> None:
    driver.do(lid="open", state="absent")
    _helper(driver)


def _crashes(driver: Any) -> None:
    for state in ("here", "absent"):
        driver.run(crash=(1, "after"), state=state, **MORE)


def test_what_a_test_does_is_read_through_what_it_names() -> None:
    methods, options = read(_changes)
    assert {"do", "again"} <= methods and {"lid", "tied", "state=absent"} <= options
    assert shown("t", "box", _changes, (), ()).promises == {CHANGE, CHECK}
    crash = shown("t", "box", _crashes, (), ())
    assert crash.promises == {CRASH} and {"size", "state=here", "state=absent"} <= crash.options
    assert shown("t", "box", _helper, (), ["refused"]).promises == {REFUSED}


def test_options_of_parameters() -> None:
    row, plan = SimpleNamespace(option="lid"), SimpleNamespace(wanted={"size": 1, "state": "absent"})
    assert set(options_in(row)) == {"lid"}
    assert set(options_in((row, plan))) == {"lid", "size", "state=absent"}
    assert set(options_in({"tied": {"deep": 1}})) == {"tied"}
    assert set(options_in("lid")) == set()


@pytest.mark.parametrize(
    ("path", "module"),
    [
        ("integration/docker_container/test_plans.py", "docker_container"),
        ("integration/test_docker_network.py", "docker_network"),
        ("integration/kvm/test_volume_cut_off.py", "kvm_volume"),
        ("integration/test_base_image_disk.py", "base_image"),
        ("integration/test_connection.py", None),
    ],
)
def test_the_module_of_a_file(path: str, module: str | None) -> None:
    assert module_of(Path(path), ["base_image", "docker_container", "docker_network", "kvm_volume"]) == module
