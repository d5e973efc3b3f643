# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The helpers that run Ansible tell what Ansible did."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.ansible_runner import local_inventory, run_adhoc, run_module, run_play, run_playbook
from tests.support.module_process import ModuleProcess, module_process


def test_module_result() -> None:
    result = run_module("ansible.builtin.command", {"argv": ["echo", "hello"]})
    assert (result.rc, result.changed, result.failed, result["stdout"]) == (0, True, False, "hello")
    assert "changed=1" in result.stdout


def test_play_goes_on_after_a_failure() -> None:
    good, bad, skipped, checked = run_play(
        [
            {"ansible.builtin.ping": {"data": "one"}},
            {"ansible.builtin.command": {"argv": ["false"]}},
            {"ansible.builtin.ping": {}, "when": False},
            {"ansible.builtin.command": {"argv": ["true"]}, "check_mode": True},
        ]
    )
    assert good["ping"] == "one" and not good.failed
    assert bad.failed and bad["rc"] == 1
    assert skipped.skipped
    assert checked.skipped and "check mode" in checked.msg


def test_play_tells_of_a_task_that_never_ran() -> None:
    with pytest.raises(RuntimeError, match="0 results"):
        run_play([{"kraal.virt.no_such_module_exists": {}}])


def test_environment_and_interpreter_reach_the_module() -> None:
    argv = ["python3", "-c", "import os, sys; print(os.environ['KT_PROOF'])"]
    result = run_module("ansible.builtin.command", {"argv": argv}, env={"KT_PROOF": "seen"})
    assert result["stdout"] == "seen"


def test_a_run_that_hangs_ends_with_all_that_it_started(tmp_path) -> None:
    # What it has unpacked itself to, it leaves behind.
    task = {"ansible.builtin.command": {"argv": ["sleep", "86397"]}, "environment": {"TMPDIR": str(tmp_path)}}
    with pytest.raises(AssertionError, match=r"(?s)ended after 8 s.*PLAY \[test\]"):
        run_play([task], timeout=8)
    found = [path for path in Path("/proc").glob("[0-9]*/cmdline") if b"sleep\0" + b"86397" in _read(path)]
    assert not found


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


def test_playbook_stats(tmp_path) -> None:
    play = tmp_path / "play.yml"
    play.write_text(
        "- hosts: all\n  gather_facts: false\n  tasks:\n    - name: Say\n      ansible.builtin.debug:\n        msg: "
        "'{{ word }}'\n"
    )
    run = run_playbook(play, local_inventory(), {"word": "said"})
    assert run.stats["localhost"]["ok"] == 1 and run.changed == 0
    assert [r.msg for r in run.of("Say")] == ["said"]


def test_adhoc(tmp_path) -> None:
    inventory = tmp_path / "hosts.yml"
    inventory.write_text(
        "all:\n  hosts:\n    localhost:\n      ansible_connection: local\n      ansible_python_interpreter: "
        "/usr/bin/python3\n"
    )
    run = run_adhoc("all", "ansible.builtin.ping", inventory=inventory)
    assert run.rc == 0 and [r["ping"] for r in run.results] == ["pong"]


def test_module_process_is_the_module() -> None:
    result = module_process("ansible.builtin.ping", {"data": "direct"})
    assert result.json["ping"] == "direct" and not result.changed and not result.failed
    result = module_process("ansible.builtin.file", {"path": "/tmp/kt-never-made", "state": "touch"}, check=True)
    assert result.changed and result.rc == 0
    result = module_process("ansible.builtin.ping", {"no_such_option": 1})
    assert result.failed and "no_such_option" in result.msg


def test_module_process_takes_the_packages_of_its_interpreter() -> None:
    """The SDK of the distribution, not that of the environment the tests run in."""
    result = module_process(
        "ansible.builtin.command", {"argv": ["/usr/bin/python3", "-c", "import docker; print(docker.__file__)"]}
    )
    assert result["stdout"].startswith("/usr/lib/python3/"), result.json


def test_module_process_can_be_killed() -> None:
    process = ModuleProcess("ansible.builtin.command", {"argv": ["sleep", "60"]}).start()
    process.kill()
    result = process.result(timeout=10)
    assert result.rc == -9 and result.failed and result.json == {}
