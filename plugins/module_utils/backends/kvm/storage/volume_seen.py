# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What was seen of the volumes that a task speaks of, and what follows from it for one of them. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ....engine.errors import KraalError
from ....engine.spec import Spec
from ....engine.units import format_size
from ..names import INCOMPLETE, PART
from ..vm.model import Job
from ..xml import Element, attribute, size_of, text_of
from .use import Use, Uses
from .volume_import import Image
from .volume_options import DEVICES, backing_of


@dataclass
class Seen:
    """The pools that are spoken of (their types; None for one that is not active), the volumes in them, and who uses
    what.
    """

    pools: dict[str, str | None] = field(default_factory=dict)
    volumes: dict[tuple[str, str], Element] = field(default_factory=dict)
    #: Those that are marked as incomplete: nobody takes them for volumes.
    incomplete: dict[tuple[str, str], Element] = field(default_factory=dict)
    uses: Uses = field(default_factory=Uses)
    #: The files that are to be imported, or what is wrong with them, by the volume's name.
    images: dict[str, Image | KraalError] = field(default_factory=dict)
    #: The block jobs on the disks of running guests whose volumes are to grow: the guest, the disk's name in it, and
    #: the job.
    jobs: dict[tuple[str, str], tuple[str, str, Job]] = field(default_factory=dict)
    #: Paths without links, by what they were.
    real: dict[str, str] = field(default_factory=dict)


def pool_of(want: Spec) -> str:
    return str(want.steering["pool"])


def users_of(want: Spec, seen: Seen) -> list[Use]:
    """Who uses a volume that is there."""
    path = text_of(seen.volumes[pool_of(want), want.name], "target/path") or ""
    return seen.uses.of(pool_of(want), want.name, seen.real.get(path, path))


def running_disk(want: Spec, seen: Seen) -> Use | None:
    """The disk of a guest that runs whose image a volume is."""
    return next((use for use in users_of(want, seen) if use.running and use.device), None)


def sources_of(want: Spec) -> dict[str, tuple[str, str]]:
    """The volumes that a new one is made from, by the option that names them."""
    found = {key: want.values[key] for key in ("clone", "backing") if "volume" in (want.values.get(key) or {})}
    return {key: (each["pool"] or pool_of(want), each["volume"]) for key, each in found.items()}


def names_of(want: Spec) -> list[tuple[str, str]]:
    sources = [(pool, name + ending) for pool, name in sources_of(want).values() for ending in ("", INCOMPLETE)]
    return [*((pool_of(want), want.name + ending) for ending in ("", PART, INCOMPLETE)), *sources]


def backing_wanted(want: Spec, seen: Seen) -> dict[str, str] | None:
    """The path and the format of the image that a volume shall stand on; None where that cannot be known or is not
    wanted.
    """
    backing = want.values.get("backing")
    if backing is None or "path" in backing:
        return backing
    source = seen.volumes.get(sources_of(want)["backing"])
    if source is None:
        return None
    return {"path": text_of(source, "target/path") or "", "format": attribute(source, "target/format", "type") or "raw"}


def expected(want: Spec, seen: Seen) -> dict[str, Any]:
    """What a new volume will have: its capacity, allocation and format, and the least capacity that it can have."""
    least, form = None, None
    image, pairs = seen.images.get(want.name), sources_of(want)
    if isinstance(image, Image):
        least, form = image.capacity, image.format
    for source in [seen.volumes[pair] for pair in pairs.values() if pair in seen.volumes]:
        least, form = size_of(source.find("capacity")), attribute(source, "target/format", "type")
    if "backing" in want.values:
        form = "qcow2"
    if form == "iso":
        form = "raw"
    form = want.values.get("format") or form or "raw"
    if seen.pools.get(pool_of(want)) in DEVICES:
        form = want.values.get("format")
    return {
        "capacity": want.values.get("capacity", least),
        "allocation": want.values.get("allocation"),
        "format": form,
        "least": least,
    }


def shown(volume: Element) -> dict[str, Any]:
    return {
        "capacity": size_text(volume, "capacity"),
        "format": attribute(volume, "target/format", "type"),
        "backing": backing_of(volume),
    }


def size_text(volume: Element, key: str) -> str | None:
    size = size_of(volume.find(key))
    return None if size is None else format_size(size)
