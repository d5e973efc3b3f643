# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The steps from the container that is there to the one that is wanted. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ...engine.action import Action, Disruption
from ...engine.compare import Difference, before_after, compared
from ...engine.errors import BackendError, InvalidOption, Refused
from ...engine.plan import Step, power
from ...engine.spec import Spec
from .container_kinds import read_mounts
from .container_limits import check_memory
from .container_observe import NEW, STORAGE, Claim, Container, Seen, claims_of, owner_of, state_of
from .container_options import CONTAINERS, ContainerOption
from .references import Reference


def plan(want: Spec, seen: Seen) -> list[Step]:
    """All steps, the clearing up after a run that died first. Raises Refused and InvalidOption."""
    if want.state == "absent":
        return list(_removal(want, seen))
    have, aside = seen.containers.get(want.name), seen.replaced(want.name)
    if aside is not None and aside[0] in seen.unread:
        raise seen.unread[aside[0]].error
    image = seen.images.find(want.values["image"]) if "image" in want.values else ""
    if image in seen.faults:
        raise seen.faults[image]
    steps: list[Step] = []
    if want.name in seen.doomed:
        # A run died that was to remove the guest and its storage; it is wanted again.
        steps.append(Step(want.name, Action.CLEAN, "leftover", want.name + STORAGE))
    if aside is not None and have is not None and _begun_anew(want, seen, have):
        # A run died before the new container's first start, and what is wanted now is another one: back to the old one.
        steps.append(Step(want.name, Action.CLEAN, "leftover", want.name))
    if aside is not None and subject(want, seen) is aside[1]:
        # A run died before the new container had the name: the old one gets it back.
        steps.append(Step(want.name, Action.RENAME, "name", aside[0], want.name))
    if want.name + NEW in seen.containers:
        steps.append(Step(want.name, Action.CLEAN, "leftover", want.name + NEW))
    have = subject(want, seen)
    steps += _pull(want, seen)
    if have is None:
        return [*steps, *_creation(want, seen)]
    changes = list(_changes(want, seen, have, have.state if aside is None else aside[1].state))
    if aside is None or aside[1] is have:
        return [*steps, *changes]
    # A run died before it had removed the old one, which is kept until the new one is as it should be.
    clean = Step(want.name, Action.CLEAN, "leftover", aside[0])
    return [*steps, clean, *changes] if any(step.action == Action.RECREATE for step in changes) else [*steps, *changes, clean]


def subject(want: Spec, seen: Seen) -> Container | None:
    """The container that the plan is about: the one of that name, or the old one where its successor came to nothing."""
    have, aside = seen.containers.get(want.name), seen.replaced(want.name)
    if aside is not None and (have is None or _begun_anew(want, seen, have)):
        return aside[1]
    return have


def _begun_anew(want: Spec, seen: Seen, have: Container) -> bool:
    """Whether this container has never run and will not do as it is."""
    return have.data["State"]["StartedAt"].startswith("0001-") and any(_cost(each, have) == Disruption.RECREATE for each in differences(want, seen, have))


def target_state(want: Spec, before: str) -> str:
    """The power state that the task asks for."""
    return before if want.state == "present" else want.state


def _pull(want: Spec, seen: Seen) -> Iterator[Step]:
    reference: Reference | None = want.values.get("image")
    if reference is None:
        return
    here = seen.images.find(reference)
    if reference.id or want.steering.get("pull") == "never":
        if not here:
            remedy = "Import, build or pull it first (docker_image)" if reference.id else "Import or build it (docker_image), or let it be pulled: pull=missing"
            raise InvalidOption("image", str(reference), "does not exist on this host", remedy=remedy)
        return
    if str(reference) not in seen.remote:
        return
    digest = seen.remote[str(reference)]
    if isinstance(digest, BackendError):
        raise InvalidOption(
            "image",
            str(reference),
            "cannot be pulled (%s)" % digest.message if here else "does not exist on this host and cannot be pulled (%s)" % digest.message,
            remedy=digest.remedy or "Import or build it (docker_image), check its name, or reach its registry",
        ) from digest
    if not here or digest not in seen.images.digests(here):
        yield Step(want.name, Action.PULL, "image", None, "%s (%s)" % (reference, digest[:19]))


def pulled(want: Spec, seen: Seen) -> bool:
    """Whether the plan pulls the image, so that it will be another one than is there now."""
    return any(step.action == Action.PULL for step in _pull(want, seen))


def differences(want: Spec, seen: Seen, have: Container) -> list[Difference]:
    """What has to change, with what an image brings by itself taken for granted."""
    values = dict(want.values)
    observed = {option.name: option.read(have.data) for option in CONTAINERS.options if option.name in values}
    image = have.image
    if "image" in values:
        key = seen.images.find(values["image"])
        same = key == have.data["Image"] and not pulled(want, seen)
        # An image is known by its id: the name under which it was asked for may be a tag, a digest or the id.
        observed["image"] = values["image"] if same else _image_name(have)
        image = image if same else seen.configs.get(key, {})
    if "env" in want.purge and "env" in values:
        inherited = dict(line.split("=", 1) for line in image.get("Env") or () if "=" in line)
        values["env"] = {**inherited, **values["env"]}
    if "labels" in want.purge and "labels" in values:
        values["labels"] = {**(image.get("Labels") or {}), **values["labels"]}
    if "mounts" in want.purge and "mounts" in values:
        kept = {target: record for target, record in read_mounts(have.data).items() if target in (image.get("Volumes") or {})}
        values["mounts"] = {**kept, **values["mounts"]}
    _complete_commands(values, observed, have, image)
    if values.get("memory_swap") == 0:
        # The engine's own default, which it writes down as a number.
        values["memory_swap"] = 2 * values.get("memory", have.data["HostConfig"].get("Memory") or 0)
    for name in ("network_mode", "pid_mode", "ipc_mode"):
        # The engine writes the id of the container whose namespace is shared.
        if name in values and _joins(str(values[name]), str(observed[name]), seen):
            observed[name] = values[name]
    for name, record in values.get("networks", {}).items():
        if have.data["Config"].get("Hostname") in record.get("aliases", ()) and name in observed["networks"]:
            # What was asked for is there by itself.
            aliases = {*observed["networks"][name].get("aliases", ()), have.data["Config"]["Hostname"]}
            observed["networks"] = {**observed["networks"], name: {**observed["networks"][name], "aliases": tuple(sorted(aliases))}}
    purge = want.purge
    if values.get("log_driver", observed.get("log_driver")) != observed.get("log_driver"):
        # Another driver does not know the options of the one before.
        purge = purge | {"log_options"}
    return compared(CONTAINERS, Spec(want.name, want.state, values, purge), observed)


def _joins(want: str, have: str, seen: Seen) -> bool:
    """Whether both are the namespace of one container, called by its name or by an id."""
    kind, _colon, name = want.partition(":")
    other, _colon, key = have.partition(":")
    return kind == other == "container" and bool(name) and (seen.ids.get(name) == key or key.startswith(name))


def _image_name(have: Container) -> Reference:
    """How a plan shows the image that a container has, when it is not the wanted one."""
    name = str(have.data["Config"].get("Image") or "")
    key = str(have.data["Image"])[:19]
    return Reference(id=key if name.startswith("sha256:") or not name else "%s (%s)" % (name, key))


def _complete_commands(values: dict[str, Any], observed: Mapping[str, Any], have: Container, image: Mapping[str, Any]) -> None:
    """An empty command or entrypoint means the image's own; the image's command goes with the image's entrypoint only."""
    own = tuple(image.get("Entrypoint") or ())
    entrypoint = values.get("entrypoint", tuple(have.data["Config"].get("Entrypoint") or ()))
    if "entrypoint" in values:
        if values["entrypoint"] == ():
            values["entrypoint"] = entrypoint = own
        elif values["entrypoint"] == ("",):
            values["entrypoint"] = entrypoint = ()
    if values.get("command") == ():
        values["command"] = tuple(image.get("Cmd") or ()) if entrypoint == own else ()


def _shown_creation(want: Spec) -> dict[str, Any]:
    return CONTAINERS.shown(want)


def _creation(want: Spec, seen: Seen) -> Iterator[Step]:
    if "image" not in want.values:
        raise InvalidOption("image", None, "is needed to create a container that is not there yet", remedy="Name an image")
    _check_networks(want, seen)
    check_memory(want, {})
    target = "stopped" if want.state == "present" else want.state
    if target != "stopped":
        _check_ports(want, seen, want.values.get("ports") or {})
    yield Step(want.name, Action.CREATE, "", None, {**_shown_creation(want), "state": "stopped"})
    yield from power(want.name, "stopped", target)


def _changes(want: Spec, seen: Seen, have: Container, before: str) -> Iterator[Step]:
    _check_networks(want, seen)
    if any(name in want.values for name in ("memory", "memory_swap", "memory_reservation")):
        check_memory(want, have.data["HostConfig"])
    found = differences(want, seen, have)
    now, target = state_of(have.data), target_state(want, before)
    dear = [each for each in found if _cost(each, have) == Disruption.RECREATE]
    if target != "stopped" and (now == "stopped" or dear):
        _check_ports(want, seen, want.values.get("ports") or {})
    if dear:
        old, new = before_after(found)
        if now != target:
            old["state"], new["state"] = now, target
        yield Step(want.name, Action.RECREATE, "", old, new, Disruption.RECREATE)
        return
    limits = [each for each in found if each.option.name != "networks"]
    if limits:
        yield _set(want.name, limits)
    for each in found:
        for part in each.parts if each.option.name == "networks" else ():
            action = Action.ATTACH if part.before is None else Action.DETACH if part.after is None else Action.REATTACH
            yield Step(want.name, action, "networks[%s]" % part.key, part.before, part.after, Disruption.LIVE)
    if target == "stopped" != now and have.data["HostConfig"].get("AutoRemove"):
        raise Refused(
            "state: it was made to be removed as soon as it stops (docker run --rm), and cannot be stopped and kept",
            remedy="Use state=absent to remove it, and then make it anew",
        )
    yield from power(want.name, now, target)


def _cost(difference: Difference, have: Container) -> Disruption:
    """What it costs to bring this about in this very container."""
    option = difference.option
    if option.name == "networks" and alone(str(have.data["HostConfig"].get("NetworkMode"))):
        return Disruption.RECREATE
    return option.cost(difference.value) if isinstance(option, ContainerOption) else option.change


def alone(mode: str) -> bool:
    """Whether a container in this network mode can be connected to no network."""
    return mode.partition(":")[0] in ("host", "none", "container")


def _set(name: str, limits: Sequence[Difference]) -> Step:
    before, after = before_after(limits)
    if len(after) == 1 and len(before) < 2:
        ((key, value),) = after.items()
        return Step(name, Action.SET, key, before.get(key), value, Disruption.LIVE)
    # One request changes them all: memory and swap, say, depend on each other.
    return Step(name, Action.SET, "", before, after, Disruption.LIVE)


def _removal(want: Spec, seen: Seen) -> Iterator[Step]:
    mine = {key: container for key, container in seen.containers.items() if (owner_of(key) or key) == want.name}
    for key in sorted(set(mine) - {want.name}):
        yield Step(want.name, Action.CLEAN, "leftover", key)
    have = mine.get(want.name)
    before: dict[str, Any] = {}
    if have is not None:
        now = state_of(have.data)
        if now != "stopped":
            yield Step(want.name, Action.STOP, "state", now, "stopped", Disruption.RESTART)
        before = {"state": "stopped", "image": str(have.data["Config"].get("Image") or have.data["Image"])}
    if want.steering.get("remove_storage"):
        volumes = sorted(
            {
                *(volume for container in mine.values() for volume in own_volumes(want.name, seen, container)),
                *(volume for volume in seen.doomed.get(want.name, ()) if _used_by(want.name, seen, volume)),
            }
        )
        if volumes or have is not None:
            before["volumes"] = volumes
    if want.name in seen.doomed and not before.get("volumes"):
        yield Step(want.name, Action.CLEAN, "leftover", want.name + STORAGE)
    if before:
        yield Step(want.name, Action.REMOVE, "", before, None, Disruption.DESTROY)


def own_volumes(name: str, seen: Seen, have: Container) -> list[str]:
    """The volumes that no other guest uses."""
    volumes = {str(record["source"]) for record in read_mounts(have.data).values() if record["type"] == "volume" and record.get("source")}
    return sorted(volume for volume in volumes if _used_by(name, seen, volume))


def _used_by(name: str, seen: Seen, volume: str) -> bool:
    """Whether nobody but this guest uses that volume."""
    return {owner_of(user) or user for user in seen.volume_users.get(volume, ())} <= {name}


def _check_networks(want: Spec, seen: Seen) -> None:
    for network in want.values.get("networks") or {}:
        if seen.networks is not None and network not in seen.networks:
            raise InvalidOption("networks[%s]" % network, network, "does not exist", remedy="Make it with docker_network first, or name another")
    if want.values.get("networks") and alone(str(want.values.get("network_mode"))):
        raise InvalidOption("network_mode", want.values["network_mode"], "goes with no networks", remedy="Set either networks or network_mode")


def _check_ports(want: Spec, seen: Seen, ports: Mapping[str, Any]) -> None:
    for mine in claims_of(want.name, ports):
        other = next((claim for claim in seen.claims if claim.against(mine)), None)
        if other is not None:
            raise Refused(_in_the_way(mine, other), remedy="Choose another host port, or end what listens there")


def _in_the_way(mine: Claim, other: Claim) -> str:
    holder = "the guest %s" % other.holder if other.holder else "a program on this host"
    return "ports: host port %d/%s%s is in use by %s" % (mine.port, mine.protocol, " on " + mine.address if mine.address else "", holder)
