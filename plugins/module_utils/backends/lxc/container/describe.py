# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A container in the one result form. Pure."""

from __future__ import annotations

from ....engine.reading import as_mapping, as_text, as_texts
from ....engine.result import Address, Guest
from ....engine.units import format_cpus, format_size
from . import addresses
from .kinds import net_names
from .model import Container
from .options import option_keys


def known_of(container: Container) -> Guest:
    """What is known of a container whatever its configuration says."""
    labels = as_texts(container.note.get("labels"))
    return Guest(
        container.name,
        "lxc",
        f"{container.path}/{container.name}",
        container.state,
        container.raw_state,
        image_of(container),
        labels=labels,
    )


def guest_of(container: Container) -> Guest:
    """The one result form."""
    memory, cpus = container.limit("memory"), container.limit("cpus")
    return Guest(
        name=container.name,
        backend="lxc",
        id=f"{container.path}/{container.name}",
        state=container.state,
        raw_state=container.raw_state,
        image=image_of(container),
        cpus=format_cpus(cpus) if cpus else None,
        memory=format_size(memory) if memory else "",
        addresses=tuple(
            Address(each.address, each.family, _network(container, each.interface), each.mac)
            for each in _own_first(container)
        ),
        labels=as_texts(container.note.get("labels")),
        autostart=container.config.get("lxc.start.auto") == "1",
        pending_restart=pending_words(container),
    )


def pending_words(container: Container) -> tuple[str, ...]:
    """What waits for a restart, in the words of a task."""
    words = {option_keys(key, container.config) for key in container.pending}
    # A device more or less shows in their number too.
    return tuple(sorted(words - {"networks"} if any(word.startswith("networks[") for word in words) else words))


def _own_first(container: Container) -> list[addresses.Found]:
    """The addresses of the devices that the configuration gives the guest, in its order, before those of what the guest
    has made: bridges, tunnels.

    A bridge in the guest that has one of them as its port has its MAC, too.
    """
    config = container.config
    names = net_names(config)
    places = {name: place for place, name in enumerate(names)}
    macs = {config.get("lxc.net.%d.hwaddr" % number).lower(): places[name] for name, number in names.items()}
    macs.update({each.mac: places[each.interface] for each in container.addresses if each.interface in places})
    return sorted(
        container.addresses,
        key=lambda each: (places.get(each.interface, macs.get(each.mac or "-", len(places))), each.family),
    )


def _network(container: Container, interface: str) -> str:
    """What a device is connected to on the host; its own name where that is not written down."""
    number = net_names(container.config).get(interface)
    return (container.config.get("lxc.net.%d.link" % number) if number is not None else "") or interface


def image_of(container: Container) -> str:
    """What it was made from, as far as it was written down."""
    return as_text(as_mapping(container.note.get("image")).get("path")) or as_text(container.note.get("made_from"))
