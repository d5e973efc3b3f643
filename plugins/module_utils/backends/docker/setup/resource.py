# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Makes a host ready for Docker's containers: what is needed there, what is in the way, and the engine and its users
as parts.
"""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, ClassVar

from ....engine.errors import BackendError, InvalidOption
from ....host.info import gather
from ....host.installed import packages
from ....host.members import members
from ....host.reader import Host
from ....host.service import Service, manager_faults, manager_of
from ....host.setup import Leftovers, Seen, Setup, hang_faults, obstacles, unknown_users
from ..other_store import hidden, other_store
from . import config as setup_config
from .engine import LOG, Engine, refusal
from .proof import Unproven, left, prove, remove_left

#: Recommended packages are not installed, so what an engine needs in practice is named.
NEEDS = ("apparmor_parser", "ip", "iptables", "update-ca-certificates", "xz")
#: The distribution's engine and its client.
DAEMON = ("docker", "dockerd")
#: The packages that bring an engine, of which a host has one. Docker's own come with these from its repository.
ENGINES = ("docker-ce", "docker.io")
OWN = ("docker-ce", "docker-ce-cli", "containerd.io")
PROGRAMS = {"distribution": "/usr/sbin/dockerd", "docker": "/usr/bin/dockerd"}
#: That of Docker 20.10, the oldest engine that the modules are tested with.
API = "1.41"
#: Bytes that the packages, and the engine's first data, take.
SPACE = (400 << 20, 500 << 20)
#: Seconds that each program and the engine may take for their answers.
SECONDS = 30


class DockerSetup(Setup):
    """Docker's engine on this host."""

    backend: ClassVar[str] = "docker"
    arguments: ClassVar[Mapping[str, Any]] = {
        "source": {"type": "str", "choices": ["distribution", "docker"], "default": "distribution"},
        "python_package": {"type": "str", "default": "python3-docker"},
        "daemon_options": {"type": "dict", "default": {}},
        "interrupt_guests": {"type": "bool", "default": False},
        "socket": {"type": "path", "default": "/var/run/docker.sock"},
        "start_timeout": {"type": "int", "default": 60},
    }

    def __init__(self, options: Mapping[str, Any]) -> None:
        super().__init__(options)
        root = options["daemon_options"].get("data-root") or ""
        if not isinstance(root, str):
            raise InvalidOption("daemon_options[data-root]", root, "is not a path", remedy="Write an absolute path")
        self.host = Host(timeout=SECONDS, docker_socket=options["socket"])
        self.config_path = setup_config.CONFIG

    @property
    def added(self) -> list[str]:
        """The packages that are asked for beside the engine's."""
        return [*filter(None, [self.options["python_package"]]), *self.options["packages"]]

    def gather(self) -> Mapping[str, Any]:
        """See Setup."""
        daemon = self.options["daemon_options"]
        engine = ["package:" + name for name in OWN] if self.options["source"] == "docker" else list(DAEMON)
        needs = [*engine, *NEEDS, *("package:" + name for name in self.added)]
        trials = ["links", *(["docker_rules"] if daemon.get("iptables", True) else [])]
        space = {"/usr": SPACE[0], daemon.get("data-root") or "/var/lib/docker": SPACE[1]}
        return gather(self.host, [self.backend], trials, needs, {"users": self.options["users"], "space": space})

    def look(self, facts: Mapping[str, Any]) -> Seen:
        """See Setup."""
        options, engine = self.options, facts["engines"]["docker"]
        source = options["source"]
        rivals = packages(
            self.host,
            ["package:" + name for name in ENGINES if name != ("docker-ce" if source == "docker" else "docker.io")],
        )["installed"]
        foreign = is_foreign(facts, source)
        missing = [name for name in facts["packages"]["missing"] if not foreign or name in self.added]
        manager = manager_of(options["service_manager"], facts["init"])
        part = self._engine(facts, manager, foreign, missing)
        users = members(self.host, "docker", options["users"], "docker_host_users", comes=bool(missing))
        faults = [
            *faults_of(facts, options),
            *manager_faults(manager, facts["init"], "the engine", "docker_host_service_manager"),
            *([] if foreign else rival_faults(rivals, source, engine["error"])),
            *(old_faults(options["socket"], str(engine.get("api") or "")) if foreign else []),
            *hang_faults(engine, "The Docker engine", "systemctl restart docker"),
            *unknown_users(facts, self.backend),
            *([] if options["python_package"] in ["", *missing] else library_faults(options["python_package"])),
            *(obstacles(facts) if missing else []),
        ]
        old = Leftovers(
            left(options["socket"]) if part.info is not None else [], partial(remove_left, options["socket"])
        )
        proven = part.info is not None and bool(part.info.get("ContainersRunning"))
        notes = hidden(other_store(part.info or {}))
        return Seen(facts, [part, users, old], faults, missing, manager, proven, notes)

    def _engine(self, facts: Mapping[str, Any], manager: str, foreign: bool, missing: Sequence[str]) -> Engine:
        options, host = self.options, self.host
        config = setup_config.read(self.config_path, options["daemon_options"])
        program = str(facts["engines"]["docker"]["program"]) if foreign else PROGRAMS[options["source"]]
        # One that is stopped may be started by the question.
        answers = facts["engines"]["docker"]["answers"] is True
        service = Service(host, "docker", manager)
        shown = (
            host.run(["systemctl", "show", "--property", "ExecStart", "--value", "docker.service"])
            if "hosts" in config.differs
            else None
        )
        return Engine(
            host,
            config,
            manager,
            program,
            options["socket"],
            host.ask(options["socket"], "/info").document if answers else None,
            # The unit and the init script come with the packages, which let it start at boot.
            autostart=manager == "direct" or foreign or bool(missing) or service.enabled(),
            interrupt=options["interrupt_guests"],
            timeout=options["start_timeout"],
            refusal=refusal(host, program, config),
            command=shown.out if shown else "",
        )

    def prove(self, seen: Seen) -> None:
        """See Setup. The library is loaded too: that it can be found says little."""
        if self.options["python_package"]:
            said = self.host.run([sys.executable, "-c", "import docker"])
            if said is not None and said.rc:
                raise BackendError(library_fault(self.options["python_package"], said.error))
        try:
            prove(self.options["socket"])
        except Unproven as error:
            raise BackendError(
                error.message,
                remedy="See its log (%s)" % ("journalctl --unit docker" if seen.manager == "systemd" else LOG),
            ) from error


# What is in the way. Pure, but for library_faults().


def is_foreign(facts: Mapping[str, Any], source: str) -> bool:
    """Whether an engine answers that is not of the package that would be installed: it is used as it is."""
    found, answers = facts["packages"], facts["engines"]["docker"]["answers"] is True
    return source == "distribution" and answers and found["of"]["dockerd"] not in found["installed"]


def faults_of(facts: Mapping[str, Any], options: Mapping[str, Any]) -> list[str]:
    """That this host cannot run an engine. One that answers proves more than any trial."""
    found, verdict = [], facts["backends"]["docker"]
    if facts["engines"]["docker"]["answers"] is not True and not verdict["capable"]:
        found.append(
            "This host cannot run a Docker engine: {}. Remedy: {}.".format(verdict["reason"], verdict["remedy"])
        )
    if facts["modules"]["overlay"]["state"] == "absent" and "storage-driver" not in options["daemon_options"]:
        found.append(
            "This host cannot run a Docker engine: its kernel has no overlay. Remedy: use a kernel that has "
            "CONFIG_OVERLAY_FS, or name another storage-driver in docker_host_daemon_options."
        )
    return found


def rival_faults(rivals: Sequence[str], source: str, error: str) -> list[str]:
    """That the other engine's package is installed."""
    if not rivals:
        return []
    names = ", ".join(rivals)
    why, instead = "", "distribution"
    if source == "distribution":
        why, instead = f" and does not answer: {error}", "docker, or start that engine, which is then used as it is"
    return [
        (
            f"docker_host_source is {source}, but {names} is installed{why}. Set docker_host_source to {instead}, "
            "or remove that package first (its containers stop; what is in /var/lib/docker stays)."
        )
    ]


def old_faults(socket: str, api: str) -> list[str]:
    """That an engine from elsewhere is too old."""
    if _version(api) >= _version(API):
        return []
    return [
        (
            f"The Docker engine that answers at {socket} is too old: it has version {api} of the API, and {API} is "
            "needed. Update it, or remove it and let the role install one."
        )
    ]


def _version(text: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", text)]


def library_fault(package: str, why: str) -> str:
    """That the interpreter of this module has not the library that the other modules need."""
    return (
        f"Ansible uses {sys.executable} on this host, which cannot import docker ({why}). {package} serves the "
        "distribution's own Python: set ansible_python_interpreter: /usr/bin/python3 for this host, or install the "
        "package docker for that interpreter and set docker_host_python_package to an empty string."
    )


def library_faults(package: str) -> list[str]:
    """The same, from a look at what is there."""
    return [] if importlib.util.find_spec("docker") else [library_fault(package, "No module named 'docker'")]
