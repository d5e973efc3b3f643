# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""KVM, as the registry finds it. The discovery needs no library but the host's own binding of libvirt."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from ...engine.reading import Found
from ..registry import Backend


def guests(parameters: Mapping[str, Any]) -> Found:
    """See guests_of() of the registry. ``address_sources``: where addresses are looked for, in that order."""
    from .client import connect
    from .vm import guest_now
    from .vm_addresses import SOURCES
    from .vm_observe import known_of, observe

    host = connect(parameters)
    try:
        seen = observe(host, None, parameters.get("address_sources") or SOURCES)
    finally:
        host.close()
    found = Found(place=host.place)
    for have in seen.domains.values():
        if have.making is None:
            found.add(known_of(have), partial(guest_now, have))
    found.add_unread(seen.unread)
    return found


def managed() -> Backend:
    """See backend() of the registry."""
    from .client import CONNECTION, connect, place_of, uri_of
    from .vm import Vms

    return Backend(Vms.table, CONNECTION, lambda parameters: Vms(connect(parameters)), lambda parameters: place_of(uri_of(parameters)))
