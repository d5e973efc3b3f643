#!/usr/bin/env bash
# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# pylxd: in the list of a pool's volumes, a snapshot of a guest is a custom volume, which may be somebody else's.
# Version: pylxd 2.4.2 from PyPI (2.3.7 as well), LXD 5.0.2 of Debian 12.
# Guess: pool.volumes.all() leaves snapshots out, or says that they are some.
# Seen: the snapshot "data" of the instance "web" is listed as the custom volume "data", of the same type and name as the volume that really is one: all that
#   is neither a guest's nor an image's counts as custom, and of an address the last two parts alone are read ("snapshots" and the snapshot's name).
#   So what is counted is wrong, and delete() of that object asks LXD to delete the custom volume of that name: here it took the one with the data, and
#   the snapshot stayed. Who lists volumes does better to ask /1.0/storage-pools/NAME/volumes?recursion=1, where each has its type and its whole name.
# Fails when one of these answers is another one. Runs as root; the server lives in a temporary folder.
set -euo pipefail

folder=$(mktemp -d)
finish() {
    [ -z "${server:-}" ] || { kill "$server" && wait "$server" || true; }
    umount -q -l "$folder"/lxd/{shmounts,devlxd,guestapi} 2>/dev/null || true
    rm -rf "$folder"
}
trap finish EXIT
python3 -m pip install --quiet --disable-pip-version-check --target "$folder/packages" pylxd==2.4.2 2>/dev/null
(cd "$folder" && apt-get -qq download lxd libdqlite0 libraft2 lxd-client attr squashfs-tools 2>/dev/null && for package in *.deb; do dpkg -x "$package" root; done)
export LXD_DIR="$folder/lxd" PATH="$folder/root/usr/bin:$PATH" LD_LIBRARY_PATH="$folder/root/usr/lib/$(uname -m)-linux-gnu"
mkdir -m 711 "$LXD_DIR"
lxd --group root --logfile "$folder/log" 2>/dev/null &
server=$!
lxd waitready --timeout 60
lxd init --preseed <<'YAML'
storage_pools: [{name: default, driver: dir}]
profiles: [{name: default, devices: {root: {type: disk, path: /, pool: default}}}]
YAML

PYTHONPATH="$folder/packages" python3 -W ignore - "$LXD_DIR/unix.socket" <<'PYTHON'
import sys

from pylxd import Client

client = Client(endpoint=sys.argv[1])
print("LXD", client.host_info["environment"]["server_version"])
web = client.instances.create({"name": "web", "source": {"type": "none"}}, wait=True)
web.snapshots.create("data", wait=True)
pool = client.storage_pools.get("default")


def volumes():
    return sorted((each.type, each.name) for each in pool.volumes.all())


def truth():
    listed = pool.api.volumes.get(params={"recursion": 1}).json()["metadata"]
    return sorted((each["type"], each["name"]) for each in listed)


one = volumes()
pool.volumes.create({"name": "data", "type": "custom", "config": {}}, wait=True)
two, real = volumes(), truth()
of_the_snapshot = pool.volumes.all()[[each.name for each in pool.volumes.all()].index("data")]
of_the_snapshot.delete()
left = truth()
print("no custom volume at all: seen", one)
print("with one: seen", two, "where the server has", real)
print("after delete() of the first of the two: the server has", left)
guest = ("container", "web")
if (one, two, left) == ([guest, ("custom", "data")], [guest] + 2 * [("custom", "data")], [guest, ("container", "web/data")]):
    print("As described.")
else:
    sys.exit("No longer as described.")
PYTHON
