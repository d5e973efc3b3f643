# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tables of options, and the specification that is read through them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.kraal.virt.plugins.module_utils.engine.action import Disruption
from ansible_collections.kraal.virt.plugins.module_utils.engine.errors import InvalidOption
from ansible_collections.kraal.virt.plugins.module_utils.engine.kinds import Size
from ansible_collections.kraal.virt.plugins.module_utils.engine.spec import Option, Table, check_plain_name
from tests.unit.engine.boxes import TABLE, arguments, want


def test_the_argument_spec_comes_from_the_table() -> None:
    assert TABLE.argument_spec() == {
        "name": {"type": "str", "required": True},
        "state": {
            "type": "str",
            "choices": ["running", "stopped", "paused", "present", "absent"],
            "default": "running",
        },
        "memory": {"type": "str"},
        "tags": {"type": "list", "elements": "str"},
        "lid": {"type": "str"},
        "shelf": {"type": "str"},
        "purge": {"type": "list", "elements": "str", "choices": ["tags"], "default": []},
        "disruption": {"type": "str", "choices": ["none", "live", "restart", "recreate", "destroy"], "default": "live"},
        "wait_for": {"type": "str", "choices": ["none", "running"], "default": "none"},
        "timeout": {"type": "int", "default": 60},
    }


def test_a_table_offers_no_option_that_would_do_nothing() -> None:
    table = Table(
        "boxes",
        "lid",
        (Option("size", Size(), lambda lid: lid, Disruption.RECREATE),),
        states=("present", "absent"),
        state="present",
        allow=None,
    )
    assert sorted(table.argument_spec()) == ["name", "size", "state"]
    spec = table.read({"name": "a", "state": "present", "size": None})
    assert (spec.allow, spec.wait_for, spec.purge) == (Disruption.DESTROY, "none", frozenset())


def test_options_are_found_by_name() -> None:
    assert TABLE["memory"].name == "memory"
    assert set(TABLE.by_name) == {"memory", "tags", "lid", "shelf"}


def test_only_what_is_set_is_in_the_specification() -> None:
    spec = want(
        "a",
        memory="1KiB",
        tags=[],
        purge=["tags"],
        disruption="recreate",
        wait_for="running",
        timeout=5,
        state="stopped",
    )
    assert spec.values == {"memory": 1024, "tags": frozenset()}
    assert (spec.name, spec.state, spec.purge, spec.allow) == ("a", "stopped", frozenset(["tags"]), Disruption.RECREATE)
    assert (spec.wait_for, spec.timeout) == ("running", 5)
    assert want("a").values == {}


def test_what_is_set_is_shown_as_a_user_writes_it() -> None:
    assert TABLE.shown(want("a", memory=1048576, tags=["b", "a"])) == {"memory": "1MiB", "tags": ["a", "b"]}


def test_an_error_names_guest_option_value_and_remedy() -> None:
    with pytest.raises(InvalidOption) as caught:
        want("web", memory="lots")
    assert str(caught.value.about(backend="boxes")).startswith("boxes web: memory: 'lots' is not a size. Write ")


@pytest.mark.parametrize("seconds", [0, -5])
def test_a_timeout_is_a_time(seconds: int) -> None:
    with pytest.raises(InvalidOption, match="timeout"):
        want("a", timeout=seconds)


def test_what_steers_is_kept_apart_and_what_completes_runs_first() -> None:
    def complete(parameters: Any) -> Any:
        return {**parameters, "size": parameters["file"]}

    table = Table(
        "boxes",
        "lid",
        (Option("size", Size(), lambda lid: lid, Disruption.LIVE),),
        steering={"file": {"type": "str"}},
        complete=complete,
    )
    spec = table.read({"name": "a", "state": "present", "size": None, "file": "2KiB", "disruption": "live"})
    assert (spec.values, spec.steering) == ({"size": 2048}, {"file": "2KiB"})


@pytest.mark.parametrize(
    "name", ["", "-v", "--help", "a/b", "/", "..", "a..b", "a\nb", "a\0b", "a\tb", "\u202eb", "a\x1b[0m"]
)
def test_dangerous_names_are_refused(name: str) -> None:
    with pytest.raises(InvalidOption) as caught:
        check_plain_name(name)
    assert repr(name) in str(caught.value)
    assert "Use letters" in str(caught.value)
    with pytest.raises(InvalidOption):
        want(name)


@pytest.mark.parametrize("name", ["a", "web-1", "web_1", "a.b", "Größe", "web 1"])
def test_harmless_names_are_left_to_the_backend(name: str) -> None:
    check_plain_name(name)


@given(st.text(min_size=1))
def test_a_name_that_passes_can_do_no_harm(name: str) -> None:
    try:
        check_plain_name(name)
    except InvalidOption:
        return
    assert "/" not in name and ".." not in name and name[0] != "-" and name.isprintable()


def test_a_table_may_take_names_of_more_than_one_word() -> None:
    def check(name: str) -> None:
        if not name.startswith("team/"):
            raise InvalidOption("name", name, "is nobody's")

    table = Table("boxes", "image", (), plain_name=False, check_name=check)
    assert table.read({**arguments("team/app"), "disruption": "live"}).name == "team/app"
    with pytest.raises(InvalidOption, match="nobody's"):
        table.read({**arguments("app"), "disruption": "live"})
