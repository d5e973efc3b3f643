# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The features of a domain's processor by name, and on which processors of the host its threads run. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ....engine.kinds import Entries, Text
from .fields import CpuSet, word
from .model import Edit, View
from .xml import ET, Element, make

POLICY = word("require", "disable", "force", "optional", "forbid")
FEATURE = Text(pattern=r"[a-z0-9][a-z0-9_.-]*", remedy="Write a feature of libvirt's, like vmx")


class CpuFeatures(Entries):
    """Features of the processor by their names, each with what is wanted of it; yes and no stand for two of these."""

    def parse(self, value: Any, option: str) -> dict[str, str]:
        return {FEATURE.parse(key, option): self._policy(each, f"{option}[{key}]") for key, each in value.items()}

    def _policy(self, given: Any, option: str) -> str:
        if isinstance(given, bool):
            return "require" if given else "disable"
        return POLICY.parse(given, option)


CPU_FEATURES = CpuFeatures()


def read_cpu_features(root: Element) -> dict[str, str]:
    """What is said of each feature."""
    return {each.get("name", ""): each.get("policy") or "require" for each in root.findall("cpu/feature")}


def write_cpu_features(root: Element, before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    """Bring them to ``after``."""
    cpu = make(root, "cpu")
    there = {each.get("name"): each for each in cpu.findall("feature")}
    for name in set(before) - set(after):
        cpu.remove(there[name])
    for name, policy in after.items():
        element = there[name] if name in there else ET.SubElement(cpu, "feature", {"name": name})
        element.set("policy", policy)


def cpu_features_wait(live: Mapping[str, Any], stored: Mapping[str, Any], _view: View) -> Iterable[str]:
    """The live XML says what the processor came to, with all that it has: only what was told it can be compared."""
    told = {"require": "require", "force": "require", "disable": "disable", "forbid": "disable"}
    return [
        name
        for name in sorted(stored)
        if stored[name] in told and told.get(live.get(name, "disable")) != told[stored[name]]
    ]


#: By the element below cputune: the attribute with a thread's number, and how its key begins.
_PINS = {"vcpupin": ("vcpu", ""), "iothreadpin": ("iothread", "iothread"), "emulatorpin": ("", "emulator")}
PIN_PLACES = tuple(f"cputune/{tag}" for tag in _PINS)
THREAD = Text(
    pattern="[0-9]{1,4}|emulator|iothread[0-9]{1,4}",
    remedy="Write the number of a processor of the guest, emulator, or iothread1 and so on",
)


class Pinning(Entries):
    """By thread: the processors of the host that it runs on."""

    def parse(self, value: Any, option: str) -> dict[str, str]:
        kind = CpuSet()
        return {THREAD.parse(key, option): kind.parse(each, f"{option}[{key}]") for key, each in value.items()}


PINNING = Pinning()


def _pins(root: Element) -> dict[str, Element]:
    found = {}
    for tag, (attribute, begins) in _PINS.items():
        for each in root.findall(f"cputune/{tag}"):
            found[begins + (each.get(attribute, "") if attribute else "")] = each
    return found


def read_pinning(root: Element) -> dict[str, str]:
    """By thread."""
    return {key: each.get("cpuset", "") for key, each in _pins(root).items()}


def write_pinning(root: Element, before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    """Bring them to ``after``."""
    there, tune = _pins(root), make(root, "cputune")
    for key in set(before) - set(after):
        tune.remove(there[key])
    for key, cpus in after.items():
        if key not in there:
            there[key] = _new_pin(tune, key)
        there[key].set("cpuset", cpus)
    if not len(tune):
        root.remove(tune)


def _new_pin(tune: Element, key: str) -> Element:
    if key == "emulator":
        return ET.SubElement(tune, "emulatorpin")
    tag = "iothreadpin" if key.startswith("iothread") else "vcpupin"
    attribute, begins = _PINS[tag]
    return ET.SubElement(tune, tag, {attribute: key[len(begins) :]})


def pinning_hot(edit: Edit, _live: View) -> bool:
    """A thread that runs can be put elsewhere, and is let go by a restart."""
    return edit.after is not None
