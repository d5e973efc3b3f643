# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The volumes of a domain's disks: which are to be made, and which may go with the domain. Pure."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from ....engine.compare import key_of
from ....engine.errors import InvalidOption, Refused
from ....engine.spec import Spec
from ....engine.units import format_size
from . import devices as dev
from .model import Domain, NewVolume, Seen, Volume
from .options import BY_NAME
from .seed import Seed, seed_path
from .xml import get


def to_make(want: Spec, seen: Seen, have: Domain | None, backed: Mapping[str, Mapping[str, Any]]) -> list[NewVolume]:
    """The volumes that a guest's new disks and its seed need and that are not there. Raises InvalidOption and Refused.

    ``want`` is filled in; ``backed``: the entries of those disks for which the task names a backing image, by target.
    """
    attached = BY_NAME["disks"].read(have.stored) if have else {}
    source = want.steering.get("source") or {}
    given = want.values.get("disks", {})
    found = []
    takes_source = bool(source.get("image") or source.get("volume")) and have is None
    _check_images_apart(given, attached)
    for target, record in given.items():
        if target in attached and record.get("path", attached[target]["path"]) == attached[target]["path"]:
            _check_kept(target, record, attached[target])
            continue
        _check_known(target, record, seen)
        _check_top(target, record, seen)
        path, kind = record.get("path", ""), record.get("device", attached.get(target, {}).get("device", "disk"))
        if kind != "disk" or not path:
            if kind != "disk" and path and seen.pool_of(path) is not None and seen.volumes.get(path) is None:
                raise InvalidOption(f"disks[{target}].path", path, "does not exist", remedy="Bring it there first")
            continue
        made = _making(want, seen, target, record, path, takes_source, backed.get(target, {}))
        takes_source = False
        if made is not None:
            found.append(made)
    if takes_source:
        raise InvalidOption(
            "source",
            str(source.get("image") or source.get("volume")),
            "has no disk to go to",
            remedy="Name a disk with the size it shall have",
        )
    return [*found, *_seed_to_make(want.values.get("cloud_init"), seen, have)]


def _check_images_apart(given: Mapping[str, Mapping[str, Any]], attached: Mapping[str, Mapping[str, Any]]) -> None:
    """Two disks that write have an image each; what a guest has already is not looked at."""
    taken: dict[str, str] = {}
    for target, record in given.items():
        whole = {**attached.get(target, {}), **record}
        path = whole.get("path", "")
        if not path or whole.get("device", "disk") != "disk" or whole.get("shareable") or whole.get("read_only"):
            continue
        other = taken.setdefault(path, target)
        if other != target and path != attached.get(target, {}).get("path"):
            raise InvalidOption(
                f"disks[{target}]",
                path,
                f"is the image of {other} as well",
                remedy="Name another image for one of the two, or set shareable or read_only at both",
            )


def _seed_to_make(seed: Any, seen: Seen, have: Domain | None) -> list[NewVolume]:
    """The volume of the wanted seed, unless the guest has it, as it is stored or as it runs."""
    views = [view for view in (have.stored, have.live) if view] if have else []
    if not isinstance(seed, Seed) or seed.path in [seed_path(view.root, view.name) for view in views]:
        return []
    pool = seen.pool_of(seed.path)
    return [
        NewVolume("cloud_init", seed.path, pool.name if pool else "", os.path.basename(seed.path), "raw", seed=seed)
    ]


def _check_kept(target: str, record: Mapping[str, Any], there: Mapping[str, Any]) -> None:
    """A disk whose image stays has the format that it has: as another one, the guest would see, and write over, what
    holds the image together.
    """
    have, wished = there.get("format"), record.get("format")
    if there["path"] and have and wished and wished != have:
        raise Refused(
            "disks[{}].format: the disk {} is {}, and changing the format does not convert it to {}".format(
                target, there["path"], have, wished
            ),
            remedy="Leave the format out, or convert the image into another one (qemu-img convert) and name that",
        )


def _check_known(target: str, record: Mapping[str, Any], seen: Seen) -> None:
    """The same for an image that a disk is given, which is to be whole as well."""
    volume = seen.volumes.get(record.get("path", ""))
    if volume is not None and volume.incomplete:
        raise Refused(
            f"disks[{target}]: the volume {volume.path} is incomplete, since the run that was making it died",
            remedy="Run the task that makes it again first",
        )
    known, wished = seen.format_of(record.get("path", "")), record.get("format")
    if known and wished and wished != known:
        raise Refused(
            "disks[{}].format: the volume {} is {}, and not {}".format(target, record["path"], known, wished),
            remedy="Leave the format out, or name another volume",
        )


def _check_top(target: str, record: Mapping[str, Any], seen: Seen) -> None:
    """An image that backs another one is not written to: the other would be worthless, and a guest would miss what
    is in it.
    """
    overlay = seen.overlays.get(record.get("path", ""))
    if overlay:
        raise Refused(
            "disks[{}].path: {} is there, and backs {}: written to, it would make that one worthless".format(
                target, record["path"], overlay
            ),
            remedy=f"Name {overlay}, which has what was written since, or another image, or let the disk be "
            "read_only; or remove that one if nobody needs it",
        )


def _larger(seen: Seen, target: str, path: str, volume: Volume, size: int) -> NewVolume | None:
    """What is to be done to a volume that is there, for a disk of this size (0: any). Raises Refused."""
    if size and size < volume.capacity:
        raise Refused(
            f"disks[{target}].size: the volume {path} is there, and has {format_size(volume.capacity)}",
            remedy="Ask for that size or more, or for another volume",
        )
    pool = seen.pools.get(volume.pool)
    if size > volume.capacity and pool is not None and not pool.is_directory:
        raise Refused(
            f"disks[{target}].size: the volume {path} has {format_size(volume.capacity)}, and a pool of the type "
            f"{pool.kind} changes none",
            remedy="Leave the size out, or make the volume larger where it comes from",
        )
    if size > volume.capacity:
        return NewVolume(key_of("disks", target), path, volume.pool, volume.name, volume.format, size, there=True)
    return None


def _check_exists(seen: Seen, target: str, path: str, size: int) -> None:
    """Raise InvalidOption for a disk that is in no pool, has a size, and is not there: nothing makes it."""
    if path.startswith("/dev/") or not size:
        return
    if seen.files is None:
        raise InvalidOption(
            f"disks[{target}].path",
            path,
            "is in no active pool, and whether it exists on libvirt's host cannot be seen from here",
            remedy="Leave out the size of a disk that exists, or name a pool and a volume",
        )
    if path in seen.files:
        return
    raise InvalidOption(
        f"disks[{target}].path",
        path,
        "is in no active pool, and no disk is made there",
        remedy="Name a pool and a volume, or make the file first",
    )


def _making(
    want: Spec,
    seen: Seen,
    target: str,
    record: Mapping[str, Any],
    path: str,
    takes_source: bool,
    backed: Mapping[str, Any],
) -> NewVolume | None:
    """``backed``: the task's own entry of the disk, where that names a backing image."""
    volume, size, key = seen.volumes.get(path), record.get("size") or 0, key_of("disks", target)
    if volume is not None:
        return _larger(seen, target, path, volume, size)
    if not size and not backed and not takes_source:
        if path in seen.volumes and seen.pool_of(path) is not None:
            raise InvalidOption(f"disks[{target}]", path, "does not exist", remedy="Give its size, and it is made")
        return None
    pool = seen.pool_of(path)
    if pool is None:
        _check_exists(seen, target, path, size)
        return None
    linked = takes_source and (want.steering.get("source") or {}).get("clone") == "linked"
    if (linked or backed) and pool.holds_files and record["format"] != "qcow2":
        raise InvalidOption(
            f"disks[{target}].format",
            record["format"],
            "cannot have a backing image",
            remedy="Leave it out, or write %s" % ("clone: full" if linked else "no backing"),
        )
    return NewVolume(
        key,
        path,
        pool.name,
        os.path.basename(path),
        record["format"],
        size,
        str(backed.get("backing") or ""),
        str(backed.get("backing_format") or ""),
        takes_source,
        shareable=bool(record.get("shareable")),
    )


def volumes_to_remove(name: str, seen: Seen, have: Domain) -> list[str]:
    """The volumes that go with a domain: files of a pool that nobody else uses and nothing stands on, and its seed."""
    found = set()
    for view in (have.stored, have.live):
        if view is None:
            continue
        for disk in dev.devices(view.root, "disk"):
            path = view.places.get(dev.source_of(disk), dev.source_of(disk))
            mine = path == seed_path(view.root, name) and os.path.basename(path).startswith(f"{name}-seed-")
            if (
                (_own(disk) or mine)
                and seen.volumes.get(path) is not None
                and seen.users.get(path, set()) <= {name}
                and path not in seen.backing
            ):
                found.add(path)
    return sorted(found)


def _own(disk: Any) -> bool:
    """Whether a disk is one that may be a guest's alone: no CD, nothing shared or read-only, no device of the host."""
    kind, source = disk.get("type"), dev.source_of(disk)
    plain = (
        disk.find("readonly") is None
        and disk.find("shareable") is None
        and disk.get("device", "disk") in ("disk", "lun")
    )
    return (
        plain
        and kind in ("file", "volume")
        and not source.startswith("/dev/")
        and get(disk, "source@startupPolicy") is None
    )
