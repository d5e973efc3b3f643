# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Images as a resource: pulled, built, imported, loaded, tagged or removed; known by their content."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ...engine.errors import BackendError, InvalidOption, Refused
from ...engine.kinds import Text
from ...engine.plan import Disruption, Step
from ...engine.spec import Option, Spec, Table
from ...engine.units import format_size
from .client import Engine
from .container_observe import name_of
from .image_source import LABEL, SOURCES, changes_of, complete, file_digest
from .references import ImageIndex, Reference, parse_reference
from .registry import Login, pull, remote_digest

_ARGUMENTS: dict[str, Any] = {
    "pull": {"type": "str", "choices": ["missing", "always"], "default": "missing"},
    "build": {
        "type": "dict",
        "options": {
            "path": {"type": "path", "required": True},
            "dockerfile": {"type": "str"},
            "args": {"type": "dict"},
            "target": {"type": "str"},
            "network": {"type": "str"},
            "labels": {"type": "dict"},
        },
    },
    "import": {
        "type": "dict",
        "options": {
            "path": {"type": "path", "required": True},
            "checksum": {"type": "str"},
            "command": {"type": "list", "elements": "str"},
            "entrypoint": {"type": "list", "elements": "str"},
            "env": {"type": "dict"},
            "user": {"type": "str"},
            "workdir": {"type": "str"},
            "labels": {"type": "dict"},
        },
    },
    "load": {"type": "dict", "options": {"path": {"type": "path", "required": True}}},
    "tag": {"type": "str"},
    "force": {"type": "bool", "default": False},
    "registry_username": {"type": "str"},
    "registry_password": {"type": "str", "no_log": True},
}


def _check_name(name: str) -> None:
    reference = parse_reference(name, "name")
    if reference.id or reference.digest:
        raise InvalidOption("name", name, "names no image that could be made", remedy="Write a name with a tag, like app:1.2")


class ImageTable(Table):
    """A table whose ``content`` is not the user's to set: it comes from the source that the user names."""

    def argument_spec(self) -> dict[str, Any]:
        """Without ``content``."""
        return {key: value for key, value in super().argument_spec().items() if key != "content"}


IMAGES = ImageTable(
    backend="docker",
    kind="image",
    options=(Option("content", Text(), lambda image: image["labels"].get(LABEL), Disruption.NONE),),
    states=("present", "absent"),
    state="present",
    allow=None,
    steering=_ARGUMENTS,
    complete=complete,
    check_name=_check_name,
    plain_name=False,
)


@dataclass
class Seen:
    """The images, who uses them, what a registry has, and how much room there is for another."""

    images: ImageIndex = field(default_factory=lambda: ImageIndex(()))
    users: dict[str, list[str]] = field(default_factory=dict)
    remote: str | BackendError | None = None
    free: int | None = None


class Images:
    """All images of one engine."""

    table: Table = IMAGES

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def observe(self, wants: Sequence[Spec] | None) -> Seen:
        """Two lists: images, and containers; for a pull, the registry's word."""
        seen = Seen(ImageIndex(self.engine.get("/images/json")))
        for summary in self.engine.get("/containers/json", all="1"):
            seen.users.setdefault(summary["ImageID"], []).append(name_of(summary))
        for want in wants or ():
            reference = parse_reference(want.name, "name")
            here = seen.images.find(reference)
            if want.state == "present" and not _source(want) and (not here or want.steering["pull"] == "always"):
                seen.remote = remote_digest(self.engine, reference, Login.of(want.steering))
            if self.engine.local and _source(want) in ("import", "load"):
                seen.free = _free(self.engine)
        return seen

    def names(self, seen: Seen) -> list[str]:
        """The names with a tag of all images."""
        return sorted(tag for key in seen.images.summaries for tag in seen.images.tags(key))

    def plan(self, want: Spec, seen: Seen) -> list[Step]:
        """Pure."""
        here = seen.images.find(parse_reference(want.name, "name"))
        if want.state == "absent":
            return self._removal(want, seen, here)
        source = _source(want)
        if not source:
            return self._pull(want, seen, here)
        if source == "tag":
            other = seen.images.find(parse_reference(want.steering["tag"], "tag"))
            if not other:
                raise InvalidOption("tag", want.steering["tag"], "does not exist on this host", remedy="Pull, build or import it first")
            return [] if other == here else [Step(want.name, "tag", "content", here[:19] or None, other[:19])]
        after = want.values["content"]
        labels = seen.images.summaries.get(here, {}).get("Labels") or {}
        before = "load %s" % here if source == "load" and here else labels.get(LABEL) or here[:19] or None
        if before == after:
            return []
        self._check_room(want, seen, source)
        return [Step(want.name, source, "content", before, after)]

    def _pull(self, want: Spec, seen: Seen, here: str) -> list[Step]:
        if here and want.steering["pull"] == "missing":
            return []
        if not isinstance(seen.remote, str):
            error = seen.remote or BackendError("the registry was not asked")
            raise InvalidOption(
                "name", want.name, "cannot be pulled (%s)" % error.message, remedy=error.remedy or "Check the name, reach the registry, or name a source"
            )
        if here and seen.remote in seen.images.digests(here):
            return []
        return [Step(want.name, "pull", "content", here[:19] or None, seen.remote[:19])]

    def _check_room(self, want: Spec, seen: Seen, source: str) -> None:
        path = want.steering[source]["path"] if source in ("import", "load") else ""
        if seen.free is not None and path and os.path.isfile(path) and os.path.getsize(path) > seen.free:
            raise Refused(
                "%s: %r has %s, and the disk of the engine's data root only %s left"
                % (source, path, format_size(os.path.getsize(path)), format_size(seen.free)),
                remedy="Free space there, or move the data root",
            )

    def _removal(self, want: Spec, seen: Seen, here: str) -> list[Step]:
        if not here:
            return []
        last = len(seen.images.tags(here)) < 2
        users = sorted(seen.users.get(here, [])) if last else []
        if users and not want.steering["force"]:
            raise Refused("it is in use by: %s" % ", ".join(users), remedy="Remove these containers first, or set force=true to take the name away")
        return [Step(want.name, "remove", "", {"id": here[:19]}, None, Disruption.DESTROY)]

    def apply(self, want: Spec, step: Step, seen: Seen) -> None:
        """Perform one step."""
        reference = parse_reference(want.name, "name")
        if step.action == "pull":
            pull(self.engine, reference, Login.of(want.steering))
        elif step.action == "remove":
            self.engine.call("DELETE", "/images/%s" % want.name, query={"force": "1" if want.steering["force"] else "0"})
        elif step.action == "tag":
            self._tag(seen.images.find(parse_reference(want.steering["tag"], "tag")), reference)
        elif step.action == "import":
            self._import(reference, want.steering["import"], str(want.values["content"]))
        elif step.action == "load":
            self._load(reference, want.steering["load"]["path"], str(want.values["content"]))
        else:
            self._build(want, want.steering["build"], str(want.values["content"]))

    def _tag(self, key: str, reference: Reference) -> None:
        self.engine.post("/images/%s/tag" % key, repo=reference.repository, tag=reference.tag)

    def _import(self, reference: Reference, options: Mapping[str, Any], content: str) -> None:
        path, checksum = options["path"], str(options.get("checksum") or "").lower()
        if checksum and file_digest(path, "import.path") != checksum.rpartition(":")[2]:
            raise InvalidOption("import.path", path, "does not have this checksum", remedy="Bring the right file to the host")
        changes = [*changes_of(options), 'LABEL "%s"="%s"' % (LABEL, content)]
        with open(path, "rb") as file:
            self.engine.upload("/images/create", file, fromSrc="-", repo=reference.repository, tag=reference.tag, changes=changes)

    def _load(self, reference: Reference, path: str, content: str) -> None:
        with open(path, "rb") as file:
            self.engine.upload("/images/load", file, quiet="1")
        self._tag(content.partition(" ")[2], reference)

    def _build(self, want: Spec, options: Mapping[str, Any], content: str) -> None:
        arguments = {str(key): str(value) for key, value in (options.get("args") or {}).items()}
        labels = {str(key): str(value) for key, value in (options.get("labels") or {}).items()}
        for _line in self.engine.stream(
            self.engine.client.build,
            path=options["path"],
            tag=want.name,
            dockerfile=options.get("dockerfile"),
            buildargs=arguments,
            target=options.get("target") or "",
            network_mode=options.get("network"),
            labels={**labels, LABEL: content},
            rm=True,
            forcerm=True,
            decode=True,
        ):
            # The stream ends when the image is built, and raises when a step fails.
            continue

    def wait(self, want: Spec) -> None:
        """An image is there as soon as it is made."""

    def describe(self, name: str, seen: Seen) -> Mapping[str, Any] | None:
        """The image as it was seen."""
        here = seen.images.find(parse_reference(name, "name"))
        if not here:
            return None
        summary = seen.images.summaries[here]
        return {
            "name": name,
            "backend": "docker",
            "id": here,
            "tags": seen.images.tags(here),
            "digests": sorted(seen.images.digests(here)),
            "size": format_size(summary.get("Size") or 0),
            "labels": dict(summary.get("Labels") or {}),
            "containers": sorted(seen.users.get(here, [])),
        }

    def foresee(self, want: Spec, steps: Sequence[Step], seen: Seen) -> Mapping[str, Any] | None:
        """The image as it will be; what only its making can say is empty."""
        if want.state == "absent":
            return None
        now = self.describe(want.name, seen)
        if now is not None and not steps:
            return now
        fresh: dict[str, Any] = {"name": want.name, "backend": "docker", "id": "", "tags": [str(parse_reference(want.name, "name"))]}
        return {**fresh, "digests": [], "size": "", "labels": {}, "containers": []}


def _source(want: Spec) -> str:
    return next((name for name in SOURCES if want.steering.get(name)), "")


def _free(engine: Engine) -> int | None:
    root = engine.get("/info").get("DockerRootDir")
    if not root or not os.path.isdir(root):
        return None
    found = os.statvfs(root)
    return found.f_bavail * found.f_frsize
