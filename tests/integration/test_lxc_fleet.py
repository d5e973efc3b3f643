# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A fleet of Docker and LXC guests: one plan, one list of results, and who fails fails alone.

And what discovery says of LXC guests.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.ansible_runner import Result, run_inventory, run_module
from tests.support.images import BaseImages
from tests.support.leftovers import Scratch
from tests.support.lxc import LxcLab, known
from tests.support.module_process import module_process

from .test_inventory import HERE, listed

FLEET, INFO = "kraal.virt.fleet", "kraal.virt.guests_info"


class Mixed:
    """Two guests of each backend."""

    def __init__(self, lxc: LxcLab, scratch: Scratch, image: str) -> None:
        self.lxc, self.scratch = lxc, scratch
        docker = {"backend": "docker", "image": image, "stop_timeout": 1}
        system = {
            "backend": "lxc",
            "lxc_path": str(lxc.path),
            "image": str(lxc.image("1")),
            "networks": [{"type": "empty"}],
            "stop_timeout": 1,
        }
        self.guests: list[dict[str, Any]] = [
            {**docker, "name": scratch("d1")},
            {**system, "name": scratch("l1")},
            {**docker, "name": scratch("d2")},
            {**system, "name": scratch("l2")},
        ]

    def __call__(self, check: bool = False, guests: list[dict[str, Any]] | None = None, **args: Any) -> Result:
        given = {
            "name": self.scratch("fleet"),
            "defaults": {"memory": "64MiB", "labels": {"role": "web"}},
            "guests": self.guests,
            **args,
        }
        return module_process(FLEET, {**given, **({"guests": guests} if guests is not None else {})}, check=check)


@pytest.fixture
def mixed(lxc: LxcLab, scratch: Scratch, base_images: BaseImages) -> Iterator[Mixed]:
    yield Mixed(lxc, scratch, base_images.one)
    lxc.clear()


def test_one_plan_and_one_list_of_results(mixed: Mixed) -> None:
    names = [guest["name"] for guest in mixed.guests]
    checked = mixed(check=True)
    assert not mixed.lxc.states() and not mixed.scratch.found().containers
    done = mixed()
    assert not done.failed, done.msg
    assert checked["plan"] == done["plan"] and checked.changed and done.changed
    assert list(dict.fromkeys(step["guest"] for step in done["plan"])) == names
    assert [(each["guest"], each["backend"], each["failed"]) for each in done["results"]] == [
        (name, backend, False) for name, backend in zip(names, ["docker", "lxc"] * 2, strict=True)
    ]
    assert {(guest["state"], guest["memory"], guest["labels"]["role"]) for guest in done["guests"]} == {
        ("running", "64MiB", "web")
    }
    again = mixed()
    assert not again.failed and not again.changed and again["plan"] == []


def test_who_fails_fails_alone(mixed: Mixed) -> None:
    """What does not start, what cannot be made, and what is refused: the others are made, whatever backend they are
    of.
    """
    broken = [dict(guest) for guest in mixed.guests]
    broken[1]["networks"] = [{"link": "kt-no-bridge"}]
    broken[2]["command"] = ["/no/such/program"]
    done = mixed(
        guests=[
            *broken,
            {
                **broken[3],
                "name": mixed.scratch("l3"),
                "image": {"path": "/no/such.tar", "checksum": "sha256:" + "0" * 64},
            },
        ]
    )
    assert (
        done.failed and "3 of 5 guests failed" in done.msg and "kt-no-bridge" in done.msg and "/no/such.tar" in done.msg
    )
    assert [each["failed"] for each in done["results"]] == [False, True, True, False, True]
    assert mixed.lxc.states()[mixed.guests[3]["name"]] == "RUNNING"
    mended = mixed()
    assert not mended.failed, mended.msg
    assert {guest["state"] for guest in mended["guests"]} == {"running"}


def test_pruning(mixed: Mixed) -> None:
    """Also what a run that died left of an LXC guest."""
    mixed()
    stranger = {**mixed.guests[1], "name": mixed.scratch("stranger")}
    module_process(FLEET, {"guests": [stranger]})
    pruned = mixed(
        guests=mixed.guests[:2], prune=True, defaults={"memory": "64MiB", "labels": {"role": "web"}, "stop_timeout": 1}
    )
    assert not pruned.failed, pruned.msg
    assert sorted(mixed.lxc.states()) == sorted([mixed.guests[1]["name"], stranger["name"]])
    gone = mixed(guests=[], prune=True, defaults={"lxc_path": str(mixed.lxc.path)})
    assert not gone.failed and sorted(mixed.lxc.states()) == [stranger["name"]]


def test_another_fleets_guest_is_left_alone(mixed: Mixed) -> None:
    """One of each backend is another fleet's: these two fail, and the other two join.

    An LXC guest that is taken over only gets the label.
    """
    others = [{**guest, "labels": {"role": "db"}} for guest in mixed.guests[:2]]
    assert not mixed(guests=others, name=mixed.scratch("other")).failed
    done = mixed()
    assert [each["failed"] for each in done["results"]] == [True, True, False, False]
    assert all(
        "it is a guest of the fleet {!r}".format(mixed.scratch("other")) in each["msg"] for each in done["results"][:2]
    )
    assert not mixed(guests=others, name=mixed.scratch("other"), check=True).changed
    taken = mixed(guests=mixed.guests[1:2], take_over=[mixed.scratch("other")])
    assert not taken.failed and [step["action"] for step in taken["plan"]] == ["set"], taken.msg or taken["plan"]


def test_discovery_knows_all_directories(lxc: LxcLab, scratch: Scratch) -> None:
    """A stopped one in a directory of its own, a running one with its addresses, of any tool's making."""
    other = lxc.root / "elsewhere"
    common = {"backend": "lxc", "image": str(lxc.image("1")), "stop_timeout": 1}
    guests = [
        {
            **common,
            "name": scratch("run"),
            "lxc_path": str(lxc.path),
            "networks": [{"link": lxc.bridge, "ipv4_address": f"{lxc.network}.60/24"}],
            "cpus": 0.5,
        },
        {
            **common,
            "name": scratch("stop"),
            "lxc_path": str(other),
            "state": "stopped",
            "labels": {"a": "b"},
            "autostart": True,
        },
    ]
    try:
        made = module_process(FLEET, {"guests": guests})
        assert not made.failed, made.msg
        found = run_module(INFO, {"backends": ["lxc"], "names": [guest["name"] for guest in guests]})
        assert not found.failed, found.msg
        running, stopped = found["guests"]
        assert running == made["guests"][0] and stopped == made["guests"][1]
        assert (running["raw_state"], stopped["raw_state"]) == ("RUNNING", "STOPPED")
        (address,) = running["addresses"]
        assert (address["address"], address["network"], running["cpus"]) == (f"{lxc.network}.60", lxc.bridge, 0.5)
        assert (stopped["id"], stopped["labels"], stopped["autostart"]) == (
            f"{other}/{guests[1]['name']}",
            {"a": "b"},
            True,
        )
        module_process(FLEET, {"guests": [{**guest, "state": "absent"} for guest in guests]})
        assert not run_module(INFO, {"backends": ["lxc"], "names": [guest["name"] for guest in guests]})["guests"]
    finally:
        lxc.clear()


#: Lets containers seem to run: one whose configuration says a lot, one whose configuration is never read to its end,
#: and root's own that is stopped.
STRANGER = """
import os, socket, sys
root, *others = sys.argv[1:]
for name in ("fake", "fifo"):
    os.mkdir(f"{root}/{name}")
os.mkfifo(f"{root}/fifo/config")
with open(f"{root}/fake/config", "w") as file:
    file.write("lxc.uts.name = fake\\n")
with open(f"{root}/fake/kraal.json", "w") as file:
    file.write('{"labels": {"kraal.fleet": "example"}}')
sockets = []
for place in (f"{root}/fake", f"{root}/fifo", *others):
    sockets.append(socket.socket(socket.AF_UNIX))
    sockets[-1].bind(f"\\0{place}/command")
    sockets[-1].listen()
print("ready", flush=True)
sys.stdin.read()
"""


@contextmanager
def stranger(*places: str) -> Iterator[Path]:
    """What another user does who wants to be among root's guests, or in their way: he has a directory, and listens
    for its containers and those.
    """
    with tempfile.TemporaryDirectory(prefix="kt-") as directory:
        root = Path(directory, "lxc")
        root.mkdir()
        Path(directory).chmod(0o755)
        os.chown(root, 65534, 65534)
        command = [
            "setpriv",
            "--reuid=65534",
            "--regid=65534",
            "--clear-groups",
            "--",
            "/usr/bin/python3",
            "-c",
            STRANGER,
            str(root),
            *places,
        ]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None and process.stdout.readline() == "ready\n"
            yield root
            process.communicate()


def test_another_user_is_not_among_roots_guests_nor_in_their_way(lxc: LxcLab, scratch: Scratch) -> None:
    other = lxc.root / "unnamed"
    common = {"backend": "lxc", "image": str(lxc.image("1")), "stop_timeout": 1}
    guests = [
        {**common, "name": scratch("run"), "lxc_path": str(other)},
        {**common, "name": scratch("stop"), "lxc_path": str(lxc.path), "state": "stopped"},
    ]
    try:
        made = module_process(FLEET, {"guests": guests})
        assert not made.failed, made.msg
        for link in known(other):
            link.unlink()
        running, stopped = (f"{other}/{scratch('run')}", "running"), (f"{lxc.path}/{scratch('stop')}", "stopped")
        with stranger(stopped[0]) as root:

            def look() -> tuple[list[tuple[str, str]], str]:
                # A passing over is not a failure, though the backend is named.
                found = module_process(INFO, {"backends": ["lxc"]}, timeout=50)
                assert not found.failed, found.msg
                guests = [
                    (guest["id"], guest["state"])
                    for guest in found["guests"]
                    if guest["id"].startswith((str(lxc.root), str(root)))
                ]
                return sorted(guests), "\n".join(found.warnings)

            # Where a container runs that nobody has named is known by its monitor.
            seen, said = look()
            assert seen == sorted([running, stopped])
            assert (
                f"lxc: {root} is passed over: others can change {root}. Ask as the user" in said
                and said.count(str(root)) == 2
            )
            # Who can change its configuration could make it another one.
            config = other / scratch("run") / "config"
            os.chown(config, 65534, -1)
            seen, said = look()
            assert seen == [stopped] and f"{running[0]} is passed over: others can change {running[0]}/config" in said
            os.chown(config, 0, -1)
            own = config.read_text(encoding="utf-8")
            config.write_text(own + f"lxc.include = {root}/fake/config\n", encoding="utf-8")
            seen, said = look()
            # Or nobody could stop it, once that file has gone.
            config.write_text(own, encoding="utf-8")
            assert seen == [stopped] and f"{running[0]} is passed over: others can change {root}" in said
            other.chmod(0o777)
            seen, said = look()
            assert seen == [stopped] and f"{other} is passed over: others can change {other}" in said
            other.chmod(0o755)
    finally:
        gone = module_process(FLEET, {"guests": [{**guest, "state": "absent"} for guest in guests]})
        lxc.clear()
    assert not gone.failed, gone.msg


def test_the_inventory_lists_them(mixed: Mixed, tmp_path: Path) -> None:
    mixed()
    source = tmp_path / "guests.yml"
    source.write_text(json.dumps({"plugin": "kraal.virt.guests", "hosts": [HERE]}), encoding="utf-8")
    found = listed(run_inventory(source, "--list"))
    names = {guest["name"] for guest in mixed.guests}
    assert names <= set(found["_meta"]["hostvars"])
    assert {name for name in found["lxc"]["hosts"] if name in names} == {
        mixed.guests[1]["name"],
        mixed.guests[3]["name"],
    }
    variables = found["_meta"]["hostvars"][mixed.guests[1]["name"]]
    assert (variables["ansible_guest_backend"], variables["ansible_guest_lxc_path"]) == ("lxc", str(mixed.lxc.path))
