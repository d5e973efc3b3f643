# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What sockets listen on this host: who would be in the way of a port. Reads /proc only."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

#: From the kernel's include/net/tcp_states.h: TCP_LISTEN; for UDP a bound socket without a peer is TCP_CLOSE.
_STATES = {"tcp": "0A", "tcp6": "0A", "udp": "07", "udp6": "07"}


def _address(field: str) -> str:
    """The address of /proc/net/*: 32-bit words in this machine's (little) byte order; only what is compared is told
    apart.
    """
    octets = b"".join(bytes.fromhex(field[i : i + 8])[::-1] for i in range(0, len(field), 8))
    if not any(octets):
        return ""
    if len(octets) == 4:
        return ".".join(map(str, octets))
    if octets[:12] == b"\0" * 10 + b"\xff\xff":
        return ".".join(map(str, octets[12:]))
    return ":".join("{:x}".format(int.from_bytes(octets[i : i + 2], "big")) for i in range(0, 16, 2))


def parse_sockets(text: str, state: str) -> set[tuple[str, int]]:
    """The local addresses and ports of the sockets in that state; an empty address listens on all of them."""
    found = set()
    for line in text.splitlines()[1:]:
        fields = line.split()
        # What is no socket is none.
        with suppress(IndexError, ValueError):
            address, _colon, port = fields[1].partition(":")
            if fields[3] == state:
                found.add((_address(address), int(port, 16)))
    return found


def listening_ports(root: Path = Path("/proc/net")) -> set[tuple[str, str, int]]:
    """(protocol, address, port) of all that listens on this host; without the protocols that this kernel does not
    have.
    """
    found: set[tuple[str, str, int]] = set()
    for name, state in _STATES.items():
        if (root / name).exists():
            found.update((name[:3], address, port) for address, port in parse_sockets((root / name).read_text(), state))
    return found
