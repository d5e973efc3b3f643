# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where what is wanted and what was observed differ."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.kraal.virt.plugins.module_utils.engine.action import Disruption
from ansible_collections.kraal.virt.plugins.module_utils.engine.compare import compared, differences, key_of
from ansible_collections.kraal.virt.plugins.module_utils.engine.kinds import (
    Entries,
    Kind,
    Members,
    Sequence,
    Text,
    Texts,
)
from ansible_collections.kraal.virt.plugins.module_utils.engine.spec import Option, Spec, Table
from tests.unit.engine.boxes import TABLE, want

KEYS = st.sampled_from(["a", "b", "c", "d"])
VALUES = st.sampled_from(["1", "2", "3"])
DICTS = st.dictionaries(KEYS, VALUES)
NESTED = st.dictionaries(KEYS, st.one_of(VALUES, st.dictionaries(KEYS, VALUES)))

#: An option of each way to compare, with what it may hold.
KINDS: dict[str, tuple[Kind, st.SearchStrategy[Any]]] = {
    "text": (Text(), VALUES),
    "order": (Sequence(), st.lists(VALUES).map(tuple)),
    "members": (Members(), st.frozensets(VALUES)),
    "texts": (Texts(), DICTS),
    "entries": (Entries(), NESTED),
}
ALL = Table(
    "boxes",
    "box",
    tuple(Option(name, kind, lambda have: have, Disruption.LIVE) for name, (kind, _values) in KINDS.items()),
)
SOME = st.fixed_dictionaries({}, optional={name: values for name, (_kind, values) in KINDS.items()})
MERGING = sorted(name for name, (kind, _values) in KINDS.items() if kind.merges)


def test_an_option_that_is_not_set_is_not_looked_at() -> None:
    assert differences(TABLE, want("a"), {"memory": 5, "tags": frozenset("x"), "lid": "oak"}) == []


def test_differences_come_in_the_order_of_the_table() -> None:
    found = differences(TABLE, want("a", lid="oak", memory="1KiB", tags=["x"]), {"memory": 2048})
    assert [each.option.name for each in found] == ["memory", "tags", "lid"]
    assert [each.value for each in found] == [1024, frozenset("x"), "oak"]


def test_a_difference_is_shown_in_the_words_of_the_user() -> None:
    (found,) = differences(TABLE, want("a", memory="1MiB"), {"memory": 2048})
    assert (found.shown("before"), found.shown("after")) == ({"memory": "2KiB"}, {"memory": "1MiB"})


def test_what_was_not_there_has_no_value_before() -> None:
    (found,) = differences(TABLE, want("a", lid="oak"), {})
    assert (found.shown("before"), found.shown("after")) == ({}, {"lid": "oak"})


def test_keys_name_the_entry() -> None:
    assert (key_of("memory", ""), key_of("env", "PATH")) == ("memory", "env[PATH]")
    spec = Spec("a", "running", {"texts": {"a": "1", "b": "2"}}, frozenset(["texts"]))
    (found,) = compared(ALL, spec, {"texts": {"b": "1", "c": "3"}})
    assert found.shown("before") == {"texts[b]": "1", "texts[c]": "3"}
    assert found.shown("after") == {"texts[a]": "1", "texts[b]": "2"}


@given(SOME, SOME, st.frozensets(st.sampled_from(MERGING)))
def test_what_was_brought_about_is_no_difference(
    values: dict[str, Any], have: dict[str, Any], purge: frozenset[str]
) -> None:
    spec = Spec("a", "running", values, purge)
    after = {**have, **{each.option.name: each.value for each in compared(ALL, spec, have)}}
    assert compared(ALL, spec, after) == []
    assert {key: value for key, value in after.items() if key not in values} == {
        key: value for key, value in have.items() if key not in values
    }


@given(SOME, SOME)
def test_merging_loses_nothing(values: dict[str, Any], have: dict[str, Any]) -> None:
    for each in compared(ALL, Spec("a", "running", values), have):
        if each.option.kind.merges:
            assert set(have.get(each.option.name, ())) <= set(each.value)


@given(SOME, SOME, st.frozensets(st.sampled_from(MERGING)))
def test_every_difference_shows_something_that_differs(
    values: dict[str, Any], have: dict[str, Any], purge: frozenset[str]
) -> None:
    for each in compared(ALL, Spec("a", "running", values, purge), have):
        assert each.parts
        assert all(part.before != part.after for part in each.parts)
