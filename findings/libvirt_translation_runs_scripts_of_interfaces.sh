#!/usr/bin/env bash
# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# libvirt: virConnectDomainXMLToNative (virsh domxml-to-native), which turns a description into the emulator's command line and defines nothing,
# prepares the host's network as a start does.
# Version: libvirt-daemon 9.0.0-4+deb12u2 and QEMU 7.2 of Debian 12.
# Guess: a translation of text reads, and leaves the host as it is; good enough for asking, in a dry run, whether libvirt would take a guest.
# Seen: for an interface of the type ethernet with a script, a tap device is made and the script is run, as root, once for each question.
#   No guest is defined, and the device is gone afterwards: only the script, and the kernel's count of interfaces, tell of it.
# Needs root, mmdebstrap and Debian's mirror; works in a root file system and namespaces of its own.
# Fails when the version is another one, or when the script is not run, or when a guest is there afterwards.
set -euo pipefail

version=9.0.0-4+deb12u2
folder=$(mktemp -d)
trap 'rm -rf --one-file-system "$folder"' EXIT
unshare --mount mmdebstrap --quiet --variant=minbase --include=libvirt-daemon-driver-qemu,libvirt-daemon-system,libvirt-clients,qemu-system-x86,iproute2 bookworm "$folder/root"

cat > "$folder/root/script" <<'SCRIPT'
#!/bin/sh
echo "seen: the script ran with the device $1, as user $(id -u)" >> /ran
SCRIPT
chmod +x "$folder/root/script"
cat > "$folder/root/guest.xml" <<'XML'
<domain type='qemu'>
  <name>example</name>
  <memory unit='MiB'>64</memory>
  <os><type arch='x86_64'>hvm</type></os>
  <devices>
    <interface type='ethernet'>
      <mac address='52:54:00:00:00:01'/>
      <script path='/script'/>
      <target dev='example0'/>
      <model type='virtio'/>
    </interface>
  </devices>
</domain>
XML
cat > "$folder/root/show" <<'SHOW'
set -eu
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t tmpfs tmpfs /run
mkdir -p /dev/net /run/lock
[ -e /dev/net/tun ] || mknod /dev/net/tun c 10 200
ip link set lo up
virtlogd --daemon
libvirtd --daemon
virsh --quiet domxml-to-native qemu-argv /guest.xml > /argv
virsh --quiet list --all --name > /guests
ip -brief link > /links
virsh version --daemon | sed -n 's/^Running against daemon: /libvirt /p'
SHOW
unshare --mount --net --pid --fork --kill-child chroot "$folder/root" /bin/sh /show

seen=$(dpkg-query --admindir="$folder/root/var/lib/dpkg" --show --showformat='${Version}' libvirt-daemon)
echo "libvirt-daemon $seen; links afterwards: $(cut -d ' ' -f 1 "$folder/root/links" | tr '\n' ' ')"
cat "$folder/root/ran" 2>/dev/null || true
if [ "$seen" = "$version" ] && [ -s "$folder/root/ran" ] && ! grep -q example "$folder/root/guests" && [ "$(wc -l < "$folder/root/links")" = 1 ]; then
    echo 'As described: the question ran the script.'
else
    echo 'No longer as described.' >&2
    exit 1
fi
