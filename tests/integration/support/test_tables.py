# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rows share guests, and none gets lost or hides behind another; crashes that are one are tried once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from tests.integration.docker_container import options as docker
from tests.integration.kvm import test_network as networks
from tests.integration.kvm_vm import rows as kvm
from tests.integration.lxc_container import options as lxc
from tests.support.tables import Explored, assert_named, bundles, keyed, ride, rounds

TABLES = {"docker_container": docker.ROWS, "kvm_network": networks.ROWS, "kvm_vm": kvm.ROWS, "lxc_container": lxc.ROWS}


@dataclass(frozen=True)
class Row:
    option: str
    first: Any = 1
    second: Any = 2
    same: tuple[Any, ...] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)
    alone: str = ""
    apart: Mapping[str, str] = field(default_factory=dict)
    about: str = ""

    @property
    def id(self) -> str:
        return f"{self.option}-{self.about}" if self.about else self.option


A, B, C = Row("a"), Row("b"), Row("c")


@pytest.mark.parametrize("table", TABLES)
def test_each_row_of_a_table_is_in_one_bundle(table: str) -> None:
    rows: Any = TABLES[table]
    found = [row.id for bundle in bundles(rows) for row in bundle]
    assert sorted(found) == sorted(row.id for row in rows)
    assert len(set(found)) == len(found), "two rows have one name"
    assert len(bundles(rows)) * 3 < len(rows)
    # A new row joins by itself.
    one = replace(rows[0], option="new", extra={}, apart={}, alone="")
    assert len(bundles((*rows, one))) == len(bundles(rows))


@pytest.mark.parametrize("table", TABLES)
def test_reasons_are_given_and_name_options_of_the_table(table: str) -> None:
    rows: Any = TABLES[table]
    options = {row.option for row in rows}
    for row in rows:
        assert set(row.apart) <= options - {row.option}, row.id
        assert all(reason.strip() for reason in row.apart.values()), row.id


def test_rows_that_touch_each_other_share_no_guest() -> None:
    assert bundles((A, B, C)) == [(A, B, C)]
    assert bundles((A, replace(A, about="x"), B)) == [(A, B), (replace(A, about="x"),)]
    alone, apart, needs = replace(B, alone="reason"), replace(B, apart={"a": "reason"}), replace(B, extra={"a": 5})
    for other in (alone, apart, needs):
        assert bundles((A, other)) == [(A,), (other,)]
        assert bundles((other, A)) == [(other,), (A,)]
    assert len(bundles((replace(A, extra={"x": 1}), replace(B, extra={"x": 2})))) == 2
    assert len(bundles((replace(A, extra={"x": 1}), replace(B, extra={"x": 1})))) == 1
    assert len(bundles((replace(A, extra={"state": "present"}), B))) == 2
    assert bundles((A, B, C), lambda row: row.option == "b") == [(A, C), (B,)]


def test_a_red_bundle_names_its_row() -> None:
    asked = []

    def run(rows: tuple[Row, ...]) -> None:
        asked.append("+".join(row.id for row in rows))
        assert B not in rows, "is broken"

    with pytest.raises(AssertionError, match="^b: is broken") as failure:
        ride((A, B, C), run, lambda: asked.append("clear"))
    assert "a:" not in str(failure.value) and "c:" not in str(failure.value)
    assert asked == ["a+b+c", "clear", "a", "clear", "b", "clear", "c"]
    ride((A, C), run, lambda: None)


def test_a_bundle_that_is_red_as_a_whole_alone_says_so() -> None:
    def run(rows: tuple[Row, ...]) -> None:
        assert len(rows) == 1, "too many"

    with pytest.raises(AssertionError, match="each row alone is green, but not all of a, b together: too many"):
        ride((A, B), run, lambda: None)


def step(key: str, before: Any, after: Any) -> dict[str, Any]:
    return {"key": key, "before": before, "after": after}


def test_each_rows_key_stands_in_the_plan_and_no_other() -> None:
    plan = [step("", {"a": 1, "b[x]": 1}, {"a": 2, "b[x]": 2})]
    assert keyed(plan) == {"a": (1, 2), "b[x]": (1, 2)}
    assert_named((A, B), plan, {"a": (None, 1)})
    with pytest.raises(AssertionError, match="c: c is not in the plan"):
        assert_named((A, B, C), plan, {})
    with pytest.raises(AssertionError, match=r"of none of a: \['b\[x\]'\]"):
        assert_named((A,), plan, {})
    assert_named((A,), plan, {}, along={"a": {"b"}})
    with pytest.raises(AssertionError, match="a: a was made 7 and changes from 1"):
        assert_named((A, B), plan, {"a": (None, 7)})
    with pytest.raises(AssertionError, match="a: a changes from 1 to the same"):
        assert_named((A,), [step("a", 1, 1)], {})
    with pytest.raises(AssertionError, match="a is in two steps"):
        assert_named((A,), [step("a", 1, 2), step("a", 2, 3)], {})


def test_each_way_to_write_a_value_is_in_a_round() -> None:
    assert list(rounds((replace(A, same=("2", "two")), replace(B, same=("b2",)), C))) == [
        {"a": 2, "b": 2, "c": 2},
        {"a": "2", "b": "b2", "c": 2},
        {"a": "two", "b": 2, "c": 2},
    ]


def test_equal_crashes_are_tried_once_or_each(tmp_path: Path) -> None:
    every = Explored(every=True)
    for some in (Explored(), Explored(directory=tmp_path)):
        assert [some.new(name, key) for name, key in (("one", 1), ("two", 2), ("three", 1))] == [True, True, False]
        assert some.covered == {"three": "one"}
    assert not Explored(directory=tmp_path).new("in another process", 2)
    assert [every.new(name, 1) for name in ("one", "two")] == [True, True]
    assert every.covered == {}
