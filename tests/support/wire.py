# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""HTTP/1.1 framing as the recording proxy needs it: heads are read, bodies pass through as the bytes they are."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from enum import Enum

LIMIT = 1 << 20
PIECE = 1 << 16


class Framing(Enum):
    """How the end of a body is known."""

    NONE = "none"
    LENGTH = "length"
    CHUNKED = "chunked"
    CLOSE = "close"


@dataclass(frozen=True)
class Head:
    """A start line and header fields, with the bytes they came in."""

    raw: bytes
    start: str
    fields: dict[str, str]

    @property
    def framing(self) -> Framing:
        if "chunked" in self.fields.get("transfer-encoding", "").lower():
            return Framing.CHUNKED
        if "content-length" in self.fields:
            return Framing.LENGTH
        return Framing.NONE

    @property
    def length(self) -> int:
        return int(self.fields.get("content-length", "0"))

    @property
    def closes(self) -> bool:
        return "close" in self.fields.get("connection", "").lower() or self.start.split(" ", 1)[0] == "HTTP/1.0"

    @property
    def status(self) -> int:
        return int(self.start.split(" ")[1])

    def response_framing(self, method: str) -> Framing:
        """The framing of a response depends on the request too (RFC 9112, 6.3)."""
        if method == "HEAD" or self.status < 200 or self.status in (204, 304):
            return Framing.NONE
        return Framing.CLOSE if self.framing is Framing.NONE else self.framing


async def read_head(reader: asyncio.StreamReader) -> Head | None:
    """The next head; None at the end of the connection."""
    try:
        raw = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as error:
        if error.partial:
            raise ConnectionResetError("the connection ended within a head") from error
        return None
    start, *lines = raw[:-4].decode("latin-1").split("\r\n")
    fields = {}
    for line in lines:
        name, dummy, value = line.partition(":")
        fields[name.strip().lower()] = value.strip()
    return Head(raw, start, fields)


async def read_body(reader: asyncio.StreamReader, framing: Framing, length: int) -> AsyncIterator[tuple[bytes, bytes]]:
    """The body in pieces as they arrive: (bytes on the wire, content in them)."""
    if framing is Framing.LENGTH:
        while length:
            piece = await reader.read(min(length, PIECE))
            if not piece:
                raise ConnectionResetError("the connection ended within a body")
            length -= len(piece)
            yield piece, piece
    elif framing is Framing.CHUNKED:
        async for pair in _read_chunks(reader):
            yield pair
    elif framing is Framing.CLOSE:
        while piece := await reader.read(PIECE):
            yield piece, piece


async def _read_chunks(reader: asyncio.StreamReader) -> AsyncIterator[tuple[bytes, bytes]]:
    try:
        while True:
            line = await reader.readuntil(b"\r\n")
            size = int(line.split(b";", 1)[0], 16)
            if size == 0:
                yield line, b""
                break
            # A chunk goes on as a whole with its head: a stream of events is written chunk by chunk, and none is held
            # back.
            chunk = await reader.readexactly(size + 2)
            yield line + chunk, chunk[:-2]
        while True:
            line = await reader.readuntil(b"\r\n")
            yield line, b""
            if line == b"\r\n":
                return
    except asyncio.IncompleteReadError as error:
        raise ConnectionResetError("the connection ended within a chunk") from error
