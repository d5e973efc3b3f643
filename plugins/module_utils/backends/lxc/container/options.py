# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The options of a container, one on a line: kind, reading, the configuration lines that it stands for, and what a
change costs. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ....engine.action import Disruption
from ....engine.compare import Difference, Sides
from ....engine.errors import InvalidOption, Unreadable
from ....engine.kinds import Flag, Integer, Kind, Members, Text, Texts
from ....engine.reading import as_mapping, as_text, as_texts
from ....engine.spec import Option, Table, name_check
from .arguments import complete_image, device
from .config import Config
from .kinds import (
    Capability,
    ConfigKeys,
    Idmap,
    Image,
    ImageKind,
    Mounts,
    Networks,
    check_text,
    net_names,
    read_mounts,
    read_networks,
    write_mounts,
    write_networks,
)
from .limits import LIMITS, Groups, Limit, WeightLimit
from .model import Container

NONE, LIVE, RESTART, RECREATE = Disruption.NONE, Disruption.LIVE, Disruption.RESTART, Disruption.RECREATE
#: What a directory or volume is called where a root file system stands, by the word before the colon.
STORAGES = ("dir", "overlay", "btrfs", "zfs", "lvm", "loop")
#: For how long a stop is patient unless the task says otherwise.
STOP_SECONDS = 30


#: Lines for the configuration: each key with its whole list of values, none to take it away.
Lines = dict[str, tuple[str, ...]]


@dataclass(frozen=True)
class ContainerOption(Option):
    """An option with the lines that a value of it stands for in a configuration; a limit says all of that itself,
    and how it changes live.
    """

    lines: Callable[[Any, Config], Lines] | None = None
    limit: Limit | None = None
    #: Its place in the note beside the configuration, for what liblxc has no key for.
    note: str = ""
    #: Which keys of a configuration are this option's.
    keys: str = ""
    #: Whether only another container can have another value, not even one with another root file system.
    fixed: bool = False

    def sides(self, have: Container, value: Any, exact: bool) -> Sides:
        """Both sides of a comparison. A limit has to be written, and in effect while the container runs."""
        if self.limit is None:
            return Sides(value, self.read(have), exact)
        written = have.limit(self.name, value, live=False)
        live = have.limit(self.name, value) if have.runs else written
        # Where neither is as it is wanted, what is in effect is what changes.
        amiss = self.kind.parts(value, written, exact) and not self.kind.parts(value, live, exact)
        return Sides(value, written if amiss else live, exact)


def _one(
    name: str,
    kind: Kind,
    key: str,
    change: Disruption,
    read: Callable[[Config], Any],
    write: Callable[[Any], str] = str,
) -> ContainerOption:
    """An option that is one key."""
    return ContainerOption(
        name,
        kind,
        lambda have: read(have.config),
        change,
        lambda value, config: {key: (write(value),)},
        keys=re.escape(key),
    )


def _number(name: str, key: str) -> ContainerOption:
    def read(config: Config) -> int:
        text = config.get(key, "0")
        return int(text) if re.fullmatch(r"-?\d+", text, re.ASCII) else 0

    return _one(name, Integer(), key, NONE, read)


def _members(name: str, kind: Kind, key: str, change: Disruption) -> ContainerOption:
    """A list whose order does not count for the user; in the file what is there keeps its place."""

    def lines(value: frozenset[str], config: Config) -> Lines:
        have = list(dict.fromkeys(config.values.get(key, ())))
        return {key: (*(word for word in have if word in value), *sorted(value - set(have)))}

    return ContainerOption(
        name, Members(kind), lambda have: frozenset(have.config.values.get(key, ())), change, lines, keys=re.escape(key)
    )


def _limit(name: str) -> ContainerOption:
    limit = LIMITS[name]
    # Of a weight, the file has a number that stands for many.
    note = name if isinstance(limit, WeightLimit) else ""
    return ContainerOption(name, limit.kind, lambda have: have.limit(name), LIVE, limit=limit, note=note)


def _idmap(value: tuple[str, ...], _config: Config) -> Lines:
    return {"lxc.idmap": value}


def _image(have: Container) -> Image | None:
    if have.unread_note:
        why = f"what it was made from is not known: {have.unread_note}"
        raise Unreadable(why, remedy="Mend or remove that file, or leave the option image out")
    kept = as_mapping(have.note.get("image"))
    return Image(str(kept["checksum"]), str(kept.get("path", ""))) if kept.get("checksum") else None


def storage_of(config: Config) -> str:
    """The kind of storage that the root file system is on."""
    word, colon, _rest = config.get("lxc.rootfs.path").partition(":")
    word = {"overlayfs": "overlay"}.get(word, word)
    if colon and word in STORAGES:
        return word
    return "lvm" if word.startswith("/dev/") else "dir"


HOSTNAME = Text(
    pattern=r"[A-Za-z0-9]([A-Za-z0-9.-]{0,62}[A-Za-z0-9])?", remedy="Write letters, digits, dots and dashes, 64 at most"
)

OPTIONS: tuple[ContainerOption, ...] = (
    ContainerOption("image", ImageKind(), _image, RECREATE),
    ContainerOption("storage", Text(choices=STORAGES), lambda have: storage_of(have.config), RECREATE, fixed=True),
    ContainerOption(
        "idmap", Idmap(), lambda have: have.config.values.get("lxc.idmap", ()), RECREATE, _idmap, keys=r"lxc\.idmap"
    ),
    ContainerOption(
        "config", ConfigKeys(), lambda have: have.config.values, RESTART, lambda value, config: dict(value)
    ),
    _one("hostname", HOSTNAME, "lxc.uts.name", RESTART, lambda config: config.get("lxc.uts.name")),
    ContainerOption(
        "networks", Networks(), lambda have: read_networks(have.config), RESTART, write_networks, keys=r"lxc\.net\..*"
    ),
    ContainerOption(
        "mounts", Mounts(), lambda have: read_mounts(have.config), RESTART, write_mounts, keys=r"lxc\.mount\.entry"
    ),
    _members("cap_drop", Capability(), "lxc.cap.drop", RESTART),
    _members("cap_keep", Capability(), "lxc.cap.keep", RESTART),
    *(_limit(name) for name in LIMITS),
    _one(
        "autostart",
        Flag(),
        "lxc.start.auto",
        NONE,
        lambda config: config.get("lxc.start.auto") == "1",
        lambda value: str(int(value)),
    ),
    _number("autostart_order", "lxc.start.order"),
    _number("autostart_delay", "lxc.start.delay"),
    _members(
        "autostart_groups",
        Text(pattern=r"[A-Za-z0-9_.-]+", remedy="Write letters, digits, dots, dashes and underscores"),
        "lxc.group",
        NONE,
    ),
    ContainerOption("labels", Texts(), lambda have: as_texts(have.note.get("labels")), NONE, note="labels"),
    ContainerOption(
        "description", Text(), lambda have: as_text(have.note.get("description")), NONE, note="description"
    ),
)


_BY_NAME = {option.name: option for option in OPTIONS}


def option_named(name: str) -> ContainerOption:
    """An option by its name, with all that its line says."""
    return _BY_NAME[name]


def option_of(change: Difference) -> ContainerOption:
    """The option of a difference, with all that its line says."""
    return _BY_NAME[change.option.name]


def limit_of(key: str, groups: Groups) -> str:
    """The limit that a configuration key is a part of; empty where it is of none."""
    if not key.startswith(groups.prefix):
        return ""
    file = key[len(groups.prefix) :]
    return next((name for name, limit in LIMITS.items() if file in limit.files(groups)), "")


def option_keys(key: str, config: Config) -> str:
    """What a configuration key is called in a task: the option that it is, or config[KEY]."""
    if key == "lxc.net" or key.startswith("lxc.net."):
        number = (key.split(".") + [""])[2] if key != "lxc.net" else ""
        name = next((name for name, each in net_names(config).items() if str(each) == number), "")
        return f"networks[{name}]" if name else "networks"
    for option in OPTIONS:
        if option.keys and re.fullmatch(option.keys, key):
            return option.name
    return f"config[{key}]"


#: What liblxc, a host name, a control group and a path can all take.
check_name = name_check(
    r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,99}",
    "a container",
    "Use up to 100 letters, digits, dots, dashes and underscores, a letter or digit first",
)


def complete(parameters: Mapping[str, Any]) -> Mapping[str, Any]:
    """Read what the task names on this host, and refuse what cannot go together."""
    completed = dict(parameters)
    ways = [way for way in ("image", "template", "clone") if parameters.get(way)]
    if len(ways) > 1:
        raise InvalidOption(
            ways[1],
            parameters[ways[1]],
            f"cannot be combined with {ways[0]}",
            remedy="A container is made in one of these ways",
        )
    if parameters.get("state") == "absent":
        completed.pop("image", None)
    elif parameters.get("image") is not None:
        completed["image"] = complete_image(parameters["image"])
    if parameters.get("io_limits"):
        completed["io_limits"] = [device(entry) for entry in parameters["io_limits"]]
    if parameters.get("config"):
        for option in OPTIONS:
            for key in parameters["config"]:
                if option.keys and parameters.get(option.name) is not None and re.fullmatch(option.keys, str(key)):
                    raise InvalidOption(
                        f"config[{key}]",
                        parameters["config"][key],
                        f"is what {option.name} sets",
                        remedy="Set one of the two",
                    )
    if parameters.get("template"):
        check_template(str(parameters["template"]), parameters.get("template_options"))
    if parameters.get("clone"):
        check_name(str(parameters["clone"]["name"]))
    if (parameters.get("stop_timeout") or 0) < 0:
        raise InvalidOption(
            "stop_timeout", parameters["stop_timeout"], "must be 0 seconds or more", remedy="Write 0 or more seconds"
        )
    return completed


def check_template(name: str, options: Any) -> None:
    """A template's name, or its path."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*|/[A-Za-z0-9_./+-]+", name, re.ASCII) or ".." in name:
        raise InvalidOption(
            "template", name, "is not a template", remedy="Write its name, like download, or its absolute path"
        )
    template_arguments(options)


def template_arguments(options: Any) -> list[str]:
    """A template's own options: words as they are, or a mapping whose keys are long options (a true flag has no
    value).
    """
    if options is None:
        return []
    if isinstance(options, (list, tuple)):
        return [check_text(word, "template_options") for word in options]
    if not isinstance(options, Mapping):
        raise InvalidOption(
            "template_options",
            options,
            "is neither a list nor a mapping",
            remedy="Write {dist: debian, release: bookworm, arch: amd64}",
        )
    words: list[str] = []
    for key, value in options.items():
        if not re.fullmatch(r"[a-z0-9][a-z0-9-]*", str(key), re.ASCII):
            raise InvalidOption(
                "template_options", key, "is not an option's name", remedy="Write it without the dashes before it"
            )
        if value is not False and value is not None:
            words += ["--" + str(key)] + ([] if value is True else [check_text(value, f"template_options[{key}]")])
    return words


STORAGE_OPTIONS: dict[str, Any] = {
    "size": {"type": "str"},
    "filesystem": {"type": "str"},
    "vg": {"type": "str"},
    "lv": {"type": "str"},
    "thin_pool": {"type": "str"},
    "zfs_root": {"type": "str"},
}

CONTAINERS = Table(
    backend="lxc",
    kind="container",
    options=OPTIONS,
    waits=("none", "running", "address"),
    steering={
        "template": {"type": "str"},
        "template_options": {"type": "raw"},
        "clone": {
            "type": "dict",
            "options": {
                "name": {"type": "str", "required": True},
                "lxc_path": {"type": "path"},
                "snapshot": {"type": "bool", "default": False},
            },
        },
        "storage_options": {"type": "dict", "options": STORAGE_OPTIONS},
        "stop_timeout": {"type": "int", "default": STOP_SECONDS},
        "remove_storage": {"type": "bool", "default": False},
    },
    complete=complete,
    check_name=check_name,
)
