#!/usr/bin/env bash
# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# libvirt: a domain that is defined with VIR_DOMAIN_DEFINE_VALIDATE (virsh define --validate) is held to libvirt's schema.
# Version: libvirt 9.0.0-4+deb12u2 of Debian 12, with its libxml2 2.9.14.
# Guess: the order of a domain's elements does not matter, as the schema has them in interleaves, which take any order.
# Seen: name, uuid, memory, os, iothreads is taken; name, memory, os, uuid, iothreads is refused, and the message blames another
#   element: "Extra element os in interleave". Without iothreads (or cputune, memtune, numatune) a uuid at the end is taken.
# Needs root, mmdebstrap and Debian's mirror; works in a root file system of its own, with libvirt's driver for tests.
# Fails when the version is another one, or when libvirt takes both, or neither.
set -euo pipefail

version=9.0.0-4+deb12u2
folder=$(mktemp -d)
trap 'rm -rf --one-file-system "$folder"' EXIT
unshare --mount mmdebstrap --quiet --variant=minbase --include=libvirt-clients bookworm "$folder/root"

uuid='<uuid>6ba7b810-9dad-41d1-80b4-00c04fd430c8</uuid>'
memory="<memory unit='MiB'>64</memory>"
os="<os><type arch='i686'>hvm</type></os>"
threads='<iothreads>2</iothreads>'

taken() { # Whether libvirt takes a domain with these elements in this order.
    echo "<domain type='test'><name>example</name>$*</domain>" > "$folder/root/example.xml"
    chroot "$folder/root" virsh --quiet -c test:///default define --validate /example.xml > "$folder/said" 2>&1
}

seen=$(dpkg-query --admindir="$folder/root/var/lib/dpkg" --show --showformat='${Version}' libvirt0)
echo "libvirt0 $seen"
[ "$seen" = "$version" ]
taken "$uuid" "$memory" "$os" "$threads"
echo "seen: name, uuid, memory, os, iothreads is taken"
taken "$memory" "$os" "$uuid"
echo "seen: name, memory, os, uuid is taken"
if taken "$memory" "$os" "$uuid" "$threads"; then
    echo "name, memory, os, uuid, iothreads is taken as well"
    exit 1
fi
grep -q "Extra element os in interleave" "$folder/said"
echo "seen: name, memory, os, uuid, iothreads is refused: $(grep interleave "$folder/said")"
