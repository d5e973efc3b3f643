# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Called by mmdebstrap for a hypervisor's machine, `before ROOT` its packages are installed and `after ROOT`: it boots
from one disk, without a boot loader.

At boot it unpacks its second disk, a tar file, over its root: that is how each machine is given keys and files of its
own. When all has started it says how systemd is on its second serial line.
"""

import subprocess
import sys
from pathlib import Path

SEED = """[Unit]
Description=Unpack what this machine is given
DefaultDependencies=no
Requires=dev-vdb.device
After=dev-vdb.device local-fs.target
Before=ssh.service sysinit.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/tar -xf /dev/vdb -C /

[Install]
WantedBy=sysinit.target
"""
#: Not a part of the boot, which it waits for. The network is none either, unless somebody wants it.
READY = """[Unit]
Description=Say that this machine is up
Wants=network-online.target
After=network-online.target ssh.service

[Service]
Type=simple
StandardOutput=file:/dev/ttyS1
ExecStart=/bin/systemctl is-system-running --wait
SuccessExitStatus=1

[Install]
WantedBy=multi-user.target
"""
#: What QEMU's user network gives to its first guest. A fixed address is there at once.
NETWORK = """[Match]
Name=eth0

[Network]
Address=10.0.2.15/24
Gateway=10.0.2.2
LinkLocalAddressing=no
IPv6AcceptRA=no
"""
#: A list of packages that is renewed meanwhile holds apt's lock, and costs an emulated processor minutes; the third
#: looks after snapshots of LVM.
NEVER = ("apt-daily.timer", "apt-daily-upgrade.timer", "e2scrub_reap.service")


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="ascii")


what, root = sys.argv[1], Path(sys.argv[2])
if what == "before":
    # The drivers of the one disk instead of every disk's: built and unpacked in a fraction of the time.
    write(root / "etc/initramfs-tools/conf.d/lab", "MODULES=list\n")
    write(root / "usr/share/initramfs-tools/modules.d/lab", "virtio_pci\nvirtio_blk\next4\n")
else:
    write(root / "etc/systemd/system/lab-seed.service", SEED)
    write(root / "etc/systemd/system/lab-ready.service", READY)
    write(root / "etc/systemd/network/lab.network", NETWORK)
    write(root / "etc/resolv.conf", "nameserver 10.0.2.3\n")
    for command in (("enable", "lab-seed.service", "lab-ready.service", "systemd-networkd.service"), ("mask", *NEVER)):
        subprocess.run(["chroot", str(root), "systemctl", *command], check=True)
