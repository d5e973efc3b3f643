# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever stands in a container's configuration and note, and whatever LXC's tools say: it is that container's
fault alone, and no traceback.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.kraal.virt.plugins.module_utils.backends.lxc import client
from ansible_collections.kraal.virt.plugins.module_utils.backends.lxc.client import Lxc
from ansible_collections.kraal.virt.plugins.module_utils.backends.lxc.container import guests as container_guests
from ansible_collections.kraal.virt.plugins.module_utils.backends.lxc.container import observe as container_observe
from ansible_collections.kraal.virt.plugins.module_utils.backends.lxc.container.options import CONTAINERS
from ansible_collections.kraal.virt.plugins.module_utils.backends.lxc.container.resource import Containers
from ansible_collections.kraal.virt.plugins.module_utils.engine.errors import Unreachable
from ansible_collections.kraal.virt.plugins.module_utils.engine.reconcile import Job, reconcile
from ansible_collections.kraal.virt.plugins.module_utils.engine.spec import Spec

from ...mutations import of_json, of_lines
from ...strays import LABELS, strays

CASES = 100
Cases = Callable[[int], int]
CONFIG = """# A container of this project, with all that one may have.
lxc.include = {root}/more.conf
lxc.rootfs.path = dir:{root}/odd/rootfs
lxc.uts.name = odd
lxc.net.0.type = veth
lxc.net.0.link = lxcbr0
lxc.net.0.flags = up
lxc.net.0.name = eth0
lxc.net.0.hwaddr = 00:16:3e:00:00:01
lxc.net.0.ipv4.address = 10.0.3.5/24 10.0.3.255
lxc.net.1.type = macvlan
lxc.net.1.macvlan.mode = bridge
lxc.mount.entry = /srv mnt/with\\040blank none bind,ro,create=dir 0 0
lxc.cgroup2.memory.max = 512M
lxc.cgroup2.cpu.max = 50000 100000
lxc.cgroup2.cpuset.cpus = 0-1
lxc.cgroup2.io.max = 8:0 rbps=1048576 wiops=100
lxc.cgroup.memory.limit_in_bytes = 512M
lxc.cgroup.cpu.cfs_quota_us = 50000
lxc.cgroup.blkio.weight = 500
lxc.start.auto = 1
lxc.start.order = 10
lxc.group = onboot web
lxc.idmap = u 0 100000 65536
lxc.idmap = g 0 100000 65536
lxc.cap.drop = sys_time sys_module
"""
NOTE = {
    "image": {"path": "/images/a.tar", "checksum": "sha256:" + "0" * 64},
    "labels": {"tier": "web", "kraal.fleet": "f"},
    "description": "x",
}
OPTIONS: dict[str, Any] = {
    "hostname": "web", "cpus": 0.5, "memory": "64MiB", "memory_swap": "128MiB", "cpuset_cpus": "0", "pids_limit": 10, "blkio_weight": 100, "labels": {"a": "b"},
    "networks": [{"link": "lxcbr0", "ipv4_address": "10.0.3.6/24"}], "mounts": ["/srv:/mnt:ro"], "autostart": True, "autostart_order": 1,
    "cap_drop": ["sys_time"],
    "autostart_groups": ["web"], "description": "y", "config": {"lxc.environment": "A=1"}, "io_limits": [{"device": "8:0", "read_bps": "2MiB"}],
}  # fmt: skip


def answering(listing: Callable[[], str]) -> Callable[..., subprocess.CompletedProcess[str]]:
    """LXC's tools: liblxc takes every configuration, and says what it is told to of what runs."""

    def run(argv: Sequence[str], **_options: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(argv, 0, listing() if argv[0] == "lxc-ls" else "", "")

    return run


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two containers, neither of which runs."""
    (tmp_path / "more.conf").write_text("lxc.tty.max = 3\n", encoding="utf-8")
    for name in ("odd", "other"):
        (tmp_path / name / "rootfs").mkdir(parents=True)
        write(tmp_path, name, CONFIG.format(root=tmp_path), json.dumps(NOTE))
    run = answering(lambda: "NAME  STATE   PID\nodd   STOPPED -\nother STOPPED -\n")
    for module in (client, container_observe):
        monkeypatch.setattr(module, "run", run)
    return tmp_path


def write(root: Path, name: str, config: str, note: str) -> None:
    (root / name / "config").write_text(config, encoding="utf-8", errors="surrogateescape")
    (root / name / "kraal.json").write_text(note, encoding="utf-8", errors="surrogateescape")


def listed(root: Path) -> tuple[dict[str, Any], list[str]]:
    found = container_guests.all_guests({"lxc_path": str(root)})
    return {guest.name: json.loads(json.dumps(guest.as_dict())) for guest in found.guests}, [
        str(fault) for fault in found.faults
    ]


def want(name: str, **values: Any) -> Spec:
    return CONTAINERS.read(
        {
            **{key: spec.get("default") for key, spec in CONTAINERS.argument_spec().items()},
            "name": name,
            "state": "stopped",
            **values,
        }
    )


WANTS = (
    OPTIONS,
    {"labels": {"a": "b"}},
    {"state": "absent", "remove_storage": True},
    {"networks": OPTIONS["networks"], "mounts": OPTIONS["mounts"]},
)


def check(root: Path, expected: Any, number: int) -> bool:
    """The other one is as it always is; whether the odd one was planned."""
    whole, mine, steps = expected
    guests, faults = listed(root)
    assert guests["other"] == whole and set(guests) == {"other", "odd"}
    assert all(fault.startswith("lxc odd: ") for fault in faults), faults
    other, odd = reconcile(
        [Job(Containers(Lxc({"lxc_path": str(root)})), [mine, want("odd", **WANTS[number % 4])])], check=True
    )
    assert (other.error, other.steps, other.described) == (None, steps[0], steps[1])
    assert odd.error is None or str(odd.error).startswith("lxc odd: ")
    return odd.error is None


@pytest.fixture
def expected(root: Path) -> Any:
    whole, none = listed(root)
    assert none == [] and whole["odd"]["labels"]["tier"] == "web"
    mine = want("other", labels={"a": "b"}, hostname="web")
    (outcome,) = reconcile([Job(Containers(Lxc({"lxc_path": str(root)})), [mine])], check=True)
    assert outcome.steps and not outcome.error
    return whole["other"], mine, (outcome.steps, outcome.described)


def test_configurations(root: Path, expected: Any, cases: Cases) -> None:
    planned = 0
    for number, text in enumerate(of_lines(CONFIG.format(root=root), cases(CASES))):
        write(root, "odd", text, json.dumps(NOTE))
        planned += check(root, expected, number)
    assert planned > CASES / 2


def test_a_fleet_that_prunes_finds_every_other_of_its_guests(
    root: Path, monkeypatch: pytest.MonkeyPatch, cases: Cases
) -> None:
    """And takes no guest away of which it is not certain that it is its own."""
    config = CONFIG.format(root=root)
    write(root, "other", config, json.dumps({**NOTE, "labels": LABELS}))
    for text in of_lines(config, cases(CASES // 2)):
        write(root, "odd", text, json.dumps(NOTE))
        assert strays(monkeypatch, Containers(Lxc({"lxc_path": str(root)})))[0] == ["other"]
    for note in of_json(NOTE, cases(CASES // 2)):
        write(root, "odd", config, json.dumps(note))
        assert strays(monkeypatch, Containers(Lxc({"lxc_path": str(root)})))[0] == ["other"]


def test_notes(root: Path, expected: Any, cases: Cases) -> None:
    planned = 0
    for number, note in enumerate(of_json(NOTE, cases(CASES))):
        text = json.dumps(note)
        write(root, "odd", CONFIG.format(root=root), text[: number % len(text)] if number % 10 == 0 else text)
        planned += check(root, expected, number)
    assert planned > CASES / 2


def test_what_the_tools_say(root: Path, expected: Any, monkeypatch: pytest.MonkeyPatch, cases: Cases) -> None:
    for number, text in enumerate(of_lines("odd   RUNNING 4194304", cases(CASES))):
        if "other" not in text:
            monkeypatch.setattr(container_observe.sockets, "answering", lambda _path, names: list(names))
            monkeypatch.setattr(
                container_observe, "run", answering(lambda text=text: f"NAME  STATE   PID\n{text}\nother STOPPED -\n")
            )
            check(root, expected, number)


def test_who_may_read_nothing_is_told_so(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody's fault, and no reason to say of a container that it is stopped."""

    def forbidden(path: Path) -> str:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(container_observe, "read_file", forbidden)
    with pytest.raises(Unreachable, match="Permission denied. Look as root"):
        listed(root)
