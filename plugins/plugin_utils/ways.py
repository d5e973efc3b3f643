# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The ways into guests: for each backend, which command of the host runs a command in a guest, and which one says
what the guest is doing.
"""

from __future__ import annotations

import base64
import json
import shlex
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from ansible_collections.kraal.virt.plugins.plugin_utils.guest_agent import NO_STATE

#: What a shell says when it found no such command, or could not run it; so do the ways of a shell in the guest.
NOT_RUN = (126, 127)


class Way(ABC):
    """The way into one guest. ``option`` gives the options of the connection plugin."""

    #: What the backend calls a guest that runs, as the command of ``state`` prints it.
    running: str
    #: What to see to when the backend gave no answer.
    remedy: str
    #: Whether a terminal on the standard input would become one in the guest, and so change what is said there.
    notices_terminals = False
    #: Whether what a command says is heard while it runs, so that it can be answered when it asks for a password.
    interactive = True

    def __init__(self, option: Callable[[str], Any]) -> None:
        self.option = option

    @property
    def where(self) -> str:
        """The place of the guest, for messages."""
        return str(self.option("host_address") or "this machine")

    @abstractmethod
    def enter(self, argv: list[str], fed: bool) -> list[str]:
        """The command of the host that runs that command in the guest, as ``remote_user``. Its code is the command's
        own.

        ``fed``: whether it is given something on its standard input, which otherwise may stay open without an end.
        """

    @abstractmethod
    def state(self) -> list[str]:
        """The command of the host that prints what the guest is doing, and fails where there is none."""

    def why_not(self, code: int, out: str, err: str) -> str:
        """Why the guest cannot be entered, and what to do about it, by what the command of ``state`` said.

        Nothing for one that can.
        """
        if code == 0:
            return "" if out == self.running else f"it is {out.lower()}. Start it, or read the inventory again."
        return "{}. {}".format(err or out or "%s gave code %d" % (self.state()[0], code), self.remedy)


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

    def enter(self, argv: list[str], fed: bool) -> list[str]:
        user = ["--user", self.option("remote_user")] if self.option("remote_user") else []
        return [*self._docker(), "exec", "--interactive", *user, "--", self.option("guest"), *argv]

    def state(self) -> list[str]:
        return [*self._docker(), "container", "inspect", "--format", "{{.State.Status}}", "--", self.option("guest")]


#: What commands find in a guest that knows nothing of the environment of whoever enters it.
_ENVIRONMENT = ("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root")
#: In the guest, as root. su gives the user's groups and home too; and says with 1 that there is no such user, as
#: commands do.
_AS_USER = 'id -u -- "$1" > /dev/null || exit 126; exec su -s /bin/sh -c "$2" -- "$1"'
#: Where a way into the guest begins happens to be a directory there, or not.
_AT_HOME = 'cd 2> /dev/null || cd /; exec "$@"'


def _from_root(argv: list[str], user: str | None) -> list[str]:
    """The command as root runs it in the guest, to be run by that user in his home."""
    command = ["/bin/sh", "-c", _AT_HOME, "sh", *argv]
    return command if not user or user == "root" else ["/bin/sh", "-c", _AS_USER, "sh", user, shlex.join(command)]


#: On the host, with the guest's name and path. A frozen guest would never let go of what enters it, so it is not
#: entered.
_ATTACH = '[ "$(lxc-info ${2:+-P "$2"} -n "$1" -s -H)" = RUNNING ] || exit 126; shift 2; exec lxc-attach "$@"'


class Lxc(Way):
    """lxc-attach, with nothing of the host's environment, at home in the guest."""

    running = "RUNNING"
    remedy = (
        "See that the guest exists under that path (ansible_guest_lxc_path), that the host has lxc-attach, and that "
        "it may be used: as root, or with ansible_guest_host_become."
    )
    notices_terminals = True

    def _which(self) -> list[str]:
        path = ["-P", self.option("lxc_path")] if self.option("lxc_path") else []
        return [*path, "-n", self.option("guest")]

    def enter(self, argv: list[str], fed: bool) -> list[str]:
        environment = [word for each in _ENVIRONMENT for word in ("-v", each)]
        attach = [*self._which(), "--clear-env", *environment, "--", *_from_root(argv, self.option("remote_user"))]
        return ["/bin/sh", "-c", _ATTACH, "sh", self.option("guest"), self.option("lxc_path") or "", *attach]

    def state(self) -> list[str]:
        return ["lxc-info", *self._which(), "-s", "-H"]


@cache
def _program() -> str:
    """The program that asks a guest agent, as Python takes it by -c.

    Packed, for it stands in the list of processes, and in what -vvv shows.
    """
    text = Path(__file__).with_name("guest_agent.py").read_bytes()
    return f"import base64,zlib;exec(zlib.decompress(base64.b64decode('{base64.b64encode(zlib.compress(text, 9)).decode()}')))"


class Kvm(Way):
    """The QEMU guest agent, asked through libvirt by a program that is sent to the host's Python."""

    running = "running"
    remedy = "See that the host has python3-libvirt, and which Python has it (ansible_guest_host_python)."
    interactive = False

    @property
    def where(self) -> str:
        return str(self.option("libvirt_uri") or super().where)

    def _ask(self, **request: Any) -> list[str]:
        asked = {
            "guest": self.option("guest"),
            "uri": self.option("libvirt_uri"),
            "seconds": self.option("agent_timeout"),
            **request,
        }
        # Isolated: no module may come from the directory that this happens to run in, least of all as root.
        return [self.option("host_python"), "-I", "-c", _program(), json.dumps(asked)]

    def enter(self, argv: list[str], fed: bool) -> list[str]:
        return self._ask(command=_from_root(argv, self.option("remote_user")), environment=_ENVIRONMENT, fed=fed)

    def state(self) -> list[str]:
        return self._ask()

    def why_not(self, code: int, out: str, err: str) -> str:
        # What the program says has its remedy with it.
        return err if code == NO_STATE else super().why_not(code, out, err)


WAYS: dict[str, type[Way]] = {"docker": Docker, "kvm": Kvm, "lxc": Lxc}
