# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The recording proxy passes everything a daemon does unharmed, records it, and crashes exactly where it is told to."""

from __future__ import annotations

import io
import json
import shutil
import socket
import subprocess
import sys
import tarfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import docker
import pytest
import requests

from tests.support.images import root_tar
from tests.support.proxy import Cut, RecordingProxy


@pytest.fixture
def api(proxy: RecordingProxy):
    with docker.APIClient(base_url=proxy.base_url, version="auto", timeout=20) as client:
        yield client


def names(client, scratch) -> list[str]:
    return [name.removeprefix(scratch.prefix) for name in scratch.found().containers]


def test_reads_are_recorded_and_no_step(proxy, api, base_image) -> None:
    api.containers(all=True)
    api.inspect_image(base_image)
    assert {r.method for r in proxy.requests} == {"GET"} and proxy.mutations == []
    assert proxy.requests[-1].route == f"/images/{base_image}/json" and proxy.requests[-1].status == 200


def test_body_query_and_keep_alive(proxy, api, base_image, scratch) -> None:
    api.create_container(base_image, name=scratch("a"), environment={"A": "ä"})
    step = proxy.steps[-1]
    assert (str(step), step.query["name"], step.json()["Env"], step.status) == (
        "POST /containers/create",
        [scratch("a")],
        ["A=ä"],
        201,
    )
    assert names(api, scratch) == ["a"]


def test_errors_pass(proxy, api) -> None:
    with pytest.raises(docker.errors.NotFound):
        api.start("kt-no-such-container")
    assert proxy.steps[-1].status == 404


def test_chunked_upload_of_a_large_import(proxy, api, docker_api, scratch) -> None:
    data = root_tar("upload", {"data/zeroes": "0" * 20_000_000})

    def pieces():
        for start in range(0, len(data), 70_001):
            yield data[start : start + 70_001]

    response = api.post(
        api._url("/images/create"),
        data=pieces(),
        params={"fromSrc": "-", "repo": scratch("big"), "tag": "1"},
        timeout=60,
    )
    assert response.status_code == 200, response.text
    assert proxy.steps[-1].headers["transfer-encoding"] == "chunked" and proxy.steps[-1].body_size == len(data)
    assert docker_api.inspect_image(scratch("big") + ":1")["Size"] > 20_000_000


def test_upload_with_a_length(proxy, api, docker_api, base_image, scratch) -> None:
    api.create_container(base_image, name=scratch("a"))
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        entry = tarfile.TarInfo("file")
        entry.size = 3_000_000
        tar.addfile(entry, io.BytesIO(b"x" * entry.size))
    api.put_archive(scratch("a"), "/data", out.getvalue())
    stream, _stat = api.get_archive(scratch("a"), "/data/file")
    with tarfile.open(fileobj=io.BytesIO(b"".join(stream))) as tar:
        assert tar.getmember("file").size == 3_000_000


def test_expect_continue(proxy, scratch) -> None:
    body = json.dumps({"Name": scratch("net")}).encode()
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(10)
        client.connect(proxy.path)
        client.sendall(
            b"POST /networks/create HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nExpect: 100-continue\r\n"
            b"Content-Length: %d\r\n\r\n" % len(body)
        )
        assert client.recv(1000).startswith(b"HTTP/1.1 100 Continue\r\n\r\n")
        client.sendall(body)
        assert client.recv(1000).startswith(b"HTTP/1.1 201")


def test_events_come_at_once(proxy, api, docker_api, base_image, scratch) -> None:
    events = api.events(decode=True, filters={"type": "container"})
    seen = threading.Event()

    def listen() -> None:
        for event in events:
            if event["Actor"]["Attributes"].get("name") == scratch("a"):
                seen.set()
                return

    thread = threading.Thread(target=listen, daemon=True)
    thread.start()
    docker_api.create_container(base_image, name=scratch("a"))
    assert seen.wait(10), "an event was held back"
    thread.join(10)


def test_exec_and_attach_are_hijacked_both_ways(proxy, api, base_image, scratch) -> None:
    api.create_container(base_image, name=scratch("a"), command=["/bin/cat"], stdin_open=True)
    api.start(scratch("a"))
    made = api.exec_create(scratch("a"), ["/bin/cat"], stdin=True)
    raw = api.exec_start(made["Id"], socket=True)
    raw._sock.sendall(b"there and back")
    raw._sock.shutdown(socket.SHUT_WR)
    received = b""
    while piece := raw._sock.recv(1000):
        received += piece
    assert received.endswith(b"there and back")
    # The streams may end before docker has heard of the process's end.
    while (ended := api.exec_inspect(made["Id"]))["Running"]:
        time.sleep(0.1)
    assert ended["ExitCode"] == 0
    attached = api.attach_socket(scratch("a"), params={"stdin": 1, "stdout": 1, "stream": 1})
    attached._sock.sendall(b"attached")
    assert attached._sock.recv(1000).endswith(b"attached")
    attached._sock.close()


def test_the_cli_runs_a_container(proxy, base_image, scratch) -> None:
    """Attach, wait and the start of a container side by side, from another HTTP client."""
    cli = shutil.which("docker")
    if cli is None:
        pytest.skip("this machine has no docker CLI")
    done = subprocess.run(
        [cli, "-H", proxy.base_url, "run", "--rm", "-i", "--name", scratch("run"), base_image, "cat"],
        input="through\n",
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "through\n"), done.stderr
    assert [str(r).rsplit("/", maxsplit=1)[-1] for r in proxy.steps][:3] == ["create", "attach", "start"]


def test_an_answer_that_is_rewritten(proxy, api, base_image, scratch) -> None:
    """Of the routes that were named, in JSON, as bytes, or as a status; and the connection goes on."""
    made = api.create_container(base_image, name=scratch("a"))["Id"]
    proxy.rewrite(f"/containers/{made}/json", lambda data: {**data, "Name": "/other"})
    proxy.rewrite("/info", lambda _data: b"{")
    proxy.rewrite("/version", lambda _data: 500)
    assert api.inspect_container(made)["Name"] == "/other"
    assert api.inspect_container(scratch("a"))["Name"] == f"/{scratch('a')}"
    with pytest.raises(requests.exceptions.JSONDecodeError):
        api.info()
    with pytest.raises(docker.errors.APIError, match="rewritten"):
        api.version()
    assert api.inspect_container(scratch("a"))["Id"] == made


def test_a_wait_is_no_step(proxy, api, base_image, scratch) -> None:
    api.create_container(base_image, name=scratch("a"), command=["true"])
    api.start(scratch("a"))
    api.wait(scratch("a"))
    assert len(proxy.steps) == 2 and len(proxy.mutations) == 3


def create_three(url: str, image: str, prefix: str) -> int:
    """What a module does, in the test itself: how many creations were confirmed before the connection broke."""
    confirmed = 0
    client = docker.APIClient(base_url=url, version="1.41", timeout=120)
    try:
        for name in ("a", "b", "c"):
            client.create_container(image, name=prefix + name)
            confirmed += 1
    except (requests.exceptions.ConnectionError, docker.errors.DockerException):
        return confirmed
    finally:
        client.close()
    return confirmed


@pytest.mark.parametrize("steps", [0, 1, 2, 3])
@pytest.mark.parametrize("how", [Cut.BEFORE, Cut.AFTER])
def test_crash_after_step(proxy, docker_api, base_image, scratch, steps, how) -> None:
    proxy.fail_after(steps, how)
    confirmed = create_three(proxy.base_url, base_image, scratch.prefix)
    assert proxy.crashed.wait(5)
    assert names(docker_api, scratch) == ["a", "b", "c"][:steps]
    assert confirmed == (steps if how is Cut.AFTER else max(0, steps - 1))
    with pytest.raises(docker.errors.DockerException), docker.APIClient(base_url=proxy.base_url, version="auto"):
        pass
    proxy.heal()
    with docker.APIClient(base_url=proxy.base_url, version="auto") as client:
        assert names(client, scratch) == ["a", "b", "c"][:steps]


def test_no_crash_while_the_steps_are_fewer(proxy, base_image, scratch) -> None:
    proxy.fail_after(4)
    assert create_three(proxy.base_url, base_image, scratch.prefix) == 3
    assert not proxy.crashed.is_set()


def test_crash_kills_the_process_that_asked(proxy, docker_api, base_image, scratch) -> None:
    proxy.fail_after(2, Cut.KILL)
    code = "import sys; from tests.integration.support.test_proxy import create_three; create_three(*sys.argv[1:])"
    done = subprocess.run(
        [sys.executable, "-c", code, proxy.base_url, base_image, scratch.prefix], timeout=300, check=False
    )
    assert done.returncode == -9
    assert proxy.crashed.wait(5)
    assert names(docker_api, scratch) == ["a", "b"]


@pytest.mark.parametrize("how", [Cut.BEFORE, Cut.AFTER])
def test_crash_among_parallel_steps(proxy, docker_api, base_image, scratch, how) -> None:
    """Eight at a time: exactly the first five steps are done when the crash comes."""
    proxy.fail_after(5, how)

    def create(number: int) -> bool:
        with docker.APIClient(base_url=proxy.base_url, version="1.41", timeout=120) as client:
            try:
                client.create_container(base_image, name=scratch(f"p{number}"))
            except requests.exceptions.ConnectionError:
                return False
        return True

    with ThreadPoolExecutor(8) as pool:
        confirmed = sum(pool.map(create, range(8)))
    assert proxy.crashed.wait(5)
    assert len(names(docker_api, scratch)) == 5
    assert confirmed in ((4,) if how is Cut.BEFORE else (5,))


def test_streamed_answer_is_withheld_as_a_whole(proxy, docker_api, scratch) -> None:
    proxy.fail_after(1)
    with (
        docker.APIClient(base_url=proxy.base_url, version="1.41", timeout=20) as client,
        pytest.raises(requests.exceptions.ConnectionError),
    ):
        client.import_image_from_data(root_tar("x"), repository=scratch("img"), tag="1")
    assert scratch.found().images == [scratch("img") + ":1"]
