# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the kernel has for guests: modules, control groups, namespaces, user ids, IOMMU, memory."""

from __future__ import annotations

import re
from typing import Any

from .reader import Files, Host

#: How a kernel is configured for what guests need.
CONFIGURATION = {
    "kvm": "KVM",
    "kvm_intel": "KVM_INTEL",
    "kvm_amd": "KVM_AMD",
    "vhost_net": "VHOST_NET",
    "tun": "TUN",
    "bridge": "BRIDGE",
    "veth": "VETH",
    "overlay": "OVERLAY_FS",
    "vfio_pci": "VFIO_PCI",
}

#: In the spelling of /proc/self/ns.
NAMESPACES = ("cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts")


class Modules:
    """What became of a module: read once, asked many times."""

    def __init__(self, files: Files) -> None:
        self.release = files.word("/proc/sys/kernel/osrelease")
        below = "/lib/modules/" + self.release
        self._files = files
        self._loaded = {line.split()[0] for line in (files.text("/proc/modules") or "").splitlines() if line.strip()}
        # A file system that the kernel lists is there, though a container may see nothing of modules.
        self._loaded.update(
            line.split()[-1] for line in (files.text("/proc/filesystems") or "").splitlines() if line.strip()
        )
        self._built_in = _module_names(files.text(below + "/modules.builtin"))
        self._there = _module_names(files.text(below + "/modules.dep"))
        self._listed = files.exists(below + "/modules.dep")
        texts = (
            files.unpacked("/proc/config.gz"),
            files.text("/boot/config-" + self.release),
            files.text(below + "/config"),
        )
        self._configuration = next((text for text in texts if text is not None), None)

    def configured(self, option: str) -> str | None:
        """y, m or n; None where the kernel's configuration is not to be had."""
        if self._configuration is None:
            return None
        found = re.search(rf"^CONFIG_{re.escape(option)}=([ym])$", self._configuration, re.MULTILINE)
        return found[1] if found else "n"

    def state(self, name: str) -> str:
        """loaded, builtin, loadable (its file is there), absent, or unknown: a container sees neither the files nor
        the configuration.
        """
        option = CONFIGURATION.get(name)
        configured = self.configured(option) if option else None
        if name in self._loaded:
            return "loaded"
        if name in self._built_in or configured == "y":
            return "builtin"
        if name in self._there:
            return "loadable"
        if self._listed or configured == "n":
            return "absent"
        return "unknown"

    def as_dict(self, name: str) -> dict[str, Any]:
        option = CONFIGURATION.get(name)
        return {"state": self.state(name), "config": self.configured(option) if option else None}


def _module_names(text: str | None) -> set[str]:
    """From the lines of modules.dep and modules.builtin; files are written with a hyphen or an underscore, modules
    with the latter.
    """
    found = set()
    for line in (text or "").splitlines():
        name = re.match(r"(?:\S*/)?([^/\s]+?)\.ko(?:\.\w+)?(?::|\s|$)", line)
        if name:
            found.add(name[1].replace("-", "_"))
    return found


def nested(files: Files) -> bool | None:
    """Whether guests may run guests; None where no KVM module that knows the parameter is there."""
    values = [files.word(f"/sys/module/{module}/parameters/nested") for module in ("kvm_intel", "kvm_amd")]
    return next((value in ("Y", "1") for value in values if value), None)


def iommu(files: Files) -> dict[str, Any]:
    """The groups are the proof; what the kernel was told on its command line is none."""
    groups = files.names("/sys/kernel/iommu_groups")
    return {"active": bool(groups), "groups": len(groups), "units": files.names("/sys/class/iommu")}


def parse_cgroups(mounts: str) -> tuple[str, dict[str, str]]:
    """Version (1, 2, hybrid or nothing) and mount points by controller of version 1; "" is that of version 2."""
    places: dict[str, str] = {}
    for line in mounts.splitlines():
        fields = line.split()
        if len(fields) < 4:
            continue
        if fields[2] == "cgroup2":
            places.setdefault("", fields[1])
        elif fields[2] == "cgroup":
            for option in fields[3].split(","):
                if option not in (
                    "rw",
                    "ro",
                    "nosuid",
                    "nodev",
                    "noexec",
                    "relatime",
                    "xattr",
                    "clone_children",
                    "noprefix",
                    "none",
                ):
                    places.setdefault(option, fields[1])
    first = any(name and not name.startswith("name=") for name in places)
    return ("hybrid" if "" in places else "1") if first else ("2" if "" in places else ""), places


def _mounts(text: str, *kinds: str) -> list[tuple[str, bool]]:
    """Where file systems of these kinds are mounted, each with whether it is mounted read-only. Pure."""
    rows = [line.split() for line in text.splitlines()]
    return [(fields[1], "ro" in fields[3].split(",")) for fields in rows if len(fields) >= 4 and fields[2] in kinds]


def read_only_mounts(mounts: str) -> set[str]:
    """The places of control groups that are mounted read-only."""
    return {place for place, read_only in _mounts(mounts, "cgroup", "cgroup2") if read_only}


def cgroups(files: Files) -> dict[str, Any]:
    """``place``: where version 2 is mounted, empty where it is not; ``read_only``: what of them is."""
    mounts = files.text("/proc/self/mounts") or ""
    version, places = parse_cgroups(mounts)
    names = {name for name in places if name and not name.startswith("name=")}
    if "" in places:
        names.update(files.word(places[""] + "/cgroup.controllers").split())
    if version == "2":
        # Version 2 has these without a controller of their own.
        names.update(("devices", "freezer"))
    return {
        "version": version,
        "controllers": sorted(names),
        "place": places.get("", ""),
        "read_only": sorted(read_only_mounts(mounts)),
    }


def apparmor(files: Files) -> bool:
    return files.word("/sys/module/apparmor/parameters/enabled") == "Y"


def init(files: Files) -> dict[str, Any]:
    """The first process, and whether systemd is at work."""
    return {"name": files.word("/proc/1/comm"), "systemd": files.exists("/run/systemd/system")}


def namespaces(files: Files) -> dict[str, Any]:
    """``unprivileged_users``: whether an ordinary user may make a namespace of users, which containers without root
    need.

    ``sysfs``: whether such a namespace may mount sysfs, as containers do. The kernel lets it have no more than is
    mounted already: on a host that is a container sysfs is mostly read-only (seen with Linux 6.18: "VFS: Mount too
    revealing"). None where no mounts can be read.
    """
    kinds = [name for name in NAMESPACES if name in files.names("/proc/self/ns")]
    limit = files.word("/proc/sys/user/max_user_namespaces")
    # Debian's and Ubuntu's kernels have switches of their own; without them only the limit counts.
    allowed: bool | None = (
        "user" in kinds and limit != "0" and files.word("/proc/sys/kernel/unprivileged_userns_clone") != "0"
    )
    if allowed and files.word("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") == "1":
        # AppArmor lets those through that have a profile, as distributions ship it for their engines.
        allowed = None
    mounts = files.text("/proc/self/mounts")
    return {
        "kinds": kinds,
        "max_user_namespaces": int(limit) if limit.isdigit() else None,
        "unprivileged_users": allowed,
        "sysfs": None if mounts is None else any(not read_only for dummy, read_only in _mounts(mounts, "sysfs")),
    }


def subordinate_ids(files: Files) -> dict[str, list[dict[str, Any]]]:
    """Who may use which ranges of ids for unprivileged containers, from /etc/subuid and /etc/subgid."""
    found: dict[str, list[dict[str, Any]]] = {}
    for kind, path in (("users", "/etc/subuid"), ("groups", "/etc/subgid")):
        found[kind] = []
        for line in (files.text(path) or "").splitlines():
            owner, dummy, rest = line.partition(":")
            first, dummy, count = rest.partition(":")
            if owner and first.isdigit() and count.isdigit():
                found[kind].append({"owner": owner, "first": int(first), "count": int(count)})
    return found


def memory(files: Files) -> dict[str, int]:
    """In bytes. ``available`` is what the kernel could give to guests without swapping."""
    fields = dict(re.findall(r"^(\w+):\s*(\d+)", files.text("/proc/meminfo") or "", re.MULTILINE))
    size = {key: int(value) * 1024 for key, value in fields.items()}
    return {
        "total": size.get("MemTotal", 0),
        "available": size.get("MemAvailable", size.get("MemFree", 0)),
        "swap_free": size.get("SwapFree", 0),
        "huge_pages_total": int(fields.get("HugePages_Total", 0)),
        "huge_pages_free": int(fields.get("HugePages_Free", 0)),
        "huge_page_size": size.get("Hugepagesize", 0),
    }


def disks(host: Host) -> list[dict[str, Any]]:
    """The file systems on which guests usually land, each once. In bytes."""
    found: list[dict[str, Any]] = []
    seen = set()
    for path in (
        "/",
        "/var/lib",
        "/var/lib/libvirt/images",
        "/var/lib/docker",
        "/var/lib/lxc",
        "/var/lib/lxd",
        "/var/lib/incus",
        "/home",
    ):
        space = host.space(path)
        if space is not None and space.device not in seen:
            seen.add(space.device)
            found.append({"path": path, "total": space.total, "free": space.free})
    return found


def xen(files: Files) -> dict[str, Any]:
    """dom0, domU or nothing.

    The capabilities name dom0; where xenfs is not mounted, bit 11 of the features does (XENFEAT_dom0).
    """
    capabilities = files.word("/proc/xen/capabilities").split(",")
    there = files.word("/sys/hypervisor/type") == "xen" or files.exists("/proc/xen/capabilities")
    features = files.word("/sys/hypervisor/properties/features")
    first = "control_d" in capabilities or bool(re.fullmatch(r"[0-9a-fA-F]+", features) and int(features, 16) & 1 << 11)
    parts = [files.word("/sys/hypervisor/version/" + part) for part in ("major", "minor")]
    return {
        "role": ("dom0" if first else "domU") if there else "",
        "version": ".".join(parts) + files.word("/sys/hypervisor/version/extra") if all(parts) else "",
        "guest_type": files.word("/sys/hypervisor/guest_type"),
    }
