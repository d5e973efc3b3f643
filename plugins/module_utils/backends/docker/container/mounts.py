# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is mounted into a container: volumes, paths of the host, and memory file systems. Pure."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ....engine.errors import InvalidOption
from ....engine.kinds import Entries, Flag, Records, Text, Texts, as_read
from ....engine.secrets import hide
from ....engine.units import format_size, parse_size

MOUNT_REMEDY = "Write name:/target, /host/path:/target:ro, /target alone, or a mapping with type, source, target, read_only and the like"
_PROPAGATIONS = ("private", "rprivate", "shared", "rshared", "slave", "rslave")
#: Words behind the second colon, and the fields that they stand for. Linux makes nothing of the last three.
_WORDS: dict[str, dict[str, Any]] = {
    "ro": {"read_only": True},
    "rw": {"read_only": False},
    "z": {"selinux": "z"},
    "Z": {"selinux": "Z"},
    "nocopy": {"no_copy": True},
    **{word: {"propagation": word} for word in _PROPAGATIONS},
    **{word: {} for word in ("consistent", "cached", "delegated")},
}
_BASE = ("type", "source", "target", "read_only")
#: What is said of a mount of one type beside that.
_OF_TYPE = {
    "bind": ("propagation", "selinux"),
    "volume": ("selinux", "no_copy", "labels", "driver", "driver_options"),
    "tmpfs": ("size", "mode"),
}
_MOUNT_FIELDS = {*_BASE, *(field for fields in _OF_TYPE.values() for field in fields)}
#: What the engine takes in HostConfig.Mounts alone, and not in HostConfig.Binds, which has the labels of SELinux.
_OF_THE_VOLUME = ("labels", "driver", "driver_options")


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
    if not isinstance(entry, (str, Mapping)) or (isinstance(entry, Mapping) and set(entry) - _MOUNT_FIELDS):
        raise InvalidOption(option, entry, "is not a mount", remedy=MOUNT_REMEDY)
    fields = _fields_of(entry, option) if isinstance(entry, str) else dict(entry)
    target = check_target(str(fields.get("target") or ""), option, entry)
    source = str(fields.get("source") or "")
    kind = fields.get("type") or ("bind" if source.startswith("/") else "volume")
    good = {
        "bind": source.startswith("/") and "\n" not in source and "\0" not in source,
        "volume": not source or re.fullmatch(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+", source) is not None,
        "tmpfs": not source,
    }
    if not good.get(kind, False):
        raise InvalidOption(option, entry, "has no source that fits its type", remedy=MOUNT_REMEDY)
    where = f"{option}[{target}]"
    record: dict[str, Any] = {
        "type": kind,
        "read_only": Flag().parse(fields.get("read_only", False), f"{where}.read_only"),
    }
    if source:
        record["source"] = clean_path(source)
    given = {field: value for field, value in fields.items() if field not in _BASE and value is not None}
    for field, value in given.items():
        if field not in _OF_TYPE[kind]:
            raise InvalidOption(f"{where}.{field}", value, f"is nothing for a {kind}", remedy="Leave it out")
        record[field] = _FIELDS[field](value, f"{where}.{field}")
    if "selinux" in record and set(record) & set(_OF_THE_VOLUME):
        raise InvalidOption(
            f"{where}.selinux",
            record["selinux"],
            "cannot be combined with what a new volume is made with",
            remedy="Make the volume with docker_volume, and leave labels, driver and driver_options out here",
        )
    yield target, record


def _fields_of(text: str, option: str) -> dict[str, Any]:
    """The fields of a mount as docker run -v has it: SOURCE:TARGET:WORDS, or TARGET."""
    parts = text.split(":")
    words = parts[2].split(",") if len(parts) == 3 else []
    said = [(field, value) for word in words for field, value in _WORDS.get(word, {}).items()]
    fields = dict(said)
    if len(parts) > 3 or not all(parts[:2]) or set(words) - set(_WORDS) or len(fields) < len(said):
        raise InvalidOption(option, text, "is not a mount", remedy=MOUNT_REMEDY)
    source = parts[0] if len(parts) > 1 else ""
    return {"source": source, "target": parts[min(1, len(parts) - 1)], "read_only": False, **fields}


def _one_of(*words: str) -> Callable[[Any, str], str]:
    return lambda value, option: Text(pattern="|".join(words), remedy="Write {}".format(", ".join(words))).parse(
        value, option
    )


def _mode(value: Any, option: str) -> int:
    # YAML reads an octal number that is not quoted as another one: 01777 is 1023.
    if not isinstance(value, str) or not re.fullmatch("[0-7]{1,5}", value, re.ASCII):
        raise InvalidOption(option, value, "is not octal, or not a text", remedy='Write it quoted, like "1777"')
    return int(value, 8)


def _texts(value: Any, option: str) -> dict[str, str]:
    if not isinstance(value, Mapping):
        raise InvalidOption(option, value, "is not a mapping", remedy="Write a mapping of texts")
    return Texts().parse(value, option)


_FIELDS: dict[str, Callable[[Any, str], Any]] = {
    "propagation": _one_of(*_PROPAGATIONS),
    "selinux": _one_of("z", "Z"),
    "no_copy": Flag().parse,
    "labels": _texts,
    "driver": Text(pattern=r"[a-z0-9][a-z0-9_./:-]*", remedy="Write local, or another driver's name").parse,
    "driver_options": _texts,
    "size": parse_size,
    "mode": _mode,
}
_SHOWN: dict[str, Callable[[Any], Any]] = {
    "size": format_size,
    "mode": "{:04o}".format,
    "driver_options": lambda options: {key: hide(text) for key, text in options.items()},
}


def _write_mount(target: str, record: Mapping[str, Any]) -> dict[str, Any]:
    return {"target": target, **{field: _SHOWN.get(field, _same)(value) for field, value in record.items()}}


def _same(value: Any) -> Any:
    return value


class _Mounts(Records):
    """What another type of mount had is nothing to the new one."""

    def merge_entry(self, want: Any, have: Any, exact: bool) -> Any:
        if want["type"] != have["type"]:
            return want
        # To want nothing of what there is nothing of is not a difference.
        merged = super().merge_entry(want, have, exact)
        return {field: value for field, value in merged.items() if value or field in _BASE or field in have}


MOUNTS = _Mounts(_read_mount, _write_mount)


def read_mounts(inspect: Mapping[str, Any]) -> dict[str, Any]:
    """All mounts that a container really has, anonymous volumes included; those of ``tmpfs`` are that option's."""
    host = inspect["HostConfig"]
    declared = {clean_path(mount["Target"]): _declared(mount) for mount in host.get("Mounts") or ()}
    declared.update((bind_target(bind), _bound(bind)) for bind in host.get("Binds") or ())
    found: dict[str, Any] = {}
    for mount in inspect.get("Mounts") or ():
        kind, target = mount.get("Type"), clean_path(str(mount.get("Destination")))
        said = declared.get(target, {})
        record: dict[str, Any] = {"type": kind, "read_only": not mount.get("RW", True)}
        if kind == "tmpfs":
            # The list of mounts calls a read-only tmpfs writable: the declaration knows.
            record["read_only"] = said.get("read_only", False)
        else:
            record["source"] = mount.get("Name") if kind == "volume" else clean_path(mount.get("Source") or "")
            if mount.get("Propagation"):
                record["propagation"] = mount["Propagation"]
        of_type = _OF_TYPE.get(str(kind), ())
        found[target] = {**{field: value for field, value in said.items() if field in of_type}, **record}
    for target, said in declared.items():
        if said["type"] == "tmpfs":
            found.setdefault(target, said)
    return found


def _declared(mount: Mapping[str, Any]) -> dict[str, Any]:
    """What a mount of HostConfig.Mounts says, but for its source and propagation."""
    tmpfs, volume = mount.get("TmpfsOptions") or {}, mount.get("VolumeOptions") or {}
    driver = volume.get("DriverConfig") or {}
    said = {
        "size": tmpfs.get("SizeBytes"),
        "mode": tmpfs.get("Mode"),
        "no_copy": volume.get("NoCopy"),
        "labels": volume.get("Labels"),
        "driver": driver.get("Name"),
        "driver_options": driver.get("Options"),
    }
    base = {"type": mount.get("Type"), "read_only": bool(mount.get("ReadOnly", False))}
    return {**base, **{field: value for field, value in said.items() if value}}


def bind_target(bind: str) -> str:
    """Where a mount of HostConfig.Binds leads to."""
    parts = bind.split(":")
    return clean_path(parts[min(1, len(parts) - 1)])


def _bound(bind: str) -> dict[str, Any]:
    """What a mount of HostConfig.Binds says, but for its source and propagation."""
    words = "".join(bind.split(":")[2:3]).split(",")
    said = {field: value for word in words for field, value in _WORDS.get(word, {}).items()}
    return {"type": "", **{field: said[field] for field in ("selinux", "no_copy") if field in said}}


def encode_mounts(value: Mapping[str, Any]) -> list[dict[str, Any]]:
    """HostConfig.Mounts: all but what is written in HostConfig.Binds."""
    return [_encode(target, record) for target, record in sorted(value.items()) if not record.get("selinux")]


def _encode(target: str, record: Mapping[str, Any]) -> dict[str, Any]:
    driver = {"Name": record.get("driver"), "Options": record.get("driver_options")}
    options = {
        "bind": ("BindOptions", {"Propagation": record.get("propagation")}),
        "tmpfs": ("TmpfsOptions", {"SizeBytes": record.get("size"), "Mode": record.get("mode")}),
        "volume": (
            "VolumeOptions",
            {"NoCopy": record.get("no_copy"), "Labels": record.get("labels"), "DriverConfig": _said(driver)},
        ),
    }
    mount: dict[str, Any] = {"Type": record["type"], "Target": target, "ReadOnly": record["read_only"]}
    if "source" in record:
        mount["Source"] = record["source"]
    key, values = options.get(record["type"], ("", {}))
    return {**mount, key: _said(values)} if _said(values) else mount


def _said(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None and value != {}}


def encode_binds(value: Mapping[str, Any]) -> list[str]:
    """HostConfig.Binds: what SELinux shall label, which can be said nowhere else."""
    found = []
    for target, record in sorted(value.items()):
        if record.get("selinux"):
            words = ["ro" if record["read_only"] else "rw", record["selinux"], record.get("propagation")]
            words += ["nocopy"] if record.get("no_copy") else []
            source = f"{record['source']}:" if record.get("source") else ""
            found.append(f"{source}{target}:{','.join(filter(None, words))}")
    return found


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
