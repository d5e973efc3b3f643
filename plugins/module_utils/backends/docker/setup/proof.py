# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The proof that an engine runs a container: of an image made of one static program of this host, on the default
network; both are removed.

Needs neither a registry nor Docker's client nor its library: the engine is asked over its socket (Engine API 1.41 and
later).
"""

from __future__ import annotations

import http.client
import io
import json
import re
import struct
import tarfile
import uuid
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from ....engine import trace
from ....engine.errors import BackendError
from ....host.reader import UnixConnection
from ....host.setup import PROOF
from ..written_calls import write_request

#: The engine brings the first along, to be the first process of containers; it says its version and ends.
PROGRAMS = (
    ("/usr/bin/docker-init", "--version"),
    ("/usr/libexec/docker/docker-init", "--version"),
    ("/usr/bin/tini-static", "--version"),
    ("/bin/busybox", "true"),
)
#: Seconds that each step may take.
SECONDS = 60
PROGRAM = "/kraal-verify"
_OURS = re.compile(PROOF + "[0-9a-f]{12}")


class Unproven(BackendError):
    """A step of the proof that was not done."""


def prove(path: str) -> None:
    """Run a container on the engine of that socket. Raises Unproven."""
    name = PROOF + uuid.uuid4().hex[:12]
    program, argument = find_program()
    importing = urlencode({"fromSrc": "-", "repo": name, "tag": "1"})
    _call(
        "import an image", path, "POST", "/images/create?" + importing, root_file_system(program), "application/x-tar"
    )
    try:
        _run_container(path, name, argument)
    finally:
        _call("remove the image", path, "DELETE", f"/images/{name}:1?force=1")


def left(path: str) -> list[str]:
    """What proofs have left which were killed, as the engine's paths to it: containers, then images.

    Raises Unproven.
    """
    step = "say what there is"
    containers, images = (
        [each for documents in _call(step, path, "GET", request) for each in documents]
        for request in ("/containers/json?all=1", "/images/json")
    )
    names = [name.lstrip("/") for each in containers for name in each.get("Names") or ()]
    tags = [tag for each in images for tag in each.get("RepoTags") or ()]
    return [
        *(f"containers/{name}" for name in sorted(names) if _OURS.fullmatch(name)),
        *(f"images/{tag}" for tag in sorted(tags) if _OURS.fullmatch(tag.partition(":")[0])),
    ]


def remove_left(path: str, name: str) -> None:
    """Remove it. Raises Unproven."""
    _call("remove what a killed run has left", path, "DELETE", f"/{name}?force=1")


def _run_container(path: str, name: str, argument: str) -> None:
    step = "run a container"
    body = json.dumps({"Image": name + ":1", "Cmd": [PROGRAM, argument]}).encode()
    _call(step, path, "POST", "/containers/create?name=" + name, body)
    try:
        _call(step, path, "POST", f"/containers/{name}/start")
        ended = _call(step, path, "POST", f"/containers/{name}/wait")[-1]
        if ended["StatusCode"]:
            raise _unproven(step, "its program ended with {}".format(ended["StatusCode"]))
    finally:
        _call("remove the container", path, "DELETE", f"/containers/{name}?force=1&v=1")


def _unproven(step: str, said: str) -> Unproven:
    return Unproven(f"the engine answers, but it cannot {step}: {said}")


def _call(
    step: str, path: str, method: str, request: str, body: bytes = b"", kind: str = "application/json"
) -> list[Any]:
    """One request; the documents of the answer, of which the engine sends several where it tells of its progress.

    Raises Unproven.
    """
    connection = UnixConnection(path, SECONDS)
    try:
        with trace.call(lambda: write_request(method, request, data=body or None)) as call:
            connection.request(method, request, body, {"Content-Type": kind})
            answer = connection.getresponse()
            call.status = str(answer.status)
        documents = [json.loads(line) for line in answer.read().splitlines() if line.strip()]
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise _unproven(step, str(error)) from error
    finally:
        connection.close()
    errors = [each["error"] for each in documents if isinstance(each, dict) and each.get("error")]
    if answer.status >= 400 or errors:
        told = [each["message"] for each in documents if isinstance(each, dict) and each.get("message")]
        raise _unproven(step, "; ".join(map(str, [*errors, *told])) or "it answers with status %d" % answer.status)
    return documents


def find_program() -> tuple[bytes, str]:
    """A static program of this host, and the argument with which it ends well. Raises Unproven."""
    for path, argument in PROGRAMS:
        if Path(path).exists():
            content = Path(path).read_bytes()
            if is_static(content):
                return content, argument
    said = "none of %s is there and static; install the package tini or busybox-static"
    raise _unproven("be given a static program", said % ", ".join(path for path, _argument in PROGRAMS))


def is_static(program: bytes) -> bool:
    """An ELF file that names no dynamic loader, so that it runs in an image that holds nothing else; see elf(5).

    Pure.
    """
    if program[:4] != b"\x7fELF":
        return False
    order = "<" if program[5] == 1 else ">"
    wide = program[4] == 2
    (table,) = struct.unpack_from(order + ("Q" if wide else "I"), program, 32 if wide else 28)
    size, entries = struct.unpack_from(order + "HH", program, 54 if wide else 42)
    types = (struct.unpack_from(order + "I", program, table + number * size)[0] for number in range(entries))
    return 3 not in types  # PT_INTERP


def root_file_system(program: bytes) -> bytes:
    """A tar archive with the program alone. Pure."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        member = tarfile.TarInfo(PROGRAM.strip("/"))
        member.mode, member.size = 0o755, len(program)
        archive.addfile(member, io.BytesIO(program))
    return buffer.getvalue()
