# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Talks to a Docker engine: connects, asks, and turns its refusals into errors that can be read.

The docker SDK (5.0.3 to 7.x) brings the connection (unix socket, TCP with TLS, ssh), the registry credentials and the
streams; the bodies are the Engine API's own, which the SDK's methods do not all reach (NanoCpus in an update, say).
"""

from __future__ import annotations

import json
import math
import os
import queue
import re
import socket
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent import futures
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from typing import Any, TypeVar
from urllib.parse import urlsplit

from ansible.module_utils.basic import env_fallback, missing_required_lib

from ...engine import trace
from ...engine.errors import BackendError, KraalError, NotInstalled, Unreachable, Unreadable
from ...engine.work import end_children, in_background, side_by_side
from ...host.packages import install
from ...host.socket_activation import check_awake
from .quick_import import without_setuptools
from .reader import TimedOut, asleep, one_of_many, place_of, segment
from .written_calls import write_request

DOCKER_IMPORT_ERROR: ImportError | None = None
try:
    with without_setuptools():
        import docker
        import docker.errors
        import docker.tls
        import requests
except ImportError as import_error:
    DOCKER_IMPORT_ERROR = import_error

T = TypeVar("T")

#: How many requests run at a time: the daemon answers an inspection in about a millisecond, Python needs more for
#: asking.
WIDTH = 8
#: So many seconds the engine may work in silence, as long as it answers other questions: at a step of a build, say. A
#: longer api_timeout counts instead.
SILENCE = 3600
_END = object()

#: Ansible's declaration of how a module reaches the engine.
CONNECTION: dict[str, Any] = {
    "docker_host": {
        "type": "str",
        "default": "unix:///var/run/docker.sock",
        "fallback": (env_fallback, ["DOCKER_HOST"]),
    },
    "tls_ca": {"type": "path"},
    "tls_cert": {"type": "path"},
    "tls_key": {"type": "path"},
    "api_timeout": {"type": "int", "default": 60},
}


class NotThere(BackendError):
    """The engine does not know what was asked for (404)."""


class Engine:
    """One connection to one engine, usable from several threads."""

    def __init__(self, client: Any, url: str, place: str = "") -> None:
        self.client = client
        self.url = url
        #: See place_of().
        self.place = place
        self.base = f"{client.base_url}/v{client.api_version}"
        #: Whether the engine runs on this host, so that this host's ports and paths are the engine's.
        self.local = url.startswith("unix://")
        #: The version of the API that both sides know, like (1, 41).
        self.api = tuple(map(int, client.api_version.split(".")))

    def call(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        query: Mapping[str, Any] | None = None,
        timeout: float | None = None,
    ) -> Any:
        """One request; the decoded answer, or None where there is none. Raises NotThere and BackendError."""
        seconds = self.client.timeout if timeout is None else timeout
        try:
            answer = self.client.request(method, self.base + path, json=body, params=query, timeout=seconds)
        except requests.exceptions.RequestException as error:
            raise self._unanswered(error, seconds) from error
        if answer.status_code >= 400:
            raise refusal(answer.status_code, message_of(answer))
        if not answer.content or not answer.headers.get("Content-Type", "").startswith("application/json"):
            return None
        try:
            return answer.json()
        except (ValueError, RecursionError) as error:
            raise Unreadable(f"the engine's answer to {path} is no JSON ({error})", remedy="Look at its log") from error

    def get(self, path: str, **query: Any) -> Any:
        """Ask for one object or list."""
        return self.call("GET", path, query=query)

    def post(self, path: str, body: Any = None, *, timeout: float | None = None, **query: Any) -> Any:
        """Make or change something."""
        return self.call("POST", path, body=body, query=query, timeout=timeout)

    def delete(self, path: str, **query: Any) -> None:
        """Remove something; fine if it is gone already."""
        try:
            self.call("DELETE", path, query=query)
        except NotThere:
            return

    def time(self, *, asked: bool = False) -> float:
        """What the engine's clock shows: deadlines of its event streams are its own.

        ``asked``: by asking it in any case. Behind a socket of this host there may be a machine with another clock.
        """
        if self.local and not asked:
            return time.time()
        return parse_time(str(self.get("/info")["SystemTime"]))

    def _unanswered(self, error: Exception, seconds: float) -> Unreachable:
        """The error for an answer that did not come."""
        if timed_out(error):
            return late(self.url, seconds)
        return Unreachable(f"the engine at {self.url} did not answer: {error}", remedy="Look at its log, and run again")

    def upload(self, path: str, file: Any, **query: Any) -> list[str]:
        """Send a file; what the engine says of it. Its progress is read for the error that it may end with."""
        said = self.stream(self._upload, path=path, file=file, query=query)
        return [text for line in said for text in str(line.get("stream") or "").splitlines()]

    def _upload(self, path: str, file: Any, query: Mapping[str, Any]) -> Iterator[Any]:
        headers = {"Content-Type": "application/x-tar"}
        answer = self.client.request(
            "POST", self.base + path, data=file, params=query, headers=headers, timeout=None, stream=True
        )
        if answer.status_code >= 400:
            raise refusal(answer.status_code, message_of(answer))
        for line in answer.iter_lines():
            yield json.loads(line) if line.startswith(b"{") else {}

    def inspect_all(self, kind: str, names: Iterable[str]) -> dict[str, Any]:
        """Inspect many objects side by side (``kind`` is the API's plural); those that are gone meanwhile are left out.

        A BackendError stands for one of which the engine cannot tell.
        """

        def inspect(name: str) -> Any:
            try:
                path = f"/{kind}/{segment(name)}"
                return self.get(path if kind == "networks" else f"{path}/json")
            except NotThere:
                return None

        wanted = list(names)
        return {
            name: found
            for name, found in zip(wanted, side_by_side(one_of_many(inspect), wanted, WIDTH))
            if found is not None
        }

    def ask(self, function: Callable[..., T], *arguments: Any, **named: Any) -> T:
        """One of the SDK's own calls, with its errors turned into ours."""
        with self._translated():
            return function(*arguments, **named)

    def stream(
        self, function: Callable[..., Iterable[Any]], *, seconds: float | None = None, **named: Any
    ) -> Iterator[Any]:
        """What one of the SDK's streaming calls (pull, build, events) says, with its errors turned into ours.

        ``seconds``: it ends after so many, whether the engine ends it or not. Raises TimedOut for an engine that hangs.
        """
        heard: queue.SimpleQueue[Any] = queue.SimpleQueue()

        def listen() -> None:
            with self._translated():
                for line in function(**named):
                    heard.put(line)

        # The SDK gives these calls no time limit, and the engine may well work in silence.
        in_background(listen, (KraalError, OSError, ValueError)).add_done_callback(
            lambda answer: heard.put((_END, answer))
        )
        for line in self._while_alive(heard, seconds):
            if isinstance(line, tuple) and line[0] is _END:
                line[1].result()
                return
            if isinstance(line, dict) and line.get("error"):
                raise refusal(500, str(line["error"]))
            yield line

    def _while_alive(self, heard: queue.SimpleQueue[Any], seconds: float | None) -> Iterator[Any]:
        """What is heard. Where that is nothing for a while, the engine is asked something else: one that hangs does not
        answer that either.
        """
        last = time.monotonic()
        end = math.inf if seconds is None else last + seconds
        while time.monotonic() < end:
            try:
                line = heard.get(timeout=min(self.client.timeout, max(end - time.monotonic(), 0)))
            except queue.Empty:
                self._check_alive(time.monotonic() - last)
                continue
            yield line
            last = time.monotonic()

    def _check_alive(self, silence: float) -> None:
        """``silence``: for how many seconds nothing has been heard. Raises TimedOut for too many."""
        if silence >= self.client.timeout:
            self.get("/_ping")
        if silence >= max(SILENCE, self.client.timeout):
            raise TimedOut(
                "the engine at %s has said nothing of this for %d seconds" % (self.url, silence),
                remedy="Look at what it does, or raise api_timeout",
            )

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except docker.errors.APIError as error:
            raise refusal(error.status_code or 500, error.explanation or str(error)) from error
        except (docker.errors.DockerException, requests.exceptions.RequestException) as error:
            if timed_out(error):
                raise late(self.url, self.client.timeout) from error
            raise BackendError(
                f"the engine at {self.url} broke off: {error}", remedy="Look at its log, and run again"
            ) from error


def timed_out(error: BaseException | None) -> bool:
    """Whether the end of a time limit is at the bottom of an error: the SDK and requests wrap it in their own."""
    while error is not None and not isinstance(error, (TimeoutError, socket.timeout, requests.exceptions.Timeout)):
        error = error.__cause__ or error.__context__
    return error is not None


def late(url: str, seconds: float) -> TimedOut:
    """The error for an engine that has not answered in time."""
    return TimedOut(
        "the engine at %s did not answer within %d seconds" % (url, seconds),
        remedy="See whether it hangs, in its log and by asking it yourself, and restart it; or raise api_timeout",
    )


def parse_time(text: str) -> float:
    """Seconds since the epoch of a time as the engine writes it: 2026-01-31T23:59:59.123456789+01:00."""
    match = re.fullmatch(r"(.{19})(\.[0-9]+)?(Z|[+-][0-9]{2}:[0-9]{2})", text, re.ASCII)
    if match is None:
        raise BackendError(f"the engine's time {text!r} is not understood")
    return datetime.strptime(match[1] + match[3], "%Y-%m-%dT%H:%M:%S%z").timestamp() + float(match[2] or 0)


def message_of(answer: Any) -> str:
    """What the engine says in an error's body."""
    try:
        return str(answer.json()["message"])
    except (ValueError, KeyError, TypeError):
        return str(answer.text).strip() or str(answer.reason)


def refusal(status: int, message: str) -> BackendError:
    """The error for what the engine refused, with a remedy where one is known."""
    lower = message.lower()
    remedy = "Correct the option that it speaks of, and run again"
    if "no space left on device" in lower:
        remedy = "The disk of the engine's data root is full: free space there, or move the data root"
    elif "port is already allocated" in lower or "bind: address already in use" in lower:
        remedy = "Choose another host port, or end what listens there"
    elif "address already in use" in lower:
        remedy = "Choose another ipv4_address or ipv6_address, or disconnect the container that has it"
    elif "exec: " in lower and ("not found" in lower or "no such file" in lower):
        remedy = "Name a program that the image has, in command or entrypoint"
    elif "bind source path does not exist" in lower:
        remedy = "Make that path on the engine's host first, or name a volume"
    elif "no such image" in lower:
        remedy = "Pull, build or import the image first (docker_image)"
    elif "unauthorized" in lower or "no basic auth credentials" in lower or "authentication required" in lower:
        remedy = "Give registry_username and registry_password, or log in to the registry on this host"
    elif "certificate signed by unknown authority" in lower:
        remedy = "Put the registry's CA certificate into /etc/docker/certs.d/REGISTRY/ca.crt on the engine's host"
    return (NotThere if status == 404 else BackendError)(f"the engine refused: {message}", remedy=remedy)


def _unreachable(url: str, error: Exception, seconds: float) -> BackendError:
    """Why the engine could not be reached, from the error's text: the SDK wraps all of them in one class."""
    if timed_out(error):
        return late(url, seconds)
    text = str(error)
    if "Permission denied" in text or "PermissionError" in text:
        return BackendError(
            f"no permission on {url}",
            remedy="Run the task with become, or put the user into the group docker and log in again",
        )
    if (
        "FileNotFoundError" in text
        or "No such file" in text
        or "Connection refused" in text
        or "ConnectionRefused" in text
    ):
        absent = url.startswith("unix://") and not os.path.exists(url.partition("://")[2])
        return (NotInstalled if absent else BackendError)(
            f"no Docker engine answers at {url}",
            remedy="Install and start it (the role kraal.virt.docker_host does), or name the right docker_host",
        )
    if "paramiko" in text:
        # The SDK wants it for ssh:// even where, as here, the system's own ssh makes the connection.
        remedy = install("python:paramiko") + ", or paramiko with pip, for that Python"
        return BackendError(f"the docker SDK lacks paramiko, which {url} needs", remedy=remedy)
    if "http+docker" in text:
        return BackendError(
            "the docker SDK {} does not work with requests {}".format(
                docker.__version__, requests.__dict__["__version__"]
            ),
            remedy="Install the docker SDK 7.1.0 or later, or requests older than 2.32",
        )
    return BackendError(
        f"the Docker engine at {url} cannot be used: {text}", remedy="Check docker_host and the tls options"
    )


def _client_class(place: str, url: str) -> Any:
    """The SDK's client, which ignores the environment's proxies and CA files, and keeps to its time limits over ssh.

    requests prefers REQUESTS_CA_BUNDLE and CURL_CA_BUNDLE to the authority that the task names, and a proxy to the
    engine's own address.
    """
    target = urlsplit(url)
    # What the SDK's ssh is started with for this engine, and for no other.
    way = f"-- {target.hostname} docker system dial-stdio" if target.scheme == "ssh" else ""

    class Client(docker.APIClient):  # type: ignore[misc, unused-ignore]
        """requests' constructor would set it, and the SDK's asks the engine for its version before anybody could set
        it back.
        """

        trust_env = property(lambda self: False, lambda self, value: None)

        def request(self, method: str, url: str, *arguments: Any, **named: Any) -> Any:
            """What all requests pass through, the SDK's own (pull, build, events) as well."""
            ask = partial(super().request, method, url, *arguments, **named)
            with trace.call(lambda: write_request(method, url, place=place, **named)) as call:
                answer = _within(ask, named.get("timeout"), way) if way else ask()
                call.status = str(answer.status_code)
            return answer

    return Client


def _within(ask: Callable[[], Any], seconds: float | None, way: str) -> Any:
    """The answer to a request through ssh, where the SDK reads from a pipe, which knows no time limit."""
    try:
        return in_background(ask, (Exception,)).result(seconds)
    except futures.TimeoutError as error:
        # It has this process's standard error, whose end Ansible waits for.
        end_children(way)
        raise requests.exceptions.ReadTimeout("no answer came through ssh") from error


def sdk_missing(error: ImportError) -> KraalError:
    """What to do about a missing SDK."""
    return KraalError(
        missing_required_lib("docker", reason="to talk to the Docker engine") + f" ({error})",
        remedy=install("python:docker") + ", or docker with pip for that Python, or set ansible_python_interpreter",
    )


def connect(parameters: Mapping[str, Any]) -> Engine:
    """The engine that the task's connection options name. Raises KraalError with the remedy when there is none."""
    if DOCKER_IMPORT_ERROR is not None:
        raise sdk_missing(DOCKER_IMPORT_ERROR) from DOCKER_IMPORT_ERROR
    url = str(parameters["docker_host"] or CONNECTION["docker_host"]["default"])
    place = place_of(parameters)
    check_awake(parameters, asleep(url))
    files = {key: parameters.get(key) for key in ("tls_ca", "tls_cert", "tls_key")}
    for key, path in files.items():
        if path and not os.access(path, os.R_OK):
            raise BackendError(
                f"{key}: {path!r} cannot be read", remedy="Name a file that exists on the host where the task runs"
            )
    if bool(files["tls_cert"]) != bool(files["tls_key"]):
        raise BackendError("tls_cert and tls_key go together, and only one is given", remedy="Give both, or neither")
    try:
        tls: Any = False
        if any(files.values()):
            pair = (files["tls_cert"], files["tls_key"]) if files["tls_cert"] else None
            tls = docker.tls.TLSConfig(client_cert=pair, ca_cert=files["tls_ca"], verify=True)
        elif url.startswith("https://"):
            tls = docker.tls.TLSConfig(verify=True)
        client = _client_class(place, url)(
            base_url=url,
            version="auto",
            timeout=parameters["api_timeout"],
            tls=tls,
            use_ssh_client=url.startswith("ssh://"),
            num_pools=WIDTH,
        )
    except (docker.errors.DockerException, requests.exceptions.RequestException, ValueError, OSError) as error:
        raise _unreachable(url, error, parameters["api_timeout"]) from error
    return Engine(client, url, place)
