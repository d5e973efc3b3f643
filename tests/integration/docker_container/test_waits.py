# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Waiting for a guest: on the engine's events, until a deadline, and not a moment longer."""

from __future__ import annotations

import time

import pytest

from .driver import Driver, wait_for_loop


def inspections(driver: Driver) -> int:
    return sum(request.route == f"/containers/{driver.name}/json" for request in driver.proxy.requests)


def test_healthy(driver: Driver) -> None:
    began = time.monotonic()
    driver.make(image=driver.images.healthy, env={"KT_HEALTHY_AFTER": "1.5"}, wait_for="healthy", timeout=30)
    assert driver.inspect()["State"]["Health"]["Status"] == "healthy"
    assert time.monotonic() - began >= 1.5
    assert inspections(driver) < 8, "it polls"
    assert sum(request.route == "/events" for request in driver.proxy.requests) == 1


def test_what_is_healthy_already_is_not_waited_for(driver: Driver) -> None:
    driver.make(image=driver.images.healthy, wait_for="healthy", timeout=30)
    driver.proxy.clear()
    driver.again(image=driver.images.healthy, wait_for="healthy")
    assert not any(request.route == "/events" for request in driver.proxy.requests)


def test_a_guest_that_was_changed_before_is_waited_for_too(driver: Driver) -> None:
    driver.make(image=driver.images.healthy, env={"KT_HEALTHY_AFTER": "1.5"})
    driver.make(image=driver.images.healthy, wait_for="healthy", timeout=30)
    assert driver.inspect()["State"]["Health"]["Status"] == "healthy"


def test_healthy_too_late(driver: Driver) -> None:
    began = time.monotonic()
    result = driver.run(image=driver.images.healthy, env={"KT_HEALTHY_AFTER": "100"}, wait_for="healthy", timeout=2)
    assert result.failed and "was not healthy within 2 seconds" in result.msg and "longer timeout" in result.msg
    assert 2 <= time.monotonic() - began < 20
    assert result.changed and result["plan"]


def test_healthy_without_a_health_check(driver: Driver) -> None:
    result = driver.run(wait_for="healthy", timeout=30)
    assert result.failed and "has no health check" in result.msg and "Give it a healthcheck" in result.msg


def test_a_guest_that_ends_is_not_waited_for(driver: Driver) -> None:
    began = time.monotonic()
    command = ["/bin/sh", "-c", "sleep 1; printf 'that was it\\033[31m\\007'; exit 4"]
    result = driver.run(image=driver.images.healthy, command=command, wait_for="healthy", timeout=60)
    assert result.failed and r"exit code 4: that was it\x1b[31m\x07" in result.msg
    assert time.monotonic() - began < 30


def test_a_guest_that_ends_at_once_is_told(driver: Driver) -> None:
    result = driver.run(command=["/bin/sh", "-c", "echo no such luck; exit 4"])
    assert result.failed and "exit code 4: no such luck" in result.msg and "state=present" in result.msg


def test_a_guest_that_ended_soon_is_watched_when_it_is_started_again(driver: Driver) -> None:
    """For longer than it ran; a guest that was told to end is not."""
    wish = {"command": ["/bin/sh", "-c", "sleep 0.4; echo bye; exit 4"]}
    driver.run(**wish)
    driver.api.wait(driver.name)
    result = driver.run(**wish)
    assert result.failed and "exit code 4: bye" in result.msg
    assert driver.run(**wish, check=True)["plan"][0]["action"] == "start"
    driver.make(command=["/bin/kt-guest"])
    driver.make(state="stopped")
    driver.proxy.clear()
    driver.make()
    assert [
        request.query["filters"][0].count('"die"') for request in driver.proxy.requests if request.route == "/events"
    ] == [0]


def test_a_guest_that_ends_again_and_again_does_not_run(driver: Driver) -> None:
    """Neither for the task that starts it nor for the next one; what changes live does so all the same."""
    loop = {"command": ["/bin/sh", "-c", "exit 3"], "restart_policy": "always"}
    result = driver.run(**loop)
    assert result.failed and "exit code 3" in result.msg
    wait_for_loop(driver)
    driver.refused("ends again and again", "exit code 3", "Correct its command", **loop)
    driver.again(**loop, state="present")
    driver.do(**loop, memory="64MiB", state="present")
    result = driver.run(**loop, memory="96MiB")
    assert result.failed and result.changed and driver.inspect()["HostConfig"]["Memory"] == 96 * 1024**2
    driver.do(**loop, state="stopped")


@pytest.mark.parametrize("condition", ["running", "address"])
def test_running_and_address(driver: Driver, condition: str) -> None:
    result = driver.make(wait_for=condition, timeout=10)
    assert result["guest"]["state"] == "running" and result["guest"]["addresses"][0]["family"] == "ipv4"


def test_an_address_that_never_comes(driver: Driver) -> None:
    result = driver.run(network_mode="none", wait_for="address", timeout=1)
    assert result.failed and "was not given an address within 1 seconds" in result.msg


def test_a_crash_loop_ends_the_wait_for_an_address(driver: Driver) -> None:
    result = driver.run(
        network_mode="none", wait_for="address", timeout=2, restart_policy="always", command=["/bin/false"]
    )
    assert result.failed


def test_check_does_not_wait(driver: Driver) -> None:
    began = time.monotonic()
    driver.check(image=driver.images.healthy, env={"KT_HEALTHY_AFTER": "100"}, wait_for="healthy", timeout=60)
    assert time.monotonic() - began < 20


def test_two_runs_on_one_guest_wait_for_each_other(driver: Driver) -> None:
    driver.make(env={"KT_A": "0"})
    # Real processes, each with its Python: the second begins while the first is at work.
    runs = [driver.start(env={"KT_A": str(number)}) for number in (1, 2, 3)]
    results = [run.result() for run in runs]
    assert not any(result.failed for result in results), [result.msg for result in results]
    assert driver.mine() == [driver.word] and driver.state() == "running"
    (last,) = [line for line in driver.inspect()["Config"]["Env"] if line.startswith("KT_A=")]
    assert last in ("KT_A=1", "KT_A=2", "KT_A=3")
    assert sum(result.changed for result in results) == 3


def test_two_runs_that_create_one_guest(driver: Driver) -> None:
    runs = [driver.start() for _number in range(3)]
    results = [run.result() for run in runs]
    assert not any(result.failed for result in results), [result.msg for result in results]
    assert sorted(result.changed for result in results) == [False, False, True]
