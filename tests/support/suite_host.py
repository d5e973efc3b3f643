# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""This checkout's own tests, run on a lab host: with its engines, its Python and its libraries, and an ansible-core of
one's choice.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import docker

from tests.lab import machine
from tests.lab.hosts import Lab, LabHost
from tests.lab.hypervisor import kvm_packages
from tests.lab.images import HostImage

from . import checkout
from .docker_exec import Output, run_inside
from .paths import ROOT

PLACE = "/srv/kraal.virt"
#: Beside what the tests ask for by themselves: the engines, and what clones and installs this checkout.
ENGINES = ("docker-cli", "docker.io", "git", "lxc", "make", "python3-venv", "rsync", "uidmap", "xz-utils")
#: The counts in pytest's last line.
COUNTS = re.compile(r"(\d+) (passed|failed|error|skipped|deselected)")


def image(suite: str) -> HostImage:
    """A host with all that the tests need but the Python packages."""
    lines = (ROOT / "tests" / "apt-packages.txt").read_text(encoding="utf-8").splitlines()
    listed = [line.rstrip("?") for line in lines if line and not line.startswith("#")]
    return HostImage(suite, tuple(sorted({*ENGINES, *kvm_packages(), *listed})))


class Suite:
    """The tests on one host."""

    def __init__(self, lab: Lab, host: LabHost, client: docker.APIClient, core: str) -> None:
        """``core``: the requirement that pip is given for ansible-core."""
        self.lab, self.host, self._client = lab, host, client
        client.put_archive(host.name, "/", checkout.archive())
        self.type(f"git clone --quiet {checkout.PLACE} {PLACE}", "/")
        lab.copy(host, {"/srv/core.txt": f"{core}\n".encode()})
        self.type("scripts/bootstrap .venv /srv/core.txt meta/ee-requirements.txt tests/requirements.txt")

    def type(self, text: str, directory: str = PLACE, *, check: bool = True) -> Output:
        """What a command of the shell prints, with its errors."""
        environment = {**machine.environment(), "LC_ALL": "C.UTF-8", "HOME": "/root"}
        return run_inside(
            self._client,
            self.host.name,
            ["/bin/bash", "-c", f"cd {directory} && {{ {text}; }} 2>&1"],
            check=check,
            environment=environment,
        )

    def core(self) -> str:
        """The version of ansible-core that was installed."""
        return self.type(".venv/bin/python -c 'import ansible.release as r; print(r.__version__)'").stdout.strip()

    def run(self, *tests: str, without: Sequence[str] = ()) -> dict[str, int]:
        """Run some, and say how many of them passed, were skipped and so on. AssertionError where one did not pass.

        ``without``: what the host cannot show, by the words that pytest's -k takes.
        """
        words = [".venv/bin/python", "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests]
        words += ["-k", f"'not ({' or '.join(without)})'"] if without else []
        done = self.type(" ".join(words), check=False)
        counts = {word: int(number) for number, word in COUNTS.findall(done.stdout.rstrip().rpartition("\n")[2])}
        assert done.rc == 0, done.stdout[-12000:]
        return counts
