# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The options of a container, one on a line: kind, place in the Engine API's body, and what a change costs. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from ....engine.action import Disruption
from ....engine.compare import Difference, Sides
from ....engine.errors import InvalidOption
from ....engine.kinds import (
    Cpus,
    Cpuset,
    Flag,
    Integer,
    Kind,
    Members,
    Part,
    Sequence,
    Size,
    Text,
    Texts,
    Words,
    as_read,
)
from ....engine.network_kinds import mac
from ....engine.spec import Option, Table, name_check
from ....engine.units import parse_cpuset
from ..image.references import Reference, parse_reference
from . import compare, write
from .arguments import complete
from .compare import Case
from .endpoints import NETWORKS, encode_endpoint, read_networks
from .hardware import (
    DEVICES,
    DeviceRequests,
    IoLimits,
    encode_devices,
    read_devices,
    read_io,
    read_requests,
)
from .kinds import (
    ULIMITS,
    ExtraHosts,
    Healthcheck,
    Nameserver,
    RestartPolicy,
    encode_restart,
    pairs,
    parse_address,
    read_cpus,
    read_hosts,
    read_restart,
)
from .model import Container
from .mounts import MOUNTS, Tmpfs, clean_path, encode_mounts, read_mounts, read_tmpfs
from .ports import ExposedPorts, Ports, read_ports
from .security import Capability, SecurityOptions, read_capabilities, read_security
from .signals import Signal, signal_name
from .write import Body, Heir

RECREATE, LIVE = Disruption.RECREATE, Disruption.LIVE
#: What goes with the network that is another container's.
JOINED = ("container",)
#: Said of a container whose host name is the host's.
HOSTS_UTS = "uts_mode: host"
Inspect = Mapping[str, Any]
_check = name_check(
    r"[a-zA-Z0-9][a-zA-Z0-9_.-]+", "a container", "Use two or more letters, digits, dots, dashes and underscores"
)


@dataclass(frozen=True)
class ContainerOption(Option):
    """An option with its place in the body of a creation: (section, key), where section is Config or HostConfig.

    What is LIVE changes in one update of the container, with all else that does, or entry by entry where there is
    ``attach``.
    """

    place: tuple[str, str] = ("", "")
    encode: Callable[[Any], Any] = lambda value: value
    #: What counts of a value in a container that is there: see compare.py.
    sides: Callable[[Sides, Case], Sides] = lambda sides, case: sides
    #: How it is written into a new container, where that is more than its place, and how into a successor: see
    #: write.py.
    write: Callable[[Body, Any], None] | None = None
    succeed: Callable[[Body, Heir], Any] = lambda body, heir: heir.change
    #: What the body of an update needs beside it.
    beside: Callable[[dict[str, Any], Container, frozenset[str]], None] | None = None
    #: How the engine is given one entry that it connects by a call of its own.
    attach: Callable[[Any], dict[str, Any]] | None = None
    #: Whether this value takes a new container for all that.
    costly: Callable[[Any, Container], bool] = lambda value, have: False
    #: The API version from which on an engine knows a field of it.
    newer: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    #: Whether it may name another container, whose namespace is shared.
    joins: bool = False
    #: Whether an engine only warns of it where the kernel does not know it, and leaves it out.
    warned: bool = False
    #: The network modes in which the engine takes none.
    not_in: tuple[str, ...] = ()

    @property
    def limit(self) -> bool:
        """Whether it changes in an update; of such a one the engine only warns where the kernel does not know it."""
        return self.change == LIVE and self.attach is None

    def cost(self, value: Any, have: Container) -> Disruption:
        """What it costs to bring this value about in this very container."""
        return RECREATE if self.costly(value, have) else self.change

    def put(self, body: Body, value: Any) -> None:
        """Write it into a new container."""
        section, key = self.place
        if self.write is not None:
            self.write(body, value)
        elif section:
            body.section(section)[key] = self.encode(value)


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
    **more: Any,
) -> ContainerOption:
    """An option that stands at one place, the same in an inspection and in the body of a creation."""
    return ContainerOption(
        name, kind, lambda data: decode(data[section].get(key)), change, (section, key), encode, **more
    )


def _config(name: str, kind: Kind, key: str, *coding: Callable[[Any], Any], **more: Any) -> ContainerOption:
    return _option(name, kind, "Config", key, RECREATE, *coding, **more)


def _host(name: str, kind: Kind, key: str, *rest: Any, **more: Any) -> ContainerOption:
    return _option(name, kind, "HostConfig", key, *rest, **more)


def _emptied(value: Any, _have: Container) -> bool:
    """The engine takes an empty value in an update for "leave it": to take such a limit away needs a new container."""
    return not value


def _lifted(value: Any, have: Container) -> bool:
    """In an update the engine writes down that there is no limit, and leaves the kernel's."""
    limited = (have.data["HostConfig"].get("MemorySwap") or 0) > 0
    return _emptied(value, have) or (value == write.UNLIMITED and limited)


def _lines(values: Mapping[str, str]) -> list[str]:
    return ["{}={}".format(*pair) for pair in sorted(values.items())]


def _text(value: Any) -> str:
    return value or ""


def _path(value: Any) -> str:
    return clean_path(value or compare.ROOT)


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


def _ulimits(value: Any) -> dict[str, Any]:
    return {entry["Name"]: {"soft": entry["Soft"], "hard": entry["Hard"]} for entry in value or ()}


def _encode_ulimits(value: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{"Name": name, "Soft": record["soft"], "Hard": record["hard"]} for name, record in sorted(value.items())]


class _Limit(Integer):
    """A number whose 0 and -1 both mean that there is no limit."""

    def parse(self, value: Any, option: str) -> int:
        return super().parse(value, option) or -1


class _Cpus(Cpus):
    """What the kernel can give of processors: 1 of 100 ms at least."""

    def parse(self, value: Any, option: str) -> Decimal:
        cpus = super().parse(value, option)
        if 0 < cpus < Decimal("0.01"):
            raise InvalidOption(
                option, value, "is less than the kernel gives", remedy="Write 0.01 or more, or 0 for all"
            )
        return cpus


class _Unordered(Sequence):
    """A list that is managed as a whole, whatever its order."""

    def parts(self, want: Any, have: Any, exact: bool) -> list[Part]:
        return [] if sorted(want) == sorted(have or ()) else super().parts(want, have, exact)


class _Path(Text):
    def parse(self, value: Any, option: str) -> str:
        return clean_path(super().parse(value, option))


class _NetworkMode(Text):
    def parse(self, value: Any, option: str) -> str:
        return compare.network_of(super().parse(value, option))


def _mac(data: Inspect) -> str:
    """The engine shows a chosen MAC in Config (before API 1.44), or at its endpoint."""
    endpoints = (data.get("NetworkSettings", {}).get("Networks") or {}).values()
    shown = [end["MacAddress"] for end in endpoints if end.get("MacAddress")]
    return str(data["Config"].get("MacAddress") or next(iter(shown), "")).lower()


SIX_MEBIBYTES = 6 * 1024**2
SIZE = Size(least=SIX_MEBIBYTES)


def _unless_empty(key: str) -> Callable[[Body, Any], None]:
    """Nothing is written for what is the image's own."""

    def put(body: Body, value: Any) -> None:
        if value:
            body.config[key] = value if isinstance(value, str) else list(value)

    return put


#: A namespace that is the host's, or its own.
_HOSTS = Text(pattern="(host)?", remedy="Write host, or an empty text for its own")

OPTIONS: tuple[ContainerOption, ...] = (
    ContainerOption(
        "image",
        ImageName(),
        lambda data: Reference(id=data["Image"]),
        RECREATE,
        ("Config", "Image"),
        str,
        sides=compare.image,
        succeed=write.wanted,
    ),
    _config(
        "command", Words(), "Cmd", _words, sides=compare.command, write=_unless_empty("Cmd"), succeed=write.own("Cmd")
    ),
    _config(
        "entrypoint",
        Words(),
        "Entrypoint",
        _words,
        sides=compare.entrypoint,
        write=_unless_empty("Entrypoint"),
        succeed=write.own("Entrypoint"),
    ),
    _config("env", Texts(guarded=True), "Env", pairs, _lines, sides=compare.env, succeed=write.env),
    _config("user", Text(), "User", _text, sides=compare.user, write=_unless_empty("User"), succeed=write.own("User")),
    _config(
        "workdir",
        _Path(pattern=r"(/.*)?", remedy="Write an absolute path"),
        "WorkingDir",
        _path,
        sides=compare.workdir,
        write=_unless_empty("WorkingDir"),
        succeed=write.own("WorkingDir"),
    ),
    _config(
        "hostname",
        Text(
            pattern=r"[A-Za-z0-9_]([A-Za-z0-9_.-]{0,251}[A-Za-z0-9_])?",
            remedy="Write letters, digits, dots, dashes and underscores",
        ),
        "Hostname",
        _text,
        not_in=(*JOINED, HOSTS_UTS),
    ),
    _config("domainname", Text(), "Domainname", _text),
    _config("labels", Texts(), "Labels", lambda value: value or {}, sides=compare.labels, succeed=write.labels),
    _config("tty", Flag(), "Tty", bool),
    _config("interactive", Flag(), "OpenStdin", bool),
    _config("stop_signal", Signal(), "StopSignal", lambda value: as_read(signal_name, value or "SIGTERM")),
    _config("stop_timeout", Integer(0, 86400), "StopTimeout"),
    _config(
        "healthcheck",
        Healthcheck(),
        "Healthcheck",
        succeed=write.healthcheck,
        newer={"start_interval": (1, 44)},
    ),
    ContainerOption(
        "mac_address", mac("02:42:ac:11:00:02"), _mac, RECREATE, ("Config", "MacAddress"), not_in=("container", "host")
    ),
    _config(
        "exposed_ports",
        ExposedPorts(),
        "ExposedPorts",
        _members,
        sides=compare.exposed,
        write=write.exposed,
        succeed=write.still_exposed,
        not_in=JOINED,
    ),
    _host("publish_all_ports", Flag(), "PublishAllPorts", decode=bool, not_in=JOINED),
    _host("ports", Ports(), "PortBindings", decode=read_ports, write=write.ports, not_in=JOINED),
    ContainerOption(
        "mounts",
        MOUNTS,
        read_mounts,
        RECREATE,
        ("HostConfig", "Mounts"),
        encode_mounts,
        sides=compare.mounts,
        write=write.all_mounts,
        succeed=write.mounts,
    ),
    _host(
        "tmpfs",
        Tmpfs(),
        "Tmpfs",
        decode=read_tmpfs,
        encode=lambda value: {key: ",".join(words) for key, words in value.items()},
    ),
    _host(
        "network_mode",
        _NetworkMode(),
        "NetworkMode",
        decode=compare.network_of,
        sides=compare.network_mode,
        joins=True,
    ),
    ContainerOption(
        "networks",
        NETWORKS,
        read_networks,
        LIVE,
        sides=compare.networks,
        write=write.networks,
        attach=encode_endpoint,
        newer={"mac_address": (1, 44), "gw_priority": (1, 48)},
        costly=lambda value, have: compare.alone(have),
    ),
    ContainerOption(
        "cpus",
        _Cpus(),
        lambda data: read_cpus(data["HostConfig"]),
        LIVE,
        ("HostConfig", "NanoCpus"),
        lambda value: int(value * 10**9),
        write=write.cpus,
        costly=lambda value, have: not value or any(have.data["HostConfig"].get(key) for key in write.QUOTA),
    ),
    _host("cpu_shares", Integer(2, 262144), "CpuShares", LIVE, _number),
    _host(
        "cpuset_cpus",
        Cpuset(),
        "CpusetCpus",
        LIVE,
        lambda value: as_read(parse_cpuset, value or ""),
        Cpuset().show,
        costly=_emptied,
    ),
    _host(
        "cpuset_mems",
        Cpuset(),
        "CpusetMems",
        LIVE,
        lambda value: as_read(parse_cpuset, value or ""),
        Cpuset().show,
        costly=_emptied,
    ),
    _host("memory", SIZE, "Memory", LIVE, _number, costly=_emptied, succeed=write.memory, beside=write.swap_beside),
    _host("memory_reservation", SIZE, "MemoryReservation", LIVE, _number, costly=_emptied),
    _host(
        "memory_swap",
        Size(unlimited=write.UNLIMITED, least=SIX_MEBIBYTES),
        "MemorySwap",
        LIVE,
        _number,
        sides=compare.memory_swap,
        costly=_lifted,
    ),
    _host("pids_limit", _Limit(-1), "PidsLimit", LIVE, lambda value: value if value and value > 0 else -1),
    _host("blkio_weight", Integer(10, 1000), "BlkioWeight", LIVE, _number),
    _host("restart_policy", RestartPolicy(), "RestartPolicy", LIVE, read_restart, encode_restart),
    _host(
        "dns",
        Sequence(Nameserver()),
        "Dns",
        decode=lambda value: tuple(as_read(parse_address, each) for each in value or ()),
        encode=_list,
        not_in=JOINED,
    ),
    _host("dns_search", Sequence(), "DnsSearch", decode=_words, encode=_list),
    _host("dns_options", _Unordered(), "DnsOptions", decode=_words, encode=_list),
    _host("extra_hosts", ExtraHosts(), "ExtraHosts", decode=read_hosts, encode=ExtraHosts().show, not_in=JOINED),
    _host("cap_add", Members(Capability()), "CapAdd", decode=read_capabilities, encode=_sorted),
    _host("cap_drop", Members(Capability()), "CapDrop", decode=read_capabilities, encode=_sorted),
    _host("devices", DEVICES, "Devices", decode=read_devices, encode=encode_devices),
    _host("device_requests", DeviceRequests(), "DeviceRequests", decode=read_requests, encode=_list),
    ContainerOption(
        "io_limits", IoLimits(), lambda data: read_io(data["HostConfig"]), RECREATE, write=write.io_limits, warned=True
    ),
    _host("device_cgroup_rules", Members(), "DeviceCgroupRules", decode=_members, encode=_sorted),
    _host("sysctls", Texts(), "Sysctls", decode=lambda value: value or {}),
    _host("ulimits", ULIMITS, "Ulimits", decode=_ulimits, encode=_encode_ulimits),
    _host(
        "log_driver",
        Text(pattern=r"[A-Za-z0-9][A-Za-z0-9_./:-]*"),
        "LogConfig",
        decode=lambda value: value.get("Type", ""),
        write=write.log_driver,
    ),
    _host(
        "log_options",
        Texts(guarded=True),
        "LogConfig",
        decode=lambda value: value.get("Config") or {},
        sides=compare.log_options,
        write=write.log_options,
    ),
    _host("init", Flag(), "Init", decode=bool),
    _host("privileged", Flag(), "Privileged", decode=bool, succeed=write.privileged),
    _host("read_only", Flag(), "ReadonlyRootfs", decode=bool),
    ContainerOption("security_opt", SecurityOptions(), read_security, RECREATE, write=write.security),
    _host("group_add", Members(), "GroupAdd", decode=_members, encode=_sorted),
    _host("shm_size", Size(bare=1 << 20), "ShmSize", decode=_number),
    _host("pid_mode", Text(), "PidMode", decode=_text, sides=compare.joined, joins=True),
    _host("ipc_mode", Text(), "IpcMode", decode=_text, sides=compare.joined, joins=True),
    _host("uts_mode", _HOSTS, "UTSMode", decode=_text),
    _host("userns_mode", _HOSTS, "UsernsMode", decode=_text),
    _host("cgroupns_mode", Text(choices=("host", "private")), "CgroupnsMode", decode=_text),
    _host(
        "cgroup_parent",
        Text(pattern=r"[^\s:]+", remedy="Write a path like /guests, or a slice of systemd"),
        "CgroupParent",
        decode=_text,
    ),
    _host(
        "runtime",
        Text(pattern=r"[A-Za-z0-9][A-Za-z0-9_./-]*", remedy="Write runc, or another runtime of the engine"),
        "Runtime",
        decode=_text,
    ),
    _host("memory_swappiness", Integer(0, 100), "MemorySwappiness", warned=True),
    _host("oom_kill_disable", Flag(), "OomKillDisable", decode=bool, warned=True),
    _host("oom_score_adj", Integer(-1000, 1000), "OomScoreAdj", decode=_number),
)


_BY_NAME = {option.name: option for option in OPTIONS}


def option_of(change: Difference) -> ContainerOption:
    """The option of a difference, with all that its line says."""
    return _BY_NAME[change.option.name]


def check_name(name: str) -> None:
    """What the engine takes for a container's name, and the names that a re-creation uses on its way."""
    _check(name)
    if re.search(r"\.kraal-(new(-[a-z]+)?|was-[a-z]+)$", name):
        why = "is kept for a container that is being replaced"
        raise InvalidOption("name", name, why, remedy="Choose another name")


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
