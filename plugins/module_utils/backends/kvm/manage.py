# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What it takes to manage guests of KVM."""

from __future__ import annotations

from ..backend import Managed


def managed() -> Managed:
    """See Backend.managed()."""
    from .client import CONNECTION, connect, place_of, uri_of
    from .peers import VM
    from .vm.resource import Vms

    return Managed(
        Vms.table,
        CONNECTION,
        lambda parameters: Vms(connect(parameters)),
        lambda parameters: place_of(uri_of(parameters)),
        VM,
    )
