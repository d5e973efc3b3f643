# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Proves that a guest runs: makes a container of one static program of this host as /etc/lxc/default.conf says, starts it, sees that it gets an
address and that it and the host reach each other, removes it.

Prints one JSON object: `ok`, the `step` that was last, what it said and what to do; and `warnings` of what would keep guests from the world outside.
"""

from __future__ import annotations

import argparse
import ipaddress
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

BUSYBOX = "/bin/busybox"
DEFAULTS = "/etc/lxc/default.conf"
#: Beside the containers, where programs may be executed; without a `config` in it, it is none of them.
HOME = "/var/lib/lxc"
TIMEOUT = 60
ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"}
#: What udhcpc runs in the guest when it has an address.
BOUND = """#!/bin/busybox sh
[ "$1" = bound ] || exit 0
/bin/busybox ip address add "$ip/$mask" dev "$interface"
/bin/busybox echo "address=$ip router=${router%% *}"
"""


class Refused(Exception):
    """A step that was not done."""

    def __init__(self, step: str, said: str, remedy: str) -> None:
        super().__init__(said)
        self.step, self.remedy = step, remedy


def call(argv: Sequence[str]) -> tuple[int, str]:
    """Exit code and what it said. Without a terminal, so that lxc-attach makes none."""
    try:
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=TIMEOUT, check=False, env=ENVIRONMENT)
    except subprocess.TimeoutExpired:
        return -1, f"did not end within {TIMEOUT} s"
    except OSError as error:
        return -1, f"{argv[0]}: {error.strerror}"
    return done.returncode, (done.stdout + done.stderr).decode("utf-8", "replace").strip()


class Guest:
    """A container under a path of its own."""

    def __init__(self, path: Path) -> None:
        self.path = path
        # Of its own too: control groups are named after containers, whatever their path.
        self.name = path.name
        self.which = ["-P", str(path), "-n", self.name]

    def make(self) -> None:
        root = self.path / self.name / "rootfs"
        for directory in ("bin", "dev", "proc", "sys", "tmp"):
            (root / directory).mkdir(parents=True)
        shutil.copy2(BUSYBOX, root / "bin" / "busybox")
        script = root / "bin" / "bound"
        script.write_text(BOUND, encoding="ascii")
        script.chmod(0o755)
        lines = {
            "lxc.include": DEFAULTS,
            "lxc.uts.name": "kraal-verify",
            "lxc.rootfs.path": f"dir:{root}",
            "lxc.mount.auto": "proc:mixed",
            "lxc.init.cmd": "/bin/busybox sleep 600",
        }
        (self.path / self.name / "config").write_text("".join(f"{key} = {value}\n" for key, value in lines.items()), encoding="utf-8")

    def start(self) -> None:
        log = self.path / "log"
        code, said = call(["lxc-start", *self.which, "--daemon", "--logfile", str(log), "--logpriority", "ERROR"])
        if code:
            lines = log.read_text(encoding="utf-8", errors="replace").splitlines() if log.exists() else []
            raise Refused("start a container", " ".join(lines[-5:]) or said, "what lxc-start says is in its log; `lxc-checkconfig` tells what the kernel lacks")

    def run(self, *argv: str) -> tuple[int, str]:
        return call(["lxc-attach", *self.which, "--clear-env", "--", BUSYBOX, *argv])

    def remove(self) -> None:
        call(["lxc-stop", *self.which, "--kill"])
        shutil.rmtree(self.path)

    def address(self, given: str, bridge: str) -> tuple[str, str]:
        """The guest's address and that of its router, by DHCP unless it is given."""
        if given:
            code, said = self.run("ip", "address", "add", given, "dev", "eth0")
            if code:
                raise Refused("set the address", said, "see lxc_host_verify_address")
            return given.partition("/")[0], ""
        code, said = self.run("udhcpc", "-i", "eth0", "-f", "-q", "-n", "-t", "5", "-T", "2", "-s", "/bin/bound")
        found = dict(word.split("=", 1) for word in said.split() if word.startswith(("address=", "router=")))
        if code or "address" not in found:
            raise Refused(
                "get an address",
                said,
                f"see that a DHCP server answers on {bridge} and that the host's firewall lets the ports 67 and 53 in from there;"
                " on a bridge without DHCP set lxc_host_verify_address",
            )
        return found["address"], found.get("router", "")


def own_addresses(bridge: str) -> list[str]:
    _code, said = call(["ip", "-4", "-json", "address", "show", "dev", bridge])
    try:
        return [each["local"] for link in json.loads(said) for each in link.get("addr_info", [])]
    except ValueError:
        return []


def forwarding(rules: str, bridge: str, filtered: bool) -> str:
    """What would keep guests of that bridge from the world outside, or nothing. `rules` is what `iptables -S FORWARD` says."""
    lines = rules.splitlines()
    if "-P FORWARD DROP" not in lines:
        return ""
    if all(any(f"{flag} {bridge} " in line and line.endswith("-j ACCEPT") for line in lines) for flag in ("-i", "-o")):
        return ""
    among = ", nor each other (net.bridge.bridge-nf-call-iptables is 1)" if filtered else ""
    return (
        f"this host drops what it forwards (iptables' policy, as docker sets it), so guests on {bridge} do not reach other networks{among}. Remedy:"
        f" `iptables -I DOCKER-USER -i {bridge} -j ACCEPT` and `iptables -I DOCKER-USER -o {bridge} -j ACCEPT` (the chain FORWARD where there is no docker)"
    )


def warnings(bridge: str) -> list[str]:
    code, rules = call(["iptables", "--wait", "-S", "FORWARD"])
    filtered = Path("/proc/sys/net/bridge/bridge-nf-call-iptables")
    nf = filtered.exists() and filtered.read_text(encoding="ascii").strip() == "1"
    found = forwarding(rules, bridge, nf) if code == 0 else ""
    return [found] if found else []


def verify(bridge: str, given: str) -> str:
    if not Path(BUSYBOX).exists():
        raise Refused("find a static program", f"{BUSYBOX} is not there", "install the package busybox-static")
    path = Path(tempfile.mkdtemp(prefix="kraal-verify-", dir=HOME))
    # Guests whose ids are mapped enter as a stranger.
    path.chmod(0o755)
    guest = Guest(path)
    try:
        guest.make()
        guest.start()
        address, router = guest.address(given, bridge)
        own = own_addresses(bridge)
        if given:
            network = ipaddress.IPv4Interface(given).network
            own = [each for each in own if ipaddress.IPv4Address(each) in network]
        remedy = f"let the host's firewall accept what comes from {bridge} (`iptables -S INPUT`, `nft list ruleset`)"
        for target in own or ([router] if router else []):
            code, said = guest.run("ping", "-c", "1", "-W", "5", target)
            if code:
                raise Refused(f"reach {'the host' if own else 'its router'} at {target} from a container at {address}", said, remedy)
        if own:
            code, said = call([BUSYBOX, "ping", "-c", "1", "-W", "5", address])
            if code:
                raise Refused(f"reach a container at {address} from the host", said, remedy)
    finally:
        guest.remove()
    return address


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--bridge", required=True)
    parser.add_argument("--address", default="")
    options = parser.parse_args(arguments)
    os.umask(0o022)
    started = time.monotonic()
    try:
        result = {"ok": True, "step": "", "said": verify(options.bridge, options.address), "remedy": "", "warnings": warnings(options.bridge)}
    except Refused as refused:
        result = {"ok": False, "step": refused.step, "said": str(refused), "remedy": refused.remedy, "warnings": warnings(options.bridge)}
    print(json.dumps({**result, "seconds": round(time.monotonic() - started, 3)}))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
