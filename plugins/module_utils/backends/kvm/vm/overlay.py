# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Overlays: a part of a domain's XML as a user writes it. Pure.

Which element of the domain one of an overlay means, when it is added and when the one that is there changes, and when
two values are the same. The guide has the same rules for users.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from ....engine.errors import InvalidOption
from ..xml import parse_foreign, size_of
from .xml import Element, copied, get

_ADDRESS = tuple(
    f"source/address@{part}" for part in ("domain", "bus", "slot", "function", "device", "target", "unit", "uuid")
)
#: What tells an element from its brothers of the same name, by that name or, where it has several meanings, with the
#: parent's before it. What an element of an overlay does not say is not looked at. An element that is not here is
#: found by its number. From libvirt's schema (domaincommon.rng and cputypes.rng of 9.0 to 12.8): all that it lets repeat.
IDENTITY: dict[str, tuple[str, ...]] = {
    # Devices.
    "disk": ("target@dev",),
    "interface": ("mac@address",),
    "filesystem": ("target@dir",),
    "controller": ("@type", "@index"),
    "hostdev": (
        *("@mode", "@type", *_ADDRESS, "source/adapter@name", "source/vendor@id", "source/product@id"),
        *("source/block", "source/char", "source/interface"),
    ),
    "lease": ("lockspace", "key"),
    "serial": ("target@port",),
    "parallel": ("target@port",),
    "console": ("target@type",),
    "channel": ("target@name", "target@address", "target@port"),
    "shmem": ("@name",),
    "graphics": ("@type",),
    "graphics/channel": ("@name",),
    "input": ("@type", "@bus"),
    "hub": ("@type",),
    "redirdev": ("@bus",),
    "audio": ("@id",),
    "codec": ("@type",),
    "panic": ("@model",),
    "devices/memory": ("address@slot",),
    # In devices.
    "parameter": ("@name",),
    "tag": ("@id",),
    "ip": ("@address",),
    "route": ("@address", "@prefix"),
    "portForward": ("@proto", "@address", "@dev"),
    "portForward/range": ("@start",),
    "cookie": ("@name",),
    "slice": ("@type",),
    "source/host": ("@name", "@port", "@socket"),
    "throttlegroup": ("group_name",),
    "iothread/queue": ("@id",),
    "statistic": ("@interval",),
    "latency-histogram": ("@type",),
    "latency-histogram/bin": ("@start",),
    # The system.
    "table": ("@type",),
    "feature": ("@name",),
    "sysinfo": ("@type",),
    "entry": ("@name",),
    "timer": ("@name",),
    "seclabel": ("@model",),
    "cipher": ("@name",),
    "event": ("@name",),
    "idmap/uid": ("@start",),
    "idmap/gid": ("@start",),
    # Processors, memory and threads.
    "numa/cell": ("@id",),
    "sibling": ("@id",),
    "cell/cache": ("@level",),
    "latency": ("@initiator", "@target", "@cache", "@type"),
    "interconnects/bandwidth": ("@initiator", "@target", "@cache", "@type"),
    "vcpus/vcpu": ("@id",),
    "vcpupin": ("@vcpu",),
    "vcpusched": ("@vcpus",),
    "iothread": ("@id",),
    "iothreadpin": ("@iothread",),
    "iothreadsched": ("@iothreads",),
    "cachetune": ("@vcpus",),
    "memorytune": ("@vcpus",),
    "energytune": ("@vcpus",),
    "memorytune/node": ("@id",),
    "cachetune/cache": ("@id", "@level", "@type"),
    "monitor": ("@level", "@vcpus"),
    "memnode": ("@cellid",),
    "page": ("@size",),
    "blkiotune/device": ("path",),
    # QEMU's own.
    "env": ("@name",),
    "initenv": ("@name",),
    "override/device": ("@alias",),
    "property": ("@name",),
    "add": ("@capability",),
    "del": ("@capability",),
}
#: Elements whose order means something: those of an overlay are all that there shall be.
LISTS = frozenset(["os/boot", "os/initarg", "oemStrings/entry", "redirfilter/usbdev", "throttlefilters/throttlefilter"])
#: The same among those of others: they are looked for as they follow each other, and added together.
RUNS = frozenset(["commandline/arg"])

#: Numbers that libvirt takes, and writes, with leading zeros.
_PADDED = frozenset(["domain", "bus", "slot", "function", "reg", "iobase"])
_CPU_SETS = frozenset(["cpuset", "cpus", "vcpus", "iothreads", "nodeset", "nodemask"])
#: Attributes that hold a size, or a rate, whose unit is beside them.
_SIZED = frozenset(["memory", "size", "value"])
#: What libvirt keeps in whole KiB, whatever it was written in, and reads as KiB where there is no unit.
_KEPT_IN_KIB = frozenset(
    [
        *("memory", "currentMemory", "maxMemory", "cell", "page"),
        *("hard_limit", "soft_limit", "swap_hard_limit", "min_guarantee"),
    ]
)
#: Attributes in which capital letters mean nothing.
_FOLDED = frozenset(["address", "uuid"])
_FREE_TEXT = frozenset(["name", "value"])


def read_overlay(text: str, option: str = "xml") -> Element:
    """The tree of an overlay. Raises InvalidOption for what is no XML, or no part of a domain."""
    remedy = "Write <domain> with the elements to set inside, as in libvirt's documentation of the domain XML"
    root = parse_foreign(text, option)
    if root.tag != "domain":
        raise InvalidOption(option, f"<{root.tag}>", "is not a <domain>", remedy=remedy)
    for own in ("name", "uuid"):
        if root.find(own) is not None:
            raise InvalidOption(option, f"<{own}>", "names the domain", remedy="Use the options for that")
    return root


def is_run(path: str) -> bool:
    """Whether the value at an overlay's path is a run of arguments."""
    return "/".join(map(_local, re.findall(r"(?:\{[^}]*\})?[^/{]+", path)[-2:])) in RUNS


def _local(tag: str) -> str:
    return tag.rpartition("}")[2]


def _kind(parent: Element, child: Element) -> str:
    return f"{_local(parent.tag)}/{_local(child.tag)}"


def _identity(parent: Element, element: Element) -> dict[str, str]:
    """What an element says of what tells it from others."""
    places = IDENTITY.get(_kind(parent, element), IDENTITY.get(_local(element.tag), ()))
    return {place: text for place in places for text in [_value_at(element, place)] if text}


def _value_at(element: Element, place: str) -> str:
    """What stands at a place, in its one form; empty where nothing does."""
    path, _at, attribute = place.partition("@")
    holder = element.find(path) if path else element
    if holder is None:
        return ""
    return _attribute(holder, attribute) if attribute else (holder.text or "").strip()


def _matched(wanted: Element, have: Element | None) -> Iterator[tuple[str, Element, Element | None]]:
    """Each child of an overlay's element that is none of a sequence: its step in paths, itself, and what it means
    there; None for what is to be added.

    An element that says what tells it from others means one that has that; the second that says the same means the
    second of these. Who says most of it chooses first.
    """
    children = [child for child in wanted if _kind(wanted, child) not in LISTS | RUNS]
    said = [_identity(wanted, child) for child in children]
    left = list(have) if have is not None else []
    found: dict[int, Element] = {}
    for number in sorted(range(len(children)), key=lambda each: -len(said[each])):
        for there in left:
            if there.tag == children[number].tag and all(
                _value_at(there, place) == text for place, text in said[number].items()
            ):
                found[number] = there
                left.remove(there)
                break
    count: dict[str, int] = {}
    for number, child in enumerate(children):
        name = "{}[{}]".format(child.tag, ",".join(said[number].values())) if said[number] else child.tag
        count[name] = count.get(name, 0) + 1
        yield name if count[name] == 1 else "%s#%d" % (name, count[name]), child, found.get(number)


def _sequences(wanted: Element) -> Iterator[tuple[str, bool, list[Element]]]:
    """The sequences among the children of an overlay's element: the tag, whether it is a run, and the elements."""
    for tag in dict.fromkeys(child.tag for child in wanted):
        elements = wanted.findall(tag)
        kind = _kind(wanted, elements[0])
        if kind in LISTS | RUNS:
            yield tag, kind in RUNS, elements


def _shown(elements: Sequence[Element]) -> str:
    """A sequence as one value."""
    return ", ".join(
        " ".join(
            [
                (_attribute(each, key) if len(each.attrib) == 1 else f"{key}={_attribute(each, key)}")
                for key in sorted(each.attrib)
            ]
            + ([(each.text or "").strip()] if (each.text or "").strip() else [])
        )
        for each in elements
    )


def _run_in(wanted: Sequence[Element], there: Sequence[Element]) -> bool:
    """Whether elements follow each other somewhere among those that are there."""
    texts, among = ([_shown([each]) for each in side] for side in (wanted, there))
    return any(among[start : start + len(texts)] == texts for start in range(len(among) - len(texts) + 1))


def _sequence_seen(tag: str, run: bool, wanted: Sequence[Element], have: Element | None) -> str | None:
    """What of a sequence is there."""
    there = have.findall(tag) if have is not None else []
    if run:
        return _shown(wanted) if _run_in(wanted, there) else None
    return _shown(there) if there else None


def _leaves(wanted: Element, path: str, have: Element | None) -> Iterator[tuple[str, str, str | None]]:
    """Each value of an overlay: its path, itself, and what stands there."""
    for key in wanted.attrib:
        if key == "unit" and _local(wanted.tag) != "address":
            continue
        there = _attribute(_like(wanted, have), key) if have is not None and key in have.attrib else None
        yield f"{path}@{key}", _attribute(wanted, key), there
    text = (wanted.text or "").strip()
    if text and not len(wanted):
        yield path, _text(wanted), None if have is None else _text(_like(wanted, have))
    elif not wanted.attrib and not len(wanted):
        yield path, "", None if have is None else ""
    for tag, run, elements in _sequences(wanted):
        yield f"{path}/{tag}" if path else tag, _shown(elements), _sequence_seen(tag, run, elements, have)
    for step, child, same in _matched(wanted, have):
        yield from _leaves(child, f"{path}/{step}" if path else step, same)


def _like(wanted: Element, have: Element) -> Element:
    """What is there, without a unit where none is wanted: it is the one that libvirt adds."""
    if "unit" in wanted.attrib or "unit" not in have.attrib or _local(have.tag) == "address":
        return have
    alike = Element(have.tag, {key: value for key, value in have.attrib.items() if key != "unit"})
    alike.text = have.text
    return alike


def _text(element: Element) -> str:
    """An element's text, in its one form."""
    text = (element.text or "").strip()
    tag = _local(element.tag)
    if tag in _CPU_SETS:
        return _cpu_set(text)
    return _size(tag, text, element.get("unit"))


def _attribute(element: Element, key: str) -> str:
    """An attribute, in its one form."""
    text, tag = (element.get(key) or "").strip(), _local(element.tag)
    if key in _CPU_SETS:
        return _cpu_set(text)
    if key in _SIZED and (element.get("unit") or tag in _KEPT_IN_KIB):
        return _size(tag, text, element.get("unit"))
    if key in _FREE_TEXT:
        return text
    if re.fullmatch("0[xX][0-9a-fA-F]+", text):
        return str(int(text, 16))
    if key in _PADDED and text.isdigit():
        return str(int(text))
    return text.lower() if key in _FOLDED else text


def _size(tag: str, text: str, unit: str | None) -> str:
    """A size in bytes; what is none as it stands."""
    if not (text.isdigit() and (unit or tag in _KEPT_IN_KIB)):
        return text
    sized = Element(tag, {"unit": unit or "KiB"})
    sized.text = text
    try:
        size = size_of(sized) or 0
    except KeyError:
        # Libvirt says itself that there is no such unit.
        return f"{text} {unit}"
    return "%dB" % (-(-size // 1024) * 1024 if tag in _KEPT_IN_KIB else size)


def numbers_of(text: str) -> set[int] | None:
    """The members of a set like 0-3,^2,7; None for what is none."""
    members: set[int] = set()
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\^?)([0-9]{1,5})(?:-([0-9]{1,5}))?\s*", part)
        if match is None:
            return None
        first, last = int(match[2]), int(match[3] or match[2])
        # Libvirt reads from left to right as well: what is taken out was put in before.
        members = members - {first} if match[1] else members | {*range(first, last + 1)}
    return members


def _cpu_set(text: str) -> str:
    """A set of numbers as libvirt writes it, 0-3,7; what is none as it stands."""
    members = numbers_of(text)
    if members is None:
        return text
    numbers = sorted(members)
    starts = [each for each in numbers if each - 1 not in members]
    ends = [each for each in numbers if each + 1 not in members]
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in zip(starts, ends))


def overlay_values(wanted: Element) -> dict[str, str]:
    """An overlay as values by their paths."""
    return {path: value for path, value, _have in _leaves(wanted, "", None)}


def overlay_disks(wanted: Element) -> dict[str, str]:
    """The targets of the disks that an overlay's values are about, by the paths of the values."""
    return {
        path: get(device, "target@dev") or ""
        for place, devices, _none in _matched(wanted, None)
        for step, device, _none in _matched(devices, None)
        if place == "devices" and device.tag == "disk"
        for path, _value, _have in _leaves(device, f"{place}/{step}", None)
    }


def overlay_seen(wanted: Element, have: Element) -> dict[str, str]:
    """What a domain has at the places of an overlay."""
    return {path: there for path, _value, there in _leaves(wanted, "", have) if there is not None}


def lay_over(wanted: Element, have: Element) -> None:
    """Write an overlay into a domain's tree; what it does not name stays."""
    have.attrib.update(wanted.attrib)
    text = (wanted.text or "").strip()
    if text and not len(wanted):
        have.text = text
    matched = list(_matched(wanted, have))
    for tag, run, elements in _sequences(wanted):
        if run and _run_in(elements, have.findall(tag)):
            continue
        old = [] if run else have.findall(tag)
        place = list(have).index(old[0]) if old else None
        for each in old:
            have.remove(each)
        _add(have, tag, elements, place)
    for _step, child, found in matched:
        if found is None:
            _add(have, child.tag, [child])
        else:
            lay_over(child, found)


def _add(have: Element, tag: str, elements: Sequence[Element], place: int | None = None) -> None:
    """Add elements at a place, or behind those of their name."""
    if place is None:
        place = max((number + 1 for number, each in enumerate(have) if each.tag == tag), default=len(have))
    for offset, each in enumerate(elements):
        have.insert(place + offset, copied(each))
