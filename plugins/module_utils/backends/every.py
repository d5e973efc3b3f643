# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""All backends, for a module that may be asked for any of them: Ansible sends it with what it imports, and the registry imports none by itself."""

from __future__ import annotations

from .docker import backend as docker
from .kvm import backend as kvm
from .lxc import backend as lxc

__all__ = ["docker", "kvm", "lxc"]
