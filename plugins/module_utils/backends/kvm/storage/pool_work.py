# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is done in a pool, by several threads and runs: libvirt does not look at a pool anew while a volume is being
made in it.

Whoever makes a volume shares the pool with others who do, and whoever looks at it anew has it alone. A volume of a
guest is in one hand at a time, from the look whether it is there until it is whole, or gone. Hands are taken in this
order: the volume, what it is made from, the pool.
"""

from __future__ import annotations

import os
from contextlib import AbstractContextManager, ExitStack
from typing import Any

from ....engine.lock import held
from ..client import Host
from ..xml import parse, size_of, text_of
from .volume_options import DEVICES


def _key(host: Host, pool: Any) -> str:
    # Its own name in every libvirt, whatever URI leads there.
    return f"kvm pool {host.ask(pool.UUIDString)}"


def volume_lock(path: str) -> AbstractContextManager[None]:
    """A volume, for who makes it or takes it away."""
    return held(f"kvm volume {path}")


def base_volume_lock(host: Host, pool: Any, name: str) -> AbstractContextManager[None]:
    """A volume of a pool that several guests are made from, for who brings it there."""
    return held(f"{_key(host, pool)} {name}")


def create(host: Host, pool: Any, text: str, source: Any = None) -> Any:
    """A new volume from its XML, with the content of another one where that is given."""
    present(host, pool, text_of(parse(text), "name") or "")
    pools = [pool] if source is None else [pool, host.ask(source.storagePoolLookupByVolume)]
    with ExitStack() as stack:
        for key in sorted({_key(host, each) for each in pools}):
            stack.enter_context(held(key, shared=True))
        return host.ask(pool.createXML, text, 0) if source is None else host.ask(pool.createXMLFrom, text, source, 0)


def there(host: Host, pool: Any, name: str) -> Any | None:
    """The volume of that name; None for one that is still listed though its file is gone. Only reads."""
    volume = host.find(pool.storageVolLookupByName, name)
    return None if volume is None or host.find(volume.XMLDesc, 0) is None else volume


def present(host: Host, pool: Any, name: str) -> Any | None:
    """The same. What was removed beside libvirt is in its list until it looks anew, and nothing of that name can be
    made.
    """
    volume = host.find(pool.storageVolLookupByName, name)
    if volume is None or host.find(volume.XMLDesc, 0) is not None:
        return volume
    refresh(host, pool)
    return host.find(pool.storageVolLookupByName, name)


def refresh(host: Host, pool: Any) -> None:
    """Let libvirt look at what is in a pool."""
    with held(_key(host, pool), looks=True):
        host.ask(pool.refresh, 0)


def volume_at(host: Host, path: str) -> Any | None:
    """The volume at a path, if an active pool has one there: what was made beside libvirt is new to it until it
    looks anew.
    """
    found = host.find(host.conn.storageVolLookupByPath, path)
    pool = host.find(host.conn.storagePoolLookupByTargetPath, os.path.dirname(path)) if found is None else None
    if pool is None or not host.ask(pool.isActive):
        return found
    refresh(host, pool)
    return host.find(host.conn.storageVolLookupByPath, path)


def is_device(host: Host, volume: Any) -> bool:
    """Whether a volume is a device, and no file."""
    return parse(host.ask(host.ask(volume.storagePoolLookupByVolume).XMLDesc, 0)).get("type") in DEVICES


def grown(host: Host, volume: Any, size: int) -> int:
    """Let a volume that is a device grow, unless it is large enough by now; its size from then on.

    Not every pool can do so. Whoever has made it larger beside libvirt runs again, so it is looked at first.
    """
    pool = host.ask(volume.storagePoolLookupByVolume)
    refresh(host, pool)
    volume = host.ask(pool.storageVolLookupByName, host.ask(volume.name))
    if _capacity(host, volume) < size:
        host.ask(volume.resize, size, 0)
    return _capacity(host, volume)


def _capacity(host: Host, volume: Any) -> int:
    return size_of(parse(host.ask(volume.XMLDesc, 0)).find("capacity")) or 0
