# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever a container's control group, its monitor and the kernel say of it while it runs, and whatever liblxc has
written down beside it: no traceback, and no other container suffers.
"""

from __future__ import annotations

import json
import os
import random
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.kraal.virt.plugins.module_utils.backends.lxc import sockets
from ansible_collections.kraal.virt.plugins.module_utils.backends.lxc.container import addresses, cgroups, monitor
from ansible_collections.kraal.virt.plugins.module_utils.backends.lxc.container import observe as container_observe
from ansible_collections.kraal.virt.plugins.module_utils.backends.lxc.container.config import Config
from ansible_collections.kraal.virt.plugins.module_utils.backends.lxc.container.describe import guest_of
from ansible_collections.kraal.virt.plugins.module_utils.backends.lxc.container.limits import LIMITS, Groups
from ansible_collections.kraal.virt.plugins.module_utils.backends.lxc.container.model import Container
from ansible_collections.kraal.virt.plugins.module_utils.engine.errors import KraalError
from ansible_collections.kraal.virt.plugins.module_utils.engine.reading import reading

from ...mutations import of_lines, of_octets, of_words

CASES = 200
Cases = Callable[[int], int]
#: What the kernel shows of a container with every limit, by the version of control groups.
LIVE = {
    1: {
        "cpu.cfs_quota_us": "50000", "cpu.cfs_period_us": "100000", "cpu.shares": "512", "cpuset.cpus": "0-1", "cpuset.mems": "0",
        "memory.limit_in_bytes": "536870912", "memory.memsw.limit_in_bytes": "9223372036854771712", "memory.soft_limit_in_bytes": "268435456",
        "pids.max": "max", "blkio.weight": "500", "blkio.throttle.read_bps_device": "8:0 1048576\\n8:16 2097152",
        "blkio.throttle.write_iops_device": "8:0 100",
    },
    2: {
        "cpu.max": "50000 100000", "cpu.weight": "20", "cpuset.cpus": "0-1", "cpuset.mems": "", "memory.max": "536870912", "memory.swap.max": "max",
        "memory.low": "0", "pids.max": "10", "io.weight": "default 50\\n8:0 100", "io.max": "8:0 rbps=1048576 wbps=max riops=max wiops=100",
    },
}  # fmt: skip


@pytest.mark.parametrize("version", [1, 2])
def test_limits(version: int, cases: Cases) -> None:
    groups = Groups(version, cgroups.WEIGHTS[version][0])
    files = {name: text.replace("\\n", "\n") for name, text in LIVE[version].items()}
    chance = random.Random(1)
    for number in range(cases(CASES)):
        name = chance.choice(sorted(files))
        raw = {key: (text,) for key, text in {**files, name: next(of_words(files[name], 1, number))}.items()}
        container = Container("odd", "/lxc", Config(""), state="running", pid=1, groups=groups, live=raw)
        for limit in LIMITS:
            try:
                with reading("lxc", "odd"):
                    container.limit(limit)
                    json.dumps(guest_of(container).as_dict())
            except KraalError as error:
                assert str(error).startswith("lxc odd: ")


CGROUP = """12:memory:/lxc.payload.odd/init.scope
11:cpu,cpuacct:/lxc.payload.odd
1:name=systemd:/lxc.payload.odd/init.scope
0::/lxc.payload.odd"""


def test_groups_of_a_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cases: Cases) -> None:
    said = [""]
    monkeypatch.setattr(cgroups.Path, "read_text", lambda self, **_how: said[0])
    for mutant in of_words(CGROUP, cases(CASES)):
        said[0] = mutant.encode("utf-8", "replace").decode()
        assert all(isinstance(place, Path) for place in cgroups.directories(1).values())


INFO = """lxc.uts.name = odd
lxc.net.0.type = veth
lxc.net.0.link = lxcbr0
lxc.mount.entry = /srv mnt none bind 0 0
/var var none bind 0 0
lxc.cap.drop = sys_time"""
KEYS = ["lxc.uts.name", "lxc.net.0.type", "lxc.net.0.link", "lxc.mount.entry", "lxc.cap.drop"]


def test_what_lxc_info_says(cases: Cases) -> None:
    assert container_observe._answers(INFO, KEYS)["lxc.mount.entry"] == (
        "/srv mnt none bind 0 0",
        "/var var none bind 0 0",
    )
    for mutant in of_lines(INFO, cases(CASES)):
        assert set(container_observe._answers(mutant, KEYS)) <= set(KEYS)


def test_what_liblxc_writes_down_of_snapshots(tmp_path: Path, cases: Cases) -> None:
    place = tmp_path / "lxc_snapshots"
    for mutant in of_words("/var/lib/lxc\nweb\n/srv/lxc\nodd\n", cases(CASES)):
        place.write_text(mutant, encoding="utf-8", errors="surrogatepass")
        assert all(path.startswith("/") and "/" not in name for path, name in container_observe.read_pairs(place))


UNIX = """Num       RefCount Protocol Flags    Type St Inode Path
ffff9f3b3f2c8000: 00000002 00000000 00010000 0001 01 20001 @/var/lib/lxc/odd/command
ffff9f3b3f2c8400: 00000002 00000000 00010000 0001 01 20002 @/var/lib/lxc/other/command
ffff9f3b3f2c8800: 00000003 00000000 00000000 0001 03 20003 /run/x.sock"""


def test_sockets_of_the_kernel(cases: Cases) -> None:
    """Of others than the mutated line nothing changes."""
    head, odd, *others = UNIX.split("\n")
    for mutant in of_words(odd, cases(CASES)):
        text = "\n".join([head, *(line for line in mutant.split("\n") if "other" not in line), *others])
        assert dict(sockets.parse_sockets(text))["/var/lib/lxc/other/command"] == 20002


def _message(kind: int, body: bytes) -> bytes:
    return struct.pack("=IHHII", 16 + len(body), kind, 0, 1, 0) + body + b"\0" * (-len(body) % 4)


def _attribute(kind: int, data: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(data), kind) + data + b"\0" * (-len(data) % 4)


LINK = _message(
    16, struct.pack("=BxHiII", 0, 1, 2, 0, 0) + _attribute(3, b"eth0\0") + _attribute(1, bytes.fromhex("00163e000001"))
)
ADDRESS = _message(
    20,
    struct.pack("=BBBBI", 2, 24, 0, 0, 2) + _attribute(1, bytes([10, 0, 3, 5])) + _attribute(2, bytes([10, 0, 3, 5])),
)
DONE = _message(3, struct.pack("=i", 0))


class Link:
    """Answers a question for links, and then one for addresses."""

    def __init__(self, links: bytes, found: bytes) -> None:
        self.answers = [links + DONE, found + DONE]

    def send(self, _data: bytes) -> None:
        return

    def recv(self, _size: int) -> bytes:
        if not self.answers:
            raise OSError("nothing more")
        return self.answers.pop(0)


def test_addresses_of_the_kernel(cases: Cases) -> None:
    dump: Any = addresses._dump
    assert [each.address for each in dump(Link(LINK, ADDRESS))] == ["10.0.3.5"]
    for number, (links, found) in enumerate(
        (part, whole) for part, whole in ((LINK, None), (None, ADDRESS)) for _ in "a"
    ):
        for mutant in of_octets(links or found or b"", cases(CASES) // 2):
            try:
                dump(Link(mutant, ADDRESS) if number == 0 else Link(LINK, mutant))
            except OSError:
                # The container that it is of has no addresses.
                continue


HEAD = struct.Struct("=iiQ")


def test_what_a_monitor_answers(monkeypatch: pytest.MonkeyPatch, cases: Cases) -> None:
    name = HEAD.pack(0, 4, 0) + b"odd\0"
    state, pid = HEAD.pack(0, 0, 2), HEAD.pack(0, 0, os.getpid())

    class Monitor:
        def __init__(self, answers: list[bytes]) -> None:
            self.answers = answers

        def __enter__(self) -> Monitor:
            return self

        def __exit__(self, *_error: object) -> None:
            return

        def settimeout(self, _seconds: float) -> None:
            return

        def connect(self, _address: bytes) -> None:
            self.data = self.answers.pop(0)

        def sendmsg(self, *_arguments: object) -> None:
            return

        def recv(self, length: int) -> bytes:
            data, self.data = self.data[:length], self.data[length:]
            return data

    def answer(*answers: bytes) -> None:
        waiting = list(answers)
        monkeypatch.setattr(monitor.socket, "socket", lambda *_kind: Monitor(waiting))

    answer(name, state, pid)
    assert monitor.running("/lxc", "odd") == ("RUNNING", os.getpid())
    for place, data in enumerate((name, state, pid)):
        for mutant in of_octets(data, cases(CASES) // 3):
            answer(*(mutant if number == place else whole for number, whole in enumerate((name, state, pid))))
            found = monitor.running("/lxc", "odd")
            assert found is None or found[0] in monitor._STATES
