# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The pieces of a network that libvirt changes while the network is active, entry by entry. Pure."""

from __future__ import annotations

import copy
import ipaddress
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from ....engine.errors import InvalidOption
from ....engine.network_kinds import is_mac
from ..xml import Element, child, make
from .dhcp import DEFAULT, lease_element, read_lease
from .dns import srv_key, srv_of
from .fields import OF_THE_HOST, dhcp_host_of, interface_of, range_of, read_forward
from .traffic import group_of, write_fields


class Update(NamedTuple):
    """One call of virNetworkUpdate: ``command`` and ``section`` are the ends of libvirt's names for them."""

    command: str
    section: str
    #: Which <ip> of the network it is about, -1 where it is about none.
    parent: int
    element: Element


Signs = frozenset[tuple[str, ...]]


class Pieces(ABC):
    """The entries of one option: where they are, and how one of them is written, found again, and changed."""

    section: str
    tag: str
    holders: str
    #: The schema wants ranges before hosts, and texts before hosts.
    first = False
    #: What an entry has in it that no option names, and keeps.
    keeps = ""
    #: Whether libvirt can change an entry in one call, with no moment without it.
    modifies = False

    @abstractmethod
    def key(self, element: Element) -> str:
        """The key of an entry that is there."""

    @abstractmethod
    def element(self, key: str, fields: Any) -> Element:
        """The element of an entry."""

    @abstractmethod
    def same(self, element: Element, fields: Any) -> bool:
        """Whether an entry that is there has these fields."""

    def place(self, network: Element, key: str, fields: Any) -> int:
        """Which <ip> an entry belongs to; -1 for none. Raises InvalidOption."""
        return -1

    def signs(self, key: str, fields: Any) -> Signs:
        """What libvirt knows an entry by."""
        return frozenset([("key", key)])

    def asked(self, old: Signs, new: Signs) -> Signs:
        """The signs of which libvirt sees that no other entry has them, when this entry changes."""
        return frozenset(sign for sign in new if not old or sign[0] != "address")

    def entries(self, value: Any) -> dict[str, Any]:
        """The entries of a value by their keys; the members of a set are keys without fields."""
        if not value:
            return {}
        return dict(value) if isinstance(value, Mapping) else dict.fromkeys(value)

    def distinguishable(self, have: Mapping[str, Any], keys: Iterable[str], want: Mapping[str, Any]) -> bool:
        """Whether libvirt can tell the entries apart while those of these keys are brought from what there is to what
        is wanted, one by one.

        It refuses to delete a DNS host that has a name in common with another, and to add a DHCP host that has a name
        or an address in common with another; of two DHCP hosts with one name it modifies the first, whatever their
        addresses (virNetworkDefUpdateDNSHost and virNetworkDefUpdateIPDHCPHost, seen with libvirt 9.0).
        """
        now = {key: self.signs(key, fields) for key, fields in have.items()}
        for key in keys:
            if key in have and have[key] == want.get(key):
                continue
            old, new = now.pop(key, frozenset()), self.signs(key, want[key]) if key in want else frozenset()
            asked = self.asked(old, new)
            if any(asked & other for other in now.values()):
                return False
            now[key] = new
        return True

    def _found(self, network: Element) -> list[tuple[Element, Element, str]]:
        """The elements that are there: what each is in, itself, and its key."""
        return [
            (holder, each, self.key(each))
            for holder in network.findall(self.holders)
            for each in holder.findall(self.tag)
        ]

    def rewrite(self, network: Element, value: Any) -> None:
        """Bring the elements to that value; those that stay the same keep what else they have in them."""
        wanted, before, common = self.entries(value), {}, copy.deepcopy(network)
        for holder, each, key in self._found(network):
            if not key:
                continue
            if key in wanted and self.same(each, wanted[key]):
                del wanted[key]
            else:
                before[key] = each
                holder.remove(each)
        for key in sorted(wanted):
            number = self.place(network, key, wanted[key])
            parent = self.parent(network, number)
            element = self._renewed(common, key, wanted[key], before.get(key))
            parent.insert(
                len(parent.findall(element.tag)) if self.first else len(parent) - len(parent.findall("bootp")), element
            )

    def parent(self, network: Element, number: int) -> Element:
        """The element that has an entry in it, by its place."""
        return child(network, "dns") if number < 0 else child(network.findall("ip")[number], "dhcp")

    def common(self, network: Element) -> Sequence[Element]:
        """What a new entry has in it because all others have it."""
        return ()

    def _renewed(self, network: Element, key: str, fields: Any, old: Element | None) -> Element:
        """The element of an entry, with what the old one keeps, or a new one takes over."""
        element = self.element(key, fields)
        element.extend(copy.deepcopy(each) for each in (self.common(network) if old is None else ()))
        element.extend(copy.deepcopy(old.findall(self.keeps)) if old is not None and self.keeps else ())
        return element

    def updates(self, network: Element, key: str, fields: Any, there: bool) -> list[Update]:
        """The calls that bring an entry of one side of a network to these fields, or, with ``there`` false, remove
        it.
        """
        old = [(holder, each) for holder, each, found in self._found(network) if found == key]
        if there and old and self.same(old[0][1], fields):
            return []
        calls = []
        fresh = self.place(network, key, fields) if there else -1
        for holder, each in old:
            before = next((number for number, ip in enumerate(network.findall("ip")) if ip.find("dhcp") is holder), -1)
            if there and self.modifies and before == fresh:
                return [Update("MODIFY", self.section, fresh, self._renewed(network, key, fields, each))]
            calls.append(Update("DELETE", self.section, before, each))
        if there:
            calls.append(
                Update("ADD_LAST", self.section, fresh, self._renewed(network, key, fields, old[0][1] if old else None))
            )
        return calls


def _holder(network: Element, address: str, option: str, shown: Any) -> int:
    """Which <ip> an address belongs to."""
    for number, ip in enumerate(network.findall("ip")):
        if ipaddress.ip_address(address) in interface_of(ip).network:
            return number
    raise InvalidOption(
        option,
        shown,
        "is in none of the network's subnets",
        remedy="Write an address in one of them, or add its subnet to subnets",
    )


class DhcpRanges(Pieces):
    """Ranges of addresses; each is its own key, FIRST-LAST."""

    section, tag, holders, first = "IP_DHCP_RANGE", "range", "ip/dhcp", True

    def key(self, element: Element) -> str:
        return range_of(element)

    def element(self, key: str, fields: Any) -> Element:
        first, _dash, last = key.partition("-")
        return make("range", {"start": first, "end": last})

    def same(self, element: Element, fields: Any) -> bool:
        return True

    def common(self, network: Element) -> Sequence[Element]:
        element = lease_element(read_lease(network) or DEFAULT)
        return () if element is None else (element,)

    def place(self, network: Element, key: str, fields: Any) -> int:
        first, _dash, last = key.partition("-")
        number = _holder(network, first, "dhcp_ranges", key)
        if _holder(network, last, "dhcp_ranges", key) != number:
            raise InvalidOption("dhcp_ranges", key, "goes from one subnet to another", remedy="Write a range for each")
        return number


class DhcpHosts(Pieces):
    """Hosts with an address of their own, by their MAC or DUID."""

    section, tag, holders, modifies = "IP_DHCP_HOST", "host", "ip/dhcp", True
    keeps = "lease"

    def key(self, element: Element) -> str:
        return dhcp_host_of(element)[0]

    def element(self, key: str, fields: Any) -> Element:
        return make(
            "host", {"mac" if is_mac(key) else "id": key, "name": fields.get("name"), "ip": fields.get("address")}
        )

    def same(self, element: Element, fields: Any) -> bool:
        return dhcp_host_of(element)[1] == dict(fields)

    def place(self, network: Element, key: str, fields: Any) -> int:
        shown = {"mac/id": key, **fields}
        if not fields.get("address"):
            raise InvalidOption(
                "dhcp_hosts",
                shown,
                "has no address, and had none before",
                remedy="Give it an address in one of the network's subnets",
            )
        return _holder(network, fields["address"], "dhcp_hosts", shown)

    def signs(self, key: str, fields: Any) -> Signs:
        address = fields.get("address", "")
        # Each family has hosts of its own.
        family = "6" if ":" in address else "4"
        return frozenset(
            [
                ("key", family, key),
                ("address", address),
                *([("name", family, fields["name"])] if fields.get("name") else []),
            ]
        )


class DnsHosts(Pieces):
    """Names in the network's DNS, by their address."""

    section, tag, holders = "DNS_HOST", "host", "dns"

    def key(self, element: Element) -> str:
        return str(ipaddress.ip_address(element.get("ip", "")))

    def element(self, key: str, fields: Any) -> Element:
        return make("host", {"ip": key}, *(make("hostname", text=name) for name in sorted(fields)))

    def same(self, element: Element, fields: Any) -> bool:
        return bool(frozenset((name.text or "").strip().lower() for name in element.findall("hostname")) == fields)

    def signs(self, key: str, fields: Any) -> Signs:
        return frozenset([("address", key), *(("name", name) for name in fields)])

    def asked(self, old: Signs, new: Signs) -> Signs:
        return old


class DnsTexts(Pieces):
    """Texts in the network's DNS, by their name."""

    section, tag, holders, first = "DNS_TXT", "txt", "dns", True

    def key(self, element: Element) -> str:
        return element.get("name", "")

    def element(self, key: str, fields: Any) -> Element:
        return make("txt", {"name": key, "value": fields})

    def same(self, element: Element, fields: Any) -> bool:
        return bool(element.get("value") == fields)


class DnsServices(Pieces):
    """Services in the network's DNS, by all that names one."""

    section, tag, holders = "DNS_SRV", "srv", "dns"

    def key(self, element: Element) -> str:
        return srv_key(srv_of(element))

    def element(self, key: str, fields: Any) -> Element:
        return make("srv", fields)

    def same(self, element: Element, fields: Any) -> bool:
        return bool(srv_of(element) == fields)

    def signs(self, key: str, fields: Any) -> Signs:
        # What an entry does not say, libvirt takes any for.
        service = (fields["service"], fields["protocol"])
        target = [("target", *service, fields["target"])] if fields.get("target") else []
        return frozenset([("any", *service), *target])

    def asked(self, old: Signs, new: Signs) -> Signs:
        return frozenset(sign for side in (old, new) for sign in side if sign[0] == "target" or len(side) == 1)


class Interfaces(Pieces):
    """Interfaces of the host that guests are put on; each is its own key."""

    section, tag, holders = "FORWARD_INTERFACE", "interface", "forward"

    def key(self, element: Element) -> str:
        return element.get("dev", "")

    def element(self, key: str, fields: Any) -> Element:
        return make("interface", {"dev": key})

    def same(self, element: Element, fields: Any) -> bool:
        return True

    def parent(self, network: Element, number: int) -> Element:
        return child(network, "forward")

    def rewrite(self, network: Element, value: Any) -> None:
        if read_forward(network) not in OF_THE_HOST:
            # There it is where packets go.
            return
        super().rewrite(network, value)
        forward = child(network, "forward")
        forward.attrib.pop("dev", None)
        # Libvirt wants the first one there as well.
        for each in forward.findall("interface")[:1]:
            forward.set("dev", each.get("dev", ""))


class PortGroups(Pieces):
    """Groups of ports, by their name."""

    section, tag, holders, modifies = "PORTGROUP", "portgroup", ".", True

    def key(self, element: Element) -> str:
        return element.get("name", "")

    def element(self, key: str, fields: Any) -> Element:
        group = make("portgroup", {"name": key})
        write_fields(group, fields)
        return group

    def same(self, element: Element, fields: Any) -> bool:
        have = group_of(element)
        return all(have[key] == value for key, value in fields.items())

    def parent(self, network: Element, number: int) -> Element:
        return network

    def _renewed(self, network: Element, key: str, fields: Any, old: Element | None) -> Element:
        if old is None:
            return self.element(key, fields)
        group = copy.deepcopy(old)
        write_fields(group, fields)
        return group
