# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sizes, processors, durations and sets of processors: one grammar, read and written."""

from __future__ import annotations

from decimal import Decimal

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.kraal.virt.plugins.module_utils.engine.errors import InvalidOption
from ansible_collections.kraal.virt.plugins.module_utils.engine.units import (
    format_cpus,
    format_cpuset,
    format_duration,
    format_size,
    parse_cpus,
    parse_cpuset,
    parse_duration,
    parse_size,
    unquoted,
)

KIB, MIB, GIB = 1024, 1024**2, 1024**3


@pytest.mark.parametrize(
    ("text", "size"),
    [
        (0, 0),
        ("0", 0),
        ("512", 512),
        ("512b", 512),
        ("1k", KIB),
        ("1K", KIB),
        ("1Ki", KIB),
        ("1KiB", KIB),
        ("1kB", 1000),
        ("512MiB", 512 * MIB),
        ("512mib", 512 * MIB),
        ("512M", 512 * MIB),
        ("512m", 512 * MIB),
        ("512MB", 512_000_000),
        ("1.5GiB", 3 * GIB // 2),
        ("1.5 GB", 1_500_000_000),
        (" 2G ", 2 * GIB),
        ("1TiB", 1024 * GIB),
        ("7EiB", 7 * 1024**6),
    ],
)
def test_sizes_that_are_understood(text: object, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    ("number", "parts"),
    [(1342, (22, 22)), ("133342", (2222, 22)), (59, ()), (0, ()), ("01342", ()), ("22:22", ()), (True, ())],
)
def test_what_yaml_reads_as_a_number_to_the_base_of_60(number: object, parts: tuple[int, ...]) -> None:
    assert unquoted(number, 2) == parts
    if parts:
        assert yaml.safe_load("{}:{}".format(*parts)) == int(str(number))


@pytest.mark.parametrize("text", ["52:54:00:12:34:56", "10:00:00:00:00:01"])
def test_a_mac_address_without_quotes(text: str) -> None:
    assert ":".join(map("{:02d}".format, unquoted(yaml.safe_load(text), 6))) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "-1",
        "-1MiB",
        "1.5",
        "1.5b",
        "0.3KiB",
        "MiB",
        "1 MiB x",
        "1,5GiB",
        "1MBit",
        "1Mb/s",
        "0x10",
        "1e3",
        "8EiB",
        "٣",
        True,
        1.5,
        None,
        [],
    ],
)
def test_sizes_that_are_refused(text: object) -> None:
    with pytest.raises(InvalidOption) as caught:
        parse_size(text, "memory")
    assert caught.value.option == "memory"
    assert ("memory is not" if text is None else repr(text)) in str(caught.value)
    assert "512MiB" in str(caught.value), "the remedy shows how to write it"


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0B"),
        (1, "1B"),
        (1000, "1000B"),
        (KIB, "1KiB"),
        (1536, "1536B"),
        (512 * MIB, "512MiB"),
        (GIB, "1GiB"),
        (1536 * MIB, "1536MiB"),
    ],
)
def test_sizes_are_written_short_and_exact(size: int, text: str) -> None:
    assert format_size(size) == text


@given(st.integers(0, 2**63 - 1))
def test_a_size_that_is_written_is_read_back(size: int) -> None:
    assert parse_size(format_size(size)) == size


@given(st.integers(0, 2**20), st.sampled_from(["", "B", "k", "KiB", "kB", "M", "MiB", "MB", "G", "GiB", "GB"]))
def test_writing_a_size_anew_does_not_change_it(number: int, unit: str) -> None:
    size = parse_size(f"{number}{unit}")
    assert parse_size(format_size(size)) == size


@pytest.mark.parametrize(
    ("text", "cpus"),
    [(2, "2"), ("2", "2"), (0.5, "0.5"), ("0.50", "0.5"), (0, "0"), ("1.250", "1.25"), (0.000000001, "0.000000001")],
)
def test_processors_that_are_understood(text: object, cpus: str) -> None:
    assert parse_cpus(text) == Decimal(cpus)


@pytest.mark.parametrize("text", ["", "two", "-1", "nan", "inf", "0.0000000001", 1 << 21, True, None])
def test_processors_that_are_refused(text: object) -> None:
    with pytest.raises(InvalidOption, match="cpus"):
        parse_cpus(text)


@given(st.integers(0, 4096 * 10**9))
def test_processors_that_are_written_are_read_back(billionths: int) -> None:
    cpus = (Decimal(billionths) / 10**9).normalize()
    assert parse_cpus(format_cpus(cpus)) == cpus


@pytest.mark.parametrize(("cpus", "number"), [("2", 2), ("2.0", 2), ("0.5", 0.5)])
def test_processors_are_written_as_plain_numbers(cpus: str, number: float) -> None:
    assert format_cpus(Decimal(cpus)) == number
    assert type(format_cpus(Decimal(cpus))) is type(number)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (30, "30"),
        ("30", "30"),
        ("1.5", "1.5"),
        ("30s", "30"),
        ("1m30s", "90"),
        ("1m 30s", "90"),
        ("2h", "7200"),
        ("1d", "86400"),
        ("500ms", "0.5"),
        ("250us", "0.00025"),
        ("1h2m3s4ms", "3723.004"),
        ("0", "0"),
    ],
)
def test_durations_that_are_understood(text: object, seconds: str) -> None:
    assert parse_duration(text) == Decimal(seconds)


@pytest.mark.parametrize("text", ["", "s", "1x", "-1s", "30s30", "1 minute", "1:30", True, None, "1m30"])
def test_durations_that_are_refused(text: object) -> None:
    with pytest.raises(InvalidOption, match="interval"):
        parse_duration(text, "interval")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        ("0", "0s"),
        ("30", "30s"),
        ("90", "1m30s"),
        ("3600", "1h"),
        ("0.5", "500ms"),
        ("1.25", "1250ms"),
        ("0.00025", "250us"),
        ("90000", "25h"),
    ],
)
def test_durations_are_written_short(seconds: str, text: str) -> None:
    assert format_duration(Decimal(seconds)) == text


@given(st.integers(0, 10**18))
def test_a_duration_that_is_written_is_read_back(nanoseconds: int) -> None:
    seconds = Decimal(nanoseconds) / 10**9
    assert parse_duration(format_duration(seconds)) == seconds


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("", ()),
        ("0", (0,)),
        (3, (3,)),
        ("0-2,4", (0, 1, 2, 4)),
        ("4, 0-2", (0, 1, 2, 4)),
        ("1,1,0-1", (0, 1)),
        ("0,", (0,)),
        ("7-7", (7,)),
    ],
)
def test_cpusets_that_are_understood(text: object, numbers: tuple[int, ...]) -> None:
    assert parse_cpuset(text) == numbers


@pytest.mark.parametrize("text", ["a", "2-1", "-1", "0-", "0..2", "1.5", "0-100000"])
def test_cpusets_that_are_refused(text: str) -> None:
    with pytest.raises(InvalidOption, match="0-2,4"):
        parse_cpuset(text)


@given(st.frozensets(st.integers(0, 512)))
def test_a_cpuset_that_is_written_is_read_back(numbers: frozenset[int]) -> None:
    assert parse_cpuset(format_cpuset(tuple(sorted(numbers)))) == tuple(sorted(numbers))
