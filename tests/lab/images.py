# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Root file systems of lab hosts, built with mmdebstrap and kept under .cache/lab by the hash of everything that makes
them.

What apt downloads is kept beside them, by release: packages and lists of packages. Builds use both, hosts the packages
(see machine.py).
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shlex
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import docker
from docker.errors import APIError, ImageNotFound

from tests.support.paths import CACHE

from . import keys, machine

LAB = CACHE / "lab"
CUSTOMIZE = Path(__file__).with_name("customize.py")
INSTALL = Path(__file__).with_name("install.py")
REPOSITORY = "kt-lab"
CONFLICT = 409
RELEASES = {"bookworm": "12", "trixie": "13"}
SUITES = (*RELEASES, machine.SID)

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


def hook(script: Path, *arguments: str) -> str:
    """A command for mmdebstrap's hooks: a script of ours with arguments and the new root."""
    return shlex.join(["/usr/bin/python3", str(script), *arguments]) + ' "$1"'


#: What the README asks for, on the smallest Debian that there is.
PRISTINE = ("git", "make")
#: The same with an init system.
PRISTINE_SYSTEMD = (*PRISTINE, "dbus", "iproute2", "systemd-sysv", "udev")
#: Of a Debian 12 with Docker and LXC: one image for all test files that need one, or both.
ENGINES = ("docker.io", "lxc", "python3-docker", "xz-utils")
BASES = {"host": PACKAGES, "pristine": PRISTINE, "pristine-systemd": PRISTINE_SYSTEMD}


def bootstrap(packages: Sequence[str], *more: str) -> list[str]:
    """The arguments of mmdebstrap for the smallest root file system with these packages; suite, target and sources
    are still to come.
    """
    options = [word for line in machine.apt_options().splitlines() for word in ("--aptopt", line)]
    include = ",".join(sorted(packages))
    base = ["mmdebstrap", "--quiet", "--variant=minbase", f"--keyring={machine.KEYRING}", f"--include={include}"]
    return [*base, f"--customize-hook={hook(CUSTOMIZE)}", *more, *options]


def digest(suite: str, argv: Sequence[str], *scripts: Path) -> str:
    """Of what a root file system is built from. Where the scripts lie does not matter, what is in them does."""
    words = [word for word in argv if not any(str(script) in word for script in scripts)]
    made_of = [[*words, suite], *(script.read_text(encoding="utf-8") for script in scripts), machine.apt_sources(suite)]
    return hashlib.sha256(json.dumps(made_of).encode()).hexdigest()[:12]


def archive(suite: str) -> Path:
    """The directory with all packages of a release that were ever downloaded for its hosts."""
    place = LAB / "packages" / suite
    place.mkdir(parents=True, exist_ok=True)
    return place


def _downloads(suite: str) -> dict[str, Path]:
    """Where apt has packages and lists of packages, below a root, and what is to be there instead."""
    lists = LAB / "lists" / suite
    lists.mkdir(parents=True, exist_ok=True)
    return {"var/cache/apt/archives": archive(suite), "var/lib/apt/lists": lists}


def _run_apart(suite: str, argv: Sequence[str], **given: Any) -> None:
    """Run what builds a root file system, in mounts of its own: whoever looks through this machine's at the wrong
    moment would keep those of the root busy.
    """
    # Nothing of a half-built root is kept, so nothing of it need be on the disk before the next is written.
    environment = {**os.environ, "DPKG_FORCE": "unsafe-io"}
    # apt holds locks in the shared directories, and waits for none.
    with locked(f"apt-{suite}"):
        done = subprocess.run(
            ["unshare", "--mount", "--", *argv], capture_output=True, text=True, check=False, env=environment, **given
        )
    if done.returncode:
        raise RuntimeError(f"{shlex.join(argv[:2])} of {suite} failed:\n{done.stderr[-4000:]}")


def make_root(suite: str, argv: Sequence[str], target: Path) -> None:
    """Run mmdebstrap: a tar file or a directory, as the target's name says."""
    machine.check_keys(suite)
    shared = _downloads(suite)
    mounts = [
        f'mkdir -p "$1"/{inside} && mount --bind {shlex.quote(str(place))} "$1"/{inside}'
        for inside, place in shared.items()
    ]
    hooks = [
        f"--setup-hook={' && '.join(mounts)}",
        "--customize-hook=" + " && ".join(f'umount "$1"/{inside}' for inside in shared),
    ]
    _run_apart(
        suite,
        [argv[0], "--skip=essential/unlink", *hooks, *argv[1:], suite, str(target), "-"],
        input=machine.apt_sources(suite),
    )


def extend_root(suite: str, base: Path, packages: Sequence[str], target: Path) -> None:
    """A tar file of a root file system with more packages than that of another one has.

    Call it under a lock on the target.
    """
    root = target.with_suffix(".root")
    if root.exists():
        # A run that was killed has left it.
        shutil.rmtree(root)
    root.mkdir()
    try:
        unpack = [
            "tar",
            "--extract",
            "--numeric-owner",
            "--xattrs",
            "--xattrs-include=*",
            "--file",
            str(base),
            "--directory",
            str(root),
        ]
        subprocess.run(unpack, check=True)
        for path, content in machine.files(suite).items():
            place = root / path.lstrip("/")
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content)
        mounts = [
            shlex.join(["mount", "--bind", str(place), str(root / inside)])
            for inside, place in _downloads(suite).items()
        ]
        install = shlex.join(["/usr/bin/python3", str(INSTALL), str(root), *packages])
        _run_apart(suite, ["sh", "-ec", "\n".join([*mounts, install])])
        subprocess.run(["/usr/bin/python3", str(CUSTOMIZE), str(root)], check=True)
        pack = [
            "tar",
            "--create",
            "--numeric-owner",
            "--xattrs",
            "--xattrs-include=*",
            "--sort=name",
            "--file",
            str(target),
        ]
        subprocess.run([*pack, "--directory", str(root), "."], check=True)
    finally:
        shutil.rmtree(root)


def controller_key() -> bytes:
    """The public half of the lab's own key, which is made if it is missing.

    A lock of its own: that of the images is held while one is built.
    """
    with locked("key"):
        return keys.controller_key(LAB / "id_ed25519")


@dataclass(frozen=True)
class HostImage:
    """A release with packages: systemd, sshd and Python, and perhaps more; or, for a host that nobody has touched,
    those of `base` alone.

    `boots`: whether systemd, where it is there, is the first process. Where it is not, that does not even bury its
    dead, and no sshd runs.
    """

    suite: str
    packages: tuple[str, ...] = ()
    base: tuple[str, ...] = PACKAGES
    boots: bool = True

    def __post_init__(self) -> None:
        if self.suite not in SUITES:
            raise ValueError(f"no lab image of {self.suite}: choose one of {', '.join(SUITES)}")

    @property
    def has_init(self) -> bool:
        """Whether systemd is its first process."""
        return self.boots and "systemd-sysv" in self.base

    @property
    def has_sshd(self) -> bool:
        return "openssh-server" in self.base

    @property
    def argv(self) -> list[str]:
        """What mmdebstrap is called with for the base; the packages come after."""
        return bootstrap(self.base)

    @property
    def digest(self) -> str:
        base = digest(self.suite, self.argv, CUSTOMIZE)
        return digest(self.suite, [base, *sorted(self.packages)], INSTALL) if self.packages else base

    @property
    def tar(self) -> Path:
        return LAB / f"{self.suite}-{self.digest}.tar"

    @property
    def name(self) -> str:
        return f"{REPOSITORY}:{self.suite}-{self.digest}"

    def build(self) -> Path:
        """Build the root file system unless it is there; half-built ones never count.

        What has packages besides is made of what has none.
        """
        with locked(f"build-{self.tar.stem}"):
            if self.tar.exists():
                return self.tar
            partial = self.tar.with_suffix(".partial.tar")
            try:
                if self.packages:
                    extend_root(self.suite, replace(self, packages=()).build(), self.packages, partial)
                else:
                    make_root(self.suite, self.argv, partial)
            except (RuntimeError, subprocess.CalledProcessError):
                partial.unlink(missing_ok=True)
                raise
            partial.rename(self.tar)
        return self.tar

    def load(self, client: docker.APIClient) -> str:
        """The image's name on the daemon; imported as needed.

        Call it under `locked(REPOSITORY)`, when it was built: that takes minutes.
        """
        try:
            client.inspect_image(self.name)
        except ImageNotFound:
            repository, dummy, tag = self.name.rpartition(":")
            with self.build().open("rb") as tar:
                response = client.post(
                    client._url("/images/create"),
                    data=tar,
                    params={"fromSrc": "-", "repo": repository, "tag": tag},
                    timeout=300,
                )
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
