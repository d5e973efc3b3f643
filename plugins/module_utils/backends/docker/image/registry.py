# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Registries: credentials, what is there, and pulling."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ....engine.errors import BackendError, Unreadable
from ....engine.reading import as_mapping, as_text
from .references import Reference

if TYPE_CHECKING:
    from ..client import Engine

#: As the specification of OCI images has it.
_DIGEST = re.compile(r"[a-z0-9]+([+._-][a-z0-9]+)*:[a-zA-Z0-9=_-]{32,}")


@dataclass(frozen=True)
class Login:
    """Credentials for a registry; without them, those that this user's docker login has left on the host are used."""

    username: str = ""
    password: str = ""

    @classmethod
    def of(cls, steering: Mapping[str, Any]) -> Login:
        """The credentials of a task."""
        return cls(steering.get("registry_username") or "", steering.get("registry_password") or "")

    def as_auth(self) -> dict[str, str] | None:
        """As the SDK takes them."""
        return {"username": self.username, "password": self.password} if self.username else None

    def __repr__(self) -> str:
        return f"Login({self.username!r})"


def remote_digest(engine: Engine, reference: Reference, login: Login) -> str | BackendError:
    """The digest that the image's registry has for it now: only asks, pulls nothing.

    An error is returned, not raised.
    """
    try:
        found = engine.ask(engine.client.inspect_distribution, reference.name, auth_config=login.as_auth())
    except BackendError as error:
        return error
    digest = as_text(as_mapping(as_mapping(found).get("Descriptor")).get("digest"))
    if not _DIGEST.fullmatch(digest):
        return Unreadable(
            f"the registry does not say which image {reference} is",
            remedy="See that it is a registry that answers there",
        )
    return digest


def pull(engine: Engine, reference: Reference, login: Login) -> None:
    """Pull an image. Raises BackendError."""
    for _line in engine.stream(
        engine.client.pull,
        repository=reference.repository,
        tag=reference.digest or reference.tag,
        stream=True,
        decode=True,
        auth_config=login.as_auth(),
    ):
        # Progress lines: the stream ends when the image is there, and raises when it is not to be had.
        continue
