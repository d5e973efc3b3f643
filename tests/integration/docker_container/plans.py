# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every kind of plan: what is there before, what is wanted, and the steps from here to there.

<net1>, <net2> and <two> stand for names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

#: What the guests of these plans have beside: data that must not be lost.
DATA = {"mounts": [{"target": "/data"}, "<vol>:/srv"]}


@dataclass(frozen=True)
class Plan:
    """One way from a guest to another."""

    id: str
    #: The tasks that set the scene, one after the other; none: no guest is there.
    before: tuple[Mapping[str, Any], ...]
    wanted: Mapping[str, Any]
    actions: tuple[str, ...]
    disruption: str = "live"
    #: Whether the guest keeps its container.
    same: bool = True
    #: Keys that the plan must name with their values after it.
    after: Mapping[str, Any] = field(default_factory=dict)


def powered(state: str, **options: Any) -> tuple[Mapping[str, Any], ...]:
    """A guest with data that is then brought into a state."""
    running = {**DATA, **options}
    return (running,) if state == "running" else (running, {**running, "state": state})


OLD, NEW = {"env": {"KT_A": "1"}}, {"env": {"KT_A": "2"}}

PLANS = (
    Plan(
        "create",
        (),
        {**DATA, "env": {"KT_A": "1"}, "networks": ["<net1>", "<net2>"], "memory": "64MiB"},
        ("create", "start state"),
        "none",
        same=False,
    ),
    Plan("create-present", (), {**DATA, "state": "present"}, ("create",), "none", same=False),
    Plan("create-stopped", (), {**DATA, "state": "stopped"}, ("create",), "none", same=False),
    Plan("create-paused", (), {**DATA, "state": "paused"}, ("create", "start state", "pause state"), same=False),
    Plan(
        "limit", powered("running", memory="64MiB"), {"memory": "128MiB"}, ("set memory",), after={"memory": "128MiB"}
    ),
    Plan(
        "limit-stopped",
        powered("stopped", cpus=1),
        {"cpus": 0.5, "state": "present"},
        ("set cpus",),
        after={"cpus": 0.5},
    ),
    Plan(
        "limit-beyond-swap",
        powered("running", memory="64MiB", memory_swap="128MiB"),
        {"memory": "256MiB", "memory_swap": "512MiB"},
        ("set",),
        after={"memory": "256MiB", "memory_swap": "512MiB"},
    ),
    Plan(
        "limit-below-swap",
        powered("running", memory="256MiB", memory_swap="512MiB"),
        {"memory": "32MiB", "memory_swap": "64MiB"},
        ("set",),
    ),
    Plan("limit-default-swap", powered("running", memory="64MiB"), {"memory": "256MiB"}, ("set memory",)),
    Plan("limit-first-of-all", powered("running"), {"memory": "64MiB"}, ("set memory",)),
    Plan(
        "limits",
        powered("running"),
        {"memory": "64MiB", "cpus": 0.5, "pids_limit": 50, "cpu_shares": 512, "restart_policy": "always"},
        ("set",),
        after={"cpus": 0.5, "restart_policy": "always"},
    ),
    Plan(
        "attach",
        powered("running", networks=["<net1>"]),
        {"networks": ["<net1>", {"name": "<net2>", "aliases": ["db"]}]},
        ("attach networks[<net2>]",),
    ),
    Plan(
        "detach",
        powered("running", networks=["<net1>", "<net2>"]),
        {"networks": ["<net1>"], "purge": ["networks"]},
        ("detach networks[<net2>]",),
    ),
    Plan(
        "exchange",
        powered("running", networks=["<net1>"]),
        {"networks": ["<net2>"], "purge": ["networks"]},
        ("detach networks[<net1>]", "attach networks[<net2>]"),
    ),
    Plan(
        "reattach",
        powered("running", networks=["<net1>"]),
        {"networks": [{"name": "<net1>", "aliases": ["web"]}]},
        ("reattach networks[<net1>]",),
    ),
    Plan(
        "limit-and-network-and-start",
        powered("stopped", networks=["<net1>"]),
        {"networks": ["<net2>"], "memory": "64MiB"},
        ("set memory", "attach networks[<net2>]", "start state"),
    ),
    Plan("recreate", powered("running", **OLD), NEW, ("recreate",), "recreate", False, {"env[KT_A]": "2"}),
    Plan(
        "recreate-image",
        powered("running", **OLD),
        {"image": "<two>"},
        ("recreate",),
        "recreate",
        False,
        {"image": "<two>"},
    ),
    Plan(
        "recreate-networks",
        powered("running", **OLD, networks=["<net1>"]),
        {**NEW, "networks": ["<net1>", "<net2>"]},
        ("recreate",),
        "recreate",
        False,
    ),
    Plan(
        "recreate-present-running",
        powered("running", **OLD),
        {**NEW, "state": "present"},
        ("recreate",),
        "recreate",
        False,
    ),
    Plan(
        "recreate-present-stopped",
        powered("stopped", **OLD),
        {**NEW, "state": "present"},
        ("recreate",),
        "recreate",
        False,
    ),
    Plan(
        "recreate-present-paused",
        powered("paused", **OLD),
        {**NEW, "state": "present"},
        ("recreate",),
        "recreate",
        False,
    ),
    Plan(
        "recreate-to-stopped",
        powered("running", **OLD),
        {**NEW, "state": "stopped"},
        ("recreate",),
        "recreate",
        False,
        {"state": "stopped"},
    ),
    Plan("recreate-to-running", powered("stopped", **OLD), NEW, ("recreate",), "recreate", False, {"state": "running"}),
    Plan("recreate-to-paused", powered("running", **OLD), {**NEW, "state": "paused"}, ("recreate",), "recreate", False),
    Plan("start", powered("stopped"), {}, ("start state",), "none"),
    Plan("stop", powered("running"), {"state": "stopped"}, ("stop state",), "restart"),
    Plan("pause", powered("running"), {"state": "paused"}, ("pause state",)),
    Plan("resume", powered("paused"), {}, ("resume state",), "none"),
    Plan("stop-paused", powered("paused"), {"state": "stopped"}, ("stop state",), "restart"),
    Plan("start-paused", powered("stopped"), {"state": "paused"}, ("start state", "pause state")),
    Plan("remove", powered("running"), {"state": "absent"}, ("stop state", "remove"), "destroy", False),
    Plan("remove-stopped", powered("stopped"), {"state": "absent"}, ("remove",), "destroy", False),
    Plan(
        "remove-storage",
        powered("paused"),
        {"state": "absent", "remove_storage": True},
        ("stop state", "remove"),
        "destroy",
        False,
    ),
)
