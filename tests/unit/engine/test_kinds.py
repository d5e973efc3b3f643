# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The kinds of value: what is understood, what is the same, what differs, and how it is shown."""

from __future__ import annotations

import string
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.kraal.virt.plugins.module_utils.engine.errors import InvalidOption
from ansible_collections.kraal.virt.plugins.module_utils.engine.kinds import (
    Entries,
    Flag,
    Integer,
    Kind,
    Members,
    Part,
    Records,
    Sequence,
    Size,
    Text,
    Texts,
    Words,
)
from ansible_collections.kraal.virt.plugins.module_utils.engine.network_kinds import mac
from ansible_collections.kraal.virt.plugins.module_utils.engine.secrets import HIDDEN, SECRET_KEY

WORD = st.text(string.ascii_letters + string.digits + " =:/.-_'\"\\$", max_size=12)
KEY = st.text(string.ascii_letters + string.digits + "_.", min_size=1, max_size=8)
TEXTS = st.dictionaries(KEY, WORD, max_size=4)


def pair(entry: Any, option: str) -> list[tuple[str, Any]]:
    key, _equals, value = str(entry).partition("=")
    return [(key, {name: value for name, value in (("first", value[:1]), ("rest", value[1:])) if value})]


RECORDS = Records(pair, lambda key, value: f"{key}={value.get('first', '')}{value.get('rest', '')}")
FIELDS = st.dictionaries(st.sampled_from(["size", "mode", "source"]), WORD, max_size=3)
ENTRIES = st.dictionaries(KEY, st.one_of(WORD, FIELDS), max_size=4)


def test_a_text_is_one_line() -> None:
    assert Text().parse(5, "user") == "5"
    assert Text().parse("a\tb", "user") == "a\tb"
    for bad in ("a\nb", "a\rb", "a\0", "\x1b[31m", "\x7f"):
        with pytest.raises(InvalidOption, match="control character"):
            Text().parse(bad, "user")


def test_a_text_with_a_pattern_says_how_to_write_it() -> None:
    kind = Text(pattern="[a-f]+", remedy="Write letters from a to f", fold=False)
    assert kind.parse("abc", "code") == "abc"
    with pytest.raises(InvalidOption) as caught:
        kind.parse("xyz", "code")
    assert str(caught.value) == "code: 'xyz' is not understood. Write letters from a to f."


def test_a_folded_text_is_lower_case() -> None:
    assert Text(fold=True).parse("02:AB", "mac") == "02:ab"


def test_choices_are_left_to_ansible() -> None:
    assert Text(choices=("host", "private")).argument == {"type": "str", "choices": ["host", "private"]}


@pytest.mark.parametrize("number", [-1, 6, "7"])
def test_integers_have_bounds(number: object) -> None:
    with pytest.raises(InvalidOption, match="from 0 to 5"):
        Integer(0, 5).parse(number, "weight")


def test_a_size_may_be_unlimited_where_that_is_said() -> None:
    kind = Size(unlimited=-1)
    assert [kind.parse(value, "swap") for value in ("unlimited", "-1", -1, "1KiB")] == [-1, -1, -1, 1024]
    assert [kind.show(value) for value in (-1, 1024)] == ["unlimited", "1KiB"]
    for value in ("unlimited", "-1"):
        with pytest.raises(InvalidOption, match="not a size"):
            Size().parse(value, "memory")


def test_what_ansible_makes_of_a_list_is_no_text() -> None:
    for value in (["a"], {"a": "b"}, [5]):
        with pytest.raises(InvalidOption, match="a list or a mapping"):
            Text().parse(str(value), "user")
    assert [Text().parse(text, "text") for text in ("[]", "[a]", '{"a": 1, }', "{}")] == [
        "[]",
        "[a]",
        '{"a": 1, }',
        "{}",
    ]


def test_a_size_may_have_a_least() -> None:
    kind = Size(least=4096)
    assert kind.parse("4KiB", "memory") == 4096
    assert kind.parse("0", "memory") == 0, "no limit at all is not a small limit"
    with pytest.raises(InvalidOption, match="Write 4KiB or more"):
        kind.parse("4095", "memory")


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("sleep infinity", ("sleep", "infinity")),
        ("sh -c 'echo \"$HOME\"'", ("sh", "-c", 'echo "$HOME"')),
        (["sleep", 5], ("sleep", "5")),
        (["a b", ""], ("a b", "")),
        ("", ()),
        ([], ()),
    ],
)
def test_commands_are_words(value: object, words: tuple[str, ...]) -> None:
    assert Words().parse(value, "command") == words


@pytest.mark.parametrize("value", ["sh -c 'unclosed", {"a": 1}, 5, ["a\0b"]])
def test_commands_that_are_refused(value: object) -> None:
    with pytest.raises(InvalidOption, match="command"):
        Words().parse(value, "command")


@given(st.lists(WORD, max_size=5))
def test_a_command_that_is_shown_is_the_same_command(words: list[str]) -> None:
    value = Words().parse(words, "command")
    assert Words().parse(Words().show(value), "command") == value


def test_the_order_of_a_sequence_counts() -> None:
    kind = Sequence()
    assert kind.parts(("a", "b"), ("b", "a"), False) == [Part("", ["b", "a"], ["a", "b"])]
    assert kind.parts(("a", "b"), ("a", "b"), True) == []
    assert not kind.merges


def test_members_are_added_and_taken_away_only_when_exact() -> None:
    kind = Members()
    want, have = kind.parse(["b", "a"], "groups"), frozenset("bc")
    assert kind.parts(want, have, False) == [Part("", ["b", "c"], ["a", "b", "c"])]
    assert kind.merge(want, have, False) == frozenset("abc")
    assert kind.parts(want, have, True) == [Part("", ["b", "c"], ["a", "b"])]
    assert kind.merge(want, have, True) == frozenset("ab")
    assert kind.parts(frozenset("b"), have, False) == []
    assert kind.parts(frozenset(), None, True) == []
    assert kind.parts(frozenset("a"), None, False) == [Part("", None, ["a"])]


@given(st.frozensets(KEY, max_size=5), st.none() | st.frozensets(KEY, max_size=5), st.booleans())
def test_merged_members_leave_nothing_to_do(want: frozenset[str], have: frozenset[str] | None, exact: bool) -> None:
    merged = Members().merge(want, have, exact)
    assert Members().parts(want, merged, exact) == []
    assert Members().merge(want, merged, exact) == merged


@given(ENTRIES, st.none() | ENTRIES, st.booleans())
def test_merged_entries_leave_nothing_to_do(want: dict[str, Any], have: dict[str, Any] | None, exact: bool) -> None:
    kind = Entries()
    merged = kind.merge(want, have, exact)
    assert kind.parts(want, merged, exact) == []
    assert kind.merge(want, merged, exact) == merged


@given(ENTRIES, ENTRIES, st.booleans())
def test_entries_differ_when_and_only_when_merging_changes_them(
    want: dict[str, Any], have: dict[str, Any], exact: bool
) -> None:
    kind = Entries()
    assert bool(kind.parts(want, have, exact)) == (kind.merge(want, have, exact) != have)


@given(ENTRIES, ENTRIES)
def test_exact_entries_are_those_that_are_wanted(want: dict[str, Any], have: dict[str, Any]) -> None:
    assert set(Entries().merge(want, have, True)) == set(want)
    assert set(Entries().merge(want, have, False)) == {*want, *have}


def test_entries_are_compared_field_by_field() -> None:
    kind = Entries()
    want, have = {"a": {"size": "1"}}, {"a": {"size": "2", "mode": "0700"}}
    assert kind.parts(want, have, False) == [Part("a", {"size": "2", "mode": "0700"}, {"size": "1", "mode": "0700"})]
    assert kind.parts({"a": {"mode": "0700"}}, have, False) == []
    assert kind.parts({}, have, True) == [Part("a", have["a"], None)]
    assert kind.parts({}, have, False) == []


@pytest.mark.parametrize(
    ("value", "text"), [(True, "true"), (False, "false"), (None, ""), (5, "5"), (1.5, "1.5"), ("x", "x")]
)
def test_texts_are_what_yaml_meant(value: object, text: str) -> None:
    assert Texts().parse({"KEY": value}, "env") == {"KEY": text}


@pytest.mark.parametrize(
    "value", [{"": "x"}, {"A=B": "x"}, {"A B\n": "x"}, {" A": "x"}, {"A": {"b": "c"}}, {"A": ["b"]}, {"A": "b\0"}]
)
def test_texts_that_are_refused(value: dict[str, Any]) -> None:
    with pytest.raises(InvalidOption, match="env"):
        Texts().parse(value, "env")


@pytest.mark.parametrize(
    "key",
    [
        "PASSWORD",
        "db_password",
        "MYSQL_ROOT_PASSWORD",
        "PGPASSWD",
        "passphrase",
        "PASS",
        "DB_PASS",
        "smtp_pwd",
        "SECRET_KEY_BASE",
        "API_TOKEN",
        "splunk-token",
    ]
    + [
        "AWS_SECRET_ACCESS_KEY",
        "API_KEY",
        "apikey",
        "PRIVATE_KEY",
        "AUTH_KEY",
        "aws_access_key",
        "CREDENTIALS",
        "encryption_key",
    ],
)
def test_keys_that_speak_of_a_secret(key: str) -> None:
    kind = Texts(guarded=True)
    assert SECRET_KEY.search(key)
    assert kind.show({key: "hunter2"}) == {key: HIDDEN}
    assert kind.parts({key: "new"}, {key: "old"}, False) == [Part(key, HIDDEN, f"{HIDDEN} (new)")]
    assert kind.parts({key: "new"}, {}, False) == [Part(key, None, HIDDEN)]
    assert kind.parts({}, {key: "old"}, True) == [Part(key, HIDDEN, None)]


@pytest.mark.parametrize(
    "key", ["PATH", "COMPASS", "BYPASS", "PWD", "OLDPWD", "KEY", "KEYBOARD", "MONKEY", "PASSENGER", "HOME"]
)
def test_keys_that_do_not(key: str) -> None:
    assert Texts(guarded=True).show({key: "value"}) == {key: "value"}


def test_texts_are_shown_as_they_are_where_nothing_is_guarded() -> None:
    assert Texts().show({"token": "x"}) == {"token": "x"}


@pytest.mark.parametrize(
    ("value", "remedy"),
    [
        (4, "write 4GiB if you mean that"),
        (512, "write 512MiB if you mean that"),
        ("2048", "write 2048MiB if you mean that"),
        (1048576, "write 1048576KiB if you mean that"),
        ("4KiB", "Write 1MiB or more"),
        (0, ""),
        ("1MiB", ""),
        (16 << 20, ""),
    ],
)
def test_a_bare_number_that_is_too_small_was_meant_otherwise(value: object, remedy: str) -> None:
    kind = Size(least=1 << 20, bare=16 << 20)
    if not remedy:
        kind.parse(value, "memory")
        return
    with pytest.raises(InvalidOption, match="is too small") as caught:
        kind.parse(value, "memory")
    assert remedy in caught.value.remedy


@pytest.mark.parametrize("digits", ["52:54:00:12:34:56", "10:00:00:00:00:00", "59:59:59:59:59:59"])
def test_a_mac_address_that_yaml_takes_for_a_number(digits: str) -> None:
    number = yaml.safe_load(digits)
    assert isinstance(number, int)
    for value in (number, str(number)):
        with pytest.raises(InvalidOption, match=f'Write it in quotes, "{digits}"'):
            mac("02:00:00:00:00:01").parse(value, "mac")
    assert mac("x").parse("52:54:00:12:34:5A", "mac") == "52:54:00:12:34:5a"
    for other in (7, 60**5 - 1, 100 * 60**5, "zz"):
        with pytest.raises(InvalidOption, match="Write it like x"):
            mac("x").parse(other, "mac")


@given(TEXTS)
def test_texts_that_are_shown_are_the_same_texts(value: dict[str, str]) -> None:
    parsed = Texts().parse(value, "labels")
    assert Texts().parse(Texts().show(parsed), "labels") == parsed


def test_a_record_may_be_given_twice_if_it_is_the_same() -> None:
    assert RECORDS.parse(["a=xy", "a=xy"], "limits") == {"a": {"first": "x", "rest": "y"}}
    with pytest.raises(InvalidOption, match="given twice"):
        RECORDS.parse(["a=xy", "a=xz"], "limits")


def test_a_flag_in_an_entry_is_what_its_text_says() -> None:
    assert [Flag().parse(word, "disks[a].read_only") for word in ("no", "False", "off", None, False)] == [False] * 5
    assert [Flag().parse(word, "disks[a].read_only") for word in ("yes", "True", "1", True)] == [True] * 4
    with pytest.raises(InvalidOption, match="neither yes nor no"):
        Flag().parse("perhaps", "disks[a].read_only")


def test_records_are_shown_in_one_order() -> None:
    assert RECORDS.show(RECORDS.parse(["b=1", "a=2"], "limits")) == ["a=2", "b=1"]


@pytest.mark.parametrize(
    "kind",
    [Text(), Flag(), Integer(), Size(), Words(), Sequence(), Members(), Texts(), RECORDS],
    ids=lambda kind: type(kind).__name__,
)
def test_nothing_is_shown_as_nothing(kind: Kind) -> None:
    assert kind.shown(None) is None
    assert kind.argument["type"] in ("str", "bool", "int", "raw", "list", "dict")
