# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The addresses of this host itself: a guest that says one of them is not reached there. Reads /proc only."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from ipaddress import IPv6Address
from pathlib import Path


def parse_trie(text: str) -> Iterator[str]:
    """IPv4's, from /proc/net/fib_trie: of a line with an address, the next one says whether it is the host's own."""
    address = ""
    for line in text.splitlines():
        words = line.split()
        if words[:1] == ["|--"]:
            address = words[-1]
        elif words == ["/32", "host", "LOCAL"]:
            yield address


def parse_inet6(text: str) -> Iterator[str]:
    """IPv6's, from /proc/net/if_inet6: 32 hexadecimal digits at the beginning of each line."""
    for line in text.splitlines():
        # What is no address is none.
        with suppress(IndexError, ValueError):
            yield str(IPv6Address(bytes.fromhex(line.split()[0])))


def own_addresses(root: Path = Path("/proc/net")) -> frozenset[str]:
    """All that this host has on any link; without a protocol that its kernel does not have."""
    found: set[str] = set()
    for name, parse in (("fib_trie", parse_trie), ("if_inet6", parse_inet6)):
        with suppress(FileNotFoundError):
            found.update(parse((root / name).read_text(encoding="ascii")))
    return frozenset(found)
