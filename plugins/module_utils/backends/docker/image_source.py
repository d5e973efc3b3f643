# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where an image comes from, and how its content is known again. Reads files of this host."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import tarfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from ...engine.errors import InvalidOption

#: The label in which an image remembers what it was made from.
LABEL = "kraal.virt.source"
SOURCES = ("build", "import", "load", "tag")
_HERE = "Name a path that exists on the host where the task runs"


def digest_of(value: Any) -> str:
    """A digest of plain data."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def file_digest(path: str, option: str) -> str:
    """The SHA-256 of a file's content."""
    digest = hashlib.sha256()
    try:
        with open(path, "rb") as file:
            for block in iter(lambda: file.read(1 << 20), b""):
                digest.update(block)
    except OSError as error:
        raise InvalidOption(option, path, "cannot be read: %s" % error.strerror, remedy=_HERE) from error
    return digest.hexdigest()


def complete(parameters: Mapping[str, Any]) -> Mapping[str, Any]:
    """Add ``content``: what the image is made from, as one text. Raises InvalidOption for what is not there."""
    given = [name for name in SOURCES if parameters.get(name)]
    if parameters["state"] == "absent":
        if given:
            raise InvalidOption(given[0], "...", "goes with no image that is absent", remedy="Leave it away, or set state=present")
        return parameters
    if len(given) > 1:
        remedy = "An image comes from one of: build, import, load, tag, or its registry"
        raise InvalidOption(given[1], "...", "cannot be had together with %s" % given[0], remedy=remedy)
    if not given:
        return parameters
    makers: dict[str, Callable[[Mapping[str, Any]], str]] = {"build": _build_content, "import": _import_content, "load": _load_content}
    source = given[0]
    return {**parameters, "content": makers[source](parameters[source])} if source in makers else parameters


def changes_of(options: Mapping[str, Any]) -> list[str]:
    """The settings of an imported image, as the instructions that the engine takes."""
    changes = ["ENV %s=%s" % (key, json.dumps(str(value))) for key, value in sorted((options.get("env") or {}).items())]
    lists, texts = (("CMD", "command"), ("ENTRYPOINT", "entrypoint")), (("USER", "user"), ("WORKDIR", "workdir"))
    changes += ["%s %s" % (word, json.dumps([str(part) for part in options[key]])) for word, key in lists if options.get(key)]
    changes += ["%s %s" % (word, options[key]) for word, key in texts if options.get(key)]
    changes += ["LABEL %s=%s" % (json.dumps(str(key)), json.dumps(str(value))) for key, value in sorted((options.get("labels") or {}).items())]
    for change in changes:
        if "\n" in change:
            raise InvalidOption("import", change, "contains a line break", remedy="Write it on one line")
    return changes


def _import_content(options: Mapping[str, Any]) -> str:
    path, checksum = str(options["path"]), str(options.get("checksum") or "")
    if checksum.startswith("sha256:"):
        checksum = checksum[len("sha256:") :]
    if not checksum:
        _check_tar(path, "import.path")
        checksum = file_digest(path, "import.path")
    elif len(checksum) != 64 or set(checksum.lower()) - set("0123456789abcdef"):
        raise InvalidOption("import.checksum", options["checksum"], "is no SHA-256", remedy="Write 64 hexadecimal digits")
    return "import %s" % digest_of([checksum.lower(), changes_of(options)])


def _check_tar(path: str, option: str) -> None:
    if not os.path.isfile(path):
        raise InvalidOption(option, path, "is not a file on this host", remedy=_HERE)
    if not os.access(path, os.R_OK):
        raise InvalidOption(option, path, "cannot be read", remedy="Run the task as a user who may read it")
    if not tarfile.is_tarfile(path):
        raise InvalidOption(option, path, "is not a tar archive", remedy="Name a tar archive of a root file system, compressed or not")


def load_ids(path: str) -> list[tuple[str, list[str]]]:
    """The ids and names of the images in an archive that the engine has saved. Raises InvalidOption."""
    _check_tar(path, "load.path")
    try:
        with tarfile.open(path) as archive:
            member = archive.extractfile("manifest.json")
            manifest = json.load(member) if member else []
        return [("sha256:" + Path(entry["Config"]).name.removesuffix(".json"), list(entry.get("RepoTags") or ())) for entry in manifest]
    except (KeyError, ValueError, TypeError, tarfile.TarError) as error:
        raise InvalidOption("load.path", path, "holds no saved images (%s)" % error, remedy="Make it with: docker save") from error


def _load_content(options: Mapping[str, Any]) -> str:
    images = load_ids(str(options["path"]))
    if len(images) != 1:
        remedy = "Save each image to an archive of its own"
        raise InvalidOption("load.path", options["path"], "holds %d images" % len(images), remedy=remedy)
    return "load %s" % images[0][0]


def _build_content(options: Mapping[str, Any]) -> str:
    root = Path(str(options["path"]))
    if not root.is_dir():
        raise InvalidOption("build.path", str(root), "is not a directory on this host", remedy=_HERE)
    dockerfile = root / str(options.get("dockerfile") or "Dockerfile")
    if not dockerfile.is_file():
        raise InvalidOption("build.dockerfile", str(dockerfile), "is not there", remedy="Name the Dockerfile inside the directory")
    entries = [(name, *_entry(root / name)) for name in context_files(root, str(options.get("dockerfile") or "Dockerfile"))]
    settings = {key: options.get(key) for key in ("dockerfile", "args", "target", "network", "labels")}
    return "build %s" % digest_of([entries, settings])


def context_files(root: Path, dockerfile: str) -> list[str]:
    """The files that belong to a build, by the rules of .dockerignore."""
    from docker.utils.build import exclude_paths

    ignore = root / ".dockerignore"
    lines = ignore.read_text(encoding="utf-8").splitlines() if ignore.is_file() else []
    patterns = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    return sorted(exclude_paths(str(root), patterns, dockerfile=dockerfile))


def _entry(path: Path) -> Iterable[Any]:
    mode = path.lstat().st_mode
    if stat.S_ISLNK(mode):
        return ("link", os.readlink(path))
    if stat.S_ISREG(mode):
        return ("file", stat.S_IMODE(mode) & 0o111 != 0, file_digest(str(path), "build.path"))
    return ("other", stat.S_IFMT(mode))
