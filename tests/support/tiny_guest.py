# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A kernel and an initramfs that boot under emulation in a few seconds: busybox, the drivers of virtio, and the QEMU
guest agent to ask things of it.

The kernel and the agent are taken out of Debian's packages, which need not be installed, and kept under .cache/kvm.
"""

from __future__ import annotations

import base64
import fcntl
import gzip
import hashlib
import json
import re
import shutil
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from .images import BUSYBOX
from .libvirt_daemon import LibvirtDaemon
from .paths import CACHE

KVM = CACHE / "kvm"
KERNEL, AGENT = "linux-image-cloud-amd64", "qemu-guest-agent"
MODULES = (
    "virtio", "virtio_ring", "virtio_pci_legacy_dev", "virtio_pci_modern_dev", "virtio_pci", "virtio_blk", "failover", "net_failover", "virtio_net",
    "virtio_balloon", "virtio_console", "button", "evdev",
)  # fmt: skip
#: A console; and no words, tests and protections, of which each takes its time under emulation.
CMDLINE = "console=ttyS0 quiet cryptomgr.notests mitigations=off no_timer_check nokaslr"
#: Through the agent where one listens; through the power button, which busybox's acpid hears, where none does.
INIT = """#!/bin/sh
/bin/busybox --install -s /bin
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev
for try in 1 2 3; do for module in /modules/*; do insmod $module 2>/dev/null; done; done
while true; do
  for cpu in /sys/devices/system/cpu/cpu[1-9]*; do [ -e $cpu/online ] && grep -q 0 $cpu/online && echo 1 > $cpu/online; done
  sleep 1
done &
for link in /sys/class/net/*; do ifconfig ${link##*/} up; done
( while [ ! -e /sys/class/net/eth0 ]; do sleep 1; done; ifconfig eth0 up; udhcpc -i eth0 -f -q -t 30 -T 1 -A 1 -s /dhcp ) >/dev/null 2>&1 &
mkdir -p /dev/virtio-ports /var/run /etc/acpi
for port in /sys/class/virtio-ports/*; do [ -e $port ] && ln -s ../${port##*/} /dev/virtio-ports/$(cat $port/name); done
if ! grep -q kt.deaf /proc/cmdline; then acpid -d -c /etc/acpi -l /dev/null >/dev/null 2>&1 & fi
echo kt-guest is up
while true; do
  [ -e /dev/virtio-ports/org.qemu.guest_agent.0 ] && qemu-ga -p /dev/virtio-ports/org.qemu.guest_agent.0 -t /var/run 2>&1
  for port in /sys/class/virtio-ports/*; do [ -e $port ] && ln -sf ../${port##*/} /dev/virtio-ports/$(cat $port/name); done
  sleep 1
done
"""
DHCP = """#!/bin/sh
[ "$1" = bound ] && ifconfig $interface $ip netmask $subnet
"""
PASSWD = "root:x:0:0:root:/root:/bin/sh\napp:x:1000:1000:app:/home/app:/bin/sh\n"
GROUP = "root:x:0:\napp:x:1000:\n"
OFF = """#!/bin/sh
poweroff -f
"""


def _write(entries: Mapping[str, tuple[int, bytes]]) -> bytes:
    """An archive in cpio's "newc" format, as the kernel reads it."""
    out = bytearray()
    for number, (name, (mode, data)) in enumerate([*entries.items(), ("TRAILER!!!", (0, b""))], 1):
        path = name.encode() + b"\0"
        head = "070701" + "".join(
            f"{field:08x}" for field in (number, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(path), 0)
        )
        out += head.encode() + path
        out += b"\0" * (-len(out) % 4)
        out += data
        out += b"\0" * (-len(out) % 4)
    return bytes(out)


@dataclass(frozen=True)
class TinyGuest:
    """Where the two files are."""

    kernel: Path
    initrd: Path

    @property
    def boot(self) -> dict[str, str]:
        """The options of a guest that boots it."""
        return {"kernel": str(self.kernel), "initrd": str(self.initrd), "cmdline": CMDLINE}

    @classmethod
    def build(cls) -> TinyGuest:
        """Make them unless they are there."""
        KVM.mkdir(parents=True, exist_ok=True)
        with _locked(KVM / "lock"):
            packages = [_package(KERNEL), _package(AGENT)]
            made_of = json.dumps([packages, INIT, DHCP, PASSWD, GROUP, OFF, MODULES, 0o1777])
            place = KVM / hashlib.sha256(made_of.encode()).hexdigest()[:12]
            if not place.exists():
                with tempfile.TemporaryDirectory(prefix="kt-guest-") as directory:
                    _build(Path(directory), packages, place)
        return cls(place / "vmlinuz", place / "initrd")


def _package(name: str) -> str:
    """The package that a name of a package comes down to, with its version."""
    shown = subprocess.run(
        ["apt-cache", "show", "--no-all-versions", name], capture_output=True, text=True, check=True
    ).stdout
    depends = re.search(r"^Depends: .*?(linux-image-[0-9][^ ,]*) \(= ([^)]+)\)", shown, re.MULTILINE)
    if depends:
        return f"{depends[1]}={depends[2]}"
    version = re.search(r"^Version: (\S+)", shown, re.MULTILINE)
    assert version is not None, f"apt knows no package {name}: run apt-get update"
    return f"{name}={version[1]}"


def _build(scratch: Path, packages: list[str], place: Path) -> None:
    subprocess.run(
        ["apt-get", "download", "-q", "-o", "APT::Sandbox::User=root", *packages],
        cwd=scratch,
        check=True,
        capture_output=True,
    )
    root = scratch / "root"
    for archive in scratch.glob("*.deb"):
        subprocess.run(["dpkg-deb", "-x", str(archive), str(root)], check=True)
    file, executable, directory = stat.S_IFREG | 0o644, stat.S_IFREG | 0o755, stat.S_IFDIR | 0o755
    places = "bin dev etc etc/acpi etc/acpi/PWRF home home/app lib lib64 modules proc root sbin sys tmp usr var"
    entries: dict[str, tuple[int, bytes]] = dict.fromkeys(places.split(), (directory, b""))
    entries["tmp"] = (stat.S_IFDIR | 0o1777, b"")
    entries["init"] = (executable, INIT.encode())
    entries["dhcp"] = (executable, DHCP.encode())
    entries["etc/passwd"], entries["etc/group"] = (file, PASSWD.encode()), (file, GROUP.encode())
    entries["sbin/shutdown"] = entries["sbin/poweroff"] = (executable, OFF.encode())
    entries["etc/acpi/PWRF/00000080"] = (executable, OFF.encode())
    entries["bin/busybox"] = entries["bin/sh"] = (executable, Path(BUSYBOX).read_bytes())
    (builtin,) = root.rglob("modules.builtin")
    inside = {Path(line).stem.replace("-", "_") for line in builtin.read_text(encoding="ascii").splitlines()}
    for number, name in enumerate(MODULES):
        # Debian 13's cloud kernel (6.12) has virtio and its PCI drivers built in; Debian 12's (6.1) has them as
        # modules.
        if name not in inside:
            (module,) = root.rglob(f"{name}.ko*")
            entries[f"modules/{number:02}-{module.name}"] = (file, module.read_bytes())
    agent = root / "usr/sbin/qemu-ga"
    entries["bin/qemu-ga"] = (executable, agent.read_bytes())
    libraries = subprocess.run(["ldd", str(agent)], capture_output=True, text=True, check=True).stdout
    for path in re.findall(r"(/\S+) \(0x", libraries):
        entries[f"lib64/{Path(path).name}" if "ld-linux" in path else f"lib/{Path(path).name}"] = (
            executable,
            Path(path).read_bytes(),
        )
    partial = place.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    (kernel,) = (root / "boot").glob("vmlinuz-*")
    shutil.copy(kernel, partial / "vmlinuz")
    (partial / "initrd").write_bytes(gzip.compress(_write(entries), 1))
    partial.rename(place)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def ask(daemon: LibvirtDaemon, name: str, *command: str, seconds: float = 30) -> str:
    """What a command in a guest prints, through its agent."""
    started = _agent(
        daemon,
        name,
        {"execute": "guest-exec", "arguments": {"path": command[0], "arg": list(command[1:]), "capture-output": True}},
    )
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        status = _agent(daemon, name, {"execute": "guest-exec-status", "arguments": {"pid": started["pid"]}})
        if status["exited"]:
            assert status["exitcode"] == 0, status
            return base64.b64decode(str(status.get("out-data", ""))).decode().strip()
        time.sleep(0.05)
    raise TimeoutError(f"{command} did not end in {name}")


def _agent(daemon: LibvirtDaemon, name: str, command: Mapping[str, object]) -> dict[str, object]:
    answer: dict[str, object] = json.loads(
        daemon.virsh("qemu-agent-command", name, json.dumps(command), "--timeout", "20")
    )["return"]
    return answer


def boot_id(daemon: LibvirtDaemon, name: str) -> str:
    """Another one after each boot."""
    return ask(daemon, name, "/bin/busybox", "cat", "/proc/sys/kernel/random/boot_id")
