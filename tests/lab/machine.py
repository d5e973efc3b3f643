# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a lab host needs to know of the machine it runs on, read when the lab is built: package sources, proxies,
authorities, pip's configuration.

Nothing of it is kept in the repository: a lab host installs packages exactly as this machine does.
"""

from __future__ import annotations

import configparser
import ipaddress
import json
import os
import re
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")
LOCAL_AUTHORITIES = Path("/usr/local/share/ca-certificates")

#: Of apt's configuration, what decides whether and how a mirror is reached.
APT_OPTION = re.compile(r"^Acquire::(http|https|Retries|Check-|ForceIPv|By-Hash|Languages)")

#: Where hosts find the packages that were downloaded for others of their release before, and leave theirs. apt keeps
#: locks of its own in its own directory, so hosts side by side do not share that: what is there already is linked to
#: before lists are renewed, and what is new is copied before it is installed.
ARCHIVE = "/var/cache/kt-packages"
_TAKE = f"[ ! -d {ARCHIVE} ] || find {ARCHIVE} -name '*.deb' -exec ln --symbolic --force --target-directory=/var/cache/apt/archives {{}} +"
_LEAVE = (
    """! [ -d %s ] || while read -r deb; do to=%s/${deb##*/}; [ -e $to ] || {
new=$(mktemp $to.XXXXXX) && cp $deb $new && chmod 644 $new && mv $new $to; }; done""".replace("\n", " ")
    % (ARCHIVE, ARCHIVE)
)
SHARED_PACKAGES = f'APT::Update::Pre-Invoke {{ "{_TAKE}"; }};\nDPkg::Pre-Install-Pkgs {{ "{_LEAVE}"; }};\n'

PROXIES = ("http_proxy", "https_proxy", "ftp_proxy", "all_proxy", "no_proxy")


def _output(*argv: str) -> str:
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout


#: The release that is never released: it has no updates and no security beside it, its lists are good for a week alone,
#: and a mirror may be older. It is signed with the keys of the newest releases.
SID = "sid"
_CGROUPS = Path("/sys/fs/cgroup")


def codename() -> str:
    """The Debian release of this machine."""
    for line in Path("/etc/os-release").read_text(encoding="utf-8").splitlines():
        key, dummy, value = line.partition("=")
        if key == "VERSION_CODENAME":
            return value.strip('"')
    raise RuntimeError("/etc/os-release names no VERSION_CODENAME: the lab needs a Debian release")


def apt_sources(suite: str) -> str:
    """Sources for a release, in deb822 form: this machine's Debian sources with the release exchanged."""
    own = codename()
    form = "$(ORIGIN)|$(REPO_URI)|$(RELEASE)|$(COMPONENT)"
    stanzas: dict[tuple[str, str], set[str]] = {}
    for line in _output("apt-get", "indextargets", "--format", form, "Created-By: Packages").splitlines():
        origin, uri, release, component = line.split("|")
        if origin == "Debian" and (release == own or (release.startswith(own) and suite != SID)):
            stanzas.setdefault((uri, suite + release.removeprefix(own)), set()).add(component)
    if (not any(release == suite for dummy, release in stanzas)) or not Path(KEYRING).exists():
        raise RuntimeError(
            f"this machine has no index of Debian {own} to take sources from, or no {KEYRING}: run 'apt-get update' "
            "and install debian-archive-keyring"
        )
    always = "Check-Valid-Until: no\n" if suite == SID else ""
    parts = [
        f"Types: deb\nURIs: {uri}\nSuites: {release}\nComponents: {' '.join(sorted(components))}\nSigned-By: "
        f"{KEYRING}\n{always}"
        for (uri, release), components in sorted(stanzas.items(), key=lambda item: (item[0][1] != suite, item[0]))
    ]
    return "\n".join(parts)


def check_keys(suite: str) -> None:
    """This machine's keyring must have the keys of the release, or mmdebstrap fails late with a worse message."""
    keys = "trixie" if suite == SID else suite
    if not list(Path(KEYRING).parent.glob(f"debian-archive-{keys}-stable.*")):
        raise RuntimeError(
            f"the keyring of this machine lacks the keys of {suite}: run 'apt-get install debian-archive-keyring' (an "
            "update of this release has them)"
        )


def apt_options() -> str:
    """apt's configuration of how mirrors are reached, in apt.conf form."""
    lines = _output("apt-config", "dump", "Acquire", "--no-empty").splitlines()
    return "".join(line + "\n" for line in lines if APT_OPTION.match(line))


def control_groups(suite: str) -> Path:
    """What of this machine's control groups a host of that release is to see as all of them.

    systemd 262 ends at once where it finds version 1, and says so on its console alone; of version 2 beside that, which
    has no controllers, it makes do.
    """
    if suite != SID or (_CGROUPS / "cgroup.controllers").exists():
        return _CGROUPS
    beside = _CGROUPS / "unified"
    if not (beside / "cgroup.procs").exists():
        raise RuntimeError(f"{suite} needs control groups of version 2: mount -t cgroup2 cgroup2 {beside}")
    return beside


def mtu() -> int:
    """Of the way out: a bridge with a larger one loses packets where no ICMP comes back."""
    routes = json.loads(_output("ip", "-json", "route", "show", "default"))
    if not routes:
        return 1500
    (link,) = json.loads(_output("ip", "-json", "link", "show", routes[0]["dev"]))
    return min(1500, int(link["mtu"]))


def routed() -> list[ipaddress.IPv4Network]:
    """The networks that this machine reaches without a gateway or by one of their own: Docker compares a new
    network's range with its own only.
    """
    routes = json.loads(_output("ip", "-json", "-4", "route", "show"))
    return [ipaddress.IPv4Network(route["dst"]) for route in routes if route["dst"] != "default"]


@dataclass(frozen=True)
class Pip:
    """pip's configuration, and the local directories that it names."""

    config: str = ""
    environment: dict[str, str] = field(default_factory=dict)
    directories: tuple[str, ...] = ()


def pip() -> Pip:
    """How pip finds packages on this machine: its global and user files joined, and PIP_* variables."""
    joined = configparser.ConfigParser(interpolation=None)
    joined.read(
        ["/etc/pip.conf", Path("~/.config/pip/pip.conf").expanduser(), Path("~/.pip/pip.conf").expanduser()],
        encoding="utf-8",
    )
    lines = []
    for section in joined.sections():
        lines.append(f"[{section}]")
        lines += [f"{key} = " + value.replace("\n", "\n    ") for key, value in joined[section].items()]
    environment = {key: value for key, value in os.environ.items() if key.startswith("PIP_")}
    words = [word for section in joined.sections() for value in joined[section].values() for word in value.split()]
    words += [word for value in environment.values() for word in value.split()]
    found: list[Path] = []
    for word in words:
        path = Path(word.removeprefix("file://"))
        if path.is_absolute() and path.is_dir():
            # An index below /x/simple refers to files beside it.
            found.append(path.parent if path.name == "simple" else path)
    return Pip("\n".join(lines) + "\n" if lines else "", environment, tuple(sorted({str(path) for path in found})))


def proxies() -> dict[str, str]:
    """Proxy variables as this process has them, in the spelling they have."""
    return {key: value for key, value in os.environ.items() if key.lower() in PROXIES}


def environment() -> dict[str, str]:
    """Variables that every login on a lab host has, and every service that reads /etc/environment."""
    return {**proxies(), **pip().environment}


def authorities() -> dict[str, bytes]:
    """Certificate authorities of this machine as files for the same places."""
    files = (
        {str(path): path.read_bytes() for path in sorted(LOCAL_AUTHORITIES.rglob("*.crt"))}
        if LOCAL_AUTHORITIES.is_dir()
        else {}
    )
    if BUNDLE.exists():
        files[str(BUNDLE)] = BUNDLE.read_bytes()
    return files


def files(suite: str) -> dict[str, bytes]:
    """All that is copied from this machine into a lab host, by path."""
    variables = "".join(f'{key}="{value}"\n' for key, value in sorted(environment().items()))
    return {
        "/etc/apt/sources.list.d/lab.sources": apt_sources(suite).encode(),
        "/etc/apt/apt.conf.d/99lab": (apt_options() + SHARED_PACKAGES).encode(),
        # A lab host does not outlive this machine's next power cut.
        "/etc/dpkg/dpkg.cfg.d/lab": b"force-unsafe-io\n",
        "/etc/environment": variables.encode(),
        **({"/etc/pip.conf": pip().config.encode()} if pip().config else {}),
        **authorities(),
    }
