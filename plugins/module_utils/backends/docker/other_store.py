# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What an engine on this host has kept with another store than the one that it uses now, and does not see any more.

Docker's classic store (overlay2 and the like) and that of containerd share nothing: containers and images of the one stay
on the disk and are hidden while the other one is in use. Reads the engine's files.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...engine.reading import as_list, as_mapping, as_text
from .image.references import short_name

#: What tells containerd's store from the others, in the status of the driver.
CONTAINERD = "io.containerd.snapshotter.v1"
#: How the engine is made to use the other one.
SWITCH = "features: {containerd-snapshotter: %s} in docker_host_daemon_options"


@dataclass(frozen=True)
class OtherStore:
    """What is hidden."""

    #: The file of each container, by its name.
    containers: Mapping[str, str] = field(default_factory=dict)
    #: The names of images; of containerd's store nobody but the engine can tell them.
    images: frozenset[str] = frozenset()
    #: How the engine is made to use it.
    switch: str = ""


def other_store(info: Mapping[str, Any], listed: Collection[str] = ()) -> OtherStore:
    """``info``: what the engine says of itself (/info); ``listed``: the ids of containers that it sees, which need not be
    looked at.
    """
    root = Path(as_text(info.get("DockerRootDir")) or "/nonexistent")
    driver = as_text(info.get("Driver"))
    containerd = CONTAINERD in json.dumps(as_list(info.get("DriverStatus")))
    containers = dict(_containers(root / "containers", driver, listed))
    images = frozenset(_images(root)) if containerd else frozenset()
    return OtherStore(containers, images, SWITCH % ("false" if containerd else "true"))


def hidden(other: OtherStore) -> list[str]:
    """What its user had better know. Pure."""
    what = [
        *(["the containers " + ", ".join(sorted(other.containers))] if other.containers else []),
        *(["the images " + ", ".join(sorted(other.images))] if other.images else []),
    ]
    if not what:
        return []
    return [
        "The engine does not see {}, which it has kept in another store. Remedy: set {} to have them again; or load the "
        "images from archives that docker save made with that, and have the containers made anew.".format(
            " and ".join(what), other.switch
        )
    ]


def _containers(place: Path, driver: str, listed: Collection[str]) -> Iterator[tuple[str, str]]:
    for file in place.glob("*/config.v2.json"):
        if file.parent.name not in listed:
            config = _read(file)
            if as_text(config.get("Driver")) not in ("", driver):
                yield as_text(config.get("Name")).lstrip("/"), str(file)


def _images(root: Path) -> Iterator[str]:
    for file in root.glob("image/*/repositories.json"):
        for names in as_mapping(_read(file).get("Repositories")).values():
            yield from (short_name(name) for name in as_mapping(names))


def _read(file: Path) -> Mapping[str, Any]:
    """Nothing where the user may not read it, or it is written at this moment."""
    try:
        return as_mapping(json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return {}
