# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Guests that are made side by side and have storage in common: nobody takes another's away, and nobody stands in
another's way.
"""

from __future__ import annotations

import functools
import hashlib
import http.server
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.ansible_runner import Result
from tests.support.libvirt_daemon import LibvirtDaemon
from tests.support.module_process import ModuleProcess, module_process

from .driver import FORCE, Driver
from .test_storage import image, info, vol

MIB = 1024**2
COMMON = {"state": "present", "type": "qemu", "memory": "64MiB", **FORCE}
SHARED = {"volume": "shared.raw", "size": "1MiB", "shareable": True}


def fleet(host: LibvirtDaemon, guests: list[dict[str, Any]], **options: Any) -> Result:
    given = {"guests": [{**COMMON, **guest} for guest in guests], "defaults": {"backend": "kvm", "uri": host.uri}}
    return module_process("kraal.virt.fleet", {**given, **options})


def mark(path: str) -> None:
    """Write into a volume what has to be there later on."""
    with open(path, "r+b") as file:
        file.write(b"somebody's data")


def marked(path: str) -> bool:
    return Path(path).read_bytes().startswith(b"somebody's data")


def test_two_guests_share_a_new_volume(driver: Driver) -> None:
    """Both plans see no volume; the second guest finds what the first has made."""
    guests = [{"name": f"kt-{number}", "disks": [SHARED]} for number in (1, 2)]
    for concurrency in (1, 8):
        done = fleet(driver.host, guests, concurrency=concurrency)
        assert not done.failed, done.msg
        assert driver.names() == ["kt-1", "kt-2"] and driver.volumes() == ["shared.raw"]
        again = fleet(driver.host, guests)
        assert not again.failed and again["plan"] == []
        driver.clear()


@pytest.mark.parametrize(
    "second", [{}, {"size": "2MiB", "shareable": True}, {"format": "qcow2"}], ids=["own", "larger", "other"]
)
def test_two_guests_want_a_volume_that_they_cannot_share(driver: Driver, second: dict[str, Any]) -> None:
    """The second says so, and leaves the first one's alone."""
    disk = {"volume": "same", "size": "1MiB", "format": "raw"}
    guests = [{"name": "kt-1", "disks": [disk]}, {"name": "kt-2", "disks": [{**disk, **second}]}]
    done = fleet(driver.host, guests, concurrency=1)
    assert done.failed and "kt-2" in done.msg and vol(driver, "same") in done.msg and "Name" in done.msg, done.msg
    assert driver.names() == ["kt-1"] and driver.volumes() == ["same"]


def test_a_guest_that_cannot_start_takes_no_shared_volume_along(driver: Driver, tmp_path: Path) -> None:
    broken = [SHARED, {"size": "1MiB"}, {"target": "sdc", "device": "cdrom", "path": str(tmp_path / "nothing.iso")}]
    for order in (1, -1):
        guests = [{"name": "kt-1", "disks": [SHARED]}, {"name": "kt-2", "disks": broken, "state": "running"}][::order]
        done = fleet(driver.host, guests, concurrency=1)
        assert done.failed and "nothing.iso" in done.msg
        # Made by whoever came first: where that one had to give up before anybody else had come, it was nobody's.
        assert driver.names() == ["kt-1"] and driver.volumes() == ["shared.raw"]
        driver.clear()


def test_a_run_that_died_takes_no_volume_that_another_guest_has_made_since(driver: Driver) -> None:
    one, two = driver.of("kt-1"), driver.of("kt-2")
    given = {"state": "present", "disks": [SHARED, {"size": "1MiB"}]}
    # It has written down what it makes, and no more.
    two.module.run(crash=(1, "after"), **two.arguments(**given))
    one.make(**given)
    mark(vol(driver, "shared.raw"))
    two.make(**given)
    assert marked(vol(driver, "shared.raw"))
    assert driver.names() == ["kt-1", "kt-2"] and len(driver.volumes()) == 3
    two.again(**given)
    driver.clear()
    # The same where what is left of it is taken away.
    two.module.run(crash=(1, "after"), **two.arguments(**given))
    one.make(**given)
    mark(vol(driver, "shared.raw"))
    two.make(state="absent")
    assert marked(vol(driver, "shared.raw")) and driver.names() == ["kt-1"]


@contextmanager
def web(directory: Path, wait: Callable[[], None] = lambda: None) -> Iterator[tuple[str, list[str]]]:
    """A server for the files of a directory: its address, and what was asked of it."""
    asked: list[str] = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            wait()
            super().do_GET()

    with http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Handler, directory=str(directory))
    ) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", asked
        server.shutdown()


def random_image(path: Path, megabytes: int) -> str:
    """A raw image that takes a while to copy; its digest."""
    path.write_bytes(os.urandom(megabytes * MIB))
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_an_image_from_the_web_is_fetched_once_for_all(driver: Driver, tmp_path: Path) -> None:
    """By the guests of one fleet, and by another run at the same time."""
    digest = random_image(tmp_path / "base.raw", 32)
    with web(tmp_path) as (address, asked):
        source = {"image": f"{address}/base.raw", "checksum": f"sha256:{digest}", "clone": "linked"}
        guests = [{"name": f"kt-{number}", "disks": [{"size": "64MiB"}], "source": source} for number in range(4)]
        runs = [
            ModuleProcess(
                "kraal.virt.kvm_vm", {**COMMON, **guest, "uri": driver.host.uri, "name": f"kt-alone-{number}"}
            ).start()
            for number, guest in enumerate(guests[:2])
        ]
        done = fleet(driver.host, guests)
        results = [done, *(run.result() for run in runs)]
    assert [each.msg for each in results if each.failed] == []
    assert asked == ["/base.raw"]
    base = f"kraal-base-{digest[:32]}"
    assert [name for name in driver.volumes() if name.startswith("kraal")] == [base]
    assert hashlib.sha256(Path(vol(driver, base)).read_bytes()).hexdigest() == digest
    assert {info(vol(driver, name))["backing-filename"] for name in driver.volumes() if name != base} == {
        vol(driver, base)
    }


@pytest.mark.parametrize(("copied", "where"), [(False, ""), (True, ""), (True, ".elsewhere")])
def test_what_a_run_that_died_had_fetched_is_fetched_anew(
    driver: Driver, tmp_path: Path, copied: bool, where: str
) -> None:
    """Its copy under the final name, too: libvirt may have died in the middle of it, whichever host's run asked for it.

    Another host's part is that host's.
    """
    digest = random_image(tmp_path / "base.raw", 2)
    base = f"kraal-base-{digest[:32]}"
    part = f"{base}{where}.kraal-part"
    for name in (base, part) if copied else (part,):
        Path(vol(driver, name)).write_bytes(b"half of it" * 512)
    driver.volumes()
    with web(tmp_path) as (address, _asked):
        driver.make(
            state="present",
            disks=[{"size": "8MiB"}],
            source={"image": f"{address}/base.raw", "checksum": f"sha256:{digest}"},
        )
    assert driver.volumes() == [base, *([part] if where else []), "kt-guest-vda.qcow2"]
    assert hashlib.sha256(Path(vol(driver, base)).read_bytes()).hexdigest() == digest


def test_what_guests_stand_on_is_not_fetched_anew(driver: Driver, tmp_path: Path) -> None:
    digest = random_image(tmp_path / "base.raw", 2)
    base = Path(vol(driver, f"kraal-base-{digest[:32]}"))
    base.write_bytes((tmp_path / "base.raw").read_bytes())
    image(base.parent / "over.qcow2", "", "qcow2", "-b", str(base), "-F", "raw")
    Path(f"{base}.kraal-part").write_bytes(b"half of it" * 512)
    driver.volumes()
    before = base.stat().st_ino
    with web(tmp_path) as (address, asked):
        driver.make(
            state="present",
            disks=[{"size": "8MiB"}],
            source={"image": f"{address}/base.raw", "checksum": f"sha256:{digest}"},
        )
    assert asked == [] and base.stat().st_ino == before
    assert driver.volumes() == [base.name, "kt-guest-vda.qcow2", "over.qcow2"]


def test_many_full_copies_with_seeds_in_one_pool(driver: Driver) -> None:
    """Libvirt does not look at a pool anew while a volume is being made in it."""
    random_image(driver.host.pools / "default" / "base.raw", 96)
    driver.volumes()
    source = {"volume": "base.raw", "clone": "full"}
    guests = [
        {
            "name": f"kt-{number}",
            "disks": [{"size": "128MiB"}],
            "source": source,
            "cloud_init": {"user_data": f"#cloud-config\nhostname: kt-{number}\n"},
        }
        for number in range(5)
    ]
    one = ModuleProcess("kraal.virt.kvm_vm", {**COMMON, **guests.pop(), "uri": driver.host.uri}).start()
    done = fleet(driver.host, guests)
    alone = one.result()
    assert [each.msg for each in (done, alone) if each.failed] == []
    assert len(driver.volumes()) == 1 + 2 * 5


@pytest.mark.parametrize("kind", ["space", "short", "nonsense", "refused"])
def test_an_image_that_cannot_be_fetched_leaves_nothing(driver: Driver, kind: str) -> None:
    """Whatever goes wrong with the web, it is one guest's failure."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        answers = {
            "short": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10\r\nabc",
            "nonsense": b"hello\r\n\r\n",
        }

        def serve() -> None:
            try:
                with server.accept()[0] as connection:
                    connection.recv(65536)
                    connection.sendall(answers[kind])
            except OSError:
                return

        if kind in answers:
            threading.Thread(target=serve, daemon=True).start()
        elif kind == "refused":
            server.close()
        url = f"http://127.0.0.1:{port}/a{' ' if kind == 'space' else '-'}b.qcow2"
        source = {"image": url, "checksum": "sha256:" + "1" * 64}
        done = fleet(driver.host, [{"name": "kt-1", "disks": [{"size": "8MiB"}], "source": source}, {"name": "kt-2"}])
    assert (
        done.failed
        and "source.image" in done.msg
        and "cannot be fetched" in done.msg
        and "Traceback" not in done.stdout + done.stderr
    ), done.stderr
    assert driver.names() == ["kt-2"] and driver.volumes() == []
