# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands in containers that have a shell, past the collection; what they say is heard to its end."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import docker
from docker.utils.socket import frames_iter_no_tty

#: A busy docker (20.10) may lose what a command says just before it ends. So the shell around it tells its end on both streams, and stays until that was heard.
HELD = r'"$@" < /dev/null; printf "\000%d\000" $?; printf "\000" >&2; read -r _'
END = re.compile(rb"\0(\d+)\0")
STDOUT, STDERR = 1, 2


@dataclass(frozen=True)
class Output:
    """What a command gave."""

    rc: int
    stdout: str
    stderr: str


def run_inside(
    client: docker.APIClient, container: str, argv: Sequence[str], *, check: bool = True, environment: Mapping[str, str] | None = None
) -> Output:
    """Run a command; with `check` one that fails raises RuntimeError."""
    made = client.exec_create(container, ["/bin/sh", "-c", HELD, "sh", *argv], environment=environment, stdin=True)
    with client.exec_start(made["Id"], socket=True) as raw:
        said, end = {STDOUT: b"", STDERR: b""}, None
        frames = frames_iter_no_tty(raw)
        while end is None or b"\0" not in said[STDERR]:
            stream, data = next(frames, (0, b""))
            if not data:
                raise RuntimeError(f"{shlex.join(argv)} in {container} did not come to its end:\n{said}")
            said[stream] += data
            end = END.search(said[STDOUT])
        raw._sock.sendall(b"\n")
    stdout, stderr = said[STDOUT][: end.start()], said[STDERR].partition(b"\0")[0]
    output = Output(int(end[1]), stdout.decode(errors="replace"), stderr.decode(errors="replace"))
    if check and output.rc:
        raise RuntimeError(f"{shlex.join(argv)} in {container} ended with {output.rc}:\n{output.stdout[-2000:]}\n{output.stderr[-2000:]}")
    return output
