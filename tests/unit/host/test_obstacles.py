# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What stands in the way, on hosts on paper: who has a port, a network, a file system; whom apt asks; which packages
are missing; who sleeps.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.kraal.virt.plugins.module_utils.host import obstacles
from ansible_collections.kraal.virt.plugins.module_utils.host.engines import engines
from ansible_collections.kraal.virt.plugins.module_utils.host.installed import packages
from ansible_collections.kraal.virt.plugins.module_utils.host.packages import install, install_there, systems_in
from ansible_collections.kraal.virt.plugins.module_utils.host.reader import Host
from ansible_collections.kraal.virt.plugins.module_utils.host.verdicts.verdict import Verdict

from .recorded import Recorded

HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode"
#: named on all addresses by TCP; systemd-resolved on one of its own by UDP; a connection of TCP from port 53, which is
#: none that listens.
TCP = [
    HEAD,
    (
        "   0: 00000000:0035 00000000:0000 0A 00000000:00000000 00:00000000 00000000   101        0 4711 1 "
        "0000000000000000 100 0 0 10 0"
    ),
    (
        "   1: 00000000:0035 0100007F:1234 01 00000000:00000000 00:00000000 00000000   101        0 4712 1 "
        "0000000000000000 100 0 0 10 0"
    ),
]
UDP = [
    HEAD,
    (
        "   0: 3500007F:0035 00000000:0000 07 00000000:00000000 00:00000000 00000000   101        0 4713 2 "
        "0000000000000000 0"
    ),
]
ROUTES = [
    "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT",
    "eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0",
    "eth0\t00001FAC\t00000000\t0001\t0\t0\t0\t00F0FFFF\t0\t0\t0",
    "br-0123456789ab\t00FA1FAC\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0",
]
RELEASE = ["ID=debian", 'VERSION_ID="13"', "PRETTY_NAME=x"]


class Paper(Recorded):
    """What is tried out, and who is reached, is told by the test."""

    def __init__(self, root: Path, *, bound: Sequence[int] = (), reached: Sequence[str] = (), **host: Any) -> None:
        super().__init__({"machine": "x86_64", "user": 0, "files": {}, **host}, root)
        self.bound, self.reached = bound, list(reached)
        self.asked: list[tuple[str, int]] = []

    def binds(self, port: int) -> bool:
        return port not in self.bound

    def reach(self, places: Sequence[tuple[str, int]], seconds: float = 5) -> list[str]:
        self.asked = list(places)
        return self.reached


def test_who_has_a_port_is_named(tmp_path: Path) -> None:
    links = {"/proc/812/fd/20": "socket:[4711]", "/proc/813/fd/3": "socket:[4713]", "/proc/814/fd/3": "socket:[4712]"}
    files = {
        "/proc/net/tcp": TCP,
        "/proc/net/udp": UDP,
        "/proc/812/comm": ["named"],
        "/proc/813/comm": ["systemd-resolve"],
    }
    host = Paper(tmp_path, files=files, links=links, bound=[53])
    (obstacle,) = obstacles.obstacles(host, [], {"ports": [53, 67]})
    assert obstacle["check"] == "port"
    assert "port 53 is taken on all addresses by named (pid 812), " in obstacle["found"]
    assert obstacle["text"].startswith("Port 53") and obstacle["remedy"] + "." in obstacle["text"]


def test_a_port_whose_holder_cannot_be_seen(tmp_path: Path) -> None:
    (obstacle,) = obstacles.port_holders(Paper(tmp_path, bound=[53]), [53])
    assert "by a program that cannot be seen from here" in obstacle["found"]


@pytest.mark.parametrize(
    ("subnet", "taken"),
    [
        ("172.31.0.0/20", "eth0 (172.31.0.0/20)"),
        ({"subnet": "172.31.8.0/24", "gateway": "172.31.8.1"}, "eth0 (172.31.0.0/20)"),
        ("172.31.250.0/24", ""),
        ("172.30.0.0/24", ""),
        ("2001:db8::/64", ""),
        ("nonsense", ""),
    ],
    ids=["overlaps", "with its gateway", "the engine's own bridge", "free", "IPv6", "nonsense"],
)
def test_networks_that_the_host_is_in(tmp_path: Path, subnet: object, taken: str) -> None:
    found = list(obstacles.subnet_holders(Paper(tmp_path, files={"/proc/net/route": ROUTES}), [subnet]))
    assert [obstacle["found"].partition("host: ")[2] for obstacle in found] == ([taken] if taken else [])


def test_space_is_counted_by_file_system_and_below_what_is_there(tmp_path: Path) -> None:
    mib = 1 << 20
    host = Paper(tmp_path, space={"/": [9000 * mib, 700 * mib, 1], "/srv": [9000 * mib, 5000 * mib, 2]})
    assert not list(obstacles.too_full(host, {"/usr": 400 * mib, "/srv/images": 4000 * mib}))
    (obstacle,) = obstacles.too_full(host, {"/usr": 400 * mib, "/var/lib/docker": 500 * mib, "/srv/images": 4000 * mib})
    assert obstacle["found"] == "about 900 MiB are needed below /usr and /var/lib/docker, and 700 MiB are free there"


def test_what_is_there_needs_no_space_and_no_mirror(tmp_path: Path) -> None:
    host = Paper(tmp_path, space={"/": [1 << 30, 0, 1]})
    assert obstacles.obstacles(host, [], {"space": {"/usr": 1 << 30}}) == []
    assert [each["check"] for each in obstacles.obstacles(host, ["lxc"], {"space": {"/usr": 1 << 30}})] == ["space"]
    assert [
        each["check"] for each in obstacles.obstacles(host, [], {"space": {"/usr": 1 << 30}, "downloads": {"/none": 0}})
    ] == ["space"]


URIS = (
    "'http://deb.debian.org/debian/dists/trixie/InRelease' x 0 \n'https://mirror.example.org:8443/x/InRelease' y 0 \n"
)


@pytest.mark.parametrize(
    ("settings", "environment", "asked"),
    [
        ("", {}, {("deb.debian.org", 80), ("mirror.example.org", 8443)}),
        (
            'Acquire::http::Proxy "http://cache.example.org:3142/";',
            {},
            {("cache.example.org", 3142), ("mirror.example.org", 8443)},
        ),
        ("", {"http_proxy": "cache:3128", "https_proxy": "http://cache:3128"}, {("cache", 3128)}),
        (
            "",
            {"http_proxy": "cache:3128", "no_proxy": "localhost, .debian.org"},
            {("deb.debian.org", 80), ("mirror.example.org", 8443)},
        ),
        (
            'Acquire::http::Proxy "http://cache:1";\nAcquire::http::Proxy::deb.debian.org "DIRECT";',
            {},
            {("deb.debian.org", 80), ("mirror.example.org", 8443)},
        ),
        ('Acquire::http::Proxy-Auto-Detect "/usr/bin/auto-apt-proxy";', {}, None),
    ],
    ids=[
        "direct",
        "a proxy",
        "a proxy of the environment",
        "not for these",
        "not for this",
        "a proxy that is looked for",
    ],
)
def test_whom_apt_asks(settings: str, environment: dict[str, str], asked: set[tuple[str, int]] | None) -> None:
    assert obstacles.mirrors(URIS, settings, environment) == asked


def test_packages_from_a_disk_need_no_mirror() -> None:
    assert obstacles.mirrors("'file:/srv/debian/dists/trixie/InRelease' x 0 \n", "", {}) is None


@pytest.mark.parametrize(
    ("reached", "count"), [(["a: Network is unreachable", "b does not answer"], 1), (["", "b does not answer"], 0)]
)
def test_one_mirror_is_enough(tmp_path: Path, reached: list[str], count: int) -> None:
    programs = {"apt-get": "/usr/bin/apt-get", "apt-config": "/usr/bin/apt-config"}
    commands = {
        "apt-get update --print-uris": {"rc": 0, "out": URIS.splitlines(), "err": []},
        "apt-config dump": {"rc": 0, "out": [], "err": []},
    }
    host = Paper(tmp_path, reached=reached, programs=programs, commands=commands)
    found = obstacles.unreachable(host, ["fdisk", "lxc"])
    assert len(host.asked) == 2 and len(found) == count
    assert all(
        "cannot be reached: a: Network is unreachable, b does not answer (missing here: fdisk, lxc)" in each["found"]
        for each in found
    )


# Packages


def test_missing_packages(tmp_path: Path) -> None:
    query = "dpkg-query --show --showformat ${Package} ${db:Status-Status}\\n docker-cli e2fsprogs fdisk tree"
    said = ["docker-cli config-files", "e2fsprogs installed", "tree installed"]
    host = Paper(
        tmp_path,
        files={"/etc/os-release": RELEASE},
        programs={"dpkg-query": "/usr/bin/dpkg-query"},
        commands={query: {"rc": 1, "out": said, "err": ["dpkg-query: no packages found matching fdisk"]}},
    )
    found = packages(host, ["docker", "mke2fs", "debugfs", "sfdisk", "package:tree"])
    assert found["missing"] == ["docker-cli", "fdisk"] and found["installed"] == ["e2fsprogs", "tree"]
    assert found["of"] == {
        "docker": "docker-cli",
        "mke2fs": "e2fsprogs",
        "debugfs": "e2fsprogs",
        "sfdisk": "fdisk",
        "package:tree": "tree",
    }


def test_a_system_whose_packages_nobody_can_ask_for(tmp_path: Path) -> None:
    host = Paper(tmp_path, files={"/etc/os-release": ["ID=plan9"]}, programs={"ip": "/bin/ip"})
    assert packages(host, ["ip", "sfdisk", "python:docker"])["missing"] == ["sfdisk"]


@pytest.mark.parametrize(
    ("release", "systems"),
    [
        ('ID=debian\nVERSION_ID="12"\n', ["Debian 12", "Debian", "Debian"]),
        ("ID=ubuntu\nID_LIKE=debian\nVERSION_ID='22.04'\n", ["Ubuntu 22", "Ubuntu", "Debian"]),
        ('ID="almalinux"\nID_LIKE="rhel centos fedora"\nVERSION_ID="9.4"\n', ["Almalinux 9", "Almalinux", "RedHat"]),
        (
            'ID="opensuse-leap"\nID_LIKE="suse opensuse"\nVERSION_ID="16.0"\n',
            ["Opensuse-leap 16", "Opensuse-leap", "Suse"],
        ),
        ("", [" ", "", ""]),
    ],
)
def test_what_a_system_calls_itself(release: str, systems: list[str]) -> None:
    assert systems_in(release) == systems


def test_remedies_name_packages() -> None:
    debian, suse = ["Debian 13", "Debian", "Debian"], ["", "", "Suse"]
    assert install("mke2fs", "sfdisk", "debugfs", systems=debian) == "Install the packages e2fsprogs and fdisk"
    assert install("python:libvirt", systems=suse) == "Install the package python3-libvirt-python"
    assert install("python:libvirt", "mmdebstrap", systems=["", "", ""]) == "Install libvirt and mmdebstrap"
    assert (
        install_there("iptables")
        == "Install the package iptables (Debian and Ubuntu, SUSE) or iptables-nft (Fedora and RHEL)"
    )


# Who sleeps


def systemd(*sockets: str, state: str = "inactive") -> dict[str, Any]:
    commands = {
        "systemctl list-sockets --no-legend --no-pager --full": {"rc": 0, "out": list(sockets), "err": []},
        **{f"systemctl is-active {line.split()[2]}": {"rc": 3, "out": [state], "err": []} for line in sockets},
        "dockerd --version": {"rc": 0, "out": ["Docker version 26.1.5, build x"], "err": []},
        "libvirtd --version": {"rc": 0, "out": ["libvirtd (libvirt) 11.3.0"], "err": []},
        "virsh --connect qemu:///system hostname": {"rc": 0, "out": ["host"], "err": []},
    }
    programs = {
        "systemctl": "/bin/systemctl",
        "dockerd": "/sbin/dockerd",
        "libvirtd": "/sbin/libvirtd",
        "virsh": "/bin/virsh",
    }
    return {"directories": ["/run/systemd/system"], "commands": commands, "programs": programs}


def docker(host: Host) -> dict[str, Any]:
    found: dict[str, Any] = engines(host, ("docker",))["docker"]
    return found


DOCKER = "/run/docker.sock docker.socket docker.service"


@pytest.mark.parametrize("state", ["inactive", "failed", "active", "activating"])
def test_a_stopped_engine_is_not_asked(tmp_path: Path, state: str) -> None:
    """Asked, systemd would start it, and it its containers."""
    awake = state.startswith("activ")
    sockets = {"/var/run/docker.sock": {"document": {"Version": "26.1.5", "ApiVersion": "1.45"}}} if awake else {}
    host = Paper(tmp_path, files={"/var/run/docker.sock": []}, sockets=sockets, **systemd(DOCKER, state=state))
    found = docker(host)
    assert found["answers"] is awake
    if awake:
        assert found["api"] == "1.45"
    else:
        assert "docker.service is stopped, and would be started by the question" in found["error"]


@pytest.mark.parametrize("there", [True, False])
def test_an_engine_that_hangs_is_told_from_none(tmp_path: Path, there: bool) -> None:
    path = tmp_path / "docker.sock"
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(path))
        if there:
            silent.listen()
        found = engines(Host(timeout=0.2, docker_socket=str(path)), ("docker",))["docker"]
    assert (found["answers"], found["hangs"]) == (False, there)
    assert ("no answer within 0.2 s" in found["error"]) is there
    verdict = Verdict()
    verdict.engine("docker", {**found, "installed": True}, "the role")
    assert ("runs and does not answer" in verdict.reason, "start it anew" in verdict.remedy) == (there, there)


def test_a_program_that_hangs_is_late() -> None:
    assert Host(timeout=0.2).run(["sleep", "60"]).late and not Host().run(["false"]).late


def test_an_engine_that_systemd_did_not_start_is_asked(tmp_path: Path) -> None:
    sockets = {"/var/run/docker.sock": {"document": {"Version": "26.1.5"}}}
    host = Paper(
        tmp_path,
        files={"/var/run/docker.sock": []},
        sockets=sockets,
        **systemd("/run/other.sock other.socket other.service"),
    )
    assert docker(host)["answers"] is True


@pytest.mark.parametrize("ran", [True, False])
def test_libvirt_is_asked_once_it_has_run(tmp_path: Path, ran: bool) -> None:
    """It ends when nobody asks it, and its first start since the host's starts its guests."""
    files: dict[str, list[str]] = {
        "/run/libvirt/libvirt-sock": [],
        **({"/run/libvirt/qemu/autostarted": []} if ran else {}),
    }
    host = Paper(tmp_path, files=files, **systemd("/run/libvirt/libvirt-sock libvirtd.socket libvirtd.service"))
    found = engines(host, ("kvm",))["libvirt"]
    assert found["answers"] is ran
    assert ran or "libvirtd.service has not run since the host started" in found["error"]
