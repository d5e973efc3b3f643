# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Archives of images that an engine has saved, and how an image of one is known again on an engine. Reads files of this
host.

An engine with a store of its own calls an image by the digest of its configuration, one with the store of containerd by
that of its manifest, which an archive need not have (seen with Docker 28.5). What is in the image is the same in both.
"""

from __future__ import annotations

import json
import os
import re
import tarfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ....engine.errors import InvalidOption
from ....engine.reading import as_list, as_mapping, as_text
from .references import parse_reference

HERE = "Name a path that exists on the host where the task runs"
#: What a configuration and an engine say alike of an image's settings.
_SETTINGS = (
    "Cmd",
    "Entrypoint",
    "Env",
    "ExposedPorts",
    "Healthcheck",
    "Labels",
    "OnBuild",
    "Shell",
    "StopSignal",
    "User",
    "Volumes",
    "WorkingDir",
)
_LOADED = re.compile(r"Loaded image(?: ID)?: (\S+)")


@dataclass(frozen=True)
class Saved:
    """An image in an archive."""

    #: The digest of its configuration.
    key: str
    tags: tuple[str, ...]
    config: Mapping[str, Any]
    #: The digests of all manifests in the archive, where it has any: one may be what an engine calls it.
    manifests: tuple[str, ...] = ()

    def named(self, name: str) -> bool:
        """Whether that is one of its names."""
        return str(parse_reference(name, "name")) in [str(parse_reference(tag, "load.path")) for tag in self.tags]

    def is_image(self, found: Any) -> bool:
        """Whether what an engine says of an image (/images/NAME/json) is this one: its layers, settings and date."""
        image, config = as_mapping(found), self.config
        return bool(image) and [
            as_list(as_mapping(config.get("rootfs")).get("diff_ids")),
            _settings(config.get("config")),
            *(as_text(config.get(key)) for key in ("architecture", "os")),
            _date(config.get("created")),
        ] == [
            as_list(as_mapping(image.get("RootFS")).get("Layers")),
            _settings(image.get("Config")),
            *(as_text(image.get(key)) for key in ("Architecture", "Os")),
            _date(image.get("Created")),
        ]

    def loaded(self, told: Iterable[str]) -> str:
        """What the engine calls it, by what it has told of the load."""
        names = [match[1] for match in map(_LOADED.match, told) if match]
        mine = [name for name in names if self.named(name)]
        return next(iter(mine or names[-1:]), self.key)


def _settings(config: Any) -> dict[str, Any]:
    return {key: value for key, value in as_mapping(config).items() if key in _SETTINGS and value}


def _date(value: Any) -> str:
    """Without the zeros at the end of a second's fraction, which Go leaves out."""
    return re.sub(r"\.?0*Z$", "Z", as_text(value)) if "." in as_text(value) else as_text(value)


def check_tar(path: str, option: str) -> None:
    """Raises InvalidOption for what is not an archive on this host."""
    if not os.path.isfile(path):
        raise InvalidOption(option, path, "is not a file on this host", remedy=HERE)
    if not os.access(path, os.R_OK):
        raise InvalidOption(option, path, "cannot be read", remedy="Run the task as a user who may read it")
    if not tarfile.is_tarfile(path):
        raise InvalidOption(
            option, path, "is not a tar archive", remedy="Name a tar archive of a root file system, compressed or not"
        )


def saved_images(path: str) -> list[Saved]:
    """The images in an archive that an engine has saved. Raises InvalidOption."""
    check_tar(path, "load.path")
    try:
        with tarfile.open(path) as archive:
            index = _json(archive, "index.json") if "index.json" in archive.getnames() else {}
            manifests = tuple(as_text(as_mapping(each).get("digest")) for each in as_list(index.get("manifests")))
            return [
                Saved(
                    "sha256:" + _stem(str(entry["Config"])),
                    tuple(str(tag) for tag in entry.get("RepoTags") or ()),
                    _json(archive, str(entry["Config"])),
                    manifests,
                )
                for entry in _json(archive, "manifest.json")
            ]
    except (KeyError, ValueError, TypeError, AttributeError, EOFError, OSError, tarfile.TarError) as error:
        raise InvalidOption(
            "load.path", path, f"holds no saved images ({error})", remedy="Make it with: docker save"
        ) from error


def _json(archive: tarfile.TarFile, name: str) -> Any:
    member = archive.extractfile(name)
    if member is None:
        raise KeyError(name)
    return json.load(member)


def _stem(config: str) -> str:
    """The digest in the name of an image's configuration: DIGEST.json, or blobs/sha256/DIGEST."""
    stem = config.rpartition("/")[2]
    return stem[: -len(".json")] if stem.endswith(".json") else stem


def saved_image(path: str, name: str) -> Saved:
    """The image of that name in an archive; an archive of one image may name it differently, or not at all.

    Raises InvalidOption.
    """
    images = saved_images(path)
    mine = [image for image in images if image.named(name)] or (images if len(images) == 1 else [])
    if not mine:
        tags = sorted(tag for image in images for tag in image.tags)
        remedy = "Name one of them" if tags else "Save the image to an archive of its own"
        raise InvalidOption(
            "load.path",
            path,
            "holds %d images, none called %s: %s" % (len(images), name, ", ".join(tags)),
            remedy=remedy,
        )
    return mine[0]
