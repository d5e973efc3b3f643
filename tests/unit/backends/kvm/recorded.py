# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a real libvirt wrote."""

from __future__ import annotations

from pathlib import Path
from xml.etree.ElementTree import Element

from ansible_collections.kraal.virt.plugins.module_utils.backends.kvm.xml import parse


def recorded(name: str) -> Element:
    return parse((Path(__file__).parent / "fixtures" / f"{name}.xml").read_text(encoding="utf-8"))
