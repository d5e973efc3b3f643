#!/usr/bin/env bash
# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# ansible-core: keyed_groups makes groups of texts. One host with a number or with true as the key takes the whole source away, and one with 0 or false
# is passed over.
# Version: ansible-core 2.19.4 from PyPI, with its own plugin `constructed`; other inventory plugins use the same code.
# Guess: a key of 2 gives the group cpus_2, as `strict: false` promises that what cannot be grouped is left out, and false gives a group like true.
# Seen: "Invalid group name format, expected a string or a list of them or dictionary", in spite of strict: false, and no host has any group of that
#   source. Where all hosts have 0, false or null there is no error and no group either, so that a file that worked fails on the day on which one
#   guest gets a value. The same numbers inside of a list or a mapping are groups ("slot_0", "slot_2"). What works for all: `key: cpus | string`.
# Fails when one of these answers is another one.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m pip install --quiet --disable-pip-version-check --target "$folder/packages" ansible-core==2.19.4 2>/dev/null
export PYTHONPATH="$folder/packages" LC_ALL=C.UTF-8 HOME="$folder" ANSIBLE_INVENTORY_ENABLED=yaml,constructed ANSIBLE_LOCALHOST_WARNING=false
python3 -m ansible inventory --version | head -1

groups_by() { # KEY VALUE-OF-A VALUE-OF-B: the groups that there are, or the error
    printf '%s\n' 'all:' '  hosts:' "    a: {value: $2}" "    b: {value: $3}" >"$folder/1.yml"
    printf '%s\n' 'plugin: constructed' 'strict: false' 'keyed_groups:' "  - {key: $1, prefix: slot}" >"$folder/2.constructed.yml"
    python3 -m ansible inventory -i "$folder/1.yml" -i "$folder/2.constructed.yml" --list >"$folder/out" 2>"$folder/err"
    if grep -q 'Invalid group name format' "$folder/err"; then echo error; else grep -oE '^    "slot[^"]*"' "$folder/out" | tr -d ' "' | sort | tr '\n' ' '; fi
}
seen=$(
    echo "2 and web: $(groups_by value 2 web)"
    echo "true and web: $(groups_by value true web)"
    echo "0 and false: $(groups_by value 0 false)"
    echo "lists of 0 and 2: $(groups_by value '[0]' '[2]')"
    echo "2 and web as texts: $(groups_by 'value | string' 2 web)"
)
echo "$seen"
expected='2 and web: error
true and web: error
0 and false: 
lists of 0 and 2: slot_0 slot_2 
2 and web as texts: slot_2 slot_web '
if [ "$seen" = "$expected" ]; then
    echo "As described."
else
    echo "No longer as described." >&2
    exit 1
fi
