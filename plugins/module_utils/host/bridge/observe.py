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

from ...engine.errors import BackendError, KraalError
from ...engine.reading import ODD, as_list, as_mapping, as_number, as_text
from ..network import default_routes
from ..packages import install
from ..reader import Files, Host
from . import runner
from .manager import FileState
from .shape import MANAGERS, OPTIONS, Shape, Uplink, check_link, shape_of

_KINDS = {option.name: option.kind for option in OPTIONS}


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
        """Raises InvalidOption, or one of ODD, for what nobody here has written."""
        values = {
            key: value if value is None or key not in _KINDS else _KINDS[key].parse(value, key)
            for key, value in stored["values"].items()
        }
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
            "%s/%d" % (each["local"], as_number(each.get("prefixlen")))
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
    #: Why the records of some bridges cannot be read, by the bridge's name.
    faults: dict[str, BackendError] = field(default_factory=dict)

    def ports(self, bridge: str) -> list[str]:
        return sorted(name for name, link in self.links.items() if link.master == bridge)


def links_of(host: Host) -> dict[str, LinkState]:
    """All links, by name. Raises BackendError where they cannot be seen."""
    said = host.run(["ip", "-details", "-json", "address", "show"])
    if said is None or said.rc:
        raise BackendError(
            "ip does not show the links: %s" % (said.error if said else "it is not there"), remedy=install("ip")
        )
    try:
        listed = as_list(json.loads(said.out or "[]"))
    except ValueError as error:
        raise BackendError(
            f"what ip says of the links is no JSON ({error})", remedy="Look at `ip -json address`"
        ) from error
    return {link.name: link for link in map(_link, map(as_mapping, listed)) if link.name}


def _link(link: Mapping[str, Any]) -> LinkState:
    info = as_mapping(link.get("linkinfo"))
    return LinkState(
        as_text(link.get("ifname")),
        as_text(info.get("info_kind")),
        as_text(link.get("address")),
        as_number(link.get("mtu")),
        as_text(link.get("master")),
        bool(as_mapping(info.get("info_data")).get("stp_state")),
        [dict(each) for each in map(as_mapping, as_list(link.get("addr_info"))) if as_text(each.get("local"))],
    )


def observe(host: Host) -> Seen:
    """Reads only."""
    seen = Seen(host, links_of(host), default_routes(host), {})
    for entry in host.names(str(runner.DIRECTORY)):
        if entry.endswith(".json") and entry != "change.json":
            _read_record(seen, entry[: -len(".json")], str(runner.DIRECTORY / entry))
    return seen


def _read_record(seen: Seen, name: str, path: str) -> None:
    """What is known of a bridge that was made here; its fault alone where that cannot be read."""
    try:
        record = Record.of(json.loads(seen.host.text(path) or "{}"))
        if record.name != name or record.manager not in MANAGERS.values():
            raise ValueError(f"it is of {record.name!r} by {record.manager!r}")
        if record.shape.link:
            check_link(record.shape.link.interface, "uplink")
    except (KraalError, *ODD) as error:
        seen.faults[name] = BackendError(
            f"{path}, which says what was there before the bridge, is not understood ({error})",
            remedy="Put it back from a backup; or take the bridge away by hand, and that file too",
        )
    else:
        seen.records[name] = record


def state_of(files: Files, path: str) -> FileState | None:
    """A file as it is on the host; None where there is none."""
    content = files.octets(path)
    if content is None:
        return None
    about = os.stat(str(files.root) + path)
    return FileState(content, about.st_mode & 0o7777, about.st_uid, about.st_gid)
