# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Writes out a call of libvirt for the trace of a task, as the binding has it, without the secrets in its XML. Pure."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Callable
from typing import Any

from ...engine.secrets import HIDDEN, hidden, hide

#: What has a name of its own that no question to libvirt is needed for.
_NAMED = ("virDomain", "virNetwork", "virStoragePool", "virStorageVol")
#: What guests get through these may be anything, an SSH key or the user-data of cloud-init.
_GUESTS_OWN = ("sysinfo", "{http://libvirt.org/schemas/domain/qemu/1.0}commandline")


def write_call(function: Callable[..., Any], arguments: tuple[Any, ...]) -> str:
    """One call: ``virDomain(web).setMemoryFlags(524288, 1)``."""
    owner = getattr(function, "__self__", None)
    name = str(getattr(function, "__name__", function))
    called = f"{_written(owner)}.{name}" if owner is not None else name
    return "{}({})".format(called, ", ".join(map(_written, arguments)))


def _written(value: Any) -> str:
    if value is None or isinstance(value, (bool, int, float)):
        return str(value)
    if isinstance(value, str):
        return hide_xml(value) if value.lstrip().startswith("<") else hide(value)
    kind = type(value).__name__
    # What a volume holds, and functions that read it, are no part of a trace.
    return f"{kind}({value.name()})" if kind in _NAMED else kind


def hide_xml(text: str) -> str:
    """XML with its secrets hidden: those that show themselves by their names, and all that a guest is handed at its
    start.
    """
    try:
        root = ET.fromstring(text)
    except ET.ParseError:
        return hide(text)
    for each in root.iter():
        _hide_attributes(each)
        if each.tag in _GUESTS_OWN:
            _hide_all(each)
    return hide(ET.tostring(root, encoding="unicode"))


def _hide_attributes(element: ET.Element) -> None:
    """By the attributes' own names, and by a name that stands beside a value, as a label's does."""
    for key, value in element.attrib.items():
        element.set(key, hidden(value, key))
    name = element.get("name") or element.get("key") or ""
    if hidden("x", name) != HIDDEN:
        return
    if "value" in element.attrib:
        element.set("value", HIDDEN)
    if element.text and element.text.strip():
        element.text = HIDDEN


def _hide_all(element: ET.Element) -> None:
    for each in element.iter():
        if each.text and each.text.strip():
            each.text = HIDDEN
        if "value" in each.attrib:
            each.set("value", HIDDEN)
