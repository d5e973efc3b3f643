# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The network and the storage pool that guests are put into, as parts of a host's setup.

What kvm_network and kvm_pool do, with what a host asks for.

Where libvirt does not answer yet, what it has written down tells what it will have once it runs.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

from ....engine.errors import BackendError, KraalError
from ....engine.plan import Step, permitted
from ....engine.reading import apart
from ....engine.spec import Spec, Table
from ....host.reader import Files
from ....host.setup import HOST
from ....host.subnets import There, dhcp_range, first_free, host_address, overlapping
from ..client import Host
from ..definition import Definition, Definitions, Seen
from ..network.fields import read_subnets
from ..storage.pool_options import POOLS_TABLE
from ..xml import attribute, parse
from .daemons import Libvirt

#: The first of them that is free: libvirt's own, unless the host is itself a guest of libvirt's, say.
ADDRESSES = ("192.168.122.1/24", "192.168.150.1/24", "192.168.222.1/24", "10.122.0.1/24", "172.30.122.1/24")
POOL_PATH = "/var/lib/libvirt/images"

#: Where libvirt's daemons write definitions, and the state of what is active.
WRITTEN = {
    "network": ("/etc/libvirt/qemu/networks", "/run/libvirt/network"),
    "pool": ("/etc/libvirt/storage", "/run/libvirt/storage"),
}


def written_down(files: Files, kind: str) -> Seen:
    """The networks or pools that libvirt will have when it is started.

    What starts with it, and what is active still, counts as active.
    """
    stored, running = WRITTEN[kind]
    seen = Seen()
    for file in files.names(stored):
        name, _dot, ending = file.rpartition(".")
        text = files.text(f"{stored}/{file}")
        if ending != "xml" or text is None:
            continue
        with apart(seen.faults, "kvm", name):
            config = parse(text)
            autostart = files.exists(f"{stored}/autostart/{file}")
            active = autostart or files.exists(f"{running}/{file}")
            seen.defined[name] = Definition("", config, config if active else None, True, autostart)
    return seen


@dataclass(frozen=True)
class Wish:
    """What a host asks for, as the arguments of kvm_network or kvm_pool, or what is in the way of it."""

    arguments: Mapping[str, Any] = field(default_factory=dict)
    faults: Sequence[str] = ()


def network_wish(name: str, address: str, seen: Seen, there: Sequence[There], answers: bool) -> Wish:
    """The network, started now and at boot.

    One that is there keeps its definition, unless it is to have this address and does not run. Pure.

    ``there``: the networks that this host is in. One for guests gets none of their addresses, and one that runs is
    never changed, since its guests would
    be cut off.
    """
    try:
        asked = host_address(address) if address else None
    except ValueError as error:
        return Wish(
            faults=[
                (
                    f"kvm_host_network_address: {address}: {error}. Give the host's own address and its prefix, such as"
                    " 192.168.150.1/24."
                )
            ]
        )
    have = seen.defined.get(name)
    bridge = attribute(have.config, "bridge", "name") if have else None
    # Where libvirt does not answer, a bridge of its own that is left over from an earlier day is no rival.
    rivals = [
        (link, network)
        for link, network in there
        if not (link == bridge if bridge else link.startswith("virbr") and not answers)
    ]
    chosen = asked or ipaddress.IPv4Interface(first_free(ADDRESSES, rivals) or ADDRESSES[0])
    active = have is not None and have.active and (answers or bridge in dict(there))
    has = (
        {}
        if have is None
        else {subnet: record for subnet, record in read_subnets(have.config).items() if ":" not in subnet}
    )
    # That of libvirt's package, which does not run where its addresses are in use, gets others unasked.
    unasked = not asked and has == _record(ipaddress.IPv4Interface(ADDRESSES[0])) and not active
    other = any(has.get(subnet) != record for subnet, record in _record(chosen).items())
    changes = have is None or bool((asked or unasked) and has and other)
    if have is not None and active and asked:
        pending = read_subnets(have.view().definition) != read_subnets(have.view(live=True).definition)
        if pending or changes:
            return Wish(faults=[_cut_off(name, address, has, pending)])
    subnet = chosen.network if changes else ipaddress.IPv4Network(next(iter(has))) if has else None
    taken = overlapping(subnet, rivals) if subnet and not active else []
    if taken:
        return Wish(faults=[_in_use(subnet, taken)])
    addresses = {"subnets": [str(chosen)], "dhcp_ranges": ["{}-{}".format(*dhcp_range(chosen))]} if changes else {}
    return Wish({"name": name, "state": "active", "autostart": True, "purge": ["dhcp_ranges"], **addresses})


def _in_use(subnet: ipaddress.IPv4Network | None, taken: Sequence[There]) -> str:
    """What to say of a subnet that this host is in by other ways."""
    return (
        "the network {} for guests is in use on this host: {}. Set kvm_host_network_address to one"
        " that is free, such as 192.168.150.1/24,"
        " or kvm_host_network to an empty string to have no network.".format(
            subnet, ", ".join("{} ({})".format(*each) for each in taken)
        )
    )


def _record(address: ipaddress.IPv4Interface) -> dict[str, Any]:
    return {str(address.network): {"address": str(address.ip)}}


def _cut_off(name: str, address: str, has: Mapping[str, Any], pending: bool) -> str:
    if pending:
        runs = "other addresses than its definition has"
    else:
        runs = "the address {}, not {}".format(
            ", ".join("{}/{}".format(record["address"], subnet.partition("/")[2]) for subnet, record in has.items()),
            address,
        )
    return (
        f"the network {name} runs with {runs}: to change that would cut its guests off. Stop them, end it (virsh"
        f" net-destroy {name}) and run the role again,"
        " or take kvm_host_network_address out."
    )


def pool_wish(name: str, path: str, seen: Seen) -> Wish:
    """The storage pool, started now and at boot: a directory, if it is a new one. Pure."""
    have = seen.defined.get(name)
    wish = {"name": name, "state": "active", "autostart": True}
    if have is None:
        return Wish({**wish, "type": "dir", "path": path or POOL_PATH})
    found = POOLS_TABLE["path"].read(have.view())
    if path and found != (path.rstrip("/") or "/"):
        return Wish(
            faults=[
                "the storage pool {} is in {}, not in {}. Name another kvm_host_pool, or take kvm_host_pool_path "
                "out.".format(name, found or "no directory", path)
            ]
        )
    return Wish(wish)


@dataclass(frozen=True)
class Planned:
    """What becomes of a wish: the resource's own steps."""

    seen: Seen
    want: Spec | None = None
    steps: Sequence[Step] = ()
    faults: Sequence[str] = ()


def planned(resource: Definitions, wish: Wish, seen: Seen) -> Planned:
    """The steps of kvm_network or kvm_pool. Pure."""
    if wish.faults:
        return Planned(seen, faults=wish.faults)
    table: Table = resource.table
    try:
        want = table.read({"disruption": "live", **wish.arguments})
        return Planned(seen, want, permitted(resource.plan(want, seen), want.allow))
    except KraalError as error:
        return Planned(seen, faults=[f"{table.kind}: {error}"])


@dataclass(frozen=True)
class Part:
    """The network or the pool. Where libvirt does not answer yet, the plan foretells what it will take."""

    kind: type[Definitions]
    libvirt: Libvirt
    name: str
    #: Gives what the host asks for, by what there is.
    wish: Callable[[Seen, bool], Wish]
    found: Planned
    foretold: bool

    def faults(self) -> Sequence[str]:
        """What is in the way."""
        return self.found.faults

    def plan(self) -> Sequence[Step]:
        """The resource's steps, as steps of this host."""
        return [self._shown(step) for step in self.found.steps]

    def _shown(self, step: Step) -> Step:
        thing = f"{self.kind.table.kind}[{self.name}]"
        return replace(step, guest=HOST, key=f"{thing}.{step.key}" if step.key else thing)

    def apply(self, step: Step) -> None:
        """Raises BackendError."""
        resource = self.kind(self.libvirt.host())
        if not self.foretold:
            self._perform(resource, self.found, [own for own in self.found.steps if self._shown(own) == step])
            return
        # Libvirt runs by now: with the first step everything is done that it takes, and there is nothing left for the
        # others.
        seen = resource.observe(None)
        found = planned(resource, self.wish(seen, True), seen)
        if found.faults:
            raise BackendError("\n".join(found.faults))
        self._perform(resource, found, found.steps)

    @staticmethod
    def _perform(resource: Definitions, found: Planned, steps: Sequence[Step]) -> None:
        for step in steps:
            resource.apply(cast(Spec, found.want), step, found.seen)


def part(
    kind: type[Definitions],
    libvirt: Libvirt,
    files: Files,
    name: str,
    answers: bool,
    wish: Callable[[Seen, bool], Wish],
) -> Part:
    """The part, from what libvirt says, or from what it has written down."""
    if answers:
        resource = kind(libvirt.host())
        seen = resource.observe(None)
    else:
        # What it plans asks nobody.
        resource, seen = kind(cast(Host, None)), written_down(files, kind.table.kind)
        asked = wish(seen, False)
        have = seen.defined.get(name)
        if have is not None and "subnets" in asked.arguments:
            # It will not come up with the addresses that it has.
            seen.defined[name] = replace(have, live=None)
    return Part(kind, libvirt, name, wish, planned(resource, wish(seen, answers), seen), not answers)
