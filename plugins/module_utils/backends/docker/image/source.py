# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where an image comes from, and how its content is known again. Reads files of this host."""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from ....engine.digest import sha256_of
from ....engine.errors import InvalidOption, unread_file
from ....engine.kinds import Texts
from .dockerfile import base_of
from .ignore_file import files_of
from .references import Reference, parse_reference
from .saved import HERE, check_tar, saved_image

#: The label in which an image remembers what it was made from.
LABEL = "kraal.virt.source"
SOURCES = ("build", "import", "load", "tag")


def digest_of(value: Any) -> str:
    """A digest of plain data."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def file_digest(path: str, option: str) -> str:
    """The SHA-256 of a file's content."""
    with unread_file(option, path, HERE):
        return sha256_of(path)


def complete(parameters: Mapping[str, Any]) -> Mapping[str, Any]:
    """Add ``content``: what the image is made from, as one text. Raises InvalidOption for what is not there."""
    given = [name for name in SOURCES if parameters.get(name)]
    if parameters["state"] == "absent":
        if given:
            raise InvalidOption(
                given[0], "...", "cannot be combined with state=absent", remedy="Leave it away, or set state=present"
            )
        return parameters
    if len(given) > 1:
        remedy = "An image comes from one of: build, import, load, tag, or its registry"
        raise InvalidOption(given[1], "...", f"cannot be had together with {given[0]}", remedy=remedy)
    if not given:
        return parameters
    if parameters.get("pull"):
        raise InvalidOption(
            "pull",
            parameters["pull"],
            f"cannot be combined with an image that comes from {given[0]}",
            remedy="Leave it away",
        )
    source = given[0]
    if source == "tag":
        return parameters
    makers: dict[str, Callable[[Mapping[str, Any]], str]] = {"build": _build_content, "import": _import_content}
    options = parameters[source]
    return {
        **parameters,
        "content": _load_content(options, parameters["name"]) if source == "load" else makers[source](options),
    }


def quoted(text: str) -> str:
    """A word of an instruction, in which nothing means anything but itself."""
    return '"{}"'.format(re.sub(r'(["\\$])', r"\\\1", text))


def changes_of(options: Mapping[str, Any]) -> list[str]:
    """The settings of an imported image, as the instructions that the engine takes."""
    env = Texts(key_pattern=r"[A-Za-z_][A-Za-z0-9_.-]*").parse(options.get("env") or {}, "import.env")
    labels = Texts().parse(options.get("labels") or {}, "import.labels")
    changes = [f"ENV {key}={quoted(value)}" for key, value in sorted(env.items())]
    lists, texts = (
        (("CMD", "command"), ("ENTRYPOINT", "entrypoint"), ("VOLUME", "volumes")),
        (("USER", "user"), ("WORKDIR", "workdir")),
    )
    changes += [f"{word} {json.dumps([str(part) for part in options[key]])}" for word, key in lists if options.get(key)]
    changes += [
        "{} {}".format(word, re.sub(r"([\\$])", r"\\\1", str(options[key]))) for word, key in texts if options.get(key)
    ]
    changes += [f"EXPOSE {port}" for port in options.get("expose") or ()]
    changes += [f"LABEL {quoted(key)}={quoted(value)}" for key, value in sorted(labels.items())]
    for change in changes:
        if re.search(r"[\x00\r\n]", change):
            raise InvalidOption(
                "import",
                change.partition(" ")[2].partition("=")[0],
                "contains a line break",
                remedy="Write it on one line",
            )
    for port in options.get("expose") or ():
        if not re.fullmatch(r"[0-9]{1,5}(-[0-9]{1,5})?(/(tcp|udp|sctp))?", str(port)):
            raise InvalidOption("import.expose", port, "is not a port", remedy="Write 80, 53/udp or 8000-8010")
    return changes


def _import_content(options: Mapping[str, Any]) -> str:
    path, checksum = str(options["path"]), str(options.get("checksum") or "")
    if checksum.startswith("sha256:"):
        checksum = checksum[len("sha256:") :]
    if not checksum:
        check_tar(path, "import.path")
        checksum = file_digest(path, "import.path")
    elif len(checksum) != 64 or set(checksum.lower()) - set("0123456789abcdef"):
        raise InvalidOption(
            "import.checksum", options["checksum"], "is no SHA-256", remedy="Write 64 hexadecimal digits"
        )
    return f"import {digest_of([checksum.lower(), changes_of(options)])}"


def _load_content(options: Mapping[str, Any], name: str) -> str:
    return f"load {saved_image(str(options['path']), name).key}"


def _build_content(options: Mapping[str, Any]) -> str:
    root = Path(str(options["path"]))
    if not os.path.isdir(root):
        raise InvalidOption("build.path", str(root), "is not a directory on this host", remedy=HERE)
    name = dockerfile_of(root, options)
    entries = [(path, *_entry(root / path)) for path in files_of(root, name)]
    # What says how to build rather than what is left out: another network or an empty cache gives no other image.
    settings = {"args": arguments_of(options), "target": options.get("target"), "labels": options.get("labels")}
    return f"build {digest_of([entries, name, settings])}"


def arguments_of(options: Mapping[str, Any]) -> dict[str, str] | None:
    """What is given to the ARGs of its Dockerfile. Raises InvalidOption."""
    return None if options.get("args") is None else Texts().parse(options["args"], "build.args")


def dockerfile_of(root: Path, options: Mapping[str, Any]) -> str:
    """Its path inside the directory."""
    name = os.path.normpath(str(options.get("dockerfile") or "Dockerfile"))
    if os.path.isabs(name) or name.startswith("..") or not os.path.isfile(root / name):
        raise InvalidOption(
            "build.dockerfile",
            name,
            f"is not a file in {root}",
            remedy="Name the Dockerfile inside the directory, by its path there",
        )
    return name


def build_base(options: Mapping[str, Any]) -> Reference | None:
    """The image that a build stands on; None where there is none, or it cannot be told."""
    root = Path(str(options["path"]))
    text = (root / dockerfile_of(root, options)).read_text(encoding="utf-8-sig", errors="replace")
    found = base_of(
        text,
        {str(key): str(value) for key, value in (options.get("args") or {}).items()},
        str(options.get("target") or ""),
    )
    try:
        return parse_reference(found) if found else None
    except InvalidOption:
        # The engine will say what it thinks of that name.
        return None


def _entry(path: Path) -> Iterable[Any]:
    with unread_file("build.path", str(path), HERE):
        mode = path.lstat().st_mode
        if stat.S_ISLNK(mode):
            return ("link", os.readlink(path))
    if stat.S_ISREG(mode):
        return ("file", stat.S_IMODE(mode), file_digest(str(path), "build.path"))
    return (stat.S_IFMT(mode), stat.S_IMODE(mode))
