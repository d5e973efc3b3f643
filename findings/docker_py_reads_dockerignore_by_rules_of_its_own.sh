#!/usr/bin/env bash
# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# docker-py: the same .dockerignore leaves out other files than with Docker's own client.
# Version: docker 7.2.0 from PyPI, Python 3.11. `docker build` of 20.10.24 (without BuildKit) gave the other answers below.
# Guess: a build by the SDK sends the same files as `docker build` in that directory.
# Seen: its patterns know no upper and lower case, so that `readme` leaves out README, which the client sends. In brackets, ^ is a character like
#   any other, and ! negates; for the client it is the other way round: `[^a].key` sends the very files that the client leaves out.
# Fails when one of these two answers is another one.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m pip install --quiet --disable-pip-version-check --target "$folder/packages" docker==7.2.0 2>/dev/null

mkdir "$folder/context"
cd "$folder/context"
touch Dockerfile README a.key b.key
PYTHONPATH="$folder/packages" python3 - <<'PYTHON'
import sys
from importlib.metadata import version

from docker.utils.build import exclude_paths

print("docker", version("docker"), "on Python", sys.version.split()[0])
ALL = {"Dockerfile", "README", "a.key", "b.key"}
# The patterns, what the SDK sends, what the client sends.
CASES = [
    (["readme"], ALL - {"README"}, ALL),
    (["[^a].key"], ALL - {"a.key"}, ALL - {"b.key"}),
]
as_described = True
for patterns, expected, client in CASES:
    open(".dockerignore", "w").write("\n".join(patterns) + "\n")
    seen = exclude_paths(".", list(patterns)) - {".dockerignore"}
    print(f"{' '.join(patterns)}: seen {sorted(seen)}; the client sends {sorted(client)}")
    as_described = as_described and seen == expected and seen != client
print("As described." if as_described else "No longer as described.", file=sys.stdout if as_described else sys.stderr)
sys.exit(0 if as_described else 1)
PYTHON
