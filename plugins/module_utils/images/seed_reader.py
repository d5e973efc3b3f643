# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The program that reads a NoCloud seed in a guest, once for each instance-id. Put into disk images as it stands here;
needs python3-yaml there.

What it does not understand it names on the console and in the journal, and goes on with the rest; values are never
shown.
"""

# A program of its own, not a part of a module: pylint: disable=ansible-bad-function

from __future__ import annotations

import base64
import grp
import hashlib
import json
import os
import pwd
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

LABELS = Path("/dev/disk/by-label")
STATE = Path("/var/lib/kraal/instance-id")
NETWORK = Path("/etc/systemd/network")
#: Before 80-kraal-dhcp.network, which takes what no seed has named.
PREFIX = "10-kraal-seed-"

Warn = Callable[[str], None]


class Invalid(Exception):
    """A value that is invalid; what it says is shown, so it never holds the value."""


def items(value: Any, what: str) -> list[Any]:
    """A list, or a single entry as one. Raises Invalid."""
    if isinstance(value, Mapping):
        raise Invalid(f"{what} is not a list")
    return list(value) if isinstance(value, (list, tuple)) else [] if value is None else [value]


def mapping(value: Any, what: str) -> Mapping[str, Any]:
    """A mapping. Raises Invalid."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise Invalid(f"{what} is not a mapping")
    return {str(key): entry for key, entry in value.items()}


def line(value: Any, what: str) -> str:
    """A text on one line. Raises Invalid."""
    text = str(value)
    if isinstance(value, (Mapping, list)) or not text or not text.isprintable():
        raise Invalid(f"{what} is not a text on one line")
    return text


def others(given: Iterable[str], known: Iterable[str], where: str, warn: Warn) -> None:
    """Name the keys that are not understood."""
    for key in sorted(set(given) - set(known)):
        warn("{}: {} is not understood and left out".format(where, key if key.isprintable() else "a key"))


# --- network-config -> systemd-networkd; pure

_ETHERNET = (
    "match",
    "dhcp4",
    "dhcp6",
    "addresses",
    "gateway4",
    "gateway6",
    "routes",
    "nameservers",
    "mtu",
    "optional",
    "accept-ra",
)


def _route(entry: Any, where: str, warn: Warn) -> list[tuple[str, str]]:
    route = mapping(entry, f"{where}.routes")
    others(route, ("to", "via", "metric", "on-link"), f"{where}.routes", warn)
    found = []
    if str(route.get("to", "default")) not in ("default", "0.0.0.0/0", "::/0"):
        found.append(("Destination", line(route["to"], f"{where}.routes.to")))
    if route.get("via") is not None:
        found.append(("Gateway", line(route["via"], f"{where}.routes.via")))
    if route.get("metric") is not None:
        found.append(("Metric", "%d" % int(route["metric"])))
    if route.get("on-link"):
        found.append(("GatewayOnLink", "yes"))
    return found


def _ethernet(name: str, entry: Mapping[str, Any], where: str, warn: Warn) -> list[tuple[str, list[tuple[str, str]]]]:
    """The sections of one interface's .network file. Raises Invalid."""
    others(entry, _ETHERNET, where, warn)
    match = mapping(entry.get("match"), f"{where}.match")
    others(match, ("macaddress", "name"), f"{where}.match", warn)
    matches = [
        (key, line(match[field], f"{where}.match.{field}"))
        for key, field in (("MACAddress", "macaddress"), ("Name", "name"))
        if match.get(field) is not None
    ]
    if match and not matches:
        raise Invalid(f"{where}.match names neither a macaddress nor a name")
    four, six = bool(entry.get("dhcp4")), bool(entry.get("dhcp6"))
    network = [("DHCP", "yes" if four and six else "ipv4" if four else "ipv6" if six else "no")]
    for address in items(entry.get("addresses"), f"{where}.addresses"):
        network.append(("Address", line(address, f"{where}.addresses")))
    for field in ("gateway4", "gateway6"):
        if entry.get(field) is not None:
            network.append(("Gateway", line(entry[field], f"{where}.{field}")))
    servers = mapping(entry.get("nameservers"), f"{where}.nameservers")
    others(servers, ("addresses", "search"), f"{where}.nameservers", warn)
    network += [
        ("DNS", line(each, f"{where}.nameservers")) for each in items(servers.get("addresses"), f"{where}.nameservers")
    ]
    domains = [line(each, f"{where}.nameservers") for each in items(servers.get("search"), f"{where}.nameservers")]
    if domains:
        network.append(("Domains", " ".join(domains)))
    if entry.get("accept-ra") is not None:
        network.append(("IPv6AcceptRA", "yes" if entry["accept-ra"] else "no"))
    link = []
    if entry.get("mtu") is not None:
        link.append(("MTUBytes", "%d" % int(entry["mtu"])))
    if entry.get("optional"):
        link.append(("RequiredForOnline", "no"))
    sections = [("Match", matches or [("Name", line(name, where))])]
    if link:
        sections.append(("Link", link))
    sections.append(("Network", network))
    sections += [("Route", _route(route, where, warn)) for route in items(entry.get("routes"), f"{where}.routes")]
    if four:
        sections.append(("DHCPv4", [("ClientIdentifier", "mac")]))
    return sections


def networkd_files(config: Any, warn: Warn) -> dict[str, str]:
    """The .network files of a network-config, version 2, by their names.

    Raises Invalid where it is another thing altogether.
    """
    config = mapping(config, "network-config")
    if set(config) == {"network"}:
        config = mapping(config["network"], "network")
    if config.get("version") != 2:
        raise Invalid("network-config is not of version 2")
    others(config, ("version", "ethernets", "renderer"), "network-config", warn)
    files = {}
    for name, entry in mapping(config.get("ethernets"), "ethernets").items():
        where = f"network-config: ethernets.{name}"
        try:
            sections = _ethernet(name, mapping(entry, where), where, warn)
        except (Invalid, ValueError, TypeError, OverflowError) as error:
            warn(str(error) if isinstance(error, Invalid) else f"{where}: a number is none")
            continue
        text = "\n".join(
            "[{}]\n{}".format(title, "".join("{}={}\n".format(*pair) for pair in pairs)) for title, pairs in sections
        )
        files["{}{}.network".format(PREFIX, re.sub(r"[^A-Za-z0-9_.-]", "_", name))] = text
    return files


# --- what changes the guest


class Reader:
    """Applies one seed. ``user``: whose keys the seed's own are."""

    def __init__(self, user: str, warn: Warn) -> None:
        self.user = user
        self.warn = warn
        self.failed = False

    def attempt(self, what: str, work: Callable[[], None]) -> None:
        """Do one part; should it fail, say so, and leave the others alone."""
        try:
            work()
        except Invalid as error:
            self.warn(f"{what}: {error}")
        except (OSError, subprocess.CalledProcessError) as error:
            self.failed = True
            self.warn(f"{what}: failed: {error}")
        except (LookupError, ValueError, TypeError) as error:
            # What these say may be the value.
            self.failed = True
            self.warn(f"{what}: failed: {type(error).__name__}")

    def listed(self, value: Any, what: str) -> list[Any]:
        """A list; another thing is named and left out."""
        try:
            return items(value, what)
        except Invalid as error:
            self.warn(f"{error} and left out")
            return []

    def apply(self, meta: Mapping[str, Any], user: Mapping[str, Any], network: Any) -> None:
        """All of a seed."""
        others(meta, ("instance-id", "local-hostname", "public-keys"), "meta-data", self.warn)
        others(user, ("hostname", "fqdn", "ssh_authorized_keys", "users", "write_files"), "user-data", self.warn)
        if network is not None:
            self.attempt("network-config", lambda: self.network(network))
        name, full = user.get("hostname") or meta.get("local-hostname") or user.get("fqdn"), user.get("fqdn")
        if name is not None:
            self.attempt("hostname", lambda: self.hostname(line(name, "it"), line(full or name, "it")))
        for number, entry in enumerate(self.listed(user.get("users"), "user-data: users")):
            if entry != "default":
                self.attempt("user-data: users[%d]" % number, lambda entry=entry: self.account(mapping(entry, "it")))  # type: ignore[misc]
        public = meta.get("public-keys")
        known = self.listed(list(public.values()) if isinstance(public, Mapping) else public, "meta-data: public-keys")
        known += self.listed(user.get("ssh_authorized_keys"), "user-data: ssh_authorized_keys")
        self.attempt("ssh_authorized_keys", lambda: self.keys(self.user, known))
        for number, entry in enumerate(self.listed(user.get("write_files"), "user-data: write_files")):
            self.attempt("user-data: write_files[%d]" % number, lambda entry=entry: self.file(mapping(entry, "it")))  # type: ignore[misc]

    def network(self, config: Any) -> None:
        """The files of systemd-networkd, which starts after this."""
        files = networkd_files(config, self.warn)
        for path in NETWORK.glob(PREFIX + "*"):
            path.unlink()
        for name, text in files.items():
            (NETWORK / name).write_text(text, encoding="utf-8")

    def hostname(self, name: str, full: str) -> None:
        """The name for now and from now on, and an address for it."""
        for each in (name, full):
            if len(each) > 253 or not re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?", each):
                raise Invalid("it is not a valid name for a host")
        short = name.partition(".")[0]
        full = full if "." in full else name
        Path("/etc/hostname").write_text(short + "\n", encoding="utf-8")
        socket.sethostname(short)
        hosts = Path("/etc/hosts")
        lines = (
            [each for each in hosts.read_text(encoding="utf-8").splitlines() if not each.startswith("127.0.1.1")]
            if hosts.exists()
            else []
        )
        lines.append("127.0.1.1 {}".format(" ".join(dict.fromkeys((full, short)))))
        hosts.write_text("".join(each + "\n" for each in lines), encoding="utf-8")

    def account(self, entry: Mapping[str, Any]) -> None:
        """A user, made where it is missing."""
        name = line(entry.get("name"), "its name")
        others(
            entry,
            ("name", "gecos", "shell", "groups", "sudo", "lock_passwd", "ssh_authorized_keys"),
            f"user-data: users: {name}",
            self.warn,
        )
        if not re.fullmatch(r"[a-z_][a-z0-9_-]{0,31}", name):
            raise Invalid("its name is none")
        if entry.get("lock_passwd") is False:
            self.warn(f"user-data: users: {name}: lock_passwd is not understood: the password stays locked")
        groups = [
            each
            for given in items(entry.get("groups"), "groups")
            for each in re.split(r"[,\s]+", line(given, "groups"))
            if each
        ]
        try:
            pwd.getpwnam(name)
            command = ["usermod", "--append", "--groups", ",".join(groups), "--", name] if groups else []
        except KeyError:
            command = [
                "useradd",
                "--create-home",
                "--shell",
                line(entry.get("shell", "/bin/bash"), "shell"),
                "--comment",
                str(entry.get("gecos") or ""),
            ]
            command += [*(["--groups", ",".join(groups)] if groups else []), "--", name]
        if command:
            subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
        rules = [line(each, "sudo") for each in items(entry.get("sudo") or None, "sudo")]
        if rules and shutil.which("sudo") is None:
            self.warn(f"user-data: users: {name}: sudo is not installed, its rules are left out")
        elif rules:
            path = Path(f"/etc/sudoers.d/90-kraal-{name}")
            path.write_text("".join(f"{name} {rule}\n" for rule in rules), encoding="utf-8")
            path.chmod(0o440)
        self.keys(name, items(entry.get("ssh_authorized_keys"), "ssh_authorized_keys"))

    def keys(self, user: str, keys: list[Any]) -> None:
        """Keys with which one may log in, beside those that may already."""
        if not keys:
            return
        account = pwd.getpwnam(user)
        path = Path(account.pw_dir, ".ssh/authorized_keys")
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        there = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        for each in keys:
            key = str(each).strip()
            if not isinstance(each, str) or not key.isprintable():
                self.warn("ssh_authorized_keys: a key is not a text on one line and left out")
            elif key and key not in there:
                there.append(key)
        path.write_text("".join(each + "\n" for each in there), encoding="utf-8")
        path.chmod(0o600)
        for each in (path.parent, path):
            os.chown(each, account.pw_uid, account.pw_gid)

    def file(self, entry: Mapping[str, Any]) -> None:
        """A file with its content, mode and owner."""
        path = Path(line(entry.get("path"), "its path"))
        others(
            entry,
            ("path", "content", "permissions", "owner", "encoding", "append"),
            f"user-data: write_files: {path}",
            self.warn,
        )
        if not path.is_absolute():
            raise Invalid("its path is not absolute")
        encoding, content = str(entry.get("encoding") or "text/plain"), entry.get("content") or ""
        if encoding not in ("text/plain", "b64", "base64"):
            raise Invalid("its encoding is not understood")
        data = content if isinstance(content, bytes) else str(content).encode()
        data = data if encoding == "text/plain" else base64.b64decode(data)
        mode = entry.get("permissions", 0o644)
        path.parent.mkdir(parents=True, exist_ok=True)
        # Its mode first: its content may be a secret.
        with open(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "ab" if entry.get("append") else "wb") as file:
            os.fchmod(file.fileno(), mode if isinstance(mode, int) else int(str(mode), 8))
            if entry.get("owner"):
                user, dummy, group = line(entry["owner"], "its owner").partition(":")
                account = pwd.getpwnam(user)
                os.fchown(file.fileno(), account.pw_uid, grp.getgrnam(group).gr_gid if group else account.pw_gid)
            file.write(data)


# --- where the seed comes from


def find_seed() -> Path | None:
    """The device with the label of a NoCloud seed."""
    # The kernel has named its devices; udev may still be at work on their labels, and on much else.
    subprocess.run(["udevadm", "settle", f"--exit-if-exists={LABELS / 'cidata'}", "--timeout=60"], check=False)
    return next((LABELS / label for label in ("cidata", "CIDATA") if (LABELS / label).exists()), None)


def read_files(device: Path) -> dict[str, str]:
    """The texts of a seed. Raises OSError and CalledProcessError."""
    where = tempfile.mkdtemp(prefix="kraal-seed-", dir="/run")
    try:
        subprocess.run(["mount", "-o", "ro", "--", str(device), where], check=True)
        try:
            names = [name for name in ("meta-data", "user-data", "network-config") if Path(where, name).exists()]
            return {name: Path(where, name).read_text(encoding="utf-8") for name in names}
        finally:
            subprocess.run(["umount", "--", where], check=True)
    finally:
        os.rmdir(where)


def understood(texts: Mapping[str, str], warn: Warn) -> dict[str, Any]:
    """The data of each text; what is none is named and left out."""
    found: dict[str, Any] = {}
    for name, text in texts.items():
        if name == "user-data" and text.strip() and not text.startswith("#cloud-config"):
            warn("user-data is no #cloud-config and left out")
            continue
        try:
            data = _data_of(text)
            found[name] = data if name == "network-config" else mapping(data, "it")
        except Invalid:
            warn(f"{name} cannot be read and is left out")
    return found


def _data_of(text: str) -> Any:
    """The data of JSON or YAML. Raises Invalid."""
    try:
        # Most seeds are JSON behind a comment, and an emulated machine loads the reader of YAML for half a second.
        return json.loads(re.sub(r"\A(?:#.*\n)*", "", text))
    except ValueError:
        pass
    import yaml  # pylint: disable=import-outside-toplevel

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        # What it says of an error quotes the text.
        raise Invalid("it is neither JSON nor YAML") from None


def main() -> int:
    """Read the seed unless this instance has; 1 where a part of it failed."""

    def warn(text: str) -> None:
        sys.stderr.write(f"kraal-seed: warning: {text}\n")
        sys.stderr.flush()

    device = find_seed()
    if device is None:
        sys.stdout.write("kraal-seed: there is no seed\n")
        return 0
    try:
        texts = read_files(device)
    except (OSError, subprocess.CalledProcessError, UnicodeDecodeError) as error:
        warn("the seed cannot be read: %s" % (error if isinstance(error, OSError) else type(error).__name__))
        return 1
    data = understood(texts, warn)
    meta = data.get("meta-data", {})
    instance = str(meta.get("instance-id") or hashlib.sha256(repr(sorted(texts.items())).encode()).hexdigest())
    if STATE.exists() and STATE.read_text(encoding="utf-8") == instance:
        return 0
    reader = Reader(sys.argv[1] if len(sys.argv) > 1 else "root", warn)
    reader.apply(meta, data.get("user-data", {}), data.get("network-config"))
    STATE.parent.mkdir(parents=True, exist_ok=True)
    STATE.write_text(instance, encoding="utf-8")
    sys.stdout.write("kraal-seed: the seed is applied%s\n" % (", but for what failed" if reader.failed else ""))
    return 1 if reader.failed else 0


if __name__ == "__main__":
    sys.exit(main())
