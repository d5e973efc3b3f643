# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Says whether this host can carry LXC containers. Reads, and tries things in namespaces of their own that vanish; changes nothing.

Prints one JSON object. Each finding is `ok` (true, false, or null when it cannot be told yet or is not needed by every guest), what was found and what to do.
"""

from __future__ import annotations

import gzip
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TypedDict

#: That of a remote shell often lacks the sbin directories.
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
TIMEOUT = 30
#: Without these a guest does not start under version 1; in version 2 they are no controllers.
NEEDED = {"devices", "freezer"}
#: Limits of guests are kept by these.
LIMITS = {"cpu", "memory", "pids"}
NAMESPACES = ("cgroup", "ipc", "mnt", "net", "pid", "uts")
MOUNT = (
    "mount them: `mount -t cgroup2 cgroup2 /sys/fs/cgroup` (version 2), or install the package cgroupfs-mount (version 1);"
    " in a container, start it with --cgroupns=host and -v /sys/fs/cgroup:/sys/fs/cgroup:rw"
)


class Finding(TypedDict):
    check: str
    ok: bool | None
    found: str
    remedy: str


def finding(check: str, ok: bool | None, found: str, remedy: str = "") -> Finding:
    return {"check": check, "ok": ok, "found": found, "remedy": "" if ok else remedy}


def cgroups(mounts: str, controllers: str) -> list[Finding]:
    """`mounts` is the text of /proc/self/mounts, `controllers` that of cgroup.controllers at the root of version 2, or nothing."""
    v1: dict[str, bool] = {}
    v2: dict[str, bool] = {}
    for line in mounts.splitlines():
        fields = line.split()
        if len(fields) < 4:
            continue
        options = fields[3].split(",")
        if fields[2] == "cgroup2":
            v2[fields[1]] = "rw" in options
        elif fields[2] == "cgroup":
            v1.update((option, "rw" in options) for option in options)
    if "/sys/fs/cgroup" in v2:
        version, writable, there = "version 2", v2["/sys/fs/cgroup"], set(controllers.split())
    elif v1.keys() >= NEEDED:
        version, writable, there = "version 1", all(v1[name] for name in NEEDED), set(v1)
    else:
        lacking = ", ".join(sorted(NEEDED - v1.keys()))
        found = f"version 1 lacks the controllers {lacking}" if v1 else "no control groups are mounted at /sys/fs/cgroup"
        return [finding("cgroups", False, found, MOUNT)]
    if not writable:
        return [finding("cgroups", False, f"{version} is mounted read-only", "mount them writable: `mount -o remount,rw /sys/fs/cgroup`; " + MOUNT)]
    lost = sorted(LIMITS - there)
    # A guest starts without them; only its limits cannot be set.
    limits = finding(
        "limits",
        None if lost else True,
        f"the controllers {', '.join(lost)} are missing, so such limits cannot be set" if lost else "can be set",
        "have the kernel enable them, for memory with cgroup_enable=memory on its command line, or mount them (version 1)",
    )
    return [finding("cgroups", True, version), limits]


def kernel_option(option: str, configuration: str | None) -> bool | None:
    """Whether the kernel was built with the option, as a module or for good. None: its configuration is not to be had."""
    if configuration is None:
        return None
    lines = configuration.splitlines()
    return f"CONFIG_{option}=y" in lines or f"CONFIG_{option}=m" in lines


def kernel_configuration(release: str) -> str | None:
    packed = Path("/proc/config.gz")
    if packed.exists():
        return gzip.decompress(packed.read_bytes()).decode("utf-8", "replace")
    plain = Path(f"/boot/config-{release}")
    return plain.read_text(encoding="utf-8", errors="replace") if plain.exists() else None


def attempt(argv: Sequence[str]) -> str:
    """What went wrong, or nothing."""
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=TIMEOUT, check=False, env={"PATH": PATH, "LC_ALL": "C"})
    except subprocess.TimeoutExpired:
        return f"`{' '.join(argv)}` did not end within {TIMEOUT} s"
    return "" if done.returncode == 0 else f"`{' '.join(argv)}` said: {(done.stderr or done.stdout).strip()}"


def trial(check: str, option: str, configuration: str | None, argv: Sequence[str], remedy: str) -> Finding:
    """Do the thing in a network namespace of its own, where its tool is there; else believe the kernel's configuration if that says no."""
    if shutil.which(argv[0], path=PATH):
        error = attempt(["unshare", "--net", "--", *argv])
        return finding(check, not error, error or "works", remedy)
    if kernel_option(option, configuration) is False:
        return finding(check, False, "the kernel was built without it", remedy)
    return finding(check, None, f"{argv[0]} is not installed yet")


def namespaces(there: Sequence[str]) -> Finding:
    """`there` are the names in /proc/self/ns. That the kernel has them is one thing, that this user may make them another."""
    lost = sorted(set(NAMESPACES) - set(there))
    if lost:
        return finding("namespaces", False, f"the kernel has none of the kind {', '.join(lost)}", "use a kernel with CONFIG_NAMESPACES and all that it offers")
    error = attempt(["unshare", "--mount", "--uts", "--ipc", "--pid", "--net", "--cgroup", "--fork", "--", "true"])
    return finding(
        "namespaces",
        not error,
        error or "can be made",
        "in a container, start it with CAP_SYS_ADMIN and without a seccomp filter"
        " (docker: --cap-add=SYS_ADMIN --security-opt seccomp=unconfined --security-opt apparmor=unconfined)",
    )


def user_namespaces() -> Finding:
    error = attempt(["unshare", "--user", "--", "true"])
    return finding(
        "user namespaces",
        not error,
        error or "can be made",
        "allow them (`sysctl user.max_user_namespaces=15000`), or set lxc_host_subordinate_users to [] if no unprivileged guests are wanted",
    )


def links(configuration: str | None) -> list[Finding]:
    veth = ["ip", "link", "add", "kraal0", "type", "veth", "peer", "name", "kraal1"]
    bridge = ["ip", "link", "add", "kraal0", "type", "bridge"]
    return [
        trial("veth", "VETH", configuration, veth, "`modprobe veth`, or a kernel with CONFIG_VETH"),
        trial("bridge", "BRIDGE", configuration, bridge, "`modprobe bridge`, or a kernel with CONFIG_BRIDGE"),
    ]


def iptables(configuration: str | None) -> list[Finding]:
    """The rules of the bridge, as lxc-net writes them."""
    remedy = (
        "let the tool use the kernel's other interface (`update-alternatives --set iptables /usr/sbin/iptables-legacy`, or iptables-nft),"
        " or use a kernel with NF_NAT and NETFILTER_XT_TARGET_CHECKSUM, or let lxc-net use nft (install nftables, and LXC_USE_NFT: 'true' in"
        " lxc_host_net_options)"
    )
    rules = (
        ("iptables masquerade", "NF_NAT", "-t nat -A POSTROUTING -s 192.0.2.0/24 ! -d 192.0.2.0/24 -j MASQUERADE"),
        ("iptables checksum", "NETFILTER_XTABLES", "-t mangle -A POSTROUTING -o kraal0 -p udp -m udp --dport 68 -j CHECKSUM --checksum-fill"),
        ("iptables accept", "NETFILTER_XTABLES", "-I INPUT -i kraal0 -p udp --dport 67 -j ACCEPT"),
    )
    return [trial(check, option, configuration, ["iptables", "--wait", *rule.split()], remedy) for check, option, rule in rules]


def apparmor() -> bool:
    enabled = Path("/sys/module/apparmor/parameters/enabled")
    return enabled.exists() and enabled.read_text(encoding="ascii").strip() == "Y"


def main(arguments: Sequence[str]) -> None:
    """`--iptables`: lxc-net is to write its rules with iptables. `--unprivileged`: such guests are wanted."""
    configuration = kernel_configuration(os.uname().release)
    root = os.geteuid() == 0
    unified = Path("/sys/fs/cgroup/cgroup.controllers")
    controllers = unified.read_text(encoding="ascii") if unified.exists() else ""
    findings = [finding("root", root, f"runs as user id {os.geteuid()}", "run the play with become: true, or connect as root")]
    findings += cgroups(Path("/proc/self/mounts").read_text(encoding="utf-8", errors="replace"), controllers)
    if root:
        findings.append(namespaces(os.listdir("/proc/self/ns")))
        if "--unprivileged" in arguments:
            findings.append(user_namespaces())
        findings += links(configuration)
        if "--iptables" in arguments:
            findings += iptables(configuration)
    systemd = Path("/run/systemd/system").is_dir()
    init = Path("/proc/1/comm").read_text(encoding="utf-8").strip()
    print(json.dumps({"findings": findings, "apparmor": apparmor(), "systemd": systemd, "init": init}))


if __name__ == "__main__":
    main(sys.argv[1:])
