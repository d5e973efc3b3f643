# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The names of containers that are replaced."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.kraal.virt.plugins.module_utils.backends.docker.container import aside
from ansible_collections.kraal.virt.plugins.module_utils.backends.docker.container.plan import plan

from .scene import inspected, seen, want


def policy(name: str, count: int = 0) -> dict[str, Any]:
    return {"HostConfig": {"RestartPolicy": {"Name": name, "MaximumRetryCount": count}}}


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (policy(""), "web.kraal-was-running"),
        (policy("no"), "web.kraal-was-running"),
        ({"HostConfig": {"RestartPolicy": None}}, "web.kraal-was-running"),
        (policy("always"), "web.kraal-was-running-always"),
        (policy("unless-stopped"), "web.kraal-was-running-unless-stopped"),
        (policy("on-failure"), "web.kraal-was-running-on-failure"),
        (policy("on-failure", 5), "web.kraal-was-running-on-failure-5"),
    ],
)
def test_the_name_says_how_it_was(data: dict[str, Any], name: str) -> None:
    assert aside.name_aside("web", "running", data) == name
    assert (aside.owner_of(name), aside.state_aside(name)) == ("web", "running")
    assert aside.policy_of(aside.as_before(name, policy("no"))) == aside.policy_of(data)
    assert aside.aside_of("web", ["web", "webs.kraal-was-running", name]) == name


def test_who_was_put_aside_is_compared_as_it_was_before() -> None:
    """Its own policy is "no" for as long as that lasts."""
    scene = seen(containers={"web.kraal-was-running-always": inspected("full", "exited", RestartPolicy={"Name": "no"})})
    steps = plan(want("web", restart_policy="always"), scene)
    assert [step.action for step in steps] == ["rename", "start"]
