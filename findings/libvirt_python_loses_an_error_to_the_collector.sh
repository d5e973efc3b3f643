#!/usr/bin/env bash
# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# libvirt-python: the error of a call that failed is lost when Python's collector frees an object of libvirt just then.
# Version: python3-libvirt 9.0.0-1 of Debian 12 with libvirt 9.0.0 and Python 3.11. Seen in 11.3 of Debian 13 as well.
# Guess: an exception of libvirt's has the number of the error (get_error_code), whatever else the program does.
# Seen: the binding makes the exception first and then asks libvirt for its last error. Making it may start the collector. A pool
#   that only its own circle refers to is freed by it, which is a call of libvirt's that resets the last error of the thread.
#   The exception then has no number and no message of libvirt's, and "no such volume" cannot be told from any other error.
#   With the collector off the number is there.
# Needs root, mmdebstrap and Debian's mirror; works in a root file system of its own, with libvirt's driver for tests.
# Fails when the version is another one, or when the error is there in both cases, or in neither.
set -euo pipefail

version=9.0.0-1
folder=$(mktemp -d)
trap 'rm -rf --one-file-system "$folder"' EXIT
unshare --mount mmdebstrap --quiet --variant=minbase --include=python3-libvirt bookworm "$folder/root"

cat > "$folder/root/show.py" <<'PYTHON'
import gc
import sys

import libvirt

libvirt.registerErrorHandler(lambda context, error: None, None)
connection = libvirt.open("test:///default")
pool = connection.storagePoolLookupByName("default-pool")


class Circle:
    pass


circle = Circle()
circle.me, circle.pool = circle, connection.storagePoolLookupByName("default-pool")
del circle
if sys.argv[1] == "off":
    gc.disable()
gc.set_threshold(1, 1, 1)
try:
    pool.storageVolLookupByName("none")
except libvirt.libvirtError as error:
    gc.disable()
    print(error.get_error_code(), error)
PYTHON

seen=$(dpkg-query --admindir="$folder/root/var/lib/dpkg" --show --showformat='${Version}' python3-libvirt)
echo "python3-libvirt $seen"
off=$(chroot "$folder/root" python3 /show.py off)
on=$(chroot "$folder/root" python3 /show.py on)
echo "seen without the collector: $off"
echo "seen with it: $on"
[ "$seen" = "$version" ]
[ "${off%% *}" = 50 ]
[ "${on%% *}" = None ]
