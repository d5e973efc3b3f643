# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tests' own libvirtd touches nothing of the machine's and leaves nothing, and the calls to it are counted."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import tempfile
from pathlib import Path

import pytest

from tests.support.libvirt_daemon import LibvirtDaemon
from tests.support.libvirt_driver import LibvirtModule, stored
from tests.support.module_process import module_environment, module_process

NETWORK = "<network><name>kt-net</name><forward mode='nat'/><bridge name='ktbr5'/><ip address='198.18.5.1' prefix='24'/></network>"
GUEST = "<domain type='qemu'><name>kt-guest</name><memory unit='MiB'>32</memory><os><type arch='x86_64' machine='pc'>hvm</type></os></domain>"


def of_the_machine() -> tuple[int, bool, list[str]]:
    """Its mounts and its network, as this process sees them, and what libvirt would keep there."""
    places = ("/etc/libvirt/qemu", "/run/libvirt/network", "/var/lib/libvirt/dnsmasq")
    # Not what another test makes in this machine's libvirt.
    kept = [
        str(path)
        for place in places
        for path in sorted(Path(place).rglob("kt-*"))
        if path.stem in ("kt-net", "kt-guest")
    ]
    links = subprocess.run(["ip", "-o", "link"], check=True, capture_output=True, text=True).stdout
    return Path("/proc/self/mountinfo").read_text(encoding="utf-8").count("kt-dev"), "ktbr5" in links, kept


def processes(directory: str) -> list[str]:
    return [path for path in os.listdir("/proc") if path.isdecimal() and directory in _arguments(path)]


def _arguments(pid: str) -> str:
    try:
        return Path("/proc", pid, "cmdline").read_bytes().decode(errors="replace")
    except OSError:
        return ""


def test_it_stays_within_its_walls() -> None:
    before = of_the_machine()
    with tempfile.TemporaryDirectory(prefix="kt-") as directory:
        with LibvirtDaemon(Path(directory)) as daemon:
            daemon.define("net-", NETWORK)
            daemon.virsh("net-start", "kt-net")
            daemon.define("", GUEST)
            daemon.virsh("start", "kt-guest")
            assert "ktbr5" in daemon.inside("ip", "link")
            assert "198.18.5.0/24" in daemon.inside("iptables-save")
            assert "kvm" not in daemon.inside("ls", "/dev").split()
            assert of_the_machine() == before
            for number in (signal.SIGTERM, signal.SIGKILL):
                daemon.restart(number)
                assert "kt-guest" in daemon.virsh("list", "--name")
            daemon.clear()
            assert (
                daemon.virsh("list", "--all", "--name").split()
                == daemon.virsh("net-list", "--all", "--name").split()
                == []
            )
            assert processes(directory)
        assert processes(directory) == []
        assert of_the_machine() == before


def test_calls_are_counted_and_crash(libvirt_daemon: LibvirtDaemon) -> None:
    args = {"name": "kt-counted", "subnets": ["198.18.6.1/24"]}
    try:
        with LibvirtModule("kraal.virt.kvm_network", libvirt_daemon) as module:
            assert not module.run(check=True, **args).failed
            assert module.calls == []
            empty = stored(libvirt_daemon)
            assert module.run(crash=(0, "before"), **args).rc == -signal.SIGKILL
            assert stored(libvirt_daemon) == empty
            assert module.run(crash=(0, "after"), **args).rc == -signal.SIGKILL
            assert module.calls == ["virConnect.networkDefineXMLFlags"]
            assert stored(libvirt_daemon) != empty
            assert not module.run(**args).failed
            assert module.calls == ["virNetwork.create"]
    finally:
        libvirt_daemon.clear()


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("qemu+unix:///system?socket=/nowhere/sock", ["no libvirt daemon answers", "libvirt-daemon-system"]),
        ("qemu+ssh://root@127.0.0.1:1/system", ["Connection refused"]),
        ("qemu+tls://127.0.0.1/system", ["certificate", "pkipath"]),
        ("a\nb", ["uri", "is no URI"]),
    ],
)
def test_what_cannot_be_reached(libvirt_daemon: LibvirtDaemon, uri: str, words: list[str]) -> None:
    with LibvirtModule("kraal.virt.kvm_network", libvirt_daemon) as module:
        result = module.run(name="kt-x", uri=uri, subnets=["198.18.1.1/24"])
    assert result.failed
    assert [word for word in words if word not in result.msg] == [], result.msg
    # Libvirt's own habit is to print its errors.
    assert result.stderr == ""


def test_a_daemon_that_does_not_answer(short_tmp: Path, libvirt_daemon: LibvirtDaemon) -> None:
    with socket.socket(socket.AF_UNIX) as deaf, LibvirtModule("kraal.virt.kvm_network", libvirt_daemon) as module:
        deaf.bind(str(short_tmp / "sock"))
        deaf.listen()
        result = module.run(
            name="kt-x", uri=f"qemu+unix:///system?socket={short_tmp}/sock", connect_timeout=1, state="absent"
        )
    assert result.failed
    assert "did not answer within 1 seconds" in result.msg


def test_a_missing_binding_is_named(libvirt_daemon: LibvirtDaemon, tmp_path: Path) -> None:
    (tmp_path / "libvirt.py").write_text("raise ImportError('No module named libvirt')", encoding="utf-8")
    path = os.pathsep.join([str(tmp_path), module_environment()["PYTHONPATH"]])
    result = module_process(
        "kraal.virt.kvm_network",
        {"name": "kt-x", "state": "absent", "uri": libvirt_daemon.uri},
        env={"PYTHONPATH": path},
    )
    assert result.failed
    assert "python3-libvirt" in result.msg
