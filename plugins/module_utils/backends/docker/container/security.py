# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What confines a container: its capabilities and its security options. Pure."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from ....engine.errors import InvalidOption
from ....engine.kinds import Members, Text

#: Of these the engine knows one value each; of the others (label=...) there may be several.
_SINGLE = ("seccomp", "apparmor", "no-new-privileges", "systempaths", "credentialspec")
UNMASKED = "systempaths=unconfined"


class Capability(Text):
    """A capability's name; the engine takes and shows it with and without CAP_."""

    def parse(self, value: Any, option: str) -> str:
        return bare_capability(super().parse(value, option))


def bare_capability(name: str) -> str:
    """NET_ADMIN for CAP_NET_ADMIN, cap_net_admin and net_admin."""
    name = name.upper()
    return name[4:] if name.startswith("CAP_") else name


def read_capabilities(value: Iterable[str] | None) -> frozenset[str]:
    """HostConfig.CapAdd or CapDrop."""
    return frozenset(bare_capability(name) for name in value or ())


class _SecurityOption(Text):
    """One word, like no-new-privileges, apparmor=unconfined, label=type:TYPE or seccomp=PROFILE."""

    def parse(self, value: Any, option: str) -> str:
        # A profile has many lines; it is a text like any other as soon as it stands on one.
        word = _canonical(str(value))
        key, _equals, text = word.partition("=")
        if key == "seccomp" and text not in ("unconfined", "builtin") and not _is_profile(text):
            raise InvalidOption(
                option,
                word[:80],
                "is not a valid seccomp profile",
                remedy="Name a file with a profile in JSON by its absolute path, or unconfined",
            )
        return super().parse(word, option)

    def show(self, value: str) -> str:
        if not value.startswith("seccomp={"):
            return value
        return f"seccomp=(profile {hashlib.sha256(value.encode()).hexdigest()[:12]})"


class SecurityOptions(Members):
    """Security options: merged like any list, but for those that can only be said once."""

    def __init__(self) -> None:
        super().__init__(_SecurityOption())

    def merge(self, want: Any, have: Any, exact: bool) -> frozenset[Any]:
        said = {word.partition("=")[0] for word in want} & set(_SINGLE)
        kept = () if exact else (word for word in have or () if word.partition("=")[0] not in said)
        # That nothing is confined any less is how a container is without a word about it.
        return frozenset(want) - {"no-new-privileges=false"} | frozenset(kept)


def _is_profile(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except ValueError:
        return False


def _canonical(word: str) -> str:
    # The command line's old separator is a colon; a bare no-new-privileges means yes.
    word = re.sub(r"^([a-z-]+):", r"\1=", word)
    key, _equals, text = word.partition("=")
    if key == "no-new-privileges" and text in ("", "true"):
        return key
    if key == "seccomp" and _is_profile(text):
        return "seccomp={}".format(json.dumps(json.loads(text), sort_keys=True, separators=(",", ":")))
    return word


def read_security(data: Mapping[str, Any]) -> frozenset[str]:
    """The security options of an inspected container, without what the engine adds to a privileged one by itself."""
    host = data["HostConfig"]
    found = frozenset(_canonical(word) for word in host.get("SecurityOpt") or ()) - {"no-new-privileges=false"}
    if host.get("Privileged"):
        return found - {"label=disable"}
    if host.get("MaskedPaths") == [] == host.get("ReadonlyPaths"):
        return found | {UNMASKED}
    return found


def write_security(host: dict[str, Any], value: Iterable[str]) -> None:
    """Put the security options into a body's HostConfig; that of the system's paths is a matter of two lists there."""
    words = set(value)
    host["SecurityOpt"] = sorted(words - {UNMASKED})
    for key in ("MaskedPaths", "ReadonlyPaths"):
        host.pop(key, None)
        if UNMASKED in words:
            host[key] = []
