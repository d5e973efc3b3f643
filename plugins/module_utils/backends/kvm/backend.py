# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""KVM, as the rest of the collection knows it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from ..backend import DISK, Backend

#: Where the addresses of domains can be looked for.
SOURCES = ("lease", "agent", "arp")
ADDRESS_SOURCES: dict[str, Any] = {
    "type": "list",
    "elements": "str",
    "choices": list(SOURCES),
    "default": list(SOURCES),
}


def _is_id(text: str, _name: str) -> bool:
    try:
        return str(UUID(text)) == text
    except ValueError:
        return False


def _reach(guest: Mapping[str, Any]) -> dict[str, str]:
    return {"ansible_guest_libvirt_uri": guest["place"]} if guest["place"] else {}


BACKEND = Backend(
    name="kvm",
    machines=True,
    daemon="libvirt",
    address="uri",
    is_id=_is_id,
    reach=_reach,
    discovery={"address_sources": ADDRESS_SOURCES},
    removal=("force_stop", "remove_storage", "stop_timeout", "timeout"),
    made_of=(DISK,),
)
