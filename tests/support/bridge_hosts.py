# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lab hosts whose one link to the world is in the hands of a network manager, as on a machine of metal."""

from __future__ import annotations

import contextlib
import json
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from tests.lab.hosts import Lab, LabHost
from tests.lab.images import HostImage

from .ansible_runner import Result, Run, run_tasks

PACKAGES = ("bridge-utils", "ifupdown", "isc-dhcp-client", "netplan.io", "network-manager")
#: (release, manager) of each host.
CELLS = (
    ("bookworm", "networkd"),
    ("bookworm", "ifupdown"),
    ("bookworm", "networkmanager"),
    ("bookworm", "netplan"),
    ("trixie", "networkd"),
    ("trixie", "networkmanager"),
)
CHANGE = "/var/lib/kraal.virt/bridge/change.json"

#: Docker gives the link its address before the host's first process runs; a machine that is switched on has none.
CABLE = """[Unit]
DefaultDependencies=no
Before=network-pre.target kraal-bridge-boot.service
Wants=network-pre.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=ip address flush dev eth0
ExecStart=ip link set dev eth0 down

[Install]
WantedBy=sysinit.target
"""
NETWORKD = "[Match]\nName=eth0\n\n[Network]\n# the way out\nAddress={address}/24\nGateway={gateway}\n"
IFUPDOWN = """# mine
source /etc/network/interfaces.d/*

auto lo
iface lo inet loopback

# The way out
allow-hotplug eth1
auto eth0
iface eth0 inet static
    address {address}/24
    gateway {gateway}
    # a comment
    up echo $IFACE > /run/kt-up
"""
PROFILE = """[connection]
id=lan
uuid=2c9a3c2e-6f5b-4a39-9c5e-0d2d3b8c6c11
type=ethernet
interface-name=eth0

[ipv4]
method=manual
address1={address}/24,{gateway}

[ipv6]
method=auto
"""
NETPLAN = """# the way out
network:
  version: 2
  ethernets:
    eth0:
      addresses: [{address}/24]
      routes:
        - {{to: default, via: {gateway}}}
    eth7: {{dhcp4: true, optional: true}}
"""
#: NetworkManager leaves alone what udev does not know, and a container has no udev.
MANAGED = "[device-kt]\nmatch-device=interface-name:eth0\nmanaged=1\n"

#: By manager: its files with their modes, and its unit.
CONFIGURATION: Mapping[str, tuple[Mapping[str, tuple[str, int]], str]] = {
    "networkd": ({"/etc/systemd/network/10-lan.network": (NETWORKD, 0o644)}, "systemd-networkd"),
    "ifupdown": ({"/etc/network/interfaces": (IFUPDOWN, 0o644)}, "networking"),
    "networkmanager": (
        {
            "/etc/NetworkManager/system-connections/lan.nmconnection": (PROFILE, 0o600),
            "/etc/NetworkManager/conf.d/kt.conf": (MANAGED, 0o644),
        },
        "NetworkManager",
    ),
    "netplan": ({"/etc/netplan/10-lan.yaml": (NETPLAN, 0o600)}, "systemd-networkd"),
}
#: The same file of each for a link that asks for its address.
DYNAMIC: Mapping[str, str] = {
    "networkd": "[Match]\nName=eth0\n\n[Network]\nDHCP=ipv4\n",
    "ifupdown": "auto lo\niface lo inet loopback\n\nauto eth0\niface eth0 inet dhcp\n",
    "networkmanager": PROFILE.partition("method=manual")[0] + "method=auto\n\n[ipv6]\nmethod=auto\n",
    "netplan": "network:\n  version: 2\n  ethernets:\n    eth0: {dhcp4: true}\n",
}

#: Every file of the network's configuration and of the units, and what the runner left.
TREE = """
import base64, json, os
found = {}
for top in ("/etc/network", "/etc/netplan", "/etc/systemd", "/etc/NetworkManager", "/run/systemd/network"):
    for base, directories, names in os.walk(top):
        for name in names:
            path = os.path.join(base, name)
            about = os.lstat(path)
            content = os.readlink(path).encode() if os.path.islink(path) else open(path, "rb").read()
            found[path] = [about.st_mode, about.st_uid, about.st_gid, base64.b64encode(content).decode()]
print(json.dumps(found))
"""

MODULE = "kraal.virt.host_bridge"
#: How long what comes by itself may take there.
PATIENCE = 300


@dataclass(frozen=True)
class Net:
    """What the kernel has: by link its addresses, and the default routes as (gateway, link)."""

    addresses: dict[str, list[str]]
    routes: list[tuple[str, str]]


@dataclass(frozen=True)
class BridgeHost:
    """A host and who manages its link."""

    lab: Lab
    host: LabHost
    manager: str

    @property
    def name(self) -> str:
        return self.host.name

    @property
    def gateway(self) -> str:
        return self.host.address.rpartition(".")[0] + ".1"

    def run(self, *argv: str, check: bool = True) -> str:
        return self.lab.run(self.host, argv, check=check).stdout.strip()

    def asked(self, *argv: str) -> Any:
        """What a command said in JSON."""
        return json.loads(self.run(*argv))

    def configure(self) -> None:
        """Hand the link over to the manager, for now and for every boot."""
        files, unit = CONFIGURATION[self.manager]
        self.lab.copy(self.host, {"/etc/systemd/system/kt-cable.service": CABLE.encode()})
        for path, (text, mode) in files.items():
            self.lab.copy(
                self.host, {path: text.format(address=self.host.address, gateway=self.gateway).encode()}, mode
            )
        managers = sorted({"NetworkManager", "networking", "systemd-networkd"})
        self.run("systemctl", "disable", "--now", *managers)
        # What NetworkManager thought of the link that docker had set up.
        self.run("rm", "-rf", "/run/NetworkManager")
        self.run("systemctl", "enable", "kt-cable", unit)
        # Anew, as at boot: NetworkManager takes over what it finds on the link.
        self.run("systemctl", "restart", "kt-cable")
        if self.manager == "netplan":
            self.run("netplan", "generate")
        self.run("systemctl", "restart", unit)
        self.wait(lambda: self.net.routes == [(self.gateway, "eth0")], 300)

    def lease(self) -> str:
        """Have the link ask for its address; what it got, above those that hosts of a lab have."""
        files, unit = CONFIGURATION[self.manager]
        path, (dummy, mode) = next(iter(files.items()))
        self.lab.copy(self.host, {path: DYNAMIC[self.manager].encode()}, mode)
        if self.manager == "netplan":
            self.run("netplan", "generate")
        self.run("ip", "address", "flush", "dev", "eth0")
        self.run("systemctl", "restart", unit)
        base = self.gateway.rpartition(".")[0] + "."
        self.wait(
            lambda: any(int(each.removeprefix(base).partition("/")[0]) >= 130 for each in self.net.addresses["eth0"]),
            300,
        )
        (leased,) = self.net.addresses["eth0"]
        return leased

    def inventory(self, address: str) -> dict[str, Any]:
        """The host's variables where it is reached at another address than that by which its key is known."""
        variables = dict(self.host.inventory)
        variables["ansible_ssh_common_args"] += f" -o HostKeyAlias={self.name}"
        return {**variables, "ansible_host": address.partition("/")[0]}

    @property
    def net(self) -> Net:
        links = self.asked("ip", "-json", "address")
        routes = self.asked("ip", "-json", "route", "show", "default")
        addresses = {
            link["ifname"]: sorted(
                f"{each['local']}/{each['prefixlen']}" for each in link["addr_info"] if each.get("scope") == "global"
            )
            for link in links
            if link and link["ifname"] != "lo"
        }
        return Net(addresses, [(route.get("gateway", ""), route["dev"]) for route in routes])

    @property
    def tree(self) -> dict[str, Any]:
        found: dict[str, Any] = self.asked("/usr/bin/python3", "-c", TREE)
        return found

    @property
    def change(self) -> dict[str, Any]:
        """The armed change, or what became of the last one; empty where there is none."""
        said = self.run("cat", CHANGE, check=False)
        loaded: dict[str, Any] = json.loads(said) if said else {}
        return loaded

    def wait(self, done: Callable[[], bool], seconds: float, what: Callable[[], Any] | None = None) -> None:
        """Until it is done; `what` there is instead is told where it is not."""
        deadline = time.monotonic() + seconds
        while not done():
            if time.monotonic() > deadline:
                raise AssertionError(
                    f"{self.name} ({self.manager}): not within {seconds} s; {what() if what else self.net}; "
                    f"{self.change.get('log')}"
                )
            time.sleep(0.3)


def boot(lab: Lab, cells: Sequence[tuple[str, str]] = CELLS) -> list[BridgeHost]:
    """A host for each cell, all side by side."""
    hosts = lab.up(*(HostImage(suite, packages=PACKAGES) for suite, dummy in cells))
    found = [BridgeHost(lab, host, manager) for host, (dummy, manager) in zip(hosts, cells, strict=True)]
    with ThreadPoolExecutor(max_workers=len(found)) as pool:
        list(pool.map(BridgeHost.configure, found))
    return found


def bridge_of(lab: Lab) -> str:
    """The bridge of this machine that the lab's cables end in."""
    (network,) = lab._client.networks(names=[lab.name])
    return f"br-{network['Id'][:12]}"


@contextlib.contextmanager
def dhcp_server(lab: Lab, directory: Path, gateway: str) -> Iterator[None]:
    """Leases in the upper half of the lab's network, by the client's identifier first, as most servers do."""
    base = gateway.rpartition(".")[0]
    link = bridge_of(lab)
    argv = [
        "dnsmasq",
        "--keep-in-foreground",
        "--conf-file=/dev/null",
        "--port=0",
        f"--interface={link}",
        "--bind-interfaces",
        "--except-interface=lo",
    ]
    argv += [
        f"--dhcp-range={base}.130,{base}.199,10m",
        f"--dhcp-leasefile={directory}/leases",
        f"--pid-file={directory}/pid",
    ]
    argv += ["--user=root", "--log-facility=-"]
    with (
        (directory / "dnsmasq.log").open("w", encoding="utf-8") as log,
        subprocess.Popen(argv, stdout=log, stderr=log) as server,
    ):
        try:
            yield
        finally:
            server.terminate()
            server.wait(10)


class Hosts:
    """All hosts; `before` is what each had before the first test."""

    def __init__(self, all_hosts: list[BridgeHost]) -> None:
        self.all = all_hosts
        self.trees = {host.name: host.tree for host in all_hosts}
        self.nets = {host.name: host.net for host in all_hosts}
        #: What check mode foretold.
        self.plans: dict[str, Any] = {}

    def __iter__(self) -> Iterator[BridgeHost]:
        return iter(self.all)

    def inventory(self, own: Mapping[str, Any], only: list[BridgeHost] | None = None) -> dict[str, Any]:
        return {
            "all": {
                "hosts": {host.name: {**host.host.inventory, **own.get(host.name, {})} for host in only or self.all}
            }
        }

    def bridge(
        self,
        own: Mapping[str, Mapping[str, Any]] | None = None,
        *,
        check: bool = False,
        diff: bool = False,
        only: list[BridgeHost] | None = None,
        more: list[dict[str, Any]] | None = None,
        **options: Any,
    ) -> tuple[dict[str, Result], Run]:
        """One run on all hosts at once; `own` are options of a host. The results of the bridge by host, and the run."""
        keys = {key for each in (own or {}).values() for key in each} | set(options)
        values = {
            host.name: {f"kt_{key}": value for key, value in {**options, **(own or {}).get(host.name, {})}.items()}
            for host in self.all
        }
        task = {
            "name": "bridge",
            MODULE: {"name": "br0", **{key: f"{{{{ kt_{key} | default(omit) }}}}" for key in sorted(keys)}},
        }
        run = run_tasks(
            [task, *(more or [])], inventory=self.inventory(values, only), hosts="all", check=check, diff=diff
        )
        found = {host.name: run.of("bridge", host.name) for host in only or self.all}
        assert all(found.values()), run.output
        return {name: results[0] for name, results in found.items()}, run

    def changed(self, host: BridgeHost) -> list[str]:
        return differing(host.tree, self.trees[host.name])

    def assert_as_before(self) -> None:
        for host in self.all:
            host.wait(lambda host=host: host.net == self.nets[host.name], PATIENCE)  # type: ignore[misc]
            # A rollback is told before it has taken its unit away.
            host.wait(lambda host=host: not self.changed(host), 30, partial(self.changed, host))  # type: ignore[misc]


def differing(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    return sorted(path for path in {*one, *other} if one.get(path) != other.get(path))


def bridged(host: BridgeHost, was: Any, bridge: str = "br0") -> None:
    """Addresses, routes and MAC are the bridge's, and the uplink is its port."""
    net = host.net
    assert net.addresses[bridge] == was.addresses["eth0"], (host.name, net)
    assert net.addresses["eth0"] == [], (host.name, net)
    assert net.routes == [(host.gateway, bridge)], (host.name, net)
    links = {link["ifname"]: link for link in host.asked("ip", "-json", "-details", "link")}
    assert links["eth0"]["master"] == bridge and links["eth0"]["address"] == links[bridge]["address"]
    assert links[bridge]["linkinfo"]["info_data"]["stp_state"] == 0
