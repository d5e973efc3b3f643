# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The steps from the container that is there to the one that is wanted. Pure."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ....engine.action import Action, Disruption
from ....engine.compare import Difference, before_after
from ....engine.errors import InvalidOption, Refused, Unreadable
from ....engine.plan import Step, creation, power, recreation, removal, restart, set_step
from ....engine.spec import Spec
from ..remedies import NEEDS_VERSION_2
from .describe import guest_of, image_of, pending_words
from .hooks import hooks_inside
from .limits import check_memory
from .model import Container, Seen
from .observe import OLD
from .old_keys import NEW, is_old
from .options import CONTAINERS, OPTIONS, limit_of, option_keys, option_of, storage_of
from .target import shown_creation

#: What is done to a container that runs by the tools that read its configuration.
NEED_LIBLXC = frozenset((Action.STOP, Action.PAUSE, Action.RESUME, Action.RESTART, Action.RECREATE, Action.CLEAN))
#: The key of the line that liblxc names.
_LINE = re.compile(r"at the line ['\"](?P<key>lxc[^\s=]*)")
CORRECT = "Correct the value"


def plan(want: Spec, seen: Seen) -> list[Step]:
    """All steps, the clearing up after a run that died first. Raises Refused and InvalidOption."""
    if want.name in seen.faults:
        raise seen.faults[want.name]
    steps = _steps(want, seen)
    mended = seen.objections.get(want.name) == ""
    if want.name in seen.stuck and not mended and any(step.action in NEED_LIBLXC for step in steps):
        raise Refused(
            "it runs, and liblxc does not take its configuration any more: %s"
            % (seen.stuck[want.name] or "it says not why"),
            remedy=f"Correct the file {guest_of(seen.containers[want.name]).id}/config, or end the guest from within",
        )
    return steps


def _steps(want: Spec, seen: Seen) -> list[Step]:
    have = seen.containers.get(want.name)
    steps: list[Step] = []
    if have is not None and have.unfinished:
        _check_free(want, seen)
        steps.append(Step(want.name, Action.CLEAN, "leftover", f"{have.path}/{want.name}"))
        have = None
    elif have is not None and have.replacing and want.state != "absent":
        if have.unread_note:
            # It says which of the two root file systems is to stay.
            raise Unreadable(
                f"a run died that was to replace its root file system, and {have.unread_note}",
                remedy="Mend that file, and run again",
            )
        steps.append(Step(want.name, Action.CLEAN, "leftover", f"{have.path}/{want.name}/{OLD}"))
    if want.state == "absent":
        return [*steps, *(_removal(want, seen, have) if have else ())]
    if want.name in seen.not_containers:
        raise Refused(
            "a directory of this name is there, and no container is in it",
            remedy="Look at what it is, and move it away",
        )
    _check(want, seen)
    if have is None:
        return [*steps, *_creation(want, seen)]
    return [*steps, *_changes(want, seen, have)]


def _check(want: Spec, seen: Seen) -> None:
    """What the host and liblxc have to say of the options."""
    wanted = [option for option in OPTIONS if option.name in want.values]
    for option in wanted:
        if option.limit is not None and not option.limit.known(seen.groups):
            value = want.values[option.name]
            raise InvalidOption(
                option.name,
                value,
                "is a limit that this host's kernel does not have",
                remedy="Leave it out on this host",
            )
    if seen.objections.get(want.name):
        raise _objection(want, seen, seen.objections[want.name])


def _objection(want: Spec, seen: Seen, why: str) -> InvalidOption | Refused:
    """What liblxc refuses: an option of the task's, by the line that comes from it, or a line that was there before."""
    line = _LINE.search(why)
    config = seen.containers[want.name].config if want.name in seen.containers else seen.fresh
    if line is None:
        named = [option.name for option in OPTIONS if option.name in want.values and option.lines is not None]
        return InvalidOption(", ".join(named) or "options", want.name, f"is what liblxc refuses: {why}", remedy=CORRECT)
    key = line["key"]
    name = limit_of(key, seen.groups) or option_keys(key, config)
    remedy = _remedy_of_version_1(key, seen)
    value = _value_of(name, CONTAINERS.shown(want))
    if value is not None:
        return InvalidOption(name, value, f"is what liblxc refuses: {why}", remedy=remedy or CORRECT)
    take = f"Take that line away, by hand or with config: {{{key}: null}}"
    return Refused(f"liblxc refuses its configuration: {why}", remedy=remedy or take)


def _value_of(name: str, shown: Mapping[str, Any]) -> Any:
    """What the task says of an option, or of an entry of one; None where it does not."""
    option, _bracket, entry = name.partition("[")
    value = shown.get(option)
    return value.get(entry[:-1]) if isinstance(value, Mapping) else value


def _remedy_of_version_1(key: str, seen: Seen) -> str:
    """What to do about a key of version 1 of control groups; empty for another one."""
    if not is_old(key):
        return ""
    if seen.groups.version == 1:
        return NEEDS_VERSION_2
    return f"Write a key of version 2 of control groups, which begins with {NEW}"


def _creation(want: Spec, seen: Seen) -> Iterator[Step]:
    clone, storage = want.steering.get("clone"), want.values.get("storage")
    image = want.values.get("image")
    if image is not None:
        if image.path in seen.missing:
            raise InvalidOption(
                "image.path",
                image.path,
                "does not exist",
                remedy="Build it with base_image, or copy it to the host first",
            )
    elif clone:
        _check_source(clone, want, seen)
    elif not want.steering.get("template"):
        raise InvalidOption(
            "image",
            None,
            "is needed to create a container that is not there yet",
            remedy="Name an image, a template, or a container to clone",
        )
    if storage == "overlay" and want.steering.get("template"):
        raise InvalidOption(
            "storage",
            storage,
            "needs something to lie over",
            remedy="Make the container from an image, or clone one with snapshot=true",
        )
    check_memory(want.values, {})
    yield from creation(want.name, shown_creation(want), want.target("stopped"), seen.changes.get(want.name, ()))


def _check_source(clone: dict[str, Any], want: Spec, seen: Seen) -> None:
    path, name = clone.get("lxc_path"), str(clone["name"])
    source = seen.others.get((os.path.normpath(path), name)) if path else seen.containers.get(name)
    if source is None or source.unfinished or (not path and name == want.name):
        raise InvalidOption(
            "clone.name",
            name,
            "is not a container to clone",
            remedy="Make it in a task before this one, or name another",
        )
    if source.runs:
        raise Refused(
            f"the container {name} runs, and only a stopped one can be cloned",
            remedy="Stop it first, or clone one that is kept stopped",
        )
    for hook in hooks_inside(source.config, os.path.join(source.path, name)):
        if " " in hook:
            raise Refused(
                f"the container {name} has the hook {hook!r}, and lxc-copy takes that for the name of a file",
                remedy="Let the hook need no arguments, or keep it outside of the container's directory",
            )


def _changes(want: Spec, seen: Seen, have: Container) -> Iterator[Step]:
    check_memory(want.values, {name: have.limit(name, live=False) for name in ("memory", "memory_swap")})
    found = seen.changes.get(want.name, ())
    now, target = have.state, want.target(have.state)
    costly = [each for each in found if each.option.change == Disruption.RECREATE]
    if costly:
        # Snapshots of it would have another root file system below them.
        _check_free(want, seen)
        _check_recreation(want, have, costly)
        yield recreation(want.name, found, now, target)
        return
    if found:
        yield _set(want.name, found, have)
    pending = pending_after(have, seen)
    if pending and target != "stopped":
        yield restart(want.name, pending)
    yield from power(want.name, now, target)


def _check_recreation(want: Spec, have: Container, costly: Sequence[Difference]) -> None:
    """Raises Refused where not even another root file system would do."""
    if (
        not want.values.get("image")
        or storage_of(have.config) != "dir"
        or any(option_of(each).fixed for each in costly)
    ):
        raise Refused(
            "{} cannot change in a container that is there".format(
                ", ".join(sorted(each.option.name for each in costly))
            ),
            remedy="Leave it as it is, or remove the container with state=absent and make it anew",
        )


def pending_after(have: Container, seen: Seen) -> list[str]:
    """What will wait for a restart once all is written down, in the words of a task."""
    return list(seen.pending.get(have.name, pending_words(have))) if have.runs else []


def _set(name: str, found: Sequence[Difference], have: Container) -> Step:
    live = have.runs and any(each.option.change == Disruption.LIVE for each in found)
    # One replacement of the file brings them all.
    step = set_step(name, *before_after(found), Disruption.LIVE if live else Disruption.NONE)
    return replace(step, changes=tuple(found), subject=have)


def _removal(want: Spec, seen: Seen, have: Container) -> Iterator[Step]:
    _check_free(want, seen)
    before = {"image": image_of(have)}
    if rootfs_is_removed(have, bool(want.steering.get("remove_storage"))):
        before["storage"] = have.config.get("lxc.rootfs.path")
    yield from removal(want.name, have.state, before, before.get("storage"))


def _check_free(want: Spec, seen: Seen) -> None:
    standing = ", ".join(sorted(name for name in seen.dependants.get(want.name, ()) if name != want.name))
    if standing:
        remedy = "Remove those first, or leave this one as it is"
        raise Refused(f"the root file systems of {standing} are overlays of this one's", remedy=remedy)


def rootfs_is_removed(have: Container, remove_storage: bool) -> bool:
    """Whether the root file system goes with the container: one in its own directory does, a volume only if the task
    says so.
    """
    kind, _colon, path = have.config.get("lxc.rootfs.path").rpartition(":")
    if kind.partition(":")[0] in ("overlay", "overlayfs") or path.startswith(f"{have.path}/{have.name}/"):
        return path.startswith(f"{have.path}/{have.name}/")
    volume = kind in ("lvm", "zfs") or path.startswith("/dev/")
    return volume and remove_storage and os.path.basename(path) == have.name
