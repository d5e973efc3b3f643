# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Limits in both versions of the control groups: what is written for each is read back as it was wanted."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from ansible_collections.kraal.virt.plugins.module_utils.backends.lxc.container.config import Config
from ansible_collections.kraal.virt.plugins.module_utils.backends.lxc.container.limits import (
    LIMITS,
    Groups,
    check_memory,
)
from ansible_collections.kraal.virt.plugins.module_utils.backends.lxc.container.model import Container
from ansible_collections.kraal.virt.plugins.module_utils.backends.lxc.container.options import CONTAINERS
from ansible_collections.kraal.virt.plugins.module_utils.backends.lxc.container.target import (
    config_after,
    differences,
    limit_files,
    note_after,
)
from ansible_collections.kraal.virt.plugins.module_utils.engine.errors import InvalidOption
from ansible_collections.kraal.virt.plugins.module_utils.engine.spec import Spec

GROUPS = {1: Groups(1, "blkio.bfq.weight", processors=(0, 1, 2, 3)), 2: Groups(2, "io.weight", processors=(0, 1, 2, 3))}

#: Option, value, and the lines of each version.
WRITTEN: tuple[tuple[str, Any, dict[str, tuple[str, ...]], dict[str, tuple[str, ...]]], ...] = (
    ("cpus", 1.5, {"cpu.cfs_period_us": ("100000",), "cpu.cfs_quota_us": ("150000",)}, {"cpu.max": ("150000 100000",)}),
    ("cpus", 0, {"cpu.cfs_period_us": (), "cpu.cfs_quota_us": ()}, {"cpu.max": ()}),
    ("cpu_shares", 1024, {"cpu.shares": ("1024",)}, {"cpu.weight": ("100",)}),
    ("cpu_shares", 512, {"cpu.shares": ("512",)}, {"cpu.weight": ("59",)}),
    ("cpuset_cpus", "0-1,3", {"cpuset.cpus": ("0-1,3",)}, {"cpuset.cpus": ("0-1,3",)}),
    ("cpuset_cpus", "", {"cpuset.cpus": ()}, {"cpuset.cpus": ()}),
    ("memory", "64MiB", {"memory.limit_in_bytes": ("67108864",)}, {"memory.max": ("67108864",)}),
    ("memory", 0, {"memory.limit_in_bytes": ()}, {"memory.max": ()}),
    ("memory_swap", "128MiB", {"memory.memsw.limit_in_bytes": ("134217728",)}, {"memory.swap.max": ("67108864",)}),
    ("memory_swap", "unlimited", {"memory.memsw.limit_in_bytes": ()}, {"memory.swap.max": ()}),
    ("pids_limit", 20, {"pids.max": ("20",)}, {"pids.max": ("20",)}),
    ("pids_limit", 0, {"pids.max": ()}, {"pids.max": ()}),
    ("blkio_weight", 500, {"blkio.bfq.weight": ("500",)}, {"io.weight": ("4950",)}),
    (
        "io_limits",
        [{"device": "8:0", "read_bps": "1MiB", "write_iops": 5}],
        {
            "blkio.throttle.read_bps_device": ("8:0 1048576",),
            "blkio.throttle.write_bps_device": (),
            "blkio.throttle.read_iops_device": (),
            "blkio.throttle.write_iops_device": ("8:0 5",),
        },
        {"io.max": ("8:0 rbps=1048576 wiops=5",)},
    ),
)


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("row", WRITTEN, ids=lambda row: f"{row[0]}-{row[1]}")
def test_what_is_written(row: tuple[str, Any, Any, Any], version: int) -> None:
    name, groups = row[0], GROUPS[version]
    value = LIMITS[name].kind.parse(row[1], name)
    written = LIMITS[name].encode(groups, value, {"memory": 64 << 20})
    assert written == row[1 + version]
    assert LIMITS[name].decode(groups, written, value, {"memory": 64 << 20}) == value


#: A container without any limit of its own, as each version's kernel shows it.
FREE = {
    1: {
        "cpu.cfs_quota_us": "-1",
        "cpu.cfs_period_us": "100000",
        "cpu.shares": "1024",
        "cpuset.cpus": "0-3",
        "memory.limit_in_bytes": "9223372036854771712",
        "memory.memsw.limit_in_bytes": "9223372036854771712",
        "pids.max": "max",
        "blkio.bfq.weight": "100",
    },
    2: {
        "cpu.max": "max 100000",
        "cpu.weight": "100",
        "cpuset.cpus": "",
        "memory.max": "max",
        "memory.swap.max": "max",
        "pids.max": "max",
        "io.weight": "default 100\n8:0 50",
        "io.max": "",
    },
}


@pytest.mark.parametrize("version", [1, 2])
def test_a_group_without_limits(version: int) -> None:
    raw = {file: (text,) for file, text in FREE[version].items()}
    have = Container("c", "/lxc", Config(""), state="running", groups=GROUPS[version], live=raw)
    free = {"cpus": Decimal(0), "cpuset_cpus": (), "memory": 0, "memory_swap": -1, "pids_limit": -1, "io_limits": {}}
    assert {name: have.limit(name) for name in free} == free
    want = Spec("c", "running", free)
    assert differences(want, have) == []


@pytest.mark.parametrize("version", [1, 2])
def test_a_limit_has_to_be_written_and_in_effect(version: int) -> None:
    live = {file: (text,) for file, text in FREE[version].items()}
    have = Container("c", "/lxc", Config("# mine\n"), state="running", groups=GROUPS[version], live=live)
    want = Spec(
        "c",
        "running",
        {
            name: CONTAINERS[name].kind.parse(value, name)
            for name, value in (("memory", "64MiB"), ("cpus", 0.5), ("pids_limit", 9))
        },
    )
    found = differences(want, have)
    texts = limit_files(found, have)
    config = config_after(found, have)
    written = Container("c", "/lxc", config, state="running", groups=GROUPS[version], live=live)
    assert [each.option.name for each in differences(want, written)] == ["cpus", "memory", "pids_limit"]
    effective = Container("c", "/lxc", have.config, state="running", groups=GROUPS[version], live={**live, **texts})
    assert [each.option.name for each in differences(want, effective)] == ["cpus", "memory", "pids_limit"]
    both = Container("c", "/lxc", config, state="running", groups=GROUPS[version], live={**live, **texts})
    assert differences(want, both) == [] and config.text.startswith("# mine\n")


@pytest.mark.parametrize(
    ("version", "text", "wanted"),
    [
        (1, "8:0 1048576\n8:16 5", ("8:0 2097152", "8:16 0")),
        (2, "8:0 rbps=1048576 wiops=7\n8:16 rbps=5", ("8:0 rbps=2097152 wiops=7", "8:16 rbps=max")),
    ],
)
def test_a_device_is_let_go(version: int, text: str, wanted: tuple[str, ...]) -> None:
    file = "blkio.throttle.read_bps_device" if version == 1 else "io.max"
    have = Container("c", "/lxc", Config(""), state="running", groups=GROUPS[version], live={file: (text,)})
    limit = CONTAINERS["io_limits"].kind.parse([{"device": "8:0", "read_bps": "2MiB"}], "io_limits")
    want = Spec("c", "running", {"io_limits": limit}, frozenset({"io_limits"}))
    assert limit_files(differences(want, have), have)[file] == wanted


@pytest.mark.parametrize(
    ("values", "have"),
    [({"memory_swap": 1 << 20}, {}), ({"memory": 8 << 20}, {"memory": 1 << 20, "memory_swap": 4 << 20})],
)
def test_limits_that_contradict_each_other(values: dict[str, int], have: dict[str, int]) -> None:
    with pytest.raises(InvalidOption):
        check_memory(values, have)


BFQ = Groups(2, "io.bfq.weight")


@pytest.mark.parametrize("shares", [2, 3, 17, 512, 1023, 1024, 1025, 262143, 262144])
@pytest.mark.parametrize("groups", [GROUPS[1], GROUPS[2]], ids=["1", "2"])
def test_what_a_task_wrote_is_shown_back(groups: Groups, shares: int) -> None:
    """Many values have one number in version 2: the note beside the configuration has the one that was meant."""
    want = Spec("c", "stopped", {"cpu_shares": shares})
    blank = Container("c", "/lxc", Config(""), groups=groups)
    found = differences(want, blank)
    made = Container("c", "/lxc", config_after(found, blank), note_after(found, blank), groups=groups)
    assert made.limit("cpu_shares") == shares and differences(want, made) == []
    other = Spec("c", "stopped", {"cpu_shares": 700})
    assert [part.before for each in differences(other, made) for part in each.parts] == [shares]


def test_a_number_that_was_changed_by_hand_is_put_right() -> None:
    for noted, weight in ((512, "60"), (1024, "39")):
        have = Container(
            "c", "/lxc", Config(f"lxc.cgroup2.cpu.weight = {weight}\n"), {"cpu_shares": noted}, groups=GROUPS[2]
        )
        assert differences(Spec("c", "stopped", {"cpu_shares": noted}), have)


def test_the_number_of_an_earlier_version_will_do() -> None:
    """It kept no note. Another value is a change, and is noted."""
    old = Container("c", "/lxc", Config("lxc.cgroup2.cpu.weight = 39\n"), groups=GROUPS[2])
    assert differences(Spec("c", "stopped", {"cpu_shares": 1024}), old) == []
    found = differences(Spec("c", "stopped", {"cpu_shares": 512}), old)
    assert config_after(found, old).text == "lxc.cgroup2.cpu.weight = 59\n"
    assert note_after(found, old) == {"cpu_shares": 512}


def test_each_weight_has_shares() -> None:
    scale = LIMITS["cpu_shares"].scale  # type: ignore[attr-defined]
    assert [weight for weight in range(1, 10001) if scale.weight(scale.value(weight)) != weight] == []


def test_a_group_that_was_given_no_weight_has_none() -> None:
    live = {"io.weight": ("default 100",), "cpu.weight": ("100",)}
    have = Container("c", "/lxc", Config(""), state="running", groups=GROUPS[2], live=live)
    assert (have.limit("blkio_weight"), have.limit("cpu_shares")) == (None, 1024)


def test_bfq_takes_the_number_of_version_1() -> None:
    assert LIMITS["blkio_weight"].encode(BFQ, 500, {}) == {"io.bfq.weight": ("500",)}
    assert LIMITS["blkio_weight"].decode(BFQ, {"io.bfq.weight": ("default 300",)}) == 300
