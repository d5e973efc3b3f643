# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Docker daemons of the tests' own: with a small disk, with TLS, or whatever else the machine's daemon must not be used
for.

A daemon that is started without a bridge removes the bridge `docker0` that it finds, as a remnant of an earlier run:
the one of the machine's daemon, with every container's network. So these daemons live in a network namespace of their
own; their TCP socket is opened outside and handed to them.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

import docker
import docker.tls

from .certificates import Authority, Pair

START = 180
STOP = 30


#: A test run that is killed takes its daemons with it.
DIES_WITH_US = ("setpriv", "--pdeathsig", "TERM", "--")

#: Hands over a listening socket as a service manager does: as descriptor 3, with the number of the process that becomes
#: dockerd.
HAND_OVER = "import os, sys; os.dup2(int(sys.argv[1]), 3); os.environ.update(LISTEN_FDS='1', LISTEN_PID=str(os.getpid())); os.execvp(sys.argv[2], sys.argv[2:])"


class SecondDaemon:
    """A dockerd with its own data, state and socket; without networks, so that it touches nothing of the machine's.

    `size` puts its data on a tmpfs of that size (a full disk in no time). `authority` lets it listen on TCP with TLS
    and client certificates.
    """

    def __init__(
        self, directory: Path, *, size: str | None = "64M", authority: Authority | None = None, args: Sequence[str] = ()
    ) -> None:
        self.directory = directory
        self.data = directory / "data"
        self.socket = directory / "docker.sock"
        self.log = directory / "dockerd.log"
        self.port: int | None = None
        self.authority = authority
        # Not the directory's name: containerd takes fewer characters than a temporary name may have.
        self._unique = uuid.uuid4().hex[:12]
        self._size = size
        self._args = list(args)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def base_url(self) -> str:
        return f"unix://{self.socket}"

    @property
    def tls_url(self) -> str:
        if self.port is None:
            raise ValueError("this daemon does not listen on TCP")
        return f"tcp://127.0.0.1:{self.port}"

    def client(self) -> docker.APIClient:
        return docker.APIClient(base_url=self.base_url, version="auto", timeout=60)

    def client_pair(self) -> Pair:
        """A client certificate that this daemon accepts."""
        if self.authority is None:
            raise ValueError("this daemon has no certificates")
        return self.authority.issue("client")

    def __enter__(self) -> SecondDaemon:
        self.data.mkdir(parents=True)
        try:
            if self._size:
                subprocess.run(
                    ["mount", "-t", "tmpfs", "-o", f"size={self._size}", "kt-docker-data", str(self.data)], check=True
                )
            self._start()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stop()

    def restart(self) -> None:
        """As a service manager does: its containers end with it."""
        self._end()
        self._start()

    def freeze(self) -> None:
        """It answers nobody any more, and is there all the same."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """It goes on."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def _argv(self) -> list[str]:
        run = self.directory / "run"
        argv = [
            "dockerd",
            "--host",
            self.base_url,
            "--data-root",
            str(self.data),
            "--exec-root",
            str(run),
            "--pidfile",
            str(self.directory / "dockerd.pid"),
        ]
        argv += [
            "--config-file",
            str(self.directory / "daemon.json"),
            "--bridge=none",
            "--iptables=false",
            "--ip6tables=false",
            "--ip-masq=false",
        ]
        # A containerd of the system may be shared with the machine's daemon: never its containers.
        argv += [
            "--containerd-namespace",
            f"kt-{self._unique}",
            "--containerd-plugins-namespace",
            f"kt-plugins-{self._unique}",
        ]
        if self.authority is not None:
            pair = self.authority.issue("localhost", ("127.0.0.1",))
            argv += ["--host", "fd://", "--tlsverify", "--tlscacert", str(self.authority.certificate)]
            argv += ["--tlscert", str(pair.certificate), "--tlskey", str(pair.key)]
        return argv + self._args

    def _start(self) -> None:
        (self.directory / "daemon.json").write_text("{}", encoding="utf-8")
        notify = self.directory / "notify.sock"
        with ExitStack() as stack:
            ready = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
            log = stack.enter_context(self.log.open("wb"))
            ready.bind(str(notify))
            # dockerd tells a service manager when it is ready; here that is us, so that nothing is polled.
            env = {**os.environ, "NOTIFY_SOCKET": str(notify)}
            argv = self._argv()
            handed: list[int] = []
            if self.authority is not None:
                listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
                self.port = listener.getsockname()[1]
                handed = [listener.fileno()]
                argv = [sys.executable, "-c", HAND_OVER, str(listener.fileno()), *argv]
            self._process = subprocess.Popen(
                [*DIES_WITH_US, "unshare", "--net", "--", *argv],
                stdout=log,
                stderr=log,
                start_new_session=True,
                env=env,
                pass_fds=handed,
            )
            _wait_for_ready(self._process, ready, self.log)
        notify.unlink()

    def _stop(self) -> None:
        self._end()
        for point in _mounts_below(self.directory):
            subprocess.run(["umount", point], check=True)

    def _end(self) -> None:
        if self._process is not None:
            if self._process.poll() is None:
                self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(STOP)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None


def _wait_for_ready(process: subprocess.Popen[bytes], ready: socket.socket, log: Path) -> None:
    """Until the process reports READY=1 on the socket; an error with its log when it ends or takes too long."""
    deadline = time.monotonic() + START
    ended = os.pidfd_open(process.pid)
    try:
        while (left := deadline - time.monotonic()) > 0:
            readable = select.select([ready.fileno(), ended], [], [], left)[0]
            if ready.fileno() in readable and b"READY=1" in ready.recv(4096).split(b"\n"):
                return
            if ended in readable:
                break
    finally:
        os.close(ended)
    raise RuntimeError(f"{process.args!r} did not become ready:\n{log.read_text(errors='replace')[-4000:]}")


def _mounts_below(directory: Path) -> list[str]:
    """Mount points below a directory, innermost first."""
    lines = Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()
    points = [line.split(" ")[4].encode().decode("unicode_escape") for line in lines]
    return sorted((point for point in points if point.startswith(f"{directory}/")), key=len, reverse=True)
