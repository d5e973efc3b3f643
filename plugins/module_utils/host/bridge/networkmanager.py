# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A bridge as keyfiles of NetworkManager: one profile for it, one for its port.

The uplink's own profile stays as it is; the port's is preferred by its priority, and the uplink's comes back as soon as
that is gone.
"""

from __future__ import annotations

import re
import uuid
from typing import Any

from ...engine.errors import NotInstalled, Refused
from ..packages import install
from ..reader import Files, Host
from .ini import Sections, parse, write
from .manager import FileSet, FileState, Way, command, remove_link, settle_link
from .shape import Shape, Uplink

DIRECTORY = "/etc/NetworkManager/system-connections"
_SPACE = uuid.UUID("6f0f2b52-0d0b-4f5e-9f6b-1f2f4a0a8a11")
_TYPES = ("ethernet", "802-3-ethernet", "veth")
_FIRST = 999
#: Seconds that an activation is waited for.
_WAIT = "15"


def identity(name: str, part: str) -> str:
    """The same UUID for the same profile on every run."""
    return str(uuid.uuid5(_SPACE, f"{name} {part}"))


def active(said: str, interface: str) -> tuple[str, str]:
    """UUID and file of the connection that is active on the link, from nmcli's terse output (UUID:DEVICE:FILENAME)."""
    for line in said.splitlines():
        fields = [re.sub(r"\\(.)", r"\1", field) for field in re.split(r"(?<!\\):", line)]
        if len(fields) == 3 and fields[1] == interface:
            return fields[0], fields[2]
    return "", ""


def pairs_of(sections: Sections, name: str) -> dict[str, str]:
    """One section as a mapping."""
    return {key: value for section, pairs in sections if section == name for key, value in pairs}


class NetworkManager:
    name = "NetworkManager"

    def uplink(self, host: Host, interface: str, mac: str) -> Uplink:
        said = host.run(["nmcli", "--terse", "--fields", "UUID,DEVICE,FILENAME", "connection", "show", "--active"])
        known, path = active(said.out if said and said.rc == 0 else "", interface)
        text = host.text(path) if path else None
        if not known or text is None:
            raise Refused(
                f"NetworkManager has no connection with a file active on {interface}",
                remedy="`nmcli connection up` one on it first",
            )
        sections = parse(text)
        connection = pairs_of(sections, "connection")
        if connection.get("type") not in _TYPES:
            raise Refused(
                "the connection of {} is of type {}".format(interface, connection.get("type")),
                remedy="Name a wired link, or make the bridge by hand",
            )
        above = connection.get("master") or connection.get("controller")
        if above:
            raise Refused(
                f"the connection of {interface} is a port of {above}",
                remedy="Name that one, or take the link out of it first",
            )
        if any(name == "802-1x" for name, dummy in sections):
            raise Refused(
                f"{interface} logs in to its switch by 802.1X, which a port of a bridge does not",
                remedy="Name another uplink",
            )
        if int(connection.get("autoconnect-priority", "0")) >= _FIRST:
            raise Refused(
                f"the connection of {interface} has the highest priority there is",
                remedy="Set its connection.autoconnect-priority below %d" % _FIRST,
            )
        return Uplink(interface, mac, self.name, path, known, "" if path.startswith(DIRECTORY) else text)

    def check(self, host: Host) -> None:
        if not host.which("nmcli"):
            raise NotInstalled("nmcli is not there", remedy=install("nmcli") + ", or name another manager")

    def render(self, shape: Shape, files: Files) -> dict[str, FileState | None]:
        note = f"Bridge {shape.name}, written by kraal.virt.host_bridge; its run replaces this file."
        base = f"{DIRECTORY}/kraal-{shape.name}"
        link, wired = shape.link, [("mtu", str(shape.mtu))] if shape.mtu else []
        bridge = [("mac-address", shape.hardware.upper())] if shape.hardware else []
        bridge += [
            ("stp", "true" if shape.stp else "false"),
            ("forward-delay", str(shape.forward_delay or (15 if shape.stp else 0))),
        ]
        if shape.addresses_from == "uplink" and link:
            given = parse(link.text or files.text(link.profile) or "")
            addresses = [(name, pairs) for name, pairs in given if name in ("ipv4", "ipv6", "proxy")]
            wired = wired or [pair for pair in pairs_of(given, "ethernet").items() if pair[0] == "mtu"]
        else:
            addresses = own_addresses(shape)
        head = [*_connection(shape.name, "", "bridge", shape.name), ("autoconnect-slaves", "1")]
        found: dict[str, FileState | None] = {
            base + ".nmconnection": write(
                [("connection", head), ("ethernet", wired), ("bridge", bridge), *addresses], note, 0o600
            )
        }
        if not link:
            return found
        first = [("autoconnect-priority", str(_FIRST))]
        below = [*first, ("master", shape.name), ("slave-type", "bridge")]
        if shape.vlan:
            vlan = [("flags", "1"), ("id", str(shape.vlan)), ("parent", shape.uplink_name)]
            port = [
                ("connection", [*_connection(shape.name, "port", "vlan", shape.port), *below]),
                ("ethernet", wired),
                ("vlan", vlan),
            ]
            if shape.takes_over:
                none = [("ipv4", [("method", "disabled")]), ("ipv6", [("method", "disabled")])]
                carrier = [
                    ("connection", [*_connection(shape.name, "uplink", "ethernet", shape.uplink_name), *first]),
                    ("ethernet", wired),
                    *none,
                ]
                found[base + "-uplink.nmconnection"] = write(carrier, note, 0o600)
        else:
            port = [
                ("connection", [*_connection(shape.name, "port", "ethernet", shape.port), *below]),
                ("ethernet", wired),
            ]
        found[base + "-port.nmconnection"] = write(port, note, 0o600)
        return found

    def validate(self, host: Host, files: FileSet) -> None:
        """Loading the profiles is the trial: it activates none, and one that is not taken ends the change there."""

    def without(self, now: FileState, bridge: str) -> FileState | None:
        return None

    def way(self, old: Shape | None, new: Shape | None, paths: list[str]) -> Way:
        after: list[dict[str, Any]] = []
        if new:
            after.append(command("nmcli", "connection", "load", *paths, must=True))
        else:
            after.append(command("nmcli", "connection", "reload", must=True))
        if old and new:
            after += [command("nmcli", "device", "reapply", new.name), *settle_link(new)]
        elif new:
            if new.takes_over and new.vlan:
                after.append(
                    command("nmcli", "--wait", _WAIT, "connection", "up", "uuid", identity(new.name, "uplink"))
                )
            # A bridge is not up before a port of it is.
            after.append(command("nmcli", "--wait", "0", "connection", "up", "uuid", identity(new.name, "")))
            if new.link:
                after.append(command("nmcli", "--wait", _WAIT, "connection", "up", "uuid", identity(new.name, "port")))
        elif old:
            after += [command("nmcli", "device", "delete", old.name), *remove_link(old)]
            if old.link and old.takes_over:
                after.append(
                    command(
                        "nmcli",
                        "--wait",
                        _WAIT,
                        "connection",
                        "up",
                        "uuid",
                        old.link.identity,
                        "ifname",
                        old.uplink_name,
                    )
                )
        return Way([], after)

    def boot(self) -> list[dict[str, Any]]:
        return []


def _connection(bridge: str, part: str, kind: str, interface: str) -> list[tuple[str, str]]:
    name = f"kraal-{bridge}" + ("-" + part if part else "")
    named = [("id", name), ("uuid", identity(bridge, part)), ("type", kind)]
    return [*named, ("interface-name", interface), ("autoconnect", "true")]


def own_addresses(shape: Shape) -> Sections:
    """The sections of a bridge with addresses of its own."""
    sections: Sections = []
    for version, name in ((4, "ipv4"), (6, "ipv6")):
        addresses = shape.of_family("addresses", version)
        pairs = [("address%d" % number, each) for number, each in enumerate(addresses, 1)]
        pairs += [("gateway", each) for each in shape.of_family("gateway", version)]
        pairs += [("dns", ";".join(shape.of_family("dns", version)) + ";")] if shape.of_family("dns", version) else []
        if version == 4:
            method = "auto" if shape.addresses_from == "dhcp" else "manual" if addresses else "disabled"
        elif shape.addresses_from == "none" or shape.ipv6 == "disabled":
            method = "disabled"
        elif shape.ipv6 == "auto" and shape.link:
            method = "auto"
        else:
            method = "manual" if addresses else "link-local"
        sections.append((name, [("method", method), *(pairs if method != "disabled" else [])]))
    return sections
