# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which releases the roles take: all from their oldest on, and those of Debian that have no number yet."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.ansible_runner import run_tasks

ROLES = ("docker_host", "kvm_host", "lxc_host")


def checked(release: str) -> str:
    """What the roles would have in their way on a Debian of that release, which this machine is taken for."""
    facts = {"distribution": "Debian", "distribution_major_version": release, "distribution_release": release}
    known = {f"ansible_{name}": value for name, value in facts.items()} | {"ansible_os_family": "Debian"}
    tasks: list[dict[str, Any]] = [{"ansible.builtin.set_fact": {**known, "cacheable": True}}]
    tasks += [{"ansible.builtin.include_role": {"name": f"kraal.virt.{role}", "tasks_from": "check"}} for role in ROLES]
    tasks += [{"ansible.builtin.debug": {"msg": " ".join(f"{{{{ __{role}_faults }}}}" for role in ROLES)}}]
    play = run_tasks(
        tasks, variables={"docker_host_source": "docker", "kvm_host_allow_emulation": True}, keep_going=False
    )
    assert play.rc == 0, play.output
    return play.results[-1].msg


@pytest.mark.parametrize(
    ("release", "refused"),
    [
        pytest.param("forky/sid", (), id="without a number"),
        pytest.param(
            "11",
            ROLES,
            id="too old",
            marks=pytest.mark.only_all("the other side of a comparison, whose one side is seen in every run"),
        ),
    ],
)
def test_releases(docker_daemon: str, release: str, refused: tuple[str, ...]) -> None:
    faults = checked(release)
    assert [role for role in ROLES if f"{role} knows" in faults] == list(refused), faults
    assert ("Docker's repository has no suite called forky/sid" in faults) == ("/" in release), faults
