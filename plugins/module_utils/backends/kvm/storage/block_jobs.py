# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The block jobs of libvirt: a copy, a commit, a pull or a backup that works on a disk of a running guest, which is
not changed meanwhile.
"""

from __future__ import annotations

from typing import Any

from ....engine.errors import Refused
from ..client import Host, LibvirtError, code
from ..vm.model import Job
from ..xml import Element, attribute

#: virDomainBlockJobType of libvirt 9.0 to 12.
_JOBS = {1: "block pull", 2: "block copy", 3: "block commit", 4: "active block commit", 5: "backup"}
_MIRRORS = {"copy": _JOBS[2], "active-commit": _JOBS[4]}


def job_on(host: Host, domain: Any, disk: Element) -> Job | None:
    """The block job on a disk of a domain that runs. Reads only."""
    mirror = disk.find("mirror")
    if mirror is not None:
        return Job(_MIRRORS.get(mirror.get("job", ""), "block job"), _written(mirror))
    try:
        kind = host.ask(domain.blockJobInfo, attribute(disk, "target", "dev"), 0).get("type")
    except LibvirtError as error:
        if error.code != code("OPERATION_INVALID"):
            raise
        # The guest has ended by itself.
        return None
    return None if kind is None else Job(_JOBS.get(kind, "block job"))


def busy(guest: str, target: str, job: Job, about: str = "") -> Refused:
    """The refusal of a change to a disk that a block job works on."""
    ends = {
        "backup": f"stop it with: virsh domjobabort {guest}",
        "block copy": f"end it with: virsh blockjob {guest} {target} --pivot (the guest goes on with the copy) or "
        "--abort (it stays)",
        "active block commit": f"end it with: virsh blockjob {guest} {target} --pivot (the guest goes on with the "
        "image below) or --abort (it stays)",
    }
    return Refused(
        "{}: a job of libvirt ({}{}) is in progress on this disk, which is not changed meanwhile".format(
            about or f"disks[{target}]", job.kind, f" to {job.target}" if job.target else ""
        ),
        remedy="Wait until it is done and run again, or {}".format(
            ends.get(job.kind, f"stop it with: virsh blockjob {guest} {target} --abort")
        ),
    )


def _written(mirror: Element) -> str:
    """The image that a mirror writes to; empty for one on the network."""
    return attribute(mirror, "source", "file") or attribute(mirror, "source", "dev") or ""
