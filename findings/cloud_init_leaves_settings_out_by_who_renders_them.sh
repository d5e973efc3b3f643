#!/usr/bin/env bash
# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# cloud-init: which of a network-config's settings a guest gets depends on who configures its network, and what is left out is left out without a word.
# Version: cloud-init 22.4.2 of Debian 12. With 25.1.4 of Debian 13 and 26.2 of sid, the overrides of DHCP are left out in the same way; metrics are kept.
# Guess: what the format has a key for is done by all renderers, or refused by the one that cannot.
# Seen: `dhcp4-overrides: {use-dns: false, use-routes: false}` is kept by networkd alone. With ifupdown and with NetworkManager the guest takes the DHCP
#   server's name servers and its default route nevertheless. A route's `metric` is in none of the three, so that of two routes to one network either
#   may win. `accept-ra: false` is kept for ifupdown alone. Each run ends with 0 and says nothing. Check what counts inside of the guest.
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

printf '%s\n' 'version: 2' 'ethernets:' '  eth0:' '    dhcp4: true' '    dhcp4-overrides: {use-dns: false, use-routes: false}' '    accept-ra: false' \
    '    routes:' '      - {to: 198.51.100.0/24, via: 192.0.2.2, metric: 57}' >"$folder/config.yml"
declare -A words=([use-dns]='UseDNS=|use-dns|ignore-auto-dns' [use-routes]='UseRoutes=|use-routes|ignore-auto-routes' [accept-ra]='IPv6AcceptRA|accept[_-]ra' [metric]='\<57\>' [route]='198[.]51[.]100')
seen=
for renderer in eni networkd network-manager; do
    rm -rf "$folder/out"
    cloud_init devel net-convert --network-data "$folder/config.yml" --kind yaml --directory "$folder/out" --distro debian --output-kind "$renderer" >/dev/null 2>&1
    kept=
    for setting in use-dns use-routes accept-ra metric route; do
        if grep -rqE "${words[$setting]}" "$folder/out"; then kept+=" $setting"; fi
    done
    echo "$renderer: seen$kept"
    seen+="$renderer:$kept;"
done
if [ "$seen" = "eni: accept-ra route;networkd: use-dns use-routes route;network-manager: route;" ]; then
    echo "As described."
else
    echo "No longer as described." >&2
    exit 1
fi
