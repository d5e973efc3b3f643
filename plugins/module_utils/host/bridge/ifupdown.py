# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A bridge in /etc/network/interfaces, brought up by ifupdown with the hooks of bridge-utils.

The uplink's stanzas become comments where they stand, and the bridge's come after them, so that both can be told apart
and taken back later, whatever else was written into the file.
"""

from __future__ import annotations

import fnmatch
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ...engine.errors import BackendError, NotInstalled, Refused
from ..packages import install
from ..reader import Files, Host
from .manager import FileSet, FileState, Way, command, remove_link, settle_link
from .shape import Shape, Uplink

MAIN = "/etc/network/interfaces"
_HOOK = "/etc/network/if-pre-up.d/bridge"
_STARTS = re.compile(
    r"(iface|auto|allow-\S+|mapping|source|source-directory|rename|template|no-auto-down|no-scripts)\s"
)
#: The methods whose stanzas mean the same on a bridge.
_METHODS = ("static", "dhcp", "manual", "auto")
#: What the uplink's stanza must not have: it is more than a plain link then.
_FOREIGN = re.compile(r"(bridge|bond|slaves|wpa|wireless|ovs|vlan|pre-up-wpa|tunnel)[_-]?\S*")
#: What is said of the hardware, and is the bridge's own affair.
_HARDWARE = ("hwaddress", "mtu")
_HIDDEN, _BEGIN, _END = (
    "#kraal.virt %s# ",
    "#kraal.virt %s: written by kraal.virt.host_bridge; its run replaces these lines",
    "#kraal.virt %s: end",
)
#: The block of a bridge's own stanzas; the others stand where an uplink's line was replaced.
_BRIDGE = re.compile(
    r"^#kraal\.virt (\S+): written by [^\n]*\nauto \1\n.*?^#kraal\.virt \1: end\n", re.MULTILINE | re.DOTALL
)


def files_of(files: Files) -> list[str]:
    """The file and what it sources, in their order; what is sourced from there is not followed."""
    found = [MAIN]
    for line in (files.text(MAIN) or "").splitlines():
        words = line.split()
        if len(words) > 1 and words[0] in ("source", "source-directory"):
            for pattern in words[1:]:
                whole = pattern if pattern.startswith("/") else "/etc/network/" + pattern
                directory, dummy, last = whole.rpartition("/")
                if words[0] == "source-directory":
                    # Only names that run-parts would take.
                    found += [
                        whole + "/" + name for name in files.names(whole) if re.fullmatch(r"[A-Za-z0-9_-]+", name)
                    ]
                else:
                    found += [directory + "/" + name for name in files.names(directory) if fnmatch.fnmatch(name, last)]
    return list(dict.fromkeys(found))


def stanzas(text: str) -> Iterator[tuple[int, int, list[str]]]:
    """First line, the line after the last, and the words of the first, of each stanza.

    Comments and empty lines at an end belong to nobody.
    """
    lines = text.splitlines()
    start, last, words = -1, -1, [""]
    number = 0
    while number < len(lines):
        line, first = lines[number].strip(), number
        while line.endswith("\\") and number + 1 < len(lines):
            number += 1
            line = line[:-1] + " " + lines[number].strip()
        number += 1
        if not line or line.startswith("#"):
            continue
        if _STARTS.match(line + " "):
            if start >= 0:
                yield start, last, words
            start, words = first, line.split()
        last = number
    if start >= 0:
        yield start, last, words


def options_of(lines: list[str]) -> list[tuple[str, str]]:
    """The options of an iface stanza, without its first line and its comments."""
    joined = re.sub(r"\\\n\s*", " ", "\n".join(lines[1:]))
    found = []
    for line in joined.splitlines():
        if line.strip() and not line.strip().startswith("#"):
            key, dummy, value = line.strip().partition(" ")
            found.append((key, value.strip()))
    return found


def hide(text: str, interface: str, bridge: str) -> tuple[str, list[tuple[str, str, list[tuple[str, str]]]], int]:
    """The text with the uplink's stanzas as comments, what they said (family, method, options), and the line after the
    last of them, or -1.

    Raises Refused for a stanza that means something else on a bridge.
    """
    lines = text.splitlines(keepends=True)
    said, after = [], -1
    replaced: dict[int, str] = {}
    for start, end, words in stanzas(text):
        if words[0] == "iface" and words[1:2] == [interface]:
            family, method = (words[2:4] + ["inet", "manual"])[:2] if len(words) >= 4 else ("inet", "manual")
            options = options_of([line.rstrip("\n") for line in lines[start:end]])
            _check(interface, family, method, options)
            said.append((family, method, options))
        elif words[0] == "mapping" and interface in words[1:]:
            raise Refused(
                f"a mapping of ifupdown decides what {interface} is", remedy="Describe it in an iface stanza of its own"
            )
        elif (words[0] == "auto" or words[0].startswith("allow-")) and interface in words[1:]:
            rest = [word for word in words[1:] if word != interface]
            if rest:
                replaced[start] = "{} {}\n".format(words[0], " ".join(rest))
        else:
            continue
        for number in range(start, end):
            lines[number] = _HIDDEN % bridge + lines[number]
        if start in replaced:
            # In a block of its own, so that it goes with the bridge.
            lines[end - 1] += f"{_BEGIN % bridge}\n{replaced[start]}{_END % bridge}\n"
        after = end
    return "".join(lines), said, after


def in_order(text: str) -> str:
    """The text with the bridges' blocks at its end, by their names: whichever of them was written last, it says the
    same.
    """
    blocks = sorted((match[1], match[0]) for match in _BRIDGE.finditer(text))
    return _BRIDGE.sub("", text) + "".join(block for dummy, block in blocks)


def _check(interface: str, family: str, method: str, options: list[tuple[str, str]]) -> None:
    if family not in ("inet", "inet6") or method not in _METHODS:
        raise Refused(
            f"{interface} is set up by ifupdown's method {family} {method}, which a bridge has not",
            remedy="Use static or dhcp, or another uplink",
        )
    for key, value in options:
        if _FOREIGN.fullmatch(key):
            raise Refused(
                f"{interface} has the option {key} in ifupdown: it is not a plain link",
                remedy="Name the link that stands on it, or take the option out",
            )
        if re.search(rf"(?<![\w.-]){re.escape(interface)}(?![\w.-])", value):
            raise Refused(
                f"the option `{key} {value}` names {interface}, which will have no addresses of its own",
                remedy="Write $IFACE in its place",
            )


class Ifupdown:
    name = "ifupdown"

    def uplink(self, host: Host, interface: str, mac: str) -> Uplink:
        for path in files_of(host):
            text = host.text(path) or ""
            if any(words[0] == "iface" and words[1:2] == [interface] for dummy, dummy2, words in stanzas(text)):
                hide(text, interface, "x")
                return Uplink(interface, mac, self.name, path)
        raise Refused(
            f"no file that ifupdown reads describes {interface}", remedy=f"Write an iface stanza for it into {MAIN}"
        )

    def check(self, host: Host) -> None:
        if not host.which("ifup"):
            raise NotInstalled("ifup is not there", remedy=install("ifup") + ", or name another manager")
        if not host.exists(_HOOK):
            raise NotInstalled(
                "ifupdown makes bridges by the hooks of bridge-utils, which are not there",
                remedy=install("brctl") + " (the role bridge does)",
            )

    def render(self, shape: Shape, files: Files) -> dict[str, FileState | None]:
        found: dict[str, FileState | None] = {}
        said: list[tuple[str, str, list[tuple[str, str]]]] = []
        home, place = MAIN, -1
        if shape.link and shape.takes_over:
            for path in files_of(files):
                text, mine, after = hide(files.text(path) or "", shape.uplink_name, shape.name)
                if after >= 0:
                    found[path] = FileState(text.encode())
                if mine and place < 0:
                    home, place = path, after
                said += mine
        text = found[home].content.decode() if home in found and found[home] else files.text(home) or ""  # type: ignore[union-attr]
        block = [_BEGIN % shape.name, *self._block(shape, said), _END % shape.name]
        text += "" if text.endswith("\n") or not text else "\n"
        found[home] = FileState(in_order(text + "\n".join(block) + "\n").encode())
        return found

    def _block(self, shape: Shape, said: list[tuple[str, str, list[tuple[str, str]]]]) -> list[str]:
        """The bridge's stanzas; what makes the bridge stands in the first."""
        parts: list[tuple[str, str, list[tuple[str, str]]]] = []
        if shape.addresses_from == "uplink":
            for family, method, options in said:
                parts.append((family, method, [pair for pair in options if pair[0] not in _HARDWARE]))
        else:
            parts = list(_own(shape))
        if not parts:
            parts = [("inet", "manual", [])]
        size = shape.mtu or next(
            (
                int(value)
                for dummy, dummy2, options in said
                for key, value in options
                if key == "mtu" and value.isdigit()
            ),
            0,
        )
        lines = ["auto " + shape.name]
        for number, (family, method, options) in enumerate(parts):
            lines.append(f"iface {shape.name} {family} {method}")
            if number == 0:
                options = [*_bridge(shape, size), *options]
            lines += ["    {} {}".format(*pair) for pair in options]
        return lines

    def without(self, now: FileState, bridge: str) -> FileState | None:
        """The bridge's blocks go, its comments become stanzas again. What other bridges have in the file stays."""
        blocks = re.compile(
            r"^#kraal\.virt {0}: written by .*?^#kraal\.virt {0}: end\n".format(re.escape(bridge)),
            re.MULTILINE | re.DOTALL,
        )
        hidden = _HIDDEN % bridge
        text = blocks.sub("", now.content.decode("utf-8", "surrogateescape"))
        lines = [line[len(hidden) :] if line.startswith(hidden) else line for line in text.splitlines(keepends=True)]
        return FileState("".join(lines).encode("utf-8", "surrogateescape"), now.mode, now.uid, now.gid)

    def validate(self, host: Host, files: FileSet) -> None:
        for path, state in files.items():
            if state is None:
                continue
            with tempfile.TemporaryDirectory(prefix="kraal-") as directory:
                copy = Path(directory, "interfaces")
                copy.write_bytes(state.content)
                said = host.run(["ifquery", f"--interfaces={copy}", "--list"])
                if said is not None and (said.rc or "error" in said.err.lower()):
                    raise BackendError(
                        f"ifupdown does not take what would be {path}: {said.error or said.err.strip()}",
                        remedy="Nothing was changed",
                    )

    def way(self, old: Shape | None, new: Shape | None, paths: list[str]) -> Way:
        before: list[dict[str, Any]] = []
        after: list[dict[str, Any]] = []
        if old and new:
            # Not down and up: that would remove the bridge from under the guests.
            if old.addresses_from in ("dhcp", "uplink"):
                # The uplink's own stanzas may ask for addresses, too. A client that is not there is none to end.
                for family, pid in (("-4", "dhclient"), ("-6", "dhclient6")):
                    before.append(command("dhclient", family, "-x", "-pf", f"/run/{pid}.{old.name}.pid", old.name))
            before.append(command("ip", "address", "flush", "scope", "global", "dev", old.name))
            return Way(before, [command("ifup", "--force", new.name, must=True), *settle_link(new)])
        if new:
            if new.takes_over:
                before.append(command("ifdown", "--force", new.uplink_name))
                before.append(command("ip", "address", "flush", "dev", new.uplink_name))
            after.append(command("ifup", "--force", new.name, must=True))
        elif old:
            before.append(command("ifdown", "--force", old.name))
            after += remove_link(old)
            if old.takes_over:
                after.append(command("ifup", "--force", old.uplink_name, must=True))
        return Way(before, after)

    def boot(self) -> list[dict[str, Any]]:
        return []


def _bridge(shape: Shape, size: int) -> list[tuple[str, str]]:
    """The options that make the bridge. A stanza's own commands run before the hooks of bridge-utils."""
    options = []
    if shape.vlan:
        add = "ip link add link %s name %s type vlan id %d" % (shape.uplink_name, shape.port, shape.vlan)
        options += [
            ("pre-up", f"ip link set dev {shape.uplink_name} up"),
            ("pre-up", f"test -e /sys/class/net/{shape.port} || {add}"),
        ]
        options += [("post-down", f"ip link delete dev {shape.port} || true")]
    if size and shape.port:
        options += [
            ("pre-up", "ip link set dev %s mtu %d" % (each, size))
            for each in dict.fromkeys((shape.uplink_name, shape.port))
        ]
    options.append(("bridge_ports", shape.port or "none"))
    options += [("bridge_hw", shape.hardware)] if shape.hardware else []
    options += [
        ("bridge_stp", "on" if shape.stp else "off"),
        ("bridge_fd", str(shape.forward_delay or (15 if shape.stp else 0))),
        ("bridge_maxwait", "0"),
    ]
    options += [("up", "ip link set dev %s mtu %d" % (shape.name, size))] if size else []
    if shape.addresses_from == "none" or shape.ipv6 == "disabled":
        options.append(("up", f"sysctl -q -w net/ipv6/conf/{shape.name}/disable_ipv6=1"))
    elif shape.ipv6 == "static" or not shape.link:
        options.append(("up", f"sysctl -q -w net/ipv6/conf/{shape.name}/accept_ra=0"))
    return options


def _own(shape: Shape) -> Iterator[tuple[str, str, list[tuple[str, str]]]]:
    """The stanzas of a bridge with addresses of its own."""
    if shape.addresses_from == "dhcp":
        yield "inet", "dhcp", []
    for version, family in ((4, "inet"), (6, "inet6")):
        routers = shape.of_family("gateway", version)
        for number, address in enumerate(shape.of_family("addresses", version)):
            options = [("address", address)]
            if number == 0:
                options += [("gateway", each) for each in routers]
                options += (
                    [("dns-nameservers", " ".join(shape.of_family("dns", version)))]
                    if shape.of_family("dns", version)
                    else []
                )
            yield family, "static", options
