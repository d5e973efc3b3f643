# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""All guests of KVM, for the discovery, which needs no library but the host's own binding of libvirt."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from ...engine.reading import Found
from ...engine.spec import ONLY_LOOKS
from .backend import SOURCES


def guests(parameters: Mapping[str, Any]) -> Found:
    """See Backend.guests(). ``address_sources``: where addresses are looked for, in that order."""
    from .client import connect
    from .vm.observe import known_of, observe
    from .vm.resource import guest_now

    host = connect({**parameters, ONLY_LOOKS: True})
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
