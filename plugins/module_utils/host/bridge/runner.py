# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Performs an armed change of the network, and takes it back: on the host, alone, with nobody connected to it.

This file is copied onto the host as it is and run from there (see change.py), by the timer and at boot as well, so it
imports nothing but the standard library. What it is to do is in change.json beside it:

``status``    armed, applying, applied; then rolled_back (or it is gone, where the change was confirmed)
``files``     path, and ``before`` and ``after``: null where there is no file, or ``content`` (base64), ``mode``,
``uid``, ``gid`` ``apply``     commands ``before`` and ``after`` the files are written; ``rollback`` the same, for the
way back ``boot``      commands after the files are restored, where the host was started anew in between and nothing of
the change is in the kernel ``addresses`` and ``routes``  of the links as they were, and ``masters``, of which bridge
each was a port, for the end of a rollback A command is an ``argv``; ``must`` says that the change has failed if it
does.

A rollback stops at nothing: what cannot be done is told, and everything else is done. Its unit starts it again when it
is killed, and it tries the files that could not be written again and again.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import json
import os
import select
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

DIRECTORY = Path("/var/lib/kraal.virt/bridge")
#: The first two are followed by the change's id: a unit in which ifupdown has started a DHCP client stays as long as
#: that client.
APPLY_UNIT, ROLLBACK_UNIT, BOOT_UNIT = "kraal-bridge-apply-", "kraal-bridge-rollback-", "kraal-bridge-boot.service"
UNITS = Path("/etc/systemd/system")
WANTED = UNITS / "sysinit.target.wants" / BOOT_UNIT
ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C", "HOME": "/root"}
#: Seconds that one command may take, and that a network manager may take to bring back what it had.
COMMAND, SETTLE = 60, 12
#: Seconds until a rollback that was killed begins anew, and until one that could not write a file tries again.
RESTART, AGAIN = 5, 10
#: The bytes that change.json takes at least: what becomes of the change is written over it where there is no room for
#: another file.
ROOM = 1 << 16
OPEN = ("armed", "applying", "applied")
TEMPORARY = ".kraal-tmp"


def load() -> dict[str, Any] | None:
    """The change, or None where there is none."""
    try:
        loaded: dict[str, Any] = json.loads((DIRECTORY / "change.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError:
        # Only what is settled is written in place, and may have been cut off there.
        return None
    return loaded


def save(change: dict[str, Any], *, in_place: bool = False) -> None:
    """So that a loss of power leaves the old or the new one.

    ``in_place``: what is settled, where there is no room for another file. Raises OSError.
    """
    write(DIRECTORY / "change.json", json.dumps(change, indent=1).encode().ljust(ROOM), 0o600, in_place=in_place)
    # For the controller, which looks often.
    write(DIRECTORY / "status", ("{} {}\n".format(change["id"], change["status"])).encode(), 0o600, in_place=in_place)


def write(path: Path, content: bytes, mode: int, uid: int = 0, gid: int = 0, *, in_place: bool = False) -> None:
    """Replace a file as a whole; ``in_place``: write over it where that is not possible, for want of room say.

    Raises OSError.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        # The name ends so that no network manager takes it for a file of its own.
        handle, temporary = tempfile.mkstemp(prefix="." + path.name, suffix=TEMPORARY, dir=path.parent)
        try:
            _fill(handle, content, mode, uid, gid)
            os.replace(temporary, path)
        except OSError:
            os.unlink(temporary)
            raise
    except OSError:
        if not in_place:
            raise
        _fill(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, 0o600), content, mode, uid, gid)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _fill(handle: int, content: bytes, mode: int, uid: int, gid: int) -> None:
    with os.fdopen(handle, "wb") as stream:
        stream.write(content)
        stream.truncate()
        os.fchmod(stream.fileno(), mode)
        os.fchown(stream.fileno(), uid, gid)
        os.fsync(stream.fileno())


@contextlib.contextmanager
def locked() -> Iterator[None]:
    """One at a time: who confirms, and who rolls back."""
    DIRECTORY.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = DIRECTORY / "lock"
    try:
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError:
        # Nothing can be written any more; what is there can be locked all the same.
        lock = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def boot_id() -> str:
    """Another one after every boot. A container's host gives its own, so its first process's start goes with it."""
    started = Path("/proc/1/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[19]
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip() + "/" + started


def put(path: str, state: dict[str, Any] | None, *, in_place: bool = False) -> None:
    """Make the file what it is to be, or not to be. Raises OSError."""
    if state is None:
        Path(path).unlink(missing_ok=True)
        # A directory of drop-ins that the change made goes with its last file.
        if path.endswith(".conf"):
            with contextlib.suppress(OSError):
                Path(path).parent.rmdir()
    else:
        write(
            Path(path), base64.b64decode(state["content"]), state["mode"], state["uid"], state["gid"], in_place=in_place
        )


def as_it_was(path: str, state: dict[str, Any] | None) -> bool:
    """Whether the file is what it was before. Raises OSError."""
    try:
        about, content = os.lstat(path), Path(path).read_bytes()
    except FileNotFoundError:
        return state is None
    return state is not None and (content, stat.S_IMODE(about.st_mode), about.st_uid, about.st_gid) == (
        base64.b64decode(state["content"]), state["mode"], state["uid"], state["gid"],
    )  # fmt: skip


def tell(line: str) -> None:
    """For the journal, which may be on a disk that is full."""
    with contextlib.suppress(OSError):
        sys.stderr.write(line + "\n")
        sys.stderr.flush()


class Log:
    """What was done, for whoever asks afterwards."""

    def __init__(self, change: dict[str, Any]) -> None:
        self.change = change

    def say(self, text: str) -> None:
        line = "{} {}".format(time.strftime("%H:%M:%S"), text)
        self.change["log"].append(line)
        tell(line)

    def run(self, argv: Sequence[str]) -> bool:
        try:
            done = subprocess.run(  # pylint: disable=ansible-bad-function
                argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=COMMAND, check=False, env=ENVIRONMENT
            )
        except subprocess.TimeoutExpired:
            self.say("%s: did not end within %d s" % (" ".join(argv), COMMAND))
            return False
        except OSError as error:
            self.say("{}: {}".format(" ".join(argv), error))
            return False
        said = (done.stderr.strip() or done.stdout.strip()).decode("utf-8", "replace")
        self.say(
            "{}: {}".format(
                " ".join(argv), "ok" if done.returncode == 0 else "ended with %d: %s" % (done.returncode, said[-500:])
            )
        )
        return done.returncode == 0

    def all(self, commands: Sequence[dict[str, Any]]) -> bool:
        """Whether none failed that must not. A way back goes on whatever fails."""
        good = True
        for command in commands:
            good = (self.run(command["argv"]) or not command.get("must")) and good
        return good


def apply() -> None:
    """Make the change. What fails is taken back at once."""
    with locked():
        change = load()
        if change is None or change["status"] != "armed" or change["boot_id"] != boot_id():
            return
        try:
            wrong = "" if make(change, Log(change)) else "a command of the change failed"
        except OSError as error:
            wrong = f"the change cannot be made: {error}"
    if wrong:
        rollback(wrong)


def make(change: dict[str, Any], log: Log) -> bool:
    """Whether nothing failed that must not.

    Raises OSError, with nothing touched where even the first note of it cannot be written.
    """
    change["status"] = "applying"
    save(change)
    good = log.all(change["apply"]["before"])
    for file in change["files"]:
        put(file["path"], file["after"])
    log.say("the files are written")
    good = log.all(change["apply"]["after"]) and good
    change["status"] = "applied"
    save(change)
    return good


def rollback(why: str, again: float = 0) -> bool:
    """Take back what is not confirmed; whether it is settled. Does nothing where there is no such change.

    ``again``: the seconds after which to try what could not be written once more, until it is. Without, that is left to
    the timer, or the next boot.
    """
    change = load()
    if change is not None and os.environ.get("KRAAL_UNIT") != APPLY_UNIT:
        # It may hang, and it holds the lock. Stopping it ends its main process only, so that a DHCP client outlives a
        # change that has been made.
        for argv in (["systemctl", "kill", "--signal=KILL"], ["systemctl", "stop"]):
            quietly([*argv, APPLY_UNIT + change["id"] + ".service"])
    settled = take_back(why, first=True)
    while not settled and again:
        # Nothing says that there is room again.
        time.sleep(again)
        settled = take_back(why, first=False)
    return settled


def take_back(why: str, *, first: bool) -> bool:
    """One try; whether it is settled.

    The network is put back at the first one, whatever becomes of the files, and again when a file is back.
    """
    with locked():
        change = load()
        if change is None or change["status"] not in OPEN:
            return True
        log = Log(change)
        same = change["boot_id"] == boot_id()
        begun = change["status"] != "armed"
        log.say(
            "rolling back, because " + (why if same else "the host was started anew before the change was confirmed")
        )
        clear(change, log)
        if begun and same and first:
            log.all(change["rollback"]["before"])
        restored, left = put_back(change["files"], log) if begun else (0, 0)
        if begun and (first or restored):
            log.all(change["rollback"]["after"] if same else change["boot"])
            if same:
                restore_links(change, log)
        if not left:
            change["status"] = "rolled_back"
            log.say("rolled back")
        try:
            # Before it is settled, a note that is cut off would be the end of it.
            save(change, in_place=not left)
        except OSError as error:
            tell(f"what was done cannot be written down: {error}")
            return False
        if not left:
            disarm(change["id"] if same else "")
        return not left


def put_back(files: Sequence[dict[str, Any]], log: Log) -> tuple[int, int]:
    """Make each file what it was, on its own; how many were restored, and how many could not be."""
    restored, left = 0, 0
    for file in files:
        try:
            there = as_it_was(file["path"], file["before"])
            if not there or file["before"] is None:
                put(file["path"], file["before"], in_place=True)
            restored += not there
        except OSError as error:
            log.say("{} is not restored: {}".format(file["path"], error))
            left += 1
    log.say("the files are restored" if not left else "not all files are restored")
    return restored, left


def clear(change: dict[str, Any], log: Log) -> None:
    """Remove what a run that was killed had begun to write; that makes room, too."""
    for folder in {DIRECTORY, *(Path(file["path"]).parent for file in change["files"])}:
        try:
            for path in folder.glob(".*" + TEMPORARY):
                path.unlink()
        except OSError as error:
            log.say(f"{folder}: {error}")


def disarm(running: str) -> None:
    """Nothing is left that would roll back the change of that id; none at boot, when systemd has yet to look at its
    units.
    """
    for path in (WANTED, UNITS / BOOT_UNIT):
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            # It finds nothing to do at boot.
            tell(f"{path}: {error}")
    if running:
        for argv in (["systemctl", "stop", ROLLBACK_UNIT + running + ".timer"], ["systemctl", "daemon-reload"]):
            quietly(argv)


def quietly(argv: Sequence[str]) -> bytes:
    """What a command prints; nothing where it fails."""
    try:
        done = subprocess.run(  # pylint: disable=ansible-bad-function
            argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=COMMAND, check=False, env=ENVIRONMENT
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        tell("{}: {}".format(" ".join(argv), error))
        return b""
    return done.stdout if done.returncode == 0 else b""


def ip(*words: str) -> list[dict[str, Any]]:
    """What `ip -json` shows."""
    return [entry for entry in json.loads(quietly(["ip", "-json", *words]) or b"[]") if entry]


def missing(change: dict[str, Any]) -> list[list[str]]:
    """What `ip` has to do so that the links have all again that they had."""
    wanted = []
    for link, master in change["masters"].items():
        if not master and any(each.get("master") for each in ip("link", "show", "dev", link)):
            # An address of a bridge's port reaches nobody.
            wanted.append(["ip", "link", "set", "dev", link, "nomaster"])
    for address in change["addresses"]:
        there = [each for link in ip("address", "show", "dev", address["link"]) for each in link.get("addr_info", [])]
        if not any(
            each.get("local") == address["local"] and each.get("prefixlen") == address["prefixlen"] for each in there
        ):
            cidr = "%s/%d" % (address["local"], address["prefixlen"])
            wanted.append(
                [
                    "ip",
                    "address",
                    "add",
                    cidr,
                    *(["broadcast", address["broadcast"]] if address.get("broadcast") else []),
                    "dev",
                    address["link"],
                ]
            )
    for route in change["routes"]:
        there = ip(route["family"], "route", "show", route["dst"], "dev", route["dev"])
        if not any(each.get("gateway") == route.get("gateway") for each in there):
            way = [*(["via", route["gateway"]] if route.get("gateway") else []), "dev", route["dev"]]
            metric = ["metric", str(route["metric"])] if route.get("metric") else []
            wanted.append(["ip", route["family"], "route", "replace", route["dst"], *way, *metric])
    return wanted


def restore_links(change: dict[str, Any], log: Log) -> None:
    """The network manager first; what it does not bring back in time is put there by hand."""
    if not wait_for(lambda: not missing(change), SETTLE):
        for link in sorted({each["link"] for each in change["addresses"]}):
            log.run(["ip", "link", "set", "dev", link, "up"])
        for argv in missing(change):
            log.run(argv)
    left = missing(change)
    log.say(
        "addresses and routes are as they were"
        if not left
        else "still missing: {}".format("; ".join(" ".join(argv) for argv in left))
    )


def wait_for(done: Callable[[], bool], seconds: float) -> bool:
    """Look again whenever the kernel says that something changed."""
    deadline = time.monotonic() + seconds
    try:
        monitor = subprocess.Popen(  # pylint: disable=ansible-bad-function
            ["ip", "monitor", "link", "address", "route"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            env=ENVIRONMENT,
        )
    except OSError as error:
        tell(f"ip monitor: {error}")
        return done()
    try:
        while not done():
            rest = deadline - time.monotonic()
            if rest <= 0 or monitor.stdout is None:
                return False
            # What came before the monitor listened is seen after a second at the latest.
            if select.select([monitor.stdout], [], [], min(rest, 1))[0]:
                os.read(monitor.stdout.fileno(), 65536)
        return True
    finally:
        monitor.kill()
        monitor.wait()


def main(arguments: Sequence[str]) -> None:
    if arguments == ["apply"]:
        apply()
    elif arguments == ["rollback"]:
        rollback("nobody confirmed the change in time", AGAIN)
    elif arguments == ["boot"]:
        # The host does not wait for room.
        raise SystemExit(0 if rollback("nobody confirmed the change in time") else 1)
    else:
        raise SystemExit("usage: runner.py apply | rollback | boot")


if __name__ == "__main__":
    main(sys.argv[1:])
