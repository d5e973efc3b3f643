# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands in containers that have a shell, past the collection; what they say is heard to its end."""

from __future__ import annotations

import re
import shlex
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import BinaryIO

import docker

#: Both streams tell the command's end, and the first its exit status: docker may not know it yet, and what the command
#: has started keeps its streams open.
TOLD = r'"$@" < /dev/null; printf "\000%d\000" $?; printf "\000" >&2'
END = re.compile(rb"\0(\d+)\0")
STDOUT, STDERR = 1, 2
#: Seconds of silence after which a command is taken to hang.
PATIENCE = 1800


@dataclass(frozen=True)
class Output:
    """What a command gave."""

    rc: int
    stdout: str
    stderr: str


def run_inside(
    client: docker.APIClient,
    container: str,
    argv: Sequence[str],
    *,
    check: bool = True,
    environment: Mapping[str, str] | None = None,
) -> Output:
    """Run a command; with `check` one that fails raises RuntimeError."""
    made = client.exec_create(container, ["/bin/sh", "-c", TOLD, "sh", *argv], environment=environment)
    with client.exec_start(made["Id"], socket=True) as raw:
        raw._sock.settimeout(PATIENCE)
        said, end = {STDOUT: b"", STDERR: b""}, None
        # What came in one piece with the head of the answer is in the buffer of who has read that; docker-py (7.1)
        # gives the socket below, where it is missing.
        frames = frames_of(raw._response.raw._fp.fp)
        while end is None or b"\0" not in said[STDERR]:
            stream, data = next(frames, (0, b""))
            if not data:
                raise RuntimeError(f"{shlex.join(argv)} in {container} did not come to its end:\n{said}")
            said[stream] += data
            end = END.search(said[STDOUT])
    stdout, stderr = said[STDOUT][: end.start()], said[STDERR].partition(b"\0")[0]
    output = Output(int(end[1]), stdout.decode(errors="replace"), stderr.decode(errors="replace"))
    if check and output.rc:
        raise RuntimeError(
            f"{shlex.join(argv)} in {container} ended with {output.rc}:\n{output.stdout[-2000:]}\n"
            f"{output.stderr[-2000:]}"
        )
    return output


def frames_of(reader: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """The stream and the content of each frame, as POST /containers/{id}/attach of Docker's API describes them."""
    while len(head := reader.read(8)) == 8:
        stream, size = struct.unpack(">BxxxL", head)
        yield stream, reader.read(size)
