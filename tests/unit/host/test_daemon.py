# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Daemons without a service manager: real processes of these tests' own, small programs that behave as daemons do."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ansible_collections.kraal.virt.plugins.module_utils.engine.errors import BackendError
from ansible_collections.kraal.virt.plugins.module_utils.host import daemon
from ansible_collections.kraal.virt.plugins.module_utils.host.daemon import Daemon

SECONDS = 30


@pytest.mark.parametrize("contained", [True, False], ids=["in a container", "here"])
def test_a_daemon_in_a_container_is_not_the_hosts(tmp_path: Path, contained: bool) -> None:
    """Its process is seen from the host."""
    program = tmp_path / f"kt-daemon-{contained:d}"
    shutil.copy("/bin/sleep", program)
    with subprocess.Popen(
        [*(["unshare", "--pid", "--fork", "--kill-child"] if contained else []), str(program), "60"]
    ) as process:
        seen = wait_for_program(program.name)
        found = daemon.running([program.name])
        process.kill()
    assert seen and list(found) == ([] if contained else [program.name])


def wait_for_program(name: str) -> int:
    """The process of that name, when there is one."""
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        for entry in filter(str.isdigit, os.listdir("/proc")):
            if daemon.process(int(entry))[0] == name:
                return int(entry)
        time.sleep(0.02)
    raise AssertionError(f"no process {name}")


def test_a_zombie_does_not_live() -> None:
    name = Path("/proc/self/comm").read_text(encoding="utf-8").strip()
    assert daemon.alive(os.getpid()) and daemon.alive(os.getpid(), ["libvirtd", name])
    assert not daemon.alive(os.getpid(), ["libvirtd"])
    with subprocess.Popen(["true"]) as child:
        # It has ended, and its exit code is left for later: a zombie.
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert not daemon.alive(child.pid)
    assert not daemon.alive(child.pid)


def test_pid_files(tmp_path: Path) -> None:
    name = Path("/proc/self/comm").read_text(encoding="utf-8").strip()
    here, other, nonsense, nothing = (str(tmp_path / each) for each in ("here", "other", "nonsense", "nothing"))
    for path, text in ((here, f"{os.getpid()}\n"), (other, "1"), (nonsense, "x")):
        Path(path).write_text(text, encoding="ascii")
    assert daemon.pid_in(here, [name]) == os.getpid()
    assert daemon.pid_in(other, [name]) is daemon.pid_in(nonsense) is daemon.pid_in(nothing) is None
    assert daemon.stale([(path, [name]) for path in (here, other, nonsense, nothing)]) == [other, nonsense]


@pytest.mark.parametrize(
    ("argv", "forks", "why"),
    [
        (["kt-no-such-daemon"], True, "kt-no-such-daemon: .*No such file"),
        (["false"], True, "false: it ended with 1"),
        (["false"], False, "false: it ended with 1"),
        (["sh", "-c", "echo it is broken >&2; exit 3"], True, "sh: it is broken"),
        (["sh", "-c", "exec sleep 600"], True, "it did not go into the background within 0.5 s"),
        (["sh", "-c", "exec sleep 1"], False, "it did not say within 0.5 s that it is ready"),
    ],
)
def test_daemons_that_do_not_start(argv: list[str], forks: bool, why: str) -> None:
    with pytest.raises(BackendError, match=why):
        daemon.start([Daemon(tuple(argv), forks=forks)], 0.5 if "sleep" in argv[-1] else SECONDS)


#: Says that it is ready after a child of its own has said so in vain, and that only when it is told to: its own word
#: counts.
READY = """
import os, signal, socket, sys, time
def say():
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as link:
        link.sendto(b"READY=1\\nSTATUS=x", os.environ["NOTIFY_SOCKET"])
if not (child := os.fork()):
    say()
    os._exit(0)
os.waitpid(child, 0)
open(sys.argv[1], "w").write("ready")
print("said by the daemon", flush=True)
say()
signal.pause()
"""


def test_one_that_stays_is_awaited_and_stopped(tmp_path: Path) -> None:
    pidfile, log, ready = tmp_path / "pid", tmp_path / "log", tmp_path / "ready"
    daemon.start([Daemon((sys.executable, "-c", READY, str(ready)), pidfile=str(pidfile), log=str(log))], SECONDS)
    assert ready.read_text(encoding="ascii") == "ready"
    assert log.read_text(encoding="utf-8") == "said by the daemon\n"
    pid = int(pidfile.read_text(encoding="ascii"))
    assert daemon.alive(pid)
    keeper = int(Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[1])
    assert keeper not in (1, os.getpid()) and daemon.alive(keeper)
    daemon.stop(pid, "kt", SECONDS)
    # Its parent takes note of it, and then has nothing to wait for.
    deadline = time.monotonic() + SECONDS
    while daemon.process(pid)[1] or daemon.alive(keeper):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    daemon.stop(pid, "kt", SECONDS)


#: Goes into the background, and leaves a process there that ends much later, whose parent has ended: an orphan, as a
#: guest's process is one.
FORKS = """
import os, sys, time
read, write = os.pipe()
if os.fork() == 0:
    os.setsid()
    if orphan := os.fork():
        open(sys.argv[1], "w").write(str(orphan))
        os._exit(0)
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    os.close(write)
    time.sleep(600)
os.close(write)
os.read(read, 1)
"""


def test_the_orphans_of_a_daemon_are_taken_note_of(tmp_path: Path) -> None:
    file = tmp_path / "orphan"
    daemon.start([Daemon((sys.executable, "-c", FORKS, str(file)), forks=True)], SECONDS)
    orphan = int(file.read_text(encoding="ascii"))
    os.kill(orphan, signal.SIGKILL)
    deadline = time.monotonic() + SECONDS
    while daemon.process(orphan) != ("", ""):
        assert time.monotonic() < deadline, "a zombie is left"
        time.sleep(0.02)


def test_one_that_does_not_end() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", "import signal; signal.signal(15, signal.SIG_IGN); print(flush=True); signal.pause()"],
        stdout=-1,
    ) as child:
        assert child.stdout is not None and child.stdout.readline()
        with pytest.raises(BackendError, match="kt .process [0-9]+. was told to stop and has not ended within 0.1 s"):
            daemon.stop(child.pid, "kt", 0.1)
        child.kill()


LISTENS = "import signal, socket, sys, time; time.sleep(.2); held = socket.socket(socket.AF_UNIX); held.bind(sys.argv[1]); held.listen(); signal.pause()"


def test_waiting_for_a_socket(tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    with subprocess.Popen([sys.executable, "-c", LISTENS, path]) as child:
        daemon.wait_for_socket(path, child.pid, SECONDS)
        child.kill()
    with pytest.raises(BackendError, match="it does not answer within 0 s .*Connection refused"):
        daemon.wait_for_socket(path, None, 0)
    with subprocess.Popen(["true"]) as child, pytest.raises(BackendError, match="it ended by itself"):
        daemon.wait_for_socket(path, child.pid, SECONDS)
