# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The options of a virtual machine that are more than one place in its XML: how each is read and written. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from ....engine.errors import InvalidOption
from ....engine.kinds import Integer, Size, Text, Texts
from ....engine.secrets import HIDDEN
from ..xml import NAMESPACE
from .fields import Field, set_waits, word, write_fields
from .model import GUEST, View, differing
from .overlay import is_run, overlay_disks, overlay_values, read_overlay
from .xml import ET, Element, drop, get, make, put, put_size, size_of

MIB = 1024**2
LABEL = f"{{{NAMESPACE}}}label"


def read_cpus(view: View) -> int:
    """The processors that are online."""
    return int(get(view.root, "vcpu@current") or get(view.root, "vcpu") or 1)


def read_cpus_max(view: View) -> int:
    """The most there can be."""
    return int(get(view.root, "vcpu") or 1)


def write_cpus(root: Element, _before: Any, after: int) -> None:
    """Online processors; the maximum rises with them."""
    if int(get(root, "vcpu") or 1) < after:
        put(root, "vcpu", str(after))
    put(root, "vcpu@current", str(after))
    fold_current(root)


def write_cpus_max(root: Element, _before: Any, after: int) -> None:
    """The most there can be."""
    now = int(get(root, "vcpu@current") or get(root, "vcpu") or 1)
    put(root, "vcpu", str(after))
    put(root, "vcpu@current", str(min(now, after)))
    fold_current(root)


def fold_current(root: Element) -> None:
    """Libvirt leaves out what says the same as the maximum."""
    states = root.find("vcpus")
    if states is not None:
        _put_online(states, int(get(root, "vcpu@current") or get(root, "vcpu") or 1), int(get(root, "vcpu") or 1))
    if get(root, "vcpu@current") == get(root, "vcpu"):
        put(root, "vcpu@current", None)


def _put_online(states: Element, online: int, most: int) -> None:
    """Bring so many of the processors online whose states are written down, the lowest first; those that came last go
    first.
    """
    there = {number_of(each, "id"): each for each in states}
    for number in set(there) - set(range(most)):
        states.remove(there.pop(number))
    for number in sorted(set(range(most)) - set(there)):
        there[number] = ET.SubElement(states, "vcpu", {"id": str(number), "enabled": "no", "hotpluggable": "yes"})
    on = sorted(
        (each for each in there.values() if each.get("enabled") == "yes"),
        key=lambda each: (number_of(each, "order"), number_of(each, "id")),
    )
    off = [there[number] for number in sorted(there) if there[number] not in on]
    for each in on[online:]:
        each.set("enabled", "no")
        each.set("hotpluggable", "yes")
        each.attrib.pop("order", None)
    last = max((number_of(each, "order") for each in on), default=0)
    for place, each in enumerate(off[: max(online - len(on), 0)], 1):
        each.set("enabled", "yes")
        if last:
            each.set("order", str(last + place))


def number_of(element: Element, attribute: str) -> int:
    """An attribute that is a number; 0 for none."""
    text = element.get(attribute, "")
    return int(text) if text.isdigit() else 0


def read_memory(view: View) -> int | None:
    """What the balloon leaves the guest, or shall leave it."""
    size = size_of(view.root.find("currentMemory"))
    return whole_mib(size) if size else read_memory_max(view)


def read_memory_max(view: View) -> int | None:
    """The most there can be."""
    size = size_of(view.root.find("memory"))
    return None if size is None else whole_mib(size)


def whole_mib(size: int) -> int:
    """So many bytes, or the next MiB."""
    return -(-size // MIB) * MIB


def write_memory(root: Element, _before: Any, after: int) -> None:
    """What the balloon shall leave it; the maximum rises with it."""
    if (size_of(root.find("memory")) or 0) < after:
        put_size(root, "memory", after)
    put_size(root, "currentMemory", after)


def memory_waits(live: Any, stored: Any, view: View) -> Iterable[str]:
    """A guest that runs has been told of memory that it can have, and follows in its own time."""
    return [] if (stored or 0) <= (read_memory_max(view) or 0) else differing(live, stored, view)


def write_memory_max(root: Element, _before: Any, after: int) -> None:
    """The most there can be."""
    put_size(root, "memory", after)
    if (size_of(root.find("currentMemory")) or 0) > after:
        put_size(root, "currentMemory", after)


class Memory(Size):
    """Memory, in whole MiB: libvirt keeps KiB, and gives a guest that starts the next MiB."""

    def __init__(self) -> None:
        super().__init__(least=MIB, bare=16 * MIB)

    def parse(self, value: Any, option: str) -> int:
        size = super().parse(value, option)
        if not size:
            raise InvalidOption(option, value, "is no memory", remedy="Write 1MiB or more")
        if size > 1 << 52:
            raise InvalidOption(option, value, "is more memory than any host has", remedy="Write a size like 2GiB")
        return whole_mib(size)


#: The short names of machines, and how what libvirt makes of them begins.
_ALIASES = {
    "q35": "pc-q35-",
    "pc": "pc-i440fx-",
    "virt": "virt-",
    "pseries": "pseries-",
    "s390-ccw-virtio": "s390-ccw-virtio-",
}


def same_machine(want: str, have: str | None) -> bool:
    """Whether a domain's machine is what a name or alias means; libvirt keeps the version that an alias stood for."""
    return want == have or bool(have and want in _ALIASES and have.startswith(_ALIASES[want]))


def write_machine(root: Element, before: Any, after: str) -> None:
    """Another machine; one of another kind has other buses."""
    put(root, "os/type@machine", after)
    if (
        before
        and before.partition("-")[0] != after.partition("-")[0]
        or same_machine("q35", before) != (after.startswith("pc-q35") or after == "q35")
    ):
        # Another kind of machine has other buses: libvirt gives every device a new place.
        drop(root, "devices/controller")
        for device in make(root, "devices"):
            drop(device, "address")


def read_firmware(view: View) -> str:
    """uefi or bios."""
    efi = get(view.root, "os@firmware") == "efi" or get(view.root, "os/loader@type") == "pflash"
    return "uefi" if efi else "bios"


def write_firmware(root: Element, _before: Any, after: str) -> None:
    """The other one, of libvirt's choice."""
    for stale in ("os/loader", "os/nvram", "os/firmware"):
        drop(root, stale)
    put(root, "os@firmware", "efi" if after == "uefi" else None)


def read_secure(view: View) -> bool | None:
    """None: libvirt's own choice, which differs from host to host."""
    if read_firmware(view) == "bios":
        return False
    feature = view.root.find("os/firmware/feature[@name='secure-boot']")
    if feature is not None:
        return feature.get("enabled") == "yes"
    loader = view.root.find("os/loader")
    if loader is None or (loader.get("secure") is None and not (loader.text or "").strip()):
        return None
    # Without the word it is one that does not check what it starts.
    return loader.get("secure") == "yes"


def write_secure(root: Element, _before: Any, after: bool) -> None:
    """Whether what is started must be signed. A loader that was named is in the way of one of libvirt's choice."""
    if read_firmware(View(root)) == "uefi":
        put(root, "os@firmware", "efi")
    for stale in ("os/loader", "os/nvram", "os/firmware"):
        drop(root, stale)
    firmware = make(root, "os/firmware")
    for name in ("enrolled-keys", "secure-boot"):
        ET.SubElement(firmware, "feature", {"enabled": "yes" if after else "no", "name": name})
    if after:
        put(root, "features/smm@state", "on")


def read_console(view: View) -> bool:
    """Whether there is a serial console."""
    return view.root.find("devices/console") is not None or view.root.find("devices/serial") is not None


def write_console(root: Element, _before: Any, after: bool) -> None:
    """A serial console, or none."""
    for tag in ("serial", "console"):
        drop(root, "devices/" + tag)
    if after:
        serial = ET.SubElement(make(root, "devices"), "serial", {"type": "pty"})
        ET.SubElement(serial, "target", {"port": "0"})
        console = ET.SubElement(make(root, "devices"), "console", {"type": "pty"})
        ET.SubElement(console, "target", {"type": "serial", "port": "0"})


def read_labels(root: Element) -> dict[str, str]:
    """The labels in the metadata of our namespace."""
    return {each.get("name", ""): each.get("value", "") for each in root.findall(f"metadata/{GUEST}/{LABEL}")}


def write_labels(root: Element, _before: Any, after: Mapping[str, str]) -> None:
    """All labels."""
    guest = guest_note(root)
    for old in guest.findall(LABEL):
        guest.remove(old)
    for key, value in sorted(after.items()):
        ET.SubElement(guest, LABEL, {"name": key, "value": value})


def guest_note(root: Element) -> Element:
    """Our element in a domain's metadata, made where it is missing."""
    metadata = make(root, "metadata")
    found = metadata.find(GUEST)
    return ET.SubElement(metadata, GUEST) if found is None else found


#: In the last step of an overlay's path, an element's or attribute's name, or an argument of QEMU's: what may be known
#: to nobody.
_SECRET = re.compile(r"passw|secret|token|credential|key(?!map|wrap)", re.IGNORECASE)


class Overlay(Texts):
    """A part of a domain's XML: its values by their paths. The tree itself goes with them, for writing."""

    argument = {"type": "str"}
    merges = False

    def parse(self, value: Any, option: str) -> dict[str, str]:
        return OverlayValues(read_overlay(str(value), option))

    def show_entry(self, key: str, value: Any) -> Any:
        told = "{} {}".format(key.rpartition("/")[2], value) if is_run(key) else key.rpartition("/")[2]
        return HIDDEN if _SECRET.search(told) else value


class OverlayValues(dict):  # type: ignore[type-arg]
    """The values of an overlay, with its tree, and the targets of the disks that values are about."""

    def __init__(self, root: Element) -> None:
        super().__init__(overlay_values(root))
        self.root = root
        self.disks = overlay_disks(root)


CPU_FIELDS = (
    Field("mode", word("custom", "host-model", "host-passthrough", "maximum"), "cpu@mode"),
    Field(
        "model",
        Text(pattern=r"[A-Za-z0-9_.-]+", remedy="Write a model of libvirt's, like EPYC or Skylake-Client"),
        "cpu/model",
    ),
    Field("sockets", Integer(1, 1024), "cpu/topology@sockets"),
    Field("cores", Integer(1, 1024), "cpu/topology@cores"),
    Field("threads", Integer(1, 1024), "cpu/topology@threads"),
)


def cpu_waits(live: Any, stored: Any, view: View) -> Iterable[str]:
    """The live XML says what host-model came to on this processor."""
    told = ("mode", "model") if (stored.get("mode"), live.get("mode")) == ("host-model", "custom") else ()
    return [key for key in set_waits(live, stored, view) if key not in told]


def write_cpu(root: Element, before: Any, after: Mapping[str, Any]) -> None:
    """The processor and its topology."""
    after = dict(after)
    if "model" in after and after.get("model") != before.get("model") and after.get("mode") == before.get("mode"):
        after["mode"] = "custom"
    if after.get("mode") not in (None, "custom") and after.get("mode") != before.get("mode"):
        for child in list(make(root, "cpu")):
            if child.tag in ("model", "vendor"):
                make(root, "cpu").remove(child)
        make(root, "cpu").attrib.pop("match", None)
        after.pop("model", None)
    topology = {key for key in ("sockets", "cores", "threads") if key in after}
    if topology:
        for key in ("sockets", "cores", "threads"):
            after.setdefault(key, 1)
    write_fields(CPU_FIELDS, root, after, before)
