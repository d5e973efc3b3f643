# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How an inventory's hosts are read and reached."""

from __future__ import annotations

import ast
import base64
import json
import os
import shlex
import subprocess
import sys
import zlib
from importlib.util import resolve_name
from pathlib import Path

import pytest

from ansible_collections.kraal.virt.plugins.module_utils.backends.registry import NAMES
from ansible_collections.kraal.virt.plugins.module_utils.discovery import MARK, payload
from ansible_collections.kraal.virt.plugins.module_utils.engine.errors import KraalError
from ansible_collections.kraal.virt.plugins.plugin_utils import hosts
from tests.support.module_process import module_environment
from tests.support.paths import SYSTEM_PYTHON


def entry(**fields: object) -> dict[str, object]:
    return hosts.checked("hosts", fields, hosts.HOST, {"name"})


def ask(host: dict[str, object], program: str, timeout: int = 20) -> dict[str, object]:
    return hosts.ask(host, program, timeout=timeout, connect_timeout=2, host_key_checking=True)


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ("localhost", "is not a mapping"),
        ({"address": "192.0.2.1"}, "lacks name"),
        ({"name": 5}, "lacks name"),
        ({"name": "a", "adress": "192.0.2.1"}, "does not have adress"),
        ({"name": "a", "docker_host": "tcp://192.0.2.1"}, "does not have docker_host"),
        ({"name": "a", "port": "ssh"}, "port"),
        ({"name": "a", "become": "perhaps"}, "become"),
        ({"name": "a", "connection": "docker"}, "connection 'docker'"),
    ],
)
def test_bad_entries(given: object, why: str) -> None:
    with pytest.raises(KraalError, match=why):
        hosts.checked("hosts", given, hosts.HOST, {"name"})


def test_types_are_those_of_the_options() -> None:
    assert entry(name="a", port="2222", become="yes", user=None) == {"name": "a", "port": 2222, "become": True}


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, {}),
        ({"ansible_host": "192.0.2.1", "ansible_port": "22"}, {"address": "192.0.2.1", "port": 22}),
        ({"ansible_connection": "ansible.builtin.local"}, {"connection": "local"}),
        ({"ansible_connection": "smart"}, {"connection": "ssh"}),
        ({"ansible_python_interpreter": "auto_silent"}, {}),
        ({"ansible_python_interpreter": "/opt/python"}, {"python": "/opt/python"}),
        ({"ansible_become": "true", "ansible_become_method": "sudo"}, {"become": True}),
        ({"ansible_become": False, "ansible_become_method": "su"}, {"become": False}),
    ],
)
def test_hosts_of_the_inventory(variables: dict[str, object], expected: dict[str, object]) -> None:
    assert hosts.from_variables("h", variables) == {"name": "h", **expected}


@pytest.mark.parametrize(
    "variables",
    [{"ansible_connection": "community.docker.docker"}, {"ansible_become": True, "ansible_become_method": "su"}],
)
def test_hosts_that_cannot_be_asked(variables: dict[str, object]) -> None:
    with pytest.raises(KraalError, match="Only (local and ssh|sudo) can be used"):
        hosts.from_variables("h", variables)


def test_what_is_local() -> None:
    assert hosts.is_local(entry(name="localhost"))
    assert hosts.is_local(entry(name="here", connection="local"))
    assert not hosts.is_local(entry(name="localhost", connection="ssh"))
    assert not hosts.is_local(entry(name="localhost", address="192.0.2.1"))
    assert not hosts.is_local(entry(name="there"))


def test_ssh_command_ends_with_the_address_and_puts_the_users_options_first() -> None:
    host = entry(
        name="h",
        address="192.0.2.1",
        user="admin",
        port=2222,
        private_key_file="/k",
        ssh_args="-o 'ProxyCommand=nc %h' -o ConnectTimeout=1",
    )
    command = hosts.ssh_command(host, 7, host_key_checking=False)
    assert command[-2:] == ["--", "192.0.2.1"]
    assert command[1:5] == ["-o", "ProxyCommand=nc %h", "-o", "ConnectTimeout=1"]
    assert {"BatchMode=yes", "ConnectTimeout=7", "StrictHostKeyChecking=no"} <= set(command)
    assert "-l admin -p 2222 -i /k" in shlex.join(command)
    assert "StrictHostKeyChecking=no" not in hosts.ssh_command(host, 7, host_key_checking=True)


def test_way_to_a_guest() -> None:
    assert hosts.way_to(entry(name="localhost", become=True)) == {
        "ansible_guest_host_connection": "local",
        "ansible_guest_host_become": True,
    }
    assert hosts.way_to(entry(name="h", port=22)) == {
        "ansible_guest_host_connection": "ssh",
        "ansible_guest_host_address": "h",
        "ansible_guest_host_port": 22,
    }
    assert (
        hosts.way_to(entry(name="localhost", python="/usr/bin/python3.11"))["ansible_guest_host_python"]
        == "/usr/bin/python3.11"
    )
    engine = {"name": "e", "backend": "docker", "docker_host": "tcp://192.0.2.1:2376", "tls_ca": "/ca"}
    assert hosts.way_to(engine) == {
        "ansible_guest_host_connection": "local",
        "ansible_guest_docker_host": "tcp://192.0.2.1:2376",
        "ansible_guest_tls_ca": "/ca",
    }


def test_the_discovery_runs_without_ansible_and_without_the_collection(
    tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With no backend asked for it finds nothing, and has found its way through its own imports."""
    monkeypatch.chdir(tmp_path)
    # What stands in the directory that it happens to run in is not imported.
    (tmp_path / "json.py").write_text("raise SystemExit('taken from the working directory')\n")
    assert ask(entry(name="localhost"), payload([])) == {"guests": [], "warnings": []}


def test_the_discovery_has_all_that_its_parts_import() -> None:
    """A program that lacks one of them finds no guest on any host."""
    sent = json.loads(zlib.decompress(base64.b64decode(payload(NAMES).partition("b64decode('")[2].partition("')")[0])))
    missing = set()
    for name, source in sent.items():
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.ImportFrom) and node.level:
                module = resolve_name("." * node.level + (node.module or ""), name.rpartition(".")[0])
                # What is imported from a package is a module of it; of anything else, a name in it.
                wanted = [module] if module in sent else [f"{module}.{each.name}" for each in node.names]
                missing.update(each for each in wanted if each not in sent)
    assert len(sent) > 20 and missing == set()
    assert not [name for name in sent if ".images." in name or ".host.verdicts" in name], (
        "what nothing of it imports stays here"
    )


#: What a host may lack: a module that needs it is imported where it is used.
LACKING = "import sys\nsys.modules.update(dict.fromkeys(('ansible', 'docker', 'requests', 'yaml')))\n"
#: Imports all that was sent, whether or not there is an engine here whose guests would need it.
ALL = """
import importlib
for name in sources:
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name.partition(".")[0] not in ("ansible", "docker", "requests", "yaml"):
            raise
"""


@pytest.mark.parametrize("name", NAMES)
def test_each_backends_discovery_runs_isolated(name: str) -> None:
    """Without Ansible, without a library that is not Python's own (but for libvirt's binding), and in one document."""
    done = subprocess.run(
        [SYSTEM_PYTHON, "-I", "-"],
        input=LACKING + payload([name]) + ALL,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()
    assert {guest["backend"] for guest in json.loads(line.removeprefix(MARK))["guests"]} <= {name}


@pytest.fixture
def sleeper(tmp_path: Path) -> Path:
    """LXC's first tool does not end, and has a program of its own that does not either, whose number is written
    there.
    """
    (tmp_path / "bin").mkdir()
    tool = tmp_path / "bin" / "lxc-config"
    tool.write_text(f"#!/bin/sh\nsleep 600 &\necho $! > {tmp_path}/begun\nmv {tmp_path}/begun {tmp_path}/pid\nwait\n")
    tool.chmod(0o755)
    return tmp_path / "pid"


def discovered(sleeper: Path, program: str, **environment: str) -> tuple[int, str]:
    """The code of a discovery, and what it says; nothing that it has started runs any more."""
    path = f"{sleeper.parent / 'bin'}:{os.environ['PATH']}"
    done = subprocess.run(
        [SYSTEM_PYTHON, "-"],
        input=program,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={**os.environ, "PATH": path, **environment},
    )
    process = Path("/proc", sleeper.read_text(encoding="ascii").strip())
    # One that was killed may still have to be waited for by the first process.
    assert not process.exists() or "(zombie)" in (process / "status").read_text(encoding="ascii")
    return done.returncode, done.stdout


def test_a_backend_that_does_not_answer_is_named_and_leaves_nothing_behind(sleeper: Path) -> None:
    code, out = discovered(sleeper, payload(["lxc"], timeout=5))
    answer = json.loads(out.removeprefix(MARK))
    assert (code, answer["guests"]) == (0, [])
    (warning,) = answer["warnings"]
    assert warning.startswith("lxc: LXC of this host did not answer within 4 seconds. See whether it hangs"), warning


def test_a_discovery_that_nobody_can_end_ends_itself(sleeper: Path) -> None:
    """On another host, or as root, whoever has started it cannot."""
    program = (
        "from ansible_collections.kraal.virt.plugins.module_utils import discovery\n"
        "discovery.SHARE = 100\n"
        "discovery.main('[[\"lxc\"], {}, [], 3]')\n"
    )
    assert discovered(sleeper, program, PYTHONPATH=module_environment()["PYTHONPATH"]) == (1, "")


def test_what_a_host_prints_besides_is_no_answer() -> None:
    program = "print('Welcome!')\nprint('kraal.virt discovery: {\"guests\": [], \"warnings\": []}')\nprint('Bye')\n"
    assert ask(entry(name="localhost"), program)["guests"] == []


@pytest.mark.parametrize(
    ("host", "program", "timeout", "why"),
    [
        ({"name": "localhost"}, "raise SystemExit('no luck')", 60, "ended with code 1: no luck.*3.9 or later"),
        ({"name": "localhost"}, "print('Welcome!')", 60, "it said nothing"),
        ({"name": "localhost"}, "import time; time.sleep(60)", 1, "no answer within 1 seconds"),
        ({"name": "h", "address": "127.0.0.1", "port": 1}, "", 60, "no connection: .*refused"),
    ],
)
def test_hosts_that_do_not_answer(host: dict[str, object], program: str, timeout: int, why: str) -> None:
    with pytest.raises(KraalError, match=why):
        ask(host, program, timeout=timeout)


def test_a_host_that_does_not_stop_speaking(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its words are not kept until there is no memory left."""
    monkeypatch.setattr(hosts, "LONGEST_ANSWER", 4 << 20)
    for stream in ("stdout", "stderr"):
        with pytest.raises(KraalError, match="says more than 4 MiB"):
            ask(entry(name="localhost"), f"import sys\nwhile True:\n    sys.{stream}.write('x' * 65536)\n", timeout=60)
    text = "y" * (1 << 20)
    assert (
        ask(entry(name="localhost"), f"print('kraal.virt discovery: ' + repr('{text}').replace(chr(39), chr(34)))")
        == text
    )


def test_what_a_host_says_reaches_no_terminal_as_it_is() -> None:
    with pytest.raises(KraalError) as caught:
        ask(entry(name="localhost"), "raise SystemExit('\\x1b]0;owned\\x07' + 'x' * 5000)")
    assert "\\x1b]0;owned\\x07xxx" in str(caught.value) and len(str(caught.value)) < 1000


def test_a_local_host_without_the_usual_python_takes_ours() -> None:
    program = (
        "import json, sys\nprint('kraal.virt discovery: ' + json.dumps({'guests': [], 'warnings': [sys.executable]}))"
    )
    assert ask(entry(name="localhost", python="/nowhere/python3"), program)["warnings"] == [sys.executable]
