# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The steps from the domain that is there to the one that is wanted. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from ....engine.action import Action, Disruption
from ....engine.compare import key_of
from ....engine.errors import Refused
from ....engine.plan import Step, power
from ....engine.spec import Spec
from ..storage.block_jobs import busy
from .chain import behind
from .compare import order_lost, pending_after
from .model import Change, Comparison, Domain, Leftover, Seen, View, VolumesToRemove
from .observe import guest_of
from .options import VMS
from .storage import volumes_to_remove


def plan(want: Spec, seen: Seen) -> list[Step]:
    """All steps, the clearing up after a run that died first. Raises Refused and InvalidOption."""
    have = seen.domains.get(want.name)
    steps: list[Step] = []
    if have is not None and have.making is not None:
        steps.append(Step(want.name, Action.CLEAN, "leftover", want.name, subject=Leftover()))
        have = None
    steps += [
        Step(want.name, Action.CLEAN, "leftover", path, subject=Leftover(seed=path))
        for path in (have.stale if have else ())
    ]
    tried = have.tried if have else ()
    steps += [
        Step(want.name, Action.CLEAN, "leftover", key_of("disks", target), subject=Leftover(trial=True))
        for target in tried
    ]
    if want.name in seen.faults:
        raise seen.faults[want.name]
    if want.state == "absent":
        return [*steps, *(_removal(want, seen, have) if have else ())]
    done = seen.compared[want.name]
    return [*steps, *(_creation(done) if have is None else _changes(done, have))]


def _creation(done: Comparison) -> Iterator[Step]:
    want = done.want
    shown = VMS.shown(want)
    if "source" in want.steering and want.steering["source"]:
        shown["source"] = {key: value for key, value in want.steering["source"].items() if value is not None}
    made = [each.path for each in done.making if each.seed is None]
    if made:
        shown["volumes"] = made
    target = "stopped" if want.state == "present" else want.state
    yield Step(want.name, Action.CREATE, "", None, {**shown, "state": "stopped"})
    yield from power(want.name, "stopped", target)


def _changes(done: Comparison, have: Domain) -> Iterator[Step]:
    want, found = done.want, done.changes
    now, target = have.state, have.state if want.state == "present" else want.state
    if want.values.get("uuid", have.uuid) != have.uuid:
        raise Refused(
            f"uuid: a virtual machine keeps the one it has, {have.uuid}",
            remedy="Leave it out, or remove the guest and make it anew",
        )
    for each in found:
        disk = each.option.disk(want.values[each.option.name], each.entry)
        if disk in have.jobs:
            raise busy(want.name, disk, have.jobs[disk])
    for each in found:
        if each.hot or each.action == Action.RESIZE:
            cost = Disruption.LIVE if each.hot else Disruption.NONE
            yield Step(want.name, each.action, each.key, each.part.before, each.part.after, cost, subject=(each,))
    cold = [each for each in found if not each.hot and each.action != Action.RESIZE]
    if cold:
        yield _set(want.name, cold, order_lost(want, have, found))
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
            f"disks[{target}]: the guest runs on {image}, and what is stored of it names {older}, which is below "
            "that: started again, it would be without what it wrote since",
            remedy=f"Name {image} as the path of this disk, or bring it down into the older one first (virsh "
            "blockcommit --active --pivot)",
        )


def _set(name: str, found: Sequence[Change], order: str = "") -> Step:
    before = {each.key: each.part.before for each in found if each.part.before is not None}
    after = {each.key: each.part.after for each in found if each.part.after is not None}
    if order:
        before["xml[os/boot]"] = order
    if len({**before, **after}) == 1:
        (key,) = {**before, **after}
        return Step(name, Action.SET, key, before.get(key), after.get(key), subject=tuple(found))
    # One definition brings them all.
    return Step(name, Action.SET, "", before, after, subject=tuple(found))


def _removal(want: Spec, seen: Seen, have: Domain) -> Iterator[Step]:
    volumes = volumes_to_remove(want.name, seen, have) if want.steering.get("remove_storage") else []
    if have.live is not None:
        yield Step(
            want.name,
            Action.STOP,
            "state",
            have.state,
            "stopped",
            Disruption.RESTART,
            subject=VolumesToRemove(tuple(volumes)),
        )
    # Nothing else says later whose host key it was.
    before: dict[str, Any] = {"state": "stopped", "image": guest_of(have).image, "uuid": have.uuid}
    for target, job in have.jobs.items():
        raise busy(want.name, target, job)
    if want.steering.get("remove_storage"):
        before["volumes"] = volumes
    yield Step(want.name, Action.REMOVE, "", before, None, Disruption.DESTROY, subject=VolumesToRemove(tuple(volumes)))
