# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What stands in the way of what a host is about to be made: packages that cannot be fetched, ports and addresses that
others have, too little space.

Each as ``check``, ``found``, ``remedy``, and the last two together as a ``text``.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from ..engine.printable import printable
from . import subnets
from .reader import Files, Host

Obstacle = dict[str, str]

#: Which links may have a part of a network of Docker's: the engine's own.
_DOCKERS = re.compile(r"docker0|docker_gwbridge|br-[0-9a-f]{12}")
_LISTENS = {"tcp": "0A", "udp": "07"}


def _obstacle(check: str, found: str, remedy: str) -> Obstacle:
    # What programs, links and networks are called is anybody's word.
    found = printable(found)
    return {"check": check, "found": found, "remedy": remedy, "text": f"{found[:1].upper() + found[1:]}. {remedy}."}


def obstacles(host: Host, missing: Sequence[str], plans: Mapping[str, Any]) -> list[Obstacle]:
    """All of them. ``missing``: packages. ``plans``: ``ports``, ``subnets``, ``space`` and ``downloads`` (both bytes by
    path); what is not there is not looked at. A download is one unless its path is there. Without anything to fetch,
    space and mirror are no obstacles.
    """
    found = [*port_holders(host, plans.get("ports") or ()), *subnet_holders(host, plans.get("subnets") or ())]
    fetched = {path: size for path, size in (plans.get("downloads") or {}).items() if not host.exists(path)}
    if missing or fetched:
        found += [*too_full(host, {**(plans.get("space") or {}), **fetched}), *unreachable(host, missing)]
    return found


# Ports


def holders(files: Files, port: int) -> list[str]:
    """The programs that listen on a port on all addresses, as name (pid); a number of a socket whose program may not
    be seen is left out.
    """
    sockets = {inode for protocol in _LISTENS for inode in listening(files, protocol, port)}
    found = set()
    for pid in files.names("/proc") if sockets else ():
        if pid.isdigit() and any(
            files.target(f"/proc/{pid}/fd/{descriptor}") in sockets for descriptor in files.names(f"/proc/{pid}/fd")
        ):
            found.add("{} (pid {})".format(files.word(f"/proc/{pid}/comm"), pid))
    return sorted(found)


def listening(files: Files, protocol: str, port: int) -> Iterator[str]:
    """The sockets that listen on a port on all addresses, as /proc/PID/fd calls them; see proc(5)."""
    for name in (protocol, protocol + "6"):
        for line in (files.text("/proc/net/" + name) or "").splitlines()[1:]:
            fields = line.split()
            address, _colon, number = fields[1].partition(":") if len(fields) > 9 else ("", "", "")
            if number and int(number, 16) == port and not address.strip("0") and fields[3] == _LISTENS[protocol]:
                yield f"socket:[{fields[9]}]"


def port_holders(host: Host, ports: Iterable[int]) -> Iterator[Obstacle]:
    """Ports that nothing can be bound to on an address of its own, as a program has them on all."""
    for port in ports:
        if host.binds(port):
            continue
        names = ", ".join(holders(host, port)) or "a program that cannot be seen from here"
        yield _obstacle(
            "port",
            "port %d is taken on all addresses by %s, and the DNS of the guests' bridge needs it on the bridge's"
            % (port, names),
            "Let that program listen on its own interfaces only (dnsmasq: bind-dynamic; BIND: listen-on; unbound: "
            "interface), or stop it",
        )


# Addresses


def subnet_holders(host: Files, wanted: Iterable[object]) -> Iterator[Obstacle]:
    """Networks for guests of Docker's that are reached by a link which is not the engine's own.

    IPv6 and what is no network is not looked at.
    """
    there = [
        (link, other)
        for link, other in subnets.networks(host.text("/proc/net/route") or "")
        if not _DOCKERS.fullmatch(link)
    ]
    for given in wanted:
        try:
            network = ipaddress.IPv4Network(
                str(given.get("subnet") if isinstance(given, Mapping) else given), strict=False
            )
        except ValueError:
            continue
        taken = ["{} ({})".format(*each) for each in subnets.overlapping(network, there)]
        if taken:
            found = "the network {} for guests is in use on this host: {}".format(network, ", ".join(taken))
            yield _obstacle("subnet", found, "Give it a subnet that is free (in fleet_networks)")


# Space


def too_full(host: Host, needed: Mapping[str, int]) -> Iterator[Obstacle]:
    """File systems that have less free than is needed below the paths that are on them; bytes by path, which need
    not be there yet.
    """
    paths: dict[int, list[str]] = {}
    free: dict[int, int] = {}
    for path in needed:
        parts = path.rstrip("/").split("/")
        space = next(
            filter(None, (host.space("/".join(parts[:count]) or "/") for count in range(len(parts), 0, -1))), None
        )
        if space is not None:
            paths.setdefault(space.device, []).append(path)
            free[space.device] = space.free
    for device, names in paths.items():
        wanted = sum(needed[name] for name in names)
        if wanted > free[device]:
            yield _obstacle(
                "space",
                "about %d MiB are needed below %s, and %d MiB are free there"
                % (wanted >> 20, " and ".join(names), free[device] >> 20),
                "Free space, or mount a larger file system there",
            )


# Packages


def mirrors(uris: str, settings: str, environment: Mapping[str, str]) -> set[tuple[str, int]] | None:
    """Whom apt asks: host and port of each mirror, or of the proxy before it. None where that cannot be told. Pure.

    ``uris``: what `apt-get update --print-uris` says. ``settings``: `apt-config dump`.
    """
    configured = dict(re.findall(r'^Acquire::(\S+) "(.*)";$', settings, re.MULTILINE))
    found = set()
    for uri in re.findall(r"^'([^']+)'", uris, re.MULTILINE):
        parts = urlsplit(uri)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            # A disk, a CD-ROM, or a transport of somebody's own.
            return None
        if any(
            configured.get(f"{scheme}::Proxy{kind}")
            for scheme in (parts.scheme, "http")
            for kind in ("-Auto-Detect", "AutoDetect")
        ):
            return None
        own = configured.get(f"{parts.scheme}::Proxy::{parts.hostname}")
        proxy = (
            own
            if own is not None
            else configured.get(f"{parts.scheme}::Proxy") or environment.get(parts.scheme + "_proxy", "")
        )
        skipped = [name.strip().lstrip(".") for name in environment.get("no_proxy", "").split(",") if name.strip()]
        if (
            proxy
            and proxy != "DIRECT"
            and not any(parts.hostname == name or parts.hostname.endswith("." + name) for name in skipped)
        ):
            parts = urlsplit(proxy if "//" in proxy else "//" + proxy)
        if parts.hostname:
            found.add((parts.hostname, parts.port or {"https": 443}.get(parts.scheme, 80)))
    return found


def unreachable(host: Host, missing: Sequence[str]) -> list[Obstacle]:
    """That no mirror of the packages can be reached; nothing where one can, or where nobody can tell."""
    uris, settings = host.run(["apt-get", "update", "--print-uris"]), host.run(["apt-config", "dump"])
    asked = mirrors(uris.out, settings.out, host.environment()) if uris and settings and uris.rc == 0 else None
    errors = host.reach(sorted(asked)) if asked else []
    if not errors or "" in errors:
        return []
    what = " (missing here: {})".format(", ".join(missing)) if missing else ""
    return [
        _obstacle(
            "mirror",
            "the package mirror cannot be reached: {}{}".format(", ".join(sorted(set(errors))), what),
            "Connect this host to the network, or set a proxy or another mirror below /etc/apt",
        )
    ]
