# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A network's options, one on a line: how each is read, compared, priced, written, and changed live. Pure."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from ....engine.action import Disruption
from ....engine.kinds import Flag, Members, Records, Sequence, Text, Texts
from ....engine.spec import Spec, Table
from ..definition import DefinitionOption, View, tell_autostart
from ..names import INTERFACE, check_name
from ..xml import Element, attribute, drop, flag, make
from . import dhcp, dns, routing, traffic, xml
from .fields import (
    DOMAIN,
    FORWARD_DEV,
    FORWARDS,
    FUNCTION,
    SUBNETS,
    Mtu,
    Range,
    read_dhcp_host,
    read_dhcp_hosts,
    read_dns_host,
    read_dns_hosts,
    read_dns_txt,
    read_forward,
    read_interfaces,
    read_ranges,
    read_subnets,
    write_dhcp_host,
    write_dns_host,
)
from .pieces import DhcpHosts, DhcpRanges, DnsHosts, DnsServices, DnsTexts, Interfaces, Pieces, PortGroups

LIVE, RESTART = Disruption.LIVE, Disruption.RESTART

NETWORK_OPTIONS: tuple[DefinitionOption, ...] = (
    DefinitionOption("forward", Text(choices=FORWARDS), lambda view: read_forward(view.definition), RESTART,
                     xml.forward, topology=True),
    DefinitionOption("forward_dev", FORWARD_DEV, lambda view: attribute(view.definition, "forward", "dev") or "",
                     RESTART, xml.forward_dev),
    DefinitionOption("interfaces", Members(INTERFACE), lambda view: read_interfaces(view.definition), LIVE,
                     pieces=Interfaces()),
    DefinitionOption("physical_function", FUNCTION, lambda view: attribute(view.definition, "forward/pf", "dev") or "",
                     RESTART, xml.physical_function),
    DefinitionOption("bridge", INTERFACE, lambda view: attribute(view.definition, "bridge", "name"), RESTART,
                     xml.bridge, topology=True),
    DefinitionOption("subnets", SUBNETS, lambda view: read_subnets(view.definition), RESTART, xml.subnets,
                     topology=True),
    DefinitionOption("dhcp_ranges", Members(Range()), lambda view: read_ranges(view.definition), LIVE,
                     pieces=DhcpRanges()),
    DefinitionOption("dhcp_hosts", Records(read_dhcp_host, write_dhcp_host),
                     lambda view: read_dhcp_hosts(view.definition), LIVE,
                     pieces=DhcpHosts()),
    DefinitionOption("dns_hosts", Records(read_dns_host, write_dns_host), lambda view: read_dns_hosts(view.definition),
                     LIVE, pieces=DnsHosts()),
    DefinitionOption("dns_txt", Texts(key_pattern=r"[A-Za-z0-9_.-]+"), lambda view: read_dns_txt(view.definition),
                     LIVE, pieces=DnsTexts()),
    DefinitionOption("dns_srv", Records(dns.read_srv, dns.write_srv), lambda view: dns.read_srvs(view.definition), LIVE,
                     pieces=DnsServices()),
    DefinitionOption("dns_forwarders", Records(dns.read_forwarder, dns.write_forwarder),
                     lambda view: dns.read_forwarders(view.definition), RESTART, dns.write_forwarders),
    DefinitionOption("dnsmasq_options", Sequence(), lambda view: dns.read_dnsmasq(view.definition), RESTART,
                     dns.write_dnsmasq),
    DefinitionOption("dhcp_lease", dhcp.Lease(), lambda view: dhcp.read_lease(view.definition), RESTART,
                     finish=dhcp.write_lease, topology=True),
    DefinitionOption("tftp_root", dhcp.OptionalPath(), lambda view: dhcp.read_tftp(view.definition), RESTART,
                     dhcp.write_tftp),
    DefinitionOption("boot_file", dhcp.BOOT_FILE, lambda view: dhcp.read_boot("file")(view.definition), RESTART,
                     finish=dhcp.write_boot_file),
    DefinitionOption("boot_server", dhcp.Server(), lambda view: dhcp.read_boot("server")(view.definition), RESTART,
                     finish=dhcp.write_boot_server),
    DefinitionOption("nat_addresses", routing.NatAddresses(), lambda view: routing.read_nat("address")(view.definition),
                     RESTART, routing.write_nat("address")),
    DefinitionOption("nat_ports", routing.NatPorts(), lambda view: routing.read_nat("port")(view.definition), RESTART,
                     routing.write_nat("port")),
    DefinitionOption("nat_ipv6", Flag(), lambda view: routing.read_nat_ipv6(view.definition), RESTART,
                     routing.write_nat_ipv6),
    DefinitionOption("routes", Records(routing.read_route, routing.write_route),
                     lambda view: routing.read_routes(view.definition), RESTART, routing.write_routes),
    DefinitionOption("dns", Flag(), lambda view: flag(attribute(view.definition, "dns", "enable"), True), RESTART,
                     xml.dns, topology=True),
    DefinitionOption("domain", DOMAIN, lambda view: (attribute(view.definition, "domain", "name") or "").lower(), RESTART,
                     xml.domain),
    DefinitionOption("domain_local_only", Flag(), lambda view: flag(attribute(view.definition, "domain", "localOnly")),
                     RESTART,
                     xml.domain_local_only),
    DefinitionOption("mtu", Mtu(), lambda view: int(attribute(view.definition, "mtu", "size") or 0), RESTART, xml.mtu),
    DefinitionOption("bandwidth", traffic.BANDWIDTH, lambda view: traffic.read_bandwidth(view.definition), RESTART,
                     traffic.write_bandwidth),
    DefinitionOption("vlans", traffic.VLANS, lambda view: traffic.read_vlans(view.definition), RESTART,
                     traffic.write_vlans),
    DefinitionOption("virtualport", traffic.VIRTUALPORT, lambda view: traffic.read_virtualport(view.definition),
                     RESTART, traffic.write_virtualport),
    DefinitionOption("portgroups", Records(traffic.read_group, traffic.write_group),
                     lambda view: traffic.read_groups(view.definition), LIVE, pieces=PortGroups()),
    DefinitionOption("autostart", Flag(), lambda view: view.autostart, Disruption.NONE, tell=tell_autostart),
)  # fmt: skip

NETWORKS_TABLE = Table(
    backend="kvm",
    kind="network",
    options=NETWORK_OPTIONS,
    states=("active", "inactive", "present", "absent"),
    state="active",
    allow=LIVE,
    steering={"force": {"type": "bool", "default": False}},
    check_name=check_name,
)

#: What libvirt does for bridges of its own alone.
OWN = (
    *("subnets", "dhcp_ranges", "dhcp_hosts", "dhcp_lease", "tftp_root", "boot_file", "boot_server", "dns_hosts"),
    *("dns_txt", "dns_srv", "dns_forwarders", "dnsmasq_options", "domain", "domain_local_only", "forward_dev", "mtu"),
    *("nat_addresses", "nat_ports", "nat_ipv6", "routes"),
)
#: What is said of hiding addresses.
NAT = ("nat_addresses", "nat_ports", "nat_ipv6")
#: The options that libvirt changes in an active network, entry by entry.
PIECES: Mapping[str, Pieces] = {option.name: option.pieces for option in NETWORK_OPTIONS if option.pieces is not None}


def defined(name: str, values: Mapping[str, Any], have: Element | None) -> Element:
    """The definition with these options' values (canonical forms, as merged) in it; everything else of it stays."""
    network = make("network", None, make("name", text=name)) if have is None else copy.deepcopy(have)
    if network.find("forward/pf") is not None:
        # What libvirt has found of the device, in the definition of one that was never stored.
        for tag in ("interface", "address"):
            drop(network, f"forward/{tag}")
    for option in NETWORK_OPTIONS:
        if option.write is not None and values.get(option.name) is not None:
            option.write(network, values[option.name])
    # Their subnets first.
    for key, pieces in PIECES.items():
        if key in values:
            pieces.rewrite(network, values[key])
    for option in NETWORK_OPTIONS:
        if option.finish is not None and values.get(option.name) is not None:
            option.finish(network, values[option.name])
    for ip in network.findall("ip"):
        for empty in [each for each in ip.findall("dhcp") if not len(each)]:
            ip.remove(empty)
    return network


def merged_value(want: Spec, name: str, view: View) -> Any:
    """What an option is to have: what is wanted, merged with what this side has."""
    option = NETWORKS_TABLE[name]
    if name not in want.values:
        return option.read(view)
    return option.kind.merge(want.values[name], option.read(view), name in want.purge)
