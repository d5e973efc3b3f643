# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The kinds of value that only an LXC container has: images, networks, mounts, idmaps and configuration keys. Pure."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ....engine.errors import InvalidOption
from ....engine.kinds import Entries, Flag, Kind, Part, Records, Text
from ....engine.network_kinds import check_quoted, is_mac
from .config import Config, is_list, read_mount, words_of, write_mount

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def check_text(value: object, option: str) -> str:
    """A text that may stand on a line of a configuration file."""
    text = str(value)
    if _CONTROL.search(text):
        raise InvalidOption(option, text, "contains a control character", remedy="Write it on one line")
    return text


@dataclass(frozen=True)
class Image:
    """A root file system in an archive, known by its content; the path is only where it was found."""

    checksum: str
    path: str = ""

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Image):
            return False
        # Of one that is not built yet only the path is known, which base_image makes of what is asked for.
        return self.checksum == other.checksum if self.checksum and other.checksum else self.path == other.path

    def __hash__(self) -> int:
        return 0

    def __str__(self) -> str:
        return f"{self.path} ({self.checksum[:19]})" if self.checksum else self.path


class ImageKind(Kind):
    """An archive and its checksum; see options.py.complete() for where the checksum comes from."""

    argument = {"type": "raw"}

    def parse(self, value: Any, option: str) -> Image:
        return Image(value["checksum"], value["path"])

    def show(self, value: Image) -> str:
        return str(value)


# Networks ----------------------------------------------------------------------------------------------------------

NETWORK_REMEDY = "Write a mapping with type (veth, macvlan, ipvlan, phys, none, empty), link, name, mac_address, ipv4_address, ipv4_gateway and the like"
#: The fields of a network, with the rest of their keys below lxc.net.N.
NET_KEYS = {
    "type": "type",
    "link": "link",
    "mac_address": "hwaddr",
    "ipv4_address": "ipv4.address",
    "ipv4_gateway": "ipv4.gateway",
    "ipv6_address": "ipv6.address",
    "ipv6_gateway": "ipv6.gateway",
    "mtu": "mtu",
    "mode": "macvlan.mode",
    "host_name": "veth.pair",
}
NET_TYPES = ("veth", "macvlan", "ipvlan", "phys", "none", "empty")
_INTERFACE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,14}", re.ASCII)
_MODES = {"macvlan": ("private", "vepa", "bridge", "passthru"), "ipvlan": ("l2", "l3", "l3s")}


class Networks(Records):
    """Network devices by their names in the guest, in the order in which they are given: one without a name is eth0,
    eth1, ...
    """

    def __init__(self) -> None:
        super().__init__(lambda entry, option: (), lambda key, record: {"name": key, **record})

    def parse(self, value: Any, option: str) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for number, entry in enumerate(value):
            fields = {"link": entry} if isinstance(entry, str) else entry
            if not isinstance(fields, Mapping) or set(fields) - {"name", *NET_KEYS}:
                raise InvalidOption(option, entry, "is not a network", remedy=NETWORK_REMEDY)
            name = str(fields.get("name") or "eth%d" % number)
            if name in found:
                raise InvalidOption(option, name, "is given twice", remedy="Give each network a name of its own")
            found[name] = self._record(name, fields, option)
        return found

    def _record(self, name: str, fields: Mapping[str, Any], option: str) -> dict[str, str]:
        record = {
            key: str(fields[key]).lower() if key == "mac_address" else str(fields[key])
            for key in NET_KEYS
            if fields.get(key) is not None
        }
        check_quoted(record.get("mac_address", ""), f"{option}[{name}].mac_address")
        kind = record.setdefault("type", "veth")
        checks = {
            "name": _INTERFACE.fullmatch(name),
            "type": kind in NET_TYPES,
            "link": "link" not in record or _INTERFACE.fullmatch(record["link"]),
            "mac_address": "mac_address" not in record or is_mac(record["mac_address"]),
            "mtu": "mtu" not in record or re.fullmatch(r"[1-9]\d{1,5}", record["mtu"], re.ASCII),
            "host_name": "host_name" not in record or (kind == "veth" and _INTERFACE.fullmatch(record["host_name"])),
            "mode": "mode" not in record or record["mode"] in _MODES.get(kind, ()),
        }
        for field, good in checks.items():
            if not good:
                value = name if field == "name" else record.get(field)
                raise InvalidOption(f"{option}[{name}].{field}", value, "is not understood", remedy=NETWORK_REMEDY)
        if kind in ("none", "empty") and set(record) != {"type"}:
            raise InvalidOption(
                f"{option}[{name}]",
                kind,
                "cannot be combined with other keys",
                remedy="Give such a network its type only",
            )
        if kind in ("macvlan", "ipvlan", "phys") and "link" not in record:
            raise InvalidOption(
                f"{option}[{name}].link", None, f"is needed for type {kind}", remedy="Name the host's device"
            )
        for field, version in (("ipv4_address", 4), ("ipv4_gateway", 4), ("ipv6_address", 6), ("ipv6_gateway", 6)):
            if field in record and not (field.endswith("gateway") and record[field] in ("auto", "dev")):
                record[field] = _address(record[field], version, field.endswith("gateway"), f"{option}[{name}].{field}")
        return record

    def merge_entry(self, want: Any, have: Any, exact: bool) -> Any:
        # What another type of device had is nothing to the new one.
        return dict(want) if want["type"] != have.get("type") else {**have, **want}

    def show(self, value: Mapping[str, Any]) -> list[Any]:
        return [self.show_entry(key, record) for key, record in value.items()]


def _address(text: str, version: int, bare: bool, option: str) -> str:
    remedy = (
        "Write an address" if bare else "Write an address and the length of its network's prefix, like 192.0.2.5/24"
    )
    try:
        if bare:
            address = ipaddress.ip_address(text)
            good, written = address.version == version, str(address)
        else:
            interface = ipaddress.ip_interface(text)
            good, written = interface.version == version and "/" in text, str(interface)
    except ValueError:
        good, written = False, ""
    if not good:
        raise InvalidOption(option, text, "is not such an address", remedy=remedy)
    return written


def net_names(config: Config) -> dict[str, int]:
    """The names of the network devices in the guest, with their numbers in the configuration."""
    return {
        config.get("lxc.net.%d.name" % number) or "eth%d" % place: number for place, number in enumerate(config.nets())
    }


def read_networks(config: Config) -> dict[str, Any]:
    """The devices of a configuration, in their canonical form."""
    found = {}
    for name, number in net_names(config).items():
        record = {}
        for field, rest in NET_KEYS.items():
            rest = "ipvlan.mode" if field == "mode" and config.get("lxc.net.%d.type" % number) == "ipvlan" else rest
            text = config.get("lxc.net.%d.%s" % (number, rest))
            if text:
                # A broadcast address may follow the address.
                record[field] = text.lower() if field == "mac_address" else text.split()[0]
        found[name] = record
    return found


def write_networks(value: Mapping[str, Any], config: Config) -> dict[str, tuple[str, ...]]:
    """The lines for these devices, and for no others."""
    numbers = net_names(config)
    changes: dict[str, tuple[str, ...]] = {}
    for name, number in numbers.items():
        if name not in value:
            changes.update({key: () for key in config.values if key.startswith("lxc.net.%d." % number)})
    for name in value:
        numbers.setdefault(name, max([-1, *numbers.values()]) + 1)
    places = sorted(numbers[name] for name in value)
    for name, record in value.items():
        number = numbers[name]
        prefix = "lxc.net.%d." % number
        mode = "ipvlan.mode" if record["type"] == "ipvlan" else "macvlan.mode"
        lines = {
            prefix + (mode if field == "mode" else rest): (record[field],)
            for field, rest in NET_KEYS.items()
            if field in record
        }
        if record["type"] not in ("none", "empty"):
            lines[prefix + "flags"] = ("up",)
            # A device without a name is called after its place, which a removal before it would move.
            if name != "eth%d" % places.index(number) or config.get(prefix + "name"):
                lines[prefix + "name"] = (name,)
        # What is managed here goes when it is not wanted; another key of this device stays.
        managed = [prefix + rest for rest in (*NET_KEYS.values(), "ipvlan.mode")]
        if config.get(prefix + "type") not in ("", record["type"]):
            managed = [key for key in config.values if key.startswith(prefix)]
        changes.update({key: () for key in managed if key not in lines and key in config.values})
        changes.update(lines)
    return changes


# Mounts ------------------------------------------------------------------------------------------------------------

MOUNT_REMEDY = "Write /host/path:/target, /host/path:/target:ro, or a mapping with source, target, type, read_only, options, create and optional"
_MOUNT_FIELDS = {"source", "target", "type", "read_only", "options", "create", "optional"}


def _check_path(path: str, option: str, entry: object) -> str:
    if not path.startswith("/") or _CONTROL.search(path) or "/../" in path + "/":
        raise InvalidOption(option, entry, "has a path that is not absolute, or not plain", remedy=MOUNT_REMEDY)
    return "/" + path.strip("/")


def _read_mount(entry: Any, option: str) -> Iterable[tuple[str, Any]]:
    if isinstance(entry, str):
        parts = entry.split(":")
        if len(parts) not in (2, 3) or parts[2:] not in ([], ["ro"], ["rw"]):
            raise InvalidOption(option, entry, "is not a mount", remedy=MOUNT_REMEDY)
        fields: Mapping[str, Any] = {"source": parts[0], "target": parts[1], "read_only": parts[2:] == ["ro"]}
    elif isinstance(entry, Mapping) and not set(entry) - _MOUNT_FIELDS:
        fields = entry
    else:
        raise InvalidOption(option, entry, "is not a mount", remedy=MOUNT_REMEDY)
    target = _check_path(str(fields.get("target") or ""), option, entry)
    if target == "/":
        raise InvalidOption(option, entry, "has the guest's root as its target", remedy=MOUNT_REMEDY)
    kind = str(fields.get("type") or "bind")
    source = str(fields.get("source") or ("" if kind == "bind" else kind))
    if kind == "bind":
        source = _check_path(source, option, entry)
    create = str(fields.get("create") or "dir")
    options = fields.get("options") or []
    words = [options] if isinstance(options, str) else [str(word) for word in options]
    plain = re.compile(r"[A-Za-z0-9_.=:@/%+-]+", re.ASCII)
    good = (
        re.fullmatch(r"[a-z0-9_.-]+", kind)
        and create in ("dir", "file", "no")
        and source
        and not _CONTROL.search(source)
    )
    if not good or not all(map(plain.fullmatch, words)):
        raise InvalidOption(
            option, entry, "has a type, source, option or create that is not understood", remedy=MOUNT_REMEDY
        )
    words += ["bind"] if kind == "bind" and not {"bind", "rbind"} & set(words) else []
    words += ["ro"] if Flag().parse(fields.get("read_only", False), f"{option}[{target}].read_only") else []
    words += ["create=" + create] if create in ("dir", "file") else []
    words += ["optional"] if Flag().parse(fields.get("optional", False), f"{option}[{target}].optional") else []
    yield target, {"source": source, "type": "none" if kind == "bind" else kind, "options": tuple(sorted(set(words)))}


def _write_mount(target: str, record: Mapping[str, Any]) -> dict[str, Any]:
    kind = "bind" if record["type"] == "none" else record["type"]
    return {"source": record["source"], "target": target, "type": kind, "options": list(record["options"])}


class Mounts(Records):
    """Mounts by their targets; an entry is managed as a whole."""

    def __init__(self) -> None:
        super().__init__(_read_mount, _write_mount)

    def merge_entry(self, want: Any, have: Any, exact: bool) -> Any:
        return want


def read_mounts(config: Config) -> dict[str, Any]:
    """The mounts that the container's own file asks for; those of included files belong to the distribution."""
    found = {}
    for value in config.own.get("lxc.mount.entry", ()):
        source, target, kind, options = read_mount(value)
        found[target] = {"source": source, "type": kind, "options": tuple(sorted(set(options) - {"defaults"}))}
    return found


def write_mounts(value: Mapping[str, Any], config: Config) -> dict[str, tuple[str, ...]]:
    """The whole list, in which what does not change keeps its place and its writing."""
    have, lines, left = read_mounts(config), [], dict(value)
    for line in config.own.get("lxc.mount.entry", ()):
        target = read_mount(line)[1]
        if target in left:
            record = left.pop(target)
            lines.append(
                line
                if record == have[target]
                else write_mount(record["source"], target, record["type"], record["options"])
            )
    lines += [
        write_mount(record["source"], target, record["type"], record["options"]) for target, record in left.items()
    ]
    inherited = config.values.get("lxc.mount.entry", ())
    own = config.own.get("lxc.mount.entry", ())
    return {"lxc.mount.entry": (*inherited[: len(inherited) - len(own)], *lines)}


# The small ones ----------------------------------------------------------------------------------------------------


class Capability(Text):
    """The name of a capability as liblxc writes it."""

    def parse(self, value: Any, option: str) -> str:
        name = super().parse(value, option).lower()
        name = name[4:] if name.startswith("cap_") else name
        if not re.fullmatch(r"[a-z][a-z_]*", name):
            raise InvalidOption(option, value, "is not a capability", remedy="Write its name, like sys_time")
        return name


class Idmap(Kind):
    """How the guest's users and groups are mapped to the host's: lines like u 0 100000 65536, in order; b stands for
    both.
    """

    argument = {"type": "list", "elements": "str"}

    def parse(self, value: Any, option: str) -> tuple[str, ...]:
        lines: list[str] = []
        for entry in value:
            match = re.fullmatch(r"\s*([ugb])\s+(\d+)\s+(\d+)\s+([1-9]\d*)\s*", str(entry), re.ASCII)
            if match is None:
                raise InvalidOption(
                    option,
                    entry,
                    "is not a mapping of ids",
                    remedy="Write it like u 0 100000 65536, g 0 100000 65536 or b 0 100000 65536",
                )
            for kind in ("u", "g") if match[1] == "b" else (match[1],):
                line = "%s %d %d %d" % (kind, int(match[2]), int(match[3]), int(match[4]))
                if line not in lines:
                    lines.append(line)
        if {line[0] for line in lines} == {"u"} or {line[0] for line in lines} == {"g"}:
            raise InvalidOption(option, list(value), "maps users or groups only", remedy="Map both")
        return tuple(lines)

    def show(self, value: tuple[str, ...]) -> list[str]:
        return list(value)


#: Keys that are an option's, or are not for a task to set; with what to do instead.
RESERVED = {
    "lxc.rootfs.path": "Choose the storage when the container is created",
    "lxc.include": "Set the keys themselves, or include the file by hand",
}
_KEY = re.compile(r"lxc(\.[A-Za-z0-9_*-]+)+", re.ASCII)


class ConfigKeys(Entries):
    """Keys of lxc.container.conf(5), each with its whole list of values; the empty list stands for a key that is not
    set.
    """

    merges = False

    def parse(self, value: Any, option: str) -> dict[str, tuple[str, ...]]:
        found = {}
        for key, given in value.items():
            where = f"{option}[{key}]"
            if not _KEY.fullmatch(str(key)):
                raise InvalidOption(
                    where,
                    key,
                    "is not a configuration key",
                    remedy="Write one of lxc.container.conf(5), like lxc.environment",
                )
            if key in RESERVED:
                raise InvalidOption(where, given, "is not to be set so", remedy=RESERVED[key])
            if isinstance(given, Mapping):
                raise InvalidOption(
                    where,
                    given,
                    "is not a text or a list",
                    remedy="Write a text, a list of texts, or null to remove the key",
                )
            values = [] if given is None else list(given) if isinstance(given, (list, tuple)) else [given]
            texts = [check_text(int(each) if isinstance(each, bool) else each, where) for each in values]
            if any(not text.strip() for text in texts):
                raise InvalidOption(where, given, "has an empty value", remedy="Write null to remove the key")
            if len(texts) > 1 and not is_list(key):
                raise InvalidOption(where, given, "takes one value", remedy="Write one value")
            words = words_of(key, texts)
            found[str(key)] = (
                tuple(dict.fromkeys(words))
                if key in ("lxc.cap.drop", "lxc.cap.keep", "lxc.idmap", "lxc.group")
                else words
            )
        return found

    def show_entry(self, key: str, value: Any) -> Any:
        if not value:
            return None
        return list(value) if is_list(key) else value[0]

    def parts(self, want: Mapping[str, Any], have: Mapping[str, Any] | None, exact: bool) -> list[Part]:
        seen = have or {}
        keys = [key for key in sorted(want) if want[key] != seen.get(key, ())]
        return [Part(key, self.show_entry(key, seen.get(key, ())), self.show_entry(key, want[key])) for key in keys]

    def merge(self, want: Mapping[str, Any], have: Mapping[str, Any] | None, exact: bool) -> dict[str, Any]:
        return dict(want)
