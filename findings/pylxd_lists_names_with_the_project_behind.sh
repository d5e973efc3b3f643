#!/usr/bin/env bash
# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# pylxd: in any project but "default" a list of instances or snapshots has names that nothing has.
# Version: pylxd 2.4.2 from PyPI (2.3.7 as well), LXD 5.0.2 of Debian 12.
# Guess: Client(project="shop").instances.all()[0].name is the name of the instance, "web".
# Seen: it is "web?project=shop", and a snapshot is "s0?project=shop": the last part of the address that LXD gives for what is not in the default project.
#   With recursion=1 the same instance is "web". Reading such an object works by luck, as the rest is taken for a query, so that nobody notices until a
#   name is compared: `"web" in [each.name for each in client.instances.all()]` is false, while client.instances.exists("web") is true.
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
projects: [{name: shop, config: {features.profiles: "false"}}]
YAML

PYTHONPATH="$folder/packages" python3 -W ignore - "$LXD_DIR/unix.socket" <<'PYTHON'
import sys

from pylxd import Client

client = Client(endpoint=sys.argv[1], project="shop")
print("LXD", client.host_info["environment"]["server_version"])
web = client.instances.create({"name": "web", "source": {"type": "none"}}, wait=True)
web.snapshots.create("s0", wait=True)
seen = {
    "all()": [each.name for each in client.instances.all()],
    "all(recursion=1)": [each.name for each in client.instances.all(recursion=1)],
    "snapshots.all()": [each.name for each in web.snapshots.all()],
    "of the default project": [each.name for each in Client(endpoint=sys.argv[1]).profiles.all()],
}
print("seen", seen, "exists:", client.instances.exists("web"))
if list(seen.values()) == [["web?project=shop"], ["web"], ["s0?project=shop"], ["default"]]:
    print("As described.")
else:
    sys.exit("No longer as described.")
PYTHON
