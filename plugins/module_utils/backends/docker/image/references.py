# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Names of images: what a user may write for one image, and how to know it again in what the daemon lists. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from ....engine.errors import InvalidOption
from ....engine.kinds import as_read
from ....engine.reading import as_list, as_mapping, as_text

_DOMAIN = re.compile(r"localhost|.*[.:].*|.*[A-Z].*")
_PATH = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*", re.ASCII)
_HOST = re.compile(
    r"[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?(?::[0-9]{1,5})?|\[[0-9a-fA-F:]+\](?::[0-9]{1,5})?", re.ASCII
)
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}", re.ASCII)
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}", re.ASCII)
_ID = re.compile(r"sha256:[0-9a-f]{12,64}|[0-9a-f]{64}", re.ASCII)
#: How an id is shown in a list, which may be a name as well.
_DIGITS = re.compile(r"[0-9a-f]{12,63}", re.ASCII)

REMEDY = "Write an image like debian:12, registry.example:5000/team/app:1.2, a name with @sha256:..., or an image's id"


@dataclass(frozen=True)
class Reference:
    """An image by name, with a tag or a digest, or by its id alone. The form is the short one that the daemon lists."""

    repository: str = ""
    tag: str = ""
    digest: str = ""
    id: str = ""
    #: The same as the digits that an id begins with, where it can be read so: what no image is called is one.
    digits: str = ""

    def __str__(self) -> str:
        return self.id or self.digits or self.name

    @property
    def name(self) -> str:
        """With its tag or digest, as the daemon lists it."""
        return f"{self.repository}@{self.digest}" if self.digest else f"{self.repository}:{self.tag}"


def parse_reference(text: str, option: str = "image") -> Reference:
    """The image that a user named. Raises InvalidOption for what no daemon would take.

    What an image is called, or is to be called (the option ``name``), is no id.
    """
    if _ID.fullmatch(text):
        return Reference(id=text if text.startswith("sha256:") else "sha256:" + text)
    name, _at, digest = text.partition("@")
    head, slash, rest = name.partition("/")
    if slash and _DOMAIN.fullmatch(head):
        domain, path = head, rest
    else:
        domain, path = "", name
    path, _colon, tag = path.partition(":")
    bad = not _PATH.fullmatch(path) or (domain and not _HOST.fullmatch(domain)) or (_colon and not _TAG.fullmatch(tag))
    if bad or (_at and not _DIGEST.fullmatch(digest)):
        raise InvalidOption(option, text, "is not a valid name of an image", remedy=REMEDY)
    if domain in ("docker.io", "index.docker.io"):
        # The daemon lists images of its default registry without its name, official ones without library/ too.
        domain, path = "", path[len("library/") :] if path.startswith("library/") else path
    repository = f"{domain}/{path}" if domain else path
    digits = text if option != "name" and _DIGITS.fullmatch(text) else ""
    return Reference(repository, "" if digest else tag or "latest", digest, digits=digits)


def short_name(name: str) -> str:
    """A name as the daemon lists it, in the form of a Reference; one that no user could write (with another kind of
    digest) as it is.
    """
    return str(as_read(parse_reference, name))


def repository_of(name: str) -> str:
    """The repository of a name as the daemon lists it."""
    reference = as_read(parse_reference, name)
    return reference.repository if isinstance(reference, Reference) else name.partition("@")[0]


class ImageIndex:
    """The images that the daemon has, found by any of their names."""

    def __init__(self, summaries: Iterable[Any]) -> None:
        known = map(as_mapping, summaries)
        self.summaries = {summary["Id"]: summary for summary in known if as_text(summary.get("Id"))}
        self._names: dict[str, str] = {short_name(name): key for key in self.summaries for name in self.names(key)}

    def find(self, reference: Reference) -> str:
        """The id of that image, or nothing. As for the daemon, a name comes before the digits of an id."""
        named = "" if reference.id else self._names.get(reference.name, "")
        start = reference.id or (reference.digits and "sha256:" + reference.digits)
        if named or not start:
            return named
        found = [key for key in self.summaries if key.startswith(start)]
        return found[0] if len(found) == 1 else ""

    def by_id(self, reference: Reference) -> bool:
        """Whether a reference names an image by its id, so that no registry can be asked for it."""
        return bool(reference.id or (reference.digits and reference.name not in self._names and self.find(reference)))

    def digests(self, key: str) -> set[str]:
        """The digests under which an image was pulled."""
        return {name.partition("@")[2] for name in self._listed(key, "RepoDigests")}

    def tags(self, key: str) -> list[str]:
        """The names with a tag that an image has."""
        return sorted(self._listed(key, "RepoTags"))

    def names(self, key: str) -> list[str]:
        """All names that an image has, those with a digest too."""
        return self.tags(key) + sorted(self._listed(key, "RepoDigests"))

    def _listed(self, key: str, field: str) -> list[str]:
        names = map(as_text, as_list(self.summaries.get(key, {}).get(field)))
        return [name for name in names if name and not name.startswith("<none>")]
