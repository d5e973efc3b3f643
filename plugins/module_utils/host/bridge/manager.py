# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a network manager brings: the files that a bridge is written in, and the commands that bring it up and down."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

from ..reader import Files, Host
from .shape import Shape, Uplink


@dataclass(frozen=True)
class FileState:
    """A file's content and who may read it."""

    content: bytes
    mode: int = 0o644
    uid: int = 0
    gid: int = 0

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "content": base64.b64encode(self.content).decode("ascii")}

    @classmethod
    def of(cls, stored: Mapping[str, Any] | None) -> FileState | None:
        return (
            None
            if stored is None
            else cls(base64.b64decode(stored["content"]), stored["mode"], stored["uid"], stored["gid"])
        )


#: None is a file that is not there.
FileSet = Mapping[str, "FileState | None"]


class Overlay(Files):
    """The host's files as they were before a bridge was written into them."""

    def __init__(self, below: Files, files: FileSet) -> None:
        super().__init__(below.root)
        self.files = files

    def octets(self, path: str) -> bytes | None:
        if path in self.files:
            state = self.files[path]
            return None if state is None else state.content
        return super().octets(path)

    def names(self, path: str) -> list[str]:
        prefix = path.rstrip("/") + "/"
        changed = {
            name[len(prefix) :]: state
            for name, state in self.files.items()
            if name.startswith(prefix) and "/" not in name[len(prefix) :]
        }
        gone = {name for name, state in changed.items() if state is None}
        return sorted({*super().names(path), *(name for name, state in changed.items() if state is not None)} - gone)


def command(*argv: str, must: bool = False) -> dict[str, Any]:
    """One command of a change; the change has failed if one fails that must not."""
    return {"argv": list(argv), "must": must}


@dataclass(frozen=True)
class Way:
    """The commands of a way from one state to another, before and after its files are written."""

    before: list[dict[str, Any]] = field(default_factory=list)
    after: list[dict[str, Any]] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        return {"before": self.before, "after": self.after}


class Manager(Protocol):
    """One of NetworkManager, systemd-networkd, netplan and ifupdown.

    ``old`` and ``new`` are None where there is no bridge.
    """

    name: str

    def uplink(self, host: Host, interface: str, mac: str) -> Uplink:
        """The link as this manager has it. Raises Refused where it cannot be moved."""

    def check(self, host: Host) -> None:
        """Raises NotInstalled where a tool is missing that the bridge needs."""

    def render(self, shape: Shape, files: Files) -> dict[str, FileState | None]:
        """The files that change, as they are to be; ``files`` are the host's without the bridge.

        Raises Refused. Reads only.
        """

    def validate(self, host: Host, files: FileSet) -> None:
        """Let the manager itself look at the files, elsewhere. Raises BackendError."""

    def without(self, now: FileState, bridge: str) -> FileState | None:
        """An edited file with the bridge taken out of it; None where that cannot be told. Pure."""

    def way(self, old: Shape | None, new: Shape | None, paths: list[str]) -> Way:
        """From one state to the other. Pure."""

    def boot(self) -> list[dict[str, Any]]:
        """After the files were restored at boot, before the manager starts. Pure."""


def remove_link(shape: Shape) -> list[dict[str, Any]]:
    """Take the bridge out of the kernel, and what stood between it and the uplink."""
    commands = [command("ip", "link", "set", "dev", shape.port, "nomaster")] if shape.port else []
    commands.append(command("ip", "link", "delete", "dev", shape.name))
    if shape.port != shape.uplink_name:
        commands.append(command("ip", "link", "delete", "dev", shape.port))
    if shape.link and shape.mtu and shape.link.mtu:
        # No manager takes back a size that it was told once.
        commands.append(command("ip", "link", "set", "dev", shape.uplink_name, "mtu", str(shape.link.mtu)))
    return commands


def settle_link(shape: Shape) -> list[dict[str, Any]]:
    """What a manager does not change on a bridge that is there already."""
    delay = ["forward_delay", "%d00" % shape.forward_delay] if shape.stp and shape.forward_delay else []
    commands = [
        command(
            "ip", "link", "set", "dev", shape.name, "type", "bridge", "stp_state", "1" if shape.stp else "0", *delay
        )
    ]
    if shape.mtu and shape.port:
        commands += [
            command("ip", "link", "set", "dev", each, "mtu", str(shape.mtu))
            for each in dict.fromkeys((shape.uplink_name, shape.port))
        ]
    if shape.mtu:
        commands.append(command("ip", "link", "set", "dev", shape.name, "mtu", str(shape.mtu)))
    if shape.hardware:
        commands.append(command("ip", "link", "set", "dev", shape.name, "address", shape.hardware))
    return commands
