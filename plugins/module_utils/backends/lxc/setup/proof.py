# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The proof that a container runs: one of a static program of this host, made as /etc/lxc/default.conf says.

It is started, gets an address, it and the host reach each other, and it is removed.
"""

from __future__ import annotations

import ipaddress
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from ....engine.errors import BackendError
from ....host.network import addresses_of
from ....host.reader import Host, Said
from ....host.setup import PROOF
from .. import sockets
from .files import GUESTS

BUSYBOX = "/bin/busybox"
#: Beside the containers, where programs may be executed; without a `config` in it, it is none of them.
_HOME = "/var/lib/lxc"
#: Seconds that each step may take.
SECONDS = 60
#: What udhcpc runs in the guest when it has an address.
_BOUND = """#!/bin/busybox sh
[ "$1" = bound ] || exit 0
/bin/busybox ip address add "$ip/$mask" dev "$interface"
/bin/busybox echo "address=$ip router=${router%% *}"
"""


def guests_run() -> bool:
    """Whether a container of root's runs on this host, wherever it is kept; not that of a proof."""
    found = {
        address: inode
        for address, inode in sockets.listening().items()
        if not address.startswith(f"{_HOME}/{PROOF}") and sockets.listener(address) == 0
    }
    return bool(sockets.of_this_system(found.values()))


def left(home: Path = Path(_HOME)) -> list[str]:
    """The directories that proofs have left which were killed."""
    # What has a configuration is somebody's container.
    return sorted(str(each) for each in home.glob(PROOF + "*") if each.is_dir() and not (each / "config").exists())


def remove_left(path: str) -> None:
    """Stop what may run there, and remove it. Raises OSError."""
    Guest(Host(timeout=SECONDS), Path(path)).remove()


class Unproven(BackendError):
    """A step of the proof that was not done."""

    def __init__(self, step: str, said: str, remedy: str) -> None:
        super().__init__(f"LXC is installed, but it cannot {step}: {said}", remedy=remedy)


class Guest:
    """A container under a path of its own."""

    def __init__(self, host: Host, path: Path) -> None:
        self.host, self.path = host, path
        # Of its own too: control groups are named after containers, whatever their path.
        self.which = ["-P", str(path), "-n", path.name]

    def make(self) -> None:
        """Its directory, with all that it needs."""
        root = self.path / self.path.name / "rootfs"
        for directory in ("bin", "dev", "proc", "sys", "tmp"):
            (root / directory).mkdir(mode=0o755, parents=True)
        shutil.copy2(BUSYBOX, root / "bin" / "busybox")
        script = root / "bin" / "bound"
        script.write_text(_BOUND, encoding="ascii")
        script.chmod(0o755)
        lines = {
            "lxc.include": GUESTS,
            "lxc.uts.name": "kraal-verify",
            "lxc.rootfs.path": f"dir:{root}",
            "lxc.mount.auto": "proc:mixed",
            "lxc.init.cmd": "/bin/busybox sleep 600",
        }
        text = "".join("{} = {}\n".format(*line) for line in lines.items())
        (self.path / self.path.name / "config").write_text(text, encoding="utf-8")
        # Guests whose ids are mapped enter as a stranger, whatever the umask is here.
        for place in (self.path, self.path / self.path.name, root, *(each for each in root.iterdir() if each.is_dir())):
            place.chmod(0o755)

    def start(self) -> None:
        """Raises Unproven."""
        log = self.path / "log"
        options = ["--daemon", "--logfile", str(log), "--logpriority", "ERROR"]
        said = _run(self.host, ["lxc-start", *self.which, *options])
        if said.rc:
            lines = log.read_text(encoding="utf-8", errors="replace").splitlines() if log.exists() else []
            raise Unproven(
                "start a container",
                " ".join(lines[-5:]) or said.error,
                "What lxc-start says is in its log; `lxc-checkconfig` tells what the kernel lacks",
            )

    def run(self, *argv: str) -> Said:
        """Busybox in the guest."""
        return _run(self.host, ["lxc-attach", *self.which, "--clear-env", "--", BUSYBOX, *argv])

    def remove(self) -> None:
        """Whatever has become of it."""
        _run(self.host, ["lxc-stop", *self.which, "--kill"])
        shutil.rmtree(self.path)

    def address(self, given: str, bridge: str) -> tuple[str, str]:
        """The guest's address and that of its router, by DHCP unless it is given. Raises Unproven."""
        if given:
            said = self.run("ip", "address", "add", given, "dev", "eth0")
            if said.rc:
                raise Unproven("set the address", said.error, "See lxc_host_verify_address")
            return given.partition("/")[0], ""
        said = self.run("udhcpc", "-i", "eth0", "-f", "-q", "-n", "-t", "5", "-T", "2", "-s", "/bin/bound")
        words = (said.out + said.err).split()
        found = dict(word.split("=", 1) for word in words if word.startswith(("address=", "router=")))
        if said.rc or "address" not in found:
            raise Unproven(
                "get an address",
                " ".join(words),
                f"See that a DHCP server answers on {bridge} and that the host's firewall lets the ports 67 and 53 "
                "in from there; on a bridge without DHCP set lxc_host_verify_address",
            )
        return found["address"], found.get("router", "")


def _run(host: Host, argv: Sequence[str]) -> Said:
    """What it said. Without a terminal, so that lxc-attach makes none."""
    return host.run(argv) or Said(-1, "", f"{argv[0]} is not installed")


def prove(host: Host, bridge: str, given: str) -> None:
    """Run a container on that bridge.

    ``given``: its address, with its prefix; empty for one by DHCP. Raises Unproven.
    """
    if not Path(BUSYBOX).exists():
        raise Unproven("find a static program", f"{BUSYBOX} is not there", "Install the package busybox-static")
    guest = Guest(host, Path(tempfile.mkdtemp(prefix=PROOF, dir=_HOME)))
    try:
        guest.make()
        guest.start()
        address, router = guest.address(given, bridge)
        own = [each["address"] for each in addresses_of(host).get(bridge, []) if each["family"] == "ipv4"]
        if given:
            network = ipaddress.IPv4Interface(given).network
            own = [each for each in own if ipaddress.IPv4Address(each) in network]
        remedy = f"Let the host's firewall accept what comes from {bridge} (`iptables -S INPUT`, `nft list ruleset`)"
        for target in own or ([router] if router else []):
            said = guest.run("ping", "-c", "1", "-W", "5", target)
            if said.rc:
                step = "reach {} at {} from a container at {}".format(
                    "the host" if own else "its router", target, address
                )
                raise Unproven(step, said.error, remedy)
        if own:
            said = _run(host, [BUSYBOX, "ping", "-c", "1", "-W", "5", address])
            if said.rc:
                raise Unproven(f"reach a container at {address} from the host", said.error, remedy)
    finally:
        guest.remove()
