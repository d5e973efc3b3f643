# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A virtual machine without an address, entered through its guest agent: commands, files, the inventory, and what is
said when there is no way.

The guest has a busybox and no Python; most tests use the connection itself, and some whole runs of `ansible`.
"""

from __future__ import annotations

import json
import os
import re
import socket
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.errors import AnsibleConnectionFailure, AnsibleError
from ansible.playbook.play_context import PlayContext
from ansible.plugins.loader import become_loader, connection_loader

from tests.support.ansible_runner import execute, run_inventory, run_tasks
from tests.support.libvirt_calls import Calls
from tests.support.libvirt_daemon import LibvirtDaemon
from tests.support.libvirt_driver import LibvirtModule
from tests.support.module_process import module_environment, module_process
from tests.support.tiny_guest import TinyGuest, ask

from .driver import Driver

AGENT = "org.qemu.guest_agent.0"
NAME = "kt-agent"


@pytest.fixture(scope="module")
def guest(host: LibvirtDaemon, module: LibvirtModule) -> Iterator[Driver]:
    """A guest without a network, and beside it one that is off and two without an operating system, of which one has
    a channel for an agent.
    """
    boot = TinyGuest.build().boot
    driver = Driver(host, module, NAME, {"type": "qemu"})
    driver.make(**boot, channels=[AGENT], memory="256MiB", wait_for="agent", timeout=180)
    small = {"memory": "64MiB", "type": "qemu"}
    driver.of("kt-off").make(**small, state="stopped")
    driver.of("kt-mute").make(**small)
    driver.of("kt-dead").make(**small, channels=[AGENT])
    yield driver
    driver.clear()


def until_agent(guest: Driver, seconds: float = 120, *, lets: bool = True) -> None:
    """The agent answers and lets guest-exec be used, or lets it not."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        said = guest.host.virsh(
            "qemu-agent-command", guest.name, '{"execute": "guest-info"}', "--timeout", "5", check=False
        ).strip()
        commands = json.loads(said)["return"]["supported_commands"] if said else []
        if any(command["name"] == "guest-exec" and command["enabled"] is lets for command in commands):
            return
        time.sleep(0.5)
    raise TimeoutError("the agent did not come back")


@pytest.fixture
def spoiled(guest: Driver) -> Iterator[Driver]:
    """The guest, of which nothing is left to the next test."""
    if guest.state() != "running":
        guest.host.virsh("start", guest.name)
        until_agent(guest)
    yield guest
    guest.host.virsh("destroy", guest.name, check=False)


@pytest.fixture
def connect(guest: Driver) -> Iterator[Callable[..., Any]]:
    """The connection plugin itself, to a guest of that name, with more options."""
    made = []

    def to(name: str = NAME, **options: Any) -> Any:
        connection = connection_loader.get("kraal.virt.guest", PlayContext(), None)
        connection.set_options(direct={"guest": name, "backend": "kvm", "libvirt_uri": guest.host.uri, **options})
        made.append(connection)
        return connection

    yield to
    for connection in made:
        connection.close()


def inventory(guest: Driver, *names: str) -> dict[str, Any]:
    variables = {
        "ansible_connection": "kraal.virt.guest",
        "ansible_guest_backend": "kvm",
        "ansible_guest_libvirt_uri": guest.host.uri,
    }
    return {"all": {"hosts": {name: {} for name in names or (NAME,)}, "vars": variables}}


def raw(script: str, **more: Any) -> dict[str, Any]:
    return {"ansible.builtin.raw": script, **more}


def left(guest: Driver) -> list[str]:
    """What lies in the guest where commands keep what passes through."""
    return ask(guest.host, guest.name, "/bin/sh", "-c", "cd /tmp; ls -d kraal-* || true").split()


def settings(guest: Driver) -> list[str]:
    """What libvirt has noted for the running guest of its agent: the time limit, whether its own commands were
    passed on (it is tainted then).
    """
    status = guest.host.directory / "run" / "libvirt" / "qemu" / f"{guest.name}.xml"
    return [line.strip() for line in status.read_text().splitlines() if "<agentTimeout" in line or "<taint" in line]


def looked(guest: Driver, calls: Calls) -> list[Any]:
    """The addresses that only the agent knows, as all see them who look."""
    env = {**calls.environment(module_environment()["PYTHONPATH"]), "LIBVIRT_DEFAULT_URI": guest.host.uri}
    listed = module_process(
        "kraal.virt.guests_info",
        {"backends": ["kvm"], "names": [NAME], "address_sources": ["agent"]},
        env=env,
        timeout=60,
    )
    checked = module_process(
        "kraal.virt.kvm_vm", guest.arguments(memory=..., address_sources=["agent"]), check=True, env=env, timeout=60
    )
    assert not listed.failed and not checked.failed, (listed.msg, checked.msg)
    assert "virDomain.interfaceAddresses AGENT" in calls.asked
    calls.assert_only_reads()
    found: list[Any] = listed["guests"][0]["addresses"]
    assert checked["guest"]["addresses"] == found
    return found


def test_who_looks_sets_nothing(guest: Driver, calls: Calls) -> None:
    """The first in this file: nobody has passed a command of his own on to the agent yet.

    An administrator's time limit stays.
    """
    before = settings(guest)
    looked(guest, calls)
    assert settings(guest) == before
    guest.host.virsh("guest-agent-timeout", NAME, "--timeout", "7")
    looked(guest, calls)
    assert "<agentTimeout>7</agentTimeout>" in settings(guest)
    guest.host.virsh("guest-agent-timeout", NAME, "--timeout", "-2")
    assert settings(guest) == before


def test_a_play(guest: Driver, tmp_path: Path) -> None:
    (tmp_path / "script").write_text('#!/bin/sh\necho "in $PWD: $1"; exit 4\n')
    tasks = [
        raw("uname -r; echo e >&2"),
        {"ansible.builtin.script": f"{tmp_path / 'script'} 'a b'", "ignore_errors": True},
        {"ansible.builtin.meta": "reset_connection"},
        raw("id -un", become=True, become_method="ansible.builtin.su", become_user="app"),
        raw("id -un; pwd", vars={"ansible_user": "app"}),
    ]
    uname, script, become, user = run_tasks(tasks, inventory=inventory(guest), hosts="all").results
    assert (uname["rc"], uname["stdout"].endswith("cloud-amd64\n"), uname["stderr"]) == (0, True, "e\n")
    assert (script["rc"], script["stdout"]) == (4, "in /root: a b\n"), script.json
    assert become["stdout"].strip() == "app", become.json
    assert user["stdout"].split() == ["app", "/home/app"], user.json
    assert left(guest) == []


def test_an_address_of_an_interface_that_the_domain_does_not_have_is_none(guest: Driver) -> None:
    """Like that of a bridge which the guest has made: ssh would reach somebody else, most likely the hypervisor."""
    address = ["/bin/busybox", "ip", "address"]
    ask(guest.host, guest.name, *address, "add", "192.0.2.9/32", "dev", "lo")
    try:
        assert "192.0.2.9" in guest.host.virsh("domifaddr", guest.name, "--source", "agent", "--full")
        assert guest.run(check=True, state="present", address_sources=["agent"])["guest"]["addresses"] == []
    finally:
        ask(guest.host, guest.name, *address, "del", "192.0.2.9/32", "dev", "lo")


def test_a_commands_own_code_and_words(connect: Callable[..., Any]) -> None:
    for code in (1, 126, 255):
        assert connect().exec_command(f"echo out; echo 'Domain not found' >&2; exit {code}") == (
            code,
            b"out\n",
            b"Domain not found\n",
        )


def test_quoting_bytes_environment_and_place(connect: Callable[..., Any]) -> None:
    connection = connect()
    assert (
        connection.exec_command("""printf '%s|' "a b" 'c"d' "$(echo e)" '$HOME' '&;' 'ü'""")[1].decode()
        == 'a b|c"d|e|$HOME|&;|ü|'
    )
    assert connection.exec_command(r"printf 'a\nb\r\n\033[0m\377\000z'")[1] == b"a\nb\r\n\x1b[0m\xff\x00z"
    assert connection.exec_command("echo a > /proc/self/fd/2; echo b > /proc/self/fd/2")[2] == b"a\nb\n"
    words = connection.exec_command("env; pwd")[1].decode().split()
    assert {word.partition("=")[0] for word in words if "=" in word} <= {"PATH", "HOME", "PWD", "OLDPWD", "SHLVL"}
    assert "HOME=/root" in words and words[-1] == "/root"
    assert "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" in words


def test_a_command_that_a_signal_ends(connect: Callable[..., Any], guest: Driver) -> None:
    assert connect().exec_command("kill -9 $$")[0] == 137
    assert connect(remote_user="app").exec_command("kill -15 $$")[0] == 143
    assert left(guest) == []


@pytest.mark.parametrize(("size", "user"), [(1, None), (100_000, "app"), (2_500_000, None)])
def test_standard_input_and_output_of_any_size(
    connect: Callable[..., Any], guest: Driver, size: int, user: str | None
) -> None:
    """Also beyond what libvirt and the agent would carry in one message."""
    data = os.urandom(size)
    code, out, err = connect(remote_user=user).exec_command(
        "cat > /tmp/$$ && cat /tmp/$$ && cat /tmp/$$ >&2 && rm /tmp/$$", in_data=data
    )
    assert (code, out == data, err == data) == (0, True, True)
    assert left(guest) == []


def test_no_standard_input_is_an_empty_one(connect: Callable[..., Any]) -> None:
    assert connect().exec_command("cat; echo end")[1] == b"end\n"


@pytest.mark.parametrize("size", [0, 7, 2_500_000])
def test_files_there_and_back(
    connect: Callable[..., Any], guest: Driver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    """In more than one of the pieces that the plugin moves."""
    path = "/root/kt 'quoted' & \"doubly\"; *?ü"
    (tmp_path / "sent").write_bytes(os.urandom(size))
    connection = connect()
    monkeypatch.setattr(sys.modules[type(connection).__module__], "CHUNK", 1024 * 1024)
    connection.put_file(str(tmp_path / "sent"), path)
    connection.fetch_file(path, str(tmp_path / "back"))
    assert (tmp_path / "back").read_bytes() == (tmp_path / "sent").read_bytes()
    assert left(guest) == []


def test_files_that_cannot_be_moved(connect: Callable[..., Any], tmp_path: Path) -> None:
    for path, why in (("/etc", "it is a directory"), ("/no/such", "No such file|can't open|nonexistent")):
        with pytest.raises(AnsibleError, match=f"could not be read.*({why})"):
            connect().fetch_file(path, str(tmp_path / "back"))
    (tmp_path / "sent").write_bytes(b"x")
    with pytest.raises(AnsibleError, match="could not be written"):
        connect(remote_user="app").put_file(str(tmp_path / "sent"), "/root/kt-denied")


def test_what_passes_through_is_for_root_alone(connect: Callable[..., Any], guest: Driver) -> None:
    code, out, _err = connect(remote_user="app").exec_command(
        "cat > /dev/null; ls -ld /tmp/kraal-*; ls /tmp/kraal-* 2>&1", in_data=b"x" * 200_000
    )
    assert out.startswith(b"drwx------") and b"ermission denied" in out and code != 0, out


def test_a_long_command_with_the_longest_input_that_goes_with_it(connect: Callable[..., Any]) -> None:
    """The longest message of all: libvirt would garble a longer one, and nobody could speak to the agent any more."""
    words = "x" * 100_000
    assert connect().exec_command(f"echo {words}; wc -c", in_data=b"y" * 16384)[1].split() == [words.encode(), b"16384"]


def test_a_password_cannot_be_given(connect: Callable[..., Any]) -> None:
    become = become_loader.get("ansible.builtin.su")
    become.set_options(direct={"become_user": "root", "become_pass": "kt-secret-word"})
    become.prompt = True
    connection = connect(remote_user="app")
    connection.set_become_plugin(become)
    with pytest.raises(AnsibleConnectionFailure, match="a password is asked for, which cannot be given.*Enter as root"):
        connection.exec_command("printf 'Password: '; exit 1")
    assert connection.exec_command("cat; echo end")[1] == b"end\n"


# What is said when there is no way.

NOWHERE = "qemu+unix:///system?socket=/nowhere/libvirt-sock"
NO_WAY: list[tuple[str, dict[str, Any], str]] = [
    ("kt-off", {}, "kt-off on .*: it is shut off. Start it"),
    ("kt-nobody", {}, "kt-nobody on .*: Domain not found: .* See that the guest exists"),
    (
        "kt-mute",
        {},
        "kt-mute on .*: it has no channel to a guest agent. Give the machine the channel org.qemu.guest_agent.0",
    ),
    (
        "kt-dead",
        {},
        "kt-dead on .*: its guest agent is not to be spoken to: .*not connected. Install and start qemu-guest-agent",
    ),
    (NAME, {"libvirt_uri": NOWHERE}, "on qemu.*/nowhere/.*: libvirt at .* cannot be used: .* See that it runs there"),
    (NAME, {"host_python": "/nowhere/python3"}, "/nowhere/python3.* See that the host has python3-libvirt"),
    (NAME, {"host_python": sys.executable}, "on the host has no libvirt .* Install python3-libvirt there"),
    (NAME, {"remote_user": "kt-nobody"}, "no shell can be run in it: .*kt-nobody"),
]


@pytest.mark.parametrize(("name", "options", "why"), NO_WAY, ids=lambda value: str(value)[:20])
def test_no_way_to_the_guest(connect: Callable[..., Any], name: str, options: dict[str, Any], why: str) -> None:
    with pytest.raises(AnsibleConnectionFailure, match=why):
        connect(name, **options).exec_command("true")


def test_a_file_for_a_guest_that_is_off(connect: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "sent").write_bytes(b"x" * 200_000)
    with pytest.raises(AnsibleConnectionFailure, match="it is shut off"):
        connect("kt-off").put_file(str(tmp_path / "sent"), "/root/kt-never")


def test_a_paused_guest(guest: Driver, connect: Callable[..., Any]) -> None:
    guest.host.virsh("suspend", NAME)
    try:
        with pytest.raises(AnsibleConnectionFailure, match="it is paused. Start it"):
            connect().exec_command("true")
    finally:
        guest.host.virsh("resume", NAME)


def test_a_libvirt_that_does_not_answer(connect: Callable[..., Any], short_tmp: Path) -> None:
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(short_tmp / "sock"))
        silent.listen()
        connection = connect(libvirt_uri=f"qemu+unix:///system?socket={short_tmp / 'sock'}", agent_timeout=2)
        with pytest.raises(
            AnsibleConnectionFailure, match="libvirt did not answer within 2 seconds. See what its daemon"
        ):
            connection.exec_command("true")


# The inventory.


def found(guest: Driver, tmp_path: Path, **options: Any) -> dict[str, dict[str, Any]]:
    (tmp_path / "guests.yml").write_text(
        yaml.safe_dump(
            {"plugin": "kraal.virt.guests", "hosts": [{"name": "localhost"}], "backends": ["kvm"], **options}
        )
    )
    run = run_inventory(tmp_path / "guests.yml", "--list", env={"LIBVIRT_DEFAULT_URI": guest.host.uri})
    assert run.rc == 0, run.output
    # Core 2.19 and later print a string that is never evaluated in a wrapping of its own.
    variables: dict[str, dict[str, Any]] = json.loads(
        run.stdout, object_hook=lambda value: value.get("__ansible_unsafe", value)
    )["_meta"]["hostvars"]
    return variables


def addresses(variables: dict[str, Any]) -> list[str]:
    return [each["address"] for each in variables["kraal_guest"]["addresses"]]


def test_by_the_agent_without_an_address_and_by_ssh_with_one(guest: Driver, tmp_path: Path) -> None:
    """In between it gets a network. The sources of addresses are asked in the order that is wished for."""
    without = found(guest, tmp_path)[NAME]
    assert (without["ansible_connection"], without["ansible_guest_backend"], addresses(without)) == (
        "kraal.virt.guest",
        "kvm",
        [],
    )
    env = {"LIBVIRT_DEFAULT_URI": guest.host.uri}

    def reached() -> None:
        run = execute(
            ["ansible", "-i", str(tmp_path / "guests.yml"), NAME, "-m", "ansible.builtin.raw", "-a", "uname -r"],
            env=env,
        )
        assert run.rc == 0 and re.search(r"^\d\S+-cloud-amd64$", run.stdout, re.MULTILINE), run.output

    reached()

    guest.host.virsh("attach-interface", NAME, "network", "kt-net1", "--model", "virtio", "--live")
    deadline = time.monotonic() + 60
    while not (leased := addresses(found(guest, tmp_path)[NAME])) and time.monotonic() < deadline:
        time.sleep(1)
    assert len(leased) == 1 and leased[0].startswith("10.79.1.")
    own = "10.79.1.200"
    ask(guest.host, NAME, "/bin/busybox", "ifconfig", "eth0:1", own, "netmask", "255.255.255.0")
    for sources, wanted in ((["lease", "agent"], leased), (["agent", "lease"], [*leased, own]), (["arp"], None)):
        variables = found(guest, tmp_path, address_sources=sources)[NAME]
        listed = module_process(
            "kraal.virt.guests_info", {"backends": ["kvm"], "names": [NAME], "address_sources": sources}, env=env
        )["guests"][0]
        assert listed["addresses"] == variables["kraal_guest"]["addresses"]
        if wanted is not None:
            assert addresses(variables) == wanted
            assert (variables["ansible_connection"], variables["ansible_host"]) == ("ansible.builtin.ssh", wanted[0])
    preferred = "'kraal.virt.guest' if kraal_guest.backend == 'kvm' else ansible_connection"
    assert addresses(found(guest, tmp_path, compose={"ansible_connection": preferred})[NAME]) == leased
    reached()


# What spoils the guest, and so comes last.


def test_an_agent_that_hangs(spoiled: Driver, connect: Callable[..., Any], calls: Calls) -> None:
    """It stops itself, by a command that runs on in the guest."""
    # Late enough for the connection to hear that it was begun.
    connect().exec_command("(sleep 5; killall -STOP qemu-ga) > /dev/null 2>&1 &")
    deadline = time.monotonic() + 60
    while spoiled.host.virsh(
        "qemu-agent-command", NAME, '{"execute": "guest-ping"}', "--timeout", "2", check=False
    ).strip():
        assert time.monotonic() < deadline, "the agent goes on answering"
        time.sleep(0.5)
    connection = connect(agent_timeout=4)
    started = time.monotonic()
    with pytest.raises(
        AnsibleConnectionFailure, match="its guest agent did not answer within [0-9]+ seconds. Restart qemu-guest-agent"
    ):
        connection.exec_command("true")
    assert time.monotonic() - started < 60
    before = settings(spoiled)
    assert looked(spoiled, calls) == [] and settings(spoiled) == before


def test_an_agent_that_is_not_let(spoiled: Driver, connect: Callable[..., Any]) -> None:
    """As on RHEL: guest-exec and the files are blocked."""
    blocked = "guest-exec,guest-exec-status,guest-file-open"
    connection = connect()
    # The key's name changed in QEMU 7.
    connection.exec_command(
        f"mkdir -p /etc/qemu; printf '[general]\\nblacklist={blocked}\\nblock-rpcs={blocked}\\n' > "
        "/etc/qemu/qemu-ga.conf"
    )
    connection.exec_command("(sleep 5; killall qemu-ga) > /dev/null 2>&1 &")
    until_agent(spoiled, lets=False)
    with pytest.raises(
        AnsibleConnectionFailure,
        match="does not let guest-exec, guest-exec-status, guest-file-open be used.*sysconfig/qemu-ga",
    ):
        connection.exec_command("true")


def test_a_guest_that_goes_down_under_a_command(spoiled: Driver) -> None:
    (first,) = run_tasks(
        [raw("poweroff -f; sleep 60", ignore_unreachable=True)], inventory=inventory(spoiled), hosts="all"
    ).results
    assert first.failed or first.unreachable
    deadline = time.monotonic() + 60
    while spoiled.state() != "shut off" and time.monotonic() < deadline:
        time.sleep(0.2)
    (second,) = run_tasks([raw("true")], inventory=inventory(spoiled), hosts="all").results
    assert second.unreachable and "it is shut off. Start it" in second.msg, second.json
