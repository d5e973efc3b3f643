# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The addresses of containers that run, read in their network namespaces; without starting a program in each."""

from __future__ import annotations

import ctypes
import os
import select
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from ipaddress import ip_address
from typing import TypeVar

from ....engine.addresses import reachable
from ....engine.errors import BackendError
from ....host.own_addresses import own_addresses

# rtnetlink(7)
_NEWLINK, _GETLINK, _NEWADDR, _GETADDR, _DONE, _ERROR = 16, 18, 20, 22, 3, 2
_DUMP = 0x301  # NLM_F_REQUEST | NLM_F_DUMP
_GROUPS = 0x10 | 0x100  # RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR
_CLONE_NEWNET = 0x40000000
_IFLA_ADDRESS, _IFLA_IFNAME, _IFA_ADDRESS, _IFA_LOCAL = 1, 3, 1, 2
_TENTATIVE = 0x40

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Found:
    """One address of an interface, with that one's name and MAC."""

    interface: str
    mac: str
    address: str
    family: str


def in_a_thread_of_its_own(function: Callable[[], Answer]) -> Answer:
    """Run it in a thread, which may go into other namespaces: it takes nobody with it, and ends there."""
    answers: list[Answer] = []
    errors: list[BaseException] = []

    def work() -> None:
        try:
            answers.append(function())
        except (OSError, BackendError) as error:
            errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return answers[0]


def enter(pid: int) -> None:
    """Take this thread into the network namespace of a process. Raises OSError."""
    file = os.open("/proc/%d/ns/net" % pid, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if ctypes.CDLL(None, use_errno=True).setns(file, _CLONE_NEWNET):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
    finally:
        os.close(file)


def _connect(groups: int = 0) -> socket.socket:
    link = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE)
    link.bind((0, groups))
    return link


def _messages(link: socket.socket, request: int) -> Iterator[tuple[int, bytes]]:
    """All that the kernel knows of links or addresses: type and body of each message."""
    link.send(struct.pack("=IHHIIB3x", 20, request, _DUMP, 1, 0, socket.AF_UNSPEC))
    while True:
        data = link.recv(1 << 18)
        while data:
            length, kind, _flags, _sequence, _port = struct.unpack_from("=IHHII", data)
            if length < 16:
                raise OSError("the kernel does not tell addresses")
            if kind == _DONE:
                return
            if kind == _ERROR:
                raise OSError(-struct.unpack_from("=i", data, 16)[0], "the kernel does not tell addresses")
            yield kind, data[16:length]
            data = data[(length + 3) & ~3 :]


def _attributes(data: bytes) -> dict[int, bytes]:
    found = {}
    while len(data) >= 4:
        length, kind = struct.unpack_from("=HH", data)
        if length < 4:
            break
        found[kind & 0x3FFF] = data[4:length]
        data = data[(length + 3) & ~3 :]
    return found


def _dump(link: socket.socket) -> tuple[Found, ...]:
    """All addresses of the namespace that the connection was made in. Raises OSError."""
    try:
        return _told(link)
    except (struct.error, ValueError) as error:
        raise OSError(f"what the kernel tells of addresses is not understood: {error}") from error


def _told(link: socket.socket) -> tuple[Found, ...]:
    names: dict[int, tuple[str, str]] = {}
    for kind, body in _messages(link, _GETLINK):
        if kind == _NEWLINK:
            attributes = _attributes(body[16:])
            name = attributes.get(_IFLA_IFNAME, b"").rstrip(b"\0").decode(errors="replace")
            names[struct.unpack_from("=BxHi", body)[2]] = (
                name,
                ":".join(f"{byte:02x}" for byte in attributes.get(_IFLA_ADDRESS, b"")),
            )
    found = []
    for kind, body in _messages(link, _GETADDR):
        if kind != _NEWADDR:
            continue
        family, _prefix, flags, _scope, index = struct.unpack_from("=BBBBI", body)
        attributes = _attributes(body[8:])
        address = reachable(str(ip_address(attributes.get(_IFA_LOCAL) or attributes.get(_IFA_ADDRESS, b"\0" * 4))))
        name, mac = names.get(index, ("", ""))
        if address is not None and not flags & _TENTATIVE:
            found.append(Found(name, mac, str(address), "ipv4" if family == socket.AF_INET else "ipv6"))
    return tuple(sorted(found, key=lambda each: (each.interface, each.family, each.address)))


def addresses_of(pids: Iterable[int]) -> dict[int, tuple[Found, ...]]:
    """The addresses in the namespaces of these processes under which others can reach them. None for what cannot be
    entered.

    One that this host has too is none: a bridge that the guest has made for itself, like docker0, may have the address
    of this host's own.
    """
    own = own_addresses()

    def look() -> dict[int, tuple[Found, ...]]:
        found = {}
        for pid in pids:
            try:
                enter(pid)
                with _connect() as link:
                    found[pid] = tuple(each for each in _dump(link) if each.address not in own)
            except OSError:
                # It ended in this moment, or belongs to another user, whose namespaces are not ours to enter.
                found[pid] = ()
        return found

    return in_a_thread_of_its_own(look)


def wait_for_address(pid: int, seconds: float) -> bool:
    """Whether the namespace of that process has an address within that time, and the process still lives.

    Woken by the kernel.
    """
    deadline = time.monotonic() + seconds

    def wait() -> bool:
        process: int = os.pidfd_open(pid)
        try:
            enter(pid)
            # The subscription first: what comes between it and the first look is told, not lost.
            with _connect(_GROUPS) as events:
                while True:
                    with _connect() as link:
                        if _dump(link):
                            return True
                    # A new IPv6 address counts when it is known to be nobody else's, which the kernel does not tell of
                    # each.
                    left = min(deadline - time.monotonic(), 1)
                    if left <= 0:
                        return False
                    ready = select.select([events.fileno(), process], [], [], left)[0]
                    if process in ready:
                        return False
                    if ready:
                        events.recv(1 << 16)
        finally:
            os.close(process)

    try:
        return in_a_thread_of_its_own(wait)
    except OSError:
        return False
