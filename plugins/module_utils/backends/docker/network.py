# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Networks as a resource.

The engine cannot change one: a change is a re-creation, and a network in use is not torn down.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ...engine.action import Action, Disruption
from ...engine.compare import Difference, before_after, differences, written
from ...engine.errors import BackendError, InvalidOption, Refused
from ...engine.kinds import Flag, Foreign, Text, Texts, as_read
from ...engine.network_kinds import Subnets, family_of
from ...engine.plan import Step
from ...engine.reading import as_list, as_mapping, as_text, listed
from ...engine.resource import Resource
from ...engine.spec import Option, Spec, Table, name_check
from .client import Engine
from .container.observe import drivers_of, summaries_of

RECREATE = Disruption.RECREATE
PREDEFINED = ("bridge", "host", "none")
_REMEDY = "Write a subnet like 172.30.0.0/24, or a mapping with subnet, gateway, ip_range and aux_addresses"
#: The fields of a subnet, and what the engine calls them.
_KEYS = {"gateway": "Gateway", "ip_range": "IPRange", "aux_addresses": "AuxiliaryAddresses"}


def _read_subnet(entry: Any, option: str) -> Iterable[tuple[str, Any]]:
    fields: Any = {"subnet": entry} if isinstance(entry, str) else entry
    if (
        not isinstance(fields, Mapping)
        or set(fields) - {"subnet", *_KEYS}
        or not isinstance(fields.get("aux_addresses") or {}, Mapping)
    ):
        raise InvalidOption(option, entry, "is not a subnet", remedy=_REMEDY)
    try:
        for key in {"subnet", "ip_range"} & set(fields):
            if fields[key] and "/" not in str(fields[key]):
                raise ValueError(f"{fields[key]} has no prefix length")
        subnet = ipaddress.ip_network(str(fields.get("subnet")))
        record: dict[str, Any] = {}
        if fields.get("gateway"):
            record["gateway"] = str(ipaddress.ip_address(str(fields["gateway"])))
        if fields.get("ip_range"):
            record["ip_range"] = str(ipaddress.ip_network(str(fields["ip_range"])))
        if fields.get("aux_addresses"):
            record["aux_addresses"] = {
                str(name): str(ipaddress.ip_address(str(text))) for name, text in fields["aux_addresses"].items()
            }
    except ValueError as error:
        raise InvalidOption(option, entry, f"is not a subnet ({error})", remedy=_REMEDY) from error
    inside = [
        record.get("gateway"),
        (record.get("ip_range") or "").partition("/")[0],
        *record.get("aux_addresses", {}).values(),
    ]
    for address in filter(None, inside):
        if ipaddress.ip_address(address) not in subnet:
            raise InvalidOption(option, entry, f"does not contain {address}", remedy=_REMEDY)
    yield str(subnet), record


def read_subnets(network: Mapping[str, Any]) -> dict[str, Any]:
    """The subnets of an inspected network."""
    found = {}
    for config in map(as_mapping, as_list(as_mapping(network.get("IPAM")).get("Config"))):
        record = {name: config[key] for name, key in _KEYS.items() if config.get(key)}
        if "gateway" in record:
            # The engine writes the gateway of an IPv6 subnet with a prefix length.
            record["gateway"] = as_read(
                lambda text: str(ipaddress.ip_address(text)), as_text(record["gateway"]).partition("/")[0]
            )
        if as_text(config.get("Subnet")):
            # The engine keeps the address that a subnet was written with (10.1.2.3/24), and drivers of others keep what
            # they like.
            found[as_read(lambda text: str(ipaddress.ip_network(text, strict=False)), config["Subnet"])] = record
    return found


#: The engine adds one for IPv4 by itself, so an empty list says nothing.
SUBNETS = Subnets(_read_subnet, lambda subnet, record: {"subnet": subnet, **record})

DRIVER = Text(pattern=r"[a-z0-9][a-z0-9_./:-]*", remedy="Write bridge, macvlan, ipvlan or another driver's name")

NETWORK_OPTIONS: tuple[Option, ...] = (
    Option("driver", DRIVER, lambda data: data["Driver"], RECREATE),
    Option("subnets", SUBNETS, read_subnets, RECREATE),
    Option("ipam_driver", DRIVER, lambda data: (data.get("IPAM") or {}).get("Driver") or "default", RECREATE),
    Option("ipam_options", Texts(guarded=True), lambda data: (data.get("IPAM") or {}).get("Options") or {}, RECREATE),
    Option("internal", Flag(), lambda data: bool(data.get("Internal")), RECREATE),
    Option("attachable", Flag(), lambda data: bool(data.get("Attachable")), RECREATE),
    Option("enable_ipv6", Flag(), lambda data: bool(data.get("EnableIPv6")), RECREATE),
    Option("options", Texts(guarded=True), lambda data: data.get("Options") or {}, RECREATE),
    Option("labels", Texts(), lambda data: data.get("Labels") or {}, RECREATE),
)


_check_pattern = name_check(
    r"[a-zA-Z0-9][a-zA-Z0-9_.-]*", "a network", "Use letters, digits, dots, dashes and underscores"
)


def _check_name(name: str) -> None:
    _check_pattern(name)
    if name in PREDEFINED:
        raise InvalidOption("name", name, "is one of the engine's own networks", remedy="Choose another name")


NETWORKS_TABLE = Table(
    backend="docker",
    kind="network",
    options=NETWORK_OPTIONS,
    states=("present", "absent"),
    state="present",
    allow=Disruption.LIVE,
    steering={"force": {"type": "bool", "default": False}},
    check_name=_check_name,
)


@dataclass
class Seen:
    """The networks by name, and which containers, running or not, are connected to them."""

    networks: dict[str, list[Mapping[str, Any]]] = field(default_factory=dict)
    users: dict[str, list[str]] = field(default_factory=dict)
    #: The network drivers that the engine has; None where nobody asks for one.
    drivers: list[str] | None = None


class Networks(Resource[Seen]):
    """All networks of one engine."""

    table = NETWORKS_TABLE

    def __init__(self, engine: Engine) -> None:
        self.engine, self.place = engine, engine.place

    def observe(self, wants: Sequence[Spec] | None) -> Seen:
        """Two lists: networks, and containers."""
        seen = Seen()
        for network in map(as_mapping, listed(self.engine.get("/networks"), "networks")):
            seen.networks.setdefault(as_text(network.get("Name")), []).append(network)
        for summary in summaries_of(self.engine):
            for name in summary.networks:
                seen.users.setdefault(name, []).append(summary.name)
        if any("driver" in want.values for want in wants or ()):
            seen.drivers = drivers_of(self.engine, "Network")
        return seen

    def plan(self, want: Spec, seen: Seen) -> list[Step]:
        """Pure."""
        found = seen.networks.get(want.name, [])
        if len(found) > 1:
            raise Refused(
                "there are %d networks of this name" % len(found),
                remedy="Remove all but one by their ids (docker network rm ID)",
            )
        have = found[0] if found else None
        if want.state == "absent":
            return self._removal(want, have, sorted(seen.users.get(want.name, [])))
        _check(want, seen, have)
        if have is None:
            return [Step(want.name, Action.CREATE, "", None, self.table.shown(want), changes=written(self.table, want))]
        changes = differences(self.table, want, have)
        if not changes:
            return []
        users = sorted(seen.users.get(want.name, []))
        if users and want.allow >= RECREATE:
            raise Refused(
                "{} can only change in a network that nothing is connected to; these containers are: {}".format(
                    ", ".join(each.option.name for each in changes), ", ".join(users)
                ),
                remedy="Disconnect or remove them first, or make a second network and move them",
            )
        before, after = before_after(changes)
        return [Step(want.name, Action.RECREATE, "", before, after, RECREATE, changes=tuple(changes))]

    def _removal(self, want: Spec, have: Mapping[str, Any] | None, users: list[str]) -> list[Step]:
        if have is None:
            return []
        if users and not want.steering.get("force"):
            raise Refused(
                "it is in use by: {}".format(", ".join(users)),
                remedy="Disconnect or remove these containers first, or set force=true to disconnect them",
            )
        steps = [Step(want.name, Action.DETACH, f"containers[{user}]", user, None, Disruption.LIVE) for user in users]
        return [*steps, Step(want.name, Action.REMOVE, "", {"driver": have.get("Driver")}, None, Disruption.DESTROY)]

    def do_detach(self, want: Spec, step: Step, _seen: Seen) -> None:
        """Disconnect a container, whether it runs or not."""
        self.engine.post(f"/networks/{want.name}/disconnect", {"Container": step.before, "Force": True})

    def do_remove(self, want: Spec, _step: Step, _seen: Seen) -> None:
        """Remove it; nothing is connected to it any more."""
        self.engine.delete(f"/networks/{want.name}")

    def do_create(self, want: Spec, step: Step, _seen: Seen) -> None:
        """Make it."""
        self.engine.post("/networks/create", _body(want.name, step.changes, {}))

    def do_recreate(self, want: Spec, step: Step, seen: Seen) -> None:
        """The engine keeps no two networks with one subnet, so the old one goes first; if the new one cannot be
        made, it comes back.
        """
        have = seen.networks[want.name][0]
        self.engine.delete("/networks/{}".format(have["Id"]))
        try:
            self.engine.post("/networks/create", _body(want.name, step.changes, have))
        except BackendError as error:
            self.engine.post("/networks/create", _body(want.name, (), have))
            error.add("the old network was put back")
            raise

    def describe(self, name: str, seen: Seen) -> Mapping[str, Any] | None:
        """The network as it was seen."""
        found = seen.networks.get(name)
        if not found:
            return None
        have = found[0]
        return {
            "name": name,
            "backend": "docker",
            "id": have["Id"],
            "driver": have["Driver"],
            "subnets": SUBNETS.show(read_subnets(have)),
            "internal": bool(have.get("Internal")),
            "attachable": bool(have.get("Attachable")),
            "enable_ipv6": bool(have.get("EnableIPv6")),
            "options": NETWORKS_TABLE["options"].kind.show(have.get("Options") or {}),
            "labels": dict(have.get("Labels") or {}),
            "containers": sorted(seen.users.get(name, [])),
        }

    def ahead(self, want: Spec, steps: Sequence[Step], seen: Seen) -> Seen:
        """With the network as it will be; the engine gives it an id when it is made."""
        have = (seen.networks.get(want.name) or [{}])[0]
        body = _body(want.name, steps[-1].changes, have)
        return Seen({want.name: [{**body, "Id": have.get("Id", "")}]}, seen.users)


def _check(want: Spec, seen: Seen, have: Mapping[str, Any] | None) -> None:
    """Raises InvalidOption for what the engine would refuse, before anything is touched."""
    driver = want.values.get("driver")
    if seen.drivers is not None and driver not in (None, *seen.drivers):
        raise InvalidOption(
            "driver", driver, "is no network driver of this engine", remedy="It has: {}".format(", ".join(seen.drivers))
        )
    six = [subnet for subnet in want.values.get("subnets") or {} if family_of(subnet) == 6]
    if six and not want.values.get("enable_ipv6", bool(have and have.get("EnableIPv6"))):
        raise InvalidOption("subnets", six[0], "needs IPv6", remedy="Set enable_ipv6=true")
    for other in (network for name, found in seen.networks.items() for network in found if name != want.name):
        for taken in read_subnets(other):
            for subnet in () if isinstance(taken, Foreign) else want.values.get("subnets") or {}:
                if ipaddress.ip_network(subnet).overlaps(ipaddress.ip_network(taken)):
                    raise InvalidOption(
                        "subnets",
                        subnet,
                        "overlaps with {} of the network {}".format(taken, other["Name"]),
                        remedy="Choose a subnet that is free",
                    )


def _body(name: str, changes: Iterable[Difference], have: Mapping[str, Any]) -> dict[str, Any]:
    """The body of a creation: what changes over what was there."""
    values: dict[str, Any] = (
        {option.name: option.read(have) for option in NETWORK_OPTIONS} if have else {"driver": "bridge"}
    )
    values.update((change.option.name, change.value) for change in changes)
    config = [
        {"Subnet": subnet, **{_KEYS[name]: value for name, value in record.items()}}
        for subnet, record in (values.get("subnets") or {}).items()
    ]
    return {
        "Name": name,
        "CheckDuplicate": True,
        "Driver": values["driver"],
        "Internal": values.get("internal", False),
        "Attachable": values.get("attachable", False),
        "EnableIPv6": values.get("enable_ipv6", False),
        "Options": values.get("options") or {},
        "Labels": values.get("labels") or {},
        "IPAM": {
            "Driver": values.get("ipam_driver") or "default",
            "Options": values.get("ipam_options") or {},
            "Config": config,
        },
    }
