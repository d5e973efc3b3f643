# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How the values of options go into the bodies that the engine is given, where that is more than their place there.
Pure.

The options name these functions on their lines.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, NamedTuple

from .compare import default_swap
from .hardware import encode_io
from .model import Container
from .mounts import bind_target, clean_path, encode_binds, encode_mounts, read_mounts
from .ports import encode_ports
from .security import write_security


@dataclass
class Body:
    """A container that is to be made: what the engine calls its Config and HostConfig, and the networks that it is
    connected to.
    """

    config: dict[str, Any] = field(default_factory=dict)
    host: dict[str, Any] = field(default_factory=dict)
    #: None: the engine connects it to this one, and it shall not stay there.
    networks: dict[str, Any] = field(default_factory=dict)
    #: The engine's keys of what the task sets itself; all else may follow from that.
    chosen: frozenset[str] = frozenset()

    def section(self, name: str) -> dict[str, Any]:
        """The part that an option's place names."""
        return self.config if name == "Config" else self.host


class Heir(NamedTuple):
    """What a container's successor gets of one option that the task sets."""

    #: As the task says it, and what it comes to beside what is there; None where nothing changes.
    wanted: Any
    change: Any
    exact: bool
    have: Container


# Into a new container.


def exposed(body: Body, value: Iterable[str]) -> None:
    """Beside those that are published."""
    body.config["ExposedPorts"] = {**(body.config.get("ExposedPorts") or {}), **{port: {} for port in value}}


def io_limits(body: Body, value: Mapping[str, Mapping[str, int]]) -> None:
    """The engine has a list for each kind of limit."""
    body.host.update(encode_io(value))


def ports(body: Body, value: Mapping[str, Any]) -> None:
    """What is published is exposed, too."""
    exposed(body, value)
    body.host["PortBindings"] = encode_ports(value)


#: The engine's word for no limit of memory and swap.
UNLIMITED = -1
#: The other way to limit processors, beside which the engine takes no NanoCpus.
QUOTA = ("CpuQuota", "CpuPeriod")


def cpus(body: Body, value: Decimal) -> None:
    """They take the place of what was said in the other way."""
    body.host.update(dict.fromkeys(QUOTA, 0), NanoCpus=int(value * 10**9))


def networks(body: Body, value: Mapping[str, Any]) -> None:
    """They are connected when the container is made."""
    body.networks = dict(value)


def all_mounts(body: Body, value: Mapping[str, Any]) -> None:
    """In the two lists that the engine has."""
    body.host["Mounts"], binds = encode_mounts(value), encode_binds(value)
    if binds:
        body.host["Binds"] = binds


def security(body: Body, value: frozenset[str]) -> None:
    """One of them is a matter of two lists."""
    write_security(body.host, value)


def log_driver(body: Body, value: str) -> None:
    """Another driver does not know the options of the one before."""
    log = body.host.setdefault("LogConfig", {})
    log.update(Type=value, Config=log.get("Config", {}) if log.get("Type") == value else {})


def log_options(body: Body, value: Mapping[str, str]) -> None:
    """Beside their driver."""
    body.host.setdefault("LogConfig", {})["Config"] = dict(value)


# Into a container's successor: what is written there of one option, None for nothing.


def wanted(_body: Body, heir: Heir) -> Any:
    """What the task says, whether it changes or not."""
    return heir.wanted


def env(body: Body, heir: Heir) -> Any:
    """Beside what the container had of its own, and not its image's."""
    own = (line.partition("=") for line in body.config.get("Env") or ())
    return {**({} if heir.exact else {key: value for key, _equals, value in own}), **heir.wanted}


def labels(body: Body, heir: Heir) -> Any:
    """Beside those that the container had of its own."""
    return {**({} if heir.exact else body.config.get("Labels") or {}), **heir.wanted}


def healthcheck(body: Body, heir: Heir) -> Any:
    """Beside what the container had of its own, and not its image's."""
    alone = heir.wanted.get("Test") == ["NONE"]
    return heir.wanted if alone else {**(body.config.get("Healthcheck") or {}), **heir.wanted}


def still_exposed(body: Body, heir: Heir) -> Any:
    """All that are to be so, but for those that come with the image."""
    if heir.change is None:
        return None
    body.config["ExposedPorts"] = {}
    return heir.change - set(heir.have.image.get("ExposedPorts") or ())


def own(key: str) -> Callable[[Body, Heir], Any]:
    """What the task says in the place of what the container had of its own; where it says nothing, the image's."""

    def succeed(body: Body, heir: Heir) -> Any:
        body.config.pop(key, None)
        return heir.wanted

    return succeed


def privileged(body: Body, heir: Heir) -> Any:
    """The engine has its own word on labels for a privileged one."""
    if heir.change is not None:
        body.host["SecurityOpt"] = [word for word in body.host.get("SecurityOpt") or () if word != "label=disable"]
    return heir.change


def memory(body: Body, heir: Heir) -> Any:
    """Swap that was left to the engine is left to it again."""
    if heir.change is not None and "MemorySwap" not in body.chosen and default_swap(heir.have.data["HostConfig"]):
        body.host.pop("MemorySwap", None)
    return heir.change


def mounts(body: Body, heir: Heir) -> Any:
    """Binds and mounts stay as they were declared, with all that they say, but for those that differ."""
    if heir.change is None:
        return None
    declared, binds, now = body.host["Mounts"], body.host["Binds"] or [], read_mounts(heir.have.data)
    targets = {mount["Target"] for mount in declared} | {bind_target(bind) for bind in binds}
    different = {
        target: record
        for target, record in heir.change.items()
        if target not in targets or target not in now or record != now[target]
    }
    said = propagations(heir.have.data["HostConfig"])
    for target, record in different.items():
        if "propagation" not in heir.wanted.get(target, {}) and target in now and target not in said:
            # It was the engine's choice for the source that it had.
            different[target] = {key: value for key, value in record.items() if key != "propagation"}
    kept = (targets & set(heir.change) if heir.exact else targets) - set(different)
    body.host["Mounts"] = [mount for mount in declared if mount["Target"] in kept] + encode_mounts(different)
    body.host["Binds"] = [bind for bind in binds if bind_target(bind) in kept] + encode_binds(different) or None
    return None


def propagations(host: Mapping[str, Any]) -> frozenset[str]:
    """The targets of those mounts that somebody chose a propagation for."""
    mounts = [mount for mount in host.get("Mounts") or () if (mount.get("BindOptions") or {}).get("Propagation")]
    binds = [bind for bind in host.get("Binds") or () if re.search(r":[^/]*(shared|slave|private)[^/]*$", bind)]
    return frozenset([*(clean_path(mount["Target"]) for mount in mounts), *map(bind_target, binds)])


# Into an update of a container as it runs.


def swap_beside(body: dict[str, Any], have: Container, chosen: frozenset[str]) -> None:
    """Memory may not grow beyond memory and swap together; what was not asked for stays the engine's default, twice
    the memory. No limit at all is less than any memory to the engine, unless it is told again.
    """
    now = have.data["HostConfig"]
    if now.get("MemorySwap") == UNLIMITED:
        body.setdefault("MemorySwap", UNLIMITED)
    elif "MemorySwap" not in chosen and default_swap(now):
        body["MemorySwap"] = 2 * body["Memory"]
