# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An engine that hangs is told, wherever it is waited for, and one that works in silence is not taken for it; what
becomes of the containers of a re-creation when the engine is started anew.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import docker
import pytest

from tests.support.ansible_runner import Result
from tests.support.daemons import SecondDaemon
from tests.support.images import BaseImages, import_image, root_tar
from tests.support.leftovers import Scratch
from tests.support.module_process import ModuleProcess, module_process
from tests.support.proxy import Cut, RecordingProxy
from tests.support.registry import Registry

WAITS = True
CONTAINER, IMAGE = "kraal.virt.docker_container", "kraal.virt.docker_image"
#: Seconds after which a module that hangs is killed.
LIMIT = 90
NEVER_HEALTHY = {"test": ["CMD", "/bin/false"], "interval": "1h"}


@pytest.fixture
def archive(tmp_path: Path) -> str:
    """More than the buffers of sockets hold."""
    path = tmp_path / "root.tar"
    path.write_bytes(root_tar("1", {"data/big": "x" * (4 << 20)}))
    return str(path)


@pytest.fixture
def context(tmp_path: Path, base_image: str) -> str:
    (tmp_path / "context").mkdir()
    (tmp_path / "context" / "Dockerfile").write_text(f"FROM {base_image}\nRUN sleep 3\n", encoding="utf-8")
    return str(tmp_path / "context")


def test_an_ssh_that_hangs_is_ended_with_the_module(tmp_path: Path) -> None:
    """Its own end is not enough: Ansible reads what the module's children may still say."""
    ssh = tmp_path / "ssh"
    ssh.write_text("#!/bin/sh\nsleep 60\n", encoding="utf-8")
    ssh.chmod(0o755)
    args = {"name": "kt-ssh", "docker_host": "ssh://nobody@192.0.2.1", "api_timeout": 2}
    with ModuleProcess(CONTAINER, args, env={"PATH": f"{tmp_path}:{os.environ['PATH']}"}) as module:
        said = module.start().result(LIMIT)
    assert "ssh://nobody@192.0.2.1 did not answer within 2 seconds" in said.msg


def test_an_engine_that_hangs_is_told_wherever_it_is_waited_for(
    docker_api: docker.APIClient,
    base_images: BaseImages,
    registry: Registry,
    scratch: Scratch,
    archive: str,
    context: str,
    short_tmp: Path,
) -> None:
    guest = {"image": base_images.one, "timeout": 3600}
    module_process(CONTAINER, {**guest, "name": scratch("old")})
    import_image(docker_api, scratch("saved:1"), "saved")
    saved = Path(archive).with_name("saved.tar")
    saved.write_bytes(b"".join(docker_api.get_image(scratch("saved:1"))))
    docker_api.remove_image(scratch("saved:1"))
    login = {"registry_username": registry.auth["username"], "registry_password": registry.auth["password"]}
    rows: dict[str, tuple[str, str, Mapping[str, Any]]] = {
        "GET /version": (CONTAINER, "", {**guest, "name": scratch("a")}),
        "POST /containers/create": (CONTAINER, "", {**guest, "name": scratch("b")}),
        "GET /events": (
            CONTAINER,
            "",
            {**guest, "name": scratch("c"), "healthcheck": NEVER_HEALTHY, "wait_for": "healthy"},
        ),
        "POST /containers/[^/]+/stop": (
            CONTAINER,
            "the next run puts the old container back",
            {**guest, "name": scratch("old"), "env": {"A": "1"}, "stop_timeout": 0},
        ),
        "POST /images/create": (IMAGE, "", {"name": scratch("d:1"), "import": {"path": archive}}),
        "POST /images/load": (IMAGE, "", {"name": scratch("e:1"), "load": {"path": str(saved)}}),
        "POST /build": (IMAGE, "", {"name": scratch("f:1"), "build": {"path": context}}),
        "POST /images/creat[e]": (IMAGE, "", {**login, "name": registry.push(base_images.one, "kt/hangs:1")}),
    }
    with ExitStack() as stack:
        # All at once: each waits as long as it takes to find out.
        running = {}
        for number, (route, (name, _words, args)) in enumerate(rows.items()):
            (short_tmp / str(number)).mkdir()
            proxy = stack.enter_context(RecordingProxy(short_tmp / str(number)))
            proxy.hang(*route.split(" ", 1))
            given = {**args, "docker_host": proxy.base_url, "api_timeout": 4}
            running[route] = proxy, stack.enter_context(ModuleProcess(name, given)).start()
        results = {route: (proxy, module.result(LIMIT)) for route, (proxy, module) in running.items()}
    for route, (proxy, result) in results.items():
        assert result.failed, route
        assert f"the engine at {proxy.base_url} did not answer within" in result.msg, (route, result.msg)
        assert "See whether it hangs" in result.msg and "api_timeout" in result.msg, (route, result.msg)
        assert rows[route][1] in result.msg and "tls options" not in result.msg, (route, result.msg)
        assert "Traceback" not in result.stdout + result.stderr, result.stderr
    again = module_process(CONTAINER, {**guest, "name": scratch("old"), "env": {"A": "1"}})
    assert not again.failed and scratch.found().containers == [scratch("c"), scratch("old")], again.msg


def test_an_engine_that_works_in_silence_does_not_hang(scratch: Scratch, context: str, proxy: RecordingProxy) -> None:
    """A step of a build that says nothing for longer than an answer may take."""
    built = module_process(
        IMAGE,
        {"name": scratch("slow:1"), "build": {"path": context}, "docker_host": proxy.base_url, "api_timeout": 1},
        timeout=LIMIT,
    )
    assert not built.failed and built.changed, built.msg
    assert any(request.route == "/_ping" for request in proxy.requests)


# An engine of the tests' own --------------------------------------------------------------------------------------


@pytest.fixture
def engine(second_daemon: SecondDaemon, short_tmp: Path) -> Iterator[RecordingProxy]:
    with second_daemon.client() as client:
        if not client.images(name="kt"):
            import_image(client, "kt:1", "1")
    with RecordingProxy(short_tmp, str(second_daemon.socket)) as proxy:
        yield proxy
    with second_daemon.client() as client:
        for each in client.containers(all=True):
            client.remove_container(each["Id"], force=True)


def guest(proxy: RecordingProxy, **args: Any) -> dict[str, Any]:
    return {"name": "kt-guest", "image": "kt:1", "network_mode": "none", "docker_host": proxy.base_url, **args}


def test_an_engine_that_stops_while_its_events_are_heard(second_daemon: SecondDaemon, engine: RecordingProxy) -> None:
    args = guest(engine, healthcheck=NEVER_HEALTHY, wait_for="healthy", timeout=3600, api_timeout=4)
    with ModuleProcess(CONTAINER, args).start() as module:
        until(lambda: any(request.route == "/events" and request.status for request in engine.requests))
        second_daemon.freeze()
        try:
            result = module.result(LIMIT)
        finally:
            second_daemon.thaw()
    assert result.failed and f"the engine at {engine.base_url} did not answer within 4 seconds" in result.msg, (
        result.msg
    )


@pytest.mark.parametrize("steps", [4, 6], ids=["the old one stopped", "the new one started"])
def test_after_a_crash_and_a_restart_of_the_engine_one_of_them_runs(
    second_daemon: SecondDaemon, engine: RecordingProxy, steps: int
) -> None:
    """Both would write to the same volume."""
    first = module_process(CONTAINER, guest(engine, restart_policy="always"), timeout=LIMIT)
    assert not first.failed, first.msg
    engine.fail_after(steps, Cut.KILL)
    died = module_process(CONTAINER, guest(engine, env={"A": "1"}), timeout=LIMIT)
    assert died.failed and engine.heal()
    second_daemon.restart()
    with second_daemon.client() as client:
        names = sorted(name for each in client.containers() for name in each["Names"])
        assert len(names) <= 1 and not any(".kraal-was-" in name for name in names), names
    done: Result = module_process(CONTAINER, guest(engine, env={"A": "1"}), timeout=LIMIT)
    assert not done.failed, done.msg
    with second_daemon.client() as client:
        (only,) = client.containers(all=True)
        data = client.inspect_container(only["Id"])
    assert (data["Name"], data["HostConfig"]["RestartPolicy"]["Name"]) == ("/kt-guest", "always")
    assert "A=1" in data["Config"]["Env"] and data["State"]["Running"]


@pytest.mark.parametrize("state", ["running", "paused"])
def test_what_is_put_back_is_started_by_the_engine_as_before(
    second_daemon: SecondDaemon, engine: RecordingProxy, state: str
) -> None:
    module_process(CONTAINER, guest(engine, restart_policy="on-failure:3", state=state), timeout=LIMIT)
    failed = module_process(CONTAINER, guest(engine, user="nobody-knows-him", state=state), timeout=LIMIT)
    assert failed.failed and "the old container was put back" in failed.msg, failed.msg
    with second_daemon.client() as client:
        data = client.inspect_container("kt-guest")
    assert data["HostConfig"]["RestartPolicy"] == {"Name": "on-failure", "MaximumRetryCount": 3}
    assert data["State"]["Status"] == state


def until(reached: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LIMIT
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.05)
