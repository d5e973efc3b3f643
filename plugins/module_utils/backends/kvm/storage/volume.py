# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Volumes of a pool as a resource.

A volume is somebody's data: it is never made smaller, and never deleted while anybody uses it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any

from ....engine.action import Action, Disruption
from ....engine.errors import BackendError, InvalidOption, KraalError, Refused
from ....engine.plan import Step
from ....engine.resource import Resource
from ....engine.spec import Spec
from ....engine.units import format_size
from ..client import Host, LibvirtError, NotThere, code
from ..names import INCOMPLETE, PART, check_name
from ..xml import Element, attribute, parse, serialize, size_of, text_of
from .block_jobs import busy, job_on
from .pool_work import create, grown, present, refresh
from .use import real, uses_of
from .volume_import import Image, examine, send
from .volume_options import DEVICES, STEP, STEPS, VOLUMES_TABLE, backing_of, defined
from .volume_seen import (
    Seen,
    backing_wanted,
    expected,
    names_of,
    pool_of,
    running_disk,
    shown,
    size_text,
    sources_of,
    users_of,
)

LIVE, DESTROY = Disruption.LIVE, Disruption.DESTROY
#: How libvirt says that a new volume's name is taken, where it has no number for that.
_TAKEN = ("already exists", "' already in use")


class Volumes(Resource[Seen]):
    """All volumes that a task may speak of."""

    table = VOLUMES_TABLE

    def __init__(self, host: Host) -> None:
        self.host, self.place = host, host.place

    def observe(self, wants: Sequence[Spec] | None) -> Seen:
        """The pools and volumes that the tasks name, and all guests; where a volume is to go, all volumes."""
        seen, wants = Seen(), wants or ()
        for pool, name in {pair for want in wants for pair in names_of(want)}:
            if pool not in seen.pools and not self._see_pool(seen, pool):
                continue
            self._see_volume(seen, pool, name)
        for pool, name in [pair for pair in seen.volumes if (pair[0], pair[1] + INCOMPLETE) in seen.volumes]:
            seen.incomplete[pool, name] = seen.volumes.pop((pool, name))
        going = any(
            (pool_of(want), want.name)
            in (seen.incomplete if want.state != "absent" else {**seen.volumes, **seen.incomplete})
            for want in wants
        )
        seen.uses = uses_of(self.host, volumes=going)
        for volume in (*seen.volumes.values(), *seen.incomplete.values()):
            for path in (text_of(volume, "target/path"), (backing_of(volume) or {}).get("path")):
                if path:
                    seen.real[path] = real(self.host, path)
        for want in wants:
            backing = want.values.get("backing") or {}
            if backing.get("path"):
                seen.real[backing["path"]] = real(self.host, backing["path"])
            if "import" in want.values and want.state != "absent" and (pool_of(want), want.name) not in seen.volumes:
                try:
                    seen.images[want.name] = examine(want.values["import"])
                except KraalError as error:
                    seen.images[want.name] = error
        for want in wants:
            self._see_job(seen, want)
        return seen

    def _see_job(self, seen: Seen, want: Spec) -> None:
        """The block job on the disk whose volume is to grow."""
        volume, capacity = seen.volumes.get((pool_of(want), want.name)), want.values.get("capacity")
        if volume is None or capacity is None or capacity <= (size_of(volume.find("capacity")) or 0):
            return
        use = running_disk(want, seen)
        if use is None:
            return
        domain = self.host.find(self.host.conn.lookupByName, use.guest)
        tree = parse(self.host.ask(domain.XMLDesc, 0)) if domain is not None else None
        for disk in tree.iterfind("devices/disk") if tree is not None else ():
            job = job_on(self.host, domain, disk) if attribute(disk, "target", "dev") == use.device else None
            if job is not None:
                seen.jobs[pool_of(want), want.name] = (use.guest, use.device, job)

    def _see_pool(self, seen: Seen, name: str) -> bool:
        pool = self.host.find(self.host.conn.storagePoolLookupByName, name)
        if pool is not None:
            active = bool(self.host.ask(pool.isActive))
            seen.pools[name] = parse(self.host.ask(pool.XMLDesc, 0)).get("type", "") if active else None
        return seen.pools.get(name) is not None

    def _see_volume(self, seen: Seen, pool: str, name: str) -> None:
        if seen.pools.get(pool) is None:
            return
        with suppress(NotThere):
            seen.volumes[pool, name] = parse(self.host.ask(self._volume(pool, name).XMLDesc, 0))

    def _volume(self, pool: str, name: str) -> Any:
        return self.host.ask(self.host.ask(self.host.conn.storagePoolLookupByName, pool).storageVolLookupByName, name)

    def plan(self, want: Spec, seen: Seen) -> list[Step]:
        """Pure."""
        pool = pool_of(want)
        check_name(pool, "pool")
        have, half = seen.volumes.get((pool, want.name)), seen.incomplete.get((pool, want.name))
        left = any((pool, want.name + ending) in seen.volumes for ending in (PART, INCOMPLETE))
        rest = [Step(want.name, Action.CLEAR, "content", "incomplete", None)] if left else []
        if want.state == "absent":
            if pool in seen.pools and seen.pools[pool] is None:
                raise InvalidOption(
                    "pool", pool, "is not active, so what is in it cannot be seen", remedy="Start it first (kvm_pool)"
                )
            # What is marked as incomplete bears the mark until it is gone.
            return [*self._removal(want, half if have is None else have, seen), *rest]
        if want.steering.get("wipe"):
            raise InvalidOption("wipe", True, "requires state=absent", remedy="Leave it out")
        self._check(want, seen, have)
        if half is not None:
            self._check_unused(want, half, seen, "it is incomplete, since the run that was making it died, and ")
        if have is None:
            return [*rest, Step(want.name, Action.CREATE, "", None, {"pool": pool, **self.table.shown(want)})]
        return [*rest, *self._changes(want, have, seen)]

    def _removal(self, want: Spec, have: Element | None, seen: Seen) -> list[Step]:
        if have is None:
            return []
        self._check_unused(want, have, seen)
        wipe = [Step(want.name, Action.WIPE, "content", None, None, DESTROY)] if want.steering.get("wipe") else []
        return [*wipe, Step(want.name, Action.REMOVE, "", shown(have), None, DESTROY)]

    def _check_unused(self, want: Spec, have: Element, seen: Seen, what: str = "") -> None:
        """Raises Refused for a volume that cannot go, because somebody uses it or may do so."""
        whole = "; or, if you know that it is whole, remove the volume %s" % (want.name + INCOMPLETE) if what else ""
        path = text_of(have, "target/path") or ""
        uses = sorted({use.guest for use in seen.uses.of(pool_of(want), want.name, seen.real.get(path, path))})
        if uses:
            raise Refused(
                "{}it is in use by: {}".format(what, ", ".join(uses)),
                remedy="Take it from these guests, or remove them, first" + whole,
            )
        overlays = sorted(seen.uses.overlays.get(seen.real.get(path, path), ()))
        if overlays:
            raise Refused(
                "{}these volumes are backed by it: {}".format(what, ", ".join(overlays)),
                remedy="Remove them first, or copy them whole (clone)" + whole,
            )
        doubt = seen.uses.doubt()
        if doubt is not None:
            raise doubt

    def _changes(self, want: Spec, have: Element, seen: Seen) -> list[Step]:
        form, wanted = attribute(have, "target/format", "type"), want.values.get("format")
        if wanted and form and wanted != form:
            raise Refused(
                f"format cannot change from {form} to {wanted}",
                remedy=f"Make another volume with clone={want.name} and format={wanted}",
            )
        below, stands_on = (backing_of(have) or {}).get("path", ""), (backing_wanted(want, seen) or {}).get("path", "")
        if stands_on and seen.real.get(stands_on, stands_on) != seen.real.get(below, below):
            raise Refused(
                "it is backed by {}, and not by {}".format(below or "no other image", stands_on),
                remedy="Make another volume with that backing",
            )
        size, capacity = size_of(have.find("capacity")) or 0, want.values.get("capacity")
        if capacity is None or size >= capacity and size - capacity < STEPS.get(seen.pools[pool_of(want)] or "", STEP):
            return []
        if capacity < size:
            raise Refused(
                f"capacity cannot shrink from {format_size(size)} to {format_size(capacity)}: what is beyond would "
                "be lost",
                remedy=f"Write {format_size(size)} or more; to have less, make a smaller volume and copy what is in "
                "this one from within a guest",
            )
        if seen.uses.unread:
            raise Refused(
                "capacity: it cannot be read what these guests use, and one that runs has to be told: {}".format(
                    ", ".join(sorted(seen.uses.unread))
                ),
                remedy="Look at them with virsh, or stop them and remove them first",
            )
        if (pool_of(want), want.name) in seen.jobs:
            guest, target, job = seen.jobs[pool_of(want), want.name]
            raise busy(guest, target, job, f"capacity: it is the disk {target} of {guest}")
        uses = users_of(want, seen)
        above = sorted({use.guest for use in uses if use.running and not use.device})
        if above and running_disk(want, seen) is None:
            raise Refused(
                "capacity: it backs the disks of guests that run ({}), which would not grow with it".format(
                    ", ".join(above)
                ),
                remedy="Ask for the size at the disk of the guest (kvm_vm), or stop these guests first",
            )
        return [Step(want.name, Action.RESIZE, "capacity", format_size(size), format_size(capacity), LIVE)]

    def _check(self, want: Spec, seen: Seen, have: Element | None) -> None:
        """Raises InvalidOption and Refused for what cannot be, before anything is touched."""
        pool, values = pool_of(want), want.values
        for name, option in ((pool, "pool"), *((pair[0], f"{key}.pool") for key, pair in sources_of(want).items())):
            if name not in seen.pools:
                raise InvalidOption(
                    option,
                    name,
                    "is not a pool of this libvirt",
                    remedy="Make it first (kvm_pool), or name another one",
                )
            if seen.pools[name] is None:
                raise InvalidOption(option, name, "is not active", remedy="Start it first (kvm_pool)")
        sources = [key for key in ("import", "clone", "backing") if key in values]
        if len(sources) > 1:
            raise InvalidOption(
                sources[1], values[sources[1]], f"does not go together with {sources[0]}", remedy="Keep one of them"
            )
        if have is not None:
            return
        for key, pair in sources_of(want).items():
            if pair in seen.incomplete:
                raise Refused(
                    f"{key}: {pair[1]} is incomplete, since the run that was making it died",
                    remedy="Run the task that makes it again first",
                )
            if pair not in seen.volumes:
                raise InvalidOption(
                    f"{key}.volume",
                    pair[1],
                    f"is not a volume of the pool {pair[0]}",
                    remedy="Make it first, or name another one",
                )
            self._check_quiet(key, pair, seen)
        image = seen.images.get(want.name)
        if isinstance(image, KraalError):
            raise image
        self._check_new(want, seen, expected(want, seen))

    def _check_quiet(self, key: str, pair: tuple[str, str], seen: Seen) -> None:
        path = text_of(seen.volumes[pair], "target/path") or ""
        users = sorted(
            {
                use.guest
                for use in seen.uses.of(*pair, seen.real.get(path, path))
                if use.running and use.device and not use.readonly
            }
        )
        if users:
            raise Refused(
                "{}: {} is being written to by: {}".format(key, pair[1], ", ".join(users)),
                remedy="Stop these guests first",
            )

    def _check_new(self, want: Spec, seen: Seen, values: Mapping[str, Any]) -> None:
        kind, least = seen.pools[pool_of(want)] or "", values["least"]
        if kind in DEVICES and values["format"] not in (None, "raw"):
            raise InvalidOption(
                "format",
                values["format"],
                f"is not for a pool of type {kind}, whose volumes are devices",
                remedy="Leave it out",
            )
        image = seen.images.get(want.name)
        if kind in DEVICES and isinstance(image, Image) and image.format != "raw":
            raise InvalidOption(
                "import.path",
                image.path,
                f"is {image.format}, and the pool's volumes are devices",
                remedy="Convert it to raw first",
            )
        if kind == "disk" and ("import" in want.values or "clone" in want.values):
            # Its partitions are named by libvirt, so that none can be called incomplete.
            raise InvalidOption(
                "pool",
                pool_of(want),
                "is of type disk, into which nothing is copied",
                remedy="Use another pool, or make an empty volume",
            )
        if "backing" in want.values and values["format"] == "raw":
            raise InvalidOption("format", "raw", "cannot have a backing image", remedy="Write qcow2, or leave it out")
        if "backing" in want.values and kind in DEVICES:
            raise InvalidOption(
                "backing", want.name, f"is not for a pool of type {kind}", remedy="Use a pool of files, or clone"
            )
        if values["capacity"] is None and "path" not in (want.values.get("backing") or {}):
            raise InvalidOption(
                "capacity", None, "is needed for a new volume", remedy="Write a size, or name what to make it from"
            )
        if not values["capacity"] and values["capacity"] is not None:
            raise InvalidOption("capacity", "0B", "is not a valid size of a volume", remedy="Write a size, like 10GiB")
        if least and values["capacity"] < least:
            raise InvalidOption(
                "capacity",
                format_size(values["capacity"]),
                f"is less than what it is made from has, {format_size(least)}",
                remedy="Write that or more",
            )

    def do_wipe(self, want: Spec, _step: Step, seen: Seen) -> None:
        """Overwrite its content."""
        self._check_still_unused(want, seen)
        self.host.ask(self._volume(pool_of(want), want.name).wipe, 0)

    def do_remove(self, want: Spec, _step: Step, seen: Seen) -> None:
        """Remove it, with its content."""
        self._check_still_unused(want, seen)
        self.host.ask(self._volume(pool_of(want), want.name).delete, 0)

    def _check_still_unused(self, want: Spec, seen: Seen, *, half: bool = False) -> None:
        """Now libvirt may look for images that it has not seen yet.

        ``half``: only what a run that died has left goes.
        """
        key = pool_of(want), want.name
        have = seen.incomplete.get(key) if half else seen.volumes.get(key, seen.incomplete.get(key))
        if have is not None:
            self._check_unused(want, have, replace(seen, uses=uses_of(self.host, volumes=True, anew=True)))

    def do_resize(self, want: Spec, _step: Step, seen: Seen) -> None:
        """Let it grow, and with it what a guest that runs sees of it."""
        pool, capacity = pool_of(want), want.values["capacity"]
        running = running_disk(want, seen)
        if seen.pools[pool] in DEVICES:
            capacity = grown(self.host, self._volume(pool, want.name), capacity)
        elif running is None:
            self.host.ask(self._volume(pool, want.name).resize, capacity, 0)
        if running is not None:
            # A guest that runs holds the image, and has to be told of its new size: a file it makes larger itself, of a
            # device that has grown it is told.
            domain = self.host.ask(self.host.conn.lookupByName, running.guest)
            self.host.ask(domain.blockResize, running.device, capacity, self.host.api.VIR_DOMAIN_BLOCK_RESIZE_BYTES)

    def do_create(self, want: Spec, _step: Step, seen: Seen) -> None:
        """Make it, and fill it with what it is to be made from."""
        ask, values, kind = self.host.ask, expected(want, seen), seen.pools[pool_of(want)] or ""
        pool = ask(self.host.conn.storagePoolLookupByName, pool_of(want))
        tree = defined(want.name, kind, values, backing_wanted(want, seen))
        image = seen.images.get(want.name)
        if kind in DEVICES and not isinstance(image, Image) and "clone" not in want.values:
            # A device is there, or it is not.
            create(self.host, pool, serialize(tree))
            return
        with self._cleared_after(pool) as begun:
            source = self._uploaded(pool, want, kind, image, begun) if isinstance(image, Image) else None
            if "clone" in want.values:
                source = self._volume(*sources_of(want)["clone"])
            if present(self.host, pool, want.name) is not None:
                raise _somebody_elses(want)
            mark = defined(want.name + INCOMPLETE, kind, {"capacity": STEPS.get(kind, STEP), "format": "raw"})
            begun.append(ask(create(self.host, pool, serialize(mark)).name))
            begun.append(want.name)
            try:
                volume = create(self.host, pool, serialize(tree), source)
            except LibvirtError as error:
                if error.code != code("STORAGE_VOL_EXIST") and not any(words in error.message for words in _TAKEN):
                    raise
                begun.remove(want.name)
                raise _somebody_elses(want) from error
            size = size_of(parse(ask(volume.XMLDesc, 0)).find("capacity")) or 0
            if source is not None and values["capacity"] and size < values["capacity"]:
                # A copy is as large as what it was made from.
                ask(volume.resize, values["capacity"], 0)
        begun.remove(want.name)
        self._delete(pool, begun)

    def _uploaded(self, pool: Any, want: Spec, kind: str, image: Image, begun: list[str]) -> Any:
        """A volume with the file's content, under a name that says it is incomplete."""
        name = want.name + PART
        # Of the file's length, whatever a guest will see of it: this holds the file itself.
        tree = defined(name, kind, {"capacity": image.size, "format": "raw"})
        volume = create(self.host, pool, serialize(tree))
        begun.append(name)
        send(self.host, volume, image, sparse=kind not in DEVICES)
        if image.format != "raw":
            # What it is, libvirt finds out by looking at it again.
            refresh(self.host, pool)
            volume = self.host.ask(pool.storageVolLookupByName, name)
        return volume

    @contextmanager
    def _cleared_after(self, pool: Any) -> Iterator[list[str]]:
        """The volumes that are begun inside, by their names; when something goes wrong there, they go, the last one
        first.

        What cannot go now, because libvirt itself died, the next run clears away.
        """
        begun: list[str] = []
        try:
            yield begun
        except BaseException:
            with suppress(LibvirtError):
                self._delete(pool, begun[::-1])
            raise

    def do_clear(self, want: Spec, _step: Step, seen: Seen) -> None:
        """Remove what a run that died has left. A volume goes before the mark that calls it incomplete."""
        self._check_still_unused(want, seen, half=True)
        pool = self.host.ask(self.host.conn.storagePoolLookupByName, pool_of(want))
        half = [want.name] if (pool_of(want), want.name) in seen.incomplete else []
        self._delete(pool, [*half, want.name + PART, want.name + INCOMPLETE])

    def _delete(self, pool: Any, names: Sequence[str]) -> None:
        """Remove volumes, in this order; fine where one is gone."""
        for name in names:
            volume = self.host.find(pool.storageVolLookupByName, name)
            if volume is not None:
                self.host.ask(volume.delete, 0)

    def describe(self, name: str, seen: Seen) -> Mapping[str, Any] | None:
        """The volume as it was seen."""
        for (pool, each), volume in seen.volumes.items():
            if each == name and not name.endswith((PART, INCOMPLETE)):
                path = text_of(volume, "target/path") or ""
                users = {use.guest for use in seen.uses.of(pool, name, seen.real.get(path, path))}
                return {
                    "name": name,
                    "backend": "kvm",
                    "pool": pool,
                    "path": path,
                    **shown(volume),
                    "allocation": size_text(volume, "allocation"),
                    "guests": sorted(users),
                }
        return None

    def foresee(self, want: Spec, steps: Sequence[Step], seen: Seen) -> Mapping[str, Any] | None:
        """The volume as it will be; where it is, and how much of it is allocated, only libvirt can say."""
        pool, have = pool_of(want), seen.volumes.get((pool_of(want), want.name))
        if want.state == "absent":
            return None
        tree = (
            defined(want.name, seen.pools[pool] or "", expected(want, seen), backing_wanted(want, seen))
            if have is None
            else have
        )
        described = dict(self.describe(want.name, replace(seen, volumes={(pool, want.name): tree})) or {})
        for step in steps:
            if step.action == Action.RESIZE:
                described[step.key] = step.after
        return described if have is not None else {**described, "allocation": None}


def _somebody_elses(want: Spec) -> BackendError:
    return BackendError(
        f"the volume {want.name} is there now, and was not when this run began: it is somebody else's",
        remedy="Run again, or name another volume",
    )
