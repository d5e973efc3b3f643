# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Asks a container that runs what it was started with.

No tool tells (lxc-info -c reads the file), but the container's monitor does, on the socket that the tools use: a
request is a command's number, the length of what follows and a pointer that means nothing to another process; an answer
likewise. It has been so since LXC 1.0.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterable

_HEAD = struct.Struct("=iiQ")
_GET_STATE, _GET_PID, _GET_CONFIG_ITEM, _GET_NAME = 3, 4, 7, 8
#: As liblxc numbers them.
_STATES = ("STOPPED", "STARTING", "RUNNING", "STOPPING", "ABORTING", "FREEZING", "FROZEN", "THAWED")
SECONDS = 5
#: How long an address of a socket may be, liblxc's NULs included.
_LONGEST = 106


def address_of(path: str, name: str) -> bytes:
    """The abstract address of a container's command socket; a long one has the FNV-1a hash of the container's place
    in it.
    """
    place = os.fsencode(f"{path}/{name}")
    address = place + b"/command"
    if len(address) > _LONGEST:
        digest = 0xCBF29CE484222325
        for byte in place + b"\0":
            digest = (digest ^ byte) * 0x100000001B3 % 2**64
        address = b"lxc/%016x/command" % digest
    return b"\0" + address


def _ask(address: bytes, command: int, word: str = "") -> str | None:
    """One answer that is a text; None where there is none to give. Raises OSError."""
    return _ask_both(address, command, word)[1]


def _ask_both(address: bytes, command: int, word: str = "") -> tuple[int, str | None]:
    """One answer: its number and its text. Raises OSError."""
    data = word.encode() + b"\0" if word else b""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as link:
        link.settimeout(SECONDS)
        link.connect(address)
        # Who asks is said by the sender itself, since the monitor may be too late to have the kernel say it; and all at
        # once, since it does not wait.
        who = struct.pack("=iII", os.getpid(), os.geteuid(), os.getegid())
        link.sendmsg([_HEAD.pack(command, len(data), 0), data], [(socket.SOL_SOCKET, socket.SCM_CREDENTIALS, who)])
        status, length, pointer = _HEAD.unpack(_receive(link, _HEAD.size))
        if status or not 0 < length < 1 << 20:
            return 0 if status else int(pointer), None
        return 0, _receive(link, length).rstrip(b"\0").decode(errors="surrogateescape")


def _receive(link: socket.socket, length: int) -> bytes:
    data = b""
    while len(data) < length:
        more = link.recv(length - len(data))
        if not more:
            raise ConnectionError("the container's monitor ended")
        data += more
    return data


def running(path: str, name: str) -> tuple[str, int] | None:
    """The state, in liblxc's word, and the first process of a container that runs; None for one that does not.

    The tools say nothing of a container whose configuration liblxc does not take, and it may have been changed since
    the start.
    """
    address = address_of(path, name)
    try:
        if _ask(address, _GET_NAME) != name:
            return None
        state, pid = _ask_both(address, _GET_STATE)[0], _ask_both(address, _GET_PID)[0]
    except (OSError, struct.error):
        return None
    return (_STATES[state], pid) if 0 < state < len(_STATES) and pid else None


def started_with(path: str, name: str, keys: Iterable[str]) -> dict[str, tuple[str, ...]] | None:
    """The values of these configuration keys in a container that runs; None where its monitor does not tell, or
    speaks another language.
    """
    address = address_of(path, name)
    try:
        if _ask(address, _GET_NAME) != name:
            return None
        return {
            key: tuple(
                line.strip() for line in (_ask(address, _GET_CONFIG_ITEM, key) or "").splitlines() if line.strip()
            )
            for key in keys
        }
    except (OSError, struct.error):
        return None
