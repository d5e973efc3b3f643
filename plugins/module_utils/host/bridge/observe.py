# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is there of a bridge: in the kernel, in the host's files, and in the record that was kept when it was made."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from ...engine.errors import BackendError
from ..network import default_routes
from ..packages import install
from ..reader import Files, Host
from . import runner
from .manager import FileState
from .shape import OPTIONS, Shape, Uplink, shape_of

_LISTS = frozenset(option.name for option in OPTIONS if option.kind.argument["type"] == "list")


@dataclass(frozen=True)
class Record:
    """What is known of a bridge that was made here: kept beside the runner, and gone with the bridge."""

    name: str
    manager: str
    #: The options that were set, in their canonical forms.
    values: Mapping[str, Any]
    uplink: Uplink | None
    #: By path: what was there before the bridge, and what the bridge made of it.
    files: Mapping[str, tuple[FileState | None, FileState | None]]

    @property
    def shape(self) -> Shape:
        return shape_of(self.name, self.values, self.uplink)

    def as_dict(self) -> dict[str, Any]:
        stored = [
            {"path": path, **{key: state and state.as_dict() for key, state in zip(("before", "after"), pair)}}
            for path, pair in self.files.items()
        ]
        return {
            "name": self.name,
            "manager": self.manager,
            "values": dict(self.values),
            "uplink": asdict(self.uplink) if self.uplink else None,
            "files": stored,
        }

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> Record:
        values = {key: tuple(value) if key in _LISTS else value for key, value in stored["values"].items()}
        files = {each["path"]: (FileState.of(each["before"]), FileState.of(each["after"])) for each in stored["files"]}
        return cls(
            stored["name"], stored["manager"], values, Uplink(**stored["uplink"]) if stored["uplink"] else None, files
        )


@dataclass(frozen=True)
class LinkState:
    """A link as the kernel has it."""

    name: str
    kind: str = ""
    mac: str = ""
    mtu: int = 0
    master: str = ""
    stp: bool = False
    #: As `ip -json address` shows them.
    addresses: list[dict[str, Any]] = field(default_factory=list)

    @property
    def cidrs(self) -> list[str]:
        return [
            "%s/%d" % (each["local"], each["prefixlen"])
            for each in self.addresses
            if each.get("scope") == "global" and "local" in each
        ]


@dataclass
class Seen:
    """A look at the host."""

    host: Host
    links: dict[str, LinkState]
    routes: list[dict[str, Any]]
    records: dict[str, Record]

    def ports(self, bridge: str) -> list[str]:
        return sorted(name for name, link in self.links.items() if link.master == bridge)


def links_of(host: Host) -> dict[str, LinkState]:
    """All links, by name. Raises BackendError where they cannot be seen."""
    said = host.run(["ip", "-details", "-json", "address", "show"])
    if said is None or said.rc:
        raise BackendError(
            "ip does not show the links: %s" % (said.error if said else "it is not there"), remedy=install("ip")
        )
    found = {}
    for link in json.loads(said.out or "[]"):
        if not link:
            continue
        info = link.get("linkinfo", {})
        found[link["ifname"]] = LinkState(
            link["ifname"],
            info.get("info_kind", ""),
            link.get("address", ""),
            int(link.get("mtu", 0)),
            link.get("master", ""),
            bool(info.get("info_data", {}).get("stp_state")),
            [each for each in link.get("addr_info", []) if each],
        )
    return found


def records_of(files: Files) -> dict[str, Record]:
    """The bridges that were made here, by name."""
    found = {}
    for entry in files.names(str(runner.DIRECTORY)):
        if entry.endswith(".json") and entry != "change.json":
            record = Record.of(json.loads(files.text(str(runner.DIRECTORY / entry)) or "{}"))
            found[record.name] = record
    return found


def observe(host: Host) -> Seen:
    """Reads only."""
    return Seen(host, links_of(host), default_routes(host), records_of(host))


def state_of(files: Files, path: str) -> FileState | None:
    """A file as it is on the host; None where there is none."""
    content = files.octets(path)
    if content is None:
        return None
    about = os.stat(str(files.root) + path)
    return FileState(content, about.st_mode & 0o7777, about.st_uid, about.st_gid)
