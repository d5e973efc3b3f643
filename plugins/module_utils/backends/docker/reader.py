# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reads from the engine on this host through its socket, with the standard library alone.

For the discovery, which is sent to hosts that may lack the docker SDK, and which would spend most of its time on loading it.
"""

from __future__ import annotations

import errno
import http.client
import json
import socket
import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlencode

from ...engine.errors import BackendError, NotInstalled

SOCKET = "/var/run/docker.sock"
SECONDS = 30
WIDTH = 4


class _Connection(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=SECONDS)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(SECONDS)
        self.sock.connect(self.path)


class Reader:
    """The reading half of client.Engine; one connection for each thread, kept open."""

    local = True

    def __init__(self, path: str = SOCKET) -> None:
        self.path = path
        self._own = threading.local()

    def get(self, path: str, **query: Any) -> Any:
        """Ask for one object or list; None for one that is not there. Raises NotInstalled and BackendError."""
        try:
            return self._ask("%s?%s" % (path, urlencode(query)) if query else path)
        except FileNotFoundError as error:
            raise NotInstalled("no Docker engine runs on this host (%s is missing)" % self.path) from error
        except (OSError, http.client.HTTPException, ValueError) as error:
            if isinstance(error, PermissionError) or getattr(error, "errno", 0) == errno.EACCES:
                remedy = "Read the inventory as a user of the group docker, or with become"
                raise BackendError("no permission on %s" % self.path, remedy=remedy) from error
            raise BackendError("the engine at %s did not answer: %s" % (self.path, error), remedy="Start it, or look at its log") from error

    def _ask(self, target: str) -> Any:
        connection = getattr(self._own, "connection", None)
        if connection is None:
            connection = self._own.connection = _Connection(self.path)
        connection.request("GET", target)
        answer = connection.getresponse()
        content = answer.read()
        if answer.status == 404:
            return None
        if answer.status >= 400:
            raise ValueError("%d %s" % (answer.status, content.decode(errors="replace").strip()))
        return json.loads(content)

    def inspect_all(self, kind: str, names: Iterable[str]) -> dict[str, Any]:
        """Inspect many objects; those that are gone meanwhile are left out."""
        listed = list(names)
        with ThreadPoolExecutor(max_workers=WIDTH) as pool:
            found = list(pool.map(lambda name: self.get("/%s/%s/json" % (kind, name)), listed))
        return {name: data for name, data in zip(listed, found) if data is not None}
