# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The ways into guests: for each backend, which command of the host runs a command in a guest, and which one says what the guest is doing."""

from __future__ import annotations

import shlex
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

#: What a shell says when it found no such command, or could not run it; so do the ways of a shell in the guest.
NOT_RUN = (126, 127)


class Way(ABC):
    """The way into one guest. ``option`` gives the options of the connection plugin."""

    #: What the backend calls a guest that runs, as the command of ``state`` prints it.
    running: str
    #: What to see to when the backend gave no answer.
    remedy: str
    #: Whether a terminal on the standard input would become one in the guest, and so change what is said there.
    minds_terminals = False

    def __init__(self, option: Callable[[str], Any]) -> None:
        self.option = option

    @property
    def where(self) -> str:
        """The place of the guest, for messages."""
        return str(self.option("host_address") or "this machine")

    @abstractmethod
    def enter(self, argv: list[str]) -> list[str]:
        """The command of the host that runs that command in the guest, as ``remote_user``. Its code is the command's own."""

    @abstractmethod
    def state(self) -> list[str]:
        """The command of the host that prints what the guest is doing, and fails where there is none."""


class Docker(Way):
    """docker exec, by the command's own idea of users, environment and directory."""

    running = "running"
    remedy = "See that the guest exists, and that the host has the docker command and its engine runs."

    @property
    def where(self) -> str:
        return str(self.option("docker_host") or super().where)

    def _docker(self) -> list[str]:
        argv = [self.option("docker_command")]
        if self.option("docker_host"):
            argv += ["--host", self.option("docker_host")]
        if self.option("tls_ca") or self.option("tls_cert"):
            argv.append("--tlsverify")
        for flag, key in (("--tlscacert", "tls_ca"), ("--tlscert", "tls_cert"), ("--tlskey", "tls_key")):
            if self.option(key):
                argv += [flag, self.option(key)]
        return argv

    def enter(self, argv: list[str]) -> list[str]:
        user = ["--user", self.option("remote_user")] if self.option("remote_user") else []
        return [*self._docker(), "exec", "--interactive", *user, "--", self.option("guest"), *argv]

    def state(self) -> list[str]:
        return [*self._docker(), "container", "inspect", "--format", "{{.State.Status}}", "--", self.option("guest")]


#: On the host, with the guest's name and path. A frozen guest would never let go of what enters it, so it is not entered.
_ATTACH = '[ "$(lxc-info ${2:+-P "$2"} -n "$1" -s -H)" = RUNNING ] || exit 126; shift 2; exec lxc-attach "$@"'
#: In the guest, as root. su gives the user's groups too, which lxc-attach would not; and says with 1 that there is no such user, as commands do.
_AS_USER = 'id -u -- "$1" > /dev/null || exit 126; exec su -s /bin/sh -c "$2" -- "$1"'
#: Where the host's command stands happens to be a directory in the guest, or not.
_AT_HOME = 'cd 2> /dev/null || cd /; exec "$@"'


class Lxc(Way):
    """lxc-attach, with nothing of the host's environment, at home in the guest."""

    running = "RUNNING"
    remedy = (
        "See that the guest exists under that path (ansible_guest_lxc_path), that the host has lxc-attach, and that it may be used:"
        " as root, or with ansible_guest_host_become."
    )
    minds_terminals = True
    PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

    def _which(self) -> list[str]:
        path = ["-P", self.option("lxc_path")] if self.option("lxc_path") else []
        return [*path, "-n", self.option("guest")]

    def enter(self, argv: list[str]) -> list[str]:
        command, user = ["/bin/sh", "-c", _AT_HOME, "sh", *argv], self.option("remote_user")
        if user and user != "root":
            command = ["/bin/sh", "-c", _AS_USER, "sh", user, shlex.join(command)]
        attach = [*self._which(), "--clear-env", "-v", "PATH=" + self.PATH, "-v", "HOME=/root", "--", *command]
        return ["/bin/sh", "-c", _ATTACH, "sh", self.option("guest"), self.option("lxc_path") or "", *attach]

    def state(self) -> list[str]:
        return ["lxc-info", *self._which(), "-s", "-H"]


WAYS: dict[str, type[Way]] = {"docker": Docker, "lxc": Lxc}
