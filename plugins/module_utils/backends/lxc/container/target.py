# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a container shall be: where it differs from what is wanted, and the configuration and note that it gets.

Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ....engine.compare import Difference, between
from ....engine.spec import Spec
from .config import Config
from .limits import LIMITS
from .model import Container
from .options import CONTAINERS, OPTIONS, option_of


def differences(want: Spec, have: Container) -> list[Difference]:
    """All options that are set and are not so."""
    values = [(option, want.values[option.name]) for option in OPTIONS if option.name in want.values]
    found = (between(each, each.sides(have, value, each.name in want.purge)) for each, value in values)
    return [each for each in found if each is not None]


def limit_files(found: Sequence[Difference], have: Container) -> dict[str, tuple[str, ...]]:
    """What to write into the control group for these differences, by file."""
    texts: dict[str, tuple[str, ...]] = {}
    values = limits_after(found, have)
    for each in found:
        limit = option_of(each).limit
        if limit is not None:
            texts.update(limit.live(have.groups, each.value, values, have.live))
    return texts


def limits_after(found: Sequence[Difference], have: Container) -> dict[str, Any]:
    """All limits as they will be."""
    values = {name: have.limit(name, live=False) for name in LIMITS}
    values.update({each.option.name: each.value for each in found if option_of(each).limit})
    return values


def config_after(found: Sequence[Difference], have: Container) -> Config:
    """The configuration with these differences made up for; every other line as it was."""
    config, values = have.config, limits_after(found, have)
    for each in found:
        option = option_of(each)
        if option.limit is not None:
            files = option.limit.encode(have.groups, each.value, values)
            config = config.assigned({have.groups.prefix + file: lines for file, lines in files.items()})
        elif option.lines is not None:
            config = config.assigned(option.lines(each.value, config))
    return config


def note_after(found: Sequence[Difference], have: Container) -> dict[str, Any]:
    """The note beside the configuration, likewise."""
    return {**have.note, **{option_of(each).note: each.value for each in found if option_of(each).note}}


def shown_creation(want: Spec) -> Mapping[str, Any]:
    """What a container is created with, as a user would write it."""
    shown = CONTAINERS.shown(want)
    steering = want.steering
    if steering.get("template"):
        shown["template"] = steering["template"]
    if steering.get("clone"):
        shown["clone"] = steering["clone"]["name"]
    return shown
