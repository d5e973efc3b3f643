# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""KVM, as the registry finds it. The discovery needs no library but the host's own binding of libvirt."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...engine.result import Guest
from ..registry import Backend


def guests(parameters: Mapping[str, Any]) -> list[Guest]:
    """See guests_of() of the registry. ``address_sources``: where addresses are looked for, in that order."""
    from .client import connect
    from .vm import guest_now
    from .vm_addresses import SOURCES
    from .vm_observe import observe

    host = connect(parameters)
    try:
        seen = observe(host, None, parameters.get("address_sources") or SOURCES)
    finally:
        host.close()
    return [guest_now(have) for have in seen.domains.values() if have.making is None]


def managed() -> Backend:
    """See backend() of the registry."""
    from .client import CONNECTION, connect
    from .vm import Vms

    return Backend(Vms.table, CONNECTION, lambda parameters: Vms(connect(parameters)))
