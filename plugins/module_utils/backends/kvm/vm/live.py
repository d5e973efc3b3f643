# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How a running guest is brought to a change, and what libvirt is told beside a definition.

The table of options names what is in here, option by option.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ....engine.errors import BackendError
from ....engine.units import parse_cpuset
from ..client import Host, LibvirtError
from ..constants import constant
from ..xml import NAMESPACE, serialize
from . import devices as dev
from . import networks as nets
from . import power as vm_power
from . import volumes as vm_volumes
from .fields import read_fields
from .model import Change, Domain, Live, LiveChange
from .osinfo import NAMESPACE as LIBOSINFO
from .osinfo import osinfo_note
from .xml import Element, copied, get

#: How long a running guest may take to follow a change that needs its help, in seconds.
FOLLOWS = 20


def call(method: str, argument: Callable[[Any], Any] = lambda value: value) -> Live:
    """One call of the domain's: with the option's value, or what libvirt calls it by."""

    def live(host: Host, domain: Any, change: LiveChange) -> None:
        host.ask(getattr(domain, method), argument(change.value), constant("DOMAIN_AFFECT_LIVE"))

    return live


def pin(host: Host, domain: Any, change: LiveChange) -> None:
    """Have a thread run on other processors of the host."""
    cpus, affect = parse_cpuset(change.value[change.key]), constant("DOMAIN_AFFECT_LIVE")
    place = tuple(number in cpus for number in range(cpus[-1] + 1))
    if change.key == "emulator":
        host.ask(domain.pinEmulator, place, affect)
    elif change.key.startswith("iothread"):
        host.ask(domain.pinIOThread, int(change.key[len("iothread") :]), place, affect)
    else:
        host.ask(domain.pinVcpuFlags, int(change.key), place, affect)


def memory(host: Host, domain: Any, change: LiveChange) -> None:
    """Have the balloon leave the guest so much."""
    size: int = change.value
    host.ask(domain.setMemoryFlags, size // 1024, constant("DOMAIN_AFFECT_LIVE"))

    def follows() -> bool:
        return bool(host.ask(domain.info)[2] * 1024 == size)

    if not vm_power.until(follows, FOLLOWS):
        raise BackendError(
            "memory: the guest did not follow within %d seconds" % FOLLOWS,
            remedy="See that it has the driver of the memory balloon (virtio_balloon), or stop it and start it with "
            "the new size",
        )


def disk(host: Host, domain: Any, change: LiveChange) -> None:
    """Plug a disk in or out, change its limits, or the medium in a drive."""
    target, affect = change.key, constant("DOMAIN_AFFECT_LIVE")
    old, new = dev.disk_of(change.now, target), dev.disk_of(change.then, target)
    if new is None and old is not None:
        host.ask(domain.detachDeviceFlags, serialize(old), affect)
        vm_power.wait_gone(host, domain, lambda tree: dev.disk_of(tree, target) is not None, f"disk {target}")
    elif new is not None and old is None:
        controller = dev.scsi_controller(change.then)
        if controller is not None and dev.scsi_controller(change.now) is None:
            host.ask(domain.attachDeviceFlags, serialize(controller), affect)
        host.ask(domain.attachDeviceFlags, serialize(new), affect)
    elif new is not None and old is not None:
        if dev.source_of(new) == dev.source_of(old):
            host.ask(domain.setBlockIoTune, target, read_fields(dev.IOTUNE_FIELDS, new), affect)
        else:
            _update_disk(host, domain, new)


def seed(host: Host, domain: Any, change: LiveChange) -> None:
    """Put another seed into its drive."""
    drive = next((each for each in dev.devices(change.then, "disk") if dev.source_of(each) == change.value.path), None)
    if drive is not None:
        _update_disk(host, domain, drive)


def _update_disk(host: Host, domain: Any, new: Element) -> None:
    text, affect = serialize(new), constant("DOMAIN_AFFECT_LIVE")
    try:
        host.ask(domain.updateDeviceFlags, text, affect)
    except LibvirtError as error:
        if "Tray of the device is not open" not in error.message:
            raise
        # Firmware that starts resets its drives, and a tray closes between libvirt's opening it and putting the CD in
        # (QEMU 10.0).
        host.ask(domain.updateDeviceFlags, text, affect)


def network(host: Host, domain: Any, change: LiveChange) -> None:
    """Plug an interface in or out, or connect it to something else."""
    key, affect = change.key, constant("DOMAIN_AFFECT_LIVE")
    mac = (change.before or {}).get("mac") or change.value.get(key, {}).get("mac") or nets.own_mac(change.now, key)
    old, new = nets.interface_of(change.now, mac), nets.interface_of(change.then, mac)
    if new is None and old is not None:
        host.ask(domain.detachDeviceFlags, serialize(old), affect)
        vm_power.wait_gone(host, domain, lambda tree: nets.interface_of(tree, mac) is not None, f"network {key}")
    elif new is not None and old is None:
        # Its address in the stored configuration is the one that it shall have: it may have been there before.
        stored = (change.stored or {}).get("mac")
        if stored:
            new.find("mac").set("address", stored)  # type: ignore[union-attr]
        host.ask(domain.attachDeviceFlags, serialize(new), affect)
    elif new is not None:
        host.ask(domain.updateDeviceFlags, serialize(new), affect)


def grow_disk(host: Host, domain: Any, change: Change, have: Domain) -> None:
    """Let a disk's image grow, with QEMU's help where it is in use."""
    view = have.live or have.stored
    size = change.cold.after["size"] if change.cold else 0
    path = dev.read_disks(view.root, view.sizes, view.places).get(change.entry, {}).get("path", "")
    if have.live is not None:
        vm_volumes.grow_live(host, domain, change.entry, path, size)
    else:
        vm_volumes.grow(host, path, size)


# What is kept beside the definition, or of which a guest that runs has its own copy.


def tell_autostart(host: Host, domain: Any, value: bool, _root: Element, _running: bool) -> None:
    """Whether it starts with the host is no part of its definition."""
    host.ask(domain.setAutostart, int(value))


def tell_text(kind: str) -> Callable[[Any, Any, str, Element, bool], None]:
    """The title or description of the guest that runs."""

    def tell(host: Host, domain: Any, value: str, _root: Element, running: bool) -> None:
        if running:
            number = constant("DOMAIN_METADATA_" + kind)
            host.ask(domain.setMetadata, number, value or None, None, None, constant("DOMAIN_AFFECT_LIVE"))

    return tell


#: QEMU cannot have on_poweroff=restart with on_reboot=destroy. By the event and its action: the other event, which is
#: told first, and its place in the XML.
_FIRST = {("POWEROFF", "restart"): ("REBOOT", "on_reboot"), ("REBOOT", "destroy"): ("POWEROFF", "on_poweroff")}


def tell_end(event: str) -> Callable[[Any, Any, str, Element, bool], None]:
    """What becomes of the guest that runs after that event."""

    def tell(host: Host, domain: Any, value: str, root: Element, running: bool) -> None:
        if not running:
            return
        other, place = _FIRST.get((event, value), ("", ""))
        for each, action in ((other, get(root, place) if place else None), (event, value)):
            if action:
                kind, number = (
                    constant(f"DOMAIN_LIFECYCLE_{name.replace('-', '_').upper()}")
                    for name in (each, f"action-{action}")
                )
                host.ask(domain.setLifecycleAction, kind, number, constant("DOMAIN_AFFECT_LIVE"))

    return tell


def tell_osinfo(host: Host, domain: Any, _value: str, root: Element, running: bool) -> None:
    """What libosinfo's metadata says of the guest that runs."""
    if running:
        _tell_note(host, domain, osinfo_note(root), ("libosinfo", LIBOSINFO))


def tell_labels(host: Host, domain: Any, _value: Any, root: Element, running: bool) -> None:
    """The labels of the guest that runs."""
    if running:
        _tell_note(host, domain, root.find(f"metadata/{{{NAMESPACE}}}guest"), ("kraal", NAMESPACE))


def _tell_note(host: Host, domain: Any, note: Element | None, namespace: tuple[str, str]) -> None:
    # Libvirt puts the namespace in by itself.
    text = serialize(_plain(note)) if note is not None else None
    kind, affect = constant("DOMAIN_METADATA_ELEMENT"), constant("DOMAIN_AFFECT_LIVE")
    host.ask(domain.setMetadata, kind, text, *namespace, affect)


def _plain(element: Element) -> Element:
    """An element without namespaces."""
    copy = copied(element)
    for each in copy.iter():
        each.tag = each.tag.rpartition("}")[2]
    return copy
