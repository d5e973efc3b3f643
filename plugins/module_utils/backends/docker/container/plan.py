# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The steps from the container that is there to the one that is wanted. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from ....engine.action import Action, Disruption
from ....engine.compare import Difference, Sides, before_after, between, key_of
from ....engine.errors import BackendError, InvalidOption, Refused
from ....engine.plan import Step, creation, power, recreation, set_step
from ....engine.spec import Spec
from ..image.references import Reference
from . import target as container_body
from .aside import owner_of
from .checks import check_body, check_start, check_surroundings, check_waits
from .compare import case_of, to_pull
from .limits import check_memory
from .model import Container, Seen
from .mounts import read_mounts
from .observe import STORAGE, state_of
from .options import CONTAINERS, OPTIONS, option_of


def plan(want: Spec, seen: Seen) -> list[Step]:
    """All steps, the clearing up after a run that died first. Raises Refused and InvalidOption."""
    if want.state == "absent":
        return list(_removal(want, seen))
    have, aside = seen.containers.get(want.name), seen.replaced(want.name)
    if aside is not None and aside[0] in seen.unread:
        raise seen.unread[aside[0]].error
    reference: Reference | None = want.values.get("image")
    image = seen.images.find(reference) if reference else ""
    if image in seen.faults:
        raise seen.faults[image]
    steps: list[Step] = []
    if want.name in seen.volumes_to_remove:
        # A run died that was to remove the guest and its storage; it is wanted again.
        steps.append(Step(want.name, Action.CLEAN, "leftover", want.name + STORAGE))
    found = differences(want, seen, have) if have is not None else []
    successor, stopped_from = seen.successor(want.name)
    before = aside[1].state if aside is not None else stopped_from or (have.state if have is not None else "")
    if aside is not None and have is not None and _never_ran_and_differs(have, found):
        # A run died before the new container's first start, and what is wanted now is another one: back to the old one.
        steps.append(Step(want.name, Action.CLEAN, "leftover", want.name))
        have = None
    replaced = aside
    if aside is not None and have is None:
        # A run died before the new container had the name: the old one gets it back.
        steps.append(Step(want.name, Action.RENAME, "name", aside[0], want.name))
        have, replaced = aside[1], None
        found = differences(want, seen, have)
    if successor:
        steps.append(Step(want.name, Action.CLEAN, "leftover", successor))
    steps += _pull(want, seen)
    if have is None:
        return [*steps, *_creation(want, seen)]
    changes = list(_changes(want, seen, have, before, found))
    if replaced is None:
        return [*steps, *changes]
    # A run died before it had removed the old one, which is kept until the new one is as it should be.
    clean = Step(want.name, Action.CLEAN, "leftover", replaced[0])
    return (
        [*steps, clean, *changes]
        if any(step.action == Action.RECREATE for step in changes)
        else [*steps, *changes, clean]
    )


def _never_ran_and_differs(have: Container, found: Sequence[Difference]) -> bool:
    """Whether this container has never run and will not do as it is."""
    return have.data["State"]["StartedAt"].startswith("0001-") and any(
        _cost(each, have) == Disruption.RECREATE for each in found
    )


def _pull(want: Spec, seen: Seen) -> Iterator[Step]:
    reference: Reference | None = want.values.get("image")
    if reference is None:
        return
    here = seen.images.find(reference)
    if seen.images.by_id(reference) or want.steering.get("pull") == "never":
        if not here:
            remedy = (
                "Import, build or pull it first (docker_image)"
                if reference.id
                else "Import or build it (docker_image), or let it be pulled: pull=missing"
            )
            raise InvalidOption(
                "image", str(reference), "does not exist on this host", remedy=_bring(reference, seen) or remedy
            )
        return
    if str(reference) not in seen.remote:
        return
    digest = seen.remote[str(reference)]
    if isinstance(digest, BackendError):
        raise InvalidOption(
            "image",
            str(reference),
            f"cannot be pulled ({digest.message})"
            if here
            else f"does not exist on this host and cannot be pulled ({digest.message})",
            remedy=_bring(reference, seen)
            or digest.remedy
            or "Import or build it (docker_image), check its name, or reach its registry",
        ) from digest
    if to_pull(want, seen):
        yield Step(want.name, Action.PULL, "image", None, f"{reference} ({digest[:19]})")


def _bring(reference: Reference, seen: Seen) -> str:
    """How an image comes over from a store that the engine does not use; empty where it is not there either."""
    if str(reference) not in seen.other.images:
        return ""
    return (
        "The engine's other store has it: load it from an archive of docker save (docker_image), made while the engine "
        f"uses that ({seen.other.switch})"
    )


def differences(want: Spec, seen: Seen, have: Container) -> list[Difference]:
    """What has to change, with what an image brings by itself taken for granted."""
    case = case_of(want, seen, have)
    found = []
    for option in OPTIONS:
        if option.name in want.values:
            sides = Sides(want.values[option.name], option.read(have.data), option.name in want.purge)
            found.append(between(option, option.sides(sides, case)))
    return [each for each in found if each is not None]


def _creation(want: Spec, seen: Seen) -> Iterator[Step]:
    if not want.values.get("image"):
        raise InvalidOption(
            "image", None, "is needed to create a container that is not there yet", remedy="Name an image"
        )
    if want.name in seen.other.containers:
        raise Refused(
            "a container of this name is on this host that the engine does not see, since it keeps containers and images "
            f"in another store now: {seen.other.containers[want.name]}",
            remedy=f"To have it again, set {seen.other.switch}; to make a new one, remove that file's directory while "
            "the engine is stopped",
        )
    check_surroundings(want, seen)
    check_memory(want, {})
    body = container_body.creation(want)
    check_body(want, body)
    check_waits(want, seen, None, body)
    target = want.target("stopped")
    if target != "stopped":
        check_start(want, seen)
    yield from creation(want.name, CONTAINERS.shown(want), target)


def _changes(want: Spec, seen: Seen, have: Container, before: str, found: Sequence[Difference]) -> Iterator[Step]:
    check_surroundings(want, seen)
    check_memory(want, have.data["HostConfig"])
    now, target = state_of(have.data), want.target(before)
    costly = any(_cost(each, have) == Disruption.RECREATE for each in found)
    body = container_body.replacement(want, have, found) if costly else None
    if body is not None:
        check_body(want, body)
    check_waits(want, seen, have, body)
    if target != "stopped" and (now == "stopped" or found):
        check_start(want, seen)
    if costly:
        yield recreation(want.name, found, now, target, have)
        return
    limits = tuple(each for each in found if option_of(each).limit)
    if limits:
        # One request changes them all: memory and swap, say, depend on each other.
        yield replace(set_step(want.name, *before_after(limits), Disruption.LIVE), changes=limits, subject=have)
    for each in found:
        yield from () if option_of(each).limit else _connections(want.name, each)
    if target == "stopped" != now and have.data["HostConfig"].get("AutoRemove"):
        raise Refused(
            "state: it was made to be removed as soon as it stops (docker run --rm), and cannot be stopped and kept",
            remedy="Use state=absent to remove it, and then make it anew",
        )
    if target == "running" and not found:
        _check_loop(want, have)
    yield from power(want.name, now, target, have)


def _check_loop(want: Spec, have: Container) -> None:
    """One that its restart policy starts again and again is no guest that runs, unless it is waited for."""
    state = have.data["State"]
    if state["Status"] == "restarting" and want.state == "running" and not want.waits:
        raise BackendError(
            "it ends again and again, the last time with exit code {}, and is started by its restart_policy".format(
                state.get("ExitCode")
            ),
            remedy="Correct its command, look at its log, or use state=present for a guest that may do so",
        )


def _connections(name: str, change: Difference) -> Iterator[Step]:
    """One call for each entry; the engine has none that changes one."""
    for part in change.parts:
        action = Action.ATTACH if part.before is None else Action.DETACH if part.after is None else Action.REATTACH
        yield Step(
            name,
            action,
            key_of(change.option.name, part.key),
            part.before,
            part.after,
            Disruption.LIVE,
            changes=(change.of(part),),
        )


def _cost(difference: Difference, have: Container) -> Disruption:
    """What it costs to bring this about in this very container."""
    return option_of(difference).cost(difference.value, have)


def _removal(want: Spec, seen: Seen) -> Iterator[Step]:
    mine = {key: container for key, container in seen.containers.items() if (owner_of(key) or key) == want.name}
    for key in sorted(set(mine) - {want.name}):
        yield Step(want.name, Action.CLEAN, "leftover", key)
    have = mine.get(want.name)
    before: dict[str, Any] = {}
    if have is not None:
        now = state_of(have.data)
        if now != "stopped":
            yield from power(want.name, now, "stopped", have)
        before = {"state": "stopped", "image": str(have.data["Config"].get("Image") or have.data["Image"])}
    if want.steering.get("remove_storage"):
        volumes = sorted(
            {
                *(volume for container in mine.values() for volume in own_volumes(want.name, seen, container)),
                *(volume for volume in seen.volumes_to_remove.get(want.name, ()) if _used_by(want.name, seen, volume)),
            }
        )
        if volumes or have is not None:
            before["volumes"] = volumes
    if want.name in seen.volumes_to_remove and not before.get("volumes"):
        yield Step(want.name, Action.CLEAN, "leftover", want.name + STORAGE)
    if before:
        yield Step(want.name, Action.REMOVE, "", before, None, Disruption.DESTROY)


def own_volumes(name: str, seen: Seen, have: Container) -> list[str]:
    """The volumes that no other guest uses."""
    records = [record for record in read_mounts(have.data).values() if record["type"] == "volume"]
    volumes = {str(record["source"]) for record in records if record.get("source")}
    return sorted(volume for volume in volumes if _used_by(name, seen, volume))


def _used_by(name: str, seen: Seen, volume: str) -> bool:
    """Whether nobody but this guest uses that volume."""
    return {owner_of(user) or user for user in seen.volume_users.get(volume, ())} <= {name}
