# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a disk image has beyond a root file system: its packages, units and configuration. Pure."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping
from typing import Any

from . import grow_root, seed_reader

#: A console on the screen and, as the last one is where systemd writes, on the serial line.
CONSOLES = "console=tty0 console=ttyS0,115200"
#: At each boot the kernel tries all of its ciphers, which takes an emulated machine as long as a tenth of its boot
#: (Linux 6.1, counted in instructions).
QUICK = "cryptomgr.notests"
CORE = "boot/grub/i386-pc/core.img"
LIBRARY = "usr/lib/kraal"

#: What of GRUB is in its core image, which loads nothing else.
_MODULES = (
    *(
        "biosdisk",
        "part_gpt",
        "ext2",
        "normal",
        "configfile",
        "linux",
        "search",
        "search_fs_uuid",
        "serial",
        "terminal",
        "test",
    ),
    *("echo", "ls", "cat", "halt", "reboot"),
)

_PACKAGES = (
    "cloud-guest-utils",
    "dbus",
    "e2fsprogs",
    "grub-common",
    "grub-pc-bin",
    "initramfs-tools",
    "iproute2",
    "libpam-systemd",
    "lz4",
    "openssh-server",
    "python3",
    "qemu-guest-agent",
    "systemd-resolved",
    "systemd-sysv",
    "udev",
)

_GRUB = """\
# An update of the kernel moves the links that stand here, so this file stays.
set timeout=1
if serial --unit=0 --speed=115200; then
  terminal_input console serial
  terminal_output console serial
fi
search --no-floppy --fs-uuid --set=root %(uuid)s
set links=
if [ ! -e /vmlinuz ]; then
  set links=/boot
fi
menuentry "Linux" {
  linux $links/vmlinuz %(command_line)s
  initrd $links/initrd.img
}
"""

#: What a disk can be attached to, and CDs: cloud-init looks for its seed before udev runs (ds-identify of 25.1), and
#: without one it turns itself off. All else that a machine has finds its drivers on the root file system, an ext4.
#: Debian's own choice is twice as large, and an emulated machine unpacks it for seconds. A driver that the kernel does
#: not have is left out.
_STORAGE = (
    *("virtio_pci", "virtio_mmio", "virtio_blk", "virtio_scsi"),
    *("ahci", "ata_piix", "ata_generic", "nvme", "sd_mod", "sr_mod", "mmc_block", "sdhci_pci"),
    *("uas", "usb_storage", "xhci_pci", "ehci_pci", "uhci_hcd"),
    *("xen_blkfront", "hv_storvsc", "vmw_pvscsi", "mptspi", "mptsas", "megaraid_sas", "sym53c8xx"),
    "ext4",
)
#: What is there before the kernel's package makes its initramfs: paths below the root, texts and modes.
EARLY = [
    ("etc/initramfs-tools/conf.d/kraal", "MODULES=list\nCOMPRESS=lz4\n", 0o644),
    (
        "etc/initramfs-tools/hooks/kraal",
        "#!/bin/sh\n"
        '[ "$1" != prereqs ] || exit 0\n'
        ". /usr/share/initramfs-tools/hook-functions\n"
        # Not in /etc/initramfs-tools/modules, all of which are loaded at each boot.
        "manual_add_modules {}\n".format(" ".join(_STORAGE)),
        0o755,
    ),
]

_DHCP = """\
[Match]
Type=ether
Kind=!*

[Network]
DHCP=yes

[DHCPv4]
ClientIdentifier=mac
"""

_HOSTS = """\
127.0.0.1 localhost
::1 localhost ip6-localhost ip6-loopback
"""

_SSH_KEYS = """\
[Unit]
Description=Make this machine's SSH host keys
ConditionPathExists=!/etc/ssh/ssh_host_ed25519_key
# Who can ask the agent finds them.
Before=ssh.service ssh.socket qemu-guest-agent.service

[Service]
Type=oneshot
# An RSA key takes an emulated guest a minute, and nobody needs it. What a boot that died has made is kept.
ExecStart=-/usr/bin/ssh-keygen -q -t ecdsa -N "" -f /etc/ssh/ssh_host_ecdsa_key
ExecStart=/usr/bin/ssh-keygen -q -t ed25519 -N "" -f /etc/ssh/ssh_host_ed25519_key

[Install]
WantedBy=multi-user.target
"""

_GROW = """\
[Unit]
Description=Grow the root file system to its disk
DefaultDependencies=no
After=systemd-remount-fs.service systemd-udevd.service
Before=basic.target cloud-init-local.service shutdown.target
Conflicts=shutdown.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/bin/python3 -I /usr/lib/kraal/grow-root

[Install]
WantedBy=basic.target
"""

_SEED = """\
[Unit]
Description=Apply the NoCloud seed
DefaultDependencies=no
Wants=network-pre.target
After=systemd-remount-fs.service systemd-udev-trigger.service systemd-tmpfiles-setup.service
Before=network-pre.target systemd-networkd.service basic.target shutdown.target
Conflicts=shutdown.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/bin/python3 -I /usr/lib/kraal/seed-reader %s
StandardOutput=journal+console
StandardError=journal+console

[Install]
WantedBy=basic.target
"""


def packages_of(request: Mapping[str, Any]) -> list[str]:
    """What is installed beside the packages that are asked for."""
    reader = {"kraal": ["python3-yaml"], "cloud-init": ["cloud-init"]}.get(request["seed_reader"], [])
    return sorted({*_PACKAGES, *reader, request["kernel"]})


def command_line(uuid: str) -> str:
    """What the kernel is told, whoever boots it. ``uuid``: of the root file system."""
    return f"{old_command_line(uuid)} {QUICK}"


def old_command_line(uuid: str) -> str:
    """The same, of a build that has not written it down."""
    return f"root=UUID={uuid} ro {CONSOLES}"


def _cloud_init(user: str) -> str:
    """Cloud-init's configuration, in JSON, which is YAML too: seeds alone, and keys for whom they are here without
    it.
    """
    given = {
        "datasource_list": ["NoCloud", "None"],
        "disable_root": False,
        # Its default needs the package locales, and without it its unit fails. Who wants a locale asks for both.
        "locale": False,
        "system_info": {"default_user": {"name": user}},
    }
    return json.dumps(given, indent=1) + "\n"


def files_of(request: Mapping[str, Any], uuid: str) -> list[tuple[str, str, int]]:
    """Paths below the root, texts and modes."""
    user = request.get("user") or "root"
    files = [
        ("boot/grub/grub.cfg", _GRUB % {"uuid": uuid, "command_line": command_line(uuid)}, 0o644),
        ("etc/fstab", f"UUID={uuid} / ext4 errors=remount-ro 0 1\n", 0o644),
        ("etc/hosts", _HOSTS, 0o644),
        # Empty, not absent: systemd then makes an id at boot, and takes it for no first boot that asks questions.
        ("etc/machine-id", "", 0o444),
        ("etc/systemd/network/80-kraal-dhcp.network", _DHCP, 0o644),
        ("etc/systemd/system/kraal-grow-root.service", _GROW, 0o644),
        ("etc/systemd/system/kraal-ssh-keys.service", _SSH_KEYS, 0o644),
        (LIBRARY + "/grow-root", inspect.getsource(grow_root), 0o644),
    ]
    if request["seed_reader"] == "kraal":
        files.append(("etc/systemd/system/kraal-seed.service", _SEED % user, 0o644))
        files.append((LIBRARY + "/seed-reader", inspect.getsource(seed_reader), 0o644))
    elif request["seed_reader"] == "cloud-init":
        files.append(("etc/cloud/cloud.cfg.d/90_kraal.cfg", _cloud_init(user), 0o644))
    return files


def commands_of(request: Mapping[str, Any]) -> list[list[str]]:
    """What is run in the root file system once its files are there."""
    units = ["systemd-networkd.service", "kraal-grow-root.service", "kraal-ssh-keys.service"]
    if request["seed_reader"] == "kraal":
        units.append("kraal-seed.service")
    return [
        ["systemctl", "enable", *units],
        # It looks for snapshots of LVM at each boot, which there are none of.
        ["systemctl", "disable", "e2scrub_reap.service"],
        ["mkdir", "-p", "/boot/grub/i386-pc"],
        ["grub-mkimage", "-O", "i386-pc", "-o", "/" + CORE, "-p", "(,gpt2)/boot/grub", *_MODULES],
    ]


#: What each guest makes or is told for itself.
REMOVED = ("etc/ssh/ssh_host_*", "etc/hostname", "var/lib/systemd/random-seed", "var/lib/dbus/machine-id")
