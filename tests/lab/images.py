# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Root file systems of lab hosts, built with mmdebstrap and kept under .cache/lab by the hash of everything that makes them."""

from __future__ import annotations

import fcntl
import hashlib
import json
import shlex
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import docker
from docker.errors import APIError, ImageNotFound

from tests.support.paths import CACHE

from . import machine

LAB = CACHE / "lab"
CUSTOMIZE = Path(__file__).with_name("customize.py")
REPOSITORY = "kt-lab"
CONFLICT = 409
RELEASES = {"bookworm": "12", "trixie": "13"}

PACKAGES = (
    "ca-certificates",
    "dbus",
    "iproute2",
    "iptables",
    "iputils-ping",
    "kmod",
    "libpam-systemd",
    "openssh-server",
    "procps",
    "python3",
    "python3-apt",
    "systemd-sysv",
    "udev",
)


@contextmanager
def locked(name: str) -> Iterator[None]:
    """One process at a time: workers of one test run share the cache and the images."""
    LAB.mkdir(parents=True, exist_ok=True)
    with (LAB / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@dataclass(frozen=True)
class HostImage:
    """A release with systemd, sshd, Python and perhaps more packages."""

    suite: str
    packages: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.suite not in RELEASES:
            raise ValueError(f"no lab image of {self.suite}: choose one of {', '.join(RELEASES)}")

    @property
    def _argv(self) -> list[str]:
        options = [word for line in machine.apt_options().splitlines() for word in ("--aptopt", line)]
        include = ",".join(sorted({*PACKAGES, *self.packages}))
        return [
            "mmdebstrap",
            "--quiet",
            "--variant=minbase",
            f"--keyring={machine.KEYRING}",
            f"--include={include}",
            f"--customize-hook=/usr/bin/python3 {shlex.quote(str(CUSTOMIZE))} \"$1\"",
            *options,
            self.suite,
        ]

    @property
    def digest(self) -> str:
        made_of = [[word for word in self._argv if str(CUSTOMIZE) not in word], CUSTOMIZE.read_text(encoding="utf-8"), machine.apt_sources(self.suite)]
        return hashlib.sha256(json.dumps(made_of).encode()).hexdigest()[:12]

    @property
    def tar(self) -> Path:
        return LAB / f"{self.suite}-{self.digest}.tar"

    @property
    def name(self) -> str:
        return f"{REPOSITORY}:{self.suite}-{self.digest}"

    def build(self) -> Path:
        """Build the root file system unless it is there; half-built ones never count."""
        with locked(f"build-{self.suite}"):
            if self.tar.exists():
                return self.tar
            machine.check_keys(self.suite)
            partial = self.tar.with_suffix(".partial.tar")
            done = subprocess.run([*self._argv, str(partial), "-"], input=machine.apt_sources(self.suite), capture_output=True, text=True, check=False)
            if done.returncode:
                partial.unlink(missing_ok=True)
                raise RuntimeError(f"mmdebstrap {self.suite} failed:\n{done.stderr[-4000:]}")
            partial.rename(self.tar)
        return self.tar

    def load(self, client: docker.APIClient) -> str:
        """The image's name on the daemon; built and imported as needed. Call it under `locked(REPOSITORY)`."""
        try:
            client.inspect_image(self.name)
        except ImageNotFound:
            repository, dummy, tag = self.name.rpartition(":")
            with self.build().open("rb") as tar:
                response = client.post(client._url("/images/create"), data=tar, params={"fromSrc": "-", "repo": repository, "tag": tag}, timeout=300)
            response.raise_for_status()
            client.inspect_image(self.name)
        return self.name


def unload_all(client: docker.APIClient) -> None:
    """Take all lab images off the daemon but those that somebody's hosts still run on; the files stay in the cache."""
    with locked(REPOSITORY):
        for item in client.images(name=REPOSITORY):
            for tag in item["RepoTags"]:
                try:
                    client.remove_image(tag)
                except APIError as error:
                    if error.status_code != CONFLICT:
                        raise
