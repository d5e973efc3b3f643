# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The cases. In each, the contestants take turns, so that a busy moment of the machine hits them all."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import docker

from tests.support import leftovers
from tests.support.lxc import LxcLab
from tests.support.session import claimed, new_name

from .report import Report, Verdict
from .runs import Ansible, docker_run, side_by_side

PREFIX = "kt-bench-"
IMAGE = f"{PREFIX}busybox:1"

FLEET = "kraal.virt.fleet"
PEER = "community.docker.docker_container"
PING = "ansible.builtin.ping"


def guest(number: int) -> str:
    return f"{PREFIX}{number}"


def fleet(numbers: Iterable[int], state: str = "running", memory: Mapping[int, str] | None = None) -> dict[str, Any]:
    """The same guests for the fleet ..."""
    defaults = {
        "backend": "docker",
        "image": IMAGE,
        "memory": "64M",
        "stop_timeout": 1,
        "env": {"ROLE": "web"},
        "labels": {"role": "web"},
        "state": state,
    }
    guests = [
        {"name": guest(number), **({"memory": memory[number]} if memory and number in memory else {})}
        for number in numbers
    ]
    return {FLEET: {"defaults": defaults, "guests": guests}}


def loop(numbers: Iterable[int], memory: Mapping[int, str] | None = None) -> dict[str, Any]:
    """... for the peer ..."""
    options = {
        "image": IMAGE,
        "memory": "{{ item.memory }}",
        "stop_timeout": 1,
        "env": {"ROLE": "web"},
        "labels": {"role": "web"},
        "state": "started",
    }
    items = [{"name": guest(number), "memory": (memory or {}).get(number, "64M")} for number in numbers]
    return {PEER: {"name": "{{ item.name }}", **options}, "loop": items, "loop_control": {"label": "{{ item.name }}"}}


def command(number: int) -> list[str]:
    """... and for the command line."""
    cli = shutil.which("docker")
    if cli is None:
        raise FileNotFoundError("this machine has no docker program: install the packages of tests/apt-packages.txt")
    options = ["--memory", "64m", "--stop-timeout", "1", "--env", "ROLE=web", "--label", "role=web"]
    return [cli, "run", "--detach", "--name", guest(number), *options, IMAGE]


class Bench:
    """The engine, the programs, and the report that the cases fill."""

    def __init__(self, client: docker.APIClient, ansible: Ansible, report: Report) -> None:
        self.client, self.ansible, self.report = client, ansible, report

    def clear(self) -> None:
        """Take all containers of ours away, outside of any measurement."""
        with ThreadPoolExecutor(8) as pool:
            list(
                pool.map(
                    lambda name: self.client.remove_container(name, force=True),
                    leftovers.find(self.client, PREFIX).containers,
                )
            )

    def run(self) -> None:
        self.create(30, turns=3, peer_turns=1)
        self.ansible.play(fleet(range(100)), changed=True)
        self.unchanged(100, turns=6, peer_turns=2)
        self.change_one(100, turns=3, peer_turns=1)
        self.ansible.play(fleet(range(100, 200), "present"), changed=True)
        self.inventory(200, turns=5)
        self.memory(500)
        LxcBench(self.ansible, self.report).run(20)

    def create(self, count: int, turns: int, peer_turns: int) -> None:
        """Create and start guests that are not there."""
        case = f"create and start {count}"
        mine, cli, peer = self.report.start(case, "fleet", "docker run, 8 at a time", f"{PEER} in a loop")
        for turn in range(turns):
            run = self.ansible.play(fleet(range(count)), changed=True)
            mine.add(run.seconds, run.cpu)
            self.clear()
            run = docker_run([command(number) for number in range(count)], 8)
            cli.add(run.seconds, run.cpu)
            self.clear()
            if turn < peer_turns:
                run = self.ansible.play(loop(range(count)), changed=True)
                peer.add(run.seconds, run.cpu)
                self.clear()
        self.report.verdicts.append(
            Verdict(case, "the time of docker run, 8 at a time", mine.median / cli.median, 1.5, "times")
        )

    def unchanged(self, count: int, turns: int, peer_turns: int) -> None:
        """Nothing to change: what a daily run costs."""
        case = f"nothing to change in {count}"
        ping, mine, check, peer = self.report.start(case, PING, "fleet", "fleet --check", f"{PEER} in a loop")
        for turn in range(turns):
            for series, task, checks in (
                (ping, {PING: {}}, False),
                (mine, fleet(range(count)), False),
                (check, fleet(range(count)), True),
            ):
                run = self.ansible.play(task, changed=False, check=checks)
                series.add(run.seconds, run.cpu)
            if turn < peer_turns:
                run = self.ansible.play(loop(range(count)), changed=False)
                peer.add(run.seconds, run.cpu)
        self.report.verdicts.append(
            Verdict(case, "faster than the peer's loop", peer.median / mine.median, 25, "times", least=True)
        )
        self.report.verdicts.append(Verdict(case, "more than a ping task", mine.median - ping.median, 1.5, "s"))

    def change_one(self, count: int, turns: int, peer_turns: int) -> None:
        """One guest's memory, which changes as it runs."""
        case = f"change one of {count}"
        mine, check, peer = self.report.start(case, "fleet", "fleet --check", f"{PEER} in a loop")
        for turn in range(turns):
            task = fleet(range(count), memory={7: f"{96 + turn}M"})
            run = self.ansible.play(task, changed=True, check=True)
            check.add(run.seconds, run.cpu)
            run = self.ansible.play(task, changed=True)
            mine.add(run.seconds, run.cpu)
            if turn < peer_turns:
                run = self.ansible.play(loop(range(count), memory={7: f"{32 + turn}M"}), changed=True)
                peer.add(run.seconds, run.cpu)

    def inventory(self, count: int, turns: int) -> None:
        """Guests as inventory, against reading a file that has none."""
        case = f"inventory of {count}"
        empty, mine = self.report.start(case, "an empty static inventory", "kraal.virt.guests")
        nobody = self.ansible.file("nobody.yml", {"all": {"hosts": {}}})
        settings = {"plugin": "kraal.virt.guests", "hosts": [{"name": "localhost"}], "states": ["running", "stopped"]}
        guests = self.ansible.file("guests.yml", settings)
        for _turn in range(turns):
            run, _hosts = self.ansible.read_inventory(nobody)
            empty.add(run.seconds, run.cpu)
            run, hosts = self.ansible.read_inventory(guests)
            mine.add(run.seconds, run.cpu)
            if hosts < count:
                raise RuntimeError(f"the inventory has {hosts} hosts, {count} at least were expected")
        self.report.verdicts.append(Verdict(case, "more than an empty inventory", mine.median - empty.median, 1, "s"))

    def memory(self, count: int) -> None:
        """The module's peak memory, while it makes the missing guests and when there is nothing to change."""
        case = f"peak memory at {count}"
        making, still = self.report.start(case, "fleet, creating the missing", "fleet, nothing to change", unit="MB")
        making.add(self.ansible.peak(fleet(range(count), "present"), changed=True))
        still.add(self.ansible.peak(fleet(range(count), "present"), changed=False))
        self.report.verdicts.append(Verdict(case, "the module's process", max(making.median, still.median), 150, "MB"))


class LxcBench:
    """LXC containers from one base image, which module base_image has built, against a loop of LXC's own tools."""

    def __init__(self, ansible: Ansible, report: Report) -> None:
        self.ansible, self.report = ansible, report

    def run(self, count: int) -> None:
        name = new_name()
        with claimed(name):
            lab = LxcLab.create(name)
            try:
                image = str(lab.root / "images" / "debian.tar")
                self.ansible.play(
                    {"kraal.virt.base_image": {"name": "kt-bench", "directory": str(lab.root / "images")}}, changed=True
                )
                (built,) = (lab.root / "images").glob("*.tar")
                built.with_suffix(".json").unlink()
                built.rename(image)
                self.create(lab, image, count)
                self.unchanged(lab, image, count)
            finally:
                lab.remove()

    @staticmethod
    def fleet(lab: LxcLab, image: str, count: int, state: str = "running", **more: Any) -> dict[str, Any]:
        # A Debian of the smallest variant has no init system: these guests just run.
        config = {"lxc.init.cmd": "/bin/sleep infinity"}
        system = {
            "backend": "lxc",
            "lxc_path": str(lab.path),
            "image": image,
            "memory": "64M",
            "networks": [{"type": "empty"}],
            "config": config,
        }
        return {
            FLEET: {
                "defaults": {**system, "stop_timeout": 0, "state": state, **more},
                "guests": [{"name": f"{PREFIX}{{i}}", "count": count}],
            }
        }

    def create(self, lab: LxcLab, image: str, count: int, turns: int = 3) -> None:
        """Each with a root file system of its own: unpacked here, copied there."""
        case = f"create and start {count} (LXC)"
        mine, loop, overlay, snapshots = self.report.start(
            case,
            "fleet",
            "lxc-copy and lxc-start, 4 at a time",
            "fleet, storage overlay",
            "lxc-copy -s and lxc-start, 4 at a time",
        )
        for _turn in range(turns):
            for series, more in ((mine, {}), (overlay, {"storage": "overlay"})):
                run = self.ansible.play(self.fleet(lab, image, count, **more), changed=True)
                series.add(run.seconds, run.cpu)
                self.ansible.play(self.fleet(lab, image, count, "absent"), changed=True)
            source = self.fleet(lab, image, 1, "stopped")
            self.ansible.play(source, changed=True)
            for series, how in ((loop, []), (snapshots, ["-s", "-B", "overlay"])):
                copies = [f"{PREFIX}copy-{number}" for number in range(count)]
                place = ["-P", str(lab.path), "-n"]
                run = side_by_side(
                    [
                        [["lxc-copy", *place, f"{PREFIX}1", "-N", name, *how], ["lxc-start", *place, name]]
                        for name in copies
                    ],
                    4,
                )
                series.add(run.seconds, run.cpu)
                side_by_side([[["lxc-stop", *place, name, "-k"], ["lxc-destroy", *place, name]] for name in copies], 4)
            lab.clear()
        self.report.verdicts.append(
            Verdict(case, "the time of lxc-copy and lxc-start, 4 at a time", mine.median / loop.median, 1.5, "times")
        )

    def unchanged(self, lab: LxcLab, image: str, count: int, turns: int = 5) -> None:
        """Nothing to change."""
        case = f"nothing to change in {count} (LXC)"
        ping, mine, check = self.report.start(case, PING, "fleet", "fleet --check")
        self.ansible.play(self.fleet(lab, image, count, storage="overlay"), changed=True)
        for _turn in range(turns):
            for series, task, checks in (
                (ping, {PING: {}}, False),
                (mine, self.fleet(lab, image, count, storage="overlay"), False),
                (check, self.fleet(lab, image, count, storage="overlay"), True),
            ):
                run = self.ansible.play(task, changed=False, check=checks)
                series.add(run.seconds, run.cpu)
        self.ansible.play(self.fleet(lab, image, count, "absent"), changed=True)
        self.report.verdicts.append(Verdict(case, "more than a ping task", mine.median - ping.median, 1, "s"))
