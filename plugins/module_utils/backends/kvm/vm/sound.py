# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A domain's sound cards, and where on the host their sound goes. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ....engine.errors import InvalidOption
from ....engine.kinds import Integer
from .devices import add, devices, remove
from .fields import DeviceSet, Field, parse_fields, read_fields, word, write_fields
from .xml import Element, put

MODELS = ("ac97", "es1370", "ich6", "ich7", "ich9", "pcspk", "sb16", "usb", "virtio")
SOUND_FIELDS = (Field("audio", Integer(1, 2**31 - 1), "audio@id"),)
AUDIO_FIELDS = (
    Field(
        "type",
        word("none", "alsa", "coreaudio", "dbus", "file", "jack", "oss", "pipewire", "pulseaudio", "sdl", "spice"),
        "@type",
    ),
)


def _read_sound(entry: Any, option: str) -> tuple[str, dict[str, Any]]:
    fields = {"model": entry} if isinstance(entry, str) else entry
    model = str(fields.get("model") or "") if isinstance(fields, Mapping) else ""
    if model not in MODELS:
        raise InvalidOption(option, model or entry, "is not a sound card", remedy="Write one of: " + ", ".join(MODELS))
    return model, parse_fields(SOUND_FIELDS, fields, f"{option}[{model}]", more=("model",))


SOUND = DeviceSet(SOUND_FIELDS, _read_sound, "model", {"elements": "raw"})


def read_sound(root: Element) -> dict[str, dict[str, Any]]:
    """By model."""
    return {each.get("model", ""): read_fields(SOUND_FIELDS, each) for each in devices(root, "sound")}


def write_sound(root: Element, before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    """Bring them to ``after``."""
    for gone in devices(root, "sound"):
        if gone.get("model") in set(before) - set(after):
            remove(root, gone)
    there = {each.get("model"): each for each in devices(root, "sound")}
    for model, record in after.items():
        card = there[model] if model in there else add(root, "sound", model=model)
        write_fields(SOUND_FIELDS, card, record, before.get(model, {}))


def _read_audio(entry: Any, option: str) -> tuple[str, dict[str, Any]]:
    fields = {"type": entry} if isinstance(entry, str) else entry
    if not isinstance(fields, Mapping):
        raise InvalidOption(
            option, entry, "does not say where the sound goes", remedy="Write a type like spice, or a mapping with it"
        )
    key = str(fields.get("id") or 1)
    if not key.isdigit():
        raise InvalidOption(option, key, "is not a number", remedy="Write an id like 1")
    return key, parse_fields(AUDIO_FIELDS, fields, f"{option}[{key}]", more=("id",))


class Audio(DeviceSet):
    """Where sound goes, by number."""

    def show_entry(self, key: str, value: Any) -> Any:
        return {**super().show_entry(key, value), "id": int(key)}


AUDIO = Audio(AUDIO_FIELDS, _read_audio, "id", {"elements": "raw"}, lambda _id, record: "type" not in record)


def read_audio(root: Element) -> dict[str, dict[str, Any]]:
    """By number."""
    return {each.get("id", ""): read_fields(AUDIO_FIELDS, each) for each in devices(root, "audio")}


def write_audio(root: Element, before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    """Bring them to ``after``. What was said of the old kind goes with it."""
    for old in devices(root, "audio"):
        number = old.get("id", "")
        if after.get(number) != before.get(number):
            remove(root, old)
    for number, record in after.items():
        if record != before.get(number):
            put(add(root, "audio", id=number), "@type", record["type"])
