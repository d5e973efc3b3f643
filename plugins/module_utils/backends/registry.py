# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The backends by name: the one place that the rest of the collection knows them from."""

from __future__ import annotations

from .backend import Backend
from .docker.backend import BACKEND as docker
from .kvm.backend import BACKEND as kvm
from .lxc.backend import BACKEND as lxc

BACKENDS = {each.name: each for each in (docker, kvm, lxc)}
#: The names of all backends.
NAMES = tuple(BACKENDS)


def backend(name: str) -> Backend:
    """The backend of that name, which is one of NAMES."""
    return BACKENDS[name]
