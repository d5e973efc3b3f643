# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Libvirt's numbers by their names: what imports this needs no libvirt until it asks for one."""

from __future__ import annotations


def constant(name: str) -> int:
    """The value of libvirt.VIR_<name>."""
    import libvirt

    return int(getattr(libvirt, "VIR_" + name))
