# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The backends by name: the one place that `fleet` and the discovery know them from.

Each is imported only when it is asked for; a backend whose library is missing costs nothing and breaks nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ..engine.reconcile import Guests
from ..engine.result import Guest
from ..engine.spec import Table


@dataclass(frozen=True)
class Backend:
    """What is needed to manage the guests of one backend."""

    table: Table
    #: The argument spec of the options that say how the backend is reached.
    connection: Mapping[str, Any]
    connect: Callable[[Mapping[str, Any]], Guests[Any]]


def _docker_guests(parameters: Mapping[str, Any]) -> list[Guest]:
    from .docker.container_observe import guest_of, observe, owner_of
    from .docker.reader import Reader

    reader = Reader(parameters)
    try:
        seen = observe(reader, None)
    finally:
        reader.close()
    return [guest_of(container) for name, container in sorted(seen.containers.items()) if not owner_of(name)]


def _docker() -> Backend:
    from .docker.client import CONNECTION, connect
    from .docker.container import Containers

    return Backend(Containers.table, CONNECTION, lambda parameters: Containers(connect(parameters)))


def _kvm_guests(parameters: Mapping[str, Any]) -> list[Guest]:
    from .kvm.client import connect
    from .kvm.vm import guest_now
    from .kvm.vm_addresses import SOURCES
    from .kvm.vm_observe import observe

    host = connect(parameters)
    try:
        seen = observe(host, None, parameters.get("address_sources") or SOURCES)
    finally:
        host.close()
    return [guest_now(have) for have in seen.domains.values() if have.making is None]


def _kvm() -> Backend:
    from .kvm.client import CONNECTION, connect
    from .kvm.vm import Vms

    return Backend(Vms.table, CONNECTION, lambda parameters: Vms(connect(parameters)))


def _lxc_guests(parameters: Mapping[str, Any]) -> list[Guest]:
    from .lxc.container_observe import all_guests

    return all_guests(parameters)


def _lxc() -> Backend:
    from .lxc.client import CONNECTION, Lxc
    from .lxc.container import Containers

    return Backend(Containers.table, CONNECTION, lambda parameters: Containers(Lxc(parameters)))


_LOADERS: dict[str, Callable[[], Backend]] = {"docker": _docker, "kvm": _kvm, "lxc": _lxc}

#: For the discovery. These need no Ansible and no library but Python's own, and the host's own binding of libvirt.
_FINDERS: dict[str, Callable[[Mapping[str, Any]], list[Guest]]] = {"docker": _docker_guests, "kvm": _kvm_guests, "lxc": _lxc_guests}

#: The names of all backends.
NAMES = tuple(_LOADERS)


def guests_of(name: str, parameters: Mapping[str, Any] | None = None) -> list[Guest]:
    """All guests of that backend, on this host or where the parameters say. Raises NotInstalled where it has none of it, and BackendError."""
    return _FINDERS[name](parameters or {})


def backend(name: str) -> Backend:
    """The backend of that name, which is one of NAMES."""
    return _LOADERS[name]()
