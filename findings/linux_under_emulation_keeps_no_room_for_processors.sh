#!/usr/bin/env bash
# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# QEMU and Linux: a guest with one processor and room for three (-smp 1,maxcpus=3), emulated (TCG).
# Version: Linux 6.12.118-1 of Debian 13 and 6.1.192-2 of Debian 12 (both cloud), in QEMU 10.0.13 of Debian 13.
# Guess: what QEMU's tables name as room for processors, a guest's kernel keeps, whichever runs in it: it can be given them later.
# Seen: Linux 6.1 keeps room for two more; 6.12, in the same QEMU, for none. Where libvirt 11.3 then adds a processor, the call succeeds
#   and virsh vcpucount says two; the guest writes "ACPI: Unable to map lapic to logical cpu number" and shows one (not part of this
#   script).
# Needs root, mmdebstrap and Debian's mirror.
# Fails when a version is another one, or when both keep room, or neither.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf --one-file-system "$folder"' EXIT
unshare --mount mmdebstrap --quiet --variant=extract --include=linux-image-cloud-amd64 bookworm "$folder/12"
unshare --mount mmdebstrap --quiet --variant=extract --include=linux-image-cloud-amd64 trixie "$folder/13"
unshare --mount mmdebstrap --quiet --variant=minbase --include=qemu-system-x86 trixie "$folder/root"

room() { # What the kernel of a release says of processors; it stops since it has no root file system.
    cp "$folder/$1"/boot/vmlinuz-* "$folder/root/kernel"
    chroot "$folder/root" timeout 120 qemu-system-x86_64 -machine q35 -accel tcg -m 256 -smp 1,maxcpus=3 -nographic -no-reboot \
        -kernel /kernel -append "console=ttyS0 panic=-1" < /dev/null | tr -d '\r' | grep -a -o -e 'Linux version [^ ]*' -e 'Allowing .*CPUs.*'
}

chroot "$folder/root" qemu-system-x86_64 --version | head -n 1 | tee "$folder/qemu"
grep -q 'version 10.0.13 ' "$folder/qemu"
for release in 12 13; do
    room $release > "$folder/said-$release"
    cat "$folder/said-$release"
done
grep -q 'Linux version 6.1.0-56-' "$folder/said-12"
grep -q 'Allowing 3 CPUs, 2 hotplug CPUs' "$folder/said-12"
grep -q 'Linux version 6.12.118+deb13-' "$folder/said-13"
grep -q 'Allowing 1 present CPUs plus 0 hotplug CPUs' "$folder/said-13"
echo "seen: room for two more in 6.1, for none in 6.12"
