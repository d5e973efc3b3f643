# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Performs an armed change of the network, and takes it back: on the host, alone, with nobody connected to it.

This file is copied onto the host as it is and run from there (see change.py), by the timer and at boot as well, so it imports nothing but the
standard library. What it is to do is in change.json beside it:

``status``    armed, applying, applied; then rolled_back (or it is gone, where the change was confirmed)
``files``     path, and ``before`` and ``after``: null where there is no file, or ``content`` (base64), ``mode``, ``uid``, ``gid``
``apply``     commands ``before`` and ``after`` the files are written; ``rollback`` the same, for the way back
``boot``      commands after the files are restored, where the host was started anew in between and nothing of the change is in the kernel
``addresses`` and ``routes``  of the links as they were, for the end of a rollback
A command is an ``argv``; ``must`` says that the change has failed if it does.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import json
import os
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

DIRECTORY = Path("/var/lib/kraal.virt/bridge")
#: The first two are followed by the change's id: a unit in which ifupdown has started a DHCP client stays as long as that client.
APPLY_UNIT, ROLLBACK_UNIT, BOOT_UNIT = "kraal-bridge-apply-", "kraal-bridge-rollback-", "kraal-bridge-boot.service"
UNITS = Path("/etc/systemd/system")
WANTED = UNITS / "sysinit.target.wants" / BOOT_UNIT
ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C", "HOME": "/root"}
#: Seconds that one command may take, and that a network manager may take to bring back what it had.
COMMAND, SETTLE = 60, 12
OPEN = ("armed", "applying", "applied")


def load() -> dict[str, Any] | None:
    """The change, or None where there is none."""
    try:
        loaded: dict[str, Any] = json.loads((DIRECTORY / "change.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return loaded


def save(change: dict[str, Any]) -> None:
    """So that a loss of power leaves the old or the new one."""
    write(DIRECTORY / "change.json", json.dumps(change, indent=1).encode(), 0o600)
    # For the controller, which looks often.
    write(DIRECTORY / "status", ("%s %s\n" % (change["id"], change["status"])).encode(), 0o600)


def write(path: Path, content: bytes, mode: int, uid: int = 0, gid: int = 0) -> None:
    """Replace a file as a whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # The name ends so that no network manager takes it for a file of its own.
    handle, temporary = tempfile.mkstemp(prefix="." + path.name, suffix=".kraal-tmp", dir=path.parent)
    with os.fdopen(handle, "wb") as stream:
        stream.write(content)
        os.fchmod(stream.fileno(), mode)
        os.fchown(stream.fileno(), uid, gid)
        stream.flush()
        os.fsync(stream.fileno())
    os.replace(temporary, path)
    folder = os.open(path.parent, os.O_RDONLY)
    os.fsync(folder)
    os.close(folder)


@contextlib.contextmanager
def locked() -> Iterator[None]:
    """One at a time: who confirms, and who rolls back."""
    DIRECTORY.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (DIRECTORY / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def boot_id() -> str:
    """Another one after every boot. A container's host gives its own, so the time of the first process's start goes with it."""
    started = Path("/proc/1/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[19]
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip() + "/" + started


def put(path: str, state: dict[str, Any] | None) -> None:
    """Make the file what it is to be, or not to be."""
    if state is None:
        Path(path).unlink(missing_ok=True)
        # A directory of drop-ins that the change made goes with its last file.
        if path.endswith(".conf"):
            with contextlib.suppress(OSError):
                Path(path).parent.rmdir()
    else:
        write(Path(path), base64.b64decode(state["content"]), state["mode"], state["uid"], state["gid"])


class Log:
    """What was done, for whoever asks afterwards."""

    def __init__(self, change: dict[str, Any]) -> None:
        self.change = change

    def say(self, text: str) -> None:
        line = "%s %s" % (time.strftime("%H:%M:%S"), text)
        self.change["log"].append(line)
        sys.stderr.write(line + "\n")

    def run(self, argv: Sequence[str]) -> bool:
        try:
            done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=COMMAND, check=False, env=ENVIRONMENT)
        except subprocess.TimeoutExpired:
            self.say("%s: did not end within %d s" % (" ".join(argv), COMMAND))
            return False
        except OSError as error:
            self.say("%s: %s" % (" ".join(argv), error))
            return False
        said = (done.stderr.strip() or done.stdout.strip()).decode("utf-8", "replace")
        self.say("%s: %s" % (" ".join(argv), "ok" if done.returncode == 0 else "ended with %d: %s" % (done.returncode, said[-500:])))
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
        log = Log(change)
        change["status"] = "applying"
        save(change)
        good = log.all(change["apply"]["before"])
        for file in change["files"]:
            put(file["path"], file["after"])
        log.say("the files are written")
        good = log.all(change["apply"]["after"]) and good
        change["status"] = "applied"
        save(change)
    if not good:
        rollback("a command of the change failed")


def rollback(why: str) -> None:
    """Take back what is not confirmed. Does nothing where there is no such change."""
    change = load()
    if change is not None and os.environ.get("KRAAL_UNIT") != APPLY_UNIT:
        # It may hang, and it holds the lock. Stopping it ends its main process only, so that a DHCP client outlives a change that has been made.
        for argv in (["systemctl", "kill", "--signal=KILL"], ["systemctl", "stop"]):
            systemctl = [*argv, APPLY_UNIT + change["id"] + ".service"]
            subprocess.run(systemctl, stdin=subprocess.DEVNULL, capture_output=True, check=False, env=ENVIRONMENT)
    with locked():
        change = load()
        if change is None or change["status"] not in OPEN:
            return
        log = Log(change)
        same = change["boot_id"] == boot_id()
        begun = change["status"] != "armed"
        log.say("rolling back, because " + (why if same else "the host was started anew before the change was confirmed"))
        if begun and same:
            log.all(change["rollback"]["before"])
        if begun:
            for file in change["files"]:
                put(file["path"], file["before"])
            log.say("the files are restored")
            log.all(change["rollback"]["after"] if same else change["boot"])
        if begun and same:
            restore_links(change, log)
        change["status"] = "rolled_back"
        log.say("rolled back")
        save(change)
        disarm(change["id"] if same else "")


def disarm(running: str) -> None:
    """Nothing is left that would roll back the change of that id; none at boot, when systemd has yet to look at its units."""
    WANTED.unlink(missing_ok=True)
    (UNITS / BOOT_UNIT).unlink(missing_ok=True)
    if running:
        for argv in (["systemctl", "stop", ROLLBACK_UNIT + running + ".timer"], ["systemctl", "daemon-reload"]):
            subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, check=False, env=ENVIRONMENT)


def ip(*words: str) -> list[dict[str, Any]]:
    """What `ip -json` shows."""
    done = subprocess.run(["ip", "-json", *words], stdin=subprocess.DEVNULL, capture_output=True, check=False, env=ENVIRONMENT)
    return [entry for entry in json.loads(done.stdout or b"[]") if entry] if done.returncode == 0 else []


def missing(change: dict[str, Any]) -> list[list[str]]:
    """What `ip` has to do so that the links have all again that they had."""
    wanted = []
    for address in change["addresses"]:
        there = [each for link in ip("address", "show", "dev", address["link"]) for each in link.get("addr_info", [])]
        if not any(each.get("local") == address["local"] and each.get("prefixlen") == address["prefixlen"] for each in there):
            cidr = "%s/%d" % (address["local"], address["prefixlen"])
            wanted.append(["ip", "address", "add", cidr, *(["broadcast", address["broadcast"]] if address.get("broadcast") else []), "dev", address["link"]])
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
    log.say("addresses and routes are as they were" if not left else "still missing: %s" % "; ".join(" ".join(argv) for argv in left))


def wait_for(done: Callable[[], bool], seconds: float) -> bool:
    """Look again whenever the kernel says that something changed."""
    deadline = time.monotonic() + seconds
    monitor = subprocess.Popen(["ip", "monitor", "link", "address", "route"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, env=ENVIRONMENT)
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
        rollback("nobody confirmed the change in time")
    else:
        raise SystemExit("usage: runner.py apply | rollback")


if __name__ == "__main__":
    main(sys.argv[1:])
