# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kills a module at a chosen moment. Python loads it by itself, under this name, in a process that a test has put its
directory on the path of.

What is counted are the things that the module does to the host: a file that it writes, renames or removes below the
test's directories, a program that it starts, unless that only reads. $KT_CRASH names a file with JSON: the directories,
the number of the moment, and how to end; and `states`, where there is one: a file that gets a line with what the first
directory is like before each moment.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sys
import threading
from typing import Any

READING = {"lxc-ls", "lxc-info", "lxc-config", "lxc-wait", "ip"}
FILES = {
    "os.rename": 2,
    "os.mkdir": 1,
    "os.remove": 1,
    "os.rmdir": 1,
    "os.symlink": 2,
    "os.link": 2,
    "os.chown": 1,
    "os.chmod": 1,
    "os.truncate": 1,
}
count = 0
quiet = False


def moment(event: str, args: tuple[Any, ...], roots: list[str]) -> str:
    """What is about to be done, or nothing."""
    if event == "subprocess.Popen":
        words = [os.fsdecode(word) for word in args[1]]
        name = os.path.basename(words[0])
        return "" if name in READING else " ".join([name, *words[1:]])
    if event == "open":
        path, _mode, flags = args
        if not isinstance(path, (str, bytes, os.PathLike)) or not flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            return ""
        paths = [os.fsdecode(path)]
    else:
        paths = [os.fsdecode(path) for path in args[: FILES[event]] if isinstance(path, (str, bytes, os.PathLike))]
    return f"{event} {' '.join(paths)}" if any(path.startswith(root) for path in paths for root in roots) else ""


def state(root: str) -> str:
    """All that is below a directory, but for logs: kinds, owners, and the content of what is small."""
    digest = hashlib.sha256()
    for directory, names, files in os.walk(root):
        names.sort()
        for name in sorted((*names, *files)):
            path = os.path.join(directory, name)
            at = os.lstat(path)
            digest.update(f"{path[len(root) :]} {at.st_mode} {at.st_uid} {at.st_gid}\n".encode())
            if os.path.islink(path):
                digest.update(os.readlink(path).encode())
            elif os.path.isfile(path) and at.st_size < 1 << 16 and not path.endswith(".log"):
                with open(path, "rb") as file:
                    digest.update(file.read())
    return digest.hexdigest()


def hook(event: str, args: tuple[Any, ...]) -> None:
    global count, quiet
    if quiet or (event not in FILES and event not in ("open", "subprocess.Popen")):
        return
    quiet = True
    try:
        with open(os.environ["KT_CRASH"], encoding="utf-8") as file:
            plan = json.load(file)
        what = moment(event, args, plan["roots"])
        if not what:
            return
        count += 1
        with open(plan["log"], "a", encoding="utf-8") as file:
            file.write(what.replace("\n", " ") + "\n")
        if plan.get("states"):
            with open(plan["states"], "a", encoding="utf-8") as file:
                file.write(state(plan["roots"][0]) + "\n")
        if count == plan["at"]:
            if plan["how"] == "during" and event == "subprocess.Popen":
                # The program too, a moment after its start; they are one process group.
                threading.Timer(0.004, os.killpg, (0, signal.SIGKILL)).start()
            else:
                os.kill(os.getpid(), signal.SIGKILL)
    finally:
        quiet = False


if "KT_CRASH" in os.environ:
    sys.addaudithook(hook)
