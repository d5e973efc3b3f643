# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A bridge in the files of systemd-networkd.

The first file that matches a link wins, so the uplink's own file stays as it is, and one that comes before it makes the
link a port.
"""

from __future__ import annotations

import re
from typing import Any

from ...engine.errors import NotInstalled, Refused
from ..packages import install
from ..reader import Files, Host
from .ini import Sections, parse, write
from .manager import FileSet, FileState, Way, command, remove_link, settle_link
from .shape import Shape, Uplink

DIRECTORY = "/etc/systemd/network"
_SEARCH = (
    DIRECTORY,
    "/run/systemd/network",
    "/usr/local/lib/systemd/network",
    "/usr/lib/systemd/network",
    "/lib/systemd/network",
)
#: What other links stand on the uplink; they stay on it.
_STACKED = ("VLAN", "MACVLAN", "MACVTAP", "IPVLAN", "IPVTAP", "VXLAN", "Tunnel", "Xfrm", "L2TP", "MACsec")
#: What an uplink must not be part of.
_ENSLAVED = ("Bridge", "Bond", "VRF", "BatmanAdvanced")


def sections_of(files: Files, path: str) -> Sections:
    """A .network file with its drop-ins."""
    sections = parse(files.text(path) or "")
    base = path.rpartition("/")[2]
    drop_ins: dict[str, str] = {}
    for directory in reversed(_SEARCH):
        below = f"{directory}/{base}.d"
        drop_ins.update((name, below + "/" + name) for name in files.names(below) if name.endswith(".conf"))
    for name in sorted(drop_ins):
        sections += parse(files.text(drop_ins[name]) or "")
    return sections


def moved(sections: Sections, iaid: str) -> tuple[Sections, list[tuple[str, str]]]:
    """What the bridge takes over of the uplink's configuration, and what of [Network] stays with the port."""
    taken: Sections = []
    staying: list[tuple[str, str]] = []
    for name, pairs in sections:
        if name == "Network":
            staying += [pair for pair in pairs if pair[0] in _STACKED]
            taken.append((name, [pair for pair in pairs if pair[0] not in _STACKED and pair[0] not in _ENSLAVED]))
        elif name not in ("Match", "Link"):
            taken.append((name, list(pairs)))
    given = {key for name, pairs in taken if name in ("DHCP", "DHCPv4", "DHCPv6") for key, dummy in pairs}
    if iaid and not given & {"IAID", "ClientIdentifier"}:
        taken += [("DHCPv4", [("IAID", iaid)]), ("DHCPv6", [("IAID", iaid)])]
    return taken, staying


def own_addresses(shape: Shape) -> Sections:
    """The sections of a bridge that has addresses of its own."""
    dhcp = shape.addresses_from == "dhcp"
    network = [
        (
            "DHCP",
            {(True, "auto"): "yes", (True, "static"): "ipv4", (True, "disabled"): "ipv4"}.get((dhcp, shape.ipv6), "no"),
        )
    ]
    if not shape.link:
        network.append(("ConfigureWithoutCarrier", "yes"))
    wanted = shape.addresses_from != "none"
    network += [("LinkLocalAddressing", "ipv6" if wanted and shape.ipv6 != "disabled" else "no")]
    network += [("IPv6AcceptRA", "yes" if wanted and shape.ipv6 == "auto" and shape.link else "no")]
    network += [("DNS", each) for each in shape.dns]
    sections: Sections = [("Network", network)]
    sections += [("Address", [("Address", each)]) for each in shape.addresses]
    sections += [("Route", [("Gateway", each)]) for each in shape.gateway]
    if dhcp and shape.link and shape.link.iaid:
        sections.append(("DHCPv4", [("IAID", shape.link.iaid)]))
    return sections


class Networkd:
    name = "systemd-networkd"

    def uplink(self, host: Host, interface: str, mac: str) -> Uplink:
        index = host.word(f"/sys/class/net/{interface}/ifindex")
        told = re.search(r"^NETWORK_FILE=(\S+)$", host.text("/run/systemd/netif/links/" + index) or "", re.MULTILINE)
        profile = told[1] if told else ""
        if not profile:
            raise Refused(
                f"systemd-networkd has no file for the uplink {interface}",
                remedy="Write a .network file for it, and run `networkctl reload`",
            )
        if profile.rpartition("/")[2] <= "00-kraal":
            raise Refused(
                f"{profile} comes before any file that could make {interface} a port",
                remedy="Give it a name that sorts after 00-kraal, like 10-lan.network",
            )
        for name, pairs in sections_of(host, profile):
            for key, value in pairs:
                if name == "Network" and key in _ENSLAVED:
                    raise Refused(
                        f"{profile} puts {interface} into {value} ({key})",
                        remedy="Name another uplink, or take it out of there first",
                    )
        return Uplink(
            interface, mac, self.name, profile, iaid=iaid_of(host.text("/run/systemd/netif/leases/" + index) or "")
        )

    def check(self, host: Host) -> None:
        if not host.which("networkctl"):
            raise NotInstalled("networkctl is not there", remedy=install("networkctl") + ", or name another manager")

    def render(self, shape: Shape, files: Files) -> dict[str, FileState | None]:
        note = f"Bridge {shape.name}, written by kraal.virt.host_bridge; its run replaces this file."
        base = f"{DIRECTORY}/00-kraal-{shape.name}"
        device = [("Name", shape.name), ("Kind", "bridge")]
        device += [("MTUBytes", str(shape.mtu))] if shape.mtu else []
        device += [("MACAddress", shape.hardware)] if shape.hardware else []
        bridge = [
            ("STP", "yes" if shape.stp else "no"),
            ("ForwardDelaySec", str(shape.forward_delay or (15 if shape.stp else 0))),
        ]
        found: dict[str, FileState | None] = {base + ".netdev": write([("NetDev", device), ("Bridge", bridge)], note)}
        staying: list[tuple[str, str]] = []
        if shape.link and shape.takes_over:
            sections, staying = moved(sections_of(files, shape.link.profile), shape.link.iaid)
        if shape.addresses_from != "uplink":
            sections = own_addresses(shape)
        mine = [
            ("Match", [("Name", shape.name)]),
            ("Link", [("RequiredForOnline", "no")] if not shape.link or shape.addresses_from == "none" else []),
        ]
        found[base + ".network"] = write([*mine, *sections], note)
        if not shape.link:
            return found
        size = [("MTUBytes", str(shape.mtu))] if shape.mtu else []
        quiet = [("LinkLocalAddressing", "no"), ("IPv6AcceptRA", "no"), ("DHCP", "no")]
        port = [
            ("Match", [("Name", shape.port)]),
            ("Link", [*size, ("RequiredForOnline", "no")]),
            ("Network", [("Bridge", shape.name), *quiet]),
        ]
        if shape.vlan:
            found[base + "-vlan.netdev"] = write(
                [("NetDev", [("Name", shape.port), ("Kind", "vlan")]), ("VLAN", [("Id", str(shape.vlan))])], note
            )
            found[base + "-vlan.network"] = write(port, note)
            if shape.takes_over:
                carrier = [
                    ("Match", [("Name", shape.uplink_name)]),
                    ("Link", size),
                    ("Network", [("VLAN", shape.port), *staying, *quiet]),
                ]
                found[base + "-uplink.network"] = write(carrier, note)
            else:
                drop_in = "{}/{}.d/kraal-{}.conf".format(DIRECTORY, shape.link.profile.rpartition("/")[2], shape.name)
                found[drop_in] = write([("Network", [("VLAN", shape.port)])], note)
        else:
            port[2][1].extend(staying)
            found[base + "-uplink.network"] = write(port, note)
        return found

    def validate(self, host: Host, files: FileSet) -> None:
        """networkd has no trial of its own; every text in the files is checked before it is written."""

    def without(self, now: FileState, bridge: str) -> FileState | None:
        return None

    def way(self, old: Shape | None, new: Shape | None, paths: list[str]) -> Way:
        before = remove_link(old) if old and not new else []
        after = settle_link(new) if old and new else []
        return Way([], [*before, *commands(old, new), *after])

    def boot(self) -> list[dict[str, Any]]:
        return []


def commands(old: Shape | None, new: Shape | None) -> list[dict[str, Any]]:
    """Have networkd work by the files that are there now."""
    links = [new.name] if new else []
    links += dict.fromkeys(shape.uplink_name for shape in (old, new) if shape and shape.link)
    reconfigure = [command("networkctl", "reconfigure", *links)] if links else []
    return [command("networkctl", "reload", must=True), *reconfigure]


def iaid_of(lease: str) -> str:
    """The IAID in a lease of networkd, as IAID= takes it; nothing where its client identifier is none of RFC 4361's."""
    told = re.search(r"^CLIENTID=ff([0-9a-f]{8})", lease, re.MULTILINE)
    return str(int(told[1], 16)) if told else ""
