# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`python -m tests.lab up|down|list|build|hypervisor`: a lab by hand, to try a role or to look around."""

from __future__ import annotations

import argparse
import shlex
import sys
import time

import docker
import yaml

from tests.support.proxy import DOCKER_SOCKET

from . import hypervisor
from .hosts import Lab, running
from .images import BASES, RELEASES, SUITES, HostImage, unload_all


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.lab", description=__doc__)
    actions = parser.add_subparsers(dest="action", required=True)
    for action, text in (
        ("build", "build the root file systems"),
        ("up", "boot hosts and write their inventory to standard output"),
    ):
        sub = actions.add_parser(action, help=text)
        sub.add_argument(
            "suites",
            nargs="*",
            default=list(RELEASES),
            metavar="SUITE",
            help=f"any of {', '.join(SUITES)}, repeated for more hosts",
        )
        sub.add_argument("--package", action="append", default=[], help="one more package in the image")
        sub.add_argument(
            "--base",
            choices=list(BASES),
            default="host",
            help="what the image has besides; pristine ones have what the README asks for",
        )
        if action == "up":
            sub.add_argument("--name", default="kt-lab")
    sub = actions.add_parser(
        "hypervisor",
        help="boot a machine that runs KVM guests, write its inventory to standard output, and end it at Ctrl-C or "
        "`down`",
    )
    sub.add_argument("suite", nargs="?", default="bookworm", metavar="SUITE", help=f"one of {', '.join(RELEASES)}")
    sub.add_argument("--name", default="kt-hypervisor")
    sub.add_argument("--memory", type=int, default=2048, help="in MiB")
    actions.add_parser("down", help="remove hosts, volumes and network; or end a hypervisor").add_argument(
        "--name", default="kt-lab"
    )
    actions.add_parser("list", help="show the labs on this machine")
    options = parser.parse_args(arguments)

    begin = time.monotonic()
    if options.action == "list":
        with docker.APIClient(base_url=f"unix://{DOCKER_SOCKET}", version="auto") as client:
            for name, host, state in running(client):
                sys.stdout.write(f"{name}\t{host}\t{state}\n")
        for name, process in hypervisor.running():
            sys.stdout.write(f"{name}\t{name}\tprocess {process}\n")
        return 0
    if options.action == "down":
        hypervisor.end(options.name)
        Lab(options.name).down()
        with docker.APIClient(base_url=f"unix://{DOCKER_SOCKET}", version="auto") as client:
            unload_all(client)
        return 0
    if options.action == "hypervisor":
        return _hypervisor(
            hypervisor.Hypervisor(options.name, hypervisor.HypervisorImage(options.suite), memory=options.memory), begin
        )
    wanted = [HostImage(suite, tuple(options.package), BASES[options.base]) for suite in options.suites]
    if options.action == "build":
        for image in wanted:
            sys.stdout.write(f"{image.build()}\n")
    else:
        lab = Lab(options.name)
        lab.down()
        lab.up(*wanted)
        sys.stdout.write(yaml.safe_dump(lab.inventory(), sort_keys=False))
    sys.stderr.write(f"{options.action}: {time.monotonic() - begin:.1f} s\n")
    return 0


def _hypervisor(machine: hypervisor.Hypervisor, begin: float) -> int:
    """Boot it and stay, for it goes with this process."""
    with machine as host:
        sys.stdout.write(
            yaml.safe_dump(
                {"all": {"children": {"virt_hosts": {"hosts": {host.name: host.inventory}}}}}, sort_keys=False
            )
        )
        sys.stdout.flush()
        sys.stderr.write(f"hypervisor: {time.monotonic() - begin:.1f} s; Ctrl-C ends it\n{shlex.join(host.ssh_args)}\n")
        try:
            return machine.wait()
        except KeyboardInterrupt:
            return 0


if __name__ == "__main__":
    sys.exit(main())
