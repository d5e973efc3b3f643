# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Has libvirt keep a domain's definition.

What an emulator has against a guest, libvirt says only to who defines it: its other question (domainXMLToNative) is no
read. It prepares the host as for a start, makes tap devices and runs the scripts of interfaces. So a plan does not ask,
and a run defines a guest before it does anything else.
"""

from __future__ import annotations

from typing import Any

from ....engine.errors import InvalidOption, KraalError
from ....engine.spec import Spec
from ..client import Host, LibvirtError, code
from ..constants import constant
from ..xml import serialize
from .observe import refused_machine
from .xml import ET, Element, copied, get, make

#: The errors that say that a definition is invalid, by the ends of their names in libvirt.
_WRONG = ("XML_ERROR", "XML_DETAIL", "XML_INVALID_SCHEMA", "CONFIG_UNSUPPORTED", "INVALID_ARG", "INTERNAL_ERROR")


def define(host: Host, want: Spec, root: Element, before: Element | None = None) -> Any:
    """Have libvirt keep a definition; libvirt's own object. ``before``: what it keeps until then. Raises InvalidOption
    and LibvirtError.

    Libvirt takes guests that its schema has no words for (a relative path) from who does not ask for the schema. Such a
    guest is not held to it here either.
    """
    try:
        return _kept(host, root, "DOMAIN_DEFINE_VALIDATE")
    except LibvirtError as error:
        if error.code != code("XML_INVALID_SCHEMA") or before is None or _valid(host, before):
            raise _refusal(host, want, root, error) from error
    try:
        return _kept(host, root)
    except LibvirtError as error:
        raise _refusal(host, want, root, error) from error


def try_out(host: Host, want: Spec, root: Element, before: Element) -> None:
    """See that libvirt takes a definition, and leave it the one that it has. Raises InvalidOption and LibvirtError."""
    define(host, want, root, before)
    _kept(host, before)


def _kept(host: Host, root: Element, *flags: str) -> Any:
    return host.ask(host.conn.defineXMLFlags, serialize(root), sum(constant(flag) for flag in flags))


def _valid(host: Host, root: Element) -> bool:
    """Whether what libvirt keeps is what its schema allows.

    It is given to it once more, with one name for two drives, which libvirt takes in no case.
    """
    twice = copied(root)
    for _number in range(2):
        drive = ET.SubElement(make(twice, "devices"), "disk", {"type": "file", "device": "cdrom"})
        ET.SubElement(drive, "target", {"dev": "sdzz", "bus": "usb"})
    try:
        _kept(host, twice, "DOMAIN_DEFINE_VALIDATE")
    except LibvirtError as error:
        return error.code != code("XML_INVALID_SCHEMA")
    return True


def _refusal(host: Host, want: Spec, root: Element, error: LibvirtError) -> KraalError:
    """What is wrong with the task, where libvirt says that something is; anything else is no fault of the task's."""
    if error.code not in [code(name) for name in _WRONG] or "broke off" in error.message:
        return error
    machine = want.values.get("machine")
    why = refused_machine(host, root.get("type", "qemu"), get(root, "os/type@arch"), machine) if machine else ""
    option, value = ("machine", machine) if why else ("options", want.name)
    return InvalidOption(
        option,
        value,
        "is what libvirt refuses: %s" % (why or error.message),
        remedy=error.remedy or "Correct the values",
    )
