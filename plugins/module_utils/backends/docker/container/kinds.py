# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The kinds of value that only a container has, but for ports, mounts and networks, which have files of their own. Pure.

Each kind's canonical form is what the Engine API keeps, freed of what it rewrites; ``encode`` functions make the API's
own form of it again.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from ....engine.errors import InvalidOption
from ....engine.kinds import Entries, Integer, Kind, Records, Text, as_read
from ....engine.units import format_duration, parse_duration


class RestartPolicy(Text):
    """no, always, unless-stopped, on-failure or on-failure:5."""

    def __init__(self) -> None:
        super().__init__(
            pattern=r"no|always|unless-stopped|on-failure(:[0-9]+)?",
            remedy="Write no, always, unless-stopped, on-failure or on-failure:5",
        )

    def parse(self, value: Any, option: str) -> str:
        # YAML 1.1 reads a bare no as false.
        text = super().parse("no" if value is False or value == "False" else value, option)
        return text[: -len(":0")] if text.endswith(":0") else text


def read_restart(policy: Mapping[str, Any] | None) -> str:
    """HostConfig.RestartPolicy as it is written."""
    name = (policy or {}).get("Name") or "no"
    count = (policy or {}).get("MaximumRetryCount") or 0
    return "%s:%d" % (name, count) if name == "on-failure" and count else name


def encode_restart(value: str) -> dict[str, Any]:
    """HostConfig.RestartPolicy."""
    name, _colon, count = value.partition(":")
    return {"Name": name, "MaximumRetryCount": int(count or 0)}


def read_cpus(host: Mapping[str, Any]) -> Decimal:
    """How many processors HostConfig allows, which has two ways to say so; 0: all."""
    nano = host.get("NanoCpus") or 0
    if not nano and (host.get("CpuQuota") or 0) > 0:
        nano = host["CpuQuota"] * 10**9 // (host.get("CpuPeriod") or 100000)
    return (Decimal(nano) / 10**9).normalize()


def _read_ulimit(entry: Any, option: str) -> Iterable[tuple[str, Any]]:
    match = re.fullmatch(r"([a-z]+)[=:](-1|[0-9]+)(?::(-1|[0-9]+))?", str(entry).strip(), re.ASCII)
    if match is None:
        raise InvalidOption(option, entry, "is not a limit", remedy="Write nofile=1024 or nofile=1024:2048 (soft:hard)")
    yield match[1], {"soft": int(match[2]), "hard": int(match[3] or match[2])}


ULIMITS = Records(
    _read_ulimit, lambda name, record: "%s=%d:%d" % (name, record["soft"], record["hard"]), {"elements": "str"}
)


def parse_address(text: str) -> str:
    """An IP address in its one spelling. Raises ValueError."""
    return str(ipaddress.ip_address(text))


class Nameserver(Text):
    """An IP address."""

    def parse(self, value: Any, option: str) -> str:
        try:
            return parse_address(super().parse(value, option))
        except ValueError as error:
            raise InvalidOption(option, value, "is not an IP address", remedy="Write 192.0.2.53, say") from error


def _host_address(text: str) -> str:
    return text if text == "host-gateway" else parse_address(text[1:-1] if text[:1] + text[-1:] == "[]" else text)


def _host_lines(value: Any, option: str) -> list[str]:
    if isinstance(value, Mapping):
        several = {name: found if isinstance(found, list) else [found] for name, found in value.items()}
        return [f"{name}:{address}" for name, addresses in several.items() for address in addresses]
    lines = value.split(",") if isinstance(value, str) else value
    if not isinstance(lines, list):
        raise InvalidOption(
            option,
            value,
            "is no list of hosts",
            remedy="Write a list like [db:192.0.2.5], or a mapping like {db: 192.0.2.5}",
        )
    return list(map(str, lines))


class ExtraHosts(Entries):
    """Lines of /etc/hosts: from a name to its sorted addresses, of which it may have one of each family, or more.

    Written as a list of name:address, or as a mapping of names to one address or a list of them.
    """

    argument = {"type": "raw"}

    def parse(self, value: Any, option: str) -> dict[str, tuple[str, ...]]:
        found: dict[str, set[str]] = {}
        for entry in _host_lines(value, option):
            name, _colon, text = str(entry).strip().partition(":")
            try:
                address = _host_address(text)
            except ValueError:
                address = ""
            if not re.fullmatch(r"[A-Za-z0-9_.-]+", name) or not address:
                raise InvalidOption(
                    option, entry, "is not a host and its address", remedy="Write db:192.0.2.5 or gateway:host-gateway"
                )
            found.setdefault(name, set()).add(address)
        return {name: tuple(sorted(addresses)) for name, addresses in found.items()}

    def show_entry(self, key: str, value: Any) -> list[str]:
        return [f"{key}:{address}" for address in value]

    def show(self, value: Mapping[str, Any]) -> list[str]:
        return [line for key in sorted(value) for line in self.show_entry(key, value[key])]


def read_hosts(lines: Iterable[str] | None) -> dict[str, tuple[str, ...]]:
    """HostConfig.ExtraHosts."""
    found: dict[str, set[str]] = {}
    for line in lines or ():
        name, _colon, address = line.partition(":")
        found.setdefault(name, set()).add(as_read(_host_address, address))
    return {name: tuple(sorted(addresses)) for name, addresses in found.items()}


def _check_interval(value: object, option: str) -> int:
    """Nanoseconds, of which the engine takes a million at least, or none."""
    seconds = parse_duration(value, option)
    if 0 < seconds < Decimal("0.001"):
        raise InvalidOption(option, value, "is too short for the engine", remedy="Write 1ms or more, or 0 for its own")
    return int(seconds * 10**9)


class Healthcheck(Kind):
    """How the engine finds out whether the guest is well: durations in nanoseconds, as the API has them."""

    _FIELDS = {
        "interval": "Interval",
        "timeout": "Timeout",
        "start_period": "StartPeriod",
        "start_interval": "StartInterval",
    }
    argument = {
        "type": "dict",
        "options": {
            "test": {"type": "raw"},
            "interval": {"type": "str"},
            "timeout": {"type": "str"},
            "start_period": {"type": "str"},
            "start_interval": {"type": "str"},
            "retries": {"type": "int"},
        },
    }

    def parse(self, value: Any, option: str) -> dict[str, Any]:
        body: dict[str, Any] = {}
        test = value.get("test")
        if isinstance(test, str):
            body["Test"] = ["NONE"] if test.upper() == "NONE" else ["CMD-SHELL", test]
        elif test is not None:
            if not isinstance(test, (list, tuple)):
                remedy = "Write a text, a list of words, or NONE for no check"
                raise InvalidOption(f"{option}.test", test, "is not a command", remedy=remedy)
            words = [str(word) for word in test]
            body["Test"] = words if words[:1] in (["CMD"], ["CMD-SHELL"], ["NONE"]) else ["CMD", *words]
        if body.get("Test") in (["CMD"], ["CMD-SHELL"], ["CMD-SHELL", ""]):
            raise InvalidOption(
                f"{option}.test", test, "names no command", remedy="Name one, write NONE for no check, or leave it out"
            )
        for field, key in self._FIELDS.items():
            if value.get(field) is not None:
                body[key] = _check_interval(value[field], f"{option}.{field}")
        if value.get("retries") is not None:
            body["Retries"] = Integer().parse(value["retries"], f"{option}.retries")
        if not body:
            raise InvalidOption(
                option, value, "says nothing", remedy="Give a test, like: test: curl -f http://localhost/ || exit 1"
            )
        return body

    def parts(self, want: Any, have: Any, exact: bool) -> list[Any]:
        # The engine does not keep a zero: it stands for its own default.
        same = all((value or None) == ((have or {}).get(key) or None) for key, value in want.items())
        return [] if same else super().parts(self.merge(want, have, exact), have, exact)

    def merge(self, want: Any, have: Any, exact: bool) -> dict[str, Any]:
        return dict(want) if want.get("Test") == ["NONE"] else {**(have or {}), **want}

    def show(self, value: Mapping[str, Any]) -> dict[str, Any]:
        shown: dict[str, Any] = {}
        test = value.get("Test")
        if test:
            shown["test"] = (
                test[1] if test[0] == "CMD-SHELL" and len(test) == 2 and test[1].upper() != "NONE" else list(test)
            )
        for field, key in self._FIELDS.items():
            if key in value:
                shown[field] = format_duration(Decimal(value[key]) / 10**9)
        if "Retries" in value:
            shown["retries"] = value["Retries"]
        return shown


def pairs(lines: list[str] | None) -> dict[str, str]:
    """A list of KEY=value as a mapping."""
    split = (line.partition("=") for line in lines or ())
    return {key: value for key, _equals, value in split}
