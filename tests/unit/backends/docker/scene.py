# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a daemon showed when the fixtures were recorded, put together as one look at an engine."""

from __future__ import annotations

import copy
import json
from functools import cache
from pathlib import Path
from typing import Any

from ansible_collections.kraal.virt.plugins.module_utils.backends.docker.container.aside import as_before, state_aside
from ansible_collections.kraal.virt.plugins.module_utils.backends.docker.container.model import Container, Network, Seen
from ansible_collections.kraal.virt.plugins.module_utils.backends.docker.container.observe import state_of
from ansible_collections.kraal.virt.plugins.module_utils.backends.docker.container.options import CONTAINERS
from ansible_collections.kraal.virt.plugins.module_utils.backends.docker.image.references import ImageIndex
from ansible_collections.kraal.virt.plugins.module_utils.engine.spec import Spec

#: Those of the recorded containers, and those that every engine has.
NETWORKS = {
    **{
        name: Network(f"{name:0<64}", (subnet,))
        for name, subnet in (("front", "172.31.240.0/24"), ("back", "172.31.241.0/24"))
    },
    **{name: Network(f"{name:0<64}", predefined=True) for name in ("bridge", "host", "none")},
}
FIXTURES = Path(__file__).parent / "fixtures"


@cache
def _text(name: str) -> str:
    return (FIXTURES / f"{name}.json").read_text(encoding="utf-8")


def load(name: str) -> Any:
    """A fixture, as a copy of one's own."""
    return json.loads(_text(name))


def image_id(name: str) -> str:
    """The id of a recorded image: base:1, base:2 (other content), rich:1 (with all that an image can bring)."""
    return next(summary["Id"] for summary in load("images") if name in summary["RepoTags"])


def inspected(name: str, status: str = "", **changes: Any) -> dict[str, Any]:
    """A recorded inspection (full, apart, plain); ``changes`` are written into HostConfig or Config, whichever has
    the key.
    """
    data: dict[str, Any] = load(f"container-{name}")
    if status:
        data["State"].update(Status=status)
    for key, value in changes.items():
        data["HostConfig" if key in data["HostConfig"] else "Config"][key] = value
    return data


def container(data: dict[str, Any], name: str = "") -> Container:
    """An inspected container, as it is observed under this name."""
    state = state_aside(name) or state_of(data)
    return Container(as_before(name, copy.deepcopy(data)), load("image-configs").get(data["Image"], {}), state)


def seen(**more: Any) -> Seen:
    """A look at an engine with the recorded images and two networks; ``containers`` are inspections by name."""
    containers = {name: container(data, name) for name, data in more.pop("containers", {}).items()}
    return Seen(
        containers=containers,
        images=ImageIndex(load("images")),
        configs=load("image-configs"),
        networks=NETWORKS,
        ids={name: have.id for name, have in containers.items()},
        **more,
    )


def arguments(name: str, **values: Any) -> dict[str, Any]:
    """A task's arguments as Ansible hands them over: complete, with their defaults."""
    every = {key: spec.get("default") for key, spec in CONTAINERS.argument_spec().items()}
    return {**every, "name": name, **values}


def want(name: str, **values: Any) -> Spec:
    """The specification in a task's arguments."""
    return CONTAINERS.read(arguments(name, **values))
