# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A registry with TLS and a login, as Debian's docker-registry gives one: the only place images can be pulled from
without leaving the machine.

It listens on the gateway address of a network of its own, not on loopback: dockerd counts every registry in 127.0.0.0/8
as insecure, that is, it would accept any certificate and fall back to plain HTTP, and a test on 127.0.0.1 would prove
nothing about verification. The daemon trusts it through /etc/docker/certs.d alone.
"""

from __future__ import annotations

import secrets
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

import docker
import yaml

from .certificates import Authority
from .daemons import DIES_WITH_US

PROGRAM = "/usr/bin/docker-registry"
CERTS = Path("/etc/docker/certs.d")
START = 30


def free_port(address: str) -> int:
    """A port of that address that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind((address, 0))
        return int(probe.getsockname()[1])


class Registry:
    """A running registry. `endpoint` is HOST:PORT, the first part of its images' names."""

    def __init__(self, client: docker.APIClient, directory: Path, name: str) -> None:
        self._client = client
        self._directory = directory
        self._network = f"{name}registry"
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None
        self._made: list[Path] = []
        self.username = "kt-user"
        self.password = "kt-" + secrets.token_hex(12)
        self.authority = Authority(directory / "certificates", "kt registry authority")
        self.log: list[str] = []
        self.endpoint = ""

    @property
    def auth(self) -> dict[str, str]:
        return {"username": self.username, "password": self.password}

    def image(self, name: str) -> str:
        return f"{self.endpoint}/{name}"

    def push(self, image: str, name: str) -> str:
        """Put a local image into the registry as NAME:TAG and forget the local name; the full name."""
        full = self.image(name)
        repository, dummy, tag = full.rpartition(":")
        self._client.tag(image, repository, tag)
        try:
            for line in self._client.push(repository, tag, stream=True, decode=True, auth_config=self.auth):
                if "error" in line:
                    raise RuntimeError(f"the push of {full} failed: {line['error']}")
        finally:
            self._client.remove_image(full, noprune=True)
        return full

    @contextmanager
    def untrusted(self) -> Iterator[None]:
        """While inside, the daemon does not know the authority of this registry's certificate."""
        self._trusted.unlink()
        try:
            yield
        finally:
            shutil.copyfile(self.authority.certificate, self._trusted)

    def __enter__(self) -> Registry:
        try:
            self._start()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stop()

    @property
    def _trusted(self) -> Path:
        return CERTS / self.endpoint / "ca.crt"

    def _start(self) -> None:
        self._client.create_network(self._network, driver="bridge")
        address = self._client.inspect_network(self._network)["IPAM"]["Config"][0]["Gateway"]
        self.endpoint = f"{address}:{free_port(address)}"
        for directory in (CERTS / self.endpoint, CERTS, CERTS.parent):
            if not directory.exists():
                self._made.append(directory)
        self._trusted.parent.mkdir(parents=True)
        shutil.copyfile(self.authority.certificate, self._trusted)
        config = self._directory / "registry.yml"
        config.write_text(yaml.safe_dump(self._config(address)), encoding="utf-8")
        self._process = subprocess.Popen(
            [*DIES_WITH_US, PROGRAM, "serve", str(config)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env={"OTEL_TRACES_EXPORTER": "none"},
        )
        listening = threading.Event()
        # The log says when it listens; somebody has to go on reading it, or the registry blocks on a full pipe.
        self._reader = threading.Thread(target=self._read_log, args=(listening,), daemon=True)
        self._reader.start()
        if not listening.wait(START) or self._process.poll() is not None:
            raise RuntimeError("the registry did not start:\n" + "".join(self.log))

    def _config(self, address: str) -> dict[str, object]:
        pair = self.authority.issue("registry", (address,))
        passwords = self._directory / "htpasswd"
        made = subprocess.run(
            ["htpasswd", "-niB", self.username], input=self.password, capture_output=True, text=True, check=True
        )
        passwords.write_text(made.stdout, encoding="utf-8")
        return {
            "version": "0.1",
            "log": {"level": "info"},
            "storage": {"filesystem": {"rootdirectory": str(self._directory / "storage")}, "delete": {"enabled": True}},
            "http": {
                "addr": self.endpoint,
                "secret": secrets.token_hex(16),
                "tls": {"certificate": str(pair.certificate), "key": str(pair.key)},
            },
            "auth": {"htpasswd": {"realm": "kt", "path": str(passwords)}},
        }

    def _read_log(self, listening: threading.Event) -> None:
        assert self._process is not None and self._process.stderr is not None
        for line in self._process.stderr:
            self.log.append(line)
            if "listening on" in line:
                listening.set()
        listening.set()

    def _stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait()
            self._process = None
        if self._reader is not None:
            self._reader.join()
        if self.endpoint and self._trusted.exists():
            self._trusted.unlink()
        for directory in self._made:
            # Only what we made, and only if nobody has put anything into it meanwhile (another worker's registry, say).
            if directory.exists() and not any(directory.iterdir()):
                directory.rmdir()
        if self._client.networks(names=[self._network]):
            self._client.remove_network(self._network)
