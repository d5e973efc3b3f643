# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The options of a container, one on a line: kind, place in the Engine API's body, and what a change costs. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from ...engine.action import Disruption
from ...engine.errors import InvalidOption
from ...engine.kinds import Cpus, Cpuset, Flag, Integer, Kind, Members, Sequence, Size, Text, Texts, Words, as_read
from ...engine.spec import READ_SECRETS, Option, Table
from ...engine.units import parse_cpuset
from .container_kinds import (
    DEVICES,
    EXTRA_HOSTS,
    MOUNTS,
    NETWORKS,
    ULIMITS,
    Healthcheck,
    Ports,
    RestartPolicy,
    Signal,
    Tmpfs,
    encode_ports,
    encode_restart,
    read_mounts,
    read_networks,
    read_ports,
    read_restart,
    read_tmpfs,
)
from .container_security import Capability, SecurityOptions, read_capabilities, read_security
from .references import Reference, parse_reference

RECREATE, LIVE = Disruption.RECREATE, Disruption.LIVE
Inspect = Mapping[str, Any]
NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+", re.ASCII)


@dataclass(frozen=True)
class ContainerOption(Option):
    """An option with its place in the body of a creation: (section, key), where section is Config or HostConfig."""

    place: tuple[str, str] = ("", "")
    encode: Callable[[Any], Any] = lambda value: value
    #: The engine takes an empty value in an update for "leave it": to take such a limit away needs a new container.
    sticky: bool = False

    def cost(self, value: Any) -> Disruption:
        """What it costs to bring this value about in a container that exists."""
        return RECREATE if self.sticky and not value else self.change


class ImageName(Kind):
    """The name of an image, or its id."""

    argument = {"type": "str"}

    def parse(self, value: Any, option: str) -> Reference:
        return parse_reference(str(value), option)

    def show(self, value: Reference) -> str:
        return str(value)


def _same(value: Any) -> Any:
    return value


def _option(
    name: str,
    kind: Kind,
    section: str,
    key: str,
    change: Disruption = RECREATE,
    decode: Callable[[Any], Any] = _same,
    encode: Callable[[Any], Any] = _same,
    sticky: bool = False,
) -> ContainerOption:
    """An option that stands at one place, the same in an inspection and in the body of a creation."""
    return ContainerOption(name, kind, lambda data: decode(data[section].get(key)), change, (section, key), encode, sticky)


def _config(name: str, kind: Kind, key: str, decode: Callable[[Any], Any] = _same, encode: Callable[[Any], Any] = _same) -> ContainerOption:
    return _option(name, kind, "Config", key, RECREATE, decode, encode)


def _host(
    name: str,
    kind: Kind,
    key: str,
    change: Disruption = RECREATE,
    decode: Callable[[Any], Any] = _same,
    encode: Callable[[Any], Any] = _same,
    sticky: bool = False,
) -> ContainerOption:
    return _option(name, kind, "HostConfig", key, change, decode, encode, sticky)


def pairs(lines: list[str] | None, separator: str = "=") -> dict[str, str]:
    """A list of KEY=value as a mapping."""
    split = (line.partition(separator) for line in lines or ())
    return {key: value for key, _separator, value in split}


def _lines(values: Mapping[str, str]) -> list[str]:
    return ["%s=%s" % pair for pair in sorted(values.items())]


def _text(value: Any) -> str:
    return value or ""


def _number(value: Any) -> int:
    return value or 0


def _words(value: Any) -> tuple[str, ...]:
    return tuple(value or ())


def _list(value: Any) -> list[Any]:
    return list(value)


def _sorted(value: Any) -> list[Any]:
    return sorted(value)


def _members(value: Any) -> frozenset[str]:
    return frozenset(value or ())


def _devices(value: Any) -> dict[str, Any]:
    return {
        entry["PathInContainer"]: {"host": entry["PathOnHost"], "permissions": "".join(sorted(entry.get("CgroupPermissions") or "rwm"))}
        for entry in value or ()
    }


def _encode_devices(value: Mapping[str, Any]) -> list[dict[str, str]]:
    return [
        {"PathOnHost": record["host"], "PathInContainer": inside, "CgroupPermissions": record["permissions"]}
        for inside, record in sorted(value.items())
    ]


def _ulimits(value: Any) -> dict[str, Any]:
    return {entry["Name"]: {"soft": entry["Soft"], "hard": entry["Hard"]} for entry in value or ()}


def _encode_ulimits(value: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{"Name": name, "Soft": record["soft"], "Hard": record["hard"]} for name, record in sorted(value.items())]


def _network_mode(value: Any) -> str:
    return "bridge" if value in (None, "", "default") else str(value)


class _Limit(Integer):
    """A number whose 0 and -1 both mean that there is no limit."""

    def parse(self, value: Any, option: str) -> int:
        return super().parse(value, option) or -1


class _NetworkMode(Text):
    def parse(self, value: Any, option: str) -> str:
        return _network_mode(super().parse(value, option))


def _nanocpus(value: Any) -> Decimal:
    return (Decimal(value or 0) / 10**9).normalize()


def _mac(data: Inspect) -> str:
    """The engine shows a chosen MAC in Config (before API 1.44), or at its endpoint."""
    endpoints = (data.get("NetworkSettings", {}).get("Networks") or {}).values()
    found = data["Config"].get("MacAddress") or next((end["MacAddress"] for end in endpoints if end.get("MacAddress")), "")
    return str(found).lower()


SIX_MEBIBYTES = 6 * 1024**2
SIZE = Size(least=SIX_MEBIBYTES)
MAC = Text(pattern=r"(?i)[0-9a-f]{2}(:[0-9a-f]{2}){5}", remedy="Write it like 02:42:ac:11:00:02", fold=True)

OPTIONS: tuple[ContainerOption, ...] = (
    ContainerOption("image", ImageName(), lambda data: Reference(id=data["Image"]), RECREATE, ("Config", "Image"), str),
    _config("command", Words(), "Cmd", _words, _list),
    _config("entrypoint", Words(), "Entrypoint", _words, _list),
    _config("env", Texts(guarded=True), "Env", pairs, _lines),
    _config("user", Text(), "User", _text),
    _config("workdir", Text(pattern=r"/.*", remedy="Write an absolute path"), "WorkingDir", _text),
    _config("hostname", Text(pattern=r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?", remedy="Write letters, digits, dots and dashes"), "Hostname", _text),
    _config("domainname", Text(), "Domainname", _text),
    _config("labels", Texts(), "Labels", lambda value: value or {}),
    _config("tty", Flag(), "Tty", bool),
    _config("interactive", Flag(), "OpenStdin", bool),
    _config("stop_signal", Signal(), "StopSignal", lambda value: value or "SIGTERM"),
    _config("stop_timeout", Integer(0, 86400), "StopTimeout"),
    _config("healthcheck", Healthcheck(), "Healthcheck"),
    ContainerOption("mac_address", MAC, _mac, RECREATE, ("Config", "MacAddress")),
    _host("ports", Ports(), "PortBindings", decode=read_ports, encode=encode_ports),
    ContainerOption("mounts", MOUNTS, read_mounts, RECREATE, ("HostConfig", "Mounts")),
    _host("tmpfs", Tmpfs(), "Tmpfs", decode=read_tmpfs,
          encode=lambda value: {key: ",".join(words) for key, words in value.items()}),
    _host("network_mode", _NetworkMode(), "NetworkMode", decode=_network_mode),
    ContainerOption("networks", NETWORKS, read_networks, LIVE),
    _host("cpus", Cpus(), "NanoCpus", LIVE, _nanocpus, lambda value: int(value * 10**9), sticky=True),
    _host("cpu_shares", Integer(2, 262144), "CpuShares", LIVE, _number),
    _host("cpuset_cpus", Cpuset(), "CpusetCpus", LIVE, lambda value: as_read(parse_cpuset, value or ""), Cpuset().show, sticky=True),
    _host("cpuset_mems", Cpuset(), "CpusetMems", LIVE, lambda value: as_read(parse_cpuset, value or ""), Cpuset().show, sticky=True),
    _host("memory", SIZE, "Memory", LIVE, _number, sticky=True),
    _host("memory_reservation", SIZE, "MemoryReservation", LIVE, _number, sticky=True),
    _host("memory_swap", Size(unlimited=-1, least=SIX_MEBIBYTES), "MemorySwap", LIVE, _number, sticky=True),
    _host("pids_limit", _Limit(-1), "PidsLimit", LIVE, lambda value: value if value and value > 0 else -1),
    _host("blkio_weight", Integer(10, 1000), "BlkioWeight", LIVE, _number),
    _host("restart_policy", RestartPolicy(), "RestartPolicy", LIVE, read_restart, encode_restart),
    _host("dns", Sequence(), "Dns", decode=_words, encode=_list),
    _host("dns_search", Sequence(), "DnsSearch", decode=_words, encode=_list),
    _host("dns_options", Sequence(), "DnsOptions", decode=_words, encode=_list),
    _host("extra_hosts", EXTRA_HOSTS, "ExtraHosts", decode=lambda value: pairs(value, ":"),
          encode=lambda value: ["%s:%s" % pair for pair in sorted(value.items())]),
    _host("cap_add", Members(Capability()), "CapAdd", decode=read_capabilities, encode=_sorted),
    _host("cap_drop", Members(Capability()), "CapDrop", decode=read_capabilities, encode=_sorted),
    _host("devices", DEVICES, "Devices", decode=_devices, encode=_encode_devices),
    _host("device_cgroup_rules", Members(), "DeviceCgroupRules", decode=_members, encode=_sorted),
    _host("sysctls", Texts(), "Sysctls", decode=lambda value: value or {}),
    _host("ulimits", ULIMITS, "Ulimits", decode=_ulimits, encode=_encode_ulimits),
    ContainerOption("log_driver", Text(pattern=r"[A-Za-z0-9][A-Za-z0-9_./:-]*"), lambda data: data["HostConfig"]["LogConfig"].get("Type", ""), RECREATE),
    ContainerOption("log_options", Texts(guarded=True), lambda data: data["HostConfig"]["LogConfig"].get("Config") or {}, RECREATE),
    _host("init", Flag(), "Init", decode=bool),
    _host("privileged", Flag(), "Privileged", decode=bool),
    _host("read_only", Flag(), "ReadonlyRootfs", decode=bool),
    ContainerOption("security_opt", SecurityOptions(), read_security, RECREATE),
    _host("group_add", Members(), "GroupAdd", decode=_members, encode=_sorted),
    _host("shm_size", Size(), "ShmSize", decode=_number),
    _host("pid_mode", Text(), "PidMode", decode=_text),
    _host("ipc_mode", Text(), "IpcMode", decode=_text),
    _host("cgroupns_mode", Text(choices=("host", "private")), "CgroupnsMode", decode=_text),
    _host("oom_score_adj", Integer(-1000, 1000), "OomScoreAdj", decode=_number),
)


def check_name(name: str) -> None:
    """What the engine takes for a container's name, and the names that a re-creation uses on its way."""
    if not NAME.fullmatch(name):
        raise InvalidOption("name", name, "is no name for a container", remedy="Use two or more letters, digits, dots, dashes and underscores")
    if re.search(r"\.kraal-(new|was-[a-z]+)$", name):
        raise InvalidOption("name", name, "is kept for a container that is being replaced", remedy="Choose another name")


def complete(parameters: Mapping[str, Any]) -> Mapping[str, Any]:
    """Add the variables of ``env_file`` to ``env`` (which wins), and read the profiles that ``security_opt`` names."""
    completed = dict(parameters)
    variables: dict[str, Any] = {}
    for path in parameters.get("env_file") or ():
        variables.update(parse_env_file(_read_file("env_file", path), path))
    # Such a file is where secrets are kept, and not every one has a name that says so.
    completed[READ_SECRETS] = [text for text in variables.values() if len(text) >= 8]
    if variables or parameters.get("env") is not None:
        completed["env"] = {**variables, **(parameters.get("env") or {})}
    if parameters.get("security_opt"):
        completed["security_opt"] = [_profile(str(word)) for word in parameters["security_opt"]]
    return completed


def _profile(word: str) -> str:
    """The engine wants a seccomp profile's text where the command line takes its path."""
    key, _separator, path = word.replace(":", "=", 1).partition("=")
    return "seccomp=%s" % _read_file("security_opt", path) if key == "seccomp" and path.startswith("/") else word


def _read_file(option: str, path: str) -> str:
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidOption(option, path, "cannot be read: %s" % error, remedy="Name a text file that exists on the host where the task runs") from error


def parse_env_file(text: str, path: str) -> dict[str, str]:
    """KEY=value on each line, as docker run --env-file reads it: no quotes, no expansion; # begins a comment line."""
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    for line in lines:
        if "=" not in line:
            # The line itself may hold a secret: it is not repeated.
            raise InvalidOption("env_file", path, "has a line without =", remedy="Write KEY=value on each line")
    return pairs([line.lstrip() for line in lines])


CONTAINERS = Table(
    backend="docker",
    kind="container",
    options=OPTIONS,
    allow=RECREATE,
    waits=("none", "running", "address", "healthy"),
    steering={
        "env_file": {"type": "list", "elements": "path"},
        "pull": {"type": "str", "choices": ["missing", "always", "never"], "default": "missing"},
        "registry_username": {"type": "str"},
        "registry_password": {"type": "str", "no_log": True},
        "remove_storage": {"type": "bool", "default": False},
    },
    complete=complete,
    check_name=check_name,
)
