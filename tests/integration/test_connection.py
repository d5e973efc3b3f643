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
from collections.abc import Iterator
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


#: In the guest with Python: a user, and a password for root.
PREPARE = f"useradd --create-home --shell /bin/bash kt && echo root:{PASSWORD} | chpasswd"


class DockerGuests:
    """A guest with Python, one without, one that is stopped, one that is frozen, and one without a shell."""

    variables = {"ansible_guest_backend": "docker"}
    stopped = "exited"

    def __init__(self, client: docker.APIClient, prefix: str, small: str) -> None:
        self.client, self.prefix, self.image = client, f"{prefix}c-", small

    def fill(self) -> None:
        client, small = self.client, self.image
        with images.locked(images.REPOSITORY):
            self._create("python", HostImage("bookworm").load(client), ["sleep", "infinity"], init=True)
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

    def _create(self, name: str, image: str, command: list[str] | None = None, *, start: bool = True, init: bool = False) -> None:
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

    stopped = "stopped"

    def __init__(self, prefix: str) -> None:
        self.prefix, self.path = f"{prefix}c-", Path(tempfile.mkdtemp(prefix="kt-connection-"))
        self.path.chmod(0o755)
        self.variables = {"ansible_guest_backend": "lxc", "ansible_guest_lxc_path": str(self.path)}

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
            [f"lxc-{action}", "-P", str(self.path), "-n", self(name), *argv], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
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
                subprocess.run([*action, "-P", str(self.path), "-n", home.name], stdin=subprocess.DEVNULL, capture_output=True, check=False)
        shutil.rmtree(self.path)


Guests = DockerGuests | LxcGuests


def _only_busybox() -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        tar.add(BUSYBOX, "busybox")
    return out.getvalue()


@pytest.fixture(scope="module", params=["docker", "lxc"])
def guests(request: pytest.FixtureRequest, docker_api: docker.APIClient, prefix: str, base_image: str, lab_images: None) -> Iterator[Guests]:
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
    copies = [{"ansible.builtin.copy": {"src": str(tmp_path / name), "dest": f"/root/{name}", "mode": "0600"}} for name in ("large", "empty")]
    fetches = [{"ansible.builtin.fetch": {"src": f"/root/{name}", "dest": str(tmp_path / f"{name}.back"), "flat": True}} for name in ("large", "empty")]
    run = play("python", *copies, *fetches, {"ansible.builtin.file": {"path": "/root/large", "state": "absent"}})
    assert not any(result.failed for result in run.results), run.output
    assert (tmp_path / "large.back").read_bytes() == content
    assert (tmp_path / "empty.back").read_bytes() == b""


def test_fetching_what_is_no_file(play: Any) -> None:
    for path, why in (("/etc", "directory"), ("/no/such", "not exist|No such")):
        result = the(play("python", {"ansible.builtin.fetch": {"src": path, "dest": "/tmp/kt-never", "flat": True, "fail_on_missing": True}}))
        assert result.failed and not result.unreachable
        assert any(each in result.msg for each in why.split("|")), result.msg


@pytest.mark.parametrize("code", [1, 125, 126, 127, 255])
def test_a_commands_own_failure_is_no_unreachable_guest(play: Any, code: int) -> None:
    """Not even when it says what a missing guest would be said of."""
    result = the(play("small", raw(f"echo 'Error: No such container' >&2; exit {code}")))
    assert (result["rc"], result.failed, result.unreachable) == (code, True, False)
    assert "No such container" in result["stderr"]


def test_quoting(play: Any) -> None:
    result = the(play("small", raw("""printf '%s|' "a b" 'c"d' "$(echo e)" '$HOME' '&;' 'ü'""")))
    assert result["stdout"] == 'a b|c"d|e|$HOME|&;|ü|'


def test_the_user_in_the_guest(play: Any) -> None:
    assert the(play("small", raw("id -un")))["stdout"].strip() == "root"
    assert the(play("small", raw("id -un"), ansible_user="app"))["stdout"].strip() == "app"
    unknown = the(play("small", raw("id -un"), ansible_user="kt-nobody"))
    assert unknown.unreachable and "kt-nobody" in unknown.msg, unknown.msg


def test_the_users_groups_and_home(play: Any, guests: Guests) -> None:
    """All of them, and what the shell of a login would have."""
    guests.run("python", "groupadd --force kt-more && usermod --append --groups kt-more kt")
    result = the(play("python", raw('id -Gn; echo "$HOME"; command -v chpasswd'), ansible_user="kt"))
    assert result["stdout"].split() == ["kt", "kt-more", "/home/kt", "/usr/sbin/chpasswd"]


@pytest.mark.parametrize("guests", ["lxc"], indirect=True)
def test_nothing_of_the_hosts_environment_is_in_an_lxc_guest(play: Any, guests: Guests) -> None:
    result = the(play("small", raw("env; pwd"), env={"KT_SECRET": PASSWORD, "HOME": os.environ["HOME"]}))
    names = {line.partition("=")[0] for line in result["stdout"].split() if "=" in line}
    assert names <= {"PATH", "HOME", "container", "PWD", "SHLVL", "OLDPWD", "TERM", "_"}, names
    assert "HOME=/root" in result["stdout"].split()
    assert result["stdout"].split()[-1] == "/root"


def test_output_byte_for_byte(play: Any) -> None:
    """No terminal in between that would turn line ends or mix the two streams."""
    result = the(play("small", raw(r"printf 'a\nb\r\n\033[0m'; printf 'e\n' >&2")))
    assert result["stdout"] == "a\nb\r\n\x1b[0m"
    assert result["stderr"].replace("\r\n", "\n").endswith("e\n")


@pytest.mark.parametrize("pipelining", ["0", "1"])
def test_becoming_another_user(play: Any, pipelining: str) -> None:
    task = {"ansible.builtin.command": "id -un", "become": True, "become_method": "ansible.builtin.su", "become_user": "kt"}
    result = the(play("python", task, env={"ANSIBLE_PIPELINING": pipelining}, ansible_shell_allow_world_readable_temp=True))
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
    # The terminal on which the password is asked for is none in the guest: line ends stay, and so do the two streams apart.
    assert plain["stdout"] == "root\na\nb", plain.json
    assert "e\n" in plain["stderr"], plain.json


def test_a_wrong_password_is_said(play: Any) -> None:
    become = {"become": True, "become_method": "ansible.builtin.su", "become_user": "root"}
    task = {"ansible.builtin.command": "id -un", **become}
    result = the(play("python", task, env={"ANSIBLE_TIMEOUT": "5"}, ansible_user="kt", ansible_become_password="wrong-word"))
    assert result.failed
    assert "wrong-word" not in result.stdout + result.stderr


NOWHERE = {"ansible_guest_host_connection": "ssh", "ansible_guest_host_address": "127.0.0.1", "ansible_guest_host_port": 1}
NO_WAY: dict[str, list[tuple[str, dict[str, Any], str]]] = {
    "docker": [
        ("stopped", {}, "stopped on this machine: it is created. Start it"),
        ("small", {"ansible_guest_docker_command": "/nowhere/docker"}, "/nowhere/docker.*See that .* the host has the docker command"),
        ("small", {"ansible_guest_docker_host": "unix:///nowhere.sock"}, "unix:///nowhere.sock.*its engine runs"),
    ],
    "lxc": [
        ("stopped", {}, "stopped on this machine: it is stopped. Start it"),
        ("small", {"ansible_guest_lxc_path": "/nowhere"}, "small on this machine: .*doesn't exist.*ansible_guest_lxc_path"),
    ],
    "both": [
        ("frozen", {}, "frozen on this machine: it is (paused|frozen). Start it"),
        ("nobody", {}, "nobody.* See that the guest exists"),
        ("bare", {}, "bare on this machine: no shell can be run in it"),
        ("small", NOWHERE, "small on 127.0.0.1: .*Connection refused"),
    ],
}


@pytest.mark.parametrize(
    ("guests", "guest", "variables", "why"),
    [(backend, *case) for backend in ("docker", "lxc") for case in NO_WAY[backend] + NO_WAY["both"]],
    indirect=["guests"],
    ids=str,
    # Or pytest would make the guests anew for each case.
    scope="module",
)
def test_no_way_to_the_guest(play: Any, guests: Guests, guest: str, variables: dict[str, Any], why: str) -> None:
    result = the(play(guest, raw("true"), **variables))
    assert result.unreachable, result.json
    assert re.search(why, " ".join(result.msg.split())), result.msg
    assert guests(guest) in result.msg


def test_a_guest_that_stops_under_a_command(play: Any, guests: Guests) -> None:
    guests.create("dying")
    # The engine may not have noticed yet when the command is gone; then it is the command that failed.
    assert the(play("dying", raw("kill -TERM 1; sleep 20"))).failed
    guests.until_stopped("dying")
    after = the(play("dying", raw("true")))
    assert after.unreachable and f"it is {guests.stopped}" in after.msg


def test_a_file_for_a_guest_that_is_down(play: Any, tmp_path: Path) -> None:
    """The plugin's own way of moving files, without a module before it."""
    (tmp_path / "script").write_text("#!/bin/sh\necho done\n")
    assert the(play("stopped", {"ansible.builtin.script": str(tmp_path / "script")})).unreachable
    assert the(play("small", {"ansible.builtin.script": str(tmp_path / "script")}))["stdout"].strip() == "done"


def test_ssh_needs_an_address(play: Any) -> None:
    result = the(play("small", raw("true"), ansible_guest_host_connection="ssh"))
    assert result.failed and "Set ansible_guest_host_address" in result.msg


def test_reset(play: Any) -> None:
    run = play("small", raw("echo one"), {"ansible.builtin.meta": "reset_connection"}, raw("echo two"))
    assert [result["stdout"].strip() for result in run.results] == ["one", "two"], run.output
