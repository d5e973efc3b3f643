# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How LXC is reached: its tools, its directories, and the network namespaces of what runs."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...engine import trace
from ...engine.errors import BackendError, InvalidOption, NotInstalled, os_errors
from ...engine.printable import printable
from ...engine.secrets import hide
from ...host.packages import install
from .files import changeable
from .remedies import remedy_for
from .sockets import listener, listening, of_this_system

#: The argument spec of the one option that says where the containers are.
CONNECTION: dict[str, Any] = {"lxc_path": {"type": "path"}}

#: Directories of containers that a task has named, beside the standard one: a link each.
KNOWN_PATHS = Path("/var/lib/kraal.virt/lxc-paths")
#: Where containers are on a host whose lxc.conf says nothing of it.
STANDARD = "/var/lib/lxc"
SECONDS = 60


def run(
    argv: Sequence[str],
    *,
    seconds: float | None = SECONDS,
    config: str | None = None,
    standard_input: int = subprocess.DEVNULL,
) -> subprocess.CompletedProcess[str]:
    """Run one of LXC's tools; whatever it answers. ``config``: a text that it finds at the path in the argument CONFIG.

    ``standard_input``: the descriptor of an open file.
    """
    program = shutil.which(argv[0])
    if program is None:
        raise NotInstalled(f"{argv[0]} is not on this host", remedy=install("lxc-start"))
    words, files = [program, *argv[1:]], []
    try:
        if config is not None:
            # A file without a name: what is only looked at leaves nothing behind.
            files.append(os.memfd_create("config", 0))
            os.write(files[0], config.encode(errors="surrogateescape"))
            words = [word if word != "CONFIG" else "/dev/fd/%d" % files[0] for word in words]
        with trace.command(argv) as call:
            done = subprocess.run(  # pylint: disable=ansible-bad-function
                words,
                stdin=standard_input,
                capture_output=True,
                text=True,
                errors="surrogateescape",
                timeout=seconds,
                check=False,
                pass_fds=files,
                env={**os.environ, "LC_ALL": "C.UTF-8"},
            )
            call.status = str(done.returncode)
        return done
    except subprocess.TimeoutExpired as error:
        raise BackendError(
            "%s did not end within %d seconds" % (argv[0], error.timeout),
            remedy="Look at what it waits for, and run again",
        ) from error
    finally:
        for file in files:
            os.close(file)


def message_of(text: str) -> str:
    """What a tool said, without the places in its sources."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return "; ".join(line.rpartition(" - ")[2] if " - " in line else line for line in lines)


def _place(path: str, standard: str) -> str:
    """The directory that its links lead to; empty for the host's own."""
    real = os.path.realpath(path)
    return "" if real == os.path.realpath(standard) else real


def place_of(parameters: Mapping[str, Any]) -> str:
    """The directory that the connection option names, always in the same spelling; empty for the host's own."""
    given = parameters.get("lxc_path")
    if not given:
        return ""
    try:
        standard = Lxc.setting("lxc.lxcpath")
    except NotInstalled:
        # That there is no LXC here is for whoever connects to say.
        standard = ""
    return _place(str(given), standard or STANDARD)


class Lxc:
    """The containers in one directory."""

    def __init__(self, parameters: Mapping[str, Any] | None = None) -> None:
        given = (parameters or {}).get("lxc_path")
        if given is not None and (
            not str(given).startswith("/") or not str(given).isprintable() or "/../" in f"{given}/"
        ):
            raise InvalidOption("lxc_path", given, "is not an absolute path", remedy="Write one like /var/lib/lxc")
        self.standard = self.setting("lxc.lxcpath") or STANDARD
        self.path = os.path.normpath(str(given or self.standard))
        self.place = _place(self.path, self.standard)

    @staticmethod
    def setting(key: str) -> str:
        """A setting of the host, from lxc.conf(5)."""
        return run(["lxc-config", key]).stdout.strip()

    def tool(self, name: str, guest: str, *args: str, seconds: float | None = SECONDS) -> str:
        """Run lxc-NAME for one container; what it printed. Raises BackendError with what it says."""
        done = run(["lxc-" + name, "-P", self.path, "-n", guest, *args], seconds=seconds)
        if done.returncode:
            why = message_of(done.stderr) or message_of(done.stdout) or "exit code %d" % done.returncode
            remedy = remedy_for(why, "Look at the container's configuration and log")
            raise BackendError(f"lxc-{name} failed: {why}", remedy=remedy)
        return done.stdout

    def listed(self, pattern: str) -> str:
        """What lxc-ls says of the containers whose names match: NAME, STATE and PID. Raises BackendError."""
        done = run(["lxc-ls", "-P", self.path, "-f", "-F", "NAME,STATE,PID", pattern])
        if done.returncode:
            raise BackendError(f"lxc-ls failed: {done.stderr.strip()}", remedy=f"Look at the containers in {self.path}")
        return done.stdout

    def objection(self, config: str) -> str:
        """Why liblxc refuses this configuration; empty where it takes it. Nothing is written."""
        # The name of no container, so that none is asked.
        done = run(
            [
                "lxc-info",
                "-P",
                "/nonexistent",
                "-n",
                "kraal.none",
                "--rcfile",
                "CONFIG",
                "-c",
                "lxc.uts.name",
                "-o",
                "/dev/stderr",
                "-l",
                "ERROR",
            ],
            config=config,
        )
        if not done.returncode:
            return ""
        said = list(dict.fromkeys(message_of(done.stderr).split("; ")))
        # Each level of liblxc says again that it failed; the first one says why, and one of them at which line.
        found = next(filter(None, (re.search(r'config file "(.*?)" at line "(.*)"$', each) for each in said)), None)
        why = next(
            (each for each in said if "Failed to parse" not in each and not each.startswith("Failed to load")),
            "it does not understand it",
        )
        if found is None:
            return why
        # An included file has a name of its own.
        file = "" if found[1].startswith("/dev/fd/") else f" of {found[1]}"
        return f"{why}, at the line {hide(found[2])!r}{file}"

    def _link(self) -> Path:
        return KNOWN_PATHS / hashlib.sha256(os.fsencode(self.path)).hexdigest()[:16]

    def remember(self) -> None:
        """Let the discovery find containers that are not in the standard directory."""
        if self.path == self.standard:
            return
        link = self._link()
        with os_errors(f"{link} cannot be written", "Run as root (become)"), contextlib.suppress(FileExistsError):
            KNOWN_PATHS.mkdir(mode=0o755, parents=True, exist_ok=True)
            if not link.is_symlink():
                link.symlink_to(self.path)

    def forget(self) -> None:
        """The reverse, when the last container of this directory is gone.

        The directory of the links stays: if it went, whoever makes a container elsewhere in this moment would fail.
        """
        self._link().unlink(missing_ok=True)


def known_paths() -> list[str]:
    """The directories that tasks have named, sorted, as long as they hold a container."""
    found = []
    for link in KNOWN_PATHS.iterdir() if KNOWN_PATHS.is_dir() else ():
        # The last container of a directory may go, and with it the link, while this looks.
        with contextlib.suppress(FileNotFoundError):
            found.append(os.readlink(link))
    return sorted(found)


@dataclass
class Directories:
    """Where containers are looked for."""

    #: The standard directory, and those that tasks have named.
    named: list[str] = field(default_factory=list)
    #: Those of containers that run, wherever they are.
    found: list[str] = field(default_factory=list)
    #: Why others are passed over in which somebody says that a container runs, by directory.
    passed_over: dict[str, str] = field(default_factory=dict)


def all_paths(standard: str) -> Directories:
    """The directories that exist of those in which there may be containers.

    Any user may let a directory look like one of a container that runs. So one that nobody has named counts only where
    a container's monitor runs as root or as who runs this, on this system, and where nobody else can change what is
    there.
    """
    named = [path for path in dict.fromkeys([standard, *known_paths()]) if os.path.isdir(path)]
    sockets = {
        address: inode for address, inode in listening().items() if address.startswith("/") and address.count("/") > 2
    }
    others = {address: inode for address, inode in sockets.items() if address.rsplit("/", 2)[0] not in named}
    here, ours = of_this_system(others.values()) if os.geteuid() == 0 else set(others.values()), {0, os.geteuid()}
    found, passed_over = set(), {}
    for address, inode in others.items():
        path = address.rsplit("/", 2)[0]
        why = _objection_to(path)
        if not why and not (inode in here and listener(address) in ours):
            why = "another user or a container says that one runs there"
        if why is None:
            continue
        if why:
            passed_over[path] = why
        else:
            found.add(path)
    return Directories(
        named, sorted(found), {path: why for path, why in sorted(passed_over.items()) if path not in found}
    )


def _objection_to(path: str) -> str | None:
    """Why a directory is not to be looked into; empty where it may, None where there is none."""
    if not path.isprintable() or "/../" in path + "/":
        return "it is not a plain path"
    try:
        place = changeable(path)
    except OSError:
        return None
    return f"others can change {printable(place)}" if place else "" if os.path.isdir(path) else None
