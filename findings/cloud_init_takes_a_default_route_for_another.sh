#!/usr/bin/env bash
# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# cloud-init: `to: default`, the way to write a default route that netplan asks for, ends the whole network configuration, and `to: ::/0` is another network.
# Version: cloud-init 22.4.2 of Debian 12; the first also with 25.1.4 of Debian 13 (26.2 of sid has both right).
# Guess: version 2 of a network-config is netplan's format, as its manual says, so a route to "default" or "::/0" is the default route for every renderer.
# Seen: for ifupdown, networkd and NetworkManager "default" is "not a valid ip address": a ValueError, and no interface of that guest is configured. ::/0
#   becomes ::/64, a network that nobody has, in all three. Only where netplan itself is installed does the text reach it as written, so that the same
#   seed works on one image and cuts the next one off. What all take: gateway4 and gateway6, or 0.0.0.0/0 for IPv4.
# Fails when one of these answers is another one.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m pip install --quiet --disable-pip-version-check --target "$folder/packages" \
    pyyaml==6.0.2 jinja2==3.1.6 configobj==5.0.9 jsonschema==4.23.0 oauthlib==3.2.2 requests==2.32.3 jsonpatch==1.33 2>/dev/null
(cd "$folder" && apt-get -qq download cloud-init 2>/dev/null && dpkg -x cloud-init_*.deb root)
export PYTHONPATH="$folder/root/usr/lib/python3/dist-packages:$folder/packages"
cloud_init() { python3 -m cloudinit.cmd.main "$@"; }
cloud_init --version 2>&1 | sed 's/^.*main.py/cloud-init/' | tr -s '\n ' ' ' && echo

config() { # DESTINATION GATEWAY
    printf '%s\n' 'version: 2' 'ethernets:' '  eth0:' '    addresses: [192.0.2.10/24, "2001:db8::10/64"]' '    routes:' "      - {to: \"$1\", via: \"$2\"}" >"$folder/config.yml"
}
render() { # RENDERER: the file with routes, or the error
    rm -rf "$folder/out"
    cloud_init devel net-convert --network-data "$folder/config.yml" --kind yaml --directory "$folder/out" --distro debian --output-kind "$1" 2>&1 | tail -1
    find "$folder/out" -type f -exec cat {} +
}
as_described=yes
check() { # RENDERER WORDS
    if render "$1" | grep -F -- "$2" | head -1 | sed "s/^/$1: seen /" | grep .; then return; fi
    echo "$1: not seen: $2"
    as_described=no
}
config default 192.0.2.1
for renderer in eni networkd network-manager; do check "$renderer" 'ValueError: Address default is not a valid ip address'; done
check netplan 'to: default'
config ::/0 2001:db8::1
check eni 'route add -A inet6 ::/64 gw 2001:db8::1'
check networkd 'Destination=::/64'
check network-manager '::/64,2001:db8::1'
check netplan 'to: ::/0'
[ "$as_described" = yes ] && echo "As described." || { echo "No longer as described." >&2; exit 1; }
