# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Proves that the engine runs a container: makes an image of one static program of this host, runs it on the default network, removes both.

Needs no registry. Prints one JSON object: `ok`, the `step` that was last, and what it said.
"""

from __future__ import annotations

import argparse
import io
import json
import subprocess
import sys
import tarfile
import time
import uuid
from collections.abc import Sequence
from pathlib import Path

#: The engine brings the first along, to be the first process of containers; it says its version and ends.
PROGRAMS = (
    ("/usr/bin/docker-init", "--version"),
    ("/usr/libexec/docker/docker-init", "--version"),
    ("/usr/bin/tini-static", "--version"),
    ("/bin/busybox", "true"),
)
TIMEOUT = 60


class Refused(Exception):
    """A step that the engine did not do."""

    def __init__(self, step: str, said: str) -> None:
        super().__init__(said)
        self.step = step


def is_static(program: bytes) -> bool:
    """An ELF file that names no dynamic loader, so that it runs in an image that holds nothing else."""
    if program[:4] != b"\x7fELF":
        return False
    order = "little" if program[5] == 1 else "big"
    wide = program[4] == 2
    at, size, count = (32, 54, 56) if wide else (28, 42, 44)
    table = int.from_bytes(program[at : at + (8 if wide else 4)], order)
    entry = int.from_bytes(program[size : size + 2], order)
    entries = int.from_bytes(program[count : count + 2], order)
    types = (int.from_bytes(program[table + number * entry : table + number * entry + 4], order) for number in range(entries))
    return 3 not in types  # PT_INTERP


def find_program() -> tuple[bytes, str]:
    for path, argument in PROGRAMS:
        if Path(path).exists():
            content = Path(path).read_bytes()
            if is_static(content):
                return content, argument
    raise Refused(
        "find a static program", f"none of {', '.join(path for path, _argument in PROGRAMS)} is there and static; install the package tini or busybox-static"
    )


def root_file_system(program: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        member = tarfile.TarInfo("kraal-verify")
        member.mode, member.size = 0o755, len(program)
        archive.addfile(member, io.BytesIO(program))
    return buffer.getvalue()


def call(step: str, argv: Sequence[str], data: bytes = b"") -> str:
    try:
        done = subprocess.run(argv, input=data, capture_output=True, timeout=TIMEOUT, check=False)
    except subprocess.TimeoutExpired as exc:
        raise Refused(step, f"did not end within {TIMEOUT} s") from exc
    if done.returncode:
        raise Refused(step, (done.stderr or done.stdout).decode("utf-8", "replace").strip() or f"exit code {done.returncode}")
    return done.stdout.decode("utf-8", "replace").strip()


def verify(docker: Sequence[str]) -> str:
    name = f"kraal-verify-{uuid.uuid4().hex[:12]}"
    program, argument = find_program()
    call("import an image", [*docker, "import", "-", f"{name}:1"], root_file_system(program))
    try:
        try:
            run = [*docker, "run", "--rm", "--name", name, f"{name}:1", "/kraal-verify", argument]
            said = call("run a container", run)
            if argument == "--version" and not said:
                # A busy engine may lose the words of what ends at once.
                said = call("run a container", run)
        except Refused:
            # It may have been made though it did not start; `--force` is content when there is none.
            subprocess.run([*docker, "rm", "--force", name], capture_output=True, timeout=TIMEOUT, check=False)
            raise
    finally:
        call("remove the image", [*docker, "image", "rm", f"{name}:1"])
    return said


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--client", required=True)
    parser.add_argument("--socket", required=True)
    options = parser.parse_args(arguments)
    started = time.monotonic()
    try:
        result = {"ok": True, "step": "run a container", "said": verify([options.client, "--host", f"unix://{options.socket}"])}
    except Refused as refused:
        result = {"ok": False, "step": refused.step, "said": str(refused)}
    print(json.dumps({**result, "seconds": round(time.monotonic() - started, 3)}))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
