# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The command sockets of containers that run: liblxc's tools believe whoever listens there, and any user may.

An abstract socket has no permissions. Its address is @PATH/NAME/command, in which PATH and NAME are what the one says
who made it.
"""

from __future__ import annotations

import os
import re
import socket
import struct
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from .container.monitor import address_of

#: __SO_ACCEPTCON of the kernel's include/linux/net.h, as /proc/net/unix shows it.
_LISTENS = 0x10000


def parse_sockets(text: str) -> Iterator[tuple[str, int]]:
    """The abstract addresses on which somebody listens like a container's monitor, without the @, and the sockets'
    inodes.
    """
    for line in text.splitlines():
        head, _at, address = line.partition(" @")
        # What is no socket is none.
        with suppress(IndexError, ValueError):
            words = head.split()
            flags, inode = int(words[3], 16), int(words[6])
            if address.endswith("/command") and flags & _LISTENS:
                yield address, inode


def listening() -> dict[str, int]:
    """See parse_sockets(); nothing where the kernel does not tell."""
    with suppress(FileNotFoundError, PermissionError):
        return dict(parse_sockets(Path("/proc/net/unix").read_text(encoding="utf-8", errors="surrogateescape")))
    return {}


def listener(address: str) -> int | None:
    """The user who listens there, as the kernel knows him; None where nobody takes the connection."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as link:
        link.setblocking(False)
        try:
            link.connect(b"\0" + os.fsencode(address))
        except OSError:
            return None
        user: int = struct.unpack("=iII", link.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[1]
        return user


def of_this_system(inodes: Collection[int]) -> set[int]:
    """Those of these sockets that a process holds which sees the same files as this one.

    In a container, root is root, too; its files are others.
    """
    wanted = {"socket:[%d]" % inode: inode for inode in inodes}
    found: set[int] = set()
    for process in os.scandir("/proc") if wanted else ():
        # It may end in this moment, or belong to somebody else.
        with suppress(OSError):
            if process.name.isdigit() and os.path.samefile(process.path + "/root", "/"):
                held = {os.readlink(file.path) for file in os.scandir(process.path + "/fd")}
                found.update(wanted[link] for link in held & set(wanted))
    return found


def answering(path: str, names: Iterable[str]) -> list[str]:
    """Those of the containers of a directory that run: a user listens for them who may, root, the directory's owner,
    or who runs this.
    """
    sockets = listening()
    users = {0, os.geteuid()}
    with suppress(OSError):
        users.add(os.stat(path).st_uid)
    addresses = {name: os.fsdecode(address_of(path, name)[1:]) for name in names}
    return [name for name, address in addresses.items() if address in sockets and listener(address) in users]


def pattern(names: Iterable[str]) -> str:
    """The extended regular expression that lxc-ls takes, for exactly these names."""
    return "^({})$".format("|".join(re.sub(r"[][.*+?(){}|^$\\]", r"\\\g<0>", name) for name in names))
