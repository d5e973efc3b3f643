# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What somebody else may have laid where containers are looked for."""

from __future__ import annotations

import os
import re
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from ansible_collections.kraal.virt.plugins.module_utils.backends.lxc import client, sockets
from ansible_collections.kraal.virt.plugins.module_utils.backends.lxc.files import changeable, read_file

NOBODY = 65534


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A directory that is root's, by a way that is root's: pytest's own is below /tmp, which has the sticky bit."""
    made = tmp_path / "lxc"
    made.mkdir(mode=0o755)
    return made


def test_a_file(place: Path) -> None:
    (place / "config").write_bytes(b"a = \xff\n")
    (place / "link").symlink_to("config")
    assert read_file(place / "config") == read_file(place / "link") == "a = \udcff\n"


def test_what_is_no_file_is_not_waited_for(place: Path) -> None:
    # A reader that waited would have to be killed.
    signal.alarm(20)
    os.mkfifo(place / "config")
    (place / "link").symlink_to("/dev/zero")
    for path in (place / "config", place / "link", place):
        with pytest.raises(OSError, match="not a regular file"):
            read_file(path)
    (place / "long").write_text("x" * 101)
    with pytest.raises(OSError, match="longer than 100"):
        read_file(place / "long", 100)
    with pytest.raises(FileNotFoundError):
        read_file(place / "none")
    signal.alarm(0)


def test_nobody_else_can_change_it(place: Path) -> None:
    (place / "web").mkdir(mode=0o770)
    (place / "web" / "config").touch(mode=0o640)
    (place / "link").symlink_to("web/../web/./config")
    (place / "far").symlink_to(place / "link")
    for path in ("/", place, place / "web" / "config", place / "link", place / "far", f"{place}//web/"):
        assert changeable(str(path)) == ""
    with pytest.raises(FileNotFoundError):
        changeable(str(place / "none" / "config"))
    (place / "round").symlink_to("round")
    with pytest.raises(OSError, match="symbolic links"):
        changeable(str(place / "round"))


@pytest.mark.parametrize("mode", [0o777, 0o1777, 0o757])
def test_a_directory_in_which_everybody_may_make_files(place: Path, mode: int) -> None:
    place.chmod(mode)
    assert changeable(str(place)) == str(place)
    (place / "web").mkdir(mode=0o755)
    assert changeable(str(place / "web")) == ("" if mode == 0o1777 else str(place))


def test_what_is_somebody_elses(place: Path) -> None:
    (place / "web").mkdir()
    (place / "web" / "config").touch()
    (place / "link").symlink_to(place / "web")
    os.chown(place / "web" / "config", NOBODY, 0)
    assert changeable(str(place / "web")) == ""
    assert changeable(str(place / "link" / "config")) == str(place / "web" / "config")
    os.chown(place / "link", NOBODY, 0, follow_symlinks=False)
    assert changeable(str(place / "link" / "config")) == str(place / "link")
    os.chown(place / "web", 0, NOBODY)
    assert changeable(str(place / "web")) == ""
    (place / "web").chmod(0o775)
    assert changeable(str(place / "web")) == str(place / "web")
    os.chown(place, NOBODY, 0)
    assert changeable(str(place / "web" / "config")) == str(place)


_UNIX = """Num       RefCount Protocol Flags    Type St Inode Path
0000000022a13db9: 00000002 00000000 00010000 0001 01 573503 @/srv/my lxc/a/command
0000000027c4e3a9: 00000002 00000000 00000000 0001 02     0 @/srv/lxc/b/command
0000000027c4e3aa: 00000003 00000000 00000000 0001 03 573504 @/srv/lxc/a/command
0000000027c4e3ab: 00000002 00000000 00010000 0001 01 21 /srv/lxc/c/command
0000000027c4e3ac: 00000002 00000000 00010000 0001 01 22 @lxc/ad055575fe28ddd5/command
0000000027c4e3ad: 00000002 00000000 00010000 0001 01 23 @/tmp/.X11-unix/X0
0000000027c4e3ae: 00000002 00000000 00010000 0001 01 24
"""


def test_who_listens_like_a_container() -> None:
    assert dict(sockets.parse_sockets(_UNIX)) == {"/srv/my lxc/a/command": 573503, "lxc/ad055575fe28ddd5/command": 22}


@pytest.mark.parametrize("name", ["web", "a.b-c_d", "a[1]", "x|y", "^a$", "a\\b", "(a)*", "a+b{2}", "a b", "ü"])
def test_names_in_a_pattern(name: str) -> None:
    # Python's expressions are no others here.
    found = re.compile(sockets.pattern([name, "other"]))
    assert found.search(name) and found.search("other")
    assert not any(found.search(each) for each in (name + "x", "x" + name, "web1", "axb", "x", ""))


@pytest.fixture
def listener(place: Path) -> Iterator[socket.socket]:
    """Somebody who listens as the container NAME in a directory."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as made:
        made.bind(b"\0" + os.fsencode(f"{place}/web/command"))
        made.listen()
        yield made


def test_a_directory_counts_where_a_monitor_runs_and_nobody_else_can_change_it(
    place: Path, listener: socket.socket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "KNOWN_PATHS", tmp_path / "known")

    def look() -> client.Directories:
        every = client.all_paths("/nonexistent")
        mine = [each for each in every.found if each.startswith(str(tmp_path))]
        return client.Directories(
            every.named, mine, {path: why for path, why in every.passed_over.items() if path.startswith(str(tmp_path))}
        )

    assert look() == client.Directories([], [str(place)], {})
    assert sockets.answering(str(place), ["web", "db"]) == ["web"]
    place.chmod(0o777)
    assert look() == client.Directories([], [], {str(place): f"others can change {place}"})
    place.chmod(0o755)
    # Who listens is what the kernel says; and root in a container has other files.
    with monkeypatch.context() as patch:
        patch.setattr(client, "listener", lambda _address: NOBODY)
        assert list(look().passed_over) == [str(place)]
    with monkeypatch.context() as patch:
        patch.setattr(client, "of_this_system", lambda _inodes: set())
        assert list(look().passed_over) == [str(place)]
    with monkeypatch.context() as patch:
        patch.setattr(sockets, "listener", lambda _address: NOBODY)
        assert sockets.answering(str(place), ["web"]) == []
    place.rename(tmp_path / "gone")
    assert look() == client.Directories([], [], {})


def test_a_path_that_is_none_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would fail where the containers of all directories are looked for."""
    monkeypatch.setattr(client, "KNOWN_PATHS", tmp_path / "known")
    odd = {f"{tmp_path}/../etc/x/command": 1, f"{tmp_path}/\x1b[31m/x/command": 2}
    monkeypatch.setattr(client, "listening", lambda: odd)
    assert client.all_paths("/nonexistent").passed_over == {
        address.rsplit("/", 2)[0]: "it is not a plain path" for address in odd
    }
