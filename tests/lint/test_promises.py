# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each promise of each option and state of each table is shown by a test that `make test` runs."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.lint.collection import collected
from tests.lint.promises import CHANGE, CHECK, CRASH, REFUSED, Shown, missing, tables

FILES = (
    "what each host's manager gets of it is compared in tests/unit/host/test_bridge_files.py and test_bridge_plan.py"
)

#: What no test shows of an option, with the reason.
EXEMPT = {
    (
        "docker_image",
        "registry_password",
        REFUSED,
    ): "any text may be one; test_pull_by_digest shows what a registry says of a wrong one",
    (
        "docker_image",
        "registry_username",
        REFUSED,
    ): "any text may be one; test_pull_by_digest shows what a registry says of a wrong one",
    **{
        (
            "docker_network",
            "ipam_driver",
            promise,
        ): "the engine has one driver that gives addresses, and no other to change to"
        for promise in (CHANGE, CHECK)
    },
    **{
        ("host_bridge", option, CHECK): f"{FILES}; on real hosts uplink, mtu, stp and forward_delay stand for all"
        for option in ("addresses", "addresses_from", "dns", "gateway", "ipv6", "mac", "vlan")
    },
    **{
        ("host_bridge", option, CHANGE): f"{FILES}; the kernel of a machine for tests may know no VLANs"
        if option == "vlan"
        else FILES
        for option in ("addresses_from", "dns", "ipv6", "mac", "vlan")
    },
    (
        "host_bridge",
        "state=absent",
        CRASH,
    ): "a removal is confirmed or taken back by the same unit of systemd as the change that is killed",
    (
        "kvm_network",
        "state=inactive",
        CRASH,
    ): "it ends before the step of an active one that can be died after; a pool's is crashed, in the same class",
    ("kvm_vm", "uuid", CRASH): "it is never changed: another one than the guest's is refused",
}


@pytest.fixture(scope="module")
def tests() -> list[Shown]:
    return collected()


def test_every_promise_is_shown_by_make_test(tests: list[Shown]) -> None:
    found = missing(tables(), tests, EXEMPT)
    if found:
        pytest.fail("\n".join(found), pytrace=False)


def test_a_row_that_is_taken_away_is_missed(tests: list[Shown]) -> None:
    """Of each table of options, the row of one option."""
    for resource, option in (
        ("docker_container", "oom_score_adj"),
        ("kvm_vm", "rng"),
        ("lxc_container", "cap_keep"),
        ("kvm_network", "domain"),
    ):
        fewer = [
            replace(test, options=test.options - {option}) if test.resource == resource else test for test in tests
        ]
        named = missing(tables(), fewer, EXEMPT)
        assert f"{resource}, {option}: no test shows that {CHANGE}" in named
        assert f"{resource}, {option}: no test shows that {REFUSED}" in named


def test_a_promise_that_is_taken_away_is_missed(tests: list[Shown]) -> None:
    for resource in tables():
        for promise in (CHANGE, CHECK, CRASH, REFUSED):
            fewer = [
                replace(test, promises=test.promises - {promise}) if test.resource == resource.name else test
                for test in tests
            ]
            assert any(
                line.startswith(f"{resource.name}, ") and promise in line for line in missing(tables(), fewer, EXEMPT)
            ), (resource.name, promise)


def test_what_only_test_all_runs_shows_nothing(tests: list[Shown]) -> None:
    later = [replace(test, only_all="takes minutes") if test.resource == "kvm_volume" else test for test in tests]
    assert [line for line in missing(tables(), later, EXEMPT) if line.startswith("kvm_volume, capacity: ")]
