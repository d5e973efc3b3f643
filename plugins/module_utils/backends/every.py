# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The code of all backends, for a module that may be asked for any of them.

Ansible sends a module with what it imports, and the registry imports none of this by itself.
"""

from __future__ import annotations

from .docker import discover as discover_docker
from .docker import manage as docker
from .kvm import discover as discover_kvm
from .kvm import manage as kvm
from .lxc import discover as discover_lxc
from .lxc import manage as lxc

__all__ = ["discover_docker", "discover_kvm", "discover_lxc", "docker", "kvm", "lxc"]
