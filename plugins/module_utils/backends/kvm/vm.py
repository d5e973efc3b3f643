# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Virtual machines as a resource: the only code that changes one."""

from __future__ import annotations

import os
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ...engine.action import Action
from ...engine.compare import key_of
from ...engine.errors import BackendError, KraalError
from ...engine.plan import Step
from ...engine.resource import Guests
from ...engine.result import Guest, foreseen
from ...engine.spec import Spec
from ...engine.units import format_size
from . import vm_define, vm_plan, vm_power, vm_seed, vm_target, vm_volumes
from . import vm_devices as dev
from . import vm_networks as nets
from .client import Host, LibvirtError
from .constants import constant
from .vm_observe import STALE, Domain, Seen, guest_of, look, observe
from .vm_options import BY_NAME, VMS
from .vm_settings import View, guest_note, read_labels
from .vm_storage import Making, doomed, to_make
from .vm_survey import survey, with_chains
from .vm_xml import ET, Element, copied, get
from .xml import NAMESPACE, serialize

#: How long a running guest may take to follow a change that needs its help.
FOLLOWS = 20


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
        """See vm_survey."""
        return survey(self.host, wants) if wants is not None else observe(self.host, None)

    def names(self, seen: Seen) -> list[str]:
        """All domains, those that were not finished and those that cannot be read as well."""
        return sorted({*seen.domains, *seen.unread})

    def labels(self, name: str, seen: Seen) -> Mapping[str, str]:
        """The labels in the metadata."""
        return read_labels(seen.domains[name].stored.root) if name in seen.domains else {}

    def plan(self, want: Spec, seen: Seen) -> list[Step]:
        """See vm_plan."""
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
        fresh = Guest(want.name, "kvm", image=vm_target.source_name(want), cpus=1, memory=format_size(vm_target.memory_of_new(want)))
        now = guest_now(have) if have else None
        guest = foreseen(now, fresh, shown, steps)
        if guest is None or have is None or not steps:
            return guest.as_dict() if guest else None
        ends = {step.action for step in steps} & {Action.RESTART, Action.STOP, Action.START}
        waiting = [] if ends or have.live is None else vm_plan.pending_after(vm_target.wanted(want, seen, have), have)
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
        have = look(self.host, domain, state, bool(before and before.stored.autostart), sizes, secure=True, places=seen.places())
        if have is None:
            raise BackendError("the guest is gone", remedy="Run again")
        # A snapshot may have been made since the plan.
        return domain, with_chains(self.host, seen, want, have)

    def _try_out(self, want: Spec, seen: Seen, have: Domain) -> None:
        """What libvirt does not take is refused before the first of several changes. ``want`` is filled in."""
        root = None if want.name in self._taken else vm_plan.outcome(want, seen, have)
        if root is not None:
            vm_define.try_out(self.host, want, root, have.stored.root)
        self._taken.add(want.name)

    def do_create(self, want: Spec, _step: Step, seen: Seen) -> None:
        want = vm_target.wanted(want, seen, None)
        source = want.steering.get("source") or {}
        making = to_make(want, seen, None)
        fresh = [each.path for each in making if not each.there]
        seed = vm_target.path_of_seed(want, seen) if "cloud_init" in want.values else ""
        key = str(uuid.uuid4())
        begun = bool(fresh or seed)
        self._made[want.name] = []
        domain = vm_define.define(self.host, want, vm_target.creation(want, seen, key, [*fresh, *([seed] if seed else [])]))
        try:
            for each in making:
                self._make(want, each, source, self._made[want.name])
            if seed:
                self._made[want.name].append(seed)
                self._make_seed(want, seen, seed)
            if begun:
                # Whole now: the note of what was being made goes.
                domain = vm_define.define(self.host, want, vm_target.creation(want, seen, key))
            if want.values.get("autostart"):
                self.host.ask(domain.setAutostart, 1)
        except KraalError as error:
            self._undo(want.name, error)
            raise

    def _make(self, want: Spec, each: Making, source: Mapping[str, Any], made: list[str]) -> None:
        shareable = any(disk.get("shareable") for disk in want.values["disks"].values() if disk.get("path") == each.path)
        vm_volumes.make(self.host, each, source, made, shareable=shareable)

    def _undo(self, name: str, error: KraalError) -> None:
        """Nothing is left of what could not be made."""
        try:
            vm_volumes.delete_unused(self.host, name, self._made.pop(name))
            self._undefine(name)
        except KraalError as other:
            error.message += "; what there is of it could not be removed: %s" % other.message

    def _undefine(self, name: str) -> None:
        domain = self.host.find(self.host.conn.lookupByName, name)
        if domain is not None:
            self.host.find(domain.undefineFlags, vm_volumes.flags_for_undefine(self.host.version))

    def _make_seed(self, want: Spec, seen: Seen, path: str) -> None:
        """A seed that no domain has yet: one of that name is what a run that died has left."""
        pool = seen.pool_of(path)
        if pool is None:
            raise BackendError("the pool for the seed is gone", remedy="Run again")
        vm_volumes.delete(self.host, path)
        vm_volumes.send_bytes(self.host, pool.name, os.path.basename(path), vm_seed.build(want.values["cloud_init"], want.name))

    def do_clean(self, want: Spec, step: Step, seen: Seen) -> None:
        have = seen.domains[want.name]
        if step.before in [key_of("disks", target) for target in have.tried]:
            vm_define.define(self.host, want, self._now(want, seen)[1].stored.root)
            return
        if step.before != want.name:
            self._forget(want, self._now(want, seen)[1].stored.root, str(step.before))
            return
        vm_volumes.delete_unused(self.host, want.name, have.making or ())
        self._undefine(want.name)

    def do_set(self, want: Spec, step: Step, seen: Seen) -> None:
        """Live first: what the guest does not follow is not written down either."""
        domain, have = self._now(want, seen)
        full = vm_target.wanted(want, seen, have)
        self._try_out(full, seen, have)
        keys = vm_plan.keys_of_step(step)
        old_seed = vm_seed.seed_path(have.stored.root, want.name)
        # Those of other disks have steps of their own.
        mine = {disk.get("path") for target, disk in full.values.get("disks", {}).items() if key_of("disks", target) in keys}
        seed, live_seed = "", vm_seed.seed_path(have.live.root, want.name) if have.live else ""
        made: list[str] = []
        try:
            for each in to_make(full, seen, have):
                if each.path in mine:
                    self._make(full, each, {}, made)
            if "cloud_init" in keys:
                seed = vm_target.path_of_seed(full, seen)
                if seed not in (old_seed, live_seed):
                    made.append(seed)
                    self._make_seed(full, seen, seed)
            if step.disruption and have.live is not None:
                self._live(full, step, domain, have, seed)
            found = vm_target.differences(full, have.stored)
            root = vm_target.written(full, have.stored, found, keys)
            stale = old_seed if seed and old_seed != seed and (step.disruption or live_seed != old_seed) else ""
            if seed:
                vm_target.set_seed(root, want.name, seed)
            if stale:
                ET.SubElement(guest_note(root), STALE, {"path": stale})
            if serialize(root) != serialize(have.stored.root):
                domain = vm_define.define(self.host, want, root, have.stored.root)
        except KraalError as error:
            self._clear(made, error)
            raise
        if "autostart" in keys:
            self.host.ask(domain.setAutostart, int(full.values["autostart"]))
        if have.live is not None:
            self._tell_live(domain, root, keys)
        if stale:
            self._forget(want, root, stale)

    def _clear(self, made: Sequence[str], error: KraalError) -> None:
        """Remove the volumes of a change that could not be made, unless the guest has come to use them."""
        try:
            vm_volumes.delete_unused(self.host, "", made)
        except KraalError as other:
            error.message += "; what was made for it could not be removed: %s" % other.message

    def _forget(self, want: Spec, root: Element, path: str) -> None:
        """Remove a seed that is in no drive any more, and then the note of it."""
        vm_volumes.delete(self.host, path)
        before = copied(root)
        note = guest_note(root)
        for each in note.findall(STALE):
            if each.get("path") == path:
                note.remove(each)
        vm_target.tidy(root)
        vm_define.define(self.host, want, root, before)

    def _tell_live(self, domain: Any, root: Element, keys: Sequence[str]) -> None:
        """Labels and descriptions are stored; a guest that runs has its own copy of them."""
        names = {key.partition("[")[0] for key in keys}
        if "description" in names:
            self.host.ask(domain.setMetadata, constant("DOMAIN_METADATA_DESCRIPTION"), get(root, "description"), None, None, constant("DOMAIN_AFFECT_LIVE"))
        if "labels" in names:
            note = root.find("metadata/{%s}guest" % NAMESPACE)
            # Libvirt puts the namespace in by itself.
            text = serialize(_plain(note)) if note is not None else None
            self.host.ask(domain.setMetadata, constant("DOMAIN_METADATA_ELEMENT"), text, "kraal", NAMESPACE, constant("DOMAIN_AFFECT_LIVE"))

    def _live(self, want: Spec, step: Step, domain: Any, have: Domain, seed: str) -> None:
        """Bring one change about in the guest that runs."""
        option, _bracket, rest = step.key.partition("[")
        key = rest[:-1]
        live = have.live or have.stored
        affect = constant("DOMAIN_AFFECT_LIVE")
        if option == "memory":
            self._balloon(want.values["memory"], domain)
        elif option == "cpus":
            self.host.ask(domain.setVcpusFlags, want.values["cpus"], affect)
        elif option == "cloud_init":
            self._update_disk(domain, serialize(vm_target.set_seed(live.root, want.name, seed)), affect)
        elif option == "disks":
            self._live_disk(want, key, domain, live, affect)
        else:
            self._live_network(want, key, domain, have, affect)

    def _balloon(self, size: int, domain: Any) -> None:
        self.host.ask(domain.setMemoryFlags, size // 1024, constant("DOMAIN_AFFECT_LIVE"))

        def follows() -> bool:
            return bool(self.host.ask(domain.info)[2] * 1024 == size)

        if not vm_power.until(follows, FOLLOWS):
            raise BackendError(
                "memory: the guest did not follow within %d seconds" % FOLLOWS,
                remedy="See that it has the driver of the memory balloon (virtio_balloon), or stop it and start it with the new size",
            )

    def _live_disk(self, want: Spec, target: str, domain: Any, live: View, affect: int) -> None:
        found = [each for each in vm_target.differences(want, live) if each.option.name == "disks"]
        root = vm_target.written(want, live, found, ["disks[%s]" % target])
        old, new = dev.disk_of(live.root, target), dev.disk_of(root, target)
        if new is None and old is not None:
            self.host.ask(domain.detachDeviceFlags, serialize(old), affect)
            vm_power.wait_gone(self.host, domain, lambda tree: dev.disk_of(tree, target) is not None, "disk %s" % target)
        elif new is not None and old is None:
            controller = dev.scsi_controller(root)
            if controller is not None and dev.scsi_controller(live.root) is None:
                self.host.ask(domain.attachDeviceFlags, serialize(controller), affect)
            self.host.ask(domain.attachDeviceFlags, serialize(new), affect)
        elif new is not None:
            self._update_disk(domain, serialize(new), affect)

    def _update_disk(self, domain: Any, text: str, affect: int) -> None:
        try:
            self.host.ask(domain.updateDeviceFlags, text, affect)
        except LibvirtError as error:
            if "Tray of the device is not open" not in error.message:
                raise
            # Firmware that starts resets its drives, and a tray closes between libvirt's opening it and putting the CD in (QEMU 10.0).
            self.host.ask(domain.updateDeviceFlags, text, affect)

    def _live_network(self, want: Spec, key: str, domain: Any, have: Domain, affect: int) -> None:
        live = have.live or have.stored
        there = nets.rekeyed(want.values["networks"], BY_NAME["networks"].read(live))
        found = [each for each in vm_target.differences(want, live) if each.option.name == "networks"]
        root = vm_target.written(want, live, found, ["networks[%s]" % key])
        # A network's address in the stored configuration is the one that it shall have: it may have been there before.
        stored = nets.rekeyed(want.values["networks"], BY_NAME["networks"].read(have.stored)).get(key, {})
        mac = (there.get(key) or {}).get("mac") or want.values["networks"].get(key, {}).get("mac") or nets.own_mac(root, key)
        old, new = nets.interface_of(live.root, mac), nets.interface_of(root, mac)
        if new is None and old is not None:
            self.host.ask(domain.detachDeviceFlags, serialize(old), affect)
            vm_power.wait_gone(self.host, domain, lambda tree: nets.interface_of(tree, mac) is not None, "network %s" % key)
        elif new is not None and old is None:
            if stored.get("mac"):
                new.find("mac").set("address", stored["mac"])  # type: ignore[union-attr]
            self.host.ask(domain.attachDeviceFlags, serialize(new), affect)
        elif new is not None:
            self.host.ask(domain.updateDeviceFlags, serialize(new), affect)

    do_attach = do_detach = do_set

    def do_resize(self, want: Spec, step: Step, seen: Seen) -> None:
        domain, have = self._now(want, seen)
        target = step.key.partition("[")[2][:-1]
        full = vm_target.wanted(want, seen, have)
        self._try_out(full, seen, have)
        size = full.values["disks"][target]["size"]
        if have.live is not None:
            vm_volumes.grow_live(self.host, domain, target, BY_NAME["disks"].read(have.live).get(target, {}).get("path", ""), size)
        else:
            vm_volumes.grow(self.host, BY_NAME["disks"].read(have.stored)[target]["path"], size)

    def do_start(self, want: Spec, _step: Step, seen: Seen) -> None:
        try:
            vm_power.start(self.host, self._domain(want.name))
        except BackendError as error:
            if want.name in self._made:
                # Made a moment ago by this very plan: nothing is left of what cannot be started.
                self._undo(want.name, error)
            raise

    def do_restart(self, want: Spec, step: Step, seen: Seen) -> None:
        domain = self._domain(want.name)
        paused = vm_power.state_of(self.host, domain) == "paused"
        vm_power.stop(self.host, want, domain)
        vm_power.start(self.host, domain)
        if paused:
            self.host.ask(domain.suspend)

    def do_stop(self, want: Spec, _step: Step, seen: Seen) -> None:
        if want.state == "absent" and want.steering.get("remove_storage"):
            # Not stopped for nothing.
            vm_volumes.check_unused(self.host, want.name, doomed(want.name, seen, seen.domains[want.name]))
        vm_power.stop(self.host, want, self._domain(want.name))

    def do_remove(self, want: Spec, step: Step, _seen: Seen) -> None:
        vm_volumes.check_unused(self.host, want.name, step.before.get("volumes", ()))
        # The volumes first: once the domain is gone, nobody knows any more that they were its own.
        for path in step.before.get("volumes", ()):
            vm_volumes.delete(self.host, path)
        self._undefine(want.name)


def guest_now(have: Domain) -> Guest:
    """The result form, with what waits for a restart."""
    return guest_of(have, vm_target.pending(have.stored, have.live) if have.live else ())


def _plain(element: Element) -> Element:
    """An element without namespaces."""
    copy = copied(element)
    for each in copy.iter():
        each.tag = each.tag.rpartition("}")[2]
    return copy
