# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a container shall be: where it differs from what is wanted, and the configuration and note that it gets. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...engine.compare import Difference, compared
from ...engine.spec import Spec
from .config import Config
from .container_limits import LIMITS
from .container_options import CONTAINERS, Container, ContainerOption


def differences(want: Spec, have: Container) -> list[Difference]:
    """All options that are set and are not so; a limit has to be written, and in effect while the container runs."""
    observed = {name: _observed(want, have, name) for name in want.values}
    return compared(CONTAINERS, want, observed)


def _observed(want: Spec, have: Container, name: str) -> Any:
    value = want.values[name]
    if name not in LIMITS:
        return CONTAINERS[name].read(have)
    written = have.limit(name, value, live=False)
    if not have.runs or CONTAINERS[name].kind.parts(value, written, name in want.purge):
        live = have.limit(name, value) if have.runs else written
        # Where neither is as it is wanted, what is in effect is what changes.
        return live if CONTAINERS[name].kind.parts(value, live, name in want.purge) else written
    return have.limit(name, value)


def limit_files(found: list[Difference], have: Container) -> dict[str, tuple[str, ...]]:
    """What to write into the control group for these differences, by file."""
    texts: dict[str, tuple[str, ...]] = {}
    values = limits_after(found, have)
    for each in found:
        if isinstance(each.option, ContainerOption) and each.option.limit is not None:
            limit = each.option.limit
            for file, lines in limit.encode(have.groups, each.value, values).items():
                texts[file] = lines or limit.reset(have.groups, file)
            if each.option.name == "io_limits":
                _free_devices(texts, have)
    return texts


def _free_devices(texts: dict[str, tuple[str, ...]], have: Container) -> None:
    """A device's limit goes away when it is set to none: its line alone says nothing of before."""
    for file in LIMITS["io_limits"].files(have.groups):
        for line in (line for text in have.live.get(file, ()) for line in text.split("\n") if line.strip()):
            device, *words = line.split()
            named = [each for each in texts.get(file, ()) if each.split()[0] == device]
            if have.groups.version == 1 and not named:
                texts[file] = (*texts.get(file, ()), "%s 0" % device)
            if have.groups.version == 2:
                given = {word.partition("=")[0] for each in named for word in each.split()[1:]}
                free = ["%s=max" % word.partition("=")[0] for word in words if word.partition("=")[0] not in given]
                texts[file] = (*texts.get(file, ()), *(["%s %s" % (device, " ".join(free))] if free else []))


def limits_after(found: list[Difference], have: Container) -> dict[str, Any]:
    """All limits as they will be."""
    values = {name: have.limit(name, live=False) for name in LIMITS}
    values.update({each.option.name: each.value for each in found if each.option.name in LIMITS})
    return values


def config_after(found: list[Difference], have: Container) -> Config:
    """The configuration with these differences made up for; every other line as it was."""
    config, values = have.config, limits_after(found, have)
    for each in found:
        option = each.option
        if not isinstance(option, ContainerOption):
            continue
        if option.limit is not None:
            files = option.limit.encode(have.groups, each.value, values)
            config = config.assigned({have.groups.prefix + file: lines for file, lines in files.items()})
        else:
            config = config.assigned(option.lines(each.value, config))
    return config


def note_after(found: list[Difference], have: Container) -> dict[str, Any]:
    """The note beside the configuration, likewise."""
    note = dict(have.note)
    for each in found:
        if isinstance(each.option, ContainerOption) and each.option.note:
            note[each.option.note] = each.value
    return note


def shown_creation(want: Spec) -> Mapping[str, Any]:
    """What a container is created with, as a user would write it."""
    shown = CONTAINERS.shown(want)
    steering = want.steering
    if steering.get("template"):
        shown["template"] = steering["template"]
    if steering.get("clone"):
        shown["clone"] = steering["clone"]["name"]
    return shown
