# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Builds one root file system with mmdebstrap: from this host's own package sources unless told otherwise, and
cleared away if it fails.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..engine import trace
from ..engine.digest import sha256_of
from ..engine.errors import BackendError, InvalidOption, KraalError
from ..host.packages import install, joined

#: How many seconds a build that was told to end may take.
PATIENCE = 60

#: What builds each format.
TOOLS = {
    "tar": ("mmdebstrap",),
    "raw": ("mmdebstrap", "sfdisk", "mke2fs", "debugfs"),
    "qcow2": ("mmdebstrap", "sfdisk", "mke2fs", "debugfs", "qemu-img"),
}

ROLLING = ("sid", "unstable", "experimental")


def own_suite(release: Path = Path("/etc/os-release")) -> str:
    """The code name of this host's release. Raises InvalidOption where it has none."""
    lines = release.read_text(encoding="utf-8").splitlines() if release.exists() else []
    found = [line.partition("=")[2].strip('"') for line in lines if line.startswith("VERSION_CODENAME=")]
    if not found or not found[0]:
        raise InvalidOption("suite", None, "cannot be told from this host", remedy="Name a suite, like bookworm")
    return found[0]


def machine_architecture() -> str:
    """Debian's name of this host's architecture."""
    machine = os.uname().machine
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(machine, machine)


def obstacle(form: str = "tar", assume_tools: bool = False) -> KraalError | None:
    """Why nothing of this format can be built here. ``assume_tools``: as if what builds it were here."""
    missing = [program for program in TOOLS[form] if not assume_tools and tool(program) is None]
    if missing:
        verb = "are" if len(missing) > 1 else "is"
        return BackendError(
            f"{joined(missing)} {verb} not installed on this host",
            remedy=f"{install(*missing)}, or build on another host",
        )
    if os.geteuid() != 0:
        return BackendError("only root can build a root file system", remedy="Run the task with become")
    try:
        newest_time()
    except BackendError as error:
        return error
    return None


def tool(program: str) -> str | None:
    """Where a program is; an administrator's may be outside of PATH."""
    return shutil.which(program) or shutil.which(program, path="/usr/sbin:/sbin")


def checksum_of(path: Path) -> str:
    """sha256:... of a file."""
    return "sha256:" + sha256_of(path)


def apt_sources(suite: str, lines: Iterable[str], own: str, components: Iterable[str] | None = None) -> str:
    """This host's package sources for its own release, exchanged for a suite's, in deb822 form. Pure.

    ``lines``: apt-get indextargets as ORIGIN|URI|RELEASE|COMPONENT|KEYRING. ``components``: instead of this host's.
    """
    # What is not released has no updates, and backports are nothing that a base image takes without being asked.
    kinds = ("",) if suite in ROLLING else ("", "-updates", "-security")
    stanzas: dict[tuple[str, str, str], set[str]] = {}
    for line in lines:
        _origin, uri, release, component, keyring = line.split("|")
        if release.startswith(own) and release[len(own) :] in kinds:
            stanzas.setdefault((uri, suite + release[len(own) :], keyring), set()).add(component)
    parts = []
    for (uri, release, keyring), found in sorted(stanzas.items(), key=lambda item: (item[0][1] != suite, item[0])):
        signed = f"Signed-By: {keyring}\n" if keyring.startswith("/") else ""
        parts.append(
            "Types: deb\nURIs: {}\nSuites: {}\nComponents: {}\n{}".format(
                uri, release, " ".join(sorted(components or found)), signed
            )
        )
    return "\n".join(parts)


_INDEX = re.compile(
    r"'(?P<uri>[^']+/(?:debian|debian-security|ubuntu)/)dists/(?P<release>[^/']+)/(?P<component>[^']+)/binary-[a-z0-9]+/Packages[^/']*'"
)


def indexes(lines: Iterable[str]) -> Iterator[str]:
    """What apt-get update would fetch, in the form of indextargets: for a host that has fetched nothing yet. Pure."""
    for line in lines:
        match = _INDEX.match(line)
        if match:
            yield "|{}|{}|{}|".format(match["uri"], match["release"], match["component"])


def _own_sources(suite: str, components: Iterable[str] | None) -> str:
    form = "$(ORIGIN)|$(REPO_URI)|$(RELEASE)|$(COMPONENT)|$(SIGNED_BY)"
    own = own_suite()
    told = _said(["apt-get", "indextargets", "--format", form, "Created-By: Packages"])
    found = apt_sources(suite, [line for line in told if line.startswith(("Debian|", "Ubuntu|"))], own, components)
    return found or apt_sources(suite, indexes(_said(["apt-get", "update", "--print-uris"])), own, components)


def _said(command: list[str]) -> list[str]:
    with trace.command(command) as call:
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # pylint: disable=ansible-bad-function
        call.status = str(done.returncode)
    return done.stdout.splitlines() if done.returncode == 0 else []


def _proxies() -> dict[str, str]:
    """The proxies of this host's apt: mmdebstrap's apt reads another configuration, but the same environment."""
    found = {}
    for scheme in ("http", "https"):
        said = _said(["apt-config", "--format", "%v%n", "dump", f"Acquire::{scheme}::Proxy"])
        if said and said[0] not in ("", "DIRECT"):
            found[f"{scheme}_proxy"] = said[0]
    return found


#: How the directories in which builds work are called: this, the image's name, a dash and a word that is theirs alone.
BUILDING = ".building-"


@contextmanager
def workplace(directory: Path, name: str) -> Iterator[Path]:
    """A directory for a build of that name. It is held until it is cleared away: one that nobody holds is what a build
    left that was killed.
    """
    while True:
        work = Path(tempfile.mkdtemp(prefix=f"{BUILDING}{name}-", dir=directory))
        file = _hold(work)
        # Between the two, another run may have taken it for left, and removed it.
        if file is not None:
            break
    try:
        yield work
    finally:
        os.close(file)
        clear(work)


def _hold(work: Path) -> int | None:
    """A descriptor that holds a directory, beside others that do; None where it is gone."""
    try:
        file = os.open(work, os.O_RDONLY | os.O_DIRECTORY)
    except FileNotFoundError:
        return None
    fcntl.flock(file, fcntl.LOCK_SH)
    if work.exists():
        return file
    os.close(file)
    return None


def name_of(work: Path) -> str:
    """The name of the image that a directory was made for. Pure."""
    return work.name[len(BUILDING) :].rpartition("-")[0]


def is_left(work: Path) -> bool:
    """Whether a build that is at work in a directory is over: nobody holds it, and nothing is mounted there."""
    try:
        with held(work) as free:
            return free() and not _mounts(work)
    except (FileNotFoundError, PermissionError):
        return False


def _mounts(work: Path) -> list[str]:
    """What is mounted below a directory."""
    lines = Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()
    return [mount for mount in (line.split(" ")[4] for line in lines) if mount.startswith(f"{work}/")]


def clear(work: Path) -> None:
    """Remove what a build has left.

    Raises BackendError while something is mounted below it: that could be the host's /dev.
    """
    if not work.exists():
        return
    deadline = time.monotonic() + PATIENCE
    with held(work) as free:
        # A lock has no deadline of its own. Whoever holds this one was told to end, and does so in a second or two.
        while not free() and time.monotonic() < deadline:
            time.sleep(0.2)
        if not free():
            raise BackendError(
                f"a build that outlived its run is still at work in {work}", remedy="End its mmdebstrap, and run again"
            )
        below = _mounts(work)
        if below:
            raise BackendError(
                f"{work} cannot be removed: {below[0]} is mounted there", remedy="Unmount it, and run again"
            )
        shutil.rmtree(work)


@contextmanager
def held(work: Path) -> Iterator[Callable[[], bool]]:
    """A directory as nobody's but ours; what is given tries to have it so. Whoever holds it lets go when the last of
    its processes ends.
    """
    file = os.open(work, os.O_RDONLY | os.O_DIRECTORY)

    def free() -> bool:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    try:
        yield free
    finally:
        os.close(file)


def command_of(
    request: Mapping[str, Any], target: Path, hooks: Mapping[str, Path], sources: bool, extra: Iterable[str] = ()
) -> list[str]:
    """mmdebstrap's argument vector; ``extra`` packages make a directory for a disk of it. Pure.

    ``hooks``: programs, by mmdebstrap's word for when they run.
    """
    packages = sorted({*(request.get("packages") or ()), *extra})
    command = [
        "mmdebstrap",
        "--format=%s" % ("directory" if extra else "tar"),
        "--variant={}".format(request["variant"]),
    ]
    for flag, words in (("include", packages), ("components", request.get("components"))):
        if words:
            command.append("--{}={}".format(flag, ",".join(words)))
    for flag, key in (("architectures", "architecture"), ("keyring", "keyring")):
        if request.get(key):
            command.append(f"--{flag}={request[key]}")
    command += [f"--{when}-hook={hook}" for when, hook in hooks.items()]
    return [
        *command,
        "--",
        request["suite"],
        str(target),
        *([request["mirror"]] if request.get("mirror") else ["-"] if sources else []),
    ]


_HOOK = """#!{python}
# Runs on the host, before the root file system is packed; its path is the argument.
import json, os, subprocess, sys
root, asked = sys.argv[1], json.loads({asked!r})
def run(*argv):
    subprocess.run(["chroot", root, *argv], check=True, stdin=subprocess.DEVNULL)
for path, text, mode in asked.get("files") or ():
    path = root + "/" + path
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    os.chmod(path, mode)
for words in asked.get("prepare") or ():
    run(*words)
user = asked.get("user")
if user:
    run("useradd", "--create-home", "--shell", "/bin/bash", "--", user)
if asked.get("ssh_authorized_keys"):
    home = "/home/" + user if user else "/root"
    folder = root + home + "/.ssh"
    os.makedirs(folder, mode=0o700, exist_ok=True)
    with open(folder + "/authorized_keys", "w", encoding="utf-8") as file:
        file.write("".join(key + "\\n" for key in asked["ssh_authorized_keys"]))
    os.chmod(folder + "/authorized_keys", 0o600)
    run("chown", "-R", "--", (user or "root") + ":", home + "/.ssh")
for words in asked.get("commands") or ():
    run(*words)
"""


def _apart() -> list[str]:
    """Gives a command processes and mounts of its own, all of which end with it; nothing where the host does not
    allow it.
    """
    apart = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--"]
    return apart if subprocess.run([*apart, "true"], capture_output=True, check=False).returncode == 0 else []  # pylint: disable=ansible-bad-function


def newest_time() -> int:
    """The time that everything in a base image has at most, in seconds: that of SOURCE_DATE_EPOCH, or else the begin of
    the day (UTC).

    As https://reproducible-builds.org/specs/source-date-epoch/ has it. Raises BackendError where the variable is no
    number.
    """
    said = os.environ.get("SOURCE_DATE_EPOCH", "")
    if said and not re.fullmatch(r"[0-9]{1,10}", said):
        raise BackendError(
            f"SOURCE_DATE_EPOCH is {said!r}", remedy="Set it to a number of seconds since 1970, or leave it out"
        )
    return int(said) if said else int(time.time()) // 86400 * 86400


def run_held(
    work: Path,
    command: list[str],
    text: str = "",
    environment: Mapping[str, str] | None = None,
    apart: Iterable[str] = (),
) -> subprocess.CompletedProcess[str]:
    """Run a command that ends with this process; it and its children keep the lock for as long as any of them lives:
    see clear().
    """
    # A mmdebstrap that is not apart takes its own mounts away when it is told to end. unshare, on the other hand, does
    # not heed that.
    start = ["setpriv", "--pdeathsig", "KILL" if apart else "TERM", "--", *apart]
    file = os.open(work, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(file, fcntl.LOCK_SH)
        with trace.command(command) as call:
            done = subprocess.run(  # pylint: disable=ansible-bad-function
                [*start, tool(command[0]) or command[0], *command[1:]],
                input=text, capture_output=True, text=True, check=False, env={**os.environ, **(environment or {}), "LC_ALL": "C.UTF-8"},
                errors="replace", pass_fds=[file],
            )  # fmt: skip
            call.status = str(done.returncode)
        return done
    finally:
        os.close(file)


def run_tool(work: Path, command: list[str], text: str = "", environment: Mapping[str, str] | None = None) -> str:
    """What a tool that works on a disk has written. Raises BackendError with what it said last."""
    done = run_held(work, command, text, environment)
    if done.returncode == 0:
        return done.stdout
    remedy = "Free space below the directory, or choose another one" if "No space left" in done.stderr else ""
    raise BackendError(
        "{} failed: {}".format(command[0], " / ".join((done.stderr or done.stdout).strip().splitlines()[-6:])),
        remedy=remedy,
    )


def run_mmdebstrap(
    request: Mapping[str, Any],
    target: Path,
    work: Path,
    epoch: int,
    packages: Iterable[str] = (),
    contents: Mapping[str, Any] | None = None,
) -> None:
    """Build a file, or a directory where ``packages`` for a disk are named. Raises BackendError with what mmdebstrap
    said last.

    ``epoch``: the time that everything has at most, in seconds.
    ``contents``: the files and the commands (prepare) of a disk, which come before those that are asked for; and files
    (early) that are there before its packages are configured.
    """
    contents = dict(contents or {})
    hooks = {
        "essential": {"files": contents.pop("early", None)},
        "customize": {**contents, **{key: request.get(key) for key in ("user", "ssh_authorized_keys", "commands")}},
    }
    programs = {when: work / f"{when}-hook" for when, asked in hooks.items() if any(asked.values())}
    for when, program in programs.items():
        program.write_text(_HOOK.format(python=sys.executable, asked=json.dumps(hooks[when])), encoding="utf-8")
        program.chmod(0o700)
    sources = "" if request.get("mirror") else _own_sources(request["suite"], request.get("components"))
    environment = {**_proxies(), **os.environ, "SOURCE_DATE_EPOCH": str(epoch), "TMPDIR": str(work)}
    work.chmod(0o755)
    done = run_held(
        work, command_of(request, target, programs, bool(sources), packages), sources, environment, _apart()
    )
    if done.returncode == 0:
        return
    said = [line for line in done.stderr.splitlines() if line.strip() and not line.startswith("I:")]
    # What apt or a command said stands before mmdebstrap's verdict; --quiet would keep apt's words back.
    text = " / ".join(said[-6:])
    remedy = "Check the suite, the packages' names, and that the mirror can be reached"
    if "NO_PUBKEY" in done.stderr or "not signed" in done.stderr:
        remedy = "The keys of the suite are missing here: install a newer debian-archive-keyring, or name a keyring"
    elif "No space left" in done.stderr:
        remedy = "Free space below the directory, or choose another one"
    raise BackendError(f"mmdebstrap failed: {text}", remedy=remedy)
