# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""For each option of lxc_container: two values, other ways to write the second, what liblxc and the kernel show, and
what the change costs.

<word> in a value stands for a name or number of the test's own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

MIB = 1024**2


@dataclass(frozen=True)
class Row:
    """One option's way from its first value to its second."""

    option: str
    first: Any
    second: Any
    #: The configuration keys that liblxc is asked for, and all that it answers after each value.
    keys: tuple[str, ...] = ()
    seen: tuple[list[str], list[str]] = ([], [])
    #: none: written down only; live: in the control group at once; restart: at the next start.
    cost: str = "none"
    #: The files of the control group, as version 1 has them, and what is in them after each value.
    files: tuple[str, ...] = ()
    group: tuple[list[str], list[str]] = ([], [])
    #: Other ways to write the second value.
    same: tuple[Any, ...] = ()
    #: What waits for a restart.
    pending: str = ""
    #: A command in the guest, and what it prints after each value, once the guest was restarted.
    inside: tuple[tuple[str, ...], str, str] | None = None
    #: Other options that the row needs.
    extra: Mapping[str, Any] = field(default_factory=dict)
    #: Tells rows of one option apart.
    about: str = ""
    #: What liblxc shows when the first value is then set with purge.
    purge: list[str] | None = None
    #: Why the row needs a guest of its own, and the options with which it shares none.
    alone: str = ""
    apart: Mapping[str, str] = field(default_factory=dict)

    @property
    def id(self) -> str:
        return f"{self.option}-{self.about}" if self.about else self.option


def cgroup(*names: str) -> tuple[str, ...]:
    return tuple(f"lxc.cgroup.{name}" for name in names)


NET = "lxc.net.0."
FUSE = "/sys/fs/fuse/connections sys/fs/fuse/connections none bind,optional 0 0"
COMMON_DROP = ["mac_admin", "mac_override", "sys_time", "sys_module", "sys_rawio"]
HOSTNAME = ("hostname",)
LINK = ("cat", "/sys/class/net/eth0/mtu")

ROWS = (
    Row(
        "hostname",
        "kt-one",
        "kt-two.example",
        ("lxc.uts.name",),
        (["kt-one"], ["kt-two.example"]),
        "restart",
        inside=(HOSTNAME, "kt-one", "kt-two.example"),
        pending="hostname",
    ),
    Row(
        "networks",
        [{"type": "empty"}],
        [
            {
                "link": "<bridge>",
                "mac_address": "02:00:00:AB:00:01",
                "ipv4_address": "<net>.20/24",
                "ipv4_gateway": "<net>.1",
            }
        ],
        (NET + "type", NET + "link", NET + "hwaddr", NET + "ipv4.address", NET + "ipv4.gateway", NET + "flags"),
        (["empty"], ["veth", "<bridge>", "02:00:00:ab:00:01", "<net>.20/24", "<net>.1", "up"]),
        "restart",
        pending="networks[eth0]",
        same=(
            [{"name": "eth0", "type": "veth", "mac_address": "02:00:00:ab:00:01"}],
            [{"ipv4_address": "<net>.20/24"}],
        ),
        inside=(
            ("sh", "-c", "ip -o -4 address show dev eth0 2>/dev/null | grep -o '<net>.20/24' || echo none"),
            "none",
            "<net>.20/24",
        ),
    ),
    Row(
        "networks",
        ["<bridge>"],
        [
            "<bridge>",
            {
                "link": "<bridge>",
                "name": "wan0",
                "mtu": 1400,
                "ipv6_address": "fd00:6b::5/64",
                "ipv6_gateway": "fd00:6b::1",
            },
        ],
        (NET + "link", "lxc.net.1.name", "lxc.net.1.mtu", "lxc.net.1.ipv6.address", "lxc.net.1.ipv6.gateway"),
        (["<bridge>"], ["<bridge>", "wan0", "1400", "fd00:6b::5/64", "fd00:6b::1"]),
        "restart",
        pending="networks[wan0]",
        about="second",
        inside=(("sh", "-c", "cat /sys/class/net/wan0/mtu 2>/dev/null || echo none"), "none", "1400"),
        purge=["<bridge>"],
    ),
    Row(
        "networks",
        [{"type": "macvlan", "link": "<bridge>", "mode": "private"}],
        [{"type": "macvlan", "link": "<bridge>", "mode": "bridge"}],
        (NET + "type", NET + "macvlan.mode"),
        (["macvlan", "private"], ["macvlan", "bridge"]),
        "restart",
        pending="networks[eth0]",
        about="macvlan",
    ),
    Row(
        "networks",
        [{"link": "<bridge>", "mtu": 1400}],
        [{"type": "none"}],
        (NET + "type", NET + "link", NET + "mtu", NET + "flags"),
        (["veth", "<bridge>", "1400", "up"], ["none"]),
        "restart",
        pending="networks[eth0]",
        about="none",
    ),
    Row(
        "mounts",
        ["<dir>:/data"],
        ["<dir>:/data:ro", {"type": "tmpfs", "target": "/mnt", "options": "size=64k", "optional": True}],
        ("lxc.mount.entry",),
        (
            [FUSE, "<dir> data none bind,create=dir 0 0"],
            [FUSE, "<dir> data none bind,create=dir,ro 0 0", "tmpfs mnt tmpfs create=dir,optional,size=64k 0 0"],
        ),
        "restart",
        pending="mounts",
        same=([{"source": "<dir>/", "target": "/data/", "read_only": True}],),
        inside=(("sh", "-c", "grep -c ' /mnt tmpfs' /proc/mounts; true"), "0", "1"),
        purge=[FUSE, "<dir> data none bind,create=dir 0 0"],
    ),
    Row(
        "mounts",
        ["<dir>:/a b"],
        ["<dir>:/a b", {"source": "<dir>", "target": "/ta\\b#c'd\"e", "read_only": True}],
        ("lxc.mount.entry",),
        (
            [FUSE, "<dir> a\\040b none bind,create=dir 0 0"],
            [FUSE, "<dir> a\\040b none bind,create=dir 0 0", "<dir> ta\\134b#c'd\"e none bind,create=dir,ro 0 0"],
        ),
        "restart",
        pending="mounts",
        about="escaped",
        inside=(("sh", "-c", "grep -c ' /ta' /proc/mounts; true"), "0", "1"),
    ),
    Row(
        "cap_drop",
        ["sys_time"],
        ["CAP_SYS_NICE", "audit_control"],
        ("lxc.cap.drop",),
        (COMMON_DROP, [*COMMON_DROP, "audit_control", "sys_nice"]),
        "restart",
        pending="cap_drop",
        same=(["sys_nice"], ["sys_time", "AUDIT_CONTROL"]),
        purge=["sys_time"],
    ),
    Row(
        "cap_keep",
        ["chown", "kill"],
        ["CAP_SETUID"],
        ("lxc.cap.keep",),
        (["chown", "kill"], ["chown", "kill", "setuid"]),
        "restart",
        extra={"state": "present", "cap_drop": [], "purge": ["cap_drop"]},
    ),
    Row(
        "config",
        {"lxc.cap.drop": ["mknod", "sys_time"]},
        {"lxc.cap.drop": ["sys_time", "sys_nice", "sys_time", "mknod"]},
        ("lxc.cap.drop",),
        (["mknod", "sys_time"], ["sys_time", "sys_nice", "mknod"]),
        "restart",
        pending="cap_drop",
        about="list",
        apart={"cap_drop": "it is the same key of liblxc"},
    ),
    Row(
        "config",
        {"lxc.environment": ["A=1", "B=x y # z"], "lxc.tty.max": 2},
        {"lxc.environment": ["B=2"], "lxc.tty.max": None},
        ("lxc.environment", "lxc.tty.max"),
        (["A=1", "B=x y # z", "2"], ["B=2", "0"]),
        "restart",
        pending="config[lxc.environment]",
        same=({"lxc.environment": "B=2"}, {"lxc.tty.max": []}),
    ),
    Row(
        "config",
        {"lxc.cgroup.devices.allow": ["c 1:3 rwm"]},
        {"lxc.cgroup.devices.allow": ["c 1:5 rwm", "c 1:3 rwm"]},
        ("lxc.cgroup.devices.allow",),
        (["c 1:3 rwm"], ["c 1:5 rwm", "c 1:3 rwm"]),
        "restart",
        pending="config[lxc.cgroup.devices.allow]",
        about="devices",
    ),
    Row(
        "config",
        {"lxc.signal.halt": "SIGPWR", "lxc.hook.pre-start": "/bin/true"},
        {"lxc.hook.pre-start": ["/bin/true 'a b'", "/bin/true"]},
        ("lxc.hook.pre-start",),
        (["/bin/true"], ["/bin/true 'a b'", "/bin/true"]),
        "restart",
        pending="config[lxc.hook.pre-start]",
        about="hooks",
    ),
    Row(
        "cpus",
        1.5,
        0.25,
        cgroup("cpu.cfs_quota_us", "cpu.cfs_period_us"),
        (["150000", "100000"], ["25000", "100000"]),
        "live",
        ("cpu.cfs_quota_us",),
        (["150000"], ["25000"]),
        same=("0.25", "0.250"),
    ),
    Row(
        "cpus",
        1,
        0,
        cgroup("cpu.cfs_quota_us"),
        (["100000"], []),
        "live",
        ("cpu.cfs_quota_us",),
        (["100000"], ["-1"]),
        about="none",
    ),
    Row(
        "cpu_shares", 512, 2048, cgroup("cpu.shares"), (["512"], ["2048"]), "live", ("cpu.shares",), (["512"], ["2048"])
    ),
    Row(
        "cpuset_cpus",
        "0",
        "0-1",
        cgroup("cpuset.cpus"),
        (["0"], ["0-1"]),
        "live",
        ("cpuset.cpus",),
        (["0"], ["0-1"]),
        same=("0,1", "1,0"),
    ),
    Row("cpuset_cpus", "1", "", cgroup("cpuset.cpus"), (["1"], []), "live", about="all"),
    Row(
        "memory",
        "64MiB",
        "100000000B",
        cgroup("memory.limit_in_bytes"),
        ([str(64 * MIB)], ["99999744"]),
        "live",
        ("memory.limit_in_bytes",),
        ([str(64 * MIB)], ["99999744"]),
        same=("100MB", "99999744"),
    ),
    Row("memory", "64MiB", 0, cgroup("memory.limit_in_bytes"), ([str(64 * MIB)], []), "live", about="none"),
    Row(
        "memory_swap",
        "128MiB",
        "64MiB",
        cgroup("memory.limit_in_bytes", "memory.memsw.limit_in_bytes"),
        ([str(64 * MIB), str(128 * MIB)], [str(64 * MIB)] * 2),
        "live",
        ("memory.memsw.limit_in_bytes",),
        ([str(128 * MIB)], [str(64 * MIB)]),
        extra={"memory": "64MiB"},
    ),
    Row(
        "memory_swap",
        "128MiB",
        "unlimited",
        cgroup("memory.memsw.limit_in_bytes"),
        ([str(128 * MIB)], []),
        "live",
        extra={"memory": "64MiB"},
        about="none",
        same=("-1",),
    ),
    Row("pids_limit", 50, 20, cgroup("pids.max"), (["50"], ["20"]), "live", ("pids.max",), (["50"], ["20"])),
    Row(
        "pids_limit",
        50,
        -1,
        cgroup("pids.max"),
        (["50"], []),
        "live",
        ("pids.max",),
        (["50"], ["max"]),
        about="none",
        same=(0,),
    ),
    Row("blkio_weight", 200, 500, cgroup("<weight>"), (["200"], ["500"]), "live", ("<weight>",), (["200"], ["500"])),
    Row(
        "io_limits",
        [{"device": "<disk>", "read_bps": "1MiB"}],
        [{"device": "<number>", "read_bps": "2MiB", "write_iops": 100}],
        cgroup("blkio.throttle.read_bps_device", "blkio.throttle.write_iops_device"),
        ([f"<number> {MIB}"], [f"<number> {2 * MIB}", "<number> 100"]),
        "live",
        ("blkio.throttle.read_bps_device", "blkio.throttle.write_iops_device"),
        ([f"<number> {MIB}", ""], [f"<number> {2 * MIB}", "<number> 100"]),
        same=([{"device": "<disk>", "read_bps": 2 * MIB}],),
    ),
    Row(
        "io_limits",
        [],
        [{"device": "<disk>", "write_bps": "4MiB"}],
        cgroup("blkio.throttle.write_bps_device"),
        ([], [f"<number> {4 * MIB}"]),
        "live",
        ("blkio.throttle.write_bps_device",),
        ([""], [f"<number> {4 * MIB}"]),
        about="purge",
        purge=[],
    ),
    Row("autostart", True, False, ("lxc.start.auto",), (["1"], ["0"]), same=("no",)),
    Row("autostart_order", 5, 9, ("lxc.start.order",), (["5"], ["9"])),
    Row("autostart_delay", 5, 0, ("lxc.start.delay",), (["5"], ["0"])),
    Row(
        "autostart_groups",
        ["onboot", "a"],
        ["b"],
        ("lxc.group",),
        (["a", "onboot"], ["a", "onboot", "b"]),
        same=(["b", "a"],),
        purge=["a", "onboot"],
    ),
    Row("labels", {"a": "1", "b": "x\ny"}, {"a": 2, "c": "#'\""}, same=({"c": "#'\""}, {"b": "x\ny"})),
    Row("description", "one", "two # \" '"),
)
