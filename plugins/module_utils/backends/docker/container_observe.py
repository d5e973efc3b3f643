# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is there: containers, and what a plan for them has to know of images, networks, ports and volumes. Reads only."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from ...engine.addresses import address_of
from ...engine.errors import BackendError, InvalidOption
from ...engine.result import Address, Guest
from ...engine.spec import Spec
from ...engine.units import format_cpus, format_size
from ...host.sockets import listening_ports
from .references import ImageIndex, Reference, parse_reference
from .registry import Login, remote_digest

if TYPE_CHECKING:
    # The discovery looks at containers without the SDK, which costs more to load than all the rest.
    from .client import Engine
    from .reader import Reader

#: The names of a container on its way to replace another, and of the replaced one, which remembers how it was.
NEW = ".kraal-new"
#: A volume that holds nothing: until a guest's storage is gone, its label names the rest, which no container names any more.
STORAGE = ".kraal-storage"
REMOVES = "kraal.virt.removes"
OLD = re.compile(r"(?P<name>.+)\.kraal-was-(?P<state>running|stopped|paused)")


@dataclass(frozen=True)
class Container:
    """One container as inspected, with the configuration of its image (empty where the image is gone)."""

    data: Mapping[str, Any]
    image: Mapping[str, Any]
    #: Its power state; for one that is being replaced, the state from before that.
    state: str
    #: What its image can be called now: the name under which it was made may mean another image meanwhile.
    image_name: str = ""

    @property
    def id(self) -> str:
        """The engine's own name for it."""
        return str(self.data["Id"])


@dataclass(frozen=True)
class Claim:
    """A port of the host that somebody has, or that a guest of this task wants. An empty address is all of them."""

    protocol: str
    address: str
    port: int
    holder: str

    def against(self, other: Claim) -> bool:
        """Whether both cannot be had at once."""
        same = (self.protocol, self.port) == (other.protocol, other.port)
        wild = ("", "0.0.0.0", "::")  # the two wildcards of the sockets API
        return same and self.holder != other.holder and (self.address in wild or other.address in wild or self.address == other.address)


@dataclass
class Seen:
    """One look at an engine."""

    containers: dict[str, Container] = field(default_factory=dict)
    images: ImageIndex = field(default_factory=lambda: ImageIndex(()))
    #: The configurations of images, by id.
    configs: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    #: What their registries say of images that may have to be pulled, by name: a digest, or why there is none.
    remote: dict[str, str | BackendError] = field(default_factory=dict)
    networks: frozenset[str] | None = None
    #: The ids of all containers, by name: others than those that are spoken of may be joined.
    ids: dict[str, str] = field(default_factory=dict)
    claims: list[Claim] = field(default_factory=list)
    #: The names of the containers that use a volume.
    volume_users: dict[str, set[str]] = field(default_factory=dict)
    #: The volumes that are still to go of guests whose removal has begun, by the guest's name.
    doomed: dict[str, list[str]] = field(default_factory=dict)

    def replaced(self, name: str) -> tuple[str, Container] | None:
        """The container that a re-creation of this name put aside and did not get to remove, with its name."""
        keys = ["%s.kraal-was-%s" % (name, state) for state in ("running", "stopped", "paused")]
        return next(((key, self.containers[key]) for key in keys if key in self.containers), None)


def state_of(data: Mapping[str, Any]) -> str:
    """The power state of an inspected container, in the words of all backends."""
    status = data["State"].get("Status")
    return {"running": "running", "restarting": "running", "paused": "paused"}.get(status, "stopped")


def name_of(summary: Mapping[str, Any]) -> str:
    """A listed container's own name; the others are links (/web/db)."""
    return next((name[1:] for name in summary.get("Names") or () if name.count("/") == 1), "")


def observe(engine: Engine | Reader, wants: Sequence[Spec] | None) -> Seen:
    """Look at the containers that are spoken of (None: all) and their surroundings, in a fixed few requests and one for each."""
    summaries = {name_of(summary): summary for summary in engine.get("/containers/json", all="1")}
    if wants is None:
        mine = set(summaries)
    else:
        names = {want.name for want in wants}
        mine = {name for name in summaries if name in names or owner_of(name) in names}
    inspected = engine.inspect_all("containers", [summaries[name]["Id"] for name in sorted(mine)])
    seen = Seen(ids={name: str(summary["Id"]) for name, summary in summaries.items()})
    living = [want for want in wants or () if want.state != "absent"]
    if living:
        seen.images = ImageIndex(engine.get("/images/json"))
    ids = {str(data["Image"]) for data in inspected.values()}
    ids.update(filter(None, (seen.images.find(want.values["image"]) for want in living if "image" in want.values)))
    if wants is not None:
        seen.configs = {key: found["Config"] or {} for key, found in engine.inspect_all("images", ids).items()}
    for data in inspected.values():
        name = str(data["Name"])[1:]
        match = OLD.fullmatch(name)
        state = match["state"] if match else state_of(data)
        seen.containers[name] = Container(data, seen.configs.get(data["Image"], {}), state, _image_name(data, seen.images))
    for name, summary in summaries.items():
        for mount in summary.get("Mounts") or ():
            if mount.get("Type") == "volume":
                seen.volume_users.setdefault(mount["Name"], set()).add(name)
    if wants is not None:
        seen.doomed = _doomed(engine, {want.name for want in wants})
    if any("networks" in want.values for want in living):
        seen.networks = frozenset(word for network in engine.get("/networks") for word in (network["Name"], network["Id"]))
    if any(want.state != "stopped" for want in living):
        leaving = {want.name for want in wants or () if want.state in ("absent", "stopped")}
        seen.claims = [claim for claim in _claims(engine, living, seen, summaries) if claim.holder not in leaving]
    for want in living:
        _ask_registry(engine, want, seen)
    return seen


def _doomed(engine: Engine | Reader, names: set[str]) -> dict[str, list[str]]:
    """What removals that died have left to do, for these guests; a volume that is gone by now is left out."""
    marks = engine.get("/volumes", filters=json.dumps({"label": [REMOVES]}))["Volumes"] or ()
    mine = {mark["Name"][: -len(STORAGE)]: mark for mark in marks if mark["Name"].endswith(STORAGE) and mark["Name"][: -len(STORAGE)] in names}
    if not mine:
        return {}
    there = {volume["Name"] for volume in engine.get("/volumes")["Volumes"] or ()}
    return {name: [volume for volume in json.loads(mark["Labels"][REMOVES]) if volume in there] for name, mark in mine.items()}


def _image_name(data: Mapping[str, Any], images: ImageIndex) -> str:
    name, key = str(data["Config"].get("Image") or ""), str(data["Image"])
    try:
        return name if images.find(parse_reference(name)) == key else key
    except InvalidOption:
        # Made by another tool, from the first few digits of an id.
        return key


def owner_of(name: str) -> str:
    """The guest that a container on its way belongs to, or nothing."""
    match = OLD.fullmatch(name)
    if match:
        return match["name"]
    return name[: -len(NEW)] if name.endswith(NEW) else ""


def _ask_registry(engine: Any, want: Spec, seen: Seen) -> None:
    """Ask only for what a pull could be needed for, and once for each image."""
    reference: Reference | None = want.values.get("image")
    policy = want.steering.get("pull")
    if reference is None or reference.id or policy == "never" or str(reference) in seen.remote:
        return
    if policy == "always" or not seen.images.find(reference):
        seen.remote[str(reference)] = remote_digest(engine, reference, Login.of(want.steering))


def _claims(engine: Engine | Reader, living: Sequence[Spec], seen: Seen, summaries: Mapping[str, Any]) -> Iterator[Claim]:
    """Every port that is held, or will be by a guest of this task."""
    published = set()
    mine = {want.name: want for want in living}
    for name, summary in summaries.items():
        for port in summary.get("Ports") or ():
            if not port.get("PublicPort"):
                continue
            published.add((port["Type"], port["PublicPort"]))
            owner = owner_of(name) or name
            if owner not in mine or "ports" not in mine[owner].values:
                yield Claim(port["Type"], port.get("IP") or "", port["PublicPort"], owner)
    for want in living:
        if want.state in ("running", "paused", "present"):
            yield from claims_of(want.name, want.values.get("ports") or {})
    if engine.local and any("ports" in want.values for want in living):
        for protocol, address, number in sorted(listening_ports()):
            # The engine listens itself for what its containers publish (docker-proxy).
            if (protocol, number) not in published:
                yield Claim(protocol, address, number, "")


def claims_of(name: str, ports: Mapping[str, Any]) -> Iterator[Claim]:
    """The host ports that published ports need; those of the engine's choice and ranges need none in particular."""
    for key, bindings in ports.items():
        protocol = key.partition("/")[2]
        for address, port in bindings:
            if port.isdigit():
                yield Claim(protocol, address, int(port), name)


def guest_of(container: Container, name: str = "") -> Guest:
    """The one result form."""
    data = container.data
    host, config = data["HostConfig"], data["Config"]
    addresses = []
    for network, end in sorted((data.get("NetworkSettings", {}).get("Networks") or {}).items()):
        for family, key in (("ipv4", "IPAddress"), ("ipv6", "GlobalIPv6Address")):
            # An engine has words for "none", too.
            if address_of(end.get(key)):
                addresses.append(Address(end[key], family, network, str(end.get("MacAddress") or "").lower()))
    nano = host.get("NanoCpus") or 0
    if not nano and (host.get("CpuQuota") or 0) > 0:
        nano = host["CpuQuota"] * 10**9 // (host.get("CpuPeriod") or 100000)
    return Guest(
        name=name or str(data["Name"])[1:],
        backend="docker",
        id=container.id,
        state=container.state,
        image=str(config.get("Image") or data["Image"]),
        cpus=format_cpus(Decimal(nano) / 10**9) if nano else None,
        memory=format_size(host["Memory"]) if host.get("Memory") else "",
        addresses=tuple(addresses),
        labels=dict(config.get("Labels") or {}),
        autostart=(host.get("RestartPolicy") or {}).get("Name") in ("always", "unless-stopped"),
    )
