#!/usr/bin/env bash
# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# jmespath: to_number() takes what only Python calls a number, and one such text among labels puts all others out of order.
# Version: jmespath 1.1.0 from PyPI, Python 3.11.
# Guess: a text that is no number of JSON gives null, as the specification of to_number says.
# Seen: "1_000" is 1000, " 7 " is 7, "1e999" is infinity and "nan" is NaN. NaN is neither less nor more than any number, so that sort_by() leaves
#   10 before 1 and 2, and max_by() answers by the order of the list. JSON that is written from such an answer has the word NaN in it,
#   which is no JSON. Who sorts by labels does better to keep only those that match `^[0-9]+$` beforehand.
# Fails when one of these answers is another one.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m pip install --quiet --disable-pip-version-check --target "$folder/packages" jmespath==1.1.0 2>/dev/null

PYTHONPATH="$folder/packages" python3 - <<'PYTHON'
import json
import sys

import jmespath

print("jmespath", jmespath.__version__, "on Python", sys.version.split()[0])
guests = [{"rank": text} for text in ("10", "nan", "2", "1")]
EXPECTED = {"1_000": "1000", " 7 ": "7", "1e999": "Infinity", "nan": "NaN", "0x10": "null"}
numbers = {text: json.dumps(jmespath.search("to_number(@)", text)) for text in EXPECTED}
order = jmespath.search("sort_by(@, &to_number(rank))[].rank", guests)
most = [jmespath.search("max_by(@, &to_number(rank)).rank", each) for each in (guests, guests[1:] + guests[:1])]
print("to_number: seen", numbers)
print("sorted by it: seen", order)
print("the most, in two orders of one list: seen", most)
if numbers == EXPECTED and order == ["10", "nan", "1", "2"] and most[0] != most[1]:
    print("As described.")
else:
    sys.exit("No longer as described.")
PYTHON
