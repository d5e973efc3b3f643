# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Pools of storage as a resource. What a pool holds is somebody's data: it is built only when it is new, and never deleted."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ...engine.compare import Difference, differences
from ...engine.errors import BackendError, InvalidOption, Refused
from ...engine.plan import Disruption, Step
from ...engine.spec import Spec
from ...engine.units import format_size
from .client import Host, NotThere
from .pool_options import FITS, NEEDS, POOL_OPTIONS, POOLS_TABLE, View, defined
from .xml import Element, child, parse, serialize, size_of, text_of

RESTART, DESTROY = Disruption.RESTART, Disruption.DESTROY


@dataclass(frozen=True)
class Pool:
    """One pool as it was seen. ``live`` is what is in effect, None while it is inactive."""

    id: str
    config: Element
    live: Element | None = None
    persistent: bool = True
    autostart: bool = False

    def view(self, live: bool = False) -> View:
        """One side, for reading options."""
        return View(self.live if live and self.live is not None else self.config, self.autostart)

    @property
    def active(self) -> bool:
        """Whether its volumes can be reached through libvirt."""
        return self.live is not None


@dataclass
class Seen:
    """The pools by name, and the guests whose disks name them."""

    pools: dict[str, Pool] = field(default_factory=dict)
    users: dict[str, set[str]] = field(default_factory=dict)


def observed(host: Host, pool: Any) -> Pool | None:
    """One pool as it is; None where it has gone meanwhile."""
    ask = host.ask
    try:
        active, persistent = bool(ask(pool.isActive)), bool(ask(pool.isPersistent))
        live = parse(ask(pool.XMLDesc, 0)) if active else None
        config = parse(ask(pool.XMLDesc, host.api.VIR_STORAGE_XML_INACTIVE)) if persistent else copy.deepcopy(live)
        return None if config is None else Pool(pool.UUIDString(), config, live, persistent, persistent and bool(ask(pool.autostart)))
    except NotThere:
        return None


class Pools:
    """All pools of one libvirt."""

    table = POOLS_TABLE

    def __init__(self, host: Host) -> None:
        self.host = host

    def observe(self, wants: Sequence[Spec] | None) -> Seen:
        """All pools and all guests; a handful of calls for each."""
        seen, ask = Seen(), self.host.ask
        for pool in ask(self.host.conn.listAllStoragePools, 0):
            have = observed(self.host, pool)
            if have is not None:
                seen.pools[pool.name()] = have
        for domain in ask(self.host.conn.listAllDomains, 0):
            try:
                tree = parse(ask(domain.XMLDesc, 0))
            except NotThere:
                continue
            for name in {source.get("pool", "") for source in tree.findall("devices/disk/source")} - {""}:
                seen.users.setdefault(name, set()).add(domain.name())
        return seen

    def names(self, seen: Seen) -> list[str]:
        """All of them."""
        return sorted(seen.pools)

    def plan(self, want: Spec, seen: Seen) -> list[Step]:
        """Pure."""
        have = seen.pools.get(want.name)
        users = sorted(seen.users.get(want.name, ()))
        stop = [Step(want.name, "stop", "state", "active", "inactive", RESTART)] if have is not None and have.active else []
        if want.state in ("absent", "inactive") and have is not None and users and (stop or want.state == "absent"):
            raise Refused("it is in use by: %s" % ", ".join(users), remedy="Take its volumes from these guests first")
        if want.state == "absent":
            return [*stop, Step(want.name, "remove", "", {"type": have.config.get("type")}, None, DESTROY)] if have else []
        _check(want, seen, have)
        if have is None:
            fresh = Step(want.name, "create", "", None, self.table.shown(want))
            return [fresh, Step(want.name, "start", "state", "inactive", "active")] if want.state == "active" else [fresh]
        steps = self._changes(want, have, users, ends=want.state == "inactive")
        if want.state == "inactive":
            return [*steps, *stop]
        if want.state == "active" and not have.active:
            steps.append(Step(want.name, "start", "state", "inactive", "active"))
        return steps

    def _changes(self, want: Spec, have: Pool, users: Sequence[str], ends: bool) -> list[Step]:
        steps = [] if have.persistent else [Step(want.name, "set", "persistent", False, True)]
        stored = differences(self.table, want, have.view())
        written = [each for each in stored if each.option.name != "autostart"]
        if written:
            before, after = _shown(written)
            key = next(iter({**before, **after})) if len({**before, **after}) == 1 else ""
            steps.append(Step(want.name, "set", key, before.get(key) if key else before, after.get(key) if key else after))
        if len(stored) > len(written):
            steps.append(Step(want.name, "set", "autostart", have.autostart, want.values["autostart"]))
        waiting = [each for each in differences(self.table, want, have.view(live=True)) if each.option.name != "autostart"]
        if waiting and have.active and not ends:
            if users and want.allow >= RESTART:
                raise Refused(
                    "%s need a restart of the pool, and it is in use by: %s" % (", ".join(each.option.name for each in waiting), ", ".join(users)),
                    remedy="Take its volumes from these guests first",
                )
            steps.append(Step(want.name, "restart", "", *_shown(waiting), RESTART))
        return steps

    def apply(self, want: Spec, step: Step, seen: Seen) -> None:
        """Perform one step."""
        ask, conn, have = self.host.ask, self.host.conn, seen.pools.get(want.name)
        if step.action == "create":
            self._create(want)
            return
        pool = self.host.find(conn.storagePoolLookupByName, want.name)
        if step.action == "remove":
            # One that was not written down went when it was stopped.
            if pool is not None:
                ask(pool.undefine)
            return
        if pool is None:
            raise BackendError("the pool has gone meanwhile", remedy="Run again")
        if step.action == "start":
            self._start(pool, undo=have is None)
        elif step.action == "stop":
            ask(pool.destroy)
        elif step.action == "restart":
            ask(pool.destroy)
            self._restart(pool, have)
        elif step.key == "autostart":
            ask(pool.setAutostart, int(want.values["autostart"]))
        elif have is not None:
            ask(conn.storagePoolDefineXML, serialize(have.config if step.key == "persistent" else self._merged(want, have)), 0)

    def _create(self, want: Spec) -> None:
        """Define it, and build what has to be built.

        That is built and started first: a run that dies in between leaves an active pool that is not written down, and the next
        one writes it down. A pool that was defined first would look as if it had been built.
        """
        ask, conn, tree = self.host.ask, self.host.conn, self._merged(want, None)
        ways = self._ways_to_build(want)
        for number, flags in enumerate(ways, 1):
            try:
                child(tree, "uuid").text = ask(conn.storagePoolCreateXML, serialize(tree), flags).UUIDString()
                break
            except BackendError:
                if number == len(ways):
                    raise
        pool = ask(conn.storagePoolDefineXML, serialize(tree), self.host.api.VIR_STORAGE_POOL_DEFINE_VALIDATE)
        if ways and want.state != "active":
            ask(pool.destroy)
        if want.values.get("autostart"):
            ask(pool.setAutostart, 1)

    def _ways_to_build(self, want: Spec) -> list[int]:
        """Flags of a creation that builds, to be tried in turn; none where nothing is built."""
        build, kind, api = want.steering.get("build"), want.values["type"], self.host.api
        if build and kind in ("fs", "logical"):
            # Makes a file system or a volume group, and refuses where there is one.
            return [int(api.VIR_STORAGE_POOL_CREATE_WITH_BUILD_NO_OVERWRITE)]
        if build and kind == "zfs":
            return [int(api.VIR_STORAGE_POOL_CREATE_WITH_BUILD)]
        if build is not False and kind in ("dir", "fs"):
            # A directory that is there keeps its mode, which libvirt would set when it builds.
            return [0, int(api.VIR_STORAGE_POOL_CREATE_WITH_BUILD)]
        return []

    def _start(self, pool: Any, undo: bool) -> None:
        if undo and self.host.ask(pool.isActive):
            # It was built, and so it is active.
            return
        try:
            self.host.ask(pool.create, 0)
        except BackendError as error:
            if undo:
                self.host.ask(pool.undefine)
                error.message += "; nothing was left of its definition"
            raise

    def _restart(self, pool: Any, have: Pool | None) -> None:
        try:
            self.host.ask(pool.create, 0)
        except BackendError as error:
            if have is not None and have.live is not None:
                old = self.host.ask(self.host.conn.storagePoolDefineXML, serialize(have.live), 0)
                self.host.ask(old.create, 0)
                error.message += "; the old definition was put back"
            raise

    def _merged(self, want: Spec, have: Pool | None) -> Element:
        values = {name: value for name, value in want.values.items() if name != "autostart"}
        return defined(want.name, values, None if have is None else have.config)

    def wait(self, want: Spec) -> None:
        """A pool is there as soon as libvirt has started it."""

    def describe(self, name: str, seen: Seen) -> Mapping[str, Any] | None:
        """The pool as it was seen."""
        have = seen.pools.get(name)
        if have is None:
            return None
        view, live = have.view(), have.view(live=True)
        return {
            "name": name,
            "backend": "kvm",
            "id": have.id,
            "state": "active" if have.active else "inactive",
            **{option.name: option.kind.shown(option.read(view)) for option in POOL_OPTIONS},
            **{key: _size(have.live, key) for key in ("capacity", "allocation", "available")},
            "guests": sorted(seen.users.get(name, ())),
            "pending_restart": [option.name for option in POOL_OPTIONS if option.read(view) != option.read(live)],
        }

    def foresee(self, want: Spec, steps: Sequence[Step], seen: Seen) -> Mapping[str, Any] | None:
        """The pool as it will be; how large it is only libvirt can say."""
        if want.state == "absent":
            return None
        have = seen.pools.get(want.name)
        if have is not None and not steps:
            return self.describe(want.name, seen)
        config = self._merged(want, have)
        actions = {step.action for step in steps}
        live = None
        if "start" in actions or (have is not None and have.active and "stop" not in actions):
            live = have.live if have is not None and have.active and "restart" not in actions else config
        ahead = Pool(have.id if have else "", config, live, True, want.values.get("autostart", have.autostart if have else False))
        return self.describe(want.name, replace(seen, pools={want.name: ahead}))


def _size(live: Element | None, key: str) -> str | None:
    size = size_of(None if live is None else live.find(key))
    return None if size is None else format_size(size)


def _shown(changes: Sequence[Difference]) -> tuple[dict[str, Any], dict[str, Any]]:
    before = {key: value for each in changes for key, value in each.shown("before").items()}
    after = {key: value for each in changes for key, value in each.shown("after").items()}
    return before, after


def _check(want: Spec, seen: Seen, have: Pool | None) -> None:
    """Raises InvalidOption or Refused for what libvirt would refuse, or take and then not start, before anything is touched."""
    kind = want.values.get("type") or (have.config.get("type") if have else None)
    if have is None and kind is None:
        raise InvalidOption("type", None, "is needed for a new pool", remedy="Write one of: %s" % ", ".join(POOLS_TABLE["type"].kind.argument["choices"]))
    if have is not None and kind != have.config.get("type"):
        raise Refused(
            "type cannot change from %s to %s" % (have.config.get("type"), kind), remedy="Remove the pool first, which leaves what it holds, and make it anew"
        )
    for name, kinds in FITS.items():
        given = want.values.get(name) if name != "build" else want.steering.get("build") or None
        if given is not None and kind not in kinds:
            shown = given if name == "build" else POOLS_TABLE[name].kind.show(given)
            raise InvalidOption(name, shown, "means nothing with type=%s" % kind, remedy="Leave it out")
    if have is None:
        for name in NEEDS.get(str(kind), ()):
            if not want.values.get(name):
                raise InvalidOption(name, want.values.get(name), "is needed with type=%s" % kind, remedy="Set it")
    if kind == "fs" and len(want.values.get("devices") or "x") != 1:
        raise InvalidOption("devices", list(want.values["devices"]), "is not one device", remedy="Name the one that the file system is on")
    if kind == "iscsi" and len(want.values.get("devices") or "x") != 1:
        raise InvalidOption("devices", list(want.values["devices"]), "is not one target", remedy="Name one target (iqn....)")
    for name, other in seen.pools.items():
        path = want.values.get("path")
        if name != want.name and path and path == text_of(other.config, "target/path"):
            raise InvalidOption("path", path, "is the path of the pool %s" % name, remedy="Use that pool, or choose another path")
