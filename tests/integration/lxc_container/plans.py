# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every kind of plan: what is there before, what is wanted, and the steps from here to there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Plan:
    """One way from a guest to another."""

    id: str
    #: The tasks that set the scene, one after the other; none: no guest is there.
    before: tuple[Mapping[str, Any], ...]
    wanted: Mapping[str, Any]
    actions: tuple[str, ...]
    disruption: str = "live"
    #: Whether a run that dies is tried at every moment of this plan.
    crash: bool = True


NET = {"networks": [{"link": "<bridge>", "ipv4_address": "<net>.30/24"}]}
MUCH = {**NET, "memory": "64MiB", "labels": {"a": "1"}, "mounts": ["<dir>:/data"], "autostart": True}


def powered(state: str, **options: Any) -> tuple[Mapping[str, Any], ...]:
    """A guest that is then brought into a state."""
    return ({**options, "state": state},)


PLANS = (
    Plan("create", (), MUCH, ("create", "start state"), "none"),
    Plan("create-present", (), {"state": "present"}, ("create",), "none", crash=False),
    Plan("create-paused", (), {"state": "paused"}, ("create", "start state", "pause state"), crash=False),
    Plan("create-overlay", (), {"storage": "overlay"}, ("create", "start state"), "none"),
    Plan("create-unprivileged", (), {"idmap": ["b 0 100000 65536"]}, ("create", "start state"), "none"),
    Plan("create-template", (), {"template": "busybox", "state": "stopped"}, ("create",), "none", crash=False),
    Plan("create-clone", (), {"clone": {"name": "<source>"}, "state": "stopped"}, ("create",), "none"),
    Plan(
        "create-snapshot",
        (),
        {"clone": {"name": "<source>", "snapshot": True}, "storage": "overlay"},
        ("create", "start state"),
        "none",
    ),
    Plan("limit", powered("running", memory="64MiB"), {"memory": "128MiB", "memory_swap": "256MiB"}, ("set",)),
    Plan(
        "limits-stopped",
        powered("stopped", cpus=1),
        {"cpus": 0.5, "pids_limit": 20, "state": "present"},
        ("set",),
        "none",
        crash=False,
    ),
    Plan(
        "config",
        powered("running"),
        {"hostname": "kt-x", "labels": {"b": "2"}, "memory": "64MiB", "config": {"lxc.environment": ["A=1", "B=2"]}},
        ("set",),
    ),
    Plan(
        "restart",
        powered("running"),
        {"hostname": "kt-x", "disruption": "restart"},
        ("set hostname", "restart pending_restart"),
        "restart",
    ),
    Plan(
        "restart-paused",
        powered("paused"),
        {"hostname": "kt-x", "disruption": "restart", "state": "present"},
        ("set hostname", "restart pending_restart"),
        "restart",
        crash=False,
    ),
    Plan("config-and-start", powered("stopped"), {"hostname": "kt-x", **NET}, ("set", "start state"), "none"),
    Plan(
        "recreate",
        powered("running", **NET),
        {"image": "<two>", "disruption": "recreate", "memory": "64MiB"},
        ("recreate",),
        "recreate",
    ),
    Plan(
        "recreate-stopped",
        powered("stopped"),
        {"image": "<two>", "disruption": "recreate", "state": "present"},
        ("recreate",),
        "recreate",
        crash=False,
    ),
    Plan("start", powered("stopped"), {}, ("start state",), "none"),
    Plan("stop", powered("running"), {"state": "stopped"}, ("stop state",), "restart"),
    Plan("pause", powered("running"), {"state": "paused"}, ("pause state",)),
    Plan("resume", powered("paused"), {}, ("resume state",), "none"),
    Plan("stop-paused", powered("paused"), {"state": "stopped"}, ("stop state",), "restart"),
    Plan("start-paused", powered("stopped"), {"state": "paused"}, ("start state", "pause state"), crash=False),
    Plan("remove", powered("running"), {"state": "absent"}, ("stop state", "remove"), "destroy"),
    Plan("remove-overlay", powered("stopped", storage="overlay"), {"state": "absent"}, ("remove",), "destroy"),
)
