# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A configuration file: what it says, and what is left as it was when a key changes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as some

from ansible_collections.kraal.virt.plugins.module_utils.backends.lxc.container.config import (
    Config,
    read_mount,
    write_line,
    write_mount,
)

KEYS = ("lxc.uts.name", "lxc.start.auto", "lxc.environment", "lxc.cap.drop", "lxc.mount.entry", "lxc.tty.max")
LISTS = ("lxc.environment", "lxc.cap.drop", "lxc.mount.entry")

words = some.text("abcdef_", min_size=1, max_size=4)
known = some.builds(lambda key, value: f"{key} = {value}", some.sampled_from(KEYS), some.one_of(words, some.just("")))
other = some.sampled_from(["# a comment", "", "  # lxc.tty.max = 9", "some.tool = x", "lxc.include = /more"])
files = some.lists(some.one_of(known, other), max_size=12).map("\n".join)
included = some.lists(known, max_size=4).map("\n".join)


def config(text: str, more: str = "") -> Config:
    return Config(text, lambda path: [more])


@given(files, included, some.sampled_from(KEYS), some.lists(words, max_size=3, unique=True))
def test_what_is_assigned_is_in_effect_and_nothing_else_changed(
    text: str, more: str, key: str, values: list[str]
) -> None:
    before = config(text, more)
    wanted = tuple(values if key in LISTS else values[:1])
    after = before.assigned({key: wanted})
    assert after.values.get(key, ()) == wanted
    assert {each: found for each, found in after.values.items() if each != key} == {
        each: found for each, found in before.values.items() if each != key
    }
    rest = [line for line in text.split("\n") if line.partition("=")[0].strip() != key and line.strip()]
    assert [line for line in after.text.split("\n") if line.partition("=")[0].strip() != key and line.strip()] == rest
    assert after.assigned({key: wanted}).text == after.text


@given(files, some.sampled_from([key for key in KEYS if key not in LISTS]), words)
def test_a_key_with_one_value_has_one_line_at_most(text: str, key: str, value: str) -> None:
    after = config(text).assigned({key: (value,)})
    if config(text).values.get(key) != (value,):
        assert len([line for line in after.text.split("\n") if line.partition("=")[0].strip() == key]) == 1
    assert key not in config(after.text).assigned({key: ()}).values


@pytest.mark.parametrize("value", ["x", "a # b", "'quoted'", '"quoted"', " spaces ", "a=b", "\\", "'half"])
def test_a_line_is_read_back_as_it_was_written(value: str) -> None:
    assert config(write_line("lxc.environment", value)).values == {"lxc.environment": (value,)}


@given(
    *[some.text(some.characters(exclude_characters="\0\r", exclude_categories=("Cs", "Zl", "Zp", "Cc")), min_size=1)]
    * 2
)
def test_a_mount_is_read_back_as_it_was_written(source: str, target: str) -> None:
    if any(letter.isspace() and letter not in " \t\n" for letter in source + target) or not target.strip("/"):
        return
    path = "/" + target.lstrip("/")
    value = write_mount(source, path, "none", ("bind", "ro"))
    assert read_mount(value) == (source, path, "none", ("bind", "ro"))
    assert len(value.split()) == 6


def test_an_empty_value_forgets_a_whole_family() -> None:
    found = config(
        "lxc.net.0.type = veth\nlxc.net.1.type = veth\nlxc.cgroup.pids.max = 1\nlxc.net.0 =\nlxc.cgroup =\n"
    ).values
    assert found == {"lxc.net.1.type": ("veth",)}


def test_a_change_stays_in_its_place() -> None:
    text = "# one\nlxc.tty.max = 1\n# two\nlxc.start.auto = 0\nlxc.start.auto = 1\n# three\n"
    assert (
        config(text).assigned({"lxc.start.auto": ("0",)}).text
        == "# one\nlxc.tty.max = 1\n# two\nlxc.start.auto = 0\n# three\n"
    )
    assert config(text).assigned({"lxc.start.auto": ()}).text == "# one\nlxc.tty.max = 1\n# two\n# three\n"


def test_a_later_include_wins_unless_the_line_goes_behind_it() -> None:
    after = config("lxc.tty.max = 1\nlxc.include = /more\n", "lxc.tty.max = 3").assigned({"lxc.tty.max": ("2",)})
    assert after.text == "lxc.include = /more\nlxc.tty.max = 2\n"
    assert (
        config(after.text, "lxc.tty.max = 3").assigned({"lxc.tty.max": ()}).text
        == "lxc.include = /more\nlxc.tty.max =\n"
    )
