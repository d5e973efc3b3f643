#!/usr/bin/env bash
# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# lxc: a container that passes on a variable of its caller is not there for a caller who has none of that name.
# Version: lxc 5.0.2 of Debian 12.
# Guess: `lxc.environment = NAME`, which lxc.container.conf(5) has for "inherit it from the host", matters at the start alone, and a variable that is not
#   set is left out there.
# Seen: the whole configuration does not load then. lxc-info fails, for the state and the name alike; lxc-ls leaves the container out, says "Failed to
#   load config" and ends with 0, so that a list taken from cron, from a service or through sudo is shorter than the same list in a shell that has the
#   variable. lxc-destroy does not know the container either. Who needs the list gives such variables a value in the configuration (`NAME=value`).
# Fails when one of these answers is another one. Nothing is started.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
(cd "$folder" && apt-get -qq download lxc liblxc1 2>/dev/null && for package in *.deb; do dpkg -x "$package" root; done)
export PATH="$folder/root/usr/bin:$PATH" LD_LIBRARY_PATH="$folder/root/usr/lib/$(uname -m)-linux-gnu"
echo "lxc $(lxc-info --version)"

mkdir -p "$folder"/lxc/{plain,proxied}/rootfs
for name in plain proxied; do
    printf 'lxc.uts.name = %s\nlxc.rootfs.path = dir:%s\n' "$name" "$folder/lxc/$name/rootfs" >"$folder/lxc/$name/config"
done
echo 'lxc.environment = SITE_PROXY' >>"$folder/lxc/proxied/config"

list() { "$@" lxc-ls -P "$folder/lxc" -1 2>/dev/null | tr -s '\n ' ' '; }
code() { "$@" >/dev/null 2>&1 && echo 0 || echo $?; }
here=$(list env SITE_PROXY=http://proxy.example:3128)
there=$(list env -u SITE_PROXY)
info=$(code env -u SITE_PROXY lxc-info -P "$folder/lxc" -n proxied -s)
listing=$(code env -u SITE_PROXY lxc-ls -P "$folder/lxc" -1)
echo "with the variable: seen '$here'; without: '$there', lxc-ls ends with $listing, lxc-info with $info"
destroyed=$(code env -u SITE_PROXY lxc-destroy -P "$folder/lxc" -n proxied)
echo "lxc-destroy without the variable: ends with $destroyed, the configuration is $([ -e "$folder/lxc/proxied/config" ] && echo there || echo gone)"
if [ "$here/$there/$listing/$info/$destroyed" = "plain proxied /plain /0/1/1" ] && [ -e "$folder/lxc/proxied/config" ]; then
    echo "As described."
else
    echo "No longer as described." >&2
    exit 1
fi
