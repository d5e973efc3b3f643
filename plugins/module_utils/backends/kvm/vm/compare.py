# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where a domain differs from what is wanted, what of that can be done live, and the tree that results. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ....engine.action import Action
from ....engine.compare import compared
from ....engine.kinds import Part
from ....engine.spec import Spec
from ..xml import canonical, serialize
from . import devices as dev
from .fields import DeviceSet
from .model import NO_IMAGE, Change, Comparison, Domain, Edit, LiveChange, View, VmOption
from .options import OPTIONS, VMS
from .overlay import overlay_seen, overlay_values
from .slots import with_room
from .xml import Element, copied, drop, drop_place, make, put

#: By the option's name, and the entry's key; that is empty for an option without entries.
Edits = Mapping[tuple[str, str], Edit]


def edits(want: Spec, view: View) -> Edits:
    """Every entry that is wanted and is not so in this description. ``want`` is filled in."""
    seen = {option.name: option.seen(want, view) for option in OPTIONS if option.name in want.values}
    found = {}
    for each in compared(VMS, want, seen):
        before, after = seen[each.option.name], each.value
        for part in each.parts:
            old, new = ((side or {}).get(part.key) if part.key else side for side in (before, after))
            found[each.option.name, part.key] = Edit(part, old, new)
    return found


def written(want: Spec, view: View, changes: Edits) -> Element:
    """The tree with these changes in it. Everything else is as it was."""
    root = copied(view.root)
    for option in OPTIONS:
        mine = {entry: edit for (name, entry), edit in changes.items() if name == option.name}
        if not mine:
            continue
        before = option.seen(want, view)
        option.write(root, before, want.values[option.name] if option.whole else _after(before, mine))
    if any(device.find("boot") is not None for device in make(root, "devices")):
        drop(root, "os/boot")
    return root


def _after(before: Any, changes: Mapping[str, Edit]) -> Any:
    """An option's value with these changes in it.

    Of an entry that is there, only the fields that differed when it was compared: others may have changed since.
    """
    if "" in changes:
        return changes[""].after
    after = dict(before or {})
    for key, edit in changes.items():
        there = after.get(key)
        if edit.after is None:
            after.pop(key, None)
        elif isinstance(edit.before, Mapping) and isinstance(there, Mapping):
            after[key] = {**there, **edit.fields}
        else:
            after[key] = edit.after
    return after


def cold(changes: Iterable[Change]) -> Edits:
    """What of these changes is not stored yet."""
    return {(each.option.name, each.entry): each.cold for each in changes if each.cold is not None}


def changes(want: Spec, have: Domain) -> list[Change]:
    """All entries that differ, in what is stored or in what is in effect. ``want`` is filled in. Raises Refused."""
    view = have.live if want.state != "stopped" else None
    stored = edits(want, have.stored)
    live = edits(want, view) if view is not None else {}
    found: list[Change] = []
    for option in OPTIONS:
        for entry in sorted({entry for name, entry in (*stored, *live) if name == option.name}):
            found += _changes_of(option, entry, stored.get((option.name, entry)), live.get((option.name, entry)), view)
    return found if view is None else list(with_room(found, view))


def _changes_of(
    option: VmOption, entry: str, stored: Edit | None, live: Edit | None, view: View | None
) -> Iterator[Change]:
    """``view``: the guest as it runs; None where it does not, or is stopped anyway."""
    differs = stored if option.live is None else live or stored
    if differs is None or (option.follows and stored is None):
        return
    part = differs.part
    if stored is not None and option.grows(entry, stored):
        yield Change(option, entry, part, stored, live, view is not None, Action.RESIZE)
        rest = _without_size(stored)
        if rest is not None:
            yield Change(option, entry, rest.part, rest)
    elif option.live is not None and live is not None and view is not None and option.hot(live, view):
        yield Change(option, entry, part, stored, live, True, _action(option, part))
    elif stored is not None:
        yield Change(option, entry, stored.part, stored)


def _action(option: VmOption, part: Part) -> Action:
    if not isinstance(option.kind, DeviceSet):
        return Action.SET
    return Action.ATTACH if part.before is None else Action.DETACH if part.after is None else Action.SET


def _without_size(edit: Edit) -> Edit | None:
    """The rest of a disk's difference beside its size."""
    shown, real = (
        [_sizeless(side) for side in sides]
        for sides in ((edit.part.before, edit.part.after), (edit.before, edit.after))
    )
    return Edit(edit.part._replace(before=shown[0], after=shown[1]), real[0], real[1]) if shown[0] != shown[1] else None


def _sizeless(record: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in record.items() if name != "size"}


def live_change(want: Spec, change: Change, have: Domain) -> LiveChange:
    """What a change means in the guest as it runs now. ``want`` is filled in."""
    option, live = change.option, have.live or have.stored
    effect, stored = (option.seen(want, view) for view in (live, have.stored)) if change.entry else ({}, {})
    then = written(want, live, {(option.name, change.entry): change.warm} if change.warm else {})
    return LiveChange(
        change.entry, want.values[option.name], effect.get(change.entry), stored.get(change.entry), live.root, then
    )


def trial(done: Comparison, have: Domain) -> Element | None:
    """What a guest becomes by several changes, for libvirt to try before the first; None where the first is one
    definition that says as much.

    A run that dies while it is tried out leaves it, and the next one goes on from there. So what that one would take
    for done is not in it: what a guest was told that follows in its own time, a seed, and the images that are still to
    be made.
    """
    missing = {each.path for each in done.making if not each.there}
    if not missing and not any(each.hot or each.action == Action.RESIZE for each in done.changes):
        return None
    root = written(
        done.want,
        have.stored,
        cold(each for each in done.changes if each.option.tried and not (each.option.follows and each.hot)),
    )
    for disk in dev.devices(root, "disk"):
        if dev.source_of(disk) in missing:
            dev.set_source(disk, NO_IMAGE)
            put(disk, "driver@type", "raw")
    return None if serialize(root) == serialize(have.stored.root) else root


def order_lost(want: Spec, have: Domain, found: Sequence[Change]) -> str:
    """The kinds of devices that a guest is booted from in turn, where a device that gets a place of its own in the
    order takes that away; empty where nothing is lost, or what libvirt gives to every guest.
    """
    order = [each.get("dev", "") for each in have.stored.root.findall("os/boot")]
    if order in ([], ["hd"]) or written(want, have.stored, cold(found)).find("os/boot") is not None:
        return ""
    return ", ".join(order)


def pending_after(want: Spec, have: Domain, found: Sequence[Change]) -> list[str]:
    """What will wait for a restart once these changes are made."""
    if have.live is None:
        return []
    after = replace(have.stored, root=written(want, have.stored, cold(found)))
    done = {each.key for each in found if each.option.tell or (each.hot and each.action != Action.RESIZE)}
    return [key for key in pending(after, have.live) if key not in done]


def pending(stored: View, live: View) -> list[str]:
    """What is stored and not in effect, in the words of a task: it waits for a restart."""
    found = [key for option in OPTIONS for key in option.waiting(stored, live)]
    return sorted([*found, *(f"xml[{tag}]" for tag in _other(stored.root, live.root))])


#: What the live XML says the same way: an overlay, or another program, may have changed it.
_PARTS = (
    *(
        "features",
        "clock",
        "pm",
        "memtune",
        "blkiotune",
        "cputune",
        "numatune",
        "memoryBacking",
        "sysinfo",
    ),
    *("launchSecurity", "keywrap", "{http://libvirt.org/schemas/domain/qemu/1.0}commandline"),
)
#: The places in these of which an option speaks.
_SPOKEN = {
    path: [
        place[len(path) :].lstrip("/")
        for each in OPTIONS
        for place in each.places
        if place.startswith((path + "/", path + "@"))
    ]
    for path in _PARTS
}
_DEVICES = ("input", "sound", "hub", "redirdev", "iommu", "panic", "smartcard", "memory", "vsock")
_SPOKEN_DEVICES = [f"devices/{place}" for each in OPTIONS for place in each.devices]
_GIVEN = ("address", "alias", "seclabel")


def _without_options(element: Element | None, path: str) -> Element | None:
    """A part without what options speak of; None where nothing else is in it."""
    if element is None or not _SPOKEN[path]:
        return element
    rest = copied(element)
    for place in _SPOKEN[path]:
        drop_place(rest, place)
    return rest if len(rest) or rest.attrib or (rest.text or "").strip() else None


def _other(stored: Element, live: Element) -> list[str]:
    """The names of the other elements that are stored and not in effect.

    What libvirt adds to a guest as it starts waits for nothing.
    """
    found = []
    for path in _PARTS:
        for number, each in enumerate(stored.findall(path)):
            part = _without_options(each, path)
            there = _without_options(next(iter(live.findall(path)[number:]), None), path)
            if part is None or (there is not None and canonical(part, _GIVEN) == canonical(there, _GIVEN)):
                continue
            wished = overlay_values(part)
            if there is None or any(overlay_seen(part, there).get(key) != value for key, value in wished.items()):
                found.append(path.rpartition("}")[2])
    found += [tag for tag in _DEVICES if _unspoken(stored, tag) != _unspoken(live, tag)]
    return found


def _unspoken(root: Element, tag: str) -> list[Any]:
    """The devices of which no option speaks."""
    spoken = [each for place in _SPOKEN_DEVICES for each in root.findall(place)]
    return sorted(canonical(each, _GIVEN) for each in root.findall("devices/" + tag) if each not in spoken)
