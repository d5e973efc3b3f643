# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Pools of storage as a resource.

What a pool holds is somebody's data: it is built only when it is new, and never deleted.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

from ....engine.action import Action, Disruption
from ....engine.compare import before_after, differences
from ....engine.errors import BackendError, InvalidOption, Refused
from ....engine.plan import Step
from ....engine.spec import Spec
from ....engine.units import format_size
from ..client import Host
from ..definition import Definition, Definitions, Seen, observed, read_users, teller, written
from ..xml import Element, attribute, child, flag, parse, serialize, size_of, text_of
from .pool_options import FITS, FORMATS, NEEDS, POOLS_TABLE, PROTOCOLS, SHARED, SINGLE, defined
from .use import BOOTED, real

RESTART = Disruption.RESTART


class Pools(Definitions):
    """All pools of one libvirt."""

    table = POOLS_TABLE

    def observe(self, wants: Sequence[Spec] | None) -> Seen:
        """All pools and all guests; a handful of calls for each."""
        seen = observed(self.host, self.host.conn.listAllStoragePools, self.host.api.VIR_STORAGE_XML_INACTIVE)
        read_users(
            self.host,
            seen,
            lambda guest: [name for name, have in seen.defined.items() if _serves(self.host, have, guest)],
        )
        if any(want.name not in seen.defined and want.state != "absent" for want in wants or ()):
            seen.types = _types(self.host)
        return seen

    def _check(self, want: Spec, have: Definition | None, seen: Seen) -> None:
        if have is not None and (want.state == "absent" or (want.state == "inactive" and have.active)):
            _spare_guests(want, seen, "it is")
        if want.state != "absent":
            _check_options(want, seen, have)

    def _changes(self, want: Spec, have: Definition, seen: Seen, ends: bool) -> list[Step]:
        steps = written(want, have, differences(self.table, want, have.view()))
        waiting = [each for each in differences(self.table, want, have.view(live=True)) if teller(each) is None]
        if waiting and have.active and not ends:
            if want.allow >= RESTART:
                _spare_guests(
                    want,
                    seen,
                    "{} need a restart of the pool, and it is".format(", ".join(each.option.name for each in waiting)),
                )
            steps.append(Step(want.name, Action.RESTART, "", *before_after(waiting), RESTART, deferred=True))
        return steps

    def _find(self, name: str) -> Any | None:
        return self.host.find(self.host.conn.storagePoolLookupByName, name)

    def _define(self, tree: Element) -> Any:
        return self.host.ask(self.host.conn.storagePoolDefineXML, serialize(tree), 0)

    def _set(self, there: Any, want: Spec, step: Step, have: Definition) -> None:
        self._define(self._merged(want, have))

    def _create(self, want: Spec) -> None:
        """Define it, and build what has to be built.

        That is built and started first: a run that dies in between leaves an active pool that is not written down, and
        the next one writes it down. A pool that was defined first would look as if it had been built.
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
        if build and kind in ("fs", "logical", "disk"):
            # Makes a file system, a volume group or a table of partitions, and refuses where there is one.
            return [int(api.VIR_STORAGE_POOL_CREATE_WITH_BUILD_NO_OVERWRITE)]
        if build and kind == "zfs":
            return [int(api.VIR_STORAGE_POOL_CREATE_WITH_BUILD)]
        if build is not False and kind in ("dir", "fs", "netfs", "vstorage"):
            # A directory that is there keeps its mode, which libvirt would set when it builds.
            return [0, int(api.VIR_STORAGE_POOL_CREATE_WITH_BUILD)]
        return []

    def _start(self, there: Any, have: Definition | None, patience: float = 0) -> None:
        # A new one that was built is active already.
        if have is not None or not self.host.ask(there.isActive):
            super()._start(there, have, patience)

    def _merged(self, want: Spec, have: Definition | None) -> Element:
        return defined(want.name, want.values, None if have is None else have.config)

    def _figures(self, have: Definition) -> Mapping[str, Any]:
        return {key: _size(have.live, key) for key in ("capacity", "allocation", "available")}


def _types(host: Host) -> frozenset[str]:
    """The types of pools that this libvirt can have; none where it does not say."""
    said = parse(host.ask(host.conn.getStoragePoolCapabilities, 0))
    return frozenset(pool.get("type", "") for pool in said.findall("pool") if flag(pool.get("supported")))


def _serves(host: Host, have: Definition, guest: Element) -> bool:
    """Whether a guest has something of a pool, as it is defined or as it is in effect."""
    return any(tree is not None and serves(host, tree, guest) for tree in (have.config, have.live))


def serves(host: Host, pool: Element, guest: Element) -> bool:
    """Whether a guest has something of a pool, by the pool's name or by the path or address that libvirt gives to
    its volumes.
    """
    target = text_of(pool, "target/path")
    sources = guest.findall("devices/disk//source")
    paths = [source.get(name, "") for source in sources for name in ("file", "dev")] + [
        text_of(guest, path) or "" for path in BOOTED
    ]
    if any(source.get("pool") == text_of(pool, "name") for source in sources):
        return True
    kind, unit = pool.get("type", ""), attribute(pool, "source/device", "path") or ""
    if kind in PROTOCOLS:
        inside = "{}/".format(text_of(pool, "source/name") or unit)
        return any(
            source.get("protocol") == PROTOCOLS[kind] and source.get("name", "").startswith(inside)
            for source in sources
        )
    if kind == "iscsi":
        # All iSCSI pools may have one directory; the links in it have the target's name in theirs.
        return any(f"-iscsi-{unit}-lun-" in os.path.basename(path) for path in paths)
    if kind == "disk":
        # All disks have one directory; their partitions begin with their names.
        return any(re.fullmatch(re.escape(unit) + r"((-part|p)?[0-9]+)?", path) for path in paths)
    # The directory's links are followed, not those in it: a logical volume is one, and leads away from its group.
    return bool(target) and any(real(host, os.path.dirname(path)) == real(host, str(target)) for path in paths if path)


def _size(live: Element | None, key: str) -> str | None:
    size = size_of(None if live is None else live.find(key))
    return None if size is None else format_size(size)


def _spare_guests(want: Spec, seen: Seen, what: str) -> None:
    users = ", ".join(sorted(seen.users.get(want.name, ())))
    if users:
        raise Refused(f"{what} in use by: {users}", remedy="Take its volumes from these guests first")
    seen.doubt("it stays as it is", "Look at these guests with virsh, or remove them first")


def _check_options(want: Spec, seen: Seen, have: Definition | None) -> None:
    """Raises InvalidOption or Refused for what libvirt would refuse, or take and then not start, before anything is
    touched.
    """
    kind: Any = want.values.get("type") or (have.config.get("type") if have else None)
    if have is None and kind is None:
        raise InvalidOption(
            "type",
            None,
            "is needed for a new pool",
            remedy="Write one of: {}".format(", ".join(POOLS_TABLE["type"].kind.argument["choices"])),
        )
    if have is None and seen.types and kind not in seen.types:
        raise Refused(
            f"this host's libvirt has no pools with type={kind}",
            remedy=f"Install the part of libvirt that does (Debian: libvirt-daemon-driver-storage-{kind}), and restart "
            "its daemon",
        )
    if have is not None and kind != have.config.get("type"):
        raise Refused(
            "type cannot change from {} to {}".format(have.config.get("type"), kind),
            remedy="Remove the pool first, which leaves what it holds, and make it anew",
        )
    for name, kinds in FITS.items():
        given = want.values.get(name) if name != "build" else want.steering.get("build") or None
        if given is not None and kind not in kinds:
            shown = given if name == "build" else POOLS_TABLE[name].kind.show(given)
            raise InvalidOption(name, shown, f"means nothing with type={kind}", remedy="Leave it out")
    if have is None:
        for name in NEEDS.get(str(kind), ()):
            if not want.values.get(name):
                raise InvalidOption(name, want.values.get(name), f"is needed with type={kind}", remedy="Set it")
    if kind in SINGLE and len(want.values.get("devices") or "x") != 1:
        what = "target" if "iscsi" in kind else "device"
        raise InvalidOption(
            "devices", list(want.values["devices"]), f"is not one {what}", remedy=f"Name {SINGLE[kind]}, and no other"
        )
    form = want.values.get("format")
    if form is not None and form not in FORMATS.get(str(kind), ()):
        known = ", ".join(FORMATS[str(kind)])
        raise InvalidOption("format", form, f"is none with type={kind}", remedy=f"Write one of: {known}")
    _check_group(want, have)
    for name, other in seen.defined.items():
        path = want.values.get("path") if kind not in SHARED else None
        if name != want.name and path and path == text_of(other.config, "target/path"):
            raise InvalidOption(
                "path", path, f"is the path of the pool {name}", remedy="Use that pool, or choose another path"
            )


def _check_group(want: Spec, have: Definition | None) -> None:
    """Libvirt (9.0) writes down where LVM shows the volumes of a group, whatever it is told."""
    kind = want.values.get("type") or (have.config.get("type") if have else None)
    known = text_of(have.config, "source/name") if have else None
    place = "/dev/{}".format(want.values.get("source_name") or known or want.name)
    if kind == "logical" and want.values.get("path") not in (None, place):
        raise InvalidOption(
            "path", want.values["path"], f"is not {place}, where LVM shows this group", remedy="Leave it out"
        )
