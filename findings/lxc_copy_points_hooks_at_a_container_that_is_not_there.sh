#!/usr/bin/env bash
# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# lxc-copy: hooks are moved along with a container by the first letters of their paths, and a hook with an argument cannot be copied at all.
# Version: lxc 5.0.2 of Debian 12.
# Guess: of the paths in a configuration, those inside of the container's own directory point into the copy's directory afterwards, and the others stay.
# Seen: a copy of "web" that is called "shop" has ".../shop2/hook" where "web" has ".../web2/hook", a hook of the container web2: a file that nobody has, so
#   that the copy cannot start. The sources of mount entries do not move, not even those that are inside: the copy mounts the original's data.
#   And `lxc.hook.pre-start = .../web/hook --quiet`, which runs at each start of the original, is looked for as a file of that whole name: "error copying
#   hooks". Hooks that a copy is to survive belong outside of the containers' directory.
# Fails when one of these answers is another one. Nothing is started.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
(cd "$folder" && apt-get -qq download lxc liblxc1 2>/dev/null && for package in *.deb; do dpkg -x "$package" root; done)
export PATH="$folder/root/usr/bin:$PATH" LD_LIBRARY_PATH="$folder/root/usr/lib/$(uname -m)-linux-gnu"
echo "lxc $(lxc-info --version)"

all="$folder/lxc"
mkdir -p "$all"/{web/rootfs,web/data,web2}
touch "$all"/{web,web2}/hook
chmod +x "$all"/{web,web2}/hook
configure() {
    printf '%s\n' "lxc.uts.name = web" "lxc.rootfs.path = dir:$all/web/rootfs" "lxc.hook.pre-start = $all/web/hook$1" \
        "lxc.hook.pre-start = $all/web2/hook" "lxc.mount.entry = $all/web/data srv none bind,create=dir 0 0" >"$all/web/config"
}
copied=0
configure ''
lxc-copy -P "$all" -n web -N shop >/dev/null 2>&1 || copied=$?
seen=$(grep -E 'hook|mount' "$all/shop/config" | sed "s|$all|...|")
echo "$seen"
with_an_argument=0
configure ' --quiet'
lxc-copy -P "$all" -n web -N other -l ERROR -o "$folder/words" >/dev/null 2>&1 || with_an_argument=$?
echo "with an argument: ends with $with_an_argument, $(grep -o 'error copying hooks' "$folder/words" | head -1)"
expected='lxc.hook.pre-start = .../shop/hook
lxc.hook.pre-start = .../shop2/hook
lxc.mount.entry = .../web/data srv none bind,create=dir 0 0'
if [ "$copied/$with_an_argument" = 0/1 ] && [ "$(sort <<<"$seen")" = "$expected" ] && grep -q 'error copying hooks' "$folder/words"; then
    echo "As described."
else
    echo "No longer as described." >&2
    exit 1
fi
