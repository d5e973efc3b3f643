# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the engine would refuse, or could never bring about, said before anything is touched. Pure."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Mapping
from typing import Any

from ....engine.errors import InvalidOption, Refused
from ....engine.spec import Spec
from ....engine.units import format_cpuset
from .compare import network_of, to_pull, without_networks
from .model import Claim, Container, Seen
from .observe import addresses_of, claims_of
from .options import HOSTS_UTS, OPTIONS, ContainerOption


def check_surroundings(want: Spec, seen: Seen) -> None:
    """What a container speaks of is there, and the engine knows of it."""
    _check_version(want, seen)
    _check_networks(want, seen)
    _check_processors(want, seen)
    _check_runtime(want, seen)
    for option, name in _joined(want):
        if name == want.name or not seen.known(name):
            why = "is the container itself" if name == want.name else "does not exist"
            raise InvalidOption(option, name, why, remedy="Name another container, which is there")


def _check_version(want: Spec, seen: Seen) -> None:
    for option in OPTIONS:
        shown = option.kind.shown(want.values.get(option.name)) if option.newer else None
        for field in _fields(shown):
            since = option.newer.get(field, (0,))
            if seen.api < since:
                version, now = (".".join(map(str, each)) for each in (since, seen.api))
                raise Refused(
                    f"{option.name}: {field} needs an engine with API {version} or later, and this one has {now}",
                    remedy="Leave it out, or install a later Docker",
                )


def _fields(value: Any) -> Iterator[str]:
    """The fields of a value, or of its entries."""
    entries = [value] if isinstance(value, Mapping) else value or ()
    return (key for entry in entries if isinstance(entry, Mapping) for key in entry)


def _check_networks(want: Spec, seen: Seen) -> None:
    for name, record in (want.values.get("networks") or {}).items():
        if seen.networks is None:
            continue
        if name not in seen.networks:
            raise _no_network(name, seen)
        _check_addresses(name, record, seen)
    if want.values.get("networks") and without_networks(str(want.values.get("network_mode"))):
        raise InvalidOption(
            "network_mode",
            want.values["network_mode"],
            "cannot be combined with networks",
            remedy="Set either networks or network_mode",
        )


def _no_network(network: str, seen: Seen) -> InvalidOption:
    ids = {name: each.id for name, each in (seen.networks or {}).items()}
    name = next((name for name, key in ids.items() if len(network) >= 12 and key.startswith(network)), "")
    if name:
        # What a container is connected to is known by name.
        return InvalidOption(f"networks[{network}]", network, "is an id", remedy=f"Write the name, which is {name}")
    return InvalidOption(
        f"networks[{network}]", network, "does not exist", remedy="Make it with docker_network first, or name another"
    )


def _check_addresses(name: str, record: Mapping[str, Any], seen: Seen) -> None:
    network = (seen.networks or {})[name]
    for field, version in (("ipv4_address", 4), ("ipv6_address", 6)):
        if field not in record:
            continue
        where, address = f"networks[{name}].{field}", record[field]
        if network.predefined:
            why = "cannot be chosen in a network of the engine's own"
            raise InvalidOption(where, address, why, remedy="Make a network with docker_network, and name that")
        subnets = [subnet for subnet in network.subnets if ipaddress.ip_network(subnet).version == version]
        if network.managed and not any(ipaddress.ip_address(address) in ipaddress.ip_network(net) for net in subnets):
            why = "is not in the network, which has {}".format(", ".join(subnets) or f"no subnet of IPv{version}")
            raise InvalidOption(where, address, why, remedy="Write an address of its subnet, or leave it to the engine")
        if address in network.gateways:
            raise InvalidOption(where, address, "is the network's gateway", remedy="Choose another address")


def _check_processors(want: Spec, seen: Seen) -> None:
    cpus = want.values.get("cpus")
    if seen.processors and cpus and cpus > seen.processors:
        why = f"is more than the engine's host has, which is {seen.processors}"
        raise InvalidOption("cpus", cpus, why, remedy=f"Write {seen.processors} or less, or 0 for all")
    for option, there in (("cpuset_cpus", seen.online), ("cpuset_mems", seen.nodes)):
        missing = sorted(set(want.values.get(option) or ()) - set(there))
        if there and missing:
            has = format_cpuset(there)
            raise InvalidOption(
                option, format_cpuset(tuple(missing)), f"is not there, this host has {has}", remedy=f"Choose of {has}"
            )


def _check_runtime(want: Spec, seen: Seen) -> None:
    runtime = want.values.get("runtime")
    # A runtime of containerd needs no entry in the engine's list.
    if seen.runtimes and runtime and runtime not in seen.runtimes and not re.search("[./]", runtime):
        has = ", ".join(sorted(seen.runtimes))
        raise InvalidOption("runtime", runtime, "is not a runtime of this engine", remedy=f"It has: {has}")


def _joined(want: Spec) -> Iterator[tuple[str, str]]:
    """The containers whose namespaces it shall share, by the option that says so."""
    for option in OPTIONS:
        kind, _colon, name = str(want.values.get(option.name, "") if option.joins else "").partition(":")
        if kind == "container":
            yield option.name, name


def check_start(want: Spec, seen: Seen) -> None:
    """Nobody has what it needs to start, and what it joins runs."""
    for mine in claims_of(want.name, want.values.get("ports") or {}):
        other = next((claim for claim in seen.claims if claim.against(mine)), None)
        if other is not None:
            raise Refused(_in_the_way(mine, other), remedy="Choose another host port, or end what listens there")
    for network, address in addresses_of(want):
        holders = sorted(seen.addresses.get((network, address), frozenset()) - {want.name})
        if holders:
            raise Refused(
                f"networks[{network}]: the guest {holders[0]} has the address {address}",
                remedy="Choose another address, or disconnect that one",
            )
    for option, name in _joined(want):
        if seen.stopped(name):
            raise Refused(f"{option}: the container {name} does not run", remedy="Start it first")


def _in_the_way(mine: Claim, other: Claim) -> str:
    holder = f"the guest {other.holder}" if other.holder else "a program on this host"
    where = f" on {mine.address}" if mine.address else ""
    return f"ports: host port {mine.port}/{mine.protocol}{where} is in use by {holder}"


def check_body(want: Spec, body: Mapping[str, Any]) -> None:
    """Whether a new container can have all of this in its network mode."""
    host = body["HostConfig"]
    network = network_of(host.get("NetworkMode"))
    uts = HOSTS_UTS if host.get("UTSMode") == "host" else ""
    for mode, said in ((network.partition(":")[0], f"network_mode: {network}"), (uts, HOSTS_UTS)):
        found = [option.name for option in OPTIONS if mode in option.not_in and _said(body, option)]
        if found:
            raise Refused(
                "{} excludes {}".format(said, ", ".join(found)),
                remedy="Leave the one or the other out, and take away what the container has of it",
            )


def _said(body: Mapping[str, Any], option: ContainerOption) -> bool:
    section, key = option.place
    return bool((body if section == "Config" else body["HostConfig"]).get(key))


def check_waits(want: Spec, seen: Seen, have: Container | None, body: Mapping[str, Any] | None) -> None:
    """Whether there is a health check to wait for. ``body``: of the container that is to be made."""
    if not want.waits or want.wait_for != "healthy":
        return
    check = _check_of(want, seen, have, body)
    if check is not None and check[:1] in ([], ["NONE"]):
        raise InvalidOption(
            "wait_for",
            "healthy",
            "cannot come true, it has no health check",
            remedy="Give it a healthcheck, or wait_for=running",
        )


def _check_of(want: Spec, seen: Seen, have: Container | None, body: Mapping[str, Any] | None) -> list[str] | None:
    """The command of the container's health check, or its image's; None where that is not known yet."""
    config = have.data["Config"] if body is None and have is not None else body or {}
    own = (config.get("Healthcheck") or {}).get("Test")
    if own or body is None:
        return list(own or ())
    image = want.values.get("image")
    key = seen.images.find(image) if image else have.data["Image"] if have else ""
    if to_pull(want, seen) or key not in seen.configs:
        return None
    return list((seen.configs[key].get("Healthcheck") or {}).get("Test") or ())
