# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a container has of the host's hardware: devices, graphics cards, and how fast it may use disks. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ....engine.errors import InvalidOption
from ....engine.kinds import Integer, Kind, Records, Texts
from ....engine.units import format_size, parse_size


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


def read_devices(value: Any) -> dict[str, Any]:
    """HostConfig.Devices."""
    return {
        entry["PathInContainer"]: {
            "host": entry["PathOnHost"],
            "permissions": "".join(sorted(entry.get("CgroupPermissions") or "rwm")),
        }
        for entry in value or ()
    }


def encode_devices(value: Mapping[str, Any]) -> list[dict[str, str]]:
    """HostConfig.Devices."""
    return [
        {"PathOnHost": record["host"], "PathInContainer": inside, "CgroupPermissions": record["permissions"]}
        for inside, record in sorted(value.items())
    ]


#: The limits of a block device, and where HostConfig has them.
IO_KEYS = {
    "read_bps": "BlkioDeviceReadBps",
    "write_bps": "BlkioDeviceWriteBps",
    "read_iops": "BlkioDeviceReadIOps",
    "write_iops": "BlkioDeviceWriteIOps",
}
_IO_REMEDY = "Write a mapping with device (a path like /dev/sda) and read_bps, write_bps, read_iops, write_iops"


def _read_io(entry: Any, option: str) -> Iterable[tuple[str, Any]]:
    if (
        not isinstance(entry, Mapping)
        or set(entry) - {"device", *IO_KEYS}
        or not re.fullmatch(r"/\S+", str(entry.get("device") or ""))
    ):
        raise InvalidOption(option, entry, "is not a limit of a block device", remedy=_IO_REMEDY)
    where = "{}[{}]".format(option, entry["device"])
    parsers = {field: parse_size if field.endswith("bps") else Integer().parse for field in IO_KEYS}
    given = {field: parsers[field] for field in IO_KEYS if entry.get(field) is not None}
    yield str(entry["device"]), {field: parse(entry[field], f"{where}.{field}") for field, parse in given.items()}


def _write_io(device: str, record: Mapping[str, int]) -> dict[str, Any]:
    shown = {field: format_size(rate) if field.endswith("bps") else rate for field, rate in record.items()}
    return {"device": device, **shown}


class IoLimits(Records):
    """How fast block devices may be read and written; 0 is no limit."""

    def __init__(self) -> None:
        super().__init__(_read_io, _write_io)

    def parts(self, want: Mapping[str, Any], have: Mapping[str, Any] | None, exact: bool) -> list[Any]:
        return super().parts(self._without_nothing(want, have), have, exact)

    def merge(self, want: Mapping[str, Any], have: Mapping[str, Any] | None, exact: bool) -> dict[str, Any]:
        return super().merge(self._without_nothing(want, have), have, exact)

    def merge_entry(self, want: Any, have: Any, exact: bool) -> Any:
        merged = super().merge_entry(want, have, exact)
        return {field: rate for field, rate in merged.items() if rate or field in have}

    def _without_nothing(self, want: Mapping[str, Any], have: Mapping[str, Any] | None) -> dict[str, Any]:
        """Without those that shall have no limit, and have none."""
        return {device: record for device, record in want.items() if any(record.values()) or device in (have or {})}


def read_io(host: Mapping[str, Any]) -> dict[str, dict[str, int]]:
    """By device, what HostConfig has in four lists."""
    found: dict[str, dict[str, int]] = {}
    for field, key in IO_KEYS.items():
        for entry in host.get(key) or ():
            found.setdefault(str(entry["Path"]), {})[field] = entry["Rate"]
    return found


def encode_io(value: Mapping[str, Mapping[str, int]]) -> dict[str, list[dict[str, Any]]]:
    """The four lists."""
    return {
        key: [{"Path": device, "Rate": record[field]} for device, record in sorted(value.items()) if record.get(field)]
        for field, key in IO_KEYS.items()
    }


class DeviceRequests(Kind):
    """Devices that a driver of the engine brings, such as graphics cards: managed as a whole."""

    argument = {
        "type": "list",
        "elements": "dict",
        "options": {
            "driver": {"type": "str"},
            "count": {"type": "int"},
            "device_ids": {"type": "list", "elements": "str"},
            "capabilities": {"type": "list", "elements": "raw"},
            "options": {"type": "dict"},
        },
    }

    def parse(self, value: Any, option: str) -> tuple[dict[str, Any], ...]:
        return tuple(_request(entry, option) for entry in value)

    def show(self, value: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        return [
            {"driver": each["Driver"], "count": each["Count"], "device_ids": list(each["DeviceIDs"])}
            | {"capabilities": [list(words) for words in each["Capabilities"]], "options": dict(each["Options"])}
            for each in value
        ]


def _request(entry: Mapping[str, Any], option: str) -> dict[str, Any]:
    ids, count = entry.get("device_ids") or [], entry.get("count")
    words = entry.get("capabilities") or [["gpu"]]
    if (ids and count) or not all(isinstance(each, list) for each in words):
        why = "names devices, and how many" if ids and count else "has capabilities that are no lists of words"
        raise InvalidOption(option, entry, why, remedy="Write count or device_ids, and capabilities like [[gpu]]")
    return {
        "Driver": str(entry.get("driver") or ""),
        # All there are, where nothing is said.
        "Count": int(count) if count is not None else 0 if ids else -1,
        "DeviceIDs": [str(each) for each in ids],
        "Capabilities": [[str(word) for word in each] for each in words],
        "Options": Texts().parse(entry.get("options") or {}, f"{option}.options"),
    }


def read_requests(value: Any) -> tuple[dict[str, Any], ...]:
    """HostConfig.DeviceRequests."""
    empty = {"Driver": "", "Count": 0, "DeviceIDs": [], "Capabilities": [], "Options": {}}
    return tuple({key: each.get(key) or default for key, default in empty.items()} for each in value or ())
