# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Daemons that systemd starts when somebody connects to their socket: whoever only looks lets one lie that sleeps, since
its guests would start with it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..engine.errors import BackendError
from ..engine.spec import ONLY_LOOKS
from .reader import Host

LIBVIRT_SOCKETS = ("/run/libvirt/virtqemud-sock", "/run/libvirt/libvirt-sock")
#: Libvirt has started its guests since the host was started.
_AUTOSTARTED = "/run/libvirt/qemu/autostarted"
#: Seconds that systemd may take for an answer.
SECONDS = 10


def sleeper(host: Host, path: str) -> str:
    """The service that systemd would start if somebody connected to that socket; nothing where it runs, or nobody
    would be started.
    """
    if not host.exists("/run/systemd/system"):
        return ""
    listed = host.run(["systemctl", "list-sockets", "--no-legend", "--no-pager", "--full"])
    for line in (listed.out if listed and listed.rc == 0 else "").splitlines():
        words = line.split()
        if len(words) >= 3 and words[0].replace("/var/run/", "/run/") == path.replace("/var/run/", "/run/"):
            state = host.run(["systemctl", "is-active", words[2]])
            return words[2] if state and state.out.strip() in ("inactive", "failed") else ""
    return ""


def libvirt_sleeper(host: Host) -> str:
    """The service that would start libvirt's guests if somebody connected to it.

    One that ends when nobody asks it is its own custom. But the first start since the host's makes its guests start.
    """
    if host.exists(_AUTOSTARTED):
        return ""
    sleepers = [sleeper(host, path) for path in LIBVIRT_SOCKETS if host.exists(path)]
    return sleepers[0] if sleepers and all(sleepers) else ""


def check_awake(parameters: Mapping[str, Any], asleep: Callable[[Host], str]) -> None:
    """Raise BackendError where somebody who only looks would start a service; ``asleep`` finds it: see above."""
    found = asleep(Host(timeout=SECONDS)) if parameters.get(ONLY_LOOKS) else ""
    if found:
        raise BackendError(
            f"{found} is stopped, and a mere look would start it, and its guests with it",
            remedy=f"Start it first (systemctl start {found})",
        )
