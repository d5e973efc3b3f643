# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What to do about what LXC's tools say, where it is something of the host that is missing."""

from __future__ import annotations

import os
import pwd
import re

from ...host.packages import install

NEEDS_VERSION_2 = (
    "This LXC takes control groups of version 2 alone, and the host has version 1: boot it with "
    "systemd.unified_cgroup_hierarchy=1 on the kernel's command line"
)
#: As newuidmap(1) says it: [first of the guest's-...) -> [first-behind the last of the host's) not allowed.
_IDS = re.compile(r"new[ug]idmap.*-> \[(\d+)-(\d+)\) not allowed")


def remedy_for(said: str, otherwise: str) -> str:
    """``otherwise``: the remedy for all else."""
    if "apparmor_parser" in said:
        return f"{install('apparmor_parser')}, and run again"
    ids = _IDS.search(said)
    return _add_ids(int(ids[1]), int(ids[2]) - 1) if ids else otherwise


def _add_ids(first: int, last: int) -> str:
    user = pwd.getpwuid(os.geteuid()).pw_name
    add = "usermod --add-subuids %d-%d --add-subgids %d-%d %s" % (first, last, first, last, user)
    return f"Give {user} these ids: {add}; or name such in idmap as /etc/subuid and /etc/subgid give to {user}"
