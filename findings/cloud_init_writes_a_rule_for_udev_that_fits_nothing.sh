#!/usr/bin/env bash
# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# cloud-init: a MAC address in capitals finds its interface while cloud-init runs, and never again.
# Version: cloud-init 22.4.2 of Debian 12, 25.1.4 of Debian 13 (26.2 of sid writes small letters).
# Guess: `match: {macaddress: "52:54:00:AA:BB:01"}` is the same as in small letters wherever it is written to.
# Seen: the rule for udev that keeps the name of set-name has the capitals as typed, ATTR{address}=="52:54:00:AA:BB:01". udev compares texts, and the kernel
#   shows small letters (/sys/class/net/NAME/address), so the rule is for nobody. At the first boot cloud-init renames the interface by itself, without
#   regard to capitals; what relies on the rule (a later boot with cloud-init off, an interface that is plugged in again) has the kernel's name, for which
#   there is no configuration. Write MAC addresses in small letters in seeds.
# Fails when the rule is another one.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m pip install --quiet --disable-pip-version-check --target "$folder/packages" \
    pyyaml==6.0.2 jinja2==3.1.6 configobj==5.0.9 jsonschema==4.23.0 oauthlib==3.2.2 requests==2.32.3 jsonpatch==1.33 2>/dev/null
(cd "$folder" && apt-get -qq download cloud-init 2>/dev/null && dpkg -x cloud-init_*.deb root)
export PYTHONPATH="$folder/root/usr/lib/python3/dist-packages:$folder/packages"
cloud_init() { python3 -m cloudinit.cmd.main "$@"; }
cloud_init --version 2>&1 | sed 's/^.*main.py/cloud-init/' | tr -s '\n ' ' ' && echo

rule() { # MAC
    printf '%s\n' 'version: 2' 'ethernets:' '  port:' "    match: {macaddress: \"$1\"}" '    set-name: lan0' '    dhcp4: true' >"$folder/config.yml"
    rm -rf "$folder/out"
    cloud_init devel net-convert --network-data "$folder/config.yml" --kind yaml --directory "$folder/out" --distro debian --output-kind eni >/dev/null 2>&1
    grep -v '^#' "$folder/out/etc/udev/rules.d/70-persistent-net.rules" | grep .
}
capitals=$(rule 52:54:00:AA:BB:01)
small=$(rule 52:54:00:aa:bb:01)
printf 'in capitals: seen %s\nin small letters: seen %s\n' "$capitals" "$small"
if [[ "$capitals" == *'ATTR{address}=="52:54:00:AA:BB:01"'*'NAME="lan0"'* && "$small" == *'ATTR{address}=="52:54:00:aa:bb:01"'* ]]; then
    echo "As described."
else
    echo "No longer as described." >&2
    exit 1
fi
