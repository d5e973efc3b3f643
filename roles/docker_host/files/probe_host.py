# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Says whether this host can carry a Docker engine. Reads, and tries things in a network namespace of their own that vanishes; changes nothing.

Prints one JSON object. Each finding is `ok` (true, false, or null when it cannot be told yet), what was found and what to do.
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

#: As the engine will have it; that of a remote shell often lacks the sbin directories.
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
TIMEOUT = 30


class Finding(TypedDict):
    check: str
    ok: bool | None
    found: str
    remedy: str


def finding(check: str, ok: bool | None, found: str, remedy: str = "") -> Finding:
    return {"check": check, "ok": ok, "found": found, "remedy": "" if ok else remedy}


def cgroups(mounts: str) -> Finding:
    """`mounts` is the text of /proc/self/mounts. The engine wants cgroup2 at its usual place, or the v1 controller `devices`."""
    v1, v2 = set(), set()
    for line in mounts.splitlines():
        fields = line.split()
        if len(fields) < 4:
            continue
        if fields[2] == "cgroup2":
            v2.add(fields[1])
        elif fields[2] == "cgroup":
            v1.update(fields[3].split(","))
    if "/sys/fs/cgroup" in v2:
        return finding("cgroups", True, "version 2")
    if "devices" in v1:
        return finding("cgroups", True, "version 1")
    return finding(
        "cgroups",
        False,
        "no control groups are mounted at /sys/fs/cgroup",
        "mount them: `mount -t cgroup2 cgroup2 /sys/fs/cgroup` (version 2), or install the package cgroupfs-mount (version 1);"
        " in a container, start it with --cgroupns=host and -v /sys/fs/cgroup:/sys/fs/cgroup",
    )


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


def overlay(filesystems: str, configuration: str | None) -> Finding:
    remedy = "load the module (`modprobe overlay`), or use a kernel that has CONFIG_OVERLAY_FS, or name another storage-driver in docker_host_daemon_options"
    if "overlay" in filesystems.split():
        return finding("overlay", True, "the kernel has it")
    built = kernel_option("OVERLAY_FS", configuration)
    return finding(
        "overlay",
        built,
        {True: "a module", False: "the kernel was built without it", None: "not loaded, and the kernel's configuration is not known"}[built],
        remedy,
    )


def attempt(argv: Sequence[str]) -> str:
    """What went wrong, or nothing. Runs in a network namespace of its own."""
    try:
        done = subprocess.run(
            ["unshare", "--net", "--", *argv], capture_output=True, text=True, timeout=TIMEOUT, check=False, env={"PATH": PATH, "LC_ALL": "C"}
        )
    except subprocess.TimeoutExpired:
        return f"`{' '.join(argv)}` did not end within {TIMEOUT} s"
    return "" if done.returncode == 0 else f"`{' '.join(argv)}` said: {(done.stderr or done.stdout).strip()}"


def trial(check: str, option: str, configuration: str | None, argv: Sequence[str], remedy: str) -> Finding:
    """Do the thing, where its tool is there; else believe the kernel's configuration if that says no."""
    if shutil.which(argv[0], path=PATH):
        error = attempt(argv)
        return finding(check, not error, error or "works", remedy)
    if kernel_option(option, configuration) is False:
        return finding(check, False, "the kernel was built without it", remedy)
    return finding(check, None, f"{argv[0]} is not installed yet", remedy)


def links(configuration: str | None) -> list[Finding]:
    return [
        trial(
            "veth",
            "VETH",
            configuration,
            ["ip", "link", "add", "kraal0", "type", "veth", "peer", "name", "kraal1"],
            "`modprobe veth`, or a kernel with CONFIG_VETH",
        ),
        trial("bridge", "BRIDGE", configuration, ["ip", "link", "add", "kraal0", "type", "bridge"], "`modprobe bridge`, or a kernel with CONFIG_BRIDGE"),
    ]


def iptables(configuration: str | None) -> list[Finding]:
    """The rules of a bridge network, as the engine writes them."""
    remedy = (
        "let the tool use the kernel's other interface (`update-alternatives --set iptables /usr/sbin/iptables-legacy`, or iptables-nft),"
        " or use a kernel with NF_NAT, NETFILTER_XT_MATCH_CONNTRACK and NETFILTER_XT_MATCH_ADDRTYPE, or set `iptables: false` in docker_host_daemon_options"
    )
    rules = (
        ("iptables masquerade", "NF_NAT", ["-t", "nat", "-A", "POSTROUTING", "-s", "192.0.2.0/24", "-j", "MASQUERADE"]),
        ("iptables conntrack", "NF_CONNTRACK", ["-A", "FORWARD", "-m", "conntrack", "--ctstate", "RELATED,ESTABLISHED", "-j", "ACCEPT"]),
        ("iptables addrtype", "NETFILTER_XTABLES", ["-t", "nat", "-A", "PREROUTING", "-m", "addrtype", "--dst-type", "LOCAL", "-j", "RETURN"]),
    )
    return [trial(check, option, configuration, ["iptables", "--wait", *rule], remedy) for check, option, rule in rules]


def apparmor() -> bool:
    enabled = Path("/sys/module/apparmor/parameters/enabled")
    return enabled.exists() and enabled.read_text(encoding="ascii").strip() == "Y"


def stale(pidfile: Path, programs: Sequence[str]) -> bool:
    """A file left behind by an engine that died: the number in it is nobody's, or another program's by now, and would keep a new engine from starting."""
    if not pidfile.exists():
        return False
    number = pidfile.read_text(encoding="ascii", errors="replace").strip()
    try:
        # "PID (NAME) STATE ...". A zombie has ended; only its parent has not taken note of it.
        name, _bracket, rest = Path("/proc", number, "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")
    except OSError:
        return True
    return not number.isdigit() or name.partition("(")[2] not in programs or rest.split()[0] in "ZX"


def main(arguments: Sequence[str]) -> None:
    """`--quick`: an engine runs here, which proves more than any trial. `--no-iptables`: the engine is told to leave the rules alone."""
    configuration = kernel_configuration(os.uname().release)
    root = os.geteuid() == 0
    findings = [
        finding("root", root, f"runs as user id {os.geteuid()}", "run the play with become: true, or connect as root"),
        cgroups(Path("/proc/self/mounts").read_text(encoding="utf-8", errors="replace")),
        overlay(Path("/proc/filesystems").read_text(encoding="ascii"), configuration),
    ]
    if root and "--quick" not in arguments:
        findings += links(configuration)
        if "--no-iptables" not in arguments:
            findings += iptables(configuration)
    pidfiles = {
        "/var/run/docker.pid": ("dockerd",),
        "/var/run/docker-ssd.pid": ("dockerd",),
        "/var/run/docker/containerd/containerd.pid": ("containerd", "docker-containe"),
    }
    left = [path for path, programs in pidfiles.items() if stale(Path(path), programs)]
    systemd = Path("/run/systemd/system").is_dir()
    init = Path("/proc/1/comm").read_text(encoding="utf-8").strip()
    print(json.dumps({"findings": findings, "apparmor": apparmor(), "stale_pidfiles": left, "systemd": systemd, "init": init}))


if __name__ == "__main__":
    main(sys.argv[1:])
