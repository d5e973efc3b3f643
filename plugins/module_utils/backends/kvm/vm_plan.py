# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The steps from the domain that is there to the one that is wanted. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ...engine.action import Action, Disruption
from ...engine.compare import Difference, key_of
from ...engine.errors import Refused
from ...engine.kinds import Part
from ...engine.plan import Step, power
from ...engine.spec import Spec
from ...engine.units import format_size
from .block_jobs import busy
from .vm_chain import behind
from .vm_devices import HOT, devices, set_source, source_of
from .vm_networks import rekeyed
from .vm_observe import NO_IMAGE, Domain, Seen, guest_of
from .vm_options import BY_NAME, VMS
from .vm_seed import seed_path
from .vm_settings import View
from .vm_storage import doomed, to_make
from .vm_target import differences, pending, wanted, written
from .vm_xml import Element, get, put, size_of
from .xml import serialize

#: The fields of an interface that QEMU and the host change under a guest's feet.
_HOT_NETWORK = frozenset(("type", "source", "filter", "link"))


@dataclass(frozen=True)
class Change:
    """One entry that has to change: of which option, and whether it can be done as the guest runs."""

    option: str
    part: Part
    hot: bool
    #: attach, detach, resize or set.
    action: Action = Action.SET

    @property
    def key(self) -> str:
        """As the plan names it."""
        return key_of(self.option, self.part.key)

    @property
    def disk(self) -> str:
        """The target of the disk that it is about; empty for another device or setting."""
        if self.option == "xml":
            return self.part.key.partition("devices/disk[")[2].partition("]")[0]
        return self.part.key if self.option == "disks" else ""


def plan(want: Spec, seen: Seen) -> list[Step]:
    """All steps, the clearing up after a run that died first. Raises Refused and InvalidOption."""
    have = seen.domains.get(want.name)
    steps: list[Step] = []
    if have is not None and have.making is not None:
        steps.append(Step(want.name, Action.CLEAN, "leftover", want.name))
        have = None
    steps += [Step(want.name, Action.CLEAN, "leftover", path) for path in (have.stale if have else ())]
    steps += [Step(want.name, Action.CLEAN, "leftover", key_of("disks", target)) for target in (have.tried if have else ())]
    if want.state == "absent":
        if want.name in seen.faults:
            raise seen.faults[want.name]
        return [*steps, *(_removal(want, seen, have) if have else ())]
    full = wanted(want, seen, have)
    if want.name in seen.faults:
        raise seen.faults[want.name]
    if have is None:
        return [*steps, *_creation(full, seen)]
    return [*steps, *_changes(full, seen, have)]


def _creation(want: Spec, seen: Seen) -> Iterator[Step]:
    made = to_make(want, seen, None)
    shown = VMS.shown(want)
    if "source" in want.steering and want.steering["source"]:
        shown["source"] = {key: value for key, value in want.steering["source"].items() if value is not None}
    if made:
        shown["volumes"] = [each.path for each in made]
    target = "stopped" if want.state == "present" else want.state
    yield Step(want.name, Action.CREATE, "", None, {**shown, "state": "stopped"})
    yield from power(want.name, "stopped", target)


def changes(want: Spec, have: Domain) -> list[Change]:
    """All entries that differ, in what is stored or in what is in effect. ``want`` is filled in."""
    stays = have.live is not None and want.state != "stopped"
    stored = _by_key(differences(want, have.stored))
    live = _by_key(differences(want, have.live)) if stays and have.live is not None else {}
    found = []
    for option in VMS.options:
        if option.name not in want.values:
            continue
        for key in sorted({key for name, key in (*stored, *live) if name == option.name}):
            cold, warm = stored.get((option.name, key)), live.get((option.name, key))
            if option.change != Disruption.LIVE:
                if cold is not None:
                    found.append(Change(option.name, cold, False))
                continue
            part = warm or cold
            if part is None:
                continue
            if option.name == "memory" and cold is None:
                # It has been told to the guest, which follows in its own time, if it has a driver for that.
                continue
            hot = warm is not None and have.live is not None and _hot(option.name, key, want, have.live)
            if option.name == "disks" and _grows(want, have, key):
                found.append(Change(option.name, part, stays, Action.RESIZE))
                rest = _without_size(cold, key)
                if rest is not None:
                    found.append(Change(option.name, rest, False))
            elif hot:
                found.append(Change(option.name, part, True, _action(option.name, part)))
            elif cold is not None:
                found.append(Change(option.name, cold, False))
    return found


def outcome(want: Spec, seen: Seen, have: Domain) -> Element | None:
    """What a guest becomes by several changes, for libvirt to try before the first; None where the first is one definition that says as much.

    ``want`` is filled in. A run that dies while it is tried out leaves it, and the next one goes on from there. So what that one would take for done is not
    in it: the balloon's size, a seed, and the images that are still to be made.
    """
    found = changes(want, have)
    missing = {each.path for each in to_make(want, seen, have) if not each.there}
    seed = any(each.option == "cloud_init" for each in found)
    if not missing and not seed and not any(each.hot or each.action == Action.RESIZE for each in found):
        return None
    keys = [each.key for each in found if not (each.option == "memory" and each.hot)]
    root = written(want, have.stored, differences(want, have.stored), keys)
    for disk in devices(root, "disk"):
        if source_of(disk) in missing:
            set_source(disk, NO_IMAGE)
            put(disk, "driver@type", "raw")
    return None if serialize(root) == serialize(have.stored.root) else root


def _by_key(found: Sequence[Difference]) -> dict[tuple[str, str], Part]:
    return {(each.option.name, part.key): part for each in found for part in each.parts}


def _action(option: str, part: Part) -> Action:
    if option not in ("disks", "networks"):
        return Action.SET
    return Action.ATTACH if part.before is None else Action.DETACH if part.after is None else Action.SET


def _grows(want: Spec, have: Domain, target: str) -> bool:
    """Whether a disk that stays has another size than it shall have."""
    size, now = want.values["disks"].get(target, {}).get("size"), have.stored.sizes.get(target)
    there = BY_NAME["disks"].read(have.stored).get(target)
    if there is None or size is None or size == now or want.values["disks"][target].get("path", there["path"]) != there["path"]:
        return False
    if now is not None and size < now:
        raise Refused(
            "disks[%s].size: a disk is not made smaller, and this one has %s" % (target, format_size(now)),
            remedy="Ask for that size or more, or for another disk",
        )
    return True


def _without_size(part: Part | None, _key: str) -> Part | None:
    """The rest of a disk's difference beside its size."""
    if part is None or part.before is None or part.after is None:
        return None
    before, after = ({name: value for name, value in side.items() if name != "size"} for side in (part.before, part.after))
    return part._replace(before=before, after=after) if before != after else None


def _hot(option: str, key: str, want: Spec, live: View) -> bool:
    """Whether this entry can change while the guest runs."""
    value, there = want.values[option], BY_NAME[option].read(live)
    if option == "memory":
        return bool(value <= (size_of(live.root.find("memory")) or 0))
    if option == "cpus":
        return bool(there < value <= int(get(live.root, "vcpu") or 1))
    if option == "cloud_init":
        return bool(seed_path(live.root, live.name))
    if option == "disks":
        before, after = there.get(key), value.get(key)
        if before is None or after is None:
            disk = after if before is None else before
            return (disk or {}).get("bus") in HOT and (disk or {}).get("device", "disk") == "disk"
        differing = {name for name in after if after[name] != before.get(name)}
        return differing == {"path"} and before.get("device") in ("cdrom", "floppy")
    if option == "networks":
        there = rekeyed(value, there)
        if key not in there or key not in value:
            return True
        return {name for name in value[key] if value[key][name] != there[key].get(name)} <= _HOT_NETWORK
    return False


def _changes(want: Spec, seen: Seen, have: Domain) -> Iterator[Step]:
    now, target = have.state, have.state if want.state == "present" else want.state
    if "uuid" in want.values and want.values["uuid"] != have.uuid:
        raise Refused("uuid: a virtual machine keeps the one it has, %s" % have.uuid, remedy="Leave it out, or remove the guest and make it anew")
    to_make(want, seen, have)
    found = changes(want, have)
    for each in found:
        if each.disk in have.jobs:
            raise busy(want.name, each.disk, have.jobs[each.disk])
    for each in found:
        if each.hot:
            yield Step(want.name, each.action, each.key, each.part.before, each.part.after, Disruption.LIVE)
        elif each.action == Action.RESIZE:
            yield Step(want.name, Action.RESIZE, each.key, each.part.before, each.part.after, Disruption.NONE)
    cold = [each for each in found if not each.hot and each.action != Action.RESIZE]
    if cold:
        yield _set(want.name, cold)
    waiting = pending_after(want, have, found)
    if have.live is not None and (target == "stopped" or (waiting and want.allow >= Disruption.RESTART)):
        _check_behind(have.stored, have.live)
    if waiting and have.live is not None and target != "stopped":
        # Written down already: whether it is brought into effect now is the user's to allow.
        yield Step(want.name, Action.RESTART, "pending_restart", waiting, [], Disruption.RESTART, deferred=True)
    yield from power(want.name, now, target)


def _check_behind(stored: View, live: View) -> None:
    """A guest does not come back on an older image because it was stopped."""
    for target, (image, older) in behind(stored.root, live.root).items():
        raise Refused(
            "disks[%s]: the guest runs on %s, and what is stored of it names %s, which is below that: started again, it would be without what it wrote since"
            % (target, image, older),
            remedy="Name %s as the path of this disk, or bring it down into the older one first (virsh blockcommit --active --pivot)" % image,
        )


def pending_after(want: Spec, have: Domain, found: Sequence[Change] | None = None) -> list[str]:
    """What will wait for a restart once these changes are made."""
    if have.live is None:
        return []
    found = changes(want, have) if found is None else found
    after = replace(have.stored, root=written(want, have.stored, differences(want, have.stored)))
    done = {each.key for each in found if each.hot}
    waiting = {key for key in pending(after, have.live) if key not in done}
    if any(each.option == "cloud_init" and not each.hot for each in found):
        waiting.add("cloud_init")
    return sorted(waiting)


def _set(name: str, found: Sequence[Change]) -> Step:
    before = {each.key: each.part.before for each in found if each.part.before is not None}
    after = {each.key: each.part.after for each in found if each.part.after is not None}
    if len({**before, **after}) == 1:
        (key,) = {**before, **after}
        return Step(name, Action.SET, key, before.get(key), after.get(key))
    # One definition brings them all.
    return Step(name, Action.SET, "", before, after)


def _removal(want: Spec, seen: Seen, have: Domain) -> Iterator[Step]:
    if have.live is not None:
        yield Step(want.name, Action.STOP, "state", have.state, "stopped", Disruption.RESTART)
    before: dict[str, Any] = {"state": "stopped", "image": guest_of(have).image}
    for target, job in have.jobs.items():
        raise busy(want.name, target, job)
    if want.steering.get("remove_storage"):
        before["volumes"] = doomed(want.name, seen, have)
    yield Step(want.name, Action.REMOVE, "", before, None, Disruption.DESTROY)


def keys_of_step(step: Step) -> list[str]:
    """The keys that a set step writes."""
    sides: tuple[Mapping[str, Any], Mapping[str, Any]] = (step.before or {}, step.after or {})
    return [step.key] if step.key else sorted({*sides[0], *sides[1]})
