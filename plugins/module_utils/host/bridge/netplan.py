# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A bridge in a file of netplan's.

netplan joins the lists of all its files, so an address cannot be taken from the uplink by a later file: the file that
gives it is rewritten, and comes back as it was, byte for byte, when the bridge goes.
"""

from __future__ import annotations

import fnmatch
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

try:
    import yaml

    HAS_YAML = True
except ImportError:
    HAS_YAML = False

from ...engine.errors import BackendError, NotInstalled, Refused
from ..packages import install
from ..reader import Files, Host
from .ini import write
from .manager import FileSet, FileState, Way, command, remove_link, settle_link
from .networkd import commands as networkd_commands
from .networkd import iaid_of
from .shape import Shape, Uplink

DIRECTORY = "/etc/netplan"
_SEARCH = (DIRECTORY, "/run/netplan", "/usr/lib/netplan", "/lib/netplan")
_KINDS = ("ethernets", "bonds", "vlans")
#: What goes to the bridge; the rest speaks of the hardware.
_MOVED = (
    "accept-ra", "activation-mode", "addresses", "critical", "dhcp-identifier", "dhcp4", "dhcp4-overrides", "dhcp6", "dhcp6-overrides", "gateway4", "gateway6",
    "ignore-carrier", "ipv6-address-generation", "ipv6-address-token", "ipv6-mtu", "ipv6-privacy", "link-local", "nameservers", "neigh-suppress", "optional",
    "optional-addresses", "routes", "routing-policy",
)  # fmt: skip
_QUIET: dict[str, Any] = {"dhcp4": False, "dhcp6": False, "accept-ra": False, "link-local": []}


def documents(files: Files) -> dict[str, dict[str, Any]]:
    """The files that netplan reads, by path, in its order; one shadows another of its name."""
    paths: dict[str, str] = {}
    for directory in reversed(_SEARCH):
        paths.update((name, directory + "/" + name) for name in files.names(directory) if name.endswith(".yaml"))
    found = {}
    for name in sorted(paths):
        try:
            loaded = yaml.safe_load(files.text(paths[name]) or "") or {}
        except yaml.YAMLError as error:
            raise Refused(
                f"{paths[name]} is not understood: {_said(error)}", remedy="Mend it; `netplan generate` tells more"
            ) from error
        found[paths[name]] = loaded.get("network") or {}
    return found


def _said(error: yaml.YAMLError) -> str:
    """What is wrong, and where; without the lines themselves, which may hold a password."""
    mark = getattr(error, "problem_mark", None)
    return "{}{}".format(getattr(error, "problem", None) or "no YAML", " in line %d" % (mark.line + 1) if mark else "")


def definition(files: Files, interface: str, mac: str) -> tuple[str, str, str, Mapping[str, Any]] | None:
    """File, kind, key and content of the link's definition; the last file that has one."""
    found = None
    for path, network in documents(files).items():
        for kind in _KINDS:
            for key, entry in (network.get(kind) or {}).items():
                if _is(key, entry or {}, interface, mac):
                    found = (path, kind, str(key), entry or {})
    return found


def _is(key: str, entry: Mapping[str, Any], interface: str, mac: str) -> bool:
    match = entry.get("match")
    if not match:
        return key == interface
    if entry.get("set-name"):
        return bool(entry["set-name"] == interface)
    names = match.get("name")
    globs = names if isinstance(names, list) else [names] if names else []
    return any(fnmatch.fnmatch(interface, each) for each in globs) or (
        not globs and str(match.get("macaddress", "")).lower() == mac.lower()
    )


def renderer(files: Files, entry: Mapping[str, Any]) -> str:
    """networkd or NetworkManager."""
    last = [network["renderer"] for network in documents(files).values() if network.get("renderer")]
    return str(entry.get("renderer") or (last[-1] if last else "networkd"))


class Netplan:
    name = "netplan"

    def uplink(self, host: Host, interface: str, mac: str) -> Uplink:
        self.check(host)
        found = definition(host, interface, mac)
        if found is None:
            raise Refused(
                f"no file of netplan's describes {interface}", remedy=f"Give it an entry below ethernets in {DIRECTORY}"
            )
        path, dummy, key, entry = found
        if entry.get("auth"):
            raise Refused(
                f"{interface} logs in to its switch by 802.1X, which a port of a bridge does not",
                remedy="Name another uplink",
            )
        if (
            "name" in (entry.get("match") or {})
            and not entry.get("set-name")
            and re.search(r"[*?\[]", str(entry["match"]["name"]))
        ):
            raise Refused(f"{key} matches several links in {path}", remedy=f"Give {interface} an entry of its own")
        if not path.startswith(DIRECTORY + "/"):
            raise Refused(
                f"{path} describes {interface}, and is not the administrator's to edit",
                remedy=f"Copy it to {DIRECTORY} under the same name",
            )
        for other, network in documents(host).items():
            if other != path and any(key in (network.get(kind) or {}) for kind in _KINDS):
                raise Refused(f"{interface} is described in {other} and in {path}", remedy="Describe it in one file")
        index = host.word(f"/sys/class/net/{interface}/ifindex")
        backend = renderer(host, entry)
        lease = host.text("/run/systemd/netif/leases/" + index) or "" if backend == "networkd" else ""
        return Uplink(interface, mac, self.name, path, key, iaid=iaid_of(lease), backend=backend)

    def check(self, host: Host) -> None:
        if not host.which("netplan"):
            raise NotInstalled("netplan is not there", remedy=install("netplan") + ", or name another manager")
        if not HAS_YAML:
            raise NotInstalled(
                "the Python that runs the module cannot read YAML",
                remedy=install("python:yaml") + ", and let ansible_python_interpreter be /usr/bin/python3",
            )

    def render(self, shape: Shape, files: Files) -> dict[str, FileState | None]:
        note = f"# Bridge {shape.name}, written by kraal.virt.host_bridge; its run replaces this file.\n"
        found: dict[str, FileState | None] = {}
        network: dict[str, Any] = {"version": 2}
        bridge: dict[str, Any] = {"interfaces": []}
        moved: dict[str, Any] = {}
        if not shape.link and renderer(files, {}) != "networkd":
            raise Refused(
                "a bridge without an uplink is not known of netplan with NetworkManager",
                remedy="Name manager=networkmanager",
            )
        if shape.link:
            path, kind, key, entry = _definition(shape, files)
            moved = {name: entry[name] for name in _MOVED if name in entry}
            if shape.takes_over:
                document = yaml.safe_load(files.text(path) or "")
                rest = {name: value for name, value in entry.items() if name not in _MOVED}
                document["network"][kind][key] = {**rest, **_QUIET, **({"mtu": shape.mtu} if shape.mtu else {})}
                found[path] = FileState((note.replace("this file", "it, and gives it back") + _dump(document)).encode())
            if shape.vlan:
                network["vlans"] = {
                    shape.port: {"id": shape.vlan, "link": key, **_QUIET, **({"mtu": shape.mtu} if shape.mtu else {})}
                }
            bridge["interfaces"] = [shape.port if shape.vlan else key]
            if entry.get("renderer"):
                bridge["renderer"] = entry["renderer"]
        bridge.update({"macaddress": shape.hardware} if shape.hardware else {})
        bridge.update({"mtu": shape.mtu} if shape.mtu else {})
        bridge["parameters"] = {
            "stp": bool(shape.stp),
            "forward-delay": shape.forward_delay or (15 if shape.stp else 0),
        }
        bridge.update(moved if shape.addresses_from == "uplink" else own_addresses(shape))
        network["bridges"] = {shape.name: bridge}
        found[f"{DIRECTORY}/90-kraal-{shape.name}.yaml"] = FileState(
            (note + _dump({"network": network})).encode(), 0o600
        )
        if (
            shape.link
            and shape.link.iaid
            and shape.addresses_from in ("uplink", "dhcp")
            and "dhcp-identifier" not in bridge
        ):
            # netplan has no word for it.
            drop_in = f"/etc/systemd/network/10-netplan-{shape.name}.network.d/kraal.conf"
            found[drop_in] = write(
                [("DHCPv4", [("IAID", shape.link.iaid)]), ("DHCPv6", [("IAID", shape.link.iaid)])], note[2:-1]
            )
        return found

    def validate(self, host: Host, files: FileSet) -> None:
        with tempfile.TemporaryDirectory(prefix="kraal-") as root:
            for directory in _SEARCH:
                for name in host.names(directory):
                    _copy(root, directory + "/" + name, host.octets(directory + "/" + name))
            for path, state in files.items():
                _copy(root, path, state.content if state else None)
            said = host.run(["netplan", "generate", "--root-dir", root])
        if said is None or said.rc:
            raise BackendError(
                "netplan does not take what would be written: %s" % (said.error if said else "it is not there"),
                remedy="Nothing was changed",
            )

    def without(self, now: FileState, bridge: str) -> FileState | None:
        return None

    def way(self, old: Shape | None, new: Shape | None, paths: list[str]) -> Way:
        after: list[dict[str, Any]] = [command("netplan", "generate", must=True)]
        if old and not new:
            after += remove_link(old)
        shape = new or old
        if shape and shape.link and shape.link.backend == "NetworkManager":
            after.append(command("netplan", "apply", must=True))
        else:
            # Not `netplan apply`: it restarts networkd, and sets off udev for every link of the host.
            after += networkd_commands(old, new)
        if old and new:
            after += settle_link(new)
        return Way([], after)

    def boot(self) -> list[dict[str, Any]]:
        # Its generator ran before anything could be restored.
        return [command("netplan", "generate")]


def _definition(shape: Shape, files: Files) -> tuple[str, str, str, Mapping[str, Any]]:
    found = definition(files, shape.uplink_name, shape.link.mac if shape.link else "")
    if found is None:
        why = f"no file of netplan's describes {shape.uplink_name} any more"
        raise Refused(why, remedy="Put it back, or remove the bridge first")
    return found


def _dump(document: Mapping[str, Any]) -> str:
    return str(yaml.safe_dump(dict(document), sort_keys=False, default_flow_style=False))


def _copy(root: str, path: str, content: bytes | None) -> None:
    target = Path(root + path)
    if content is None:
        target.unlink(missing_ok=True)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    target.touch(mode=0o600)
    target.write_bytes(content)


def own_addresses(shape: Shape) -> dict[str, Any]:
    """The keys of a bridge with addresses of its own."""
    dhcp, wanted = shape.addresses_from == "dhcp", shape.addresses_from != "none"
    keys: dict[str, Any] = {
        "dhcp4": dhcp,
        "dhcp6": dhcp and shape.ipv6 == "auto",
        "accept-ra": wanted and shape.ipv6 == "auto" and bool(shape.link),
        "link-local": ["ipv6"] if wanted and shape.ipv6 != "disabled" else [],
    }
    if shape.addresses:
        keys["addresses"] = list(shape.addresses)
    if shape.gateway:
        keys["routes"] = [{"to": "::/0" if ":" in each else "0.0.0.0/0", "via": each} for each in shape.gateway]
    if shape.dns:
        keys["nameservers"] = {"addresses": list(shape.dns)}
    return keys
