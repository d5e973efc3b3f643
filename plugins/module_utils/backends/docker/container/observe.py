# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is there: containers, and what a plan for them has to know of images, networks, ports and volumes.

Reads only.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_network
from typing import TYPE_CHECKING, Any

from ....engine.action import PowerState
from ....engine.addresses import address_of
from ....engine.errors import BackendError, InvalidOption
from ....engine.kinds import Foreign, as_read
from ....engine.reading import Unread, as_list, as_mapping, as_number, as_text, as_texts, as_word, each_apart, listed
from ....engine.result import Address, Guest
from ....engine.spec import Spec
from ....engine.units import format_cpus, format_size, parse_cpuset
from ....host.sockets import listening_ports
from ..image.references import ImageIndex, Reference, parse_reference
from ..image.registry import Login, remote_digest
from ..other_store import other_store
from .aside import as_before, owner_of, state_aside
from .kinds import read_cpus
from .model import Claim, Container, Network, Seen

if TYPE_CHECKING:
    # The discovery looks at containers without the SDK, which costs more to load than all the rest.
    from ..client import Engine
    from ..reader import Reader

#: A volume that holds nothing: until a guest's storage is gone, its label names the rest, which no container names any
#: more.
STORAGE = ".kraal-storage"
REMOVES = "kraal.virt.removes"
#: The engine's words for them.
_STATES = {
    **dict.fromkeys(("running", "restarting"), PowerState.RUNNING),
    "paused": PowerState.PAUSED,
    # A dead one is what a removal left that failed; a task removes it or makes it anew like any other that does not
    # run.
    **dict.fromkeys(("created", "removing", "exited", "dead"), PowerState.STOPPED),
}


def state_of(data: Mapping[str, Any]) -> PowerState:
    """The power state of an inspected container, in the words of all backends."""
    state = data["State"]
    # A word of a later engine's says at least whether it runs.
    return _STATES.get(state["Status"]) or (PowerState.RUNNING if state.get("Running") is True else PowerState.STOPPED)


@dataclass(frozen=True)
class Summary:
    """A container as the engine lists it."""

    name: str
    id: str
    state: str
    image: str
    image_id: str
    labels: Mapping[str, str]
    #: Protocol, address and number of its ports on the host.
    ports: tuple[tuple[str, str, int], ...]
    mounts: tuple[Mapping[str, Any], ...]
    #: The addresses that it has in its networks now.
    networks: Mapping[str, tuple[str, ...]]

    @property
    def volumes(self) -> list[str]:
        """The names of its volumes."""
        return [as_text(mount.get("Name")) for mount in self.mounts if mount.get("Type") == "volume"]

    @property
    def container(self) -> Container:
        """What is known of it without asking for more."""
        data = {
            "Id": self.id,
            "Name": "/" + self.name,
            "Image": self.image_id,
            "State": {"Status": self.state},
            "Config": {"Image": self.image, "Labels": self.labels},
            "HostConfig": {},
            "Mounts": list(self.mounts),
        }
        return Container(data, {}, state_aside(self.name) or state_of(data), self.image_id)


def summaries_of(engine: Engine | Reader) -> list[Summary]:
    """All containers that have a name; one that is on its way out may have none."""
    return [
        each
        for each in map(_summary, listed(engine.get("/containers/json", all="1"), "containers"))
        if each.name and each.id
    ]


def _summary(listed: Any) -> Summary:
    """Of what is listed, what is as it should be."""
    data = as_mapping(listed)
    ports = [
        (as_text(port.get("Type")), as_text(port.get("IP")), as_number(port.get("PublicPort")))
        for port in map(as_mapping, as_list(data.get("Ports")))
    ]
    return Summary(
        # The other names are links (/web/db).
        name=next((name[1:] for name in map(as_text, as_list(data.get("Names"))) if name.count("/") == 1), ""),
        id=as_word(data.get("Id")),
        state=as_text(data.get("State")),
        image=as_text(data.get("Image")),
        image_id=as_text(data.get("ImageID")),
        labels=as_texts(data.get("Labels")),
        ports=tuple(port for port in ports if port[0] and port[2]),
        mounts=tuple(
            mount for mount in map(as_mapping, as_list(data.get("Mounts"))) if as_text(mount.get("Destination"))
        ),
        networks={
            str(name): tuple(filter(None, (as_text(as_mapping(end).get(key)) for key in _ADDRESSES)))
            for name, end in as_mapping(as_mapping(data.get("NetworkSettings")).get("Networks")).items()
        },
    )


#: Where the engine shows the addresses of a container in a network.
_ADDRESSES = ("IPAddress", "GlobalIPv6Address")


def observe(engine: Engine | Reader, wants: Sequence[Spec] | None) -> Seen:
    """Look at the containers that are spoken of (None: all) and their surroundings, in a fixed few requests and one
    for each.
    """
    answer = listed(engine.get("/containers/json", all="1"), "containers")
    summaries = {each.name: each for each in map(_summary, answer) if each.name and each.id}
    if wants is None:
        mine = set(summaries)
    else:
        names = {want.name for want in wants}
        mine = {name for name in summaries if name in names or owner_of(name) in names}
    inspected = engine.inspect_all("containers", [summaries[name].id for name in sorted(mine)])
    living = [want for want in wants or () if want.state != "absent"]
    seen = Seen(
        ids={name: summary.id for name, summary in summaries.items()},
        nameless=len(answer) - len(summaries),
        at_rest=frozenset(name for name, summary in summaries.items() if summary.container.state == "stopped"),
        living=frozenset(want.name for want in living),
    )
    if living:
        seen.images = ImageIndex(listed(engine.get("/images/json"), "images"))
    if engine.local and any(want.name not in summaries for want in living):
        seen.other = other_store(as_mapping(engine.get("/info")), {each.id for each in summaries.values()})
    ids = {as_word(as_mapping(data).get("Image")) for data in inspected.values()}
    ids.update(seen.images.find(want.values["image"]) for want in living if "image" in want.values)
    for key, image in engine.inspect_all("images", filter(None, ids)).items():
        if not isinstance(image, BackendError):
            seen.configs[key] = as_mapping(as_mapping(image).get("Config"))
        elif wants is not None:
            seen.faults[key] = image
    for name in sorted(mine):
        if summaries[name].id in inspected:
            _look(seen, summaries[name], inspected[summaries[name].id])
    for name, summary in summaries.items():
        for volume in summary.volumes:
            seen.volume_users.setdefault(volume, set()).add(name)
    if wants is not None:
        seen.volumes_to_remove = _volumes_to_remove(engine, {want.name for want in wants})
    if living:
        _look_around(engine, living, seen, summaries)
    if any(want.state != "stopped" for want in living):
        leaving = {want.name for want in wants or () if want.state in ("absent", "stopped")}
        seen.claims = [claim for claim in _claims(engine, living, seen, summaries) if claim.holder not in leaving]
    for want in living:
        _ask_registry(engine, want, seen)
    return seen


def _look_around(engine: Any, living: Sequence[Spec], seen: Seen, summaries: Mapping[str, Summary]) -> None:
    """The networks, and what the engine and its host can do, as far as it is asked for."""
    asked = {name for want in living for name in want.values}
    seen.api = engine.api
    if "networks" in asked:
        networks = map(as_mapping, listed(engine.get("/networks"), "networks"))
        seen.networks = {as_text(network.get("Name")): _network(network) for network in networks}
        seen.addresses = _addresses(living, summaries)
    if asked & {"cpus", "runtime"}:
        info = as_mapping(engine.get("/info"))
        seen.processors = as_number(info.get("NCPU"))
        seen.runtimes = frozenset(map(str, as_mapping(info.get("Runtimes"))))
    if engine.local and asked & {"cpuset_cpus", "cpuset_mems"}:
        seen.online, seen.nodes = _online("cpu"), _online("node")


def _online(kind: str) -> tuple[int, ...]:
    """The processors (cpu) or memory nodes (node) of this host that are at work; none where the kernel does not say."""
    try:
        with open(f"/sys/devices/system/{kind}/online", encoding="ascii") as file:
            return parse_cpuset(file.read().strip(), kind)
    except (OSError, InvalidOption):
        return ()


def _network(data: Mapping[str, Any]) -> Network:
    """A network as the engine lists it."""
    ipam = as_mapping(data.get("IPAM"))
    pools = list(map(as_mapping, as_list(ipam.get("Config"))))
    subnets = [as_read(lambda text: str(ip_network(text, strict=False)), as_text(pool.get("Subnet"))) for pool in pools]
    return Network(
        as_text(data.get("Id")),
        tuple(subnet for subnet in subnets if not isinstance(subnet, Foreign)),
        tuple(as_text(pool.get("Gateway")).partition("/")[0] for pool in pools if pool.get("Gateway")),
        as_text(data.get("Name")) in ("bridge", "host", "none"),
        as_text(ipam.get("Driver")) == "default",
    )


def _addresses(living: Sequence[Spec], summaries: Mapping[str, Summary]) -> dict[tuple[str, str], frozenset[str]]:
    """Who has which address, or will have it: of a guest of this task that names its networks, what it asks for."""
    found: dict[tuple[str, str], frozenset[str]] = {}
    asking = {want.name: want for want in living if "networks" in want.values}
    has = [
        (owner_of(name) or name, network, address)
        for name, summary in summaries.items()
        for network, addresses in summary.networks.items()
        for address in addresses
        if (owner_of(name) or name) not in asking
    ]
    wanted = [(name, *each) for name, want in asking.items() if want.state != "stopped" for each in addresses_of(want)]
    for holder, network, address in [*has, *wanted]:
        found[network, address] = found.get((network, address), frozenset()) | {holder}
    return found


def addresses_of(want: Spec) -> list[tuple[str, str]]:
    """The addresses that a guest asks for, each with its network."""
    return [
        (name, record[field])
        for name, record in (want.values.get("networks") or {}).items()
        for field in ("ipv4_address", "ipv6_address")
        if field in record
    ]


def _look(seen: Seen, summary: Summary, data: Any) -> None:
    """One container as it was inspected.

    Whatever of it is not as it should be, the list knows what it is called, whether it runs, and its labels.
    """
    there = summary.container
    unread: dict[str, Unread] = {}
    with each_apart(unread, known_of(summary.name, there)):
        if isinstance(data, BackendError):
            raise data
        name = str(data["Name"])[1:]
        if not as_word(name):
            raise ValueError(f"{name!r} is not a valid name")
        if data["Image"] in seen.faults:
            raise seen.faults[data["Image"]]
        state = state_aside(name) or state_of(data)
        found = Container(
            as_before(name, data), seen.configs.get(data["Image"], {}), state, _image_name(data, seen.images)
        )
        guest_of(found)
        seen.containers[name] = found
    for name, each in unread.items():
        seen.unread[name] = each
        seen.containers[name] = there


def _volumes_to_remove(engine: Engine | Reader, names: set[str]) -> dict[str, list[str]]:
    """What removals that died have left to do, for these guests; a volume that is gone by now is left out."""
    marks = volumes_of(engine, filters=json.dumps({"label": [REMOVES]}))
    mine = {
        name[: -len(STORAGE)]: mark
        for name, mark in marks.items()
        if name.endswith(STORAGE) and name[: -len(STORAGE)] in names
    }
    if not mine:
        return {}
    there = volumes_of(engine)
    return {
        name: [volume for volume in _named(as_texts(mark.get("Labels")).get(REMOVES, "")) if volume in there]
        for name, mark in mine.items()
    }


def volumes_of(engine: Engine | Reader, **filters: str) -> dict[str, Mapping[str, Any]]:
    """All volumes by name."""
    answer = engine.get("/volumes", **filters)
    found = listed(answer.get("Volumes") if isinstance(answer, Mapping) else answer, "volumes")
    return {as_text(each.get("Name")): each for each in map(as_mapping, found) if as_text(each.get("Name"))}


def drivers_of(engine: Engine | Reader, kind: str) -> list[str] | None:
    """The engine's drivers of that kind, Network or Volume; None where it does not tell."""
    found = as_mapping(as_mapping(engine.get("/info")).get("Plugins")).get(kind)
    return [name for name in found if isinstance(name, str)] if isinstance(found, list) else None


def _named(text: str) -> list[str]:
    """The volumes that a mark names. A label of that name that is none of ours names none."""
    try:
        return list(map(as_text, as_list(json.loads(text))))
    except ValueError:
        return []


def _image_name(data: Mapping[str, Any], images: ImageIndex) -> str:
    name, key = str(data["Config"].get("Image") or ""), str(data["Image"])
    reference = as_read(parse_reference, name)
    # Another tool may have made it from the first few digits of an id.
    return name if isinstance(reference, Reference) and not reference.digits and images.find(reference) == key else key


def _ask_registry(engine: Any, want: Spec, seen: Seen) -> None:
    """Ask only for what a pull could be needed for, and once for each image."""
    reference: Reference | None = want.values.get("image")
    policy = want.steering.get("pull")
    if reference is None or seen.images.by_id(reference) or policy == "never" or str(reference) in seen.remote:
        return
    if policy == "always" or not seen.images.find(reference):
        seen.remote[str(reference)] = remote_digest(engine, reference, Login.of(want.steering))


def _claims(
    engine: Engine | Reader, living: Sequence[Spec], seen: Seen, summaries: Mapping[str, Summary]
) -> Iterator[Claim]:
    """Every port that is held, or will be by a guest of this task."""
    published = set()
    mine = {want.name: want for want in living}
    for name, summary in summaries.items():
        for protocol, address, number in summary.ports:
            published.add((protocol, number))
            owner = owner_of(name) or name
            if owner not in mine or "ports" not in mine[owner].values:
                yield Claim(protocol, address, number, owner)
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


def own_labels(labels: Mapping[str, str], image: Mapping[str, Any]) -> dict[str, str]:
    """Those of a container's labels that are not its image's: whoever made that says nothing of this guest. Pure."""
    inherited = as_mapping(image.get("Labels"))
    return {key: text for key, text in labels.items() if inherited.get(key) != text}


def labels_of(container: Container) -> dict[str, str]:
    """The container's own labels."""
    return own_labels(as_texts(as_mapping(container.data.get("Config")).get("Labels")), container.image)


def known_of(name: str, container: Container) -> Guest:
    """What is known of a container whatever its options are."""
    config = as_mapping(container.data.get("Config"))
    labels = labels_of(container)
    state, word = container.state, as_text(as_mapping(container.data.get("State")).get("Status"))
    return Guest(
        name, "docker", as_text(container.data.get("Id")), state, word, as_text(config.get("Image")), labels=labels
    )


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
    cpus = read_cpus(host)
    return Guest(
        name=name or str(data["Name"])[1:],
        backend="docker",
        id=container.id,
        state=container.state,
        # One that was put aside is described as it was before.
        raw_state=str(data["State"]["Status"]) if container.state == state_of(data) else "",
        image=str(config.get("Image") or data["Image"]),
        cpus=format_cpus(cpus) if cpus else None,
        memory=format_size(host["Memory"]) if host.get("Memory") else "",
        addresses=tuple(addresses),
        labels=own_labels({str(key): str(text) for key, text in (config.get("Labels") or {}).items()}, container.image),
        autostart=(host.get("RestartPolicy") or {}).get("Name") in ("always", "unless-stopped"),
    )
