# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Images as a resource: pulled, built, imported, loaded, tagged or removed; known by their content."""

from __future__ import annotations

import os
import re
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ....engine.action import Action, Disruption
from ....engine.errors import BackendError, InvalidOption, Refused
from ....engine.kinds import Text
from ....engine.plan import Step
from ....engine.reading import as_list, as_mapping, as_number, as_texts, listed
from ....engine.resource import Resource
from ....engine.spec import Option, Spec, Table
from ....engine.units import format_size
from ..client import Engine
from ..container.observe import summaries_of
from .ignore_file import files_of
from .references import ImageIndex, Reference, parse_reference, repository_of
from .registry import Login, pull, remote_digest
from .saved import saved_image
from .source import LABEL, SOURCES, arguments_of, build_base, changes_of, complete, dockerfile_of, file_digest

#: Colours and the like in what a build says.
_ESCAPE = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_ARGUMENTS: dict[str, Any] = {
    "pull": {"type": "str", "choices": ["missing", "always"]},
    "build": {
        "type": "dict",
        "options": {
            "path": {"type": "path", "required": True},
            "dockerfile": {"type": "str"},
            "args": {"type": "dict"},
            "target": {"type": "str"},
            "labels": {"type": "dict"},
            "network": {"type": "str"},
            "pull": {"type": "bool", "default": False},
            "nocache": {"type": "bool", "default": False},
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
            "expose": {"type": "list", "elements": "str"},
            "volumes": {"type": "list", "elements": "str"},
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
    if parse_reference(name, "name").id:
        raise InvalidOption("name", name, "is an id, and no name", remedy="Write a name, like app:1.2")


class ImageTable(Table):
    """A table whose ``content`` is not the user's to set: it comes from the source that the user names."""

    def read(self, parameters: Mapping[str, Any]) -> Spec:
        """A digest names what a registry has, and nothing that is made here."""
        want = super().read(parameters)
        if _source(want) and parse_reference(want.name, "name").digest:
            why = "names no image that could be made"
            raise InvalidOption("name", want.name, why, remedy="Write a name with a tag, like app:1.2")
        return want

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
    #: The size of the archive that may have to be read, and the room for it; None where unknown.
    size: int | None = None
    free: int | None = None
    #: What a build stands on, if it is on the host.
    base: str = ""
    #: The image on the host that an archive's is, by the content that the archive stands for.
    loaded: dict[str, str] = field(default_factory=dict)
    #: The layers of the images that matter to a build, by id.
    layers: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def label(self, key: str) -> str:
        """What an image was made from, if it was made here."""
        return as_texts(self.images.summaries.get(key, {}).get("Labels")).get(LABEL, "")

    def stands(self, key: str) -> bool:
        """Whether an image stands on the base as it is now."""
        below = self.layers.get(self.base, ())
        return self.layers.get(key, ())[: len(below)] == below

    def made_from(self, content: str) -> list[str]:
        """The images of that content, the newest first."""
        if content.startswith("load "):
            return [self.loaded[content]] if content in self.loaded else []
        found = [key for key in self.images.summaries if self.label(key) == content and self.stands(key)]
        return sorted(found, key=lambda key: (-(as_number(self.images.summaries[key].get("Created"))), key))


class Images(Resource[Seen]):
    """All images of one engine."""

    table: Table = IMAGES

    def __init__(self, engine: Engine) -> None:
        self.engine, self.place = engine, engine.place

    def observe(self, wants: Sequence[Spec] | None) -> Seen:
        """Two lists: images, and containers; for a pull, the registry's word."""
        seen = Seen(ImageIndex(listed(self.engine.get("/images/json"), "images")))
        for each in summaries_of(self.engine):
            seen.users.setdefault(each.image_id, []).append(each.name)
        for want in wants or ():
            if want.state == "present":
                self._look(want, seen)
        return seen

    def _look(self, want: Spec, seen: Seen) -> None:
        """What the plan for one image has to know beside the lists."""
        source, reference = _source(want), parse_reference(want.name, "name")
        here = seen.images.find(reference)
        if not source and (not here or (want.steering["pull"] == "always" and not reference.digest)):
            seen.remote = remote_digest(self.engine, reference, Login.of(want.steering))
        if source in ("import", "load"):
            path = want.steering[source]["path"]
            seen.size = os.path.getsize(path) if os.path.isfile(path) else None
            seen.free = _free(self.engine) if self.engine.local and seen.size is not None else None
        if source == "load":
            key = self._loaded(want, seen)
            seen.loaded.update({str(want.values["content"]): key} if key else {})
        if source == "build":
            base = build_base(want.steering["build"])
            seen.base = seen.images.find(base) if base else ""
            if seen.base:
                alike = [key for key in seen.images.summaries if seen.label(key) == want.values["content"]]
                found = self.engine.inspect_all("images", [seen.base, *alike])
                seen.layers = {
                    key: tuple(as_list(as_mapping(as_mapping(data).get("RootFS")).get("Layers")))
                    for key, data in found.items()
                }

    def _loaded(self, want: Spec, seen: Seen) -> str:
        """The image on the host that the archive's is: by the digest of its configuration, or one of its names or
        manifests if it has the same content. Empty where none is.
        """
        key = str(want.values["content"]).partition(" ")[2]
        if key in seen.images.summaries:
            return key
        saved = saved_image(str(want.steering["load"]["path"]), want.name)
        known = [seen.images.find(parse_reference(name, "load.path")) for name in (want.name, *saved.tags)]
        known += [digest for digest in saved.manifests if digest in seen.images.summaries]
        found = self.engine.inspect_all("images", dict.fromkeys(filter(None, known)))
        return next((name for name, image in found.items() if saved.is_image(image)), "")

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
                raise _nothing_to_tag(want)
            return [] if other == here else [Step(want.name, Action.TAG, "content", here[:19] or None, other[:19])]
        content = str(want.values["content"])
        alike = seen.made_from(content)
        if here and here in alike:
            return []
        before = seen.label(here) or here[:19] or None
        if alike:
            # Made before: under another name, or by a run that died before it could give it this one.
            return [Step(want.name, Action.TAG, "content", before, content)]
        self._check_room(want, seen, source)
        if before == content:
            before = f"{content}, not on {seen.base[:19]}"
        return [Step(want.name, Action(source), "content", before, content)]

    def _pull(self, want: Spec, seen: Seen, here: str) -> list[Step]:
        if here and seen.remote is None:
            return []
        if not isinstance(seen.remote, str):
            error = seen.remote or BackendError("the registry was not asked")
            raise InvalidOption(
                "name",
                want.name,
                f"cannot be pulled ({error.message})",
                remedy=error.remedy or "Check the name, reach the registry, or name a source",
            )
        if here and seen.remote in seen.images.digests(here):
            return []
        return [Step(want.name, Action.PULL, "content", here[:19] or None, seen.remote[:19])]

    def _check_room(self, want: Spec, seen: Seen, source: str) -> None:
        if seen.free is not None and seen.size is not None and seen.size > seen.free:
            raise Refused(
                "{}: {!r} has {}, and the disk of the engine's data root only {} left".format(
                    source, want.steering[source]["path"], format_size(seen.size), format_size(seen.free)
                ),
                remedy="Free space there, or move the data root",
            )

    def _removal(self, want: Spec, seen: Seen, here: str) -> list[Step]:
        if not here:
            return []
        if left_of(seen.images.tags(here), seen.images.names(here), parse_reference(want.name, "name")):
            return [Step(want.name, Action.UNTAG, "content", here[:19], None)]
        users = sorted(seen.users.get(here, []))
        if users and not want.steering["force"]:
            raise Refused(
                "it is in use by: {}".format(", ".join(users)),
                remedy="Remove these containers first, or set force=true to take the name away",
            )
        return [
            Step(want.name, Action.REMOVE, "", {"content": seen.label(here) or here[:19]}, None, Disruption.DESTROY)
        ]

    def do_pull(self, want: Spec, _step: Step, _seen: Seen) -> None:
        """Get it from its registry."""
        pull(self.engine, parse_reference(want.name, "name"), Login.of(want.steering))

    def do_remove(self, want: Spec, _step: Step, _seen: Seen) -> None:
        """Take the name away; the image goes with its last one."""
        self.engine.delete(
            "/images/{}".format(parse_reference(want.name, "name")), force="1" if want.steering["force"] else "0"
        )

    do_untag = do_remove

    def do_tag(self, want: Spec, _step: Step, seen: Seen) -> None:
        """Give the name to an image that is there."""
        content = want.values.get("content")
        key = seen.made_from(content)[0] if content else seen.images.find(parse_reference(want.steering["tag"], "tag"))
        self._tag(key, want)

    def _tag(self, key: str, want: Spec) -> None:
        reference = parse_reference(want.name, "name")
        self.engine.post(f"/images/{key}/tag", repo=reference.repository, tag=reference.tag)

    def do_import(self, want: Spec, _step: Step, _seen: Seen) -> None:
        """Make it of an archive of files."""
        reference, options = parse_reference(want.name, "name"), want.steering["import"]
        path, checksum = options["path"], str(options.get("checksum") or "").lower()
        if checksum and file_digest(path, "import.path") != checksum.rpartition(":")[2]:
            raise InvalidOption(
                "import.path", path, "does not have this checksum", remedy="Bring the right file to the host"
            )
        changes = [*changes_of(options), 'LABEL "{}"="{}"'.format(LABEL, want.values["content"])]
        with open(path, "rb") as file:
            self.engine.upload(
                "/images/create", file, fromSrc="-", repo=reference.repository, tag=reference.tag, changes=changes
            )

    def do_load(self, want: Spec, _step: Step, _seen: Seen) -> None:
        """Bring back one that was saved, under the name that is wanted."""
        path = str(want.steering["load"]["path"])
        with open(path, "rb") as file:
            told = self.engine.upload("/images/load", file, quiet="1")
        saved = saved_image(path, want.name)
        if not saved.named(want.name):
            self._tag(saved.loaded(told), want)

    def do_build(self, want: Spec, _step: Step, _seen: Seen) -> None:
        """Build it of a directory."""
        options, content = want.steering["build"], str(want.values["content"])
        arguments = arguments_of(options) or {}
        labels = {str(key): str(value) for key, value in (options.get("labels") or {}).items()}
        said: deque[str] = deque(maxlen=5)
        root = Path(str(options["path"]))
        dockerfile = dockerfile_of(root, options)
        # The SDK may be missing where nothing is built.
        from docker.utils.build import create_archive

        try:
            with create_archive(str(root), files_of(root, dockerfile)) as archive:
                for line in self.engine.stream(
                    self.engine.client.build,
                    fileobj=archive,
                    custom_context=True,
                    tag=str(parse_reference(want.name, "name")),
                    dockerfile=dockerfile,
                    buildargs=arguments,
                    target=options.get("target") or "",
                    network_mode=options.get("network"),
                    labels={**labels, LABEL: content},
                    pull=bool(options.get("pull")),
                    nocache=bool(options.get("nocache")),
                    rm=True,
                    forcerm=True,
                    decode=True,
                ):
                    # The stream ends when the image is built, and raises when a step fails.
                    said.extend(str(line.get("stream") or "").splitlines())
        except BackendError as error:
            words = [word for word in (_ESCAPE.sub("", line).strip() for line in said) if word]
            error.add("the build said last: {}".format(" / ".join(words)) if words else "")
            raise
        except OSError as error:
            remedy = "Free space in the temporary directory, and make all files readable"
            raise BackendError(f"the build's files cannot be packed: {error}", remedy=remedy) from error

    def describe(self, name: str, seen: Seen) -> Mapping[str, Any] | None:
        """The image as it was seen."""
        here = seen.images.find(parse_reference(name, "name"))
        return self._described(name, here, seen) if here else None

    def _described(self, name: str, here: str, seen: Seen) -> dict[str, Any]:
        summary = seen.images.summaries[here]
        return {
            "name": name,
            "backend": "docker",
            "id": here,
            "tags": seen.images.tags(here),
            "digests": sorted(seen.images.digests(here)),
            "size": format_size(as_number(summary.get("Size"))),
            "labels": as_texts(summary.get("Labels")),
            "containers": sorted(seen.users.get(here, [])),
        }

    def foresee(self, want: Spec, steps: Sequence[Step], seen: Seen) -> Mapping[str, Any] | None:
        """The image as it will be; what only its making can say is empty."""
        if want.state == "absent":
            return None
        now = self.describe(want.name, seen)
        if now is not None and not steps:
            return now
        fresh: dict[str, Any] = {
            "name": want.name,
            "backend": "docker",
            "id": "",
            "tags": [str(parse_reference(want.name, "name"))],
        }
        fresh.update(digests=[], size="", labels={}, containers=[])
        if steps[-1].action == Action.TAG:
            content = want.values.get("content")
            key = (
                seen.made_from(content)[0]
                if content
                else seen.images.find(parse_reference(want.steering["tag"], "tag"))
            )
            fresh = {**self._described(want.name, key, seen)}
            fresh["tags"] = sorted({*fresh["tags"], str(parse_reference(want.name, "name"))})
        elif "content" in want.values:
            fresh["labels"] = {LABEL: want.values["content"]} if steps[-1].action != Action.LOAD else {}
        return fresh


def _nothing_to_tag(want: Spec) -> InvalidOption:
    """Other tools call a part of the name what is here the image that gets one more name."""
    tag = str(want.steering["tag"])
    remedy = "Pull, build or import it first"
    if not re.search("[/:@]", tag):
        named = parse_reference(want.name, "name").repository
        remedy += f". It is the image to give the name to: with the tag {tag}, the name is {named}:{tag}"
    return InvalidOption("tag", tag, "does not exist on this host", remedy=remedy)


def left_of(tags: Sequence[str], names: Sequence[str], reference: Reference) -> list[str]:
    """The names that an image keeps when it loses one: with the last tag of a repository go the repository's digests.

    Pure.
    """
    left = [name for name in names if name != str(reference)]
    same = [tag for tag in tags if tag in left and repository_of(tag) == reference.repository]
    return [name for name in left if same or "@" not in name or repository_of(name) != reference.repository]


def _source(want: Spec) -> str:
    return next((name for name in SOURCES if want.steering.get(name)), "")


def _free(engine: Engine) -> int | None:
    root = engine.get("/info").get("DockerRootDir")
    if not root or not os.path.isdir(root):
        return None
    found = os.statvfs(root)
    return found.f_bavail * found.f_frsize
