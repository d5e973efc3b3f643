# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The kinds of value that only a container has: ports, mounts, networks, limits and the like. Pure.

Each kind's canonical form is what the Engine API keeps, freed of what it rewrites; ``encode`` functions make the API's
own form of it again.
"""

from __future__ import annotations

import ipaddress
import posixpath
import re
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import Any

from ....engine.errors import InvalidOption
from ....engine.kinds import Entries, Flag, Kind, Records, Text, as_read
from ....engine.units import format_duration, format_size, parse_duration, parse_size

_PORT = re.compile(
    r"(?:(?P<ip>[0-9]+(?:\.[0-9]+){3}|\[[0-9A-Fa-f:.]+\]|):)?(?:(?P<host>[0-9]*(?:-[0-9]+)?):)?(?P<inside>[0-9]+(?:-[0-9]+)?)(?:/(?P<protocol>[A-Za-z]+))?",
    re.ASCII,
)
PORT_REMEDY = "Write 8080:80, 127.0.0.1:8080:80/udp, 8000-8003:80-83, or 80 for a host port of the engine's choice"


def _span(text: str, option: str, value: object) -> range:
    first, _dash, last = text.partition("-")
    span = range(int(first), int(last or first) + 1)
    if not span or span[0] < 1 or span[-1] > 65535:
        raise InvalidOption(option, value, "is not a port, or a range of ports, from 1 to 65535", remedy=PORT_REMEDY)
    return span


class Ports(Entries):
    """Published ports: from 80/tcp to the sorted pairs of host address and host port.

    An empty host port: any free one.
    """

    argument = {"type": "list", "elements": "str"}

    def parse(self, value: Any, option: str) -> dict[str, tuple[tuple[str, str], ...]]:
        found: dict[str, set[tuple[str, str]]] = {}
        taken: dict[tuple[str, str, str], str] = {}
        for entry in value:
            text = str(entry).strip()
            match = _PORT.fullmatch(text)
            if match is None or (match["protocol"] or "tcp").lower() not in ("tcp", "udp", "sctp"):
                raise InvalidOption(option, text, "is not a published port", remedy=PORT_REMEDY)
            inside = _span(match["inside"], option, text)
            host = [str(port) for port in _span(match["host"], option, text)] if match["host"] else [""] * len(inside)
            if len(inside) == 1 and len(host) > 1:
                # One port inside and a range outside: the engine takes the first free one of the range.
                host = [str(match["host"])]
            if len(host) != len(inside):
                raise InvalidOption(option, text, "has ranges of different lengths", remedy=PORT_REMEDY)
            address = (match["ip"] or "").strip("[]")
            try:
                address = str(ipaddress.ip_address(address)) if address else ""
            except ValueError as error:
                raise InvalidOption(option, text, "has no valid host address", remedy=PORT_REMEDY) from error
            for one, other in zip(inside, host):
                protocol = (match["protocol"] or "tcp").lower()
                key = "%d/%s" % (one, protocol)
                if other.isdigit() and taken.setdefault((protocol, address, other), key) != key:
                    why = f"gives host port {other} to a second port of the container"
                    raise InvalidOption(option, text, why, remedy="Choose another host port for one of the two")
                found.setdefault(key, set()).add((address, other))
        return {key: tuple(sorted(bindings)) for key, bindings in found.items()}

    def show_entry(self, key: str, value: Any) -> list[str]:
        return [
            ":".join(([(f"[{ip}]") if ":" in ip else ip] if ip else []) + ([port] if port or ip else []) + [key])
            for ip, port in value
        ]

    def show(self, value: Mapping[str, Any]) -> list[str]:
        return [text for key in sorted(value) for text in self.show_entry(key, value[key])]


def read_ports(bindings: Mapping[str, Any] | None) -> dict[str, tuple[tuple[str, str], ...]]:
    """HostConfig.PortBindings in the canonical form; some engines write "0" for a port of their choice."""

    def pair(entry: Mapping[str, str]) -> tuple[str, str]:
        port = entry.get("HostPort") or ""
        return entry.get("HostIp") or "", "" if port == "0" else port

    return {key: tuple(sorted(map(pair, found or ()))) for key, found in (bindings or {}).items()}


def encode_ports(value: Mapping[str, Any]) -> dict[str, list[dict[str, str]]]:
    """HostConfig.PortBindings."""
    return {key: [{"HostIp": ip, "HostPort": port} for ip, port in bindings] for key, bindings in value.items()}


# Mounts ------------------------------------------------------------------------------------------------------------

MOUNT_REMEDY = "Write name:/target, /host/path:/target:ro, or a mapping with type, source, target and read_only"
_MOUNT_FIELDS = {"type", "source", "target", "read_only", "propagation", "size", "mode"}


def clean_path(path: str) -> str:
    """A path as the engine keeps it: freed of //, /./, /../ and a slash at its end."""
    return "/" + posixpath.normpath(path).lstrip("/") if path.startswith("/") else path


def check_target(target: str, option: str, entry: object, remedy: str = MOUNT_REMEDY) -> str:
    """An absolute path inside the guest."""
    if not target.startswith("/") or "\0" in target or "\n" in target:
        raise InvalidOption(option, entry, "has no absolute target path", remedy=remedy)
    if clean_path(target) == "/":
        raise InvalidOption(option, entry, "has the guest's root as its target", remedy=remedy)
    return clean_path(target)


def _read_mount(entry: Any, option: str) -> Iterable[tuple[str, Any]]:
    if isinstance(entry, str):
        parts = entry.split(":")
        flags = set(parts[2].split(",")) if len(parts) == 3 else set()
        if len(parts) not in (2, 3) or not parts[0] or flags - {"ro", "rw"}:
            raise InvalidOption(option, entry, "is not a mount", remedy=MOUNT_REMEDY)
        fields: dict[str, Any] = {
            "type": "bind" if parts[0].startswith("/") else "volume",
            "source": parts[0],
            "target": parts[1],
            "read_only": "ro" in flags,
        }
    elif isinstance(entry, Mapping) and not set(entry) - _MOUNT_FIELDS:
        fields = dict(entry)
    else:
        raise InvalidOption(option, entry, "is not a mount", remedy=MOUNT_REMEDY)
    target = check_target(str(fields.get("target") or ""), option, entry)
    kind = fields.get("type") or ("bind" if str(fields.get("source") or "").startswith("/") else "volume")
    source = str(fields.get("source") or "")
    good = {
        "bind": source.startswith("/") and "\n" not in source and "\0" not in source,
        "volume": not source or re.fullmatch(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+", source) is not None,
        "tmpfs": not source,
    }
    if not good.get(kind, False):
        raise InvalidOption(option, entry, "has no source that fits its type", remedy=MOUNT_REMEDY)
    read_only = Flag().parse(fields.get("read_only", False), f"{option}[{target}].read_only")
    record: dict[str, Any] = {"type": kind, "read_only": read_only}
    if source:
        record["source"] = clean_path(source)
    if fields.get("propagation"):
        record["propagation"] = str(fields["propagation"])
    if kind == "tmpfs" and fields.get("size") is not None:
        record["size"] = parse_size(fields["size"], option)
    if kind == "tmpfs" and fields.get("mode") is not None:
        # YAML reads an octal number that is not quoted as another one: 01777 is 1023.
        if not re.fullmatch("[0-7]{1,5}", fields["mode"] if isinstance(fields["mode"], str) else "", re.ASCII):
            raise InvalidOption(
                option, entry, "has a mode that is not octal, or not a text", remedy='Write it quoted, like "1777"'
            )
        record["mode"] = int(fields["mode"], 8)
    yield target, record


def _write_mount(target: str, record: Mapping[str, Any]) -> dict[str, Any]:
    shown = {"target": target, **record}
    if "size" in record:
        shown["size"] = format_size(record["size"])
    if "mode" in record:
        shown["mode"] = "{:04o}".format(record["mode"])
    return shown


class _Mounts(Records):
    """What another type of mount had is nothing to the new one."""

    def merge_entry(self, want: Any, have: Any, exact: bool) -> Any:
        return super().merge_entry(want, have, exact) if want["type"] == have["type"] else want


MOUNTS = _Mounts(_read_mount, _write_mount)


def read_mounts(inspect: Mapping[str, Any]) -> dict[str, Any]:
    """All mounts that a container really has, anonymous volumes included; those of ``tmpfs`` are that option's."""
    declared = {clean_path(mount["Target"]): mount for mount in inspect["HostConfig"].get("Mounts") or ()}
    found: dict[str, Any] = {}
    for mount in inspect.get("Mounts") or ():
        kind, target = mount.get("Type"), clean_path(str(mount.get("Destination")))
        record: dict[str, Any] = {"type": kind, "read_only": not mount.get("RW", True)}
        if kind == "tmpfs":
            options = (declared.get(target) or {}).get("TmpfsOptions") or {}
            # The list of mounts calls a read-only tmpfs writable: the declaration knows.
            record["read_only"] = bool((declared.get(target) or {}).get("ReadOnly", False))
            if options.get("SizeBytes"):
                record["size"] = options["SizeBytes"]
            if options.get("Mode"):
                record["mode"] = options["Mode"]
        else:
            record["source"] = mount.get("Name") if kind == "volume" else clean_path(mount.get("Source") or "")
            if mount.get("Propagation"):
                record["propagation"] = mount["Propagation"]
        found[target] = record
    for target, mount in declared.items():
        if mount.get("Type") == "tmpfs" and target not in found:
            options = mount.get("TmpfsOptions") or {}
            record = {"type": "tmpfs", "read_only": bool(mount.get("ReadOnly", False))}
            record.update(
                {name: options[key] for name, key in (("size", "SizeBytes"), ("mode", "Mode")) if options.get(key)}
            )
            found[target] = record
    return found


def encode_mounts(value: Mapping[str, Any]) -> list[dict[str, Any]]:
    """HostConfig.Mounts."""
    mounts = []
    for target, record in sorted(value.items()):
        mount: dict[str, Any] = {"Type": record["type"], "Target": target, "ReadOnly": record["read_only"]}
        if "source" in record:
            mount["Source"] = record["source"]
        if record["type"] == "bind" and "propagation" in record:
            mount["BindOptions"] = {"Propagation": record["propagation"]}
        if record["type"] == "tmpfs" and ("size" in record or "mode" in record):
            mount["TmpfsOptions"] = {
                key: record[name] for name, key in (("size", "SizeBytes"), ("mode", "Mode")) if name in record
            }
        mounts.append(mount)
    return mounts


class Tmpfs(Entries):
    """Memory file systems: from a target path to its sorted mount options.

    Written /run:size=64m,noexec or just /run.
    """

    argument = {"type": "list", "elements": "str"}

    def parse(self, value: Any, option: str) -> dict[str, tuple[str, ...]]:
        found = {}
        for entry in value:
            target, _colon, options = str(entry).partition(":")
            found[check_target(target, option, entry, "Write /run, or /run:size=64m,noexec")] = tmpfs_options(options)
        return found

    def show_entry(self, key: str, value: Any) -> str:
        return ":".join([key, *([",".join(value)] if value else [])])

    def show(self, value: Mapping[str, Any]) -> list[str]:
        return [self.show_entry(key, value[key]) for key in sorted(value)]


def tmpfs_options(text: str, read: Callable[[str], object] = lambda size: parse_size(size, "tmpfs")) -> tuple[str, ...]:
    """Mount options, sorted, a size in bytes."""
    words = []
    for word in filter(None, text.split(",")):
        key, _equals, value = word.partition("=")
        percent = value.endswith("%")
        words.append(f"size={read(value)}" if key == "size" and not percent else word)
    return tuple(sorted(words))


def read_tmpfs(value: Mapping[str, str] | None) -> dict[str, tuple[str, ...]]:
    """HostConfig.Tmpfs. The kernel knows more ways to write a size than a task."""
    return {
        clean_path(key): tmpfs_options(text, lambda size: as_read(parse_size, size))
        for key, text in (value or {}).items()
    }


# Networks ----------------------------------------------------------------------------------------------------------

NETWORK_REMEDY = "Write a network's name, or a mapping with name, ipv4_address, ipv6_address and aliases"
_NETWORK_FIELDS = ("name", "ipv4_address", "ipv6_address", "aliases")


def _read_network(entry: Any, option: str) -> Iterable[tuple[str, Any]]:
    fields = {"name": entry} if isinstance(entry, str) else entry
    if (
        not isinstance(fields, Mapping)
        or set(fields) - set(_NETWORK_FIELDS)
        or not re.fullmatch(r"[^\s/-][^\s/]*", str(fields.get("name") or ""))
    ):
        raise InvalidOption(option, entry, "is not a network", remedy=NETWORK_REMEDY)
    record: dict[str, Any] = {}
    for key, version in (("ipv4_address", 4), ("ipv6_address", 6)):
        if fields.get(key):
            try:
                address = ipaddress.ip_address(str(fields[key]))
            except ValueError:
                address = None
            if address is None or address.version != version:
                raise InvalidOption(
                    "{}[{}].{}".format(option, fields["name"], key),
                    fields[key],
                    "is not such an address",
                    remedy=NETWORK_REMEDY,
                )
            record[key] = str(address)
    if fields.get("aliases") is not None:
        aliases = fields["aliases"]
        if not isinstance(aliases, list) or not all(re.fullmatch(r"[A-Za-z0-9_.-]+", str(alias)) for alias in aliases):
            raise InvalidOption(
                "{}[{}].aliases".format(option, fields["name"]),
                aliases,
                "is not a list of names",
                remedy=NETWORK_REMEDY,
            )
        record["aliases"] = tuple(sorted(map(str, aliases)))
    yield str(fields["name"]), record


class _Networks(Records):
    """Endpoints, whose aliases are a list of their own: merged unless the networks are exact."""

    def merge_entry(self, want: Any, have: Any, exact: bool) -> Any:
        merged = {**have, **want}
        if "aliases" in want and not exact:
            merged["aliases"] = tuple(sorted({*want["aliases"], *have.get("aliases", ())}))
        if "aliases" in have:
            merged.setdefault("aliases", ())
        elif not merged.get("aliases"):
            # To want none where there are none is not a difference.
            merged.pop("aliases", None)
        return merged


def _write_network(name: str, record: Mapping[str, Any]) -> dict[str, Any]:
    shown = {key: record[key] for key in _NETWORK_FIELDS if key in record}
    return {"name": name, **{key: list(value) if isinstance(value, tuple) else value for key, value in shown.items()}}


NETWORKS = _Networks(_read_network, _write_network)
#: What an endpoint has that a task cannot write, and that goes with it where it is made anew.
_CARRIED = ("Links", "DriverOpts", "GwPriority")


def read_networks(inspect: Mapping[str, Any]) -> dict[str, Any]:
    """The networks that a container is connected to, with the addresses that were asked for, the aliases, and what
    else the engine was told of them, in its own words.

    The engine adds the container's short id and its hostname to the aliases by itself.
    """
    own = {str(inspect.get("Id", ""))[:12], str(inspect.get("Config", {}).get("Hostname", ""))}
    found = {}
    for name, endpoint in (inspect.get("NetworkSettings", {}).get("Networks") or {}).items():
        if name in ("host", "none"):
            continue
        record: dict[str, Any] = {}
        config = endpoint.get("IPAMConfig") or {}
        for key, source in (("ipv4_address", "IPv4Address"), ("ipv6_address", "IPv6Address")):
            if config.get(source):
                record[key] = as_read(lambda text: str(ipaddress.ip_address(text)), config[source])
        aliases = tuple(sorted(set(endpoint.get("Aliases") or ()) - own))
        if aliases:
            record["aliases"] = aliases
        found[name] = {**record, **{key: endpoint[key] for key in _CARRIED if endpoint.get(key)}}
    return found


def encode_endpoint(record: Mapping[str, Any]) -> dict[str, Any]:
    """The body of an endpoint, for a creation or a connection."""
    addresses = {
        key: record[name]
        for name, key in (("ipv4_address", "IPv4Address"), ("ipv6_address", "IPv6Address"))
        if name in record
    }
    endpoint = {key: record[key] for key in _CARRIED if key in record}
    if addresses:
        endpoint["IPAMConfig"] = addresses
    if record.get("aliases"):
        endpoint["Aliases"] = list(record["aliases"])
    return endpoint


# The small ones ----------------------------------------------------------------------------------------------------


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


def _read_device(entry: Any, option: str) -> Iterable[tuple[str, Any]]:
    parts = str(entry).split(":")
    if (
        not 1 <= len(parts) <= 3
        or not all(part.startswith("/") for part in parts[:2])
        or not re.fullmatch(r"[rwm]{1,3}", (parts + ["rwm"] * 3)[2])
    ):
        raise InvalidOption(
            option, entry, "is not a device", remedy="Write /dev/fuse, /dev/sda:/dev/xvda or /dev/sda:/dev/xvda:r"
        )
    inside = parts[1] if len(parts) > 1 else parts[0]
    yield inside, {"host": parts[0], "permissions": "".join(sorted(parts[2] if len(parts) > 2 else "rwm"))}


DEVICES = Records(
    _read_device,
    lambda inside, record: "{}:{}:{}".format(record["host"], inside, record["permissions"]),
    {"elements": "str"},
)


def _read_ulimit(entry: Any, option: str) -> Iterable[tuple[str, Any]]:
    match = re.fullmatch(r"([a-z]+)=(-1|[0-9]+)(?::(-1|[0-9]+))?", str(entry).strip(), re.ASCII)
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


class ExtraHosts(Entries):
    """Lines of /etc/hosts: from a name to its sorted addresses, of which it may have one of each family, or more."""

    argument = {"type": "list", "elements": "str"}

    def parse(self, value: Any, option: str) -> dict[str, tuple[str, ...]]:
        found: dict[str, set[str]] = {}
        for entry in value:
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


class Healthcheck(Kind):
    """How the engine finds out whether the guest is well: durations in nanoseconds, as the API has them."""

    _FIELDS = {"interval": "Interval", "timeout": "Timeout", "start_period": "StartPeriod"}
    argument = {
        "type": "dict",
        "options": {
            "test": {"type": "raw"},
            "interval": {"type": "str"},
            "timeout": {"type": "str"},
            "start_period": {"type": "str"},
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
                body[key] = int(parse_duration(value[field], f"{option}.{field}") * 10**9)
        if value.get("retries") is not None:
            body["Retries"] = int(value["retries"])
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
