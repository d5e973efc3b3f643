#!/usr/bin/env bash
# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# ansible-core: display_skipped_hosts=false takes the heading away from every task while it works, from those that are not skipped as well.
# Version: ansible-core 2.19.4 from PyPI, Python 3.11.
# Guess: the option hides the lines of skipped hosts and tasks, and nothing else, as its documentation says.
# Seen: the heading of a task is printed with its first result. A task that works for minutes shows nothing until it is done, so that
#   the last heading on the screen is that of a task which has long ended. With the option on, the heading comes when the task begins.
#   A task that takes long needs a task before it that says so.
# Fails when the heading of a task comes before its result with the option off, or no longer does with the option on.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m pip install --quiet --disable-pip-version-check --target "$folder/packages" ansible-core==2.19.4 2>/dev/null

cat > "$folder/play.yml" <<'YAML'
- hosts: localhost
  connection: local
  gather_facts: false
  tasks:
    - name: Work for three seconds
      ansible.builtin.command: sleep 3
YAML

# How many seconds before the result the heading came, in tenths.
lead() {
    ANSIBLE_DISPLAY_SKIPPED_HOSTS=$1 ANSIBLE_NOCOLOR=1 ANSIBLE_HOME="$folder/home" LC_ALL=C.UTF-8 PYTHONUNBUFFERED=1 \
        PYTHONPATH="$folder/packages" python3 "$folder/packages/bin/ansible-playbook" "$folder/play.yml" 2>/dev/null |
        python3 -uc '
import sys, time
seen = {}
for line in sys.stdin:
    for word in ("TASK [Work", "changed: [localhost]"):
        if line.startswith(word):
            seen[word] = time.monotonic()
print(round(10 * (seen["changed: [localhost]"] - seen["TASK [Work"])))
'
}

off=$(lead false) on=$(lead true)
echo "ansible-core 2.19.4, a task of three seconds"
echo "display_skipped_hosts=false: seen the heading $off tenths of a second before the result"
echo "display_skipped_hosts=true: seen the heading $on tenths of a second before the result"
if [ "$off" -lt 10 ] && [ "$on" -gt 20 ]; then
    echo 'As described.'
else
    echo 'No longer as described.' >&2
    exit 1
fi
