# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests of kvm_network share: the table of its options, and what virsh shows of a network."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.support.libvirt_daemon import LibvirtDaemon

NAME = "kt-net"
DNSMASQ = "{http://libvirt.org/schemas/network/dnsmasq/1.0}"
BASE = {"name": NAME, "subnets": ["198.18.1.1/24"]}
#: For whatever is not about forwarding. Of any other network libvirt writes the rules of a firewall, which takes four
#: fifths of its start and of its end.
OPEN = {**BASE, "forward": "open"}
MAC1, MAC2 = "52:54:00:00:00:01", "52:54:00:00:00:02"
GUEST = """<domain type='qemu'><name>kt-guest</name><memory unit='MiB'>32</memory><vcpu>1</vcpu><os><type arch='x86_64' machine='pc'>hvm</type></os>
<devices><interface type='network'><source network='kt-net'/><model type='virtio'/></interface></devices></domain>"""


@dataclass(frozen=True)
class Row:
    """One option's way from its first value to its second; `look` reads what virsh shows, `seen` is what it reads
    after each.
    """

    option: str
    first: Any
    second: Any
    look: Callable[[ET.Element], Any]
    seen: tuple[Any, Any]
    live: bool = False
    #: Other ways to write the second value.
    same: tuple[Any, ...] = ()
    extra: dict[str, Any] = field(default_factory=dict)
    purge: bool = False
    about: str = ""
    #: Why the row needs a network of its own, and the options with which it shares none.
    alone: str = ""
    apart: Mapping[str, str] = field(default_factory=dict)

    @property
    def id(self) -> str:
        return f"{self.option} {self.about}".strip()


def get(path: str, name: str) -> Callable[[ET.Element], Any]:
    def look(tree: ET.Element) -> Any:
        found = tree.find(path)
        return None if found is None else found.get(name)

    return look


def every(path: str, *names: str) -> Callable[[ET.Element], Any]:
    return lambda tree: sorted(" ".join(each.get(name, "") for name in names) for each in tree.findall(path))


def nat_port(tree: ET.Element) -> Any:
    """The last one; of an active network libvirt shows its own choice too."""
    found = get("forward/nat/port", "end")(tree)
    return None if found == "65535" else found


def groups(tree: ET.Element) -> Any:
    """Whether each is the default, what it lets in on average, and out at once."""
    return {
        each.get("name"): (
            each.get("default"),
            get("bandwidth/inbound", "average")(each),
            get("bandwidth/outbound", "burst")(each),
        )
        for each in tree.findall("portgroup")
    }


def dns(tree: ET.Element) -> Any:
    return {
        host.get("ip"): sorted(name.text or "" for name in host.findall("hostname"))
        for host in tree.findall("dns/host")
    }


ISOLATED = {"forward_dev": "an isolated network has none"}

#: libvirt takes no names for a DNS that is off.
WITH_DNS = dict.fromkeys(("dns_srv", "dns_forwarders"), "a DNS that is off has none")
ADDRESSED = {"subnets": "it has addresses in the first one"}
RANGES = {"dhcp_ranges": ["198.18.1.10-198.18.1.20"]}
NAT = {"forward": "nat"}

ROWS = (
    Row("forward", "nat", "route", get("forward", "mode"), ("nat", "route")),
    Row("forward", "open", "isolated", get("forward", "mode"), ("open", None), about="isolated", apart=ISOLATED),
    Row("forward", "isolated", "nat", get("forward", "mode"), (None, "nat"), about="no longer isolated", apart=ISOLATED),
    Row("forward_dev", "lo", "ktdev0", get("forward", "dev"), ("lo", "ktdev0")),
    Row("forward_dev", "lo", "", get("forward", "dev"), ("lo", None), about="any"),
    Row("bridge", "ktbr1", "ktbr2", get("bridge", "name"), ("ktbr1", "ktbr2")),
    Row("subnets", ["198.18.1.1/24"], ["198.18.2.1/24"], every("ip", "address", "prefix"), (["198.18.1.1 24"], ["198.18.2.1 24"]),
        same=(["198.18.2.0/24"], [{"subnet": "198.18.2.0/24"}], [{"subnet": "198.18.2.0/24", "address": "198.18.2.1"}])),
    Row("subnets", ["198.18.1.0/24"], ["198.18.1.254/24", "FD00:0:0:1::/64"], every("ip", "address", "prefix"),
        (["198.18.1.1 24"], ["198.18.1.254 24", "fd00:0:0:1::1 64"]), about="address and IPv6", same=(["fd00:0:0:1::1/64"],)),
    Row("dhcp_ranges", ["198.18.1.10-198.18.1.20"], ["198.18.1.30-198.18.1.40"], every("ip/dhcp/range", "start", "end"),
        (["198.18.1.10 198.18.1.20"], ["198.18.1.10 198.18.1.20", "198.18.1.30 198.18.1.40"]), live=True, same=(["198.18.1.30 - 198.18.1.40"],)),
    Row("dhcp_ranges", ["198.18.1.10-198.18.1.20"], ["198.18.1.10-198.18.1.40"], every("ip/dhcp/range", "start", "end"),
        (["198.18.1.10 198.18.1.20"], ["198.18.1.10 198.18.1.40"]), live=True, purge=True, about="purge"),
    Row("dhcp_hosts", [{"mac": MAC1, "address": "198.18.1.5", "name": "a"}],
        [{"mac": MAC1.upper(), "address": "198.18.1.6"}, {"mac": MAC2, "address": "198.18.1.9"}],
        every("ip/dhcp/host", "mac", "ip", "name"), ([f"{MAC1} 198.18.1.5 a"], [f"{MAC1} 198.18.1.6 a", f"{MAC2} 198.18.1.9 "]), live=True),
    Row("dhcp_hosts", [{"mac": MAC1, "address": "198.18.1.5"}], [{"mac": MAC2, "address": "198.18.1.5"}], every("ip/dhcp/host", "mac", "ip"),
        ([f"{MAC1} 198.18.1.5"], [f"{MAC2} 198.18.1.5"]), live=True, purge=True, about="purge"),
    Row("dhcp_hosts",
        [{"id": "0:1:0:1:18:aa:62:fe:0:16:3e:44:55:66", "address": "fd00::5", "name": "six"}],
        [{"id": "0:1:0:1:18:aa:62:fe:0:16:3e:44:55:66", "address": "fd00::6"}],
        every("ip/dhcp/host", "id", "ip", "name"),
        (["0:1:0:1:18:aa:62:fe:0:16:3e:44:55:66 fd00::5 six"], ["0:1:0:1:18:aa:62:fe:0:16:3e:44:55:66 fd00::6 six"]), live=True,
        extra={"subnets": ["198.18.1.1/24", "fd00::1/64"]}, about="IPv6"),
    Row("dns_hosts", [{"address": "198.18.1.7", "names": ["web", "www"]}], [{"address": "198.18.1.7", "names": "web"},
        {"address": "198.18.1.8", "names": ["b"]}],
        dns, ({"198.18.1.7": ["web", "www"]}, {"198.18.1.7": ["web"], "198.18.1.8": ["b"]}), live=True),
    Row("dns_txt", {"a": "1 2"}, {"a": 3, "b": "four"}, every("dns/txt", "name", "value"), (["a 1 2"], ["a 3", "b four"]), live=True),
    Row("dns_txt", {"a": "1"}, {}, every("dns/txt", "name", "value"), (["a 1"], []), live=True, purge=True, about="purge"),
    Row("dns_srv", [{"service": "ldap", "protocol": "tcp", "target": "A", "port": 389}],
        [{"service": "ldap", "protocol": "tcp", "target": "a", "port": 389, "priority": 5},
         {"service": "kt", "protocol": "udp", "domain": "x.example.org", "target": "b", "port": "7", "weight": 2}],
        every("dns/srv", "service", "domain", "target", "port", "priority", "weight"),
        (["ldap  a 389  "], ["kt x.example.org b 7  2", "ldap  a 389 5 "]), live=True),
    Row("dns_forwarders", ["198.18.9.53"], [{"domain": "lab.example.org", "address": "198.18.9.54"}, {"domain": "x.example.org"}],
        every("dns/forwarder", "domain", "addr"), ([" 198.18.9.53"], [" 198.18.9.53", "lab.example.org 198.18.9.54", "x.example.org "]),
        same=([{"address": "198.18.9.53"}],)),
    Row("dns_forwarders", ["198.18.9.53"], ["198.18.9.54"], every("dns/forwarder", "addr"), (["198.18.9.53"], ["198.18.9.54"]), purge=True, about="purge"),
    Row("dnsmasq_options", ["cache-size=100", "no-hosts"], ["no-hosts", "cache-size=200"],
        lambda tree: [each.get("value") for each in tree.iter(f"{DNSMASQ}option")], (["cache-size=100", "no-hosts"], ["no-hosts", "cache-size=200"])),
    Row("dhcp_lease", "12h", "unlimited", every("ip/dhcp/range/lease", "expiry", "unit"), (["12 hours"], ["0 "]), extra=RANGES, apart=ADDRESSED),
    Row("dhcp_lease", "150s", "default", every("ip/dhcp/range/lease", "expiry", "unit"), (["150 seconds"], []), extra=RANGES, apart=ADDRESSED, about="none"),
    Row("tftp_root", "/srv", "/opt/", get("ip/tftp", "root"), ("/srv", "/opt"), same=("/opt",)),
    Row("tftp_root", "/srv", "", get("ip/tftp", "root"), ("/srv", None), about="none"),
    Row("boot_file", "pxelinux.0", "other.0", get("ip/dhcp/bootp", "file"), ("pxelinux.0", "other.0"), extra=RANGES, apart=ADDRESSED),
    Row("boot_file", "pxelinux.0", "", get("ip/dhcp/bootp", "file"), ("pxelinux.0", None), extra=RANGES, apart=ADDRESSED, about="none"),
    Row("boot_server", "198.18.1.9", "198.18.1.10", get("ip/dhcp/bootp", "server"), ("198.18.1.9", "198.18.1.10"),
        extra={**RANGES, "boot_file": "pxelinux.0"}, apart=ADDRESSED),
    Row("boot_server", "198.18.1.9", "", get("ip/dhcp/bootp", "server"), ("198.18.1.9", None),
        extra={**RANGES, "boot_file": "pxelinux.0"}, apart=ADDRESSED, about="none"),
    Row("nat_addresses", "198.18.9.5-198.18.9.9", "198.18.9.5-198.18.9.8", get("forward/nat/address", "end"), ("198.18.9.9", "198.18.9.8"), extra=NAT),
    Row("nat_ports", "1024-2000", "", nat_port, ("2000", None), extra=NAT),
    Row("nat_ports", "1024-2000", "1024 - 3000", nat_port, ("2000", "3000"), same=("1024-3000",), extra=NAT, about="changed"),
    Row("nat_ipv6", True, False, get("forward/nat", "ipv6"), ("yes", None), extra=NAT),
    Row("routes", [{"subnet": "198.18.200.0/24", "gateway": "198.18.1.9"}],
        [{"subnet": "198.18.200.0/24", "gateway": "198.18.1.8", "metric": 3}, {"subnet": "198.18.201.0/24", "gateway": "198.18.1.9"}],
        every("route", "address", "gateway", "metric"),
        (["198.18.200.0 198.18.1.9 "], ["198.18.200.0 198.18.1.8 3", "198.18.201.0 198.18.1.9 "]), apart=ADDRESSED),
    Row("routes", [{"subnet": "198.18.200.0/24", "gateway": "198.18.1.9"}], [], every("route", "address"), (["198.18.200.0"], []), purge=True, about="purge",
        apart=ADDRESSED),
    Row("portgroups", [{"name": "slow", "default": True, "bandwidth": {"inbound": {"average": "1MiB"}}}],
        [{"name": "slow", "default": False}, {"name": "fast", "bandwidth": {"outbound": {"average": "1GiB", "burst": "1MiB"}}}],
        groups, ({"slow": ("yes", "1024", None)}, {"slow": (None, "1024", None), "fast": (None, None, "1024")}), live=True),
    Row("portgroups", [{"name": "slow", "bandwidth": {"inbound": {"average": "1MiB"}}}], [{"name": "slow", "bandwidth": {}}, {"name": "new"}],
        groups, ({"slow": (None, "1024", None)}, {"slow": (None, None, None), "new": (None, None, None)}), live=True, purge=True, about="purge"),
    Row("dns", True, False, get("dns", "enable"), ("yes", "no"), apart=WITH_DNS),
    Row("domain", "one.example.org", "Two.example.org", get("domain", "name"), ("one.example.org", "two.example.org")),
    Row("domain", "one.example.org", "", get("domain", "name"), ("one.example.org", None), about="none"),
    Row("domain_local_only", True, False, get("domain", "localOnly"), ("yes", "no"), extra={"domain": "example.org"}),
    Row("mtu", 1400, 9000, get("mtu", "size"), ("1400", "9000")),
    Row("mtu", 1400, 0, get("mtu", "size"), ("1400", None), about="libvirt's own"),
)  # fmt: skip


def shown(daemon: LibvirtDaemon, *, inactive: bool = False) -> ET.Element:
    return ET.fromstring(daemon.virsh("net-dumpxml", NAME, *(["--inactive"] if inactive else [])))
