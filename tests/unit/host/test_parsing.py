# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the texts of a host mean, one at a time."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.kraal.virt.plugins.module_utils.host.engines import version_in
from ansible_collections.kraal.virt.plugins.module_utils.host.kernel import Modules, parse_cgroups
from ansible_collections.kraal.virt.plugins.module_utils.host.network import default_routes, manager_of, parse_addresses
from ansible_collections.kraal.virt.plugins.module_utils.host.own_addresses import own_addresses
from ansible_collections.kraal.virt.plugins.module_utils.host.processor import parse_cpuinfo, parse_range
from ansible_collections.kraal.virt.plugins.module_utils.host.reader import Files, Host

from .recorded import Recorded


def host_of(tmp_path: Path, **parts: object) -> Recorded:
    return Recorded({"machine": "x86_64", "user": 0, "files": {}, **parts}, tmp_path)


@pytest.mark.parametrize(("text", "count"), [("0", 1), ("0-3", 4), ("0-3,5,8-9", 7), ("", 0), ("nonsense", 0)])
def test_ranges(text: str, count: int) -> None:
    assert parse_range(text) == count


def test_the_first_processor_speaks_for_all() -> None:
    assert parse_cpuinfo("processor\t: 0\nFlags\t: a b\n\nprocessor\t: 1\nflags\t: c\nnonsense\n")["flags"] == "a b"


@pytest.mark.parametrize(
    ("mounts", "version", "controllers"),
    [
        ("cgroup2 /sys/fs/cgroup cgroup2 rw,nosuid 0 0", "2", {""}),
        (
            (
                "cgroup /sys/fs/cgroup/cpu,cpuacct cgroup rw,cpu,cpuacct 0 0\ncgroup /sys/fs/cgroup/systemd cgroup "
                "rw,xattr,name=systemd 0 0"
            ),
            "1",
            {"cpu", "cpuacct", "name=systemd"},
        ),
        ("cgroup /a cgroup rw,memory 0 0\ncgroup2 /b cgroup2 rw 0 0", "hybrid", {"", "memory"}),
        ("cgroup /a cgroup rw,name=systemd 0 0\ncgroup2 /b cgroup2 rw 0 0", "2", {"", "name=systemd"}),
        ("proc /proc proc rw 0 0\nbroken", "", set()),
    ],
    ids=["v2", "v1", "hybrid", "systemd's alone", "none"],
)
def test_cgroups(mounts: str, version: str, controllers: set[str]) -> None:
    found, places = parse_cgroups(mounts)
    assert (found, set(places)) == (version, controllers)


@pytest.mark.parametrize(
    ("files", "state"),
    [
        ({"/proc/modules": ["kvm_intel 1 0 - Live 0x0"]}, "loaded"),
        ({"/lib/modules/1.0/modules.builtin": ["kernel/arch/x86/kvm/kvm-intel.ko"]}, "builtin"),
        ({"/boot/config-1.0": ["CONFIG_KVM_INTEL=y"]}, "builtin"),
        (
            {"/lib/modules/1.0/modules.dep": ["kernel/arch/x86/kvm/kvm-intel.ko.zst: kernel/arch/x86/kvm/kvm.ko.zst"]},
            "loadable",
        ),
        ({"/lib/modules/1.0/modules.dep": ["kernel/x/kvm-amd.ko: kernel/x/kvm-intel-no.ko"]}, "absent"),
        ({"/boot/config-1.0": ["# CONFIG_KVM_INTEL is not set"]}, "absent"),
        ({"/boot/config-1.0": ["CONFIG_KVM_INTEL=m"]}, "unknown"),
        ({}, "unknown"),
    ],
    ids=[
        "loaded",
        "listed as built in",
        "configured in",
        "there",
        "not there",
        "not configured",
        "built elsewhere",
        "nothing tells",
    ],
)
def test_modules(tmp_path: Path, files: dict[str, list[str]], state: str) -> None:
    host = host_of(tmp_path, files={"/proc/sys/kernel/osrelease": ["1.0"], **files})
    assert Modules(host).state("kvm_intel") == state


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("libvirtd (libvirt) 9.0.0", "9.0.0"),
        ("Docker version 20.10.24+dfsg1, build 297e128", "20.10.24+dfsg1"),
        ("WARNING: 1.2.3 is not it\n7.0.20r163906", "7.0.20r163906"),
        ("QEMU emulator version 7.2.9 (Debian 1:7.2+dfsg-7+deb12u7)\nCopyright (c) 2003-2022", "7.2.9"),
        ("nothing", ""),
    ],
)
def test_versions(text: str, version: str) -> None:
    assert version_in(text) == version


def test_link_local_addresses_say_nothing() -> None:
    links = [
        {"ifname": "eth0", "addr_info": [{"family": "inet6", "local": "fe80::1", "prefixlen": 64, "scope": "link"}]}
    ]
    assert parse_addresses(links) == {}


def test_routes_without_iproute2(tmp_path: Path) -> None:
    table = [
        "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU",
        "eth1\t00000000\t0102A8C0\t0003\t0\t0\t100\t00000000\t0",
    ]
    table += [
        "eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0",
        "eth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0",
    ]
    routes = default_routes(host_of(tmp_path, files={"/proc/net/route": table}))
    assert [(route["interface"], route["gateway"]) for route in routes] == [
        ("eth0", "192.0.2.1"),
        ("eth1", "192.168.2.1"),
    ]


def nmcli(line: str) -> dict[str, object]:
    command = "nmcli --terse --fields DEVICE,STATE,CONNECTION device status"
    return {"programs": {"nmcli": "/usr/bin/nmcli"}, "commands": {command: {"rc": 0, "out": [line], "err": []}}}


@pytest.mark.parametrize(
    ("parts", "manager"),
    [
        (nmcli("eth0:connected:Wired"), "NetworkManager"),
        (nmcli("eth0:disconnected:"), "NetworkManager"),
        (nmcli("eth0:connected:netplan-eth0"), "netplan"),
        (nmcli("eth0:unmanaged:"), "unknown"),
        (nmcli("eth0:connected (externally):eth0"), "unknown"),
        (nmcli("eth01:connected:Wired"), "unknown"),
        (
            {"files": {"/sys/class/net/eth0/ifindex": ["7"], "/run/systemd/netif/links/7": ["ADMIN_STATE=configured"]}},
            "systemd-networkd",
        ),
        (
            {"files": {"/sys/class/net/eth0/ifindex": ["7"], "/run/systemd/netif/links/7": ["ADMIN_STATE=unmanaged"]}},
            "unknown",
        ),
        ({"files": {"/etc/network/interfaces.d/eth0": ["  iface eth0 inet dhcp"]}}, "ifupdown"),
        ({"files": {"/etc/network/interfaces": ["iface eth00 inet dhcp"]}}, "unknown"),
        ({"files": {"/etc/netplan/a.yaml": ["network:", "  ethernets:", "    eth0:", "      dhcp4: true"]}}, "netplan"),
    ],
)
def test_managers(tmp_path: Path, parts: dict[str, object], manager: str) -> None:
    found, evidence = manager_of(host_of(tmp_path, **parts), "eth0")
    assert found == manager and evidence


def test_reading_raises_nothing(tmp_path: Path) -> None:
    files = Files(tmp_path)
    (tmp_path / "config.gz").write_bytes(b"\x1f\x8bbroken")
    assert (files.text("/none"), files.word("/none"), files.names("/none"), files.target("/none")) == (None, "", [], "")
    assert files.unpacked("/config.gz") is None and files.text("/") is None
    host = Host(tmp_path, timeout=1)
    assert host.device("/dev/kvm") is None and host.space("/none") is None
    assert host.kvm().error == "No such file or directory"
    assert host.msr(0x3A) == (None, "/dev/cpu/0/msr: No such file or directory")
    assert "No such file" in host.ask("/none.sock", "/").error
    assert host.run(["kt-no-such-program"]) is None


def test_a_program_that_hangs_does_not_hang_us() -> None:
    said = Host(timeout=0.2).run(["sleep", "30"])
    assert said is not None and said.rc == -1 and "did not end within 0.2 s" in said.error


_TRIE = """Main:
  +-- 0.0.0.0/0 3 0 4
     |-- 0.0.0.0
        /0 universe UNICAST
     +-- 10.0.3.0/24 2 0 2
           |-- 10.0.3.0
              /24 link UNICAST
           |-- 10.0.3.1
              /32 host LOCAL
        |-- 10.0.3.255
           /32 link BROADCAST
     |-- 127.0.0.0
        /8 host LOCAL
     |-- 192.0.2.7
        /24 link UNICAST
        /32 host LOCAL
"""


def test_the_addresses_of_a_host(tmp_path: Path) -> None:
    assert own_addresses(tmp_path) == frozenset()
    (tmp_path / "fib_trie").write_text(_TRIE)
    (tmp_path / "if_inet6").write_text(
        "20010db8000000000000000000000002 04 40 00 82     eth0\n00000000000000000000000000000001 01 80 10 80       lo\n"
    )
    assert own_addresses(tmp_path) == {"10.0.3.1", "192.0.2.7", "2001:db8::2", "::1"}


def test_the_addresses_of_this_host() -> None:
    assert "127.0.0.1" in own_addresses()
