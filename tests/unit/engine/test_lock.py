# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two runs on one guest wait for each other; one that died holds nothing.

So it is with what guests have in common. With real processes.
"""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ansible_collections.kraal.virt.plugins.module_utils.engine import lock
from ansible_collections.kraal.virt.plugins.module_utils.engine.errors import KraalError
from tests.support.paths import COLLECTIONS

#: Holds the locks of its arguments until its input ends, and says when it has them.
HOLDER = """
import sys
from ansible_collections.kraal.virt.plugins.module_utils.engine import lock

lock.ROOTS, lock.OTHERS = sys.argv[1], sys.argv[1] + "-"
with lock.locked(sys.argv[2:], seconds=60):
    print("held", flush=True)
    sys.stdin.read()
"""

#: The same for one key that is held in common, alone or shared.
COMMON_HOLDER = """
import sys
from ansible_collections.kraal.virt.plugins.module_utils.engine import lock

lock.ROOTS, lock.OTHERS = sys.argv[1], sys.argv[1] + "-"
with lock.held(sys.argv[2], shared=sys.argv[3] == "shared"):
    print("held", flush=True)
    sys.stdin.read()
"""


class Holder:
    """Another process with locks."""

    def __init__(self, directory: Path, *keys: str, program: str = HOLDER) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", program, lock.ROOTS, *keys],
            env={**os.environ, "PYTHONPATH": str(COLLECTIONS)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def wait(self) -> None:
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "held\n"

    def end(self) -> None:
        self.process.communicate()


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory of this user; it is not there yet."""
    monkeypatch.setattr(lock, "ROOTS", str(tmp_path / "locks"))
    monkeypatch.setattr(lock, "OTHERS", str(tmp_path / "locks") + "-")
    return Path(lock.directory())


def test_a_small_host_may_have_no_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "ROOTS", str(tmp_path / "run" / "locks"))
    monkeypatch.setattr(lock, "OTHERS", str(tmp_path / "run" / "locks") + "-")
    with lock.locked(["a"]):
        assert Path(lock.directory(), lock.GUESTS).is_file()


@pytest.fixture
def holder(directory: Path) -> Iterator[Holder]:
    other = Holder(directory, "boxes box a")
    other.wait()
    yield other
    other.process.kill()
    other.end()


def test_a_second_run_waits_until_the_first_has_ended(directory: Path, holder: Holder) -> None:
    second = Holder(directory, "boxes box a")
    # It has started and waits for the lock when the kernel shows it among those that are blocked.
    deadline = time.monotonic() + 30
    while f" {second.process.pid} " not in Path("/proc/locks").read_text(encoding="utf-8"):
        assert time.monotonic() < deadline and second.process.poll() is None
        time.sleep(0.02)
    waiting = [
        line
        for line in Path("/proc/locks").read_text(encoding="utf-8").splitlines()
        if f" {second.process.pid} " in line
    ]
    assert any("->" in line for line in waiting), "it waits, and holds nothing yet"
    holder.end()
    second.wait()
    second.end()


def test_a_run_that_was_killed_holds_nothing(directory: Path, holder: Holder) -> None:
    holder.process.send_signal(signal.SIGKILL)
    holder.process.wait()
    with lock.locked(["boxes box a"], seconds=60):
        pass


def test_too_long_a_wait_names_the_process_and_the_guest(directory: Path, holder: Holder) -> None:
    with pytest.raises(KraalError) as caught, lock.locked(["boxes box b", "boxes box a"], seconds=1):
        pytest.fail("the lock was free")
    assert str(caught.value) == (
        f"another run (process {holder.process.pid}) has held boxes box a for 1 seconds. Wait for it or end it, then "
        "run again."
    )


def test_after_a_failed_wait_nothing_is_held(directory: Path, holder: Holder) -> None:
    with pytest.raises(KraalError), lock.locked(["boxes box a", "boxes box b"], seconds=1):
        pytest.fail("the lock was free")
    other = Holder(directory, "boxes box b")
    other.wait()
    other.end()


def test_two_names_do_not_wait_for_each_other(directory: Path, holder: Holder) -> None:
    with lock.locked(["boxes box b", "crates box a"], seconds=60):
        pass


def test_the_alarm_of_the_caller_stays(directory: Path) -> None:
    def mine(_signal: int, _frame: object) -> None:
        pytest.fail("nothing may ring")

    before = signal.signal(signal.SIGALRM, mine)
    try:
        with lock.locked(["boxes box a"], seconds=60):
            assert signal.getsignal(signal.SIGALRM) is mine
            assert signal.alarm(0) == 0
    finally:
        signal.signal(signal.SIGALRM, before)


def test_one_file_serves_all_guests_and_is_left_closed(directory: Path) -> None:
    before = set(os.listdir("/proc/self/fd"))
    for _again in range(2):
        with lock.locked(["boxes box a", "boxes box a", "boxes box b"]):
            pass
    assert set(os.listdir("/proc/self/fd")) == before
    (file,) = directory.iterdir()
    assert [stat.S_IMODE(each.stat().st_mode) for each in (directory, file)] == [0o700, 0o600]
    assert file.stat().st_size == 0


def test_each_user_has_locks_of_his_own(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody else can hold them, and no session's environment says where they are."""
    monkeypatch.setenv("TMPDIR", "/nowhere")
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/nowhere")
    for user, path in ((0, lock.ROOTS), (1000, f"{lock.OTHERS}1000")):
        monkeypatch.setattr(os, "geteuid", lambda user=user: user)
        assert lock.directory() == path


def take(name: str) -> None:
    with lock.held("pool a") if name == lock.COMMON else lock.locked(["boxes box a"]):
        pytest.fail("it was taken for a lock")


@pytest.mark.parametrize("name", [lock.GUESTS, lock.COMMON])
@pytest.mark.parametrize("what", ["directory", "link", "pipe", "socket", "device", "another's"])
def test_something_else_in_the_place_of_the_file_is_told(directory: Path, tmp_path: Path, name: str, what: str) -> None:
    directory.mkdir(mode=0o700)
    path, target = directory / name, tmp_path / "target"
    with socket.socket(socket.AF_UNIX) as listener:
        {
            "directory": path.mkdir,
            "link": lambda: path.symlink_to(target),
            "pipe": lambda: os.mkfifo(path),
            "socket": lambda: listener.bind(str(path)),
            "device": lambda: os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 3)),
            "another's": lambda: (path.touch(), os.chown(path, 1, 1)),
        }[what]()
    with pytest.raises(KraalError) as caught:
        take(name)
    assert str(caught.value) == (
        f"the lock {path} cannot be used: it is not a file of this user alone. Look who made it, remove it, and run again."
    )
    assert not target.exists()


@pytest.mark.parametrize("what", ["file", "link", "another's", "everybody's"])
def test_something_else_in_the_place_of_the_directory_is_told(directory: Path, tmp_path: Path, what: str) -> None:
    {
        "file": directory.touch,
        "link": lambda: directory.symlink_to(tmp_path),
        "another's": lambda: (directory.mkdir(mode=0o700), os.chown(directory, 1, 1)),
        "everybody's": lambda: (directory.mkdir(), directory.chmod(0o1777)),
    }[what]()
    for name in (lock.GUESTS, lock.COMMON):
        with pytest.raises(KraalError) as caught:
            take(name)
        assert f"the lock {directory} cannot be used: it is not a directory of this user alone. Look" in str(
            caught.value
        )
    assert not (tmp_path / lock.GUESTS).exists()


def test_a_directory_that_cannot_be_made_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "run").touch()
    monkeypatch.setattr(lock, "directory", lambda: str(tmp_path / "run" / "locks"))
    for name in (lock.GUESTS, lock.COMMON):
        with pytest.raises(KraalError, match="cannot be opened: File exists"):
            take(name)


class Taker(threading.Thread):
    """A thread of this process that takes what guests have in common, and gives it back at once."""

    def __init__(self, key: str, **how: bool) -> None:
        super().__init__(daemon=True)
        self.key, self.how = key, how
        self.start()

    def run(self) -> None:
        with lock.held(self.key, **self.how):
            pass

    def waits(self) -> bool:
        self.join(0.3)
        return self.is_alive()

    def has_had_it(self) -> bool:
        self.join(30)
        return not self.is_alive()


def test_threads_wait_for_what_is_held_alone_and_share_what_is_shared(directory: Path) -> None:
    with lock.held("pool a"):
        alone, shared = Taker("pool a"), Taker("pool a", shared=True)
        assert alone.waits() and shared.waits()
        with lock.held("pool b"):
            assert Taker("pool c").has_had_it()
    assert alone.has_had_it() and shared.has_had_it()
    with lock.held("pool a", shared=True):
        assert Taker("pool a", shared=True).has_had_it()
        alone = Taker("pool a")
        assert alone.waits()
    assert alone.has_had_it()


@pytest.mark.parametrize("how", ["alone", "shared"])
def test_processes_wait_for_what_is_held_until_its_holder_is_gone(directory: Path, how: str) -> None:
    other = Holder(directory, "pool a", how, program=COMMON_HOLDER)
    other.wait()
    alone, shared = Taker("pool a"), Taker("pool a", shared=True)
    assert alone.waits() and (shared.waits() if how == "alone" else shared.has_had_it())
    other.process.kill()
    other.end()
    assert alone.has_had_it() and shared.has_had_it()


@pytest.mark.parametrize("how", ["alone", "shared"])
def test_too_long_a_wait_for_what_is_in_common_names_the_process(directory: Path, how: str) -> None:
    other = Holder(directory, "pool a", how, program=COMMON_HOLDER)
    other.wait()
    with pytest.raises(KraalError) as caught, lock.held("pool a", seconds=0.2):
        pytest.fail("it was free")
    assert str(caught.value) == (
        f"another run (process {other.process.pid}) has held pool a for 0 seconds. Wait for it or end it, then run again."
    )
    # What came too late is given back as soon as it is had.
    other.end()
    assert Taker("pool a").has_had_it()


def test_what_guests_have_in_common_lets_go_of_no_guest(directory: Path) -> None:
    with lock.locked(["boxes box a"], seconds=1):
        with lock.held("boxes box a"):
            pass
        other = Holder(directory, "boxes box a")
        with pytest.raises(subprocess.TimeoutExpired):
            other.process.wait(1)
    other.wait()
    other.end()


def test_who_looks_makes_no_file_and_waits_where_there_is_one(directory: Path) -> None:
    with lock.held("pool a", looks=True):
        assert not directory.exists()
    with lock.held("pool a", shared=True):
        looking = Taker("pool a", looks=True)
        assert looking.waits()
    assert looking.has_had_it()
