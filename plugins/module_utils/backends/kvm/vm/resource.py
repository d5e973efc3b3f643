# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Virtual machines as a resource: the only code that changes one."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ....engine.action import Action
from ....engine.errors import BackendError, taken_back
from ....engine.plan import Step
from ....engine.resource import Guests
from ....engine.result import Guest, foreseen
from ....engine.spec import Spec
from ....engine.units import format_size
from ..client import Host
from ..xml import serialize
from . import define as vm_define
from . import plan as vm_plan
from . import power as vm_power
from . import seed as vm_seed
from . import target as vm_target
from . import volumes as vm_volumes
from .compare import cold, live_change, pending, pending_after, trial, written
from .model import STALE, Comparison, Domain, Seen, VolumesToRemove
from .observe import guest_of, look, observe
from .options import VMS
from .settings import guest_note, read_labels
from .survey import survey
from .xml import ET, Element, copied


class Vms(Guests[Seen]):
    """All domains of one libvirt."""

    table = VMS

    def __init__(self, host: Host) -> None:
        self.host, self.place = host, host.place
        #: What this run has made for new guests, by their names.
        self._made: dict[str, list[str]] = {}
        #: The guests of which libvirt has taken what they become.
        self._taken: set[str] = set()

    def observe(self, wants: Sequence[Spec] | None) -> Seen:
        """See survey."""
        return survey(self.host, wants) if wants is not None else observe(self.host, None)

    def names(self, seen: Seen) -> list[str]:
        """All domains, those that were not finished and those that cannot be read as well."""
        return sorted({*seen.domains, *seen.unread})

    def labels(self, name: str, seen: Seen) -> Mapping[str, str]:
        """The labels in the metadata."""
        return read_labels(seen.domains[name].stored.root) if name in seen.domains else {}

    def plan(self, want: Spec, seen: Seen) -> list[Step]:
        """See plan."""
        return vm_plan.plan(want, seen)

    def describe(self, name: str, seen: Seen) -> Mapping[str, Any] | None:
        """The guest as it was seen."""
        have = seen.domains.get(name)
        return None if have is None or have.making is not None else guest_now(have).as_dict()

    def foresee(self, want: Spec, steps: Sequence[Step], seen: Seen) -> Mapping[str, Any] | None:
        """The guest as it will be."""
        if want.state == "absent":
            return None
        have = seen.domains.get(want.name)
        if have is not None and have.making is not None:
            have = None
        shown = dict(VMS.shown(want))
        fresh = Guest(
            want.name,
            "kvm",
            image=vm_target.source_name(want),
            cpus=1,
            memory=format_size(vm_target.memory_of_new(want)),
        )
        now = guest_now(have) if have else None
        guest = foreseen(now, fresh, shown, steps)
        if guest is None or have is None or not steps:
            return guest.as_dict() if guest else None
        ends = {step.action for step in steps} & {Action.RESTART, Action.STOP, Action.START}
        done = seen.compared[want.name]
        waiting = [] if ends or have.live is None else pending_after(done.want, have, done.changes)
        effect: dict[str, Any] = {}
        if have.live is not None and not ends and now is not None:
            # What waits for a restart is not in effect.
            effect = {key: getattr(now, key) for key in ("cpus", "memory") if key in waiting}
        return replace(guest, pending_restart=tuple(waiting), **effect).as_dict()

    def wait_for(self, want: Spec) -> None:
        """Return when the guest runs, has an address, or its agent answers."""
        vm_power.wait(self.host, want)

    def do_pause(self, want: Spec, _step: Step, _seen: Seen) -> None:
        """Suspend it."""
        self.host.ask(self._domain(want.name).suspend)

    def do_resume(self, want: Spec, _step: Step, _seen: Seen) -> None:
        """Let it go on."""
        self.host.ask(self._domain(want.name).resume)

    # One step each.

    def _domain(self, name: str) -> Any:
        return self.host.ask(self.host.conn.lookupByName, name)

    def _now(self, want: Spec, seen: Seen) -> tuple[Any, Domain]:
        """The domain as it is at this moment: earlier steps have changed it."""
        domain = self._domain(want.name)
        before = seen.domains.get(want.name)
        state = vm_power.state_of(self.host, domain)
        sizes = before.stored.sizes if before else {}
        have = look(
            self.host, domain, state, bool(before and before.stored.autostart), sizes, secure=True, places=seen.places()
        )
        if have is None:
            raise BackendError("the guest is gone", remedy="Run again")
        return domain, have

    def _try_out(self, done: Comparison, have: Domain) -> None:
        """What libvirt does not take is refused before the first of several changes."""
        name = done.want.name
        root = None if name in self._taken else trial(done, have)
        if root is not None:
            vm_define.try_out(self.host, done.want, root, have.stored.root)
        self._taken.add(name)

    def do_create(self, want: Spec, _step: Step, seen: Seen) -> None:
        done = seen.compared[want.name]
        full, source = done.want, want.steering.get("source") or {}
        fresh = [each.path for each in done.making if not each.there]
        whole = vm_target.creation(full, seen, str(uuid.uuid4()))
        self._made[want.name] = []
        domain = vm_define.define(self.host, full, vm_target.unfinished(whole, fresh) if fresh else whole)
        with taken_back(lambda: self._undo(want.name)):
            for each in done.making:
                vm_volumes.make(self.host, want.name, each, source, self._made[want.name])
            if fresh:
                # Whole now: the note of what was being made goes.
                domain = vm_define.define(self.host, full, whole)
            if full.values.get("autostart"):
                self.host.ask(domain.setAutostart, 1)

    def _undo(self, name: str) -> None:
        """Nothing is left of what could not be made."""
        vm_volumes.delete_unused(self.host, name, self._made.pop(name))
        self._undefine(name)

    def _undefine(self, name: str) -> None:
        domain = self.host.find(self.host.conn.lookupByName, name)
        if domain is not None:
            self.host.find(domain.undefineFlags, vm_volumes.flags_for_undefine(self.host.version))

    def do_clean(self, want: Spec, step: Step, seen: Seen) -> None:
        left = step.subject
        if left.trial:
            vm_define.define(self.host, want, self._now(want, seen)[1].stored.root)
        elif left.seed:
            self._forget(want, self._now(want, seen)[1].stored.root, left.seed)
        else:
            vm_volumes.delete_unused(self.host, want.name, seen.domains[want.name].making or ())
            self._undefine(want.name)

    def do_set(self, want: Spec, step: Step, seen: Seen) -> None:
        """Live first: what the guest does not follow is not written down either."""
        domain, have = self._now(want, seen)
        done = seen.compared[want.name]
        full, changes = done.want, step.subject
        self._try_out(done, have)
        old_seed = vm_seed.seed_path(have.stored.root, want.name)
        live_seed = vm_seed.seed_path(have.live.root, want.name) if have.live else ""
        made: list[str] = []
        # Volumes of a change that could not be made go again, unless the guest has come to use them.
        with taken_back(
            lambda: vm_volumes.delete_unused(self.host, "", made), "what was made for it could not be removed"
        ):
            for making in done.making:
                if making.key in [each.key for each in changes]:
                    vm_volumes.make(self.host, want.name, making, {}, made)
            for each in changes if have.live is not None else ():
                if each.hot:
                    each.option.live(self.host, domain, live_change(full, each, have))
            root = written(full, have.stored, cold(changes))
            stale = (
                old_seed
                if old_seed != vm_seed.seed_path(root, want.name) and (step.disruption or live_seed != old_seed)
                else ""
            )
            if stale:
                ET.SubElement(guest_note(root), STALE, {"path": stale})
            if serialize(root) != serialize(have.stored.root):
                domain = vm_define.define(self.host, full, root, have.stored.root)
        for option in {each.option.name: each.option for each in changes}.values():
            if option.tell is not None:
                option.tell(self.host, domain, full.values[option.name], root, have.live is not None)
        if stale:
            self._forget(want, root, stale)

    def _forget(self, want: Spec, root: Element, path: str) -> None:
        """Remove a seed that is in no drive any more, and then the note of it."""
        vm_volumes.delete(self.host, path)
        before = copied(root)
        note = guest_note(root)
        for each in note.findall(STALE):
            if each.get("path") == path:
                note.remove(each)
        vm_target.drop_empty_note(root)
        vm_define.define(self.host, want, root, before)

    do_attach = do_detach = do_set

    def do_resize(self, want: Spec, step: Step, seen: Seen) -> None:
        domain, have = self._now(want, seen)
        self._try_out(seen.compared[want.name], have)
        for each in step.subject:
            each.option.grow(self.host, domain, each, have)

    def do_start(self, want: Spec, _step: Step, seen: Seen) -> None:
        # Made a moment ago by this very plan: nothing is left of what cannot be started.
        with taken_back(lambda: self._undo(want.name) if want.name in self._made else None):
            vm_power.start(self.host, self._domain(want.name))

    def do_restart(self, want: Spec, _step: Step, _seen: Seen) -> None:
        domain = self._domain(want.name)
        paused = vm_power.state_of(self.host, domain) == "paused"
        vm_power.stop(self.host, want, domain)
        vm_power.start(self.host, domain)
        if paused:
            self.host.ask(domain.suspend)

    def do_stop(self, want: Spec, step: Step, _seen: Seen) -> None:
        # Not stopped for nothing.
        vm_volumes.check_unused(self.host, want.name, _volumes(step))
        vm_power.stop(self.host, want, self._domain(want.name))

    def do_remove(self, want: Spec, step: Step, _seen: Seen) -> None:
        vm_volumes.check_unused(self.host, want.name, _volumes(step))
        # The volumes first: once the domain is gone, nobody knows any more that they were its own.
        for path in _volumes(step):
            vm_volumes.delete(self.host, path)
        self._undefine(want.name)


def _volumes(step: Step) -> Sequence[str]:
    """The volumes that go with the guest; none of one that cannot be read."""
    return step.subject.paths if isinstance(step.subject, VolumesToRemove) else ()


def guest_now(have: Domain) -> Guest:
    """The result form, with what waits for a restart."""
    return guest_of(have, pending(have.stored, have.live) if have.live else ())
