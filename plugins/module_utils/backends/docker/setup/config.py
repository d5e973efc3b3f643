# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The engine's configuration: what its file says, and what it is to say. Pure, but for read()."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ....engine.secrets import secrets_in

CONFIG = "/etc/docker/daemon.json"

#: What the engine takes over on SIGHUP, when it is set (not when it is removed). Everything else needs a restart.
#: See https://docs.docker.com/reference/cli/dockerd/#configuration-reload-behavior, and what Docker 20.10 to 28 do.
RELOADABLE = frozenset(
    (
        "allow-nondistributable-artifacts",
        "authorization-plugins",
        "debug",
        "default-runtime",
        "features",
        "insecure-registries",
        "labels",
        "live-restore",
        "max-concurrent-downloads",
        "max-concurrent-uploads",
        "max-download-attempts",
        "registry-mirrors",
        "runtimes",
        "shutdown-timeout",
    )
)


@dataclass(frozen=True)
class Config:
    """The file as it is, and with the options merged into it. ``text`` is None where there is no file."""

    path: str
    text: str | None
    before: Mapping[str, Any]
    after: Mapping[str, Any]
    #: Why nothing can be merged.
    fault: str = ""

    @property
    def removed(self) -> list[str]:
        """The keys that go."""
        return sorted(set(self.before) - set(self.after))

    @property
    def differs(self) -> list[str]:
        """The keys that are new, or have another value."""
        return sorted(
            key for key, value in self.after.items() if key not in self.before or not _same(self.before[key], value)
        )

    @property
    def changed(self) -> list[str]:
        """All of them."""
        return [*self.differs, *self.removed]

    @property
    def restarts(self) -> list[str]:
        """Those that the engine takes over by a restart only."""
        return [*self.removed, *(key for key in self.differs if key not in RELOADABLE)]

    @property
    def content(self) -> str:
        """The file as it is to be."""
        return json.dumps(self.after, indent=4, ensure_ascii=False) + "\n"

    @property
    def mode(self) -> int:
        """The permissions of a file that was not there. Proxies, mirrors and log drivers may have a password."""
        return 0o600 if "proxies" in self.after or any(secrets_in(self.after)) else 0o644


def _same(one: Any, other: Any) -> bool:
    """JSON's own notion: Python takes 1 for true."""
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


def merged(before: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """Mappings within each other, a list in the place of a list."""
    result = dict(before)
    for key, value in options.items():
        old = result.get(key)
        result[key] = merged(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return result


def configured(path: str, text: str | None, options: Mapping[str, Any]) -> Config:
    """What becomes of a file with this text. An option that is null at the first level goes."""
    try:
        before = json.loads(text) if text and text.strip() else {}
    except ValueError:
        before = None
    if not isinstance(before, dict):
        fault = f"{path} is not valid JSON, so nothing can be merged into it. Repair the file, or move it away."
        return Config(path, text, {}, {}, fault)
    after = {key: value for key, value in merged(before, options).items() if value is not None or key not in options}
    return Config(path, text, before, after)


def read(path: str, options: Mapping[str, Any]) -> Config:
    """The same of a file on this host. Raises OSError."""
    text = None
    with suppress(FileNotFoundError):
        text = Path(path).read_bytes().decode("utf-8", "surrogateescape")
    return configured(path, text, options)
