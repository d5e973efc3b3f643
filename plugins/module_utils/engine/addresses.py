# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which addresses lead to a guest. Pure."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

#: "This network" of RFC 1122: its first address is the unspecified one, and the rest is nobody's.
_THIS_NETWORK = ip_network("0.0.0.0/8")


def address_of(text: object) -> IPv4Address | IPv6Address | None:
    """The address that a text is, an IPv4 one that was written as IPv6 (``::ffff:192.0.2.1``) as IPv4; None where it is
    none.

    One with a zone (``fe80::1%eth0``) is none: the zone is a name of the machine that says it, and may be any text.
    """
    if not isinstance(text, str) or "%" in text:
        return None
    try:
        found = ip_address(text)
    except ValueError:
        return None
    mapped = found.ipv4_mapped if isinstance(found, IPv6Address) else None
    return mapped or found


def reachable(text: object) -> IPv4Address | IPv6Address | None:
    """The same for an address under which another machine can be reached.

    Not loopback, unspecified, multicast, link-local or reserved: a guest that says such a one would send the caller to
    itself, to many or to nobody.
    """
    found = address_of(text)
    if (
        found is None
        or found.is_loopback
        or found.is_unspecified
        or found.is_multicast
        or found.is_link_local
        or found.is_reserved
    ):
        return None
    return None if isinstance(found, IPv4Address) and found in _THIS_NETWORK else found
