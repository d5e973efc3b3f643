# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Disks that QEMU finds on the network: a place written as rbd://HOST:PORT,HOST/POOL/IMAGE, and how libvirt has it.

Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from .fields import Field
from .xml import ET, Element, get, make, put

#: The protocols, and the port of each that need not be said (0: none).
PORTS = {"rbd": "0", "iscsi": "3260", "nbd": "10809", "gluster": "24007"}
PORTS.update({"http": "80", "https": "443", "ftp": "21", "ftps": "990"})
URL = re.compile(
    rf"(?P<protocol>{'|'.join(PORTS)})(?P<unix>\+unix)?://(?P<hosts>[^/?\s]*)/(?P<name>[^?\s]*)(\?(?P<query>\S*))?"
)
_HOST = re.compile(r"(?P<name>\[[^\]\s]+\]|[^:\s]+)(:(?P<port>[0-9]{1,5}))?")
_SOCKET = "socket="


def url_of(source: Element) -> str:
    """The place of a disk on the network; its name alone where it is told in a way that has no words here."""
    protocol, name = source.get("protocol", ""), source.get("name", "")
    hosts = source.findall("host")
    ways = {host.get("transport", "tcp") for host in hosts}
    if protocol not in PORTS or not (ways <= {"tcp"} or (ways == {"unix"} and len(hosts) == 1)):
        return name
    if ways == {"unix"}:
        return f"{protocol}+unix:///{name.lstrip('/')}?{_SOCKET}{hosts[0].get('socket', '')}"
    query = f"?{source.get('query')}" if source.get("query") else ""
    return f"{protocol}://{','.join(_hosts(protocol, hosts))}/{name.lstrip('/')}{query}"


def _hosts(protocol: str, hosts: list[Element]) -> Iterator[str]:
    for host in hosts:
        name, port = host.get("name", ""), host.get("port", PORTS[protocol])
        name = f"[{name}]" if ":" in name else name
        yield name if port == PORTS[protocol] else f"{name}:{port}"


def canonical_url(text: str) -> str:
    """The same place in its one form; what is none as it stands."""
    source = Element("source")
    return url_of(source) if put_url(source, text) else text


def put_url(source: Element, text: str) -> bool:
    """Write a place into a source; whether it is one."""
    found = URL.fullmatch(text)
    if found is None:
        return False
    hosts = [_HOST.fullmatch(each) for each in found["hosts"].split(",") if each]
    query = found["query"] or ""
    if None in hosts or (found["unix"] and (hosts or not query.startswith(_SOCKET + "/"))):
        return False
    source.set("protocol", found["protocol"])
    source.set("name", found["name"])
    if found["unix"]:
        ET.SubElement(source, "host", {"transport": "unix", "socket": query[len(_SOCKET) :]})
    elif query:
        source.set("query", query)
    for host in filter(None, hosts):
        port = {"port": host["port"]} if host["port"] else {}
        ET.SubElement(source, "host", {"name": host["name"].strip("[]"), **port})
    return True


@dataclass(frozen=True)
class Auth(Field):
    """Who a disk on the network is asked for as; older definitions say it beside the source."""

    def read(self, element: Element) -> Any:
        return get(element, "source/auth" + self.place) or get(element, "auth" + self.place) or ""

    def write(self, element: Element, value: Any) -> None:
        put(element, "source/auth" + self.place, value or None)


@dataclass(frozen=True)
class Secret(Auth):
    """The secret of libvirt's that holds the password: by its UUID, or by what it is used for."""

    def read(self, element: Element) -> Any:
        for path in ("source/auth/secret", "auth/secret"):
            found = get(element, path + "@uuid") or get(element, path + "@usage")
            if found:
                return found
        return ""

    def write(self, element: Element, value: Any) -> None:
        for attribute in ("@uuid", "@usage", "@type"):
            put(element, "source/auth/secret" + attribute, None)
        if value:
            secret = make(element, "source/auth/secret")
            secret.set("type", "ceph" if get(element, "source@protocol") == "rbd" else "iscsi")
            secret.set("uuid" if re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", value) else "usage", value)
