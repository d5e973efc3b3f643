# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Guests on several hosts over ssh: found side by side, told apart, and reached; one host may be dead."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.lab.hosts import Lab, LabHost
from tests.lab.images import ENGINES, HostImage
from tests.support.ansible_runner import Run, environment, run_adhoc, run_inventory
from tests.support.images import root_tar
from tests.support.module_process import module_process

CONNECT_TIMEOUT = 20
#: Under any load, what a run may take more than another that does the same; below the other, so that one wait is told
#: from two.
SLACK = 15

GUEST_USER = "app"
CONTAINER = "kraal.virt.docker_container"

#: Makes a container of the archive on its standard input.
MAIL = """mkdir --parents /var/lib/lxc/mail/rootfs && tar --extract --directory /var/lib/lxc/mail/rootfs && cat > /var/lib/lxc/mail/config << END
lxc.uts.name = mail
lxc.rootfs.path = dir:/var/lib/lxc/mail/rootfs
lxc.init.cmd = /bin/kt-guest
lxc.net.0.type = empty
END"""

#: The plugin without modules, which would need a Python in the guest: moves a file to a guest and back.
MOVE = """
import json, sys
from ansible.plugins.loader import connection_loader, init_plugin_loader
from ansible.playbook.play_context import PlayContext
init_plugin_loader()
options, sent, path, back = json.loads(sys.argv[1]), *sys.argv[2:]
connection = connection_loader.get("kraal.virt.guest", PlayContext(), "/dev/null")
connection.set_options(direct=options)
connection.put_file(sent, path)
connection.fetch_file(path, back)
connection.close()
"""


@pytest.fixture(scope="module")
def hosts(lab: Lab) -> Iterator[list[LabHost]]:
    """Three hosts with Docker and LXC.

    The first two have a guest `web` each, the first one `db` too, and the second one `mail` of LXC, which is stopped.
    """
    image = HostImage("bookworm", packages=ENGINES)
    machines = lab.up(image, image, image)
    for number, host in enumerate(machines):
        load = "docker import --change 'CMD [\"/bin/kt-guest\"]' --change 'ENV PATH=/bin' - kt:1"
        subprocess.run([*host.ssh_args, load], input=root_tar(host.name), check=True)
        for name in ("web", "db")[: 2 - number]:
            lab.run(
                host,
                ["docker", "run", "--detach", "--name", name, "--network", "none", "--label", f"role={name}", "kt:1"],
            )
    subprocess.run([*machines[1].ssh_args, MAIL], input=root_tar("mail"), check=True)
    yield machines


@pytest.fixture
def source(lab: Lab, hosts: list[LabHost], tmp_path: Path) -> Any:
    """A folder with the hosts and, behind them, their guests."""
    (tmp_path / "inventory").mkdir()
    (tmp_path / "inventory" / "10-hosts.yml").write_text(yaml.safe_dump(lab.inventory()))

    def write(**config: Any) -> Path:
        data = {
            "plugin": "kraal.virt.guests",
            "host_groups": ["virt_hosts"],
            "connect_timeout": CONNECT_TIMEOUT,
            **config,
        }
        (tmp_path / "inventory" / "20-guests.yml").write_text(yaml.safe_dump(data))
        return tmp_path / "inventory"

    return write


def timed(inventory: Path) -> tuple[Run, float]:
    begin = time.monotonic()
    run = run_inventory(inventory, "--graph", "--vars")
    return run, time.monotonic() - begin


def members(inventory: Path, group: str) -> list[str]:
    run = run_inventory(inventory, "--list")
    assert run.rc == 0, run.output
    found: list[str] = json.loads(run.stdout).get(group, {}).get("hosts", [])
    return sorted(found)


def test_found_told_apart_and_reached(source: Any, hosts: list[LabHost]) -> None:
    one, two, three = hosts
    inventory = source()
    guests = sorted(["db", f"web.{one.name}", f"web.{two.name}"])
    assert members(inventory, "kraal_guests") == guests
    assert members(inventory, "label_role_web") == guests[1:]
    assert members(inventory, f"host_{two.name.replace('-', '_')}") == [f"web.{two.name}"]
    assert members(inventory, f"host_{three.name.replace('-', '_')}") == []
    run = run_adhoc("kraal_guests", "ansible.builtin.raw", "cat /etc/kt-release", inventory=inventory)
    said = {result.host: result["stdout"].strip() for result in run.results}
    assert said == {"db": one.name, f"web.{one.name}": one.name, f"web.{two.name}": two.name}, run.output


def test_codes_and_words_come_back_over_ssh(source: Any, hosts: list[LabHost]) -> None:
    """ssh's own code for a connection that failed is a code like any other when a command gives it."""
    inventory = source()
    for code in (1, 126, 127, 254, 255):
        run = run_adhoc("db", "ansible.builtin.raw", f"echo said; echo why >&2; exit {code}", inventory=inventory)
        (result,) = run.results
        assert (result["rc"], result["stdout"].strip(), result.unreachable) == (code, "said", False)
        assert result["stderr"].replace(f"Shared connection to {hosts[0].address} closed.", "").strip() == "why"


def test_the_guests_user_is_not_the_hosts(source: Any, hosts: list[LabHost]) -> None:
    run = run_adhoc("db", "ansible.builtin.raw", "id -un", inventory=source(), options=["--user", GUEST_USER])
    assert run.results[0]["stdout"].strip() == GUEST_USER, run.output


@pytest.fixture
def mail(lab: Lab, hosts: list[LabHost]) -> Iterator[LabHost]:
    """The host of the LXC guest, which runs meanwhile."""
    lab.run(hosts[1], ["lxc-start", "--name", "mail"])
    yield hosts[1]
    lab.run(hosts[1], ["lxc-stop", "--name", "mail", "--kill"])


def test_an_lxc_guest_on_another_host(source: Any, mail: LabHost, lab: Lab, tmp_path: Path) -> None:
    """Found beside those of Docker and entered as they are: codes, words, users, and files byte for byte."""
    inventory = source()
    assert members(inventory, "lxc") == ["mail"]
    for code in (0, 1, 126, 127, 254, 255):
        (result,) = run_adhoc(
            "lxc", "ansible.builtin.raw", f"cat /etc/kt-release; echo why >&2; exit {code}", inventory=inventory
        ).results
        assert (result["rc"], result["stdout"].strip(), result.unreachable) == (code, "mail", False)
        assert result["stderr"].replace(f"Shared connection to {mail.address} closed.", "").strip() == "why"
    run = run_adhoc(
        "lxc", "ansible.builtin.raw", "id -un; echo $HOME", inventory=inventory, options=["--user", GUEST_USER]
    )
    assert run.results[0]["stdout"].split() == [GUEST_USER, f"/home/{GUEST_USER}"], run.output
    move("mail", mail, tmp_path, backend="lxc")
    lab.run(mail, ["lxc-freeze", "--name", "mail"])
    try:
        (result,) = run_adhoc("lxc", "ansible.builtin.raw", "true", inventory=source(states=["paused"])).results
        assert result.unreachable and f"lxc guest mail on {mail.address}: it is frozen" in result.msg
    finally:
        lab.run(mail, ["lxc-unfreeze", "--name", "mail"])


def test_files_over_ssh(hosts: list[LabHost], tmp_path: Path) -> None:
    move("db", hosts[0], tmp_path)


def move(guest: str, host: LabHost, tmp_path: Path, **more: str) -> None:
    """A file to a guest and back."""
    content = os.urandom(5_000_000)
    (tmp_path / "sent").write_bytes(content)
    options = {
        "guest": guest,
        "host_connection": "ssh",
        "host_address": host.address,
        "host_user": "root",
        "host_private_key_file": str(host.key),
        "host_ssh_args": host.inventory["ansible_ssh_common_args"],
        **more,
    }
    argv = [
        sys.executable,
        "-c",
        MOVE,
        json.dumps(options),
        str(tmp_path / "sent"),
        "/data/a b",
        str(tmp_path / "back"),
    ]
    subprocess.run(argv, check=True, env=environment({"ANSIBLE_HOME": str(tmp_path / "home")}))
    assert (tmp_path / "back").read_bytes() == content


def test_a_stopped_guest_on_another_host(source: Any, lab: Lab, hosts: list[LabHost]) -> None:
    lab.run(hosts[0], ["docker", "stop", "db"])
    try:
        run = run_adhoc("db", "ansible.builtin.raw", "true", inventory=source(states=["running", "stopped"]))
        (result,) = run.results
        assert result.unreachable
        assert f"docker guest db on {hosts[0].address}: it is exited" in result.msg
    finally:
        lab.run(hosts[0], ["docker", "start", "db"])


def test_an_engine_over_ssh(source: Any, lab: Lab, hosts: list[LabHost]) -> None:
    """The docker command's own way: found without a login file on the host, and reached."""
    inventory = source(host_groups=[], endpoints=[{"name": "engine", "docker_host": f"ssh://root@{hosts[0].address}"}])
    env = {"PATH": f"{lab.ssh_program()}:{os.environ['PATH']}"}
    run = run_adhoc("kraal_guests", "ansible.builtin.raw", "cat /etc/kt-release", inventory=inventory, env=env)
    assert {result.host: result["stdout"].strip() for result in run.results} == {
        "db": hosts[0].name,
        "web": hosts[0].name,
    }, run.output


def test_the_modules_on_an_engine_over_ssh(lab: Lab, hosts: list[LabHost]) -> None:
    env = {"PATH": f"{lab.ssh_program()}:{os.environ['PATH']}"}
    guest = {
        "name": "far",
        "image": "kt:1",
        "pull": "never",
        "network_mode": "none",
        "stop_timeout": 1,
        "docker_host": f"ssh://root@{hosts[1].address}",
    }
    made = module_process(CONTAINER, guest, env=env)
    assert not made.failed and made["guest"]["state"] == "running", made.msg
    assert lab.run(hosts[1], ["docker", "inspect", "--format", "{{.State.Status}}", "far"]).stdout.strip() == "running"
    assert not module_process(CONTAINER, guest, env=env).changed
    assert [step["action"] for step in module_process(CONTAINER, {**guest, "env": {"KT_A": "1"}}, env=env)["plan"]] == [
        "recreate"
    ]
    gone = module_process(CONTAINER, {**guest, "state": "absent"}, env=env)
    assert not gone.failed and "far" not in lab.run(hosts[1], ["docker", "ps", "--all"]).stdout


def test_become_on_the_host(source: Any, lab: Lab, hosts: list[LabHost]) -> None:
    """sudo is not there: the remedy is told, and the others are asked all the same."""
    run = run_inventory(
        source(
            host_groups=[], hosts=[{"name": "localhost", "connection": "local", "become": True, "python": "/nowhere"}]
        ),
        "--graph",
    )
    assert run.rc == 0
    host = hosts[1]
    config = {"name": "two", "address": host.address, "user": "root", "private_key_file": str(host.key), "become": True}
    run = run_inventory(
        source(host_groups=[], hosts=[{**config, "ssh_args": host.inventory["ansible_ssh_common_args"]}]), "--graph"
    )
    assert "two: the discovery ended with code 127" in " ".join(run.stderr.split()), run.stderr


def test_one_host_is_dead(source: Any, lab: Lab, hosts: list[LabHost]) -> None:
    """Its processes hang, so that it takes connections and answers nobody: the inventory waits for it once, and
    while the others are asked.
    """
    inventory = source()
    _run, alive = timed(inventory)
    lab.freeze(hosts[2])
    try:
        run, took = timed(inventory)
    finally:
        lab.thaw(hosts[2])
    assert f"web.{hosts[1].name}" in run.stdout
    assert f"{hosts[2].name}: no connection" in " ".join(run.stderr.split())
    assert took < alive + CONNECT_TIMEOUT + SLACK, (alive, took)


def test_one_host_is_cut_off(source: Any, lab: Lab, hosts: list[LabHost]) -> None:
    inventory = source()
    lab.cut(hosts[1])
    try:
        run = run_inventory(inventory, "--list")
        assert f"{hosts[1].name}: no connection" in " ".join(run.stderr.split())
        # Nobody shares its name now.
        assert sorted(json.loads(run.stdout)["kraal_guests"]["hosts"]) == ["db", "web"]
    finally:
        lab.restore(hosts[1])
