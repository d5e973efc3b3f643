# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Guests reached through their host: commands, files, users, and what is said when there is no way."""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import docker
import pytest

from tests.lab import images
from tests.lab.images import HostImage
from tests.support.ansible_runner import Result, Run, run_tasks
from tests.support.docker_exec import run_inside
from tests.support.images import BUSYBOX, root_tar
from tests.support.leftovers import remove

CONNECTION = {"ansible_connection": "kraal.virt.guest", "ansible_python_interpreter": "/usr/bin/python3"}
PASSWORD = "kt-secret-word"
ODD_PATH = "/root/kt 'quoted' & \"doubly\"; *?ü"
#: More than one piece of a file, see CHUNK in the plugin.
LARGE = 17 * 1024 * 1024


#: In the guest with Python: a user with a group more, and a password for root.
PREPARE = f"groupadd kt-more && useradd --create-home --shell /bin/bash --groups kt-more kt && echo root:{PASSWORD} | chpasswd"


class DockerGuests:
    """A guest with Python, one without, one that is stopped, one that is frozen, and one without a shell."""

    backend = "docker"
    variables = {"ansible_guest_backend": backend}
    stopped = "exited"

    def __init__(self, client: docker.APIClient, prefix: str, small: str) -> None:
        self.client, self.prefix, self.image = client, f"{prefix}c-", small

    def fill(self) -> None:
        client, small = self.client, self.image
        image = HostImage("bookworm")
        image.build()
        with images.locked(images.REPOSITORY):
            self._create("python", image.load(client), ["sleep", "infinity"], init=True)
        self.create("small")
        self._create("stopped", small, start=False)
        self.create("frozen")
        client.pause(self("frozen"))
        bare = self("bare") + ":1"
        repository, dummy, tag = bare.partition(":")
        client.import_image_from_data(_only_busybox(), repository=repository, tag=tag)
        self._create("bare", bare, ["/busybox", "sleep", "3600"], init=True)
        self.run("python", PREPARE)

    def __call__(self, name: str) -> str:
        return self.prefix + name

    def create(self, name: str) -> None:
        self._create(name, self.image)

    def _create(
        self, name: str, image: str, command: list[str] | None = None, *, start: bool = True, init: bool = False
    ) -> None:
        config = self.client.create_host_config(init=init)
        self.client.create_container(image, command, name=self(name), host_config=config)
        if start:
            self.client.start(self(name))

    def run(self, name: str, script: str) -> str:
        """Past the plugin."""
        return run_inside(self.client, self(name), ["/bin/sh", "-c", script]).stdout

    def until_stopped(self, name: str) -> None:
        """The engine knows that it is down."""
        self.client.wait(self(name), timeout=60)

    def remove(self) -> None:
        remove(self.client, self.prefix)


class LxcGuests:
    """The same in containers of LXC, under a path of their own."""

    backend = "lxc"
    stopped = "stopped"

    def __init__(self, prefix: str) -> None:
        # Not in /tmp, which Debian 13 mounts without set-user-ids: su in the guest would be nobody's but the caller's.
        self.prefix, self.path = f"{prefix}c-", Path(tempfile.mkdtemp(prefix="kt-connection-", dir="/var/lib"))
        self.path.chmod(0o755)
        self.variables = {"ansible_guest_backend": self.backend, "ansible_guest_lxc_path": str(self.path)}

    def fill(self) -> None:
        self._create("python", HostImage("bookworm").build().read_bytes(), "/usr/bin/sleep infinity")
        self.create("small")
        self._create("stopped", root_tar("1"), start=False)
        self.create("frozen")
        self._lxc("freeze", "frozen")
        self._create("bare", _only_busybox(), "/busybox sleep 3600")
        self.run("python", PREPARE)

    def __call__(self, name: str) -> str:
        return self.prefix + name

    def create(self, name: str) -> None:
        self._create(name, root_tar("1"))

    def _create(self, name: str, content: bytes, command: str = "/bin/kt-guest", *, start: bool = True) -> None:
        home = self.path / self(name)
        root = home / "rootfs"
        root.mkdir(parents=True)
        subprocess.run(["tar", "--extract", "--numeric-owner", "--directory", str(root)], input=content, check=True)
        for directory in ("dev", "proc", "sys"):
            (root / directory).mkdir(exist_ok=True)
        lines = {
            "lxc.uts.name": self(name),
            "lxc.rootfs.path": f"dir:{root}",
            "lxc.init.cmd": command,
            "lxc.net.0.type": "empty",
            "lxc.mount.auto": "proc:mixed",
        }
        (home / "config").write_text("".join(f"{key} = {value}\n" for key, value in lines.items()), encoding="utf-8")
        if start:
            self._lxc("start", name)

    def _lxc(self, action: str, name: str, *argv: str) -> str:
        done = subprocess.run(
            [f"lxc-{action}", "-P", str(self.path), "-n", self(name), *argv],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def run(self, name: str, script: str) -> str:
        """Past the plugin."""
        return self._lxc("attach", name, "--clear-env", "--", "/bin/sh", "-c", script)

    def until_stopped(self, name: str) -> None:
        """The engine knows that it is down."""
        self._lxc("wait", name, "--state=STOPPED", "--timeout=60")

    def remove(self) -> None:
        for home in self.path.iterdir():
            for action in (["lxc-unfreeze"], ["lxc-stop", "--kill"]):
                subprocess.run(
                    [*action, "-P", str(self.path), "-n", home.name],
                    stdin=subprocess.DEVNULL,
                    capture_output=True,
                    check=False,
                )
        shutil.rmtree(self.path)


Guests = DockerGuests | LxcGuests


def _only_busybox() -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        tar.add(BUSYBOX, "busybox")
    return out.getvalue()


@pytest.fixture(scope="module", params=["docker", "lxc"])
def guests(
    request: pytest.FixtureRequest, docker_api: docker.APIClient, prefix: str, base_image: str, lab_images: None
) -> Iterator[Guests]:
    made = DockerGuests(docker_api, prefix, base_image) if request.param == "docker" else LxcGuests(prefix)
    try:
        made.fill()
        yield made
    finally:
        made.remove()


@pytest.fixture
def play(guests: Guests) -> Any:
    """Runs tasks on one of our guests."""

    def run(guest: str, *tasks: dict[str, Any], env: dict[str, str] | None = None, **variables: Any) -> Run:
        inventory = {"all": {"hosts": {guests(guest): {}}, "vars": {**CONNECTION, **guests.variables, **variables}}}
        return run_tasks(tasks, inventory=inventory, hosts="all", env=env)

    return run


@dataclass(frozen=True)
class Case:
    """A command in a guest, with variables of the connection."""

    guest: str
    script: str = "true"
    variables: Mapping[str, Any] = field(default_factory=dict)


CODES = (1, 125, 126, 127, 255)
CASES: dict[str, Case] = {
    **{f"code-{code}": Case("small", f"echo 'Error: No such container' >&2; exit {code}") for code in CODES},
    "quoting": Case("small", """printf '%s|' "a b" 'c"d' "$(echo e)" '$HOME' '&;' 'ü'"""),
    "output": Case("small", r"printf 'a\nb\r\n\033[0m'; printf 'e\n' >&2"),
    "root": Case("small", "id -un"),
    "app": Case("small", "id -un", {"ansible_user": "app"}),
    "unknown-user": Case("small", "id -un", {"ansible_user": "kt-nobody"}),
    "groups": Case("python", 'id -Gn; echo "$HOME"; command -v chpasswd', {"ansible_user": "kt"}),
    "no-address": Case("small", "true", {"ansible_guest_host_connection": "ssh"}),
}
NOWHERE = {
    "ansible_guest_host_connection": "ssh",
    "ansible_guest_host_address": "127.0.0.1",
    "ansible_guest_host_port": 1,
}
#: What is said of each where there is no way to the guest.
NO_WAY: dict[str, dict[str, tuple[Case, str]]] = {
    "docker": {
        "stopped": (Case("stopped"), "stopped on this machine: it is created. Start it"),
        "no-command": (
            Case("small", variables={"ansible_guest_docker_command": "/nowhere/docker"}),
            "/nowhere/docker.*See that .* the host has the docker command",
        ),
        "no-engine": (
            Case("small", variables={"ansible_guest_docker_host": "unix:///nowhere.sock"}),
            "unix:///nowhere.sock.*its engine runs",
        ),
    },
    "lxc": {
        "stopped": (Case("stopped"), "stopped on this machine: it is stopped. Start it"),
        "no-path": (
            Case("small", variables={"ansible_guest_lxc_path": "/nowhere"}),
            "small on this machine: .*doesn't exist.*ansible_guest_lxc_path",
        ),
    },
    "both": {
        "frozen": (Case("frozen"), "frozen on this machine: it is (paused|frozen). Start it"),
        "nobody": (Case("nobody"), "nobody.* See that the guest exists"),
        "bare": (Case("bare"), "bare on this machine: no shell can be run in it"),
        "no-host": (Case("small", variables=NOWHERE), "small on 127.0.0.1: .*Connection refused"),
    },
}


@pytest.fixture(scope="module")
def answers(guests: Guests) -> dict[str, Result]:
    """Of all cases, each a host of its own in one play."""
    cases = {**CASES, **{name: case for name, (case, dummy) in {**NO_WAY[guests.backend], **NO_WAY["both"]}.items()}}
    hosts = {
        name: {"ansible_guest_name": guests(case.guest), "kt_script": case.script, **case.variables}
        for name, case in cases.items()
    }
    inventory = {"all": {"hosts": hosts, "vars": {**CONNECTION, **guests.variables}}}
    run = run_tasks([raw("{{ kt_script }}")], inventory=inventory, hosts="all")
    found = {result.host: result for result in run.results}
    assert set(found) == set(cases), run.output
    return found


def the(run: Run) -> Result:
    assert len(run.results) == 1, run.output
    return run.results[0]


def raw(script: str) -> dict[str, Any]:
    return {"ansible.builtin.raw": script}


@pytest.mark.parametrize("pipelining", ["0", "1"])
def test_modules_and_files(play: Any, guests: Guests, tmp_path: Path, pipelining: str) -> None:
    """5 MB to the guest and back, byte for byte, through modules that transfer them both ways."""
    content = os.urandom(5_000_000) + b"\r\n\x00\x04"
    (tmp_path / "sent").write_bytes(content)
    run = play(
        "python",
        {"ansible.builtin.ping": {}},
        {"ansible.builtin.copy": {"src": str(tmp_path / "sent"), "dest": ODD_PATH, "mode": "0600"}},
        {"ansible.builtin.stat": {"path": ODD_PATH}},
        {"ansible.builtin.fetch": {"src": ODD_PATH, "dest": str(tmp_path / "back"), "flat": True}},
        {"ansible.builtin.setup": {"gather_subset": ["!all", "min"]}},
        {"ansible.builtin.file": {"path": ODD_PATH, "state": "absent"}},
        env={"ANSIBLE_PIPELINING": pipelining},
    )
    assert not any(result.failed for result in run.results), run.output
    assert run.results[2]["stat"]["size"] == len(content)
    assert (tmp_path / "back").read_bytes() == content
    assert run.results[4]["ansible_facts"]["ansible_distribution"] == "Debian"
    assert "WARNING" not in run.stderr, run.stderr


def test_a_file_of_several_pieces_and_an_empty_one(play: Any, guests: Guests, tmp_path: Path) -> None:
    content = os.urandom(LARGE)
    (tmp_path / "large").write_bytes(content)
    (tmp_path / "empty").write_bytes(b"")
    copies = [
        {"ansible.builtin.copy": {"src": str(tmp_path / name), "dest": f"/root/{name}", "mode": "0600"}}
        for name in ("large", "empty")
    ]
    fetches = [
        {"ansible.builtin.fetch": {"src": f"/root/{name}", "dest": str(tmp_path / f"{name}.back"), "flat": True}}
        for name in ("large", "empty")
    ]
    run = play("python", *copies, *fetches, {"ansible.builtin.file": {"path": "/root/large", "state": "absent"}})
    assert not any(result.failed for result in run.results), run.output
    assert (tmp_path / "large.back").read_bytes() == content
    assert (tmp_path / "empty.back").read_bytes() == b""


def test_fetching_what_is_no_file(play: Any) -> None:
    cases = (("/etc", "directory"), ("/no/such", "not exist|No such"))
    tasks = [
        {"ansible.builtin.fetch": {"src": path, "dest": "/tmp/kt-never", "flat": True, "fail_on_missing": True}}
        for path, dummy in cases
    ]
    for result, (dummy, why) in zip(play("python", *tasks).results, cases, strict=True):
        assert result.failed and not result.unreachable
        assert any(each in result.msg for each in why.split("|")), result.msg


@pytest.mark.parametrize("code", CODES)
def test_a_commands_own_failure_is_no_unreachable_guest(answers: dict[str, Result], code: int) -> None:
    """Not even when it says what a missing guest would be said of."""
    result = answers[f"code-{code}"]
    assert (result["rc"], result.failed, result.unreachable) == (code, True, False)
    assert "No such container" in result["stderr"]


def test_quoting(answers: dict[str, Result]) -> None:
    assert answers["quoting"]["stdout"] == 'a b|c"d|e|$HOME|&;|ü|'


def test_the_user_in_the_guest(answers: dict[str, Result]) -> None:
    for user in ("root", "app"):
        assert answers[user]["stdout"].strip() == user
    unknown = answers["unknown-user"]
    assert unknown.unreachable and "kt-nobody" in unknown.msg, unknown.msg


def test_the_users_groups_and_home(answers: dict[str, Result]) -> None:
    """All of them, and what the shell of a login would have."""
    assert answers["groups"]["stdout"].split() == ["kt", "kt-more", "/home/kt", "/usr/sbin/chpasswd"]


@pytest.mark.parametrize("guests", ["lxc"], indirect=True)
def test_nothing_of_the_hosts_environment_is_in_an_lxc_guest(play: Any, guests: Guests) -> None:
    result = the(play("small", raw("env; pwd"), env={"KT_SECRET": PASSWORD, "HOME": os.environ["HOME"]}))
    names = {line.partition("=")[0] for line in result["stdout"].split() if "=" in line}
    assert names <= {"PATH", "HOME", "container", "PWD", "SHLVL", "OLDPWD", "TERM", "_"}, names
    assert "HOME=/root" in result["stdout"].split()
    assert result["stdout"].split()[-1] == "/root"


def test_output_byte_for_byte(answers: dict[str, Result]) -> None:
    """No terminal in between that would turn line ends or mix the two streams."""
    result = answers["output"]
    assert result["stdout"] == "a\nb\r\n\x1b[0m"
    assert result["stderr"].replace("\r\n", "\n").endswith("e\n")


@pytest.mark.parametrize("pipelining", ["0", "1"])
def test_becoming_another_user(play: Any, pipelining: str) -> None:
    task = {
        "ansible.builtin.command": "id -un",
        "become": True,
        "become_method": "ansible.builtin.su",
        "become_user": "kt",
    }
    result = the(
        play("python", task, env={"ANSIBLE_PIPELINING": pipelining}, ansible_shell_allow_world_readable_temp=True)
    )
    assert (result["stdout"], result.failed) == ("kt", False), result.json


@pytest.mark.parametrize("pipelining", ["0", "1"])
def test_becoming_root_with_a_password(play: Any, pipelining: str) -> None:
    """The prompt is answered by Ansible's own connection underneath."""
    become = {"become": True, "become_method": "ansible.builtin.su", "become_user": "root"}
    env = {"ANSIBLE_PIPELINING": pipelining, "ANSIBLE_TIMEOUT": "20"}
    tasks = [{"ansible.builtin.command": "id -un", **become}, {**raw(r"id -un; printf 'a\nb'; echo e >&2"), **become}]
    result, plain = play("python", *tasks, env=env, ansible_user="kt", ansible_become_password=PASSWORD).results
    assert (result.json.get("stdout"), result.failed) == ("root", False), result.json
    assert PASSWORD not in result.stdout + result.stderr
    # The terminal on which the password is asked for is none in the guest: line ends stay, and so do the two streams
    # apart.
    assert plain["stdout"] == "root\na\nb", plain.json
    assert "e\n" in plain["stderr"], plain.json


def test_a_wrong_password_is_said(play: Any) -> None:
    become = {"become": True, "become_method": "ansible.builtin.su", "become_user": "root"}
    task = {"ansible.builtin.command": "id -un", **become}
    result = the(
        play("python", task, env={"ANSIBLE_TIMEOUT": "5"}, ansible_user="kt", ansible_become_password="wrong-word")
    )
    assert result.failed
    assert "wrong-word" not in result.stdout + result.stderr


def test_no_way_to_the_guest(answers: dict[str, Result], guests: Guests) -> None:
    # Not a parameter each: beside that of the guests, pytest would make those anew for each case.
    for name, (case, why) in {**NO_WAY[guests.backend], **NO_WAY["both"]}.items():
        result = answers[name]
        assert result.unreachable, (name, result.json)
        assert re.search(why, " ".join(result.msg.split())), (name, result.msg)
        assert guests(case.guest) in result.msg, name


def test_a_guest_that_stops_under_a_command(play: Any, guests: Guests) -> None:
    guests.create("dying")
    # The engine may not have noticed yet when the command is gone; then it is the command that failed.
    assert the(play("dying", raw("kill -TERM 1; sleep 20"))).failed
    guests.until_stopped("dying")
    after = the(play("dying", raw("true")))
    assert after.unreachable and f"it is {guests.stopped}" in after.msg


def test_a_file_for_a_guest_that_is_down(guests: Guests, tmp_path: Path) -> None:
    """The plugin's own way of moving files, without a module before it."""
    (tmp_path / "script").write_text("#!/bin/sh\necho done\n")
    names = ("stopped", "small")
    inventory = {"all": {"hosts": {guests(name): {} for name in names}, "vars": {**CONNECTION, **guests.variables}}}
    run = run_tasks([{"ansible.builtin.script": str(tmp_path / "script")}], inventory=inventory, hosts="all")
    found = {result.host: result for result in run.results}
    assert found[guests("stopped")].unreachable
    assert found[guests("small")]["stdout"].strip() == "done"


def test_ssh_needs_an_address(answers: dict[str, Result]) -> None:
    result = answers["no-address"]
    assert result.failed and "Set ansible_guest_host_address" in result.msg


def test_reset(play: Any) -> None:
    run = play("small", raw("echo one"), {"ansible.builtin.meta": "reset_connection"}, raw("echo two"))
    assert [result["stdout"].strip() for result in run.results] == ["one", "two"], run.output
