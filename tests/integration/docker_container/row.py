# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A row of the table of options, and what the engine shows of a container for each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

MIB = 1024**2
Inspect = Mapping[str, Any]


@dataclass(frozen=True)
class Row:
    """One option's way from its first value to its second."""

    option: str
    first: Any
    second: Any
    #: Reads the daemon's inspection, independently of the module; `seen` is what it shall read after each value.
    look: Callable[[Inspect], Any]
    seen: tuple[Any, Any]
    #: Other ways to write the second value.
    same: tuple[Any, ...] = ()
    live: bool = False
    #: Other options that the row needs.
    extra: Mapping[str, Any] = field(default_factory=dict)
    #: A command in the guest, and what it prints after each value.
    inside: tuple[tuple[str, ...], str, str] | None = None
    #: Tells rows of one option apart.
    about: str = ""
    #: Whether purge with the first value takes what the second added away again.
    purge: bool = False
    purge_live: bool = False

    #: A HostConfig that the engine warns of where the kernel does not know this limit.
    kernel: Mapping[str, Any] | None = None

    #: Why the row needs a guest of its own, and the options with which it shares none.
    alone: str = ""
    apart: Mapping[str, str] = field(default_factory=dict)

    @property
    def id(self) -> str:
        return f"{self.option}-{self.about}" if self.about else self.option


def host(key: str) -> Callable[[Inspect], Any]:
    return lambda data: data["HostConfig"][key]


def config(key: str) -> Callable[[Inspect], Any]:
    return lambda data: data["Config"].get(key)


def some_env(data: Inspect) -> list[str]:
    return sorted(line for line in data["Config"]["Env"] if line.startswith("KT_"))


def some_labels(data: Inspect) -> dict[str, str]:
    return {key: value for key, value in data["Config"]["Labels"].items() if key.startswith("kt.")}


def bindings(data: Inspect) -> dict[str, list[tuple[str, str]]]:
    """The ports that really are published."""
    found = data["NetworkSettings"]["Ports"] or {}
    return {
        key: sorted((entry["HostIp"], entry["HostPort"]) for entry in value) for key, value in found.items() if value
    }


def exposed(data: Inspect) -> list[str]:
    """Those of the row; published ports are exposed as well."""
    return sorted(port for port in data["Config"].get("ExposedPorts") or () if port.startswith("70"))


def mounts(data: Inspect) -> list[tuple[str, str, bool]]:
    return sorted((mount["Type"], mount["Destination"], mount["RW"]) for mount in data["Mounts"])


def declared(data: Inspect) -> list[tuple[str, str, Any]]:
    return sorted((mount["Type"], mount["Target"], mount.get("TmpfsOptions")) for mount in data["HostConfig"]["Mounts"])


def connected(data: Inspect) -> dict[str, Any]:
    """The networks, each with the address that was asked for and the aliases that are not the container's id."""
    ends = data["NetworkSettings"]["Networks"].items()
    return {
        name: ((end["IPAMConfig"] or {}).get("IPv4Address"), sorted(set(end["Aliases"] or ()) - {data["Id"][:12]}))
        for name, end in ends
    }


def restart(data: Inspect) -> tuple[str, int]:
    policy = data["HostConfig"]["RestartPolicy"]
    return policy["Name"], policy["MaximumRetryCount"]


def members(key: str) -> Callable[[Inspect], Any]:
    return lambda data: sorted(data["HostConfig"][key] or ())


def capabilities(key: str) -> Callable[[Inspect], Any]:
    """Newer engines write CAP_ before the names."""
    return lambda data: sorted(name.removeprefix("CAP_") for name in data["HostConfig"][key] or ())


def mac(data: Inspect) -> str:
    (end,) = data["NetworkSettings"]["Networks"].values()
    return str(end["MacAddress"])


def devices(data: Inspect) -> list[tuple[str, str, set[str]]]:
    return sorted(
        (entry["PathOnHost"], entry["PathInContainer"], set(entry["CgroupPermissions"]))
        for entry in data["HostConfig"]["Devices"]
    )


def ulimits(data: Inspect) -> list[tuple[str, int, int]]:
    return sorted((entry["Name"], entry["Soft"], entry["Hard"]) for entry in data["HostConfig"]["Ulimits"])


def security(data: Inspect) -> list[str]:
    return sorted(word.replace(":", "=") for word in data["HostConfig"]["SecurityOpt"])


def seccomp(data: Inspect) -> list[str]:
    return sorted(word.partition("{")[0] for word in data["HostConfig"]["SecurityOpt"])
