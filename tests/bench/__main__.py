# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`make bench`: measures the collection and its peers in one run on the same real engine, side by side.

Prints a table and writes .cache/bench.json. Ends with 0 when all was measured, whatever the figures are.
"""

from __future__ import annotations

import argparse
import os
import platform
import signal
import sys
import time
from pathlib import Path

import docker
from ansible.release import __version__ as core
from docker.errors import DockerException

from tests.support import leftovers
from tests.support.images import import_image
from tests.support.libvirt_daemon import LibvirtDaemon
from tests.support.paths import CACHE
from tests.support.proxy import DOCKER_SOCKET

from . import peer
from .cases import IMAGE, PREFIX, Bench
from .machines import Machines
from .report import Report
from .runs import Ansible, WentWrong, scratch

OUTPUT = CACHE / "bench.json"


def machine(client: docker.APIClient) -> dict[str, object]:
    """What the figures were taken on."""
    return {
        "processors": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),
        "kernel": platform.release(),
        "Python": platform.python_version(),
        "ansible-core": core,
        "community.docker": peer.version(),
        "Docker": client.version()["Version"],
    }


def main() -> int:
    argparse.ArgumentParser(
        prog="python -m tests.bench", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    ).parse_args()
    start = time.monotonic()
    # Ended from outside, it clears up as after an error.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    peer.install()
    with docker.APIClient(base_url=f"unix://{DOCKER_SOCKET}", version="auto", timeout=120, num_pools=8) as client:
        try:
            client.ping()
        except DockerException as error:
            print(
                f"no docker daemon answers on {DOCKER_SOCKET} ({error}); 'make bench' prepares this machine",
                file=sys.stderr,
            )
            return 1
        report = Report(machine(client))
        leftovers.remove(client, PREFIX)  # of a run that was killed
        import_image(client, IMAGE, "bench")
        with scratch() as directory:
            bench = Bench(client, Ansible(Path(directory)), report)
            try:
                bench.run()
                Path(directory, "libvirt").mkdir()
                with LibvirtDaemon(Path(directory, "libvirt")) as daemon:
                    Machines(daemon, bench.ansible, report).run()
            except WentWrong as error:
                print(error, file=sys.stderr)
                return 1
            finally:
                bench.clear()
                leftovers.remove(client, PREFIX)
    report.machine["seconds"] = round(time.monotonic() - start)
    report.write(OUTPUT)
    print("\n".join(report.lines()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
