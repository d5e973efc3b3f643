# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What it takes to manage guests of LXC."""

from __future__ import annotations

from ..backend import Managed


def managed() -> Managed:
    """See Backend.managed()."""
    from .client import CONNECTION, Lxc, place_of
    from .container.resource import Containers
    from .peers import CONTAINER

    return Managed(Containers.table, CONNECTION, lambda parameters: Containers(Lxc(parameters)), place_of, CONTAINER)
