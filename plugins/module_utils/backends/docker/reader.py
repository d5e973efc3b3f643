# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reads from an engine with the standard library alone.

For the discovery, which is sent to hosts that may lack the docker SDK, and which would spend most of its time on
loading it.
"""

from __future__ import annotations

import http.client
import json
import os
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar
from urllib.parse import SplitResult, quote, urlencode, urlsplit

from ...engine import trace
from ...engine.errors import BackendError, InvalidOption, NotInstalled, Unreachable, Unreadable
from ...engine.spec import ONLY_LOOKS
from ...engine.work import side_by_side
from ...host.packages import install
from ...host.reader import Host, UnixConnection
from ...host.socket_activation import check_awake, sleeper
from .written_calls import write_request

Answer = TypeVar("Answer")

URL = "unix:///var/run/docker.sock"
#: The ports of an engine, without and with TLS, and of sshd.
PORTS = {"tcp": 2375, "https": 2376, "ssh": 22}
CONNECT_SECONDS = 10
SECONDS = 30
#: More threads wait for each other: most of the time goes into reading the answers.
WIDTH = 4
#: How many questions may wait in vain before it is the engine that does not answer.
STUCK = 2


class _SshConnection(http.client.HTTPConnection):
    """HTTP through the docker command of another machine, as the docker command itself does it."""

    def __init__(self, target: SplitResult, seconds: float) -> None:
        super().__init__("localhost", timeout=SECONDS)
        self.command = ["ssh", "-T", "-o", "BatchMode=yes", "-o", "ConnectTimeout=%d" % seconds]
        self.command += ["-l", target.username] if target.username else []
        self.command += ["-p", str(target.port)] if target.port else []
        self.command += ["--", target.hostname or "", "docker", "system", "dial-stdio"]
        self._process: subprocess.Popen[bytes] | None = None

    def connect(self) -> None:
        self.sock, theirs = socket.socketpair()
        self.sock.settimeout(self.timeout)
        with theirs:
            # A stream in both directions, which run_command does not give.
            self._process = subprocess.Popen(  # pylint: disable=ansible-bad-function
                self.command, stdin=theirs.fileno(), stdout=theirs.fileno(), stderr=subprocess.PIPE
            )

    def close(self) -> None:
        super().close()
        self.last_words()

    def last_words(self) -> str:
        """End ssh; what it said."""
        if self._process is None:
            return ""
        process, self._process = self._process, None
        process.terminate()
        return process.communicate()[1].decode(errors="replace").strip()


def place_of(parameters: Mapping[str, Any]) -> str:
    """The engine that the connection options name, always in the same spelling; empty for the host's own socket.

    The file of a socket is what its links lead to. ssh keeps its user, whose engine it may be.
    """
    url = str(parameters.get("docker_host") or URL)
    try:
        target = urlsplit(url)
        port = target.port
    except ValueError:
        # An address whose brackets are not in pairs, or whose port is not a number: connecting says so.
        return url
    if target.scheme == "unix":
        socket_file = os.path.realpath(target.path)
        return "" if socket_file == os.path.realpath(urlsplit(URL).path) else "unix://" + socket_file
    secure = target.scheme == "https" or any(parameters.get(key) for key in ("tls_ca", "tls_cert", "tls_key"))
    scheme = "tcp" if target.scheme in ("http", "https") else target.scheme
    host = target.hostname or ""
    where = f"[{host}]" if ":" in host else host
    user = f"{target.username}@" if target.username else ""
    port = port or PORTS["https" if secure else scheme if scheme in PORTS else "tcp"]
    return "%s://%s%s:%d%s" % (scheme, user, where, port, target.path.rstrip("/"))


def segment(name: str) -> str:
    """A name as a part of a path: the engine takes any letters in that of a network."""
    return quote(name, safe="")


def asleep(url: str) -> Callable[[Host], str]:
    """Finds the service that a connection to this engine would start."""
    target = urlsplit(url)
    return lambda host: sleeper(host, target.path) if target.scheme == "unix" else ""


class TimedOut(Unreachable):
    """The engine did not answer in time."""


def one_of_many(ask: Callable[[str], Answer]) -> Callable[[str], Answer | BackendError]:
    """The question about one object of many: what the engine cannot say of it stands in for the answer, and is no fault
    of the others.

    One of them may be stuck in the engine, and its question wait in vain. Where several do, it is the engine.
    """
    late: list[str] = []

    def one(name: str) -> Answer | BackendError:
        try:
            return ask(name)
        except TimedOut as error:
            late.append(name)
            if len(late) > STUCK:
                raise
            return error
        except Unreachable:
            raise
        except BackendError as error:
            return error

    return one


class Reader:
    """The reading half of client.Engine; one connection for each thread, kept open until close()."""

    def __init__(self, parameters: Mapping[str, Any] | None = None) -> None:
        given = parameters or {}
        self.url = str(given.get("docker_host") or URL)
        self.seconds = float(given.get("connect_timeout") or CONNECT_SECONDS)
        self._target = urlsplit(self.url)
        if self._target.scheme not in ("unix", "tcp", "http", "https", "ssh"):
            raise InvalidOption(
                "docker_host",
                self.url,
                "is not a valid address of an engine",
                remedy="Write unix://..., tcp://... or ssh://...",
            )
        check_awake({ONLY_LOOKS: True}, asleep(self.url))
        self.local = self._target.scheme == "unix"
        self.place = place_of(given)
        self._tls = self._trust({key: given.get(key) for key in ("tls_ca", "tls_cert", "tls_key")})
        self._own = threading.local()
        self._opened: list[http.client.HTTPConnection] = []

    def _trust(self, files: Mapping[str, Any]) -> ssl.SSLContext | None:
        if self._target.scheme != "https" and not any(files.values()):
            return None
        for key, path in files.items():
            if path and not os.access(path, os.R_OK):
                raise BackendError(
                    f"{key}: {path!r} cannot be read", remedy="Name a file that exists on the machine that asks"
                )
        try:
            context = ssl.create_default_context(cafile=files["tls_ca"])
            if files["tls_cert"]:
                context.load_cert_chain(files["tls_cert"], files["tls_key"])
        except OSError as error:  # an ssl.SSLError is one
            raise BackendError(
                f"tls_ca, tls_cert, tls_key: {error}",
                remedy="Give certificates and the key that belongs to them, in PEM form",
            ) from error
        return context

    def _connection(self) -> http.client.HTTPConnection:
        found: http.client.HTTPConnection | None = getattr(self._own, "connection", None)
        if found is None:
            found = self._own.connection = self._new_connection()
            self._opened.append(found)
        if not self._is_open(found):
            found.connect()
            found.sock.settimeout(SECONDS)
        return found

    @staticmethod
    def _is_open(connection: http.client.HTTPConnection) -> bool:
        # The engine closes one that was idle for long, or whose request it could not read.
        return connection.sock is not None

    def _new_connection(self) -> http.client.HTTPConnection:
        target = self._target
        if target.scheme == "unix":
            return UnixConnection(target.path, self.seconds)
        if target.scheme == "ssh":
            return _SshConnection(target, self.seconds)
        host = target.hostname or ""
        if self._tls is not None:
            return http.client.HTTPSConnection(host, target.port or 2376, timeout=self.seconds, context=self._tls)
        return http.client.HTTPConnection(host, target.port or 2375, timeout=self.seconds)

    def close(self) -> None:
        """End all connections."""
        for connection in self._opened:
            connection.close()

    def get(self, path: str, **query: Any) -> Any:
        """Ask for one object or list; None for one that is not there. Raises NotInstalled and BackendError."""
        with self._explained(), trace.call(lambda: write_request("GET", path, query, place=self.place)) as call:
            connection = self._connection()
            connection.request("GET", f"{path}?{urlencode(query)}" if query else path)
            answer = connection.getresponse()
            content = answer.read()
            call.status = str(answer.status)
        if answer.status == 404:
            return None
        if answer.status >= 400:
            raise BackendError(
                "the engine at %s refused: %d %s" % (self.url, answer.status, content.decode(errors="replace").strip())
            )
        try:
            return json.loads(content)
        except (ValueError, RecursionError) as error:
            raise Unreadable(
                f"the engine's answer to {path} is no JSON ({error})", remedy="Look at the engine's log"
            ) from error

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """What went wrong, told from the kind of the error and from nobody's words."""
        try:
            yield
        except FileNotFoundError as error:
            if not self.local:
                raise BackendError(
                    f"there is no ssh command to reach {self.url} with", remedy=install("ssh")
                ) from error
            raise NotInstalled(f"no Docker engine runs on this host ({self._target.path} is missing)") from error
        except PermissionError as error:
            remedy = "Ask as a user of the group docker, or with become"
            raise BackendError(f"no permission on {self._target.path}", remedy=remedy) from error
        except ssl.SSLError as error:
            raise BackendError(
                f"{self.url} is not trusted, or does not trust: {error}", remedy="Check the tls options"
            ) from error
        except (OSError, http.client.HTTPException, ValueError) as error:
            connection = getattr(self._own, "connection", None)
            said = connection.last_words() if isinstance(connection, _SshConnection) else ""
            if connection is not None:
                # What is left of this answer belongs to no other question.
                connection.close()
            kind = TimedOut if isinstance(error, TimeoutError) else Unreachable
            raise kind(
                f"the engine at {self.url} did not answer: {said or error}", remedy="Start it, or look at its log"
            ) from error

    def inspect_all(self, kind: str, names: Iterable[str]) -> dict[str, Any]:
        """Inspect many objects; those that are gone meanwhile are left out, and a BackendError stands for one of
        which the engine cannot tell.
        """
        listed = list(names)
        # Over ssh every connection is a login: one is enough.
        width = 1 if self._target.scheme == "ssh" else WIDTH
        found = side_by_side(one_of_many(lambda name: self._inspect(kind, name)), listed, width)
        return {name: data for name, data in zip(listed, found) if data is not None}

    def _inspect(self, kind: str, name: str) -> Any:
        return self.get(f"/{kind}/{segment(name)}/json")
