#!/usr/bin/env bash
# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# jmespath: true is not 1, but a list with true in it is the same as a list with 1, and contains() finds the one for the other.
# Version: jmespath 1.1.0 from PyPI, Python 3.11.
# Guess: JSON's true and 1 are two values wherever they stand; `true == 1` being false says that the library sees to it.
# Seen: it sees to it for the two operands alone. Inside of lists and objects Python compares, for which True == 1 and False == 0: the filter
#   [?settings == {"privileged": true}] takes a guest with 1 there, and [?contains(slots, `1`)] one whose slots are [true]. to_string() shows the
#   difference: comparing the texts of two values tells them apart.
# Fails when one of these answers is another one.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m pip install --quiet --disable-pip-version-check --target "$folder/packages" jmespath==1.1.0 2>/dev/null

PYTHONPATH="$folder/packages" python3 - <<'PYTHON'
import sys

import jmespath

print("jmespath", jmespath.__version__, "on Python", sys.version.split()[0])
guests = [
    {"name": "number", "settings": {"privileged": 1}, "slots": [1]},
    {"name": "truth", "settings": {"privileged": True}, "slots": [True]},
]
EXPECTED = {
    "[?settings.privileged == `true`].name": ["truth"],
    '[?settings == `{"privileged": true}`].name': ["number", "truth"],
    "[?slots[0] == `1`].name": ["number"],
    "[?contains(slots, `1`)].name": ["number", "truth"],
    "[?to_string(slots) == '[1]'].name": ["number"],
}
seen = {query: jmespath.search(query, guests) for query in EXPECTED}
for query, names in seen.items():
    print(f"{query}: seen", names)
if seen == EXPECTED:
    print("As described.")
else:
    sys.exit("No longer as described.")
PYTHON
