# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Discovery's way to a Docker engine: what each answer, and each want of one, is taken for.

The engine here says what no real one can be made to say.
"""

from __future__ import annotations

import http.server
import socketserver
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.kraal.virt.plugins.module_utils.backends.docker import reader as docker_reader
from ansible_collections.kraal.virt.plugins.module_utils.backends.docker.reader import Reader, TimedOut
from ansible_collections.kraal.virt.plugins.module_utils.engine.errors import (
    BackendError,
    InvalidOption,
    NotInstalled,
    Unreachable,
    Unreadable,
)

ANSWERS = {
    "/json": (200, b'{"a": 1}'),
    "/gone": (404, b'{"message": "no such thing"}'),
    "/broken": (500, b"the disk is full"),
    "/cut": (200, b'{"a": '),
    "/deep": (200, b"[" * 100000),
}
#: Set when nobody waits for an answer any more.
HEARD = threading.Event()


class Engine(http.server.BaseHTTPRequestHandler):
    """Answers by the path; counts its connections."""

    protocol_version = "HTTP/1.1"

    def setup(self) -> None:
        super().setup()
        self.server.connections += 1  # type: ignore[attr-defined]

    def do_GET(self) -> None:
        if self.path == "/silent":
            HEARD.wait(60)
        if self.path == "/ends":
            self.close_connection = True
            return
        status, content = ANSWERS.get(self.path, (200, b'"%s"' % self.path.encode()))
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_words: Any) -> None:
        return


class Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True
    connections = 0


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with Server(str(tmp_path / "socket"), Engine) as made:
        threading.Thread(target=made.serve_forever, args=(0.05,), daemon=True).start()
        yield made
        made.shutdown()


@pytest.fixture
def reader(server: Server) -> Iterator[Reader]:
    HEARD.clear()
    made = Reader({"docker_host": f"unix://{server.server_address}"})
    yield made
    made.close()


def test_an_answer_is_read_and_the_connection_kept(reader: Reader, server: Server) -> None:
    assert reader.get("/json") == {"a": 1}
    assert reader.get("/containers/json", all=1, filters='{"a b"}') == "/containers/json?all=1&filters=%7B%22a+b%22%7D"
    assert reader.get("/gone") is None
    assert server.connections == 1


@pytest.mark.parametrize(
    ("path", "kind", "words"),
    [
        ("/broken", BackendError, "refused: 500 the disk is full"),
        ("/cut", Unreadable, "/cut is no JSON"),
        ("/deep", Unreadable, "/deep is no JSON"),
        ("/ends", Unreachable, "did not answer"),
        ("/silent", TimedOut, "did not answer"),
    ],
)
def test_what_is_no_answer_is_an_error_and_spoils_no_other(
    path: str, kind: type[BackendError], words: str, reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patience, pytest.raises(kind) as caught:
        if kind is TimedOut:
            patience.setattr(docker_reader, "SECONDS", 0.2)
        reader.get(path)
    HEARD.set()
    assert type(caught.value) is kind and words in str(caught.value)
    # What was left of that answer is taken for no other's.
    assert reader.get("/json") == {"a": 1}


def test_objects_that_are_gone_meanwhile_are_left_out(reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, answer in (("web", "/json"), ("left", "/gone"), ("bad", "/broken")):
        monkeypatch.setitem(ANSWERS, f"/containers/{name}/json", ANSWERS[answer])
    found = reader.inspect_all("containers", ["web", "left", "bad"])
    assert list(found) == ["web", "bad"] and found["web"] == {"a": 1}
    assert isinstance(found["bad"], BackendError)


def test_where_there_is_no_engine_and_where_none_answers(tmp_path: Path, server: Server) -> None:
    with pytest.raises(NotInstalled, match="is missing"):
        Reader({"docker_host": f"unix://{tmp_path}/none"}).get("/json")
    server.server_close()
    with pytest.raises(Unreachable, match="did not answer"):
        Reader({"docker_host": f"unix://{tmp_path}/socket"}).get("/json")
    with pytest.raises(InvalidOption, match="is not a valid address of an engine"):
        Reader({"docker_host": "npipe:////./pipe/docker_engine"})
