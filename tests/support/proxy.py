# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A proxy in front of the real docker socket that records every request and can simulate a crash after any step.

with RecordingProxy(directory) as proxy:
    module_process("kraal.virt.docker_container", {..., "docker_host": proxy.base_url}, check=True)
    assert proxy.mutations == []

with RecordingProxy(directory) as proxy:
    proxy.fail_after(2, Cut.BEFORE)      # the daemon does step 2, the module never hears of it
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import struct
import sys
import threading
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar
from urllib.parse import parse_qs, urlsplit

from .wire import LIMIT, PIECE, Framing, Head, read_body, read_head

DOCKER_SOCKET = "/var/run/docker.sock"
BODY_KEPT = 1 << 20

T = TypeVar("T")

#: POST requests that only wait or ask: they are no step of a plan.
NO_STEP = re.compile(r"^/(auth|containers/[^/]+/(wait|resize)|exec/[^/]+/resize)$")


class Cut(Enum):
    """What a simulated crash looks like, once the daemon has completed the step."""

    BEFORE = "before the response is delivered"
    AFTER = "after the response is delivered"
    KILL = "SIGKILL to the process that asked, before the response is delivered"


@dataclass
class Recorded:
    """One request as it was sent. `status` is None while the daemon has not answered."""

    method: str
    target: str
    peer: int
    headers: dict[str, str] = field(default_factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)
    body_size: int = 0
    status: int | None = None
    step: int | None = None

    @property
    def route(self) -> str:
        """The path without the API's version and without the query."""
        return re.sub(r"^/v\d+\.\d+(?=/)", "", urlsplit(self.target).path)

    @property
    def query(self) -> dict[str, list[str]]:
        return parse_qs(urlsplit(self.target).query)

    @property
    def mutating(self) -> bool:
        return self.method not in ("GET", "HEAD")

    @property
    def is_step(self) -> bool:
        return self.mutating and not NO_STEP.match(self.route)

    def json(self) -> Any:
        return json.loads(self.body)

    def __str__(self) -> str:
        return f"{self.method} {self.route}"


class _Crash(Exception):
    """Ends a connection because the simulated crash has happened."""


class RecordingProxy:
    """An HTTP proxy between two unix sockets, in a thread of its own."""

    def __init__(self, directory: Path, upstream: str = DOCKER_SOCKET) -> None:
        self.path = str(directory / "proxy.sock")
        if len(self.path) > 100:
            raise ValueError(f"{self.path} is too long for a unix socket")
        self.upstream = upstream
        self.requests: list[Recorded] = []
        self.crashed = threading.Event()
        self.errors: list[BaseException] = []
        self._limit: int | None = None
        self._how = Cut.BEFORE
        self._victim: int | None = None
        self._rewrites: list[tuple[re.Pattern[str], Callable[[Any], Any]]] = []
        self._hangs_at: tuple[str, re.Pattern[str]] | None = None
        self._hung = False
        self._steps = 0
        self._ended: set[int] = set()
        self._all_ended = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="recording-proxy", daemon=True)

    # What tests use

    @property
    def base_url(self) -> str:
        return f"unix://{self.path}"

    @property
    def mutations(self) -> list[Recorded]:
        """Everything but GET and HEAD."""
        return [request for request in self.requests if request.mutating]

    @property
    def steps(self) -> list[Recorded]:
        """The requests that change something: `mutations` without those that only wait or ask."""
        return [request for request in self.requests if request.is_step]

    def clear(self) -> None:
        """Forget what was recorded."""
        self.requests.clear()

    def rewrite(self, route: str, change: Callable[[Any], Any]) -> None:
        """What the daemon answers to GET on routes that this pattern matches is ``change`` of it from now on: JSON
        in, and JSON, bytes or a status out.
        """
        self._rewrites.append((re.compile(route), change))

    def hang(self, method: str, route: str) -> None:
        """From the first request of that method and of a route that this pattern matches on, nothing that comes in gets
        an answer, and the daemon none of it.
        """
        self._hangs_at = (method, re.compile(route))

    def fail_after(self, steps: int, how: Cut = Cut.BEFORE, victim: int | None = None) -> None:
        """Crash once the daemon has completed that many steps from now on; later steps never reach it. 0 crashes at the
        first one.

        Cut.KILL kills `victim`, or whoever sent the request. Afterwards nobody gets a connection until `heal()`.
        """
        self._call(self._arm(steps, how, victim))

    def heal(self) -> bool:
        """Accept connections again and crash no more; what was recorded stays. Whether there was a crash.

        Asked in the loop's own thread: whoever is killed by the crash, or heard its last answer, may have ended before
        the loop goes on.
        """
        return self._call(self._heal())

    def __enter__(self) -> RecordingProxy:
        self._thread.start()
        self._call(self._listen())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._call(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        Path(self.path).unlink(missing_ok=True)
        if self.errors and value is None:
            raise ExceptionGroup("the proxy failed", [error for error in self.errors if isinstance(error, Exception)])

    # The inside: all of it runs in the loop's thread

    def _call(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=30)

    async def _listen(self) -> None:
        Path(self.path).unlink(missing_ok=True)
        # The socket's file stays when the server closes, so that a client is refused as by a daemon that died.
        keep: dict[str, Any] = {"cleanup_socket": False} if sys.version_info >= (3, 13) else {}
        self._server = await asyncio.start_unix_server(self._accept, path=self.path, limit=LIMIT, **keep)

    async def _arm(self, steps: int, how: Cut, victim: int | None) -> None:
        self._limit, self._how, self._victim = steps, how, victim
        self._steps = 0
        self._ended = set()
        self._all_ended = asyncio.Event()

    async def _heal(self) -> bool:
        crashed = self.crashed.is_set()
        self._limit = None
        self.crashed.clear()
        if self._server is None:
            await self._listen()
        return crashed

    async def _stop(self) -> None:
        self._close_all()
        if self._tasks:
            await asyncio.wait(set(self._tasks))

    def _close_all(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for task in self._tasks - {asyncio.current_task()}:
            task.cancel()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._ended_connection)
        try:
            await _Connection(self, reader, writer).serve()
        except (_Crash, ConnectionError, asyncio.CancelledError):
            # The other side went away, or the crash, or the test's end: the connection ends without another word.
            return
        finally:
            writer.transport.abort()

    def _ended_connection(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.errors.append(error)

    async def _admit(self, request: Recorded) -> None:
        """Number a step; one beyond the limit waits for the crash and dies in it."""
        if self._hangs_at is not None and request.method == self._hangs_at[0]:
            self._hung = self._hung or self._hangs_at[1].fullmatch(request.route) is not None
        if self._hung:
            await asyncio.Event().wait()
        if not request.is_step:
            return
        self._steps += 1
        request.step = self._steps
        if self._limit is None or self._steps <= self._limit:
            return
        await self._wait_for_the_others()
        self._crash(request)
        raise _Crash

    def _last(self, request: Recorded) -> bool:
        return self._limit is not None and request.step == self._limit

    async def _wait_for_the_others(self) -> None:
        """Steps run side by side: the crash comes when all that are within the limit have ended, so that it is after
        exactly these.
        """
        assert self._limit is not None
        if len(self._ended) < self._limit:
            await self._all_ended.wait()

    def _ended_now(self, request: Recorded) -> None:
        if self._limit is not None and request.step is not None and request.step <= self._limit:
            self._ended.add(request.step)
            if len(self._ended) == self._limit:
                self._all_ended.set()

    async def _complete(self, request: Recorded) -> None:
        """The daemon has completed a request; if it was the last step before the crash, here it is."""
        self._ended_now(request)
        if self._last(request):
            await self._wait_for_the_others()
            self._crash(request)
            raise _Crash

    def _change_of(self, request: Recorded) -> Callable[[Any], Any] | None:
        if request.method != "GET" or request.status != 200:
            return None
        return next((change for route, change in self._rewrites if route.fullmatch(request.route)), None)

    def _crash(self, request: Recorded) -> None:
        if self.crashed.is_set():
            return
        if self._how is Cut.KILL:
            victim = self._victim or request.peer
            if victim == os.getpid():
                raise RuntimeError("the process to kill is the test itself: it used the proxy directly")
            os.kill(victim, signal.SIGKILL)
        self._close_all()
        self.crashed.set()


_Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class _Connection:
    """One client's connection, with its own one to the daemon."""

    def __init__(self, proxy: RecordingProxy, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.proxy = proxy
        self.reader = reader
        self.writer = writer
        self.gone = False
        peer = writer.get_extra_info("socket").getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        self.peer: int = struct.unpack("3i", peer)[0]

    async def serve(self) -> None:
        if self.proxy.crashed.is_set():
            raise _Crash
        # Written means sent: a connection that is cut after its response must not lose the end of it in a buffer.
        self.writer.transport.set_write_buffer_limits(high=0)
        upstream: _Streams | None = None
        try:
            while (head := await read_head(self.reader)) is not None:
                if upstream is None or upstream[0].at_eof():
                    if upstream is not None:
                        upstream[1].close()
                    upstream = await asyncio.open_unix_connection(self.proxy.upstream, limit=LIMIT)
                if not await self._exchange(head, *upstream):
                    break
        finally:
            if upstream is not None:
                upstream[1].transport.abort()

    async def _exchange(self, head: Head, up_reader: asyncio.StreamReader, up_writer: asyncio.StreamWriter) -> bool:
        """One request and its response; False when the connection ends with it."""
        method, target, _version = head.start.split(" ", 2)
        request = Recorded(method, target, self.peer, head.fields)
        self.proxy.requests.append(request)
        await self.proxy._admit(request)
        held = self._hold_for(request)
        up_writer.write(head.raw)
        sending = asyncio.ensure_future(self._send_body(request, head, up_writer))
        watch = asyncio.ensure_future(self._watch(sending, up_writer))
        try:
            # The response can begin before the request ends: 100 Continue, the progress of a build, an early error.
            while True:
                response = await read_head(up_reader)
                if response is None:
                    raise ConnectionResetError("the daemon's side of the connection ended without an answer")
                if not 100 <= response.status < 200 or response.status == 101:
                    break
                await self._deliver(None, response.raw)
            request.status = response.status
            framing = response.response_framing(method)
            if _hijacked(response, framing):
                await sending
                await _end(watch)
                await self._deliver(held, response.raw)
                await self._tunnel(up_reader, up_writer, held)
                alive = False
            elif (change := self.proxy._change_of(request)) is not None:
                body = b"".join([content async for _raw, content in read_body(up_reader, framing, response.length)])
                await self._deliver(held, _rewritten(change(json.loads(body))))
                alive = not head.closes and sending.done()
            else:
                await self._deliver(held, response.raw)
                async for raw, _content in read_body(up_reader, framing, response.length):
                    await self._deliver(held, raw)
                alive = framing is not Framing.CLOSE and not response.closes and not head.closes and sending.done()
            if self.gone:
                raise ConnectionResetError("the client left before the response ended")
            await self.proxy._complete(request)
            return alive
        finally:
            self.proxy._ended_now(request)
            await _end(watch)
            await _end(sending)

    async def _watch(self, sending: asyncio.Future[None], up_writer: asyncio.StreamWriter) -> None:
        """A client that leaves before its response has ended takes the daemon's side with it, as without a proxy."""
        await asyncio.wait({sending})
        if not await self.reader.read(1):
            self.gone = True
            up_writer.transport.abort()
            return
        raise RuntimeError("a client sent a request before the response to the last one: pipelining is not supported")

    def _hold_for(self, request: Recorded) -> bytearray | None:
        """Where the response of the last step before a crash goes instead of to the client."""
        return bytearray() if self.proxy._last(request) and self.proxy._how is not Cut.AFTER else None

    async def _deliver(self, held: bytearray | None, data: bytes) -> None:
        if held is not None:
            held += data
            return
        self.writer.write(data)
        await self.writer.drain()

    async def _send_body(self, request: Recorded, head: Head, up_writer: asyncio.StreamWriter) -> None:
        async for raw, content in read_body(self.reader, head.framing, head.length):
            request.body_size += len(content)
            request.body += content[: max(0, BODY_KEPT - len(request.body))]
            up_writer.write(raw)
            await up_writer.drain()
        await up_writer.drain()

    async def _tunnel(
        self, up_reader: asyncio.StreamReader, up_writer: asyncio.StreamWriter, held: bytearray | None
    ) -> None:
        """A hijacked connection (attach, exec): raw bytes both ways; each side may close its half first."""

        async def inward() -> None:
            while piece := await self.reader.read(PIECE):
                up_writer.write(piece)
                await up_writer.drain()
            if up_writer.can_write_eof():
                up_writer.write_eof()

        sending = asyncio.ensure_future(inward())
        try:
            while piece := await up_reader.read(PIECE):
                await self._deliver(held, piece)
        finally:
            await _end(sending)


def _rewritten(answer: Any) -> bytes:
    """An answer of our own: JSON, bytes that are called so, or a status."""
    status, body = (answer, b'{"message": "rewritten"}') if isinstance(answer, int) else (200, answer)
    body = body if isinstance(body, bytes) else json.dumps(body).encode()
    return b"HTTP/1.1 %d Rewritten\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (
        status,
        len(body),
        body,
    )


def _hijacked(response: Head, framing: Framing) -> bool:
    """Upgraded, or (without an Upgrade in the request) a raw stream that has no other end than the connection's."""
    return response.status == 101 or (
        framing is Framing.CLOSE and response.fields.get("content-type", "").startswith("application/vnd.docker.")
    )


async def _end(task: asyncio.Future[Any]) -> None:
    """Stop a task and take its outcome; a connection that broke meanwhile is not a news here."""
    task.cancel()
    await asyncio.wait({task})
    if not task.cancelled() and (error := task.exception()) is not None and not isinstance(error, ConnectionError):
        raise error
