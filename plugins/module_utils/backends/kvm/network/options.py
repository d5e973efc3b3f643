# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A network's options, one on a line: how each is read, compared, priced, written, and changed live. Pure."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from ....engine.action import Disruption
from ....engine.kinds import Flag, Members, Records, Text, Texts
from ....engine.spec import Table
from ..definition import DefinitionOption, tell_autostart
from ..names import INTERFACE, check_name
from ..xml import Element, attribute, drop, flag, make
from . import xml
from .fields import (
    DOMAIN,
    FORWARD_DEV,
    FORWARDS,
    SUBNETS,
    Mtu,
    Range,
    read_dhcp_host,
    read_dhcp_hosts,
    read_dns_host,
    read_dns_hosts,
    read_dns_txt,
    read_forward,
    read_ranges,
    read_subnets,
    write_dhcp_host,
    write_dns_host,
)
from .pieces import DhcpHosts, DhcpRanges, DnsHosts, DnsTexts, Pieces

LIVE, RESTART = Disruption.LIVE, Disruption.RESTART

NETWORK_OPTIONS: tuple[DefinitionOption, ...] = (
    DefinitionOption("forward", Text(choices=FORWARDS), lambda view: read_forward(view.definition), RESTART,
                     xml.forward, topology=True),
    DefinitionOption("forward_dev", FORWARD_DEV, lambda view: attribute(view.definition, "forward", "dev") or "",
                     RESTART, xml.forward_dev),
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
    DefinitionOption("dns", Flag(), lambda view: flag(attribute(view.definition, "dns", "enable"), True), RESTART,
                     xml.dns, topology=True),
    DefinitionOption("domain", DOMAIN, lambda view: attribute(view.definition, "domain", "name") or "", RESTART,
                     xml.domain),
    DefinitionOption("domain_local_only", Flag(), lambda view: flag(attribute(view.definition, "domain", "localOnly")),
                     RESTART,
                     xml.domain_local_only),
    DefinitionOption("mtu", Mtu(), lambda view: int(attribute(view.definition, "mtu", "size") or 0), RESTART, xml.mtu),
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

#: The options that libvirt changes in an active network, entry by entry.
PIECES: Mapping[str, Pieces] = {option.name: option.pieces for option in NETWORK_OPTIONS if option.pieces is not None}


def defined(name: str, values: Mapping[str, Any], have: Element | None) -> Element:
    """The definition with these options' values (canonical forms, as merged) in it; everything else of it stays."""
    network = make("network", None, make("name", text=name)) if have is None else copy.deepcopy(have)
    drop(network, "forward/pf")
    for option in NETWORK_OPTIONS:
        if option.write is not None and values.get(option.name) is not None:
            option.write(network, values[option.name])
    # Their subnets first.
    for key, pieces in PIECES.items():
        if key in values:
            pieces.rewrite(network, values[key])
    for ip in network.findall("ip"):
        for empty in [each for each in ip.findall("dhcp") if not len(each)]:
            ip.remove(empty)
    return network
