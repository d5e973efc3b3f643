# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rows of what limits a container: processors, memory, processes."""

from __future__ import annotations

from .row import MIB, Row, host

#: Whether the kernel has a limit of memory and swap, or of swap: a number of less digits than its largest one.
SWAP_IS_LIMITED = (
    "sh",
    "-c",
    "cd /sys/fs/cgroup; cat memory/memory.memsw.limit_in_bytes memory.swap.max 2>/dev/null | grep -cE '^[0-9]{1,15}$' || true",
)

LIMIT_ROWS = (
    Row("cpus", 0.5, 1.25, host("NanoCpus"), (5 * 10**8, 125 * 10**7), live=True, same=("1.250", "1.25")),
    Row("cpus", 0.5, 0, host("NanoCpus"), (5 * 10**8, 0), about="none", same=("0.0",)),
    Row("cpu_shares", 512, 1024, host("CpuShares"), (512, 1024), live=True, same=("1024",)),
    Row("cpuset_cpus", "0", "0-1", host("CpusetCpus"), ("0", "0-1"), live=True, same=("0,1", "1, 0")),
    Row("cpuset_mems", "0", "", host("CpusetMems"), ("0", "")),
    Row(
        "memory",
        "64MiB",
        "96M",
        host("Memory"),
        (64 * MIB, 96 * MIB),
        live=True,
        same=("96MiB", 100663296, "98304k", "96 MiB"),
    ),
    Row(
        "memory", "64MiB", "32MiB", host("Memory"), (64 * MIB, 32 * MIB), live=True, about="less", same=("0.03125GiB",)
    ),
    Row(
        "memory",
        "64MiB",
        "96MiB",
        host("Memory"),
        (64 * MIB, 96 * MIB),
        live=True,
        about="beside no limit of swap",
        extra={"memory_swap": "unlimited"},
        same=("96M",),
    ),
    Row("memory", "64MiB", 0, host("Memory"), (64 * MIB, 0), about="none", same=("0", "0B")),
    Row(
        "memory_reservation",
        "16MiB",
        "24MiB",
        host("MemoryReservation"),
        (16 * MIB, 24 * MIB),
        live=True,
        same=("24M",),
    ),
    Row(
        "memory_swap",
        "128MiB",
        "unlimited",
        host("MemorySwap"),
        (128 * MIB, -1),
        extra={"memory": "64MiB"},
        same=("-1", -1),
        inside=(SWAP_IS_LIMITED, "1", "0"),
    ),
    Row(
        "memory_swap",
        "128MiB",
        "256MiB",
        host("MemorySwap"),
        (128 * MIB, 256 * MIB),
        live=True,
        about="more",
        extra={"memory": "64MiB"},
        same=("256M",),
    ),
    Row("pids_limit", 50, 100, host("PidsLimit"), (50, 100), live=True),
    Row(
        "pids_limit",
        50,
        -1,
        lambda data: data["HostConfig"]["PidsLimit"] in (None, 0, -1),
        (False, True),
        about="none",
        live=True,
        same=(0,),
    ),
    Row(
        "blkio_weight",
        100,
        500,
        host("BlkioWeight"),
        (100, 500),
        live=True,
        kernel={"BlkioWeight": 100},
        alone="it is refused where the kernel does not know it",
    ),
)
