# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests made on a daemon: found by its prefix, removed by it, and nothing else touched."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import docker
from docker.errors import NotFound

from .images import import_image

PREFIX = "kt-"


@dataclass(frozen=True)
class Found:
    """Names on a daemon that begin with a prefix."""

    containers: list[str]
    networks: list[str]
    volumes: list[str]
    images: list[str]

    def __bool__(self) -> bool:
        return any((self.containers, self.networks, self.volumes, self.images))


def find(client: docker.APIClient, prefix: str) -> Found:
    """All objects whose name begins with the prefix (an image: whose repository does, with or without a registry
    before it).
    """
    containers = [
        name.removeprefix("/")
        for item in client.containers(all=True)
        for name in item.get("Names") or []
        if name.count("/") == 1
    ]
    networks = [item["Name"] for item in client.networks()]
    volumes = [item["Name"] for item in client.volumes()["Volumes"] or []]
    images = [tag for item in client.images() for tag in item.get("RepoTags") or []]
    return Found(
        containers=sorted(name for name in containers if name.startswith(prefix)),
        networks=sorted(name for name in networks if name.startswith(prefix)),
        volumes=sorted(name for name in volumes if name.startswith(prefix)),
        images=sorted(tag for tag in images if tag.rpartition("/")[2].startswith(prefix)),
    )


def remove(client: docker.APIClient, prefix: str) -> None:
    """Remove all objects of that prefix.

    What a module under test removes at the same moment is gone too: that is fine.
    """
    found = find(client, prefix)
    for name in found.containers:
        _gone(client.remove_container, name, force=True, v=True)
    for name in found.networks:
        _gone(client.remove_network, name)
    for name in found.volumes:
        _gone(client.remove_volume, name)
    ids = {image["Id"] for image in client.images() if {*found.images} & {*(image.get("RepoTags") or ())}}
    for name in found.images:
        _gone(client.remove_image, name, force=True)
    while left := nameless(client, ids) if ids else []:
        for key in left:
            _gone(client.remove_image, key, force=True)


def nameless(client: docker.APIClient, ids: set[str]) -> list[str]:
    """Those of these images, and of what was built upon them, that have no name (a digest is none) and no child."""
    parents = {image["Id"]: image["ParentId"] for image in client.images(all=True)}
    dangling = (image["Id"] for image in client.images(filters={"dangling": True}))
    return [key for key in dangling if ids & {*_lineage(key, parents)}]


def _lineage(key: str, parents: Mapping[str, str]) -> Iterator[str]:
    while key:
        yield key
        key = parents.get(key, "")


def _gone(call: object, name: str, **options: bool) -> None:
    try:
        call(name, **options)  # type: ignore[operator]
    except NotFound:
        return


class Scratch:
    """Names of one test: `scratch("web")` is unique on the daemon, and whatever is called so goes at the test's end."""

    _numbers = itertools.count(1)

    def __init__(self, client: docker.APIClient, prefix: str) -> None:
        self.client = client
        self.prefix = f"{prefix}{next(self._numbers)}-"

    def __call__(self, name: str) -> str:
        return self.prefix + name

    def found(self) -> Found:
        """What this test has on the daemon now: how a test of crashes looks for leftovers."""
        return find(self.client, self.prefix)

    def clean(self) -> None:
        remove(self.client, self.prefix)


class Bystanders:
    """Objects that are not ours to touch, one of each kind and unused, as a user has them: at the end they must be
    what they were.
    """

    def __init__(self, client: docker.APIClient, run_name: str) -> None:
        self.client = client
        self.name = f"keep-{run_name}-bystander"
        self.image = f"{self.name}:1"

    def create(self) -> None:
        self.remove()
        import_image(self.client, self.image, "bystander", ['LABEL "keep"="yes"'])
        self.client.create_network(self.name)
        self.client.create_volume(self.name)
        self.client.create_container(self.image, name=self.name)
        self._before = self._state()

    def _state(self) -> dict[str, object]:
        container = self.client.inspect_container(self.name)
        return {
            "container": (container["Id"], container["State"]["Status"], container["HostConfig"]["Memory"]),
            "network": self.client.inspect_network(self.name)["Id"],
            "volume": self.client.inspect_volume(self.name)["CreatedAt"],
            "image": self.client.inspect_image(self.image)["Id"],
        }

    def changed(self) -> list[str]:
        """What was removed or changed; empty is good."""
        try:
            now = self._state()
        except NotFound as error:
            return [f"gone: {error.explanation}"]
        return [
            f"{kind}: {before!r} is now {now[kind]!r}" for kind, before in self._before.items() if now[kind] != before
        ]

    def remove(self) -> None:
        remove(self.client, self.name)
