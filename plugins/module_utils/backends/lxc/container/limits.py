# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The limits that change while a container runs: what stands for each in its control group, version 1 and 2. Pure.

A group is read and written as texts by file name, and so is the configuration, whose lxc.cgroup.FILE and
lxc.cgroup2.FILE lines are what liblxc writes there at the start.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from ....engine.errors import InvalidOption
from ....engine.kinds import Cpus, Cpuset, Integer, Kind, Records, Size
from ....engine.units import format_cpuset, format_size, parse_cpuset, parse_size
from .scale import Scale, ShareScale

PERIOD = 100000
PAGE = 4096
UNLIMITED = -1
#: What version 1 shows where there is no limit.
ENDLESS = 2**62

#: What the weight for block devices may be called, by version.
WEIGHTS = {1: ("blkio.weight", "blkio.bfq.weight"), 2: ("io.weight", "io.bfq.weight")}

Raw = Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class Groups:
    """What control groups this host has: their version, and what a limit's file is called where that depends on the
    kernel.
    """

    version: int = 2
    #: The file that blkio_weight goes to; empty where the kernel has none.
    weight: str = ""
    #: The controllers that are there.
    controllers: frozenset[str] = frozenset(("cpu", "cpuset", "memory", "pids", "io", "blkio"))
    #: All processors, which a container without a cpuset may use.
    processors: tuple[int, ...] = ()

    @property
    def prefix(self) -> str:
        """How a configuration key of such a file begins."""
        return "lxc.cgroup." if self.version == 1 else "lxc.cgroup2."


def number(text: str) -> int:
    """A number as the kernel reads it, with a binary unit; max is UNLIMITED."""
    word = text.strip()
    if word in ("max", "-1"):
        return UNLIMITED
    match = re.fullmatch(r"(\d+)([KkMmGgTt]?)", word, re.ASCII)
    if match is None:
        return 0
    return int(match[1]) << 10 * " kmgt".index(match[2].lower() or " ")


def last(raw: Raw, file: str) -> str:
    """What is in effect of a file that takes one value."""
    values = raw.get(file) or ("",)
    return values[-1].strip()


#: The fields of a device's limits, with their names in version 1 and 2.
IO_FIELDS = {
    "read_bps": ("blkio.throttle.read_bps_device", "rbps"),
    "write_bps": ("blkio.throttle.write_bps_device", "wbps"),
    "read_iops": ("blkio.throttle.read_iops_device", "riops"),
    "write_iops": ("blkio.throttle.write_iops_device", "wiops"),
}


# The kinds of value ------------------------------------------------------------------------------------------------


class CpuShare(Cpus):
    """Processors; the kernel counts in hundred-thousandths, and gives no less than a hundredth. 0 is no limit."""

    def parse(self, value: Any, option: str) -> Decimal:
        cpus = super().parse(value, option)
        if cpus and (cpus < Decimal("0.01") or cpus != cpus.quantize(Decimal("0.00001"))):
            remedy = "Write 0.01 or more, with five decimals at most; 0 is no limit"
            raise InvalidOption(option, value, "is not a share that the kernel can give", remedy=remedy)
        return cpus


class PageSize(Size):
    """Bytes, in whole pages as the kernel counts them. 0 is no limit."""

    def parse(self, value: Any, option: str) -> int:
        size = super().parse(value, option)
        return size if size < 0 else size // PAGE * PAGE


class Count(Integer):
    """A number whose 0 and -1 both mean that there is no limit."""

    def parse(self, value: Any, option: str) -> int:
        return super().parse(value, option) or UNLIMITED


IO_REMEDY = (
    "Write a mapping with device (a path like /dev/sda, or MAJOR:MINOR) and read_bps, write_bps, read_iops, write_iops"
)


def _read_io(entry: Any, option: str) -> Iterable[tuple[str, Any]]:
    if (
        not isinstance(entry, Mapping)
        or set(entry) - {"device", *IO_FIELDS}
        or not re.fullmatch(r"\d+:\d+", str(entry.get("device") or ""), re.ASCII)
    ):
        raise InvalidOption(option, entry, "is not a limit of a block device", remedy=IO_REMEDY)
    record = {}
    for field in IO_FIELDS:
        if entry.get(field) is not None:
            where = "{}[{}].{}".format(option, entry["device"], field)
            record[field] = (
                parse_size(entry[field], where) if field.endswith("bps") else Integer().parse(entry[field], where)
            )
    yield str(entry["device"]), record


def _write_io(key: str, record: Mapping[str, int]) -> dict[str, Any]:
    return {
        "device": key,
        **{field: format_size(amount) if field.endswith("bps") else amount for field, amount in record.items()},
    }


# What stands for them -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Limit:
    """One limit, as its option says on its line: the kind of its value, and what stands for it.

    The base class is one number in one file.
    """

    kind: Kind
    controller: tuple[str, str]
    file: tuple[str, str]
    #: The canonical value that stands for no limit, and what is written for it into a group that exists.
    none: Any = 0
    free: tuple[str, str] = ("-1", "max")

    def files(self, groups: Groups) -> tuple[str, ...]:
        """The files that this limit is in."""
        name = self.file[groups.version - 1]
        return (name,) if name else ()

    def known(self, groups: Groups) -> bool:
        """Whether this host has it."""
        return self.controller[groups.version - 1] in groups.controllers and bool(self.files(groups))

    def encode(self, groups: Groups, value: Any, _values: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
        """The lines for the configuration, by file; none where there is no limit.

        ``_values``: the other limits, by option.
        """
        return {file: () if value == self.none else (str(value),) for file in self.files(groups)}

    def reset(self, groups: Groups, file: str) -> tuple[str, ...]:
        """What to write into the file of a group that exists where the limit is taken away."""
        return (self.free[groups.version - 1],)

    def live(self, groups: Groups, value: Any, values: Mapping[str, Any], _raw: Raw) -> dict[str, tuple[str, ...]]:
        """What is written into a group that exists, in which these texts are."""
        return {file: lines or self.reset(groups, file) for file, lines in self.encode(groups, value, values).items()}

    def decode(self, groups: Groups, raw: Raw, _want: Any = None, _values: Mapping[str, Any] | None = None) -> Any:
        """The canonical value that these texts stand for."""
        text = last(raw, self.file[groups.version - 1])
        found = number(text) if text else UNLIMITED
        return self.none if found == UNLIMITED or found >= ENDLESS else found


@dataclass(frozen=True)
class CpuLimit(Limit):
    """A number of processors, as a share of time."""

    def files(self, groups: Groups) -> tuple[str, ...]:
        return ("cpu.cfs_period_us", "cpu.cfs_quota_us") if groups.version == 1 else ("cpu.max",)

    def encode(self, groups: Groups, value: Decimal, _values: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
        if not value:
            return dict.fromkeys(self.files(groups), ())
        quota, period = str(int(value * PERIOD)), str(PERIOD)
        if groups.version == 1:
            return {"cpu.cfs_period_us": (period,), "cpu.cfs_quota_us": (quota,)}
        return {"cpu.max": (f"{quota} {period}",)}

    def reset(self, groups: Groups, file: str) -> tuple[str, ...]:
        return {"cpu.cfs_period_us": (str(PERIOD),), "cpu.cfs_quota_us": ("-1",)}.get(file, ("max %d" % PERIOD,))

    def decode(self, groups: Groups, raw: Raw, _want: Any = None, _values: Mapping[str, Any] | None = None) -> Decimal:
        words = (
            [last(raw, "cpu.cfs_quota_us"), last(raw, "cpu.cfs_period_us")]
            if groups.version == 1
            else last(raw, "cpu.max").split()
        )
        quota, period = ([*words, "", ""])[:2]
        if not quota or number(quota) == UNLIMITED:
            return Decimal(0)
        return (
            (Decimal(number(quota)) / (number(period) if period else PERIOD)).quantize(Decimal("0.00001")).normalize()
        )


@dataclass(frozen=True)
class CpusetLimit(Limit):
    """Which processors."""

    def encode(self, groups: Groups, value: tuple[int, ...], _values: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
        return {self.file[0]: (format_cpuset(value),) if value else ()}

    def reset(self, groups: Groups, file: str) -> tuple[str, ...]:
        return (format_cpuset(groups.processors),) if groups.version == 1 else ("",)

    def decode(
        self, groups: Groups, raw: Raw, want: Any = None, _values: Mapping[str, Any] | None = None
    ) -> tuple[int, ...]:
        try:
            found = parse_cpuset(last(raw, self.file[0]))
        except InvalidOption:
            return ()
        # A group without a limit of its own shows all there are.
        return () if found == groups.processors and not want else found


@dataclass(frozen=True)
class WeightLimit(Limit):
    """A weight, which version 2 counts on another scale."""

    scale: Scale = Scale(10, 1000)
    default: int | None = None
    #: What a group of version 2 has from the start, where no value stands for that.
    unset: int | None = None
    #: How earlier versions of this collection weighed it.
    former: Scale | None = None

    def files(self, groups: Groups) -> tuple[str, ...]:
        if self.file[0]:
            return (self.file[groups.version - 1],)
        return (groups.weight,) if groups.weight else ()

    def _same(self, groups: Groups) -> bool:
        """Whether the number is the value: the scheduler BFQ takes that of version 1 in version 2, too."""
        return groups.version == 1 or self.files(groups) == ("io.bfq.weight",)

    def _number(self, groups: Groups, value: int) -> int:
        return value if self._same(groups) else self.scale.weight(value)

    def encode(self, groups: Groups, value: int, _values: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
        return {file: (str(self._number(groups, value)),) for file in self.files(groups)}

    def _found(self, groups: Groups, raw: Raw) -> int | None:
        texts = [(raw.get(file) or ("",))[0] for file in self.files(groups)]
        # The files for block devices begin with "default".
        words = texts[0].split("\n")[0].split() if texts else []
        return number(words[-1]) if words else None

    def decode(
        self, groups: Groups, raw: Raw, want: Any = None, _values: Mapping[str, Any] | None = None
    ) -> int | None:
        found = self._found(groups, raw)
        if found is None:
            return self.default if groups.version == 1 and self.files(groups) else None
        if want is not None and self._number(groups, want) == found:
            return int(want)
        if self._same(groups):
            return found
        return None if found == self.unset else self.scale.value(found)

    def kept(self, groups: Groups, raw: Raw, noted: int, want: int | None) -> int | None:
        """Which of the many values that have the number there is meant: the one that a task has noted, if it still is
        there.

        Where none is noted (0), an earlier version has made the container, and its number for the wanted value will do.
        None: nothing tells.
        """
        found = self._found(groups, raw)
        if noted:
            return (
                noted if self.scale.least <= noted <= self.scale.most and self._number(groups, noted) == found else None
            )
        old = self.former is not None and want is not None and not self._same(groups) and self.former.weight(want)
        return want if old and old == found else None


@dataclass(frozen=True)
class SwapLimit(Limit):
    """Memory and swap together, which version 2 counts apart."""

    def encode(self, groups: Groups, value: int, values: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
        (file,) = self.files(groups)
        if value == UNLIMITED:
            return {file: ()}
        return {file: (str(value if groups.version == 1 else value - (values.get("memory") or 0)),)}

    def decode(self, groups: Groups, raw: Raw, want: Any = None, values: Mapping[str, Any] | None = None) -> int:
        found = int(super().decode(groups, raw))
        return found if groups.version == 1 or found == UNLIMITED else found + ((values or {}).get("memory") or 0)


@dataclass(frozen=True)
class IoLimit(Limit):
    """How fast a block device may be read and written; by MAJOR:MINOR."""

    def files(self, groups: Groups) -> tuple[str, ...]:
        return tuple(v1 for v1, _v2 in IO_FIELDS.values()) if groups.version == 1 else ("io.max",)

    def encode(
        self, groups: Groups, value: Mapping[str, Mapping[str, int]], _values: Mapping[str, Any]
    ) -> dict[str, tuple[str, ...]]:
        limited = {
            device: {field: amount for field, amount in record.items() if amount}
            for device, record in sorted(value.items())
        }
        if groups.version == 1:
            return {
                file: tuple("%s %d" % (device, record[field]) for device, record in limited.items() if field in record)
                for field, (file, _v2) in IO_FIELDS.items()
            }
        words = {
            device: ["%s=%d" % (IO_FIELDS[field][1], amount) for field, amount in record.items()]
            for device, record in limited.items()
            if record
        }
        return {"io.max": tuple(" ".join((device, *each)) for device, each in words.items())}

    def reset(self, groups: Groups, file: str) -> tuple[str, ...]:
        return ()

    def live(self, groups: Groups, value: Any, values: Mapping[str, Any], raw: Raw) -> dict[str, tuple[str, ...]]:
        """A device's limit goes away when it is set to none: its line alone says nothing of before."""
        texts = super().live(groups, value, values, raw)
        for file in self.files(groups):
            for line in (line for text in raw.get(file, ()) for line in text.split("\n") if line.strip()):
                texts[file] = (*texts.get(file, ()), *_freed(groups, line, texts.get(file, ())))
        return texts

    def decode(
        self, groups: Groups, raw: Raw, want: Any = None, _values: Mapping[str, Any] | None = None
    ) -> dict[str, dict[str, int]]:
        found: dict[str, dict[str, int]] = {}
        for file in self.files(groups):
            for line in (line for text in raw.get(file) or () for line in text.split("\n") if line.strip()):
                device, *words = line.split()
                pairs = (
                    [("", words[0])]
                    if groups.version == 1 and words
                    else [tuple(word.partition("=")[::2]) for word in words]
                )
                for name, amount in pairs:
                    field = next(
                        (key for key, names in IO_FIELDS.items() if names == (file, names[1]) or names[1] == name), ""
                    )
                    if field and number(amount) > 0:
                        found.setdefault(device, {})[field] = number(amount)
        for device, record in (want or {}).items():
            # A limit of 0 is none: the one that is wanted to be none is there when no other is.
            for field in (field for field, amount in record.items() if not amount):
                found.setdefault(device, {}).setdefault(field, 0)
        return found


def _freed(groups: Groups, line: str, written: Sequence[str]) -> list[str]:
    """What takes away of a line in effect what these lines do not set."""
    device, *words = line.split()
    named = [each for each in written if each.split()[0] == device]
    if groups.version == 1:
        return [] if named else [f"{device} 0"]
    given = {word.partition("=")[0] for each in named for word in each.split()[1:]}
    free = ["{}=max".format(word.partition("=")[0]) for word in words if word.partition("=")[0] not in given]
    return ["{} {}".format(device, " ".join(free))] if free else []


LIMITS: dict[str, Limit] = {
    "cpus": CpuLimit(CpuShare(), ("cpu", "cpu"), ("", "")),
    "cpu_shares": WeightLimit(
        Integer(2, 262144),
        ("cpu", "cpu"),
        ("cpu.shares", "cpu.weight"),
        scale=ShareScale(2, 262144),
        default=1024,
        former=Scale(2, 262144),
    ),
    "cpuset_cpus": CpusetLimit(Cpuset(), ("cpuset", "cpuset"), ("cpuset.cpus", "cpuset.cpus")),
    "memory": Limit(
        PageSize(least=1024**2, bare=16 * 1024**2), ("memory", "memory"), ("memory.limit_in_bytes", "memory.max")
    ),
    "memory_swap": SwapLimit(
        PageSize(unlimited=UNLIMITED, least=1024**2, bare=16 * 1024**2),
        ("memory", "memory"),
        ("memory.memsw.limit_in_bytes", "memory.swap.max"),
        none=UNLIMITED,
    ),
    "pids_limit": Limit(Count(-1), ("pids", "pids"), ("pids.max", "pids.max"), none=UNLIMITED, free=("max", "max")),
    "blkio_weight": WeightLimit(Integer(10, 1000), ("blkio", "io"), ("", ""), unset=100),
    "io_limits": IoLimit(Records(_read_io, _write_io), ("blkio", "io"), ("", "")),
}


def check_memory(values: Mapping[str, Any], have: Mapping[str, Any]) -> None:
    """Refuse limits that contradict each other; ``have``: those of a container that is there."""
    memory, total = (
        values.get("memory", have.get("memory") or 0),
        values.get("memory_swap", have.get("memory_swap", UNLIMITED)),
    )
    if total == UNLIMITED or ("memory" not in values and "memory_swap" not in values):
        return
    if not memory:
        raise InvalidOption(
            "memory_swap",
            format_size(total),
            "needs a limit of memory too",
            remedy="Set memory, or memory_swap=unlimited",
        )
    if total < memory:
        raise InvalidOption(
            "memory_swap",
            format_size(total),
            f"is less than memory, {format_size(memory)}, which it includes",
            remedy="Write as much as memory or more",
        )
