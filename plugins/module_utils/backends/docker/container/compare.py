# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the value of an option comes to in one container, and what is there of it in the same words. Pure.

The options name these functions on their lines; each takes both sides of the comparison, and gives those that count.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ....engine.compare import Sides
from ....engine.spec import Spec
from ..image.references import Reference
from .model import Container, Seen
from .mounts import clean_path, read_mounts


@dataclass(frozen=True)
class Case:
    """One container in the light of one task."""

    want: Spec
    have: Container
    #: The configuration of the image that it shall have, and whether that is the one it has.
    image: Mapping[str, Any]
    same_image: bool
    #: The ids of all containers, by name.
    ids: Mapping[str, str]


def case_of(want: Spec, seen: Seen, have: Container) -> Case:
    """The container as this task sees it."""
    wanted: Reference | None = want.values.get("image")
    key = seen.images.find(wanted) if wanted else have.data["Image"]
    same = key == have.data["Image"] and not to_pull(want, seen)
    return Case(want, have, have.image if same else seen.configs.get(key, {}), same, seen.ids)


def to_pull(want: Spec, seen: Seen) -> str:
    """The digest of the image that will be pulled; empty where none will."""
    wanted: Reference | None = want.values.get("image")
    asked = wanted and not seen.images.by_id(wanted) and want.steering.get("pull") != "never"
    digest = seen.remote.get(str(wanted)) if asked else None
    here = seen.images.find(wanted) if wanted else ""
    return digest if isinstance(digest, str) and digest not in (seen.images.digests(here) if here else ()) else ""


def image(sides: Sides, case: Case) -> Sides:
    """An image is known by its id: the name under which it was asked for may be a tag, a digest or the id."""
    return sides._replace(have=sides.want if case.same_image else _image_name(case.have))


def _image_name(have: Container) -> Reference:
    """How a plan shows the image that a container has, when it is not the wanted one."""
    name = str(have.data["Config"].get("Image") or "")
    key = str(have.data["Image"])[:19]
    return Reference(id=key if name.startswith("sha256:") or not name else f"{name} ({key})")


def env(sides: Sides, case: Case) -> Sides:
    """Variables that are complete are so beside those of the image."""
    own = dict(line.split("=", 1) for line in case.image.get("Env") or () if "=" in line)
    return sides._replace(want={**own, **sides.want}) if sides.exact else sides


def labels(sides: Sides, case: Case) -> Sides:
    """Labels that are complete are so beside those of the image."""
    return sides._replace(want={**(case.image.get("Labels") or {}), **sides.want}) if sides.exact else sides


def exposed(sides: Sides, case: Case) -> Sides:
    """Ports that are complete are so beside those of the image and those that are published."""
    if not sides.exact:
        return sides
    published = set(case.want.values.get("ports") or ())
    if "ports" not in case.want.purge:
        published |= set(case.have.data["HostConfig"].get("PortBindings") or ())
    return sides._replace(want=frozenset({*sides.want, *published, *(case.image.get("ExposedPorts") or ())}))


def mounts(sides: Sides, case: Case) -> Sides:
    """Mounts that are complete are so beside the nameless volumes that the image asks for."""
    if not sides.exact:
        return sides
    kept = {
        target: record
        for target, record in read_mounts(case.have.data).items()
        if target in (case.image.get("Volumes") or {}) and re.fullmatch("[0-9a-f]{64}", str(record.get("source")))
    }
    return sides._replace(want={**kept, **sides.want})


def entrypoint(sides: Sides, case: Case) -> Sides:
    """An empty one is the image's own, and one of an empty word is none at all."""
    return sides._replace(want=_entrypoint(sides.want, case))


def _entrypoint(wanted: tuple[str, ...], case: Case) -> tuple[str, ...]:
    if wanted == ("",):
        return ()
    return wanted or tuple(case.image.get("Entrypoint") or ())


def command(sides: Sides, case: Case) -> Sides:
    """An empty one is the image's own, which goes with the image's entrypoint only."""
    if sides.want:
        return sides
    chosen = case.want.values.get("entrypoint")
    now = tuple(case.have.data["Config"].get("Entrypoint") or ()) if chosen is None else _entrypoint(chosen, case)
    return sides._replace(
        want=tuple(case.image.get("Cmd") or ()) if now == tuple(case.image.get("Entrypoint") or ()) else ()
    )


#: Where a command runs that neither the container nor its image has another place for.
ROOT = "/"


def user(sides: Sides, case: Case) -> Sides:
    """An empty one is the image's own."""
    return sides if sides.want else sides._replace(want=case.image.get("User") or "")


def workdir(sides: Sides, case: Case) -> Sides:
    """An empty one is the image's own."""
    return sides if sides.want else sides._replace(want=clean_path(case.image.get("WorkingDir") or ROOT))


def memory_swap(sides: Sides, case: Case) -> Sides:
    """0 is the engine's own default, which it writes down as a number."""
    memory = case.want.values.get("memory", case.have.data["HostConfig"].get("Memory") or 0)
    return sides._replace(want=2 * memory) if sides.want == 0 else sides


def joined(sides: Sides, case: Case) -> Sides:
    """Where a namespace is shared, the engine writes the id of the other container; a task may write its name, or
    how its id begins.
    """
    kind, _colon, name = str(sides.want).partition(":")
    other, _colon, key = str(sides.have).partition(":")
    same = kind == other == "container" and bool(name) and (case.ids.get(name) == key or key.startswith(name))
    return sides._replace(have=sides.want) if same else sides


def network_ids(have: Container) -> dict[str, str]:
    """The ids of the networks that a container is connected to, by name."""
    ends = (have.data.get("NetworkSettings", {}).get("Networks") or {}).items()
    return {name: str(end["NetworkID"]) for name, end in ends if end.get("NetworkID")}


def network_mode(sides: Sides, case: Case) -> Sides:
    """A network may be named by its id, in a task and in a container that another tool made."""
    names = {key: name for name, key in network_ids(case.have).items()}
    same = names.get(sides.have, sides.have) == names.get(sides.want, sides.want)
    return sides._replace(have=sides.want) if same else joined(sides, case)


def networks(sides: Sides, case: Case) -> Sides:
    """What there is of those that are asked for."""
    found = {
        name: _endpoint(sides.have[name], record, case) for name, record in sides.want.items() if name in sides.have
    }
    return sides._replace(have={**sides.have, **found})


def _endpoint(have: Mapping[str, Any], want: Mapping[str, Any], case: Case) -> dict[str, Any]:
    """The host name is an alias by itself: where it is asked for, it is there. A MAC address counts where one is asked
    for; the engine has one for each.
    """
    found, own = dict(have), case.have.data["Config"].get("Hostname")
    if own in want.get("aliases", ()):
        found["aliases"] = tuple(sorted({*have.get("aliases", ()), own}))
    if "mac_address" in want and have.get("MacAddress"):
        found["mac_address"] = have["MacAddress"].lower()
    return found


def log_options(sides: Sides, case: Case) -> Sides:
    """Another driver does not know the options of the one before."""
    now = case.have.data["HostConfig"]["LogConfig"].get("Type", "")
    return sides._replace(exact=sides.exact or case.want.values.get("log_driver", now) != now)


def alone(have: Container) -> bool:
    """Whether a container, by its network mode, can be connected to no network."""
    return without_networks(str(have.data["HostConfig"].get("NetworkMode")))


def network_of(mode: object) -> str:
    """The network that a mode names; the engine has two more ways to name its own bridge."""
    return "bridge" if mode in (None, "", "default") else str(mode)


def without_networks(mode: str) -> bool:
    """Whether a container in this network mode can be connected to no network."""
    return mode.partition(":")[0] in ("host", "none", "container")


def default_swap(host: Mapping[str, Any]) -> bool:
    """Whether swap was left to the engine: as much again as memory."""
    return host.get("MemorySwap") in (0, None, 2 * (host.get("Memory") or 0))
