# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs Ansible's programs in processes of their own that are forked from one which has already imported them.

Most of a short play is Python importing Ansible.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from . import warm_ansible_server

#: How many wait for more at a time. Tests ask for few different environments.
KEPT = 3

#: What Ansible and Python read of their environment when they are imported; and what of it the server reads again. All
#: else a run has of its own.
AT_IMPORT = ("ANSIBLE_", "HOME", "LANG", "LC_", "PYTHON")
READ_AGAIN = {"ANSIBLE_HOME", "ANSIBLE_REMOTE_TEMP"}


class WarmAnsible:
    """An Ansible that is imported, in one environment, and waits for its runs, one at a time."""

    def __init__(self, env: Mapping[str, str], cwd: Path) -> None:
        self.key = _key(env, cwd)
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        # -P: Ansible's programs do not find what lies beside this file either.
        argv = [sys.executable, "-P", warm_ansible_server.__file__, str(theirs.fileno())]
        with theirs:
            self._process = subprocess.Popen(
                argv, cwd=cwd, env=env, stdin=subprocess.DEVNULL, pass_fds=[theirs.fileno()]
            )

    def run(self, directory: Path, timeout: float) -> int:
        """The exit code of what run.json in that directory asks for.

        TimeoutError: it was ended with all that it has started.
        """
        self._socket.settimeout(None)
        self._socket.send(os.fsencode(directory))
        pid = self._answer()
        try:
            self._socket.settimeout(timeout)
            return self._answer()
        except BaseException:
            kill(pid)
            self._socket.settimeout(None)
            self._answer()
            raise

    def _answer(self) -> int:
        message = self._socket.recv(64)
        if not message:
            raise RuntimeError(f"the Python that has imported Ansible ended with {self._process.wait()}")
        return int(message)

    def close(self) -> None:
        self._socket.close()
        self._process.wait()


def _key(env: Mapping[str, str], cwd: Path) -> object:
    return cwd, {name: value for name, value in env.items() if name.startswith(AT_IMPORT) and name not in READ_AGAIN}


#: Those that wait, the last used at the end. One that runs is in nobody's list.
_waiting: list[WarmAnsible] = []


def run(
    argv: Sequence[str], env: Mapping[str, str], cwd: Path, directory: Path, stdin: str, timeout: float
) -> subprocess.CompletedProcess[str]:
    """One of Ansible's programs by its path, with its arguments. What it reads and prints are files in the directory,
    which is this run's own.

    It is ended with all that it has started when its time is over, or ours.
    """
    (directory / "run.json").write_text(
        json.dumps({"argv": list(argv), "env": dict(env), "cwd": str(cwd)}), encoding="utf-8"
    )
    (directory / "stdin").write_text(stdin, encoding="utf-8")
    key = _key(env, cwd)
    warm = next((one for one in _waiting if one.key == key), None)
    if warm is None:
        warm = WarmAnsible(env, cwd)
    else:
        _waiting.remove(warm)
    try:
        code = warm.run(directory, timeout)
    except TimeoutError:
        out, err = _printed(directory)
        raise AssertionError(
            f"{Path(argv[0]).name} was ended after {timeout:.0f} s\n--- stdout\n{out}\n--- stderr\n{err}"
        ) from None
    finally:
        _waiting.append(warm)
        while len(_waiting) > KEPT:
            _waiting.pop(0).close()
    return subprocess.CompletedProcess(list(argv), code, *_printed(directory))


def _printed(directory: Path) -> tuple[str, str]:
    out, err = (
        (directory / name).read_text(encoding="utf-8") if (directory / name).exists() else ""
        for name in ("stdout", "stderr")
    )
    return out, err


def kill(pid: int) -> None:
    """A process and all that it has started, at once: the children of who is killed are somebody else's."""
    for each in list(_descent(pid)):
        with suppress(ProcessLookupError):
            os.kill(each, signal.SIGKILL)


def _descent(pid: int) -> Iterator[int]:
    """A process and all that it has started.

    Ansible's workers are in sessions of their own, so that no signal for a group reaches them.
    """
    yield pid
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    except (FileNotFoundError, ProcessLookupError):
        return
    for child in children:
        yield from _descent(int(child))
