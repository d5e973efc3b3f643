# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which program or Python library comes from which package: the one table that roles, messages and the docs are made
from.

A system is named as Ansible's facts name it: a family (Debian, RedHat, Suse), a distribution (Ubuntu), or one with its
release (Debian 12). The names of Debian 12 and 13 were looked up there; the others are their distributions' documented
ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

FAMILIES = ("Debian", "RedHat", "Suse")

#: By what is needed, the packages of FAMILIES; empty where a family has none. A library's name is python: and what is
#: imported.
TABLE: dict[str, tuple[str, str, str]] = {
    "apparmor_parser": ("apparmor", "", "apparmor-parser"),
    "brctl": ("bridge-utils", "", "bridge-utils"),
    "busybox": ("busybox-static", "busybox", "busybox-static"),
    "debugfs": ("e2fsprogs", "e2fsprogs", "e2fsprogs"),
    "dnsmasq": ("dnsmasq-base", "dnsmasq", "dnsmasq"),
    "docker": ("docker-cli", "docker-ce-cli", "docker"),
    "dockerd": ("docker.io", "docker-ce", "docker"),
    "ifup": ("ifupdown", "", ""),
    "ip": ("iproute2", "iproute", "iproute2"),
    "iptables": ("iptables", "iptables-nft", "iptables"),
    "libvirtd": ("libvirt-daemon-system", "libvirt-daemon-kvm", "libvirt-daemon-qemu"),
    "lxc-start": ("lxc", "lxc", "lxc"),
    "lxc-templates": ("lxc-templates", "lxc-templates", "lxc"),
    "mke2fs": ("e2fsprogs", "e2fsprogs", "e2fsprogs"),
    "mmdebstrap": ("mmdebstrap", "mmdebstrap", ""),
    "netplan": ("netplan.io", "netplan", ""),
    "networkctl": ("systemd", "systemd-networkd", "systemd-network"),
    "newuidmap": ("uidmap", "shadow-utils", "shadow"),
    "nmcli": ("network-manager", "NetworkManager", "NetworkManager"),
    "python:docker": ("python3-docker", "python3-docker", "python3-docker"),
    "python:jmespath": ("python3-jmespath", "python3-jmespath", "python3-jmespath"),
    "python:libvirt": ("python3-libvirt", "python3-libvirt", "python3-libvirt-python"),
    "python:paramiko": ("python3-paramiko", "python3-paramiko", "python3-paramiko"),
    "python:yaml": ("python3-yaml", "python3-pyyaml", "python3-PyYAML"),
    "qemu-img": ("qemu-utils", "qemu-img", "qemu-tools"),
    "qemu-system": ("qemu-system-misc", "qemu-kvm", "qemu-kvm"),
    "qemu-system-aarch64": ("qemu-system-arm", "qemu-kvm", "qemu-kvm"),
    "qemu-system-x86_64": ("qemu-system-x86", "qemu-kvm", "qemu-kvm"),
    "rsync": ("rsync", "rsync", "rsync"),
    "sfdisk": ("fdisk", "util-linux", "util-linux"),
    "ssh": ("openssh-client", "openssh-clients", "openssh-clients"),
    "ssh-keygen": ("openssh-client", "openssh", "openssh-common"),
    "update-ca-certificates": ("ca-certificates", "ca-certificates", "ca-certificates"),
    "virsh": ("libvirt-clients", "libvirt-client", "libvirt-client"),
    # What makes networks, which those of RedHat and Suse bring with this package.
    "virtnetworkd": ("libvirt-daemon-system", "libvirt-daemon-config-network", "libvirt-daemon-config-network"),
    "virtiofsd": ("virtiofsd", "virtiofsd", "virtiofsd"),
    # Or genisoimage or mkisofs, where one of them is there already.
    "xorrisofs": ("xorriso", "xorriso", "xorriso"),
    "xz": ("xz-utils", "xz", "xz"),
}

#: What a host of KVM guests needs beside its architecture's qemu-system and the binding. Recommended packages are not
#: installed, so what guests need in practice is named. The last makes the seed of cloud-init.
KVM_NEEDS = ("dnsmasq", "ip", "iptables", "libvirtd", "qemu-img", "virsh", "virtnetworkd", "xorrisofs")

#: Where one distribution or release has it elsewhere.
ELSEWHERE: dict[str, dict[str, str]] = {
    "Debian 12": {"docker": "docker.io", "virtiofsd": "qemu-system-common"},
    "Ubuntu": {"docker": "docker.io"},
    "Ubuntu 22": {"virtiofsd": "qemu-system-common"},
}


def known(need: str) -> bool:
    """Whether it is a package, or a program or a library that has a line in the table. Pure."""
    return need in TABLE or need.startswith(("package:", "qemu-system-"))


def package_of(thing: str, systems: Iterable[str]) -> str:
    """The package that has a program or a library; empty where these systems have none.

    ``systems``: from special to general. Raises KeyError. Pure.
    """
    if thing.startswith("package:"):
        return thing[len("package:") :]
    if thing not in TABLE and thing.startswith("qemu-system-"):
        thing = "qemu-system"
    row = dict(zip(FAMILIES, TABLE[thing]))
    return next(
        (found for found in (ELSEWHERE.get(system, {}).get(thing) or row.get(system) for system in systems) if found),
        "",
    )


def packages_of(things: Iterable[str], systems: Sequence[str]) -> list[str]:
    """The packages of all of them, each once, sorted. Pure."""
    return sorted({package_of(thing, systems) for thing in things} - {""})


def systems_in(release: str) -> list[str]:
    """The names of a system in the order that package_of takes, by the text of /etc/os-release. Pure."""
    pairs = (line.partition("=") for line in release.splitlines())
    fields = {key: value.strip("\"'") for key, _equals, value in pairs}
    names = [fields.get("ID", ""), *fields.get("ID_LIKE", "").split()]
    known = {
        "debian": "Debian",
        "ubuntu": "Debian",
        "fedora": "RedHat",
        "rhel": "RedHat",
        "centos": "RedHat",
        "suse": "Suse",
        "opensuse": "Suse",
    }
    family = next((known[name] for name in names if name in known), "")
    distribution = fields.get("ID", "").capitalize()
    return ["{} {}".format(distribution, fields.get("VERSION_ID", "").partition(".")[0]), distribution, family]


def this_system(release: Path = Path("/etc/os-release")) -> list[str]:
    """The names of this host's system."""
    return systems_in(release.read_text(encoding="utf-8", errors="replace") if release.exists() else "")


def install(*things: str, systems: Sequence[str] | None = None) -> str:
    """What to do where these are missing on this host, as a remedy: the packages, or the things where none is known."""
    names = packages_of(things, this_system() if systems is None else systems)
    if not names:
        return "Install " + joined([thing.partition(":")[2] or thing for thing in things])
    return "Install the package{} {}".format("s" if len(names) > 1 else "", joined(names))


def install_there(thing: str) -> str:
    """What to do where it is missing on a host of which nobody knows what it is."""
    found: dict[str, list[str]] = {}
    for name, package in zip(("Debian and Ubuntu", "Fedora and RHEL", "SUSE"), TABLE[thing]):
        if package:
            found.setdefault(package, []).append(name)
    if len(found) == 1:
        return f"Install the package {next(iter(found))}"
    return "Install the package " + " or ".join(
        "{} ({})".format(package, ", ".join(names)) for package, names in found.items()
    )


def joined(names: Sequence[str]) -> str:
    """A list as it is spoken. Pure."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
